//! Demand by zone × class, observed and forecast, and the cube from which every table is a sum.
//!
//! Coherence is by construction: the published P50 is a set of whole-m³ cells
//! (zone × source × class × hour); whatever is printed is a sum of them, so no two tables can
//! disagree by even 0.0001 万m³. Bands come from joint draws, never from adding quantiles.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::customer::CustomerClass;
use crate::domain::id::{RunId, SourceId, ZoneId};
use crate::domain::quantity::round_to_total;
use crate::domain::slot::SlotTable;

/// Most gas days ahead of a forecast run.
pub const HORIZON_DAYS_MAX: usize = 100;
/// Most joint draws of a forecast run.
pub const DRAWS_MAX: usize = 2_000;

/// A base node of demand: one zone × one customer class.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DemandNode {
    /// Zone.
    pub zone: ZoneId,
    /// Class.
    pub class: CustomerClass,
}

/// Observed demand of a node on a gas day, summed from load curves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemandDay {
    /// Node.
    pub node: DemandNode,
    /// Gas day.
    pub day: GasDay,
    /// Hourly volumes, m³, hour 0 at the gas day's start hour; filled meters included.
    pub hours_m3: [f64; 24],
    /// Part of the volume that stands on measured or register-bounded hours, 0 to 1; the rest is
    /// estimated.
    pub coverage: f64,
    /// In about four of five days the truth lies within so much of the volume, m³; 0 if all of it is
    /// measured.
    #[serde(default)]
    pub uncertainty_m3: f64,
}

/// Half-width of a band that holds four of five, in standard deviations.
const FOUR_OF_FIVE: f64 = 1.2816;

impl DemandDay {
    /// Volume of the day, m³.
    pub fn volume_m3(&self) -> f64 {
        self.hours_m3.iter().sum()
    }

    /// Standard deviation of the volume, m³: of a normal error that lies within
    /// [`DemandDay::uncertainty_m3`] four times of five.
    pub fn deviation_m3(&self) -> f64 {
        deviation_m3(self.uncertainty_m3)
    }
}

/// Standard deviation of a normal error that lies within an uncertainty four times of five, in its unit.
pub fn deviation_m3(uncertainty_m3: f64) -> f64 {
    uncertainty_m3 / FOUR_OF_FIVE
}

/// Joint draws of a node: draw `i` of every node belongs to the same imagined future.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Draws {
    /// Number of draws.
    pub count: usize,
    /// Daily volumes, m³: `[draw][day]`, row by row.
    pub daily: Vec<f32>,
    /// Hourly volumes of the first `hourly_days` days, m³: `[draw][day × 24 + hour]`, row by row;
    /// the hours of a day sum to its daily draw.
    pub hourly: Vec<f32>,
}

/// Forecast of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeForecast {
    /// Node.
    pub node: DemandNode,
    /// Model the point forecast comes from (`seasonal_naive`, `regression`, …).
    pub model: String,
    /// P50 by day and hour, m³.
    pub p50_m3: Vec<[f64; 24]>,
    /// Joint draws.
    pub draws: Draws,
}

/// A published forecast run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemandForecast {
    /// Identifier, unique.
    pub run_id: RunId,
    /// Nothing known after this instant was used.
    pub origin_at: DateTime<Utc>,
    /// Gas days, consecutive; the first is the gas day of `origin_at`.
    pub days: Vec<GasDay>,
    /// The first so many days have hourly draws.
    pub hourly_days: usize,
    /// How gas days are cut.
    pub clock: GasDayClock,
    /// Nodes in order.
    pub nodes: Vec<NodeForecast>,
    /// What it was made from: `demand_through`, `weather_issued_at`, `registry`, `program` and so on.
    pub inputs: Vec<(String, String)>,
    /// The published P50.
    pub cube: DemandCube,
    /// Source shares by zone and day, as used: `[zone, source, share]` for each day.
    pub shares: Vec<Vec<(ZoneId, SourceId, f64)>>,
}

