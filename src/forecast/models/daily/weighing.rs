//! What days that are partly estimated count beside measured ones, where something is learnt from a day or
//! said from it.
//!
//! An estimated day counts s² / (s² + σ²), see METHODS.md, "Estimated days". Where all days are measured, or
//! known so well that this is 1, every figure is to the bit what it would be without.

use super::{CutFit, DailyModel, Weighing};
use crate::forecast::models::base::BaseFit;
use crate::forecast::models::correction::RESIDUAL_DAYS;

impl DailyModel {
    /// Whether any day is estimated, and counts less than others in more than the fits.
    fn weighs_all(&self) -> bool {
        let is_estimated = |deviation: &f64| *deviation > 0.0;
        self.options.weighing == Weighing::All && self.series.deviations.iter().any(is_estimated)
    }

    /// The values as they are believed: of what a day was said to have used, as much as it counts, the rest is
    /// what the fit expects of it. None where nothing is estimated.
    ///
    /// That is the mean of the two by their variances, the best guess at what was used.
    pub(super) fn believed(&self, base: &BaseFit) -> Option<Vec<f64>> {
        if !self.weighs_all() {
            return None;
        }
        let mut values = self.series.values.clone();
        let days = values.iter_mut().zip(&self.series.deviations);
        for (day, (value, deviation)) in days.enumerate() {
            if *deviation <= 0.0 || !value.is_finite() {
                continue;
            }
            let trust = base.trust(&self.series, day);
            let felt = self.felt.as_ref().and_then(|felt| felt.get(day)).copied();
            let expected = base.predict(&self.series, &self.fixed, day, felt);
            if trust < 1.0 && expected.is_finite() {
                *value = expected + trust * (*value - expected);
            }
        }
        Some(values)
    }

    /// What each of the days up to and with `at` counts, latest first.
    pub(super) fn recent_trusts(&self, base: &BaseFit, at: usize) -> [f64; RESIDUAL_DAYS] {
        let mut trusts = [1.0; RESIDUAL_DAYS];
        let from = (at + 1).saturating_sub(RESIDUAL_DAYS);
        let window = self.series.deviations.get(from..=at).unwrap_or(&[]);
        if self.options.weighing == Weighing::All && window.iter().any(|d| *d > 0.0) {
            for (trust, day) in trusts.iter_mut().zip((from..=at).rev()) {
                *trust = base.trust(&self.series, day);
            }
        }
        trusts
    }

    /// What each day up to and with `origin` counts, as the fit sees it; empty where all count in full.
    pub(super) fn trusts(&self, fit: Option<&CutFit>, origin: usize) -> Trusts {
        let fit = fit.filter(|_| self.weighs_all());
        Trusts(fit.map_or_else(Vec::new, |fit| {
            let of_day = |day| fit.base.trust(&self.series, day);
            (0..=origin).map(of_day).collect()
        }))
    }
}

/// What days count, 0 to 1.
#[derive(Debug)]
pub(super) struct Trusts(Vec<f64>);

impl Trusts {
    /// A day.
    pub(super) fn of(&self, day: usize) -> f64 {
        self.0.get(day).copied().unwrap_or(1.0)
    }

    /// Its root, by which an error of the day is to be taken.
    pub(super) fn root_of(&self, day: usize) -> f64 {
        self.0.get(day).map_or(1.0, |trust| trust.sqrt())
    }

    /// What was said of a day at another: as much as the worse of the two.
    pub(super) fn of_said(&self, origin: usize, day: usize) -> f64 {
        self.of(origin).min(self.of(day))
    }
}
