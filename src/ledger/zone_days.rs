//! Gas days of a zone: what came in through its gates beside what its meters had, day by day.
//!
//! A day counts when all gate meters of the zone have a complete curve. A meter without one on such a
//! day is filled with its own mean over the days it has; a day of which more than a twentieth of
//! the gas is filled that way is left out. Meters without any day are not seen at all: their gas is
//! missing every day alike.

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::domain::id::{MeterId, ZoneId};
use crate::domain::meter::MeterRole;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::validate::rules::v15_mass_balance::ZoneDay;

/// Greatest part of a day's gas that may be filled for the day to count.
const FILLED_MAX: f64 = 0.05;

/// Adds curves up to days of zones; holds eight bytes for each meter and day.
#[derive(Debug)]
pub struct ZoneDaysBuilder<'a> {
    registry: &'a Registry,
    from: GasDay,
    days: usize,
    meters: BTreeMap<&'a MeterId, Vec<Option<StdVolume>>>,
}

impl<'a> ZoneDaysBuilder<'a> {
    /// For the gas days `[from, to)`.
    pub fn new(registry: &'a Registry, from: GasDay, to: GasDay) -> Self {
        Self {
            registry,
            from,
            days: usize::try_from(to.days_since(from)).unwrap_or(0),
            meters: BTreeMap::new(),
        }
    }

    /// Adds the curve of a gate or of a customer's meter; curves with a gap are passed over.
    pub fn add(&mut self, curve: &LoadCurve) {
        let index = usize::try_from(curve.day.days_since(self.from)).ok();
        let known = self.registry.meters.get_key_value(&curve.meter);
        let (Some(index), Some((id, meter))) = (index, known) else {
            return;
        };
        let counts = matches!(meter.role, MeterRole::Gate | MeterRole::Customer);
        let counts = counts && meter.is_installed_on(curve.day);
        if index < self.days && counts && curve.is_complete() {
            let days = self
                .meters
                .entry(id)
                .or_insert_with(|| vec![None; self.days]);
            if let Some(day) = days.get_mut(index) {
                *day = Some(curve.volume());
            }
        }
    }

    /// The days of each zone that count, in order, without line pack.
    pub fn finish(self) -> BTreeMap<ZoneId, Vec<ZoneDay>> {
        let mut zones = BTreeMap::new();
        for zone in self.registry.zones.keys() {
            let days = self.of_zone(zone);
            if !days.is_empty() {
                zones.insert(zone.clone(), days);
            }
        }
        zones
    }

