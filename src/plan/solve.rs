//! How the declared quantities of least expected cost are found: one linear program over all
//! scenarios (`good_lp` with Clarabel), then a step to the nearest exact corner.
//!
//! An interior-point solver stops a little off the corner and anywhere on a flat optimum. The
//! last step prices the corners around its answer exactly ([`crate::plan::cost`]) and takes the
//! cheapest, the smallest quantity among equals: the answer is one that a person can check, and
//! the same on every machine.

use good_lp::{
    Expression, ProblemVariables, ResolutionError, Solution as _, SolverModel as _, Variable,
    clarabel, constraint, variable,
};

use crate::domain::contract::ContractComponentKind;
use crate::plan::cost::{Cost, expected_cost};
use crate::plan::merit::fill;
use crate::plan::problem::{
    LimitSense, Problem, Quantities, UNSERVED_YUAN_PER_M3, contract_totals,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// Limits contradict each other; every one of them is needed for the contradiction.
    #[error("no quantity can be declared: these limits contradict each other: {}; relax one of them", conflict.join("; "))]
    Infeasible {
        /// The limits, by label.
        conflict: Vec<String>,
    },
    /// No contract or no scenario.
    #[error("nothing to solve: {contracts} contracts and {scenarios} scenarios; both are needed")]
    Empty {
        /// Contracts.
        contracts: usize,
        /// Scenarios.
        scenarios: usize,
    },
    /// The solver gave up.
    #[error("the solver stopped without an answer")]
    Solver(#[source] ResolutionError),
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// Declared quantities, m³.
    pub quantities: Quantities,
    /// What they are expected to cost.
    pub cost: Cost,
    /// Objective the linear program itself reached, 元; the corner is not dearer but for its tolerance.
    pub program_yuan: f64,
}

/// Finds the declared quantities of least expected cost.
///
/// # Errors
/// [`SolveError::Infeasible`] names a smallest set of limits that cannot hold together.
pub fn solve(problem: &Problem) -> Result<Solution, SolveError> {
    if problem.contracts.is_empty() || problem.scenarios.is_empty() {
        return Err(SolveError::Empty {
            contracts: problem.contracts.len(),
            scenarios: problem.scenarios.len(),
        });
    }
    let conflict = contradiction(problem)?;
    if !conflict.is_empty() {
        return Err(SolveError::Infeasible { conflict });
    }
    let (start, program_yuan) = program(problem)?;
    let quantities = corner(problem, start);
    let cost = expected_cost(problem, &quantities);
    Ok(Solution {
        quantities,
        cost,
        program_yuan,
    })
}

/// m³ in one unit of the program: brings the numbers near 100, where the solver is at its best.
fn unit_m3(problem: &Problem) -> f64 {
    let most = problem
        .scenarios
        .iter()
        .flat_map(|s| &s.demand_m3)
        .copied()
        .fold(0.0, f64::max);
    if most > 0.0 { most / 100.0 } else { 1.0 }
}

/// A row over the declared quantities, in m³.
struct Row {
    label: String,
    cells: Vec<(usize, usize)>,
    sense: LimitSense,
    m3: f64,
}

/// Every bound on declared quantities, the contract's own first.
fn rows(problem: &Problem) -> Vec<Row> {
    let mut rows = Vec::new();
    for (k, terms) in problem.contracts.iter().enumerate() {
        for (j, component) in terms.components.iter().enumerate() {
            if component.available_m3.is_finite() {
                rows.push(Row {
                    label: format!(
                        "contract {}: component {} has at most {:.0} m³",
                        terms.id,
                        component.kind.name_zh(),
                        component.available_m3
                    ),
                    cells: vec![(k, j)],
                    sense: LimitSense::AtMost,
                    m3: component.available_m3,
                });
            }
        }
        if terms.take_max_m3.is_finite() {
            rows.push(Row {
                label: format!(
                    "contract {}: largest take within the contract is {:.0} m³",
                    terms.id, terms.take_max_m3
                ),
                cells: cells(problem, k, |kind| kind != ContractComponentKind::Market),
                sense: LimitSense::AtMost,
                m3: terms.take_max_m3,
            });
        }
    }
    for limit in &problem.limits {
        rows.push(Row {
            label: limit.label.clone(),
            cells: cells(problem, limit.contract, |kind| limit.covers(kind)),
            sense: limit.sense,
            m3: limit.m3,
        });
    }
    rows
}

fn cells(
    problem: &Problem,
    contract: usize,
    counts: impl Fn(ContractComponentKind) -> bool,
) -> Vec<(usize, usize)> {
    problem
        .contracts
        .get(contract)
        .into_iter()
        .flat_map(|terms| terms.components.iter().enumerate())
        .filter(|(_, c)| counts(c.kind))
        .map(|(j, _)| (contract, j))
        .collect()
}

type QuantityVars = Vec<Vec<Variable>>;

fn quantity_vars(problem: &Problem, vars: &mut ProblemVariables) -> QuantityVars {
    problem
        .contracts
        .iter()
        .map(|terms| {
            terms
                .components
                .iter()
                .map(|_| vars.add(variable().min(0.0)))
                .collect()
        })
        .collect()
}

fn row_sum(quantities: &QuantityVars, cells: &[(usize, usize)]) -> Expression {
    cells
        .iter()
        .filter_map(|(k, j)| quantities.get(*k).and_then(|q| q.get(*j)))
        .copied()
        .sum()
}

/// A smallest set of rows that contradict each other; empty if all can hold.
///
/// Deletion filter: leave out one row after the other; one that makes the rest possible stays in.
fn contradiction(problem: &Problem) -> Result<Vec<String>, SolveError> {
    let mut kept = rows(problem);
    if shortfall(problem, &kept)? <= 1e-6 {
        return Ok(Vec::new());
    }
    let mut at = 0;
    while at < kept.len() {
        let row = kept.remove(at);
        if shortfall(problem, &kept)? <= 1e-6 {
            kept.insert(at, row);
            at += 1;
        }
    }
    Ok(kept.into_iter().map(|r| r.label).collect())
}

/// By how much the rows miss each other at least, in program units.
fn shortfall(problem: &Problem, rows: &[Row]) -> Result<f64, SolveError> {
    let unit = unit_m3(problem);
    let mut vars = ProblemVariables::new();
    let quantities = quantity_vars(problem, &mut vars);
    let slacks: Vec<Variable> = vars.add_vector(variable().min(0.0), rows.len());
    let objective: Expression = slacks.iter().copied().sum();
    let mut model = vars.minimise(objective.clone()).using(clarabel);
    for (row, slack) in rows.iter().zip(&slacks) {
        let sum = row_sum(&quantities, &row.cells);
        let bound = row.m3 / unit;
        model.add_constraint(match row.sense {
            LimitSense::AtLeast => constraint!(sum + *slack >= bound),
            LimitSense::AtMost => constraint!(sum - *slack <= bound),
        });
    }
    let solution = model.solve().map_err(SolveError::Solver)?;
    Ok(solution.eval(&objective).max(0.0))
}

/// Recourse variables of one contract in one scenario.
struct Recourse {
    parts: Vec<Variable>,
    residential_rest: Variable,
    over_free: Variable,
    over_paid: Variable,
    unserved: Variable,
    under: Variable,
    not_taken: Variable,
    moved: Variable,
    beyond_month: Variable,
}

impl Recourse {
    fn new(vars: &mut ProblemVariables, components: usize) -> Self {
        let mut one = || vars.add(variable().min(0.0));
        Self {
            residential_rest: one(),
            over_free: one(),
            over_paid: one(),
            unserved: one(),
            under: one(),
            not_taken: one(),
            moved: one(),
            beyond_month: one(),
            parts: (0..components).map(|_| one()).collect(),
        }
    }

    fn delivered(&self) -> Expression {
        self.parts.iter().copied().sum::<Expression>()
            + self.residential_rest
            + self.over_free
            + self.over_paid
    }
}

/// Solves the two-stage program; returns declared quantities in m³ and the objective in 元.
#[expect(
    clippy::too_many_lines,
    reason = "one program, written down once in the order of METHODS"
)]
fn program(problem: &Problem) -> Result<(Quantities, f64), SolveError> {
    let unit = unit_m3(problem);
    let mut vars = ProblemVariables::new();
    let declared = quantity_vars(problem, &mut vars);
    let recourse: Vec<Vec<Recourse>> = problem
        .scenarios
        .iter()
        .map(|_| {
            problem
                .contracts
                .iter()
                .map(|terms| Recourse::new(&mut vars, terms.components.len()))
                .collect()
        })
        .collect();
    let weight = 1.0 / problem.scenarios.len() as f64;
    let mut objective = Expression::with_capacity(recourse.len() * 16);
    for of_scenario in &recourse {
        for (terms, r) in problem.contracts.iter().zip(of_scenario) {
            let price = terms.contract_price();
            for (component, part) in terms.components.iter().zip(&r.parts) {
                objective.add_mul(weight * component.price, *part);
            }
            objective.add_mul(weight * price, r.residential_rest);
            objective.add_mul(weight * price, r.over_free);
            objective.add_mul(weight * (price + terms.over_take), r.over_paid);
            objective.add_mul(weight * UNSERVED_YUAN_PER_M3, r.unserved);
            objective.add_mul(weight * terms.under_take, r.under);
            objective.add_mul(weight * price, r.not_taken);
            objective.add_mul(weight * terms.over_take, r.beyond_month);
        }
    }
    let mut model = vars.minimise(objective.clone()).using(clarabel);
    for row in rows(problem) {
        let sum = row_sum(&declared, &row.cells);
        let bound = row.m3 / unit;
        model.add_constraint(match row.sense {
            LimitSense::AtLeast => constraint!(sum >= bound),
            LimitSense::AtMost => constraint!(sum <= bound),
        });
    }
    let swing = problem.swing();
    for (scenario, of_scenario) in problem.scenarios.iter().zip(&recourse) {
        for (k, ((terms, r), quantities)) in problem
            .contracts
            .iter()
            .zip(of_scenario)
            .zip(&declared)
            .enumerate()
        {
            let of = |values: &[f64]| values.get(k).copied().unwrap_or(0.0).max(0.0) / unit;
            let demand = of(&scenario.demand_m3);
            let total: Expression = quantities.iter().copied().sum();
            // Balance: delivered and unserved gas meet the demand, less or plus what is moved.
            let met = r.delivered() + r.unserved;
            model.add_constraint(if swing == Some(k) {
                let moved: Expression = of_scenario
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != k)
                    .map(|(_, o)| o.moved)
                    .sum();
                constraint!(met - moved == demand)
            } else {
                constraint!(met + r.moved == demand)
            });
            if swing.is_none() || swing == Some(k) {
                model.add_constraint(constraint!(r.moved <= 0.0));
            }
            let mut has_residential = false;
            let mut within = Expression::from(r.over_free) + r.over_paid;
            let mut of_month = Expression::from(r.over_free) + r.over_paid + r.residential_rest;
            for ((component, part), quantity) in
                terms.components.iter().zip(&r.parts).zip(quantities)
            {
                if component.kind == ContractComponentKind::Residential {
                    has_residential = true;
                    let matched = of(&scenario.residential_m3);
                    model.add_constraint(constraint!(*part <= matched));
                    model
                        .add_constraint(constraint!(*part + r.residential_rest - *quantity <= 0.0));
                } else {
                    model.add_constraint(constraint!(*part - *quantity <= 0.0));
                }
                if component.kind != ContractComponentKind::Market {
                    within += *quantity;
                    of_month += *part;
                }
            }
            if terms.month_left_m3.is_finite() {
                let left = terms.month_left_m3.max(0.0) / unit;
                model.add_constraint(constraint!(of_month - r.beyond_month <= left));
            } else {
                model.add_constraint(constraint!(r.beyond_month <= 0.0));
            }
            if !has_residential {
                model.add_constraint(constraint!(r.residential_rest <= 0.0));
            }
            model.add_constraint(constraint!(
                r.over_free - terms.band_ratio * total.clone() <= 0.0
            ));
            if terms.take_max_m3.is_finite() {
                let most = terms.take_max_m3 / unit;
                model.add_constraint(constraint!(within <= most));
            }
            if terms.delivered_max_m3.is_finite() {
                let most = terms.delivered_max_m3 / unit;
                model.add_constraint(constraint!(r.delivered() <= most));
            }
            model.add_constraint(constraint!(
                r.under + r.delivered() - (1.0 - terms.band_ratio) * total >= 0.0
            ));
            if terms.take_or_pay_m3 > 0.0 {
                let owed = terms.take_or_pay_m3 / unit;
                model.add_constraint(constraint!(r.not_taken + r.delivered() >= owed));
            }
        }
    }
    let solution = model.solve().map_err(SolveError::Solver)?;
    let quantities = declared
        .iter()
        .map(|of_contract| {
            of_contract
                .iter()
                .map(|v| solution.value(*v).max(0.0) * unit)
                .collect()
        })
        .collect();
    Ok((quantities, solution.eval(&objective) * unit))
}