/// Whole-m³ cells of one day × zone × source × class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CubeRow {
    /// Position in `DemandForecast::days`.
    pub day_index: usize,
    /// Zone.
    pub zone: ZoneId,
    /// Source.
    pub source: SourceId,
    /// Class.
    pub class: CustomerClass,
    /// m³ by hour of the gas day.
    pub hours_m3: [i64; 24],
}

/// The published P50: every view is a sum of these cells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DemandCube {
    /// Rows, in order of day, zone, source, class.
    pub rows: Vec<CubeRow>,
}

/// Which part of the demand is asked for; what is none is summed over.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DemandView {
    /// Only this zone.
    pub zone: Option<ZoneId>,
    /// Only this source.
    pub source: Option<SourceId>,
    /// Only this class.
    pub class: Option<CustomerClass>,
    /// Only these civil hours (a time slot).
    pub civil_hours: Option<std::ops::Range<u32>>,
}

impl DemandView {
    /// Everything.
    pub fn total() -> Self {
        Self::default()
    }

    /// One slot of a table.
    pub fn slot(table: &SlotTable, index: usize) -> Self {
        Self {
            civil_hours: table.0.get(index).map(|s| s.from_hour..s.to_hour),
            ..Self::default()
        }
    }

    fn has_hour(&self, clock: GasDayClock, index: usize) -> bool {
        self.civil_hours
            .as_ref()
            .is_none_or(|hours| hours.contains(&clock.civil_hour(index)))
    }
}

/// P10, P50 and P90 of a view, whole m³; P50 is the sum of published cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// One in ten lies below.
    pub p10_m3: i64,
    /// Published.
    pub p50_m3: i64,
    /// One in ten lies above.
    pub p90_m3: i64,
}

/// The value below which a part `q` of `sorted` lies, linear between neighbours; 0 if empty.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into a few hundred draws"
)]
pub fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let position = q.clamp(0.0, 1.0) * last as f64;
    let low = position.floor() as usize;
    let at = |i: usize| sorted.get(i.min(last)).copied().unwrap_or(0.0);
    let weight = position - position.floor();
    at(low) * (1.0 - weight) + at(low + 1) * weight
}

impl DemandCube {
    /// Publishes node forecasts: splits by source share and rounds each zone-day to whole m³ with
    /// the largest-remainder rule.
    ///
    /// `shares[day]` holds `(zone, source, share)`; a zone without shares is left out of the cube,
    /// so `qiliang check` refuses such a registry.
    pub fn publish(nodes: &[NodeForecast], shares: &[Vec<(ZoneId, SourceId, f64)>]) -> Self {
        let mut zones: Vec<&ZoneId> = nodes.iter().map(|n| &n.node.zone).collect();
        zones.sort();
        zones.dedup();
        let mut rows = Vec::new();
        for (day_index, day_shares) in shares.iter().enumerate() {
            for zone in &zones {
                let of_zone: Vec<&NodeForecast> =
                    nodes.iter().filter(|n| n.node.zone == **zone).collect();
                let sources: Vec<(&SourceId, f64)> = day_shares
                    .iter()
                    .filter(|(z, _, _)| z == *zone)
                    .map(|(_, s, share)| (s, *share))
                    .collect();
                rows.extend(publish_zone_day(day_index, zone, &of_zone, &sources));
            }
        }
        Self { rows }
    }

    /// Sum of the cells of a view on one day, m³.
    pub fn day_m3(&self, clock: GasDayClock, view: &DemandView, day_index: usize) -> i64 {
        (0..24)
            .filter(|hour| view.has_hour(clock, *hour))
            .map(|hour| self.hour_m3(view, day_index, hour))
            .sum()
    }

