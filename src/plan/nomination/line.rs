//! One contract's line: what is suggested, by hour, and what kept it from being another quantity.

use std::collections::BTreeMap;

use crate::domain::contract::{ContractComponentKind, SupplyContract};
use crate::domain::demand::quantile_of_sorted;
use crate::domain::id::SourceId;
use crate::domain::source::SourceClass;
use crate::plan::PlanError;
use crate::plan::declaration::Quantiles;
use crate::plan::explain::{self, DayBound, DayLimits};
use crate::plan::nomination::{NominateInput, NominationLine, remaining_average, source_m3, whole};
use crate::plan::problem::{ContractTerms, LimitSense, Problem};
use crate::plan::spread::spread;
use crate::plan::supply::{Supply, band_of};

pub(super) fn line(
    input: &NominateInput<'_>,
    supply: &Supply<'_>,
    today: Option<&BTreeMap<SourceId, i64>>,
    problem: &Problem,
    contract: &SupplyContract,
    k: usize,
    optimal: &[f64],
) -> Result<NominationLine, PlanError> {
    let month = input.day.month();
    let days = u32::try_from(month.days().len()).unwrap_or(31);
    let quantity = contract.month_quantity(month).to_f64();
    let terms = &contract.deviation;
    let average = quantity / f64::from(days);
    let p50_m3 = source_m3(supply, &contract.source);
    let mut draws = supply.draws(Some(&contract.source));
    let forecast: Quantiles = band_of(p50_m3, draws.clone()).into();
    draws.sort_by(f64::total_cmp);
    let suggested_m3 = whole(optimal.iter().sum());
    let below = draws.partition_point(|d| *d <= suggested_m3 as f64 + 0.5);
    let quantile = below as f64 / draws.len().max(1) as f64;
    let take_min_m3 = problem
        .limits
        .iter()
        .filter(|l| l.contract == k && l.sense == LimitSense::AtLeast)
        .map(|l| whole(l.m3))
        .max()
        .unwrap_or(0);
    let flow_max_m3h = (terms.flow_max_m3h > 0.0).then(|| whole(terms.flow_max_m3h.floor()));
    let mut remarks = Vec::new();
    if contract.gas_day_start_hour != supply.clock {
        remarks.push(format!(
            "合同气日自{}时起，与预测气日({}时)不同，请核对",
            contract.gas_day_start_hour.start_hour, supply.clock.start_hour
        ));
    }
    if quantity > 0.0 && !input.taken.contains_key(&contract.id) {
        remarks.push("本月已提取量不全，未计本月合同余量".to_owned());
    }
    let names: Vec<&str> = contract
        .components
        .iter()
        .map(|c| c.kind.name_zh())
        .collect();
    let mut line = NominationLine {
        contract: contract.id.clone(),
        components: names.join("/"),
        supplier: contract.supplier.clone(),
        source: contract.source.clone(),
        source_class: input
            .registry
            .sources
            .get(&contract.source)
            .map_or(SourceClass::Other, |s| s.class),
        delivery_point: contract.delivery_point.clone(),
        month_average_m3: whole(average),
        remaining_average_m3: input.taken.get(&contract.id).and_then(|take| {
            remaining_average(quantity, take.taken_m3 as f64, take.days, days).map(whole)
        }),
        take_min_m3,
        take_max_m3: (quantity > 0.0 && terms.take_day_max_ratio > 0.0)
            .then(|| whole(terms.take_day_max_ratio * average)),
        delivered_yesterday_m3: input.delivered_yesterday_m3.get(&contract.id).copied(),
        today_m3: today.map(|t| t.get(&contract.source).copied().unwrap_or(0)),
        forecast,
        p5_m3: whole(quantile_of_sorted(&draws, 0.05)),
        p95_m3: whole(quantile_of_sorted(&draws, 0.95)),
        suggested_m3,
        quantile,
        nominated_m3: suggested_m3,
        makeup_m3: 0,
        flow_max_m3h,
        hours_m3: hours(supply, contract, suggested_m3, flow_max_m3h)?,
        approved_m3: None,
        changed_m3: None,
        reapproved_m3: None,
        change_reason: None,
        delivered_m3: None,
        remark: remarks.join("；"),
        reason_zh: String::new(),
        reason_en: String::new(),
    };
    let limits = day_limits(&line, problem.contracts.get(k), optimal);
    (line.reason_zh, line.reason_en) = explain::nomination(&line, contract, limits);
    Ok(line)
}

/// Which bounds the suggestion of a line lies at, to whole m³.
fn day_limits(line: &NominationLine, terms: Option<&ContractTerms>, optimal: &[f64]) -> DayLimits {
    let Some(terms) = terms else {
        return DayLimits::default();
    };
    let parts = terms.components.iter().zip(optimal);
    let within = parts.filter(|(c, _)| c.kind != ContractComponentKind::Market);
    let within: f64 = within.map(|(_, m3)| *m3).sum();
    let suggested = line.suggested_m3 as f64;
    // What is taken beyond the nomination is free within the band: where demand lies above the largest take,
    // all nominations that reach it with their band cost the same.
    let p50 = line.forecast.p50_m3 as f64;
    let reaches = |nominated: f64, most: f64| {
        let free = if p50 > most { terms.band_ratio } else { 0.0 };
        nominated * (1.0 + free) >= most - 1.0
    };
    let bound = if reaches(suggested, terms.delivered_max_m3) {
        Some((DayBound::Flow, whole(terms.delivered_max_m3)))
    } else if reaches(within, terms.take_max_m3) {
        Some((DayBound::TakeMax, whole(terms.take_max_m3)))
    } else if line.take_min_m3 > 0 && within <= line.take_min_m3 as f64 + 1.0 {
        Some((DayBound::TakeMin, line.take_min_m3))
    } else {
        None
    };
    let left = terms.month_left_m3.max(0.0);
    let beyond = within - left;
    DayLimits {
        bound,
        beyond_month: (beyond >= 1.0).then(|| (whole(left), whole(beyond))),
    }
}

/// The day by hour like the P50, no hour above the largest flow.
fn hours(
    supply: &Supply<'_>,
    contract: &SupplyContract,
    total_m3: i64,
    flow_max_m3h: Option<i64>,
) -> Result<[i64; 24], PlanError> {
    let mut shape = [0.0; 24];
    for cell in supply.cells.iter().filter(|c| c.source == contract.source) {
        for (sum, value) in shape.iter_mut().zip(cell.hours_m3) {
            *sum += value as f64;
        }
    }
    let mut most = flow_max_m3h.unwrap_or(total_m3);
    if most * 24 < total_m3 {
        // The largest flow is no whole number: round it up rather than refuse the day.
        most += 1;
    }
    spread(&shape, total_m3, &[0; 24], &[most; 24])
        .and_then(|hours| hours.try_into().ok())
        .ok_or(PlanError::DaySplit {
            contract: contract.id.clone(),
            declared_m3: total_m3,
            day_min_m3: 0,
            day_max_m3: most,
            days: 24,
        })
}
