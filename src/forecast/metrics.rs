//! Figures of merit of forecasts against what came (domain.md §6.5).

use serde::{Deserialize, Serialize};

/// One forecast beside the truth, m³.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// One in ten below.
    pub p10: f64,
    /// Point forecast.
    pub p50: f64,
    /// One in ten above.
    pub p90: f64,
    /// What came.
    pub truth: f64,
}

/// Sums from which the figures are made; two of them can be joined.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    count: usize,
    error: f64,
    absolute: f64,
    truth: f64,
    pinball: f64,
    covered: usize,
    naive_step: f64,
}

/// Figures of a set of forecasts. Ratios, not percent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Scores {
    /// Forecasts scored.
    pub count: usize,
    /// Σ|y − f| / Σ|y|.
    pub wape: f64,
    /// Mean |y − f| over the mean week-to-week step of the series.
    pub mase: f64,
    /// Σ(f − y) / Σ|y|.
    pub bias: f64,
    /// 2 (PL₀.₁ + PL₀.₅ + PL₀.₉) / (3 Σ|y|).
    pub pinball: f64,
    /// Part of the truths inside P10–P90.
    pub coverage: f64,
}

/// Pinball loss of a quantile forecast.
///
/// # Source
/// METHODS.md, "Pinball loss"; worked example: `pinball_of_the_worked_example`.
pub fn pinball(q: f64, forecast: f64, truth: f64) -> f64 {
    let short = truth - forecast;
    (q * short).max((q - 1.0) * short)
}

impl Tally {
    /// Adds one outcome; `naive_step` is the series' mean |yₜ − yₜ₋₇|, for MASE.
    pub fn add(&mut self, outcome: Outcome, naive_step: f64) {
        let Outcome {
            p10,
            p50,
            p90,
            truth,
        } = outcome;
        self.count += 1;
        self.error += p50 - truth;
        self.absolute += (p50 - truth).abs();
        self.truth += truth.abs();
        self.pinball +=
            pinball(0.1, p10, truth) + pinball(0.5, p50, truth) + pinball(0.9, p90, truth);
        self.covered += usize::from(p10 <= truth && truth <= p90);
        self.naive_step += naive_step;
    }

    /// The figures; zeros if nothing was scored, and infinite where the truth was zero throughout.
    pub fn scores(&self) -> Scores {
        if self.count == 0 {
            return Scores::default();
        }
        Scores {
            count: self.count,
            wape: ratio(self.absolute, self.truth),
            mase: ratio(self.absolute, self.naive_step),
            bias: ratio(self.error, self.truth),
            pinball: ratio(2.0 * self.pinball, 3.0 * self.truth),
            coverage: self.covered as f64 / self.count as f64,
        }
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if part == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinball_of_the_worked_example() {
        // P90 = 110, came 100: too high by 10, costs (1 − 0.9) · 10; came 120: costs 0.9 · 10.
        assert!((pinball(0.9, 110.0, 100.0) - 1.0).abs() < 1e-12);
        assert!((pinball(0.9, 110.0, 120.0) - 9.0).abs() < 1e-12);
    }

    #[test]
    fn figures_of_two_days() {
        let mut tally = Tally::default();
        let outcome = |truth| Outcome {
            p10: 90.0,
            p50: 100.0,
            p90: 110.0,
            truth,
        };
        tally.add(outcome(104.0), 8.0);
        tally.add(outcome(112.0), 8.0);
        let scores = tally.scores();
        assert!((scores.wape - 16.0 / 216.0).abs() < 1e-12);
        assert!((scores.bias + 16.0 / 216.0).abs() < 1e-12);
        assert!((scores.mase - 1.0).abs() < 1e-12);
        assert!((scores.coverage - 0.5).abs() < 1e-12);
        assert_eq!(Tally::default().scores().count, 0);
    }
}
