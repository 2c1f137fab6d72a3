//! What one client was told, in the order it was told, over all of its connections. Clients write
//! it, the account reads it; nothing is judged here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Place, channel_mark, read_id};

/// A `gap` as it comes on the wire.
#[derive(Clone, Debug, Deserialize)]
pub struct GapWord {
    /// Whose loss.
    pub channel: String,
    /// Why.
    pub reason: String,
    /// The last id the client has.
    pub last: Option<String>,
    /// Where delivery continues.
    pub cursor: String,
}

/// Something a client was told of one channel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard {
    /// Its first position.
    Started { at: Place, sent: u64 },
    /// A null id: a gap has to follow.
    Unknown,
    /// A publication.
    Message { at: Place, number: u64 },
    /// An announced loss.
    Gap {
        reason: Reason,
        last: Option<Place>,
        resume: Place,
        sent: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// History no longer reaches back.
    TooOld,
    EpochChanged,
    PositionUnknown,
    Other,
}

/// What one client was told of one channel, in order.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) channel: String,
    mark: [u8; 8],
    pub(super) heard: Vec<Heard>,
    started: bool,
    last: u64,
}

/// What one client was told, over all of its connections.
#[derive(Debug, Default)]
pub struct Diary {
    pub(super) pages: Vec<Page>,
    pub(super) malformed: Vec<String>,
    pub(super) reasons: BTreeMap<String, u64>,
}

impl Diary {
    /// A client of some channels, by their resolved names.
    #[must_use]
    pub fn new(channels: &[String]) -> Self {
        let page = |channel: &String| Page {
            channel: channel.clone(),
            mark: channel_mark(channel),
            heard: Vec::new(),
            started: false,
            last: 0,
        };
        Self {
            pages: channels.iter().map(page).collect(),
            ..Self::default()
        }
    }

    /// A cursor that the server gave: the first one is where the client begins. `sent` tells the
    /// number of the newest publication of a channel that may exist by now.
    pub fn cursor(&mut self, cursor: &str, sent: impl Fn(&str) -> u64) {
        for segment in cursor.split('.').filter(|segment| !segment.is_empty()) {
            let read = read_id(segment);
            let page = read.and_then(|(mark, at)| {
                let page = self.pages.iter_mut().find(|page| page.mark == mark)?;
                Some((page, at))
            });
            let Some((page, at)) = page else {
                self.malformed
                    .push(format!("{segment:?} in a cursor is of no channel"));
                continue;
            };
            if at.is_null() {
                page.heard.push(Heard::Unknown);
            } else if !page.started {
                let sent = sent(&page.channel);
                page.heard.push(Heard::Started { at, sent });
                page.started = true;
            }
        }
    }

    /// A publication came.
    pub fn message(&mut self, channel: &str, id: &str, number: u64) {
        let Some((page, at)) = self.placed(channel, id) else {
            return;
        };
        page.heard.push(Heard::Message { at, number });
        page.last = number;
    }

    /// A loss was announced.
    pub fn gap(&mut self, gap: &GapWord, sent: impl Fn(&str) -> u64) {
        *self.reasons.entry(gap.reason.clone()).or_default() += 1;
        let reason = match gap.reason.as_str() {
            "retention" | "slow_consumer" => Reason::TooOld,
            "epoch_changed" => Reason::EpochChanged,
            "position_unknown" => Reason::PositionUnknown,
            _ => Reason::Other,
        };
        let last = match &gap.last {
            None => None,
            Some(id) => match self.placed(&gap.channel, id) {
                Some((_, last)) => Some(last),
                None => return,
            },
        };
        let sent = sent(&gap.channel);
        let Some((page, resume)) = self.placed(&gap.channel, &gap.cursor) else {
            return;
        };
        page.heard.push(Heard::Gap {
            reason,
            last,
            resume,
            sent,
        });
    }

    /// What makes no sense by the rules of the wire.
    pub fn malformed(&mut self, what: String) {
        self.malformed.push(what);
    }

    /// The number of the last publication that came of a channel.
    #[must_use]
    pub fn last(&self, channel: &str) -> u64 {
        let page = self.pages.iter().find(|page| page.channel == channel);
        page.map_or(0, |page| page.last)
    }

    fn placed(&mut self, channel: &str, id: &str) -> Option<(&mut Page, Place)> {
        let read = read_id(id);
        let found = self.pages.iter_mut().find(|page| page.channel == channel);
        let placed = match (found, read) {
            (Some(page), Some((mark, at))) if mark == page.mark && !at.is_null() => {
                Some((page, at))
            }
            _ => None,
        };
        if placed.is_none() {
            self.malformed
                .push(format!("{id:?} of {channel} is no id of a subscription"));
        }
        placed
    }
}
