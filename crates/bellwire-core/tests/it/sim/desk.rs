//! For scripted sessions: one shard, and visitors whose every word is kept.

use std::{collections::BTreeMap, sync::Arc};

use bellwire_core::{
    access::{Access, Grant},
    channel::{Channel, Pattern},
    cursor::Cursor,
    engine::Draft,
    format::Format,
    namespace::{Namespace, Namespaces, Retention},
    publication::Payload,
    shard::{
        Cause, ConnectionId, ConnectionRef, Input, Open, Poll, Settings, SocketKey, Transport,
    },
};
use bellwire_wire::websocket::{Opcode, encode_masked_frame};
use serde_json::Value;

use super::{
    bearers::user_access,
    reader::{Reader, Said},
    world::{Plan, World},
};

/// What a visitor asks for.
pub(super) struct Visit<'a> {
    pub(super) names: &'a [&'a str],
    pub(super) cursor: &'a str,
    pub(super) format: Format,
    pub(super) access: Access,
    pub(super) grants: Vec<Grant>,
    pub(super) poll: Option<Poll>,
    pub(super) visible_heartbeats: bool,
}

impl<'a> Visit<'a> {
    /// By WebSocket, with all rights.
    pub(super) fn to(names: &'a [&'a str]) -> Self {
        Self {
            names,
            cursor: "",
            format: Format::WebSocket,
            access: Access::dev(),
            grants: Vec::new(),
            poll: None,
            visible_heartbeats: false,
        }
    }

    pub(super) fn from(self, cursor: &'a str) -> Self {
        Self { cursor, ..self }
    }

    pub(super) fn by(self, format: Format) -> Self {
        Self { format, ..self }
    }

    pub(super) fn with(self, access: Access) -> Self {
        Self { access, ..self }
    }
}

/// See the module.
pub(super) struct Desk {
    pub(super) world: World,
    visitors: BTreeMap<SocketKey, (ConnectionRef, Reader)>,
    numbers: u64,
}

impl Desk {
    /// `few:*` keeps two publications, the rest the default.
    pub(super) fn new(settings: Settings) -> Self {
        Self::beside(settings, 1)
    }

    /// On the first of several shards, so that the others' channels take a message to attach to.
    pub(super) fn beside(settings: Settings, shards: usize) -> Self {
        let namespaces = Namespaces::default();
        let default = namespaces.of(&channel("x"));
        let few = Namespace {
            pattern: Pattern::parse("few:*").expect("a valid name"),
            history: Retention {
                count: 2,
                ..Retention::default()
            },
            ..default.clone()
        };
        let plan = Plan {
            shards,
            settings: Settings {
                namespaces: Arc::new(Namespaces::new(vec![few], default.clone())),
                ..settings
            },
            inbox_bytes: usize::MAX,
            max_channels: 1_000,
            short_one_in: 0,
            fault: None,
        };
        Self {
            world: World::new(plan, 1),
            visitors: BTreeMap::new(),
            numbers: 0,
        }
    }

    pub(super) fn open(&mut self, visit: Visit<'_>) -> SocketKey {
        self.open_narrow(visit, usize::MAX)
    }

    /// On a socket that takes `capacity` bytes before it blocks.
    pub(super) fn open_narrow(&mut self, visit: Visit<'_>, capacity: usize) -> SocketKey {
        let (transport, reader) = match visit.format {
            Format::WebSocket => (Transport::WebSocket, Reader::websocket(false)),
            Format::WebSocketRaw => (Transport::WebSocket, Reader::websocket(true)),
            Format::Deflated { .. } => unreachable!("visitors read frames as they are"),
            Format::Sse(_) => (Transport::Sse, Reader::sse(true, false)),
            Format::Json => (Transport::Poll, Reader::poll()),
        };
        let (socket, connection) = self.world.open(0, capacity, |socket| Open {
            id: ConnectionId(u64::from(socket)),
            socket,
            transport,
            format: visit.format,
            visible_heartbeats: visit.visible_heartbeats,
            names: visit.names.iter().map(ToString::to_string).collect(),
            cursor: Cursor::parse(visit.cursor, 4_096),
            access: Arc::new(visit.access),
            grants: visit.grants,
            head: Vec::new(),
            poll: visit.poll,
            contexts: None,
        });
        self.visitors.insert(socket, (connection, reader));
        socket
    }

    /// Publishes the next number; returns it.
    pub(super) fn publish(&mut self, name: &str) -> u64 {
        self.publish_padded(name, 0)
    }

