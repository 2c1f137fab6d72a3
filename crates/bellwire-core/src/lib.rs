//! Bellwire's pure heart: no sockets, no clocks, no threads.
//!
//! ```text
//!  publish ─► engine (log, positions) ─► announcement ─► shard: tail ─► flush ─► cursor walk ─► bytes
//!  cursor  ─► session ─► attach ─► engine: start, gap ─► shard: pages of the log until the tail
//! ```
#![forbid(unsafe_code)]

pub mod time;

pub mod channel;

pub mod position;

pub mod compression;
pub mod cursor;

pub mod publication;

pub mod namespace;

pub mod access;

pub mod rate;

pub mod engine;

pub mod usage;

pub mod memory;

pub mod draft;

pub mod envelope;

pub mod format;

pub mod segment;

pub mod shard;
