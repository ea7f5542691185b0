//! Nudges (避峰用气): peaks found in the forecast, who could help, a baseline frozen beforehand,
//! a message, a channel, and the result measured afterwards.
//!
//! Protected customers cannot be nudged by construction: everything after
//! [`candidate::NudgeableCustomer::admit`] takes that type, and nothing else makes one.

pub mod baseline;
pub mod candidate;
pub mod channels;
pub mod dispatch;
pub mod measure;
pub mod message;
pub mod peak;
pub mod policy;
pub mod settlement;

pub(crate) mod draft;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::GasDay;
use crate::domain::id::{CustomerId, RunId};
use crate::domain::quantity::{Yuan, YuanPerM3};
use crate::nudge::baseline::Baseline;
use crate::nudge::peak::PeakReason;

pub use draft::{Considered, NOTICE_MIN, NudgeInput, PassedOver, RESPONSE_RATE, consider, draft};

/// Kind of a nudge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NudgeKind {
    /// 日前避峰
    DayAheadPeak,
    /// 日内超提预警
    OverTakeWarning,
    /// 欠提预警
    UnderTakeWarning,
    /// 季节备货
    SeasonalStock,
    /// 资源形势简报
    ResourceBrief,
    /// 市场化气量预警
    MarketGasWarning,
    /// 恢复正常
    BackToNormal,
    /// 效果回执
    Receipt,
}

impl NudgeKind {
    /// The word on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::DayAheadPeak => "日前避峰",
            Self::OverTakeWarning => "日内超提预警",
            Self::UnderTakeWarning => "欠提预警",
            Self::SeasonalStock => "季节备货",
            Self::ResourceBrief => "资源形势简报",
            Self::MarketGasWarning => "市场化气量预警",
            Self::BackToNormal => "恢复正常",
            Self::Receipt => "效果回执",
        }
    }
}

/// Where a nudge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NudgeState {
    /// 草稿
    Draft,
    /// 已批准
    Approved,
    /// 待发
    Queued,
    /// 待成员确认
    Confirmed,
    /// 已发
    Sent,
    /// 已送达
    Delivered,
    /// 已读
    Read,
    /// 已回复
    Replied,
    /// 已撤回
    Withdrawn,
}

impl NudgeState {
    /// Whether the enterprise has it.
    pub const fn has_left(self) -> bool {
        matches!(
            self,
            Self::Sent | Self::Delivered | Self::Read | Self::Replied
        )
    }

    /// Whether it waits for a person or for the channel.
    pub const fn is_open(self) -> bool {
        matches!(
            self,
            Self::Draft | Self::Approved | Self::Queued | Self::Confirmed
        )
    }
}

/// What an enterprise answers (回复).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplyAnswer {
    /// 1 可以
    Yes,
    /// 2 部分可以
    Part,
    /// 3 不便
    No,
}

/// An answer, as a person recorded it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reply {
    /// 1, 2 or 3.
    pub answer: ReplyAnswer,
    /// By how much the flow will fall, m³/h; with `part` only.
    pub m3h: Option<f64>,
    /// Its words.
    pub note: String,
    /// Who recorded it.
    pub who: String,
    /// When.
    #[schema(value_type = String)]
    pub at: DateTime<Utc>,
}

/// A suggestion to one enterprise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Nudge {
    /// Identifier: the same enterprise, window and kind give the same one.
    pub id: String,
    /// Kind.
    pub kind: NudgeKind,
    /// State.
    pub state: NudgeState,
    /// Enterprise.
    #[schema(value_type = String)]
    pub customer: CustomerId,
    /// Its name, for its own message only.
    pub name: String,
    /// Its one group.
    pub contact_group: String,
    /// Grid area.
    pub grid: String,
    /// Account manager, who confirms and signs.
    pub account_manager: String,
    /// Gas day of the window.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Start of the window.
    #[schema(value_type = String)]
    pub window_from: DateTime<Utc>,
    /// End of the window, excluded.
    #[schema(value_type = String)]
    pub window_to: DateTime<Utc>,
    /// Why there is a peak.
    pub reason: PeakReason,
    /// Forecast of the whole city on that day, m³.
    pub city_day_m3: i64,
    /// Forecast mean temperature of the day, °C.
    pub temperature_c: Option<f64>,
    /// Frozen before anything is sent.
    pub baseline: Baseline,
    /// By how much the flow should fall, m³/h.
    pub ask_m3h: i64,
    /// Flow that must remain for furnaces, m³/h.
    pub flow_min_safe_m3h: f64,
    /// Volume kept out of the window if the ask is followed, m³.
    pub avoided_m3: i64,
    /// Market price above contract price, 元/m³.
    #[schema(value_type = String)]
    pub price_gap: YuanPerM3,
    /// `avoided_m3 × price_gap`, 元; an estimate, never a promise.
    #[schema(value_type = String)]
    pub benefit: Yuan,
    /// Formula of the benefit, a heading of METHODS.
    pub formula: String,
    /// Forecast run.
    #[schema(value_type = String)]
    pub forecast_run: RunId,
    /// When it was drafted.
    #[schema(value_type = String)]
    pub created_at: DateTime<Utc>,
    /// Not to be sent before.
    #[schema(value_type = String)]
    pub send_after: DateTime<Utc>,
    /// Not to be sent from then on.
    #[schema(value_type = String)]
    pub expires_at: DateTime<Utc>,
    /// What the enterprise answered, if it did.
    #[serde(default)]
    pub reply: Option<Reply>,
}

/// Formula of [`Nudge::benefit`]; heading "Benefit of a nudge" of METHODS.
pub const BENEFIT_FORMULA: &str = "NB-1";
