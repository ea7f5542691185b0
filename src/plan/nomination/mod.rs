//! The day-ahead nomination (日指定): one line for each contract and delivery point.

mod check;
mod line;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{Calendar, GasDay, beijing_instant};
use crate::domain::contract::SupplyContract;
use crate::domain::demand::DemandForecast;
use crate::domain::id::{ContractId, RunId, SourceId};
use crate::domain::quantity::ReferenceConditions;
use crate::domain::registry::Registry;
use crate::domain::source::SourceClass;
use crate::plan::PlanError;
use crate::plan::carried::Carried;
use crate::plan::cost::expected_cost;
use crate::plan::declaration::Quantiles;
use crate::plan::nomination::line::line;
use crate::plan::problem::{Problem, Scenario};
use crate::plan::solve::solve;
use crate::plan::supply::{Supply, band_of};
use crate::plan::terms::day_terms;

pub use check::{Check, EditError};

/// What a nomination is made from.
#[derive(Debug)]
pub struct NominateInput<'a> {
    /// Registry as of the nomination.
    pub registry: &'a Registry,
    /// Calendar, for pricing seasons.
    pub calendar: &'a Calendar,
    /// The gas day nominated.
    pub day: GasDay,
    /// Forecast that reaches the day; with the day before it also the estimate of today.
    pub forecast: &'a DemandForecast,
    /// What the forecast consists of; none where a run of an earlier program does not say.
    pub breakdown: Option<&'a Breakdown>,
    /// Delivered in the month so far, by contract; absent where a day of it is unknown.
    pub taken: &'a BTreeMap<ContractId, MonthTake>,
    /// Delivered on the last closed gas day, by contract.
    pub delivered_yesterday_m3: &'a BTreeMap<ContractId, i64>,
    /// What the day before is expected to deliver by source, where it is under way and its first hours are
    /// known; else it is what the forecast says of the whole of it.
    pub bought_today_m3: Option<&'a BTreeMap<SourceId, i64>>,
    /// Loss and own use, part of what is bought.
    pub unaccounted_ratio: f64,
    /// Running number within the day.
    pub sequence: u32,
    /// Version, from 1.
    pub version: u32,
    /// Which submission this would be, from 1.
    pub submission_no: u32,
    /// When.
    pub made_at: DateTime<Utc>,
    /// By whom.
    pub prepared_by: String,
}

/// What a contract has delivered in a month up to the last closed gas day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthTake {
    /// Delivered, m³.
    pub taken_m3: i64,
    /// Closed gas days of the month.
    pub days: u32,
}

/// Remaining average (剩余合同日均量): (contract of the month − taken) ÷ remaining gas days, in
/// the unit given. None when no day is left.
///
/// # Source
/// METHODS.md, "Remaining average"; worked example: `the_remaining_average_of_the_worked_example`.
pub fn remaining_average(contract: f64, taken: f64, days_taken: u32, days: u32) -> Option<f64> {
    let left = days.checked_sub(days_taken).filter(|left| *left > 0)?;
    Some((contract - taken) / f64::from(left))
}

/// State of a nomination (状态).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NominationStatus {
    /// 新建
    #[default]
    New,
    /// 已上报
    Sent,
    /// 审批中
    InApproval,
    /// 审批通过
    Approved,
    /// 已驳回
    Rejected,
    /// 变更中: what was sent is being changed, and the change was not sent.
    Changing,
    /// 已变更
    Changed,
}

impl NominationStatus {
    /// The word on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::New => "新建",
            Self::Sent => "已上报",
            Self::InApproval => "审批中",
            Self::Approved => "审批通过",
            Self::Rejected => "已驳回",
            Self::Changing => "变更中",
            Self::Changed => "已变更",
        }
    }
}

