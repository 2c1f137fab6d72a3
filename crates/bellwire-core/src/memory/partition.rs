//! One of the 64 shares of the log: plain data of the shard that owns it.
//!
//! Owns the order of things: what one request does happens at once, so registering interest is
//! atomic with append, and a key is recorded in the same step as its message. Called by the
//! engine handle with requests of any shard; answers and announcements go to the outbox.

use std::{
    hash::{DefaultHasher, Hasher},
    sync::Arc,
};

use super::{
    idempotency::{Idempotency, Keyed, Seen},
    interest::Interest,
    lag::{Lags, Waiting},
    log::Log,
    page::PageSize,
    start::Resolved,
    store::{Appended, Store},
};
use crate::{
    channel::Channel,
    engine::{
        Announcement, Attached, Draft, Durability, Message, Outbox, PublishError, Published, Reply,
        Request, ShardId, Token,
    },
    namespace::{Namespaces, Retention},
    position::Position,
    time::Now,
    usage::Usage,
};

/// What a client is told to wait when it was refused for a lagging shard, in milliseconds.
const RETRY_AFTER_MS: u64 = 1_000;

/// A share of the channels.
#[derive(Debug)]
pub(super) struct Partition {
    namespaces: Arc<Namespaces>,
    seed: u64,
    store: Store,
    interest: Interest,
    lags: Lags,
    idempotency: Idempotency,
    foreign_epochs: u64,
    floor_gaps: u64,
}

/// Who is to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) from: ShardId,
    pub(super) token: Token,
}

impl Asker {
    fn answer(self, reply: Reply, outbox: &mut Outbox) {
        outbox.push((
            self.from,
            Message::Reply {
                token: self.token,
                reply,
            },
        ));
    }
}

impl Partition {
    /// `idempotency` and `lags` are made with this partition's share of the budgets.
    pub(super) fn new(
        namespaces: Arc<Namespaces>,
        seed: u64,
        store: Store,
        lags: Lags,
        idempotency: Idempotency,
    ) -> Self {
        Self {
            namespaces,
            seed,
            store,
            interest: Interest::default(),
            lags,
            idempotency,
            foreign_epochs: 0,
            floor_gaps: 0,
        }
    }

    pub(super) fn handle(&mut self, asker: Asker, request: Request, now: Now, out: &mut Outbox) {
        match request {
            Request::Attach {
                channel,
                start,
                max_catchup,
            } => {
                let (key, retention) = self.address(&channel);
                self.interest.add(key, asker.from);
                let view = self.store.view(&channel, key, &retention, now);
                let resolved = view.resolve_within(start, max_catchup);
                let (epoch, head, floored) = (view.epoch, view.head, view.floored);
                self.count(resolved, floored);
                let Resolved {
                    asked, start, gap, ..
                } = resolved;
                asker.answer(
                    Reply::Attached(Attached {
                        epoch,
                        asked,
                        start,
                        head,
                        gap,
                    }),
                    out,
                );
            }
            Request::Detach { channel } => {
                let (key, _) = self.address(&channel);
                self.interest.remove(key, asker.from);
                self.lags.left(key, asker.from);
                self.release(key, now, out);
            }
            Request::Read {
                channel,
                after,
                max_bytes,
            } => {
                let (key, retention) = self.address(&channel);
                let view = self.store.view(&channel, key, &retention, now);
                asker.answer(Reply::Page(view.page(&channel, after, max_bytes)), out);
            }
            Request::History {
                channel,
                start,
                order,
                limit,
                max_bytes,
            } => {
                let (key, retention) = self.address(&channel);
                let view = self.store.view(&channel, key, &retention, now);
                let resolved = view.resolve(start);
                let page = view.history(start, resolved, order, PageSize { limit, max_bytes });
                let floored = view.floored;
                self.count(resolved, floored);
                asker.answer(Reply::History(page), out);
            }
            Request::Publish(draft) => self.publish(asker, draft, now, out),
        }
    }

    /// A shard has handed everything of a channel up to an offset to its sockets.
    pub(super) fn flushed(
        &mut self,
        channel: &Channel,
        confirmed: (ShardId, u64),
        now: Now,
        out: &mut Outbox,
    ) {
        let (key, _) = self.address(channel);
        self.lags.flushed(key, confirmed.0, confirmed.1);
        self.release(key, now, out);
    }

    /// Deadlines and age; bounded work.
    pub(super) fn tick(&mut self, now: Now, out: &mut Outbox) {
        while let Some((key, Waiting { asker, .. })) = self.lags.next_expired(now) {
            refuse(asker, out);
            self.release(key, now, out);
        }
        self.lags.sweep(now);
        self.idempotency.expire(now);
        self.store.sweep(&self.namespaces, now);
    }

