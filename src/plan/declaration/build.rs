//! How a declaration is made: demand → scenarios → least expected cost → components → days.

use chrono::{Datelike as _, NaiveDate};

use crate::domain::calendar::GasMonth;
use crate::domain::contract::{ContractComponentKind, SupplyContract};
use crate::domain::customer::CustomerClass;
use crate::domain::id::{SourceId, ZoneId};
use crate::domain::quantity::round_to_total;
use crate::domain::source::SourceClass;
use crate::plan::PlanError;
use crate::plan::carried::Carried;
use crate::plan::cost::expected_cost;
use crate::plan::declaration::optimum::{declared_most, optimum, unknown_days, unknown_takes};
use crate::plan::declaration::{
    ComponentLine, ContractLine, Declaration, DeclareInput, GapLine, Quantiles, TotalLine,
    background, parts, tables,
};
use crate::plan::explain;
use crate::plan::merit::{fill, merit_order};
use crate::plan::problem::{LimitScope, LimitSense, Problem, Quantities, Scenario};
use crate::plan::solve::solve;
use crate::plan::spread::spread;
use crate::plan::supply::{Supply, band_of};
use crate::plan::terms::{contract_annual_m3, month_terms};

/// Makes the declaration of a month: the quantities of least expected cost, and every table.
///
/// # Errors
/// Every [`PlanError`] but `Workbook`; above all [`PlanError::HorizonTooShort`] if the forecast
/// does not reach the month's end.
pub fn declare(input: DeclareInput<'_>) -> Result<Declaration, PlanError> {
    let month = input.month;
    let carried = Carried::of(input.registry, input.breakdown);
    let ratio = input.unaccounted_ratio;
    let supply = Supply::over(input.forecast, month.days(), ratio, &carried)?;
    let contracts = contracts_of(&input, &supply)?;
    let problem = month_problem(&input, &supply, &contracts)?;
    let optimal = solve(&problem)?.quantities;
    let parts: Vec<Part<'_>> = contracts
        .iter()
        .enumerate()
        .map(|(k, contract)| Part::new(&problem, &supply, contract, k, total_of(&optimal, k)))
        .collect();
    let split = parts
        .iter()
        .map(|part| day_split(&supply, month, part))
        .collect::<Result<Vec<_>, _>>()?;
    let declared_m3: i64 = parts.iter().map(|p| p.declared_m3).sum();
    let quantities: Quantities = parts
        .iter()
        .map(|p| p.declared.iter().map(|v| *v as f64).collect())
        .collect();
    let cost = expected_cost(&problem, &quantities);
    let lines: Vec<ContractLine> = parts
        .iter()
        .zip(&split)
        .map(|(part, days)| contract_line(&input, &supply, &problem, part, days))
        .collect();
    let total = total_line(&supply, &lines, declared_m3);
    let unknown = unknown_takes(&input, &contracts);
    let optimum = optimum(
        &problem,
        &supply,
        &parts,
        &quantities,
        &cost,
        &total,
        &unknown,
    );
    let company = &input.registry.company;
    Ok(Declaration {
        decl_no: format!(
            "SB-{:04}{:02}-{}-{:03}",
            month.year, month.month, company.short_name, input.sequence
        ),
        version: input.version,
        submission_no: input.submission_no,
        sent_at: None,
        change_reason: input.change_reason.clone(),
        company: company.name.clone(),
        company_short: company.short_name.clone(),
        reference: Some(company.reference),
        phone: company.phone.clone(),
        suppliers: unique(contracts.iter().map(|c| c.supplier.clone())),
        month,
        period_from: supply.clock.start_of(month.first_day()),
        period_to: supply.clock.start_of(month.next().first_day()),
        due_on: due_on(month, &contracts),
        made_at: input.made_at,
        prepared_by: input.prepared_by.clone(),
        forecast_run: input.forecast.run_id.clone(),
        forecast_origin_at: input.forecast.origin_at,
        registry_version: input.registry.version.clone(),
        unaccounted_ratio: input.unaccounted_ratio,
        last_month_measured_until: input.history.last_month_measured.as_ref().map(|p| p.until),
        gas_day_start_hour: supply.clock.start_hour,
        gaps: lines
            .iter()
            .enumerate()
            .map(|(k, line)| {
                let moved_m3 = cost.moved_from_m3.get(k).copied().unwrap_or(0.0);
                let interruptible_m3 = interruptible_m3(&input, &line.source);
                gap_line(line, whole(moved_m3), interruptible_m3)
            })
            .collect(),
        contracts: lines,
        total,
        days: tables::days(&input, &supply, &split),
        structure: tables::structure(&input, &supply, declared_m3),
        slots: tables::slots(&input, &supply, declared_m3),
        parts: input
            .breakdown
            .map(|breakdown| parts::tables(&input, breakdown, &supply, &carried, declared_m3)),
        carried: tables::carried(&input, &supply),
        background: background::background(&input, &supply, &contracts),
        large_consumers: input.large_consumers,
        optimum,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
pub(super) fn whole(m3: f64) -> i64 {
    if m3.is_finite() { m3.round() as i64 } else { 0 }
}

fn total_of(quantities: &Quantities, k: usize) -> f64 {
    quantities.get(k).map_or(0.0, |q| q.iter().sum())
}

fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in names {
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

/// Contracts valid in the month, each the only one of its source; every source with demand has one.
fn contracts_of<'a>(
    input: &DeclareInput<'a>,
    supply: &Supply<'_>,
) -> Result<Vec<&'a SupplyContract>, PlanError> {
    let (first, last) = (
        input.month.first_day().0,
        input.month.next().first_day().plus(-1).0,
    );
    let valid: Vec<&SupplyContract> = input
        .registry
        .contracts
        .iter()
        .filter(|c| c.valid_from <= last && first <= c.valid_to)
        .collect();
    if valid.is_empty() {
        return Err(PlanError::NoContract { month: input.month });
    }
    for contract in &valid {
        let of_source: Vec<_> = valid
            .iter()
            .filter(|c| c.source == contract.source)
            .map(|c| c.id.clone())
            .collect();
        if of_source.len() > 1 {
            return Err(PlanError::SeveralContracts {
                source_id: contract.source.clone(),
                month: input.month,
                contracts: of_source,
            });
        }
    }
    for source in supply.sources() {
        let volume_m3 = supply.sum_m3(|cell| cell.source == source);
        if volume_m3 > 0 && !valid.iter().any(|c| c.source == source) {
            return Err(PlanError::SourceWithoutContract {
                source_id: source,
                month: input.month,
                volume_m3,
            });
        }
    }
    Ok(valid)
}

/// Classes whose gas the residential component may deliver.
const RESIDENTIAL: [CustomerClass; 3] = [
    CustomerClass::ResidentialCooking,
    CustomerClass::ResidentialHeating,
    CustomerClass::PublicResidential,
];

fn month_problem(
    input: &DeclareInput<'_>,
    supply: &Supply<'_>,
    contracts: &[&SupplyContract],
) -> Result<Problem, PlanError> {
    let mut problem = Problem::default();
    let mut demand = Vec::new();
    let mut residential = Vec::new();
    for (k, contract) in contracts.iter().enumerate() {
        let taken = input.history.taken_by_contract.get(&contract.id).copied();
        let season = input.registry.price_season(contract, input.calendar);
        let (terms, limits) = month_terms(contract, k, input.month, &season, taken);
        problem.contracts.push(terms);
        problem.limits.extend(limits);
        demand.push(supply.draws(Some(&contract.source)));
        let mut sums: Vec<f64> = Vec::new();
        for class in RESIDENTIAL {
            let draws = supply.class_draws(Some(&contract.source), class);
            sums.resize(draws.len(), 0.0);
            for (sum, draw) in sums.iter_mut().zip(draws) {
                *sum += draw * supply.gross();
            }
        }
        residential.push(sums);
    }
    let count = demand.iter().map(Vec::len).min().unwrap_or(0);
    if count == 0 {
        return Err(PlanError::NoDraws {
            run: input.forecast.run_id.clone(),
        });
    }
    let column = |of: &[Vec<f64>], draw: usize| -> Vec<f64> {
        of.iter()
            .map(|draws| draws.get(draw).copied().unwrap_or(0.0).max(0.0))
            .collect()
    };
    problem.scenarios = (0..count)
        .map(|draw| Scenario {
            demand_m3: column(&demand, draw),
            residential_m3: column(&residential, draw),
        })
        .collect();
    Ok(problem)
}

/// One contract with what is declared of it.
pub(super) struct Part<'a> {
    pub(super) k: usize,
    pub(super) contract: &'a SupplyContract,
    pub(super) residential_p50_m3: f64,
    pub(super) declared_m3: i64,
    /// By component, in the order of the contract.
    declared: Vec<i64>,
    /// By component: P50 of the demand in merit order.
    p50: Vec<i64>,
    pub(super) p50_m3: i64,
}

impl<'a> Part<'a> {
    fn new(
        problem: &Problem,
        supply: &Supply<'_>,
        contract: &'a SupplyContract,
        k: usize,
        optimal_m3: f64,
    ) -> Self {
        let p50_m3 = supply.sum_m3(|cell| cell.source == contract.source);
        let residential = supply
            .sum_m3(|cell| cell.source == contract.source && RESIDENTIAL.contains(&cell.class));
        let (least, most) = bounds(problem, k);
        let declared_m3 = whole(optimal_m3)
            .max(whole(least.ceil()))
            .min(whole(most.min(1e15).floor()));
        let mut part = Self {
            k,
            contract,
            residential_p50_m3: residential as f64,
            declared_m3,
            declared: Vec::new(),
            p50: Vec::new(),
            p50_m3,
        };
        part.declared = part.components(problem, declared_m3);
        part.p50 = part.components(problem, p50_m3);
        part
    }

    /// A volume by component in merit order, whole m³ that add up.
    fn components(&self, problem: &Problem, volume_m3: i64) -> Vec<i64> {
        let Some(terms) = problem.contracts.get(self.k) else {
            return Vec::new();
        };
        let parts = fill(terms, volume_m3 as f64, self.residential_p50_m3);
        round_to_total(&parts, volume_m3)
    }
}

/// Least and most that a contract may be declared at, m³.
pub(super) fn bounds(problem: &Problem, k: usize) -> (f64, f64) {
    let Some(terms) = problem.contracts.get(k) else {
        return (0.0, 0.0);
    };
    let within: f64 = terms
        .components
        .iter()
        .filter(|c| c.kind != ContractComponentKind::Market)
        .map(|c| c.available_m3)
        .sum();
    let market: f64 = terms
        .components
        .iter()
        .filter(|c| c.kind == ContractComponentKind::Market)
        .map(|c| c.available_m3)
        .sum();
    let mut least: f64 = 0.0;
    let mut most = within.min(terms.take_max_m3) + market;
    for limit in problem.limits.iter().filter(|l| l.contract == k) {
        match (limit.sense, limit.scope) {
            (LimitSense::AtLeast, _) => least = least.max(limit.m3),
            (LimitSense::AtMost, LimitScope::Declared) => most = most.min(limit.m3),
            (LimitSense::AtMost, _) => most = most.min(limit.m3 + market),
        }
    }
    (least, most)
}

/// The declared quantity of a contract by gas day, whole m³.
///
/// Within the daily bounds of the contract; where market gas is declared too, only the delivery
/// point bounds a day from above.
fn day_split(supply: &Supply<'_>, month: GasMonth, part: &Part<'_>) -> Result<Vec<i64>, PlanError> {
    let days = supply.days.len();
    let terms = &part.contract.deviation;
    let average = part.contract.month_quantity(month).to_f64() / days as f64;
    let has_market = part
        .contract
        .components
        .iter()
        .zip(&part.declared)
        .any(|(c, v)| c.kind == ContractComponentKind::Market && *v > 0);
    let flow_m3 = if terms.flow_max_m3h > 0.0 {
        terms.flow_max_m3h * 24.0
    } else {
        1e15
    };
    let mut most_m3 = flow_m3;
    if !has_market && average > 0.0 && terms.take_day_max_ratio > 0.0 {
        most_m3 = most_m3.min(terms.take_day_max_ratio * average);
    }
    let least_m3 = (terms.take_day_min_ratio * average).max(0.0);
    let weights: Vec<f64> = (0..days)
        .map(|day| {
            supply.sum_m3(|cell| cell.day == day && cell.source == part.contract.source) as f64
        })
        .collect();
    // A month at one of its bounds leaves less than a whole m³ a day to rounding.
    let mut least = whole(least_m3.ceil());
    let mut most = whole(most_m3.floor());
    let count = i64::try_from(days).unwrap_or(31);
    if least * count > part.declared_m3 {
        least = whole(least_m3.floor());
    }
    if most * count < part.declared_m3 {
        most = whole(most_m3.ceil());
    }
    spread(
        &weights,
        part.declared_m3,
        &vec![least; days],
        &vec![most; days],
    )
    .ok_or(PlanError::DaySplit {
        contract: part.contract.id.clone(),
        declared_m3: part.declared_m3,
        day_min_m3: least,
        day_max_m3: most,
        days,
    })
}

fn contract_line(
    input: &DeclareInput<'_>,
    supply: &Supply<'_>,
    problem: &Problem,
    part: &Part<'_>,
    days: &[i64],
) -> ContractLine {
    let contract = part.contract;
    let draws = supply.draws(Some(&contract.source));
    let source = input.registry.sources.get(&contract.source);
    let components = component_lines(input.month, problem, part, &draws);
    let history = input.history;
    let mut line = ContractLine {
        contract: contract.id.clone(),
        source: contract.source.clone(),
        source_name: source.map_or_else(|| contract.source.to_string(), |s| s.name.clone()),
        source_class: source.map_or(SourceClass::Other, |s| s.class),
        supplier: contract.supplier.clone(),
        delivery_point: contract.delivery_point.clone(),
        components,
        contract_month_m3: contract.month_quantity(input.month).round_m3(),
        contract_annual_m3: whole(contract_annual_m3(contract, input.month)),
        taken_before_m3: history.taken_by_contract.get(&contract.id).copied(),
        last_year_m3: history.last_year_by_source.get(&contract.source).copied(),
        last_month_m3: history.last_month_by_source.get(&contract.source).copied(),
        last_month_measured_m3: history
            .last_month_measured
            .as_ref()
            .and_then(|part| part.by_source.get(&contract.source).copied()),
        forecast: band_of(part.p50_m3, draws).into(),
        declared_m3: part.declared_m3,
        day_max_m3: days.iter().copied().max().unwrap_or(0),
        day_min_m3: days.iter().copied().min().unwrap_or(0),
        hour_max_m3h: supply.hour_max_m3h(&contract.source),
        remark: String::new(),
    };
    line.remark = explain::remark(
        &line,
        declared_most(problem, part),
        unknown_days(input, contract),
    );
    line
}

/// Components in merit order, each with the band of what falls to it in the draws.
fn component_lines(
    month: GasMonth,
    problem: &Problem,
    part: &Part<'_>,
    draws: &[f64],
) -> Vec<ComponentLine> {
    let Some(terms) = problem.contracts.get(part.k) else {
        return Vec::new();
    };
    let residential = |draw: usize| {
        problem
            .scenarios
            .get(draw)
            .and_then(|s| s.residential_m3.get(part.k))
            .copied()
            .unwrap_or(0.0)
    };
    let filled: Vec<Vec<f64>> = draws
        .iter()
        .enumerate()
        .map(|(at, draw)| fill(terms, *draw, residential(at)))
        .collect();
    merit_order(&terms.components)
        .into_iter()
        .filter_map(|at| {
            let component = part.contract.components.get(at)?;
            let p50_m3 = part.p50.get(at).copied().unwrap_or(0);
            let of_draws = filled
                .iter()
                .map(|f| f.get(at).copied().unwrap_or(0.0))
                .collect();
            Some(ComponentLine {
                component: component.kind,
                contract_month_m3: component.month_quantity(month).round_m3(),
                forecast: band_of(p50_m3, of_draws).into(),
                declared_m3: part.declared.get(at).copied().unwrap_or(0),
                price_yuan_per_m3: terms.components.get(at).map_or(0.0, |of| of.price),
            })
        })
        .collect()
}

fn total_line(supply: &Supply<'_>, lines: &[ContractLine], declared_m3: i64) -> TotalLine {
    let all = |of: fn(&ContractLine) -> Option<i64>| lines.iter().map(of).sum::<Option<i64>>();
    TotalLine {
        contract_month_m3: lines.iter().map(|l| l.contract_month_m3).sum(),
        last_year_m3: all(|l| l.last_year_m3),
        last_month_m3: all(|l| l.last_month_m3),
        forecast: Quantiles::from(band_of(supply.sum_m3(|_| true), supply.draws(None))),
        declared_m3,
    }
}

/// Interruptible volume of large consumers in the zones that a source supplies, by its share of each on
/// the month's first day, m³. Of a customer whose gas is not ours nothing.
fn interruptible_m3(input: &DeclareInput<'_>, source: &SourceId) -> i64 {
    let shares = input.registry.shares_on(input.month.first_day());
    let of_zone = |zone: &ZoneId| -> f64 {
        let of_source = shares.iter().filter(|(z, s, _)| z == zone && s == source);
        of_source.map(|(_, _, share)| *share).sum()
    };
    let consumers = input.large_consumers.iter();
    let m3: f64 = consumers
        .filter_map(|line| {
            let customer = input.registry.customers.get(&line.customer)?;
            let is_ours = customer.is_bought_for();
            is_ours.then(|| line.interruptible_m3 as f64 * of_zone(&customer.zone))
        })
        .sum();
    whole(m3)
}

fn gap_line(line: &ContractLine, swing_m3: i64, interruptible_m3: i64) -> GapLine {
    GapLine {
        contract: line.contract.clone(),
        source_name: line.source_name.clone(),
        gap_p50_m3: line.forecast.p50_m3 - line.contract_month_m3,
        gap_p90_m3: line.forecast.p90_m3 - line.contract_month_m3,
        market_m3: line
            .components
            .iter()
            .filter(|c| c.component == ContractComponentKind::Market)
            .map(|c| c.declared_m3)
            .sum(),
        swing_m3,
        interruptible_m3,
    }
}

fn due_on(month: GasMonth, contracts: &[&SupplyContract]) -> NaiveDate {
    let before = month.previous();
    let day = contracts
        .iter()
        .map(|c| c.deadlines.month_submit_day)
        .min()
        .unwrap_or(20)
        .max(1);
    let last = month.first_day().plus(-1).0;
    NaiveDate::from_ymd_opt(before.year, before.month, day.min(last.day())).unwrap_or(last)
}
