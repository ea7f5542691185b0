//! Reading back by InfluxQL, chunk by chunk: InfluxDB 1, 2 and 3 and openGemini answer it alike.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::client::{Influx, InfluxError};
use super::line::{ALARMS, FROZEN, HOURLY, METER, READINGS};
use crate::domain::calendar::GasDay;
use crate::domain::finding::Quality;
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::domain::reading::{AlarmSet, Item, ItemValue};
use crate::domain::series::LoadCurve;
use crate::store::history::{History, HistoryError, HistoryPoint};

/// Points in one chunk of an answer; more are never held.
const CHUNK: &str = "10000";
/// A chunk that is longer than this is no answer of ours, bytes.
const CHUNK_MAX: usize = 64 << 20;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default, borrow)]
    results: Vec<Statement<'a>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(default, borrow)]
    series: Vec<Series<'a>>,
    error: Option<String>,
}

/// Rows of one series. Numbers are kept as text: JSON's own way through a float may be one unit off.
#[derive(Deserialize)]
struct Series<'a> {
    #[serde(default)]
    tags: Tags,
    columns: Vec<String>,
    #[serde(default, borrow)]
    values: Vec<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
struct Tags {
    #[serde(default)]
    meter: String,
}

impl History for Influx {
    async fn for_each_point(
        &self,
        meter: &MeterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        mut take: impl FnMut(HistoryPoint) + Send,
    ) -> Result<(), HistoryError> {
        let mut joining: Option<HistoryPoint> = None;
        let bucket = self.settings().bucket.clone();
        self.select(&bucket, READINGS, Some(meter), (from, to), |series| {
            for row in &series.values {
                let next = point(&series.columns, row)?;
                match &mut joining {
                    Some(last) if last.at == next.at => join(last, next),
                    _ => joining.replace(next).into_iter().for_each(&mut take),
                }
            }
            Some(())
        })
        .await?;
        joining.into_iter().for_each(take);
        Ok(())
    }

    async fn curves_between(
        &self,
        meter: &MeterId,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<LoadCurve>, HistoryError> {
        let mut curves: Vec<LoadCurve> = Vec::new();
        let bucket = self.settings().bucket_hourly.clone();
        let clock = self.clock();
        let span = (clock.start_of(from), clock.start_of(to));
        self.select(&bucket, HOURLY, Some(meter), span, |series| {
            let at = |name: &str| series.columns.iter().position(|column| column == name);
            let (time, volume, quality) = (at("time")?, at("volume_m3")?, at("quality")?);
            for row in &series.values {
                let stamp = instant(row.get(time)?)?;
                let day = clock.day_of(stamp);
                if curves.last().is_none_or(|curve| curve.day != day) {
                    curves.push(LoadCurve::missing(meter.clone(), day));
                }
                let hour = (stamp - clock.start_of(day)).num_hours();
                let hour = usize::try_from(hour).ok()?;
                let curve = curves.last_mut()?;
                let code = row.get(quality)?.get().parse().ok()?;
                *curve.quality.get_mut(hour)? = Quality::from_code(code);
                *curve.hours.get_mut(hour)? = StdVolume::from_units(units(row.get(volume)?)?);
            }
            Some(())
        })
        .await?;
        Ok(curves)
    }
}

impl Influx {
    /// Hands the points of all meters in `[from, to)` to `take`, by meter, then time.
    ///
    /// # Errors
    /// What the server says, or an answer that is not understood.
    pub async fn for_each_meter_point(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        mut take: impl FnMut(&str, HistoryPoint) + Send,
    ) -> Result<(), InfluxError> {
        let bucket = self.settings().bucket.clone();
        self.select(&bucket, READINGS, None, (from, to), |series| {
            for row in &series.values {
                take(&series.tags.meter, point(&series.columns, row)?);
            }
            Some(())
        })
        .await
    }

