//! A subscription: the machine, the link it asks for, and the clock. Made by the client; all it
//! decides is decided in the machine.

use std::time::Instant;

use tokio::time;

use crate::{
    backoff::random,
    endpoint::Endpoint,
    error::Refusal,
    item::Item,
    machine::{Event, Machine, Step},
    transport::{Link, Transport, Wanted},
};

/// How to subscribe.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to travel on at first.
    pub via: Transport,
    /// Where to begin: ids joined with `.`, or the word `earliest` or `latest`. Nothing is now.
    pub cursor: Option<String>,
    /// Signed grants for single channels.
    pub grants: Vec<String>,
    /// The longest message to accept, in bytes of its envelope.
    pub max_message_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            via: Transport::default(),
            cursor: None,
            grants: Vec::new(),
            max_message_bytes: 1024 * 1024,
        }
    }
}

/// An ordered, resumable stream of items.
///
/// It connects when first asked for an item, and reads no further than it is asked. A reader
/// that pauses for minutes makes the server drop the connection in the end; the next call then
/// resumes, and what history no longer holds arrives as a gap.
#[derive(Debug)]
pub struct Subscription {
    machine: Machine,
    link: Link,
    endpoint: Endpoint,
    wanted: Wanted,
}

impl Subscription {
    pub(crate) fn new(endpoint: Endpoint, channels: Vec<String>, options: Options) -> Self {
        let cursor = options.cursor.as_deref();
        Self {
            machine: Machine::new(options.via, cursor, now(), random),
            link: Link::Down,
            endpoint,
            wanted: Wanted {
                channels,
                grants: options.grants,
                max_message_bytes: options.max_message_bytes,
            },
        }
    }

    /// The next item, or nothing once the server has refused the subscription for good; then
    /// [`Subscription::refusal`] says why.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            match self.machine.poll(now()) {
                Step::Deliver(item) => return Some(item),
                Step::Open(attempt) => {
                    self.link = Link::open(self.endpoint.clone(), self.wanted.clone(), attempt);
                }
                Step::Listen(until) => {
                    // What has arrived counts before the clock: a reader that paused is late
                    // itself, and the link may be well.
                    let event = time::timeout_at(until.into(), self.link.next()).await;
                    self.machine.handle(event.unwrap_or(Event::Silence), now());
                }
                Step::Rest(until) => {
                    self.link = Link::Down;
                    time::sleep_until(until.into()).await;
                }
                Step::End => {
                    self.link = Link::Down;
                    return None;
                }
            }
        }
    }

    /// Moves to another transport at once, from the current cursor: nothing is lost or repeated.
    pub fn switch(&mut self, transport: Transport) {
        self.link = Link::Down;
        self.machine.handle(Event::Switch(transport), now());
    }

    /// The cursor after everything that [`Subscription::next`] has returned.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        self.machine.cursor()
    }

    /// The transport in use.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.machine.transport()
    }

    /// Why the subscription ended, once it has.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.machine.refusal()
    }
}

/// Tokio's clock, which tests can pause.
fn now() -> Instant {
    time::Instant::now().into_std()
}
