//! Weather from elsewhere: files, pushed JSON, and Open-Meteo's answers, each to vintages.
//!
//! Nothing is stored here. A vintage says when it became known to us; what cannot be true is refused
//! with its reason ([`WeatherVintage::checked`]).

mod file;
pub mod open_meteo;

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use thiserror::Error;

use crate::domain::registry::Registry;
use crate::domain::weather::{WeatherFault, WeatherKind, WeatherPoint, WeatherVintage};

pub use self::file::read_file;

/// Vintages in one body or file at most.
const VINTAGES_MAX: usize = 100_000;

/// Why weather cannot be taken.
#[derive(Debug, Error)]
pub enum WeatherError {
    /// A file that cannot be read.
    #[error("{} cannot be read; mend its rights", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something that is no weather.
    #[error("{place}: {reason}")]
    Syntax {
        /// File and line, or place in the body.
        place: String,
        /// What is wrong and what to write.
        reason: String,
    },
    /// A vintage that cannot be true.
    #[error(transparent)]
    Fault(#[from] WeatherFault),
    /// The provider cannot be asked.
    #[error("{provider} cannot be reached: {reason}; it is asked again at the next time")]
    Unreachable {
        /// Name of the source.
        provider: String,
        /// Why.
        reason: String,
    },
    /// A station no zone names.
    #[error(
        "station `{station}` stands for no zone; name it in zones.csv under weather_station, or mend the name"
    )]
    UnknownStation {
        /// Station.
        station: String,
    },
    /// The provider refuses.
    #[error(
        "{provider} answers {status}: {reason}; mend its settings under [[weather.open_meteo]]"
    )]
    Refused {
        /// Name of the source.
        provider: String,
        /// HTTP status.
        status: u16,
        /// Its words.
        reason: String,
    },
}

impl WeatherError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "collect.weather_unreadable",
            Self::Syntax { .. } => "collect.weather_syntax",
            Self::Fault(fault) => fault.code(),
            Self::Unreachable { .. } => "collect.weather_unreachable",
            Self::UnknownStation { .. } => "collect.weather_station",
            Self::Refused { .. } => "collect.weather_refused",
        }
    }
}

/// A vintage as it is pushed, or stands in a JSON file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pushed {
    station: String,
    kind: WeatherKind,
    issued_at: DateTime<Utc>,
    #[serde(default)]
    available_at: Option<DateTime<Utc>>,
    points: Vec<WeatherPoint>,
}

/// Reads one vintage or an array of them.
///
/// `known_at` is when it came to us. `may_be_earlier` lets a vintage say that it was known before:
/// an archive may, a message may not.
///
/// # Errors
/// The first thing that is wrong; nothing is taken then.
pub fn parse_json(
    text: &[u8],
    place: &str,
    known_at: DateTime<Utc>,
    may_be_earlier: bool,
) -> Result<Vec<WeatherVintage>, WeatherError> {
    let syntax = |reason: String| WeatherError::Syntax {
        place: place.to_owned(),
        reason,
    };
    let body: serde_json::Value = serde_json::from_slice(text)
        .map_err(|error| syntax(format!("no JSON ({error}); send an object or an array")))?;
    let read: Result<Vec<Pushed>, _> = if body.is_array() {
        serde_path_to_error::deserialize(body)
    } else {
        serde_path_to_error::deserialize(body).map(|one| vec![one])
    };
    let pushed = read.map_err(|error| {
        syntax(format!(
            "`{}`: {}; a vintage is {{\"station\", \"kind\", \"issued_at\", \"points\": [{{\"at\", \"temperature_c\"}}]}}",
            error.path(),
            error.inner()
        ))
    })?;
    if pushed.len() > VINTAGES_MAX {
        return Err(syntax(format!(
            "holds {} vintages; send at most {VINTAGES_MAX}",
            pushed.len()
        )));
    }
    pushed
        .into_iter()
        .map(|one| {
            if one.available_at.is_some() && !may_be_earlier {
                return Err(syntax(format!(
                    "station `{}` names `available_at`; leave it out: what is pushed is known from now on",
                    one.station
                )));
            }
            Ok(WeatherVintage {
                available_at: one.available_at.unwrap_or(known_at),
                station: one.station,
                kind: one.kind,
                issued_at: one.issued_at,
                points: one.points,
            }
            .checked(known_at)?)
        })
        .collect()
}

/// Refuses vintages of stations that stand for no zone: nobody would ever read them.
///
/// # Errors
/// The first such station.
pub fn check_stations(
    registry: &Registry,
    vintages: &[WeatherVintage],
) -> Result<(), WeatherError> {
    let is_known = |station: &str| {
        registry
            .zones
            .values()
            .flat_map(|zone| zone.weather_station.stations())
            .any(|(known, _)| known == station)
    };
    match vintages.iter().find(|v| !is_known(&v.station)) {
        Some(unknown) => Err(WeatherError::UnknownStation {
            station: unknown.station.clone(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T06:00:00Z";

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn a_pushed_vintage_is_known_from_now_on() {
        let text =
            br#"{"station": "57297", "kind": "forecast", "issued_at": "2026-11-21T13:00:00+08:00",
            "points": [{"at": "2026-11-21T15:00:00+08:00", "temperature_c": 3.5}]}"#;
        let vintages = parse_json(text, "body", at(NOW), false).unwrap();
        assert_eq!(vintages[0].available_at, at(NOW));
        assert_eq!(vintages[0].issued_at, at("2026-11-21T05:00:00Z"));
        assert_eq!(vintages[0].points[0].at, at("2026-11-21T07:00:00Z"));
    }

    #[test]
    fn a_message_may_not_claim_to_have_been_known_earlier_and_an_archive_may() {
        let text =
            br#"[{"station": "57297", "kind": "forecast", "issued_at": "2026-11-20T05:00:00Z",
            "available_at": "2026-11-20T06:00:00Z",
            "points": [{"at": "2026-11-20T07:00:00Z", "temperature_c": 3.5}]}]"#;
        let error = parse_json(text, "body", at(NOW), false).unwrap_err();
        assert_eq!(error.code(), "collect.weather_syntax");
        let kept = parse_json(text, "archive.json", at(NOW), true).unwrap();
        assert_eq!(kept[0].available_at, at("2026-11-20T06:00:00Z"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let text = br#"[{"station": "57297", "kind": "guess", "issued_at": "2026-11-20T05:00:00Z", "points": []}]"#;
        let error = parse_json(text, "body", at(NOW), false).unwrap_err();
        assert!(error.to_string().contains("[0].kind"), "{error}");
        for text in [&b"no"[..], b"{}", b"[]x", b"7"] {
            assert_eq!(
                parse_json(text, "body", at(NOW), false).unwrap_err().code(),
                "collect.weather_syntax"
            );
        }
    }
}
