//! The logs of a partition: one counter, the total budgets, what is forgotten.
//!
//! Owns append, retention, eviction and tombstones. Called by the partition with the channel's
//! key and retention; knows nothing of shards, requests or idempotency.

use std::sync::Arc;

use super::{
    aged::{AgedTable, Slot},
    forgotten::{Forgotten, Horizon},
    log::Log,
};
use crate::{
    channel::Channel,
    engine::Draft,
    namespace::{Namespaces, Retention},
    position::{Epoch, EpochTag, Position},
    publication::{Labels, Publication},
    time::Now,
};

/// Places looked at in one sweep for logs that aged out: a million channels take half a minute.
const SWEEP: usize = 64;

/// The logs of a partition, the one with the oldest last publication first.
#[derive(Debug)]
pub(super) struct Store {
    epoch: Epoch,
    /// The last offset given, to any channel.
    counter: u64,
    logs: AgedTable<Log>,
    forgotten: Forgotten,
    /// What all logs cost.
    bytes: usize,
    max_channels: usize,
    max_bytes: usize,
    /// Where the next sweep begins.
    sweep: usize,
    evictions: u64,
}

/// A channel as a reader finds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) epoch: EpochTag,
    /// The last publication, else the partition's counter.
    pub(super) head: u64,
    /// How far the channel was trimmed or forgotten.
    pub(super) trimmed: u64,
    /// Whether `trimmed` may be another channel's loss.
    pub(super) floored: bool,
    pub(super) log: Option<&'a Log>,
}

/// What an append did.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) publication: Arc<Publication>,
    /// The predecessor as those know it who heard of every publication: never another channel's.
    pub(super) prev: u64,
}

impl Store {
    /// Budgets are this partition's share.
    pub(super) fn new(epoch: Epoch, max_channels: usize, max_bytes: usize) -> Self {
        Self {
            epoch,
            counter: 0,
            logs: AgedTable::new(),
            forgotten: Forgotten::new(max_channels),
            bytes: 0,
            max_channels,
            max_bytes,
            sweep: 0,
            evictions: 0,
        }
    }

    /// The channel as it is now.
    pub(super) fn view(
        &mut self,
        channel: &Channel,
        key: u64,
        retention: &Retention,
        now: Now,
    ) -> View<'_> {
        let slot = self.find(channel, key);
        match slot.filter(|&slot| self.trim(slot, retention, now)) {
            Some(slot) => {
                let log = &self.logs[slot];
                View {
                    epoch: log.newest().position.epoch,
                    head: log.newest().position.offset,
                    trimmed: log.oldest().prev,
                    floored: false,
                    log: Some(log),
                }
            }
            None => {
                let horizon = self.forgotten.horizon(key);
                View {
                    epoch: self.epoch.tag(channel),
                    head: self.counter,
                    trimmed: horizon.offset(),
                    floored: matches!(horizon, Horizon::Floor(_)),
                    log: None,
                }
            }
        }
    }

    /// Gives a draft the next position and keeps it as long as the bounds allow.
    pub(super) fn append(
        &mut self,
        draft: Draft,
        key: u64,
        retention: &Retention,
        now: Now,
    ) -> Appended {
        self.counter += 1;
        let slot = self.find(&draft.channel, key);
        let (slot, channel, epoch, prev, known) = if let Some(slot) = slot {
            // The name is shared by all publications of a log.
            let newest = self.logs[slot].newest();
            let last = newest.position;
            (
                slot,
                newest.channel.clone(),
                last.epoch,
                last.offset,
                last.offset,
            )
        } else {
            let horizon = self.forgotten.revive(key);
            let known = match horizon {
                Horizon::Tombstone(last) => last,
                Horizon::Floor(_) => 0,
            };
            let epoch = self.epoch.tag(&draft.channel);
            let slot = self.logs.insert(key, Log::default());
            (slot, draft.channel, epoch, horizon.offset(), known)
        };
        let labelled = draft.event.is_some() || draft.user.is_some();
        let publication = Arc::new(Publication {
            channel,
            position: Position {
                epoch,
                offset: self.counter,
            },
            prev,
            time: now.wall,
            labels: labelled.then(|| {
                Box::new(Labels {
                    event: draft.event,
                    user: draft.user,
                })
            }),
            payload: draft.payload,
        });
        let before = self.logs[slot].cost();
        self.logs[slot].push(Arc::clone(&publication));
        self.bytes += self.logs[slot].cost() - before;
        self.logs.touch(slot);
        if self.trim(slot, retention, now) {
            self.make_room(slot);
        }
        Appended {
            publication,
            prev: known,
        }
    }

    /// Drops logs that aged out; looks at a bounded number of places.
    pub(super) fn sweep(&mut self, namespaces: &Namespaces, now: Now) {
        for _ in 0..SWEEP.min(self.logs.places()) {
            self.sweep = (self.sweep + 1) % self.logs.places();
            if let Some(slot) = self.logs.place(self.sweep) {
                let retention = namespaces.of(self.logs[slot].channel()).history;
                self.trim(slot, &retention, now);
            }
        }
    }

    /// The logs, in no order.
    pub(super) fn logs(&self) -> impl Iterator<Item = &Log> {
        self.logs.values()
    }

    /// How many publications were appended.
    pub(super) fn counter(&self) -> u64 {
        self.counter
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn channels(&self) -> usize {
        self.logs.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn tombstones(&self) -> usize {
        self.forgotten.tombstones()
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    fn find(&self, channel: &Channel, key: u64) -> Option<Slot> {
        self.logs.find(key, |log| log.channel() == channel)
    }

    /// Applies the retention; tells whether the log still exists.
    fn trim(&mut self, slot: Slot, retention: &Retention, now: Now) -> bool {
        let last = self.logs[slot].newest().position.offset;
        self.change(slot, last, |log| log.trim(retention, now))
    }

    /// Shrinks a log; one that has become empty leaves a tombstone.
    fn change(&mut self, slot: Slot, last: u64, shrink: impl FnOnce(&mut Log)) -> bool {
        let log = &mut self.logs[slot];
        let before = log.cost();
        shrink(log);
        self.bytes -= before - log.cost();
        if log.is_empty() {
            self.forgotten.bury(self.logs.key(slot), last);
            self.logs.remove(slot);
            return false;
        }
        true
    }

    /// Keeps the total budgets: evicts whole logs, then the oldest of the one just appended to.
    fn make_room(&mut self, appended: Slot) {
        while self.logs.len() > self.max_channels || self.bytes > self.max_bytes {
            let Some(oldest) = self.logs.oldest() else {
                return;
            };
            let last = self.logs[oldest].newest().position.offset;
            if oldest == appended {
                self.change(oldest, last, Log::pop);
            } else {
                self.change(oldest, last, |log| *log = Log::default());
                self.evictions += 1;
            }
        }
    }
}
