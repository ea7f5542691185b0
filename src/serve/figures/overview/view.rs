//! What the overview looks like in JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::GasDay;
use crate::ledger::entry::LedgerStatus;
use crate::serve::figures::Band;
use crate::serve::figures::bought::SourceSplit;
use crate::serve::figures::weather::StationWeather;

/// `GET /api/v1/overview`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Overview {
    /// The company's name.
    pub company: String,
    /// The instant of all figures.
    pub now: String,
    /// The gas day that runs.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Hour at which gas days start, Beijing time.
    pub gas_day_start_hour: u32,
    /// Part of the gas day that is over, 0 to 1.
    pub gas_day_progress: f64,
    /// Left of the gas day, s.
    pub remaining_s: i64,
    /// Seconds of the clock in a real second: 1 in production.
    pub time_factor: f64,
    /// Stations.
    pub weather: Vec<StationWeather>,
    /// Part of the expected meters that report, 0 to 1.
    pub coverage_ratio: Option<f64>,
    /// Meters.
    pub meters: MeterCounts,
    /// Open alerts by level.
    pub alerts: AlertCounts,
    /// Headline figures.
    pub kpi: Kpi,
    /// The gas day hour by hour.
    pub today: TodayView,
    /// By source.
    pub sources: Vec<SourceView>,
    /// By class.
    pub classes: Vec<ClassView>,
    /// Days × hours, m³; today's open hours are forecast.
    pub heatmap: Vec<HeatmapDay>,
    /// The largest customers of the ledger.
    pub top_customers: Vec<TopCustomer>,
    /// Collection.
    pub collect: CollectView,
}

/// Meters in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct MeterCounts {
    /// In the registry.
    pub expected: u64,
    /// Heard of within two of their periods.
    pub reporting: u64,
    /// The rest.
    pub silent: u64,
}

/// Open alerts by level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct AlertCounts {
    /// 红
    pub red: u64,
    /// 橙
    pub orange: u64,
    /// 黄
    pub yellow: u64,
    /// 蓝
    pub blue: u64,
}

/// Headline figures; what is not known is null.
///
/// What stands beside a nomination or contract is gas bought (购气侧): what the gates measured, and what must be
/// bought in the other hours, with loss and without what is carried for others. What customers' meters show is
/// 用户侧, and says so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Kpi {
    /// Nominated for today, m³ (当日总指定).
    pub nominated_m3: Option<i64>,
    /// Bought in the hours that all gates have, m³ (已提取); 0 before the first hour is in, null if the gates are
    /// silent.
    pub taken_m3: Option<i64>,
    /// End of the last hour in `taken_m3`; the start of the gas day before the first is in.
    pub taken_through: Option<String>,
    /// Hours in `taken_m3`.
    pub taken_hours: Option<usize>,
    /// Nominated for these hours, m³; null where the nomination has no hours.
    pub due_m3: Option<i64>,
    /// `taken_m3` less `due_m3`, m³: ahead of the nomination (+) or behind (−).
    pub pace_m3: Option<i64>,
    /// Used by customers so far, m³ (用户侧).
    pub used_m3: Option<i64>,
    /// Nominated and not yet taken, m³.
    pub remaining_m3: Option<i64>,
    /// The same spread over the hours of the gas day that are not in `taken_m3`, m³/h (剩余平均提取流量).
    pub remaining_avg_flow_m3h: Option<f64>,
    /// What will have been bought today (今日预计购气): known hours, and what must be bought in the others.
    pub bought_day: Option<Band>,
    /// The P50 of `bought_day` less what is nominated, m³ (预计超欠提).
    pub deviation_m3: Option<i64>,
    /// Probability that what is bought today exceeds what is nominated by more than the contracts' band.
    pub over_probability: Option<f64>,
    /// What customers will have used today (用户侧): hours known, and the forecast for the rest.
    pub expected_day: Option<Band>,
    /// Used yesterday, m³ (用户侧).
    pub yesterday_m3: Option<i64>,
    /// Bought yesterday, m³.
    pub bought_yesterday_m3: Option<i64>,
    /// What customers will use tomorrow (用户侧).
    pub tomorrow: Option<Band>,
    /// What must be bought tomorrow.
    pub bought_tomorrow: Option<Band>,
    /// Bought in the month so far, m³; null if a closed day of it is not known.
    pub month_taken_m3: Option<i64>,
    /// Contracted for the month, m³.
    pub month_contract_m3: Option<i64>,
    /// 剩余合同日均, m³ a day.
    pub remaining_avg_dcq_m3: Option<f64>,
}

/// The gas day hour by hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TodayView {
    /// 24 hours from the start hour.
    pub hours: Vec<HourView>,
}

