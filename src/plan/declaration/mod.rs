//! The monthly declaration (月度用气计划申报) as a document: everything its workbook, its page
//! and its API body show, in whole m³.
//!
//! The totals of all tables are equal because all are sums of the same cells; what is declared
//! is spread over days, classes and slots by largest remainder, so those columns agree as well.

mod background;
mod build;
mod gap;
mod optimum;
mod parts;
mod tables;

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{Calendar, DayType, GasDay, GasMonth};
use crate::domain::contract::ContractComponentKind;
use crate::domain::customer::{CustomerClass, SaleMode};
use crate::domain::demand::{Band, DemandForecast};
use crate::domain::factor::Factor;
use crate::domain::id::{ContractId, CustomerId, RunId, SourceId};
use crate::domain::quantity::ReferenceConditions;
use crate::domain::registry::Registry;
use crate::domain::slot::SlotLevel;
use crate::domain::source::SourceClass;
use crate::plan::PlanError;

pub use background::{
    Background, BackgroundKnown, Execution, ExecutionLine, ForecastNotes, OverrideLine, Security,
    Skill, SkillLine, VersionLine, YearBought,
};
pub use build::declare;
pub use gap::GapCover;
pub use parts::{FactorLine, PartTables, PartVolumes, PartsLine, PlannedLine, ProjectLine};

/// What a declaration is made from.
#[derive(Debug)]
pub struct DeclareInput<'a> {
    /// Registry as of the declaration.
    pub registry: &'a Registry,
    /// Holidays.
    pub calendar: &'a Calendar,
    /// The month declared.
    pub month: GasMonth,
    /// Forecast that reaches the whole month.
    pub forecast: &'a DemandForecast,
    /// What is known of earlier months.
    pub history: &'a MonthHistory,
    /// Forecast mean temperature by gas day, °C, where known.
    pub temperatures: &'a BTreeMap<GasDay, f64>,
    /// Large consumers, in the order of the sheet.
    pub large_consumers: Vec<LargeConsumerLine>,
    /// What the forecast consists of; none where a run of an earlier program does not say.
    pub breakdown: Option<&'a Breakdown>,
    /// Named factors as the forecast knew them.
    pub factors: &'a [Factor],
    /// What is told beside the quantities (sheets 7 to 9 and 11); none leaves those sheets empty.
    pub background: Option<BackgroundKnown>,
    /// Loss and own use, part of what is bought (供销差率), 0 to below 0.5.
    pub unaccounted_ratio: f64,
    /// Running number of the declaration within its month.
    pub sequence: u32,
    /// Version, from 1.
    pub version: u32,
    /// Which submission this would be, from 1.
    pub submission_no: u32,
    /// Why what was submitted is changed.
    pub change_reason: Option<String>,
    /// When.
    pub made_at: DateTime<Utc>,
    /// By whom.
    pub prepared_by: String,
}

/// Earlier months, whole m³; what is absent is unknown and printed as 「—」.
///
/// By source: what was bought (delivered). By class: what was sold; `unaccounted` the loss.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MonthHistory {
    /// Same month of the year before, by source (上年同期).
    pub last_year_by_source: BTreeMap<SourceId, i64>,
    /// Month before, by source (上月实际); days that are not over are forecast.
    pub last_month_by_source: BTreeMap<SourceId, i64>,
    /// What of the month before is measured, as long as not all of it is.
    pub last_month_measured: Option<MeasuredPart>,
    /// Same month of the year before, by class.
    pub last_year_by_class: BTreeMap<CustomerClass, i64>,
    /// Month before, by class.
    pub last_month_by_class: BTreeMap<CustomerClass, i64>,
    /// Of the month before what is measured, by source; absent where a day before today is unknown.
    pub last_month_measured_by_source: BTreeMap<SourceId, i64>,
    /// Of the month before what is expected on its days that are not over, by source.
    pub last_month_expected_by_source: BTreeMap<SourceId, i64>,
    /// What was bought in the 365 gas days before today.
    pub year: YearBought,
    /// Delivered in the contract year before the declared month begins, by contract.
    pub taken_by_contract: BTreeMap<ContractId, i64>,
    /// Days of the contract year before the declared month whose delivery is unknown, by contract: those
    /// without an entry in `taken_by_contract`.
    pub unknown_days: BTreeMap<ContractId, i64>,
}

/// The measured part of a month of which the rest is forecast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredPart {
    /// Last gas day that is over; before the month where none of it is.
    pub until: GasDay,
    /// Bought on its gas days that are over, by source, m³.
    pub by_source: BTreeMap<SourceId, i64>,
}

