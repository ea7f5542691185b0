//! A line of the ledger, as the API serves it.
//!
//! Exact volumes are strings of m³ with four decimals, statistics are numbers in m³; what is not
//! known is null. The names are those of domain.md §2.10, groups A to H.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::calendar::GasDay;
use crate::domain::customer::{CustomerClass, PriceTier, SaleMode, ShiftPattern, SizeClass};
use crate::domain::filing::{ChangeKind, ProductionChange};
use crate::domain::id::{CustomerId, MeterId};
use crate::domain::meter::SettlementTotal;
use crate::domain::quantity::{StdVolume, Yuan, YuanPerM3};
use crate::ledger::entry::{CustomerForecast, RegisterTotal};
use crate::ledger::quarter::QuarterChange;

/// One large consumer's line (台账行).
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = LedgerRow)]
pub struct LedgerEntry {
    // A 基本
    /// Account number (户号).
    #[schema(value_type = String)]
    pub account_no: CustomerId,
    /// Name (企业名称).
    pub name: String,
    /// Industry (行业).
    pub industry: String,
    /// Class by use (用户类别).
    #[schema(value_type = String)]
    pub class: CustomerClass,
    /// Size by design flow (规模等级).
    #[schema(value_type = String)]
    pub size_class: SizeClass,
    /// Grid area (网格).
    pub grid: String,
    /// Account manager (客户经理).
    pub account_manager: String,
    /// The one group of this enterprise (微信项目群); empty if none.
    pub contact_group: String,
    /// Name of the supply zone (供气区域).
    pub zone: String,
    /// Why it is on the ledger (入台账依据).
    pub basis: String,
    /// Part of the master data that is filled in (资料完整率), 0 to 1.
    pub completeness: f64,

    // B 合同与价格
    /// Contracted volume of the year (年合同量), m³; null without a contract.
    #[schema(value_type = Option<String>)]
    pub contract_annual_m3: Option<StdVolume>,
    /// How the gas is sold (合同类型).
    #[schema(value_type = String)]
    pub sale_mode: SaleMode,
    /// Price before discount (基准价).
    #[schema(value_type = String)]
    pub base_price_yuan_per_m3: YuanPerM3,
    /// Volume-price tier of the year so far (以量定价档位); null where days that are not known decide it.
    #[schema(value_type = Option<String>)]
    pub price_tier: Option<PriceTier>,
    /// Agreed discount (优惠额).
    #[schema(value_type = String)]
    pub agreed_discount_yuan_per_m3: YuanPerM3,
    /// Least discount of the tier; null where it is negotiated or the tier is not known.
    #[schema(value_type = Option<String>)]
    pub discount_floor_yuan_per_m3: Option<YuanPerM3>,
    /// Known use of the calendar year up to and with yesterday (当年累计), m³: no less was used.
    #[schema(value_type = String)]
    pub year_to_date_m3: StdVolume,
    /// Gas days of the year since the customer is connected whose use is not known (缺数天数).
    pub year_days_unknown: i64,
    /// What is missing to the next tier (距下一档), m³; null in the last, and while a day is not known.
    #[schema(value_type = Option<String>)]
    pub to_next_tier_m3: Option<StdVolume>,
    /// When the next tier is reached at the mean of the last 30 days (预计达档日期); null if not
    /// this year.
    #[schema(value_type = Option<String>)]
    pub next_tier_on: Option<NaiveDate>,
    /// Whether supply may be interrupted (可中断).
    pub is_interruptible: bool,
    /// Protection rank, 1 to 9 (保供序位).
    pub protection_rank: u8,
    /// Flow that keeps furnaces alive (保炉最小气量), m³/h.
    pub flow_min_safe_m3h: f64,

    // C 表具
    /// Meters (表数).
    pub meter_count: usize,
    /// The largest meter (主表编号); empty without a meter.
    #[schema(value_type = String)]
    pub main_meter: MeterId,
    /// Build of the main meter (表型); empty without a meter.
    pub meter_kind: String,
    /// How the main meter reports (通信方式): `mqtt` or `modbus`; empty without a meter.
    pub transport: String,
    /// Largest flow over all meters (Qmax), m³/h.
    pub flow_max_m3h: f64,
    /// Last total of the main meter (最近读数) as its settlement register shows it, m³.
    #[schema(value_type = Option<String>)]
    pub latest_total_m3: Option<RegisterTotal>,
    /// Which register that is (工况/标况): `std` or `work`; a working total is not converted.
    #[schema(value_type = Option<String>)]
    pub latest_total_kind: Option<SettlementTotal>,
    /// When the main meter last reported (最近时间).
    #[schema(value_type = Option<String>)]
    pub latest_at: Option<DateTime<Utc>>,
    /// Part of the last 7 days' hours that have data (数据完整率), 0 to 1.
    pub data_completeness_7d: f64,

