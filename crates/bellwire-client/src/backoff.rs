//! How long to wait before the next attempt: exponential with full jitter. Used by the machine
//! and by retried publishes. Pure: randomness is an argument.

use std::time::Duration;

/// The window of the first wait.
pub(crate) const BASE: Duration = Duration::from_millis(500);
/// The widest window.
pub(crate) const CAP: Duration = Duration::from_secs(30);

/// Counts failed attempts since the last success worth the name.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: uniform in `[0, window)`, where `random` is uniform over all of `u64`.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let window = self.window().as_nanos();
        self.failures = self.failures.saturating_add(1);
        let nanos = (window * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(nanos).expect("a window is at most 30 s"))
    }

    /// Starts over with the narrowest window.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    fn window(self) -> Duration {
        // Six doublings pass the cap; the bound keeps the shift from overflowing.
        (BASE * (1 << self.failures.min(6))).min(CAP)
    }
}

/// The process's randomness, for everything that injects it.
pub(crate) fn random() -> u64 {
    getrandom::u64().expect("the operating system has randomness")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_doubles_up_to_its_cap_and_starts_over_after_a_reset() {
        let mut backoff = Backoff::default();
        let windows: Vec<u64> = (0..9)
            .map(|_| u64::try_from(backoff.next(u64::MAX).as_millis()).unwrap() + 1)
            .collect();
        assert_eq!(
            windows,
            [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
        );
        backoff.reset();
        assert!(backoff.next(u64::MAX) < BASE);
    }

    #[test]
    fn jitter_covers_the_whole_window_evenly() {
        let at = |random| Backoff { failures: 2 }.next(random);
        assert_eq!(at(0), Duration::ZERO);
        assert_eq!(at(1 << 63), Duration::from_secs(1));
        assert_eq!(at(3 << 62), Duration::from_millis(1500));
        assert!(at(u64::MAX) < Duration::from_secs(2));
    }
}
