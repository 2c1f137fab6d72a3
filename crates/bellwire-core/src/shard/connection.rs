//! What a shard holds of one connection: its cursors, what is half sent, and its clockwork.
//!
//! Small, because there are tens of thousands: whatever is only needed for a while is boxed and
//! dropped. The rules live in the neighbouring files.

use std::{collections::VecDeque, fmt, mem, num::NonZeroU32, rc::Rc, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bellwire_wire::websocket::{Decoder, Decompressor};
use smallvec::SmallVec;

use super::{
    SocketKey, attach::Attaching, contexts::Contexts, report::Cause, room::Share, wheel::Coarse,
};
use crate::{
    access::{Access, Grant},
    cursor::Cursor,
    engine::Token,
    format::Format,
    segment::Pinned,
};

/// Index of a connection in its shard.
pub(super) type Ix = u32;

/// A connection that may be gone by the time it is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionRef {
    pub(super) ix: Ix,
    pub(super) generation: NonZeroU32,
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

/// Where a connection is in its life while it does not simply deliver.
#[derive(Debug)]
pub(super) enum Phase {
    /// A WebSocket without credentials: its channels wait for `auth`.
    AwaitingAuth(Wish),
    /// Some channels are not resolved yet; hello comes after them.
    Attaching(Attaching),
    /// A held poll: what its answer needs.
    Held(Held),
    /// A poll's answer is in the output; then the socket is released.
    Answered(#[expect(dead_code, reason = "held until the answer is gone")] Share),
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
    /// The response head up to the connection's id, which the shard completes with the id and the
    /// length; `None` where somebody else writes the head. Shared, since thousands are alike.
    pub head: Option<Rc<[u8]>>,
}

/// One connection × one channel.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Index in the shard's channel table.
    pub(super) channel: Ix,
    /// Index in the channel's subscribers.
    pub(super) slot: u32,
    /// Offsets stay below [`WAITING`]: in one word with it, since there are so many of these.
    cursor: u64,
}

/// Of a subscription whose start is not resolved yet; the rest of the word is the token of the
/// reply it waits for, so that a late reply finds its own.
const WAITING: u64 = 1 << 63;

impl Subscription {
    /// One that waits for nothing yet, and is not walked.
    pub(super) fn new(channel: Ix, slot: u32) -> Self {
        Self {
            channel,
            slot,
            cursor: u64::MAX,
        }
    }

    /// Whether it is attached, and so walked.
    pub(super) fn is_live(&self) -> bool {
        self.cursor < WAITING
    }

    /// Everything up to here was sent, once it is live; beyond every offset before that.
    pub(super) fn cursor(&self) -> u64 {
        self.cursor
    }

    pub(super) fn move_to(&mut self, cursor: u64) {
        self.cursor = cursor;
    }

    pub(super) fn wait_for(&mut self, token: Token) {
        self.cursor = WAITING | token.0;
    }

    pub(super) fn waits_for(&self, token: Token) -> bool {
        self.cursor == WAITING | token.0
    }
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

/// What a connection has only for a while; few have any of it at a time.
#[derive(Debug, Default)]
struct Extra {
    output: Output,
    reading: Option<Box<Reading>>,
    grants: Vec<Grant>,
    contexts: Option<Box<Contexts>>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) name: Name,
    /// None is delivering.
    pub(super) phase: Option<Box<Phase>>,
    pub(super) subscriptions: SmallVec<[Subscription; 1]>,
    pub(super) access: Arc<Access>,
    extra: Option<Box<Extra>>,
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
    pub(super) generation: NonZeroU32,
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

/// Times of a connection.
#[derive(Debug)]
pub(super) struct Clock {
    pub(super) opened: Coarse,
    pub(super) sent: Coarse,
    pub(super) heard: Coarse,
    /// The wheel's entry that counts; others are stale.
    pub(super) wake: Option<Coarse>,
}

impl Connection {
    pub(super) fn new(name: Name, access: Arc<Access>, grants: Vec<Grant>, now: u64) -> Self {
        let now = Coarse::floor(now);
        let extra = Extra {
            grants,
            ..Extra::default()
        };
        Self {
            name,
            phase: None,
            subscriptions: SmallVec::new(),
            access,
            extra: (!extra.grants.is_empty()).then(|| Box::new(extra)),
            flags: Flags::default(),
            clock: Clock {
                opened: now,
                sent: now,
                heard: now,
                wake: None,
            },
        }
    }

    /// To write into what is sent before any further publication.
    pub(super) fn output(&mut self) -> &mut Output {
        &mut self.extra.get_or_insert_default().output
    }

    /// What is to be sent before any further publication, if anything is.
    pub(super) fn waiting_output(&self) -> Option<&Output> {
        let output = &self.extra.as_ref()?.output;
        (!output.is_empty()).then_some(output)
    }

    /// The same, to be put back with [`Connection::put_output`].
    pub(super) fn take_output(&mut self) -> Option<Output> {
        let output = &mut self.extra.as_mut()?.output;
        (!output.is_empty()).then(|| mem::take(output))
    }

    pub(super) fn put_output(&mut self, output: Option<Output>) {
        match output.filter(|output| !output.is_empty()) {
            Some(output) => *self.output() = output,
            None => self.tidy(),
        }
    }

    /// What is unfinished of what the client sends, made by `new` where nothing is.
    pub(super) fn reading_or(&mut self, new: impl FnOnce() -> Reading) -> &mut Reading {
        let extra = self.extra.get_or_insert_default();
        extra.reading.get_or_insert_with(|| Box::new(new()))
    }

    pub(super) fn reading(&self) -> Option<&Reading> {
        self.extra.as_ref()?.reading.as_deref()
    }

    pub(super) fn reading_mut(&mut self) -> Option<&mut Reading> {
        self.extra.as_mut()?.reading.as_deref_mut()
    }

    pub(super) fn finish_reading(&mut self) {
        if let Some(extra) = &mut self.extra {
            extra.reading = None;
            self.tidy();
        }
    }

    pub(super) fn grants(&self) -> &[Grant] {
        self.extra.as_ref().map_or(&[], |extra| &extra.grants)
    }

    pub(super) fn change_grants<T>(&mut self, change: impl FnOnce(&mut Vec<Grant>) -> T) -> T {
        let changed = change(&mut self.extra.get_or_insert_default().grants);
        self.tidy();
        changed
    }

    /// Whether it delivers, and nothing else is going on.
    pub(super) fn is_plainly_live(&self) -> bool {
        self.phase.is_none() && self.extra.is_none() && !self.flags.paused
    }

    /// To be put back with [`Connection::put_contexts`].
    pub(super) fn take_contexts(&mut self) -> Option<Box<Contexts>> {
        self.extra.as_mut()?.contexts.take()
    }

    pub(super) fn put_contexts(&mut self, contexts: Box<Contexts>) {
        self.extra.get_or_insert_default().contexts = Some(contexts);
    }

    /// To be put back with [`Connection::put_decompressor`].
    pub(super) fn take_decompressor(&mut self) -> Option<Box<Decompressor>> {
        self.extra.as_mut()?.contexts.as_mut()?.decompressor.take()
    }

    pub(super) fn put_decompressor(&mut self, decompressor: Box<Decompressor>) {
        if let Some(extra) = &mut self.extra
            && let Some(contexts) = &mut extra.contexts
        {
            contexts.decompressor = Some(decompressor);
        }
    }

    fn contexts(&self) -> Option<&Contexts> {
        self.extra.as_ref()?.contexts.as_deref()
    }

    /// Whether its messages refer to those before.
    pub(super) fn compresses(&self) -> bool {
        self.contexts().is_some_and(Contexts::compresses)
    }

    /// Whether it may send compressed messages.
    pub(super) fn may_compress(&self) -> bool {
        self.name.format.window().is_some() || self.contexts().is_some()
    }

    /// Whether its last words are on their way.
    pub(super) fn is_closing(&self) -> bool {
        matches!(
            self.phase.as_deref(),
            Some(Phase::Answered(_) | Phase::Closing { .. })
        )
    }

    fn tidy(&mut self) {
        self.extra.take_if(|extra| {
            extra.output.is_empty()
                && extra.reading.is_none()
                && extra.grants.is_empty()
                && extra.contexts.is_none()
        });
    }
}
