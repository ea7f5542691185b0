//! What declared quantities cost in each scenario, exactly and without a solver.
//!
//! Within one scenario a contract's cost is a convex function of the volume it delivers: a stack
//! of segments, cheapest first. Deliver the demand, then move volume to the swing contract while
//! that saves money. Convexity makes this greedy move optimal, so the result equals the linear
//! program's recourse (a property test compares the two).

use crate::domain::contract::ContractComponentKind;
use crate::plan::problem::{
    ContractTerms, Problem, Quantities, Scenario, UNSERVED_YUAN_PER_M3, contract_totals,
};

/// Expected cost and what it is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cost {
    /// Gas at its component's or the contract's price, 元.
    pub purchase_yuan: f64,
    /// Charge for over-take, 元.
    pub over_take_yuan: f64,
    /// Charge for under-take, 元.
    pub under_take_yuan: f64,
    /// Paid without being taken, 元 (照付不议).
    pub take_or_pay_yuan: f64,
    /// Demand that nothing can deliver, m³.
    pub unserved_m3: f64,
    /// Delivered by the swing contract for others, m³.
    pub moved_m3: f64,
    /// The same by the contract it is delivered for, m³.
    pub moved_from_m3: Vec<f64>,
    /// Part of the scenarios in which some contract pays for over-take.
    pub over_take_probability: f64,
    /// Part of the scenarios in which some contract pays for under-take.
    pub under_take_probability: f64,
}

impl Cost {
    /// Money, 元.
    pub fn total_yuan(&self) -> f64 {
        self.purchase_yuan + self.over_take_yuan + self.under_take_yuan + self.take_or_pay_yuan
    }

    /// What the solver minimises: money and the price of undelivered gas.
    pub fn objective(&self) -> f64 {
        self.total_yuan() + self.unserved_m3 * UNSERVED_YUAN_PER_M3
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Contract,
    OverPaid,
    Unserved,
}

/// Gas of one price, before it is known what its delivery begins or ends.
#[derive(Debug, Clone, Copy)]
struct Step {
    kind: Kind,
    m3: f64,
    /// Price of the gas itself, 元/m³.
    price: f64,
    /// Charges for over-take on it, of the period and of the month, 元/m³.
    charge: f64,
    /// Counts against what the month has left.
    is_within: bool,
}

/// One step of a contract's cost curve.
#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: Kind,
    m3: f64,
    /// Marginal cost, 元/m³: price plus charges that begin, less charges that end.
    slope: f64,
    /// Price of the gas itself, 元/m³.
    price: f64,
    /// Charges for over-take on it, 元/m³.
    charge: f64,
}

/// Volumes below this do not count, m³.
const TINY_M3: f64 = 1e-7;

/// What a contract can deliver in a scenario, cheapest first.
fn steps(terms: &ContractTerms, declared: &[f64], residential_m3: f64) -> Vec<Step> {
    let total: f64 = declared.iter().sum();
    let price = terms.contract_price();
    let contract = |m3: f64, price: f64, is_within: bool| Step {
        kind: Kind::Contract,
        m3,
        price,
        charge: 0.0,
        is_within,
    };
    let mut steps: Vec<Step> = Vec::new();
    let mut within = 0.0;
    for (component, quantity) in terms.components.iter().zip(declared) {
        let quantity = quantity.max(0.0);
        let is_within = component.kind != ContractComponentKind::Market;
        if is_within {
            within += quantity;
        }
        if component.kind == ContractComponentKind::Residential {
            let matched = quantity.min(residential_m3.max(0.0));
            steps.push(contract(matched, component.price, true));
            // Residential quantity that no household uses is settled at the contract price.
            steps.push(contract(quantity - matched, price, true));
        } else {
            steps.push(contract(quantity, component.price, is_within));
        }
    }
    let over = (terms.take_max_m3 - within).max(0.0);
    let over_free = (terms.band_ratio * total).min(over);
    steps.push(contract(over_free, price, true));
    steps.push(Step {
        kind: Kind::OverPaid,
        charge: terms.over_take,
        ..contract(over - over_free, price, true)
    });
    let by_cost = |a: &Step, b: &Step| (a.price + a.charge).total_cmp(&(b.price + b.charge));
    // Stable: equal prices keep the order of the contract.
    steps.sort_by(by_cost);
    if terms.month_left_m3.is_finite() {
        let mut left = terms.month_left_m3.max(0.0);
        let mut beyond: Vec<Step> = Vec::new();
        for step in steps.iter_mut().filter(|step| step.is_within) {
            let part = step.m3.min(left);
            left -= part;
            beyond.push(Step {
                m3: step.m3 - part,
                charge: step.charge + terms.over_take,
                ..*step
            });
            step.m3 = part;
        }
        steps.extend(beyond);
        steps.sort_by(by_cost);
    }
    steps
}

