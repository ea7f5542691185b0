//! The factor of one interval of a working total, by the pressure and temperature at its ends.
//!
//! A zone's gas has a dated quality; each quality gives a converter. K is computed at the state rounded
//! to 1 kPa and 0.5 K and kept, since Z hardly changes within such a step (at 400 kPa less than 6e-5)
//! while the ideal part, which does, is computed from the state itself. What is kept is a function of
//! the rounded state alone, so that the order of asking cannot matter.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, Utc};

use super::{ConvertError, Converter, GasState, ZMethod};
use crate::domain::calendar::GasDayClock;
use crate::domain::quantity::ReferenceConditions;
use crate::domain::reading::{Alarm, Item, Reading};
use crate::domain::source::{GasQuality, Zone};
use crate::validate::rules::v03_range;

/// Steps of the state at which K is computed.
const PRESSURE_STEP_KPA: f64 = 1.0;
const TEMPERATURE_STEP_K: f64 = 0.5;
/// States kept; distribution pressure and weather need a few thousand.
const KEPT_MAX: usize = 100_000;
/// Decimal places of a factor: it multiplies whole numbers, so that the result is the same everywhere.
const FACTOR_SCALE: f64 = 1e9;
/// Factors outside are slips of a device, not states of a gas.
const FACTOR_MIN: f64 = 0.5;
const FACTOR_MAX: f64 = 150.0;

/// Pressure and temperature as a reading has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeteredState {
    /// kPa; above the atmosphere if `is_gauge`, else absolute.
    pub pressure_kpa: f64,
    /// Gauge pressure (表压).
    pub is_gauge: bool,
    /// °C.
    pub temperature_c: f64,
}

impl MeteredState {
    /// What a reading says; absolute pressure wins over gauge pressure. None where either is not said or
    /// cannot be [`believed`].
    pub fn of(reading: &Reading) -> Option<Self> {
        let pressure = pressure_item(reading);
        Some(Self {
            pressure_kpa: believed(reading, pressure)?,
            is_gauge: pressure == Item::PressureGauge,
            temperature_c: believed(reading, Item::Temperature)?,
        })
    }

    /// Whether a reading says a pressure or a temperature that cannot be [`believed`], or the alarm of
    /// either sensor: what was converted by them, there or here, is in doubt.
    pub fn is_doubted(reading: &Reading) -> bool {
        [pressure_item(reading), Item::Temperature]
            .into_iter()
            .any(|item| {
                let is_said = reading.float(item).is_some();
                has_alarm(reading, item) || (is_said && believed(reading, item).is_none())
            })
    }

    /// A total order, so that of several states of one instant always the same one is taken.
    pub fn order(a: Option<Self>, b: Option<Self>) -> Ordering {
        let key = |state: Option<Self>| {
            state.map(|s| {
                (
                    s.is_gauge,
                    s.pressure_kpa.to_bits(),
                    s.temperature_c.to_bits(),
                )
            })
        };
        key(a).cmp(&key(b))
    }
}

/// A pressure or temperature of a reading, unless it is outside V03's range or stands under the device's own
/// alarm of that sensor (V25).
pub fn believed(reading: &Reading, item: Item) -> Option<f64> {
    let value = reading.float(item)?;
    (v03_range::is_plausible(item, value) && !has_alarm(reading, item)).then_some(value)
}

/// The pressure that counts.
pub fn pressure_item(reading: &Reading) -> Item {
    match reading.float(Item::PressureAbs) {
        Some(_) => Item::PressureAbs,
        None => Item::PressureGauge,
    }
}

/// Whether the device itself says that the sensor behind an item has failed.
fn has_alarm(reading: &Reading, item: Item) -> bool {
    match item {
        Item::PressureAbs | Item::PressureGauge => reading.alarms.has(Alarm::PressureSensor),
        Item::Temperature => reading.alarms.has(Alarm::TemperatureSensor),
        _ => false,
    }
}

/// Converts intervals of the meters of one zone.
#[derive(Debug)]
pub struct ZoneConversion {
    atmosphere_kpa: f64,
    /// In order of the instant from which each holds; before the first the gas is ideal.
    qualities: Vec<(DateTime<Utc>, Gas)>,
    ideal: Gas,
}

