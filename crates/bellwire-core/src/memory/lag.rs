//! Keeps publishers from running ahead of a shard that lags (design §4, "Shard inboxes").
//!
//! Per channel and interested shard it knows what the shard has confirmed to have handed to its
//! sockets. A publish that would put a shard further behind than the allowance waits here, before
//! its append, with all later ones of its channel behind it. The state exists only for channels
//! with recent publications and interested shards.
//!
//! Nothing can wait for ever: a publish waits only for a shard that owes the answer to an
//! announcement with `confirm`, and at most [`PUBLISH_WAIT_MS`].

use std::collections::{BTreeSet, VecDeque};

use smallvec::SmallVec;

use super::{aged::AgedTable, interest::Shards, partition::Asker};
use crate::{
    engine::{Draft, ShardId},
    namespace::Retention,
    time::Now,
};

/// How long a publish waits for a lagging shard, in milliseconds.
pub const PUBLISH_WAIT_MS: u64 = 1_000;

/// After this many milliseconds without a publication the few that no confirm was asked for are
/// taken as handed over.
const IDLE_MS: u64 = 10_000;
/// What a waiting publish counts beside its weight, in bytes.
const WAITING_OVERHEAD_BYTES: usize = 256;
/// States looked at in one sweep.
const SWEEP: usize = 64;

/// A publish that waits for its append.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) asker: Asker,
    pub(super) draft: Box<Draft>,
    pub(super) weight: usize,
}

/// Publications and their weight: a running total, or a difference of two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    count: u64,
    bytes: u64,
}

