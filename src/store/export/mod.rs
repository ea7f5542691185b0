//! Readings, load curves and findings as CSV or Parquet, for tools of any other kind.
//!
//! Rows go out in the order of the store and in groups of `GROUP_ROWS`, so memory does not grow with
//! what is exported. The file gets its name when it is whole.

mod csv_file;
mod findings;
mod parquet_file;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::domain::calendar::GasDay;
use crate::domain::finding::Quality;
use crate::domain::id::MeterId;
use crate::domain::reading::{ItemValue, Reading};
use crate::domain::series::LoadCurve;
use crate::store::error::StoreError;
use crate::store::journal::Journal;
use crate::store::time::millis;

use self::csv_file::CsvFile;
pub use self::findings::finding_days;
use self::findings::{FindingRow, FindingRows};
use self::parquet_file::ParquetFile;

/// Rows held before they are written.
const GROUP_ROWS: usize = 65_536;

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportKind {
    /// One row for each value of each reading; frozen totals at the hour they were frozen.
    Readings,
    /// One row for each hour of each load curve.
    Curves,
    /// One row for each finding of a rule, in Chinese and English.
    Findings,
}

/// What, of which gas days and meters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportScope {
    /// What.
    pub kind: ExportKind,
    /// First gas day.
    pub from: GasDay,
    /// The gas day after the last.
    pub to: GasDay,
    /// Only these meters; all if empty. Of findings, those of zones and customers only if empty.
    pub meters: BTreeSet<MeterId>,
    /// The gas day under way: what is found of it may still change.
    pub today: GasDay,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The name ends in neither.
    #[error("{}: cannot tell the form; end the name in .csv or .parquet", path.display())]
    UnknownForm {
        /// The file.
        path: PathBuf,
    },
    /// The file is there already.
    #[error("{}: exists already; name a file that does not", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Writing.
    #[error("{}: cannot be written: {source}; check space and rights there", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A value of a reading, or an hour of a curve.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    meter: MeterId,
    /// Days since 1970-01-01.
    gas_day: i32,
    /// Milliseconds since 1970 UTC: when it was sampled, or when the hour starts.
    at: i64,
    /// Milliseconds since 1970 UTC; 0 for an hour.
    received_at: i64,
    /// Transport, or quality.
    origin: &'static str,
    /// Item; empty for an hour.
    item: &'static str,
    is_frozen: bool,
    value: ItemValue,
}

/// Where rows go.
trait Sink {
    fn write(&mut self, rows: &[Row]) -> io::Result<()>;
    fn write_findings(&mut self, rows: &[FindingRow]) -> io::Result<()>;
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Writes what `scope` names to the new file `path`; gives the number of rows. Blocks.
///
/// # Errors
/// `UnknownForm`, `Exists`, no space; nothing named `path` is left then.
pub fn export(journal: &Journal, scope: &ExportScope, path: &Path) -> Result<u64, ExportError> {
    if path.exists() {
        return Err(ExportError::Exists {
            path: path.to_owned(),
        });
    }
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let is_parquet = match extension {
        "csv" => false,
        "parquet" => true,
        _ => {
            return Err(ExportError::UnknownForm {
                path: path.to_owned(),
            });
        }
    };
    let fail = |source| ExportError::Io {
        path: path.to_owned(),
        source,
    };
    let partial = path.with_extension(format!("{extension}.partial"));
    let made = write_all(journal, scope, &partial, is_parquet).map_err(|error| match error {
        Stopped::Io(source) => fail(source),
        Stopped::Store(error) => error.into(),
    });
    match made {
        Ok(count) => {
            fs::rename(&partial, path).map_err(fail)?;
            Ok(count)
        }
        Err(error) => {
            // What went wrong is told; that the half file cannot be removed adds nothing.
            fs::remove_file(&partial).ok();
            Err(error)
        }
    }
}

enum Stopped {
    Io(io::Error),
    Store(StoreError),
}

fn write_all(
    journal: &Journal,
    scope: &ExportScope,
    path: &Path,
    is_parquet: bool,
) -> Result<u64, Stopped> {
    let file = fs::File::create(path).map_err(Stopped::Io)?;
    let sink: Box<dyn Sink> = if is_parquet {
        Box::new(ParquetFile::new(file, scope.kind).map_err(Stopped::Io)?)
    } else {
        Box::new(CsvFile::new(file, scope.kind).map_err(Stopped::Io)?)
    };
    let mut out = Out {
        sink,
        rows: Vec::with_capacity(GROUP_ROWS),
        count: 0,
        failed: None,
    };
    if scope.kind == ExportKind::Findings {
        out.findings(journal, scope).map_err(Stopped::Store)?;
        return out.finish().map_err(Stopped::Io);
    }
    // Day by day, so that no read transaction is open for long beside a writing daemon.
    let days = journal
        .days_with_curves_or_readings()
        .map_err(Stopped::Store)?;
    for of in days
        .into_iter()
        .filter(|of| (scope.from..scope.to).contains(of))
    {
        out.day(journal, scope, of).map_err(Stopped::Store)?;
        if out.failed.is_some() {
            break;
        }
    }
    out.finish().map_err(Stopped::Io)
}

/// The word that JSON has for a quality, too.
const fn quality_key(quality: Quality) -> &'static str {
    match quality {
        Quality::Measured => "measured",
        Quality::Backfilled => "backfilled",
        Quality::Validated => "validated",
        Quality::Suspect => "suspect",
        Quality::Estimated => "estimated",
        Quality::Edited => "edited",
        Quality::Invalid => "invalid",
        Quality::Missing => "missing",
    }
}

