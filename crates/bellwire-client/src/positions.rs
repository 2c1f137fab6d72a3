//! How far the reader has got in each channel. Owned by the machine; every delivered message
//! and gap passes through here, and every (re)connect asks here for its cursor. Pure.
//!
//! Keyed by the channel hash that ids carry, so a cursor's segments need no names.

use std::collections::BTreeMap;

use bellwire_core::{
    channel::Channel,
    position::{EpochTag, Id, Position},
};

/// A position per channel, and what a caller's cursor held besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    marks: BTreeMap<u64, Mark>,
    /// `latest` and `earliest`: they go on applying to channels without a mark.
    words: Vec<&'static str>,
    /// Segments that can't be read here. They are sent until a server has answered them, or a
    /// gap it owes us would be hidden.
    unread: Vec<Box<str>>,
}

#[derive(Clone, Debug)]
struct Mark {
    id: String,
    /// Nothing where the id is of an unknown version: then only equality can be told.
    position: Option<Position>,
}

impl Mark {
    fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            position: Id::decode(id).map(|(_, position)| position),
        }
    }

    fn is_null(&self) -> bool {
        self.position
            .is_some_and(|position| position.epoch == EpochTag::NULL)
    }

    /// Whether `other` is at or before this mark.
    fn covers(&self, other: &Self) -> bool {
        match (self.position, other.position) {
            (Some(mine), Some(theirs)) => {
                mine.epoch == theirs.epoch && theirs.offset <= mine.offset && !self.is_null()
            }
            _ => self.id == other.id,
        }
    }
}

impl Positions {
    /// Starts from a caller's cursor.
    pub(crate) fn new(cursor: Option<&str>) -> Self {
        let mut positions = Self::default();
        for segment in cursor
            .unwrap_or_default()
            .split('.')
            .filter(|text| !text.is_empty())
        {
            match (segment, Id::decode(segment)) {
                ("latest", _) => positions.words.push("latest"),
                ("earliest", _) => positions.words.push("earliest"),
                (id, Some((hash, _))) => {
                    positions.marks.insert(hash, Mark::new(id));
                }
                (other, None) => positions.unread.push(other.into()),
            }
        }
        positions
    }

    /// The cursor to resume from; nothing before the first position is known.
    pub(crate) fn cursor(&self) -> Option<String> {
        let words = self.words.iter().copied();
        let unread = self.unread.iter().map(AsRef::as_ref);
        let ids = self.marks.values().map(|mark| mark.id.as_str());
        let segments: Vec<&str> = words.chain(unread).chain(ids).collect();
        (!segments.is_empty()).then(|| segments.join("."))
    }

    /// Takes where a stream says it begins. A mark of ours stays: if the server can't continue
    /// from it, the gap that follows says so and moves it.
    pub(crate) fn begin(&mut self, cursor: &str) {
        self.unread.clear();
        for id in cursor.split('.') {
            if let Some((hash, _)) = Id::decode(id) {
                self.marks.entry(hash).or_insert_with(|| Mark::new(id));
            }
        }
    }

    /// Takes a cursor that covers exactly what has been handed over, as a poll's answer has.
    pub(crate) fn advance(&mut self, cursor: &str) {
        self.unread.clear();
        for id in cursor.split('.') {
            let Some((hash, position)) = Id::decode(id) else {
                continue;
            };
            let mark = self.marks.entry(hash).or_insert_with(|| Mark::new(id));
            let ahead = mark
                .position
                .is_some_and(|mine| mine.epoch == position.epoch && mine.offset < position.offset);
            if mark.is_null() || ahead {
                *mark = Mark::new(id);
            }
        }
    }

    /// Whether a message is new to the reader; if so, it counts as read from here on.
    pub(crate) fn admit(&mut self, channel: &str, id: &str) -> bool {
        let Some(hash) = hash_of(channel, id) else {
            return true;
        };
        let next = Mark::new(id);
        if self.marks.get(&hash).is_some_and(|mark| mark.covers(&next)) {
            return false;
        }
        self.marks.insert(hash, next);
        true
    }

