//! Whole-m³ cells by gas day, observed or forecast: the one place from which views are summed.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{CubeRow, DemandDay, DemandForecast, DemandNode, DemandView};
use crate::domain::id::{SourceId, ZoneId};
use crate::domain::quantity::round_to_total;
use crate::domain::registry::Registry;

/// Stands for the source of a zone whose shares nobody entered.
pub const UNASSIGNED_SOURCE: &str = "unassigned";

/// Cells of some gas days.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cells {
    clock: GasDayClock,
    by_day: BTreeMap<GasDay, Vec<CubeRow>>,
}

impl Cells {
    /// The published cells of a run.
    pub fn of_forecast(forecast: &DemandForecast) -> Self {
        let mut by_day: BTreeMap<GasDay, Vec<CubeRow>> = BTreeMap::new();
        for row in &forecast.cube.rows {
            if let Some(day) = forecast.days.get(row.day_index) {
                by_day.entry(*day).or_default().push(row.clone());
            }
        }
        Self {
            clock: forecast.clock,
            by_day,
        }
    }

    /// Observed demand, split by the source shares of its day and rounded to whole m³. The demand
    /// of a day is written whole, so a day that has any node has all of them.
    pub fn of_demand(demand: &[DemandDay], registry: &Registry) -> Self {
        let mut days: BTreeMap<GasDay, Vec<(DemandNode, [f64; 24])>> = BTreeMap::new();
        for one in demand {
            days.entry(one.day)
                .or_default()
                .push((one.node.clone(), one.hours_m3));
        }
        let mut cells = Self {
            clock: registry.company.gas_day_start_hour,
            by_day: BTreeMap::new(),
        };
        for (day, nodes) in days {
            cells.publish(registry, day, nodes);
        }
        cells
    }

    /// One day's hours by node.
    pub fn of_day(
        registry: &Registry,
        day: GasDay,
        hours: impl IntoIterator<Item = (DemandNode, [f64; 24])>,
    ) -> Self {
        let mut cells = Self {
            clock: registry.company.gas_day_start_hour,
            by_day: BTreeMap::new(),
        };
        cells.publish(registry, day, hours);
        cells
    }

    fn publish(
        &mut self,
        registry: &Registry,
        day: GasDay,
        hours: impl IntoIterator<Item = (DemandNode, [f64; 24])>,
    ) {
        let mut zones: BTreeMap<ZoneId, Vec<(CustomerClass, [i64; 24])>> = BTreeMap::new();
        for (node, hours) in hours {
            zones
                .entry(node.zone)
                .or_default()
                .push((node.class, whole_hours(&hours)));
        }
        let shares = shares_on(registry, day, zones.keys());
        let mut rows = Vec::new();
        for (zone, classes) in zones {
            rows.extend(split_zone(&zone, &classes, &shares));
        }
        self.by_day.insert(day, rows);
    }

    /// Days that have cells, in order.
    pub fn days(&self) -> impl DoubleEndedIterator<Item = GasDay> {
        self.by_day.keys().copied()
    }

    /// Sources that appear.
    pub fn sources(&self) -> BTreeSet<SourceId> {
        self.by_day
            .values()
            .flatten()
            .map(|row| row.source.clone())
            .collect()
    }

    /// Volume of each hour of a day in a view, m³; none where the day is not known. Hours outside
    /// the view's slot are 0.
    pub fn hours_m3(&self, view: &DemandView, day: GasDay) -> Option<[i64; 24]> {
        let rows = self.by_day.get(&day)?;
        let mut hours = [0; 24];
        for row in rows.iter().filter(|row| covers(view, row)) {
            for (index, (sum, value)) in hours.iter_mut().zip(row.hours_m3).enumerate() {
                if has_hour(view, self.clock, index) {
                    *sum += value;
                }
            }
        }
        Some(hours)
    }

    /// Volume of a day in a view, m³; none where the day is not known.
    pub fn day_m3(&self, view: &DemandView, day: GasDay) -> Option<i64> {
        self.hours_m3(view, day).map(|hours| hours.iter().sum())
    }
}

