//! Files of frames and of readings, line by line.
//!
//! - **NDJSON capture** (`.ndjson`, `.jsonl`): one frame a line,
//!   `{"received_at": "…", "device": "…", "topic": "…", "json": {…}}` or `"hex": "…"` instead of
//!   `json`. `device` and `topic` may be left out; the bytes of `json` are taken as they stand.
//! - **CSV of readings** (`.csv`): a header of `device, sampled_at, total_std_m3, total_work_m3,
//!   flow_std_m3h, flow_work_m3h, temperature_c, pressure_abs_kpa, pressure_gauge_kpa, received_at`
//!   in any order, or what other systems call them; `device`, `sampled_at` and a total are required.
//! - **Workbook** (`.xlsx`): the same table on the first sheet that has it.
//! - **Line protocol** (`.lp`, `.line`, `.influx`): the same names as tags and fields.
//!
//! Any but the workbook may be packed (`.csv.gz`). Each row becomes a frame of the profile
//! `qiliang/json-push`, marked so that `ProfileSet::for_frame` decodes it with that profile whatever
//! the meter is bound to, and takes the way of every other frame.
//!
//! A bad line is not fatal: it comes out as a rejected frame with its file, line and reason.

#![warn(clippy::indexing_slicing)]

mod csv_rows;
mod line_protocol;
mod ndjson;
pub mod plans;
mod table;
mod unpacked;
mod xlsx;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flate2::read::MultiGzDecoder;

use self::csv_rows::CsvRows;
use self::line_protocol::Points;
pub use self::line_protocol::Precision;
use self::ndjson::NdjsonLines;
use self::xlsx::XlsxRows;
use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use crate::domain::id::DeviceId;

/// Why a line was not taken: stable codes, keys of the Chinese sentences.
pub mod code {
    /// A row of a CSV file cannot be read.
    pub const ROW: &str = "import.row";
    /// A line of a capture cannot be read.
    pub const LINE: &str = "import.line";
    /// The file broke off.
    pub const UNREADABLE: &str = "import.unreadable";
    /// Every code.
    pub const ALL: &[&str] = &[ROW, LINE, UNREADABLE];
}

/// Longest line.
const LINE_MAX_BYTES: usize = 1_048_576;