    /// Sum of the cells of a view in one hour of a day, m³; `civil_hours` is not looked at.
    pub fn hour_m3(&self, view: &DemandView, day_index: usize, hour: usize) -> i64 {
        self.rows
            .iter()
            .filter(|row| {
                row.day_index == day_index
                    && view.zone.as_ref().is_none_or(|z| *z == row.zone)
                    && view.source.as_ref().is_none_or(|s| *s == row.source)
                    && view.class.is_none_or(|c| c == row.class)
            })
            .map(|row| row.hours_m3.get(hour).copied().unwrap_or(0))
            .sum()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a zone's day is far below 2^53 m³"
)]
fn publish_zone_day(
    day_index: usize,
    zone: &ZoneId,
    nodes: &[&NodeForecast],
    sources: &[(&SourceId, f64)],
) -> Vec<CubeRow> {
    let mut cells = Vec::new();
    for (_, share) in sources {
        for node in nodes {
            for hour in 0..24 {
                let value = node
                    .p50_m3
                    .get(day_index)
                    .and_then(|hours| hours.get(hour))
                    .copied()
                    .unwrap_or(0.0);
                cells.push(value.max(0.0) * share);
            }
        }
    }
    let total = cells.iter().sum::<f64>().round() as i64;
    let rounded = round_to_total(&cells, total);
    let mut chunks = rounded.chunks_exact(24);
    let mut rows = Vec::new();
    for (source, _) in sources {
        for node in nodes {
            let mut hours_m3 = [0; 24];
            if let Some(chunk) = chunks.next() {
                hours_m3.copy_from_slice(chunk);
            }
            rows.push(CubeRow {
                day_index,
                zone: zone.clone(),
                source: (*source).clone(),
                class: node.node.class,
                hours_m3,
            });
        }
    }
    rows
}

impl DemandForecast {
    /// Position of a gas day, if the run reaches it.
    pub fn day_index(&self, day: GasDay) -> Option<usize> {
        self.days.iter().position(|d| *d == day)
    }

    /// Part of a node's demand that a view takes on a day: the source share, or all of it.
    fn weight(&self, view: &DemandView, node: &DemandNode, day_index: usize) -> f64 {
        if view.zone.as_ref().is_some_and(|z| *z != node.zone)
            || view.class.is_some_and(|c| c != node.class)
        {
            return 0.0;
        }
        let Some(source) = &view.source else {
            return 1.0;
        };
        self.shares
            .get(day_index)
            .into_iter()
            .flatten()
            .filter(|(z, s, _)| *z == node.zone && s == source)
            .map(|(_, _, share)| *share)
            .sum()
    }

    /// Each joint draw of a view summed over some days, m³, in draw order.
    ///
    /// For a slot, days beyond `hourly_days` use the node's P50 hour shape.
    pub fn draws(&self, view: &DemandView, day_indexes: &[usize]) -> Vec<f64> {
        let count = self.nodes.iter().map(|n| n.draws.count).min().unwrap_or(0);
        let mut sums = vec![0.0; count];
        for node in &self.nodes {
            for &day in day_indexes {
                let weight = self.weight(view, &node.node, day);
                if weight == 0.0 {
                    continue;
                }
                for (draw, sum) in sums.iter_mut().enumerate() {
                    *sum += weight * self.node_draw(view, node, draw, day);
                }
            }
        }
        sums
    }

    fn node_draw(&self, view: &DemandView, node: &NodeForecast, draw: usize, day: usize) -> f64 {
        let days = self.days.len();
        let daily = f64::from(
            node.draws
                .daily
                .get(draw * days + day)
                .copied()
                .unwrap_or(0.0),
        );
        if view.civil_hours.is_none() {
            return daily;
        }
        let hours = (0..24).filter(|hour| view.has_hour(self.clock, *hour));
        if day < self.hourly_days {
            let base = draw * self.hourly_days * 24 + day * 24;
            return hours
                .map(|h| f64::from(node.draws.hourly.get(base + h).copied().unwrap_or(0.0)))
                .sum();
        }
        let Some(shape) = node.p50_m3.get(day) else {
            return 0.0;
        };
        let total: f64 = shape.iter().sum();
        if total <= 0.0 {
            return 0.0;
        }
        let part: f64 = hours.filter_map(|h| shape.get(h)).sum();
        daily * part / total
    }

