//! Cuts pages out of a log: for connections behind the tail and for history readers.

use std::sync::Arc;

use super::{start::Resolved, store::View};
use crate::{
    channel::Channel,
    engine::{GapReason, HistoryPage, LogPage, Order, Start},
    publication::Publication,
};

/// How much a history reader wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageSize {
    pub(super) limit: usize,
    pub(super) max_bytes: usize,
}

impl View<'_> {
    /// A page for connections behind the tail. The whole log where it fits, so that readers at
    /// different offsets share it.
    pub(super) fn page(&self, channel: &Channel, after: u64, max_bytes: usize) -> LogPage {
        let whole = self.log.is_none_or(|log| log.weight() <= max_bytes);
        let start = if whole {
            self.trimmed
        } else {
            after.clamp(self.trimmed, self.head)
        };
        let size = PageSize {
            limit: usize::MAX,
            max_bytes,
        };
        let first = self.log.map_or(0, |log| log.index_after(start));
        let publications = self.log.map_or_else(Vec::new, |log| {
            take(log.publications().range(first..), size)
        });
        let end = publications
            .last()
            .map_or(self.head, |last| last.position.offset);
        LogPage {
            channel: channel.clone(),
            trimmed: self.trimmed,
            oldest: self.oldest(),
            start,
            end,
            publications,
        }
    }

    /// A page for a history reader, from a resolved start.
    pub(super) fn history(
        &self,
        start: Start,
        resolved: Resolved,
        order: Order,
        size: PageSize,
    ) -> HistoryPage {
        let Some(log) = self.log else {
            return self.history_page(resolved, Vec::new(), false);
        };
        let all = log.publications();
        let (publications, available) = match order {
            Order::Asc => {
                let first = log.index_after(resolved.start);
                (take(all.range(first..), size), all.len() - first)
            }
            Order::Desc => {
                let end = self.index_before(start, resolved);
                (take(all.range(..end).rev(), size), end)
            }
        };
        let more = available > publications.len();
        self.history_page(resolved, publications, more)
    }

    fn history_page(
        &self,
        resolved: Resolved,
        publications: Vec<Arc<Publication>>,
        more: bool,
    ) -> HistoryPage {
        let last = publications.last().map(|last| last.position.offset);
        let cursor = last.unwrap_or(resolved.start);
        HistoryPage {
            epoch: self.epoch,
            publications,
            gap: resolved.gap,
            cursor,
            more,
        }
    }

    /// How many publications lie before a start, for a reader that goes backwards.
    fn index_before(&self, start: Start, resolved: Resolved) -> usize {
        let Some(log) = self.log else { return 0 };
        match (start, resolved.gap.map(|gap| gap.reason)) {
            (Start::Earliest, _) | (_, Some(GapReason::Retention)) => 0,
            // A position that says nothing here is a fresh start from the newest.
            (Start::Latest | Start::Unknown, _) | (_, Some(_)) => log.publications().len(),
            (Start::After(position), None) => log
                .publications()
                .partition_point(|p| p.position.offset < position.offset),
        }
    }
}

/// As many as the size allows, and always one, except where the limit is none.
fn take<'a>(
    publications: impl Iterator<Item = &'a Arc<Publication>>,
    size: PageSize,
) -> Vec<Arc<Publication>> {
    let mut weight = 0;
    let fits = |publication: &&Arc<Publication>| {
        let first = weight == 0;
        weight += publication.weight().max(1);
        first || weight <= size.max_bytes
    };
    publications
        .take(size.limit)
        .take_while(fits)
        .map(Arc::clone)
        .collect()
}
