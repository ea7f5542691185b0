//! The base regression: demand of a day from its calendar and weather, robust, weighted to recent
//! days and to the same season.
//!
//! A fit belongs to a cut and reads the days up to it. Cuts are met in order along a [`BaseChain`]:
//! from an anchor on, at which all days so far are read, each four weeks add their own days to the
//! sums of their part of the year, and a fit is a mix of these sums.

mod chain;

use crate::forecast::features::calendar::{
    CALENDAR_FEATURES, DayTraits, FESTIVAL, FIRST_HARMONIC, OFF_DAY_SEASON, RARE, SCHOOL, SEASONS,
    TREND,
};
use crate::forecast::features::temperature::{
    Felt, Knots, TEMPERATURE_FEATURES, temperature_features,
};
use crate::forecast::linear::{Design, Penalty, dot};
use crate::forecast::models::series::DailySeries;

pub use chain::BaseChain;
pub(in crate::forecast) use chain::upper_median;

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
    /// Days of history that are looked at by an anchor.
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
    /// Robust standard deviation of errors, m³.
    scale: Option<f64>,
    epoch_index: usize,
}

impl BaseFit {
    /// Expected demand of a day with this weather, before any correction; may be below zero.
    #[inline]
    pub fn predict(
        &self,
        series: &DailySeries,
        fixed: &Design,
        index: usize,
        felt: Option<Felt>,
    ) -> f64 {
        let mut value = dot(&self.calendar, fixed.row(index));
        if let (Some(knots), Some(felt)) = (&self.knots, felt) {
            let years = (index as f64 - self.epoch_index as f64) / 365.25;
            let row = temperature_features(
                felt,
                knots,
                &series.traits[index],
                years,
                &fixed.row(index)[FIRST_HARMONIC],
            );
            value += self.weather_effect(&row);
        }
        value
    }

    /// What festival and local calendar do to a day, given its calendar features.
    pub fn set_apart(&self, row: &[f64]) -> f64 {
        let of =
            |columns: std::ops::Range<usize>| dot(&self.calendar[columns.clone()], &row[columns]);
        of(FESTIVAL) + of(CALENDAR_FEATURES..self.calendar.len())
    }

    /// Effects of rare days, m³.
    pub fn rare(&self) -> &[f64] {
        &self.calendar[RARE]
    }

    fn weather_effect(&self, row: &[f64; TEMPERATURE_FEATURES]) -> f64 {
        dot(&self.weather, row)
    }

    /// What a day counts beside a measured one, 0 to 1.
    pub fn trust(&self, series: &DailySeries, day: usize) -> f64 {
        chain::trust(series, self.scale, day)
    }

    /// Whether the fit uses weather.
    pub fn uses_weather(&self) -> bool {
        self.knots.is_some()
    }
}

/// What the fits of a series read.
#[derive(Debug, Clone, Copy)]
pub struct BaseInput<'a> {
    /// The series.
    pub series: &'a DailySeries,
    /// Calendar features of every day.
    pub fixed: &'a Design,
    /// What the weather of each day was felt as.
    pub felt: Option<&'a [Felt]>,
    /// Choices.
    pub options: &'a BaseOptions,
    /// Columns that are held to zero as by so many more days of full weight.
    pub pull: &'a [(usize, f64)],
}

/// Columns that a history of so many days can tell apart; a history shorter than a season cannot
/// tell season from trend, nor one winter what begins with it from the cold. Empty if all can be.
///
/// The first `fixed` of the columns are the calendar's.
fn learnable(span_days: usize, columns: usize, fixed: usize) -> Vec<bool> {
    if span_days >= 600 {
        return Vec::new();
    }
    let mut alive = vec![true; columns];
    alive[TREND] = false;
    if fixed > CALENDAR_FEATURES {
        alive[SEASONS].fill(false);
        alive[SCHOOL] = span_days >= 330;
    }
    if span_days < 200 {
        alive[FIRST_HARMONIC.start..CALENDAR_FEATURES].fill(false);
        alive[OFF_DAY_SEASON].fill(false);
    } else if span_days < 330 {
        alive[FIRST_HARMONIC.end..CALENDAR_FEATURES].fill(false);
    }
    alive
}

/// Days explained by columns that only a few days a year are in: holidays, make-up working days and
/// the main festival.
fn is_rare(day: &DayTraits) -> bool {
    day.is_make_up_workday
        || day.day_type == crate::domain::calendar::DayType::Holiday
        || day.festival.is_some_and(|d| (-14..=16).contains(&d))
}
