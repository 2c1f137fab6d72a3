//! A way into a server that encrypts, for clients that do not: plain on one side, TLS on the other.
//! Servers started with TLS stand behind one, so that every raw client and every behaviour can be
//! tried over TLS. It must not look into what it passes on. Also one exchange without a tunnel, for what
//! only the end of the encryption shows.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::{between::Between, certificate::Certificate, wait::SOON};

/// A running tunnel; it stops when dropped.
pub struct Tunnel(Between);

impl Tunnel {
    /// Starts a tunnel on a free port of 127.0.0.1 to a server that shows this certificate. What
    /// is `announced` goes before the encryption of each connection, as a balancer's header does.
    ///
    /// # Panics
    /// When the operating system has no port or no thread left.
    #[must_use]
    pub fn start(upstream: SocketAddr, certificate: &Certificate, announced: &[u8]) -> Self {
        let (connector, announced) = (trusting(certificate), Arc::from(announced));
        let serve = |listener| accept(listener, upstream, connector, announced);
        Self(Between::start(serve))
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("address", &self.0.address)
            .finish_non_exhaustive()
    }
}

/// Sends bytes over TLS and reads to the end, with a receive buffer of so many bytes.
///
/// # Errors
/// The connection's, or that it ends without the server's word that nothing more comes
/// (`UnexpectedEof`).
pub fn exchange(
    server: SocketAddr,
    certificate: &Certificate,
    receive_buffer: u32,
    request: &[u8],
) -> io::Result<Vec<u8>> {
    let talk = async {
        let mut stream = connect(server, certificate, receive_buffer).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    };
    runtime()?.block_on(async { timeout(SOON, Box::pin(talk)).await? })
}

/// Sends bytes over TLS and reads no more than the beginning of what is answered, for as long as what
/// it returns is there. The kernel takes little for it.
///
/// # Errors
/// The connection's.
pub fn stopped(
    server: SocketAddr,
    certificate: &Certificate,
    request: &[u8],
) -> io::Result<impl Sized + use<>> {
    let runtime = runtime()?;
    let begin = async {
        let mut stream = connect(server, certificate, 4 << 10).await?;
        stream.write_all(request).await?;
        stream.read_exact(&mut [0; 16]).await?;
        io::Result::Ok(stream)
    };
    let stream = runtime.block_on(async { timeout(SOON, Box::pin(begin)).await? })?;
    Ok((stream, runtime))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

async fn connect(
    server: SocketAddr,
    certificate: &Certificate,
    receive_buffer: u32,
) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(receive_buffer)?;
    let stream = socket.connect(server).await?;
    let name = ServerName::from(server.ip());
    trusting(certificate).connect(name, stream).await
}

/// What trusts one certificate.
fn trusting(certificate: &Certificate) -> TlsConnector {
    let certificate = CertificateDer::from_pem_file(certificate.path()).expect("it was written");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("it is a certificate");
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    connector: TlsConnector,
    announced: Arc<[u8]>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let (connector, announced) = (connector.clone(), Arc::clone(&announced));
        // Either side's end is the other's, and there is nobody else to tell.
        tokio::spawn(async move { pass(client, upstream, connector, &announced).await.ok() });
    }
}

async fn pass(
    mut client: TcpStream,
    upstream: SocketAddr,
    connector: TlsConnector,
    announced: &[u8],
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(upstream).await?;
    server.set_nodelay(true)?;
    server.write_all(announced).await?;
    let name = ServerName::from(upstream.ip());
    let mut server = connector.connect(name, server).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
