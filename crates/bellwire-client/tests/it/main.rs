//! The client against a scripted server: raw bytes over real sockets, one file per wire.

mod poll;
mod publish;
mod script;
mod sse;
mod switch;
mod websocket;
