//! A node without threads, sockets or clocks: real shards and engines, and inboxes that lag.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
};

use bellwire_core::{
    engine::{Draft, Message, PublishError, Reply, ShardId},
    memory::{MemoryConfig, MemoryEngine},
    position::Epoch,
    shard::{ConnectionRef, Input, Open, Settings, Shard, SocketKey},
    time::Now,
};

use super::tap::Tap;
use super::{
    bearers::Tokens, faults::Fault, ids::Place, ledger::Ledger, random::Random, sockets::SimSockets,
};

/// What a world is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) shards: usize,
    pub(crate) settings: Settings,
    /// Bytes of an inbox above which announcements shrink.
    pub(crate) inbox_bytes: usize,
    /// Channels with history, per partition.
    pub(crate) max_channels: usize,
    /// One send in so many is short; 0 is never.
    pub(crate) short_one_in: usize,
    pub(crate) fault: Option<Fault>,
}

/// See the module.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) now: Now,
    pub(crate) random: Random,
    pub(crate) shards: Vec<Shard<SimSockets>>,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    /// What publishers found wrong in their replies.
    pub(crate) complaints: Rc<RefCell<Vec<String>>>,
    taps: Vec<Tap>,
    links: BTreeMap<(ShardId, ShardId), VecDeque<Message>>,
    epoch: u64,
    sockets: SocketKey,
    /// Channels of a shard whose chain was broken on purpose.
    unchained: BTreeMap<(ShardId, String), u64>,
    pub(crate) pushed_out: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, seed: u64) -> Self {
        let mut world = Self {
            plan,
            now: Now {
                mono: 5_000,
                wall: 1_790_000_000_000,
            },
            random: Random::new(seed),
            shards: Vec::new(),
            ledger: Rc::default(),
            complaints: Rc::default(),
            taps: Vec::new(),
            links: BTreeMap::new(),
            epoch: seed << 8,
            sockets: 0,
            unchained: BTreeMap::new(),
            pushed_out: false,
        };
        world.start();
        world
    }

    /// Ends the process and starts another: nothing survives but the clients.
    pub(crate) fn restart(&mut self) {
        if self.plan.fault != Some(Fault::ReusedEpoch) {
            self.epoch += 1;
        }
        self.start();
    }

    fn start(&mut self) {
        let shards = self.plan.shards;
        self.links.clear();
        self.unchained.clear();
        self.pushed_out = false;
        let late = self.plan.fault == Some(Fault::LateInterest);
        self.taps = (0..shards)
            .map(|shard| {
                let config = self.engine_config(shard);
                let ledger = Rc::clone(&self.ledger);
                Tap::new((shard, shards), MemoryEngine::new(config), ledger, late)
            })
            .collect();
        self.shards = (0..shards).map(|shard| self.shard(shard)).collect();
    }

    fn engine_config(&self, shard: ShardId) -> MemoryConfig {
        MemoryConfig {
            shard,
            shards: self.plan.shards,
            epoch: Epoch(self.epoch),
            seed: 7,
            namespaces: Arc::clone(&self.plan.settings.namespaces),
            max_channels: self.plan.max_channels * bellwire_core::memory::PARTITIONS,
            max_history_bytes: 64 << 20,
            max_idempotency_keys: 64 * 64,
            max_waiting_bytes: 64 << 20,
        }
    }

    fn shard(&mut self, shard: ShardId) -> Shard<SimSockets> {
        let seed = self.random.below(1 << 30) as u64;
        let mut sockets = SimSockets::new(seed);
        sockets.short_one_in = self.plan.short_one_in;
        let tap = self.taps[shard].clone();
        let mut settings = self.plan.settings.clone();
        settings.planted = self.plan.fault.and_then(Fault::planted);
        Shard::new(
            shard,
            settings,
            sockets,
            Box::new(tap),
            Box::new(Tokens),
            seed,
            self.now,
        )
    }

    /// Does something with a shard, and moves what it sends.
    pub(crate) fn with<T>(
        &mut self,
        shard: ShardId,
        act: impl FnOnce(&mut Shard<SimSockets>, Now) -> T,
    ) -> T {
        let now = self.now;
        let done = act(&mut self.shards[shard], now);
        for (to, message) in self.shards[shard].take_outbox() {
            self.post((shard, to), message);
        }
        done
    }

    fn post(&mut self, link: (ShardId, ShardId), mut message: Message) {
        if let Message::Announce(announcement) = &mut message {
            let waiting: usize = self
                .links
                .iter()
                .filter(|((_, to), _)| *to == link.1)
                .flat_map(|(_, inbox)| inbox)
                .map(weight)
                .sum();
            if waiting + announcement.weight() > self.plan.inbox_bytes {
                announcement.shrink();
            }
            if self.plan.fault == Some(Fault::LostAnnouncement) {
                let key = (link.1, announcement.channel.as_str().to_owned());
                if self.unchained.contains_key(&key) {
                    announcement.prev = 0;
                } else if self.random.one_in(20) {
                    self.unchained.insert(key, announcement.offset);
                    return;
                }
            }
        }
        self.links.entry(link).or_default().push_back(message);
    }

    /// Links with something in them.
    pub(crate) fn busy_links(&self) -> Vec<(ShardId, ShardId)> {
        let busy = self.links.iter().filter(|(_, inbox)| !inbox.is_empty());
        busy.map(|(link, _)| *link).collect()
    }

    /// Delivers the first message of a link.
    pub(crate) fn deliver(&mut self, link: (ShardId, ShardId)) {
        let message = self.links.get_mut(&link).and_then(VecDeque::pop_front);
        if let Some(message) = message {
            self.with(link.1, |shard, now| shard.message(message, now));
        }
    }

    pub(crate) fn flush(&mut self, shard: ShardId) {
        self.with(shard, |shard, now| shard.flush_step(now));
    }

    /// Lets time pass, and each shard notice.
    pub(crate) fn advance(&mut self, milliseconds: u64) {
        self.now = self.now.after(milliseconds);
        for shard in 0..self.shards.len() {
            self.with(shard, Shard::tick);
        }
        let full = |tap: &Tap| tap.tombstones() >= self.plan.max_channels;
        self.pushed_out |= self.taps.iter().any(full);
    }

    pub(crate) fn release_late(&self) {
        for tap in &self.taps {
            tap.release_late(self.now);
        }
    }

    /// Opens a connection on a new socket that takes `capacity` bytes before it blocks.
    pub(crate) fn open(
        &mut self,
        shard: ShardId,
        capacity: usize,
        open: impl FnOnce(SocketKey) -> Open,
    ) -> (SocketKey, ConnectionRef) {
        self.sockets += 1;
        let socket = self.sockets;
        self.shards[shard].sockets().connect(socket, capacity);
        let connection = self.with(shard, |shard, now| shard.open(open(socket), now));
        (socket, connection)
    }

    pub(crate) fn input(
        &mut self,
        shard: ShardId,
        connection: ConnectionRef,
        bytes: &mut [u8],
    ) -> Input {
        self.with(shard, |shard, now| shard.input(connection, bytes, now))
    }

    /// Publishes through a shard; the reply is held against the ledger when it comes (D2, D3).
    pub(crate) fn publish(&mut self, shard: ShardId, draft: Draft, number: u64) {
        let (ledger, complaints) = (Rc::clone(&self.ledger), Rc::clone(&self.complaints));
        let keyed = draft.idempotency.is_some();
        let done = Box::new(move |reply: Reply| {
            let told = match &reply {
                Reply::Published(Ok(told)) => told,
                Reply::Published(Err(PublishError::Overloaded { .. })) => return,
                Reply::Published(Err(PublishError::IdempotencyMismatch)) if keyed => return,
                other => {
                    complaints.borrow_mut().push(format!("D2: {other:?}"));
                    return;
                }
            };
            let place = Place {
                tag: told.position.epoch.0,
                offset: told.position.offset,
            };
            let known = ledger.borrow().place_of(number);
            if known != Some(place) || (told.duplicate && !keyed) {
                let complaint = format!("D3: {number} at {known:?} was told {told:?}");
                complaints.borrow_mut().push(complaint);
            }
        });
        self.with(shard, |shard, now| {
            shard.publish(Box::new(draft), now, done);
        });
    }

    /// Delivers and flushes everything in order; no peer reads anything.
    ///
    /// # Panics
    /// Where the shards keep each other busy for ever.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let links = self.busy_links();
            for &link in &links {
                self.deliver(link);
            }
            let mut worked = !links.is_empty();
            for shard in 0..self.shards.len() {
                if self.shards[shard].has_work() {
                    self.flush(shard);
                    worked = true;
                }
            }
            if !worked {
                return;
            }
        }
        panic!("the shards keep each other busy");
    }
}

fn weight(message: &Message) -> usize {
    match message {
        Message::Announce(announcement) => announcement.weight(),
        Message::Request { .. } | Message::Reply { .. } | Message::Flushed { .. } => 128,
    }
}
