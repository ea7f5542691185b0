//! The base regression: demand of a day from its calendar and weather, robust, weighted to recent
//! days and to the same season.

use crate::domain::calendar::DayType;
use crate::forecast::features::calendar::{DayTraits, season_distance};
use crate::forecast::features::temperature::{
    Felt, Knots, TEMPERATURE_FEATURES, temperature_features,
};
use crate::forecast::linear::{Design, Penalty, Robust, dot, robust_ridge};
use crate::forecast::models::daily::DailySeries;

/// Choices of the base regression, made on data before any scored origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BaseOptions {
    /// Ridge.
    pub penalty: Penalty,
    /// A day counts half after so many days.
    pub half_life_days: f64,
    /// Weight of the opposite season; 1 makes seasons equal.
    pub season_floor: f64,
    /// Width of "the same season", days.
    pub season_width_days: f64,
    /// Residuals beyond so many robust standard deviations count less.
    pub clip: f64,
    /// Days of history that are looked at.
    pub history_days: usize,
}

impl Default for BaseOptions {
    fn default() -> Self {
        Self {
            penalty: Penalty {
                relative: 0.0005,
                pseudo_days: 0.2,
            },
            half_life_days: 500.0,
            season_floor: 0.35,
            season_width_days: 50.0,
            clip: 1.5,
            history_days: 2200,
        }
    }
}

/// A base regression fitted on the days up to a cut.
#[derive(Debug, Clone)]
pub struct BaseFit {
    calendar: Vec<f64>,
    weather: Vec<f64>,
    knots: Option<Knots>,
    epoch_index: usize,
}

impl BaseFit {
    /// Fits days `..=cut`. `fixed` holds the calendar features of every day, `felt` what the
    /// weather of each was felt as; `warm` is an earlier fit to take the first residuals from.
    ///
    /// None if too few days have a value.
    pub fn fit(
        series: &DailySeries,
        fixed: &Design,
        felt: Option<&[Felt]>,
        cut: usize,
        options: &BaseOptions,
        warm: Option<&Self>,
    ) -> Option<Self> {
        let from = (cut + 1).saturating_sub(options.history_days);
        let known: Vec<usize> = (from..=cut)
            .filter(|i| series.values[*i].is_finite())
            .collect();
        let first_known = *known.first()?;
        let span = cut - first_known;
        let knots = felt.and_then(|felt| {
            let of_known: Vec<Felt> = known
                .iter()
                .map(|i| felt[*i])
                .filter(Felt::is_known)
                .collect();
            (of_known.len() * 10 >= known.len() * 8).then(|| Knots::new(&of_known))?
        });
        let columns = fixed.columns()
            + if knots.is_some() {
                TEMPERATURE_FEATURES
            } else {
                0
            };
        let mut x = Design::new(columns);
        let mut y = Vec::with_capacity(known.len());
        let mut weights = Vec::with_capacity(known.len());
        let mut protected = Vec::with_capacity(known.len());
        let centre = series.traits[cut].day.plus(14).0;
        for &i in &known {
            let mut row = fixed.row(i).to_vec();
            mask_unlearnable(&mut row, span);
            if let (Some(knots), Some(felt)) = (&knots, felt) {
                if !felt[i].is_known() {
                    continue;
                }
                let years = (i as f64 - first_known as f64) / 365.25;
                temperature_features(felt[i], knots, &series.traits[i], years, &mut row);
            }
            x.push(&row);
            y.push(series.values[i]);
            protected.push(is_rare(&series.traits[i]));
            let age = (cut - i) as f64;
            let apart = season_distance(series.traits[i].day.0, centre) / options.season_width_days;
            let season =
                options.season_floor + (1.0 - options.season_floor) * (-0.5 * apart * apart).exp();
            weights.push(0.5_f64.powf(age / options.half_life_days) * season);
        }
        let start = warm
            .filter(|w| w.weather.is_empty() == knots.is_none())
            .map(Self::coefficients);
        // Knots move between cuts, so a warm start only serves to find the days to count less.
        let rounds = if start.is_some() { 2 } else { 3 };
        let robust = Robust {
            penalty: options.penalty,
            clip: options.clip,
            rounds,
        };
        let b = robust_ridge(&x, &y, &weights, robust, start.as_deref(), &protected)?;
        let (calendar, weather) = b.split_at(fixed.columns());
        Some(Self {
            calendar: calendar.to_vec(),
            weather: weather.to_vec(),
            knots,
            epoch_index: first_known,
        })
    }

    fn coefficients(&self) -> Vec<f64> {
        [self.calendar.as_slice(), self.weather.as_slice()].concat()
    }

    /// Expected demand of a day with this weather, before any correction; may be below zero.
    pub fn predict(
        &self,
        series: &DailySeries,
        fixed: &Design,
        index: usize,
        felt: Option<Felt>,
    ) -> f64 {
        let mut value = dot(&self.calendar, fixed.row(index));
        if let (Some(knots), Some(felt)) = (&self.knots, felt) {
            let mut row = Vec::with_capacity(TEMPERATURE_FEATURES);
            let years = (index as f64 - self.epoch_index as f64) / 365.25;
            temperature_features(felt, knots, &series.traits[index], years, &mut row);
            value += dot(&self.weather, &row);
        }
        value
    }

    /// Whether the fit uses weather.
    pub fn uses_weather(&self) -> bool {
        self.knots.is_some()
    }
}

/// Days explained by columns that only a few days a year are in: holidays and the main festival.
fn is_rare(day: &DayTraits) -> bool {
    day.day_type == DayType::Holiday || day.festival.is_some_and(|d| (-14..=16).contains(&d))
}

/// A history shorter than a season cannot tell season from trend: those columns are left out.
fn mask_unlearnable(row: &mut [f64], span_days: usize) {
    const TREND: usize = 1;
    const HARMONICS: std::ops::Range<usize> = 15..23;
    const OFF_DAY_SEASON: std::ops::Range<usize> = 23..25;
    if span_days < 200 {
        row[TREND] = 0.0;
        row[HARMONICS].fill(0.0);
        row[OFF_DAY_SEASON].fill(0.0);
    } else if span_days < 330 {
        row[TREND] = 0.0;
        row[HARMONICS.start + 2..HARMONICS.end].fill(0.0);
    } else if span_days < 600 {
        row[TREND] = 0.0;
    }
}
