//! Short polling: who has an answer asks again when its turn comes, not at once.
//!
//! Each client keeps its own beat, and the beats are spread evenly over the interval, as those of
//! many users are.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use crate::clock;

/// See the module.
pub(super) struct Pauses {
    /// From one poll of a client to its next, in nanoseconds.
    interval: u64,
    clients: u64,
    /// When, who, and from which cursor.
    waiting: BinaryHeap<Reverse<(u64, usize, String)>>,
}

impl Pauses {
    /// The interval is above zero.
    pub(super) fn new(interval: Duration, clients: usize) -> Self {
        Self {
            interval: clock::nanoseconds(interval).max(1),
            clients: clients.max(1) as u64,
            waiting: BinaryHeap::new(),
        }
    }

    /// Lets a client wait for its next beat.
    pub(super) fn wait(&mut self, nth: usize, cursor: String, now: u64) {
        let beat = self.interval * nth as u64 / self.clients % self.interval;
        let due = now + self.interval - (now + self.interval - beat) % self.interval;
        self.waiting.push(Reverse((due, nth, cursor)));
    }

    /// Somebody whose time has come.
    pub(super) fn due(&mut self, now: u64) -> Option<(usize, String)> {
        let Reverse((due, ..)) = self.waiting.peek()?;
        if *due > now {
            return None;
        }
        let Reverse((_, nth, cursor)) = self.waiting.pop()?;
        Some((nth, cursor))
    }

    /// How long until somebody's time comes, where somebody waits.
    pub(super) fn left(&self, now: u64) -> Option<Duration> {
        let Reverse((due, ..)) = self.waiting.peek()?;
        Some(Duration::from_nanos(due.saturating_sub(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_ask_once_in_an_interval_and_one_after_the_other() {
        let mut pauses = Pauses::new(Duration::from_nanos(100), 4);
        for nth in 0..4 {
            pauses.wait(nth, String::new(), 1_010);
        }
        let mut asked = Vec::new();
        for now in 1_010..1_310 {
            while let Some((nth, cursor)) = pauses.due(now) {
                asked.push((now, nth));
                pauses.wait(nth, cursor, now + 3);
            }
        }
        let first = [(1_025, 1), (1_050, 2), (1_075, 3), (1_100, 0)];
        assert_eq!(asked[..4], first);
        assert_eq!(asked[4..8], first.map(|(at, nth)| (at + 100, nth)));
        assert_eq!(asked.len(), 12);
        assert_eq!(pauses.left(1_310), Some(Duration::from_nanos(15)));
    }
}
