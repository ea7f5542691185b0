//! What came through the gates of each zone, did not stay in its pipes, and no meter used.

use std::collections::BTreeMap;

use super::{Around, hour_of, size_of};
use crate::domain::calendar::GasDay;
use crate::domain::id::{MeterId, ZoneId};
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;
use crate::run::pipes::Pipes;
use crate::store::StoreError;
use crate::validate::estimate::{GateHour, WEEKS_BACK};

/// What is left of a zone's gates in one hour, when every meter with a value was served.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Left {
    /// None where a gate lacks the hour.
    now: Option<StdVolume>,
    /// How much more lies in the pipes at the end of the hour; none where that is not known.
    grown: Option<StdVolume>,
    /// How far that may be from nothing in four of five hours.
    spread: StdVolume,
    /// Largest flows of the meters without a value.
    size: i64,
    /// What was left on the same weekdays before for the meters that lack a value now, summed over those
    /// whose gates are known.
    before: StdVolume,
    /// Whether what stayed in the pipes is taken off that. Then only days count on which it is known.
    is_before_less_pack: bool,
    /// Which of [`WEEKS_BACK`] these are.
    weeks: [bool; WEEKS_BACK.len()],
}

impl Left {
    /// Sums what was left on the same weekdays before, less what stayed in the pipes where that is known now
    /// and of any of them; `grown` is that of the day, then of those.
    fn look_back(&mut self, weeks: &[Option<StdVolume>], grown: &[Option<StdVolume>]) {
        let Some((now, then)) = grown.split_first() else {
            return;
        };
        self.grown = *now;
        let both = |(left, grown): (&Option<StdVolume>, &Option<StdVolume>)| left.zip(*grown);
        self.is_before_less_pack =
            now.is_some() && weeks.iter().zip(then).any(|w| both(w).is_some());
        for ((known, left), grown) in self.weeks.iter_mut().zip(weeks).zip(then) {
            let less_pack = left.zip(*grown).map(|(left, grown)| left - grown);
            let counted = if self.is_before_less_pack {
                less_pack
            } else {
                *left
            };
            *known = counted.is_some();
            self.before += counted.unwrap_or_default();
        }
    }
}

