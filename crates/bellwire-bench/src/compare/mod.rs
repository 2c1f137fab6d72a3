//! The same feed by short polling, long-polling, SSE and WebSocket: what each costs and how late it
//! is. Behind `bellwire bench --compare`, and docs/choosing.md.
//!
//! The transports take turns with the server. A hundred clients need no worker, so all of it runs
//! in the caller's process, whose CPU time nobody counts. Bellwire only: the others have no polls
//! that go on from a cursor.

mod case;
mod idle;
mod table;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub use self::table::markdown;
use crate::{
    crowd::{Channels, Crowd, Group, Tokens},
    dialect::{Dialect, Target, Wire},
    load::Party,
    publish::{Publishers, Publishing, Via},
    worker::raise_descriptor_limit,
};

/// Bytes of a payload.
const PAYLOAD: usize = 128;
/// Clients that connect at the same time.
const AT_ONCE: usize = 64;
/// Seconds for which a server surely keeps an idle publisher's connection.
const KEPT: f64 = 25.0;
/// Messages that one poll returns, and that a channel keeps, where nobody says otherwise.
const PER_POLL: f64 = 100.0;
/// Publishers' connections at most.
const PUBLISHERS: f64 = 16.0;

/// What is compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Whom; `wire` and `query` are each transport's own.
    pub target: Target,
    /// As whom the clients connect.
    pub tokens: Tokens,
    /// The beginning of the channels' names.
    pub prefix: String,
    /// Clients that read the feed, by each transport in turn.
    pub clients: usize,
    /// Clients of each transport whose memory is measured.
    pub idle_clients: usize,
    /// Messages a minute, one feed after the other.
    pub rates: Vec<f64>,
    /// About how long a feed is measured, in seconds. Always a whole number of messages, each with
    /// the silence after it: a rare message takes as long as it takes.
    pub seconds: f64,
    /// From one short poll of a client to its next, in seconds.
    pub interval: f64,
    /// The server's process on this machine, for memory and CPU.
    pub pid: Option<u32>,
}

/// How messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A request at an interval, answered at once.
    ShortPolling,
    /// A request at a time, answered when there is something.
    LongPolling,
    /// Server-Sent Events.
    Sse,
    /// WebSocket.
    #[serde(rename = "websocket")]
    WebSocket,
}

/// One transport at one rate. Bytes are those of HTTP and WebSocket, heads included; TLS, TCP and IP
/// come on top. The request that opens a stream, and the first poll, are not counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Which transport.
    pub transport: Transport,
    /// Messages a minute.
    pub per_minute: f64,
    /// Messages received, by all clients together.
    pub messages: u64,
    /// Requests per message received.
    pub requests: f64,
    /// Bytes that a client sent per message received.
    pub sent: f64,
    /// Bytes that it received, per message.
    pub received: f64,
    /// Half of the messages were there after so many milliseconds.
    pub p50_ms: f64,
    /// And 99 of 100 after so many.
    pub p99_ms: f64,
    /// The server's CPU time per message received, in microseconds: with publishing, heartbeats
    /// and empty polls, without what it used before anybody was there.
    pub cpu_us: Option<f64>,
    /// Bytes of the server's own memory (PSS) for an idle client.
    pub memory: Option<f64>,
}

impl Transport {
    /// All, from the oldest.
    pub const ALL: [Self; 4] = [
        Self::ShortPolling,
        Self::LongPolling,
        Self::Sse,
        Self::WebSocket,
    ];

    /// The name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortPolling => "short polling",
            Self::LongPolling | Self::Sse | Self::WebSocket => self.wire().name(),
        }
    }

    fn wire(self) -> Wire {
        match self {
            Self::ShortPolling | Self::LongPolling => Wire::Poll,
            Self::Sse => Wire::Sse,
            Self::WebSocket => Wire::Ws,
        }
    }
}

