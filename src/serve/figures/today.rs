//! The gas day that runs: hours that have ended, from load curves, silent meters filled from
//! their own earlier days.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::demand::{DemandNode, DemandView};
use crate::domain::finding::Quality;
use crate::domain::id::{MeterId, ZoneId};
use crate::domain::meter::Meter;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::serve::figures::cells::Cells;

/// An hour is known when meters that carry this part of its volume on earlier days have reported it.
/// Households report once a day and are half of a city's volume in winter, so it cannot be high; what
/// the rest used is estimated, and says so.
const KNOWN_COVERAGE_MIN: f64 = 0.2;

/// Days before today from which a silent meter's hours are taken, first choice first: a meter that
/// reports once a day may not have reported yesterday yet.
pub const FILL_DAYS_BACK: [i64; 3] = [1, 2, 7];

/// A quality that carries less than this part of an hour's volume does not colour the hour.
const QUALITY_PART_MIN: f64 = 0.02;

/// What customers have used so far in the gas day that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Today {
    /// The gas day.
    pub day: GasDay,
    /// Cells of the known hours; hours not known hold zeros, so read them through `hours_m3`.
    cells: Cells,
    known: [bool; 24],
    /// Quality of each known hour.
    pub quality: [Option<Quality>; 24],
}

impl Today {
    /// Volume of each hour in a view; none for hours not over or not yet known.
    pub fn hours_m3(&self, view: &DemandView) -> [Option<i64>; 24] {
        let mut hours = [None; 24];
        if let Some(values) = self.cells.hours_m3(view, self.day) {
            for (index, hour) in hours.iter_mut().enumerate() {
                if self.is_known(index) {
                    *hour = values.get(index).copied();
                }
            }
        }
        hours
    }

    /// Volume of a view so far; none while no hour is known.
    pub fn used_m3(&self, view: &DemandView) -> Option<i64> {
        let hours = self.hours_m3(view);
        hours
            .iter()
            .any(Option::is_some)
            .then(|| hours.iter().flatten().sum())
    }

    /// Whether hour `index` has a volume.
    pub fn is_known(&self, index: usize) -> bool {
        self.known.get(index).copied().unwrap_or(false)
    }

    /// The hours that have no volume yet.
    pub fn open_hours(&self) -> impl Iterator<Item = usize> + '_ {
        (0..24).filter(|index| !self.is_known(*index))
    }
}

/// Volume and its quality of a meter in an hour.
type HourValue = (StdVolume, Quality);

/// The curves of a meter: today's, and those of earlier days, the most like today first.
struct MeterCurves<'a> {
    node: DemandNode,
    today: Option<&'a LoadCurve>,
    earlier: Vec<&'a LoadCurve>,
}

fn by_meter(curves: &[LoadCurve]) -> BTreeMap<&MeterId, &LoadCurve> {
    curves.iter().map(|curve| (&curve.meter, curve)).collect()
}

fn value_at(curve: &LoadCurve, hour: usize) -> Option<HourValue> {
    let quality = *curve.quality.get(hour)?;
    quality
        .has_volume()
        .then(|| curve.hours.get(hour).map(|v| (*v, quality)))
        .flatten()
}

