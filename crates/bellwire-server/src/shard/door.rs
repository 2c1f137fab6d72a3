//! Who is at the other end of a fresh connection, before anything else is known of it: the peer, or
//! whom a PROXY header in front of the bytes names.
//!
//! Called by the accept loop for what it accepted. Must not know TLS or HTTP, which come behind it.

use std::{io, net::SocketAddr};

use bellwire_wire::proxy_header::{self, Header, MAX_BYTES};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{
    census::{Room, Seat},
    local::Local,
};

/// Room for every header without long extensions.
const USUAL_BYTES: usize = 256;

/// A connection whose client is known.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) seat: Seat,
    pub(super) room: Room,
}

impl Guest {
    /// Counts a connection as it was accepted.
    pub(super) fn of(local: &Local, stream: TcpStream, peer: SocketAddr) -> Self {
        let (seat, room) = local.shared.census.seat(peer.ip());
        let mut guest = Self {
            stream,
            peer,
            seat,
            room,
        };
        guest.check_rate(local);
        guest
    }

    fn check_rate(&mut self, local: &Local) {
        if self.room == Room::Seated
            && let Err(too_fast) = local.shared.rates.connect(self.peer.ip(), local.now())
        {
            self.room = Room::TooFast(too_fast);
        }
    }

    /// Reads the PROXY header, of which nothing is left in the stream. Nothing where it must not
    /// come from this peer, is none, or is late.
    pub(super) async fn announced(mut self, local: &Local) -> Option<Self> {
        if !local.shared.proxies.trusts(self.peer.ip()) {
            local.count_refusal("proxy_untrusted");
            tracing::debug!(peer = %self.peer, "closed: not in trusted_proxy");
            return None;
        }
        let limit = local.shared.config.limits.handshake_timeout;
        let header = match timeout(limit, read_header(&mut self.stream)).await {
            Ok(Ok(header)) => header,
            Ok(Err(error)) => {
                local.count_refusal("proxy_header");
                tracing::debug!(peer = %self.peer, %error, "closed");
                return None;
            }
            Err(_) => {
                local.count_refusal("handshake_timeout");
                return None;
            }
        };
        if let Some(client) = header.client {
            let room = local.shared.census.name(&mut self.seat, client.ip());
            if self.room == Room::Seated {
                self.room = room;
            }
            self.peer = client;
            self.check_rate(local);
        }
        Some(self)
    }
}

/// Takes exactly the header. While one is not whole, everything that has come belongs to it; only
/// of the rest it must be seen where it ends.
async fn read_header(stream: &mut TcpStream) -> io::Result<Header> {
    let mut bytes = vec![0; USUAL_BYTES];
    let mut taken = 0;
    loop {
        if taken == bytes.len() {
            bytes.resize(MAX_BYTES, 0);
        }
        let seen = stream.peek(&mut bytes[taken..]).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let header = proxy_header::read(&bytes[..taken + seen]).map_err(io::Error::other)?;
        let end = header.map_or(taken + seen, |header| header.length);
        stream.read_exact(&mut bytes[taken..end]).await?;
        taken = end;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}
