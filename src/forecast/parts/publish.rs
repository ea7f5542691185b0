//! Whole cubic metres: parts and consumers rounded so that they end on the published cells.

use std::collections::BTreeMap;

use super::mix::{Mixed, MixedConsumer};
use crate::domain::breakdown::{Breakdown, ConsumerDay, ConsumerForecast, Part, PartRow};
use crate::domain::demand::{Band, DemandCube, DemandNode, NodeForecast, quantile_of_sorted};
use crate::domain::quantity::round_to_total;

/// Published volume and planned part of a node on a day, m³.
type Cells = BTreeMap<(DemandNode, usize), (i64, i64)>;

impl Mixed {
    /// Rounds onto the cells of the cube that was published from the same nodes.
    pub(in crate::forecast) fn publish(
        self,
        nodes: &[NodeForecast],
        cube: &DemandCube,
    ) -> Breakdown {
        let position: BTreeMap<&DemandNode, usize> = nodes
            .iter()
            .enumerate()
            .map(|(i, n)| (&n.node, i))
            .collect();
        let mut cells = Cells::new();
        let mut rows = Vec::with_capacity(cube.rows.len());
        for row in &cube.rows {
            let node = DemandNode {
                zone: row.zone.clone(),
                class: row.class,
            };
            let published: i64 = row.hours_m3.iter().sum();
            let parts = position
                .get(&node)
                .and_then(|i| self.parts[*i].get(row.day_index))
                .copied()
                .unwrap_or([0.0, 1.0, 0.0, 0.0]);
            let m3 = whole_parts(&parts, published);
            let cell = cells.entry((node, row.day_index)).or_default();
            cell.0 += published;
            cell.1 += m3[Part::Planned.index()];
            rows.push(PartRow {
                day_index: row.day_index,
                zone: row.zone.clone(),
                source: row.source.clone(),
                class: row.class,
                m3,
            });
        }
        Breakdown {
            rows,
            consumers: consumers(self.consumers, &cells),
            connections: self.connections,
            factors: self.factors,
        }
    }
}

/// Four whole numbers that sum to `published`, as near to the parts' proportions as that allows.
#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
pub(in crate::forecast) fn whole_parts(parts: &[f64; 4], published: i64) -> [i64; 4] {
    let total: f64 = parts.iter().sum();
    let mut out = [0; 4];
    if total <= 0.0 {
        out[Part::Statistical.index()] = published;
        return out;
    }
    let scale = published as f64 / total;
    let other = (parts[Part::Other.index()] * scale).round() as i64;
    let three = [
        parts[Part::Planned.index()],
        parts[Part::Statistical.index()],
        parts[Part::New.index()],
    ];
    let left = published - other;
    if three.iter().all(|v| *v <= 0.0) {
        // A node of factors alone.
        out[Part::Other.index()] = published;
        return out;
    }
    for (cell, value) in out.iter_mut().zip(round_to_total(&three, left)) {
        *cell = value;
    }
    out[Part::Other.index()] = other;
    out
}

/// Planned consumers sum to the planned part, the others and the rest to what remains of the node.
fn consumers(mixed: Vec<MixedConsumer>, cells: &Cells) -> Vec<ConsumerForecast> {
    let mut by_node: BTreeMap<DemandNode, Vec<MixedConsumer>> = BTreeMap::new();
    for consumer in mixed {
        let of_node = by_node.entry(consumer.input.node.clone()).or_default();
        of_node.push(consumer);
    }
    let mut out = Vec::new();
    for (node, of_node) in by_node {
        let days = of_node.first().map_or(0, |c| c.p50.len());
        let mut p50 = vec![Vec::with_capacity(days); of_node.len()];
        for day in 0..days {
            let mut of_day = vec![0_i64; of_node.len()];
            let (published, planned) = cells.get(&(node.clone(), day)).copied().unwrap_or_default();
            for is_planned in [true, false] {
                let who: Vec<usize> = (0..of_node.len())
                    .filter(|i| of_node[*i].is_planned[day] == is_planned)
                    .collect();
                let mut values: Vec<f64> = who.iter().map(|i| of_node[*i].p50[day]).collect();
                let total = if is_planned {
                    planned
                } else {
                    let rest = (published - planned) as f64 - values.iter().sum::<f64>();
                    values.push(rest);
                    published - planned
                };
                for (i, m3) in who.iter().zip(round_to_total(&values, total)) {
                    of_day[*i] = m3;
                }
            }
            for (days, m3) in p50.iter_mut().zip(of_day) {
                days.push(m3);
            }
        }
        for (consumer, p50) in of_node.into_iter().zip(p50) {
            out.push(published_consumer(consumer, &p50));
        }
    }
    out.sort_by(|a, b| a.customer.cmp(&b.customer));
    out
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a customer's day is far below 2^53 m³"
)]
fn published_consumer(consumer: MixedConsumer, p50: &[i64]) -> ConsumerForecast {
    let days = p50
        .iter()
        .enumerate()
        .map(|(day, p50_m3)| {
            let mut of_day: Vec<f64> = consumer.draws.iter().map(|draw| draw[day]).collect();
            of_day.sort_by(f64::total_cmp);
            let (low, high) = if of_day.is_empty() {
                (*p50_m3, *p50_m3)
            } else {
                (
                    quantile_of_sorted(&of_day, 0.1).round() as i64,
                    quantile_of_sorted(&of_day, 0.9).round() as i64,
                )
            };
            ConsumerDay {
                band: Band {
                    p10_m3: low.min(*p50_m3),
                    p50_m3: *p50_m3,
                    p90_m3: high.max(*p50_m3),
                },
                is_planned: consumer.is_planned[day],
            }
        })
        .collect();
    ConsumerForecast {
        customer: consumer.input.customer,
        node: consumer.input.node,
        model: consumer.model.to_owned(),
        plan_bias: consumer.bias,
        days,
    }
}
