//! A table that also remembers the order in which its entries were last touched.
//!
//! Owns the slots, their hash index and the intrusive list from the oldest entry to the newest;
//! the partition's logs, tombstones and lag states live in such tables. Knows nothing of channels:
//! keys are 64-bit hashes that are already keyed with a secret.

use std::ops::{Index, IndexMut};

use hashbrown::HashTable;

/// Where an entry lives until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(u32);

const NONE: u32 = u32::MAX;
/// In the place of `older`: the node is free and `newer` is the next free one.
const FREE: u32 = u32::MAX - 1;

/// Entries by key, from the one touched longest ago to the newest.
#[derive(Debug)]
pub(super) struct AgedTable<V> {
    index: HashTable<u32>,
    nodes: Vec<Node<V>>,
    oldest: u32,
    newest: u32,
    free: u32,
}

#[derive(Debug)]
struct Node<V> {
    key: u64,
    older: u32,
    newer: u32,
    value: V,
}

impl<V: Default> AgedTable<V> {
    pub(super) fn new() -> Self {
        Self {
            index: HashTable::new(),
            nodes: Vec::new(),
            oldest: NONE,
            newest: NONE,
            free: NONE,
        }
    }

    /// Adds an entry as the newest. Several entries may have one key.
    pub(super) fn insert(&mut self, key: u64, value: V) -> Slot {
        let node = Node {
            key,
            older: NONE,
            newer: NONE,
            value,
        };
        let slot = if self.free == NONE {
            let slot = u32::try_from(self.nodes.len()).expect("a table has less than 2^32 entries");
            self.nodes.push(node);
            slot
        } else {
            let slot = self.free;
            self.free = self.nodes[at(slot)].newer;
            self.nodes[at(slot)] = node;
            slot
        };
        let nodes = &self.nodes;
        self.index
            .insert_unique(key, slot, |&slot| nodes[at(slot)].key);
        self.link(slot);
        Slot(slot)
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, Slot(slot): Slot) -> V {
        self.unlink(slot);
        if let Ok(entry) = self
            .index
            .find_entry(self.nodes[at(slot)].key, |&found| found == slot)
        {
            entry.remove();
        }
        let node = &mut self.nodes[at(slot)];
        node.older = FREE;
        node.newer = self.free;
        self.free = slot;
        std::mem::take(&mut node.value)
    }

    /// Makes an entry the newest.
    pub(super) fn touch(&mut self, Slot(slot): Slot) {
        if self.newest != slot {
            self.unlink(slot);
            self.link(slot);
        }
    }

    pub(super) fn find(&self, key: u64, matches: impl Fn(&V) -> bool) -> Option<Slot> {
        let is_it = |&slot: &u32| {
            let node = &self.nodes[at(slot)];
            node.key == key && matches(&node.value)
        };
        self.index.find(key, is_it).map(|&slot| Slot(slot))
    }

    pub(super) fn oldest(&self) -> Option<Slot> {
        (self.oldest != NONE).then_some(Slot(self.oldest))
    }

    pub(super) fn key(&self, Slot(slot): Slot) -> u64 {
        self.nodes[at(slot)].key
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The number of places, used or free, for a sweep over all of them with [`Self::place`].
    pub(super) fn places(&self) -> usize {
        self.nodes.len()
    }

    /// The entry at a place below [`Self::places`], where there is one.
    pub(super) fn place(&self, place: usize) -> Option<Slot> {
        let used = self.nodes.get(place)?.older != FREE;
        used.then(|| Slot(u32::try_from(place).expect("a table has less than 2^32 entries")))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.nodes
            .iter()
            .filter(|node| node.older != FREE)
            .map(|node| &node.value)
    }

    fn link(&mut self, slot: u32) {
        let newest = std::mem::replace(&mut self.newest, slot);
        let node = &mut self.nodes[at(slot)];
        node.older = newest;
        node.newer = NONE;
        if newest == NONE {
            self.oldest = slot;
        } else {
            self.nodes[at(newest)].newer = slot;
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Node { older, newer, .. } = self.nodes[at(slot)];
        if older == NONE {
            self.oldest = newer;
        } else {
            self.nodes[at(older)].newer = newer;
        }
        if newer == NONE {
            self.newest = older;
        } else {
            self.nodes[at(newer)].older = older;
        }
    }
}

impl<V> Index<Slot> for AgedTable<V> {
    type Output = V;

    fn index(&self, Slot(slot): Slot) -> &V {
        &self.nodes[at(slot)].value
    }
}

impl<V> IndexMut<Slot> for AgedTable<V> {
    fn index_mut(&mut self, Slot(slot): Slot) -> &mut V {
        &mut self.nodes[at(slot)].value
    }
}

fn at(slot: u32) -> usize {
    slot as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_leave_in_the_order_of_their_last_touch() {
        let mut table = AgedTable::new();
        let [a, b, c] = [1, 2, 3].map(|key| table.insert(key, key * 10));
        table.touch(a);
        assert_eq!(table.oldest(), Some(b));
        assert_eq!(table.remove(c), 30);
        table.touch(b);
        assert_eq!(table.oldest(), Some(a));
        assert_eq!((table.remove(a), table.remove(b)), (10, 20));
        assert_eq!((table.oldest(), table.len(), table.places()), (None, 0, 3));
    }

    #[test]
    fn a_freed_place_is_used_again() {
        let mut table = AgedTable::new();
        let first = table.insert(7, 1);
        table.remove(first);
        assert_eq!(table.place(0), None);
        let second = table.insert(8, 2);
        assert_eq!((table.places(), table.place(0)), (1, Some(second)));
        assert_eq!(
            (table.find(7, |_| true), table.find(8, |_| true)),
            (None, Some(second))
        );
    }
}