/// Sums the curves of the customers' meters of `day` up to `now`.
///
/// A meter that has not reported an hour counts with the same hour of the first of the `earlier`
/// days that has it, marked estimated; if meters that carry most of the volume are silent, the hour
/// is not known.
pub fn today(
    registry: &Registry,
    day: GasDay,
    now: DateTime<Utc>,
    curves: &[LoadCurve],
    earlier: &[Vec<LoadCurve>],
) -> Today {
    let clock = registry.company.gas_day_start_hour;
    let of_today = by_meter(curves);
    let of_earlier: Vec<_> = earlier.iter().map(|curves| by_meter(curves)).collect();
    let meters: Vec<MeterCurves<'_>> = registry
        .meters
        .values()
        .filter(|meter| meter.is_installed_on(day))
        .filter_map(|meter| {
            Some(MeterCurves {
                node: registry.node_of(meter)?,
                today: of_today.get(&meter.id).copied(),
                earlier: of_earlier
                    .iter()
                    .filter_map(|of_day| of_day.get(&meter.id).copied())
                    .collect(),
            })
        })
        .collect();

    let mut hours_by_node: BTreeMap<DemandNode, [f64; 24]> = BTreeMap::new();
    let mut known = [false; 24];
    let mut quality = [None; 24];
    for hour in 0..24 {
        let ends_at = clock.start_of(day) + TimeDelta::hours(i64::try_from(hour).unwrap_or(0) + 1);
        if ends_at > now {
            break;
        }
        let Some((sums, hour_quality)) = sum_hour(&meters, hour) else {
            continue;
        };
        for (node, units) in sums {
            if let Some(slot) = hours_by_node.entry(node).or_default().get_mut(hour) {
                *slot = units.to_f64();
            }
        }
        if let (Some(k), Some(q)) = (known.get_mut(hour), quality.get_mut(hour)) {
            *k = true;
            *q = Some(hour_quality);
        }
    }
    Today {
        day,
        cells: Cells::of_day(registry, day, hours_by_node),
        known,
        quality,
    }
}

/// Gas that customers for whom others buy have used in the hours of a gas day that are over, by zone, m³. An
/// hour that one of their meters has not reported counts with the same hour of the first of the `earlier` days
/// that has it.
pub fn carried_hours(
    registry: &Registry,
    day: GasDay,
    now: DateTime<Utc>,
    curves: &[LoadCurve],
    earlier: &[Vec<LoadCurve>],
) -> BTreeMap<ZoneId, [f64; 24]> {
    let start = registry.company.gas_day_start_hour.start_of(day);
    let over = usize::try_from((now - start).num_hours()).unwrap_or(0);
    let of_others = |meter: &&Meter| {
        let customer = meter.customer.as_ref();
        let customer = customer.and_then(|id| registry.customers.get(id));
        meter.is_installed_on(day) && customer.is_some_and(|c| !c.is_bought_for())
    };
    let days: Vec<_> = std::iter::once(curves)
        .chain(earlier.iter().map(Vec::as_slice))
        .map(by_meter)
        .collect();
    let mut zones: BTreeMap<ZoneId, [f64; 24]> = BTreeMap::new();
    for meter in registry.meters.values().filter(of_others) {
        let of_meter: Vec<_> = days.iter().filter_map(|of| of.get(&meter.id)).collect();
        let hours = zones.entry(meter.zone.clone()).or_default();
        for (hour, sum) in hours.iter_mut().enumerate().take(over) {
            let value = of_meter.iter().find_map(|curve| value_at(curve, hour));
            *sum += value.map_or(0.0, |(volume, _)| volume.to_f64());
        }
    }
    zones
}

