//! The memory engine, driven by a node whose inboxes are plain queues.

mod budgets;
mod forgetting;
mod history;
mod idempotency;
mod lag;
mod model;
mod order;
mod pages;
mod starts;

use std::{collections::VecDeque, sync::Arc};

use bellwire_core::{
    channel::{Channel, Pattern},
    engine::{
        Announcement, Attached, Backplane, Draft, Gap, GapReason, HistoryPage, IdempotencyKey,
        LogPage, MaxCatchup, Message, Order, Outbox, PublishError, Published, Reply, Request,
        ShardId, Start, Token,
    },
    memory::{MemoryConfig, MemoryEngine, PARTITIONS},
    namespace::{Namespace, Namespaces, Retention},
    position::{Epoch, Position},
    publication::{EventName, Payload},
    time::Now,
};

const EPOCH: Epoch = Epoch(42);

/// What a shard found in its inbox.
#[derive(Debug)]
enum Arrival {
    Reply(Token, Reply),
    Announce(Announcement),
}

/// All shards of a node with their handles.
#[derive(Debug)]
struct Node {
    engines: Vec<MemoryEngine>,
    now: Now,
    tokens: u64,
    arrivals: Vec<Vec<Arrival>>,
    /// Whether shards confirm at once what they are asked to.
    prompt: bool,
}

/// Room for everything; tests bound what they are about. Budgets are per partition here.
struct Settings {
    shards: usize,
    rules: Vec<(&'static str, Retention)>,
    max_channels: usize,
    max_history_bytes: usize,
    max_idempotency_keys: usize,
    max_waiting_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            shards: 1,
            rules: Vec::new(),
            max_channels: 1_000,
            max_history_bytes: 1 << 20,
            max_idempotency_keys: 100,
            max_waiting_bytes: 1 << 20,
        }
    }
}

impl Settings {
    fn keeping(count: usize) -> Self {
        let retention = Retention {
            count,
            ..Retention::default()
        };
        Self {
            rules: vec![("*", retention)],
            ..Self::default()
        }
    }

    fn node(self) -> Node {
        let default = Namespaces::default().of(&channel("x")).clone();
        let rules = self.rules.iter().map(|(pattern, history)| Namespace {
            pattern: Pattern::parse(pattern).expect("a pattern"),
            history: *history,
            ..default.clone()
        });
        let config = MemoryConfig {
            shard: 0,
            shards: self.shards,
            epoch: EPOCH,
            seed: 7,
            namespaces: Arc::new(Namespaces::new(rules.collect(), default.clone())),
            max_channels: self.max_channels * PARTITIONS,
            max_history_bytes: self.max_history_bytes * PARTITIONS,
            max_idempotency_keys: self.max_idempotency_keys * PARTITIONS,
            max_waiting_bytes: self.max_waiting_bytes * PARTITIONS,
        };
        let engine = |shard| {
            MemoryEngine::new(MemoryConfig {
                shard,
                ..config.clone()
            })
        };
        Node {
            engines: (0..self.shards).map(engine).collect(),
            now: Now {
                mono: 5_000,
                wall: 1_790_000_000_000,
            },
            tokens: 0,
            arrivals: (0..self.shards).map(|_| Vec::new()).collect(),
            prompt: true,
        }
    }
}

