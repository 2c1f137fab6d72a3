//! The memory engine: the log in this process, without durability.
//!
//! ```text
//!  MemoryEngine (one per shard) ─► partition (64 in all) ─► store ─► log of a channel
//!        │ not mine: to its owner         ├ idempotency        └ forgotten: tombstones, floors
//!        ▼                                ├ interest
//!     outbox ◄── replies, announcements ──┴ lag: publishes that wait
//! ```
//!
//! Each shard holds one handle with the partitions that it owns as plain data; requests for
//! others travel as messages. Knows no threads: whoever runs the shards delivers the outbox.

mod aged;

mod log;

mod forgotten;

mod store;

mod start;

mod page;

mod interest;

mod lag;

mod idempotency;

mod partition;

use std::{collections::BTreeMap, sync::Arc};

pub use self::{idempotency::IDEMPOTENCY_WINDOW_MS, lag::PUBLISH_WAIT_MS};
use self::{
    idempotency::Idempotency,
    lag::Lags,
    log::Log,
    partition::{Asker, Partition},
    store::Store,
};
use crate::{
    channel::Channel,
    engine::{Backplane, ChannelRecord, Message, Outbox, Request, ShardId, Token},
    namespace::Namespaces,
    position::Epoch,
    time::Now,
    usage::Usage,
};

/// Into how many shares the channels are divided, whatever the number of shards.
pub const PARTITIONS: usize = 64;
/// The most shards that can be interested in a channel.
pub const MAX_SHARDS: usize = 64;

/// What a handle is made of. All handles of a node get the same values, except `shard`.
#[derive(Clone, Debug)]
pub struct MemoryConfig {
    /// Whose handle this is. One that is not below `shards` owns no partition and only asks; from
    /// [`MAX_SHARDS`] on it can't attach.
    pub shard: ShardId,
    /// How many shards share the partitions.
    pub shards: usize,
    /// The epoch of this run of the node.
    pub epoch: Epoch,
    /// A secret that makes hash tables unpredictable for peers.
    pub seed: u64,
    /// Retention by channel.
    pub namespaces: Arc<Namespaces>,
    /// Channels with history, per node.
    pub max_channels: usize,
    /// History of all channels, in bytes, per node: what publications weigh plus 160 bytes each.
    pub max_history_bytes: usize,
    /// Remembered idempotency keys, per node.
    pub max_idempotency_keys: usize,
    /// Publishes that wait for a lagging shard, in bytes, per node.
    pub max_waiting_bytes: usize,
}

/// A shard's handle on the log in memory.
#[derive(Debug)]
pub struct MemoryEngine {
    shard: ShardId,
    shards: usize,
    /// The owned ones: `shard`, `shard + shards` and so on.
    partitions: Vec<Partition>,
}

impl MemoryEngine {
    /// An empty log. Budgets are split evenly over the partitions.
    ///
    /// # Panics
    /// Where `shards` is 0 or above [`MAX_SHARDS`].
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        let MemoryConfig { shard, shards, .. } = config;
        assert!(
            (1..=MAX_SHARDS).contains(&shards),
            "{shards} shards can't share the engine"
        );
        let share = |budget: usize| (budget / PARTITIONS).max(1);
        let owned = if shard < shards {
            (shard..PARTITIONS).step_by(shards).len()
        } else {
            0
        };
        let partition = || {
            let max_channels = share(config.max_channels);
            Partition::new(
                Arc::clone(&config.namespaces),
                config.seed,
                Store::new(config.epoch, max_channels, share(config.max_history_bytes)),
                Lags::new(share(config.max_waiting_bytes)),
                Idempotency::new(share(config.max_idempotency_keys)),
            )
        };
        let partitions = std::iter::repeat_with(partition).take(owned).collect();
        Self {
            shard,
            shards,
            partitions,
        }
    }

    /// What this shard's partitions hold.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for partition in &self.partitions {
            partition.add_to(&mut usage);
        }
        usage
    }

    /// How many positions of another epoch were presented to this shard's partitions: a sign of
    /// several nodes without a backplane.
    #[must_use]
    pub fn foreign_epochs(&self) -> u64 {
        self.usage().foreign_epochs
    }

    /// The partition of a channel where it is this shard's, else its owner.
    fn home(&mut self, channel: &Channel) -> Result<&mut Partition, ShardId> {
        let partition = usize::try_from(channel.hash() % PARTITIONS as u64).expect("below 64");
        let owner = partition % self.shards;
        if owner == self.shard {
            Ok(&mut self.partitions[partition / self.shards])
        } else {
            Err(owner)
        }
    }
}

impl Backplane for MemoryEngine {
    fn submit(&mut self, token: Token, request: Request, now: Now, outbox: &mut Outbox) {
        let from = self.shard;
        match self.home(request.channel()) {
            Ok(partition) => partition.handle(Asker { from, token }, request, now, outbox),
            Err(owner) => outbox.push((
                owner,
                Message::Request {
                    from,
                    token,
                    request,
                },
            )),
        }
    }

    fn receive(&mut self, message: Message, now: Now, outbox: &mut Outbox) {
        match message {
            Message::Request {
                from,
                token,
                request,
            } => {
                let partition = self
                    .home(request.channel())
                    .expect("requests go to the owner");
                partition.handle(Asker { from, token }, request, now, outbox);
            }
            Message::Flushed {
                from,
                channel,
                offset,
            } => {
                let partition = self.home(&channel).expect("confirms go to the owner");
                partition.flushed(&channel, (from, offset), now, outbox);
            }
            Message::Reply { .. } | Message::Announce(_) => {
                unreachable!("replies and announcements are the shard's own");
            }
        }
    }

    fn flushed(&mut self, channel: &Channel, offset: u64, now: Now, outbox: &mut Outbox) {
        let from = self.shard;
        match self.home(channel) {
            Ok(partition) => partition.flushed(channel, (from, offset), now, outbox),
            Err(owner) => {
                let channel = channel.clone();
                outbox.push((
                    owner,
                    Message::Flushed {
                        from,
                        channel,
                        offset,
                    },
                ));
            }
        }
    }

    fn tick(&mut self, now: Now, outbox: &mut Outbox) {
        for partition in &mut self.partitions {
            partition.tick(now, outbox);
        }
    }

    fn usage(&self) -> Usage {
        Self::usage(self)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<ChannelRecord> {
        let mut first = BTreeMap::new();
        for log in self.partitions.iter().flat_map(Partition::logs) {
            let name = log.channel().as_str();
            let wanted = name.starts_with(prefix) && after.is_none_or(|after| name > after);
            let full = first.len() >= limit;
            let first_enough =
                !full || first.last_key_value().is_some_and(|(last, _)| name < *last);
            if wanted && first_enough {
                first.insert(name, log);
                if full {
                    first.pop_last();
                }
            }
        }
        first.into_values().map(Log::record).collect()
    }
}
