//! The channels that a shard has subscribers of: who they are, how far the log has come, and what
//! is at hand of it.

use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::{connection::Ix, pages::Pages, tail::Tail};
use crate::{
    channel::Channel,
    format::Format,
    position::EpochTag,
    segment::{SharedChunk, Spares},
};

/// A channel with local subscribers.
#[derive(Debug)]
pub(super) struct ChannelEntry {
    pub(super) channel: Channel,
    /// The null tag until the engine has confirmed our interest.
    pub(super) epoch: EpochTag,
    /// The newest offset known.
    pub(super) head: u64,
    pub(super) subscribers: SmallVec<[Subscriber; 2]>,
    pub(super) tail: Option<Box<Tail>>,
    pub(super) pages: Option<Box<Pages>>,
    pub(super) pass: Pass,
    /// Milliseconds that publications may wait to share a send.
    pub(super) max_delay_ms: u32,
}

/// A subscription as its channel sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber {
    pub(super) connection: Ix,
    /// Index in the connection's subscriptions.
    pub(super) nth: u32,
}

/// How far the flush has come through a channel's subscribers.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// In the ring of dirty channels, or waiting for its delay.
    pub(super) queued: bool,
    /// The next subscriber of the pass under way.
    pub(super) at: u32,
    /// The head when the pass began.
    pub(super) head: u64,
    /// Whether the engine wants to know when the head is flushed.
    pub(super) confirm: bool,
    /// Whether the pass under way met somebody it could not bring up to date.
    pub(super) laggards: bool,
}

impl ChannelEntry {
    /// Whether the engine has confirmed our interest; before that announcements mean nothing.
    pub(super) fn is_attached(&self) -> bool {
        self.epoch != EpochTag::NULL
    }

    /// Where a reader at `cursor` finds its next publications: in the tail, else in a page.
    /// With the offset up to which that place reaches.
    pub(super) fn chunk_for(
        &mut self,
        cursor: u64,
        format: Format,
        spare: &mut Spares,
    ) -> Option<(SharedChunk, Source, u64)> {
        if let Some(segment) = self.tail.as_mut().and_then(|tail| tail.serving(cursor)) {
            return Some((segment.encoded(format, spare), Source::Tail, segment.end()));
        }
        let segment = self.pages.as_mut()?.serving(cursor)?;
        Some((segment.encoded(format, spare), Source::Page, segment.end()))
    }

    /// Lets go of what everybody was sent.
    pub(super) fn retire_tail(&mut self, spare: &mut Spares) {
        if let Some(mut tail) = self.tail.take() {
            tail.reset(self.head, spare);
        }
    }
}

/// Where publications came from, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Tail,
    Page,
}

/// All channels of a shard.
#[derive(Debug)]
pub(super) struct Channels {
    entries: Slab<ChannelEntry>,
    by_name: HashTable<Ix>,
    seed: u64,
}

impl Channels {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            entries: Slab::new(),
            by_name: HashTable::new(),
            seed,
        }
    }

    pub(super) fn find(&self, channel: &Channel) -> Option<Ix> {
        let hash = mix(channel.hash(), self.seed);
        self.by_name
            .find(hash, |&ix| self.entries[ix as usize].channel == *channel)
            .copied()
    }

    pub(super) fn insert(&mut self, channel: Channel, max_delay_ms: u32) -> Ix {
        let hash = mix(channel.hash(), self.seed);
        let entry = ChannelEntry {
            channel,
            epoch: EpochTag::NULL,
            head: 0,
            subscribers: SmallVec::new(),
            tail: None,
            pages: None,
            pass: Pass::default(),
            max_delay_ms,
        };
        let ix = Ix::try_from(self.entries.insert(entry)).expect("fewer than 2^32 channels");
        let (entries, seed) = (&self.entries, self.seed);
        self.by_name.insert_unique(hash, ix, |&ix| {
            mix(entries[ix as usize].channel.hash(), seed)
        });
        ix
    }

    pub(super) fn remove(&mut self, ix: Ix) -> ChannelEntry {
        let entry = self.entries.remove(ix as usize);
        let hash = mix(entry.channel.hash(), self.seed);
        if let Ok(found) = self.by_name.find_entry(hash, |&other| other == ix) {
            found.remove();
        }
        entry
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains(&self, ix: Ix) -> bool {
        self.entries.contains(ix as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ChannelEntry> {
        self.entries.iter().map(|(_, entry)| entry)
    }
}

impl std::ops::Index<Ix> for Channels {
    type Output = ChannelEntry;

    fn index(&self, ix: Ix) -> &ChannelEntry {
        &self.entries[ix as usize]
    }
}

impl std::ops::IndexMut<Ix> for Channels {
    fn index_mut(&mut self, ix: Ix) -> &mut ChannelEntry {
        &mut self.entries[ix as usize]
    }
}

/// Names are chosen by peers, who can compute their hashes; the seed keeps them from choosing
/// the table's slots.
fn mix(hash: u64, seed: u64) -> u64 {
    let product = u128::from(hash ^ seed) * u128::from(seed | 1);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded in")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded
}
