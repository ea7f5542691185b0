//! What the forecast page looks like in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::serve::figures::Band;
use crate::serve::figures::methods::NodeMethod;

/// How far and how fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Horizon {
    /// Hours of the first days of the run.
    Hourly,
    /// Gas days of the whole run.
    Daily,
}

/// What the total is split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Not split.
    #[default]
    Total,
    /// By gas source.
    Source,
    /// By customer class.
    Class,
    /// By time slot.
    Slot,
}

/// A member of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Label {
    /// Key in this API.
    pub key: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
}

/// A point in the future.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastPoint {
    /// Start of the hour or of the gas day.
    pub at: String,
    /// Gas day.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Beijing hour; null for a day.
    pub civil_hour: Option<u32>,
    /// Forecast.
    pub band: Band,
    /// The same hour or day of the last week that was known, m³.
    pub naive_m3: Option<i64>,
    /// What was used, where it is known by now, m³.
    pub actual_m3: Option<i64>,
}

/// A point in the past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPoint {
    /// Start of the hour or of the gas day.
    pub at: String,
    /// Gas day.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Beijing hour; null for a day.
    pub civil_hour: Option<u32>,
    /// Used, m³.
    pub actual_m3: i64,
}

/// One member's points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// Member of the dimension.
    pub key: String,
    /// Aligned with `total`.
    pub points: Vec<Band>,
}

/// A line of the three-day table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TableRow {
    /// Member of the dimension.
    pub key: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Used yesterday, m³.
    pub yesterday_m3: Option<i64>,
    /// The gas day that runs.
    pub today: Band,
    /// The next.
    pub tomorrow: Band,
    /// Part of tomorrow's P50, 0 to 1.
    pub share: f64,
    /// Today's P50 against yesterday, as a ratio: 0.05 is five per cent more.
    pub vs_yesterday: Option<f64>,
}

/// 昨 / 今 / 明.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cards {
    /// The last completed gas day.
    pub yesterday: YesterdayCard,
    /// The gas day that runs.
    pub today: DayCard,
    /// The next.
    pub tomorrow: DayCard,
    /// The same days at the gates (购气侧); null of classes and slots, which nothing is bought for.
    pub bought: Option<BoughtCards>,
}

/// 昨 / 今 / 明 as bought: with loss, without what is carried for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoughtCards {
    /// Delivered on the last completed gas day, m³.
    pub yesterday_m3: Option<i64>,
    /// The gas day that runs: what the gates measured, and what must be bought in the other hours; the figure
    /// of the overview and of the nomination (今日预计).
    pub today: Option<Band>,
    /// What must be bought on the next.
    pub tomorrow: Option<Band>,
}

/// A completed day and what had been expected of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct YesterdayCard {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Used, m³.
    pub actual_m3: Option<i64>,
    /// P50 of the last run made before the day began, m³.
    pub forecast_m3: Option<i64>,
}

/// A day to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DayCard {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Forecast.
    pub band: Band,
}

/// A month by what was used and what is expected (用户侧), and by what is bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MonthView {
    /// `YYYY-MM`.
    #[schema(value_type = String)]
    pub month: GasMonth,
    /// Used on its completed days, m³; null if one of them is not known.
    pub used_m3: Option<i64>,
    /// Expected to be used on its other days that the run reaches.
    pub remaining: Band,
    /// Both together.
    pub expected: Option<Band>,
    /// The month at the gates, to be set against the contract; null of classes and slots.
    pub bought: Option<BoughtMonth>,
}

/// A month as bought (购气侧): with loss, without what is carried for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoughtMonth {
    /// Delivered on its completed days, m³ (已提取); null if one of them is not known.
    pub taken_m3: Option<i64>,
    /// To be bought on the gas day that runs and those after it; null unless the run reaches them all.
    pub remaining: Option<Band>,
    /// Both together.
    pub expected: Option<Band>,
    /// Contracted, m³.
    pub contract_m3: Option<i64>,
    /// Expected less contracted, m³: over-take (+) or under-take (−).
    pub gap_m3: Option<i64>,
}

/// A line of the last backtest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QualityRow {
    /// Customer class, or `total`.
    pub class: String,
    /// Lead time.
    pub lead: String,
    /// Forecasts scored: days, or months for totals of months; null in backtests of earlier programs.
    #[serde(default)]
    pub cases: Option<usize>,
    /// Weighted absolute percentage error of P50, 0.05 is five per cent.
    pub wape: f64,
    /// The same of the seasonal-naive forecast.
    pub naive_wape: f64,
    /// Part of actual values between P10 and P90.
    pub coverage: Option<f64>,
}

/// `GET /api/v1/forecast`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForecastView {
    /// The run.
    pub run_id: String,
    /// Nothing known after this instant was used.
    pub origin_at: String,
    /// What it was made from.
    pub made_with: Vec<(String, String)>,
    /// Names of the series whose regression was learnt, by the run that learnt it: this one, or an earlier
    /// one whose past was the same; `L…` is the ledger. Nodes are named `zone/class`, large consumers by
    /// account number. Empty for runs of earlier programs.
    pub learnt_by: BTreeMap<String, Vec<String>>,
    /// How far and how fine.
    pub horizon: Horizon,
    /// What the total is split by.
    pub by: Dimension,
    /// Members of the dimension.
    pub labels: Vec<Label>,
    /// The total, or the one member asked for by `key`.
    pub total: Vec<ForecastPoint>,
    /// What came before.
    pub history: Vec<HistoryPoint>,
    /// Each member, aligned with `total`.
    pub series: Vec<Series>,
    /// Yesterday, today and tomorrow of each member.
    pub table: Vec<TableRow>,
    /// Yesterday, today and tomorrow of the whole.
    pub cards: Cards,
    /// This month and the next.
    pub month: Vec<MonthView>,
    /// The last backtest; empty if there was none.
    pub quality: Vec<QualityRow>,
    /// What each zone × class was forecast by, with its P50 of tomorrow.
    pub methods: Vec<NodeMethod>,
}
