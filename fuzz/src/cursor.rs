//! Cursors: any text is a start for every channel, appending an id always decides where its
//! channel starts, and a position has exactly one id.
//!
//! Input: the text of a cursor.

use bellwire_core::{
    channel::Channel,
    cursor::Cursor,
    engine::Start,
    position::{Epoch, Id, MAX_OFFSET, Position},
};

const MAX_BYTES: usize = 4_096;

/// Asserts all of the above.
///
/// # Panics
/// Where a cursor breaks a promise.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let channels = ["news", "room:7", "@ann"].map(|name| Channel::parse(name).expect("a name"));
    let cursor = Cursor::parse(&text, MAX_BYTES);
    assert_eq!(cursor.is_none(), text.is_empty());
    for channel in &channels {
        assert_start(&text, &cursor, channel);
    }
    for segment in text.split('.') {
        if let Some((_, position)) = Id::decode(segment) {
            assert!(position.offset <= MAX_OFFSET);
            assert_one_id(segment, position);
        }
    }
    if text.len() < MAX_BYTES - 64 {
        let offset = data
            .iter()
            .fold(0_u64, |sum, &byte| sum.wrapping_mul(31) + u64::from(byte));
        assert_appending_decides(&text, &channels, offset % MAX_OFFSET);
    }
}

fn assert_start(text: &str, cursor: &Cursor, channel: &Channel) {
    let has_own = text
        .split('.')
        .any(|segment| Id::decode(segment).is_some_and(|(hash, _)| hash == channel.hash()));
    match cursor.start(channel) {
        Start::After(_) => assert!(has_own && text.len() <= MAX_BYTES),
        Start::Unknown => assert!(!text.is_empty()),
        Start::Latest => assert!(text.is_empty() || text.contains("latest")),
        Start::Earliest => assert!(text.contains("earliest") && cursor.is_earliest()),
    }
}

/// Two channels of one hash cannot be made here, so the channel of an id is not compared.
fn assert_one_id(segment: &str, position: Position) {
    let channel = Channel::parse("news").expect("a name");
    let again = Id::new(&channel, position);
    let read = Id::decode(again.as_str()).expect("an id of ours is an id");
    assert_eq!(read, (channel.hash(), position));
    assert_eq!(again.as_str().len(), segment.len(), "a position has one id");
}

fn assert_appending_decides(text: &str, channels: &[Channel], offset: u64) {
    let [own, others @ ..] = channels else { return };
    let position = Position {
        epoch: Epoch(7).tag(own),
        offset,
    };
    let id = Id::new(own, position);
    let longer = if text.is_empty() {
        id.to_string()
    } else {
        format!("{text}.{id}")
    };
    let appended = Cursor::parse(&longer, MAX_BYTES);
    assert_eq!(appended.start(own), Start::After(position));
    let before = Cursor::parse(text, MAX_BYTES);
    for other in others.iter().filter(|_| !text.is_empty()) {
        assert_eq!(
            appended.start(other),
            before.start(other),
            "a foreign segment is ignored"
        );
    }
}
