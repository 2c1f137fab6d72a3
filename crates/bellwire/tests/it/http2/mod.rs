//! HTTP/2: what holds over HTTP/1.1 holds for its streams, and nobody breaks a connection but his own.

mod attacks;
mod client;
mod crowd;
mod interop;
mod streams;
mod websocket;

use bellwire_testkit::process::Server;

use crate::binary;

/// A server in development mode that takes HTTP/2 without TLS.
fn dev_http2(arguments: &[&str]) -> Server {
    binary()
        .args(["--dev", "--http2-cleartext"])
        .args(arguments)
        .start()
}