impl Node {
    fn submit(&mut self, shard: ShardId, request: Request) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let mut outbox = Outbox::new();
        self.engines[shard].submit(token, request, self.now, &mut outbox);
        self.deliver(outbox);
        token
    }

    fn deliver(&mut self, outbox: Outbox) {
        let mut queue = VecDeque::from(outbox);
        while let Some((shard, message)) = queue.pop_front() {
            let mut outbox = Outbox::new();
            match message {
                Message::Reply { token, reply } => {
                    self.arrivals[shard].push(Arrival::Reply(token, reply));
                }
                Message::Announce(announcement) => {
                    if announcement.confirm && self.prompt {
                        let Announcement {
                            channel, offset, ..
                        } = &announcement;
                        self.engines[shard].flushed(channel, *offset, self.now, &mut outbox);
                    }
                    self.arrivals[shard].push(Arrival::Announce(announcement));
                }
                message => self.engines[shard].receive(message, self.now, &mut outbox),
            }
            queue.extend(outbox);
        }
    }

    fn flushed(&mut self, shard: ShardId, channel: &Channel, offset: u64) {
        let mut outbox = Outbox::new();
        self.engines[shard].flushed(channel, offset, self.now, &mut outbox);
        self.deliver(outbox);
    }

    fn advance(&mut self, milliseconds: u64) {
        self.now = self.now.after(milliseconds);
    }

    fn tick(&mut self) {
        for shard in 0..self.engines.len() {
            let mut outbox = Outbox::new();
            self.engines[shard].tick(self.now, &mut outbox);
            self.deliver(outbox);
        }
    }

    /// The reply to a request, where it has come.
    fn reply(&self, shard: ShardId, token: Token) -> Option<Reply> {
        self.arrivals[shard]
            .iter()
            .rev()
            .find_map(|arrival| match arrival {
                Arrival::Reply(of, reply) if *of == token => Some(reply.clone()),
                _ => None,
            })
    }

    fn attach_within(
        &mut self,
        shard: ShardId,
        channel: &Channel,
        start: Start,
        max_catchup: MaxCatchup,
    ) -> Attached {
        let request = Request::Attach {
            channel: channel.clone(),
            start,
            max_catchup,
        };
        let token = self.submit(shard, request);
        match self.reply(shard, token) {
            Some(Reply::Attached(attached)) => attached,
            other => panic!("{other:?}"),
        }
    }

    fn attach(&mut self, shard: ShardId, channel: &Channel, start: Start) -> Attached {
        self.attach_within(shard, channel, start, MaxCatchup::default())
    }

    fn detach(&mut self, shard: ShardId, channel: &Channel) {
        self.submit(
            shard,
            Request::Detach {
                channel: channel.clone(),
            },
        );
    }

    fn send(&mut self, shard: ShardId, draft: Draft) -> Token {
        self.submit(shard, Request::Publish(Box::new(draft)))
    }

    fn published(&self, shard: ShardId, token: Token) -> Option<Result<Published, PublishError>> {
        match self.reply(shard, token)? {
            Reply::Published(result) => Some(result),
            other => panic!("{other:?}"),
        }
    }

    fn try_publish(&mut self, shard: ShardId, draft: Draft) -> Result<Published, PublishError> {
        let token = self.send(shard, draft);
        self.published(shard, token).expect("answered at once")
    }

    /// Publishes and returns the offset.
    fn publish(&mut self, channel: &Channel, text: &str) -> u64 {
        self.try_publish(0, draft(channel, text))
            .expect("nothing refuses it")
            .position
            .offset
    }

    fn read(&mut self, channel: &Channel, after: u64, max_bytes: usize) -> LogPage {
        let request = Request::Read {
            channel: channel.clone(),
            after,
            max_bytes,
        };
        let token = self.submit(0, request);
        match self.reply(0, token) {
            Some(Reply::Page(page)) => page,
            other => panic!("{other:?}"),
        }
    }

    fn history(
        &mut self,
        channel: &Channel,
        start: Start,
        order: Order,
        limit: usize,
    ) -> HistoryPage {
        let channel = channel.clone();
        let request = Request::History {
            channel,
            start,
            order,
            limit,
            max_bytes: 1 << 20,
        };
        let token = self.submit(0, request);
        match self.reply(0, token) {
            Some(Reply::History(page)) => page,
            other => panic!("{other:?}"),
        }
    }

    fn announced(&self, shard: ShardId) -> Vec<Announcement> {
        let announced = self.arrivals[shard]
            .iter()
            .filter_map(|arrival| match arrival {
                Arrival::Announce(announcement) => Some(announcement.clone()),
                Arrival::Reply(..) => None,
            });
        announced.collect()
    }
}

fn channel(name: &str) -> Channel {
    Channel::parse(name).expect("a name")
}

/// The `n`th channel of one partition, the same for every prefix.
fn sibling(prefix: &str, n: usize) -> Channel {
    let names = (0_u32..).map(|i| channel(&format!("{prefix}{i}")));
    names
        .filter(|channel| channel.hash() % PARTITIONS as u64 == 0)
        .nth(n)
        .expect("names never end")
}

fn draft(channel: &Channel, text: &str) -> Draft {
    Draft {
        channel: channel.clone(),
        event: None,
        user: None,
        payload: Payload::json(text),
        idempotency: None,
    }
}

fn keyed(channel: &Channel, text: &str, publisher: &str, key: &str) -> Draft {
    let key = IdempotencyKey {
        publisher: publisher.into(),
        key: key.into(),
    };
    Draft {
        idempotency: Some(key),
        ..draft(channel, text)
    }
}

fn with_event(draft: Draft, event: &str) -> Draft {
    Draft {
        event: Some(EventName::parse(event).expect("a name")),
        ..draft
    }
}

fn after(channel: &Channel, offset: u64) -> Start {
    Start::After(Position {
        epoch: EPOCH.tag(channel),
        offset,
    })
}

fn gap(reason: GapReason, last: Option<u64>, next: Option<u64>, resume: u64) -> Option<Gap> {
    Some(Gap {
        reason,
        last,
        next,
        resume,
    })
}

fn offsets(publications: &[Arc<bellwire_core::publication::Publication>]) -> Vec<u64> {
    publications
        .iter()
        .map(|publication| publication.position.offset)
        .collect()
}
