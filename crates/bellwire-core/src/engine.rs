//! The seam between a shard and the log: requests, completions, announcements.
//!
//! A backplane works by completion, not by async functions. A shard submits a request with a
//! token; the reply comes back through the *same ordered inbox* as the announcements, so an attach
//! reply (with the head) precedes every later announcement, and attaching has no race. The same
//! trait serves the memory engine here and backplanes that live on other threads.

use std::{fmt, sync::Arc};

use crate::{
    channel::{Channel, UserId},
    position::{EpochTag, Position},
    publication::{EventName, Payload, Publication},
    time::Now,
    usage::Usage,
};

/// Which shard of the node.
pub type ShardId = usize;

/// Ties a reply to its request within one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// Messages on their way to shards, in order. One for the sending shard itself is legal.
pub type Outbox = Vec<(ShardId, Message)>;

/// Where a subscription or a history page starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    Latest,
    /// With the oldest retained publication.
    Earliest,
    /// After a position, whatever its epoch turns out to be.
    After(Position),
    /// The client's position could not be told: a gap, then latest.
    Unknown,
}

/// How much a client may catch up on in one channel before it is cut short with gap `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxCatchup {
    /// Publications.
    pub count: usize,
    /// Bytes of payload.
    pub bytes: usize,
}

impl Default for MaxCatchup {
    fn default() -> Self {
        Self {
            count: 1_000,
            bytes: 4 << 20,
        }
    }
}

/// What a shard asks of the engine.
#[derive(Clone, Debug)]
pub enum Request {
    /// Registers the shard's interest (again is harmless) and resolves a start, atomically with
    /// append. Answered by [`Reply::Attached`].
    Attach {
        /// The channel.
        channel: Channel,
        /// What the client asked for.
        start: Start,
        /// Bound of the catch-up.
        max_catchup: MaxCatchup,
    },
    /// The shard's last subscriber left. Not answered.
    Detach {
        /// The channel.
        channel: Channel,
    },
    /// A page of the log for connections behind the tail. Answered by [`Reply::Page`].
    Read {
        /// The channel.
        channel: Channel,
        /// The page holds the publications after this offset; it may begin earlier, so that
        /// readers at different offsets share it.
        after: u64,
        /// Weight of the page; one publication is returned however large it is.
        max_bytes: usize,
    },
    /// A page for a history reader. Answered by [`Reply::History`].
    History {
        /// The channel.
        channel: Channel,
        /// Where to begin; for [`Order::Desc`] the page goes backwards from before the position,
        /// and [`Start::Latest`] is the newest.
        start: Start,
        /// Direction.
        order: Order,
        /// Publications at most.
        limit: usize,
        /// Weight at most, except that one publication is always returned.
        max_bytes: usize,
    },
    /// Append and announce. Answered by [`Reply::Published`].
    Publish(Box<Draft>),
}

impl Request {
    /// The channel it is about.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        match self {
            Self::Attach { channel, .. }
            | Self::Detach { channel }
            | Self::Read { channel, .. }
            | Self::History { channel, .. } => channel,
            Self::Publish(draft) => &draft.channel,
        }
    }
}

/// Direction of a history page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    #[default]
    Asc,
    /// Newest first.
    Desc,
}

/// A publication before it has a position.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where to.
    pub channel: Channel,
    /// Event name.
    pub event: Option<EventName>,
    /// Publisher's user id.
    pub user: Option<UserId>,
    /// The message.
    pub payload: Payload,
    /// Makes repeating safe.
    pub idempotency: Option<IdempotencyKey>,
}

impl Draft {
    /// What the publication will weigh, see [`Publication::weight`].
    #[must_use]
    pub fn weight(&self) -> usize {
        let event = self.event.as_ref().map_or(0, |event| event.as_str().len());
        let user = self.user.as_ref().map_or(0, |user| user.as_str().len());
        self.payload.as_bytes().len() + event + user
    }
}

/// A key in the scope of one channel and one publisher identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// API key id, else the token's `sub`, else the one anonymous identity, made distinct by the
    /// caller (`key:…`, `user:…`, `anonymous`).
    pub publisher: Box<str>,
    /// What the publisher chose, 1 to 128 bytes.
    pub key: Box<str>,
}

/// What the engine answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To [`Request::Attach`].
    Attached(Attached),
    /// To [`Request::Read`].
    Page(LogPage),
    /// To [`Request::History`].
    History(HistoryPage),
    /// To [`Request::Publish`].
    Published(Result<Published, PublishError>),
    /// The backplane is out of reach; ask again.
    Unavailable,
}

/// A resolved start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The channel's epoch.
    pub epoch: EpochTag,
    /// Where the client stood in this epoch before any gap; `None` is "position unknown".
    pub asked: Option<u64>,
    /// Delivery continues with the publications after this offset.
    pub start: u64,
    /// The newest offset announced to this shard up to now, at least as high as every
    /// publication's of the channel.
    pub head: u64,
    /// What the client can't get.
    pub gap: Option<Gap>,
}

/// A loss: everything between two positions of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// The last offset the client has, in the current epoch.
    pub last: Option<u64>,
    /// The first offset that is still to be had.
    pub next: Option<u64>,
    /// Delivery continues after this offset.
    pub resume: u64,
}

/// Why a loss happened (design D5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GapReason {
    /// History no longer reaches back, found at attach.
    Retention,
    /// The log began anew.
    EpochChanged,
    /// History no longer reaches back, found on an attached connection.
    SlowConsumer,
    /// The backplane lost it.
    BackplaneLoss,
    /// The cursor does not say where the client stood.
    PositionUnknown,
    /// Catch-up longer than allowed.
    Limit,
}

