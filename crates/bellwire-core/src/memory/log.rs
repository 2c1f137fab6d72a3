//! The retained publications of one channel.
//!
//! Owns retention by count, bytes and age. Used by the store, which never keeps an empty log;
//! knows neither the other channels nor who reads.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    channel::Channel, engine::ChannelRecord, namespace::Retention, publication::Publication,
    time::Now,
};

/// What a retained publication takes beside its weight, in bytes, rounded up: the shared
/// allocation with its counts, the entry in the log and what the allocator adds.
pub(super) const OVERHEAD_BYTES: usize = 160;

/// One channel's publications, oldest first.
#[derive(Debug, Default)]
pub(super) struct Log {
    publications: VecDeque<Arc<Publication>>,
    weight: usize,
}

impl Log {
    pub(super) fn push(&mut self, publication: Arc<Publication>) {
        self.weight += publication.weight();
        self.publications.push_back(publication);
    }

    /// Drops what reaches a bound of the retention, oldest first.
    pub(super) fn trim(&mut self, retention: &Retention, now: Now) {
        while let Some(oldest) = self.publications.front() {
            // A wall clock that was set back makes publications stay longer, never overflow.
            let aged = now.wall.saturating_sub(oldest.time) >= retention.age_ms;
            let over = self.publications.len() > retention.count || self.weight > retention.bytes;
            if !aged && !over {
                break;
            }
            self.pop();
        }
        if self.publications.capacity() > 16
            && self.publications.len() < self.publications.capacity() / 4
        {
            self.publications.shrink_to(self.publications.len() * 2);
        }
    }

    /// Drops the oldest publication.
    pub(super) fn pop(&mut self) {
        if let Some(publication) = self.publications.pop_front() {
            self.weight -= publication.weight();
        }
    }

    pub(super) fn publications(&self) -> &VecDeque<Arc<Publication>> {
        &self.publications
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// What the log counts against the total budget, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.weight + self.publications.len() * OVERHEAD_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.publications.is_empty()
    }

    /// The newest publication of a stored log, which is never empty.
    pub(super) fn newest(&self) -> &Arc<Publication> {
        self.publications
            .back()
            .expect("a log without publications is not stored")
    }

    /// The oldest publication of a stored log, which is never empty.
    pub(super) fn oldest(&self) -> &Arc<Publication> {
        self.publications
            .front()
            .expect("a log without publications is not stored")
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.newest().channel
    }

    /// What listings tell of a stored log.
    pub(super) fn record(&self) -> ChannelRecord {
        ChannelRecord {
            channel: self.channel().clone(),
            head: self.newest().position,
            publications: self.publications.len(),
            bytes: self.weight,
        }
    }

    /// How many publications are at or below an offset: the index of the first one after it.
    pub(super) fn index_after(&self, offset: u64) -> usize {
        self.publications
            .partition_point(|publication| publication.position.offset <= offset)
    }
}
