//! Cursors that nobody gave out: a gap at most, never another channel's publications.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bellwire_testkit::{
    http::{Answer, Link, Request},
    raw::{Stream as _, WebSocket, Wish},
};
use serde_json::json;

use crate::{dev, publish, publish_numbers};

/// An id with another part in place of its own: 8 bytes of the channel, 4 of the epoch, the offset.
struct Id(Vec<u8>);

impl Id {
    fn of(text: &str) -> Self {
        Self(URL_SAFE_NO_PAD.decode(text.get(1..).unwrap()).unwrap())
    }

    fn with_channel_of(&self, other: &Self) -> String {
        Self([&other.0[..8], &self.0[8..]].concat()).text()
    }

    fn with_epoch_of(&self, other: &Self) -> String {
        Self([&self.0[..8], &other.0[8..12], &self.0[12..]].concat()).text()
    }

    fn with_offset(&self, offset: &[u8]) -> String {
        Self([&self.0[..12], offset].concat()).text()
    }

    fn text(&self) -> String {
        format!("1{}", URL_SAFE_NO_PAD.encode(&self.0))
    }
}

#[test]
fn a_forged_position_is_a_gap_and_shows_nothing_of_other_channels() {
    let server = dev();
    let own = Id::of(publish_numbers(&server, "news", 0..3).last().unwrap());
    let other = Id::of(&publish(&server, "secret", &json!("hidden")));
    let forged = [
        (other.with_channel_of(&own), "epoch_changed"),
        (own.with_epoch_of(&other), "epoch_changed"),
        // The longest offset there is, one beyond, and one that never ends.
        (
            own.with_offset(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            "position_unknown",
        ),
        (own.with_offset(&[0xff; 9]), "position_unknown"),
        (own.with_offset(&[0xff; 200]), "position_unknown"),
        (own.with_offset(&[0x80, 0x00]), "position_unknown"),
        (own.with_offset(&[]), "position_unknown"),
        ("-1".to_owned(), "position_unknown"),
        ("18446744073709551616".to_owned(), "position_unknown"),
        ("1".to_owned(), "position_unknown"),
        (other.text(), "position_unknown"),
    ];
    for (cursor, reason) in &forged {
        let target = format!("/v1/poll?channel=news&timeout=0&cursor={cursor}");
        let answer = Request::get(&target).send(server.address());
        is_gap(&answer, reason, cursor);
        let body = json!({"channels": ["news"], "cursor": cursor, "timeout": 0});
        let answer = Request::post("/v1/poll", body.to_string()).send(server.address());
        is_gap(&answer, reason, cursor);
        let mut socket = WebSocket::open(server.address(), &Wish::default()).unwrap();
        socket.command(&json!({"subscribe": {"channel": "news", "cursor": cursor}}));
        socket.hello();
        socket.item();
        assert_eq!(socket.gap()["reason"], *reason, "{cursor}");
    }
}

fn is_gap(answer: &Answer, reason: &str, cursor: &str) {
    assert_eq!(answer.status(), 200, "{cursor}: {}", answer.text());
    assert_eq!(answer.json()["gaps"][0]["reason"], reason, "{cursor}");
    assert!(!answer.text().contains("hidden"), "{cursor}");
}

#[test]
fn a_cursor_of_a_megabyte_costs_its_reading_and_is_a_gap() {
    let server = dev();
    let id = publish(&server, "news", &0.into());
    let long = vec![id; 1 << 15].join(".");
    assert!(long.len() > 1 << 19, "{}", long.len());
    let body = json!({"channels": ["news"], "cursor": long, "timeout": 0});
    let before = server.resident_bytes();
    for _ in 0..20 {
        let answer = Request::post("/v1/poll", body.to_string()).send(server.address());
        is_gap(&answer, "position_unknown", "a long one");
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    let mut link = Link::connect(server.address());
    link.send(&Request::get("/v1/sse?channel=news").header("last-event-id", &"x".repeat(15_000)));
    assert_eq!(link.head().status, 200);
    let mut link = Link::connect(server.address());
    link.send(&Request::get("/v1/sse?channel=news").header("last-event-id", &long));
    assert_eq!(link.answer().status(), 431);
}
