//! The seam between a shard and its sockets. The server implements it over epoll, the simulation
//! over memory; the shard decides, the sockets only move bytes.

use std::{io::IoSlice, net::IpAddr};

use super::report::Departure;

/// Which socket, as the outer layer counts them.
pub type SocketKey = u32;

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// So many bytes were taken. Fewer than offered means that the socket would block now and
    /// that [`super::Shard::writable`] will be called.
    Bytes(usize),
    /// The peer is gone.
    Gone,
}

/// What the outer layer does with a socket that a session has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Close it; everything to be said was sent.
    Close,
    /// Keep it for the next HTTP request: a poll was answered.
    Reuse,
}

/// The sockets of one shard.
pub trait Sockets {
    /// Writes as much as fits, without waiting.
    fn send(&mut self, socket: SocketKey, slices: &[IoSlice<'_>]) -> Sent;

    /// The address of the client, where it is known.
    fn address(&self, _socket: SocketKey) -> Option<IpAddr> {
        None
    }

    /// The session's output drained: bytes that arrived meanwhile may be read now.
    fn resume_reading(&mut self, socket: SocketKey);

    /// The session is over. The shard forgets the socket with this call.
    fn release(&mut self, socket: SocketKey, release: Release, departure: &Departure);
}
