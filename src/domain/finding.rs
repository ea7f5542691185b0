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
    /// Spike.
    V07,
    /// Day ratio.
    V08,
    /// High or low use.
    V09,
    /// Zero use.
    V10,
    /// Stuck.
    V11,
    /// Continuous flow.
    V12,
    /// Flow with the valve closed.
    V13,
    /// Sibling missing.
    V16,
    /// Conversion factor.
    V17,
    /// Dual representation.
    V18,
    /// Unit or scale slip.
    V19,
    /// Gauge or absolute slip.
    V20,
    /// Gap.
    V21,
    /// Prolonged estimation.
    V22,
    /// Turndown.
    V23,
    /// Communication.
    V24,
    /// Device alarm.
    V25,
}

impl RuleId {
    /// Every rule, in the order of the catalogue.
    pub const ALL: [Self; 23] = [
        Self::V01,
        Self::V02,
        Self::V03,
        Self::V04,
        Self::V05,
        Self::V06,
        Self::V07,
        Self::V08,
        Self::V09,
        Self::V10,
        Self::V11,
        Self::V12,
        Self::V13,
        Self::V16,
        Self::V17,
        Self::V18,
        Self::V19,
        Self::V20,
        Self::V21,
        Self::V22,
        Self::V23,
        Self::V24,
        Self::V25,
    ];

    /// The identifier in JSON, SQL and documents.
    pub const fn key(self) -> &'static str {
        self.words().0
    }

    /// The name on Chinese pages.
    pub const fn name_zh(self) -> &'static str {
        self.words().1
    }

    /// The name in English.
    pub const fn name_en(self) -> &'static str {
        self.words().2
    }

    /// The rule of an identifier such as `V07`.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.key() == key)
    }

    const fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::V01 => ("V01", "重复上报且数值不同", "repeated with another value"),
            Self::V02 => ("V02", "时间超前或过旧", "time in the future or stale"),
            Self::V03 => ("V03", "数值越限", "value out of range"),
            Self::V04 => ("V04", "累计量倒走", "total decreases"),
            Self::V05 => ("V05", "累计量翻转", "total rolled over"),
            Self::V06 => ("V06", "超出表具量程", "above the meter's capacity"),
            Self::V07 => ("V07", "小时用气尖峰", "spike in an hour"),
            Self::V08 => ("V08", "日环比突变", "day far from the day before"),
            Self::V09 => ("V09", "用气偏高或偏低", "use far from that of like days"),
            Self::V10 => ("V10", "连续零用气", "no use where there was some"),
            Self::V11 => ("V11", "疑似死表", "meter looks stuck"),
            Self::V12 => (
                "V12",
                "持续不断流,疑似泄漏",
                "flow never stops, perhaps a leak",
            ),
            Self::V13 => ("V13", "阀门关闭仍有流量", "flow with the valve closed"),
            Self::V16 => (
                "V16",
                "应同报的数值缺失",
                "a value missing beside its siblings",
            ),
            Self::V17 => ("V17", "修正系数不符", "conversion factor does not fit"),
            Self::V18 => ("V18", "两种表示不一致", "two representations differ"),
            Self::V19 => ("V19", "单位或量级错误", "unit or scale slip"),
            Self::V20 => (
                "V20",
                "表压与绝压混淆",
                "gauge and absolute pressure mixed up",
            ),
            Self::V21 => ("V21", "数据缺口", "gap in the data"),
            Self::V22 => ("V22", "长期估算", "estimated for too long"),
            Self::V23 => ("V23", "表具选型偏大或偏小", "meter too large or too small"),
            Self::V24 => ("V24", "通信异常", "poor communication"),
            Self::V25 => ("V25", "表具告警", "device alarm"),
        }
    }
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