/// A monthly declaration.
///
/// # Units
/// Whole m³ unless a name says otherwise; one m³ is 0.0001 万m³.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Declaration {
    /// `SB-YYYYMM-公司-序号`.
    pub decl_no: String,
    /// Version, from 1.
    pub version: u32,
    /// Which submission it is, or would be if it were sent, from 1; 0 in documents of earlier programs.
    #[serde(default)]
    pub submission_no: u32,
    /// When it was sent; none of a draft.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub sent_at: Option<DateTime<Utc>>,
    /// Why what was submitted before is changed.
    pub change_reason: Option<String>,
    /// Declarant.
    pub company: String,
    /// Short name, as in the file name.
    pub company_short: String,
    /// What volumes refer to; absent in documents of earlier programs.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub reference: Option<ReferenceConditions>,
    /// Telephone.
    pub phone: String,
    /// Suppliers declared to, in the order of contracts.
    pub suppliers: Vec<String>,
    /// Month.
    #[schema(value_type = String, example = "2026-12")]
    pub month: GasMonth,
    /// First instant of the period.
    #[schema(value_type = String)]
    pub period_from: DateTime<Utc>,
    /// End of the period, excluded.
    #[schema(value_type = String)]
    pub period_to: DateTime<Utc>,
    /// Earliest day on which a contract wants the declaration.
    #[schema(value_type = String)]
    pub due_on: NaiveDate,
    /// When it was made.
    #[schema(value_type = String)]
    pub made_at: DateTime<Utc>,
    /// Who made it.
    pub prepared_by: String,
    /// Forecast run it stands on.
    #[schema(value_type = String)]
    pub forecast_run: RunId,
    /// Nothing known later was used.
    #[schema(value_type = String)]
    pub forecast_origin_at: DateTime<Utc>,
    /// Registry version.
    pub registry_version: String,
    /// Loss and own use, part of what is bought.
    pub unaccounted_ratio: f64,
    /// Last gas day that was over when this was made, where the month before reaches beyond it: what stands for
    /// later days of that month is forecast. Null where all of it was measured.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub last_month_measured_until: Option<GasDay>,
    /// Hour of Beijing time at which the gas day starts.
    pub gas_day_start_hour: u32,
    /// Sheet 1, contract by contract.
    pub contracts: Vec<ContractLine>,
    /// Sheet 1, its total.
    pub total: TotalLine,
    /// Sheet 1, demand above contract.
    pub gaps: Vec<GapLine>,
    /// Sheet 2.
    pub days: Vec<DayLine>,
    /// Sheet 3.
    pub structure: Vec<ClassLine>,
    /// Below sheet 3: what is carried for others and in no other figure; absent where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<CarriedLine>,
    /// Sheet 4.
    pub slots: SlotTables,
    /// Sheet 5.
    pub large_consumers: Vec<LargeConsumerLine>,
    /// Sheet 6; absent in documents of earlier programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<PartTables>,
    /// Sheets 7 to 9 and 11; absent in documents of earlier programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// Why this quantity.
    pub optimum: Optimum,
}

/// P10, P50, P90 in whole m³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quantiles {
    /// One in ten lies below.
    pub p10_m3: i64,
    /// Published.
    pub p50_m3: i64,
    /// One in ten lies above.
    pub p90_m3: i64,
}

impl From<Band> for Quantiles {
    fn from(band: Band) -> Self {
        Self {
            p10_m3: band.p10_m3,
            p50_m3: band.p50_m3,
            p90_m3: band.p90_m3,
        }
    }
}

/// One component of a contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentLine {
    /// Component.
    #[schema(value_type = String)]
    pub component: ContractComponentKind,
    /// Contract quantity of the month (月合同量).
    pub contract_month_m3: i64,
    /// What of the demand falls to it in merit order.
    pub forecast: Quantiles,
    /// Declared (本月申报量).
    pub declared_m3: i64,
    /// Price, 元/m³.
    pub price_yuan_per_m3: f64,
}

/// One contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContractLine {
    /// Contract number.
    #[schema(value_type = String)]
    pub contract: ContractId,
    /// Source.
    #[schema(value_type = String)]
    pub source: SourceId,
    /// Source as printed.
    pub source_name: String,
    /// Class of the source.
    #[schema(value_type = String)]
    pub source_class: SourceClass,
    /// Supplier.
    pub supplier: String,
    /// Delivery point.
    pub delivery_point: String,
    /// Components in merit order.
    pub components: Vec<ComponentLine>,
    /// Contract quantity of the month without market gas.
    pub contract_month_m3: i64,
    /// Contract quantity of the contract year without market gas.
    pub contract_annual_m3: i64,
    /// Delivered in the contract year before this month.
    pub taken_before_m3: Option<i64>,
    /// Same month of the year before.
    pub last_year_m3: Option<i64>,
    /// Month before, days that are not over as forecast.
    pub last_month_m3: Option<i64>,
    /// Of it the part that was measured, up to `last_month_measured_until`; null where all of it was.
    #[serde(default)]
    pub last_month_measured_m3: Option<i64>,
    /// Demand of the source, loss included.
    pub forecast: Quantiles,
    /// Declared.
    pub declared_m3: i64,
    /// Largest day of the declared split.
    pub day_max_m3: i64,
    /// Smallest day of the declared split.
    pub day_min_m3: i64,
    /// Largest hour of the forecast, m³/h.
    pub hour_max_m3h: i64,
    /// In words, for the remark column.
    pub remark: String,
}