/// Why a file cannot be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("{} cannot be read", file.display())]
    Unreadable {
        /// File.
        file: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The name does not say what is in it.
    #[error("{}: what is in it cannot be told by its name; call it .csv, .xlsx, .ndjson, .jsonl or .lp, packed ones .gz behind that", file.display())]
    UnknownKind {
        /// File.
        file: PathBuf,
    },
    /// The header of a table is wrong.
    #[error("{}:1: {reason}", file.display())]
    Header {
        /// File.
        file: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The workbook cannot be read.
    #[error("{}: {reason}", file.display())]
    Workbook {
        /// File.
        file: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

/// What one line says before it is a frame.
struct Record {
    device: Option<DeviceId>,
    topic: Option<String>,
    bytes: Bytes,
    received_at: Option<DateTime<Utc>>,
}

/// One line: its number, its own bytes, and what it says.
struct Line {
    number: u64,
    raw: Bytes,
    record: Result<Record, RejectReason>,
}

/// A file as it is, or unpacked.
type Input = Box<dyn BufRead + Send>;

enum Source {
    Csv(Box<CsvRows<Input>>),
    Ndjson(NdjsonLines<Input>),
    Points(Points<Input>),
    Xlsx(XlsxRows),
}

/// Tells the device of a topic.
pub type DeviceOfTopic = Box<dyn Fn(&str) -> Option<DeviceId> + Send>;

/// The frames of a file, in the order of its lines.
///
/// An `Err` is a line that could not be taken: a rejected frame whose bytes are the line.
pub struct ImportFile {
    file: PathBuf,
    source: Source,
    received_at: DateTime<Utc>,
    device_of_topic: Option<DeviceOfTopic>,
}

impl std::fmt::Debug for ImportFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportFile")
            .field("file", &self.file)
            .field("received_at", &self.received_at)
            .finish_non_exhaustive()
    }
}

impl ImportFile {
    /// Opens a file by its extension. Lines that do not say when they were received are taken to
    /// have been at `received_at`.
    ///
    /// # Errors
    /// `ImportError` for what is wrong with the file as a whole.
    pub fn open(file: &Path, received_at: DateTime<Utc>) -> Result<Self, ImportError> {
        Self::open_with(file, received_at, Precision::default())
    }

    /// `open` for line protocol of another precision than nanoseconds.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(
        file: &Path,
        received_at: DateTime<Utc>,
        precision: Precision,
    ) -> Result<Self, ImportError> {
        let name = file
            .file_name()
            .map(|name| name.to_string_lossy().to_ascii_lowercase())
            .unwrap_or_default();
        let (name, is_packed) = match name.strip_suffix(".gz") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let unreadable = |source| ImportError::Unreadable {
            file: file.to_owned(),
            source,
        };
        let open = || -> Result<Input, ImportError> {
            let opened = File::open(file).map_err(unreadable)?;
            Ok(if is_packed {
                Box::new(BufReader::new(MultiGzDecoder::new(BufReader::new(opened))))
            } else {
                Box::new(BufReader::new(opened))
            })
        };
        let kind = name.rsplit_once('.').map(|(_, kind)| kind);
        let source = match kind {
            Some("csv") => {
                let rows = CsvRows::new(open()?).map_err(|reason| ImportError::Header {
                    file: file.to_owned(),
                    reason,
                })?;
                Source::Csv(Box::new(rows))
            }
            Some("ndjson" | "jsonl") => Source::Ndjson(NdjsonLines::new(open()?)),
            Some("lp" | "line" | "influx") => Source::Points(Points::new(open()?, precision)),
            Some("xlsx") => {
                let mut bytes = Vec::new();
                let limit = xlsx::FILE_MAX_BYTES;
                let read = open()?.take(limit + 1).read_to_end(&mut bytes);
                let wrong = |reason| ImportError::Workbook {
                    file: file.to_owned(),
                    reason,
                };
                if read.map_err(unreadable)? as u64 > limit {
                    return Err(wrong("it is larger than 256 MiB; save it as CSV".into()));
                }
                Source::Xlsx(XlsxRows::new(bytes).map_err(wrong)?)
            }
            _ => {
                return Err(ImportError::UnknownKind {
                    file: file.to_owned(),
                });
            }
        };
        Ok(Self {
            file: file.to_owned(),
            source,
            received_at,
            device_of_topic: None,
        })
    }

    /// Binds the topic of a line to a device where the line names none.
    #[must_use]
    pub fn with_topics(mut self, device_of_topic: DeviceOfTopic) -> Self {
        self.device_of_topic = Some(device_of_topic);
        self
    }
}

impl Iterator for ImportFile {
    type Item = Result<RawFrame, Box<RejectedFrame>>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = match &mut self.source {
            Source::Csv(rows) => rows.next_line(),
            Source::Ndjson(lines) => lines.next_line(),
            Source::Points(points) => points.next_line(),
            Source::Xlsx(rows) => rows.next_line(),
        }?;
        let origin = format!("{}:{}", self.file.display(), line.number);
        let frame = |device, bytes, received_at: Option<DateTime<Utc>>| RawFrame {
            transport: Transport::Import,
            origin,
            device,
            bytes,
            received_at: received_at.unwrap_or(self.received_at),
        };
        Some(match line.record {
            Ok(record) => {
                let by_topic = || {
                    let topic = record.topic.as_deref()?;
                    self.device_of_topic.as_ref().and_then(|f| f(topic))
                };
                let device = record.device.or_else(by_topic);
                Ok(frame(device, record.bytes, record.received_at))
            }
            Err(reason) => Err(Box::new(RejectedFrame {
                frame: frame(None, line.raw, None),
                meter: None,
                reason,
            })),
        })
    }
}

#[cfg(test)]
mod tests;
