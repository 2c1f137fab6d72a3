//! The shared parser vectors in `spec/vectors/sse-parser.json`, at once and byte by byte, and
//! the limits that no vector can show.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwire_wire::sse::Parser;
use serde_json::Value;

use crate::sse_check::{Delivered, Transcript, check, transcript};

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn input(vector: &Value) -> Vec<u8> {
    match vector.get("input") {
        Some(input) => text(input).into_bytes(),
        None => STANDARD.decode(text(&vector["input_base64"])).unwrap(),
    }
}

fn expected(vector: &Value) -> Transcript {
    let event = |event: &Value| Delivered {
        name: text(&event["event"]),
        data: text(&event["data"]),
        id: text(&event["id"]),
    };
    Transcript {
        events: vector["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(event)
            .collect(),
        last_event_id: text(&vector["last_event_id"]),
        retry: vector["retry"].as_u64(),
    }
}

#[test]
fn every_vector_holds_at_once_and_byte_by_byte() {
    let file: Value =
        serde_json::from_str(include_str!("../../../../spec/vectors/sse-parser.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 28);
    for vector in vectors {
        let (name, input, expected) = (&vector["name"], input(vector), expected(vector));
        assert_eq!(transcript([input.as_slice()]), expected, "{name}, at once");
        assert_eq!(
            transcript(input.chunks(1)),
            expected,
            "{name}, byte by byte"
        );
        check(&[b"\x02", input.as_slice()].concat());
    }
}

#[test]
fn an_event_beyond_the_buffer_is_an_error_for_good() {
    let refuse = |pieces: &[&[u8]]| {
        let mut parser = Parser::new(20);
        let result = pieces
            .iter()
            .try_for_each(|piece| parser.feed(piece, |_| {}));
        let error = result.unwrap_err();
        assert_eq!(error.max_buffer, 20);
        assert_eq!(
            parser.feed(b"\n\n", |_| panic!("no event after an error")),
            Err(error)
        );
    };
    refuse(&[b"data: 0123456789abcdef0123\n\n"]);
    refuse(&[b"data: 0123456789", b"abcdef"]);
    refuse(&[b"data: 0123456789\ndata: 0123456789\n\n"]);
    refuse(&[b"event: 0123456789\ndata: 0123456789\n\n"]);
    refuse(&[b"id: 0123456789\ndata: 0123456789\n\n"]);
}

#[test]
fn comments_and_unknown_lines_of_any_length_are_not_kept() {
    let mut parser = Parser::new(20);
    let mut seen = 0;
    for start in [&b":"[..], b"unknown: ", b"\xff"] {
        parser.feed(start, |_| {}).unwrap();
        for _ in 0..1000 {
            parser.feed(b" and on and on", |_| {}).unwrap();
        }
        parser.feed(b"\ndata: a\n\n", |_| seen += 1).unwrap();
    }
    assert_eq!(seen, 3);
}

#[test]
fn a_long_line_in_many_pieces_is_read_in_linear_time() {
    const LENGTH: usize = 4 << 20;
    let mut parser = Parser::new(2 * LENGTH);
    let mut length = 0;
    parser.feed(b"data: ", |_| {}).unwrap();
    for _ in 0..LENGTH / 16 {
        parser.feed(b"0123456789abcdef", |_| {}).unwrap();
    }
    parser
        .feed(b"\n\n", |event| length = event.data.len())
        .unwrap();
    assert_eq!(length, LENGTH);
}
