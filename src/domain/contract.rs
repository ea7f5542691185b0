//! Supply contracts (供气合同) as data: components, periods, quantities, bands, prices, deadlines.

use chrono::{NaiveDate, NaiveTime};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{GasDay, GasDayClock, GasMonth};
use crate::domain::customer::SaleMode;
use crate::domain::id::{ContractId, SourceId};
use crate::domain::quantity::{StdVolume, YuanPerM3};
use crate::domain::season::Season;

/// Component of a contract (合同组成). domain.md §10.A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContractComponentKind {
    /// 居民气量
    Residential,
    /// 均衡一
    Balanced1,
    /// 均衡二
    Balanced2,
    /// 均衡三
    Balanced3,
    /// 调峰
    PeakShaving,
    /// 存量
    Stock,
    /// 增量
    Increment,
    /// 市场化 (合同外)
    Market,
}

impl ContractComponentKind {
    /// The name on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::Residential => "居民",
            Self::Balanced1 => "均衡1",
            Self::Balanced2 => "均衡2",
            Self::Balanced3 => "均衡3",
            Self::PeakShaving => "调峰",
            Self::Stock => "存量",
            Self::Increment => "增量",
            Self::Market => "市场化",
        }
    }
}

/// One component with its monthly quantities and price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractComponent {
    /// Kind.
    pub kind: ContractComponentKind,
    /// Contract quantity of each calendar month, January first, m³ (月合同量).
    pub contract_month_m3: [StdVolume; 12],
    /// Price in the contract's pricing season (旺季), 元/m³.
    pub price_high_yuan_per_m3: YuanPerM3,
    /// Price in the rest of the year (淡季), 元/m³.
    pub price_low_yuan_per_m3: YuanPerM3,
}

/// What a deviation costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviationTerms {
    /// Part of the declared quantity within which a deviation is free (±).
    pub band_ratio: f64,
    /// Paid on top of the contract price for volume over the band (超提), 元/m³.
    pub over_take_yuan_per_m3: YuanPerM3,
    /// Paid for declared volume not taken below the band (欠提), 元/m³.
    pub under_take_yuan_per_m3: YuanPerM3,
    /// Part of the annual quantity to be paid whether taken or not (照付不议), 0 to 1.
    pub take_or_pay_ratio: f64,
    /// Least and most of the average daily contract quantity that may be nominated for a day.
    pub take_day_min_ratio: f64,
    /// See `take_day_min_ratio`.
    pub take_day_max_ratio: f64,
    /// Largest flow at the delivery point, m³/h (日最大瞬时流量).
    pub flow_max_m3h: f64,
}

/// When things are due (五个时间字段), Beijing time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deadlines {
    /// Day of the month before by which the monthly declaration is due (月指定提交).
    pub month_submit_day: u32,
    /// Day of the month before by which the reply comes (月指定批复).
    pub month_reply_day: u32,
    /// Day-ahead nomination, soft (日指定提交).
    pub day_submit_at: NaiveTime,
    /// Day-ahead nomination, hard: later needs the shift leader's override.
    pub day_submit_hard_at: NaiveTime,
    /// Reply to the nomination (日指定批复).
    pub day_reply_at: NaiveTime,
    /// In-day change (日指定变更).
    pub day_change_at: NaiveTime,
}

/// A supply contract, one `[[contract]]` of `contracts.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplyContract {
    /// Contract number (合同编号).
    pub id: ContractId,
    /// Upstream supplier (资源方).
    pub supplier: String,
    /// The source it delivers.
    pub source: SourceId,
    /// Delivery point (下气点).
    pub delivery_point: String,
    /// How the gas is sold.
    #[serde(default)]
    pub sale_mode: SaleMode,
    /// Hour at which its gas day starts.
    #[serde(default)]
    pub gas_day_start_hour: GasDayClock,
    /// First gas day.
    pub valid_from: NaiveDate,
    /// Last gas day, included.
    pub valid_to: NaiveDate,
    /// Whether this supplier absorbs what others do not cover (兜底气源).
    #[serde(default)]
    pub is_swing: bool,
    /// Its pricing season, where it is not that of the place it supplies; see
    /// [`Registry::price_season`](crate::domain::registry::Registry::price_season).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<Season>,
    /// Components.
    #[serde(rename = "component")]
    pub components: Vec<ContractComponent>,
    /// What a deviation costs.
    pub deviation: DeviationTerms,
    /// Deadlines.
    pub deadlines: Deadlines,
}

impl ContractComponent {
    /// Contract quantity of a month.
    pub fn month_quantity(&self, month: GasMonth) -> StdVolume {
        self.contract_month_m3
            .get(month.month as usize - 1)
            .copied()
            .unwrap_or_default()
    }

    /// Price on a gas day, by the contract's pricing season.
    pub fn price_on(&self, day: GasDay, season: &Season) -> YuanPerM3 {
        if season.contains(day.0) {
            self.price_high_yuan_per_m3
        } else {
            self.price_low_yuan_per_m3
        }
    }

    /// Mean price of a month's gas days, to 0.0001 元/m³: one price, but where the season begins or ends in it.
    pub fn price_in(&self, month: GasMonth, season: &Season) -> YuanPerM3 {
        let days = month.days();
        let sum: Decimal = days.iter().map(|day| self.price_on(*day, season).0).sum();
        YuanPerM3((sum / Decimal::from(days.len())).round_dp(4))
    }
}

impl SupplyContract {
    /// Contract quantity of a month over all components but market gas (月合同量).
    pub fn month_quantity(&self, month: GasMonth) -> StdVolume {
        self.components
            .iter()
            .filter(|c| c.kind != ContractComponentKind::Market)
            .map(|c| c.month_quantity(month))
            .sum()
    }
}
