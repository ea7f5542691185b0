//! Decisions of people about single hours of a load curve (人工修正).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;

/// A dated decision: these hours of this meter's gas day have these volumes (E10).
///
/// It stands above readings and estimates in the curve and overwrites neither; the last decision about an
/// hour that is not revoked counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CurveEdit {
    /// Number, growing with time.
    pub id: i64,
    /// Meter.
    pub meter: MeterId,
    /// Gas day.
    pub day: GasDay,
    /// Volume by hour of the gas day, 0 to 23.
    pub hours: BTreeMap<u8, StdVolume>,
    /// Who decided.
    pub who: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Taken back, if it was.
    pub revoked: Option<Revocation>,
}

/// The end of a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// Who took it back.
    pub who: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}
