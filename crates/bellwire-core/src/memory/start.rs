//! What a start means against a log: the gap rules (design D4 to D7), in one place.
//!
//! Called for attaches and history. A cursor has a gap exactly when it is below the `prev` of the
//! first retained publication; every rule here is that one, or says why the cursor can't be read.

use super::store::View;
use crate::engine::{Gap, GapReason, MaxCatchup, Start};

/// Where delivery begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Where the client stood, `None` where that is unknown.
    pub(super) asked: Option<u64>,
    /// Delivery continues with what follows this offset.
    pub(super) start: u64,
    pub(super) gap: Option<Gap>,
    /// Whether the position was of another epoch.
    pub(super) foreign: bool,
}

impl Resolved {
    fn whole(start: u64) -> Self {
        Self {
            asked: Some(start),
            start,
            gap: None,
            foreign: false,
        }
    }

    pub(super) fn is_retention(&self) -> bool {
        self.gap
            .is_some_and(|gap| gap.reason == GapReason::Retention)
    }

    fn lost(reason: GapReason, last: Option<u64>, next: Option<u64>, resume: u64) -> Self {
        let gap = Gap {
            reason,
            last,
            next,
            resume,
        };
        let foreign = reason == GapReason::EpochChanged;
        Self {
            asked: last,
            start: resume,
            gap: Some(gap),
            foreign,
        }
    }
}

impl View<'_> {
    /// Resolves a start without regard to how much follows it.
    pub(super) fn resolve(&self, start: Start) -> Resolved {
        let position = match start {
            Start::Latest => return Resolved::whole(self.head),
            Start::Earliest => return Resolved::whole(self.trimmed),
            Start::Unknown => return self.unknown(),
            Start::After(position) => position,
        };
        let oldest = self.oldest();
        if position.epoch != self.epoch {
            // A channel that nothing is known of has no end of its trimming to resume from.
            let nothing = self.log.is_none() && self.trimmed == 0;
            let resume = if nothing { self.head } else { self.trimmed };
            return Resolved::lost(GapReason::EpochChanged, None, oldest, resume);
        }
        // Nobody was ever given an offset of this channel above its head: the counter where there
        // is no log, and a log that begins later begins above that.
        if position.offset > self.head {
            return self.unknown();
        }
        if position.offset < self.trimmed {
            return Resolved::lost(
                GapReason::Retention,
                Some(position.offset),
                oldest,
                self.trimmed,
            );
        }
        Resolved::whole(position.offset)
    }

    /// Resolves a start and cuts short what is longer than a client may catch up on.
    pub(super) fn resolve_within(&self, start: Start, max: MaxCatchup) -> Resolved {
        let mut resolved = self.resolve(start);
        if resolved.gap.is_none() && self.is_nothing_after(resolved.start) {
            // From the head on the shard needs no page of the log to go on.
            resolved.start = self.head;
            return resolved;
        }
        let Some((resume, next)) = self.newest_that_fit(resolved.start, max) else {
            return resolved;
        };
        let gap = resolved.gap.get_or_insert_with(|| Gap {
            reason: GapReason::Limit,
            last: resolved.asked.filter(|_| start != Start::Earliest),
            next: None,
            resume,
        });
        gap.next = Some(next);
        gap.resume = resume;
        resolved.start = resume;
        resolved
    }

    /// The offset of the oldest retained publication.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.log.map(|log| log.oldest().position.offset)
    }

    fn is_nothing_after(&self, offset: u64) -> bool {
        self.log
            .is_none_or(|log| log.index_after(offset) == log.publications().len())
    }

    fn unknown(&self) -> Resolved {
        Resolved::lost(GapReason::PositionUnknown, None, None, self.head)
    }

    /// Where what follows `start` is over the bound: the `prev` and the offset of the first
    /// publication of the longest end that is not. The newest publication always fits.
    fn newest_that_fit(&self, start: u64, max: MaxCatchup) -> Option<(u64, u64)> {
        let log = self.log?;
        let first = log.index_after(start);
        let mut weight = 0;
        let mut fitting = None;
        for (n, publication) in log.publications().range(first..).rev().enumerate() {
            weight += publication.weight();
            if n > 0 && (n >= max.count || weight > max.bytes) {
                return fitting;
            }
            fitting = Some((publication.prev, publication.position.offset));
        }
        None
    }
}