/// Corners looked at on either side of the program's answer.
const CORNERS_NEAR: usize = 6;

/// Moves to the cheapest corner near `start`, contract by contract, twice round.
fn corner(problem: &Problem, start: Quantities) -> Quantities {
    let tolerance_m3 = unit_m3(problem) * 1e-6;
    let mut best = start;
    let mut best_yuan = expected_cost(problem, &best).objective();
    for _ in 0..2 {
        for (k, terms) in problem.contracts.iter().enumerate() {
            let total = contract_totals(&best).get(k).copied().unwrap_or(0.0);
            let residential = mean_residential_m3(problem, k);
            let mut options: Vec<(f64, Quantities)> = Vec::new();
            for candidate in candidates(problem, k, total) {
                let mut quantities = best.clone();
                if let Some(of_contract) = quantities.get_mut(k) {
                    *of_contract = fill(terms, candidate, residential);
                }
                if problem.violation_m3(&quantities) <= tolerance_m3 {
                    let yuan = expected_cost(problem, &quantities).objective();
                    options.push((yuan, quantities));
                }
            }
            let Some(least) = options.iter().map(|o| o.0).min_by(f64::total_cmp) else {
                continue;
            };
            // The solver's own tolerance: a corner this close is the optimum it was looking for.
            if least > best_yuan + best_yuan.abs() * 1e-7 + 1e-9 {
                continue;
            }
            let equal = least + least.abs() * 1e-10 + 1e-9;
            if let Some((yuan, quantities)) = options.into_iter().find(|o| o.0 <= equal) {
                best = quantities;
                best_yuan = yuan;
            }
        }
    }
    best
}

