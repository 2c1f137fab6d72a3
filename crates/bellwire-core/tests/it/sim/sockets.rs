//! Simulated sockets: bounded buffers that a simulated peer empties, with short writes at every
//! length, EAGAIN and reset, all by seed.

use std::{collections::BTreeMap, io::IoSlice};

use bellwire_core::shard::{Departure, Release, Sent, SocketKey, Sockets};

use super::random::Random;

/// The sockets of one simulated shard.
#[derive(Debug)]
pub(crate) struct SimSockets {
    wires: BTreeMap<SocketKey, Wire>,
    random: Random,
    /// One send in so many is cut short although there was room; 0 is never.
    pub(crate) short_one_in: usize,
}

/// One socket with its peer.
#[derive(Debug, Default)]
struct Wire {
    capacity: usize,
    buffer: Vec<u8>,
    blocked: bool,
    reset: bool,
    resumed: bool,
    released: Option<(Release, Departure)>,
}

impl SimSockets {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            wires: BTreeMap::new(),
            random: Random::new(seed),
            short_one_in: 0,
        }
    }

    pub(crate) fn connect(&mut self, socket: SocketKey, capacity: usize) {
        let wire = Wire {
            capacity,
            ..Wire::default()
        };
        self.wires.insert(socket, wire);
    }

    /// The peer reads up to `max` bytes.
    pub(crate) fn read(&mut self, socket: SocketKey, max: usize) -> Vec<u8> {
        let wire = self.wires.get_mut(&socket).expect("connected");
        let count = max.min(wire.buffer.len());
        wire.buffer.drain(..count).collect()
    }

    /// Bytes the peer may read.
    pub(crate) fn readable(&self, socket: SocketKey) -> usize {
        self.wires[&socket].buffer.len()
    }

    /// The peer goes away without a word.
    pub(crate) fn reset(&mut self, socket: SocketKey) {
        let wire = self.wires.get_mut(&socket).expect("connected");
        wire.reset = true;
        wire.buffer.clear();
    }

    /// Takes the news that a socket takes bytes again, where it does.
    pub(crate) fn take_writable(&mut self, socket: SocketKey) -> bool {
        let wire = self.wires.get_mut(&socket).expect("connected");
        let writable = wire.blocked && (wire.reset || wire.buffer.len() < wire.capacity);
        wire.blocked &= !writable;
        writable
    }

    /// Whether the shard asked for this socket to be read again since the last call.
    pub(crate) fn take_resumed(&mut self, socket: SocketKey) -> bool {
        std::mem::take(&mut self.wires.get_mut(&socket).expect("connected").resumed)
    }

    /// How the shard left the socket, once the peer has read everything.
    pub(crate) fn end(&self, socket: SocketKey) -> Option<&(Release, Departure)> {
        let wire = &self.wires[&socket];
        wire.released
            .as_ref()
            .filter(|_| wire.buffer.is_empty() || wire.reset)
    }

    /// Grows or shrinks what the socket takes before it blocks.
    pub(crate) fn set_capacity(&mut self, socket: SocketKey, capacity: usize) {
        self.wires.get_mut(&socket).expect("connected").capacity = capacity;
    }
}

impl Sockets for SimSockets {
    fn send(&mut self, socket: SocketKey, slices: &[IoSlice<'_>]) -> Sent {
        let wire = self.wires.get_mut(&socket).expect("connected");
        assert!(wire.released.is_none(), "sent on a released socket");
        if wire.reset {
            return Sent::Gone;
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(offered > 0, "an empty send");
        let mut taken = offered.min(wire.capacity.saturating_sub(wire.buffer.len()));
        if self.short_one_in > 0 && self.random.one_in(self.short_one_in) {
            taken = self.random.below(taken + 1);
        }
        wire.blocked = taken < offered;
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        wire.buffer.extend(bytes.take(taken));
        Sent::Bytes(taken)
    }

    fn resume_reading(&mut self, socket: SocketKey) {
        self.wires.get_mut(&socket).expect("connected").resumed = true;
    }

    fn release(&mut self, socket: SocketKey, release: Release, departure: &Departure) {
        let wire = self.wires.get_mut(&socket).expect("connected");
        let before = wire.released.replace((release, departure.clone()));
        assert!(before.is_none(), "released twice");
    }
}
