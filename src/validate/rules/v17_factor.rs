//! V17: the conversion factor a corrector reports is not the one its own measurements give.
//!
//! C = P / Pb · (Tb + 273.15) / (T + 273.15) · Zb / Z, with the base the device reports or the reference
//! conditions of the company. To a gauge pressure the atmosphere of the meter's zone is added. Flagged when |C reported / C computed − 1| > `v17_tolerance`. Where the device
//! does not report Z, what gas can deviate from the ideal at that pressure is allowed in addition:
//! 0.3 % for each 100 kPa.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::meter::Meter;
use crate::domain::quantity::ReferenceConditions;
use crate::domain::reading::{Item, Reading};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&FACTOR];

static FACTOR: Sentence = Sentence {
    rule: RuleId::V17,
    key: "factor",
    zh: "上报修正系数 {reported:4} 与按压力、温度计算的 {computed:4} 相差 {off:2},允许 {allowed:2};当日 {readings} 条读数",
    en: "the reported conversion factor {reported:4} differs by {off:2} from {computed:4}, which pressure and temperature give; {allowed:2} is allowed; in {readings} reading(s) of the day",
};

const KELVIN: f64 = 273.15;
/// Deviation of gas from the ideal for each kPa, natural gas above 0 °C.
const REAL_PER_KPA: f64 = 0.003 / 100.0;
/// Z at base conditions, where the device reports only Z: between this and 1.
const Z_BASE: f64 = 0.998;

/// Reported and computed factor, and how far they may be apart; None without the facts.
fn factors(
    reading: &Reading,
    atmosphere_kpa: f64,
    reference: ReferenceConditions,
    tolerance: f64,
) -> Option<(f64, f64, f64)> {
    let reported = reading.float(Item::ConversionFactor)?;
    let pressure = reading
        .float(Item::PressureAbs)
        .or_else(|| Some(reading.float(Item::PressureGauge)? + atmosphere_kpa))?;
    let temperature = reading.float(Item::Temperature)? + KELVIN;
    let base = |item, of_company| reading.float(item).unwrap_or(of_company);
    let base_pressure = base(Item::BasePressure, reference.pressure_kpa);
    let base_temperature = base(Item::BaseTemperature, reference.temperature_c) + KELVIN;
    let ideal = pressure / base_pressure * base_temperature / temperature;
    let (computed, allowed) = match (reading.float(Item::ZFactor), reading.float(Item::ZBase)) {
        (Some(z), Some(base)) => (ideal * base / z, tolerance),
        (Some(z), None) => (ideal / z, tolerance + (1.0 - Z_BASE)),
        (None, _) => (ideal, tolerance + REAL_PER_KPA * pressure),
    };
    let is_usable = computed.is_finite() && computed > 0.0 && reported > 0.0;
    is_usable.then_some((reported, computed, allowed))
}

/// Checks readings in time order; one finding a day, at the first reading that is off. The atmosphere is
/// that of the meter's zone, kPa absolute.
pub fn check(
    meter: &Meter,
    readings: &[Reading],
    atmosphere_kpa: f64,
    reference: ReferenceConditions,
    tolerance: f64,
) -> Option<Finding> {
    let is_off = |(reported, computed, allowed): (f64, f64, f64)| {
        (reported / computed - 1.0).abs() > allowed
    };
    let mut off = readings
        .iter()
        .filter_map(|reading| {
            let factors = factors(reading, atmosphere_kpa, reference, tolerance)?;
            Some((reading, factors))
        })
        .filter(|(_, factors)| is_off(*factors));
    let (first, (reported, computed, allowed)) = off.next()?;
    let args = [
        Arg::number("reported", reported, Unit::One),
        Arg::number("computed", computed, Unit::One),
        Arg::number("off", (reported / computed - 1.0) * 100.0, Unit::Percent),
        Arg::number("allowed", allowed * 100.0, Unit::Percent),
        Arg::count("readings", off.count() + 1, Unit::One),
    ];
    let at = first.sampled_at;
    Some(Finding::new(
        &FACTOR,
        Severity::Suspect,
        &meter.id,
        at,
        args,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::{at, meter, total};

    fn check(meter: &Meter, readings: &[Reading], tolerance: f64) -> Option<Finding> {
        super::check(
            meter,
            readings,
            101.325,
            ReferenceConditions::CHINA,
            tolerance,
        )
    }

    fn with(factor: f64) -> Reading {
        let mut reading = total(3, 5);
        for (item, value) in [
            (Item::PressureAbs, 303.975),
            (Item::Temperature, 20.0),
            (Item::ZFactor, 1.0),
            (Item::ZBase, 1.0),
            (Item::ConversionFactor, factor),
        ] {
            reading.values.push((item, ItemValue::Float(value)));
        }
        reading
    }

    #[test]
    fn half_a_percent_passes_and_more_does_not() {
        assert_eq!(check(&meter(), &[with(3.014_9)], 0.005), None);
        let finding = check(&meter(), &[with(3.0), with(3.06), with(3.06)], 0.005).unwrap();
        assert_eq!(finding.at, at(3));
        assert_eq!(
            finding.message_en(),
            "the reported conversion factor 3.0600 differs by 2.00 % from 3.0000, which pressure \
             and temperature give; 0.50 % is allowed; in 2 reading(s) of the day"
        );
    }

    #[test]
    fn without_z_gas_may_deviate_from_the_ideal() {
        let mut reading = with(3.04);
        reading
            .values
            .retain(|(item, _)| !matches!(item, Item::ZFactor | Item::ZBase));
        // 0.5 % + 0.3 % · 3.04 = 1.41 %.
        assert_eq!(check(&meter(), std::slice::from_ref(&reading), 0.005), None);
        assert!(check(&meter(), &[with(3.04)], 0.005).is_some());
    }

    /// Xining: 200 kPa gauge over 77.3 kPa of atmosphere at 15 °C give 2.784; over 101.325 kPa they would
    /// give 3.025, 8 % more.
    #[test]
    fn a_gauge_pressure_stands_on_the_atmosphere_of_its_zone() {
        let mut reading = total(3, 5);
        for (item, value) in [
            (Item::PressureGauge, 200.0),
            (Item::Temperature, 15.0),
            (Item::ConversionFactor, 2.784),
        ] {
            reading.values.push((item, ItemValue::Float(value)));
        }
        let readings = [reading];
        let found = |kpa, reference| super::check(&meter(), &readings, kpa, reference, 0.005);
        assert_eq!(found(77.3, ReferenceConditions::CHINA), None);
        let at_the_sea = found(101.325, ReferenceConditions::CHINA).unwrap();
        let said = at_the_sea.message_en();
        assert!(said.contains("from 3.0254"), "{said}");
        // A company that trades at 0 °C expects 7 % less of a device that does not tell its base.
        let at_zero = ReferenceConditions {
            temperature_c: 0.0,
            ..ReferenceConditions::CHINA
        };
        assert!(found(77.3, at_zero).is_some());
    }

    #[test]
    fn a_reading_without_the_facts_is_passed_over() {
        assert_eq!(check(&meter(), &[total(1, 5)], 0.005), None);
        let mut frozen = with(3.0);
        frozen
            .values
            .push((Item::BasePressure, ItemValue::Float(0.0)));
        assert_eq!(check(&meter(), &[frozen], 0.005), None);
    }
}