/// The cost curve of a contract in a scenario, slopes ascending.
fn curve(terms: &ContractTerms, declared: &[f64], residential_m3: f64) -> Vec<Segment> {
    let total: f64 = declared.iter().sum();
    let owed = (1.0 - terms.band_ratio) * total;
    let mut segments = Vec::new();
    let mut at = 0.0;
    for step in steps(terms, declared, residential_m3) {
        let end = (at + step.m3.max(0.0)).min(terms.delivered_max_m3).max(at);
        let mut cuts = [owed, terms.take_or_pay_m3, end];
        cuts.sort_by(f64::total_cmp);
        for cut in cuts {
            let to = cut.clamp(at, end);
            if to - at > TINY_M3 || (to.is_infinite() && at.is_finite()) {
                let mut slope = step.price + step.charge;
                if at + TINY_M3 < owed {
                    slope -= terms.under_take;
                }
                if at + TINY_M3 < terms.take_or_pay_m3 {
                    slope -= terms.contract_price();
                }
                segments.push(Segment {
                    kind: step.kind,
                    m3: to - at,
                    slope,
                    price: step.price,
                    charge: step.charge,
                });
                at = to;
            }
        }
    }
    segments.push(Segment {
        kind: Kind::Unserved,
        m3: f64::INFINITY,
        slope: UNSERVED_YUAN_PER_M3,
        price: 0.0,
        charge: 0.0,
    });
    segments
}

/// Delivered parts of one contract: how much of each segment is used.
struct Delivery {
    segments: Vec<Segment>,
    used: Vec<f64>,
}

impl Delivery {
    fn new(segments: Vec<Segment>, demand_m3: f64) -> Self {
        let mut left = demand_m3.max(0.0);
        let used = segments
            .iter()
            .map(|s| {
                let part = left.min(s.m3);
                left -= part;
                part
            })
            .collect();
        Self { segments, used }
    }

    /// The dearest segment in use: position and slope.
    fn last_used(&self) -> Option<(usize, f64)> {
        let at = self.used.iter().rposition(|u| *u > TINY_M3)?;
        Some((at, self.segments.get(at)?.slope))
    }

    /// The cheapest segment with room: position, slope, room.
    fn next_free(&self) -> Option<(usize, f64, f64)> {
        self.segments
            .iter()
            .zip(&self.used)
            .enumerate()
            .map(|(at, (s, used))| (at, s.slope, s.m3 - used))
            .find(|(_, _, room)| *room > TINY_M3)
    }

    fn add(&mut self, at: usize, m3: f64) {
        if let Some(used) = self.used.get_mut(at) {
            *used += m3;
        }
    }

    fn sum(&self, of: impl Fn(&Segment) -> f64) -> f64 {
        self.segments
            .iter()
            .zip(&self.used)
            .filter(|(_, used)| **used > 0.0)
            .map(|(s, used)| of(s) * used)
            .sum()
    }
}

