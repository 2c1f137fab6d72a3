//! What everything on a shard's thread shares: the core's shard, its sockets, its gate, and the
//! ways to the other shards.
//!
//! Every call into the core goes through here, because after each one its messages for other
//! shards are posted and the driver is woken.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    fmt,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use bellwire_core::{
    access::{Access, Authenticator, Grant, Refusal},
    engine::{Draft, Outbox, Reply, Request},
    rate::TooFast,
    shard::{Cause, ConnectionId, Input, Open, Settings, Shard, SocketKey, Transport},
    time::Now,
};
use tokio::sync::{Notify, oneshot};

use super::{
    accept,
    census::{Census, Place},
    inbox::{Inbox, Post},
    outcomes::{Outcome, Outcomes},
    sockets::{Epoll, Happened, Idle},
};
use crate::{
    access::{Gate, Proxies},
    config::Config,
    drain::DrainState,
    http::Intake,
    rates::Rates,
    tls::Encryption,
};

/// Sockets read per turn.
const READS: usize = 64;
/// Inbox entries handled per turn.
const POSTS: usize = 1_024;
/// What one read takes at most.
const SCRATCH_BYTES: usize = 64 << 10;

/// What the shards of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) inboxes: Vec<Inbox>,
    pub(crate) census: Arc<Census>,
    pub(crate) proxies: Arc<Proxies>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) publishes: Intake,
    pub(crate) lists: Intake,
    pub(crate) drain: DrainState,
    pub(crate) clock: Clock,
    pub(crate) dev_key: Option<String>,
    /// The main listener's certificate, where it encrypts.
    pub(crate) encryption: Option<Encryption>,
}

/// The node's clock: a start from which it counts.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// What a route opens: the session, and where it came through a trusted proxy the place of its
/// client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) open: Open,
    pub(crate) place: Option<Place>,
}

/// See the module.
pub(crate) struct Local {
    pub(crate) shared: Arc<Shared>,
    pub(crate) gate: Rc<Gate>,
    shard: RefCell<Shard<Epoll>>,
    wake: Notify,
    backlog: RefCell<VecDeque<Post>>,
    scratch: RefCell<Vec<u8>>,
    /// The last poll's response head.
    head: RefCell<Rc<[u8]>>,
    /// Requests that were refused, by error code.
    refusals: RefCell<BTreeMap<&'static str, u64>>,
    /// Transports that clients gave up, by reason.
    fallbacks: RefCell<BTreeMap<&'static str, u64>>,
    /// Requests whose trusted proxy did not say for whom.
    malformed_forwarded: Cell<u64>,
    /// Requests that are being answered.
    answering: Cell<usize>,
    id: usize,
    last_tick: Cell<u64>,
    /// The time of the turn under way: read once, and a turn itself tells whether there is more to do.
    turn: Cell<Option<Now>>,
}

/// The gate, as sessions ask it, and what the node allows of their users and addresses.
pub(super) struct SessionGate {
    pub(super) gate: Rc<Gate>,
    pub(super) rates: Arc<Rates>,
}

impl Authenticator for SessionGate {
    fn token(&self, text: &str, now: Now) -> Result<Arc<Access>, Refusal> {
        self.gate.authenticator().token(text, now)
    }

    fn grant(&self, text: &str, access: &Access, now: Now) -> Result<Grant, Refusal> {
        self.gate.authenticator().grant(text, access, now)
    }

    fn may_publish(
        &self,
        access: &Access,
        address: &dyn Fn() -> Option<IpAddr>,
        now: Now,
    ) -> Result<(), TooFast> {
        self.rates.publish(access, address, now)
    }
}

impl Local {
    pub(super) fn new(
        id: usize,
        shared: Arc<Shared>,
        gate: Rc<Gate>,
        shard: Shard<Epoll>,
    ) -> Rc<Self> {
        Rc::new(Self {
            shared,
            gate,
            shard: RefCell::new(shard),
            wake: Notify::new(),
            backlog: RefCell::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            head: RefCell::new(Rc::from([])),
            refusals: RefCell::default(),
            fallbacks: RefCell::default(),
            malformed_forwarded: Cell::new(0),
            answering: Cell::new(0),
            id,
            last_tick: Cell::new(0),
            turn: Cell::new(None),
        })
    }

    pub(crate) fn now(&self) -> Now {
        self.turn.get().unwrap_or_else(|| self.shared.clock.now())
    }

    /// Reads from the core's shard.
    pub(crate) fn inspect<T>(&self, read: impl FnOnce(&Shard<Epoll>) -> T) -> T {
        read(&self.shard.borrow())
    }

