//! What came in through the gates against what the meters measured (供销差).
//!
//! A day counts for a zone when all its gate meters have a complete curve. A meter without one on
//! such a day is filled with its own mean over the others; a meter without any is silent, and its
//! gas appears in the difference: it is counted beside it, so that nobody takes it for a loss.
//!
//! Beside the plain difference stands one with temperature taken out: a diaphragm meter without a
//! corrector is converted with one fixed factor all year, and in winter the gas is denser than that.
//! Its volumes are converted again with the factor of each day's mean ambient temperature.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::calendar::GasDay;
use crate::domain::id::{MeterId, ZoneId};
use crate::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use crate::domain::quantity::{
    AbsPressure, ReferenceConditions, StdVolume, Temperature, conversion_factor,
};
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;

/// Gauge pressure behind a low-pressure regulator, kPa (GB 50028: 2 to 3 kPa at the appliance).
const LOW_PRESSURE_GAUGE_KPA: f64 = 2.5;

/// Gate against meters over some gas days, of one zone or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ZoneBalance {
    /// Gas days on which every gate meter is known; of all zones: of each zone, added up.
    pub days: usize,
    /// Through the gates.
    pub gate: StdVolume,
    /// Measured by customers' meters.
    pub metered: StdVolume,
    /// Filled for meters that lack a day, each with its own mean.
    pub filled: StdVolume,
    /// Days that were filled, over all meters.
    pub filled_days: usize,
    /// Meters without a single complete day; their gas is in the difference.
    pub silent_meters: usize,
    /// Measured and filled, uncorrected meters at ambient temperature; none where a temperature is
    /// not known.
    pub normalised: Option<StdVolume>,
    /// 管存变化: how much more gas lay in the pipes after these days than before, over those on which
    /// that is known; none where it never is.
    pub line_pack: Option<StdVolume>,
    /// Days on which it is known.
    pub line_pack_days: usize,
}

impl ZoneBalance {
    /// 供销差: what came in and was not measured; negative if more was measured.
    pub fn unaccounted(&self) -> StdVolume {
        self.gate - self.metered - self.filled
    }

    /// 供销差率, a part of what came in; none if nothing did.
    pub fn unaccounted_ratio(&self) -> Option<f64> {
        self.ratio(self.unaccounted())
    }

    /// 供销差 less what stayed in the pipes; none where the line pack is not known.
    pub fn unaccounted_less_pack(&self) -> Option<StdVolume> {
        Some(self.unaccounted() - self.line_pack?)
    }

    /// The same as a part of what came in.
    pub fn unaccounted_less_pack_ratio(&self) -> Option<f64> {
        self.ratio(self.unaccounted_less_pack()?)
    }

    /// 温度归一供销差: the same without what temperature explains.
    pub fn unaccounted_normalised(&self) -> Option<StdVolume> {
        Some(self.gate - self.normalised?)
    }

    /// The same as a part of what came in.
    pub fn unaccounted_normalised_ratio(&self) -> Option<f64> {
        self.ratio(self.unaccounted_normalised()?)
    }

    fn ratio(&self, part: StdVolume) -> Option<f64> {
        (self.gate > StdVolume::ZERO).then(|| part.to_f64() / self.gate.to_f64())
    }

    fn plus(self, other: Self) -> Self {
        Self {
            days: self.days + other.days,
            gate: self.gate + other.gate,
            metered: self.metered + other.metered,
            filled: self.filled + other.filled,
            filled_days: self.filled_days + other.filled_days,
            silent_meters: self.silent_meters + other.silent_meters,
            normalised: self.normalised.zip(other.normalised).map(|(a, b)| a + b),
            // A zone whose pipes are not known adds nothing to what others have in theirs.
            line_pack: match (self.line_pack, other.line_pack) {
                (Some(a), Some(b)) => Some(a + b),
                (a, b) => a.or(b),
            },
            line_pack_days: self.line_pack_days + other.line_pack_days,
        }
    }
}

/// What one meter has in a balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeterBalance {
    /// Meter.
    pub meter: MeterId,
    /// Zone.
    pub zone: ZoneId,
    /// Whether gas comes in through it.
    pub is_gate: bool,
    /// Days that count on which it has a complete curve.
    pub days: usize,
    /// Measured on these.
    pub measured: StdVolume,
    /// Days that count without a complete curve.
    pub filled_days: usize,
    /// Filled for them; nothing for a meter without a single day.
    pub filled: StdVolume,
    /// Measured and filled at ambient temperature; none where that is not known, or without a day.
    pub normalised: Option<StdVolume>,
}

