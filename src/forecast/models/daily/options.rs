//! Choices of the daily model.

use super::BLEND_FROM_LEAD;
use crate::forecast::models::base::BaseOptions;
use crate::forecast::models::correction::CorrectionOptions;

/// Choices of the daily model, made on data before any scored origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DailyOptions {
    /// The base regression.
    pub base: BaseOptions,
    /// The correction by lead.
    pub correction: CorrectionOptions,
    /// Past origins up to this age are learnt from and make residual paths.
    pub path_days: usize,
    /// The same of forecasts beyond a week: months that are like the one to come are few.
    pub late_path_days: usize,
    /// Most leads × past origins looked at, which bounds the time of one forecast.
    pub examples_max: usize,
    /// The same of forecasts beyond a week, whose leads are alike.
    pub late_examples_max: usize,
    /// Ridge of the correction beyond a week, relative: far ahead, errors of today say little.
    pub late_penalty: f64,
    /// Days a fit is old at least when it is used, so that the latest residuals are out of sample.
    pub fit_age_min: usize,
    /// What the regression says of the festival and of the local calendar stands as it is: neither the
    /// correction nor other members, which know days of before a festival or a season, speak of it.
    pub sets_calendar_apart: bool,
    /// In what days that are partly estimated count less.
    pub weighing: Weighing,
}

/// In what days that are partly estimated count less than measured ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weighing {
    /// In the base regression and the corrections alone, as runs of earlier programs had it.
    Fits,
    /// In everything that is learnt from a day or said from it.
    #[default]
    All,
}

impl Default for DailyOptions {
    fn default() -> Self {
        Self {
            base: BaseOptions::default(),
            correction: CorrectionOptions::default(),
            path_days: 730,
            late_path_days: 1_460,
            examples_max: 15_000,
            late_examples_max: 8_000,
            late_penalty: 3.0,
            fit_age_min: 0,
            sets_calendar_apart: false,
            weighing: Weighing::All,
        }
    }
}

impl DailyOptions {
    /// The choices for series that the Chinese calendar governs.
    pub fn chinese() -> Self {
        Self {
            sets_calendar_apart: true,
            ..Self::default()
        }
    }

    /// Age of the past origins that a forecast of `horizon` days looks back to.
    pub fn path_days_of(&self, horizon: usize) -> usize {
        if horizon < BLEND_FROM_LEAD {
            self.path_days
        } else {
            self.late_path_days
        }
    }
}
