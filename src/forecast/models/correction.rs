//! Direct correction by lead: what the node's own recent residuals say about the days ahead.
//!
//! For each lead (or group of far leads) a small robust ridge learns, over many past origins, how
//! the base regression's error at the lead follows from the errors known at the origin. The fits
//! that made those errors never saw the day that is corrected.

use crate::domain::calendar::GasDay;
use crate::forecast::features::calendar::season_distance;
use crate::forecast::linear::{Design, Penalty, Robust, dot, robust_ridge};

/// Residuals known at an origin, and what they are called in the regression.
#[derive(Debug, Clone, Default)]
pub struct KnownResiduals {
    /// Base residuals of the last 28 days, latest first; NaN where the day has no value.
    pub recent: Vec<f64>,
    /// Base expectation of the same days, latest first.
    pub expected: Vec<f64>,
    /// How much the weather of the last days moved the expectation away from typical weather,
    /// latest first; empty where weather ahead is known.
    pub weather_effect: Vec<f64>,
}

/// Days of residuals that are read.
pub const RESIDUAL_DAYS: usize = 28;
/// Features of the correction.
pub const CORRECTION_FEATURES: usize = 11;

fn mean_known(values: &[f64]) -> Option<f64> {
    let known: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

impl KnownResiduals {
    /// Features for a lead whose base expectation is `expected_ahead`; `angle` is the target's season.
    pub fn features(
        &self,
        lead: usize,
        expected_ahead: f64,
        angle: f64,
    ) -> [f64; CORRECTION_FEATURES] {
        let month = mean_known(&self.recent).unwrap_or(0.0);
        let head = |count: usize| {
            self.recent
                .get(..count.min(self.recent.len()))
                .unwrap_or(&[])
        };
        let week = mean_known(head(7)).unwrap_or(month);
        let three = mean_known(head(3)).unwrap_or(week);
        let last = mean_known(head(1)).unwrap_or(three);
        // The latest known day with the target's weekday lies (7 − lead) mod 7 days before the origin.
        let same = (7 - lead % 7) % 7;
        let at = |values: &[f64], i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        let same_weekday = at(&self.recent, same);
        let weekday_mean = mean_known(&[
            same_weekday,
            at(&self.recent, same + 7),
            at(&self.recent, same + 14),
            at(&self.recent, same + 21),
        ])
        .unwrap_or(week);
        // With `same_weekday` this makes the seasonal-naive forecast one of the choices.
        let drift = at(&self.expected, same) - expected_ahead;
        let (warm, warm_week) = if self.weather_effect.is_empty() {
            (0.0, 0.0)
        } else {
            let head = &self.weather_effect[..7.min(self.weather_effect.len())];
            (
                mean_known(&self.weather_effect[..1]).unwrap_or(0.0),
                mean_known(head).unwrap_or(0.0),
            )
        };
        let seasonal = f64::from(u8::from(!self.weather_effect.is_empty()));
        [
            1.0,
            last,
            three,
            week,
            month,
            if same_weekday.is_finite() {
                same_weekday
            } else {
                week
            },
            weekday_mean,
            if drift.is_finite() { drift } else { 0.0 },
            warm,
            warm_week,
            seasonal * angle.cos(),
        ]
    }
}

/// One past origin and lead.
#[derive(Debug, Clone)]
pub struct Example {
    /// Day of the origin.
    pub origin: GasDay,
    /// Features.
    pub features: [f64; CORRECTION_FEATURES],
    /// What the base regression missed, m³.
    pub missed: f64,
}

/// Choices of the correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CorrectionOptions {
    /// Ridge.
    pub penalty: Penalty,
    /// An origin counts half after so many days.
    pub half_life_days: f64,
    /// Weight of the opposite season.
    pub season_floor: f64,
    /// Residuals beyond so many robust standard deviations count less.
    pub clip: f64,
}

impl Default for CorrectionOptions {
    fn default() -> Self {
        Self {
            penalty: Penalty {
                relative: 0.05,
                pseudo_days: 0.0,
            },
            half_life_days: 365.0,
            season_floor: 0.3,
            clip: 1.5,
        }
    }
}

impl CorrectionOptions {
    /// What a past origin counts at an origin.
    pub fn weight_of(&self, past: GasDay, origin: GasDay) -> f64 {
        let age = origin.days_since(past) as f64;
        let apart = season_distance(past.0, origin.0) / 50.0;
        let season = self.season_floor + (1.0 - self.season_floor) * (-0.5 * apart * apart).exp();
        0.5_f64.powf(age / self.half_life_days) * season
    }
}

/// The correction of one lead or group of leads.
#[derive(Debug, Clone)]
pub struct Correction(Vec<f64>);

impl Correction {
    /// Learns from past origins; without enough of them it corrects nothing.
    pub fn fit(examples: &[Example], origin: GasDay, options: &CorrectionOptions) -> Self {
        const EXAMPLES_MIN: usize = 40;
        let nothing = Self(vec![0.0; CORRECTION_FEATURES]);
        if examples.len() < EXAMPLES_MIN {
            return nothing;
        }
        let mut x = Design::new(CORRECTION_FEATURES);
        let mut y = Vec::with_capacity(examples.len());
        let mut weights = Vec::with_capacity(examples.len());
        for example in examples {
            x.push(&example.features);
            y.push(example.missed);
            weights.push(options.weight_of(example.origin, origin));
        }
        let robust = Robust {
            penalty: options.penalty,
            clip: options.clip,
            rounds: 2,
        };
        robust_ridge(&x, &y, &weights, robust, None, &[]).map_or(nothing, Self)
    }

    /// The correction for these features, m³.
    pub fn of(&self, features: &[f64; CORRECTION_FEATURES]) -> f64 {
        dot(&self.0, features)
    }
}

/// Leads that share one correction: each day of the first week alone, then wider and wider groups.
pub fn lead_group(lead: usize) -> usize {
    match lead {
        0..=7 => lead,
        8..=10 => 8,
        11..=14 => 9,
        15..=21 => 10,
        22..=31 => 11,
        32..=45 => 12,
        _ => 13,
    }
}

/// Number of groups.
pub const LEAD_GROUPS: usize = 14;
