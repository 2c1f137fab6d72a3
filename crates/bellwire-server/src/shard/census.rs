//! Who is connected to the node: the bounds on connections, in total and per address.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::config::Network;

/// Descriptors kept for answering those for whom there is no room, and the probes.
const OVERFLOW: usize = 24;

/// Counts the connections of a node.
#[derive(Debug)]
pub(crate) struct Census {
    connections: AtomicUsize,
    max_connections: usize,
    addresses: Option<Addresses>,
    left: Notify,
}

#[derive(Debug)]
struct Addresses {
    max: usize,
    trusted: Vec<Network>,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// Whether there is room for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Seated,
    /// The node is full: it gets an answer that says so.
    Full,
    /// Its address has too many.
    AddressFull,
}

/// A counted connection; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Seat {
    census: Arc<Census>,
    /// Boxed, because mostly there is none: one word.
    address: Option<Box<IpAddr>>,
}

impl Census {
    pub(crate) fn new(
        max_connections: usize,
        max_per_address: Option<usize>,
        trusted: Vec<Network>,
    ) -> Self {
        let addresses = max_per_address.map(|max| Addresses {
            max,
            trusted,
            counts: Mutex::default(),
        });
        Self {
            connections: AtomicUsize::new(0),
            max_connections,
            addresses,
            left: Notify::new(),
        }
    }

    /// Counts a connection that was just accepted.
    pub(crate) fn seat(self: &Arc<Self>, peer: SocketAddr) -> (Seat, Room) {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut room = if before >= self.max_connections {
            Room::Full
        } else {
            Room::Seated
        };
        let address = self.addresses.as_ref().and_then(|addresses| {
            let ip = peer.ip().to_canonical();
            if addresses.is_exempt(ip) {
                return None;
            }
            let mut counts = addresses
                .counts
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(ip).or_default();
            *count += 1;
            if *count > addresses.max {
                room = Room::AddressFull;
            }
            Some(Box::new(ip))
        });
        (
            Seat {
                census: Arc::clone(self),
                address,
            },
            room,
        )
    }

    /// Whether the next connection gets no seat.
    pub(crate) fn is_full(&self) -> bool {
        self.connections.load(Ordering::Relaxed) >= self.max_connections
    }

    /// Whether accepting must wait for somebody to leave.
    pub(crate) fn is_crowded(&self) -> bool {
        self.connections.load(Ordering::Relaxed) >= self.max_connections + OVERFLOW
    }

    /// Completes when somebody has left.
    pub(crate) async fn departure(&self) {
        self.left.notified().await;
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Addresses {
    fn is_exempt(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.trusted.iter().any(|network| network.contains(ip))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let before = self.census.connections.fetch_sub(1, Ordering::Relaxed);
        if before >= self.census.max_connections {
            self.census.left.notify_waiters();
            self.census.left.notify_one();
        }
        if let (Some(addresses), Some(address)) = (&self.census.addresses, &self.address) {
            let mut counts = addresses
                .counts
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get_mut(&**address) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&**address);
                }
            }
        }
    }
}
