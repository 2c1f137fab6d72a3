//! Remembers idempotency keys for their window (design D3).
//!
//! Used by the partition in the same step as the append. Bounded: where there is no room a keyed
//! publish is refused rather than weakened. Keys are the peers' choice, so they are kept as 128
//! bits of SHA-256 and can't be made to collide.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher},
};

use hashbrown::HashTable;
use sha2::{Digest, Sha256};

use crate::{
    engine::{Draft, IdempotencyKey},
    publication::Payload,
    time::Now,
};

/// How long a key is remembered from its first use, in milliseconds.
pub const IDEMPOTENCY_WINDOW_MS: u64 = 300_000;

/// A keyed publish in short: the scope of its key and what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed {
    scope: [u64; 2],
    body: u64,
}

/// What the log knows of a keyed publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing, and there is room to remember it.
    New,
    /// The same message, at this offset.
    Duplicate(u64),
    /// The same key for other bytes.
    Mismatch,
    /// Nothing, and there is no room.
    Full,
}

/// The keys of a partition, in the order of their first use.
#[derive(Debug)]
pub(super) struct Idempotency {
    entries: VecDeque<Entry>,
    /// The number of the first entry; numbers run on, so that the index survives removals.
    first: u64,
    index: HashTable<u64>,
    max_keys: usize,
}

#[derive(Debug)]
struct Entry {
    keyed: Keyed,
    offset: u64,
    expires: u64,
}

impl Keyed {
    /// `seed` makes the comparison of bodies unpredictable for publishers.
    pub(super) fn new(draft: &Draft, key: &IdempotencyKey, seed: u64) -> Self {
        let mut scope = Sha256::new();
        for part in [draft.channel.as_str(), &key.publisher, &key.key] {
            scope.update(part.len().to_be_bytes());
            scope.update(part.as_bytes());
        }
        let scope = scope.finalize();
        let half = |from: usize| {
            u64::from_be_bytes(
                scope[from..from + 8]
                    .try_into()
                    .expect("a digest has 32 bytes"),
            )
        };
        let mut body = DefaultHasher::new();
        body.write_u64(seed);
        let event = draft.event.as_ref().map_or("", |event| event.as_str());
        body.write_usize(event.len());
        body.write(event.as_bytes());
        body.write_u8(u8::from(matches!(draft.payload, Payload::Binary(_))));
        body.write(draft.payload.as_bytes());
        Self {
            scope: [half(0), half(8)],
            body: body.finish(),
        }
    }
}

impl Idempotency {
    pub(super) fn new(max_keys: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            index: HashTable::new(),
            max_keys,
        }
    }

    /// Looks a key up; expired ones make room first.
    pub(super) fn check(&mut self, keyed: &Keyed, now: Now) -> Seen {
        self.expire(now);
        let (entries, first) = (&self.entries, self.first);
        let entry = |number: u64| &entries[place(number, first)];
        let is_it = |&number: &u64| entry(number).keyed.scope == keyed.scope;
        match self.index.find(keyed.scope[0], is_it) {
            Some(&number) if entry(number).keyed.body == keyed.body => {
                Seen::Duplicate(entry(number).offset)
            }
            Some(_) => Seen::Mismatch,
            None if self.entries.len() >= self.max_keys => Seen::Full,
            None => Seen::New,
        }
    }

    /// Remembers a key that was [`Seen::New`].
    pub(super) fn record(&mut self, keyed: Keyed, offset: u64, now: Now) {
        let number = self.first + self.entries.len() as u64;
        self.entries.push_back(Entry {
            keyed,
            offset,
            expires: now.mono + IDEMPOTENCY_WINDOW_MS,
        });
        let (entries, first) = (&self.entries, self.first);
        self.index.insert_unique(keyed.scope[0], number, |&number| {
            entries[place(number, first)].keyed.scope[0]
        });
    }

    /// Forgets keys whose window is over.
    pub(super) fn expire(&mut self, now: Now) {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.expires <= now.mono)
        {
            let entry = self.entries.pop_front().expect("just seen");
            let number = self.first;
            if let Ok(found) = self
                .index
                .find_entry(entry.keyed.scope[0], |&n| n == number)
            {
                found.remove();
            }
            self.first += 1;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn place(number: u64, first: u64) -> usize {
    usize::try_from(number - first).expect("fewer entries than memory has bytes")
}