/// The balance of each zone, and of all together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// By zone; only zones with a gate and a day that counts.
    pub zones: BTreeMap<ZoneId, ZoneBalance>,
    /// All of them.
    pub total: ZoneBalance,
    /// Gates and customers' meters of these zones, in order of meter.
    pub meters: Vec<MeterBalance>,
}

impl Balance {
    fn new(zones: BTreeMap<ZoneId, ZoneBalance>, meters: Vec<MeterBalance>) -> Self {
        let total = zones
            .values()
            .copied()
            .reduce(ZoneBalance::plus)
            .unwrap_or_default();
        Self {
            zones,
            total,
            meters,
        }
    }

    /// The same with the line pack of zones: how much it grew, on how many of their days that is known.
    #[must_use]
    pub fn with_line_pack(self, packs: &BTreeMap<ZoneId, (StdVolume, usize)>) -> Self {
        let mut zones = self.zones;
        for (zone, (growth, days)) in packs {
            if let Some(balance) = zones.get_mut(zone).filter(|_| *days > 0) {
                balance.line_pack = Some(*growth);
                balance.line_pack_days = *days;
            }
        }
        Self::new(zones, self.meters)
    }
}

/// Adds curves up to a balance; holds one sum for a meter, however many days there are.
#[derive(Debug)]
pub struct BalanceBuilder<'a> {
    registry: &'a Registry,
    temperatures: &'a BTreeMap<ZoneId, BTreeMap<GasDay, f64>>,
    /// Days that count, with what came in.
    gates: BTreeMap<&'a ZoneId, BTreeMap<GasDay, StdVolume>>,
    gate_meters: BTreeMap<&'a MeterId, StdVolume>,
    meters: BTreeMap<&'a MeterId, MeterSum>,
}

#[derive(Debug, Clone, Copy)]
struct MeterSum {
    days: usize,
    /// Of these, the day on which it was taken away.
    last_days: usize,
    measured: StdVolume,
    normalised: Option<StdVolume>,
}

impl Default for MeterSum {
    fn default() -> Self {
        Self {
            days: 0,
            last_days: 0,
            measured: StdVolume::ZERO,
            normalised: Some(StdVolume::ZERO),
        }
    }
}

impl<'a> BalanceBuilder<'a> {
    /// With the curves of the gate meters, and the mean temperature of each gas day by zone, °C.
    pub fn new(
        registry: &'a Registry,
        gate_curves: &[LoadCurve],
        temperatures: &'a BTreeMap<ZoneId, BTreeMap<GasDay, f64>>,
    ) -> Self {
        let mut gate_meters: BTreeMap<&ZoneId, BTreeMap<&MeterId, &Meter>> = BTreeMap::new();
        for meter in registry.meters.values() {
            if meter.role == MeterRole::Gate {
                let of_zone = gate_meters.entry(&meter.zone).or_default();
                of_zone.insert(&meter.id, meter);
            }
        }
        let mut gates: BTreeMap<&ZoneId, BTreeMap<GasDay, StdVolume>> = BTreeMap::new();
        for (zone, meters) in gate_meters {
            let mut days: BTreeMap<GasDay, (usize, StdVolume)> = BTreeMap::new();
            for curve in gate_curves {
                let meter = meters.get(&curve.meter);
                if meter.is_some_and(|m| m.is_installed_on(curve.day)) && curve.is_complete() {
                    let day = days.entry(curve.day).or_default();
                    day.0 += 1;
                    day.1 += curve.volume();
                }
            }
            let known = days
                .into_iter()
                .filter(|(day, (count, _))| {
                    let there = meters.values().filter(|m| m.is_installed_on(*day));
                    *count == there.count()
                })
                .map(|(day, (_, volume))| (day, volume));
            gates.insert(zone, known.collect());
        }
        let mut through = BTreeMap::new();
        for curve in gate_curves.iter().filter(|curve| curve.is_complete()) {
            let Some((id, meter)) = registry.meters.get_key_value(&curve.meter) else {
                continue;
            };
            let days = gates.get(&meter.zone);
            let counts = days.is_some_and(|d| d.contains_key(&curve.day));
            if meter.role == MeterRole::Gate && counts && meter.is_installed_on(curve.day) {
                *through.entry(id).or_insert(StdVolume::ZERO) += curve.volume();
            }
        }
        Self {
            registry,
            temperatures,
            gates,
            gate_meters: through,
            meters: BTreeMap::new(),
        }
    }

