//! What is known beside the history of zone × class: large consumers, projects, named factors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::connection::NewConnection;
use crate::domain::demand::DemandNode;
use crate::domain::factor::Factor;
use crate::domain::id::CustomerId;

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
    /// Bias of plans in its industry, toward which its own is shrunk. A part of its own where a run is kept; 0 in
    /// runs of earlier programs.
    #[serde(skip)]
    pub plan_prior: f64,
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
