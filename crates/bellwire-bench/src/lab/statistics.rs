//! Medians and their spread.

/// The value below which a share of the values lies; the values are sorted by this.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index of a short list"
    )]
    let at = (share * (values.len() - 1) as f64).round() as usize;
    values[at]
}

/// Median with first and third quartile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        Self {
            median: quantile(&mut values, 0.5),
            low: quantile(&mut values, 0.25),
            high: quantile(&mut values, 0.75),
        }
    }

    /// `1.05 (1.04–1.06)`.
    pub(crate) fn with_quartiles(self) -> String {
        format!("{:.2} ({:.2}–{:.2})", self.median, self.low, self.high)
    }
}
