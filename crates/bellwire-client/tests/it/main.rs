//! The client against a scripted server: raw bytes over real sockets, one file per wire.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "helpers of tests are tests, and the texts are ASCII"
)]

mod poll;
mod publish;
mod script;
mod sse;
mod switch;
mod websocket;
