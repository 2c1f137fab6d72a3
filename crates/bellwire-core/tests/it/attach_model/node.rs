//! Two shards, one of which owns the channel, with inboxes between them that deliver when told.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use bellwire_core::{
    access::Access,
    channel::Channel,
    cursor::Cursor,
    engine::{Draft, Message},
    format::Format,
    memory::{MemoryConfig, MemoryEngine, PARTITIONS},
    namespace::Namespaces,
    position::{Epoch, Id, Position},
    publication::Payload,
    shard::{ConnectionId, ConnectionRef, Open, Settings, Shard, Transport},
    time::Now,
};

use crate::sim::{
    bearers::Tokens,
    ids::read_id,
    ledger::Ledger,
    reader::{Reader, Said},
    sockets::SimSockets,
    tap::Tap,
};

/// The shard that owns the channel, and where publishers are.
const HOME: usize = 0;
const EPOCH: Epoch = Epoch(5);

/// Who attaches from where.
#[derive(Clone, Copy, Debug)]
pub(super) enum From {
    Latest,
    /// The offset that a client was given before.
    After(u64),
}

/// A subscriber as it sees things.
#[derive(Debug)]
struct Subscriber {
    shard: usize,
    connection: ConnectionRef,
    reader: Reader,
    from: From,
    hello: Option<u64>,
    got: Vec<u64>,
    open: bool,
}

/// See the module.
pub(super) struct Node {
    shards: Vec<Shard<SimSockets>>,
    taps: Vec<Tap>,
    links: BTreeMap<(usize, usize), VecDeque<Message>>,
    ledger: Rc<RefCell<Ledger>>,
    channel: Channel,
    subscribers: BTreeMap<u32, Subscriber>,
    published: u64,
    /// Announcements arrive without their publication.
    shrunk: bool,
}

impl Node {
    pub(super) fn new(late_interest: bool, shrunk: bool) -> Self {
        let ledger: Rc<RefCell<Ledger>> = Rc::default();
        let tap = |shard| {
            let engine = MemoryEngine::new(MemoryConfig {
                shard,
                shards: 2,
                epoch: EPOCH,
                seed: 7,
                namespaces: Arc::new(Namespaces::default()),
                max_channels: PARTITIONS * 10,
                max_history_bytes: 1 << 24,
                max_idempotency_keys: PARTITIONS,
                max_waiting_bytes: 1 << 24,
            });
            Tap::new((shard, 2), engine, Rc::clone(&ledger), late_interest)
        };
        let taps = vec![tap(0), tap(1)];
        let shards = taps.iter().enumerate().map(|(id, tap)| {
            let sockets = SimSockets::new(1);
            let tap = Box::new(tap.clone());
            Shard::new(
                id,
                Settings::default(),
                sockets,
                tap,
                Box::new(Tokens),
                3,
                NOW,
            )
        });
        let shards = shards.collect();
        let mut names = (0..).map(|n| Channel::parse(&format!("c{n}")).expect("a valid name"));
        let channel = names.find(|name| name.hash() % PARTITIONS as u64 == HOME as u64);
        Self {
            shards,
            taps,
            links: BTreeMap::new(),
            ledger,
            channel: channel.expect("every partition has names"),
            subscribers: BTreeMap::new(),
            published: 0,
            shrunk,
        }
    }

    pub(super) fn open(&mut self, socket: u32, shard: usize, from: From) {
        let cursor = match from {
            From::Latest => Cursor::none(),
            From::After(offset) => {
                let epoch = EPOCH.tag(&self.channel);
                let id = Id::new(&self.channel, Position { epoch, offset });
                Cursor::parse(id.as_str(), 4_096)
            }
        };
        self.shards[shard].sockets().connect(socket, usize::MAX);
        let open = Open {
            id: ConnectionId(u64::from(socket)),
            socket,
            transport: Transport::WebSocket,
            format: Format::WebSocket,
            visible_heartbeats: false,
            names: vec![self.channel.as_str().to_owned()],
            cursor,
            access: Arc::new(Access::dev()),
            grants: Vec::new(),
            head: Vec::new(),
            poll: None,
            contexts: None,
        };
        let connection = self.shards[shard].open(open, NOW);
        let subscriber = Subscriber {
            shard,
            connection,
            reader: Reader::websocket(false),
            from,
            hello: None,
            got: Vec::new(),
            open: true,
        };
        self.subscribers.insert(socket, subscriber);
        self.turn(shard);
    }

