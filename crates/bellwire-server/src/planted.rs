//! Mistakes planted into a node, so that tests see their checkers find them. Only with the feature
//! `planted`, which nothing but tests turns on; the rest of the server knows nothing of it.

use std::collections::BTreeMap;

use bellwire_core::{
    channel::Channel,
    engine::{Backplane, ChannelRecord, MaxCatchup, Message, Outbox, Request, Start, Token},
    memory::MemoryEngine,
    position::Epoch,
    shard::PlantedFault,
    time::Now,
    usage::Usage,
};

use crate::{Node, StartError, config::Config, node::Heart};

/// How much later than the head interest is registered, in milliseconds.
const LATE_MS: u64 = 300;

/// The token of requests that no session made; a shard drops their replies.
const UNASKED: Token = Token(u64::MAX);

/// What is wrong with a node; nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Planted {
    /// A mistake of the shards.
    pub fault: Option<PlantedFault>,
    /// An epoch that stays the same over restarts, while the counting begins anew.
    pub epoch: Option<u64>,
    /// Interest in a channel is registered some time after its head was read.
    pub late_interest: bool,
}

impl Node {
    /// [`Node::start`] with mistakes.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start_planted(config: Config, planted: Planted) -> Result<Self, StartError> {
        let sound = Heart::default();
        let heart = Heart {
            fault: planted.fault,
            epoch: planted.epoch.map_or(sound.epoch, Epoch),
            engine: if planted.late_interest {
                |config| Box::new(LateInterest::new(MemoryEngine::new(config)))
            } else {
                sound.engine
            },
        };
        Self::start_as(config, heart)
    }
}

/// A shard's handle on the engine that answers an attach from a head read before the interest is
/// registered.
#[derive(Debug)]
struct LateInterest {
    engine: MemoryEngine,
    /// Channels of interest, with when the interest is to be registered if it is not yet.
    channels: BTreeMap<String, Option<(Channel, u64)>>,
}

impl LateInterest {
    fn new(engine: MemoryEngine) -> Self {
        Self {
            engine,
            channels: BTreeMap::new(),
        }
    }

    /// Whether the channel's interest is kept back.
    fn keeps_back(&mut self, channel: &Channel, now: Now) -> bool {
        let name = channel.as_str().to_owned();
        let late = self.channels.entry(name);
        late.or_insert_with(|| Some((channel.clone(), now.mono + LATE_MS)))
            .is_some()
    }
}

impl Backplane for LateInterest {
    fn submit(&mut self, token: Token, request: Request, now: Now, outbox: &mut Outbox) {
        let withdrawn = match &request {
            Request::Attach { channel, .. } => {
                let channel = channel.clone();
                self.keeps_back(&channel, now).then_some(channel)
            }
            Request::Detach { channel } => {
                self.channels.remove(channel.as_str());
                None
            }
            Request::Read { .. } | Request::History { .. } | Request::Publish(_) => None,
        };
        self.engine.submit(token, request, now, outbox);
        if let Some(channel) = withdrawn {
            let request = Request::Detach { channel };
            self.engine.submit(UNASKED, request, now, outbox);
        }
    }

    fn receive(&mut self, message: Message, now: Now, outbox: &mut Outbox) {
        self.engine.receive(message, now, outbox);
    }

    fn flushed(&mut self, channel: &Channel, offset: u64, now: Now, outbox: &mut Outbox) {
        self.engine.flushed(channel, offset, now, outbox);
    }

    fn tick(&mut self, now: Now, outbox: &mut Outbox) {
        for late in self.channels.values_mut() {
            let Some((channel, _)) = late.take_if(|(_, due)| *due <= now.mono) else {
                continue;
            };
            let request = Request::Attach {
                channel,
                start: Start::Latest,
                max_catchup: MaxCatchup::default(),
            };
            self.engine.submit(UNASKED, request, now, outbox);
        }
        self.engine.tick(now, outbox);
    }

    fn usage(&self) -> Usage {
        Backplane::usage(&self.engine)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<ChannelRecord> {
        self.engine.list(prefix, after, limit)
    }
}
