//! Latencies as HDR histograms: recorded in workers, merged and read in the parent.
//!
//! An open loop counts from when a message was *due*, so a server that stalls is charged for
//! everything that waited meanwhile (no coordinated omission).

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longer latencies are counted as this long, in microseconds.
const HIGHEST: u64 = 600_000_000;

/// Latencies of microsecond resolution with three significant digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, HIGHEST, 3).expect("the bounds are in order"))
    }
}

impl Latencies {
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record((nanoseconds / 1_000).max(1));
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// Milliseconds below which this share of the latencies lies.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most ten minutes")]
    pub fn quantile(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    /// The longest one in milliseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most ten minutes")]
    pub fn max(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    /// How many were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }
}

/// Values in microseconds with their counts.
impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let recorded = self.0.iter_recorded();
        serializer.collect_seq(recorded.map(|v| (v.value_iterated_to(), v.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut found = Self::default();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            found.0.saturating_record_n(value, count);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_survive_the_way_through_json() {
        let mut latencies = Latencies::default();
        for milliseconds in 1..=1_000 {
            latencies.record(milliseconds * 1_000_000);
        }
        let text = serde_json::to_string(&latencies).unwrap();
        let read: Latencies = serde_json::from_str(&text).unwrap();
        assert_eq!(read.count(), 1_000);
        for share in [0.5, 0.9, 0.99, 0.999] {
            let expected = share * 1_000.0;
            assert!((read.quantile(share) / expected - 1.0).abs() < 0.01);
        }
        assert!((read.max() / 1_000.0 - 1.0).abs() < 0.01);
    }
}
