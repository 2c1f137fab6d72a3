//! Between a shard and its engine: tells the ledger of every append, and plants the mistakes
//! that an engine could make.

use std::{cell::RefCell, collections::BTreeMap, collections::BTreeSet, rc::Rc};

use bellwire_core::{
    channel::Channel,
    engine::{
        Backplane, ChannelRecord, Draft, MaxCatchup, Message, Outbox, Reply, Request, ShardId,
        Start, Token,
    },
    memory::{MemoryEngine, PARTITIONS},
    time::Now,
    usage::Usage,
};

use super::{ids::Place, ledger::Ledger};

/// The token of registrations that nobody asked for; their replies are dropped.
const LATE: Token = Token(u64::MAX - 1);

/// An engine handle that is watched. Clones are the same handle.
#[derive(Clone, Debug)]
pub(crate) struct Tap(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    shard: ShardId,
    shards: usize,
    engine: MemoryEngine,
    ledger: Rc<RefCell<Ledger>>,
    /// Publishes that were not answered yet.
    asked: BTreeMap<(ShardId, u64), (String, u64)>,
    /// Registers interest some time after the head was read, in place of with it.
    late_interest: bool,
    interested: BTreeSet<(ShardId, String)>,
    late: Vec<(ShardId, Channel)>,
}

impl Tap {
    pub(crate) fn new(
        (shard, shards): (ShardId, usize),
        engine: MemoryEngine,
        ledger: Rc<RefCell<Ledger>>,
        late_interest: bool,
    ) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            shard,
            shards,
            engine,
            ledger,
            asked: BTreeMap::new(),
            late_interest,
            interested: BTreeSet::new(),
            late: Vec::new(),
        })))
    }

    /// Channels whose last offset alone is remembered.
    pub(crate) fn tombstones(&self) -> usize {
        self.0.borrow().engine.usage().tombstones
    }

    /// Registers the interest that was kept back.
    pub(crate) fn release_late(&self, now: Now) {
        self.0.borrow_mut().release_late(now);
    }

    /// Whether interest is kept back.
    pub(crate) fn has_late(&self) -> bool {
        !self.0.borrow().late.is_empty()
    }
}

impl Inner {
    fn handle(&mut self, asker: (ShardId, Token), request: Request, now: Now, outbox: &mut Outbox) {
        let (from, token) = asker;
        if let Request::Publish(draft) = &request {
            let asked = (draft.channel.as_str().to_owned(), number_of(draft));
            self.asked.insert((from, token.0), asked);
        }
        let keep_back = self.keeps_back(from, &request);
        let seen = outbox.len();
        self.pass((from, token), request, now, outbox);
        if let Some(channel) = keep_back {
            self.pass(
                (from, LATE),
                Request::Detach {
                    channel: channel.clone(),
                },
                now,
                outbox,
            );
            self.late.push((from, channel));
        }
        self.watch(&outbox[seen..]);
    }

    fn pass(&mut self, asker: (ShardId, Token), request: Request, now: Now, outbox: &mut Outbox) {
        let (from, token) = asker;
        if from == self.shard {
            self.engine.submit(token, request, now, outbox);
        } else {
            let message = Message::Request {
                from,
                token,
                request,
            };
            self.engine.receive(message, now, outbox);
        }
    }

    /// The planted fault: the first interest of a shard comes after its head was read.
    fn keeps_back(&mut self, from: ShardId, request: &Request) -> Option<Channel> {
        let key = (from, request.channel().as_str().to_owned());
        match request {
            Request::Attach { channel, .. } => {
                let first = self.interested.insert(key);
                (first && self.late_interest).then(|| channel.clone())
            }
            Request::Detach { channel } => {
                self.interested.remove(&key);
                self.late
                    .retain(|(of, late)| *of != from || late != channel);
                None
            }
            Request::Read { .. } | Request::History { .. } | Request::Publish(_) => None,
        }
    }

    fn release_late(&mut self, now: Now) {
        for (from, channel) in std::mem::take(&mut self.late) {
            let request = Request::Attach {
                channel,
                start: Start::Latest,
                max_catchup: MaxCatchup::default(),
            };
            self.pass((from, LATE), request, now, &mut Outbox::new());
        }
    }

    fn watch(&mut self, new: &[(ShardId, Message)]) {
        for (to, message) in new {
            let Message::Reply { token, reply } = message else {
                continue;
            };
            let Some((channel, number)) = self.asked.get(&(*to, token.0)) else {
                continue;
            };
            let Reply::Published(published) = reply else {
                continue;
            };
            if let Ok(published) = published
                && !published.duplicate
            {
                let place = Place {
                    tag: published.position.epoch.0,
                    offset: published.position.offset,
                };
                self.ledger.borrow_mut().append(channel, place, *number);
            }
            self.asked.remove(&(*to, token.0));
        }
    }

    fn is_home_of(&self, channel: &Channel) -> bool {
        channel.hash() % PARTITIONS as u64 % self.shards as u64 == self.shard as u64
    }
}

fn number_of(draft: &Draft) -> u64 {
    number_in(std::str::from_utf8(draft.payload.as_bytes()).expect("simulated payloads are text"))
        .expect("simulated payloads begin with their number")
}

/// Simulated payloads are `[number,"padding"]`.
pub(crate) fn number_in(payload: &str) -> Option<u64> {
    let digits = payload.strip_prefix('[')?.split([',', ']']).next()?;
    digits.parse().ok()
}

impl Backplane for Tap {
    fn submit(&mut self, token: Token, request: Request, now: Now, outbox: &mut Outbox) {
        let mut inner = self.0.borrow_mut();
        if inner.is_home_of(request.channel()) {
            let from = inner.shard;
            inner.handle((from, token), request, now, outbox);
        } else {
            inner.engine.submit(token, request, now, outbox);
        }
    }

    fn receive(&mut self, message: Message, now: Now, outbox: &mut Outbox) {
        let mut inner = self.0.borrow_mut();
        match message {
            Message::Request {
                from,
                token,
                request,
            } => inner.handle((from, token), request, now, outbox),
            message => {
                let seen = outbox.len();
                inner.engine.receive(message, now, outbox);
                inner.watch(&outbox[seen..]);
            }
        }
    }

    fn flushed(&mut self, channel: &Channel, offset: u64, now: Now, outbox: &mut Outbox) {
        let mut inner = self.0.borrow_mut();
        let seen = outbox.len();
        inner.engine.flushed(channel, offset, now, outbox);
        inner.watch(&outbox[seen..]);
    }

    fn tick(&mut self, now: Now, outbox: &mut Outbox) {
        let mut inner = self.0.borrow_mut();
        inner.release_late(now);
        let seen = outbox.len();
        inner.engine.tick(now, outbox);
        inner.watch(&outbox[seen..]);
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<ChannelRecord> {
        self.0.borrow().engine.list(prefix, after, limit)
    }

    fn usage(&self) -> Usage {
        self.0.borrow().engine.usage()
    }
}
