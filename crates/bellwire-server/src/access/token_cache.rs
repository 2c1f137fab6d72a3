//! The verified tokens of a node, so that a token is checked once and not with every request.
//!
//! Shared by the shards, because a client that comes back meets any of them. Filled and asked by
//! the [`super::verifier`]. Knows tokens by their digest only, and nothing of what makes them
//! valid.

use std::{
    collections::HashSet,
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bellwire_core::access::{Access, Permissions};
use hashbrown::HashTable;

/// Distinct permission lists that are remembered for sharing.
const MAX_SHARED_PERMISSIONS: usize = 1_024;
/// Parts with a lock each, so that shards seldom wait for each other.
const PARTS: usize = 8;
/// A cache of fewer tokens has one part: its bound is exact then.
const FEW: usize = 1_024;

/// The first half of a token's SHA-256.
pub(super) type Key = [u8; 16];

/// See the module.
pub(super) struct TokenCache {
    parts: Box<[Mutex<Part>]>,
    permissions: Mutex<HashSet<Arc<Permissions>>>,
}

/// Two generations: when the fresh one is full it becomes the old one, and what nobody has presented
/// since is forgotten with that, unless a connection holds it. So what connections leave behind is
/// bounded, however many come and go with ever new tokens.
struct Part {
    fresh: Generation,
    old: Generation,
    /// When the fresh one is full: `half` behind what it began with.
    full: usize,
    half: usize,
}

/// Entries in a row and a table of their places: a table is half empty, which costs four bytes per
/// empty place rather than an entry.
#[derive(Default)]
struct Generation {
    entries: Vec<(Key, Arc<Access>)>,
    places: HashTable<u32>,
}

impl TokenCache {
    /// One for at most `max_tokens` besides those that connections hold.
    pub(super) fn new(max_tokens: usize) -> Self {
        let parts = if max_tokens < FEW { 1 } else { PARTS };
        let half = (max_tokens / parts).div_ceil(2);
        let part = || {
            Mutex::new(Part {
                fresh: Generation::default(),
                old: Generation::default(),
                full: half,
                half,
            })
        };
        Self {
            parts: std::iter::repeat_with(part).take(parts).collect(),
            permissions: Mutex::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len()).sum()
    }

    pub(super) fn find(&self, key: &Key) -> Option<Arc<Access>> {
        self.part(key).find(key)
    }

    /// Remembers a token, in place of what was known of it.
    pub(super) fn insert(&self, key: Key, access: Arc<Access>) {
        self.part(&key).insert(key, access);
    }

    /// The same lists as other users have, where they are the same.
    pub(super) fn share(&self, permissions: Permissions) -> Arc<Permissions> {
        let mut known = lock(&self.permissions);
        if let Some(known) = known.get(&permissions) {
            return Arc::clone(known);
        }
        if known.len() >= MAX_SHARED_PERMISSIONS {
            known.clear();
        }
        let shared = Arc::new(permissions);
        known.insert(Arc::clone(&shared));
        shared
    }

    fn part(&self, key: &Key) -> MutexGuard<'_, Part> {
        // Not one of the bytes by which its table finds it.
        lock(&self.parts[usize::from(key[15]) % self.parts.len()])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Part {
    fn len(&self) -> usize {
        self.fresh.entries.len() + self.old.entries.len()
    }

    fn find(&mut self, key: &Key) -> Option<Arc<Access>> {
        if let Some(access) = self.fresh.find(key) {
            return Some(Arc::clone(access));
        }
        let access = Arc::clone(self.old.find(key)?);
        self.insert(*key, Arc::clone(&access));
        Some(access)
    }

    fn insert(&mut self, key: Key, access: Arc<Access>) {
        if self.fresh.entries.len() >= self.full {
            self.turn();
        }
        self.fresh.insert(key, access);
    }

    fn turn(&mut self) {
        let gone = mem::replace(&mut self.old, mem::take(&mut self.fresh));
        for (key, access) in gone.entries {
            let is_held = Arc::strong_count(&access) > 1;
            // What was presented since is in the other generation.
            if is_held && self.old.find(&key).is_none() {
                self.fresh.insert(key, access);
            }
        }
        self.full = self.fresh.entries.len() + self.half;
    }
}

impl Generation {
    fn find(&self, key: &Key) -> Option<&Arc<Access>> {
        let is_it = |&place: &u32| self.entries[place as usize].0 == *key;
        let place = self.places.find(hash(key), is_it)?;
        Some(&self.entries[*place as usize].1)
    }

    fn insert(&mut self, key: Key, access: Arc<Access>) {
        let is_it = |&place: &u32| self.entries[place as usize].0 == key;
        if let Some(&place) = self.places.find(hash(&key), is_it) {
            self.entries[place as usize].1 = access;
            return;
        }
        let place = u32::try_from(self.entries.len()).expect("fewer tokens than 2^32");
        self.entries.push((key, access));
        let entries = &self.entries;
        self.places
            .insert_unique(hash(&key), place, |&place| hash(&entries[place as usize].0));
    }
}

/// A digest is as good as any hash of it: only tokens that were signed for their bearers get in.
fn hash(key: &Key) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Arc<Access> {
        Arc::new(Access::anonymous())
    }

    #[test]
    fn what_is_used_outlives_a_generation_and_what_is_not_is_forgotten() {
        let cache = TokenCache::new(4);
        for n in 0..4 {
            cache.insert([n; 16], access());
            assert!(cache.find(&[0; 16]).is_some(), "{n}");
            assert!(cache.len() <= 4);
        }
        assert!(cache.find(&[1; 16]).is_none());
        assert!(cache.find(&[3; 16]).is_some());
    }

    #[test]
    fn what_a_connection_holds_is_remembered_and_bounds_nothing_else() {
        let cache = TokenCache::new(4);
        let held: Vec<_> = (0..10).map(|_| access()).collect();
        for (n, access) in (0..).zip(&held) {
            cache.insert([n; 16], Arc::clone(access));
        }
        for n in 10..100 {
            cache.insert([n; 16], access());
            assert!(cache.len() <= 10 + 4);
        }
        assert!((0..10).all(|n| cache.find(&[n; 16]).is_some()));
        drop(held);
        for n in 100..200 {
            cache.insert([n; 16], access());
        }
        assert!(cache.len() <= 4);
    }

    #[test]
    fn a_token_that_is_verified_again_takes_its_own_place() {
        let cache = TokenCache::new(4);
        let (first, second) = (access(), access());
        cache.insert([7; 16], first);
        cache.insert([7; 16], Arc::clone(&second));
        assert_eq!(cache.len(), 1);
        assert!(Arc::ptr_eq(&cache.find(&[7; 16]).unwrap(), &second));
    }
}
