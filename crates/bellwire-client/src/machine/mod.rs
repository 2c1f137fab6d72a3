//! Decides what a subscription does next. Owned and driven by [`crate::Subscription`]:
//!
//! * `handle(event, now)` takes what happened,
//! * `poll(now)` says what to do, until it says to wait.
//!
//! Pure: time and randomness are arguments, so every rule is tested with a fake clock. It knows
//! no socket and no wire format.

use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

use crate::{
    backoff::Backoff,
    error::Refusal,
    item::{Bye, Hello, Item, Push},
    positions::Positions,
    transport::Transport,
    verdict::{Loss, MAX_HINT},
};

/// How long an attempt may take from the first packet to the response's head.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The heartbeat interval as long as no greeting has announced one; a poll's hold is longer.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(25);
/// A connection that stood this long makes the next attempt start over with the first backoff.
const GOOD_UPTIME: Duration = Duration::from_secs(10);

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The link is open; the stream may begin.
    Opened,
    /// Bytes came, whatever they mean.
    Life,
    /// The server said something.
    Push(Push),
    /// The link is gone.
    Lost(Loss),
    /// The link stayed silent until the time given with [`Step::Listen`].
    Silence,
    /// The caller wants another transport.
    Switch(Transport),
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Step {
    /// Hand this to the reader.
    Deliver(Item),
    /// Drop the link, if any, and open this one.
    Open(Attempt),
    /// Wait for the link's next event, at most until then.
    Listen(Instant),
    /// Drop the link and wait until then.
    Rest(Instant),
    /// There is nothing more.
    End,
}

/// A link to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) transport: Transport,
    pub(crate) cursor: Option<String>,
}

/// The state of one subscription.
#[derive(Debug)]
pub(crate) struct Machine {
    transport: Transport,
    positions: Positions,
    state: State,
    backoff: Backoff,
    /// How long the server asked to stay away after the current link.
    hint: Option<Duration>,
    /// Items that go out before anything else happens; two at most.
    outbox: VecDeque<Item>,
    refusal: Option<Refusal>,
    random: fn() -> u64,
}

#[derive(Debug)]
enum State {
    Resting {
        until: Instant,
    },
    Opening {
        since: Instant,
        resumed: bool,
    },
    Attached {
        heard: Instant,
        heartbeat: Duration,
        resumed: bool,
        greeted: Option<Instant>,
    },
    Ended,
}

impl Machine {
    /// A machine that opens its first link at once.
    pub(crate) fn new(
        transport: Transport,
        cursor: Option<&str>,
        now: Instant,
        random: fn() -> u64,
    ) -> Self {
        Self {
            transport,
            positions: Positions::new(cursor),
            state: State::Resting { until: now },
            backoff: Backoff::default(),
            hint: None,
            outbox: VecDeque::new(),
            refusal: None,
            random,
        }
    }

