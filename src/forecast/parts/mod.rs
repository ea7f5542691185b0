//! The four parts of a forecast (domain.md §0.4): filed plans, the statistical rest, new connections,
//! named other factors; and the large consumers as nodes of the same joint draws.
//!
//! The engine forecasts zone × class from its history. Here, what is known by other means is put in
//! its place: a customer's corrected plan for its own expectation, projects and factors on top. What
//! such knowledge already did to the past is taken out of the history before learning
//! (`taken_out`), so that nothing counts twice. All of it happens draw by draw.

mod consumers;
mod mix;
mod publish;
mod taken_out;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::connection::NewConnection;
use crate::domain::demand::DemandNode;
use crate::domain::factor::Factor;
use crate::domain::id::CustomerId;

pub use consumers::PLAN;
pub(super) use consumers::{KnownConsumer, OwnDays, model, own_days, rare_evidence};
pub(super) use mix::{Frame, NEW_NODE, flows, mix};
pub(super) use publish::whole_parts;
pub(super) use taken_out::{TakenOut, taken_out};

/// What is known beside the history of zone × class.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PartsInput {
    /// Customers forecast one by one, each once.
    pub consumers: Vec<ConsumerInput>,
    /// Projects.
    pub projects: Vec<Project>,
    /// Named factors, as known at the origin.
    pub factors: Vec<Factor>,
}

/// A customer forecast by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsumerInput {
    /// Customer.
    pub customer: CustomerId,
    /// The node it is a part of.
    pub node: DemandNode,
    /// Complete gas days, m³, in order.
    pub days: Vec<(GasDay, f64)>,
    /// Filed plans of days to come, m³.
    pub plans: BTreeMap<GasDay, f64>,
    /// Past plans beside what was used: day, planned, used, m³.
    pub past_plans: Vec<(GasDay, f64, f64)>,
    /// Its production changes, m³ by gas day, past ones too; a part of the node's effects.
    pub effects: BTreeMap<GasDay, f64>,
    /// Standard deviations of days that were partly estimated, m³. A part of its own where a run is kept.
    #[serde(skip)]
    pub deviations: BTreeMap<GasDay, f64>,
}

/// A project of the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// Its row.
    pub connection: NewConnection,
    /// Whether its use is in the demand of its node since it was connected.
    pub is_metered: bool,
}
