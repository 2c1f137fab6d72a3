//! The bounds and rules a shard is given.

use std::sync::Arc;

use crate::{engine::MaxCatchup, namespace::Namespaces, rate::Rate};

/// What happens to an attached connection when history no longer reaches back to its cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowConsumerPolicy {
    /// Say `gap` and go on with what is left.
    #[default]
    Continue,
    /// Close with a hint where to resume.
    Close,
}

/// Settings of one shard; the defaults are those of the contract.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Rules by channel.
    pub namespaces: Arc<Namespaces>,
    /// Milliseconds without traffic after which a heartbeat is sent.
    pub heartbeat_ms: u64,
    /// The range of `retry:` hints, in milliseconds.
    pub retry_ms: (u64, u64),
    /// Milliseconds a bare WebSocket has for `auth`.
    pub auth_timeout_ms: u64,
    /// Milliseconds a peer has to answer a close frame.
    pub close_timeout_ms: u64,
    /// Channels per connection.
    pub max_channels_per_connection: usize,
    /// Bytes of a cursor.
    pub max_cursor_bytes: usize,
    /// Bytes of a received message.
    pub max_message_bytes: usize,
    /// Bytes of a message to the echo endpoint.
    pub max_echo_bytes: usize,
    /// How much a client may catch up on per channel.
    pub max_catchup: MaxCatchup,
    /// Payload bytes in pages of the log, for this shard.
    pub catchup_bytes: usize,
    /// Bytes of answers that polls have not taken yet, for this shard; above it answers are short.
    pub poll_bytes: usize,
    /// Bytes for connections that remember messages they compressed, for this shard.
    pub compression_memory: usize,
    /// Bytes of replies waiting for one connection, above which its socket is not read.
    pub max_output_bytes: usize,
    /// Bytes of messages in one poll answer or history page; one message always fits.
    pub max_answer_bytes: usize,
    /// Publishes of one connection; `None` is no bound.
    pub publish_rate: Option<Rate>,
    /// Subscribe and unsubscribe commands of one connection; `None` is no bound.
    pub subscribe_rate: Option<Rate>,
    /// Connections whose rates are remembered, of each kind.
    pub max_rate_keys: usize,
    /// See the type.
    pub slow_consumer: SlowConsumerPolicy,
    /// Faults that tests plant to see that they are found. Never set outside of tests.
    pub planted: Option<PlantedFault>,
}

/// Mistakes the checkers must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedFault {
    /// A resuming client starts at the head, as if there were nothing to catch up on.
    SkipCatchUp,
    /// The partial frame of a short write is forgotten.
    ForgetPartialFrame,
    /// Text that is not UTF-8 is no violation.
    OverlookBadText,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespaces: Arc::default(),
            heartbeat_ms: 20_000,
            retry_ms: (1_000, 3_000),
            auth_timeout_ms: 10_000,
            close_timeout_ms: 5_000,
            max_channels_per_connection: 128,
            max_cursor_bytes: 4_096,
            max_message_bytes: 256 << 10,
            max_echo_bytes: 16 << 20,
            max_catchup: MaxCatchup::default(),
            catchup_bytes: 64 << 20,
            poll_bytes: 64 << 20,
            compression_memory: 64 << 20,
            max_output_bytes: 16 << 10,
            max_answer_bytes: 1 << 20,
            publish_rate: None,
            subscribe_rate: None,
            max_rate_keys: 100_000,
            slow_consumer: SlowConsumerPolicy::Continue,
            planted: None,
        }
    }
}