/// Moves volume to the swing contract while that saves money; returns how much of each contract.
fn move_to_swing(deliveries: &mut [Delivery], swing: usize) -> Vec<f64> {
    let mut moved = vec![0.0; deliveries.len()];
    loop {
        let Some((to, to_slope, room)) = deliveries.get(swing).and_then(Delivery::next_free) else {
            return moved;
        };
        let dearest = deliveries
            .iter()
            .enumerate()
            .filter(|(k, _)| *k != swing)
            .filter_map(|(k, d)| d.last_used().map(|(at, slope)| (k, at, slope)))
            .max_by(|a, b| a.2.total_cmp(&b.2).then(b.0.cmp(&a.0)));
        let Some((from, at, slope)) = dearest else {
            return moved;
        };
        if slope <= to_slope + 1e-9 {
            return moved;
        }
        let in_use = deliveries
            .get(from)
            .and_then(|d| d.used.get(at))
            .copied()
            .unwrap_or(0.0);
        let step = in_use.min(room);
        if let Some(d) = deliveries.get_mut(from) {
            d.add(at, -step);
        }
        if let Some(d) = deliveries.get_mut(swing) {
            d.add(to, step);
        }
        if let Some(of_contract) = moved.get_mut(from) {
            *of_contract += step;
        }
    }
}

/// What `quantities` cost in one scenario.
pub fn scenario_cost(problem: &Problem, quantities: &Quantities, scenario: &Scenario) -> Cost {
    let mut deliveries: Vec<Delivery> = problem
        .contracts
        .iter()
        .zip(quantities)
        .enumerate()
        .map(|(k, (terms, declared))| {
            let of = |values: &[f64]| values.get(k).copied().unwrap_or(0.0);
            Delivery::new(
                curve(terms, declared, of(&scenario.residential_m3)),
                of(&scenario.demand_m3),
            )
        })
        .collect();
    let mut cost = Cost::default();
    if let Some(swing) = problem.swing() {
        cost.moved_from_m3 = move_to_swing(&mut deliveries, swing);
        cost.moved_m3 = cost.moved_from_m3.iter().sum();
    }
    let totals = contract_totals(quantities);
    for ((terms, delivery), declared) in problem.contracts.iter().zip(&deliveries).zip(totals) {
        let is = |kind| move |s: &Segment| f64::from(u8::from(s.kind == kind));
        let unserved = delivery.sum(is(Kind::Unserved));
        let over = delivery.sum(|s| f64::from(u8::from(s.charge > 0.0)));
        let delivered = delivery.sum(|_| 1.0) - unserved;
        let under = ((1.0 - terms.band_ratio) * declared - delivered).max(0.0);
        cost.purchase_yuan += delivery.sum(|s| s.price);
        cost.over_take_yuan += delivery.sum(|s| s.charge);
        cost.under_take_yuan += under * terms.under_take;
        cost.take_or_pay_yuan +=
            (terms.take_or_pay_m3 - delivered).max(0.0) * terms.contract_price();
        cost.unserved_m3 += unserved;
        if over > 1.0 {
            cost.over_take_probability = 1.0;
        }
        if under > 1.0 {
            cost.under_take_probability = 1.0;
        }
    }
    cost
}

/// What `quantities` are expected to cost over all scenarios.
pub fn expected_cost(problem: &Problem, quantities: &Quantities) -> Cost {
    let mut sum = Cost::default();
    for scenario in &problem.scenarios {
        let one = scenario_cost(problem, quantities, scenario);
        sum.purchase_yuan += one.purchase_yuan;
        sum.over_take_yuan += one.over_take_yuan;
        sum.under_take_yuan += one.under_take_yuan;
        sum.take_or_pay_yuan += one.take_or_pay_yuan;
        sum.unserved_m3 += one.unserved_m3;
        sum.moved_m3 += one.moved_m3;
        sum.moved_from_m3.resize(one.moved_from_m3.len(), 0.0);
        for (sum, one) in sum.moved_from_m3.iter_mut().zip(&one.moved_from_m3) {
            *sum += one;
        }
        sum.over_take_probability += one.over_take_probability;
        sum.under_take_probability += one.under_take_probability;
    }
    let count = problem.scenarios.len().max(1) as f64;
    for value in [
        &mut sum.purchase_yuan,
        &mut sum.over_take_yuan,
        &mut sum.under_take_yuan,
        &mut sum.take_or_pay_yuan,
        &mut sum.unserved_m3,
        &mut sum.moved_m3,
        &mut sum.over_take_probability,
        &mut sum.under_take_probability,
    ] {
        *value /= count;
    }
    sum.moved_from_m3.iter_mut().for_each(|m3| *m3 /= count);
    sum
}
