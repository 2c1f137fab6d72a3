//! A channel's recent publications, from which everybody who keeps up is served.
//!
//! Two generations of at most 32 KiB (or one publication) each, so that it holds at most 64 KiB
//! or one publication, and rolling over never takes away what was appended just now. It exists
//! only while somebody still has to be sent something.

use std::{mem, sync::Arc};

use crate::{
    publication::Publication,
    segment::{Segment, Spares},
};

/// Payload bytes of one generation.
const GENERATION_BYTES: usize = 32 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    previous: Segment,
    current: Segment,
}

impl Tail {
    /// A tail that serves readers from `start` on.
    pub(super) fn new(start: u64) -> Self {
        Self {
            previous: Segment::new(start),
            current: Segment::new(start),
        }
    }

    pub(super) fn append(&mut self, publication: Arc<Publication>, spare: &mut Spares) {
        let weight = self.current.weight();
        if weight > 0 && weight + publication.weight() > GENERATION_BYTES {
            let end = self.current.end();
            mem::swap(&mut self.previous, &mut self.current);
            self.current.reset(end, spare);
        }
        self.current.append(publication);
    }

    /// The generation in which a reader at `cursor` goes on.
    pub(super) fn serving(&mut self, cursor: u64) -> Option<&mut Segment> {
        [&mut self.current, &mut self.previous]
            .into_iter()
            .find(|segment| segment.serves(cursor))
    }

    /// Whether appending this much now would drop what was appended since the last roll-over.
    pub(super) fn would_roll(&self, weight: usize) -> bool {
        self.previous.weight() > 0
            && self.current.weight() > 0
            && self.current.weight() + weight > GENERATION_BYTES
    }

    /// Starts over: nothing before or at `start` is held any more.
    pub(super) fn reset(&mut self, start: u64, spare: &mut Spares) {
        self.previous.reset(start, spare);
        self.current.reset(start, spare);
    }
}
