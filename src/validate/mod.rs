//! Validation, estimation and load curves. Pure.
//!
//! Entry rules look at one reading before it is committed; sequence rules look at the totals
//! around a gas day when its curve is computed, and day rules at the curve itself. All return
//! findings; nothing is dropped.

pub mod clock;
pub mod convert;
pub mod curve;
pub mod day;
pub mod estimate;
pub mod host_clock;
mod interval;
pub mod judged_by;
pub mod limits;
pub mod line_pack;
pub mod points;
pub mod rules;
mod spread;
pub mod stats;

use chrono::TimeDelta;

use crate::domain::finding::Finding;
use crate::domain::reading::Reading;

/// Limits of the entry rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryLimits {
    /// Readings older than this are stale (V02).
    pub stale_after: TimeDelta,
    /// Readings further ahead than this are from the future (V02).
    pub future_tolerance: TimeDelta,
}

/// What the entry rules find in a reading, in the order of the catalogue.
///
/// A finding of severity `Fail` keeps the reading out of every curve.
pub fn check_entry(reading: &Reading, limits: EntryLimits) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(rules::v02_time::check(reading, limits));
    findings.extend(rules::v03_range::check(reading));
    findings.extend(rules::v18_dual_representation::check(reading));
    findings.extend(rules::v25_alarm::check(reading));
    findings
}
