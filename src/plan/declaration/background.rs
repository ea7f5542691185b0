//! What a declaration tells beside its quantities: how the month before went, how safe supply is, what the
//! forecast stands on, and the versions before this one (sheets 7, 8, 9 and 11 of the form).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::contract::SupplyContract;
use crate::domain::demand::quantile_of_sorted;
use crate::domain::id::ContractId;
use crate::plan::PlanError;
use crate::plan::declaration::build::whole;
use crate::plan::declaration::{Declaration, DeclareInput};
use crate::plan::supply::Supply;

/// What the stores say, from which [`Background`] is made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BackgroundKnown {
    /// The month before.
    pub execution: Execution,
    /// What was bought in the twelve months before.
    pub year: YearBought,
    /// What the forecast stands on.
    pub notes: ForecastNotes,
    /// Earlier versions, oldest first.
    pub versions: Vec<VersionLine>,
}

/// Sheets 7, 8, 9 and 11.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Background {
    /// Sheet 7.
    pub execution: Execution,
    /// Sheet 8.
    pub security: Security,
    /// Sheet 9.
    pub notes: ForecastNotes,
    /// Sheet 11: versions before this one, oldest first.
    pub versions: Vec<VersionLine>,
}

/// The month before the declared one, contract by contract (上月执行与偏差).
///
/// # Units
/// Whole m³.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Execution {
    /// That month.
    #[schema(value_type = Option<String>)]
    pub month: Option<GasMonth>,
    /// Its last gas day that is measured; later ones are expected. None if it has none yet.
    #[schema(value_type = Option<String>)]
    pub measured_to: Option<GasDay>,
    /// Version of its declaration that is compared: the last one sent, else the last one made.
    pub declared_version: Option<u32>,
    /// When that was sent.
    #[schema(value_type = Option<String>)]
    pub declared_sent_at: Option<DateTime<Utc>>,
    /// Contracts in force in it.
    pub lines: Vec<ExecutionLine>,
}

/// One contract in the month before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExecutionLine {
    /// Contract number.
    #[schema(value_type = String)]
    pub contract: ContractId,
    /// Supplier.
    pub supplier: String,
    /// Contract quantity of the month without market gas.
    pub contract_month_m3: i64,
    /// Declared for the month.
    pub declared_m3: Option<i64>,
    /// Delivered on its measured days; none if a day is unknown.
    pub measured_m3: Option<i64>,
    /// Expected on its days that are not over.
    pub expected_m3: i64,
    /// Part of what was declared within which a deviation is free (±).
    pub band_ratio: f64,
}

impl ExecutionLine {
    /// The month: measured and expected.
    pub fn taken_m3(&self) -> Option<i64> {
        Some(self.measured_m3? + self.expected_m3)
    }

    /// Taken less declared.
    pub fn deviation_m3(&self) -> Option<i64> {
        Some(self.taken_m3()? - self.declared_m3?)
    }

    /// Part of the deviation beyond the band, over-take positive.
    pub fn beyond_band_m3(&self) -> Option<f64> {
        let (deviation, declared) = (self.deviation_m3()? as f64, self.declared_m3? as f64);
        let beyond = (deviation.abs() - self.band_ratio * declared).max(0.0);
        Some(beyond.copysign(deviation))
    }
}

/// What was bought in the 365 gas days before the declaration, whole m³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct YearBought {
    /// In all; none if a day is unknown.
    pub bought_m3: Option<i64>,
    /// Days that are known.
    pub days_known: u32,
    /// Largest known day.
    #[schema(value_type = Option<String>)]
    pub peak_day: Option<GasDay>,
    /// Bought on it.
    pub peak_m3: Option<i64>,
}

/// How safe the declared month is (保供与储气), whole m³.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Security {
    /// Demand of the month, P50.
    pub month_p50_m3: i64,
    /// P90, of joint draws.
    pub month_p90_m3: i64,
    /// P99, of joint draws.
    pub month_p99_m3: i64,
    /// Day of the largest P50.
    #[schema(value_type = Option<String>)]
    pub peak_day: Option<GasDay>,
    /// Its P50.
    pub peak_p50_m3: i64,
    /// P90 of the largest day of each joint draw, whichever day that is.
    pub peak_p90_m3: i64,
    /// P99 of the same.
    pub peak_p99_m3: i64,
    /// Most that may be taken on a day within the contracts; none if one has no limit.
    pub take_day_max_m3: Option<i64>,
    /// Interruptible volume of the large consumers, a day.
    pub interruptible_day_m3: i64,
    /// The twelve months before.
    pub year: YearBought,
}

/// What the forecast stands on (预测说明).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ForecastNotes {
    /// When the weather forecast was issued, as the run says.
    pub weather_issued_at: Option<String>,
    /// Last gas day of demand it knows.
    pub demand_through: Option<String>,
    /// First gas day of demand that it may learn from.
    #[schema(value_type = Option<String>)]
    pub learnt_from: Option<GasDay>,
    /// Program.
    pub program: String,
    /// The total, then classes.
    pub skills: Vec<SkillLine>,
    /// Last complete gas days of which the quality of data is told, at most 30.
    pub quality_days: u32,
    /// Part of their volume that stands on measured or register-bounded hours; the rest is estimated.
    pub measured_part: Option<f64>,
    /// What people put in the place of measured or forecast figures.
    pub overrides: Vec<OverrideLine>,
}