/// A day-ahead nomination.
///
/// # Units
/// Whole m³ unless a name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Nomination {
    /// `RZ-YYYYMMDD-公司-序号`.
    pub nomination_no: String,
    /// Version, from 1.
    pub version: u32,
    /// Which submission it is, or would be if it were sent, from 1; 0 in documents of earlier programs.
    #[serde(default)]
    pub submission_no: u32,
    /// When it was sent; none of a draft.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub sent_at: Option<DateTime<Utc>>,
    /// State.
    pub status: NominationStatus,
    /// Company.
    pub company: String,
    /// Short name, as in the file name.
    pub company_short: String,
    /// What volumes refer to; absent in documents of earlier programs.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub reference: Option<ReferenceConditions>,
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// First instant of the gas day.
    #[schema(value_type = String)]
    pub period_from: DateTime<Utc>,
    /// End of the gas day, excluded.
    #[schema(value_type = String)]
    pub period_to: DateTime<Utc>,
    /// Earliest soft deadline of its contracts.
    #[schema(value_type = String)]
    pub due_at: DateTime<Utc>,
    /// Earliest hard deadline; later needs the shift leader's override.
    #[schema(value_type = String)]
    pub due_hard_at: DateTime<Utc>,
    /// Earliest deadline of an in-day change.
    #[schema(value_type = String)]
    pub change_due_at: DateTime<Utc>,
    /// When it was made.
    #[schema(value_type = String)]
    pub made_at: DateTime<Utc>,
    /// Who made it.
    pub prepared_by: String,
    /// Forecast run.
    #[schema(value_type = String)]
    pub forecast_run: RunId,
    /// Registry version.
    pub registry_version: String,
    /// Lines, in the order of contracts.
    pub lines: Vec<NominationLine>,
    /// Demand of the company; P10 and P90 come from joint draws.
    pub forecast: Quantiles,
    /// Expected cost of the suggested quantities, 元.
    pub expected_yuan: f64,
}

/// One contract at its delivery point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NominationLine {
    /// Contract.
    #[schema(value_type = String)]
    pub contract: ContractId,
    /// Its components, as printed.
    pub components: String,
    /// Supplier.
    pub supplier: String,
    /// Source.
    #[schema(value_type = String)]
    pub source: SourceId,
    /// Class of the source.
    #[schema(value_type = String)]
    pub source_class: SourceClass,
    /// Delivery point.
    pub delivery_point: String,
    /// Average daily contract quantity of the month (月度合同日均量).
    pub month_average_m3: i64,
    /// Remaining average (剩余合同日均量); none if the take is unknown.
    pub remaining_average_m3: Option<i64>,
    /// Least that may be nominated.
    pub take_min_m3: i64,
    /// Most that may be nominated within the contract.
    pub take_max_m3: Option<i64>,
    /// Delivered on the last closed gas day.
    pub delivered_yesterday_m3: Option<i64>,
    /// Expected for the gas day before the nominated one.
    pub today_m3: Option<i64>,
    /// Demand of the source.
    pub forecast: Quantiles,
    /// One in twenty lies below.
    pub p5_m3: i64,
    /// One in twenty lies above.
    pub p95_m3: i64,
    /// Quantity of least expected cost (建议指定量).
    pub suggested_m3: i64,
    /// Part of the futures at or below the suggested quantity.
    pub quantile: f64,
    /// Nominated (日指定量): the suggestion until someone edits it, as sent first once it was sent.
    pub nominated_m3: i64,
    /// Make-up volume (补提量).
    pub makeup_m3: i64,
    /// Largest flow at the delivery point, m³/h (日最大瞬时流量); none if the contract has no limit.
    pub flow_max_m3h: Option<i64>,
    /// Plan by hour of the gas day; sums to the nominated quantity, of a change to the changed one.
    pub hours_m3: [i64; 24],
    /// Reply of the upstream (批复量).
    pub approved_m3: Option<i64>,
    /// What is asked for instead of what was nominated first (变更量); none before the first submission.
    pub changed_m3: Option<i64>,
    /// Reply to the change (变更批复量).
    pub reapproved_m3: Option<i64>,
    /// Why it was changed or differs from the suggestion.
    pub change_reason: Option<String>,
    /// Delivered (交割量), once the day is closed.
    pub delivered_m3: Option<i64>,
    /// Remark.
    pub remark: String,
    /// Why this quantity, in Chinese.
    pub reason_zh: String,
    /// Why this quantity, in English.
    pub reason_en: String,
}

