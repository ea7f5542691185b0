//! What a forecast said at an operational gate, and what came.

use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandNode;

/// What is watched: the total (both empty), a class (zone empty), or a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Watched {
    /// Zone, empty for all.
    pub zone: String,
    /// Class key, empty for all.
    pub class: String,
}

impl Watched {
    /// A node.
    pub fn node(node: &DemandNode) -> Self {
        Self {
            zone: node.zone.to_string(),
            class: node.class.key().to_owned(),
        }
    }

    /// `total`, a class, or `zone/class`.
    pub fn label(&self) -> String {
        match (self.zone.as_str(), self.class.as_str()) {
            ("", "") => "total".to_owned(),
            ("", class) => class.to_owned(),
            (zone, class) => format!("{zone}/{class}"),
        }
    }
}

/// One expectation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// Gas day it is of.
    pub day: GasDay,
    /// Gas days from the one on which it was made.
    pub lead: i64,
    /// What it is of.
    pub of: Watched,
    /// Run it comes from.
    pub run: String,
    /// One in ten lies below, m³.
    pub p10_m3: f64,
    /// Published, m³.
    pub p50_m3: f64,
    /// One in ten lies above, m³.
    pub p90_m3: f64,
    /// P50 of the same run without any named factor, m³; none where no factor was in force.
    pub unaided_m3: Option<f64>,
    /// What came, m³.
    pub actual_m3: Option<f64>,
}

/// What the run of an expectation would have said without one named factor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithoutFactor {
    /// The factor that is left out.
    pub factor: String,
    /// Gas day it is of.
    pub day: GasDay,
    /// Gas days from the one on which it was made.
    pub lead: i64,
    /// What it is of.
    pub of: Watched,
    /// P50, m³.
    pub p50_m3: f64,
}
