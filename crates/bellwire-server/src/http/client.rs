//! For whom a request is, the peer or whom a trusted proxy names, and the place that a session
//! takes with that address. The routes that open something ask.

use std::net::IpAddr;

use bellwire_core::rate::TooFast;

use super::Asked;
use crate::{
    access::Malformed,
    problem::{OVERLOADED, Problem, RATE_LIMITED, TOO_MANY_CONNECTIONS},
    shard::{Place, Room},
};

impl Asked<'_> {
    /// The client behind a trusted proxy; nothing where the peer speaks for itself, or the proxy
    /// says nothing that can be read, which is counted.
    fn forwarded(&self) -> Option<IpAddr> {
        let peer = self.accepted.peer.ip();
        let named = self.local.shared.proxies.client(&self.parts.headers, peer);
        named.unwrap_or_else(|Malformed| {
            self.local.count_malformed_forwarded();
            None
        })
    }

    /// For whom it is.
    pub(super) fn client(&self) -> IpAddr {
        let forwarded = self.forwarded();
        forwarded.unwrap_or_else(|| self.accepted.peer.ip())
    }

    /// A place for a client who comes to stay; those without a proxy have come before.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn arrival(&self) -> Result<Option<Place>, Problem> {
        let Some(client) = self.forwarded() else {
            return Ok(None);
        };
        let allowed = self.local.shared.rates.connect(client, self.local.now());
        allowed.map_err(|error| too_fast(&error))?;
        self.place_of(client).map(Some)
    }

    /// A place for the client behind a trusted proxy; the others have theirs with the connection.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn place(&self) -> Result<Option<Place>, Problem> {
        let client = self.forwarded();
        client.map(|client| self.place_of(client)).transpose()
    }

    fn place_of(&self, client: IpAddr) -> Result<Place, Problem> {
        let place = self.local.shared.census.place(client);
        place.ok_or_else(|| no_room(Room::AddressFull))
    }
}

/// What one hears who exceeds a rate.
pub(super) fn too_fast(error: &TooFast) -> Problem {
    let seconds = u32::try_from(error.wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX);
    Problem::new(RATE_LIMITED, error.to_string()).with_retry_after(seconds)
}

/// What one hears for whom there is no room.
pub(super) fn no_room(room: Room) -> Problem {
    let problem = match room {
        Room::Seated | Room::Full => {
            Problem::new(OVERLOADED, "the node has no room for another connection")
        }
        Room::TooFast(error) => return too_fast(&error),
        Room::AddressFull => Problem::new(
            TOO_MANY_CONNECTIONS,
            "this address has as many connections open as \
             limits.max_connections_per_address allows",
        ),
    };
    problem.with_retry_after(2)
}
