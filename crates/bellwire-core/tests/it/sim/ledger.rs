//! What was really published, learned at the moment of each append, and what publishers were
//! told. The checkers ask it; the code under test does not know it.

use std::collections::BTreeMap;

use super::ids::{Place, Tag};

/// Everything appended in a run, over all epochs.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By channel and epoch: offset to the message's number.
    logs: BTreeMap<(String, Tag), BTreeMap<u64, u64>>,
    /// Where each numbered message was appended last.
    places: BTreeMap<u64, (String, Place)>,
    /// The first thing that went wrong at an append.
    pub(crate) broken: Option<String>,
}

impl Ledger {
    /// Records an append (D1: positions of a channel and epoch increase; D3: a message is
    /// appended once in an epoch).
    pub(crate) fn append(&mut self, channel: &str, place: Place, number: u64) {
        let log = self
            .logs
            .entry((channel.to_owned(), place.tag))
            .or_default();
        let last = log.last_key_value().map(|(offset, _)| *offset);
        if last.is_some_and(|last| last >= place.offset) {
            self.broken = Some(format!(
                "D6: {channel} gave offset {} after {last:?} in one epoch",
                place.offset
            ));
        }
        log.insert(place.offset, number);
        let before = self.places.insert(number, (channel.to_owned(), place));
        if before.is_some_and(|(_, before)| before.tag == place.tag) {
            self.broken = Some(format!("D3: message {number} was appended twice"));
        }
    }

    /// Where a message was appended last.
    pub(crate) fn place_of(&self, number: u64) -> Option<Place> {
        self.places.get(&number).map(|(_, place)| *place)
    }

    /// The number of the message at a place.
    pub(crate) fn number_at(&self, channel: &str, place: Place) -> Option<u64> {
        self.log(channel, place.tag)?.get(&place.offset).copied()
    }

    /// How many messages lie behind `after`, up to and including `last`.
    pub(crate) fn count(&self, channel: &str, tag: Tag, after: u64, last: u64) -> usize {
        let Some(log) = self.log(channel, tag).filter(|_| after < last) else {
            return 0;
        };
        log.range(after + 1..=last).count()
    }

    /// The first message behind a place.
    pub(crate) fn next(&self, channel: &str, place: Place) -> Option<u64> {
        let mut later = self.log(channel, place.tag)?.range(place.offset + 1..);
        later.next().map(|(offset, _)| *offset)
    }

    fn log(&self, channel: &str, tag: Tag) -> Option<&BTreeMap<u64, u64>> {
        self.logs.get(&(channel.to_owned(), tag))
    }
}
