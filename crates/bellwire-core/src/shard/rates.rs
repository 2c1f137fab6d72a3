//! How often one WebSocket may publish and subscribe, and the end of those that go on when refused.
//!
//! Asked by the commands. What a user or an address may do, over all of its connections, the
//! authenticator knows.

use std::net::IpAddr;

use super::{
    Cause, Settings, Shard, Sockets,
    connection::Ix,
    replies::{Asked, CommandError, Kind},
};
use crate::{
    access::Bearer,
    rate::{Allowances, Rate, TooFast},
};

/// Refusals that a connection may get; one that is refused more often does not listen.
const REFUSALS: Rate = Rate {
    count: 10,
    per_ms: 1_000,
    burst: 100,
};

/// The allowances of a shard's connections, by their ids.
#[derive(Debug)]
pub(super) struct Rates {
    publish: Option<Allowances>,
    subscribe: Option<Allowances>,
    refusals: Allowances,
}

impl Rates {
    pub(super) fn new(settings: &Settings) -> Self {
        let max_keys = settings.max_rate_keys;
        let of = |rate: Option<Rate>| rate.map(|rate| Allowances::new(rate, max_keys));
        Self {
            publish: of(settings.publish_rate),
            subscribe: of(settings.subscribe_rate),
            refusals: Allowances::new(REFUSALS, max_keys),
        }
    }
}

impl<S: Sockets> Shard<S> {
    /// Whether a command is one too many; it is answered then.
    pub(super) fn is_too_fast(&mut self, ix: Ix, asked: Asked) -> bool {
        let Err(too_fast) = self.take_allowance(ix, asked.command) else {
            return false;
        };
        self.stats.rate_limited += 1;
        let detail = too_fast.to_string();
        let error = CommandError::new("rate_limited", &detail);
        self.refuse(ix, asked, &error, too_fast.limit);
        true
    }

    /// Answers with an error what costs more than its answer, and closes who goes on regardless:
    /// `reason` is what the close frame says.
    pub(super) fn refuse(&mut self, ix: Ix, asked: Asked, error: &CommandError<'_>, reason: &str) {
        let id = self.connections[ix as usize].name.id.0;
        if self.rates.refusals.take(id, self.now.mono).is_err() {
            self.close(ix, Cause::Limit, reason);
        } else {
            self.reply_error(ix, asked, error);
        }
    }

    fn take_allowance(&mut self, ix: Ix, command: Kind) -> Result<(), TooFast> {
        let connection = &self.connections[ix as usize];
        if matches!(connection.access.bearer(), Bearer::ApiKey(_)) {
            return Ok(());
        }
        let publishes = command == Kind::Publish;
        let (allowances, limit) = if publishes {
            let limit = "limits.publish_rate_per_connection";
            (&mut self.rates.publish, limit)
        } else {
            let limit = "limits.subscribe_rate_per_connection";
            (&mut self.rates.subscribe, limit)
        };
        if let Some(allowances) = allowances {
            let taken = allowances.take(connection.name.id.0, self.now.mono);
            taken.map_err(|wait_ms| TooFast { limit, wait_ms })?;
        }
        if publishes {
            let address = || -> Option<IpAddr> { self.sockets.address(connection.name.socket) };
            let access = &connection.access;
            self.authenticator.may_publish(access, &address, self.now)?;
        }
        Ok(())
    }
}