    /// Takes what happened.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Opened => {
                if let State::Opening { resumed, .. } = self.state {
                    let heartbeat = DEFAULT_HEARTBEAT;
                    self.state = State::Attached {
                        heard: now,
                        heartbeat,
                        resumed,
                        greeted: None,
                    };
                }
            }
            Event::Life => self.hear(now),
            Event::Push(push) => {
                self.hear(now);
                self.handle_push(push, now);
            }
            Event::Lost(Loss::Passing { reason, hint }) => self.lose(reason, hint, now),
            Event::Lost(Loss::Final(refusal)) => self.end(refusal),
            Event::Silence => {
                let reason = match self.state {
                    State::Opening { .. } => "the server did not answer in time",
                    _ => "the connection fell silent",
                };
                self.lose(reason.to_owned(), None, now);
            }
            Event::Switch(transport) => {
                if !matches!(self.state, State::Ended) {
                    self.transport = transport;
                    self.state = State::Resting { until: now };
                }
            }
        }
    }

    /// What to do now.
    pub(crate) fn poll(&mut self, now: Instant) -> Step {
        if let Some(item) = self.outbox.pop_front() {
            return Step::Deliver(item);
        }
        match self.state {
            State::Resting { until } if now < until => Step::Rest(until),
            State::Resting { .. } => {
                let cursor = self.positions.cursor();
                self.state = State::Opening {
                    since: now,
                    resumed: cursor.is_some(),
                };
                self.hint = None;
                Step::Open(Attempt {
                    transport: self.transport,
                    cursor,
                })
            }
            State::Opening { since, .. } => Step::Listen(since + OPEN_TIMEOUT),
            // A link is dead one and a half intervals after its last sign of life.
            State::Attached {
                heard, heartbeat, ..
            } => Step::Listen(heard + heartbeat * 3 / 2),
            State::Ended => Step::End,
        }
    }

    /// The cursor after everything delivered so far.
    pub(crate) fn cursor(&self) -> Option<String> {
        self.positions.cursor()
    }

    /// What is used now, or will be next.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Why it ended, once it has.
    pub(crate) fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    fn hear(&mut self, now: Instant) {
        if let State::Attached { heard, .. } = &mut self.state {
            *heard = now;
        }
    }

    fn handle_push(&mut self, push: Push, now: Instant) {
        let item = match push {
            Push::Hello(hello) => return self.greet(hello, now),
            Push::Retry(millis) => {
                self.hint = Some(Duration::from_millis(millis));
                return;
            }
            Push::Covered(cursor) => return self.positions.advance(&cursor),
            Push::Bye(bye) => return self.part(bye, now),
            Push::Message(message) => {
                if !self.positions.admit(&message.channel, &message.id) {
                    return;
                }
                Item::Message(message)
            }
            Push::Gap(gap) => {
                self.positions.follow(&gap.channel, &gap.cursor);
                Item::Gap(gap)
            }
            Push::Status(status) => Item::Status(status),
            Push::Denied(denied) => Item::Denied(denied),
        };
        self.outbox.push_back(item);
    }

    fn greet(&mut self, hello: Hello, now: Instant) {
        let State::Attached {
            heartbeat,
            resumed,
            greeted,
            ..
        } = &mut self.state
        else {
            return;
        };
        if let Some(millis) = hello.heartbeat_ms.filter(|millis| *millis > 0) {
            *heartbeat = Duration::from_millis(millis);
        }
        *greeted = Some(now);
        let resumed = *resumed;
        self.positions
            .begin(hello.cursor.as_deref().unwrap_or_default());
        self.outbox.push_back(Item::Connected {
            transport: self.transport,
            connection: hello.connection,
            resumed,
        });
    }

    fn part(&mut self, bye: Bye, now: Instant) {
        self.outbox.push_back(Item::Bye(bye.clone()));
        if bye.reconnect {
            let hint = bye.retry_ms.map(Duration::from_millis);
            self.lose(format!("the server said bye: {}", bye.code), hint, now);
        } else {
            self.end(Refusal {
                status: 0,
                code: bye.code,
                field: None,
                detail: bye.reason,
            });
        }
    }

    /// Plans the next attempt: what the server asked for, and then a jittered wait, so that
    /// clients told the same do not come back together.
    fn lose(&mut self, reason: String, hint: Option<Duration>, now: Instant) {
        match self.state {
            State::Ended | State::Resting { .. } => return,
            State::Attached {
                greeted: Some(since),
                ..
            } if now - since >= GOOD_UPTIME => {
                self.backoff.reset();
            }
            State::Attached { .. } | State::Opening { .. } => {}
        }
        let hint = hint
            .or_else(|| mem::take(&mut self.hint))
            .unwrap_or_default()
            .min(MAX_HINT);
        let wait = hint + self.backoff.next((self.random)());
        self.state = State::Resting { until: now + wait };
        self.outbox.push_back(Item::Disconnected {
            reason,
            retry_in: Some(wait),
        });
    }

    fn end(&mut self, refusal: Refusal) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.state = State::Ended;
        self.outbox.push_back(Item::Disconnected {
            reason: refusal.to_string(),
            retry_in: None,
        });
        self.refusal = Some(refusal);
    }
}

#[cfg(test)]
mod tests;
