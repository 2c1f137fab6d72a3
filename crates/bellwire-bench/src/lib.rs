//! The load generator behind `bellwire bench`.
//!
//! ```text
//!   fleet ── commands, as JSON lines ──► worker ─┬─► crowd    subscribers, each delivery verified
//!     │  ◄──────── answers ───────────           ├─► publish  publishers
//!     │                                          └─► load, storm
//!   compare: one feed by each transport, in this process
//!   process: CPU and memory of the server's pid, read by the parent
//! ```
//!
//! The dialects are all that it knows of servers, so the laboratory beside it (the binary of this
//! crate) sets Bellwire beside others with the same code that users run.

pub mod chart;
pub mod clock;
pub mod compare;
mod crowd;
mod dialect;
mod fleet;
mod latency;
mod load;
mod mark;
pub mod process;
mod publish;
mod socket;
mod storm;
pub mod worker;

pub use self::{
    crowd::{Channels, Group, Tokens},
    dialect::{Dialect, Target, Wire},
    fleet::Worker,
    latency::Latencies,
    load::{Load, Loaded, Order, Pace, Stream},
    mark::MIN_PAYLOAD,
    publish::{Publishing, Via},
    socket::Secure,
    storm::{Storm, Stormed},
};