    pub(super) fn close(&mut self, socket: u32) {
        let subscriber = self.subscribers.get_mut(&socket).expect("opened");
        subscriber.open = false;
        let shard = subscriber.shard;
        let connection = subscriber.connection;
        self.shards[shard].hang_up(connection, NOW);
        self.turn(shard);
    }

    pub(super) fn publish(&mut self) {
        self.published += 1;
        let draft = Draft {
            channel: self.channel.clone(),
            event: None,
            user: None,
            payload: Payload::json(&format!("[{}]", self.published)),
            idempotency: None,
        };
        self.shards[HOME].publish(Box::new(draft), NOW, Box::new(|_| {}));
        self.turn(HOME);
    }

    /// Links with something in them.
    pub(super) fn busy(&self) -> Vec<(usize, usize)> {
        let busy = self.links.iter().filter(|(_, inbox)| !inbox.is_empty());
        busy.map(|(link, _)| *link).collect()
    }

    pub(super) fn deliver(&mut self, link: (usize, usize)) {
        let message = self.links.get_mut(&link).and_then(VecDeque::pop_front);
        let message = message.expect("a busy link");
        self.shards[link.1].message(message, NOW);
        self.turn(link.1);
    }

    /// Whether interest is kept back; only with the planted fault.
    pub(super) fn has_late(&self) -> bool {
        self.taps.iter().any(Tap::has_late)
    }

    pub(super) fn release_late(&self) {
        self.taps.iter().for_each(|tap| tap.release_late(NOW));
    }

    /// Flushes a shard and moves what it sends.
    fn turn(&mut self, shard: usize) {
        while self.shards[shard].has_work() {
            self.shards[shard].flush_step(NOW);
        }
        for (to, mut message) in self.shards[shard].take_outbox() {
            if let (Message::Announce(announcement), true) = (&mut message, self.shrunk) {
                announcement.shrink();
            }
            self.links
                .entry((shard, to))
                .or_default()
                .push_back(message);
        }
        for (socket, subscriber) in &mut self.subscribers {
            if subscriber.shard == shard {
                let bytes = self.shards[shard].sockets().read(*socket, usize::MAX);
                subscriber.read(bytes);
            }
        }
    }

    /// Everybody has every publication behind its start, once, in order.
    pub(super) fn check(&self) -> Result<(), String> {
        let last = self.published;
        for (socket, subscriber) in &self.subscribers {
            let Some(hello) = subscriber.hello else {
                match subscriber.open {
                    true => return Err(format!("{socket} never heard hello")),
                    false => continue,
                }
            };
            if let From::After(offset) = subscriber.from
                && offset != hello
            {
                return Err(format!(
                    "{socket} resumed from {hello} in place of {offset}"
                ));
            }
            // Nothing else is published in the partition, so offsets are dense.
            let mut expected: Vec<u64> = (hello + 1..=last).collect();
            if !subscriber.open {
                expected.truncate(subscriber.got.len());
            }
            if subscriber.got != expected {
                return Err(format!(
                    "{socket} got {:?} in place of {expected:?}",
                    subscriber.got
                ));
            }
        }
        self.ledger.borrow().broken.clone().map_or(Ok(()), Err)
    }
}

const NOW: Now = Now {
    mono: 1_000,
    wall: 1_790_000_000_000,
};

impl Subscriber {
    fn read(&mut self, bytes: Vec<u8>) {
        for said in self.reader.feed(bytes).expect("whole frames") {
            match said {
                Said::Hello(hello) => {
                    let cursor = hello["cursor"].as_str().expect("a cursor");
                    self.hello = read_id(cursor).map(|(_, place)| place.offset);
                }
                Said::Message { id, .. } => {
                    assert!(self.hello.is_some(), "a publication before hello");
                    let (_, place) = read_id(&id).expect("an id");
                    self.got.push(place.offset);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}
