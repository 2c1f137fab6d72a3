//! One entry of a shard's table of sockets: the socket, its encryption, what is known of its
//! readiness, whose seat it has. `sockets.rs` decides what is done with it.

use std::{
    cell::RefCell,
    io::{self, IoSlice, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
};

use bellwire_core::shard::ConnectionRef;
use rustix::net::SendFlags;

use super::{
    census::{Place, Seat},
    pipe::Pipe,
    tls::Tls,
};

/// One entry of the table. Small, because there are tens of thousands.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent conditions, one byte each"
)]
pub(super) struct Slot {
    /// What bytes go through, unless there is a pipe.
    pub(super) stream: Option<TcpStream>,
    /// Tells a reused slot's late events apart.
    pub(super) generation: u32,
    pub(super) connection: Option<ConnectionRef>,
    /// Held for its drop: a connection less. None where hyper's connection holds it.
    pub(super) seat: Option<Seat>,
    pub(super) rare: Option<Box<Rare>>,
    /// Whether there may be bytes to read.
    pub(super) readable: bool,
    /// Whether it is in the list of those to be read.
    pub(super) queued: bool,
    /// Whether its session takes nothing for now, whatever arrives.
    pub(super) paused: bool,
    /// Whether the peer has ended its side.
    pub(super) ended: bool,
    /// Whether bytes wait for the next request instead of being read: a held poll.
    pub(super) holds_input: bool,
    /// Whether the seat is a client's, on a connection of a proxy.
    pub(super) lent: bool,
}

/// What few sockets have.
#[derive(Debug)]
pub(super) enum Rare {
    /// Bytes that were read behind the request.
    Leftover(Vec<u8>),
    /// Encryption, which also keeps what was read too far.
    Tls(Box<Tls>),
    /// The same after the session's end, while the peer has not taken its last words.
    Closing(Box<Tls>),
    /// A response body instead of a socket, whose, and the client's place where a proxy asked.
    Pipe(Rc<RefCell<Pipe>>, SocketAddr, Option<Place>),
}

impl Slot {
    pub(super) fn new(generation: u32) -> Self {
        Self {
            stream: None,
            generation,
            connection: None,
            seat: None,
            rare: None,
            readable: false,
            queued: false,
            paused: false,
            ended: false,
            holds_input: false,
            lent: false,
        }
    }

    pub(super) fn take_leftover(&mut self) -> Vec<u8> {
        match self.rare.as_deref_mut() {
            Some(Rare::Leftover(bytes)) => {
                let bytes = std::mem::take(bytes);
                self.rare = None;
                bytes
            }
            Some(Rare::Tls(tls)) => tls.take_plain(),
            _ => Vec::new(),
        }
    }

    /// Whether there is something to read that the kernel knows nothing of.
    pub(super) fn has_leftover(&self) -> bool {
        match self.rare.as_deref() {
            Some(Rare::Leftover(bytes)) => !bytes.is_empty(),
            Some(Rare::Tls(tls)) => tls.has_plain(),
            _ => false,
        }
    }

    pub(super) fn pipe(&self) -> Option<&RefCell<Pipe>> {
        match self.rare.as_deref()? {
            Rare::Pipe(pipe, ..) => Some(pipe),
            _ => None,
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.rare.as_deref(), Some(Rare::Closing(_)))
    }

    /// The socket and its encryption.
    pub(super) fn parts(&mut self) -> Option<(&TcpStream, Option<&mut Tls>)> {
        let tls = match self.rare.as_deref_mut() {
            Some(Rare::Tls(tls) | Rare::Closing(tls)) => Some(&mut **tls),
            _ => None,
        };
        Some((self.stream.as_ref()?, tls))
    }

    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self.parts(), slices) {
            (Some((mut stream, Some(tls))), _) => tls.send(&mut stream, slices),
            // Without the C library, whose `send` is a point of cancellation that costs where there
            // are threads.
            (Some((stream, None)), [one]) => {
                rustix::net::send(stream, one, SendFlags::NOSIGNAL).map_err(Into::into)
            }
            (Some((mut stream, None)), several) => stream.write_vectored(several),
            (None, _) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Ends this side. Returns whether the peer still has to take something of it.
    pub(super) fn close(&mut self) -> bool {
        let Some((mut stream, tls)) = self.parts() else {
            return false;
        };
        if let Some(tls) = tls
            && tls.close(&mut stream).is_ok_and(|done| !done)
        {
            return true;
        }
        // What was sent last still arrives; the error of a peer that is gone is of no interest.
        stream.shutdown(std::net::Shutdown::Write).ok();
        false
    }
}
