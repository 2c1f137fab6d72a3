//! The checker: what one client may conclude from what it was told, held against the ledger.
//!
//! It knows the delivery contract (design §6), not the code that keeps it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    ids::{Place, channel_mark, read_id},
    ledger::Ledger,
};

/// Where a client stands in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// Never had a position: whatever it is told first is right.
    Fresh,
    /// Was told that its position is unknown; a gap has to follow.
    Unknown,
    /// Has everything up to here, or was told what it lacks.
    At(Place),
}

/// One client's knowledge of one channel, over all of its connections.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) stand: Stand,
    /// What it presented when the present connection began.
    presented: Stand,
    /// Whether a publication came on the present connection.
    delivered: bool,
    received: BTreeSet<Place>,
    /// The channel part of its ids.
    mark: [u8; 8],
    /// The id that says where it stands, as it came.
    text: String,
}

/// What the checker may assume about a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// Tombstones were pushed out: from then on gaps may be false (D6).
    pub(crate) false_gaps: bool,
}

/// What one client knows.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pages: BTreeMap<String, Page>,
    pub(crate) received: usize,
    pub(crate) gaps: BTreeMap<String, usize>,
}

type Checked = Result<(), String>;

impl Book {
    pub(crate) fn subscribe(&mut self, channel: &str) {
        let page = Page {
            stand: Stand::Fresh,
            presented: Stand::Fresh,
            delivered: false,
            received: BTreeSet::new(),
            mark: channel_mark(channel),
            text: String::new(),
        };
        self.pages.entry(channel.to_owned()).or_insert(page);
    }

    /// What the client would resume a channel from.
    pub(crate) fn text(&self, channel: &str) -> &str {
        &self.pages[channel].text
    }

    pub(crate) fn stand(&self, channel: &str) -> Stand {
        self.pages[channel].stand
    }

    /// A new subscription presents what the client knows.
    pub(crate) fn present(&mut self, channel: &str) {
        if let Some(page) = self.pages.get_mut(channel) {
            page.presented = page.stand;
            page.delivered = false;
        }
    }

    /// A cursor says where its channels stand: nothing may be skipped by it.
    pub(crate) fn cursor(&mut self, cursor: &str, ledger: &Ledger) -> Checked {
        for segment in cursor.split('.').filter(|segment| !segment.is_empty()) {
            let (mark, place) = read_id(segment).ok_or_else(|| format!("no id: {segment:?}"))?;
            let found = self.pages.iter_mut().find(|(_, page)| page.mark == mark);
            let (channel, page) = found.ok_or_else(|| format!("{segment} is of no channel"))?;
            page.stands_at(channel, place, ledger)?;
            segment.clone_into(&mut page.text);
        }
        Ok(())
    }

    /// A publication (D1, D4, D5).
    pub(crate) fn message(
        &mut self,
        channel: &str,
        id: &str,
        number: u64,
        ledger: &Ledger,
    ) -> Checked {
        let page = self.page(channel)?;
        let place = page.read(id)?;
        let found = ledger.number_at(channel, place);
        if found != Some(number) {
            return Err(format!(
                "{channel}: {number} came as {place:?}, which is {found:?}"
            ));
        }
        if !page.received.insert(place) {
            return Err(format!("D4: {channel}: {place:?} came twice"));
        }
        match page.stand {
            Stand::Fresh => {}
            Stand::Unknown => return Err(format!("D5: {channel}: {place:?} before the gap")),
            Stand::At(at) if at.tag != place.tag => {
                return Err(format!(
                    "D5: {channel}: {place:?} after {at:?} without gap epoch_changed"
                ));
            }
            Stand::At(at) if at.offset >= place.offset => {
                return Err(format!("D1: {channel}: {place:?} after {at:?}"));
            }
            Stand::At(at) => {
                let skipped = ledger.count(channel, place.tag, at.offset, place.offset - 1);
                if skipped > 0 {
                    return Err(format!(
                        "D5: {channel}: {skipped} lost in silence between {at:?} and {place:?}"
                    ));
                }
            }
        }
        page.stand = Stand::At(place);
        id.clone_into(&mut page.text);
        page.delivered = true;
        self.received += 1;
        Ok(())
    }

