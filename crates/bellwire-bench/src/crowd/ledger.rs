//! Who has received what: every delivery is checked against the number that must come next.

use super::marks::Watch;
use crate::{latency::Latencies, mark::Mark};

/// Which channels a connection of a crowd subscribes to.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// All connections read the same so many.
    Shared(usize),
    /// Each connection reads so many of its own.
    Own(usize),
}

impl Channels {
    /// Subscriptions of a connection.
    #[must_use]
    pub fn each(self) -> usize {
        match self {
            Self::Shared(count) | Self::Own(count) => count,
        }
    }

    /// Channels of so many connections together.
    #[must_use]
    pub fn total(self, connections: usize) -> usize {
        match self {
            Self::Shared(count) => count,
            Self::Own(count) => count * connections,
        }
    }

    /// The first channel of a connection; the others follow it.
    pub(crate) fn first(self, connection: usize) -> usize {
        match self {
            Self::Shared(_) => 0,
            Self::Own(count) => count * connection,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    channels: Channels,
    /// The number that must come next, by connection and subscription.
    next: Vec<u32>,
    pub(crate) deliveries: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    /// Recorded while somebody wants them.
    pub(crate) latencies: Option<Latencies>,
}

impl Ledger {
    pub(crate) fn new(channels: Channels, connections: usize) -> Self {
        Self {
            channels,
            next: vec![0; connections * channels.each()],
            deliveries: 0,
            lost: 0,
            repeated: 0,
            latencies: None,
        }
    }

    /// What one connection receives is noted through this.
    pub(crate) fn watch(&mut self, connection: usize, now: u64) -> Watch<'_> {
        Watch {
            ledger: self,
            connection,
            now,
        }
    }

    pub(crate) fn note(&mut self, connection: usize, mark: Mark, now: u64) {
        let first = self.channels.first(connection);
        let nth = (mark.channel as usize).wrapping_sub(first);
        if nth >= self.channels.each() {
            // Nobody asked for this channel here.
            self.repeated += 1;
            return;
        }
        let next = &mut self.next[connection * self.channels.each() + nth];
        if mark.sequence < *next {
            self.repeated += 1;
            return;
        }
        self.lost += u64::from(mark.sequence - *next);
        *next = mark.sequence + 1;
        self.deliveries += 1;
        if let Some(latencies) = &mut self.latencies {
            latencies.record(now.saturating_sub(mark.due));
        }
    }

    /// Deliveries that are still to come, where `published` is the number of publications by
    /// channel.
    pub(crate) fn missing(&self, published: &[u32]) -> u64 {
        self.next
            .chunks(self.channels.each().max(1))
            .enumerate()
            .map(|(connection, next)| self.behind(connection, next, published))
            .sum()
    }

    /// Whether a connection has all of it.
    pub(crate) fn is_up_to_date(&self, connection: usize, published: &[u32]) -> bool {
        let each = self.channels.each();
        let next = &self.next[connection * each..(connection + 1) * each];
        self.behind(connection, next, published) == 0
    }

    fn behind(&self, connection: usize, next: &[u32], published: &[u32]) -> u64 {
        let first = self.channels.first(connection);
        next.iter()
            .zip(published.get(first..).unwrap_or_default())
            .map(|(next, published)| u64::from(published.saturating_sub(*next)))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(channel: u32, sequence: u32) -> Mark {
        Mark {
            channel,
            sequence,
            due: 0,
        }
    }

    #[test]
    fn a_hole_and_a_repetition_are_counted_each_as_what_it_is() {
        let mut ledger = Ledger::new(Channels::Own(2), 2);
        for found in [mark(2, 0), mark(2, 3), mark(2, 3), mark(3, 0)] {
            ledger.note(1, found, 0);
        }
        assert_eq!((ledger.deliveries, ledger.lost, ledger.repeated), (3, 2, 1));
        assert_eq!(ledger.missing(&[1, 0, 4, 2]), 2);
        assert!(!ledger.is_up_to_date(1, &[1, 0, 4, 2]));
        assert!(ledger.is_up_to_date(1, &[1, 0, 4, 1]));
    }

    #[test]
    fn what_somebody_else_subscribed_to_is_no_delivery() {
        let mut ledger = Ledger::new(Channels::Own(1), 2);
        ledger.note(0, mark(1, 0), 0);
        assert_eq!((ledger.deliveries, ledger.repeated), (0, 1));
    }
}
