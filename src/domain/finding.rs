//! Findings of validation rules, and the quality of a value.

mod terms;
mod words;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::domain::language::Language;

pub use words::{Arg, Sentence, Unit, Value};

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
    /// Sum check.
    V14,
    /// Mass balance.
    V15,
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
    /// Plan deviation.
    V26,
}

/// Severities by their keys in JSON, worst first.
pub const SEVERITY_KEYS: [(&str, Severity); 3] = [
    ("fail", Severity::Fail),
    ("suspect", Severity::Suspect),
    ("info", Severity::Info),
];

impl RuleId {
    /// Every rule, in the order of the catalogue.
    pub const ALL: [Self; 26] = [
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
        Self::V14,
        Self::V15,
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
        Self::V26,
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
            Self::V14 => (
                "V14",
                "分项之和与表底数不符",
                "sum does not fit the register",
            ),
            Self::V15 => ("V15", "区域进出不平衡", "zone out of balance"),
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
            Self::V26 => ("V26", "用气偏离申报", "use off the declared plan"),
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

/// What a finding is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A meter.
    Meter(MeterId),
    /// A zone, as a whole.
    Zone(ZoneId),
    /// A customer, with all meters.
    Customer(CustomerId),
}

impl Subject {
    /// The identifier.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Meter(id) => id.as_str(),
            Self::Zone(id) => id.as_str(),
            Self::Customer(id) => id.as_str(),
        }
    }

    /// The meter, if it is one.
    pub const fn meter(&self) -> Option<&MeterId> {
        match self {
            Self::Meter(id) => Some(id),
            Self::Zone(_) | Self::Customer(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&MeterId> for Subject {
    fn from(id: &MeterId) -> Self {
        Self::Meter(id.clone())
    }
}

impl From<&ZoneId> for Subject {
    fn from(id: &ZoneId) -> Self {
        Self::Zone(id.clone())
    }
}

impl From<&CustomerId> for Subject {
    fn from(id: &CustomerId) -> Self {
        Self::Customer(id.clone())
    }
}

/// What a finding says.
#[derive(Debug, Clone, PartialEq)]
pub enum Words {
    /// A sentence of the rule, and what stands in its places.
    Said {
        /// The sentence.
        sentence: &'static Sentence,
        /// The values.
        args: Vec<Arg>,
    },
    /// English text, as earlier programs kept it.
    Text(String),
}

/// What a rule found at one instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Rule.
    pub rule: RuleId,
    /// Severity.
    pub severity: Severity,
    /// Meter, zone or customer.
    pub subject: Subject,
    /// Instant.
    pub at: DateTime<Utc>,
    /// The numbers behind it.
    pub words: Words,
}

impl Finding {
    /// A finding that says a sentence of its rule. Every place of the sentence needs a value.
    pub fn new(
        sentence: &'static Sentence,
        severity: Severity,
        subject: impl Into<Subject>,
        at: DateTime<Utc>,
        args: impl Into<Vec<Arg>>,
    ) -> Self {
        let args = args.into();
        debug_assert!(
            sentence.places().iter().all(|places| {
                let mut names: Vec<&str> = args.iter().map(|arg| arg.name.as_ref()).collect();
                names.sort_unstable();
                *places == names
            }),
            "{}.{} has other places than values: {args:?}",
            sentence.rule.key(),
            sentence.key
        );
        Self {
            rule: sentence.rule,
            severity,
            subject: subject.into(),
            at,
            words: Words::Said { sentence, args },
        }
    }

    /// What it says, in Chinese; the old text where there is only that.
    pub fn message_zh(&self) -> String {
        self.message(Language::Zh)
    }

    /// What it says, in English.
    pub fn message_en(&self) -> String {
        self.message(Language::En)
    }

    fn message(&self, language: Language) -> String {
        match &self.words {
            Words::Said { sentence, args } => words::compose(sentence, args, language),
            Words::Text(text) => text.clone(),
        }
    }

    /// The values in it.
    pub fn args(&self) -> &[Arg] {
        match &self.words {
            Words::Said { args, .. } => args,
            Words::Text(_) => &[],
        }
    }

    /// Puts findings in order of time, rule and what they say.
    pub fn sort(findings: &mut [Self]) {
        findings.sort_by(|a, b| {
            let of = |f: &Self| (f.at, f.rule);
            of(a)
                .cmp(&of(b))
                .then_with(|| a.subject.cmp(&b.subject))
                .then_with(|| a.message_en().cmp(&b.message_en()))
        });
    }
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