    /// Calls into the core's shard; afterwards its messages are posted and the driver is woken.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Shard<Epoll>, Now) -> T) -> T {
        let now = self.now();
        let mut shard = self.shard.borrow_mut();
        shard.sockets().set_now(now.mono);
        let result = call(&mut shard, now);
        let outbox = shard.take_outbox();
        let has_work = shard.has_work();
        drop(shard);
        self.post(outbox);
        if has_work && self.turn.get().is_none() {
            self.wake.notify_one();
        }
        result
    }

    fn post(&self, outbox: Outbox) {
        for (to, message) in outbox {
            self.shared.inboxes[to].post(Post::Message(message));
        }
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.shared.inboxes[self.id]
    }

    /// Publishes in order and waits for the engine's word on each.
    pub(crate) async fn publish(
        &self,
        drafts: impl ExactSizeIterator<Item = Draft>,
    ) -> Vec<Outcome> {
        let outcomes = Outcomes::of(drafts.len());
        self.with(|shard, now| {
            for (nth, draft) in drafts.enumerate() {
                let outcomes = Rc::clone(&outcomes);
                let done = Box::new(move |reply| outcomes.tell(nth, &reply));
                shard.publish(Box::new(draft), now, done);
                self.post(shard.take_outbox());
            }
        });
        Outcomes::all(outcomes).await
    }

    /// Asks the engine and waits for its reply.
    pub(crate) fn request(&self, request: Request) -> oneshot::Receiver<Reply> {
        let (done, result) = oneshot::channel();
        self.with(|shard, now| {
            shard.request(
                request,
                now,
                Box::new(move |reply| {
                    done.send(reply).ok();
                }),
            );
        });
        result
    }

    /// Runs `call` on every shard's thread and gathers the answers, in the order of the shards.
    pub(crate) async fn on_all<T: Send + 'static>(
        &self,
        call: impl Fn(&Rc<Self>) -> T + Send + Sync + 'static,
    ) -> Vec<T> {
        on_all(&self.shared, call).await
    }

    /// Gives a parsed request's socket to a session. `open` gets the socket's key.
    pub(super) fn take_over(
        &self,
        idle: Idle,
        open: impl FnOnce(SocketKey) -> Session,
    ) -> std::io::Result<()> {
        let socket = self.with(|shard, _| shard.sockets().insert(idle))?;
        self.begin(socket, open(socket));
        Ok(())
    }

    /// Opens a session on a socket in the table, whose place goes to the client it is for.
    pub(super) fn begin(&self, socket: SocketKey, Session { open, place }: Session) {
        if let Some(place) = place {
            self.with(|shard, _| shard.sockets().lend(socket, place));
        }
        self.open(socket, open);
    }

    /// Lends the buffer through which everything that is read passes.
    pub(super) fn with_scratch<T>(&self, call: impl FnOnce(&mut [u8]) -> T) -> T {
        call(&mut self.scratch.borrow_mut())
    }

    /// Opens a session on a socket that is already in the table.
    pub(crate) fn open(&self, socket: SocketKey, open: Open) {
        let holds_input = open.transport == Transport::Poll;
        let (id, transport) = (open.id, open.transport);
        let mut leftover = self.with(|shard, now| {
            let connection = shard.open(open, now);
            if !shard.is_open(connection) {
                return None;
            }
            shard.sockets().bind(socket, connection, holds_input);
            if holds_input {
                return None;
            }
            let leftover = shard.sockets().take_leftover(socket);
            (!leftover.is_empty()).then_some((connection, leftover))
        });
        if let Some((connection, bytes)) = &mut leftover {
            self.with(|shard, now| {
                if shard.input(*connection, bytes, now) == Input::Pause {
                    shard.sockets().pause(socket);
                }
            });
        }
        // Event streams and polls were sent away before; a WebSocket is told by its close code.
        if self.shared.drain.is_draining() && transport == Transport::WebSocket {
            self.with(|shard, now| {
                let reason = "the node is going away; come back to another";
                shard.close_where(Cause::Drain, reason, now, |found, _| *found == id);
            });
        }
    }

    /// A response head in the memory of the last poll's, where it is the same: they differ from
    /// second to second, and by the origin that asks.
    pub(crate) fn share_head(&self, head: &[u8]) -> Rc<[u8]> {
        let mut last = self.head.borrow_mut();
        if **last != *head {
            *last = Rc::from(head);
        }
        Rc::clone(&last)
    }

    pub(crate) fn insert_pipe(
        &self,
        pipe: Rc<RefCell<super::Pipe>>,
        peer: SocketAddr,
        place: Option<Place>,
    ) -> SocketKey {
        self.with(|shard, _| shard.sockets().insert_pipe(pipe, peer, place))
    }

    pub(super) fn pipe_has_room(&self, socket: SocketKey) {
        self.with(|shard, now| {
            if let Some(connection) = shard.sockets().connection_of(socket) {
                shard.writable(connection, now);
            }
        });
    }

    /// Nothing more comes from a pipe's client, or it takes nothing more.
    pub(super) fn pipe_ended(&self, socket: SocketKey) {
        self.with(|shard, now| {
            if let Some(connection) = shard.sockets().connection_of(socket) {
                shard.hang_up(connection, now);
            }
        });
    }

    /// One turn of the loop: inbox, readiness, reads, a step of the flush. Returns whether there
    /// is more to do.
    pub(super) fn turn(self: &Rc<Self>) -> std::io::Result<bool> {
        self.turn.set(Some(self.shared.clock.now()));
        let more = self.work();
        self.turn.set(None);
        more
    }

    fn work(self: &Rc<Self>) -> std::io::Result<bool> {
        let mut more = self.handle_posts();
        more |= self.handle_readiness()?;
        more |= self.handle_reads();
        more |= self.handle_returned();
        let now = self.now().mono;
        if now >= self.last_tick.get() + 100 {
            self.last_tick.set(now);
            self.with(|shard, now| {
                shard.tick(now);
                shard.sockets().expire_parked();
            });
        }
        more |= self.with(|shard, now| shard.flush_step(now));
        Ok(more)
    }

    fn handle_posts(self: &Rc<Self>) -> bool {
        let mut backlog = self.backlog.take();
        backlog.append(&mut self.inbox().take());
        for _ in 0..POSTS.min(backlog.len()) {
            match backlog.pop_front() {
                Some(Post::Message(message)) => self.with(|shard, now| shard.message(message, now)),
                Some(Post::Call(call)) => call(self),
                None => break,
            }
        }
        let more = !backlog.is_empty();
        self.backlog.replace(backlog);
        more
    }

    fn handle_readiness(&self) -> std::io::Result<bool> {
        let mut happened = Vec::new();
        let more = self.with(|shard, _| shard.sockets().poll(&mut happened))?;
        if !happened.is_empty() {
            self.with(|shard, now| {
                for event in happened {
                    match event {
                        Happened::Writable(connection) => shard.writable(connection, now),
                        Happened::HungUp(connection) => shard.hang_up(connection, now),
                    }
                }
            });
        }
        Ok(more)
    }

    fn handle_reads(&self) -> bool {
        let mut scratch = self.scratch.borrow_mut();
        self.with(|shard, now| {
            for _ in 0..READS {
                let Some((socket, connection)) = shard.sockets().next_read() else {
                    break;
                };
                match shard.sockets().read(socket, &mut scratch) {
                    Ok(None) => {}
                    Ok(Some(0)) | Err(_) => shard.hang_up(connection, now),
                    Ok(Some(count)) => {
                        if shard.input(connection, &mut scratch[..count], now) == Input::Pause {
                            shard.sockets().pause(socket);
                        }
                    }
                }
            }
            shard.sockets().has_reads()
        })
    }

    /// Counts a refused request.
    pub(crate) fn count_refusal(&self, code: &'static str) {
        *self.refusals.borrow_mut().entry(code).or_default() += 1;
    }

    /// Requests that were refused, by error code.
    pub(crate) fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refusals.borrow().clone()
    }

    /// Counts a transport that a client gave up.
    pub(crate) fn count_fallback(&self, reason: &'static str) {
        *self.fallbacks.borrow_mut().entry(reason).or_default() += 1;
    }

    /// Transports that clients gave up, by reason.
    pub(crate) fn fallbacks(&self) -> BTreeMap<&'static str, u64> {
        self.fallbacks.borrow().clone()
    }

    /// Counts a request whose trusted proxy did not say for whom.
    pub(crate) fn count_malformed_forwarded(&self) {
        self.malformed_forwarded.update(|count| count + 1);
    }

    /// Requests whose trusted proxy did not say for whom.
    pub(crate) fn malformed_forwarded(&self) -> u64 {
        self.malformed_forwarded.get()
    }

    /// Counts a request until its answer is known, or its socket is given to a session.
    pub(crate) fn answer(self: &Rc<Self>) -> Answering {
        self.answering.update(|count| count + 1);
        Answering(Rc::clone(self))
    }

    /// Requests that are being answered.
    pub(crate) fn answering(&self) -> usize {
        self.answering.get()
    }

    /// Gives sockets whose next request has begun back to the HTTP library.
    fn handle_returned(self: &Rc<Self>) -> bool {
        let (returned, more) = self.with(|shard, _| {
            let sockets = shard.sockets();
            (sockets.take_returned(), sockets.has_returned())
        });
        for idle in returned {
            accept::serve_again(self, idle);
        }
        more
    }

    /// A fresh public name for a connection.
    pub(crate) fn new_connection_id(&self) -> ConnectionId {
        ConnectionId(random_u64())
    }
}

/// A request that is being answered, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Answering(Rc<Local>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.update(|count| count - 1);
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Runs `call` on every shard's thread and gathers the answers, in the order of the shards.
pub(crate) async fn on_all<T: Send + 'static>(
    shared: &Shared,
    call: impl Fn(&Rc<Local>) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let call = Arc::new(call);
    let mut waiting = Vec::with_capacity(shared.inboxes.len());
    for inbox in &shared.inboxes {
        let (done, answer) = oneshot::channel();
        let call = Arc::clone(&call);
        inbox.post(Post::Call(Box::new(move |local| {
            done.send(call(local)).ok();
        })));
        waiting.push(answer);
    }
    let mut answers = Vec::with_capacity(waiting.len());
    for answer in waiting {
        // A shard that has ended has nothing to say.
        answers.extend(answer.await);
    }
    answers
}

/// Eight bytes of the operating system's randomness.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives randomness once it has booted");
    u64::from_ne_bytes(bytes)
}
