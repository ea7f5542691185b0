//! Temperatures a forecast may use: observed up to the origin, the forecast vintage known at the
//! origin, and climatology where the forecast has lost its skill.
//!
//! Residuals of past origins must be made with weather as good as the forecast will have, not
//! better: [`WeatherAhead`] says how good that is, and [`ahead_of_past_origin`] re-creates it from
//! observations, with a seeded error as large as an operational forecast's.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::weather::WeatherPoint;
use crate::forecast::features::calendar::year_angle;
use crate::forecast::linear::{Design, Penalty, dot, ridge};

/// Temperatures of a zone as known at an origin, °C, daily means by gas day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ZoneWeather {
    /// Observed days.
    pub observed: BTreeMap<GasDay, f64>,
    /// The latest forecast vintage known at the origin.
    pub forecast: BTreeMap<GasDay, f64>,
    /// When that vintage was issued.
    pub issued_at: Option<DateTime<Utc>>,
}

impl ZoneWeather {
    /// Averages hourly points into gas days; points after `origin_at` do not count as observed.
    ///
    /// A day needs 18 of its hours; the day under way is completed with the forecast's hours.
    pub fn from_points(
        clock: GasDayClock,
        origin_at: DateTime<Utc>,
        observed: &[WeatherPoint],
        forecast: &[WeatherPoint],
        issued_at: Option<DateTime<Utc>>,
    ) -> Self {
        let known: Vec<&WeatherPoint> = observed.iter().filter(|p| p.at <= origin_at).collect();
        let last_known = known.iter().map(|p| p.at).max();
        let today = clock.day_of(origin_at);
        let mixed = known
            .iter()
            .filter(|p| clock.day_of(p.at) >= today)
            .copied()
            .chain(
                forecast
                    .iter()
                    .filter(|p| last_known.is_none_or(|last| p.at > last)),
            );
        Self {
            observed: daily_means(clock, known.iter().copied()),
            forecast: daily_means(clock, mixed),
            issued_at,
        }
    }
}

fn daily_means<'a>(
    clock: GasDayClock,
    points: impl Iterator<Item = &'a WeatherPoint>,
) -> BTreeMap<GasDay, f64> {
    let mut days: BTreeMap<GasDay, (f64, u32)> = BTreeMap::new();
    for point in points.filter(|p| p.temperature_c.is_finite()) {
        let entry = days.entry(clock.day_of(point.at)).or_default();
        entry.0 += point.temperature_c;
        entry.1 += 1;
    }
    days.into_iter()
        .filter(|(_, (_, count))| *count >= 18)
        .map(|(day, (sum, count))| (day, sum / f64::from(count)))
        .collect()
}

/// How good a weather forecast is by lead.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ForecastSkill {
    /// Up to this lead (days) the forecast is taken as it is.
    pub full_days: usize,
    /// From this lead on there is only climatology; between the two they are blended.
    pub climate_from: usize,
    /// Standard error of the daily mean at lead 1, K.
    pub first_sd_k: f64,
    /// Growth of it per day, K.
    pub growth_k: f64,
}

impl Default for ForecastSkill {
    /// Taken as it is to D+7, climatology from D+15; 0.7 K growing 0.25 K a day. Lead 1 is D+0.
    fn default() -> Self {
        Self {
            full_days: 8,
            climate_from: 16,
            first_sd_k: 0.7,
            growth_k: 0.25,
        }
    }
}

impl ForecastSkill {
    /// Part of the forecast in the blend at a lead (1 is the first day).
    pub fn trust(&self, lead: usize) -> f64 {
        if lead <= self.full_days {
            1.0
        } else if lead >= self.climate_from {
            0.0
        } else {
            (self.climate_from - lead) as f64 / (self.climate_from - self.full_days) as f64
        }
    }
}

/// What weather is known after an origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WeatherAhead {
    /// Nothing, and the model does not use weather.
    None,
    /// The truth (a perfect forecast; for measuring the model alone).
    Perfect,
    /// A forecast that loses skill with the lead, blended into climatology.
    Forecast(ForecastSkill),
    /// Climatology only.
    Climatology,
}

/// Typical temperature by date: the mean of the same dates ±7 days of earlier years, else a
/// two-harmonic year fitted to all that is known.
#[derive(Debug, Clone, Default)]
pub struct Climatology {
    year: Vec<f64>,
}

