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

/// What is said of a customer's plan for one gas day from an instant on: a volume, or that the plan was taken
/// back. A later word on the same day stands above the earlier and overwrites nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanWord {
    /// Customer.
    pub customer: CustomerId,
    /// Gas day.
    pub day: GasDay,
    /// Planned volume; none takes the plan back.
    pub volume: Option<StdVolume>,
    /// When we knew.
    pub available_at: DateTime<Utc>,
    /// The entry it came with; none where it came without one.
    pub entry: Option<String>,
}

impl From<&FiledPlan> for PlanWord {
    fn from(plan: &FiledPlan) -> Self {
        Self {
            customer: plan.customer.clone(),
            day: plan.day,
            volume: Some(plan.volume),
            available_at: plan.available_at,
            entry: None,
        }
    }
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
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Shutdown,
        Self::Resume,
        Self::Expand,
        Self::Reduce,
        Self::Shift,
        Self::Switch,
        Self::Equipment,
        Self::Holiday,
        Self::Fuel,
    ];

    /// Whether it can mean so much more (or, negative, less) a day: nobody uses more by standing still.
    pub fn fits(self, delta_m3_per_day: f64) -> bool {
        match self {
            Self::Shutdown | Self::Reduce | Self::Holiday | Self::Fuel => delta_m3_per_day <= 0.0,
            Self::Resume | Self::Expand => delta_m3_per_day >= 0.0,
            Self::Shift | Self::Switch | Self::Equipment => true,
        }
    }

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

/// What somebody entered about a production change: what it is from then on, or that it is taken back.
///
/// An entry with the `id` of an earlier one corrects it and overwrites nothing; when it became known is its
/// change's `available_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeEntry {
    /// Names the change through all its entries.
    pub id: String,
    /// The change; of one that is taken back, as it last was.
    #[serde(flatten)]
    pub change: ProductionChange,
    /// Who entered it.
    pub person: String,
    /// Why, or what was said.
    pub reason: String,
    /// Taken back.
    pub is_withdrawn: bool,
}
