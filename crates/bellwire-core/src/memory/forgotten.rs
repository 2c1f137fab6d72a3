//! What remains of channels whose log is gone, so that no loss stays silent (design D6).
//!
//! A dropped log leaves a tombstone. Tombstones are bounded; one that is pushed out raises the
//! floor of its bucket, which it shares with other channels: from then on a gap may be false.

use super::aged::AgedTable;

/// Buckets per partition: 65,536 in 64 partitions.
const BUCKETS: usize = 1_024;

/// The tombstones and floors of a partition.
#[derive(Debug)]
pub(super) struct Forgotten {
    /// The last offset by channel key, the longest untouched first.
    tombstones: AgedTable<u64>,
    max_tombstones: usize,
    /// Empty until the first tombstone is pushed out.
    floors: Vec<u64>,
}

/// How far a channel without a log was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Horizon {
    /// Its own last offset.
    Tombstone(u64),
    /// At most this: the floor of its bucket, 0 where nothing was forgotten.
    Floor(u64),
}

impl Horizon {
    pub(super) fn offset(self) -> u64 {
        match self {
            Self::Tombstone(offset) | Self::Floor(offset) => offset,
        }
    }
}

impl Forgotten {
    pub(super) fn new(max_tombstones: usize) -> Self {
        Self {
            tombstones: AgedTable::new(),
            max_tombstones,
            floors: Vec::new(),
        }
    }

    /// A channel's log is gone, up to its last offset.
    pub(super) fn bury(&mut self, key: u64, last: u64) {
        if let Some(slot) = self.tombstones.find(key, |_| true) {
            self.tombstones[slot] = self.tombstones[slot].max(last);
            self.tombstones.touch(slot);
            return;
        }
        if self.tombstones.len() >= self.max_tombstones {
            self.push_out();
        }
        self.tombstones.insert(key, last);
    }

    /// The channel has a log again, whose chain begins at the horizon.
    pub(super) fn revive(&mut self, key: u64) -> Horizon {
        let horizon = self.horizon(key);
        if let Some(slot) = self.tombstones.find(key, |_| true) {
            self.tombstones.remove(slot);
        }
        horizon
    }

    pub(super) fn horizon(&self, key: u64) -> Horizon {
        match self.tombstones.find(key, |_| true) {
            Some(slot) => Horizon::Tombstone(self.tombstones[slot]),
            None => Horizon::Floor(self.floors.get(bucket(key)).copied().unwrap_or(0)),
        }
    }

    pub(super) fn tombstones(&self) -> usize {
        self.tombstones.len()
    }

    fn push_out(&mut self) {
        let Some(slot) = self.tombstones.oldest() else {
            return;
        };
        let key = self.tombstones.key(slot);
        let last = self.tombstones.remove(slot);
        if self.floors.is_empty() {
            self.floors = vec![0; BUCKETS];
        }
        let floor = &mut self.floors[bucket(key)];
        *floor = last.max(*floor);
    }
}

fn bucket(key: u64) -> usize {
    // The high bits: the low ones choose the place in hash tables.
    usize::try_from(key >> 54).expect("ten bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pushed_out_tombstone_raises_the_floor_of_its_bucket_only() {
        let mut forgotten = Forgotten::new(1);
        forgotten.bury(1, 5);
        assert_eq!(forgotten.horizon(1), Horizon::Tombstone(5));
        forgotten.bury(1 << 60, 9);
        assert_eq!(forgotten.horizon(1), Horizon::Floor(5));
        assert_eq!(forgotten.horizon(2), Horizon::Floor(5));
        assert_eq!(forgotten.horizon(1 << 61), Horizon::Floor(0));
        assert_eq!(forgotten.revive(1 << 60), Horizon::Tombstone(9));
        assert_eq!(forgotten.tombstones(), 0);
    }
}