    /// Follows a gap to where delivery goes on, backwards too: only the server knows its log.
    pub(crate) fn follow(&mut self, channel: &str, cursor: &str) {
        if let Some(hash) = hash_of(channel, cursor) {
            self.marks.insert(hash, Mark::new(cursor));
        }
    }
}

/// The channel part of an id, from the name where the id can't be read.
fn hash_of(channel: &str, id: &str) -> Option<u64> {
    match Id::decode(id) {
        Some((hash, _)) => Some(hash),
        None => Channel::parse(channel).ok().map(|channel| channel.hash()),
    }
}

#[cfg(test)]
mod tests {
    use bellwire_core::position::Epoch;

    use super::*;

    fn id(channel: &str, epoch: u64, offset: u64) -> String {
        let channel = Channel::parse(channel).unwrap();
        let epoch = Epoch(epoch).tag(&channel);
        Id::new(&channel, Position { epoch, offset }).to_string()
    }

    fn has(positions: &Positions, segment: &str) -> bool {
        positions
            .cursor()
            .unwrap()
            .split('.')
            .any(|found| found == segment)
    }

    #[test]
    fn a_message_is_admitted_once_and_only_forwards() {
        let mut positions = Positions::new(None);
        assert_eq!(positions.cursor(), None);
        assert!(positions.admit("a", &id("a", 1, 5)));
        assert!(!positions.admit("a", &id("a", 1, 5)));
        assert!(!positions.admit("a", &id("a", 1, 4)));
        assert!(positions.admit("b", &id("b", 1, 1)), "channels count apart");
        assert!(positions.admit("a", &id("a", 1, 9)));
        assert!(has(&positions, &id("a", 1, 9)) && has(&positions, &id("b", 1, 1)));
    }

    #[test]
    fn a_greeting_fills_in_but_never_moves_a_mark() {
        let mut positions = Positions::new(Some(&id("a", 1, 5)));
        let null = Id::null(&Channel::parse("a").unwrap()).to_string();
        positions.begin(&format!("{null}.{}", id("b", 1, 7)));
        assert!(
            has(&positions, &id("a", 1, 5)),
            "the gap to come still needs the old position"
        );
        assert!(has(&positions, &id("b", 1, 7)));
    }

    #[test]
    fn a_gap_moves_the_mark_backwards_or_into_another_epoch() {
        let mut positions = Positions::new(Some(&id("a", 1, 50)));
        positions.follow("a", &id("a", 1, 3));
        assert!(positions.admit("a", &id("a", 1, 4)));
        positions.follow("a", &id("a", 2, 1));
        assert!(!positions.admit("a", &id("a", 2, 1)));
        assert!(positions.admit("a", &id("a", 2, 2)));
    }

    #[test]
    fn words_stay_and_unreadable_segments_go_once_answered() {
        let mut positions = Positions::new(Some("earliest.9zzz"));
        assert_eq!(positions.cursor().unwrap(), "earliest.9zzz");
        positions.begin(&id("a", 1, 2));
        assert_eq!(
            positions.cursor().unwrap(),
            format!("earliest.{}", id("a", 1, 2))
        );
    }

    #[test]
    fn a_polls_cursor_advances_marks_and_replaces_null_ones() {
        let null = Id::null(&Channel::parse("b").unwrap()).to_string();
        let mut positions = Positions::new(Some(&format!("{}.{null}", id("a", 1, 5))));
        positions.advance(&format!("{}.{}", id("a", 1, 4), id("b", 1, 2)));
        assert!(has(&positions, &id("a", 1, 5)), "never backwards");
        assert!(has(&positions, &id("b", 1, 2)));
        positions.advance(&id("a", 1, 8));
        assert!(has(&positions, &id("a", 1, 8)));
    }

    #[test]
    fn ids_of_an_unknown_version_are_kept_and_told_apart_by_their_text() {
        let mut positions = Positions::new(None);
        assert!(positions.admit("a", "2future"));
        assert!(!positions.admit("a", "2future"));
        assert!(positions.admit("a", "2later"));
        assert_eq!(positions.cursor().unwrap(), "2later");
    }
}
