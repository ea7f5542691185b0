//! Connected projects that do not name their customer, though its meter is in the registry.
//!
//! What such a customer uses is in the demand of its node already; were the project's row not known to be
//! about it, it would be added once more. So the customer is recognised and filled in where there is no
//! doubt, and asked for where there is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Rows, Sink};
use crate::domain::connection::{ConnectionStage, NewConnection};
use crate::domain::customer::Customer;
use crate::domain::id::CustomerId;
use crate::domain::meter::MeterRole;

const FILE: &str = "new_connections.csv";
/// Days by which a customer's date and its project's may be apart.
const DAYS_APART_MAX: i64 = 45;
/// Part by which their design flows may differ.
const FLOW_APART_MAX: f64 = 0.05;

/// How a customer was recognised.
enum Found<'a> {
    /// It is this one, by what is said.
    One(&'a CustomerId, &'static str),
    /// It may be one of these.
    Unclear(Vec<&'a CustomerId>),
}

/// Fills in the customers of connected projects, and says so; asks for those that are in doubt.
pub(super) fn recognise(rows: &mut Rows, sink: &mut Sink<'_>) {
    let metered: BTreeSet<&CustomerId> = rows
        .meters
        .iter()
        .filter(|row| row.value.role != MeterRole::Gate)
        .filter_map(|row| row.value.customer.as_ref())
        .collect();
    let mut named: BTreeMap<&str, &CustomerId> = BTreeMap::new();
    for row in &rows.new_connections {
        if let Some(customer) = &row.value.customer {
            named.insert(&row.value.id, customer);
        }
    }
    let taken: BTreeSet<&CustomerId> = named.values().copied().collect();
    let candidates: Vec<&Customer> = rows
        .customers
        .iter()
        .map(|row| &row.value)
        .filter(|customer| metered.contains(&customer.id) && !taken.contains(&customer.id))
        .collect();
    let mut found: Vec<(usize, CustomerId)> = Vec::new();
    let is_open = |project: &NewConnection| {
        project.stage == ConnectionStage::Connected && project.customer.is_none()
    };
    let open: BTreeMap<&str, &NewConnection> = rows
        .new_connections
        .iter()
        .map(|row| &row.value)
        .filter(|project| is_open(project))
        .map(|project| (project.id.as_str(), project))
        .collect();
    for (place, row) in rows.new_connections.iter().enumerate() {
        let project = &row.value;
        if !is_open(project) {
            continue;
        }
        let known = named.get(project.id.as_str());
        let said = known.map(|id| Found::One(id, "another row of the project names it"));
        match said.or_else(|| look_for(project, &candidates, &open)) {
            Some(Found::One(id, because)) => {
                sink.warn(
                    FILE,
                    row.line,
                    "registry.connection_customer_recognised",
                    format!(
                        "connected project `{}` names no customer; it is taken for `{id}`: {because}",
                        project.id
                    ),
                    format!("write `{id}` in the column customer, or the right one"),
                );
                found.push((place, id.clone()));
            }
            Some(Found::Unclear(ids)) => {
                let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
                sink.warn(
                    FILE,
                    row.line,
                    "registry.connection_customer_unclear",
                    format!(
                        "connected project `{}` names no customer and may be one of {}, whose use \
                         is metered already and would count twice",
                        project.id,
                        ids.join(", ")
                    ),
                    "write its account number in the column customer",
                );
            }
            None => {}
        }
    }
    for (place, id) in found {
        rows.new_connections[place].value.customer = Some(id);
    }
}

/// By name; else by date and design flow, if only these two fit each other. Without either, those that got
/// gas at the time are in doubt.
fn look_for<'a>(
    project: &NewConnection,
    candidates: &[&'a Customer],
    open: &BTreeMap<&str, &NewConnection>,
) -> Option<Found<'a>> {
    let of_node: Vec<&Customer> = candidates
        .iter()
        .copied()
        .filter(|customer| customer.zone == project.zone && customer.class == project.class)
        .collect();
    let named: Vec<&Customer> = of_node
        .iter()
        .copied()
        .filter(|customer| is_same_name(&customer.name, &project.name))
        .collect();
    if let [customer] = named[..] {
        return Some(Found::One(&customer.id, "it has the name"));
    }
    let at_the_time: Vec<&Customer> = of_node
        .into_iter()
        .filter(|customer| is_near_in_time(customer, project))
        .collect();
    let fitting: Vec<&Customer> = at_the_time
        .iter()
        .copied()
        .filter(|customer| is_same_flow(customer, project))
        .collect();
    if let [customer] = fitting[..] {
        let fits = |other: &&&NewConnection| {
            other.zone == customer.zone
                && other.class == customer.class
                && is_near_in_time(customer, other)
                && is_same_flow(customer, other)
        };
        if open.values().filter(fits).count() == 1 {
            return Some(Found::One(
                &customer.id,
                "it has the design flow and got gas then",
            ));
        }
    }
    let ids: Vec<&CustomerId> = at_the_time.iter().map(|customer| &customer.id).collect();
    (!ids.is_empty()).then_some(Found::Unclear(ids))
}

fn is_near_in_time(customer: &Customer, project: &NewConnection) -> bool {
    let apart = customer.connected_on - project.connected_on;
    apart.num_days().abs() <= DAYS_APART_MAX
}

fn is_same_flow(customer: &Customer, project: &NewConnection) -> bool {
    let own = customer.design_flow_m3h;
    let planned = project.design_flow_m3h.filter(|m3h| *m3h > 0.0);
    planned.is_some_and(|m3h| own > 0.0 && (own - m3h).abs() <= FLOW_APART_MAX * m3h)
}

/// Names are the same whatever their spaces, case, brackets and width of characters; an empty one is
/// nobody's.
fn is_same_name(one: &str, other: &str) -> bool {
    let one = plain(one);
    !one.is_empty() && one == plain(other)
}

fn plain(name: &str) -> String {
    // Full-width forms stand in the order of ASCII.
    const FULL_WIDTH: u32 = '！' as u32 - '!' as u32;
    name.chars()
        .map(|c| match c {
            '！'..='～' => char::from_u32(c as u32 - FULL_WIDTH).unwrap_or(c),
            c => c,
        })
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}
