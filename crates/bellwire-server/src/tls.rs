//! The main listener's certificate: read, checked, and read again when it changes.
//!
//! Shards take a [`ServerConfig`] for each connection; a renewed certificate only changes what the
//! next handshake shows, so no connection is lost. The bytes of a connection are the matter of
//! `shard/tls.rs`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::{MissedTickBehavior, interval};

use crate::config;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// What clients may choose, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What is wrong with a certificate and its key.
#[derive(Debug)]
pub(crate) struct PairError {
    /// The setting to look at.
    pub(crate) setting: &'static str,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

/// The certificate of a node that encrypts.
#[derive(Debug)]
pub(crate) struct Encryption {
    certificates: Arc<Certificates>,
    config: Arc<ServerConfig>,
}

#[derive(Debug)]
struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    /// When the files were last written, as of the last look.
    seen: Mutex<Stamps>,
}

type Stamps = [Option<SystemTime>; 2];

impl Encryption {
    /// Reads what the settings name; `None` where they name nothing.
    ///
    /// # Errors
    /// The files can't be read or do not fit together.
    pub(crate) fn of(settings: &config::Tls) -> Result<Option<Self>, PairError> {
        let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
            return Ok(None);
        };
        let certificates = Arc::new(Certificates {
            seen: Mutex::new([certificate, key].map(|path| written(path))),
            current: RwLock::new(Arc::new(read_pair(certificate, key)?)),
            certificate: certificate.clone(),
            key: key.clone(),
        });
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites of every version");
        let mut config = builder
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificates) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        // Sessions are not resumed: a ticket would be one more thing to keep and to encrypt for
        // every connection, and what it saves is one signature of a connection that stays.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Some(Self {
            certificates,
            config: Arc::new(config),
        }))
    }

    /// What a new connection is made of.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Reads the files anew; a pair that is no good is reported and changes nothing.
    pub(crate) fn reload(&self) {
        let Certificates {
            certificate, key, ..
        } = &*self.certificates;
        match read_pair(certificate, key) {
            Ok(pair) => {
                let mut current = self
                    .certificates
                    .current
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(pair);
                tracing::info!("new connections get the certificate as it is now");
            }
            Err(PairError { setting, message }) => {
                tracing::error!(setting, "the certificate stays as it was: {message}");
            }
        }
    }

    /// Reads the files anew whenever one of them has changed.
    pub(crate) async fn watch(&self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            if self.certificates.have_changed() {
                self.reload();
            }
        }
    }
}

impl Certificates {
    fn have_changed(&self) -> bool {
        let now = [&self.certificate, &self.key].map(|path| written(path));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, now) != now
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn written(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

/// The one source of cryptography, named so that no other that a build might contain is taken.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Reads a certificate chain and its private key.
///
/// # Errors
/// Names the setting and what to do.
pub(crate) fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, PairError> {
    let fail = |setting, path: &Path, what: String| PairError {
        setting,
        message: format!("{} {what}", path.display()),
    };
    let of_certificate = |what| fail("tls.certificate", certificate, what);
    let of_key = |what| fail("tls.key", key, what);
    let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| of_certificate(unreadable(&error)))?;
    if chain.is_empty() {
        let what = "holds no certificate; it begins with -----BEGIN CERTIFICATE-----";
        return Err(of_certificate(what.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            of_key("holds no private key; it begins with -----BEGIN PRIVATE KEY-----".to_owned())
        }
        other => of_key(unreadable(&other)),
    })?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => of_key(format!(
            "is not the key of {}; take the one it was made with",
            certificate.display()
        )),
        rustls::Error::InvalidCertificate(_) => of_certificate(format!("is not valid: {error}")),
        other => of_key(format!("can't be used: {other}")),
    })
}

fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("can't be read: {error}"),
        other => format!("is not PEM: {other}"),
    }
}
