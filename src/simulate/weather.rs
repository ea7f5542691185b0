//! Weather of a city in Henan: what the station measures, and what forecasts expected
//! when they were made.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};

use crate::domain::calendar::{beijing_civil, beijing_instant};
use crate::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};
use crate::simulate::noise::{Noise, Stream, day_key, position};

/// The station both zones go by.
pub const STATION: &str = "STN-01";

/// Hours a forecast reaches.
const FORECAST_HOURS: i64 = 240;

/// Mean temperature at the middle of each month, °C.
const MONTH_MEAN_C: [f64; 12] = [
    0.5, 3.0, 9.0, 16.0, 21.5, 26.0, 27.6, 26.3, 21.6, 16.0, 9.0, 2.5,
];

/// Departure of each civil hour from the daily mean, as a part of the day's amplitude.
const DIURNAL: [f64; 24] = [
    -0.55, -0.65, -0.74, -0.83, -0.91, -0.97, -1.0, -0.90, -0.60, -0.20, 0.20, 0.55, 0.80, 0.95,
    1.0, 0.97, 0.85, 0.62, 0.36, 0.14, -0.05, -0.20, -0.33, -0.45,
];

/// Temperatures of the city's whole span.
#[derive(Debug, Clone)]
pub struct Weather {
    noise: Noise,
    first_on: NaiveDate,
    hourly_c: Vec<f64>,
    daily_c: Vec<f64>,
}

/// A cold spell: for three days the coldest hour comes down to `low_c`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColdSnap {
    /// First civil day.
    pub from_on: NaiveDate,
    /// Temperature of the coldest hours, °C.
    pub low_c: f64,
}

/// Days a cold snap lasts.
pub const SNAP_DAYS: i64 = 3;
/// Diurnal amplitude under the clouds of a cold snap, K.
const SNAP_AMPLITUDE_K: f64 = 3.5;

impl Weather {
    /// Weather from `first_on` for `days` civil days, with the cold snaps in it.
    pub(crate) fn new(noise: Noise, first_on: NaiveDate, days: usize, snaps: &[ColdSnap]) -> Self {
        let anchor = |date: NaiveDate| day_anchor(noise, date, snaps);
        let mut hourly_c = Vec::with_capacity(days * 24);
        let mut daily_c = Vec::with_capacity(days);
        for date in first_on.iter_days().take(days) {
            let (yesterday, _) = anchor(date - TimeDelta::days(1));
            let (today, amplitude) = anchor(date);
            let (tomorrow, _) = anchor(date + TimeDelta::days(1));
            let mut sum = 0.0;
            for (hour, part) in DIURNAL.iter().enumerate() {
                let clock = hour as f64 + 0.5;
                let level = if clock < 12.0 {
                    let weight = (12.0 + clock) / 24.0;
                    yesterday * (1.0 - weight) + today * weight
                } else {
                    let weight = (clock - 12.0) / 24.0;
                    today * (1.0 - weight) + tomorrow * weight
                };
                let key = day_key(epoch_day(date) * 24) + hour as u64;
                let value =
                    level + amplitude * part + 0.15 * noise.normal(Stream::WeatherHour, 0, key);
                let value = tenth(value);
                sum += value;
                hourly_c.push(value);
            }
            daily_c.push(sum / 24.0);
        }
        Self {
            noise,
            first_on,
            hourly_c,
            daily_c,
        }
    }

    /// Mean temperature of the hour that holds `at`, °C; beyond the span the nearest known.
    pub fn temperature_c(&self, at: DateTime<Utc>) -> f64 {
        let first = beijing_instant(self.first_on, chrono::NaiveTime::MIN);
        let index = position((at - first).num_hours()).min(self.hourly_c.len().saturating_sub(1));
        self.hourly_c.get(index).copied().unwrap_or(15.0)
    }

    /// Mean temperature of a civil day, °C.
    pub fn daily_mean_c(&self, date: NaiveDate) -> f64 {
        let index = position((date - self.first_on).num_days());
        self.daily_c
            .get(index.min(self.daily_c.len().saturating_sub(1)))
            .copied()
            .unwrap_or(15.0)
    }

    /// Effective temperature: this day and the three before, weights 1, ½, ¼, ⅛ (domain.md §6.1).
    pub fn effective_c(&self, date: NaiveDate) -> f64 {
        let back = |days| self.daily_mean_c(date - TimeDelta::days(days));
        (back(0) + 0.5 * back(1) + 0.25 * back(2) + 0.125 * back(3)) / 1.875
    }

