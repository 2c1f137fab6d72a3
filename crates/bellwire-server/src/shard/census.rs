//! Who is connected to the node: the bounds on connections, in total and per address.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
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
    counts: Arc<Counts>,
    /// Of those who are only counted in total.
    everybody: Arc<Group>,
}

#[derive(Debug)]
struct Counts {
    connections: AtomicUsize,
    max_connections: usize,
    addresses: Option<Addresses>,
    left: Notify,
}

#[derive(Debug)]
struct Addresses {
    max: usize,
    trusted: Vec<Network>,
    groups: Mutex<HashMap<IpAddr, (Arc<Group>, usize)>>,
}

/// Connections that are counted together; what all of them would hold is held once.
#[derive(Debug)]
struct Group {
    counts: Arc<Counts>,
    address: Option<IpAddr>,
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

/// A counted connection; dropping it makes room. One word, because every connection has one.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Group>);

impl Census {
    pub(crate) fn new(
        max_connections: usize,
        max_per_address: Option<usize>,
        trusted: Vec<Network>,
    ) -> Self {
        let addresses = max_per_address.map(|max| Addresses {
            max,
            trusted,
            groups: Mutex::default(),
        });
        let counts = Arc::new(Counts {
            connections: AtomicUsize::new(0),
            max_connections,
            addresses,
            left: Notify::new(),
        });
        let everybody = Arc::new(Group {
            counts: Arc::clone(&counts),
            address: None,
        });
        Self { counts, everybody }
    }

    /// Counts a connection that was just accepted.
    pub(crate) fn seat(&self, peer: SocketAddr) -> (Seat, Room) {
        let before = self.counts.connections.fetch_add(1, Ordering::Relaxed);
        let mut room = if before >= self.counts.max_connections {
            Room::Full
        } else {
            Room::Seated
        };
        let ip = peer.ip().to_canonical();
        let group = match &self.counts.addresses {
            Some(addresses) if !addresses.is_exempt(ip) => {
                let mut groups = addresses.groups();
                let (group, count) = groups.entry(ip).or_insert_with(|| {
                    let counts = Arc::clone(&self.counts);
                    let address = Some(ip);
                    (Arc::new(Group { counts, address }), 0)
                });
                *count += 1;
                if *count > addresses.max {
                    room = Room::AddressFull;
                }
                Arc::clone(group)
            }
            _ => Arc::clone(&self.everybody),
        };
        (Seat(group), room)
    }

    /// Whether the next connection gets no seat.
    pub(crate) fn is_full(&self) -> bool {
        self.connections() >= self.counts.max_connections
    }

    /// Whether accepting must wait for somebody to leave.
    pub(crate) fn is_crowded(&self) -> bool {
        self.connections() >= self.counts.max_connections + OVERFLOW
    }

    /// Completes when somebody has left.
    pub(crate) async fn departure(&self) {
        self.counts.left.notified().await;
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::Relaxed)
    }
}

impl Addresses {
    fn groups(&self) -> MutexGuard<'_, HashMap<IpAddr, (Arc<Group>, usize)>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_exempt(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.trusted.iter().any(|network| network.contains(ip))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Group { counts, address } = &*self.0;
        let before = counts.connections.fetch_sub(1, Ordering::Relaxed);
        if before >= counts.max_connections {
            counts.left.notify_waiters();
            counts.left.notify_one();
        }
        if let (Some(addresses), Some(address)) = (&counts.addresses, address) {
            let mut groups = addresses.groups();
            if let Some((_, count)) = groups.get_mut(address) {
                *count -= 1;
                if *count == 0 {
                    groups.remove(address);
                }
            }
        }
    }
}
