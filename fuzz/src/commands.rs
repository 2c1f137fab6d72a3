//! What a WebSocket client sends: whatever the texts, each gets exactly one reply, as JSON, with
//! its number; and publications come in order, each after the reply that it follows from.
//!
//! Input: lines; each is sent as one text message to a shard with the memory engine.

use std::{collections::HashMap, io::IoSlice, sync::Arc};

use bellwire_core::{
    access::{Access, Authenticator, Grant, Refusal},
    cursor::Cursor,
    format::Format,
    memory::{MemoryConfig, MemoryEngine},
    namespace::Namespaces,
    position::{Epoch, Id},
    shard::{
        ConnectionId, Departure, Open, Release, Sent, Settings, Shard, SocketKey, Sockets,
        Transport,
    },
    time::Now,
};
use bellwire_wire::websocket::{Decoder, Event, Limits, Opcode, Role, encode_masked_frame};
use serde_json::Value;

/// What only replies have at their top level.
const REPLIES: [&str; 7] = [
    "subscribe",
    "unsubscribe",
    "publish",
    "history",
    "ping",
    "auth",
    "error",
];

/// Asserts all of the above.
///
/// # Panics
/// Where a session breaks a promise.
pub fn check(data: &[u8]) {
    let lines: Vec<&str> = data
        .split(|&byte| byte == b'\n')
        .filter_map(|line| str::from_utf8(line).ok())
        .collect();
    let now = Now {
        mono: 1_000,
        wall: 1_790_000_000_000,
    };
    let mut shard = shard(now);
    let connection = shard.open(open(), now);
    let mut sent = Vec::new();
    for line in &lines {
        encode_masked_frame(&mut sent, Opcode::Text, line.as_bytes(), [3, 1, 4, 1]);
    }
    shard.input(connection, &mut sent, now);
    while shard.flush_step(now) {}
    assert!(!shard.sockets().released, "commands close nothing");
    let said = std::mem::take(&mut shard.sockets().said);
    assert_answers(&lines, said);
}

fn assert_answers(lines: &[&str], mut said: Vec<u8>) {
    let mut decoder = Decoder::new(
        Role::Client,
        Limits {
            max_message: 64 << 20,
        },
    );
    let mut input = said.as_mut_slice();
    let mut reached = HashMap::new();
    let mut replies = Vec::new();
    while let Some(event) = decoder
        .decode(&mut input)
        .expect("the server keeps to RFC 6455")
    {
        let Event::Text(text) = event else {
            panic!("only text is said here")
        };
        let said: Value = serde_json::from_str(text).expect("the server says JSON");
        if REPLIES.iter().any(|name| said.get(name).is_some()) {
            note_start(&said["subscribe"]["cursor"], &mut reached);
            replies.push(said);
        } else if said.get("gap").is_some() {
            note_start(&said["gap"]["cursor"], &mut reached);
        } else if said.get("channel").is_some() {
            let (hash, offset) = position(&said["id"]);
            let before = reached.insert(hash, offset).expect("a reply came before");
            assert!(offset > before, "in order, and nothing twice");
        } else {
            assert!(
                said.get("hello").is_some() || said.get("denied").is_some(),
                "{said}"
            );
        }
    }
    assert_eq!(replies.len(), lines.len(), "one reply each");
    // Replies of the engine come back at once here, so all are in order.
    for (line, reply) in lines.iter().zip(&replies) {
        assert_numbered(line, reply);
    }
}

fn note_start(cursor: &Value, reached: &mut HashMap<u64, u64>) {
    if cursor.is_string() {
        let (hash, offset) = position(cursor);
        reached.insert(hash, offset);
    }
}

fn position(id: &Value) -> (u64, u64) {
    let (hash, position) = Id::decode(id.as_str().expect("an id")).expect("an id of this version");
    (hash, position.offset)
}

/// A number that a command gave comes back; an error says what and why.
fn assert_numbered(line: &str, reply: &Value) {
    let understood = reply.get("error").is_none();
    let command: Option<Value> = serde_json::from_str(line).ok();
    let number = command
        .as_ref()
        .and_then(|command| command.get("req"))
        .and_then(Value::as_u64);
    if understood {
        assert_eq!(reply.get("req").and_then(Value::as_u64), number, "{line}");
    } else {
        let text = |name: &str| reply["error"][name].as_str().unwrap_or_default();
        assert!(
            !text("code").is_empty() && !text("detail").is_empty(),
            "{reply}"
        );
    }
}

fn shard(now: Now) -> Shard<Ear> {
    let namespaces = Arc::new(Namespaces::default());
    let engine = MemoryEngine::new(MemoryConfig {
        shard: 0,
        shards: 1,
        epoch: Epoch(7),
        seed: 1,
        namespaces: Arc::clone(&namespaces),
        max_channels: 64,
        max_history_bytes: 1 << 20,
        max_idempotency_keys: 64,
        max_waiting_bytes: 1 << 20,
    });
    let settings = Settings {
        namespaces,
        ..Settings::default()
    };
    Shard::new(
        0,
        settings,
        Ear::default(),
        Box::new(engine),
        Box::new(Nobody),
        1,
        now,
    )
}

fn open() -> Open {
    Open {
        id: ConnectionId(1),
        socket: 0,
        transport: Transport::WebSocket,
        format: Format::WebSocket,
        visible_heartbeats: false,
        names: Vec::new(),
        cursor: Cursor::none(),
        access: Arc::new(Access::dev()),
        grants: Vec::new(),
        head: Vec::new(),
        poll: None,
        contexts: None,
    }
}

/// A socket that takes everything.
#[derive(Default)]
struct Ear {
    said: Vec<u8>,
    released: bool,
}

impl Sockets for Ear {
    fn send(&mut self, _: SocketKey, slices: &[IoSlice<'_>]) -> Sent {
        for slice in slices {
            self.said.extend_from_slice(slice);
        }
        Sent::Bytes(slices.iter().map(|slice| slice.len()).sum())
    }

    fn resume_reading(&mut self, _: SocketKey) {}

    fn release(&mut self, _: SocketKey, _: Release, _: &Departure) {
        self.released = true;
    }
}

/// Knows no credentials but one.
struct Nobody;

fn refusal() -> Refusal {
    Refusal {
        check: "token.signature",
        code: "token_invalid",
        detail: "nobody signs here".to_owned(),
    }
}

impl Authenticator for Nobody {
    fn token(&self, text: &str, _: Now) -> Result<Arc<Access>, Refusal> {
        if text == "good" {
            Ok(Arc::new(Access::dev()))
        } else {
            Err(refusal())
        }
    }

    fn grant(&self, _: &str, _: &Access, _: Now) -> Result<Grant, Refusal> {
        Err(refusal())
    }
}
