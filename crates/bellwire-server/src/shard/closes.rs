//! One log line per connection that ends, sampled so that a storm does not drown the log.

use std::net::IpAddr;

use bellwire_core::shard::Departure;

/// Lines per second.
const LINES: u32 = 10;

/// Writes close lines.
#[derive(Debug, Default)]
pub(crate) struct CloseLog {
    second: u64,
    written: u32,
    skipped: u64,
}

impl CloseLog {
    /// Writes one, unless there were many in this second. `client` is asked for what is written only.
    pub(crate) fn note(
        &mut self,
        departure: &Departure,
        client: impl FnOnce() -> Option<IpAddr>,
        now: u64,
    ) {
        let second = now / 1_000;
        if second != self.second {
            self.second = second;
            self.written = 0;
        }
        if self.written >= LINES {
            self.skipped += 1;
            return;
        }
        self.written += 1;
        let skipped = std::mem::take(&mut self.skipped);
        tracing::info!(
            connection = %departure.id,
            transport = departure.transport.as_str(),
            address = client().map(tracing::field::display),
            cause = departure.cause.as_str(),
            age_ms = departure.age_ms,
            skipped,
            "connection closed"
        );
    }
}
