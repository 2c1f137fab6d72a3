//! What the threads of a hop run share: how far it is, what was sent, and the signals by which a
//! test stops publishers and calls clients away to do something to the server.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Plan, publisher::Publisher};
use crate::{checker::Published, wait};

/// How often a thread that waits looks at the signals.
const LOOK: Duration = Duration::from_millis(5);

/// See the module.
#[derive(Debug)]
pub struct Meeting {
    pub(super) shared: Vec<String>,
    pub(super) history: u64,
    /// The number of the newest publication that may exist, by channel.
    sent: BTreeMap<String, AtomicU64>,
    /// How often the server refused a publication for the time being.
    pub(super) refused: AtomicU64,
    /// Publications and gaps that have come to clients, all together.
    heard: AtomicU64,
    pushes: Sender<String>,
    address: Mutex<SocketAddr>,
    resumes_left: AtomicU64,
    clients: usize,
    publishers: usize,
    /// Clients that are on their last connection.
    pub(super) settled: AtomicUsize,
    pub(super) calls_away: AtomicBool,
    away: AtomicUsize,
    pauses: AtomicBool,
    paused: AtomicUsize,
    ends_publishing: AtomicBool,
    pub(super) finals: OnceLock<Arc<Published>>,
    over: AtomicBool,
}

impl Meeting {
    pub(super) fn new(plan: &Plan, pushes: Sender<String>) -> Self {
        let inboxes = plan.users.iter().map(|(user, _)| format!("@{user}"));
        let channels = plan.channels.iter().cloned().chain(inboxes);
        Self {
            shared: plan.channels.clone(),
            history: plan.history,
            sent: channels.map(|name| (name, AtomicU64::new(0))).collect(),
            refused: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            pushes,
            address: Mutex::new(plan.address),
            resumes_left: AtomicU64::new(plan.resumes),
            clients: plan.anonymous + plan.users.len(),
            publishers: plan.channels.len() + 1,
            settled: AtomicUsize::new(0),
            calls_away: AtomicBool::new(false),
            away: AtomicUsize::new(0),
            pauses: AtomicBool::new(false),
            paused: AtomicUsize::new(0),
            ends_publishing: AtomicBool::new(false),
            finals: OnceLock::new(),
            over: AtomicBool::new(false),
        }
    }

    /// Waits until a part of the resumes is done.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn await_resumes_left(&self, left: u64) {
        wait::within(super::LONGEST, "resumes", || {
            (self.resumes_left.load(Ordering::Acquire) <= left).then_some(())
        });
    }

    /// Cuts every client and keeps them away until [`call_back`](Self::call_back).
    ///
    /// # Panics
    /// When they don't leave.
    pub fn call_away(&self) {
        self.calls_away.store(true, Ordering::Release);
        wait::until("every client to leave", || {
            self.away.load(Ordering::Acquire) == self.clients
        });
    }

    /// Lets the clients come back, perhaps to another server.
    pub fn call_back(&self, address: SocketAddr) {
        *self.address.lock().expect("nobody panics with it") = address;
        self.calls_away.store(false, Ordering::Release);
    }

    /// Stops publishers when what they sent was acknowledged, and closes their connections.
    ///
    /// # Panics
    /// When they don't stop.
    pub fn pause(&self) {
        self.pauses.store(true, Ordering::Release);
        wait::until("publishers to pause", || {
            self.paused.load(Ordering::Acquire) == self.publishers
        });
    }

    /// Lets publishers go on, perhaps with another server.
    pub fn go_on(&self, address: SocketAddr) {
        *self.address.lock().expect("nobody panics with it") = address;
        self.pauses.store(false, Ordering::Release);
    }

    /// The number of the newest publication of a channel that may exist.
    #[must_use]
    pub fn sent(&self, channel: &str) -> u64 {
        self.sent
            .get(channel)
            .map_or(0, |sent| sent.load(Ordering::Acquire))
    }

    pub(super) fn address(&self) -> SocketAddr {
        *self.address.lock().expect("nobody panics with it")
    }

    /// One of the resumes that are left.
    pub(super) fn take_resume(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        let taken = self
            .resumes_left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.is_ok()
    }

    pub(super) fn push(&self, inbox: &str) {
        // The inboxes' publisher has left once the run is over.
        self.pushes.send(inbox.to_owned()).ok();
    }

    pub(super) fn note_heard(&self) {
        self.heard.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Acquire)
    }

    pub(super) fn settled(&self) -> usize {
        self.settled.load(Ordering::Acquire)
    }

    pub(super) fn is_publishing(&self) -> bool {
        !self.ends_publishing.load(Ordering::Acquire) && !self.pauses.load(Ordering::Acquire)
    }

    pub(super) fn end_publishing(&self) {
        self.ends_publishing.store(true, Ordering::Release);
    }

    pub(super) fn announce_finals(&self, published: &Arc<Published>) {
        self.finals
            .set(Arc::clone(published))
            .expect("set once, by the run");
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(super) fn wait_while_called_away(&self) {
        self.wait_while(&self.calls_away, &self.away);
    }

    fn wait_while(&self, signal: &AtomicBool, waiting: &AtomicUsize) {
        if !signal.load(Ordering::Acquire) {
            return;
        }
        waiting.fetch_add(1, Ordering::AcqRel);
        while signal.load(Ordering::Acquire) && !self.is_over() {
            thread::sleep(LOOK);
        }
        waiting.fetch_sub(1, Ordering::AcqRel);
    }

    /// Pauses a publisher where that is asked for; it comes back with a new connection.
    fn wait_while_paused(&self, publisher: Publisher) -> Publisher {
        if !self.pauses.load(Ordering::Acquire) {
            return publisher;
        }
        let published = publisher.finish();
        self.wait_while(&self.pauses, &self.paused);
        Publisher::resume(self.address(), published).expect("the server is up")
    }

    fn publish(&self, publisher: &mut Publisher, channel: &str) {
        self.sent[channel].fetch_add(1, Ordering::AcqRel);
        let before = publisher.refused();
        publisher.publish(channel);
        self.refused
            .fetch_add(publisher.refused() - before, Ordering::AcqRel);
    }
}

/// Publishes to one channel at a steady rate, catching up where the server kept it waiting.
pub(super) fn publish_at_rate(meeting: &Meeting, channel: &str, gap: Duration) -> Published {
    let mut publisher = Publisher::connect(meeting.address()).expect("the server is up");
    let mut due = Instant::now();
    while !meeting.ends_publishing.load(Ordering::Acquire) {
        publisher = meeting.wait_while_paused(publisher);
        meeting.publish(&mut publisher, channel);
        due += gap;
        let now = Instant::now();
        if due + Duration::from_secs(1) < now {
            due = now;
        }
        thread::sleep(due.saturating_duration_since(now));
    }
    publisher.finish()
}

/// Publishes to the inboxes that clients name.
pub(super) fn publish_to_inboxes(meeting: &Meeting, pushed: &Receiver<String>) -> Published {
    let mut publisher = Publisher::connect(meeting.address()).expect("the server is up");
    loop {
        publisher = meeting.wait_while_paused(publisher);
        match pushed.recv_timeout(LOOK) {
            Ok(inbox) => meeting.publish(&mut publisher, &inbox),
            Err(RecvTimeoutError::Timeout) => {
                if meeting.ends_publishing.load(Ordering::Acquire) {
                    return publisher.finish();
                }
            }
            Err(RecvTimeoutError::Disconnected) => return publisher.finish(),
        }
    }
}
