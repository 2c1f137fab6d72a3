//! What a client resumes from: ids joined with `.`, in any order, and perhaps a word.
//!
//! Parsing never fails: a cursor comes from a peer, and a bad one is a gap, not an error. What a
//! start means against a log is the engine's business ([`crate::engine::Start`]).

use crate::{
    channel::Channel,
    engine::Start,
    position::{EpochTag, Id, Position},
};

/// A parsed cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    segments: Vec<(u64, Position)>,
    word: Option<Word>,
    empty: bool,
}

/// What applies to channels without a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Latest,
    Earliest,
}

impl Cursor {
    /// No cursor: every channel starts at latest.
    #[must_use]
    pub fn none() -> Self {
        Self {
            empty: true,
            ..Self::default()
        }
    }

    /// Reads a cursor of at most `max_bytes`; a longer one is as good as one without segments.
    #[must_use]
    pub fn parse(text: &str, max_bytes: usize) -> Self {
        if text.is_empty() {
            return Self::none();
        }
        let mut cursor = Self::default();
        if text.len() > max_bytes {
            return cursor;
        }
        for segment in text.split('.') {
            match segment {
                "latest" => cursor.word = Some(Word::Latest),
                "earliest" => cursor.word = Some(Word::Earliest),
                id => cursor.segments.extend(Id::decode(id)),
            }
        }
        cursor
    }

    /// Where one channel starts. The last id for a channel wins, so appending is always right.
    #[must_use]
    pub fn start(&self, channel: &Channel) -> Start {
        let segment = self
            .segments
            .iter()
            .rev()
            .find(|(hash, _)| *hash == channel.hash());
        match (segment, self.word) {
            (Some((_, position)), _) if position.epoch == EpochTag::NULL => Start::Unknown,
            (Some((_, position)), _) => Start::After(*position),
            (None, Some(Word::Latest)) => Start::Latest,
            (None, Some(Word::Earliest)) => Start::Earliest,
            (None, None) if self.empty => Start::Latest,
            (None, None) => Start::Unknown,
        }
    }

    /// Whether nothing was given.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.empty
    }

    /// Whether the cursor asks for history from the start, which needs the `history` right.
    #[must_use]
    pub fn is_earliest(&self) -> bool {
        self.word == Some(Word::Earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Epoch;

    fn id(channel: &Channel, offset: u64) -> Id {
        Id::new(
            channel,
            Position {
                epoch: Epoch(1).tag(channel),
                offset,
            },
        )
    }

    #[test]
    fn the_last_segment_of_a_channel_wins_and_foreign_ones_are_ignored() {
        let (a, b) = (Channel::parse("a").unwrap(), Channel::parse("b").unwrap());
        let cursor = Cursor::parse(&format!("{}.{}.{}", id(&a, 1), id(&b, 5), id(&a, 9)), 4096);
        assert!(matches!(cursor.start(&a), Start::After(p) if p.offset == 9));
        assert!(matches!(cursor.start(&b), Start::After(p) if p.offset == 5));
        assert_eq!(cursor.start(&Channel::parse("c").unwrap()), Start::Unknown);
    }

    #[test]
    fn words_apply_to_channels_without_a_segment() {
        let (a, b) = (Channel::parse("a").unwrap(), Channel::parse("b").unwrap());
        let cursor = Cursor::parse(&format!("earliest.{}", id(&a, 1)), 4096);
        assert!(matches!(cursor.start(&a), Start::After(_)));
        assert_eq!(cursor.start(&b), Start::Earliest);
        assert_eq!(Cursor::parse("", 4096).start(&a), Start::Latest);
        assert_eq!(Cursor::parse("latest", 4096).start(&a), Start::Latest);
    }

    #[test]
    fn a_bad_overlong_or_null_cursor_is_an_unknown_position() {
        let a = Channel::parse("a").unwrap();
        for text in [
            "nonsense",
            "...",
            "1",
            &"x".repeat(5000),
            Id::null(&a).as_str(),
        ] {
            assert_eq!(
                Cursor::parse(text, 4096).start(&a),
                Start::Unknown,
                "{text}"
            );
        }
    }
}
