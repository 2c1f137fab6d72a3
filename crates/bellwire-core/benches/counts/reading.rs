//! Bytes of peers: frames, commands, handshakes, cursors, and event streams as a client reads them.

use std::hint::black_box;

use bellwire_core::{
    channel::Channel,
    compression::Compressors,
    cursor::Cursor,
    format::{Format, Framing, SseFormat},
    position::{Epoch, Id, Position},
    shard::{ConnectionRef, Input},
};
use bellwire_wire::{
    sse,
    websocket::{Decoder, Limits, Opcode, Role, encode_masked_frame, handshake},
};

use crate::{
    Scenario, Step,
    delivery::Node,
    encode::{SSE_COMPOSITE, json, publication},
    sinks::{NOW, flush},
};

const FRAMES: u32 = 500;
const EVENTS: u32 = 100;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "parse.frame-128",
        unit: "frame",
        function: "websocket::Decoder::decode",
        steps: FRAMES,
        each: 1,
        prepare: || frame(128),
    },
    Scenario {
        name: "parse.frame-16k",
        unit: "frame",
        function: "websocket::Decoder::decode",
        steps: FRAMES,
        each: 1,
        prepare: || frame(16 << 10),
    },
    Scenario {
        name: "parse.subscribe",
        unit: "command",
        function: "Shard::input of subscribe and unsubscribe",
        steps: 1_000,
        each: 2,
        prepare: subscribe,
    },
    Scenario {
        name: "parse.publish",
        unit: "command",
        function: "Shard::input of publish",
        steps: 1_000,
        each: 1,
        prepare: publish,
    },
    Scenario {
        name: "parse.handshake",
        unit: "request",
        function: "websocket::handshake::validate, accept_key",
        steps: 1_000,
        each: 1,
        prepare: upgrade,
    },
    Scenario {
        name: "parse.cursor",
        unit: "cursor of 8 ids",
        function: "Cursor::parse, Cursor::start",
        steps: 1_000,
        each: 1,
        prepare: cursor,
    },
    Scenario {
        name: "parse.sse",
        unit: "event",
        function: "sse::Parser::feed",
        steps: 20,
        each: EVENTS,
        prepare: events,
    },
];

fn masked(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_masked_frame(&mut frame, Opcode::Text, text.as_bytes(), [9, 8, 7, 6]);
    frame
}

/// Text messages of one frame each. Unmasking is in place, so that each frame serves once.
fn frame(len: usize) -> Step {
    let frame = masked(&"x".repeat(len));
    let mut received = (0..2 * FRAMES).map(|_| frame.clone()).collect::<Vec<_>>();
    let limits = Limits {
        max_message: 256 << 10,
    };
    let mut decoder = Decoder::new(Role::Server, limits);
    let mut nth = 0;
    Box::new(move || {
        let mut rest = black_box(received[nth].as_mut_slice());
        let event = decoder.decode(&mut rest);
        assert!(black_box(event).is_ok_and(|event| event.is_some()));
        nth += 1;
    })
}

/// Hands one received message over, and delivers the reply.
fn receive(node: &mut Node, from: ConnectionRef, frame: &[u8], room: &mut Vec<u8>) {
    room.clear();
    room.extend_from_slice(frame);
    let sent = node.shard.sockets().bytes;
    assert_eq!(node.shard.input(from, room, NOW), Input::Continue);
    flush(&mut node.shard);
    assert!(node.shard.sockets().bytes > sent, "a command has a reply");
}

fn websocket() -> (Node, ConnectionRef) {
    let mut node = Node::new();
    let connection = node.open(Format::WebSocket, Vec::new(), Cursor::none());
    flush(&mut node.shard);
    (node, connection)
}

fn subscribe() -> Step {
    let (mut node, connection) = websocket();
    let subscribe = masked(r#"{"req":17,"subscribe":{"channel":"orders:eu"}}"#);
    let unsubscribe = masked(r#"{"req":18,"unsubscribe":{"channel":"orders:eu"}}"#);
    let mut room = Vec::new();
    Box::new(move || {
        receive(&mut node, connection, &subscribe, &mut room);
        assert_eq!(node.shard.gauges().subscriptions, 1);
        receive(&mut node, connection, &unsubscribe, &mut room);
    })
}

fn publish() -> Step {
    let (mut node, connection) = websocket();
    let data = json();
    let publish = masked(&format!(
        r#"{{"req":17,"publish":{{"channel":"orders:eu","data":{data}}}}}"#
    ));
    let mut room = Vec::new();
    Box::new(move || receive(&mut node, connection, &publish, &mut room))
}

/// The fields that a browser sends.
const FIELDS: [(&str, &[u8]); 12] = [
    ("Host", b"push.example.com"),
    ("Connection", b"Upgrade"),
    ("Pragma", b"no-cache"),
    ("Cache-Control", b"no-cache"),
    ("User-Agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
    ("Upgrade", b"websocket"),
    ("Origin", b"https://example.com"),
    ("Sec-WebSocket-Version", b"13"),
    ("Accept-Encoding", b"gzip, deflate, br, zstd"),
    ("Accept-Language", b"en-GB,en;q=0.9"),
    ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (
        "Sec-WebSocket-Extensions",
        b"permessage-deflate; client_max_window_bits",
    ),
];

fn upgrade() -> Step {
    Box::new(|| {
        let request = handshake::validate("GET", true, black_box(FIELDS));
        black_box(request.expect("a valid request").accept_key());
    })
}

fn cursor() -> Step {
    let names = (0..8).map(|nth| format!("room:{nth}"));
    let channels: Vec<Channel> = names
        .map(|name| Channel::parse(&name).expect("a valid name"))
        .collect();
    let id = |channel: &Channel| {
        let position = Position {
            epoch: Epoch(1).tag(channel),
            offset: 12_345,
        };
        Id::new(channel, position).as_str().to_owned()
    };
    let text = channels.iter().map(id).collect::<Vec<_>>().join(".");
    Box::new(move || {
        let cursor = Cursor::parse(black_box(&text), 4_096);
        for channel in &channels {
            black_box(cursor.start(channel));
        }
    })
}

fn events() -> Step {
    let format = Format::Sse(SseFormat {
        framing: Framing::Plain,
        own_id: true,
        ..SSE_COMPOSITE
    });
    let mut stream = Vec::new();
    for offset in 1..=EVENTS {
        format.encode(
            &mut stream,
            &publication(u64::from(offset)),
            &mut Compressors::default(),
        );
    }
    let mut parser = sse::Parser::new(1 << 20);
    Box::new(move || {
        let mut count = 0;
        let fed = parser.feed(black_box(&stream), |event| {
            black_box(event);
            count += 1;
        });
        assert!(fed.is_ok() && count == EVENTS);
    })
}
