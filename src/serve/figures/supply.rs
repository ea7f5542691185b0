//! Supply: what came in through the city gates, and what contracts still allow.

use std::collections::BTreeMap;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::id::{MeterId, SourceId, ZoneId};
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::serve::figures::cells::split_by_source;

/// What the gates measured, whole m³ by day and source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supply {
    by_day: BTreeMap<GasDay, BTreeMap<SourceId, i64>>,
}

impl Supply {
    /// From the curves of gate meters. An hour of a zone counts only when all its gate meters of that
    /// day have it; a day only when every zone with a gate has at least one such hour.
    pub fn of_curves(registry: &Registry, curves: &[LoadCurve]) -> Self {
        let mut gates: BTreeMap<&ZoneId, Vec<&Meter>> = BTreeMap::new();
        for meter in registry.meters.values() {
            if meter.role == MeterRole::Gate {
                gates.entry(&meter.zone).or_default().push(meter);
            }
        }
        let mut days: BTreeMap<GasDay, BTreeMap<&MeterId, &LoadCurve>> = BTreeMap::new();
        for curve in curves {
            days.entry(curve.day)
                .or_default()
                .insert(&curve.meter, curve);
        }
        let mut by_day = BTreeMap::new();
        for (day, of_day) in days {
            let mut by_source: BTreeMap<SourceId, i64> = BTreeMap::new();
            let mut is_known = !gates.is_empty();
            for (zone, meters) in &gates {
                let there = meters.iter().filter(|m| m.is_installed_on(day));
                let there: Vec<&MeterId> = there.map(|m| &m.id).collect();
                let m3 = zone_volume(&there, &of_day).filter(|_| !there.is_empty());
                let Some(m3) = m3 else {
                    is_known = false;
                    break;
                };
                for (source, part) in split_by_source(registry, day, zone, m3.round_m3()) {
                    *by_source.entry(source).or_insert(0) += part;
                }
            }
            if is_known {
                by_day.insert(day, by_source);
            }
        }
        Self { by_day }
    }

    /// Taken on a day, m³; none where the gates did not report.
    pub fn day_m3(&self, day: GasDay) -> Option<i64> {
        self.by_day.get(&day).map(|s| s.values().sum())
    }

    /// Taken on a day from a source, m³.
    pub fn source_day_m3(&self, source: &SourceId, day: GasDay) -> Option<i64> {
        self.by_day
            .get(&day)
            .map(|s| s.get(source).copied().unwrap_or(0))
    }

    /// Sources that appear.
    pub fn sources(&self) -> impl Iterator<Item = SourceId> + '_ {
        self.by_day.values().flat_map(|day| day.keys().cloned())
    }
}

fn zone_volume(meters: &[&MeterId], curves: &BTreeMap<&MeterId, &LoadCurve>) -> Option<StdVolume> {
    let mut sum = None;
    for hour in 0..24 {
        let of_hour: Option<StdVolume> = meters
            .iter()
            .map(|id| {
                let curve = curves.get(id)?;
                let known = curve.quality.get(hour)?.has_volume();
                known.then(|| curve.hours.get(hour).copied()).flatten()
            })
            .sum();
        if let Some(volume) = of_hour {
            sum = Some(sum.unwrap_or(StdVolume::ZERO) + volume);
        }
    }
    sum
}

/// Contract quantity of a month in whole m³, over all sources or of one; none without a contract.
pub fn month_contract_m3(
    registry: &Registry,
    month: GasMonth,
    source: Option<&SourceId>,
) -> Option<i64> {
    let first = month.first_day().0;
    let last = month.next().first_day().plus(-1).0;
    let mut quantities = registry
        .contracts
        .iter()
        .filter(|c| c.valid_from <= last && first <= c.valid_to)
        .filter(|c| source.is_none_or(|s| c.source == *s))
        .map(|c| c.month_quantity(month))
        .peekable();
    quantities.peek()?;
    Some(quantities.sum::<StdVolume>().round_m3())
}

/// 剩余合同日均量: (月合同量 − 本月累计提取) ÷ 剩余气日, the day that runs included.
///
/// # Source
/// domain.md §2.4; worked example: contract 1500, taken 612.5 in 12 of 30 days leaves 49.3056 万m³/d.
pub fn remaining_avg_dcq_m3(contract_m3: i64, taken_before_m3: i64, today: GasDay) -> f64 {
    let days_left = today.month().next().first_day().days_since(today).max(1);
    (contract_m3 - taken_before_m3) as f64 / days_left as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::figures::fixture;

    #[test]
    fn the_remaining_average_is_the_worked_example() {
        let today = fixture::day("2026-11-13");
        let average = remaining_avg_dcq_m3(15_000_000, 6_125_000, today);
        assert!((average / 10_000.0 - 49.3056).abs() < 5e-5, "{average}");
    }

    #[test]
    fn sources_of_a_day_sum_to_what_the_gates_measured() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-01");
        let curves: Vec<_> = (0..3)
            .flat_map(|i| fixture::gate_curves(&registry, day.plus(i), 24))
            .collect();
        let supply = Supply::of_curves(&registry, &curves);
        let measured: StdVolume = curves
            .iter()
            .filter(|c| c.day == day)
            .map(LoadCurve::volume)
            .sum();
        assert_eq!(supply.day_m3(day), Some(measured.round_m3()));
        let by_source: i64 = registry
            .sources
            .keys()
            .filter_map(|s| supply.source_day_m3(s, day))
            .sum();
        assert_eq!(Some(by_source), supply.day_m3(day));
    }

    #[test]
    fn a_gate_that_is_silent_makes_the_day_unknown() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-01");
        let mut curves = fixture::gate_curves(&registry, day, 24);
        curves.pop();
        assert_eq!(Supply::of_curves(&registry, &curves).day_m3(day), None);
    }

    #[test]
    fn a_month_without_a_contract_has_no_quantity() {
        let registry = fixture::registry();
        let month = |text: &str| text.parse::<GasMonth>().unwrap();
        assert!(month_contract_m3(&registry, month("2026-11"), None).is_some());
        assert_eq!(month_contract_m3(&registry, month("2035-01"), None), None);
    }
}
