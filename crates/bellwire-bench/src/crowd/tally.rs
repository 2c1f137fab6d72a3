//! What a crowd has sent and received so far, and since when.

use super::Crowd;

/// Counts that only grow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Bytes that have arrived.
    pub(crate) bytes: u64,
    /// Reads that brought something.
    pub(crate) reads: u64,
    /// Bytes sent: requests, commands, pongs.
    pub(crate) sent: u64,
    /// Requests that asked for something, one for each stream and one for each poll.
    pub(crate) requests: u64,
}

impl Tally {
    /// What has been added after an earlier one.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            deliveries: self.deliveries - before.deliveries,
            lost: self.lost - before.lost,
            repeated: self.repeated - before.repeated,
            bytes: self.bytes - before.bytes,
            reads: self.reads - before.reads,
            sent: self.sent - before.sent,
            requests: self.requests - before.requests,
        }
    }
}

impl Crowd {
    /// So far.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            deliveries: self.ledger.deliveries,
            lost: self.ledger.lost,
            repeated: self.ledger.repeated,
            ..self.traffic
        }
    }
}
