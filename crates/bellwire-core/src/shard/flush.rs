//! Who is sent something next: dirty channels round robin, a few connections each.
//!
//! Publications are not sent when they arrive but at the end of the turn: k of them per send
//! cost 1/k. A broadcast to ten thousand is cut in pieces, so a message to one user does not
//! wait for it.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use super::{
    Shard, Sockets,
    connection::{ConnectionRef, Ix},
    ids::Ids,
};
use crate::segment::Spares;

/// Connections served of one channel before the next one's turn; up to as many more where that
/// completes the channel.
const QUANTUM: usize = 64;

/// Subscribers of a channel whose tail is not kept for those among them who can't keep up.
const FEW: usize = 16;

/// The queues of the flush.
#[derive(Debug)]
pub(super) struct Flush {
    /// Channels with something new.
    ring: VecDeque<Ix>,
    /// Channels that wait to share a send: when, which.
    delayed: BinaryHeap<Reverse<(u64, Ix)>>,
    /// Connections with something of their own to send.
    ready: VecDeque<ConnectionRef>,
    pub(super) spare: Spares,
    /// Room for ids of composite streams, kept between sends.
    pub(super) lines: Vec<u8>,
    pub(super) ids: Ids,
    /// Payload bytes that pages may hold, and do hold.
    pub(super) catchup_bytes: usize,
    pub(super) catchup_held: usize,
    /// Channels with pages, oldest first.
    pub(super) paged: VecDeque<Ix>,
    /// Channels whose read failed.
    pub(super) retry: Vec<Ix>,
    pub(super) next_sweep: u64,
}

impl Flush {
    pub(super) fn new(catchup_bytes: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            delayed: BinaryHeap::new(),
            ready: VecDeque::new(),
            spare: Spares::default(),
            lines: Vec::new(),
            ids: Ids::default(),
            catchup_bytes,
            catchup_held: 0,
            paged: VecDeque::new(),
            retry: Vec::new(),
            next_sweep: 0,
        }
    }
}

impl<S: Sockets> Shard<S> {
    /// Whether [`Shard::flush_step`] has something to do.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.flush.ring.is_empty() || !self.flush.ready.is_empty()
    }

    /// Serves some connections of their own work and some of the next dirty channel. Returns
    /// whether there is more to do.
    pub fn flush_step(&mut self, now: crate::time::Now) -> bool {
        self.now = now;
        self.release_delayed();
        for _ in 0..QUANTUM.min(self.flush.ready.len()) {
            let Some(connection) = self.flush.ready.pop_front() else {
                break;
            };
            if let Some(found) = self.find_mut(connection) {
                found.flags.queued = false;
                self.flush_connection(connection.ix);
            }
        }
        if let Some(entry_ix) = self.flush.ring.pop_front()
            && self.channels.contains(entry_ix)
            && self.advance_pass(entry_ix, QUANTUM)
        {
            self.flush.ring.push_back(entry_ix);
        }
        self.settle();
        self.has_work()
    }

    pub(super) fn make_ready(&mut self, ix: Ix) {
        let connection = &mut self.connections[ix as usize];
        if !connection.flags.queued {
            connection.flags.queued = true;
            let generation = connection.name.generation;
            self.flush.ready.push_back(ConnectionRef { ix, generation });
        }
    }

    /// Has a channel flushed: at the end of the turn, or after its delay, which is cut short where
    /// the engine waits for a confirmation.
    pub(super) fn mark_dirty(&mut self, entry_ix: Ix) {
        let entry = &mut self.channels[entry_ix];
        let hurried = entry.pass.confirm && entry.max_delay_ms > 0;
        if entry.pass.queued && !hurried {
            return;
        }
        entry.pass.queued = true;
        if entry.max_delay_ms == 0 || hurried {
            self.flush.ring.push_back(entry_ix);
        } else {
            let due = self.now.mono + u64::from(entry.max_delay_ms);
            self.flush.delayed.push(Reverse((due, entry_ix)));
        }
    }

    /// Moves channels whose delay is over into the ring.
    pub(super) fn release_delayed(&mut self) {
        while let Some(&Reverse((due, entry_ix))) = self.flush.delayed.peek() {
            if due > self.now.mono {
                break;
            }
            self.flush.delayed.pop();
            self.flush.ring.push_back(entry_ix);
        }
    }

    /// When the next delayed channel is due, on the shard's clock.
    #[must_use]
    pub fn next_delayed(&self) -> Option<u64> {
        self.flush.delayed.peek().map(|Reverse((due, _))| *due)
    }

    /// Sends every subscriber of a channel what it can take now.
    pub(super) fn flush_whole_channel(&mut self, entry_ix: Ix) {
        let queued = self.channels[entry_ix].pass.queued;
        while self.channels.contains(entry_ix) && self.advance_pass(entry_ix, usize::MAX) {}
        if self.channels.contains(entry_ix) {
            // Where the ring still holds the channel, its turn finds nothing to do.
            self.channels[entry_ix].pass.queued = queued;
        }
    }

    /// Serves up to `quantum` subscribers; returns whether some are left.
    fn advance_pass(&mut self, entry_ix: Ix, quantum: usize) -> bool {
        let entry = &mut self.channels[entry_ix];
        if entry.pass.at == 0 {
            entry.pass.head = entry.head;
            entry.pass.laggards = false;
        }
        // Those who left within the pass may have made the list shorter than it had come.
        let left = entry
            .subscribers
            .len()
            .saturating_sub(entry.pass.at as usize);
        let quantum = if left.div_ceil(2) <= quantum {
            left
        } else {
            quantum
        };
        let mut served = 0;
        while served < quantum {
            let Some(entry) = self.entry_mut(entry_ix) else {
                return false;
            };
            let Some(subscriber) = entry.subscribers.get(entry.pass.at as usize).copied() else {
                break;
            };
            entry.pass.at += 1;
            served += 1;
            let behind = self.flush_connection(subscriber.connection);
            if behind && let Some(entry) = self.entry_mut(entry_ix) {
                entry.pass.laggards = true;
            }
        }
        let Some(entry) = self.entry_mut(entry_ix) else {
            return false;
        };
        if (entry.pass.at as usize) < entry.subscribers.len() {
            return true;
        }
        entry.pass.at = 0;
        if entry.head != entry.pass.head {
            return true;
        }
        self.finish_pass(entry_ix);
        false
    }

    fn finish_pass(&mut self, entry_ix: Ix) {
        let entry = &mut self.channels[entry_ix];
        entry.pass.queued = false;
        // Those who can't take it now read pages later; a tail each for a few of them would add
        // up over thousands of channels.
        if !entry.pass.laggards || entry.subscribers.len() <= FEW {
            entry.retire_tail(&mut self.flush.spare);
        }
        if std::mem::take(&mut entry.pass.confirm) {
            let (channel, head) = (entry.channel.clone(), entry.head);
            self.link
                .backplane
                .flushed(&channel, head, self.now, &mut self.link.remote);
        }
    }

    fn entry_mut(&mut self, entry_ix: Ix) -> Option<&mut super::channels::ChannelEntry> {
        self.channels
            .contains(entry_ix)
            .then(|| &mut self.channels[entry_ix])
    }
}