    /// Each joint draw of a view in one hour of one of the hourly days, m³.
    pub fn hour_draws(&self, view: &DemandView, day: usize, hour: usize) -> Vec<f64> {
        let count = self.nodes.iter().map(|n| n.draws.count).min().unwrap_or(0);
        let mut sums = vec![0.0; count];
        if day >= self.hourly_days {
            return sums;
        }
        for node in &self.nodes {
            let weight = self.weight(view, &node.node, day);
            if weight == 0.0 {
                continue;
            }
            for (draw, sum) in sums.iter_mut().enumerate() {
                let index = draw * self.hourly_days * 24 + day * 24 + hour;
                *sum += weight * f64::from(node.draws.hourly.get(index).copied().unwrap_or(0.0));
            }
        }
        sums
    }

    /// Band of a view summed over some days.
    pub fn band(&self, view: &DemandView, day_indexes: &[usize]) -> Band {
        let p50_m3 = day_indexes
            .iter()
            .map(|day| self.cube.day_m3(self.clock, view, *day))
            .sum();
        band_around(p50_m3, self.draws(view, day_indexes))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
pub(crate) fn band_around(p50_m3: i64, mut draws: Vec<f64>) -> Band {
    if draws.is_empty() {
        return Band {
            p10_m3: p50_m3,
            p50_m3,
            p90_m3: p50_m3,
        };
    }
    draws.sort_by(f64::total_cmp);
    let low = quantile_of_sorted(&draws, 0.1).round() as i64;
    let high = quantile_of_sorted(&draws, 0.9).round() as i64;
    Band {
        p10_m3: low.min(p50_m3),
        p50_m3,
        p90_m3: high.max(p50_m3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(zone: &str, class: CustomerClass, value: f64, days: usize) -> NodeForecast {
        NodeForecast {
            node: DemandNode {
                zone: zone.into(),
                class,
            },
            model: "test".into(),
            p50_m3: vec![[value; 24]; days],
            draws: Draws::default(),
        }
    }

    proptest! {
        #[test]
        fn every_view_sums_to_the_same_total(
            a in 0.0..5_000.0_f64, b in 0.0..50.0_f64, c in 0.0..9.0_f64, share in 0.0..1.0_f64,
        ) {
            let nodes = vec![
                node("north", CustomerClass::Industrial, a, 2),
                node("north", CustomerClass::Commercial, b, 2),
                node("south", CustomerClass::VehicleCng, c, 2),
            ];
            let day = vec![
                (ZoneId::from("north"), SourceId::from("pipe"), share),
                (ZoneId::from("north"), SourceId::from("lng"), 1.0 - share),
                (ZoneId::from("south"), SourceId::from("pipe"), 1.0),
            ];
            let cube = DemandCube::publish(&nodes, &[day.clone(), day]);
            let clock = GasDayClock::default();
            let table = SlotTable::default();
            for day in 0..2 {
                let total = cube.day_m3(clock, &DemandView::total(), day);
                prop_assert!((total as f64 - 24.0 * (a + b + c)).abs() <= 1.0);
                let by_source: i64 = ["pipe", "lng"].into_iter().map(|s| {
                    let view = DemandView { source: Some(s.into()), ..DemandView::default() };
                    cube.day_m3(clock, &view, day)
                }).sum();
                let by_class: i64 = CustomerClass::ALL.into_iter().map(|c| {
                    let view = DemandView { class: Some(c), ..DemandView::default() };
                    cube.day_m3(clock, &view, day)
                }).sum();
                let by_slot: i64 = (0..table.0.len())
                    .map(|i| cube.day_m3(clock, &DemandView::slot(&table, i), day))
                    .sum();
                prop_assert_eq!(by_source, total);
                prop_assert_eq!(by_class, total);
                prop_assert_eq!(by_slot, total);
            }
        }
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        let draws = [90.0, 95.0, 100.0, 105.0, 110.0];
        assert!((quantile_of_sorted(&draws, 0.5) - 100.0).abs() < 1e-12);
        assert!((quantile_of_sorted(&draws, 0.1) - 92.0).abs() < 1e-12);
    }
}
