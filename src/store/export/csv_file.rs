//! CSV: RFC 4180, UTF-8, times with their offset, volumes exact to the last 0.0001 m³.

use std::fs::File;
use std::io;

use chrono::SecondsFormat;

use super::{ExportKind, FindingRow, Row, Sink};
use crate::domain::calendar::{GasDay, beijing_civil};
use crate::domain::quantity::WorkVolume;
use crate::domain::reading::ItemValue;
use crate::store::time::instant;

pub(super) struct CsvFile {
    writer: csv::Writer<File>,
    kind: ExportKind,
}

const READINGS: [&str; 7] = [
    "meter",
    "gas_day",
    "sampled_at",
    "received_at",
    "transport",
    "item",
    "value",
];
const CURVES: [&str; 5] = ["meter", "gas_day", "hour_at", "volume_std_m3", "quality"];
const FINDINGS: [&str; 12] = [
    "gas_day",
    "at",
    "rule",
    "name_zh",
    "name_en",
    "severity",
    "state",
    "subject_kind",
    "subject",
    "message_zh",
    "message_en",
    "values",
];

impl CsvFile {
    pub(super) fn new(file: File, kind: ExportKind) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(file);
        match kind {
            ExportKind::Readings => writer.write_record(READINGS)?,
            ExportKind::Curves => writer.write_record(CURVES)?,
            ExportKind::Findings => writer.write_record(FINDINGS)?,
        }
        Ok(Self { writer, kind })
    }
}

fn time(millis: i64) -> String {
    beijing_civil(instant(millis)).to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn number(value: ItemValue) -> String {
    match value {
        ItemValue::Exact(units) => WorkVolume::from_units(units).to_string(),
        ItemValue::Float(value) => value.to_string(),
    }
}

impl Sink for CsvFile {
    fn write(&mut self, rows: &[Row]) -> io::Result<()> {
        for row in rows {
            let day = GasDay::from_epoch_day(row.gas_day).to_string();
            let (meter, at, value) = (row.meter.as_str(), time(row.at), number(row.value));
            match self.kind {
                ExportKind::Readings => self.writer.write_record([
                    meter,
                    &day,
                    &at,
                    &time(row.received_at),
                    if row.is_frozen { "frozen" } else { row.origin },
                    row.item,
                    &value,
                ])?,
                ExportKind::Curves => {
                    self.writer
                        .write_record([meter, &day, &at, &value, row.origin])?;
                }
                ExportKind::Findings => {}
            }
        }
        Ok(())
    }

    fn write_findings(&mut self, rows: &[FindingRow]) -> io::Result<()> {
        for row in rows {
            self.writer.write_record([
                &GasDay::from_epoch_day(row.gas_day).to_string(),
                &time(row.at),
                row.rule,
                row.name_zh,
                row.name_en,
                row.severity,
                row.state,
                row.subject_kind,
                &row.subject,
                &row.message_zh,
                &row.message_en,
                &row.values,
            ])?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let file = self
            .writer
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)?;
        file.sync_all()
    }
}
