//! Consecutive publications of one channel with their encodings: what tails and pages are made of.
//!
//! A connection's cursor is turned into a range of encoded bytes here, so that delivering any
//! number of pending publications is one slice of one chunk. Lives on one shard.

use std::{
    cell::{Ref, RefCell},
    rc::Rc,
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{compression::Compressors, format::Format, publication::Publication};

/// What an encoding adds to a payload, about: names, id, time, framing.
const ENVELOPE_BYTES: usize = 160;

/// Encoded publications, one behind the other. Only ever appended to while it is shared.
#[derive(Debug, Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    index: Vec<Entry>,
}

/// Where a publication ends in a chunk.
#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: u64,
    end: usize,
}

/// A chunk shared by the connections that are in the middle of it.
pub type SharedChunk = Rc<RefCell<Chunk>>;

/// Some publications of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// First byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// How many.
    pub count: usize,
    /// The offset of the last one.
    pub last: u64,
}

impl Chunk {
    /// The encoded bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The publications after `cursor`: at most `max_count`, and at most `max_bytes` unless the
    /// first one alone is longer.
    #[must_use]
    pub fn run(&self, cursor: u64, max_count: usize, max_bytes: usize) -> Option<Run> {
        let first = self.index.partition_point(|entry| entry.offset <= cursor);
        let start = first
            .checked_sub(1)
            .map_or(0, |before| self.index[before].end);
        let fitting = self.index[first..]
            .iter()
            .take(max_count)
            .take_while(|entry| entry.end - start <= max_bytes)
            .count()
            .max(1);
        let last = self.index.get(first + fitting - 1)?;
        Some(Run {
            start,
            end: last.end,
            count: fitting,
            last: last.offset,
        })
    }

    /// The publication of a run in which the byte `at` lies: its offset and where it ends.
    #[must_use]
    pub fn entry_at(&self, at: usize) -> Option<(u64, usize)> {
        let nth = self.index.partition_point(|entry| entry.end <= at);
        self.index.get(nth).map(|entry| (entry.offset, entry.end))
    }

    /// The offset of the last publication that ends at or before the byte `at`.
    #[must_use]
    pub fn offset_before(&self, at: usize) -> Option<u64> {
        let nth = self.index.partition_point(|entry| entry.end <= at);
        nth.checked_sub(1).map(|last| self.index[last].offset)
    }

    /// Whether a publication ends at the byte `at`.
    #[must_use]
    pub fn is_boundary(&self, at: usize) -> bool {
        at == 0
            || self
                .index
                .binary_search_by_key(&at, |entry| entry.end)
                .is_ok()
    }

    /// How many publications lie behind `after`, up to and including `last`.
    #[must_use]
    pub fn count_between(&self, after: u64, last: u64) -> u64 {
        let start = self.index.partition_point(|entry| entry.offset <= after);
        let end = self.index.partition_point(|entry| entry.offset <= last);
        end.saturating_sub(start) as u64
    }

    fn encoded_to(&self) -> Option<u64> {
        self.index.last().map(|entry| entry.offset)
    }

    fn append(&mut self, format: Format, publication: &Publication, compressors: &mut Compressors) {
        format.encode(&mut self.bytes, publication, compressors);
        self.index.push(Entry {
            offset: publication.position.offset,
            end: self.bytes.len(),
        });
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
    }
}

/// Every publication with `start < offset <= end`, encoded on first need.
#[derive(Debug)]
pub struct Segment {
    start: u64,
    end: u64,
    weight: usize,
    publications: Vec<Arc<Publication>>,
    encodings: SmallVec<[(Format, SharedChunk); 1]>,
}

