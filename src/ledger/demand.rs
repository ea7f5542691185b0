//! From load curves to the demand of zone × class.

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::domain::demand::{DemandDay, DemandNode};
use crate::domain::estimate::Estimate;
use crate::domain::finding::Quality;
use crate::domain::id::MeterId;
use crate::domain::meter::Meter;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;

/// What is estimated of a meter's day, given its curve.
pub type EstimateHours<'a> = &'a dyn Fn(&Meter, Option<&LoadCurve>) -> HourEstimates;

/// Estimates of the hours of a day.
#[derive(Debug, Clone, Copy, Default)]
pub struct HourEstimates {
    /// Volumes of hours that the curve does not have.
    pub missing: [Option<Estimate>; 24],
    /// Uncertainty of hours that the curve has and no meter measured.
    pub bounded: [Option<Estimate>; 24],
}

/// Sums the customers' meters of each node for one gas day.
///
/// A meter in use on the day whose curve is missing, or has hours missing, gets those hours from
/// `estimate`. Volumes are added as exact numbers and turned into floating point once, at the end.
///
/// `coverage` is the part of the volume that stands on hours with a value of their own, measured,
/// decided or bounded by register totals. Hours that nothing could estimate have no volume to weigh, so
/// they lower it by their part of the node's meter-hours.
///
/// The uncertainties of a meter's hours are added, as they err together; those of meters are not, so
/// their squares are.
///
/// # Shape
/// One entry for each node with a meter in use on the day, in the order of nodes. Curves of other
/// days and of gate stations are ignored; of two curves for one meter the later in `curves` counts.
pub fn sum_day(
    registry: &Registry,
    day: GasDay,
    curves: &[LoadCurve],
    estimate: EstimateHours<'_>,
) -> Vec<DemandDay> {
    let by_meter: BTreeMap<&MeterId, &LoadCurve> = curves
        .iter()
        .filter(|curve| curve.day == day)
        .map(|curve| (&curve.meter, curve))
        .collect();
    let mut sums: BTreeMap<DemandNode, NodeSum> = BTreeMap::new();
    for meter in registry.meters.values() {
        let Some(node) = registry.node_of(meter) else {
            continue;
        };
        if is_in_use(registry, meter, day) {
            let curve = by_meter.get(&meter.id).copied();
            sums.entry(node)
                .or_default()
                .add(curve, meter.is_last_day(day), || estimate(meter, curve));
        }
    }
    sums.into_iter()
        .map(|(node, sum)| sum.into_day(node, day))
        .collect()
}

/// Whether a meter's use counts on a gas day.
pub fn is_in_use(registry: &Registry, meter: &Meter, day: GasDay) -> bool {
    meter.is_installed_on(day)
        && registry
            .customer_of(meter)
            .is_some_and(|customer| customer.connected_on <= day.0)
}

#[derive(Default)]
struct NodeSum {
    hours: [StdVolume; 24],
    own: StdVolume,
    meter_hours: u32,
    unfilled_hours: u32,
    /// Sum of the squared uncertainties of meters, m⁶.
    variance: f64,
}

impl NodeSum {
    /// On its last day a meter used nothing in hours that it does not know.
    fn add(
        &mut self,
        curve: Option<&LoadCurve>,
        is_last_day: bool,
        estimate: impl FnOnce() -> HourEstimates,
    ) {
        self.meter_hours += 24;
        let is_measured = |quality: &Quality| *quality <= Quality::Suspect;
        if let Some(curve) = curve.filter(|curve| curve.quality.iter().all(is_measured)) {
            for (sum, volume) in self.hours.iter_mut().zip(&curve.hours) {
                *sum += *volume;
                self.own += *volume;
            }
            return;
        }
        let estimates = estimate();
        let mut uncertainty = StdVolume::ZERO;
        for (hour, sum) in self.hours.iter_mut().enumerate() {
            let own = curve.and_then(|curve| {
                let has_volume = curve.quality.get(hour)?.has_volume();
                curve.hours.get(hour).copied().filter(|_| has_volume)
            });
            let of = |found: &[Option<Estimate>; 24]| found.get(hour).copied().flatten();
            if let Some(volume) = own {
                *sum += volume;
                self.own += volume;
                uncertainty += of(&estimates.bounded).map_or(StdVolume::ZERO, |e| e.uncertainty);
            } else if is_last_day {
                self.meter_hours -= 1;
            } else if let Some(estimate) = of(&estimates.missing) {
                *sum += estimate.volume;
                uncertainty += estimate.uncertainty;
            } else {
                self.unfilled_hours += 1;
            }
        }
        self.variance += uncertainty.to_f64().powi(2);
    }