fn mean_residential_m3(problem: &Problem, k: usize) -> f64 {
    let sum: f64 = problem
        .scenarios
        .iter()
        .filter_map(|s| s.residential_m3.get(k))
        .sum();
    sum / problem.scenarios.len().max(1) as f64
}

/// Totals of a contract at which its expected cost may bend, nearest to `near`, ascending.
fn candidates(problem: &Problem, k: usize, near: f64) -> Vec<f64> {
    let Some(terms) = problem.contracts.get(k) else {
        return Vec::new();
    };
    let mut all = vec![
        near,
        0.0,
        terms.take_max_m3,
        terms.take_or_pay_m3,
        terms.month_left_m3,
    ];
    for scenario in &problem.scenarios {
        let demand = scenario.demand_m3.get(k).copied().unwrap_or(0.0);
        all.push(demand);
        if terms.band_ratio > 0.0 && terms.band_ratio < 1.0 {
            all.push(demand / (1.0 + terms.band_ratio));
            all.push(demand / (1.0 - terms.band_ratio));
        }
    }
    let mut sum = 0.0;
    for at in crate::plan::merit::merit_order(&terms.components) {
        sum += terms.components.get(at).map_or(0.0, |c| c.available_m3);
        all.push(sum);
    }
    all.extend(
        problem
            .limits
            .iter()
            .filter(|limit| limit.contract == k)
            .map(|limit| limit.m3),
    );
    all.retain(|v| v.is_finite() && *v >= 0.0);
    all.sort_by(f64::total_cmp);
    all.dedup();
    let at = all.partition_point(|v| *v < near);
    let from = at.saturating_sub(CORNERS_NEAR);
    all.into_iter()
        .skip(from)
        .take(2 * CORNERS_NEAR + 1)
        .collect()
}

#[cfg(test)]
mod tests;
