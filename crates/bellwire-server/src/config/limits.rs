//! The bounds of a node. `spec/limits.json` lists the same ones, and a test compares the two.

use std::time::Duration;

use bellwire_core::rate::Rate;

use super::system;

/// Every bound that can be set. What is over one is refused or cut with an explicit word, never
/// silently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One payload or WebSocket message, in bytes.
    pub max_message_bytes: usize,
    /// One message of `/v1/echo`, in bytes.
    pub max_echo_bytes: usize,
    /// Request line and headers, in bytes.
    pub max_head_bytes: usize,
    /// The body of a publish request, in bytes.
    pub max_body_bytes: usize,
    /// Request bodies on their way, in bytes for the whole node; lists of channels have a quarter.
    pub body_bytes: usize,
    /// Items of one publish request.
    pub max_batch: usize,
    /// A cursor, in bytes.
    pub max_cursor_bytes: usize,
    /// Subscriptions of one connection.
    pub max_channels_per_connection: usize,
    /// Publications that a channel's catch-up may span.
    pub max_catchup: usize,
    /// Bytes that a channel's catch-up may span.
    pub max_catchup_bytes: usize,
    /// Pages of the log held for connections behind the tail, in bytes for the whole node.
    pub catchup_bytes: usize,
    /// Answers that polls have not taken yet, in bytes for the whole node; above it answers are short.
    pub poll_bytes: usize,
    /// What connections with `websocket.compression = "context"` may remember, in bytes for the
    /// whole node.
    pub compression_memory: usize,
    /// What waits for one shard, in bytes.
    pub shard_inbox_bytes: usize,
    /// Idempotency keys remembered by the node.
    pub max_idempotency_keys: usize,
    /// The kernel's send buffer of one connection, in bytes.
    pub send_buffer_bytes: usize,
    /// From accept to the end of the first request's head.
    pub handshake_timeout: Duration,
    /// How long an idle HTTP connection stays open.
    pub keep_alive_timeout: Duration,
    /// How long a WebSocket without credentials may take to present them.
    pub auth_timeout: Duration,
    /// Connections of the node; `None` is the descriptor limit less 64.
    pub max_connections: Option<usize>,
    /// Connections from one address; `None` is no limit. Loopback and trusted proxies have none.
    pub max_connections_per_address: Option<usize>,
    /// New connections from one address, under the same exceptions; `None` is no limit.
    pub connect_rate_per_address: Option<Rate>,
    /// Publishes over one WebSocket; `None` is no limit. API keys have none here and below.
    pub publish_rate_per_connection: Option<Rate>,
    /// Publishes of one user over all connections and requests; `None` is no limit.
    pub publish_rate_per_user: Option<Rate>,
    /// Publishes from one address; `None` is no limit. Loopback and trusted proxies have none.
    pub publish_rate_per_address: Option<Rate>,
    /// Subscribe and unsubscribe commands over one WebSocket; `None` is no limit.
    pub subscribe_rate_per_connection: Option<Rate>,
    /// Connections, users and addresses whose rates are remembered, of each kind.
    pub max_rate_keys: usize,
    /// Channels with a record.
    pub max_channels: usize,
    /// History of all channels, in bytes; `None` is a quarter of memory.
    pub max_history_bytes: Option<usize>,
    /// Verified tokens that the node remembers besides those of its connections.
    pub max_cached_tokens: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 256 << 10,
            max_echo_bytes: 16 << 20,
            max_head_bytes: 16 << 10,
            max_body_bytes: 8 << 20,
            body_bytes: 256 << 20,
            max_batch: 1_000,
            max_cursor_bytes: 4_096,
            max_channels_per_connection: 128,
            max_catchup: 1_000,
            max_catchup_bytes: 4 << 20,
            catchup_bytes: 64 << 20,
            poll_bytes: 64 << 20,
            compression_memory: 64 << 20,
            shard_inbox_bytes: 4 << 20,
            max_idempotency_keys: 100_000,
            send_buffer_bytes: 64 << 10,
            handshake_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(30),
            auth_timeout: Duration::from_secs(10),
            max_connections: None,
            max_connections_per_address: None,
            connect_rate_per_address: None,
            publish_rate_per_connection: None,
            publish_rate_per_user: None,
            publish_rate_per_address: None,
            subscribe_rate_per_connection: None,
            max_rate_keys: 100_000,
            max_channels: 1_000_000,
            max_history_bytes: None,
            max_cached_tokens: 8_192,
        }
    }
}

impl Limits {
    /// Connections of the node: as set, else what the descriptor limit allows.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.max_connections
            .unwrap_or_else(|| system::max_descriptors().saturating_sub(64).max(1))
    }

    /// History of all channels in bytes: as set, else a quarter of the memory this process has.
    #[must_use]
    pub fn history_bytes(&self) -> usize {
        self.max_history_bytes
            .unwrap_or_else(|| system::available_memory_bytes() / 4)
    }
}