/// Volume by node in an hour, and its quality; none if too little was reported.
fn sum_hour(
    meters: &[MeterCurves<'_>],
    hour: usize,
) -> Option<(BTreeMap<DemandNode, StdVolume>, Quality)> {
    let mut sums: BTreeMap<DemandNode, StdVolume> = BTreeMap::new();
    let mut by_quality: BTreeMap<Quality, StdVolume> = BTreeMap::new();
    let (mut weight_known, mut weight_all) = (0.0, 0.0);
    let (mut count_known, mut count_all) = (0.0_f64, 0.0_f64);
    for meter in meters {
        let reported = meter.today.and_then(|curve| value_at(curve, hour));
        let earlier = meter.earlier.iter().find_map(|curve| value_at(curve, hour));
        if reported.is_none() && earlier.is_none() {
            continue;
        }
        let weight = earlier.or(reported).map_or(0.0, |(v, _)| v.to_f64());
        weight_all += weight;
        count_all += 1.0;
        if reported.is_some() {
            weight_known += weight;
            count_known += 1.0;
        }
        let (volume, quality) = match (reported, earlier) {
            (Some(value), _) => value,
            (None, Some((volume, _))) => (volume, Quality::Estimated),
            (None, None) => continue,
        };
        *sums.entry(meter.node.clone()).or_default() += volume;
        *by_quality.entry(quality).or_default() += volume;
    }
    let coverage = if weight_all > 0.0 {
        weight_known / weight_all
    } else if count_all > 0.0 {
        count_known / count_all
    } else {
        return None;
    };
    if coverage < KNOWN_COVERAGE_MIN {
        return None;
    }
    let total: StdVolume = by_quality.values().sum();
    let worst = by_quality
        .iter()
        .rev()
        .find(|(_, volume)| volume.to_f64() >= QUALITY_PART_MIN * total.to_f64())
        .map_or(Quality::Measured, |(quality, _)| *quality);
    Some((sums, worst))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::figures::fixture;

    fn total(today: &Today) -> [Option<i64>; 24] {
        today.hours_m3(&DemandView::total())
    }

    #[test]
    fn only_hours_that_are_over_count() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-21");
        let curves = fixture::customer_curves(&registry, day, 24);
        let now = fixture::at("2026-11-21T11:59:59+08:00");
        let today = today(&registry, day, now, &curves, &[]);
        let hours = total(&today);
        assert_eq!(hours.iter().flatten().count(), 3);
        let expected: i64 = curves
            .iter()
            .flat_map(|c| c.hours.iter().take(3))
            .map(|v| v.round_m3())
            .sum();
        assert_eq!(today.used_m3(&DemandView::total()), Some(expected));
        assert_eq!(today.quality[0], Some(Quality::Measured));
        assert_eq!(today.open_hours().count(), 21);
    }

    #[test]
    fn a_silent_meter_counts_as_yesterday_and_colours_the_hour() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-21");
        let yesterday = fixture::customer_curves(&registry, day.plus(-1), 24);
        let mut curves = fixture::customer_curves(&registry, day, 24);
        let lost = curves.pop().unwrap();
        let now = fixture::at("2026-11-21T09:00:00+08:00");
        let one = today(
            &registry,
            day,
            now,
            &curves,
            std::slice::from_ref(&yesterday),
        );
        let all: i64 = yesterday.iter().map(|c| c.hours[0].round_m3()).sum();
        assert!(lost.hours[0] > StdVolume::ZERO);
        assert_eq!(total(&one)[0], Some(all));
        assert_eq!(one.quality[0], Some(Quality::Estimated));
    }

    #[test]
    fn a_meter_that_reports_once_a_day_counts_as_the_last_day_it_reported() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-21");
        let before = fixture::customer_curves(&registry, day.plus(-2), 24);
        let mut yesterday = fixture::customer_curves(&registry, day.plus(-1), 24);
        let mut curves = fixture::customer_curves(&registry, day, 24);
        yesterday.pop();
        curves.pop();
        let now = fixture::at("2026-11-21T09:00:00+08:00");
        let all: i64 = before.iter().map(|c| c.hours[0].round_m3()).sum();
        let one = today(&registry, day, now, &curves, &[yesterday, before]);
        assert_eq!(total(&one)[0], Some(all));
    }

    #[test]
    fn an_hour_most_meters_are_silent_about_is_not_known() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-21");
        let yesterday = fixture::customer_curves(&registry, day.plus(-1), 24);
        let now = fixture::at("2026-11-21T12:00:00+08:00");
        let one = today(&registry, day, now, &[], &[yesterday]);
        assert_eq!(one.used_m3(&DemandView::total()), None);
        assert_eq!(total(&one), [None; 24]);
    }

    #[test]
    fn without_any_curve_nothing_is_known() {
        let registry = fixture::registry();
        let day = fixture::day("2026-11-21");
        let one = today(
            &registry,
            day,
            fixture::at("2026-11-21T20:00:00+08:00"),
            &[],
            &[],
        );
        assert_eq!(total(&one), [None; 24]);
        assert_eq!(one.open_hours().count(), 24);
    }
}
