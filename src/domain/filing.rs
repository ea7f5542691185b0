//! What customers tell us beforehand: filed plans and production changes.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::id::CustomerId;
use crate::domain::quantity::StdVolume;

/// A customer's own declaration for one gas day (客户申报).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledPlan {
    /// Customer.
    pub customer: CustomerId,
    /// Gas day.
    pub day: GasDay,
    /// Planned volume.
    pub volume: StdVolume,
    /// When we knew.
    pub available_at: DateTime<Utc>,
}

/// Kind of a production change (生产变更类型). domain.md §10.A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// 停产检修
    Shutdown,
    /// 复产
    Resume,
    /// 扩产
    Expand,
    /// 减产
    Reduce,
    /// 错峰
    Shift,
    /// 转产
    Switch,
    /// 设备更换
    Equipment,
    /// 放假
    Holiday,
    /// 燃料替代
    Fuel,
}

impl ChangeKind {
    /// The name on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::Shutdown => "停产检修",
            Self::Resume => "复产",
            Self::Expand => "扩产",
            Self::Reduce => "减产",
            Self::Shift => "错峰",
            Self::Switch => "转产",
            Self::Equipment => "设备更换",
            Self::Holiday => "放假",
            Self::Fuel => "燃料替代",
        }
    }

    /// Whether the customer stands still, as far as gas goes.
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Shutdown | Self::Holiday | Self::Fuel)
    }
}

/// A production change (生产变更计划), first-class input of forecast and ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProductionChange {
    /// Customer.
    pub customer: CustomerId,
    /// Kind.
    pub kind: ChangeKind,
    /// First gas day.
    pub from_on: NaiveDate,
    /// Last gas day, included.
    pub to_on: NaiveDate,
    /// Change of the daily volume, m³/d; negative is less.
    pub delta_m3_per_day: f64,
    /// 0 to 1.
    pub confidence: f64,
    /// Who told us (微信/电话/走访/申报).
    pub source: String,
    /// When we knew.
    pub available_at: DateTime<Utc>,
}
