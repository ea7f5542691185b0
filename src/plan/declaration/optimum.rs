//! Why this quantity: what others would cost, the bound it lies at, and what is not known.

use crate::domain::contract::{ContractComponentKind, SupplyContract};
use crate::plan::cost::{Cost, expected_cost};
use crate::plan::declaration::build::{Part, bounds, whole};
use crate::plan::declaration::{Alternative, DeclareInput, Optimum, TotalLine};
use crate::plan::explain::{Reason, UnknownTake};
use crate::plan::merit::fill;
use crate::plan::problem::{Problem, Quantities};
use crate::plan::supply::Supply;
use crate::plan::terms::contract_year_from;

/// Most that a contract may be declared at, where that is what it is declared at, m³.
pub(super) fn declared_most(problem: &Problem, part: &Part<'_>) -> Option<i64> {
    let (_, most) = bounds(problem, part.k);
    let most = most.is_finite().then(|| whole(most.floor()))?;
    (part.declared_m3 >= most).then_some(most)
}

/// Days of the contract year without a known delivery, of a contract whose take-or-pay depends on them.
pub(super) fn unknown_days(input: &DeclareInput<'_>, contract: &SupplyContract) -> Option<i64> {
    let is_known = input.history.taken_by_contract.contains_key(&contract.id);
    if is_known || contract.deviation.take_or_pay_ratio <= 0.0 {
        return None;
    }
    let days = input.history.unknown_days.get(&contract.id);
    Some(days.copied().unwrap_or(0))
}

pub(super) fn unknown_takes<'a>(
    input: &DeclareInput<'_>,
    contracts: &[&'a SupplyContract],
) -> Vec<UnknownTake<'a>> {
    let unknown = contracts.iter().filter_map(|contract| {
        Some(UnknownTake {
            contract: &contract.id,
            from: contract_year_from(contract, input.month),
            days: unknown_days(input, contract)?,
        })
    });
    unknown.collect()
}

/// Steps of the curve of alternatives, percent of what is declared.
const STEPS_PERCENT: std::ops::RangeInclusive<i32> = 88..=112;

pub(super) fn optimum(
    problem: &Problem,
    supply: &Supply<'_>,
    parts: &[Part<'_>],
    declared: &Quantities,
    cost: &Cost,
    total: &TotalLine,
    unknown: &[UnknownTake<'_>],
) -> Optimum {
    let scaled = |wanted: &dyn Fn(&Part<'_>) -> f64| -> Quantities {
        parts
            .iter()
            .zip(&problem.contracts)
            .map(|(part, terms)| {
                let (least, most) = bounds(problem, part.k);
                fill(
                    terms,
                    wanted(part).min(most).max(least),
                    part.residential_p50_m3,
                )
            })
            .collect()
    };
    let price = |key: &str, quantities: &Quantities| {
        let other = expected_cost(problem, quantities);
        Alternative {
            key: key.into(),
            declared_m3: whole(quantities.iter().flatten().sum()),
            expected_yuan: cents(other.total_yuan()),
            extra_yuan: cents(other.total_yuan() - cost.total_yuan()),
            over_take_probability: other.over_take_probability,
            under_take_probability: other.under_take_probability,
        }
    };
    let mut alternatives = vec![
        price("declared", declared),
        price("p50", &scaled(&|part| part.p50_m3 as f64)),
        price(
            "contract",
            &scaled(&|part| {
                problem.contracts.get(part.k).map_or(0.0, |terms| {
                    terms
                        .components
                        .iter()
                        .filter(|c| c.kind != ContractComponentKind::Market)
                        .map(|c| c.available_m3)
                        .sum()
                })
            }),
        ),
    ];
    for percent in STEPS_PERCENT {
        let factor = f64::from(percent) / 100.0;
        let one = price(
            &format!("x{factor:.2}"),
            &scaled(&|part| part.declared_m3 as f64 * factor),
        );
        // Bounds can hold several steps at the same total; one of them is enough.
        if percent != 100
            && !alternatives
                .iter()
                .any(|a| a.declared_m3 == one.declared_m3)
        {
            alternatives.push(one);
        }
    }
    alternatives.sort_by(|a, b| a.declared_m3.cmp(&b.declared_m3).then(a.key.cmp(&b.key)));
    let mut draws = supply.draws(None);
    draws.sort_by(f64::total_cmp);
    let below = draws.partition_point(|d| *d <= total.declared_m3 as f64 + 0.5);
    let quantile = below as f64 / draws.len().max(1) as f64;
    let main = parts
        .iter()
        .max_by_key(|p| (p.declared_m3, std::cmp::Reverse(p.k)))
        .map(|p| p.contract);
    let reason = Reason {
        total,
        quantile,
        cost,
        main,
        alternatives: &alternatives,
        unknown,
    };
    Optimum {
        expected_yuan: cents(cost.total_yuan()),
        purchase_yuan: cents(cost.purchase_yuan),
        over_take_yuan: cents(cost.over_take_yuan),
        under_take_yuan: cents(cost.under_take_yuan),
        take_or_pay_yuan: cents(cost.take_or_pay_yuan),
        unserved_m3: whole(cost.unserved_m3),
        moved_m3: whole(cost.moved_m3),
        quantile,
        scenarios: problem.scenarios.len(),
        reason_zh: reason.zh(),
        reason_en: reason.en(),
        alternatives,
    }
}

fn cents(yuan: f64) -> f64 {
    (yuan * 100.0).round() / 100.0
}