impl Around<'_> {
    /// A meter's part of what came through its zone's gates and no meter used.
    pub(super) fn gate_of(
        &self,
        meter: &Meter,
        history: &[LoadCurve],
    ) -> Result<Option<[Option<GateHour>; 24]>, StoreError> {
        let Some(zone) = self.gates()?.get(&meter.zone) else {
            return Ok(None);
        };
        let before = WEEKS_BACK.map(|back| {
            let day = self.day.plus(-back);
            let found = history.binary_search_by_key(&day, |curve| curve.day);
            found.ok().and_then(|index| history.get(index))
        });
        let mut hours = [None; 24];
        for (hour, (slot, left)) in hours.iter_mut().zip(zone).enumerate() {
            let Some(now) = left.now else { continue };
            let asked = before.iter().zip(left.weeks).filter(|(_, known)| *known);
            let own: Option<StdVolume> = asked
                .map(|(curve, _)| curve.and_then(|curve| hour_of(curve, hour)))
                .sum();
            let is_known = left.weeks.contains(&true) && left.before > StdVolume::ZERO;
            let own = own.filter(|_| is_known);
            // Like is compared with like: what stayed in the pipes is taken off both or neither.
            let takes_off = own.is_none() || left.is_before_less_pack;
            let grown = left.grown.filter(|_| takes_off);
            let (pack, now) = match grown {
                Some(grown) => (StdVolume::ZERO, now - grown),
                None => (left.spread, now),
            };
            *slot = Some(match own {
                Some(own) => GateHour {
                    left: now,
                    own: own.units(),
                    all: left.before.units().max(own.units()),
                    is_by_use: true,
                    pack,
                },
                None => GateHour {
                    left: now,
                    own: size_of(meter),
                    all: left.size,
                    is_by_use: false,
                    pack,
                },
            });
        }
        Ok(Some(hours))
    }

    /// What is left of each zone's gates, now and on the same weekdays before.
    fn gates(&self) -> Result<&BTreeMap<ZoneId, [Left; 24]>, StoreError> {
        if let Some(gates) = self.gates.get() {
            return Ok(gates);
        }
        let mut zones: BTreeMap<ZoneId, [Left; 24]> = BTreeMap::new();
        for (zone, now) in self.left_on(self.day, &self.curves) {
            let hours = zones.entry(zone).or_default();
            for (left, now) in hours.iter_mut().zip(now) {
                left.now = now;
            }
        }
        let has_value = |meter: &Meter, hour: usize| {
            let curve = self.curves.get(&meter.id);
            curve.and_then(|curve| hour_of(curve, hour)).is_some()
        };
        for meter in self.customers() {
            let Some(hours) = zones.get_mut(&meter.zone) else {
                continue;
            };
            for (hour, left) in hours.iter_mut().enumerate() {
                if !has_value(meter, hour) {
                    left.size += size_of(meter);
                }
            }
        }
        let mut before = Vec::new();
        for back in WEEKS_BACK {
            let day = self.day.plus(-back);
            let curves = self.of.journal.curves_on(day)?;
            let curves = curves.iter().map(|curve| (&curve.meter, curve)).collect();
            before.push(self.left_on(day, &curves));
        }
        for (zone, hours) in &mut zones {
            let packs = self.packs_of(zone)?;
            for (hour, left) in hours.iter_mut().enumerate() {
                let grown = packs
                    .iter()
                    .map(|of_day| of_day.get(hour).copied().flatten());
                let grown: Vec<Option<StdVolume>> = grown.collect();
                let left_then = |of_week: &BTreeMap<ZoneId, _>| {
                    let hours: &[Option<StdVolume>; 24] = of_week.get(zone)?;
                    hours.get(hour).copied().flatten()
                };
                let weeks: Vec<Option<StdVolume>> = before.iter().map(left_then).collect();
                left.look_back(&weeks, &grown);
                left.spread = self
                    .pipes(zone)
                    .spread(packs.iter().flatten().flatten().copied());
            }
        }
        Ok(self.gates.get_or_init(|| zones))
    }

    fn pipes<'b>(&'b self, zone: &'b ZoneId) -> Pipes<'b> {
        Pipes::of(&self.of.journal, self.registry, zone)
    }

    /// How much the line pack of a zone grew, by hour: on the day, then on the same weekdays before.
    fn packs_of(&self, zone: &ZoneId) -> Result<Vec<[Option<StdVolume>; 24]>, StoreError> {
        let pipes = self.pipes(zone);
        let days = [0].into_iter().chain(WEEKS_BACK);
        days.map(|back| pipes.growth_within(self.day.plus(-back)))
            .collect()
    }

    /// By the curves of a day: what came through each zone's gates, less what the meters used that have a
    /// value today; who has none on that other day counts as today. None where a gate lacks the hour.
    fn left_on(
        &self,
        day: GasDay,
        curves: &BTreeMap<&MeterId, &LoadCurve>,
    ) -> BTreeMap<ZoneId, [Option<StdVolume>; 24]> {
        let mut zones: BTreeMap<ZoneId, [Option<StdVolume>; 24]> = BTreeMap::new();
        let is_gate = |meter: &&Meter| meter.role == MeterRole::Gate && meter.is_installed_on(day);
        for meter in self.registry.meters.values().filter(is_gate) {
            let curve = curves.get(&meter.id);
            let hours = zones
                .entry(meter.zone.clone())
                .or_insert([Some(StdVolume::ZERO); 24]);
            for (hour, left) in hours.iter_mut().enumerate() {
                let volume = curve.and_then(|curve| hour_of(curve, hour));
                *left = left.zip(volume).map(|(left, volume)| left + volume);
            }
        }
        for meter in self.customers() {
            let Some(hours) = zones.get_mut(&meter.zone) else {
                continue;
            };
            let (today, curve) = (self.curves.get(&meter.id), curves.get(&meter.id));
            for (hour, left) in hours.iter_mut().enumerate() {
                let Some(today) = today.and_then(|curve| hour_of(curve, hour)) else {
                    continue;
                };
                let volume = curve.and_then(|curve| hour_of(curve, hour));
                *left = left.map(|left| left - volume.unwrap_or(today));
            }
        }
        zones
    }
}