    /// What the station measured in the hour that starts at `hour`; known ten minutes after it ends.
    pub fn observed(&self, hour: DateTime<Utc>) -> WeatherVintage {
        let issued_at = hour + TimeDelta::hours(1);
        WeatherVintage {
            station: STATION.into(),
            kind: WeatherKind::Observed,
            issued_at,
            available_at: issued_at + TimeDelta::minutes(10),
            points: vec![WeatherPoint {
                at: hour,
                temperature_c: self.temperature_c(hour),
            }],
        }
    }

    /// The forecast made at `issued_at`: ten days, hour by hour; known 45 minutes later.
    ///
    /// The error has a standard deviation of 0.7 K on D+1 and 0.25 K more for each further day; it
    /// changes slowly with lead, and half of its variance is common to successive runs.
    pub fn forecast(&self, issued_at: DateTime<Utc>) -> WeatherVintage {
        let run = issued_at.timestamp() / 3600;
        let errors: Vec<f64> = (0..=FORECAST_HOURS / 24 + 1)
            .map(|lead| {
                let own = self
                    .noise
                    .autoregressive(Stream::ForecastOwn, day_key(run), lead, 0.8);
                let target = run / 24 + lead;
                let common = self
                    .noise
                    .autoregressive(Stream::ForecastCommon, 0, target, 0.6);
                std::f64::consts::FRAC_1_SQRT_2 * (own + common)
            })
            .collect();
        let points = (0..FORECAST_HOURS)
            .map(|lead| {
                let at = issued_at + TimeDelta::hours(lead);
                let days = lead as f64 / 24.0;
                let before = position(lead / 24);
                let weight = days - before as f64;
                let z = errors[before] * (1.0 - weight) + errors[before + 1] * weight;
                let sd = (0.7 + 0.25 * (days - 1.2)).max(0.35);
                WeatherPoint {
                    at,
                    temperature_c: tenth(self.temperature_c(at) + sd * z),
                }
            })
            .collect();
        WeatherVintage {
            station: STATION.into(),
            kind: WeatherKind::Forecast,
            issued_at,
            available_at: issued_at + TimeDelta::minutes(45),
            points,
        }
    }

    /// Every vintage that becomes known in `[from, to)`, in the order of becoming known: one
    /// observation an hour, one forecast at 02, 08, 14 and 20 o'clock Beijing time.
    pub fn vintages(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> impl Iterator<Item = WeatherVintage> + '_ {
        let start = hour_floor(from) - TimeDelta::hours(2);
        let hours = (to - start).num_hours().max(0) + 1;
        (0..hours)
            .flat_map(move |i| {
                let hour = start + TimeDelta::hours(i);
                let observed = self.observed(hour - TimeDelta::hours(1));
                let is_run = chrono::Timelike::hour(&beijing_civil(hour)) % 6 == 2;
                // The observation of the hour before comes at :10, the forecast at :45.
                [Some(observed), is_run.then(|| self.forecast(hour))]
            })
            .flatten()
            .filter(move |v| from <= v.available_at && v.available_at < to)
    }
}

/// Mean temperature to expect on a date, °C.
pub fn climate_c(date: NaiveDate) -> f64 {
    let month = date.month0() as usize;
    let offset = (f64::from(date.day()) - 15.0) / 30.4;
    let (from, to, weight) = if offset < 0.0 {
        ((month + 11) % 12, month, 1.0 + offset)
    } else {
        (month, (month + 1) % 12, offset)
    };
    MONTH_MEAN_C[from] * (1.0 - weight) + MONTH_MEAN_C[to] * weight
}

/// The daily level at noon and the diurnal amplitude of a date, °C and K.
fn day_anchor(noise: Noise, date: NaiveDate, snaps: &[ColdSnap]) -> (f64, f64) {
    for snap in snaps {
        let into = (date - snap.from_on).num_days();
        if (0..SNAP_DAYS).contains(&into) {
            return (snap.low_c + SNAP_AMPLITUDE_K, SNAP_AMPLITUDE_K);
        }
    }
    let climate = climate_c(date);
    // Winter weather varies more than summer weather: 3 K against 2 K.
    let spread = 2.0 + ((20.0 - climate) / 18.0).clamp(0.0, 1.0);
    let anomaly = spread * noise.autoregressive(Stream::Weather, 0, epoch_day(date), 0.75);
    let amplitude = 4.5 + 0.6 * noise.normal(Stream::WeatherHour, 1, day_key(epoch_day(date)));
    (climate + anomaly, amplitude.clamp(2.5, 6.0))
}