impl GapReason {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::EpochChanged => "epoch_changed",
            Self::SlowConsumer => "slow_consumer",
            Self::BackplaneLoss => "backplane_loss",
            Self::PositionUnknown => "position_unknown",
            Self::Limit => "limit",
        }
    }
}

/// Consecutive publications of a channel.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// Whose log.
    pub channel: Channel,
    /// How far the channel was trimmed: a reader below it has a gap.
    pub trimmed: u64,
    /// The oldest retained offset.
    pub oldest: Option<u64>,
    /// The page holds every publication with `start < offset <= end`.
    pub start: u64,
    /// See `start`; equals the head where nothing follows.
    pub end: u64,
    /// In order.
    pub publications: Vec<Arc<Publication>>,
}

/// A page of history.
#[derive(Clone, Debug)]
pub struct HistoryPage {
    /// The channel's epoch.
    pub epoch: EpochTag,
    /// In the order asked for.
    pub publications: Vec<Arc<Publication>>,
    /// Where the start was no longer retained.
    pub gap: Option<Gap>,
    /// The offset to continue from.
    pub cursor: u64,
    /// Whether more follows.
    pub more: bool,
}

/// A successful publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The publication's place.
    pub position: Position,
    /// What the acknowledgement is worth (design D2).
    pub durability: Durability,
    /// Whether the key had been used before; then `position` is the first one's.
    pub duplicate: bool,
}

/// What a publish reply promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Lost with the process.
    #[default]
    Memory,
    /// Survives a crash of the process.
    Os,
    /// Fsynced.
    Disk,
    /// Held by several machines.
    Replicated,
}

impl Durability {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Disk => "disk",
            Self::Replicated => "replicated",
        }
    }
}

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// 409.
    #[error("the idempotency key was used for other bytes; use a new key for a new message")]
    IdempotencyMismatch,
    /// 503.
    #[error("no room for another idempotency key; publish without one, or later")]
    IdempotencyFull,
    /// 503 before the append.
    #[error("subscribers are too far behind; try again later")]
    Overloaded {
        /// What to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// 503.
    #[error("the backplane is out of reach; try again")]
    Unavailable,
}

/// What a shard's inbox holds.
pub enum Message {
    /// For the engine partition that lives on this shard.
    Request {
        /// Who asks.
        from: ShardId,
        /// Whose meaning only the asker knows.
        token: Token,
        /// What is asked.
        request: Request,
    },
    /// A completion of a request of this shard.
    Reply {
        /// The request's.
        token: Token,
        /// The outcome.
        reply: Reply,
    },
    /// A publication in a channel that this shard is interested in.
    Announce(Announcement),
    /// For the engine: shard `from` has handed everything up to `offset` to its sockets.
    Flushed {
        /// Which shard.
        from: ShardId,
        /// Which channel.
        channel: Channel,
        /// Up to where.
        offset: u64,
    },
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request {
                from,
                token,
                request,
            } => {
                write!(f, "Request({from}, {token:?}, {request:?})")
            }
            Self::Reply { token, reply } => write!(f, "Reply({token:?}, {reply:?})"),
            Self::Announce(announcement) => write!(f, "{announcement:?}"),
            Self::Flushed {
                from,
                channel,
                offset,
            } => {
                write!(f, "Flushed({from}, {channel}, {offset})")
            }
        }
    }
}

/// News of one publication.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// The channel.
    pub channel: Channel,
    /// Its epoch.
    pub epoch: EpochTag,
    /// The predecessor's offset, for the chain check.
    pub prev: u64,
    /// The publication's offset.
    pub offset: u64,
    /// The publication; `None` where the inbox was over its bound and the shard is to read the
    /// log.
    pub publication: Option<Arc<Publication>>,
    /// Whether the engine wants a [`Message::Flushed`] once this is handed to the sockets.
    pub confirm: bool,
}

impl Announcement {
    /// What the announcement weighs in an inbox, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        128 + self
            .publication
            .as_ref()
            .map_or(0, |publication| publication.weight())
    }

    /// Drops the publication, so that the entry says only "channel, head".
    pub fn shrink(&mut self) {
        self.publication = None;
    }
}

/// What listings tell of a channel with a record.
#[derive(Clone, Debug)]
pub struct ChannelRecord {
    /// The channel.
    pub channel: Channel,
    /// Its newest position.
    pub head: Position,
    /// Retained publications.
    pub publications: usize,
    /// Their weight.
    pub bytes: usize,
}

/// A publish pipeline with its log, as one shard sees it.
pub trait Backplane {
    /// Starts a request of this shard; its reply arrives as [`Message::Reply`] in this shard's
    /// inbox (perhaps through `outbox` at once).
    fn submit(&mut self, token: Token, request: Request, now: Now, outbox: &mut Outbox);

    /// Handles a [`Message::Request`] or [`Message::Flushed`] that arrived for a partition of
    /// this shard. Other messages are the shard's own and must not be passed.
    fn receive(&mut self, message: Message, now: Now, outbox: &mut Outbox);

    /// This shard has handed everything up to `offset` to its sockets, as an announcement wished.
    fn flushed(&mut self, channel: &Channel, offset: u64, now: Now, outbox: &mut Outbox);

    /// Age, deadlines, evictions; called about every 100 ms.
    fn tick(&mut self, now: Now, outbox: &mut Outbox);

    /// What the engine holds for this shard, for metrics.
    fn usage(&self) -> Usage;

    /// Records of the channels whose home is this shard, by name: those after `after` that begin
    /// with `prefix`, at most `limit`.
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<ChannelRecord>;
}
