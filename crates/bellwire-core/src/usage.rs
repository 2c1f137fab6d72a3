//! What an engine handle holds, for metrics.

/// Sums over the partitions of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Publications appended, ever.
    pub appended: u64,
    /// Channels with a log.
    pub channels: usize,
    /// What counts against the total history budget, in bytes.
    pub history_bytes: usize,
    /// Channels whose last offset alone is remembered.
    pub tombstones: usize,
    /// Channels dropped for a total budget, ever.
    pub evictions: u64,
    /// Remembered idempotency keys.
    pub idempotency_keys: usize,
    /// Channels whose shards have something to confirm.
    pub lagging_channels: usize,
    /// Publishes that wait for a lagging shard, in bytes.
    pub waiting_bytes: usize,
    /// Gaps that may be false, because the floor they come from is shared by several channels.
    pub floor_gaps: u64,
    /// Positions of another epoch, ever.
    pub foreign_epochs: u64,
}
