//! What the customers of each node are connected for, as the registry knows it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::capacity::{CapacityStep, NodeCapacity};
use crate::domain::connection::NewConnection;
use crate::domain::customer::Customer;
use crate::domain::demand::DemandNode;
use crate::domain::id::CustomerId;
use crate::domain::meter::Meter;
use crate::domain::registry::Registry;

/// Part of a node's meters, by Qmax, whose customers must have a design flow for the node to have one.
const COVERED_MIN: f64 = 0.9;
/// Hours over which a connected capacity per day is taken, where a row has no design flow.
const HOURS: f64 = 24.0;

/// Design flow by node, for those of which it is known.
///
/// A customer's is that of `customers.csv`, else of its row in `new_connections.csv`; one with meters
/// in several zones is shared out by their Qmax. Where up to a tenth of a node's meters have none, the
/// rest stands for them. Customers of projects still on their ramp are left out: the project speaks
/// for them, and they would count twice.
pub(super) fn capacities(
    registry: &Registry,
    at: DateTime<Utc>,
    today: GasDay,
) -> BTreeMap<DemandNode, NodeCapacity> {
    let rows = registry.connections_known_at(at);
    let of_projects: BTreeSet<&CustomerId> = rows
        .iter()
        .filter(|row| !row.is_learnt(today))
        .filter_map(|row| row.customer.as_ref())
        .collect();
    of_nodes(registry, today, &rows, &of_projects)
}

fn of_nodes(
    registry: &Registry,
    day: GasDay,
    rows: &[&NewConnection],
    left_out: &BTreeSet<&CustomerId>,
) -> BTreeMap<DemandNode, NodeCapacity> {
    // What was taken away uses nothing of what is forecast.
    let is_there = |meter: &&Meter| meter.removed_on.is_none_or(|last| day.0 <= last);
    let of_rows = by_customer(rows);
    let mut qmax_of: BTreeMap<&CustomerId, f64> = BTreeMap::new();
    for meter in registry.meters.values().filter(is_there) {
        if let Some(customer) = &meter.customer {
            *qmax_of.entry(customer).or_default() += meter.flow_max_m3h;
        }
    }
    let mut nodes: BTreeMap<DemandNode, OfNode> = BTreeMap::new();
    for meter in registry.meters.values().filter(is_there) {
        let (Some(customer), Some(node)) = (registry.customer_of(meter), registry.node_of(meter))
        else {
            continue;
        };
        if left_out.contains(&customer.id) {
            continue;
        }
        let all = qmax_of.get(&customer.id).copied().unwrap_or(0.0);
        let part = if all > 0.0 {
            meter.flow_max_m3h / all
        } else {
            1.0 / registry.meters_of(&customer.id).filter(is_there).count() as f64
        };
        let of_node = nodes.entry(node).or_default();
        match design_flow(customer, of_rows.get(&customer.id).copied()) {
            Some(m3h) => {
                of_node.covered += meter.flow_max_m3h;
                of_node.steps.push(CapacityStep {
                    from_on: GasDay(customer.connected_on),
                    m3h: m3h * part,
                });
            }
            None => of_node.open += meter.flow_max_m3h,
        }
    }
    nodes
        .into_iter()
        .filter_map(|(node, of_node)| Some((node, of_node.capacity()?)))
        .collect()
}

/// Design flow of single customers, for those of which it is known; as for [`capacities`].
pub(super) fn of_customers<'a>(
    registry: &Registry,
    at: DateTime<Utc>,
    customers: impl Iterator<Item = &'a CustomerId>,
) -> BTreeMap<CustomerId, NodeCapacity> {
    let rows = registry.connections_known_at(at);
    let of_rows = by_customer(&rows);
    customers
        .filter_map(|id| {
            let customer = registry.customers.get(id)?;
            let step = CapacityStep {
                from_on: GasDay(customer.connected_on),
                m3h: design_flow(customer, of_rows.get(id).copied())?,
            };
            Some((id.clone(), NodeCapacity::new([step])))
        })
        .collect()
}

fn by_customer<'a>(rows: &[&'a NewConnection]) -> BTreeMap<&'a CustomerId, &'a NewConnection> {
    let of_row = |row: &&'a NewConnection| Some((row.customer.as_ref()?, *row));
    rows.iter().filter_map(of_row).collect()
}

/// A customer's design flow, m³/h.
fn design_flow(customer: &Customer, row: Option<&NewConnection>) -> Option<f64> {
    let of_row = row.and_then(|row| {
        let of_day = row.connected_m3_per_day / HOURS;
        row.design_flow_m3h.or(Some(of_day))
    });
    let known = [Some(customer.design_flow_m3h), of_row];
    known.into_iter().flatten().find(|m3h| *m3h > 0.0)
}

