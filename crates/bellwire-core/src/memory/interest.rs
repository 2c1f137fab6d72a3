//! Which shards want to hear of which channels.
//!
//! One entry of 17 bytes per channel with subscribers, whether or not the channel has a log;
//! subscribing creates nothing else.

use hashbrown::{HashTable, hash_table::Entry};

use crate::engine::ShardId;

/// The interested shards by channel key.
#[derive(Debug, Default)]
pub(super) struct Interest {
    entries: HashTable<(u64, Shards)>,
}

/// A set of at most 64 shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shards(u64);

impl Shards {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, lowest first.
    pub(super) fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let shard = (rest != 0).then(|| rest.trailing_zeros() as ShardId)?;
            rest &= rest - 1;
            Some(shard)
        })
    }
}

impl Interest {
    pub(super) fn add(&mut self, key: u64, shard: ShardId) {
        let entry = self
            .entries
            .entry(key, |entry| entry.0 == key, |entry| entry.0);
        entry.or_insert((key, Shards::default())).into_mut().1.0 |= bit(shard);
    }

    pub(super) fn remove(&mut self, key: u64, shard: ShardId) {
        let entry = self
            .entries
            .entry(key, |entry| entry.0 == key, |entry| entry.0);
        if let Entry::Occupied(mut entry) = entry {
            entry.get_mut().1.0 &= !bit(shard);
            if entry.get().1.is_empty() {
                entry.remove();
            }
        }
    }

    pub(super) fn of(&self, key: u64) -> Shards {
        self.entries
            .find(key, |entry| entry.0 == key)
            .map_or_else(Shards::default, |entry| entry.1)
    }
}

fn bit(shard: ShardId) -> u64 {
    assert!(shard < 64, "shard {shard} can ask but not subscribe");
    1 << shard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_shard_that_leaves_takes_the_entry_along() {
        let mut interest = Interest::default();
        interest.add(9, 63);
        interest.add(9, 0);
        interest.add(9, 0);
        assert_eq!(interest.of(9).iter().collect::<Vec<_>>(), [0, 63]);
        interest.remove(9, 0);
        assert_eq!(interest.of(9).iter().collect::<Vec<_>>(), [63]);
        interest.remove(9, 63);
        interest.remove(9, 63);
        assert!(interest.of(9).is_empty());
        assert!(interest.entries.is_empty());
    }
}
