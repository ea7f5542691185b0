//! Findings of validation rules, and the quality of a value.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::id::MeterId;

/// A rule of the catalogue (domain.md §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RuleId {
    /// Duplicate with another value.
    V01,
    /// Future or stale time.
    V02,
    /// Range.
    V03,
    /// Decreasing total.
    V04,
    /// Rollover.
    V05,
    /// Over capacity.
    V06,
    /// Stuck.
    V11,
    /// Dual representation.
    V18,
    /// Gap.
    V21,
    /// Device alarm.
    V25,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// The value is kept and used, marked suspect.
    Suspect,
    /// The value is kept and not used.
    Fail,
}

/// What a rule found at one instant of one meter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Rule.
    pub rule: RuleId,
    /// Severity.
    pub severity: Severity,
    /// Meter.
    pub meter: MeterId,
    /// Instant.
    pub at: DateTime<Utc>,
    /// The numbers behind it, in English, with units.
    pub message: String,
}

/// Data quality (数据质量), ranked; never silently upgraded. domain.md §10.A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Quality {
    /// 实测: from readings inside or at the edges of the hour.
    Measured = 0,
    /// 冻结补采: from a frozen array.
    Backfilled = 1,
    /// 校核通过
    Validated = 2,
    /// 可疑
    Suspect = 3,
    /// 估算: bounded by totals on both sides, or by a method named beside it.
    Estimated = 4,
    /// 人工
    Edited = 5,
    /// 无效
    Invalid = 6,
    /// No value at all.
    Missing = 7,
}

impl Quality {
    /// The quality of a stored code.
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Measured,
            1 => Self::Backfilled,
            2 => Self::Validated,
            3 => Self::Suspect,
            4 => Self::Estimated,
            5 => Self::Edited,
            6 => Self::Invalid,
            _ => Self::Missing,
        }
    }

    /// Whether a volume stands behind it.
    pub const fn has_volume(self) -> bool {
        !matches!(self, Self::Invalid | Self::Missing)
    }
}