#[derive(Debug)]
struct Gas {
    converter: Option<Converter>,
    kept: RwLock<BTreeMap<(i32, i32), Option<f64>>>,
}

impl ZoneConversion {
    /// For a zone, by the gas qualities that are its own. A quality that its method does not cover counts
    /// as none: the gas is converted as an ideal one, as before the first.
    pub fn new(
        zone: Option<&Zone>,
        qualities: &[GasQuality],
        clock: GasDayClock,
        reference: ReferenceConditions,
    ) -> Self {
        let mut dated: Vec<&GasQuality> = qualities
            .iter()
            .filter(|quality| zone.is_some_and(|zone| zone.id == quality.zone))
            .collect();
        dated.sort_by_key(|quality| quality.from_on);
        Self {
            atmosphere_kpa: zone.map_or(reference.pressure_kpa, |zone| zone.atmosphere_kpa),
            qualities: dated
                .into_iter()
                .map(|quality| {
                    let from = clock.start_of(crate::domain::calendar::GasDay(quality.from_on));
                    (
                        from,
                        Gas::new(
                            by_quality(quality, reference)
                                .ok()
                                .or_else(|| ideal(reference)),
                        ),
                    )
                })
                .collect(),
            ideal: Gas::new(ideal(reference)),
        }
    }

    /// `V_std/V_work` of a state at an instant, in parts of [`Self::scale`]; none if no gas is like that.
    #[expect(clippy::cast_possible_truncation, reason = "at most 150e9")]
    pub fn factor(&self, at: DateTime<Utc>, state: MeteredState) -> Option<i64> {
        let atmosphere = if state.is_gauge {
            self.atmosphere_kpa
        } else {
            0.0
        };
        let state = GasState::celsius(state.pressure_kpa + atmosphere, state.temperature_c);
        let known = self.qualities.partition_point(|(from, _)| *from <= at);
        let gas = known
            .checked_sub(1)
            .and_then(|index| self.qualities.get(index))
            .map_or(&self.ideal, |(_, gas)| gas);
        let factor = gas.factor(state)?;
        (FACTOR_MIN..=FACTOR_MAX)
            .contains(&factor)
            .then(|| (factor * FACTOR_SCALE).round() as i64)
    }

    /// What a factor of 1 is.
    #[expect(clippy::cast_possible_truncation, reason = "1e9")]
    pub const fn scale() -> i64 {
        FACTOR_SCALE as i64
    }
}

fn by_quality(
    quality: &GasQuality,
    reference: ReferenceConditions,
) -> Result<Converter, ConvertError> {
    Converter::new(ZMethod::of_gas(quality)?, reference)
}

fn ideal(reference: ReferenceConditions) -> Option<Converter> {
    Converter::new(ZMethod::Ideal, reference).ok()
}

impl Gas {
    fn new(converter: Option<Converter>) -> Self {
        Self {
            converter,
            kept: RwLock::default(),
        }
    }

