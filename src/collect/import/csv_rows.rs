//! Rows of a CSV file.

use std::io::{self, Read};

use bytes::Bytes;
use csv::{ReaderBuilder, StringRecord};

use super::table::Columns;
use super::{LINE_MAX_BYTES, Line, Record, code};
use crate::domain::frame::RejectReason;

/// Drops carriage returns: behind a `\r\n` the csv crate counts the line before.
pub(super) struct WithoutReturns<R>(pub(super) R);

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
    columns: Columns,
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
        let columns = Columns::new(
            header
                .iter()
                .map(|name| name.trim_start_matches('\u{feff}')),
        )?;
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
        self.columns.record(|index| self.row.get(index))
    }
}

/// The row as text again, for the rejected frame.
fn raw(row: &StringRecord) -> Bytes {
    let cells: Vec<&str> = row.iter().collect();
    Bytes::from(cells.join(","))
}
