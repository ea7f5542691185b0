//! Weather from files: `*.csv` with a header, `*.json` as it is pushed, `*.ndjson` with such a vintage a line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{WeatherError, parse_json};
use crate::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};

/// One row: an hour of a vintage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    station: String,
    kind: WeatherKind,
    issued_at: DateTime<Utc>,
    at: DateTime<Utc>,
    temperature_c: f64,
    #[serde(default)]
    available_at: Option<DateTime<Utc>>,
}

/// Reads a file of vintages; what does not say when it became known did so when the file was
/// written, `now` at the latest.
///
/// Rows with the same station, kind, `issued_at` and `available_at` are one vintage.
///
/// # Errors
/// The first thing that is wrong, with its line; nothing of the file is taken then.
pub fn read_file(path: &Path, now: DateTime<Utc>) -> Result<Vec<WeatherVintage>, WeatherError> {
    let unreadable = |source| WeatherError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let text = fs::read(path).map_err(unreadable)?;
    let written_at: DateTime<Utc> = fs::metadata(path)
        .and_then(|m| m.modified())
        .map_err(unreadable)?
        .into();
    let known_at = written_at.min(now);
    let is = |name| path.extension().is_some_and(|extension| extension == name);
    if is("json") {
        return parse_json(&text, &path.display().to_string(), known_at, true);
    }
    if is("ndjson") || is("jsonl") {
        let mut vintages = Vec::new();
        for (line, text) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            if !text.trim_ascii().is_empty() {
                let place = format!("{}:{line}", path.display());
                vintages.extend(parse_json(text, &place, known_at, true)?);
            }
        }
        return Ok(vintages);
    }
    let mut vintages: BTreeMap<_, Vec<WeatherPoint>> = BTreeMap::new();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_slice());
    for row in reader.deserialize() {
        let row: Row = row.map_err(|error| {
            let line = error.position().map_or(1, csv::Position::line);
            WeatherError::Syntax {
                place: format!("{}:{line}", path.display()),
                reason: format!(
                    "{error}; the columns are station,kind,issued_at,at,temperature_c and, if known, available_at, instants RFC 3339 with an offset"
                ),
            }
        })?;
        let available_at = row.available_at.unwrap_or(known_at);
        vintages
            .entry((row.station, row.kind, row.issued_at, available_at))
            .or_default()
            .push(WeatherPoint {
                at: row.at,
                temperature_c: row.temperature_c,
            });
    }
    vintages
        .into_iter()
        .map(|((station, kind, issued_at, available_at), points)| {
            Ok(WeatherVintage {
                station,
                kind,
                issued_at,
                available_at,
                points,
            }
            .checked(now)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2100-01-01T00:00:00Z")
            .unwrap()
            .to_utc()
    }

    #[test]
    fn rows_of_one_issue_are_one_vintage_and_reading_twice_gives_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("w.csv");
        fs::write(
            &file,
            "station,kind,issued_at,at,temperature_c,available_at\n\
             57297,forecast,2026-11-20T00:00:00Z,2026-11-20T01:00:00Z,4.5,2026-11-20T00:30:00Z\n\
             57297,forecast,2026-11-20T00:00:00Z,2026-11-20T00:00:00Z,5.5,2026-11-20T00:30:00Z\n\
             57297,observed,2026-11-19T23:00:00Z,2026-11-19T22:00:00Z,6,\n",
        )
        .unwrap();
        let vintages = read_file(&file, now()).unwrap();
        assert_eq!(vintages.len(), 2);
        let forecast = &vintages[1];
        assert_eq!(forecast.points.len(), 2);
        assert!((forecast.points[0].temperature_c - 5.5).abs() < 1e-12);
        assert_eq!(vintages, read_file(&file, now()).unwrap());
    }

    #[test]
    fn a_bad_row_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("w.csv");
        fs::write(
            &file,
            "station,kind,issued_at,at,temperature_c\n\
             57297,observed,2026-11-19T23:00:00Z,2026-11-19T22:00:00Z,6\n\
             57297,observed,2026-11-19 23:00,2026-11-19T22:00:00Z,6\n",
        )
        .unwrap();
        let error = read_file(&file, now()).unwrap_err();
        assert!(error.to_string().contains("w.csv:3"), "{error}");
        let missing = read_file(&dir.path().join("none.csv"), now()).unwrap_err();
        assert_eq!(missing.code(), "collect.weather_unreadable");
    }

    #[test]
    fn a_vintage_a_line_is_read_and_a_bad_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("w.ndjson");
        let vintage = |issued: &str| {
            format!(
                r#"{{"station":"57297","kind":"observed","issued_at":"{issued}","points":[{{"at":"2026-11-19T22:00:00Z","temperature_c":6.0}}]}}"#
            )
        };
        let (one, two) = (
            vintage("2026-11-19T23:00:00Z"),
            vintage("2026-11-20T00:00:00Z"),
        );
        fs::write(&file, format!("{one}\n\n{two}\n")).unwrap();
        assert_eq!(read_file(&file, now()).unwrap().len(), 2);
        fs::write(&file, format!("{one}\n{{\n")).unwrap();
        let error = read_file(&file, now()).unwrap_err();
        assert!(error.to_string().contains("w.ndjson:2"), "{error}");
    }
}