impl Climatology {
    /// From daily means known at the origin, `temperatures[i]` being that of `first + i`.
    pub fn new(first: GasDay, temperatures: &[f64]) -> Self {
        let known: Vec<usize> = (0..temperatures.len())
            .filter(|i| temperatures[*i].is_finite())
            .collect();
        // Less than most of a year cannot tell a year's shape: then a level and one harmonic held back.
        let harmonics = if known.len() >= 540 { 2 } else { 1 };
        let mut x = Design::new(1 + 2 * harmonics);
        let mut y = Vec::with_capacity(known.len());
        for &i in &known {
            x.push(&Self::row(first.plus(as_days(i)), harmonics));
            y.push(temperatures[i]);
        }
        let penalty = Penalty {
            relative: if known.len() >= 300 { 1e-6 } else { 0.05 },
            pseudo_days: 0.0,
        };
        let year = ridge(&x, &y, &vec![1.0; y.len()], penalty).unwrap_or_default();
        Self { year }
    }

    fn row(day: GasDay, harmonics: usize) -> Vec<f64> {
        let angle = year_angle(day.0);
        let mut row = vec![1.0];
        for k in 1..=harmonics {
            row.push((k as f64 * angle).sin());
            row.push((k as f64 * angle).cos());
        }
        row
    }

    /// The typical temperature of a day, seen from an origin at which `known` were known.
    pub fn at(&self, first: GasDay, known: &[f64], day: GasDay) -> f64 {
        let target = day.days_since(first);
        let (mut sum, mut count) = (0.0, 0_u32);
        for years_back in 1..=30_i64 {
            let centre = target - (years_back * 1461 + 2) / 4;
            if centre + 7 < 0 {
                break;
            }
            for i in (centre - 7)..=(centre + 7) {
                if let Some(value) = usize::try_from(i).ok().and_then(|i| known.get(i))
                    && value.is_finite()
                {
                    sum += value;
                    count += 1;
                }
            }
        }
        if count >= 10 {
            sum / f64::from(count)
        } else if self.year.is_empty() {
            f64::NAN
        } else {
            dot(&self.year, &Self::row(day, (self.year.len() - 1) / 2))
        }
    }
}

