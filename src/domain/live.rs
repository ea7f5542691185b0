//! What happens while it happens, for live views; everything in it can also be asked for later.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::calendar::GasDay;
use crate::domain::finding::{RuleId, Severity};
use crate::domain::id::{MeterId, RunId};

/// An event. Listeners that are too slow miss some.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LiveEvent {
    /// A batch was committed.
    Ingested {
        /// Readings that said something new.
        accepted: u64,
        /// Readings that said only what was known.
        duplicate: u64,
        /// Rejected frames.
        rejected: u64,
        /// When.
        at: DateTime<Utc>,
    },
    /// A frame was rejected; of a batch only the first few are told.
    Rejected {
        /// Stable code.
        code: String,
        /// Where it came from.
        origin: String,
        /// When it came.
        at: DateTime<Utc>,
    },
    /// A rule found something that touches a value; of a batch only the first few are told.
    Finding {
        /// Rule.
        rule: RuleId,
        /// Severity.
        severity: Severity,
        /// Meter.
        meter: MeterId,
        /// Instant.
        at: DateTime<Utc>,
    },
    /// Curves of a gas day changed and its demand was summed again.
    CurvesComputed {
        /// Gas day.
        day: GasDay,
        /// Meters that have a curve on it.
        meters: usize,
    },
    /// A forecast was published.
    ForecastPublished {
        /// Run.
        run_id: RunId,
    },
    /// Something people should know of the program itself.
    Notice {
        /// Stable code, key of the Chinese sentence.
        code: String,
        /// What, where and what to do, in English.
        message: String,
        /// When.
        at: DateTime<Utc>,
    },
}
