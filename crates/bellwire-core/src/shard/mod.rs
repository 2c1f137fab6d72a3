//! A shard: one core's connections, their cursors, and the channels they read.
//!
//! ```text
//!   open ─► attach ─────────┐                    message ─► announcement ─► tail, dirty ring
//!  input ─► commands ─► engine (requests, replies)                              │ flush_step
//!   tick ─► timers          └─► session open ─► ready list ─► walk ◄────────────┘
//!                                                              └─► Sockets::send
//! ```
//!
//! Sans-IO: the outer layer calls in with bytes, readiness, messages and the time, and the shard
//! calls out only through [`Sockets`]. After every call the outer layer moves what
//! [`Shard::take_outbox`] holds to the other shards, and while [`Shard::has_work`] it calls
//! [`Shard::flush_step`], with room for other work between two steps.
//!
//! Must not know: HTTP, epoll, threads, clocks.

mod admit;
mod announce;
mod attach;
mod channels;
mod commands;
pub mod connection;
mod contexts;
mod flush;
mod ids;
mod input;
mod leave;
mod listing;
mod pages;
mod poll;
mod rates;
mod replies;
pub mod report;
mod room;
mod settings;
mod sockets;
mod subscriptions;
mod tail;
mod timers;
mod walk;
mod wheel;
mod words;

use std::{collections::VecDeque, fmt, mem};

use bellwire_wire::websocket::Decompressor;
use slab::Slab;

pub use self::{
    admit::{Refused, admit, resolve},
    attach::Open,
    commands::history_start,
    connection::{ConnectionId, ConnectionRef, Poll, Transport},
    contexts::Contexts,
    input::Input,
    replies::publish_error_code,
    report::{Cause, ConnectionInfo, Departure, Gauges, Stats},
    settings::{PlantedFault, Settings, SlowConsumerPolicy},
    sockets::{Release, Sent, SocketKey, Sockets},
};
use self::{
    channels::Channels,
    connection::Connection,
    flush::Flush,
    rates::Rates,
    replies::Asked,
    room::{Room, Rooms},
    wheel::Wheel,
};
use crate::{
    access::Authenticator,
    channel::Channel,
    engine::{Backplane, Draft, Message, Outbox, Reply, Request, ShardId, Token},
    time::Now,
};

/// See the module.
pub struct Shard<S> {
    id: ShardId,
    settings: Settings,
    sockets: S,
    authenticator: Box<dyn Authenticator>,
    connections: Slab<Connection>,
    channels: Channels,
    link: Link,
    flush: Flush,
    /// For messages that stand alone, made when it is first needed.
    decompressor: Option<Box<Decompressor>>,
    rooms: Rooms,
    wheel: Wheel,
    stats: Stats,
    rates: Rates,
    now: Now,
    random: Random,
}

/// What ties the shard to the engine.
struct Link {
    backplane: Box<dyn Backplane>,
    pending: Slab<Pending>,
    /// For this shard, to be handled before the call returns.
    local: VecDeque<Message>,
    /// For other shards.
    remote: Outbox,
}

/// What a reply is for.
enum Pending {
    Attach {
        connection: ConnectionRef,
        channel: Channel,
        asked: Option<Asked>,
    },
    Page {
        channel: Channel,
    },
    Command {
        connection: ConnectionRef,
        channel: Channel,
        asked: Asked,
    },
    External(Callback),
}

/// Takes an answer outside of the shard; must not call back into it.
pub type Callback = Box<dyn FnOnce(Reply)>;

impl<S: Sockets> Shard<S> {
    /// A shard without connections. `seed` feeds jitter, connection generations and hash mixing.
    #[must_use]
    pub fn new(
        id: ShardId,
        settings: Settings,
        sockets: S,
        backplane: Box<dyn Backplane>,
        authenticator: Box<dyn Authenticator>,
        seed: u64,
        now: Now,
    ) -> Self {
        Self {
            id,
            flush: Flush::new(settings.catchup_bytes),
            rates: Rates::new(&settings),
            sockets,
            authenticator,
            connections: Slab::new(),
            channels: Channels::new(seed),
            link: Link {
                backplane,
                pending: Slab::new(),
                local: VecDeque::new(),
                remote: Outbox::new(),
            },
            decompressor: None,
            rooms: Rooms {
                contexts: Room::new(settings.compression_memory),
                answers: Room::new(settings.poll_bytes),
            },
            settings,
            wheel: Wheel::new(now.mono),
            stats: Stats::default(),
            now,
            random: Random(seed | 1),
        }
    }

