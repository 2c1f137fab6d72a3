//! Whom a client trusts, and the encryption of its connections. Built by the endpoint where the URL
//! says https; must not know what goes through.

use std::{fmt, io, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::error::Error;

/// How to speak with one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// Speaks with the server called `host`, for whom those of [`tls_config`] have to vouch.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field `url` or `ca`.
    pub(crate) fn new(host: &str, ca: Option<&[u8]>) -> Result<Self, Error> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::invalid("url", format!("{host:?} is no name of a server")))?;
        Ok(Self {
            connector: TlsConnector::from(Arc::new(tls_config(ca)?)),
            name,
        })
    }

    /// Encrypts a connection.
    pub(crate) async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connect = self.connector.connect(self.name.clone(), stream);
        connect.await.map_err(|error| match error.to_string() {
            // What `openssl req -x509` makes unless told otherwise.
            text if text.contains("CaUsedAsEndEntity") => io::Error::other(
                "the server's certificate is an authority's (CA:TRUE); make it one of a server, \
                 with -addext basicConstraints=critical,CA:FALSE",
            ),
            _ => error,
        })
    }
}

/// What the clients of this crate encrypt with, for programs that speak to servers in ways of their
/// own: HTTP/1.1, and the system's authorities (or those that `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name) and those in `ca` (PEM) to vouch for servers.
///
/// # Errors
/// [`Error::Invalid`] with the field `ca`.
pub fn tls_config(ca: Option<&[u8]>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    // Some systems have old ones among them that no library reads.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = ca {
        add(&mut roots, pem)?;
    }
    if roots.is_empty() {
        let detail =
            "this system trusts no authority; install its certificates, or name one (--ca)";
        return Err(Error::invalid("ca", detail));
    }
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), Error> {
    let refuse = |error: &dyn fmt::Display| Error::invalid("ca", error.to_string());
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| refuse(&error))?;
        roots.add(certificate).map_err(|error| refuse(&error))?;
    }
    if roots.len() == before {
        return Err(refuse(&"it holds no certificate in PEM"));
    }
    Ok(())
}
