//! A shard as it runs: one thread with its event loop, sockets and inbox around the core's shard.
//!
//! ```text
//!  accept ─► (TLS) ─► hyper parses ─► http routes ─► takeover ─► sockets (epoll) ◄─► core shard
//!                               └─► publish, reads ─► inbox of the home shard ─┘
//! ```

mod accept;
mod accepted;
mod census;
mod closes;
mod door;
mod driver;
mod handshake;
mod http1;
mod http2;
mod inbox;
mod local;
mod outcomes;
mod pipe;
mod pump;
mod slot;
mod sockets;
mod thread;
mod tls;
mod wire;

pub(crate) use self::{
    accepted::{Accepted, Streaming, never},
    census::{Census, Place, Room},
    inbox::Inbox,
    local::{Clock, Local, Session, Shared, on_all as local_on_all, random_u64},
    outcomes::Outcome,
    pipe::{Pipe, PipeBody},
    pump::pump,
    thread::{MakeEngine, ShardSeed, spawn},
};
