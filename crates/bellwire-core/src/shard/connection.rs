//! What a shard holds of one connection: its cursors, what is half sent, and its clockwork.
//!
//! Small, because there are tens of thousands: whatever is only needed for a while is boxed and
//! dropped. The rules live in the neighbouring files.

use std::{collections::VecDeque, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bellwire_wire::websocket::Decoder;
use smallvec::SmallVec;

use super::{SocketKey, attach::Attaching, report::Cause};
use crate::{
    access::{Access, Grant},
    cursor::Cursor,
    format::Format,
    segment::Pinned,
};

/// Index of a connection in its shard.
pub(super) type Ix = u32;

/// A connection that may be gone by the time it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionRef {
    pub(super) ix: Ix,
    pub(super) generation: u32,
}

/// The public name of a connection: the same in `hello`, response header, logs and listings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.to_be_bytes()))
    }
}

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// WebSocket.
    WebSocket,
    /// Server-Sent Events.
    Sse,
    /// Long-polling.
    Poll,
    /// The echo endpoint of conformance suites.
    Echo,
}

impl Transport {
    /// How many there are.
    pub const COUNT: usize = 4;
    /// All of them, in the order of counters.
    pub const ALL: [Self; Self::COUNT] = [Self::WebSocket, Self::Sse, Self::Poll, Self::Echo];

    /// The word in metrics and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::Sse => "sse",
            Self::Poll => "poll",
            Self::Echo => "echo",
        }
    }

    pub(super) fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::Echo)
    }
}

/// Where a connection is in its life.
#[derive(Debug)]
pub(super) enum Phase {
    /// A WebSocket without credentials: its channels wait for `auth`.
    AwaitingAuth(Box<Wish>),
    /// Some channels are not resolved yet; hello comes after them.
    Attaching(Box<Attaching>),
    /// Delivering.
    Open,
    /// A held poll: what its answer needs.
    Held(Box<Held>),
    /// The last words are in the output; then the socket is released.
    Closing {
        cause: Cause,
        /// Whether the peer's close frame has come, or none is waited for.
        heard: bool,
    },
}

/// What a client asked for at open.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) names: Vec<String>,
    pub(super) cursor: Cursor,
}

/// What a poll's answer needs.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) poll: Poll,
    pub(super) gaps: Vec<crate::envelope::ChannelGap>,
    pub(super) denied: Vec<super::Refused>,
    pub(super) deadline: u64,
    /// The most bytes of messages that were at hand when it was looked at.
    pub(super) found: usize,
}

/// The parameters of a poll.
#[derive(Clone, Debug)]
pub struct Poll {
    /// How long it may be held, in milliseconds.
    pub timeout_ms: u64,
    /// Messages in its answer at most.
    pub limit: usize,
    /// Whether it only asks for the current cursor.
    pub only_cursor: bool,
    /// Whether the connection ends with the answer.
    pub close: bool,
    /// The response head up to the value of `content-length`, which the shard completes; empty
    /// where somebody else writes the head.
    pub head: Box<[u8]>,
}

/// One connection × one channel.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Index in the shard's channel table.
    pub(super) channel: Ix,
    /// Index in the channel's subscribers.
    pub(super) slot: u32,
    /// Everything up to here was sent.
    pub(super) cursor: u64,
    /// Whether it is attached, and so walked.
    pub(super) live: bool,
}

/// Bytes to be sent before any further publication.
#[derive(Debug, Default)]
pub(super) struct Output {
    queue: VecDeque<Pinned>,
}

impl Output {
    /// The connection's own bytes, behind what is there.
    pub(super) fn push_own(&mut self, bytes: &[u8]) {
        self.own().extend_from_slice(bytes);
    }

    /// Where the connection's own bytes are appended, behind what is there.
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        if !matches!(self.queue.back(), Some(Pinned::Own { .. })) {
            self.queue.push_back(Pinned::Own {
                bytes: Vec::new(),
                start: 0,
            });
        }
        match self.queue.back_mut() {
            Some(Pinned::Own { bytes, .. }) => bytes,
            _ => unreachable!("just looked at, or pushed"),
        }
    }

    pub(super) fn push(&mut self, pinned: Pinned) {
        self.queue.push_back(pinned);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pinned> {
        self.queue.iter()
    }

    /// Takes `sent` bytes off the front; returns what is left of `sent` when all is gone.
    pub(super) fn advance(&mut self, mut sent: usize) -> usize {
        while let Some(first) = self.queue.front_mut() {
            let step = sent.min(first.len());
            first.advance(step);
            sent -= step;
            if !first.is_empty() {
                break;
            }
            self.queue.pop_front();
        }
        sent
    }

    pub(super) fn len(&self) -> usize {
        self.queue.iter().map(Pinned::len).sum()
    }

    pub(super) fn own_bytes(&self) -> usize {
        self.queue.iter().map(Pinned::own_bytes).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) name: Name,
    pub(super) phase: Phase,
    pub(super) subscriptions: SmallVec<[Subscription; 1]>,
    pub(super) access: Arc<Access>,
    /// Boxed twice over so that the many without grants pay one word.
    #[expect(
        clippy::box_collection,
        reason = "most connections have no grants: one word"
    )]
    pub(super) grants: Option<Box<Vec<Grant>>>,
    pub(super) output: Option<Box<Output>>,
    pub(super) reading: Option<Box<Reading>>,
    pub(super) flags: Flags,
    pub(super) clock: Clock,
}

/// What is unfinished of what the client sends.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) decoder: Decoder,
    /// Read from the socket, but not looked at while the connection is paused.
    pub(super) held: Vec<u8>,
    /// Commands without their reply.
    pub(super) in_flight: usize,
}

/// What never changes of a connection.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) id: ConnectionId,
    pub(super) generation: u32,
    pub(super) socket: SocketKey,
    pub(super) transport: Transport,
    pub(super) format: Format,
    /// Whether heartbeats are to be seen by scripts.
    pub(super) visible_heartbeats: bool,
}

/// What a connection waits for, each independent of the others.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent conditions, one byte each"
)]
pub(super) struct Flags {
    /// The socket would block; `writable` will come.
    pub(super) blocked: bool,
    /// In the list of connections to flush.
    pub(super) queued: bool,
    /// Not reading until the output has drained, replies have come, or the session is open.
    pub(super) paused: bool,
    /// The socket is not kept after a poll's answer.
    pub(super) last_answer: bool,
    /// Whose turn it is among the connection's channels.
    pub(super) turn: u8,
    /// Pinged since the peer was last heard.
    pub(super) pinged: bool,
}

/// Times of a connection, in milliseconds of the shard's clock.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) opened: u64,
    pub(super) sent: u64,
    pub(super) heard: u64,
    /// The wheel's entry that counts; others are stale.
    pub(super) wake: u64,
}

impl Connection {
    pub(super) fn output(&mut self) -> &mut Output {
        self.output.get_or_insert_default()
    }

    pub(super) fn grants(&self) -> &[Grant] {
        self.grants.as_ref().map_or(&[], |grants| grants)
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }
}