/// An hour of today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HourView {
    /// Beijing hour at which it starts.
    pub civil_hour: u32,
    /// Used by customers, m³ (用户侧).
    pub actual_m3: Option<i64>,
    /// Quality of what was used.
    pub quality: Option<String>,
    /// Forecast of their use.
    pub band: Option<Band>,
    /// Bought, m³; null in an hour that a gate lacks.
    pub bought_m3: Option<i64>,
    /// What the run says must be bought.
    pub bought_band: Option<Band>,
    /// Nominated, m³, where the nomination has hours.
    pub nominated_m3: Option<i64>,
}

/// A source today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceView {
    /// Identifier.
    pub source: String,
    /// Name.
    pub name: String,
    /// Class.
    pub class: String,
    /// Upstream supplier.
    pub supplier: String,
    /// Delivery point.
    pub delivery_point: String,
    /// Nominated for today, m³.
    pub nominated_m3: Option<i64>,
    /// Its part of what was taken so far, m³: no meter measures it where gates have several sources.
    pub taken_m3: Option<i64>,
    /// How that part was told.
    pub taken_by: Option<SourceSplit>,
    /// Nominated for the hours in `taken_m3`, m³; null where the nomination has no hours.
    pub due_m3: Option<i64>,
    /// `taken_m3` less `due_m3`, m³.
    pub pace_m3: Option<i64>,
    /// Contracted for the month, m³.
    pub month_contract_m3: Option<i64>,
    /// Taken in the month so far, m³: each day split as it was nominated, else by shares.
    pub month_taken_m3: Option<i64>,
    /// 剩余合同日均, m³ a day.
    pub remaining_avg_dcq_m3: Option<f64>,
    /// What must be bought tomorrow, by shares of sources.
    pub tomorrow: Option<Band>,
    /// Suggested nomination for tomorrow, m³.
    pub suggested_m3: Option<i64>,
}

/// A class today.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClassView {
    /// Key.
    pub class: String,
    /// Today's total: hours known, and the forecast for the rest.
    pub today: Option<Band>,
    /// Used yesterday, m³.
    pub yesterday_m3: Option<i64>,
    /// 24 hours of today.
    pub hours: Vec<ClassHour>,
}

/// An hour of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassHour {
    /// Used, m³.
    pub actual_m3: Option<i64>,
    /// Forecast, m³.
    pub p50_m3: Option<i64>,
}

/// A row of the heat map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeatmapDay {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// 24 volumes, m³.
    pub hours: Vec<Option<i64>>,
}

/// A customer of the ledger, largest first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TopCustomer {
    /// Account number.
    pub account_no: String,
    /// Name.
    pub name: String,
    /// Class.
    pub class: String,
    /// Mean flow of the last known hour, m³/h.
    pub latest_flow_m3h: Option<f64>,
    /// Used yesterday, m³.
    pub yesterday_m3: Option<f64>,
    /// Filed for yesterday, m³.
    pub plan_m3: Option<f64>,
    /// Status in the ledger.
    pub status: LedgerStatus,
    /// Last 30 days, m³.
    pub sparkline: Vec<Option<f64>>,
}

/// Collection since the program started.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CollectView {
    /// Frames taken from the queue.
    pub received: u64,
    /// Frames that added a reading.
    pub accepted: u64,
    /// Frames kept with a reason.
    pub rejected: u64,
    /// Frames that said nothing new.
    pub duplicates: u64,
    /// Frames in a second, lately.
    pub rate_per_s: f64,
    /// Age of the oldest frame that waits for its commit, s.
    pub journal_lag_s: Option<f64>,
}

/// `event: overview` of `/api/v1/live`: the part of the overview that moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LiveOverview {
    /// The instant of all figures.
    pub now: String,
    /// The gas day that runs.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Part of the gas day that is over, 0 to 1.
    pub gas_day_progress: f64,
    /// Left of the gas day, s.
    pub remaining_s: i64,
    /// Headline figures.
    pub kpi: Kpi,
    /// Collection.
    pub collect: CollectView,
    /// Meters.
    pub meters: MeterCounts,
    /// Part of the expected meters that report, 0 to 1.
    pub coverage_ratio: Option<f64>,
}

impl From<&Overview> for LiveOverview {
    fn from(overview: &Overview) -> Self {
        Self {
            now: overview.now.clone(),
            gas_day: overview.gas_day,
            gas_day_progress: overview.gas_day_progress,
            remaining_s: overview.remaining_s,
            kpi: overview.kpi.clone(),
            collect: overview.collect,
            meters: overview.meters,
            coverage_ratio: overview.coverage_ratio,
        }
    }
}