    pub(super) fn logs(&self) -> impl Iterator<Item = &Log> {
        self.store.logs()
    }

    /// Adds what this partition holds.
    pub(super) fn add_to(&self, usage: &mut Usage) {
        usage.appended += self.store.counter();
        usage.channels += self.store.channels();
        usage.history_bytes += self.store.bytes();
        usage.tombstones += self.store.tombstones();
        usage.evictions += self.store.evictions();
        usage.idempotency_keys += self.idempotency.len();
        usage.lagging_channels += self.lags.len();
        usage.waiting_bytes += self.lags.waiting_bytes();
        usage.floor_gaps += self.floor_gaps;
        usage.foreign_epochs += self.foreign_epochs;
    }

    fn publish(&mut self, asker: Asker, draft: Box<Draft>, now: Now, out: &mut Outbox) {
        let address = self.address(&draft.channel);
        let key = address.0;
        let weight = draft.weight();
        if !self.lags.must_wait(key, weight) {
            self.append(asker, *draft, address, now, out);
        } else if self
            .lags
            .wait(
                key,
                Waiting {
                    asker,
                    draft,
                    weight,
                },
                now,
            )
            .is_err()
        {
            refuse(asker, out);
        }
    }

    /// Appends what waited, as long as it may.
    fn release(&mut self, key: u64, now: Now, out: &mut Outbox) {
        while let Some(Waiting { asker, draft, .. }) = self.lags.next_ready(key) {
            let address = self.address(&draft.channel);
            self.append(asker, *draft, address, now, out);
        }
        self.lags.settle(key);
    }

    /// Appends, records the key, answers, announces: one step, after any wait.
    fn append(
        &mut self,
        asker: Asker,
        draft: Draft,
        (key, retention): (u64, Retention),
        now: Now,
        out: &mut Outbox,
    ) {
        let keyed = draft
            .idempotency
            .as_ref()
            .map(|key| Keyed::new(&draft, key, self.seed));
        let seen = keyed
            .as_ref()
            .map_or(Seen::New, |keyed| self.idempotency.check(keyed, now));
        match seen {
            Seen::New => {}
            Seen::Duplicate(offset) => {
                let epoch = self.store.epoch().tag(&draft.channel);
                let position = Position { epoch, offset };
                return asker.answer(published(position, true), out);
            }
            Seen::Mismatch => {
                let error = PublishError::IdempotencyMismatch;
                return asker.answer(Reply::Published(Err(error)), out);
            }
            Seen::Full => {
                let error = PublishError::IdempotencyFull;
                return asker.answer(Reply::Published(Err(error)), out);
            }
        }
        let appended = self.store.append(draft, key, &retention, now);
        let position = appended.publication.position;
        if let Some(keyed) = keyed {
            self.idempotency.record(keyed, position.offset, now);
        }
        // Before the announcement, so that a publisher knows its own echo.
        asker.answer(published(position, false), out);
        self.announce(key, appended, &retention, now, out);
    }

    fn announce(
        &mut self,
        key: u64,
        appended: Appended,
        retention: &Retention,
        now: Now,
        out: &mut Outbox,
    ) {
        let shards = self.interest.of(key);
        if shards.is_empty() {
            return;
        }
        let Appended { publication, prev } = appended;
        let Position { epoch, offset } = publication.position;
        let weight = publication.weight();
        let confirm = self
            .lags
            .announced(key, shards, (offset, weight), retention, now);
        for shard in shards.iter() {
            let announcement = Announcement {
                channel: publication.channel.clone(),
                epoch,
                prev,
                offset,
                publication: Some(Arc::clone(&publication)),
                confirm,
            };
            out.push((shard, Message::Announce(announcement)));
        }
    }

    fn count(&mut self, resolved: Resolved, floored: bool) {
        self.foreign_epochs += u64::from(resolved.foreign);
        self.floor_gaps += u64::from(floored && resolved.is_retention());
    }

    /// The channel's key in every table of the partition, and its retention.
    ///
    /// The key is a hash of the name keyed with a secret, so peers can't choose names that share
    /// one; `Channel::hash` is public knowledge.
    fn address(&self, channel: &Channel) -> (u64, Retention) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(channel.as_str().as_bytes());
        (hasher.finish(), self.namespaces.of(channel).history)
    }
}

fn published(position: Position, duplicate: bool) -> Reply {
    Reply::Published(Ok(Published {
        position,
        durability: Durability::Memory,
        duplicate,
    }))
}

fn refuse(asker: Asker, outbox: &mut Outbox) {
    let error = PublishError::Overloaded {
        retry_after_ms: RETRY_AFTER_MS,
    };
    asker.answer(Reply::Published(Err(error)), outbox);
}