/// The total over all contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TotalLine {
    /// Contract quantity of the month without market gas.
    pub contract_month_m3: i64,
    /// Same month of the year before; none if unknown for some source.
    pub last_year_m3: Option<i64>,
    /// Month before; none if unknown for some source.
    pub last_month_m3: Option<i64>,
    /// Demand; P10 and P90 come from joint draws and are not sums of the rows.
    pub forecast: Quantiles,
    /// Declared.
    pub declared_m3: i64,
}

/// Demand above the contract of a source (缺口) and what covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GapLine {
    /// Contract.
    #[schema(value_type = String)]
    pub contract: ContractId,
    /// Source as printed.
    pub source_name: String,
    /// P50 demand less contract quantity; negative if the contract covers it.
    pub gap_p50_m3: i64,
    /// P90 demand less contract quantity.
    pub gap_p90_m3: i64,
    /// Market gas declared for it.
    pub market_m3: i64,
    /// Expected to be delivered by the swing contract in its place.
    pub swing_m3: i64,
    /// Interruptible volume of the large consumers it supplies, by its share of their zones.
    pub interruptible_m3: i64,
}

/// One gas day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DayLine {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Kind of day.
    #[schema(value_type = String)]
    pub day_type: DayType,
    /// Name of the holiday.
    pub holiday: Option<String>,
    /// A weekend day that is worked (调休).
    pub is_make_up_workday: bool,
    /// Forecast mean temperature, °C.
    pub temperature_c: Option<f64>,
    /// Declared, in the order of contracts.
    pub declared_m3: Vec<i64>,
    /// Demand of the day.
    pub forecast: Quantiles,
}

/// One customer class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClassLine {
    /// Class.
    #[schema(value_type = String)]
    pub class: CustomerClass,
    /// Customers at the end of the month; households for residential classes.
    pub customers: u64,
    /// Month before.
    pub last_month_m3: Option<i64>,
    /// Same month of the year before.
    pub last_year_m3: Option<i64>,
    /// Demand.
    pub forecast: Quantiles,
    /// Declared, spread like the P50.
    pub declared_m3: i64,
    /// Lowest and highest protection rank of its customers.
    pub protection_ranks: Option<(u8, u8)>,
    /// Interruptible volume of the month.
    pub interruptible_m3: i64,
}

/// Gas of one class that passes through without being bought by us (代输、代销).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CarriedLine {
    /// Class.
    #[schema(value_type = String)]
    pub class: CustomerClass,
    /// Customers it is carried for.
    pub customers: u64,
    /// Expected in the month.
    pub p50_m3: i64,
    /// On its largest day.
    pub day_max_m3: i64,
    /// In its largest hour, m³/h.
    pub hour_max_m3h: i64,
}

/// Sheet 4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotTables {
    /// Gas days of each type: workdays, weekends, holidays.
    pub day_counts: [u32; 3],
    /// Rows by slot.
    pub slots: Vec<SlotLine>,
    /// Rows by civil hour, from the start of the gas day.
    pub hours: Vec<HourLine>,
}

/// One time slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotLine {
    /// Key.
    pub key: String,
    /// Name.
    pub name: String,
    /// Level.
    #[schema(value_type = String)]
    pub level: SlotLevel,
    /// First civil hour.
    pub from_hour: u32,
    /// Last civil hour, excluded.
    pub to_hour: u32,
    /// P50 volume by day type.
    pub p50_m3: [i64; 3],
    /// Civil hour of the largest volume by day type; none without such days.
    pub peak_hour: [Option<u32>; 3],
    /// Declared, spread like the P50.
    pub declared_m3: i64,
}

/// One hour of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HourLine {
    /// Civil hour at which it starts.
    pub civil_hour: u32,
    /// P50 volume of the month by day type.
    pub p50_m3: [i64; 3],
}

/// Whose number was adopted (采用依据).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdoptedBasis {
    /// 客户计划
    CustomerPlan,
    /// 预测
    Forecast,
    /// 人工
    Manual,
}

