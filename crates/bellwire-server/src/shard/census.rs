//! Who is connected to the node: the bounds on connections, in total and per address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bellwire_core::rate::TooFast;
use tokio::sync::Notify;

use crate::access::{Proxies, ipv6_network};

/// Descriptors kept for answering those for whom there is no room, and the probes.
const OVERFLOW: usize = 24;

/// Counts the connections of a node.
#[derive(Debug)]
pub(crate) struct Census {
    /// Of those who are only counted in total.
    everybody: Arc<Group>,
}

#[derive(Debug)]
struct Counts {
    connections: AtomicUsize,
    max_connections: usize,
    max_per_address: Option<usize>,
    proxies: Arc<Proxies>,
    groups: Mutex<Groups>,
    left: Notify,
}

/// Who is counted with an address, and how many.
#[derive(Debug, Default)]
struct Groups {
    by_address: HashMap<IpAddr, (Arc<Group>, usize)>,
    /// Of IPv6, where one client has many addresses.
    by_network: HashMap<u64, usize>,
}

/// Connections that are counted together; what all of them would hold is held once.
#[derive(Debug)]
enum Group {
    Everybody(Counts),
    Address {
        address: IpAddr,
        everybody: Arc<Self>,
    },
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
    /// Its address connects too often.
    TooFast(TooFast),
}

/// One who is counted with an address; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Place(Arc<Group>);

/// A counted connection; dropping it makes room. One word, because every connection has one.
#[derive(Debug)]
pub(crate) struct Seat(Place);

impl Census {
    pub(crate) fn new(
        max_connections: usize,
        max_per_address: Option<usize>,
        proxies: Arc<Proxies>,
    ) -> Self {
        let counts = Counts {
            connections: AtomicUsize::new(0),
            max_connections,
            max_per_address,
            proxies,
            groups: Mutex::default(),
            left: Notify::new(),
        };
        Self {
            everybody: Arc::new(Group::Everybody(counts)),
        }
    }

    /// Counts a connection that was just accepted.
    pub(crate) fn seat(&self, peer: IpAddr) -> (Seat, Room) {
        let counts = self.counts();
        let before = counts.connections.fetch_add(1, Ordering::Relaxed);
        let mut seat = Seat(Place(Arc::clone(&self.everybody)));
        let is_bounded = counts.max_per_address.is_some() && !counts.proxies.is_exempt(peer);
        let mut room = if is_bounded {
            self.name(&mut seat, peer)
        } else {
            Room::Seated
        };
        if room == Room::Seated && before >= counts.max_connections {
            room = Room::Full;
        }
        (seat, room)
    }

    /// Counts a connection with the address of its client, which is not the one that the kernel
    /// knows.
    pub(crate) fn name(&self, seat: &mut Seat, client: IpAddr) -> Room {
        let (place, fits) = self.join(client, true);
        seat.0 = place.expect("it joins where it need not fit");
        if fits {
            Room::Seated
        } else {
            Room::AddressFull
        }
    }

    /// Counts a session with the address of its client, which came through a trusted proxy;
    /// nothing where that has too many.
    pub(crate) fn place(&self, client: IpAddr) -> Option<Place> {
        self.join(client, false).0
    }

    /// Joins the others of an address, where that fits or must be; and whether it fits.
    fn join(&self, address: IpAddr, always: bool) -> (Option<Place>, bool) {
        let address = address.to_canonical();
        let counts = self.counts();
        let exempt = counts.proxies.is_exempt(address);
        let max = counts.max_per_address.filter(|_| !exempt);
        let mut groups = counts.groups();
        let known = groups.known(address);
        let fits = max.is_none_or(|max| known < max);
        if !fits && !always {
            return (None, false);
        }
        (Some(Place(groups.join(address, &self.everybody))), fits)
    }

    /// Whether the next connection gets no seat.
    pub(crate) fn is_full(&self) -> bool {
        self.connections() >= self.counts().max_connections
    }

    /// Whether accepting must wait for somebody to leave.
    pub(crate) fn is_crowded(&self) -> bool {
        self.connections() >= self.counts().max_connections + OVERFLOW
    }

    /// Completes when somebody has left.
    pub(crate) async fn departure(&self) {
        self.counts().left.notified().await;
    }

    pub(crate) fn connections(&self) -> usize {
        self.counts().connections.load(Ordering::Relaxed)
    }

    fn counts(&self) -> &Counts {
        self.everybody.counts()
    }
}

impl Counts {
    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Groups {
    /// How many there are where an address belongs.
    fn known(&self, address: IpAddr) -> usize {
        let count = match ipv6_network(address) {
            Some(network) => self.by_network.get(&network).copied(),
            None => self.by_address.get(&address).map(|(_, count)| *count),
        };
        count.unwrap_or(0)
    }

    fn join(&mut self, address: IpAddr, everybody: &Arc<Group>) -> Arc<Group> {
        if let Some(network) = ipv6_network(address) {
            *self.by_network.entry(network).or_default() += 1;
        }
        let (group, count) = self.by_address.entry(address).or_insert_with(|| {
            let everybody = Arc::clone(everybody);
            (Arc::new(Group::Address { address, everybody }), 0)
        });
        *count += 1;
        Arc::clone(group)
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some((_, count)) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        if let Some(network) = ipv6_network(address)
            && let Some(count) = self.by_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
    }
}

impl Group {
    fn everybody(self: &Arc<Self>) -> &Arc<Self> {
        match &**self {
            Self::Everybody(_) => self,
            Self::Address { everybody, .. } => everybody,
        }
    }