/// Makes the nomination of a gas day.
///
/// # Errors
/// Every [`PlanError`] but `Workbook`; above all [`PlanError::HorizonTooShort`].
pub fn nominate(input: &NominateInput<'_>) -> Result<Nomination, PlanError> {
    let carried = Carried::of(input.registry, input.breakdown);
    let on_days = |days: Vec<GasDay>| {
        let ratio = input.unaccounted_ratio;
        Supply::over(input.forecast, days, ratio, &carried)
    };
    let supply = on_days(vec![input.day])?;
    let today = input.bought_today_m3.cloned().or_else(|| {
        let today = on_days(vec![input.day.plus(-1)]).ok()?;
        let of = |source: SourceId| (source.clone(), source_m3(&today, &source));
        Some(today.sources().into_iter().map(of).collect())
    });
    let contracts = contracts_of(input, &supply)?;
    let before = on_days(open_days_before(input))?;
    let problem = day_problem(input, &supply, &before, &contracts)?;
    let quantities = solve(&problem)?.quantities;
    let lines = contracts
        .iter()
        .enumerate()
        .map(|(k, contract)| {
            let declared = quantities.get(k).map_or(&[][..], Vec::as_slice);
            line(
                input,
                &supply,
                today.as_ref(),
                &problem,
                contract,
                k,
                declared,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    let company = &input.registry.company;
    let first = |of: fn(&SupplyContract) -> chrono::NaiveTime, days: i64| {
        let time = contracts.iter().map(|c| of(c)).min().unwrap_or_default();
        beijing_instant(input.day.plus(days).0, time)
    };
    Ok(Nomination {
        nomination_no: format!(
            "RZ-{}-{}-{:03}",
            input.day.0.format("%Y%m%d"),
            company.short_name,
            input.sequence
        ),
        version: input.version,
        submission_no: input.submission_no,
        sent_at: None,
        status: NominationStatus::New,
        company: company.name.clone(),
        company_short: company.short_name.clone(),
        reference: Some(company.reference),
        day: input.day,
        period_from: supply.clock.start_of(input.day),
        period_to: supply.clock.end_of(input.day),
        due_at: first(|c| c.deadlines.day_submit_at, -1),
        due_hard_at: first(|c| c.deadlines.day_submit_hard_at, -1),
        change_due_at: first(|c| c.deadlines.day_change_at, 0),
        made_at: input.made_at,
        prepared_by: input.prepared_by.clone(),
        forecast_run: input.forecast.run_id.clone(),
        registry_version: input.registry.version.clone(),
        forecast: band_of(supply.sum_m3(|_| true), supply.draws(None)).into(),
        expected_yuan: (expected_cost(&problem, &quantities).total_yuan() * 100.0).round() / 100.0,
        lines,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "volumes of a day are far below 2^53 m³"
)]
fn whole(m3: f64) -> i64 {
    if m3.is_finite() { m3.round() as i64 } else { 0 }
}

fn contracts_of<'a>(
    input: &NominateInput<'a>,
    supply: &Supply<'_>,
) -> Result<Vec<&'a SupplyContract>, PlanError> {
    let month = input.day.month();
    let valid: Vec<&SupplyContract> = input
        .registry
        .contracts
        .iter()
        .filter(|c| c.valid_from <= input.day.0 && input.day.0 <= c.valid_to)
        .collect();
    if valid.is_empty() {
        return Err(PlanError::NoContract { month });
    }
    for contract in &valid {
        let contracts: Vec<ContractId> = valid
            .iter()
            .filter(|c| c.source == contract.source)
            .map(|c| c.id.clone())
            .collect();
        if contracts.len() > 1 {
            return Err(PlanError::SeveralContracts {
                source_id: contract.source.clone(),
                month,
                contracts,
            });
        }
    }
    for source_id in supply.sources() {
        let volume_m3 = supply.sum_m3(|cell| cell.source == source_id);
        if volume_m3 > 0 && !valid.iter().any(|c| c.source == source_id) {
            return Err(PlanError::SourceWithoutContract {
                source_id,
                month,
                volume_m3,
            });
        }
    }
    Ok(valid)
}

fn source_m3(supply: &Supply<'_>, source: &SourceId) -> i64 {
    supply.sum_m3(|cell| cell.source == *source)
}

/// Gas days of the nominated day's month that are not closed and lie before it: today and those up to the
/// nominated day. None where nothing is known of what the month has taken.
fn open_days_before(input: &NominateInput<'_>) -> Vec<GasDay> {
    let closed = input.taken.values().map(|take| take.days).min();
    let first = input.day.month().first_day();
    let Some(from) = closed.map(|days| first.plus(i64::from(days))) else {
        return Vec::new();
    };
    (0..input.day.days_since(from))
        .map(|ahead| from.plus(ahead))
        .collect()
}

fn day_problem(
    input: &NominateInput<'_>,
    supply: &Supply<'_>,
    before: &Supply<'_>,
    contracts: &[&SupplyContract],
) -> Result<Problem, PlanError> {
    let month = input.day.month();
    let mut problem = Problem::default();
    let mut demand = Vec::new();
    for (k, contract) in contracts.iter().enumerate() {
        // What the month has left once the open days before this one are delivered. The city draws its
        // gas whatever was nominated for them: what they are expected to take is their forecast.
        let remaining = input.taken.get(&contract.id).map(|take| {
            let expected = source_m3(before, &contract.source);
            contract.month_quantity(month).to_f64() - (take.taken_m3 + expected) as f64
        });
        let season = input.registry.price_season(contract, input.calendar);
        let (terms, limits) = day_terms(contract, k, input.day, &season, remaining);
        problem.contracts.push(terms);
        problem.limits.extend(limits);
        demand.push(supply.draws(Some(&contract.source)));
    }
    let count = demand.iter().map(Vec::len).min().unwrap_or(0);
    if count == 0 {
        return Err(PlanError::NoDraws {
            run: input.forecast.run_id.clone(),
        });
    }
    problem.scenarios = (0..count)
        .map(|draw| Scenario {
            demand_m3: demand
                .iter()
                .map(|d| d.get(draw).copied().unwrap_or(0.0).max(0.0))
                .collect(),
            residential_m3: vec![0.0; demand.len()],
        })
        .collect();
    Ok(problem)
}

impl Nomination {
    /// Asked of the suppliers in all: nominated, or as changed.
    pub fn asked_m3(&self) -> i64 {
        self.lines.iter().map(NominationLine::asked_m3).sum()
    }

    /// Makes this a change, not sent yet, of a nomination that was sent: what was nominated first and what came
    /// back stays, and what this one asks for is the change of each line.
    pub fn change_what_was_sent(&mut self, sent: &Self) {
        self.status = NominationStatus::Changing;
        self.sent_at = None;
        for line in &mut self.lines {
            line.changed_m3 = Some(line.asked_m3());
            let before = sent.lines.iter().find(|l| l.contract == line.contract);
            line.nominated_m3 = before.map_or(0, |l| l.nominated_m3);
            line.approved_m3 = before.and_then(|l| l.approved_m3);
            line.reapproved_m3 = before.and_then(|l| l.reapproved_m3);
        }
    }

    /// SHA-256 over the document as JSON, hex.
    ///
    /// # Errors
    /// [`PlanError::Document`].
    pub fn content_hash(&self) -> Result<String, PlanError> {
        Ok(hex::encode(Sha256::digest(serde_json::to_vec(self)?)))
    }

    /// File name of its workbook.
    pub fn file_name(&self) -> String {
        format!(
            "{}_{}日指定申请表_V{}.xlsx",
            crate::plan::declaration::file_part(&self.company_short),
            self.day.0.format("%Y年%m月%d日"),
            self.version
        )
    }
}

impl NominationLine {
    /// Asked of the supplier: as changed, or nominated.
    pub fn asked_m3(&self) -> i64 {
        self.changed_m3.unwrap_or(self.nominated_m3)
    }
}

#[cfg(test)]
pub(crate) mod tests;