fn epoch_day(date: NaiveDate) -> i64 {
    (date - NaiveDate::default()).num_days()
}

fn hour_floor(at: DateTime<Utc>) -> DateTime<Utc> {
    at - TimeDelta::nanoseconds(
        at.timestamp_nanos_opt()
            .unwrap_or(0)
            .rem_euclid(3_600_000_000_000),
    )
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weather() -> Weather {
        let first = NaiveDate::from_ymd_opt(2025, 10, 1).unwrap();
        let snap = ColdSnap {
            from_on: NaiveDate::from_ymd_opt(2026, 11, 24).unwrap(),
            low_c: -8.0,
        };
        Weather::new(Noise::new(1), first, 500, &[snap])
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn a_january_is_cold_and_a_july_is_hot() {
        let weather = weather();
        let mean = |month: u32| {
            (1..=28)
                .map(|d| weather.daily_mean_c(NaiveDate::from_ymd_opt(2026, month, d).unwrap()))
                .sum::<f64>()
                / 28.0
        };
        assert!((-2.0..6.0).contains(&mean(1)), "{}", mean(1));
        assert!((24.0..31.0).contains(&mean(7)), "{}", mean(7));
    }

    #[test]
    fn the_cold_snap_comes_down_to_eight_below_for_three_days() {
        let weather = weather();
        for day in 25..=26 {
            let low = (0..24)
                .map(|h| {
                    weather.temperature_c(
                        at(&format!("2026-11-{day}T00:00:00+08:00")) + TimeDelta::hours(h),
                    )
                })
                .fold(f64::INFINITY, f64::min);
            assert!((-8.9..-7.1).contains(&low), "{day}: {low}");
        }
        let mean = weather.daily_mean_c(NaiveDate::from_ymd_opt(2026, 11, 25).unwrap());
        assert!(mean < -3.5, "{mean}");
    }

    #[test]
    fn effective_temperature_weighs_the_days_before() {
        let mut weather = weather();
        let date = weather.first_on + TimeDelta::days(3);
        weather.daily_c = vec![10.0, 8.0, 6.0, 4.0];
        assert!((weather.effective_c(date) - 5.4667).abs() < 1e-4);
    }

    #[test]
    fn forecasts_err_more_the_further_they_look() {
        let weather = weather();
        let start = at("2025-12-01T08:00:00+08:00");
        let spread = |lead_day: i64| {
            let errors: Vec<f64> = (0..250)
                .map(|i| {
                    let issued = start + TimeDelta::days(i);
                    let run = weather.forecast(issued);
                    // The civil day `lead_day` days later starts 16 hours after an 08:00 run.
                    let from = position(24 * lead_day - 8);
                    run.points[from..from + 24]
                        .iter()
                        .map(|p| p.temperature_c - weather.temperature_c(p.at))
                        .sum::<f64>()
                        / 24.0
                })
                .collect();
            let mean = errors.iter().sum::<f64>() / 250.0;
            (errors.iter().map(|e| (e - mean) * (e - mean)).sum::<f64>() / 250.0).sqrt()
        };
        let (one, seven) = (spread(1), spread(7));
        assert!((0.5..0.9).contains(&one), "{one}");
        assert!((1.5..2.7).contains(&seven), "{seven}");
    }

    #[test]
    fn nothing_is_known_before_it_is_issued_and_every_hour_is_observed_once() {
        let weather = weather();
        let (from, to) = (
            at("2026-01-01T08:00:00+08:00"),
            at("2026-01-03T08:00:00+08:00"),
        );
        let vintages: Vec<_> = weather.vintages(from, to).collect();
        let mut last = from;
        for vintage in &vintages {
            assert!(vintage.issued_at < vintage.available_at);
            assert!(last <= vintage.available_at && vintage.available_at < to);
            last = vintage.available_at;
            if vintage.kind == WeatherKind::Observed {
                assert!(vintage.points[0].at + TimeDelta::hours(1) <= vintage.issued_at);
            } else {
                assert!(vintage.points[0].at >= vintage.issued_at);
                assert_eq!(vintage.points.len(), 240);
            }
        }
        let of = |kind| vintages.iter().filter(|v| v.kind == kind).count();
        assert_eq!(of(WeatherKind::Observed), 48);
        assert_eq!(of(WeatherKind::Forecast), 8);
        // Split anywhere, the same vintages come.
        let middle = at("2026-01-02T03:17:00+08:00");
        let mut parts: Vec<_> = weather.vintages(from, middle).collect();
        parts.extend(weather.vintages(middle, to));
        assert_eq!(parts, vintages);
    }
}
