//! What an origin expected of the days ahead and knew of its own errors.

use std::sync::Arc;

use super::{BLEND_FROM_LEAD, CutFit, DailyModel};
use crate::forecast::features::calendar::first_harmonic;
use crate::forecast::features::temperature::{Felt, SLOW_DAYS};
use crate::forecast::models::correction::{
    CORRECTION_FEATURES, KnownResiduals, RESIDUAL_DAYS, Target, mean_trusted,
};
use crate::forecast::models::seasonal_naive;
use crate::forecast::weather::{Climatology, WeatherAhead, ahead_of_past_origin};

pub(super) struct Weather<'a> {
    pub(super) ahead: WeatherAhead,
    pub(super) climatology: &'a Climatology,
}

/// An origin as it was seen: errors known, expectations ahead.
pub(super) struct View {
    pub(super) at: usize,
    /// The fit it was seen with.
    pub(super) fit: Arc<CutFit>,
    pub(super) expected: Vec<f64>,
    pub(super) features: Vec<[f64; CORRECTION_FEATURES]>,
    /// Level of the last four weeks to that of the same weeks a year before, for later leads.
    pub(super) level_ratio: Option<f64>,
    /// Mean of the last 28 and of the last 7 known errors, m³.
    pub(super) carried: [f64; 2],
}

impl DailyModel {
    /// Cosine of the day's place in the year; beyond the calendar, of its last day.
    fn year_cosine(&self, index: usize) -> f64 {
        let traits = &self.series.traits;
        first_harmonic(traits[index.min(traits.len() - 1)].day.0).1
    }

    /// What was expected by the origin's fit, and what was known of errors, at an origin;
    /// `temperatures` are those of the leads, re-created from observations if not given.
    pub(super) fn seen_from(
        &self,
        at: usize,
        fit: &Arc<CutFit>,
        horizon: usize,
        weather: &Weather<'_>,
        temperatures: Option<Vec<f64>>,
    ) -> View {
        let from = (at + 1)
            .saturating_sub(RESIDUAL_DAYS)
            .max(fit.expected_from);
        let expected_of = |i: usize| fit.expected.get(i.checked_sub(fit.expected_from)?).copied();
        let mut recent = [f64::NAN; RESIDUAL_DAYS];
        let mut expected_then = [f64::NAN; RESIDUAL_DAYS];
        let known_days = recent.iter_mut().zip(&mut expected_then);
        for (i, (recent, then)) in (from..=at).rev().zip(known_days) {
            let expected = expected_of(i).unwrap_or(f64::NAN);
            *recent = self.series.values[i] - expected;
            *then = expected - fit.apart(i);
        }
        let uses_weather = fit.base.uses_weather() && self.felt.is_some();
        let is_observed = temperatures.is_none() && weather.ahead == WeatherAhead::Perfect;
        // Of the leads; where it is observed it stands in `felt`.
        let mut warmth = Vec::new();
        let expected: Vec<f64> = if !uses_weather || is_observed {
            // Cached for the days after the cut; without weather, also those not yet observed.
            let under_observed = |i: usize| {
                let felt = self.felt.as_ref().and_then(|f| f.get(i)).copied();
                fit.base.predict(&self.series, &self.fixed, i, felt)
            };
            (at + 1..=at + horizon)
                .map(|i| expected_of(i).unwrap_or_else(|| under_observed(i)))
                .collect()
        } else {
            let temperatures = temperatures.unwrap_or_else(|| {
                let (first, climate, before) = self.series.climate();
                ahead_of_past_origin(
                    weather.ahead,
                    weather.climatology,
                    first,
                    climate,
                    before + at,
                    horizon,
                )
            });
            warmth.resize(horizon, f64::NAN);
            self.expected_under(fit, at, &temperatures, &mut warmth)
        };
        let felt_then = self.felt.as_ref().filter(|_| uses_weather && is_observed);
        let warmth_at = |lead: usize| match felt_then {
            Some(felt) => felt.get(at + lead).map(|felt| felt.today),
            None => warmth.get(lead - 1).copied(),
        };
        let effects = if uses_weather
            && !matches!(weather.ahead, WeatherAhead::None | WeatherAhead::Perfect)
        {
            self.weather_effects(fit, at, weather)
        } else {
            Vec::new()
        };
        let warmth_now = self.felt.as_ref().map_or(f64::NAN, |felt| felt[at].today);
        let trusts = self.recent_trusts(&fit.base, at);
        let known = KnownResiduals::new(&recent, &trusts, &expected_then, &effects);
        let features = (1..)
            .zip(&expected)
            .map(|(lead, expected)| {
                let target = Target {
                    expected: *expected - fit.apart(at + lead),
                    year_cosine: self.year_cosine(at + lead),
                    off: [at + lead, at].map(|i| self.series.traits[i].is_off()),
                    warmer: warmth_at(lead).unwrap_or(f64::NAN) - warmth_now,
                };
                known.features(lead, &target)
            })
            .collect();
        View {
            at,
            fit: Arc::clone(fit),
            expected,
            features,
            level_ratio: (horizon >= BLEND_FROM_LEAD)
                .then(|| seasonal_naive::level_ratio(self.plain_values(fit), at))
                .flatten(),
            carried: [RESIDUAL_DAYS, 7].map(|days| {
                let days = recent.iter().zip(&trusts).take(days);
                mean_trusted(days.map(|(error, trust)| (*error, *trust)), 0.0)
            }),
        }
    }

    /// The values, without what is set apart if anything is.
    pub(super) fn plain_values<'a>(&'a self, fit: &'a CutFit) -> &'a [f64] {
        if fit.plain.is_empty() {
            &self.series.values
        } else {
            &fit.plain
        }
    }

    /// Base expectations of the leads under given temperatures; `warmth` becomes what those are
    /// where gaps are filled.
    fn expected_under(
        &self,
        fit: &CutFit,
        at: usize,
        temperatures: &[f64],
        warmth: &mut [f64],
    ) -> Vec<f64> {
        let from = (at + 1).saturating_sub(SLOW_DAYS);
        let mut days = self.series.temperatures[from..=at].to_vec();
        let mut last = self.felt.as_ref().map(|f| f[at]);
        (0..)
            .zip(warmth)
            .map(|(i, today)| {
                days.push(temperatures.get(i).copied().unwrap_or(f64::NAN));
                let felt = Felt::new(&days);
                if felt.is_known() {
                    last = Some(felt);
                }
                *today = last.map_or(f64::NAN, |felt| felt.today);
                fit.base
                    .predict(&self.series, &self.fixed, at + 1 + i, last)
            })
            .collect()
    }

    /// How far the last week's weather moved the expectation from typical weather, latest first.
    fn weather_effects(&self, fit: &CutFit, at: usize, weather: &Weather<'_>) -> Vec<f64> {
        let (first, known) = self.series.climate_until(at);
        (0..7.min(at))
            .map(|back| {
                let i = at - back;
                let typical = weather
                    .climatology
                    .at(first, known, self.series.traits[i].day);
                let felt = Felt {
                    today: typical,
                    effective: typical,
                    slow: typical,
                };
                let under_typical = fit.base.predict(&self.series, &self.fixed, i, Some(felt));
                let expected = fit.expected.get(i.wrapping_sub(fit.expected_from)).copied();
                expected.map_or(f64::NAN, |e| e - under_typical)
            })
            .collect()
    }
}
