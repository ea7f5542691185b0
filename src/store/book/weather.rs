//! Weather vintages: what was observed, and what was forecast when.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use rusqlite::{OptionalExtension as _, params};

use super::Book;
use crate::domain::weather::{StationMix, WeatherKind, WeatherPoint, WeatherVintage};
use crate::store::error::StoreError;
use crate::store::time::{instant, millis};

const fn kind_key(kind: WeatherKind) -> &'static str {
    match kind {
        WeatherKind::Observed => "observed",
        WeatherKind::Forecast => "forecast",
    }
}

fn encode(points: &[WeatherPoint]) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 16);
    for point in points {
        out.extend_from_slice(&millis(point.at).to_le_bytes());
        out.extend_from_slice(&point.temperature_c.to_le_bytes());
    }
    out
}

fn decode(bytes: &[u8]) -> Vec<WeatherPoint> {
    let (pairs, _) = bytes.as_chunks::<16>();
    pairs
        .iter()
        .map(|pair| {
            let mut at = [0; 8];
            let mut value = [0; 8];
            let (first, second) = pair.split_at(8);
            at.copy_from_slice(first);
            value.copy_from_slice(second);
            WeatherPoint {
                at: instant(i64::from_le_bytes(at)),
                temperature_c: f64::from_le_bytes(value),
            }
        })
        .collect()
}

