//! Rows of readings to frames of the JSON push.

use std::io::{self, Read};

use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use csv::{ReaderBuilder, StringRecord};

use super::{LINE_MAX_BYTES, Line, Record, code};
use crate::decode::CSV_PREFIX;
use crate::domain::calendar::{beijing_civil, beijing_instant};
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Column {
    Device,
    SampledAt,
    ReceivedAt,
    /// Position in `VALUES`.
    Value(usize),
}

/// Columns of values, and the key of the JSON push each becomes.
const VALUES: [(&str, &str); 5] = [
    ("total_std_m3", "std_m3"),
    ("total_work_m3", "work_m3"),
    ("flow_std_m3h", "q_std"),
    ("temperature_c", "t_c"),
    ("pressure_abs_kpa", "p_kpa_abs"),
];

/// Values that are totals; one of their columns must be there.
const TOTALS: [Column; 2] = [Column::Value(0), Column::Value(1)];

const CIVIL_FORMATS: [&str; 5] = [
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
];

/// Drops carriage returns: behind a `\r\n` the csv crate counts the line before.
struct WithoutReturns<R>(R);

impl<R: Read> Read for WithoutReturns<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let size = self.0.read(buffer)?;
            let mut kept = 0;
            for at in 0..size {
                if let Some(byte) = buffer.get(at).copied().filter(|b| *b != b'\r')
                    && let Some(place) = buffer.get_mut(kept)
                {
                    *place = byte;
                    kept += 1;
                }
            }
            // Nothing kept is the end of the file only if nothing was read.
            if kept > 0 || size == 0 {
                return Ok(kept);
            }
        }
    }
}

/// The rows of a CSV file.
pub(super) struct CsvRows<R> {
    reader: csv::Reader<WithoutReturns<R>>,
    columns: Vec<Column>,
    row: StringRecord,
    is_broken: bool,
}

impl<R: Read> CsvRows<R> {
    /// Reads the header.
    pub(super) fn new(source: R) -> Result<Self, String> {
        let mut reader = ReaderBuilder::new()
            .has_headers(true)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(WithoutReturns(source));
        let header = reader
            .headers()
            .map_err(|error| format!("header cannot be read: {error}"))?;
        let columns = header
            .iter()
            .map(|name| column(name.trim_start_matches('\u{feff}')))
            .collect::<Result<Vec<_>, _>>()?;
        check(&columns)?;
        Ok(Self {
            reader,
            columns,
            row: StringRecord::new(),
            is_broken: false,
        })
    }

    /// The next row.
    pub(super) fn next_line(&mut self) -> Option<Line> {
        if self.is_broken {
            return None;
        }
        let before = self.reader.position().line();
        match self.reader.read_record(&mut self.row) {
            Ok(false) => None,
            Ok(true) => {
                let number = self.row.position().map_or(before, csv::Position::line);
                Some(Line {
                    number,
                    raw: raw(&self.row),
                    record: self.record(),
                })
            }
            Err(error) => {
                // An error of the file itself would come again for ever; bad UTF-8 is one row.
                self.is_broken = matches!(error.kind(), csv::ErrorKind::Io(_));
                let number = error.position().map_or(before, csv::Position::line);
                let reason = if self.is_broken {
                    RejectReason::new(
                        code::UNREADABLE,
                        format!("file cannot be read further: {error}"),
                    )
                } else {
                    RejectReason::new(code::ROW, "row is no UTF-8 text; save the file as UTF-8")
                };
                Some(Line {
                    number,
                    raw: Bytes::new(),
                    record: Err(reason),
                })
            }
        }
    }

