//! A daily series as a model takes it, and what a model makes of it.

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::models::correction::mean_known;
use crate::forecast::models::paths::ResidualPath;

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
    /// Temperatures of the same days and of all before them that climatology knows, °C, in order; empty
    /// where it knows no others than `temperatures`.
    pub climate: Vec<f64>,
}

impl DailySeries {
    /// First day.
    pub fn first(&self) -> GasDay {
        self.traits
            .first()
            .map_or(GasDay::from_epoch_day(0), |t| t.day)
    }

    /// The same with all days of `observed` for climatology, where its temperatures are known.
    #[must_use]
    pub fn with_climate(mut self, observed: &BTreeMap<GasDay, f64>) -> Self {
        let first = self.first();
        let earliest = observed.keys().next().copied().filter(|day| *day < first);
        if let Some(earliest) = earliest.filter(|_| !self.temperatures.is_empty()) {
            let days = (0_i64..).map(|i| earliest.plus(i));
            let before = days.take_while(|day| *day < first);
            let at = |day| observed.get(&day).copied().unwrap_or(f64::NAN);
            self.climate = before.map(at).collect();
            self.climate.extend(&self.temperatures);
        }
        self
    }

    /// What climatology knows at an origin: its first day, and temperatures up to the origin.
    pub fn climate_until(&self, origin: usize) -> (GasDay, &[f64]) {
        let (first, climate, before) = self.climate();
        (first, climate.get(..=before + origin).unwrap_or(&[]))
    }

    /// All temperatures, the day of the first, and how many come before the series.
    pub fn climate(&self) -> (GasDay, &[f64], usize) {
        if self.climate.is_empty() {
            return (self.first(), &self.temperatures, 0);
        }
        let before = self.climate.len() - self.temperatures.len();
        let days = i64::try_from(before).unwrap_or(0);
        (self.first().plus(-days), &self.climate, before)
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

/// Point forecast and residual paths of a daily series.
#[derive(Debug, Clone, PartialEq)]
pub struct DailyForecast {
    /// Model the point forecast comes from.
    pub model: &'static str,
    /// Expected volume by lead 1, 2, …, m³; not below zero.
    pub p50: Vec<f64>,
    /// Residual paths scaled to this forecast's level, earliest origin first.
    pub paths: Vec<ResidualPath>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::Calendar;
    use crate::forecast::features::calendar::DayTraits;
    use crate::forecast::weather::Climatology;

    #[test]
    fn climatology_is_of_all_years_before_and_no_day_after_the_origin() {
        let first: GasDay = "2025-11-01".parse().unwrap();
        let known = 380_usize;
        let start: GasDay = "2016-11-01".parse().unwrap();
        // Each year a degree warmer than the one before, all days of it alike.
        let celsius = |day: GasDay| f64::from(chrono::Datelike::year(&day.0) - 2016);
        let days = (0..first.days_since(start) + 380).map(|i| start.plus(i));
        let observed: BTreeMap<GasDay, f64> = days.map(|day| (day, celsius(day))).collect();
        let series = DailySeries {
            values: vec![1.0; known],
            traits: DayTraits::span(&Calendar::default(), first, known + 40),
            temperatures: (0_i64..)
                .take(known)
                .map(|i| celsius(first.plus(i)))
                .collect(),
            ..DailySeries::default()
        };
        let own = series.clone();
        let series = series.with_climate(&observed);
        let (from, climate) = series.climate_until(known - 1);
        assert_eq!((from, climate.len()), (start, observed.len()));
        let day: GasDay = "2026-12-10".parse().unwrap();
        let typical = |(from, climate): (GasDay, &[f64])| {
            Climatology::new(from, climate).at(from, climate, day)
        };
        // December of 2016 to 2025; of the series' own days only that of 2025.
        assert!((typical(series.climate_until(known - 1)) - 4.5).abs() < 1e-9);
        assert!((typical(own.climate_until(known - 1)) - 9.0).abs() < 1e-9);
        let (_, then) = series.climate_until(10);
        assert_eq!(then.len(), observed.len() - known + 11);
        let (_, all, before) = series.climate();
        assert_eq!(all[before..], series.temperatures);
    }
}