    fn factor(&self, state: GasState) -> Option<f64> {
        let converter = self.converter.as_ref()?;
        let ideal = converter.ideal(state)?;
        Some(ideal * self.k(converter, state)?)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a float saturates; such a state is refused by the method"
    )]
    fn k(&self, converter: &Converter, state: GasState) -> Option<f64> {
        let key = (
            (state.pressure_kpa / PRESSURE_STEP_KPA).round() as i32,
            (state.temperature_k / TEMPERATURE_STEP_K).round() as i32,
        );
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(k) = kept.get(&key) {
            return *k;
        }
        drop(kept);
        let rounded = GasState {
            pressure_kpa: f64::from(key.0) * PRESSURE_STEP_KPA,
            temperature_k: f64::from(key.1) * TEMPERATURE_STEP_K,
        };
        let k = converter
            .convert(rounded)
            .ok()
            .map(|conversion| conversion.k);
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.insert(key, k);
        }
        k
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::GasDay;

    fn zone() -> Zone {
        Zone {
            id: "z".into(),
            name: "z".into(),
            weather_station: "s".into(),
            atmosphere_kpa: 100.0,
            pipe_volume_m3: 0.0,
        }
    }

    fn quality(from_on: &str) -> GasQuality {
        GasQuality {
            zone: "z".into(),
            from_on: from_on.parse().unwrap(),
            calorific_value_mjm3: 40.66,
            relative_density: 0.581,
            co2: 0.006,
            h2: 0.0,
            composition: None,
        }
    }

    fn conversion() -> ZoneConversion {
        ZoneConversion::new(
            Some(&zone()),
            &[quality("2026-11-01")],
            GasDayClock::default(),
            ReferenceConditions::CHINA,
        )
    }

    fn at(day: &str) -> DateTime<Utc> {
        GasDayClock::default().start_of(GasDay(day.parse().unwrap()))
    }

    /// Table 4 of the domain reference, §3.7: 300 kPa gauge, 10 °C, 100 kPa of atmosphere.
    #[test]
    fn the_worked_example_by_the_gas_of_the_zone() {
        let state = MeteredState {
            pressure_kpa: 300.0,
            is_gauge: true,
            temperature_c: 10.0,
        };
        let factor = conversion().factor(at("2026-11-21"), state).unwrap() as f64 / 1e9;
        assert!((factor / 4.115_995 - 1.0).abs() < 1e-4, "{factor}");
        // Before the first quality the gas is ideal.
        let before = conversion().factor(at("2026-10-31"), state).unwrap() as f64 / 1e9;
        assert!((before / 4.087_114 - 1.0).abs() < 1e-6, "{before}");
    }

    /// Table 4 of the domain reference, §3.7, but for the rounding of the state.
    #[test]
    fn a_whole_analysis_is_converted_by_aga8() {
        let gas = "CH4:0.965;N2:0.003;CO2:0.006;C2H6:0.018;C3H8:0.0045;iC4H10:0.001;nC4H10:0.001;\
                   iC5H12:0.0005;nC5H12:0.0003;C6H14:0.0007";
        // What SGERG-88 would be told is of another gas.
        let quality = GasQuality {
            relative_density: 0.75,
            composition: Some(gas.parse().unwrap()),
            ..quality("2026-11-01")
        };
        let conversion = ZoneConversion::new(
            Some(&zone()),
            &[quality],
            GasDayClock::default(),
            ReferenceConditions::CHINA,
        );
        for (pressure_kpa, temperature_c, expected, off_max) in [
            (400.0, 10.0, 4.115_995, 3e-5),
            (3_901.325, 15.0, 42.567_859, 3e-4),
        ] {
            let state = MeteredState {
                pressure_kpa,
                is_gauge: false,
                temperature_c,
            };
            let factor = conversion.factor(at("2026-11-21"), state).unwrap() as f64 / 1e9;
            assert!((factor / expected - 1.0).abs() < off_max, "{factor}");
        }
    }

    #[test]
    fn rounding_the_state_for_k_costs_less_than_a_ten_thousandth() {
        let (conversion, gas) = (conversion(), quality("2026-11-01"));
        let exact = by_quality(&gas, ReferenceConditions::CHINA).unwrap();
        for step in 0..500 {
            let step = f64::from(step);
            let state = MeteredState {
                pressure_kpa: 101.0 + step * 1.037,
                is_gauge: false,
                temperature_c: -15.0 + step * 0.113,
            };
            let ours = conversion.factor(at("2026-11-21"), state).unwrap() as f64 / 1e9;
            let theirs = exact
                .convert(GasState::celsius(state.pressure_kpa, state.temperature_c))
                .unwrap()
                .factor;
            assert!(
                (ours / theirs - 1.0).abs() < 1e-4,
                "{state:?}: {ours} {theirs}"
            );
        }
    }

    #[test]
    fn what_is_no_state_of_a_gas_has_no_factor() {
        for (pressure_kpa, temperature_c) in [(0.0, 10.0), (f64::NAN, 10.0), (400.0, -300.0)] {
            let state = MeteredState {
                pressure_kpa,
                is_gauge: false,
                temperature_c,
            };
            assert_eq!(conversion().factor(at("2026-11-21"), state), None);
        }
    }
}