    /// Handles one message of the inbox.
    pub fn message(&mut self, message: Message, now: Now) {
        self.now = now;
        self.handle(message);
        self.settle();
    }

    /// Publishes for somebody outside of the shard.
    pub fn publish(&mut self, draft: Box<Draft>, now: Now, done: Callback) {
        self.request(Request::Publish(draft), now, done);
    }

    /// Asks the engine for somebody outside of the shard.
    pub fn request(&mut self, request: Request, now: Now, done: Callback) {
        self.now = now;
        self.submit(Pending::External(done), request);
        self.settle();
    }

    /// The socket takes bytes again.
    pub fn writable(&mut self, connection: ConnectionRef, now: Now) {
        self.now = now;
        if let Some(found) = self.find_mut(connection) {
            found.flags.blocked = false;
            self.make_ready(connection.ix);
        }
    }

    /// The peer is gone, as the socket tells.
    pub fn hang_up(&mut self, connection: ConnectionRef, now: Now) {
        self.now = now;
        // Who ended only what it sends may still read, and its close frame is to be answered.
        if self.find_mut(connection).is_some_and(|it| it.is_closing()) {
            self.flush_connection(connection.ix);
        }
        if self.find_mut(connection).is_some() {
            self.depart(connection.ix, Cause::Peer);
        }
        self.settle();
    }

    /// Age, deadlines, heartbeats; call about every 100 ms.
    pub fn tick(&mut self, now: Now) {
        self.now = now;
        self.run_timers();
        self.sweep_pages();
        self.release_delayed();
        self.link.backplane.tick(now, &mut self.link.remote);
        self.settle();
    }

    /// Messages for other shards, in order.
    pub fn take_outbox(&mut self) -> Outbox {
        if self.link.remote.is_empty() {
            // It mostly is, and keeps its room then.
            return Outbox::new();
        }
        mem::take(&mut self.link.remote)
    }

    /// The sockets.
    pub fn sockets(&mut self) -> &mut S {
        &mut self.sockets
    }

    fn find_mut(&mut self, connection: ConnectionRef) -> Option<&mut Connection> {
        let found = self.connections.get_mut(connection.ix as usize)?;
        (found.name.generation == connection.generation).then_some(found)
    }

    fn submit(&mut self, pending: Pending, request: Request) -> Token {
        let token = Token(self.link.pending.insert(pending) as u64);
        self.link
            .backplane
            .submit(token, request, self.now, &mut self.link.remote);
        token
    }

    /// Handles what this shard sent to itself, until nothing is left.
    fn settle(&mut self) {
        loop {
            let id = self.id;
            let mine = self.link.remote.extract_if(.., |(to, _)| *to == id);
            self.link.local.extend(mine.map(|(_, message)| message));
            let Some(message) = self.link.local.pop_front() else {
                return;
            };
            self.handle(message);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Announce(announcement) => self.announced(announcement),
            Message::Reply { token, reply } => self.replied(token, reply),
            Message::Request { .. } | Message::Flushed { .. } => {
                self.link
                    .backplane
                    .receive(message, self.now, &mut self.link.remote);
            }
        }
    }

    fn replied(&mut self, token: Token, reply: Reply) {
        let key = usize::try_from(token.0).unwrap_or(usize::MAX);
        let Some(pending) = self.link.pending.try_remove(key) else {
            return;
        };
        match (pending, reply) {
            (Pending::External(done), reply) => done(reply),
            (
                Pending::Attach {
                    connection, asked, ..
                },
                Reply::Attached(attached),
            ) => {
                self.attached(connection, token, attached, asked);
            }
            (
                Pending::Attach {
                    connection,
                    channel,
                    asked,
                },
                _,
            ) => {
                self.attach_failed(connection, &channel, asked);
            }
            (Pending::Page { .. }, Reply::Page(page)) => self.page_arrived(page),
            (Pending::Page { channel }, _) => self.page_failed(&channel),
            (
                Pending::Command {
                    connection,
                    channel,
                    asked,
                },
                reply,
            ) => {
                self.command_answered(connection, &channel, asked, &reply);
            }
        }
    }
}

impl<S> fmt::Debug for Shard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.id)
            .field("connections", &self.connections.len())
            .field("channels", &self.channels.len())
            .finish_non_exhaustive()
    }
}

/// A small generator for jitter (xorshift64*); nothing secret depends on it.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number of the range, both ends included.
    fn within(&mut self, low: u64, high: u64) -> u64 {
        low + (self.next() >> 11) % (high.saturating_sub(low) + 1)
    }
}
