//! Why a plan cannot be made.

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::id::{ContractId, RunId, SourceId};
use crate::plan::solve::SolveError;

/// Why a plan cannot be made. `code` names each for the API and the locale files.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The forecast does not reach the whole period.
    #[error(
        "forecast run {run} reaches {} to {}, the plan needs {} to {}: {missing} days are missing; \
         run a forecast nearer to the period or with a longer horizon",
        show(*have_from),
        show(*have_to),
        show(*need_from),
        show(*need_to)
    )]
    HorizonTooShort {
        /// The run.
        run: RunId,
        /// First day needed.
        need_from: Option<GasDay>,
        /// Last day needed.
        need_to: Option<GasDay>,
        /// First day of the run.
        have_from: Option<GasDay>,
        /// Last day of the run.
        have_to: Option<GasDay>,
        /// Days needed that the run does not have.
        missing: usize,
    },
    /// What is to be planned has begun.
    #[error(
        "gas day {first} has ended; plan {today} or a later day, and months that have not begun"
    )]
    Begun {
        /// First gas day of what was to be planned.
        first: GasDay,
        /// Today.
        today: GasDay,
    },
    /// No forecast reaches so far.
    #[error("gas day {last} is too far ahead; forecasts reach {reach} today at most")]
    TooFar {
        /// Last gas day of what was to be planned.
        last: GasDay,
        /// Last gas day that a forecast of today can reach.
        reach: GasDay,
    },
    /// The loss ratio is no sensible part of what is bought.
    #[error(
        "unaccounted-for gas of {ratio} of what is bought is not possible; give a part from 0 to below 0.5"
    )]
    UnaccountedRatio {
        /// As given.
        ratio: f64,
    },
    /// Demand of a source nobody has agreed to supply.
    #[error("source {source_id} has a demand of {volume_m3} m³ in {month} but no contract valid on {}; add one to contracts.toml or mend its source shares", month.first_day())]
    SourceWithoutContract {
        /// The source.
        source_id: SourceId,
        /// The month.
        month: GasMonth,
        /// Its demand.
        volume_m3: i64,
    },
    /// Two contracts for one source at the same time.
    #[error(
        "source {source_id} has several contracts valid in {month} ({}); give each its own source or merge their components",
        join(contracts)
    )]
    SeveralContracts {
        /// The source.
        source_id: SourceId,
        /// The month.
        month: GasMonth,
        /// Its contracts.
        contracts: Vec<ContractId>,
    },
    /// The forecast has no joint draws.
    #[error(
        "forecast run {run} has no joint draws: too little history to know how forecasts miss; a plan weighs futures, so collect some 120 gas days first"
    )]
    NoDraws {
        /// The run.
        run: RunId,
    },
    /// No contract at all.
    #[error("no supply contract is valid in {month}; add one to contracts.toml")]
    NoContract {
        /// The month.
        month: GasMonth,
    },
    /// The days cannot take the declared quantity.
    #[error(
        "contract {contract}: {declared_m3} m³ cannot be split over {days} days of {day_min_m3} to {day_max_m3} m³ each; mend the contract's daily bounds"
    )]
    DaySplit {
        /// The contract.
        contract: ContractId,
        /// Declared.
        declared_m3: i64,
        /// Least on a day.
        day_min_m3: i64,
        /// Most on a day.
        day_max_m3: i64,
        /// Days.
        days: usize,
    },
    /// No optimum.
    #[error("no optimal quantity")]
    Solve(#[from] SolveError),
    /// The document cannot be written down.
    #[error("the document cannot be written as JSON")]
    Document(#[from] serde_json::Error),
    /// The workbook cannot be written.
    #[error("the workbook cannot be written")]
    Workbook(#[from] rust_xlsxwriter::XlsxError),
}

impl PlanError {
    /// Stable code: `code` of a problem body, key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HorizonTooShort { .. } => "plan.horizon_too_short",
            Self::Begun { .. } => "plan.begun",
            Self::TooFar { .. } => "plan.too_far",
            Self::UnaccountedRatio { .. } => "plan.unaccounted_ratio",
            Self::SourceWithoutContract { .. } => "plan.source_without_contract",
            Self::SeveralContracts { .. } => "plan.several_contracts",
            Self::NoDraws { .. } => "plan.no_draws",
            Self::NoContract { .. } => "plan.no_contract",
            Self::DaySplit { .. } => "plan.day_split",
            Self::Solve(SolveError::Infeasible { .. }) => "plan.infeasible",
            Self::Solve(_) => "plan.solver",
            Self::Document(_) => "plan.document",
            Self::Workbook(_) => "plan.workbook",
        }
    }
}

impl PlanError {
    /// The limits that contradict each other, if that is what happened.
    pub fn conflict(&self) -> &[String] {
        match self {
            Self::Solve(SolveError::Infeasible { conflict }) => conflict,
            _ => &[],
        }
    }
}

fn show(day: Option<GasDay>) -> String {
    day.map_or_else(|| "nothing".into(), |d| d.to_string())
}

fn join(contracts: &[ContractId]) -> String {
    let names: Vec<&str> = contracts.iter().map(ContractId::as_str).collect();
    names.join(", ")
}