/// A node on its way: what is known, and by how much of its Qmax.
#[derive(Default)]
struct OfNode {
    steps: Vec<CapacityStep>,
    covered: f64,
    open: f64,
}

impl OfNode {
    fn capacity(self) -> Option<NodeCapacity> {
        let all = self.covered + self.open;
        if self.steps.is_empty() || self.covered < COVERED_MIN * all {
            return None;
        }
        let stands_for = if self.open > 0.0 {
            all / self.covered
        } else {
            1.0
        };
        Some(NodeCapacity::new(self.steps.into_iter().map(|step| {
            CapacityStep {
                m3h: step.m3h * stands_for,
                ..step
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::connection::ConnectionStage;
    use crate::domain::customer::CustomerClass;
    use crate::serve::figures::fixture;

    fn today() -> GasDay {
        fixture::day("2026-11-20")
    }

    fn of(registry: &Registry, zone: &str, class: CustomerClass) -> Option<f64> {
        let all = capacities(registry, fixture::at("2026-11-20T08:30:00+08:00"), today());
        let node = DemandNode {
            zone: zone.into(),
            class,
        };
        all.get(&node).map(|capacity| capacity.m3h_on(today()))
    }

    fn row(customer: &str, stage: ConnectionStage, connected_on: &str) -> NewConnection {
        NewConnection {
            id: "P1".into(),
            name: "新建厂".into(),
            zone: "north".into(),
            class: CustomerClass::Industrial,
            stage,
            connected_on: connected_on.parse().unwrap(),
            connected_m3_per_day: 4_800.0,
            coefficient: 0.6,
            available_at: fixture::at("2026-01-01T00:00:00+08:00"),
            probability: None,
            ramp: String::new(),
            customer: Some(customer.into()),
            design_flow_m3h: None,
            settled_on: None,
            location: String::new(),
            contact: String::new(),
            sponsor: String::new(),
        }
    }

    fn near(have: Option<f64>, want: f64) {
        assert!(
            have.is_some_and(|v| (v - want).abs() < 1e-9),
            "{have:?} {want}"
        );
    }

    #[test]
    fn design_flows_sum_by_node_and_gates_have_none() {
        let registry = fixture::registry();
        near(of(&registry, "north", CustomerClass::Industrial), 100.0);
        near(of(&registry, "north", CustomerClass::Commercial), 100.0);
        let all = capacities(&registry, fixture::at("2026-11-20T08:30:00+08:00"), today());
        assert_eq!(all.len(), registry.nodes().len());
    }

    #[test]
    fn a_customer_in_two_zones_is_shared_by_qmax() {
        let mut registry = fixture::registry();
        let mut second = registry.meters["M1"].clone();
        second.id = "M9".into();
        second.zone = "south".into();
        second.flow_max_m3h = 3_000.0;
        registry.meters.insert(second.id.clone(), second);
        near(of(&registry, "north", CustomerClass::Industrial), 25.0);
        // Beside C4, who is there already.
        near(of(&registry, "south", CustomerClass::Industrial), 175.0);
    }

    #[test]
    fn a_project_on_its_ramp_speaks_for_its_customer_until_it_is_learnt() {
        let mut registry = fixture::registry();
        registry.new_connections = vec![row("C1", ConnectionStage::Connected, "2026-09-01")];
        assert_eq!(of(&registry, "north", CustomerClass::Industrial), None);
        registry.new_connections = vec![row("C1", ConnectionStage::Connected, "2025-09-01")];
        near(of(&registry, "north", CustomerClass::Industrial), 100.0);
    }

    #[test]
    fn a_row_of_the_pipeline_fills_in_and_few_without_are_stood_for() {
        let mut registry = fixture::registry();
        let customer = registry.customers.get_mut("C1").unwrap();
        customer.design_flow_m3h = 0.0;
        assert_eq!(of(&registry, "north", CustomerClass::Industrial), None);
        registry.new_connections = vec![row("C1", ConnectionStage::Connected, "2025-09-01")];
        near(of(&registry, "north", CustomerClass::Industrial), 200.0);
        // A tenth of the class without: the rest stands for it.
        registry.new_connections.clear();
        let mut other = registry.meters["M1"].clone();
        other.id = "M8".into();
        other.customer = Some("C4".into());
        other.flow_max_m3h = 9_000.0;
        registry.meters.insert(other.id.clone(), other);
        near(of(&registry, "north", CustomerClass::Industrial), 100.0);
    }
}