impl Book {
    /// Keeps vintages; one that is known already changes nothing. How many were new.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn put_weather(&self, vintages: Vec<WeatherVintage>) -> Result<u64, StoreError> {
        let observed = vintages
            .iter()
            .filter(|vintage| vintage.kind == WeatherKind::Observed);
        let changed: BTreeSet<(String, NaiveDate)> = observed
            .flat_map(|vintage| vintage.points.iter().map(move |point| (vintage, point)))
            .map(|(vintage, point)| (vintage.station.clone(), point.at.date_naive()))
            .collect();
        let written = self.write("writing weather", move |t| {
            let mut new = 0;
            for vintage in &vintages {
                let points = encode(&vintage.points);
                let inserted = t
                    .prepare_cached(
                        "INSERT INTO weather (station, kind, issued_at, available_at, digest, points)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![
                        vintage.station,
                        kind_key(vintage.kind),
                        millis(vintage.issued_at),
                        millis(vintage.available_at),
                        super::digest(&points),
                        // Observed hours are rows of their own.
                        if vintage.kind == WeatherKind::Forecast { &points[..] } else { &[] },
                    ])?;
                new += inserted as u64;
                if inserted == 0 || vintage.kind == WeatherKind::Forecast {
                    continue;
                }
                for point in &vintage.points {
                    t.prepare_cached("INSERT OR REPLACE INTO observed VALUES (?1, ?2, ?3, ?4)")?
                        .execute(params![
                            vintage.station,
                            millis(point.at),
                            millis(vintage.available_at),
                            point.temperature_c
                        ])?;
                }
            }
            Ok(new)
        });
        self.observed_writes.count(changed);
        written
    }

    /// When what is known at an instant of the hours in `[from, to)` last became so, and when it will next
    /// change by what is stored.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn observed_news(
        &self,
        mix: &StationMix,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        known_at: DateTime<Utc>,
    ) -> Result<[Option<DateTime<Utc>>; 2], StoreError> {
        let (mut last, mut next) = (None, None);
        for (station, _) in mix.stations() {
            let (of_last, of_next): (Option<i64>, Option<i64>) =
                self.read("reading when weather became known", |c| {
                    c.prepare_cached(
                        "SELECT max(available_at) FILTER (WHERE available_at <= ?4),
                                min(available_at) FILTER (WHERE available_at > ?4)
                         FROM observed WHERE station = ?1 AND at >= ?2 AND at < ?3",
                    )?
                    .query_row(
                        params![station, millis(from), millis(to), millis(known_at)],
                        |row| Ok((row.get(0)?, row.get(1)?)),
                    )
                })?;
            last = last.max(of_last.map(instant));
            next = of_next.map(instant).into_iter().chain(next).min();
        }
        Ok([last, next])
    }

    /// The first hour of which a station's temperature is stored.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn observed_from(&self, mix: &StationMix) -> Result<Option<DateTime<Utc>>, StoreError> {
        let mut first = None;
        for (station, _) in mix.stations() {
            let of_station: Option<i64> = self.read("looking for the first weather", |c| {
                c.prepare_cached("SELECT min(at) FROM observed WHERE station = ?1")?
                    .query_row([station], |row| row.get(0))
            })?;
            first = of_station.map(instant).into_iter().chain(first).min();
        }
        Ok(first)
    }

    /// Observed temperatures of a zone's stations, blended by their parts, as known at an instant.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn observed_of(
        &self,
        mix: &StationMix,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<WeatherPoint>, StoreError> {
        let series = mix
            .stations()
            .map(|(station, part)| Ok((part, self.observed_known_at(station, from, to, known_at)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok(StationMix::blend(&series))
    }

    /// The forecast for a zone's stations that was the newest known at an instant, blended by their
    /// parts; issued when the oldest of them was.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn forecast_of(
        &self,
        mix: &StationMix,
        at: DateTime<Utc>,
    ) -> Result<Option<WeatherVintage>, StoreError> {
        let mut series = Vec::new();
        let (mut issued_at, mut available_at) = (None, None);
        for (station, part) in mix.stations() {
            if let Some(vintage) = self.latest_forecast_known_at(station, at)? {
                issued_at = issued_at
                    .min(Some(vintage.issued_at))
                    .or(Some(vintage.issued_at));
                available_at = available_at.max(Some(vintage.available_at));
                series.push((part, vintage.points));
            }
        }
        Ok(issued_at
            .zip(available_at)
            .map(|(issued_at, available_at)| WeatherVintage {
                station: mix.as_str().to_owned(),
                kind: WeatherKind::Forecast,
                issued_at,
                available_at,
                points: StationMix::blend(&series),
            }))
    }

    /// Observed temperatures of the hours that start in `[from, to)`, in time order, each as last
    /// corrected.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn observed(
        &self,
        station: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<WeatherPoint>, StoreError> {
        self.observed_known_at(station, from, to, DateTime::<Utc>::MAX_UTC)
    }

    /// The same as it was known at an instant.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn observed_known_at(
        &self,
        station: &str,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<WeatherPoint>, StoreError> {
        self.read("reading observed weather", |c| {
            let mut statement = c.prepare_cached(
                "SELECT at, temperature_c FROM observed
                 WHERE station = ?1 AND at >= ?2 AND at < ?3 AND available_at <= ?4
                 ORDER BY at, available_at",
            )?;
            let mut rows =
                statement.query(params![station, millis(from), millis(to), millis(known_at)])?;
            let mut points: Vec<WeatherPoint> = Vec::new();
            while let Some(row) = rows.next()? {
                let point = WeatherPoint {
                    at: instant(row.get(0)?),
                    temperature_c: row.get(1)?,
                };
                match points.last_mut() {
                    Some(last) if last.at == point.at => *last = point,
                    _ => points.push(point),
                }
            }
            Ok(points)
        })
    }

    /// The forecast for a station that was the newest known at an instant.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn latest_forecast_known_at(
        &self,
        station: &str,
        at: DateTime<Utc>,
    ) -> Result<Option<WeatherVintage>, StoreError> {
        self.read("reading a weather forecast", |c| {
            c.prepare_cached(
                "SELECT issued_at, available_at, points FROM weather
                 WHERE station = ?1 AND kind = 'forecast' AND available_at <= ?2
                 ORDER BY issued_at DESC, available_at DESC, id DESC LIMIT 1",
            )?
            .query_row(params![station, millis(at)], |row| {
                Ok(WeatherVintage {
                    station: station.to_owned(),
                    kind: WeatherKind::Forecast,
                    issued_at: instant(row.get(0)?),
                    available_at: instant(row.get(1)?),
                    points: decode(row.get_ref(2)?.as_blob()?),
                })
            })
            .optional()
        })
    }
}