/// A node's hours in whole m³ that sum to its rounded day.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a node's day is far below 2^53 m³"
)]
fn whole_hours(hours: &[f64; 24]) -> [i64; 24] {
    let total = hours.iter().filter(|h| **h > 0.0).sum::<f64>().round() as i64;
    let mut whole = [0; 24];
    for (slot, value) in whole.iter_mut().zip(round_to_total(hours, total)) {
        *slot = value;
    }
    whole
}

/// Splits whole hours of a zone's classes over its sources. What rounding takes from a source in
/// one cell it gives back in the next, so that a source is never off by more than a cubic metre,
/// and an hour does not depend on later ones.
fn split_zone(
    zone: &ZoneId,
    classes: &[(CustomerClass, [i64; 24])],
    shares: &[(ZoneId, SourceId, f64)],
) -> Vec<CubeRow> {
    let sources: Vec<(&SourceId, f64)> = shares
        .iter()
        .filter(|(z, _, _)| z == zone)
        .map(|(_, source, share)| (source, *share))
        .collect();
    let mut rows: Vec<CubeRow> = sources
        .iter()
        .flat_map(|(source, _)| {
            classes.iter().map(|(class, _)| CubeRow {
                day_index: 0,
                zone: zone.clone(),
                source: (*source).clone(),
                class: *class,
                hours_m3: [0; 24],
            })
        })
        .collect();
    let mut carry = vec![0.0; sources.len()];
    for hour in 0..24 {
        for (position, (_, hours)) in classes.iter().enumerate() {
            let whole = hours.get(hour).copied().unwrap_or(0);
            let wanted: Vec<f64> = sources
                .iter()
                .zip(&carry)
                .map(|((_, share), carry)| share * whole as f64 + carry)
                .collect();
            let parts = round_to_total(&wanted, whole);
            for (index, (part, wanted)) in parts.into_iter().zip(wanted).enumerate() {
                if let Some(left) = carry.get_mut(index) {
                    *left = wanted - part as f64;
                }
                let row = rows.get_mut(index * classes.len() + position);
                if let Some(cell) = row.and_then(|r| r.hours_m3.get_mut(hour)) {
                    *cell = part;
                }
            }
        }
    }
    rows
}

fn covers(view: &DemandView, row: &CubeRow) -> bool {
    view.zone.as_ref().is_none_or(|z| *z == row.zone)
        && view.source.as_ref().is_none_or(|s| *s == row.source)
        && view.class.is_none_or(|c| c == row.class)
}

/// Whether hour `index` of the gas day lies in the view's slot.
pub fn has_hour(view: &DemandView, clock: GasDayClock, index: usize) -> bool {
    view.civil_hours
        .as_ref()
        .is_none_or(|hours| hours.contains(&clock.civil_hour(index)))
}

/// The shares in force on a day; for a zone whose first share is dated later, the first ones; for
/// a zone without any, one source called `unassigned`, so that no volume is lost from the views.
fn shares_on<'a>(
    registry: &Registry,
    day: GasDay,
    zones: impl Iterator<Item = &'a ZoneId>,
) -> Vec<(ZoneId, SourceId, f64)> {
    let mut shares = registry.shares_on(day);
    let zones: BTreeSet<&ZoneId> = zones.collect();
    for zone in zones {
        if shares.iter().any(|(z, _, _)| z == zone) {
            continue;
        }
        let first = registry
            .shares
            .iter()
            .filter(|s| s.zone == *zone)
            .map(|s| s.from_on)
            .min();
        let before = shares.len();
        shares.extend(
            registry
                .shares
                .iter()
                .filter(|s| s.zone == *zone && Some(s.from_on) == first)
                .map(|s| (s.zone.clone(), s.source.clone(), s.share)),
        );
        if shares.len() == before {
            shares.push((zone.clone(), SourceId::from(UNASSIGNED_SOURCE), 1.0));
        }
    }
    shares
}

