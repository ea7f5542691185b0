//! Weather: observations, and forecasts kept with the time they became known (vintages).

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Hourly mean air temperature at a station.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WeatherPoint {
    /// Start of the hour.
    pub at: DateTime<Utc>,
    /// °C.
    pub temperature_c: f64,
}

/// Temperatures of one station that became known together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeatherVintage {
    /// Station.
    pub station: String,
    /// Observed, or forecast.
    pub kind: WeatherKind,
    /// When the provider made it.
    pub issued_at: DateTime<Utc>,
    /// When we could know it.
    pub available_at: DateTime<Utc>,
    /// Points in time order.
    pub points: Vec<WeatherPoint>,
}

/// Observed or forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeatherKind {
    /// What the station measured.
    Observed,
    /// What a provider expected.
    Forecast,
}

/// Hours of tolerance between a provider's clock and ours.
const CLOCK_TOLERANCE_MIN: i64 = 5;
/// Air temperatures that occur where gas is sold, °C.
const PLAUSIBLE_C: std::ops::RangeInclusive<f64> = -70.0..=60.0;

/// Why a vintage cannot be taken.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum WeatherFault {
    /// Nothing in it.
    #[error("the vintage of station `{station}` holds no hour; give at least one point")]
    Empty {
        /// Station.
        station: String,
    },
    /// A point that does not start an hour.
    #[error(
        "station `{station}`: {at} is not the start of an hour; give hourly means stamped by their start"
    )]
    NotHourly {
        /// Station.
        station: String,
        /// The point.
        at: DateTime<Utc>,
    },
    /// The same hour twice.
    #[error("station `{station}`: {at} occurs twice in one vintage; keep one value")]
    Twice {
        /// Station.
        station: String,
        /// The hour.
        at: DateTime<Utc>,
    },
    /// A temperature that does not occur.
    #[error(
        "station `{station}`: {temperature_c} at {at} is no air temperature in °C (−70 to 60); check unit and gaps"
    )]
    Implausible {
        /// Station.
        station: String,
        /// The hour.
        at: DateTime<Utc>,
        /// What was given.
        temperature_c: f64,
    },
    /// Known before it was made, or later than now.
    #[error(
        "station `{station}`: {what} {at} is later than {limit}; a value cannot be known before its time"
    )]
    TooEarly {
        /// Station.
        station: String,
        /// `issued_at`, `available_at` or the observed hour.
        what: &'static str,
        /// The instant.
        at: DateTime<Utc>,
        /// The latest it may be.
        limit: DateTime<Utc>,
    },
}

impl WeatherFault {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "collect.weather_empty",
            Self::NotHourly { .. } => "collect.weather_not_hourly",
            Self::Twice { .. } => "collect.weather_twice",
            Self::Implausible { .. } => "collect.weather_implausible",
            Self::TooEarly { .. } => "collect.weather_too_early",
        }
    }
}

impl WeatherVintage {
    /// Puts the points in time order and refuses what cannot be true at `now`.
    ///
    /// # Errors
    /// The first fault.
    pub fn checked(mut self, now: DateTime<Utc>) -> Result<Self, WeatherFault> {
        let station = || self.station.clone();
        let tolerance = TimeDelta::minutes(CLOCK_TOLERANCE_MIN);
        let too_early = |what, at, limit| WeatherFault::TooEarly {
            station: station(),
            what,
            at,
            limit,
        };
        if self.points.is_empty() {
            return Err(WeatherFault::Empty { station: station() });
        }
        if self.available_at > now + tolerance {
            return Err(too_early("available_at", self.available_at, now));
        }
        if self.issued_at > self.available_at + tolerance {
            return Err(too_early("issued_at", self.issued_at, self.available_at));
        }
        self.points.sort_by_key(|p| p.at);
        let mut before = None;
        for point in &self.points {
            let WeatherPoint { at, temperature_c } = *point;
            if at.minute() != 0 || at.second() != 0 || at.nanosecond() != 0 {
                return Err(WeatherFault::NotHourly {
                    station: self.station.clone(),
                    at,
                });
            }
            if before == Some(at) {
                return Err(WeatherFault::Twice {
                    station: self.station.clone(),
                    at,
                });
            }
            if !PLAUSIBLE_C.contains(&temperature_c) {
                return Err(WeatherFault::Implausible {
                    station: self.station.clone(),
                    at,
                    temperature_c,
                });
            }
            if self.kind == WeatherKind::Observed && at > self.available_at + tolerance {
                return Err(WeatherFault::TooEarly {
                    station: self.station.clone(),
                    what: "the observed hour",
                    at,
                    limit: self.available_at,
                });
            }
            before = Some(at);
        }
        Ok(self)
    }
}

/// Stations whose temperature stands for a zone, with their parts of it: `57297`, or
/// `57297:0.7;57290:0.3`. Parts are relative to their sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StationMix {
    text: String,
    parts: Vec<(String, f64)>,
}

impl StationMix {
    /// As written, which names the mix.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Station and part; the parts sum to 1.
    pub fn stations(&self) -> impl Iterator<Item = (&str, f64)> {
        self.parts.iter().map(|(name, part)| (name.as_str(), *part))
    }

