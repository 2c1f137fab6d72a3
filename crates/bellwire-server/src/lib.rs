//! The Bellwire server: sockets, transports, HTTP API, access, configuration.
//!
//! ```text
//!  config ─► Node ─► one thread per shard: accept ─► http ─► (access) ─► session on a raw socket
//!                                                      └─► publish ─► core's shard and engine
//! ```
//!
//! Decisions live in `bellwire-core`; this crate moves bytes, reads clocks and speaks HTTP.
#![deny(unsafe_code)]

pub mod config;

pub mod access;

pub mod problem;

mod http;

mod shard;

mod drain;
mod listen;
mod metrics;
mod node;
#[cfg(feature = "planted")]
pub mod planted;
mod rates;
mod tls;
mod warnings;

pub use self::{
    listen::ListenError,
    node::{Node, StartError},
};
