//! Pages of a channel's log, for connections behind its tail. Shared by all who need the same
//! range, so a storm of reconnects reads history once, not once per client.

use super::connection::ConnectionRef;
use crate::segment::{Segment, Spares};

/// Payload bytes of a page.
pub(super) const PAGE_BYTES: usize = 128 << 10;
/// Pages of one channel: the one that readers are in, and the next.
const MAX_PAGES: usize = 2;

/// The pages of one channel.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pages: Vec<Page>,
    /// Who goes on when the page that is being read has come.
    pub(super) waiting: Vec<ConnectionRef>,
    /// Whether a read is under way.
    pub(super) reading: bool,
}

#[derive(Debug)]
struct Page {
    segment: Segment,
    /// Used since the last sweep.
    used: bool,
}

impl Pages {
    /// Adds a page; returns the payload bytes that the oldest one gives back for it.
    ///
    /// Readers of a channel are mostly close together. For stragglers at many places a page is
    /// cheaply read again; kept ones would hold what the log has long dropped.
    pub(super) fn insert(&mut self, segment: Segment, spare: &mut Spares) -> usize {
        let before = self.weight();
        if self.pages.len() == MAX_PAGES {
            self.pages.remove(0).segment.reset(0, spare);
        }
        let freed = before - self.weight();
        self.pages.push(Page {
            segment,
            used: true,
        });
        freed
    }

    /// The page in which a reader at `cursor` goes on.
    pub(super) fn serving(&mut self, cursor: u64) -> Option<&mut Segment> {
        // The newest of several: the older ones may be prefixes of it.
        let page = self
            .pages
            .iter_mut()
            .rev()
            .find(|page| page.segment.serves(cursor))?;
        page.used = true;
        Some(&mut page.segment)
    }

    /// Drops pages nobody used since the last call; returns the payload bytes given back.
    pub(super) fn sweep(&mut self, spare: &mut Spares) -> usize {
        let before = self.weight();
        let unused = |page: &mut Page| !std::mem::take(&mut page.used);
        for mut page in self.pages.extract_if(.., unused) {
            page.segment.reset(0, spare);
        }
        before - self.weight()
    }

    /// Drops all pages; returns the payload bytes given back.
    pub(super) fn clear(&mut self, spare: &mut Spares) -> usize {
        let weight = self.weight();
        for mut page in self.pages.drain(..) {
            page.segment.reset(0, spare);
        }
        weight
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.pages.is_empty() && self.waiting.is_empty() && !self.reading
    }

    pub(super) fn weight(&self) -> usize {
        self.pages.iter().map(|page| page.segment.weight()).sum()
    }
}