    /// Weighted mean of stations, hour by hour, in time order. Where a station lacks an hour the
    /// others' parts are normalised anew.
    ///
    /// # Source
    /// METHODS.md, "Temperature of a zone"; worked example: `two_stations_are_one_zone`.
    pub fn blend(series: &[(f64, Vec<WeatherPoint>)]) -> Vec<WeatherPoint> {
        if let [(_, points)] = series {
            return points.clone();
        }
        let mut hours: BTreeMap<DateTime<Utc>, (f64, f64)> = BTreeMap::new();
        for (part, points) in series {
            for point in points.iter().filter(|p| p.temperature_c.is_finite()) {
                let sum = hours.entry(point.at).or_default();
                sum.0 += part * point.temperature_c;
                sum.1 += part;
            }
        }
        hours
            .into_iter()
            .filter(|(_, (_, part))| *part > 0.0)
            .map(|(at, (sum, part))| WeatherPoint {
                at,
                temperature_c: sum / part,
            })
            .collect()
    }
}

impl From<&str> for StationMix {
    /// One station of this name.
    fn from(station: &str) -> Self {
        Self {
            text: station.to_owned(),
            parts: vec![(station.to_owned(), 1.0)],
        }
    }
}

impl TryFrom<String> for StationMix {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let help = |part: &str| {
            format!(
                "`{part}` is no station; write `57297`, or `57297:0.7;57290:0.3` for several with their parts"
            )
        };
        let mut parts: Vec<(String, f64)> = Vec::new();
        for item in text.split(';') {
            let (name, part) = match item.split_once(':') {
                Some((name, part)) => (name, part.trim().parse().map_err(|_| help(item))?),
                None => (item, 1.0),
            };
            let name = name.trim();
            let is_known = parts.iter().any(|(known, _)| known == name);
            if name.is_empty() || is_known || !(part > 0.0 && f64::is_finite(part)) {
                return Err(help(item));
            }
            parts.push((name.to_owned(), part));
        }
        let sum: f64 = parts.iter().map(|(_, part)| part).sum();
        for (_, part) in &mut parts {
            *part /= sum;
        }
        Ok(Self { text, parts })
    }
}

impl From<StationMix> for String {
    fn from(mix: StationMix) -> Self {
        mix.text
    }
}

impl fmt::Display for StationMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn point(text: &str, temperature_c: f64) -> WeatherPoint {
        WeatherPoint {
            at: at(text),
            temperature_c,
        }
    }

    #[test]
    fn two_stations_are_one_zone() {
        let mix = StationMix::try_from("57297:0.7;57290:0.3".to_owned()).unwrap();
        let parts: Vec<f64> = mix.stations().map(|(_, part)| part).collect();
        assert!((parts[0] - 0.7).abs() < 1e-12 && (parts[1] - 0.3).abs() < 1e-12);
        let hours = StationMix::blend(&[
            (parts[0], vec![point("2026-11-21T00:00:00Z", 10.0)]),
            (
                parts[1],
                vec![
                    point("2026-11-21T00:00:00Z", 0.0),
                    point("2026-11-21T01:00:00Z", -2.0),
                ],
            ),
        ]);
        assert!((hours[0].temperature_c - 7.0).abs() < 1e-12);
        assert!((hours[1].temperature_c + 2.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_mix_says_what_to_write() {
        for text in ["", "a;a", "a:0", "a:x", "a:-1;b:2", ":1"] {
            let error = StationMix::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains("57297:0.7"), "{text}: {error}");
        }
        let one = StationMix::try_from("57297".to_owned()).unwrap();
        assert_eq!(one, StationMix::from("57297"));
    }

    #[test]
    fn a_vintage_that_cannot_be_true_is_refused_with_its_code() {
        let now = at("2026-11-21T06:00:00Z");
        let good = WeatherVintage {
            station: "57297".into(),
            kind: WeatherKind::Observed,
            issued_at: now,
            available_at: now,
            points: vec![
                point("2026-11-21T05:00:00Z", 4.0),
                point("2026-11-21T04:00:00Z", 3.0),
            ],
        };
        let kept = good.clone().checked(now).unwrap();
        assert!(kept.points[0].at < kept.points[1].at, "sorted");
        let with = |change: &dyn Fn(&mut WeatherVintage)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.checked(now).unwrap_err().code()
        };
        assert_eq!(with(&|v| v.points.clear()), "collect.weather_empty");
        assert_eq!(
            with(&|v| v.points[0].at += TimeDelta::minutes(30)),
            "collect.weather_not_hourly"
        );
        assert_eq!(
            with(&|v| v.points[0].at = v.points[1].at),
            "collect.weather_twice"
        );
        for value in [f64::NAN, 277.0] {
            assert_eq!(
                with(&|v| v.points[0].temperature_c = value),
                "collect.weather_implausible"
            );
        }
        assert_eq!(
            with(&|v| v.points[0].at = at("2026-11-21T07:00:00Z")),
            "collect.weather_too_early"
        );
        assert_eq!(
            with(&|v| v.available_at = at("2026-11-21T07:00:00Z")),
            "collect.weather_too_early"
        );
    }
}