    /// Adds a customer meter's curve; others, and curves with a gap, are passed over.
    pub fn add(&mut self, curve: &LoadCurve) {
        let Some((id, meter)) = self.registry.meters.get_key_value(&curve.meter) else {
            return;
        };
        let counts = self
            .gates
            .get(&meter.zone)
            .is_some_and(|days| days.contains_key(&curve.day));
        let counts = counts && meter.is_installed_on(curve.day);
        if meter.role != MeterRole::Customer || !counts || !curve.is_complete() {
            return;
        }
        let volume = curve.volume();
        let normalised = self.at_ambient(meter, curve.day, volume);
        let sum = self.meters.entry(id).or_default();
        sum.days += 1;
        sum.last_days += usize::from(meter.is_last_day(curve.day));
        sum.measured += volume;
        sum.normalised = sum.normalised.zip(normalised).map(|(a, b)| a + b);
    }

    /// A meter's volume converted with the day's temperature, if it has no corrector.
    fn at_ambient(&self, meter: &Meter, day: GasDay, volume: StdVolume) -> Option<StdVolume> {
        if meter.settlement != SettlementTotal::Work || meter.kind != MeterKind::Diaphragm {
            return Some(volume);
        }
        let temperature_c = *self.temperatures.get(&meter.zone)?.get(&day)?;
        let zone = self.registry.zones.get(&meter.zone)?;
        let factor = ambient_factor(
            self.registry.company.reference,
            zone.atmosphere_kpa,
            temperature_c,
        );
        Some(StdVolume::from_f64(
            volume.to_f64() * factor / meter.fixed_factor,
        ))
    }

    /// Days that count, by zone.
    pub fn days(&self) -> BTreeMap<ZoneId, Vec<GasDay>> {
        let of_zone = |(zone, days): (&&ZoneId, &BTreeMap<GasDay, _>)| {
            ((*zone).clone(), days.keys().copied().collect())
        };
        self.gates.iter().map(of_zone).collect()
    }

    /// The balance of what was added, without line pack.
    pub fn finish(self) -> Balance {
        let mut zones: BTreeMap<ZoneId, ZoneBalance> = BTreeMap::new();
        for (zone, days) in self.gates.iter().filter(|(_, days)| !days.is_empty()) {
            let balance = ZoneBalance {
                days: days.len(),
                gate: days.values().sum(),
                normalised: Some(StdVolume::ZERO),
                ..ZoneBalance::default()
            };
            zones.insert((*zone).clone(), balance);
        }
        let mut meters = Vec::new();
        for meter in self.registry.meters.values() {
            let days = self.gates.get(&meter.zone);
            let (Some(days), Some(balance)) = (days, zones.get_mut(&meter.zone)) else {
                continue;
            };
            let member = MeterBalance {
                meter: meter.id.clone(),
                zone: meter.zone.clone(),
                is_gate: meter.role == MeterRole::Gate,
                days: days.len(),
                measured: StdVolume::ZERO,
                filled_days: 0,
                filled: StdVolume::ZERO,
                normalised: None,
            };
            if let Some(measured) = self.gate_meters.get(&meter.id) {
                meters.push(MeterBalance {
                    measured: *measured,
                    normalised: Some(*measured),
                    ..member
                });
                continue;
            }
            let sum = self.meters.get(&meter.id).copied().unwrap_or_default();
            // The day on which it was taken away counts if it is whole, and is never filled.
            let expected = days.keys().filter(|day| meter.is_expected_on(**day));
            let due = expected.count() + sum.last_days;
            if meter.role != MeterRole::Customer || due == 0 {
                continue;
            }
            if sum.days == 0 {
                balance.silent_meters += 1;
                meters.push(MeterBalance {
                    days: 0,
                    filled_days: due,
                    ..member
                });
                continue;
            }
            let missing = due.saturating_sub(sum.days);
            let fill = |volume: StdVolume| {
                StdVolume::from_f64(volume.to_f64() / sum.days as f64 * missing as f64)
            };
            balance.metered += sum.measured;
            balance.filled += fill(sum.measured);
            balance.filled_days += missing;
            let normalised = sum.normalised.map(|own| own + fill(own));
            balance.normalised = balance
                .normalised
                .zip(normalised)
                .map(|(all, own)| all + own);
            meters.push(MeterBalance {
                days: sum.days,
                measured: sum.measured,
                filled_days: missing,
                filled: fill(sum.measured),
                normalised,
                ..member
            });
        }
        Balance::new(zones, meters)
    }
}

/// Factor of gas at low pressure and a temperature, ideal: Z differs from Z₀ by less than 0.03 %.
///
/// # Source
/// domain.md §3.7: at 5 °C and 2.5 kPa 1.0799.
fn ambient_factor(reference: ReferenceConditions, atmosphere_kpa: f64, temperature_c: f64) -> f64 {
    conversion_factor(
        AbsPressure(atmosphere_kpa + LOW_PRESSURE_GAUGE_KPA),
        Temperature(temperature_c),
        1.0,
        reference,
    )
}

#[cfg(test)]
mod tests;
