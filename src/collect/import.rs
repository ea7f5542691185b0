//! Files of frames and of readings, line by line.
//!
//! - **NDJSON capture** (`.ndjson`, `.jsonl`): one frame a line,
//!   `{"received_at": "…", "device": "…", "topic": "…", "json": {…}}` or `"hex": "…"` instead of
//!   `json`. `device` and `topic` may be left out; the bytes of `json` are taken as they stand.
//! - **CSV of readings** (`.csv`): a header of `device, sampled_at, total_std_m3, total_work_m3,
//!   flow_std_m3h, temperature_c, pressure_abs_kpa, received_at` in any order; `device`,
//!   `sampled_at` and a total are required. Each row becomes a frame of the profile
//!   `qiliang/json-push`, marked so that `ProfileSet::for_frame` decodes it with that profile
//!   whatever the meter is bound to, and takes the way of every other frame.
//!
//! A bad line is not fatal: it comes out as a rejected frame with its file, line and reason.

#![warn(clippy::indexing_slicing)]

mod csv_rows;
mod ndjson;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::csv_rows::CsvRows;
use self::ndjson::NdjsonLines;
use crate::collect::{Ack, Delivery};
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

/// Rejected lines an import reports one by one; the rest are counted.
const REPORTED_MAX: usize = 100;

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
    #[error("{}: what is in it cannot be told by its name; call it .csv, .ndjson or .jsonl", file.display())]
    UnknownKind {
        /// File.
        file: PathBuf,
    },
    /// The header of a CSV file is wrong.
    #[error("{}:1: {reason}", file.display())]
    Header {
        /// File.
        file: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The journal's side of the queue is gone.
    #[error("queue to the journal is closed while {} is still being imported", file.display())]
    QueueClosed {
        /// File.
        file: PathBuf,
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

enum Source {
    Csv(Box<CsvRows<BufReader<File>>>),
    Ndjson(NdjsonLines<BufReader<File>>),
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
        let kind = file
            .extension()
            .map(|e| e.to_string_lossy().to_ascii_lowercase());
        let open = || {
            File::open(file)
                .map(BufReader::new)
                .map_err(|source| ImportError::Unreadable {
                    file: file.to_owned(),
                    source,
                })
        };
        let source = match kind.as_deref() {
            Some("csv") => {
                let rows = CsvRows::new(open()?).map_err(|reason| ImportError::Header {
                    file: file.to_owned(),
                    reason,
                })?;
                Source::Csv(Box::new(rows))
            }
            Some("ndjson" | "jsonl") => Source::Ndjson(NdjsonLines::new(open()?)),
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

/// What an import came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Lines that were frames.
    pub frames: u64,
    /// Lines that could not be taken.
    pub rejected: u64,
    /// Frames and rejected lines the queue took: their sum, unless it was stopped.
    pub sent: u64,
    /// The first hundred rejected lines, `file:line: reason`.
    pub reports: Vec<String>,
    /// Whether it was stopped before the end of the file.
    pub is_stopped: bool,
}

/// Sends a file's frames into the queue of the journal, as fast as the journal takes them.
///
/// A line that could not be taken goes the same way with its own bytes, so that it is kept among
/// the rejected frames; its exact reason is in the outcome.
///
/// # Errors
/// `ImportError::QueueClosed`.
pub async fn deliver(
    mut file: ImportFile,
    sender: &mpsc::Sender<Delivery>,
    stop: &CancellationToken,
) -> Result<ImportOutcome, ImportError> {
    let mut outcome = ImportOutcome::default();
    while let Some(line) = file.next() {
        let frame = match line {
            Ok(frame) => {
                outcome.frames += 1;
                frame
            }
            Err(rejected) => {
                outcome.rejected += 1;
                if outcome.reports.len() < REPORTED_MAX {
                    outcome
                        .reports
                        .push(format!("{}: {}", rejected.frame.origin, rejected.reason));
                }
                rejected.frame
            }
        };
        let ack = Ack::none();
        let delivery = Delivery { frame, ack };
        tokio::select! {
            biased;
            () = stop.cancelled() => {
                outcome.is_stopped = true;
                break;
            }
            sent = sender.send(delivery) => {
                if sent.is_err() {
                    return Err(ImportError::QueueClosed { file: file.file });
                }
            }
        }
        outcome.sent += 1;
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests;