    // D 用气特性
    /// Shift pattern (班制).
    #[schema(value_type = String)]
    pub shift: ShiftPattern,
    /// How it uses gas (用气规律).
    pub pattern: UsePattern,
    /// Change of the daily volume per degree in the heating season (温度敏感系数), m³/°C.
    pub temperature_sensitivity_m3_per_c: Option<f64>,
    /// Part of yesterday's volume in peak slots (峰时占比), 0 to 1.
    pub peak_share: Option<f64>,
    /// Yesterday's mean hour over its largest (负荷率), 0 to 1.
    pub load_factor: Option<f64>,
    /// Volume that can move off the peak on a day (可移峰能力), m³.
    pub shiftable_m3_per_day: f64,

    // E 监控(日)
    /// Yesterday (昨日实际), m³.
    #[schema(value_type = Option<String>)]
    pub yesterday_m3: Option<StdVolume>,
    /// Today so far (今日累计), m³.
    #[schema(value_type = Option<String>)]
    pub today_so_far_m3: Option<StdVolume>,
    /// Today expected: the P50, or what is used already if that is more (今日预计), m³.
    pub today_expected_m3: Option<f64>,
    /// Plan filed for yesterday (客户申报), the day the deviation is about, m³.
    #[schema(value_type = Option<String>)]
    pub plan_m3: Option<StdVolume>,
    /// Forecast of today (预测).
    pub forecast: Option<LedgerBand>,
    /// Yesterday less its plan (日偏差量), m³.
    #[schema(value_type = Option<String>)]
    pub deviation_m3: Option<StdVolume>,
    /// Deviation over plan (日偏差率).
    pub deviation_ratio: Option<f64>,
    /// Change against the day before (环比), −1 up.
    pub day_on_day: Option<f64>,
    /// Change against the same date a year before (同比), −1 up.
    pub year_on_year: Option<f64>,
    /// Yesterday's largest hour (最高小时), m³.
    #[schema(value_type = Option<String>)]
    pub peak_hour_m3: Option<StdVolume>,
    /// Yesterday's volume in peak slots (峰段用量), m³.
    #[schema(value_type = Option<String>)]
    pub peak_slots_m3: Option<StdVolume>,
    /// Known use of the month up to and with yesterday (月累计), m³: no less was used.
    #[schema(value_type = String)]
    pub month_to_date_m3: StdVolume,
    /// Its gas days whose use is not known.
    pub month_days_unknown: i64,
    /// Month to date over the month's plan (月计划完成率); null while a day is not known. The plan is the
    /// sum of the filed days where all are filed, else a twelfth of the annual contract.
    pub month_plan_ratio: Option<f64>,
    /// Complete gas days of the month over all of them (时间进度).
    pub time_progress: f64,
    /// Month expected less its plan (预计当月偏差), m³; a day that is not known counts as a mean one.
    pub month_expected_deviation_m3: Option<f64>,

    // F 预警
    /// Status, by the worst finding (状态).
    pub status: LedgerStatus,
    /// Findings, the worst first.
    pub findings: Vec<LedgerFinding>,

    // G 生产变更
    /// The production change in force, or the next one within 30 days.
    pub change: Option<LedgerChange>,

    // H 避峰
    /// What it answered to off-peak suggestions and what came of them; null if it never had one.
    pub off_peak: Option<OffPeakRecord>,

    /// The last quarter's use beside that of the quarter before (用气规律变化); null where either is not
    /// known well enough.
    pub quarter: Option<QuarterChange>,

    /// The last 30 gas days up to and with yesterday, m³.
    pub sparkline: Vec<Option<f64>>,

    /// Yuan at stake, by which lines of one status are sorted: base price × the larger of the
    /// day's and the month's expected deviation.
    #[serde(skip)]
    #[schema(ignore)]
    pub risk_yuan: f64,
}