    fn counts(&self) -> &Counts {
        match self {
            Self::Everybody(counts) => counts,
            Self::Address { everybody, .. } => everybody.counts(),
        }
    }
}

impl Place {
    /// The address it is counted with.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match &*self.0 {
            Group::Everybody(_) => None,
            Group::Address { address, .. } => Some(*address),
        }
    }
}

impl Seat {
    /// The address it is counted with, if it is with one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.0.address()
    }

    /// Counts a proxy's connection with the client for whom it is used now.
    pub(crate) fn lend(&mut self, place: Place) {
        self.0 = place;
    }

    /// The client is done with the proxy's connection.
    pub(crate) fn give_back(&mut self) {
        let everybody = Arc::clone(self.0.0.everybody());
        self.0 = Place(everybody);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let counts = self.0.0.counts();
        let before = counts.connections.fetch_sub(1, Ordering::Relaxed);
        if before >= counts.max_connections {
            counts.left.notify_waiters();
            counts.left.notify_one();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Group::Address { address, everybody } = &*self.0 else {
            return;
        };
        everybody.counts().groups().leave(*address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Kind, Network};

    fn census(max_per_address: Option<usize>) -> Census {
        let proxies = Proxies::new(vec![Network::read("10.0.0.0/8").unwrap()]);
        Census::new(100, max_per_address, Arc::new(proxies))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn addresses(census: &Census) -> usize {
        let groups = census.counts().groups();
        groups.by_address.len() + groups.by_network.len()
    }

    #[test]
    fn direct_and_forwarded_connections_of_an_address_are_counted_together() {
        let census = census(Some(2));
        let (direct, room) = census.seat(ip("203.0.113.9"));
        assert_eq!(room, Room::Seated);
        let forwarded = census.place(ip("203.0.113.9")).unwrap();
        assert!(census.place(ip("203.0.113.9")).is_none());
        let (late, room) = census.seat(ip("203.0.113.9"));
        assert_eq!(room, Room::AddressFull);
        assert!(census.place(ip("203.0.113.10")).is_some());
        drop((direct, late));
        assert!(census.place(ip("203.0.113.9")).is_some());
        drop(forwarded);
        assert_eq!((addresses(&census), census.connections()), (0, 0));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_whatever_addresses_it_uses() {
        let census = census(Some(2));
        let seats = ["2001:db8::1", "2001:db8::2"].map(|address| census.seat(ip(address)));
        assert!(seats.iter().all(|(_, room)| *room == Room::Seated));
        assert!(census.place(ip("2001:db8::ffff:3")).is_none());
        let (late, room) = census.seat(ip("2001:db8:0:0:4::"));
        assert_eq!(room, Room::AddressFull);
        assert_eq!(late.address(), Some(ip("2001:db8:0:0:4::")));
        assert!(census.place(ip("2001:db8:0:1::1")).is_some());
        drop((seats, late));
        assert!(census.place(ip("2001:db8::1")).is_some());
        assert_eq!((addresses(&census), census.connections()), (0, 0));
    }

    #[test]
    fn proxies_and_this_machine_are_never_bounded() {
        let census = census(Some(1));
        for address in ["10.0.0.1", "::ffff:10.0.0.1", "127.0.0.1", "::1"] {
            let seats: Vec<_> = (0..5).map(|_| census.seat(ip(address))).collect();
            assert!(seats.iter().all(|(_, room)| *room == Room::Seated));
            let places: Vec<_> = (0..5).map(|_| census.place(ip(address))).collect();
            assert!(places.iter().all(Option::is_some));
        }
    }

    #[test]
    fn a_lent_connection_is_counted_with_its_client_until_it_is_given_back() {
        let census = census(Some(1));
        let (mut seat, _) = census.seat(ip("10.0.0.1"));
        assert_eq!(seat.address(), None);
        seat.lend(census.place(ip("203.0.113.9")).unwrap());
        assert_eq!(seat.address(), Some(ip("203.0.113.9")));
        assert!(census.place(ip("203.0.113.9")).is_none());
        assert_eq!(census.connections(), 1);
        seat.give_back();
        assert_eq!((seat.address(), census.connections()), (None, 1));
        assert!(census.place(ip("203.0.113.9")).is_some());
    }

    #[test]
    fn a_named_connection_is_counted_with_its_client_for_its_life() {
        let census = census(Some(1));
        let (mut first, _) = census.seat(ip("10.0.0.1"));
        let (mut second, _) = census.seat(ip("10.0.0.1"));
        assert_eq!(census.name(&mut first, ip("203.0.113.9")), Room::Seated);
        let room = census.name(&mut second, ip("203.0.113.9"));
        assert_eq!(room, Room::AddressFull);
        drop(first);
        drop(second);
        assert_eq!((addresses(&census), census.connections()), (0, 0));
    }

    #[test]
    fn a_seat_is_one_word() {
        assert_eq!(size_of::<Option<Seat>>(), size_of::<usize>());
    }
}