struct Out {
    sink: Box<dyn Sink>,
    rows: Vec<Row>,
    count: u64,
    failed: Option<io::Error>,
}

impl Out {
    fn findings(&mut self, journal: &Journal, scope: &ExportScope) -> Result<(), StoreError> {
        let mut rows = FindingRows::new(journal, scope)?;
        let days = finding_days(journal, scope.today)?.into_iter();
        for day in days.filter(|day| (scope.from..scope.to).contains(day)) {
            let of_day = rows.of_day(day)?;
            for group in of_day.chunks(GROUP_ROWS) {
                match self.sink.write_findings(group) {
                    Ok(()) => self.count += group.len() as u64,
                    Err(error) => {
                        self.failed = Some(error);
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    fn day(
        &mut self,
        journal: &Journal,
        scope: &ExportScope,
        day: GasDay,
    ) -> Result<(), StoreError> {
        let has = |meter: &MeterId| scope.meters.is_empty() || scope.meters.contains(meter);
        match scope.kind {
            ExportKind::Readings => journal.for_each_reading(day, day.plus(1), |reading| {
                if has(&reading.meter) {
                    self.reading(day, &reading);
                }
            }),
            ExportKind::Curves => {
                let start = millis(journal.clock().start_of(day));
                journal.for_each_curve(day, day.plus(1), |curve| {
                    if has(&curve.meter) {
                        self.curve(day, start, &curve);
                    }
                })
            }
            // They are not of curves or readings: `findings` writes them.
            ExportKind::Findings => Ok(()),
        }
    }

    fn reading(&mut self, day: GasDay, reading: &Reading) {
        let row = |at, item, is_frozen, value| Row {
            meter: reading.meter.clone(),
            gas_day: day.epoch_day(),
            at,
            received_at: millis(reading.received_at),
            origin: reading.transport.key(),
            item,
            is_frozen,
            value,
        };
        for (item, value) in &reading.values {
            self.push(row(millis(reading.sampled_at), item.key(), false, *value));
        }
        for array in &reading.frozen {
            let mut at = millis(array.first_at);
            for total in &array.totals {
                if let Some(units) = total {
                    self.push(row(at, array.item.key(), true, ItemValue::Exact(*units)));
                }
                at = at.saturating_add(i64::from(array.step_s) * 1_000);
            }
        }
    }

    fn curve(&mut self, day: GasDay, start: i64, curve: &LoadCurve) {
        let mut at = start;
        for (volume, quality) in curve.hours.iter().zip(&curve.quality) {
            self.push(Row {
                meter: curve.meter.clone(),
                gas_day: day.epoch_day(),
                at,
                received_at: 0,
                origin: quality_key(*quality),
                item: "",
                is_frozen: false,
                value: ItemValue::Exact(volume.units()),
            });
            at += 3_600_000;
        }
    }

    fn push(&mut self, row: Row) {
        self.rows.push(row);
        if self.rows.len() >= GROUP_ROWS {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.failed.is_none() && !self.rows.is_empty() {
            match self.sink.write(&self.rows) {
                Ok(()) => self.count += self.rows.len() as u64,
                Err(error) => self.failed = Some(error),
            }
        }
        self.rows.clear();
    }

    fn finish(mut self) -> io::Result<u64> {
        self.flush();
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.sink.finish()?;
        Ok(self.count)
    }
}

#[cfg(test)]
mod tests;