    fn into_day(self, node: DemandNode, day: GasDay) -> DemandDay {
        let total: StdVolume = self.hours.iter().sum();
        let of_volume = if total.is_zero() {
            1.0
        } else {
            (self.own.to_f64() / total.to_f64()).clamp(0.0, 1.0)
        };
        let known = 1.0 - f64::from(self.unfilled_hours) / f64::from(self.meter_hours.max(1));
        DemandDay {
            node,
            day,
            hours_m3: self.hours.map(StdVolume::to_f64),
            coverage: of_volume * known,
            uncertainty_m3: self.variance.sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::CustomerClass;
    use crate::ledger::entry::fixture::{customer, meter, registry};

    fn day() -> GasDay {
        "2026-11-20".parse().unwrap()
    }

    fn curve(meter: &str, m3: i64, missing: std::ops::Range<usize>) -> LoadCurve {
        let mut curve = LoadCurve::missing(meter.into(), day());
        for hour in (0..24).filter(|h| !missing.contains(h)) {
            curve.hours[hour] = StdVolume::from_m3(m3);
            curve.quality[hour] = Quality::Measured;
        }
        curve
    }

    fn city() -> Registry {
        let mut shop = customer("c2");
        shop.class = CustomerClass::Commercial;
        let mut late = meter("m4", "c2");
        late.installed_on = "2026-11-21".parse().unwrap();
        registry(
            vec![customer("c1"), shop],
            vec![
                meter("m1", "c1"),
                meter("m2", "c1"),
                meter("m3", "c2"),
                late,
            ],
        )
    }

    /// A customer that closed: measured until its last hour, and nothing is made up for it afterwards.
    #[test]
    fn what_was_taken_away_is_estimated_no_more() {
        let mut gone = meter("m1", "c1");
        gone.removed_on = Some(day().0);
        let registry = registry(vec![customer("c1")], vec![gone, meter("m2", "c1")]);
        let like = |_: &Meter, _: Option<&LoadCurve>| HourEstimates {
            missing: [Some(Estimate {
                volume: StdVolume::from_m3(2),
                method: crate::domain::estimate::Method::E6,
                uncertainty: StdVolume::ZERO,
            }); 24],
            bounded: [None; 24],
        };
        let volume = |day: GasDay, curves: &[LoadCurve]| {
            let curves: Vec<LoadCurve> = curves
                .iter()
                .map(|curve| LoadCurve {
                    day,
                    ..curve.clone()
                })
                .collect();
            let of_day = sum_day(&registry, day, &curves, &like);
            (of_day[0].volume_m3(), of_day[0].coverage)
        };
        let close = |(got, coverage): (f64, f64), m3: f64, part: f64| {
            assert!((got - m3).abs() < 1e-9, "{got} of {m3}");
            assert!((coverage - part).abs() < 1e-9, "{coverage} of {part}");
        };
        // Silent before: estimated. On its last day what it measured in six hours counts.
        close(
            volume(day().plus(-1), &[curve("m2", 5, 0..0)]),
            168.0,
            120.0 / 168.0,
        );
        let last = [curve("m1", 10, 6..24), curve("m2", 5, 0..0)];
        close(volume(day(), &last), 180.0, 1.0);
        // After it nothing does, whatever the device in the store room says.
        close(volume(day().plus(1), &[curve("m2", 5, 0..0)]), 120.0, 1.0);
        close(volume(day().plus(1), &last), 120.0, 1.0);
    }

    #[test]
    fn nodes_add_up_and_missing_hours_come_from_the_like_day() {
        let curves = [curve("m1", 10, 0..0), curve("m2", 5, 6..12)];
        let like = |meter: &Meter, _: Option<&LoadCurve>| {
            let estimate = Estimate {
                volume: StdVolume::from_m3(2),
                method: crate::domain::estimate::Method::E4,
                uncertainty: StdVolume::from_m3(1),
            };
            let missing = (meter.id.as_str() != "m4").then_some(estimate);
            HourEstimates {
                missing: [missing; 24],
                bounded: [None; 24],
            }
        };
        let days = sum_day(&city(), day(), &curves, &like);
        let classes: Vec<_> = days.iter().map(|d| d.node.class).collect();
        assert_eq!(
            classes,
            [CustomerClass::Industrial, CustomerClass::Commercial]
        );
        let industry = &days[0];
        assert!((industry.hours_m3[0] - 15.0).abs() < 1e-12);
        assert!((industry.hours_m3[6] - 12.0).abs() < 1e-12);
        assert!((industry.volume_m3() - (240.0 + 90.0 + 12.0)).abs() < 1e-9);
        assert!((industry.coverage - 330.0 / 342.0).abs() < 1e-12);
        assert!((industry.uncertainty_m3 - 6.0).abs() < 1e-12);
        // The shop was silent all day: all filled, nothing of its own. Its second meter is not in
        // use yet.
        assert!((days[1].volume_m3() - 48.0).abs() < 1e-9);
        assert!(days[1].coverage.abs() < 1e-12);
    }

    #[test]
    fn what_nothing_can_fill_lowers_the_coverage() {
        let curves = [curve("m1", 10, 0..0), curve("m3", 3, 0..0)];
        let days = sum_day(&city(), day(), &curves, &|_, _| HourEstimates::default());
        assert!((days[0].volume_m3() - 240.0).abs() < 1e-9);
        assert!((days[0].coverage - 0.5).abs() < 1e-12);
        assert!((days[1].coverage - 1.0).abs() < 1e-12);
    }

    #[test]
    fn other_days_gate_stations_and_order_do_not_matter() {
        let mut other = curve("m1", 99, 0..0);
        other.day = day().plus(-1);
        let (a, b, c) = (
            curve("m1", 10, 0..0),
            curve("m2", 5, 0..0),
            curve("m3", 1, 0..0),
        );
        let forth = sum_day(
            &city(),
            day(),
            &[other.clone(), a.clone(), b.clone(), c.clone()],
            &|_, _| HourEstimates::default(),
        );
        let back = sum_day(&city(), day(), &[c, b, a, other], &|_, _| {
            HourEstimates::default()
        });
        assert_eq!(forth, back);
        assert!((forth[0].volume_m3() - 360.0).abs() < 1e-9);
    }

    #[test]
    fn sums_are_exact_before_they_are_converted() {
        // Thirty thousandths of a cubic metre, which floating point would smear.
        let customers = vec![customer("c1")];
        let meters = (0..300).map(|i| meter(&format!("m{i}"), "c1")).collect();
        let registry = registry(customers, meters);
        let curves: Vec<LoadCurve> = (0..300)
            .map(|i| {
                let mut curve = curve(&format!("m{i}"), 0, 0..0);
                curve.hours = [StdVolume::from_units(1); 24];
                curve
            })
            .collect();
        let days = sum_day(&registry, day(), &curves, &|_, _| HourEstimates::default());
        assert_eq!(StdVolume::from_f64(days[0].hours_m3[0]).units(), 300);
        assert_eq!(days[0].hours_m3[0].to_bits(), 0.03_f64.to_bits());
    }
}