impl Comparison {
    /// Less than seven minutes: a message a minute, one a second and sixty a second to a hundred clients.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            tokens: Tokens::None,
            prefix: "compare".to_owned(),
            clients: 100,
            idle_clients: 1_000,
            rates: vec![1.0, 60.0, 3_600.0],
            seconds: 15.0,
            interval: 1.0,
            pid: None,
        }
    }

    /// Half a minute: the same without the rare messages.
    #[must_use]
    pub fn quick(self) -> Self {
        Self {
            rates: vec![60.0, 3_600.0],
            seconds: 3.0,
            ..self
        }
    }

    fn check(&self) -> Result<()> {
        ensure!(
            self.target.dialect == Dialect::Bellwire,
            "only Bellwire has all four transports to compare"
        );
        ensure!(self.clients > 0, "a comparison takes at least one client");
        ensure!(self.seconds > 0.0, "a comparison takes some time");
        ensure!(
            self.interval > 0.0 && self.interval < KEPT,
            "short polls are between 0 and {KEPT} seconds apart"
        );
        for &rate in &self.rates {
            ensure!(rate > 0.0, "a rate is above 0");
            ensure!(
                rate / 60.0 * self.interval < PER_POLL,
                "between two short polls there are more messages than one returns"
            );
        }
        Ok(())
    }

    /// Connects so many clients.
    fn open(
        &self,
        transport: Transport,
        channel: &str,
        clients: usize,
        publishers: usize,
    ) -> Result<Party> {
        let group = Group {
            target: Target {
                wire: transport.wire(),
                query: match transport {
                    Transport::ShortPolling => "&timeout=0".to_owned(),
                    _ => String::new(),
                },
                ..self.target.clone()
            },
            connections: clients,
            channels: Channels::Shared(1),
            prefix: format!("{}:{channel}", self.prefix),
            tokens: self.tokens.clone(),
            first_user: 0,
            at_once: AT_ONCE,
            sources: 0,
            network: 0,
        };
        let publishing = Publishing {
            connections: publishers,
            via: Via::Requests,
            batch: 1,
            payload: PAYLOAD,
        };
        let publishers = Publishers::connect(&group, publishing)?;
        let mut crowd = Crowd::new(group)?;
        if transport == Transport::ShortPolling {
            crowd.poll_every(Duration::from_secs_f64(self.interval));
        }
        Party::join(crowd, publishers, |_| {})
    }
}

/// Runs it. `progress` hears what is measured at the moment, and the share of that which is done.
///
/// # Errors
/// The server is not there or refuses, something is lost or comes twice, or the process of that
/// number can't be looked at.
pub fn run(plan: &Comparison, progress: &mut dyn FnMut(&str, f64)) -> Result<Vec<Row>> {
    plan.check()?;
    raise_descriptor_limit()?;
    let (alone, memory) = match plan.pid {
        Some(pid) => (
            idle::cpu(plan, pid, progress)?,
            idle::memory(plan, pid, progress)?.map(Some),
        ),
        None => (0.0, [None; Transport::ALL.len()]),
    };
    let mut rows = Vec::new();
    for &per_minute in &plan.rates {
        for (transport, memory) in Transport::ALL.into_iter().zip(memory) {
            let mut row = case::run(plan, transport, per_minute, alone, progress)?;
            row.memory = memory;
            rows.push(row);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Comparison {
        Comparison::new(Target {
            address: ([127, 0, 0, 1], 1).into(),
            publish: ([127, 0, 0, 1], 1).into(),
            host: "localhost".to_owned(),
            secure: None,
            publish_secure: None,
            dialect: Dialect::Bellwire,
            wire: Wire::Sse,
            query: String::new(),
            credential: None,
        })
    }

    #[test]
    fn plans_that_would_lose_messages_by_themselves_are_refused() {
        plan().check().unwrap();
        plan().quick().check().unwrap();
        let slow = Comparison {
            interval: 2.0,
            ..plan()
        };
        let error = slow.check().unwrap_err().to_string();
        assert!(error.contains("short polls"), "{error}");
        let closed = Comparison {
            rates: vec![1.0],
            interval: 30.0,
            ..plan()
        };
        let error = closed.check().unwrap_err().to_string();
        assert!(error.contains("seconds apart"), "{error}");
    }
}