    /// The same with `padding` bytes more.
    pub(super) fn publish_padded(&mut self, name: &str, padding: usize) -> u64 {
        self.numbers += 1;
        let payload = format!("[{},\"{}\"]", self.numbers, "x".repeat(padding));
        let draft = Draft {
            channel: channel(name),
            event: None,
            user: None,
            payload: Payload::json(&payload),
            idempotency: None,
        };
        self.world.publish(0, draft, self.numbers);
        self.numbers
    }

    /// A visitor sends a command.
    pub(super) fn say(&mut self, socket: SocketKey, command: &str) {
        let mut frame = Vec::new();
        encode_masked_frame(&mut frame, Opcode::Text, command.as_bytes(), [4, 3, 2, 1]);
        let input = self.input(socket, &mut frame);
        assert_eq!(input, Input::Continue, "{command}");
    }

    pub(super) fn input(&mut self, socket: SocketKey, bytes: &mut [u8]) -> Input {
        let connection = self.visitors[&socket].0;
        self.world.input(0, connection, bytes)
    }

    /// A visitor sends nothing more.
    pub(super) fn hang_up(&mut self, socket: SocketKey) {
        let connection = self.visitors[&socket].0;
        self.world
            .with(0, |shard, now| shard.hang_up(connection, now));
    }

    /// Everything that a visitor was told since the last time.
    pub(super) fn hear(&mut self, socket: SocketKey) -> Vec<Said> {
        let mut heard = Vec::new();
        while let Some(said) = self.read(socket, usize::MAX) {
            heard.extend(said);
        }
        heard
    }

    /// What at most `max` bytes tell a visitor; nothing where there are none.
    pub(super) fn read(&mut self, socket: SocketKey, max: usize) -> Option<Vec<Said>> {
        self.world.settle();
        let (connection, reader) = self.visitors.get_mut(&socket).expect("a visitor");
        let connection = *connection;
        let sockets = self.world.shards[0].sockets();
        let bytes = sockets.read(socket, max);
        let writable = sockets.take_writable(socket);
        let quiet = bytes.is_empty() && !writable;
        let said = reader.feed(bytes).expect("an unbroken wire");
        if writable {
            self.world
                .with(0, |shard, now| shard.writable(connection, now));
        }
        (!quiet).then_some(said)
    }

    /// A poll's answer, once it has come.
    pub(super) fn answer(&mut self, socket: SocketKey) -> Option<Vec<Said>> {
        self.hear(socket);
        self.end(socket)?;
        Some(self.visitors[&socket].1.finish().expect("an answer"))
    }

    /// Why a visitor's connection ended.
    pub(super) fn end(&mut self, socket: SocketKey) -> Option<Cause> {
        self.world.settle();
        let end = self.world.shards[0].sockets().end(socket);
        end.map(|(_, departure)| departure.cause)
    }

    /// Milliseconds from now, as tokens count.
    pub(super) fn expiry(&self, milliseconds: u64) -> u64 {
        self.world.now.wall + milliseconds
    }

    /// A user's access for a while.
    pub(super) fn user(&self, patterns: &[&str], milliseconds: u64) -> Access {
        user_access("ann", patterns, self.expiry(milliseconds))
    }

    /// Lets time pass in steps, as the server does.
    pub(super) fn wait(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds / 100 {
            self.world.advance(100);
            self.world.settle();
        }
    }
}

/// The kinds of what was said, in order; for publications their numbers.
pub(super) fn words(said: &[Said]) -> Vec<String> {
    let word = |said: &Said| match said {
        Said::Hello(_) => "hello".to_owned(),
        Said::Message { number, .. } => number.to_string(),
        Said::Gap(gap) => format!("gap {}", text(gap, "reason")),
        Said::Denied(denied) => format!("denied {}", text(denied, "check")),
        Said::Bye(bye) => format!("bye {}", text(bye, "code")),
        Said::Reply(reply) => match reply["error"]["code"].as_str() {
            Some(code) => format!("error {code}"),
            None => format!("reply {}", reply["req"]),
        },
        Said::Heartbeat => "heartbeat".to_owned(),
        Said::Ping(_) => "ping".to_owned(),
        Said::Close(code, _) => format!("close {code}"),
        Said::Cursor(_) => "cursor".to_owned(),
        Said::Raw(text) => format!("raw {text}"),
        Said::End => "end".to_owned(),
    };
    said.iter().map(word).collect()
}

/// The ids of publications.
pub(super) fn ids(said: &[Said]) -> Vec<String> {
    let ids = said.iter().filter_map(|said| match said {
        Said::Message { id, .. } => Some(id.clone()),
        _ => None,
    });
    ids.collect()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).expect("a valid name")
}
