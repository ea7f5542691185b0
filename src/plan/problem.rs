//! What is decided: declared quantities of contracts, before the demand is known.
//!
//! Two stages. First a quantity is declared for each component of each contract. Then one of the
//! joint scenarios comes true and the gas is delivered as cheaply as the declared quantities
//! allow. [`crate::plan::solve`] finds the declared quantities of least expected cost;
//! [`crate::plan::cost`] prices any other ones.
//!
//! # Units
//! m³ of the period, 元, 元/m³, all as `f64`: the solver's world. Exact numbers begin where a
//! declaration is written.

use crate::domain::contract::ContractComponentKind;
use crate::domain::id::ContractId;

/// Price of gas that cannot be delivered at all, 元/m³: so dear that every contract comes first.
///
/// It steers the solver only. Undelivered volume is reported as volume, never as money.
pub const UNSERVED_YUAN_PER_M3: f64 = 100.0;

/// One component of a contract in the period.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentTerms {
    /// Kind.
    pub kind: ContractComponentKind,
    /// Most that can be declared, m³; infinite where nothing is agreed (market gas).
    pub available_m3: f64,
    /// Price, 元/m³.
    pub price: f64,
}

/// A contract in the period.
#[derive(Debug, Clone, PartialEq)]
pub struct ContractTerms {
    /// Contract.
    pub id: ContractId,
    /// Takes over what the others had better not deliver (兜底气源).
    pub is_swing: bool,
    /// Components.
    pub components: Vec<ComponentTerms>,
    /// Free deviation, part of the declared quantity (±).
    pub band_ratio: f64,
    /// Charge on top of the contract price for volume above the band, 元/m³.
    pub over_take: f64,
    /// Charge for declared volume not taken below the band, 元/m³.
    pub under_take: f64,
    /// Most that can be declared and delivered within the contract, over-take included, m³.
    pub take_max_m3: f64,
    /// Most that can pass the delivery point, m³.
    pub delivered_max_m3: f64,
    /// Volume of the period that is paid whether taken or not, m³ (照付不议): what later periods
    /// of the contract year can no longer make up.
    pub take_or_pay_m3: f64,
    /// What the month's contract quantity has left, m³: gas within the contract beyond it is over-take of
    /// the month, at the same charge, whatever was declared. Infinite where the period is the month.
    pub month_left_m3: f64,
}

impl ContractTerms {
    /// The contract price (合同价): of the dearest component within the contract, which is the one
    /// that an over-take draws on; of market gas where there is nothing else.
    pub fn contract_price(&self) -> f64 {
        let dearest = |market: bool| {
            self.components
                .iter()
                .filter(|c| (c.kind == ContractComponentKind::Market) == market)
                .map(|c| c.price)
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let within = dearest(false);
        let price = if within.is_finite() {
            within
        } else {
            dearest(true)
        };
        if price.is_finite() { price } else { 0.0 }
    }
}

/// One joint future: what each contract's source is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Demand by contract, m³.
    pub demand_m3: Vec<f64>,
    /// Of it for households and public service at the household price, m³: all that the
    /// residential component may deliver.
    pub residential_m3: Vec<f64>,
}

/// What a limit is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitScope {
    /// All the contract's declared quantity.
    Declared,
    /// Its declared quantity without market gas.
    WithinContract,
    /// One component's.
    Component(ContractComponentKind),
}

/// Direction of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitSense {
    /// Not less.
    AtLeast,
    /// Not more.
    AtMost,
}

/// A bound on what may be declared, with the words in which it is reported when it cannot be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Why, with numbers and units.
    pub label: String,
    /// Position of the contract.
    pub contract: usize,
    /// What it bounds.
    pub scope: LimitScope,
    /// Direction.
    pub sense: LimitSense,
    /// Bound, m³.
    pub m3: f64,
}

impl Limit {
    /// Whether a component counts for this limit.
    pub fn covers(&self, kind: ContractComponentKind) -> bool {
        match self.scope {
            LimitScope::Declared => true,
            LimitScope::WithinContract => kind != ContractComponentKind::Market,
            LimitScope::Component(of) => of == kind,
        }
    }
}

/// The whole problem.
///
/// # Shape
/// Every scenario has as many entries as there are contracts; scenarios are equally likely.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problem {
    /// Contracts, one for each source.
    pub contracts: Vec<ContractTerms>,
    /// Bounds on what may be declared.
    pub limits: Vec<Limit>,
    /// Joint scenarios.
    pub scenarios: Vec<Scenario>,
}

/// Declared quantities, m³: `[contract][component]`.
pub type Quantities = Vec<Vec<f64>>;

/// The total of each contract, m³.
pub fn contract_totals(quantities: &Quantities) -> Vec<f64> {
    quantities.iter().map(|q| q.iter().sum()).collect()
}

impl Problem {
    /// The contract that takes over, if there is one.
    pub fn swing(&self) -> Option<usize> {
        self.contracts.iter().position(|c| c.is_swing)
    }

    /// How far `quantities` are from keeping every limit, m³; zero if they keep them.
    pub fn violation_m3(&self, quantities: &Quantities) -> f64 {
        let mut worst: f64 = 0.0;
        for (terms, of_contract) in self.contracts.iter().zip(quantities) {
            for (component, value) in terms.components.iter().zip(of_contract) {
                worst = worst.max(-value).max(value - component.available_m3);
            }
            let within: f64 = terms
                .components
                .iter()
                .zip(of_contract)
                .filter(|(c, _)| c.kind != ContractComponentKind::Market)
                .map(|(_, v)| v)
                .sum();
            worst = worst.max(within - terms.take_max_m3);
        }
        for limit in &self.limits {
            let (Some(terms), Some(of_contract)) = (
                self.contracts.get(limit.contract),
                quantities.get(limit.contract),
            ) else {
                continue;
            };
            let sum: f64 = terms
                .components
                .iter()
                .zip(of_contract)
                .filter(|(c, _)| limit.covers(c.kind))
                .map(|(_, v)| v)
                .sum();
            worst = worst.max(match limit.sense {
                LimitSense::AtLeast => limit.m3 - sum,
                LimitSense::AtMost => sum - limit.m3,
            });
        }
        worst
    }
}