    fn record(&self) -> Result<Record, RejectReason> {
        if self.row.len() != self.columns.len() {
            return Err(RejectReason::new(
                code::ROW,
                format!(
                    "row has {} cells, the header has {}",
                    self.row.len(),
                    self.columns.len()
                ),
            ));
        }
        if self.row.as_slice().len() > LINE_MAX_BYTES {
            return Err(RejectReason::new(code::ROW, "row is longer than 1 MiB"));
        }
        let cell = |wanted: Column| {
            self.columns
                .iter()
                .position(|c| *c == wanted)
                .and_then(|i| self.row.get(i))
                .filter(|text| !text.is_empty())
        };
        let missing = |name: &str| RejectReason::new(code::ROW, format!("cell {name} is empty"));
        let device = cell(Column::Device).ok_or_else(|| missing("device"))?;
        let sampled_at = instant(
            "sampled_at",
            cell(Column::SampledAt).ok_or_else(|| missing("sampled_at"))?,
        )?;
        let received_at = cell(Column::ReceivedAt)
            .map(|text| instant("received_at", text))
            .transpose()?;
        if !TOTALS.iter().any(|column| cell(*column).is_some()) {
            return Err(RejectReason::new(
                code::ROW,
                "row has no total; fill total_std_m3 or total_work_m3",
            ));
        }
        let mut json = String::with_capacity(160);
        json.push_str(CSV_PREFIX);
        push(&mut json, "dev", device);
        let at = beijing_civil(sampled_at).to_rfc3339_opts(SecondsFormat::Secs, false);
        json.push(',');
        push(&mut json, "ts", &at);
        for (index, (_, key)) in VALUES.iter().enumerate() {
            if let Some(text) = cell(Column::Value(index)) {
                json.push(',');
                // As text: the profile reads totals exactly and telemetry from either.
                push(&mut json, key, text);
            }
        }
        json.push('}');
        Ok(Record {
            device: Some(DeviceId::new(device)),
            topic: None,
            bytes: Bytes::from(json),
            received_at,
        })
    }
}

fn push(json: &mut String, key: &str, text: &str) {
    json.push('"');
    json.push_str(key);
    json.push_str("\":");
    json.push_str(&serde_json::Value::from(text).to_string());
}

fn column(name: &str) -> Result<Column, String> {
    match name {
        "device" => Ok(Column::Device),
        "sampled_at" => Ok(Column::SampledAt),
        "received_at" => Ok(Column::ReceivedAt),
        other => VALUES
            .iter()
            .position(|(column, _)| *column == other)
            .map(Column::Value)
            .ok_or_else(|| {
                let known: Vec<&str> = VALUES.iter().map(|(name, _)| *name).collect();
                format!(
                    "unknown column `{other}`; known are device, sampled_at, {}, received_at",
                    known.join(", ")
                )
            }),
    }
}

fn check(columns: &[Column]) -> Result<(), String> {
    let mut sorted = columns.to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err("a column is there twice; keep one".to_owned());
    }
    for (column, name) in [
        (Column::Device, "device"),
        (Column::SampledAt, "sampled_at"),
    ] {
        if !columns.contains(&column) {
            return Err(format!(
                "column `{name}` is missing; the header is for example device,sampled_at,total_std_m3"
            ));
        }
    }
    if !columns.iter().any(|c| TOTALS.contains(c)) {
        return Err(
            "there is no column with a total; add total_std_m3 or total_work_m3".to_owned(),
        );
    }
    Ok(())
}

/// RFC 3339 with an offset, or Beijing civil time as spreadsheets write it.
fn instant(name: &str, text: &str) -> Result<DateTime<Utc>, RejectReason> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    CIVIL_FORMATS
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .filter(|civil| (1970..=9999).contains(&chrono::Datelike::year(civil)))
        .map(|civil| beijing_instant(civil.date(), civil.time()))
        .ok_or_else(|| {
            RejectReason::new(
                code::ROW,
                format!("cell {name} is no time; write 2026-11-21T08:00:00+08:00, or 2026-11-21 08:00 Beijing time"),
            )
        })
}

/// The row as text again, for the rejected frame.
fn raw(row: &StringRecord) -> Bytes {
    let cells: Vec<&str> = row.iter().collect();
    Bytes::from(cells.join(","))
}
