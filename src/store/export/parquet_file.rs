//! Parquet: volumes as DECIMAL(18,4), times as UTC timestamps in ms, Snappy.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{
    SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter,
};
use parquet::schema::parser::parse_message_type;

use super::{ExportKind, FindingRow, Row, Sink};
use crate::domain::reading::ItemValue;

/// Either `exact` or `value` is there: what a totaliser shows is exact, telemetry is not.
const READINGS: &str = "message readings {
    REQUIRED BYTE_ARRAY meter (UTF8);
    REQUIRED INT32 gas_day (DATE);
    REQUIRED INT64 sampled_at (TIMESTAMP(MILLIS,true));
    REQUIRED INT64 received_at (TIMESTAMP(MILLIS,true));
    REQUIRED BYTE_ARRAY transport (UTF8);
    REQUIRED BOOLEAN is_frozen;
    REQUIRED BYTE_ARRAY item (UTF8);
    OPTIONAL INT64 exact (DECIMAL(18,4));
    OPTIONAL DOUBLE value;
}";
const CURVES: &str = "message curves {
    REQUIRED BYTE_ARRAY meter (UTF8);
    REQUIRED INT32 gas_day (DATE);
    REQUIRED INT64 hour_at (TIMESTAMP(MILLIS,true));
    REQUIRED INT64 volume_std_m3 (DECIMAL(18,4));
    REQUIRED BYTE_ARRAY quality (UTF8);
}";
/// `values` is JSON.
const FINDINGS: &str = "message findings {
    REQUIRED INT32 gas_day (DATE);
    REQUIRED INT64 at (TIMESTAMP(MILLIS,true));
    REQUIRED BYTE_ARRAY rule (UTF8);
    REQUIRED BYTE_ARRAY name_zh (UTF8);
    REQUIRED BYTE_ARRAY name_en (UTF8);
    REQUIRED BYTE_ARRAY severity (UTF8);
    REQUIRED BYTE_ARRAY state (UTF8);
    REQUIRED BYTE_ARRAY subject_kind (UTF8);
    REQUIRED BYTE_ARRAY subject (UTF8);
    REQUIRED BYTE_ARRAY message_zh (UTF8);
    REQUIRED BYTE_ARRAY message_en (UTF8);
    REQUIRED BYTE_ARRAY values (UTF8);
}";

pub(super) struct ParquetFile {
    writer: SerializedFileWriter<File>,
    kind: ExportKind,
}

fn io_error(error: ParquetError) -> io::Error {
    io::Error::other(error)
}

impl ParquetFile {
    pub(super) fn new(file: File, kind: ExportKind) -> io::Result<Self> {
        let schema = match kind {
            ExportKind::Readings => READINGS,
            ExportKind::Curves => CURVES,
            ExportKind::Findings => FINDINGS,
        };
        let schema = Arc::new(parse_message_type(schema).map_err(io_error)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("qiliang {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer =
            SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(io_error)?;
        Ok(Self { writer, kind })
    }
}

type Group<'a> = SerializedRowGroupWriter<'a, File>;

/// Writes the next column of a group.
fn column(
    group: &mut Group<'_>,
    write: impl FnOnce(&mut SerializedColumnWriter<'_>) -> Result<usize, ParquetError>,
) -> Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("the schema has fewer columns".to_owned()))?;
    write(&mut column)?;
    column.close()
}

fn texts<'a>(
    group: &mut Group<'_>,
    texts: impl Iterator<Item = &'a str>,
) -> Result<(), ParquetError> {
    let texts: Vec<ByteArray> = texts.map(ByteArray::from).collect();
    column(group, |c| {
        c.typed::<ByteArrayType>().write_batch(&texts, None, None)
    })
}

fn longs(group: &mut Group<'_>, longs: impl Iterator<Item = i64>) -> Result<(), ParquetError> {
    let longs: Vec<i64> = longs.collect();
    column(group, |c| {
        c.typed::<Int64Type>().write_batch(&longs, None, None)
    })
}

