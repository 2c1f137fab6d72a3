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

/// What one subscription has received: everything below `next`, and what its bits say above.
///
/// Several publishers at once may be overtaken by each other on their way to the server, so numbers
/// that are close together may come in any order.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    next: u32,
    /// The bit n stands for `next + n`.
    above: u64,
}

/// What a number means to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is new; so many before it are given up.
    New { lost: u32 },
    /// It had come before.
    Repeated,
}

impl Received {
    fn take(&mut self, sequence: u32) -> Verdict {
        let Some(ahead) = sequence.checked_sub(self.next) else {
            return Verdict::Repeated;
        };
        // What falls out of the window without having come is lost.
        let mut lost = 0;
        let mut ahead = ahead;
        while ahead >= u64::BITS {
            let step = (ahead - u64::BITS + 1).min(u64::BITS - 1);
            let gone = self.above & ((1_u64 << step) - 1);
            lost += step - gone.count_ones();
            self.skip(step);
            ahead -= step;
        }
        let bit = 1_u64 << ahead;
        if self.above & bit != 0 {
            return Verdict::Repeated;
        }
        self.above |= bit;
        self.skip(self.above.trailing_ones());
        Verdict::New { lost }
    }

    fn skip(&mut self, count: u32) {
        self.next += count;
        self.above = self.above.checked_shr(count).unwrap_or(0);
    }

    /// How many of the first `published` are missing, those that were given up left out.
    fn missing(self, published: u32) -> u64 {
        let missing = published.saturating_sub(self.next);
        u64::from(missing.saturating_sub(self.above.count_ones()))
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    channels: Channels,
    /// By connection and subscription.
    received: Vec<Received>,
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
            received: vec![Received::default(); connections * channels.each()],
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
        let received = &mut self.received[connection * self.channels.each() + nth];
        let Verdict::New { lost } = received.take(mark.sequence) else {
            self.repeated += 1;
            return;
        };
        self.lost += u64::from(lost);
        self.deliveries += 1;
        if let Some(latencies) = &mut self.latencies {
            latencies.record(now.saturating_sub(mark.due));
        }
    }

    /// Deliveries that are still to come, where `published` is the number of publications by
    /// channel.
    pub(crate) fn missing(&self, published: &[u32]) -> u64 {
        self.received
            .chunks(self.channels.each().max(1))
            .enumerate()
            .map(|(connection, received)| self.behind(connection, received, published))
            .sum()
    }

    /// Whether a connection has all of it.
    pub(crate) fn is_up_to_date(&self, connection: usize, published: &[u32]) -> bool {
        let each = self.channels.each();
        let received = &self.received[connection * each..(connection + 1) * each];
        self.behind(connection, received, published) == 0
    }

    fn behind(&self, connection: usize, received: &[Received], published: &[u32]) -> u64 {
        let first = self.channels.first(connection);
        received
            .iter()
            .zip(published.get(first..).unwrap_or_default())
            .map(|(received, published)| received.missing(*published))
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
        assert_eq!((ledger.deliveries, ledger.repeated), (3, 1));
        assert_eq!(ledger.missing(&[1, 0, 4, 2]), 1 + 2 + 1);
        assert!(!ledger.is_up_to_date(1, &[1, 0, 4, 1]));
        // Two that have not come when the next hundred have will not come any more.
        for sequence in 4..104 {
            ledger.note(1, mark(2, sequence), 0);
        }
        assert_eq!((ledger.lost, ledger.missing(&[0, 0, 104, 1])), (2, 0));
        assert!(ledger.is_up_to_date(1, &[1, 0, 104, 1]));
    }

    #[test]
    fn publishers_that_overtake_each_other_lose_and_repeat_nothing() {
        let mut ledger = Ledger::new(Channels::Shared(1), 1);
        for start in (0..4_000).step_by(40) {
            for sequence in (start..start + 40).rev() {
                ledger.note(0, mark(0, sequence), 0);
            }
        }
        assert_eq!(
            (ledger.deliveries, ledger.lost, ledger.repeated),
            (4_000, 0, 0)
        );
        assert_eq!(ledger.missing(&[4_000]), 0);
    }

    #[test]
    fn a_long_gap_is_lost_whole() {
        let mut ledger = Ledger::new(Channels::Shared(1), 1);
        ledger.note(0, mark(0, 1_000), 0);
        assert_eq!(ledger.lost + ledger.missing(&[1_001]), 1_000);
    }

    #[test]
    fn what_somebody_else_subscribed_to_is_no_delivery() {
        let mut ledger = Ledger::new(Channels::Own(1), 2);
        ledger.note(0, mark(1, 0), 0);
        assert_eq!((ledger.deliveries, ledger.repeated), (0, 1));
    }
}