/// Models of a class, and how its past forecasts did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SkillLine {
    /// `total` or a class.
    pub of: String,
    /// Models of its zones, in order.
    pub models: Vec<String>,
    /// Forecasts one day ahead.
    pub day_ahead: Option<Skill>,
    /// Forecasts thirty days ahead.
    pub month_ahead: Option<Skill>,
}

/// How past forecasts at one lead did, of those of the last 400 gas days that are scored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Skill {
    /// Forecasts scored.
    pub cases: usize,
    /// Σ|y − f| / Σ|y|.
    pub wape: f64,
    /// Σ(f − y) / Σ|y|.
    pub bias: f64,
    /// 2 (PL₀.₁ + PL₀.₅ + PL₀.₉) / (3 Σ|y|).
    pub pinball: f64,
    /// Part within P10–P90.
    pub coverage: f64,
}

/// A person's word in the place of a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OverrideLine {
    /// `factor` or `curve_edit`.
    pub kind: String,
    /// What it is about: the factor's kind and span, or meter and gas day.
    pub subject: String,
    /// Who.
    pub person: String,
    /// When.
    #[schema(value_type = String)]
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: String,
}

/// A version of the declaration (审签与版本).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionLine {
    /// Version.
    pub version: u32,
    /// When it was written.
    #[schema(value_type = String)]
    pub at: DateTime<Utc>,
    /// By whom.
    pub person: String,
    /// Why.
    pub reason: String,
    /// When it was sent; none of a draft.
    #[schema(value_type = Option<String>)]
    pub sent_at: Option<DateTime<Utc>>,
    /// Declared in all, m³.
    pub declared_m3: i64,
    /// SHA-256 over the document, hex, as its workbook has it.
    pub sha256: String,
}

impl VersionLine {
    /// The line of a version that somebody wrote.
    ///
    /// # Errors
    /// [`PlanError::Document`].
    pub fn of(
        document: &Declaration,
        at: DateTime<Utc>,
        [person, reason]: [&str; 2],
    ) -> Result<Self, PlanError> {
        Ok(Self {
            version: document.version,
            at,
            person: person.to_owned(),
            reason: reason.to_owned(),
            sent_at: document.sent_at,
            declared_m3: document.total.declared_m3,
            sha256: document.content_hash()?,
        })
    }
}

pub(super) fn background(
    input: &DeclareInput<'_>,
    supply: &Supply<'_>,
    contracts: &[&SupplyContract],
) -> Option<Background> {
    let known = input.background.as_ref()?;
    Some(Background {
        execution: known.execution.clone(),
        security: security(input, supply, contracts, known.year),
        notes: known.notes.clone(),
        versions: known.versions.clone(),
    })
}

fn security(
    input: &DeclareInput<'_>,
    supply: &Supply<'_>,
    contracts: &[&SupplyContract],
    year: YearBought,
) -> Security {
    let mut month = supply.draws(None);
    let mut peaks: Vec<f64> = Vec::new();
    let mut largest: Option<(GasDay, i64)> = None;
    for (at, day) in supply.days.iter().enumerate() {
        for (draw, m3) in supply.day_draws(at).into_iter().enumerate() {
            match peaks.get_mut(draw) {
                Some(peak) => *peak = peak.max(m3),
                None => peaks.push(m3),
            }
        }
        let p50_m3 = supply.sum_m3(|cell| cell.day == at);
        if largest.is_none_or(|(_, most)| most < p50_m3) {
            largest = Some((*day, p50_m3));
        }
    }
    month.sort_by(f64::total_cmp);
    peaks.sort_by(f64::total_cmp);
    let peak_p50_m3 = largest.map_or(0, |(_, m3)| m3);
    let days = supply.days.len().max(1) as f64;
    let interruptible = input.large_consumers.iter().map(|c| c.interruptible_m3);
    Security {
        month_p50_m3: supply.sum_m3(|_| true),
        month_p90_m3: whole(quantile_of_sorted(&month, 0.9)),
        month_p99_m3: whole(quantile_of_sorted(&month, 0.99)),
        peak_day: largest.map(|(day, _)| day),
        peak_p50_m3,
        peak_p90_m3: whole(quantile_of_sorted(&peaks, 0.9)).max(peak_p50_m3),
        peak_p99_m3: whole(quantile_of_sorted(&peaks, 0.99)).max(peak_p50_m3),
        take_day_max_m3: contracts.iter().map(|c| take_day_max(c, input.month)).sum(),
        interruptible_day_m3: whole(interruptible.sum::<i64>() as f64 / days),
        year,
    }
}

/// Most of a day within a contract: its largest daily take, and what passes the delivery point.
fn take_day_max(contract: &SupplyContract, month: GasMonth) -> Option<i64> {
    let terms = &contract.deviation;
    let average = contract.month_quantity(month).to_f64() / month.days().len() as f64;
    let take = Some(terms.take_day_max_ratio * average).filter(|_| terms.take_day_max_ratio > 0.0);
    let flow = Some(terms.flow_max_m3h * 24.0).filter(|m3| *m3 > 0.0);
    let most = [take, flow].into_iter().flatten().reduce(f64::min)?;
    Some(whole(most))
}
