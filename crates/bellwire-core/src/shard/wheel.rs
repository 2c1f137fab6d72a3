//! One coarse timer wheel per shard: a connection costs one entry, whatever it waits for.
//!
//! Entries are never removed; the owner ignores one whose time is no longer what it waits for.

use std::{mem, num::NonZeroU32};

use super::connection::Ix;

/// Milliseconds per slot.
const SLOT_MS: u64 = 100;
/// Slots: the wheel turns in 51.2 s; a later time is looked at again each turn.
const SLOTS: usize = 512;

/// A time of the shard's clock to a tenth of a second: thirteen years in four bytes. It is counted
/// from one, so that no time takes no room either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Coarse(NonZeroU32);

impl Coarse {
    /// The tenth of a second in which a millisecond lies.
    pub(super) fn floor(ms: u64) -> Self {
        let number = u32::try_from(ms / SLOT_MS).unwrap_or(u32::MAX);
        Self(NonZeroU32::MIN.saturating_add(number))
    }

    /// Its first millisecond.
    pub(super) fn ms(self) -> u64 {
        u64::from(self.0.get() - 1) * SLOT_MS
    }
}

/// Connections by the time at which they want to be looked at.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<Ix>>,
    /// The slot number, counted from time zero, that is due next.
    next: u64,
}

impl Wheel {
    pub(super) fn new(now: u64) -> Self {
        Self {
            slots: vec![Vec::new(); SLOTS],
            next: now / SLOT_MS,
        }
    }

    /// Plans a look at `ix` at `at` or up to one slot later; returns the time to remember.
    pub(super) fn plan(&mut self, ix: Ix, at: u64) -> Coarse {
        let number = at.div_ceil(SLOT_MS).max(self.next);
        // What lies beyond one turn is looked at when its slot comes by, and planned again.
        let reachable = number.min(self.next + SLOTS as u64 - 1);
        self.slots[Self::slot(reachable)].push(ix);
        Coarse::floor(reachable * SLOT_MS)
    }

    /// Takes out everything that is due.
    pub(super) fn due(&mut self, now: u64, due: &mut Vec<Ix>) {
        let last = now / SLOT_MS;
        let turns = (last + 1).saturating_sub(self.next).min(SLOTS as u64);
        for number in self.next..self.next + turns {
            // A large slot gives its memory back: waves of connections leave nothing behind.
            due.append(&mut mem::take(&mut self.slots[Self::slot(number)]));
        }
        self.next = self.next.max(last + 1);
    }

    fn slot(number: u64) -> usize {
        usize::try_from(number % SLOTS as u64).expect("less than the number of slots")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_due_once_and_never_early() {
        let mut wheel = Wheel::new(1_000);
        let at = wheel.plan(7, 1_250);
        assert_eq!(at.ms(), 1_300);
        let mut due = Vec::new();
        wheel.due(1_299, &mut due);
        assert!(due.is_empty());
        wheel.due(1_300, &mut due);
        wheel.due(60_000, &mut due);
        assert_eq!(due, [7]);
    }

    #[test]
    fn a_far_entry_comes_by_once_a_turn() {
        let mut wheel = Wheel::new(0);
        let at = wheel.plan(1, 10_000_000);
        assert!(at.ms() < 52_000);
        let mut due = Vec::new();
        wheel.due(at.ms(), &mut due);
        assert_eq!(due, [1]);
    }
}
