//! A daily series as the model takes it.

use crate::domain::calendar::GasDay;
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::models::correction::mean_known;

/// A daily series without holes in its calendar.
#[derive(Debug, Clone, Default)]
pub struct DailySeries {
    /// Daily volumes, m³; NaN where a day is not known.
    pub values: Vec<f64>,
    /// Calendar of the same days and at least `horizon + 1` more.
    pub traits: Vec<DayTraits>,
    /// Observed daily mean temperatures of the same days, °C; NaN where unknown, empty if none.
    pub temperatures: Vec<f64>,
    /// Standard deviations of the values' own errors, m³, where a day is partly estimated; 0 where
    /// it is measured. Empty if all are.
    pub deviations: Vec<f64>,
}

impl DailySeries {
    /// First day.
    pub fn first(&self) -> GasDay {
        self.traits
            .first()
            .map_or(GasDay::from_epoch_day(0), |t| t.day)
    }

    /// The first day that has a value; 0 if none has.
    pub fn first_known(&self) -> usize {
        let known = self.values.iter().position(|v| v.is_finite());
        known.unwrap_or(0)
    }

    /// Complete days up to and with `origin`.
    pub fn days_known(&self, origin: usize) -> usize {
        self.values
            .iter()
            .take(origin + 1)
            .filter(|v| v.is_finite())
            .count()
    }

    /// Mean of the last year up to `origin`, m³; 0 if nothing is known.
    pub fn typical_level(&self, origin: usize) -> f64 {
        let from = (origin + 1).saturating_sub(365);
        mean_known(self.values[from..=origin].iter().copied()).unwrap_or(0.0)
    }
}
