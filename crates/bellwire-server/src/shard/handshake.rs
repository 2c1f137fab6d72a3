//! What a new connection speaks: TLS where there is a certificate, then HTTP/2 or HTTP/1.
//!
//! `accept.rs` calls this before the first request, and bounds its time. Knows no requests.

use std::{io, rc::Rc, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    accepted::Door,
    local::Local,
    tls::Tls,
    wire::{Parts, Wire, shake_hands},
};
use crate::{
    http::Listener,
    problem::{self, Problem},
};

/// How an HTTP/2 connection begins (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The first byte of a TLS connection: a record of the handshake.
const TLS_HANDSHAKE: u8 = 22;

/// What requests come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Goes as far as the peer can be served.
///
/// # Errors
/// The socket's, or the peer does not keep to the protocol.
pub(super) async fn begin(
    local: &Rc<Local>,
    stream: TcpStream,
    door: &Door,
) -> io::Result<(Wire, Protocol)> {
    if let Some(encryption) = &local.shared.encryption
        && door.listener == Listener::Main
    {
        return secure(stream, encryption.config()).await;
    }
    let mut stream = stream;
    let (leftover, protocol) = if local.shared.config.http2.cleartext {
        read_preface(&mut stream).await?
    } else {
        (Vec::new(), Protocol::Http1)
    };
    let wire = Wire::new(Parts {
        stream,
        tls: None,
        leftover,
    });
    Ok((wire, protocol))
}

async fn secure(
    mut stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> io::Result<(Wire, Protocol)> {
    let mut first = [0];
    let count = stream.peek(&mut first).await?;
    if count == 1 && first[0] != TLS_HANDSHAKE {
        // Closing with bytes unread would reset the connection before it is told.
        let mut request = Vec::with_capacity(4_096);
        stream.read_buf(&mut request).await?;
        stream.write_all(&answer_to_plain()).await?;
        stream.shutdown().await?;
        return Err(io::Error::other("plain HTTP where TLS is spoken"));
    }
    let mut tls = Box::new(Tls::new(config).map_err(io::Error::other)?);
    shake_hands(&stream, &mut tls).await?;
    let protocol = if tls.is_http2() {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    let wire = Wire::new(Parts {
        stream,
        tls: Some(tls),
        leftover: Vec::new(),
    });
    Ok((wire, protocol))
}

/// For whoever speaks plain HTTP where TLS is spoken.
fn answer_to_plain() -> Vec<u8> {
    let problem = Problem::new(
        problem::INVALID,
        "this port speaks HTTPS; use https:// here",
    );
    let body = problem.body();
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        problem.status(),
        body.len()
    );
    [head.into_bytes(), body].concat()
}

/// Reads for as long as it may be the beginning of HTTP/2; gives what it read.
async fn read_preface(stream: &mut TcpStream) -> io::Result<(Vec<u8>, Protocol)> {
    let mut begun = Vec::with_capacity(PREFACE.len());
    while begun.len() < PREFACE.len() {
        let missing = PREFACE.len() - begun.len();
        let count = stream.take(missing as u64).read_buf(&mut begun).await?;
        if count == 0 || !PREFACE.starts_with(&begun) {
            return Ok((begun, Protocol::Http1));
        }
    }
    Ok((begun, Protocol::Http2))
}