impl AdoptedBasis {
    /// The word on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::CustomerPlan => "客户计划",
            Self::Forecast => "预测",
            Self::Manual => "人工",
        }
    }
}

/// One large consumer; sheet 5 is a part of the whole and has no claim on its total.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LargeConsumerLine {
    /// Account number.
    #[schema(value_type = String)]
    pub customer: CustomerId,
    /// Name.
    pub name: String,
    /// Class.
    #[schema(value_type = String)]
    pub class: CustomerClass,
    /// Industry.
    pub industry: String,
    /// Grid area.
    pub grid: String,
    /// Account manager.
    pub account_manager: String,
    /// How the gas is sold.
    #[schema(value_type = String)]
    pub sale_mode: SaleMode,
    /// Contract quantity of the month.
    pub contract_month_m3: i64,
    /// What the customer filed.
    pub filed_m3: Option<i64>,
    /// Our forecast from its own days, plans apart; none of a customer known by its plan alone.
    pub forecast: Option<Quantiles>,
    /// What the plan uses.
    pub adopted_m3: i64,
    /// Whose number that is.
    pub basis: AdoptedBasis,
    /// Actual less filed, part of filed, last month.
    pub last_month_deviation: Option<f64>,
    /// Production changes in words.
    pub change_summary: String,
    /// Interruptible volume of the month.
    pub interruptible_m3: i64,
    /// Remark.
    pub remark: String,
}

impl LargeConsumerLine {
    /// The customer's plan if there is one and it lies within P10 to P90, our P50 otherwise.
    ///
    /// Where nothing is known but plans, it is these, `corrected` by what earlier ones were worth, which is
    /// what the forecast of the city holds for the customer.
    pub fn adopt(
        filed_m3: Option<i64>,
        corrected_m3: Option<i64>,
        forecast: Option<Quantiles>,
    ) -> (i64, AdoptedBasis) {
        match (forecast, filed_m3, corrected_m3) {
            (Some(own), Some(filed), _) if (own.p10_m3..=own.p90_m3).contains(&filed) => {
                (filed, AdoptedBasis::CustomerPlan)
            }
            (Some(own), ..) => (own.p50_m3, AdoptedBasis::Forecast),
            (None, _, Some(corrected)) => (corrected, AdoptedBasis::CustomerPlan),
            (None, _, None) => (0, AdoptedBasis::Forecast),
        }
    }
}

/// Why this quantity and what any other would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Optimum {
    /// Expected cost, 元.
    pub expected_yuan: f64,
    /// Of it gas.
    pub purchase_yuan: f64,
    /// Of it over-take charges.
    pub over_take_yuan: f64,
    /// Of it under-take charges.
    pub under_take_yuan: f64,
    /// Of it take-or-pay.
    pub take_or_pay_yuan: f64,
    /// Expected volume that nothing can deliver.
    pub unserved_m3: i64,
    /// Expected volume the swing contract delivers for others.
    pub moved_m3: i64,
    /// Part of the demand's futures that lie at or below the declared total.
    pub quantile: f64,
    /// Joint futures weighed.
    pub scenarios: usize,
    /// Why, in one Chinese sentence.
    pub reason_zh: String,
    /// Why, in one English sentence.
    pub reason_en: String,
    /// What declaring something else would cost, by declared total ascending.
    pub alternatives: Vec<Alternative>,
}

/// Another total and what it would cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alternative {
    /// `declared`, `p50`, `contract`, or the step as a part of what is declared (`x0.95`).
    pub key: String,
    /// Declared total.
    pub declared_m3: i64,
    /// Expected cost, 元.
    pub expected_yuan: f64,
    /// Above what is declared, 元.
    pub extra_yuan: f64,
    /// Part of the futures with a charge for over-take.
    pub over_take_probability: f64,
    /// Part of the futures with a charge for under-take.
    pub under_take_probability: f64,
}

impl Declaration {
    /// SHA-256 over the document as JSON, hex: names this version in the workbook and the audit log.
    ///
    /// # Errors
    /// [`PlanError::Document`].
    pub fn content_hash(&self) -> Result<String, PlanError> {
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(self)?)))
    }

    /// File name of its workbook: `{公司简称}_{YYYY}年{MM}月用气计划申报表_V{n}.xlsx`.
    pub fn file_name(&self) -> String {
        format!(
            "{}_{:04}年{:02}月用气计划申报表_V{}.xlsx",
            file_part(&self.company_short),
            self.month.year,
            self.month.month,
            self.version
        )
    }
}

/// A name as part of a file name: no character that Windows or Linux refuses.
pub(crate) fn file_part(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_control() || "/\\:*?\"<>|".contains(c) {
                '_'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