    async fn select(
        &self,
        bucket: &str,
        measurement: &str,
        meter: Option<&MeterId>,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        mut take: impl FnMut(&Series<'_>) -> Option<()> + Send,
    ) -> Result<(), InfluxError> {
        let (which, grouped) = match meter {
            Some(meter) => {
                let meter = meter.as_str().replace('\\', "\\\\").replace('\'', "\\'");
                (format!("\"{METER}\" = '{meter}' AND "), String::new())
            }
            None => (String::new(), format!(" GROUP BY \"{METER}\"")),
        };
        let statement = format!(
            "SELECT * FROM \"{measurement}\" WHERE {which}time >= {}ms AND time < {}ms{grouped}",
            from.timestamp_millis(),
            to.timestamp_millis(),
        );
        let query = [
            ("db", bucket),
            ("q", &statement),
            ("epoch", "ms"),
            ("chunked", "true"),
            ("chunk_size", CHUNK),
        ];
        let response = self
            .answered(self.request(Method::GET, "/query").query(&query))
            .await?;
        let mut body = response.bytes_stream();
        let mut waiting = Vec::new();
        loop {
            let next = timeout(self.deadline(), body.next()).await;
            let next = next.map_err(|_| self.unreachable("the answer stopped half-way"))?;
            let Some(part) = next else { break };
            let part: Bytes = part.map_err(|error| self.unreachable(error))?;
            waiting.extend_from_slice(&part);
            // A chunk is a line; cut in the midst of a number it would look like another number.
            if part.contains(&b'\n') {
                let end = waiting.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
                self.take_whole(&mut waiting, end, &mut take)?;
            }
            if waiting.len() > CHUNK_MAX {
                return Err(self.misunderstood("an endless chunk"));
            }
        }
        let end = waiting.len();
        self.take_whole(&mut waiting, end, &mut take)?;
        if waiting.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        Err(self.misunderstood("the answer breaks off"))
    }

    /// Takes the chunks that are complete before `upto`; each is a JSON object of its own.
    fn take_whole(
        &self,
        waiting: &mut Vec<u8>,
        upto: usize,
        take: &mut impl FnMut(&Series<'_>) -> Option<()>,
    ) -> Result<(), InfluxError> {
        let mut chunks =
            serde_json::Deserializer::from_slice(waiting.get(..upto).unwrap_or_default())
                .into_iter::<Answer<'_>>();
        let mut end = 0;
        loop {
            match chunks.next() {
                Some(Ok(answer)) => {
                    end = chunks.byte_offset();
                    self.take_answer(&answer, take)?;
                }
                Some(Err(error)) if error.is_eof() => break,
                Some(Err(error)) => return Err(self.misunderstood(error)),
                None => break,
            }
        }
        waiting.drain(..end);
        Ok(())
    }

    fn take_answer(
        &self,
        answer: &Answer<'_>,
        take: &mut impl FnMut(&Series<'_>) -> Option<()>,
    ) -> Result<(), InfluxError> {
        let errors = answer
            .results
            .iter()
            .filter_map(|result| result.error.as_ref());
        if let Some(error) = answer.error.iter().chain(errors).next() {
            return Err(self.misunderstood(error));
        }
        for series in answer.results.iter().flat_map(|result| &result.series) {
            take(series)
                .ok_or_else(|| self.misunderstood("a row that is not as it was written"))?;
        }
        Ok(())
    }
}

fn instant(value: &RawValue) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(value.get().parse().ok()?)
}

/// A decimal of four places that went through a float: exact to 2^53 units, 9e11 m³.
fn units(value: &RawValue) -> Option<i64> {
    let scaled = (value.get().parse::<f64>().ok()? * 1e4).round();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be a whole number below 2^53"
    )]
    (scaled.abs() < 9e15).then_some(scaled as i64)
}

/// One instant can stand in two series where the settings' tags were changed in between.
fn join(point: &mut HistoryPoint, other: HistoryPoint) {
    for (item, value) in other.values {
        if point.values.iter().all(|(known, _)| *known != item) {
            point.values.push((item, value));
        }
    }
    for (item, units) in other.frozen {
        match point.frozen.iter_mut().find(|(known, _)| *known == item) {
            Some((_, known)) => *known = units.max(*known),
            None => point.frozen.push((item, units)),
        }
    }
    point.values.sort_by_key(|(item, _)| *item);
    point.frozen.sort_by_key(|(item, _)| *item);
    point.alarms.0 |= other.alarms.0;
}

fn point(columns: &[String], row: &[&RawValue]) -> Option<HistoryPoint> {
    let mut point = HistoryPoint::new(DateTime::UNIX_EPOCH);
    for (column, value) in columns.iter().zip(row) {
        if value.get() == "null" || column == METER {
            continue;
        }
        if column == "time" {
            point.at = instant(value)?;
        } else if column == ALARMS {
            point.alarms = AlarmSet(value.get().parse().ok()?);
        } else if let Some(item) = column.strip_prefix(FROZEN).and_then(Item::from_key) {
            point.frozen.push((item, units(value)?));
        } else if let Some(item) = Item::from_key(column) {
            let value = if item.is_exact() {
                ItemValue::Exact(units(value)?)
            } else {
                ItemValue::Float(value.get().parse().ok()?)
            };
            point.values.push((item, value));
        }
    }
    point.values.sort_by_key(|(item, _)| *item);
    point.frozen.sort_by_key(|(item, _)| *item);
    Some(point)
}