/// How a customer uses gas (用气规律).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsePattern {
    /// 稳定
    Stable,
    /// 峰谷
    Peaks,
    /// 季节
    Seasonal,
    /// 间歇
    Intermittent,
    /// Fewer than 28 days known.
    Unknown,
}

/// Status of a line (状态).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LedgerStatus {
    /// 正常
    Normal,
    /// 关注
    Watch,
    /// 预警
    Warning,
    /// 异常
    Abnormal,
}

/// Level of a finding, of the national four, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// 蓝: worth knowing.
    Blue,
    /// 黄
    Yellow,
    /// 橙
    Orange,
    /// 红
    Red,
}

/// One finding (预警).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LedgerFinding {
    /// Code of the alert catalogue.
    pub code: &'static str,
    /// In Chinese, with its numbers.
    pub message_zh: String,
    /// In English, with its numbers.
    pub message_en: String,
    /// Level.
    pub level: Level,
    /// When it has to be dealt with (时限), counted from when it could be known.
    #[schema(value_type = Option<String>)]
    pub due_at: Option<DateTime<Utc>>,
}

/// A production change (生产变更) as the ledger shows it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LedgerChange {
    /// Kind.
    #[schema(value_type = String)]
    pub kind: ChangeKind,
    /// First gas day.
    #[schema(value_type = String)]
    pub from_on: NaiveDate,
    /// Last gas day, included.
    #[schema(value_type = String)]
    pub to_on: NaiveDate,
    /// Change of the daily volume, m³/d.
    pub delta_m3_per_day: f64,
    /// 0 to 1.
    pub confidence: f64,
    /// Who told us.
    pub source: String,
}

impl From<&ProductionChange> for LedgerChange {
    fn from(change: &ProductionChange) -> Self {
        Self {
            kind: change.kind,
            from_on: change.from_on,
            to_on: change.to_on,
            delta_m3_per_day: change.delta_m3_per_day,
            confidence: change.confidence,
            source: change.source.clone(),
        }
    }
}

/// Whether an enterprise takes part in off-peak use (参与意愿), by what it said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OffPeakWillingness {
    /// 愿意: it answered that it can.
    Willing,
    /// 部分: it can for a part.
    Partly,
    /// 不便: it cannot.
    Unable,
    /// 退订: it wants no messages.
    OptedOut,
}

/// What came of an enterprise's off-peak suggestions (避峰).
#[derive(Debug, Clone, PartialEq, Default, Serialize, ToSchema)]
pub struct OffPeakRecord {
    /// Whether it takes part (参与意愿); null if it never said.
    pub willingness: Option<OffPeakWillingness>,
    /// Gas day of the last settled event (近次事件).
    #[schema(value_type = Option<String>)]
    pub event_on: Option<GasDay>,
    /// Baseline less actual of that event (削减量), m³; negative if more was used, null where its hours
    /// are missing or estimated.
    pub reduction_m3: Option<f64>,
    /// Reduction over what was asked for or promised (履约率); null as the reduction.
    pub performance_ratio: Option<f64>,
    /// What all its settled events saved together (累计节省), 元; null before the first.
    #[schema(value_type = Option<String>)]
    pub saved_yuan: Option<Yuan>,
    /// Beijing day on which a message last left for it, or on which it last answered (最近沟通日期).
    #[schema(value_type = Option<String>)]
    pub contacted_on: Option<NaiveDate>,
}

/// A forecast's band, m³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LedgerBand {
    /// One in ten lies below.
    pub p10_m3: i64,
    /// Published.
    pub p50_m3: i64,
    /// One in ten lies above.
    pub p90_m3: i64,
    /// What it comes from: `plan`, or the rung of the ladder, from the best down: `regression`,
    /// `class_profile_scaled`, `class_profile_design_flow`, `seasonal_naive` (docs/METHODS.md, "Short
    /// history").
    #[schema(value_type = String)]
    pub model: &'static str,
}

impl From<&CustomerForecast> for LedgerBand {
    fn from(CustomerForecast { band, model }: &CustomerForecast) -> Self {
        Self {
            model,
            p10_m3: band.p10_m3,
            p50_m3: band.p50_m3,
            p90_m3: band.p90_m3,
        }
    }
}
