//! For whom a request is, the peer or whom a trusted proxy names, and the place that a session
//! takes with that address. The routes that open something ask.

use std::net::IpAddr;

use super::Asked;
use crate::{
    access::Malformed,
    problem::{OVERLOADED, Problem, TOO_MANY_CONNECTIONS},
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

    /// A place for the client behind a trusted proxy; the others have theirs with the connection.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn place(&self) -> Result<Option<Place>, Problem> {
        let Some(client) = self.forwarded() else {
            return Ok(None);
        };
        let place = self.local.shared.census.place(client);
        place.map(Some).ok_or_else(|| no_room(Room::AddressFull))
    }
}

/// What one hears for whom there is no room.
pub(super) fn no_room(room: Room) -> Problem {
    let problem = match room {
        Room::Seated | Room::Full => {
            Problem::new(OVERLOADED, "the node has no room for another connection")
        }
        Room::AddressFull => Problem::new(
            TOO_MANY_CONNECTIONS,
            "this address has as many connections open as \
             limits.max_connections_per_address allows",
        ),
    };
    problem.with_retry_after(2)
}
