//! 预测方法: which model each zone × class was forecast by; what stands behind a figure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandForecast;
use crate::domain::registry::Registry;
use crate::serve::figures::forecast::class_label;

/// A node of a run and the model it was forecast by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeMethod {
    /// Zone.
    pub zone: String,
    /// Its name.
    pub zone_name: String,
    /// Customer class.
    pub class: String,
    /// Chinese name of the class.
    pub class_zh: String,
    /// English name of the class.
    pub class_en: String,
    /// The model, from the best down: `regression`, `class_profile_scaled`,
    /// `class_profile_design_flow`, `class_profile` (runs of earlier programs), `seasonal_naive`,
    /// `recent_mean`; `new_connection` where only a project is known (docs/METHODS.md,
    /// "Short history").
    pub model: String,
    /// Its P50 of the day asked for, m³; null where the run does not have the day.
    pub p50_m3: Option<i64>,
}

/// The method of each node, with what it says of a day.
pub fn methods(registry: &Registry, forecast: &DemandForecast, day: GasDay) -> Vec<NodeMethod> {
    let index = forecast.days.iter().position(|d| *d == day);
    let nodes = forecast.nodes.iter();
    nodes
        .map(|node| {
            let label = class_label(node.node.class);
            let hours = index.and_then(|i| node.p50_m3.get(i));
            #[expect(
                clippy::cast_possible_truncation,
                reason = "gas of a day in m³ is far below 2^63"
            )]
            let p50_m3 = hours.map(|hours| hours.iter().sum::<f64>().round() as i64);
            NodeMethod {
                zone: node.node.zone.to_string(),
                zone_name: registry.zone_name(&node.node.zone).to_owned(),
                class: label.key,
                class_zh: label.name_zh,
                class_en: label.name_en,
                model: node.model.clone(),
                p50_m3,
            }
        })
        .collect()
}
