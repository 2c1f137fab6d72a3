//! What a shard tells about itself: counters, departures, listings.

use std::sync::Arc;

use crate::{
    access::Access,
    channel::Channel,
    engine::GapReason,
    shard::connection::{ConnectionId, Transport},
};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The peer closed or went away.
    Peer,
    /// The peer did not answer heartbeats.
    Silent,
    /// The peer broke the protocol.
    Violation,
    /// A poll was answered.
    Answered,
    /// No token came in time.
    AuthTimeout,
    /// A presented token was bad.
    TokenInvalid,
    /// The token ran out.
    TokenExpired,
    /// An operator or the application closed it.
    ClosedByServer,
    /// It fell behind history and the policy is to close.
    SlowConsumer,
    /// Loss on a raw WebSocket.
    RawLoss,
    /// A limit.
    Limit,
    /// The node is draining.
    Drain,
    /// Too little room for it.
    Overloaded,
}

impl Cause {
    /// Every cause, in the order of [`Stats::closed`].
    pub const ALL: [Self; 13] = [
        Self::Peer,
        Self::Silent,
        Self::Violation,
        Self::Answered,
        Self::AuthTimeout,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::ClosedByServer,
        Self::SlowConsumer,
        Self::RawLoss,
        Self::Limit,
        Self::Drain,
        Self::Overloaded,
    ];

    /// The word in logs and metrics, and the code in `bye`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Silent => "silent",
            Self::Violation => "violation",
            Self::Answered => "answered",
            Self::AuthTimeout => "auth_timeout",
            Self::TokenInvalid => "token_invalid",
            Self::TokenExpired => "token_expired",
            Self::ClosedByServer => "closed_by_server",
            Self::SlowConsumer => "slow_consumer",
            Self::RawLoss => "raw_loss",
            Self::Limit => "limit",
            Self::Drain => "drain",
            Self::Overloaded => "overloaded",
        }
    }

    /// Whether the client should come back by itself.
    #[must_use]
    pub fn reconnect(self) -> bool {
        match self {
            Self::Peer
            | Self::Silent
            | Self::Answered
            | Self::TokenExpired
            | Self::SlowConsumer
            | Self::RawLoss
            | Self::Drain
            | Self::Overloaded => true,
            Self::Violation
            | Self::AuthTimeout
            | Self::TokenInvalid
            | Self::ClosedByServer
            | Self::Limit => false,
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// A connection's last words, for logs.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Its id, the same as in `hello`.
    pub id: ConnectionId,
    /// Its transport.
    pub transport: Transport,
    /// Why.
    pub cause: Cause,
    /// Milliseconds since it opened.
    pub age_ms: u64,
}

/// Counters of one shard since its start.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Connections by [`Transport`].
    pub opened: [u64; Transport::COUNT],
    /// By [`Cause`].
    pub closed: [u64; Cause::ALL.len()],
    /// Publications handed to sockets, by transport.
    pub deliveries: [u64; Transport::COUNT],
    /// Bytes handed to sockets.
    pub delivered_bytes: u64,
    /// Gaps by reason: retention, epoch_changed, slow_consumer, backplane_loss, position_unknown,
    /// limit.
    pub gaps: [u64; 6],
    /// Starts that a cursor gave without a gap.
    pub resumed: u64,
    /// Publications sent from pages of the log.
    pub replayed: u64,
    /// Pages read.
    pub pages: u64,
    /// Sends that the socket did not take whole.
    pub blocked: u64,
    /// Announcements that came without their publication, because the inbox was full.
    pub shrunk: u64,
    /// Payloads that were compressed, each for all who read it so.
    pub compressions: u64,
    /// Commands refused because too many came.
    pub rate_limited: u64,
}

impl Stats {
    pub(super) fn gap(&mut self, reason: GapReason) {
        self.gaps[reason as usize] += 1;
    }
}

/// What a shard holds now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Connections by [`Transport`].
    pub connections: [usize; Transport::COUNT],
    /// Subscriptions.
    pub subscriptions: usize,
    /// Channels with local subscribers.
    pub channels: usize,
    /// Payload bytes in pages of the log.
    pub catchup_bytes: usize,
    /// Bytes held for single connections.
    pub output_bytes: usize,
}

/// One connection in a listing.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its id.
    pub id: ConnectionId,
    /// Its socket, from which the server knows the address.
    pub socket: super::SocketKey,
    /// Who.
    pub access: Arc<Access>,
    /// How.
    pub transport: Transport,
    /// Milliseconds since it opened.
    pub age_ms: u64,
    /// To what.
    pub channels: Vec<Channel>,
    /// How many of its channels have something it was not sent yet.
    pub lag: usize,
}
