//! Sans-IO codecs for the two wires Bellwire streams on: WebSocket (RFC 6455) and
//! Server-Sent Events (WHATWG HTML §9.2), and for the PROXY header that balancers put in front.
//!
//! Bytes and limits go in, events and bytes come out. This crate knows no channels, no
//! sockets and no clock, so the same code runs in the server, in the client, under a fuzzer
//! and in a simulation.
//!
//! ```text
//!   socket bytes ─► websocket::Decoder ─► Event          Event ─► websocket::encode_* ─► bytes
//!   socket bytes ─► sse::Parser        ─► Event          Event ─► sse::write_*        ─► bytes
//! ```
#![forbid(unsafe_code)]

pub mod proxy_header;

pub mod websocket;

pub mod sse;