/// Splits whole m³ of a zone over its sources by their shares; the parts sum to the whole.
pub fn split_by_source(
    registry: &Registry,
    day: GasDay,
    zone: &ZoneId,
    m3: i64,
) -> Vec<(SourceId, i64)> {
    let shares: Vec<_> = shares_on(registry, day, std::iter::once(zone))
        .into_iter()
        .filter(|(z, _, _)| z == zone)
        .collect();
    let parts: Vec<f64> = shares.iter().map(|(_, _, s)| s * m3 as f64).collect();
    let rounded = round_to_total(&parts, m3);
    shares
        .into_iter()
        .map(|(_, source, _)| source)
        .zip(rounded)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::figures::fixture;

    #[test]
    fn every_view_of_observed_demand_sums_to_the_same_total() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-20");
        let demand = fixture::demand(&registry, day.plus(-3), 4);
        let cells = Cells::of_demand(&demand, &registry);
        assert_eq!(cells.days().count(), 4);
        for day in cells.days() {
            let total = cells.day_m3(&DemandView::total(), day).unwrap();
            assert!(total > 0);
            let sum = |views: Vec<DemandView>| -> i64 {
                views.iter().filter_map(|v| cells.day_m3(v, day)).sum()
            };
            let by_source = sum(cells
                .sources()
                .into_iter()
                .map(|s| DemandView {
                    source: Some(s),
                    ..DemandView::default()
                })
                .collect());
            let by_class = sum(CustomerClass::ALL
                .into_iter()
                .map(|c| DemandView {
                    class: Some(c),
                    ..DemandView::default()
                })
                .collect());
            let table = &registry.company.slots;
            let by_slot = sum((0..table.0.len())
                .map(|i| DemandView::slot(table, i))
                .collect());
            assert_eq!((by_source, by_class, by_slot), (total, total, total));
        }
    }

    #[test]
    fn a_day_without_demand_is_not_known() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-20");
        let cells = Cells::of_demand(&fixture::demand(&registry, day, 1), &registry);
        assert!(cells.day_m3(&DemandView::total(), day).is_some());
        assert_eq!(cells.day_m3(&DemandView::total(), day.plus(1)), None);
    }

    #[test]
    fn a_day_before_the_first_share_keeps_its_volume() {
        let registry = fixture::registry();
        let day = fixture::day("2019-01-01");
        assert!(registry.shares_on(day).is_empty());
        let demand = fixture::demand(&registry, day, 1);
        let expected: f64 = demand.iter().map(DemandDay::volume_m3).sum();
        let cells = Cells::of_demand(&demand, &registry);
        let total = cells.day_m3(&DemandView::total(), day).unwrap();
        assert!((total as f64 - expected).abs() <= 1.5, "{total} {expected}");
        assert!(!cells.sources().contains(UNASSIGNED_SOURCE));
    }

    #[test]
    fn rounding_never_takes_more_than_a_cubic_metre_from_a_source() {
        let zone = ZoneId::from("north");
        let classes = [
            (CustomerClass::Industrial, [1; 24]),
            (CustomerClass::Commercial, [3; 24]),
        ];
        let shares = [
            (zone.clone(), SourceId::from("a"), 0.5),
            (zone.clone(), SourceId::from("b"), 0.5),
        ];
        let rows = split_zone(&zone, &classes, &shares);
        for source in ["a", "b"] {
            let sum: i64 = rows
                .iter()
                .filter(|r| r.source.as_str() == source)
                .flat_map(|r| r.hours_m3)
                .sum();
            assert!((sum - 48).abs() <= 1, "{source}: {sum}");
        }
        let industrial: i64 = rows
            .iter()
            .filter(|r| r.class == CustomerClass::Industrial)
            .map(|r| r.hours_m3[5])
            .sum();
        assert_eq!(industrial, 1);
    }

    #[test]
    fn a_zone_without_shares_is_not_lost() {
        let mut registry = fixture::registry();
        registry.shares.clear();
        let zone = registry.zones.keys().next().unwrap().clone();
        assert_eq!(
            split_by_source(&registry, fixture::day("2026-11-20"), &zone, 101),
            vec![(SourceId::from(UNASSIGNED_SOURCE), 101)]
        );
    }
}