    fn of_zone(&self, zone: &ZoneId) -> Vec<ZoneDay> {
        let of = |role| {
            self.registry
                .meters
                .values()
                .filter(move |meter| meter.zone == *zone && meter.role == role)
        };
        let gates: Vec<Option<StdVolume>> = (0_i64..)
            .zip(0..self.days)
            .map(|(offset, index)| {
                let day = self.from.plus(offset);
                let mut there = of(MeterRole::Gate)
                    .filter(|meter| meter.is_installed_on(day))
                    .peekable();
                there.peek()?;
                there
                    .map(|meter| *self.meters.get(&meter.id)?.get(index)?)
                    .sum()
            })
            .collect();
        let mut measured = vec![StdVolume::ZERO; self.days];
        let mut filled = vec![StdVolume::ZERO; self.days];
        for meter in of(MeterRole::Customer) {
            let Some(days) = self.meters.get(&meter.id) else {
                continue;
            };
            let known: Vec<StdVolume> = days.iter().flatten().copied().collect();
            let sum: StdVolume = known.iter().sum();
            let mean = StdVolume::from_f64(sum.to_f64() / known.len().max(1) as f64);
            let sums = measured.iter_mut().zip(&mut filled);
            for ((offset, day), (measured, filled)) in (0_i64..).zip(days).zip(sums) {
                match day {
                    Some(volume) => *measured += *volume,
                    None if meter.is_expected_on(self.from.plus(offset)) => *filled += mean,
                    None => {}
                }
            }
        }
        (0_i64..)
            .zip(gates)
            .zip(measured.into_iter().zip(filled))
            .filter_map(|((offset, gate), (measured, filled))| {
                let metered = measured + filled;
                let is_known = filled.to_f64() <= FILLED_MAX * metered.to_f64();
                is_known.then_some(ZoneDay {
                    day: self.from.plus(offset),
                    gate: gate?,
                    metered,
                    line_pack: None,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Quality;
    use crate::domain::meter::Meter;
    use crate::ledger::entry::fixture;

    fn curve(meter: &str, day: GasDay, hour_m3: i64) -> LoadCurve {
        LoadCurve {
            hours: [StdVolume::from_m3(hour_m3); 24],
            quality: [Quality::Measured; 24],
            ..LoadCurve::missing(meter.into(), day)
        }
    }

    #[test]
    fn a_day_with_a_gap_is_filled_and_one_without_the_gate_is_left_out() {
        let of = |id: &str, role| Meter {
            id: id.into(),
            role,
            ..fixture::meter("m", "c")
        };
        let registry = fixture::registry(
            Vec::new(),
            vec![
                of("gate", MeterRole::Gate),
                of("big", MeterRole::Customer),
                of("small", MeterRole::Customer),
            ],
        );
        let from: GasDay = "2026-11-01".parse().unwrap();
        let mut builder = ZoneDaysBuilder::new(&registry, from, from.plus(4));
        for offset in 0..4 {
            let day = from.plus(offset);
            if offset != 1 {
                builder.add(&curve("gate", day, 100));
            }
            if offset != 2 {
                builder.add(&curve("big", day, 95));
            }
            if offset != 3 {
                builder.add(&curve("small", day, 3));
            }
        }
        let days = builder.finish().remove("north").unwrap();
        let known: Vec<_> = days.iter().map(|d| (d.day, d.metered.round_m3())).collect();
        // The second day lacks the gate, the third nearly all of its gas; the fourth is filled.
        assert_eq!(known, [(from, 98 * 24), (from.plus(3), 98 * 24)]);
        assert_eq!(days[0].gate, StdVolume::from_m3(2_400));
        assert!((days[0].missing_ratio().unwrap() - 0.02).abs() < 1e-9);
    }

    #[test]
    fn what_is_not_there_on_a_day_is_neither_waited_for_nor_filled() {
        let from: GasDay = "2026-11-01".parse().unwrap();
        let of = |id: &str, role| Meter {
            id: id.into(),
            role,
            ..fixture::meter("m", "c")
        };
        let gate = of("gate", MeterRole::Gate);
        let second = Meter {
            installed_on: from.plus(2).0,
            ..of("second", MeterRole::Gate)
        };
        let closed = Meter {
            removed_on: Some(from.plus(1).0),
            ..of("closed", MeterRole::Customer)
        };
        let meters = vec![gate, second, closed, of("works", MeterRole::Customer)];
        let registry = fixture::registry(Vec::new(), meters);
        let mut builder = ZoneDaysBuilder::new(&registry, from, from.plus(4));
        for offset in 0..4 {
            builder.add(&curve("gate", from.plus(offset), 100));
            builder.add(&curve("works", from.plus(offset), 90));
        }
        builder.add(&curve("closed", from, 5));
        // The second gate reports from its second day on; the closed meter's device blinks in the store.
        builder.add(&curve("second", from.plus(3), 20));
        builder.add(&curve("closed", from.plus(3), 1));
        let days = builder.finish().remove("north").unwrap();
        let m3 = |volume: StdVolume| volume.round_m3() / 24;
        let known: Vec<_> = days
            .iter()
            .map(|d| (d.day, m3(d.gate), m3(d.metered)))
            .collect();
        let expected = [
            (from, 100, 95),
            (from.plus(1), 100, 90),
            (from.plus(3), 120, 90),
        ];
        assert_eq!(known, expected);
    }
}
