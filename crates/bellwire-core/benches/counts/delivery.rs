//! Publications on their way to subscribers: fan-out, composite streams, catch-up from pages.

use std::{cell::Cell, rc::Rc, sync::Arc};

use bellwire_core::{
    access::Access,
    channel::Channel,
    cursor::Cursor,
    engine::{Draft, Reply},
    format::Format,
    position::{Id, Position},
    shard::{ConnectionId, ConnectionRef, Open, Shard, SocketKey, Transport},
};

use crate::{
    Scenario, Step,
    encode::{DEFLATED, SSE_COMPOSITE, SSE_OWN_ID, payload},
    sinks::{NOW, Sinks, flush, shard},
};

const SUBSCRIBERS: u32 = 1_000;
const STREAMS: u32 = 100;
const STREAM_CHANNELS: u32 = 8;
const MISSED: u32 = 100;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "fan-out.websocket",
        unit: "delivery",
        function: "Shard::flush_step",
        steps: 20,
        each: SUBSCRIBERS,
        prepare: || broadcast(Format::WebSocket),
    },
    Scenario {
        name: "fan-out.websocket-deflated",
        unit: "delivery",
        function: "Shard::flush_step, one compression included",
        steps: 20,
        each: SUBSCRIBERS,
        prepare: || broadcast(DEFLATED),
    },
    Scenario {
        name: "fan-out.sse",
        unit: "delivery",
        function: "Shard::flush_step",
        steps: 20,
        each: SUBSCRIBERS,
        prepare: || broadcast(SSE_OWN_ID),
    },
    Scenario {
        name: "fan-out.to-one",
        unit: "publication",
        function: "Shard::publish, Shard::flush_step",
        steps: 2_000,
        each: 1,
        prepare: to_one,
    },
    Scenario {
        name: "walk.composite",
        unit: "delivery",
        function: "the walk: Shard::flush_step of streams with 8 channels",
        steps: 20,
        each: STREAMS * STREAM_CHANNELS,
        prepare: composite,
    },
    Scenario {
        name: "walk.resume",
        unit: "delivery",
        function: "the walk over a page that is read for it: Shard::open, Shard::flush_step",
        steps: 50,
        each: MISSED,
        prepare: || resume(false),
    },
    Scenario {
        name: "walk.resume-shared",
        unit: "connection",
        function: "the walk over a page that others read: Shard::open, Shard::flush_step",
        steps: 200,
        each: 1,
        prepare: || resume(true),
    },
];

/// A shard and who connects to it.
pub(crate) struct Node {
    pub(crate) shard: Shard<Sinks>,
    pub(crate) access: Arc<Access>,
    sockets: SocketKey,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self {
            shard: shard(),
            access: Arc::new(Access::dev()),
            sockets: 0,
        }
    }

    pub(crate) fn open(
        &mut self,
        format: Format,
        names: Vec<String>,
        cursor: Cursor,
    ) -> ConnectionRef {
        self.sockets += 1;
        let transport = match format {
            Format::Sse(_) => Transport::Sse,
            Format::WebSocket | Format::WebSocketRaw | Format::Deflated { .. } | Format::Json => {
                Transport::WebSocket
            }
        };
        let open = Open {
            id: ConnectionId(u64::from(self.sockets)),
            socket: self.sockets,
            transport,
            format,
            visible_heartbeats: false,
            names,
            cursor,
            access: Arc::clone(&self.access),
            grants: Vec::new(),
            head: Vec::new(),
            poll: None,
            contexts: None,
        };
        self.shard.open(open, NOW)
    }

    fn publish(&mut self, channel: &Channel, done: impl FnOnce(Reply) + 'static) {
        let draft = Draft {
            channel: channel.clone(),
            event: None,
            user: None,
            payload: payload(),
            idempotency: None,
        };
        self.shard.publish(Box::new(draft), NOW, Box::new(done));
    }

    /// Publishes to each channel, then delivers.
    fn turn(&mut self, channels: &[Channel]) {
        for channel in channels {
            self.publish(channel, drop);
        }
        flush(&mut self.shard);
    }

    /// # Panics
    /// Where an action does not deliver as much as the scenario says, since its count would then
    /// be of something else.
    fn check(&mut self, deliveries: u32, act: impl FnOnce(&mut Self)) {
        let sum = |node: &Self| node.shard.stats().deliveries.iter().sum::<u64>();
        let before = sum(self);
        act(self);
        assert_eq!(sum(self) - before, u64::from(deliveries), "deliveries");
    }
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).expect("a valid name")
}

/// One publication to many subscribers of its channel.
fn broadcast(format: Format) -> Step {
    let mut node = Node::new();
    let channels = [channel("news")];
    for _ in 0..SUBSCRIBERS {
        node.open(format, vec!["news".to_owned()], Cursor::none());
    }
    flush(&mut node.shard);
    node.check(SUBSCRIBERS, |node| node.turn(&channels));
    Box::new(move || node.turn(&channels))
}

/// One publication to one of many connections, each with a channel of its own.
fn to_one() -> Step {
    let mut node = Node::new();
    let names = (0..SUBSCRIBERS).map(|nth| format!("room:{nth}"));
    let channels: Vec<Channel> = names.map(|name| channel(&name)).collect();
    for channel in &channels {
        node.open(
            Format::WebSocket,
            vec![channel.as_str().to_owned()],
            Cursor::none(),
        );
    }
    flush(&mut node.shard);
    // Histories are full, as they are on a server that has run for a while.
    for _ in 0..200 {
        node.turn(&channels);
    }
    node.check(1, |node| node.turn(&channels[..1]));
    let mut nth = 0;
    Box::new(move || {
        nth = (nth + 1) % channels.len();
        node.turn(&channels[nth..=nth]);
    })
}

/// One publication to each channel of streams that read all of them.
fn composite() -> Step {
    let mut node = Node::new();
    let names: Vec<String> = (0..STREAM_CHANNELS)
        .map(|nth| format!("room:{nth}"))
        .collect();
    let channels: Vec<Channel> = names.iter().map(|name| channel(name)).collect();
    for _ in 0..STREAMS {
        node.open(Format::Sse(SSE_COMPOSITE), names.clone(), Cursor::none());
    }
    flush(&mut node.shard);
    node.check(STREAMS * STREAM_CHANNELS, |node| node.turn(&channels));
    Box::new(move || node.turn(&channels))
}

/// A client that comes back, is sent what it missed, and leaves. Where somebody else is subscribed
/// the shard keeps the page of the log between two of them.
fn resume(shared: bool) -> Step {
    let mut node = Node::new();
    let news = channel("news");
    let last = Rc::new(Cell::new(None));
    let told = Rc::clone(&last);
    node.publish(&news, move |reply| told.set(position(&reply)));
    for _ in 0..MISSED {
        node.publish(&news, drop);
    }
    if shared {
        node.open(Format::WebSocket, vec!["news".to_owned()], Cursor::none());
        flush(&mut node.shard);
    }
    let id = Id::new(&news, last.get().expect("the engine answers at once"));
    let cursor = Cursor::parse(id.as_str(), 4_096);
    let come_and_go = move |node: &mut Node| {
        let connection = node.open(SSE_OWN_ID, vec!["news".to_owned()], cursor.clone());
        flush(&mut node.shard);
        node.shard.hang_up(connection, NOW);
    };
    node.check(MISSED, &come_and_go);
    Box::new(move || come_and_go(&mut node))
}

fn position(reply: &Reply) -> Option<Position> {
    match reply {
        Reply::Published(Ok(published)) => Some(published.position),
        _ => None,
    }
}