impl Amount {
    fn plus(self, weight: usize) -> Self {
        Self {
            count: self.count + 1,
            bytes: self.bytes + weight as u64,
        }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            count: self.count - earlier.count,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

/// The lag of one channel.
#[derive(Debug, Default)]
struct Lag {
    /// Everything announced since the state began.
    announced: Amount,
    /// Announcements that asked for a confirm and were not answered by all, with the total up to
    /// and including them.
    asked: VecDeque<(u64, Amount)>,
    /// The total at the newest announcement that asked.
    last_asked: Amount,
    /// What each interested shard has confirmed, as a total.
    confirmed: SmallVec<[(ShardId, Amount); 2]>,
    /// How far a shard may be behind.
    allowance: Amount,
    waiting: VecDeque<(u64, Waiting)>,
    /// When the last announcement was, on the monotonic clock.
    used: u64,
}

impl Lag {
    fn over(&self, weight: usize) -> bool {
        let then = self.announced.plus(weight);
        self.confirmed.iter().any(|&(_, confirmed)| {
            let behind = then.since(confirmed);
            confirmed.count < self.last_asked.count
                && (behind.count > self.allowance.count || behind.bytes > self.allowance.bytes)
        })
    }

    fn announce(&mut self, shards: Shards, offset: u64, weight: usize) -> bool {
        for shard in shards.iter() {
            if !self.confirmed.iter().any(|&(known, _)| known == shard) {
                // What came before was not announced to it.
                self.confirmed.push((shard, self.announced));
            }
        }
        self.announced = self.announced.plus(weight);
        let silent = self.announced.since(self.last_asked);
        // Half of the allowance, so that what nobody was asked about always fits.
        let ask =
            silent.count >= self.allowance.count / 2 || silent.bytes >= self.allowance.bytes / 2;
        if ask {
            self.last_asked = self.announced;
            self.asked.push_back((offset, self.announced));
        }
        ask
    }

    fn confirm(&mut self, shard: ShardId, offset: u64) {
        let newest = self.asked.iter().rev().find(|(asked, _)| *asked <= offset);
        let Some(&(_, total)) = newest else { return };
        let entry = self.confirmed.iter_mut().find(|(known, _)| *known == shard);
        if let Some((_, confirmed)) = entry.filter(|(_, known)| known.count < total.count) {
            *confirmed = total;
        }
        self.settle();
    }

    /// Forgets requests that every shard has answered.
    fn settle(&mut self) {
        let least = self
            .confirmed
            .iter()
            .map(|(_, confirmed)| confirmed.count)
            .min();
        let least = least.unwrap_or(self.announced.count);
        while self
            .asked
            .front()
            .is_some_and(|(_, total)| total.count <= least)
        {
            self.asked.pop_front();
        }
    }

    fn owes_nothing(&self) -> bool {
        self.asked.is_empty() && self.waiting.is_empty()
    }

    fn is_over(&self) -> bool {
        self.owes_nothing()
            && self
                .confirmed
                .iter()
                .all(|(_, confirmed)| *confirmed == self.announced)
    }
}

/// The lag of a partition's channels.
#[derive(Debug)]
pub(super) struct Lags {
    lags: AgedTable<Lag>,
    /// When the first waiting publish of a channel gives up, with the channel's key.
    deadlines: BTreeSet<(u64, u64)>,
    waiting_bytes: usize,
    max_waiting_bytes: usize,
}

impl Lags {
    pub(super) fn new(max_waiting_bytes: usize) -> Self {
        Self {
            lags: AgedTable::new(),
            deadlines: BTreeSet::new(),
            waiting_bytes: 0,
            max_waiting_bytes,
        }
    }

    /// Whether a publish of this weight has to wait before it is appended.
    pub(super) fn must_wait(&self, key: u64, weight: usize) -> bool {
        let lag = self.lags.find(key, |_| true).map(|slot| &self.lags[slot]);
        lag.is_some_and(|lag| !lag.waiting.is_empty() || lag.over(weight))
    }

    /// Makes a publish wait, or gives it back where too much waits already.
    pub(super) fn wait(&mut self, key: u64, publish: Waiting, now: Now) -> Result<(), Waiting> {
        let bytes = self.waiting_bytes + publish.weight + WAITING_OVERHEAD_BYTES;
        let slot = self.lags.find(key, |_| true);
        let Some(slot) = slot.filter(|_| bytes <= self.max_waiting_bytes) else {
            return Err(publish);
        };
        self.waiting_bytes = bytes;
        let deadline = now.mono + PUBLISH_WAIT_MS;
        let waiting = &mut self.lags[slot].waiting;
        if waiting.is_empty() {
            self.deadlines.insert((deadline, key));
        }
        waiting.push_back((deadline, publish));
        Ok(())
    }

    /// Counts an announcement; tells whether it is to ask for a confirm.
    pub(super) fn announced(
        &mut self,
        key: u64,
        shards: Shards,
        announced: (u64, usize),
        retention: &Retention,
        now: Now,
    ) -> bool {
        let slot = self.lags.find(key, |_| true);
        let slot = slot.unwrap_or_else(|| self.lags.insert(key, Lag::default()));
        self.lags.touch(slot);
        let lag = &mut self.lags[slot];
        lag.used = now.mono;
        lag.allowance = Amount {
            count: (retention.count as u64 / 4).max(8),
            bytes: (retention.bytes as u64 / 4).max(64 << 10),
        };
        let (offset, weight) = announced;
        lag.announce(shards, offset, weight)
    }

    /// A shard has handed everything up to an offset to its sockets.
    pub(super) fn flushed(&mut self, key: u64, shard: ShardId, offset: u64) {
        if let Some(slot) = self.lags.find(key, |_| true) {
            self.lags[slot].confirm(shard, offset);
        }
    }

    /// A shard has no subscribers any more and is waited for no longer.
    pub(super) fn left(&mut self, key: u64, shard: ShardId) {
        if let Some(slot) = self.lags.find(key, |_| true) {
            let lag = &mut self.lags[slot];
            lag.confirmed.retain(|(known, _)| *known != shard);
            lag.settle();
        }
    }

    /// Takes the first waiting publish of a channel, where it may be appended now.
    pub(super) fn next_ready(&mut self, key: u64) -> Option<Waiting> {
        let slot = self.lags.find(key, |_| true)?;
        let (_, first) = self.lags[slot].waiting.front()?;
        if self.lags[slot].over(first.weight) {
            return None;
        }
        self.take_first(key)
    }

    /// Takes a publish that has waited too long, with its channel's key.
    pub(super) fn next_expired(&mut self, now: Now) -> Option<(u64, Waiting)> {
        let &(deadline, key) = self.deadlines.first()?;
        if deadline > now.mono {
            return None;
        }
        self.take_first(key).map(|publish| (key, publish))
    }

    /// Drops a state that has nothing more to say.
    pub(super) fn settle(&mut self, key: u64) {
        if let Some(slot) = self.lags.find(key, Lag::is_over) {
            self.lags.remove(slot);
        }
    }

    /// Drops states of channels that went quiet; looks at a bounded number.
    pub(super) fn sweep(&mut self, now: Now) {
        for _ in 0..SWEEP {
            let Some(slot) = self.lags.oldest() else {
                return;
            };
            let lag = &mut self.lags[slot];
            if now.mono.saturating_sub(lag.used) < IDLE_MS {
                return;
            }
            if lag.owes_nothing() {
                self.lags.remove(slot);
            } else {
                lag.used = now.mono;
                self.lags.touch(slot);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lags.len()
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    fn take_first(&mut self, key: u64) -> Option<Waiting> {
        let slot = self.lags.find(key, |_| true)?;
        let waiting = &mut self.lags[slot].waiting;
        let (deadline, publish) = waiting.pop_front()?;
        self.deadlines.remove(&(deadline, key));
        if let Some(&(next, _)) = waiting.front() {
            self.deadlines.insert((next, key));
        }
        self.waiting_bytes -= publish.weight + WAITING_OVERHEAD_BYTES;
        Some(publish)
    }
}