fn days(group: &mut Group<'_>, days: impl Iterator<Item = i32>) -> Result<(), ParquetError> {
    let days: Vec<i32> = days.collect();
    column(group, |c| {
        c.typed::<Int32Type>().write_batch(&days, None, None)
    })
}

const fn exact(value: ItemValue) -> Option<i64> {
    match value {
        ItemValue::Exact(units) => Some(units),
        ItemValue::Float(_) => None,
    }
}

const fn float(value: ItemValue) -> Option<f64> {
    match value {
        ItemValue::Exact(_) => None,
        ItemValue::Float(value) => Some(value),
    }
}

fn readings(group: &mut Group<'_>, rows: &[Row]) -> Result<(), ParquetError> {
    texts(group, rows.iter().map(|row| row.meter.as_str()))?;
    days(group, rows.iter().map(|row| row.gas_day))?;
    longs(group, rows.iter().map(|row| row.at))?;
    longs(group, rows.iter().map(|row| row.received_at))?;
    texts(group, rows.iter().map(|row| row.origin))?;
    let frozen: Vec<bool> = rows.iter().map(|row| row.is_frozen).collect();
    column(group, |c| {
        c.typed::<BoolType>().write_batch(&frozen, None, None)
    })?;
    texts(group, rows.iter().map(|row| row.item))?;
    // A level of 1 says that a value is there.
    let has_exact: Vec<i16> = rows
        .iter()
        .map(|r| exact(r.value).is_some().into())
        .collect();
    let exacts: Vec<i64> = rows.iter().filter_map(|row| exact(row.value)).collect();
    column(group, |c| {
        c.typed::<Int64Type>()
            .write_batch(&exacts, Some(&has_exact), None)
    })?;
    let has_float: Vec<i16> = rows
        .iter()
        .map(|r| float(r.value).is_some().into())
        .collect();
    let floats: Vec<f64> = rows.iter().filter_map(|row| float(row.value)).collect();
    column(group, |c| {
        c.typed::<DoubleType>()
            .write_batch(&floats, Some(&has_float), None)
    })
}

fn curves(group: &mut Group<'_>, rows: &[Row]) -> Result<(), ParquetError> {
    texts(group, rows.iter().map(|row| row.meter.as_str()))?;
    days(group, rows.iter().map(|row| row.gas_day))?;
    longs(group, rows.iter().map(|row| row.at))?;
    longs(group, rows.iter().filter_map(|row| exact(row.value)))?;
    texts(group, rows.iter().map(|row| row.origin))
}

fn findings(group: &mut Group<'_>, rows: &[FindingRow]) -> Result<(), ParquetError> {
    days(group, rows.iter().map(|row| row.gas_day))?;
    longs(group, rows.iter().map(|row| row.at))?;
    let columns: [fn(&FindingRow) -> &str; 10] = [
        |row| row.rule,
        |row| row.name_zh,
        |row| row.name_en,
        |row| row.severity,
        |row| row.state,
        |row| row.subject_kind,
        |row| &row.subject,
        |row| &row.message_zh,
        |row| &row.message_en,
        |row| &row.values,
    ];
    for column in columns {
        texts(group, rows.iter().map(column))?;
    }
    Ok(())
}

impl Sink for ParquetFile {
    fn write(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut group = self.writer.next_row_group().map_err(io_error)?;
        match self.kind {
            ExportKind::Readings => readings(&mut group, rows),
            ExportKind::Curves => curves(&mut group, rows),
            ExportKind::Findings => Ok(()),
        }
        .map_err(io_error)?;
        group.close().map(drop).map_err(io_error)
    }

    fn write_findings(&mut self, rows: &[FindingRow]) -> io::Result<()> {
        let mut group = self.writer.next_row_group().map_err(io_error)?;
        findings(&mut group, rows).map_err(io_error)?;
        group.close().map(drop).map_err(io_error)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        let file = self.writer.into_inner().map_err(io_error)?;
        file.sync_all()
    }
}
