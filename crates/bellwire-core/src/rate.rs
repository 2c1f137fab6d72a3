//! How often something may happen: a steady rate with room for a burst.
//!
//! Sessions and the HTTP layer ask before they do what a peer wants. One number per key, in a table
//! whose size is bounded; knows no clocks and nothing of what the keys stand for.

use std::{fmt, mem};

use hashbrown::HashTable;

const NANOS: u64 = 1_000_000;

/// More came than a rate allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} is reached; try again in {wait_ms} ms")]
pub struct TooFast {
    /// The setting.
    pub limit: &'static str,
    /// Milliseconds until one more is allowed.
    pub wait_ms: u64,
}

/// So many in a span of time, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many in a span.
    pub count: u32,
    /// The span in milliseconds.
    pub per_ms: u64,
    /// How many at once, after a while of nothing.
    pub burst: u32,
}

impl Rate {
    /// Takes one (the generic cell rate algorithm). `whole_at` is all that is remembered of a key:
    /// when its allowance will be whole again, in nanoseconds; 0 at first.
    ///
    /// # Errors
    /// Nothing is left; it says in how many milliseconds there is.
    pub fn take(self, whole_at: &mut u64, now_ms: u64) -> Result<(), u64> {
        let (now, interval) = (now_ms * NANOS, self.interval());
        let after = (*whole_at).max(now) + interval;
        let ahead = after - now;
        let most = interval.saturating_mul(self.burst.into());
        if ahead > most {
            return Err((ahead - most).div_ceil(NANOS));
        }
        *whole_at = after;
        Ok(())
    }

    fn interval(self) -> u64 {
        (self.per_ms * NANOS / u64::from(self.count.max(1))).max(1)
    }
}

/// What each key has left of a rate. A key that is forgotten, because others came in between, has
/// all of it again: more than `max_keys` at once weaken the bound, and never cost memory.
pub struct Allowances {
    rate: Rate,
    /// Two generations: when the fresh one is full it becomes the old one, whose keys are gone
    /// unless they came back.
    fresh: HashTable<(u64, u64)>,
    old: HashTable<(u64, u64)>,
    half: usize,
}

impl Allowances {
    /// Of keys of which at most `max_keys` are remembered.
    #[must_use]
    pub fn new(rate: Rate, max_keys: usize) -> Self {
        Self {
            rate,
            fresh: HashTable::new(),
            old: HashTable::new(),
            half: max_keys.div_ceil(2).max(1),
        }
    }

    /// Takes one for a key, which is random or a hash that peers can't foresee.
    ///
    /// # Errors
    /// Nothing is left; it says in how many milliseconds there is.
    pub fn take(&mut self, key: u64, now_ms: u64) -> Result<(), u64> {
        let is_it = |entry: &(u64, u64)| entry.0 == key;
        if let Some((_, whole_at)) = self.fresh.find_mut(key, is_it) {
            return self.rate.take(whole_at, now_ms);
        }
        let mut whole_at = self.old.find(key, is_it).map_or(0, |entry| entry.1);
        let result = self.rate.take(&mut whole_at, now_ms);
        if self.fresh.len() >= self.half {
            self.old = mem::take(&mut self.fresh);
        }
        self.fresh
            .insert_unique(key, (key, whole_at), |entry| entry.0);
        result
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fresh.len() + self.old.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Allowances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowances")
            .field("rate", &self.rate)
            .field("keys", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate {
        count: 10,
        per_ms: 1_000,
        burst: 3,
    };

    #[test]
    fn a_burst_passes_and_then_the_steady_rate() {
        let mut allowances = Allowances::new(RATE, 8);
        for _ in 0..3 {
            assert_eq!(allowances.take(7, 50), Ok(()));
        }
        assert_eq!(allowances.take(7, 50), Err(100));
        assert_eq!(allowances.take(7, 149), Err(1));
        assert_eq!(allowances.take(7, 150), Ok(()));
        assert_eq!(allowances.take(7, 150), Err(100));
        assert_eq!(allowances.take(8, 150), Ok(()), "another key has its own");
        for _ in 0..3 {
            assert_eq!(allowances.take(7, 10_000), Ok(()), "no more than a burst");
        }
        assert!(allowances.take(7, 10_000).is_err());
    }

    #[test]
    fn a_crowd_of_keys_costs_no_memory_and_spares_nobody_who_goes_on() {
        let mut allowances = Allowances::new(RATE, 1_000);
        for key in 1..=100_000 {
            allowances.take(key, 0).ok();
            if key % 100 == 0 {
                allowances.take(0, 0).ok();
            }
            assert!(allowances.len() <= 1_001);
        }
        assert!(allowances.take(0, 0).is_err(), "it was never forgotten");
    }

    proptest! {
        #[test]
        fn no_span_has_more_than_its_rate_and_a_burst(
            steps in proptest::collection::vec(0_u64..200, 1..200),
            count in 1_u32..50,
            burst in 1_u32..20,
        ) {
            let rate = Rate { count, per_ms: 1_000, burst };
            let mut allowances = Allowances::new(rate, 4);
            let (mut now, mut passed) = (0, Vec::new());
            for step in steps {
                now += step;
                match allowances.take(1, now) {
                    Ok(()) => passed.push(now),
                    Err(wait) => prop_assert!(wait > 0 && wait <= 1_000),
                }
            }
            for (nth, from) in passed.iter().enumerate() {
                for (further, to) in passed[nth..].iter().enumerate() {
                    let most = u64::from(burst) + (to - from) * u64::from(count) / 1_000;
                    prop_assert!(further as u64 <= most, "{further} from {from} to {to}");
                }
            }
        }
    }
}
