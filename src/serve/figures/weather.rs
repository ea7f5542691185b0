//! Temperatures of a station as the console shows them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::weather::WeatherPoint;

/// A mean over fewer hours than this is not shown.
const MEAN_HOURS_MIN: usize = 12;

/// An observation older than this is no longer "now".
const NOW_WITHIN_HOURS: i64 = 3;

/// Temperatures at a station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StationWeather {
    /// Station.
    pub station: String,
    /// Names of the zones whose temperature it gives.
    pub zones: Vec<String>,
    /// Last observation of the past three hours, °C.
    pub now_c: Option<f64>,
    /// Mean of the gas day that runs, observed and then forecast, °C.
    pub today_mean_c: Option<f64>,
    /// Mean of the next gas day, forecast, °C.
    pub tomorrow_mean_c: Option<f64>,
}

/// What is known of a station: observations and the latest forecast, each in time order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StationPoints {
    /// Station.
    pub station: String,
    /// Names of the zones whose temperature it gives.
    pub zones: Vec<String>,
    /// Measured.
    pub observed: Vec<WeatherPoint>,
    /// Expected.
    pub forecast: Vec<WeatherPoint>,
}

impl StationPoints {
    /// Mean over a gas day, an observed hour before a forecast one; none with too few hours.
    pub fn day_mean_c(&self, clock: GasDayClock, day: GasDay) -> Option<f64> {
        let start = clock.start_of(day);
        let hours: Vec<f64> = (0..24)
            .filter_map(|hour| {
                let at = start + TimeDelta::hours(hour);
                let of = |points: &[WeatherPoint]| {
                    let index = points.binary_search_by_key(&at, |p| p.at).ok()?;
                    points.get(index).map(|p| p.temperature_c)
                };
                of(&self.observed).or_else(|| of(&self.forecast))
            })
            .collect();
        (hours.len() >= MEAN_HOURS_MIN).then(|| hours.iter().sum::<f64>() / hours.len() as f64)
    }

    /// The console's view at an instant.
    pub fn view(&self, clock: GasDayClock, now: DateTime<Utc>) -> StationWeather {
        let today = clock.day_of(now);
        let latest = self.observed.iter().rev().find(|p| p.at <= now);
        StationWeather {
            station: self.station.clone(),
            zones: self.zones.clone(),
            now_c: latest
                .filter(|p| now - p.at <= TimeDelta::hours(NOW_WITHIN_HOURS))
                .map(|p| p.temperature_c),
            today_mean_c: self.day_mean_c(clock, today),
            tomorrow_mean_c: self.day_mean_c(clock, today.plus(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::figures::fixture;

    fn points(from: &str, hours: i64, temperature_c: f64) -> Vec<WeatherPoint> {
        let start = fixture::at(from);
        (0..hours)
            .map(|h| WeatherPoint {
                at: start + TimeDelta::hours(h),
                temperature_c,
            })
            .collect()
    }

    #[test]
    fn the_mean_of_today_joins_observed_and_forecast_hours() {
        let station = StationPoints {
            station: "W1".into(),
            zones: vec!["北区".into()],
            observed: points("2026-11-21T08:00:00+08:00", 12, 2.0),
            forecast: points("2026-11-21T14:00:00+08:00", 42, -4.0),
        };
        let view = station.view(
            GasDayClock::default(),
            fixture::at("2026-11-21T19:30:00+08:00"),
        );
        assert_eq!(view.now_c, Some(2.0));
        assert_eq!(view.today_mean_c, Some(-1.0));
        assert_eq!(view.tomorrow_mean_c, Some(-4.0));
    }

    #[test]
    fn without_points_nothing_is_shown() {
        let view = StationPoints::default().view(
            GasDayClock::default(),
            fixture::at("2026-11-21T19:30:00+08:00"),
        );
        assert_eq!(
            (view.now_c, view.today_mean_c, view.tomorrow_mean_c),
            (None, None, None)
        );
    }

    #[test]
    fn an_old_observation_is_not_now() {
        let station = StationPoints {
            observed: points("2026-11-21T08:00:00+08:00", 1, 2.0),
            ..StationPoints::default()
        };
        let clock = GasDayClock::default();
        let at = |text| station.view(clock, fixture::at(text)).now_c;
        assert_eq!(at("2026-11-21T11:00:00+08:00"), Some(2.0));
        assert_eq!(at("2026-11-21T11:00:01+08:00"), None);
    }
}
