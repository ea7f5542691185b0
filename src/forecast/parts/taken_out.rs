//! What is known to have moved the past is taken out of it before anything is learnt from it.

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::domain::connection::ConnectionStage;
use crate::domain::demand::DemandNode;
use crate::domain::factor::{Factor, FactorAmount};
use crate::forecast::request::ForecastRequest;

/// m³ to subtract from a node's gas day.
pub(in crate::forecast) type TakenOut = BTreeMap<DemandNode, BTreeMap<GasDay, f64>>;

/// Production changes, metered new connections and named factors of the days before `today`.
pub(in crate::forecast) fn taken_out(request: &ForecastRequest, today: GasDay) -> TakenOut {
    let mut out = request.effects.clone();
    let connected: Vec<_> = request
        .parts
        .projects
        .iter()
        .filter(|p| p.is_metered && p.connection.stage == ConnectionStage::Connected)
        .map(|p| &p.connection)
        .collect();
    let mut factors: Vec<&Factor> = request.parts.factors.iter().collect();
    factors.sort_by(|a, b| a.id.cmp(&b.id));
    if connected.is_empty() && factors.is_empty() {
        return out;
    }
    let mut days: BTreeMap<GasDay, Vec<(&DemandNode, f64)>> = BTreeMap::new();
    for day in request.demand.iter().filter(|d| d.day < today) {
        let of_day = days.entry(day.day).or_default();
        of_day.push((&day.node, day.volume_m3()));
    }
    for (day, nodes) in days {
        for connection in &connected {
            let m3 = connection.expected_m3(day, today);
            if m3 > 0.0 {
                let of_node = out.entry(connection.node()).or_default();
                *of_node.entry(day).or_default() += m3;
            }
        }
        let holding: Vec<&&Factor> = factors.iter().filter(|f| f.holds_on(day)).collect();
        if holding.is_empty() {
            continue;
        }
        for (node, volume) in &nodes {
            let of_node = out.entry((*node).clone()).or_default();
            let known = of_node.get(&day).copied().unwrap_or(0.0);
            // Undone in the reverse of the order in which they are applied.
            let mut without = volume - known;
            for factor in holding.iter().rev().filter(|f| f.covers(node)) {
                without = match factor.amount {
                    FactorAmount::Percent(percent) => without / (1.0 + percent / 100.0),
                    FactorAmount::M3PerDay(m3) => {
                        let covered: f64 = nodes
                            .iter()
                            .filter(|(other, _)| factor.covers(other))
                            .map(|(_, v)| v)
                            .sum();
                        if covered > 0.0 {
                            without - m3 * volume / covered
                        } else {
                            without
                        }
                    }
                };
            }
            of_node.insert(day, volume - without);
        }
    }
    out
}