    /// An announced loss (D5): it must be true, and continue where it says.
    pub(crate) fn gap(&mut self, gap: &Value, ledger: &Ledger, allowed: Allowed) -> Checked {
        let text = |field: &str| gap[field].as_str();
        let channel = text("channel").ok_or("a gap without channel")?.to_owned();
        let reason = text("reason").ok_or("a gap without reason")?.to_owned();
        let cursor = text("cursor").ok_or("a gap without cursor")?.to_owned();
        let page = self.page(&channel)?;
        let resume = page.read(&cursor)?;
        let last = text("last").map(|id| page.read(id)).transpose()?;
        let next = text("next").map(|id| page.read(id)).transpose()?;
        let wrong = |what: &str| {
            Err(format!(
                "D5: {what}: {gap}, standing at {:?} = {last:?} to {resume:?}, next {next:?}",
                page.stand
            ))
        };
        if page.delivered && reason != "slow_consumer" {
            return wrong("a gap of the attach came late");
        }
        match (reason.as_str(), page.presented, page.stand) {
            ("retention" | "slow_consumer" | "limit", _, Stand::At(at)) => {
                // A later position is the same one where nothing lies between.
                let begins = last.is_some_and(|last| {
                    let between = ledger.count(&channel, at.tag, at.offset, last.offset);
                    last.tag == at.tag && last.offset >= at.offset && between == 0
                });
                let never_asked = page.presented == Stand::Fresh && last.is_none();
                if !(begins || never_asked) {
                    return wrong("a gap that begins elsewhere");
                }
                let lost = ledger.count(&channel, at.tag, at.offset, resume.offset);
                let excused = allowed.false_gaps && reason != "limit";
                if resume.tag != at.tag || (lost == 0 && !excused) {
                    return wrong("a false gap");
                }
            }
            ("limit", Stand::Fresh, _) if last.is_none() => {}
            // A poll has no hello: the gap itself says where the client stood.
            ("slow_consumer", Stand::Fresh, Stand::Fresh) => {
                let lost = last.map(|at| ledger.count(&channel, at.tag, at.offset, resume.offset));
                if lost.unwrap_or_default() == 0 {
                    return wrong("a false gap");
                }
            }
            ("epoch_changed", Stand::At(old), _) if old.tag != resume.tag && last.is_none() => {}
            ("position_unknown", Stand::Unknown, _) if last.is_none() && next.is_none() => {}
            _ => return wrong("a gap for no reason"),
        }
        if let Some(next) = next
            && ledger.next(&channel, resume) != Some(next.offset)
        {
            return wrong("something lies between the cursor and next");
        }
        page.stand = Stand::At(resume);
        page.text = cursor;
        *self.gaps.entry(reason).or_default() += 1;
        Ok(())
    }

    /// Nothing is under way any more: a connected client has everything.
    pub(crate) fn complete(&self, channel: &str, ledger: &Ledger) -> Checked {
        let Stand::At(at) = self.stand(channel) else {
            return Err(format!("{channel}: still at {:?}", self.stand(channel)));
        };
        match ledger.count(channel, at.tag, at.offset, u64::MAX) {
            0 => Ok(()),
            lost => Err(format!("D5: {channel}: {lost} after {at:?} never came")),
        }
    }

    fn page(&mut self, channel: &str) -> Result<&mut Page, String> {
        let page = self.pages.get_mut(channel);
        page.ok_or_else(|| format!("nobody subscribed to {channel}"))
    }
}

impl Page {
    fn read(&self, id: &str) -> Result<Place, String> {
        match read_id(id) {
            Some((mark, place)) if mark == self.mark => Ok(place),
            other => Err(format!("{id:?} is no id of the channel: {other:?}")),
        }
    }

    fn stands_at(&mut self, channel: &str, place: Place, ledger: &Ledger) -> Checked {
        if place.is_null() {
            self.stand = Stand::Unknown;
            return Ok(());
        }
        match self.stand {
            Stand::Fresh => {}
            Stand::Unknown => return Err(format!("D5: {channel}: {place:?} without the gap")),
            Stand::At(at) if at.tag != place.tag => {
                return Err(format!(
                    "D5: {channel}: from {at:?} to {place:?} in silence"
                ));
            }
            Stand::At(at) if at.offset > place.offset => {
                return Err(format!("D4: {channel}: back from {at:?} to {place:?}"));
            }
            Stand::At(at) => {
                let skipped = ledger.count(channel, at.tag, at.offset, place.offset);
                if skipped > 0 {
                    return Err(format!(
                        "D5: {channel}: {skipped} lost in silence between {at:?} and {place:?}"
                    ));
                }
            }
        }
        self.stand = Stand::At(place);
        Ok(())
    }
}