fn as_days(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Temperatures of leads 1 to `horizon` as a forecast made at `origin` (an index into
/// `temperatures`) would have had them, re-created from what was observed later.
///
/// Only past origins are asked for: every lead's day must itself lie before the forecast being made.
pub fn ahead_of_past_origin(
    ahead: WeatherAhead,
    climatology: &Climatology,
    first: GasDay,
    temperatures: &[f64],
    origin: usize,
    horizon: usize,
) -> Vec<f64> {
    let truth = |lead: usize| temperatures.get(origin + lead).copied().unwrap_or(f64::NAN);
    let typical = |lead: usize| {
        climatology.at(
            first,
            &temperatures[..=origin],
            first.plus(as_days(origin + lead)),
        )
    };
    match ahead {
        WeatherAhead::None => Vec::new(),
        WeatherAhead::Perfect => (1..=horizon).map(truth).collect(),
        WeatherAhead::Climatology => (1..=horizon).map(typical).collect(),
        WeatherAhead::Forecast(skill) => {
            let errors = forecast_errors(skill, first.plus(as_days(origin)), horizon);
            (1..=horizon)
                .map(|lead| {
                    blend(skill.trust(lead), truth(lead) + errors[lead - 1], || {
                        typical(lead)
                    })
                })
                .collect()
        }
    }
}

/// Temperatures of leads 1 to `horizon` for the forecast itself: what is given, blended into
/// climatology as its skill fades, and climatology where nothing is given.
pub fn ahead_of_origin(
    ahead: WeatherAhead,
    climatology: &Climatology,
    first: GasDay,
    temperatures: &[f64],
    given: &[f64],
    horizon: usize,
) -> Vec<f64> {
    if ahead == WeatherAhead::None {
        return Vec::new();
    }
    let origin = temperatures.len().saturating_sub(1);
    (1..=horizon)
        .map(|lead| {
            let typical =
                || climatology.at(first, temperatures, first.plus(as_days(origin + lead)));
            let value = given.get(lead - 1).copied().unwrap_or(f64::NAN);
            let trust = match ahead {
                WeatherAhead::Forecast(skill) => skill.trust(lead),
                _ => 1.0,
            };
            blend(trust, value, typical)
        })
        .collect()
}

fn blend(trust: f64, value: f64, typical: impl Fn() -> f64) -> f64 {
    if !value.is_finite() || trust <= 0.0 {
        typical()
    } else if trust >= 1.0 {
        value
    } else {
        trust * value + (1.0 - trust) * typical()
    }
}

/// A seeded AR(1) forecast error by lead, K. The seed is the origin's date, so every node of a city
/// meets the same wrong forecast.
fn forecast_errors(skill: ForecastSkill, origin: GasDay, horizon: usize) -> Vec<f64> {
    const PERSISTENCE: f64 = 0.7;
    let seed = u64::from(origin.epoch_day().unsigned_abs());
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0071_696c_6961_6e67);
    let mut state = normal(&mut rng);
    (0..horizon)
        .map(|lead| {
            if lead > 0 {
                state = PERSISTENCE * state
                    + (1.0 - PERSISTENCE * PERSISTENCE).sqrt() * normal(&mut rng);
            }
            state * (skill.first_sd_k + skill.growth_k * lead as f64)
        })
        .collect()
}

/// A standard normal number (Box–Muller).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random();
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn first() -> GasDay {
        GasDay("2024-01-01".parse().unwrap())
    }

    fn year_of(day: usize) -> f64 {
        12.0 - 10.0 * (std::f64::consts::TAU * day as f64 / 365.25).cos()
    }

    #[test]
    fn climatology_is_the_mean_of_the_same_dates() {
        let temperatures: Vec<f64> = (0..800).map(year_of).collect();
        let climatology = Climatology::new(first(), &temperatures);
        let day = first().plus(830);
        let typical = climatology.at(first(), &temperatures, day);
        assert!((typical - year_of(830)).abs() < 0.5, "{typical}");
    }

    #[test]
    fn one_year_is_enough_for_a_year_shape() {
        let temperatures: Vec<f64> = (0..300).map(year_of).collect();
        let climatology = Climatology::new(first(), &temperatures);
        let typical = climatology.at(first(), &temperatures, first().plus(340));
        assert!((typical - year_of(340)).abs() < 1.0, "{typical}");
    }

    #[test]
    fn a_forecast_fades_into_climatology() {
        let skill = ForecastSkill::default();
        assert!((skill.trust(8) - 1.0).abs() < 1e-12);
        assert!((skill.trust(12) - 0.5).abs() < 1e-12);
        assert!(skill.trust(16).abs() < 1e-12);
        let temperatures: Vec<f64> = (0..800).map(year_of).collect();
        let climatology = Climatology::new(first(), &temperatures);
        let ahead = ahead_of_origin(
            WeatherAhead::Forecast(skill),
            &climatology,
            first(),
            &temperatures,
            &[30.0; 20],
            20,
        );
        let typical = |lead: i64| climatology.at(first(), &temperatures, first().plus(799 + lead));
        assert!((ahead[7] - 30.0).abs() < 1e-12);
        assert!((ahead[11] - (15.0 + 0.5 * typical(12))).abs() < 1e-9);
        assert!((ahead[19] - typical(20)).abs() < 1e-12);
    }

    #[test]
    fn observations_after_the_origin_do_not_count() {
        let clock = GasDayClock::default();
        let start = clock.start_of(first());
        let points: Vec<WeatherPoint> = (0..72)
            .map(|h| WeatherPoint {
                at: start + TimeDelta::hours(h),
                temperature_c: 5.0,
            })
            .collect();
        let hot: Vec<WeatherPoint> = points
            .iter()
            .map(|p| WeatherPoint {
                temperature_c: 11.0,
                ..*p
            })
            .collect();
        let origin_at = start + TimeDelta::hours(24 + 11);
        let weather = ZoneWeather::from_points(clock, origin_at, &points, &hot, None);
        assert_eq!(weather.observed.len(), 1);
        let today = weather.forecast[&first().plus(1)];
        assert!(
            (today - (12.0 * 5.0 + 12.0 * 11.0) / 24.0).abs() < 1e-12,
            "{today}"
        );
    }
}