impl Segment {
    /// An empty segment that begins after `start`.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self {
            start,
            end: start,
            weight: 0,
            publications: Vec::new(),
            encodings: SmallVec::new(),
        }
    }

    /// A page of the log.
    #[must_use]
    pub fn from_page(start: u64, end: u64, publications: Vec<Arc<Publication>>) -> Self {
        let weight = publications
            .iter()
            .map(|publication| publication.weight())
            .sum();
        Self {
            start,
            end,
            weight,
            publications,
            encodings: SmallVec::new(),
        }
    }

    /// Adds the next publication.
    pub fn append(&mut self, publication: Arc<Publication>) {
        self.end = publication.position.offset;
        self.weight += publication.weight();
        self.publications.push(publication);
    }

    /// Readers below this offset can't be served from here.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The last offset.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Payload bytes held.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether a reader at `cursor` finds its next publications here.
    #[must_use]
    pub fn serves(&self, cursor: u64) -> bool {
        self.start <= cursor && cursor < self.end
    }

    /// The segment in one format, complete.
    pub fn encoded(&mut self, format: Format, spare: &mut Spares) -> SharedChunk {
        let nth = self
            .encodings
            .iter()
            .position(|(known, _)| *known == format);
        let nth = nth.unwrap_or_else(|| {
            self.encodings.push((format, spare.take()));
            self.encodings.len() - 1
        });
        let shared = Rc::clone(&self.encodings[nth].1);
        let encoded_to = shared.borrow().encoded_to();
        if encoded_to != self.publications.last().map(|last| last.position.offset) {
            let mut chunk = shared.borrow_mut();
            let from = encoded_to.unwrap_or(0);
            let missing = self
                .publications
                .partition_point(|p| p.position.offset <= from);
            let missing = &self.publications[missing..];
            // A page is encoded at once: without this its buffer would end up twice as large.
            let expected: usize = missing.iter().map(|p| p.weight() + ENVELOPE_BYTES).sum();
            chunk.bytes.reserve(expected);
            for publication in missing {
                chunk.append(format, publication, &mut spare.compressors);
            }
        }
        shared
    }

    /// Starts over at `start`, giving what nobody shares back for reuse.
    pub fn reset(&mut self, start: u64, spare: &mut Spares) {
        self.start = start;
        self.end = start;
        self.weight = 0;
        self.publications.clear();
        for (_, chunk) in self.encodings.drain(..) {
            spare.give(chunk);
        }
    }
}

/// What encoding needs, between two uses: chunks, so that the steady state allocates nothing and
/// large buffers do not tear holes into the heap; and compressors.
#[derive(Debug, Default)]
pub struct Spares {
    /// For the formats that need them.
    pub compressors: Compressors,
    chunks: Vec<SharedChunk>,
    /// What their buffers take.
    bytes: usize,
}

impl Spares {
    const MAX_CHUNKS: usize = 16;
    const MAX_BYTES: usize = 512 << 10;

    fn take(&mut self) -> SharedChunk {
        let chunk = self.chunks.pop().unwrap_or_default();
        self.bytes -= chunk.borrow().bytes.capacity();
        chunk
    }

    fn give(&mut self, chunk: SharedChunk) {
        let bytes = self.bytes + chunk.borrow().bytes.capacity();
        let fits = bytes <= Self::MAX_BYTES && self.chunks.len() < Self::MAX_CHUNKS;
        if fits && Rc::strong_count(&chunk) == 1 {
            chunk.borrow_mut().clear();
            self.chunks.push(chunk);
            self.bytes = bytes;
        }
    }
}

/// Bytes that a connection still has to send, whatever becomes of the place they came from.
#[derive(Clone, Debug)]
pub enum Pinned {
    /// The rest of a publication in a shared chunk.
    Shared {
        /// The chunk.
        chunk: SharedChunk,
        /// Next byte to send.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
    /// The connection's own bytes.
    Own {
        /// The bytes.
        bytes: Vec<u8>,
        /// Next byte to send.
        start: usize,
    },
    /// Bytes that are the same for everybody.
    Static(&'static [u8]),
}

impl Pinned {
    /// Bytes still to send.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Shared { start, end, .. } => end - start,
            Self::Own { bytes, start } => bytes.len() - start,
            Self::Static(bytes) => bytes.len(),
        }
    }

    /// Whether all is sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are held for this connection alone.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        match self {
            Self::Own { bytes, .. } => bytes.capacity(),
            Self::Shared { .. } | Self::Static(_) => 0,
        }
    }

    /// Marks `count` bytes as sent.
    pub fn advance(&mut self, count: usize) {
        match self {
            Self::Shared { start, .. } | Self::Own { start, .. } => *start += count,
            Self::Static(bytes) => *bytes = &bytes[count..],
        }
    }

    /// The bytes, for as long as nobody appends to the chunk.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        match self {
            Self::Shared { chunk, start, end } => {
                let (start, end) = (*start, *end);
                View::Shared(Ref::map(chunk.borrow(), |chunk| &chunk.bytes[start..end]))
            }
            Self::Own { bytes, start } => View::Plain(&bytes[*start..]),
            Self::Static(bytes) => View::Plain(bytes),
        }
    }
}

/// Borrowed bytes.
#[derive(Debug)]
pub enum View<'a> {
    /// Of a chunk.
    Shared(Ref<'a, [u8]>),
    /// Of anything else.
    Plain(&'a [u8]),
}

impl std::ops::Deref for View<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Plain(bytes) => bytes,
        }
    }
}
