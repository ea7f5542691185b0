//! V20: the pressure steps by one atmosphere from a reading to the next: gauge said for absolute,
//! or absolute for gauge.
//!
//! Flagged when a step is the atmosphere of the meter's zone, or the standard one of 101.325 kPa that
//! devices are delivered with, give or take 2 kPa, up or down, and the readings two before and two after
//! it lie within 2 kPa of their neighbours: a network that swings is not judged.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::meter::Meter;
use crate::domain::reading::{Item, Reading};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&STEP];

static STEP: Sentence = Sentence {
    rule: RuleId::V20,
    key: "step",
    zh: "{item}由 {from:1} 变为 {to:1},恰差一个大气压;表压与绝压可能混淆",
    en: "the {item} went from {from:1} to {to:1}, by one atmosphere; gauge and absolute pressure may have been mixed up",
};

const STANDARD_KPA: f64 = 101.325;
const TOLERANCE_KPA: f64 = 2.0;

/// Checks the readings of a day in time order; a finding for each item and step. The atmosphere is that of
/// the meter's zone, kPa absolute.
pub fn check(meter: &Meter, readings: &[Reading], atmosphere_kpa: f64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for item in [Item::PressureAbs, Item::PressureGauge] {
        let samples: Vec<(&Reading, f64)> = readings
            .iter()
            .filter_map(|reading| Some((reading, reading.float(item)?)))
            .collect();
        for window in samples.windows(4) {
            let [(_, a), (_, b), (reading, c), (_, d)] = window else {
                continue;
            };
            let is_steady = (a - b).abs() <= TOLERANCE_KPA && (c - d).abs() <= TOLERANCE_KPA;
            let step = (c - b).abs();
            let is_atmosphere = [atmosphere_kpa, STANDARD_KPA]
                .iter()
                .any(|atmosphere| (step - atmosphere).abs() <= TOLERANCE_KPA);
            if is_steady && is_atmosphere {
                let args = [
                    Arg::term("item", item.key()),
                    Arg::number("from", *b, Unit::Kpa),
                    Arg::number("to", *c, Unit::Kpa),
                ];
                let at = reading.sampled_at;
                findings.push(Finding::new(&STEP, Severity::Suspect, &meter.id, at, args));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::{at, meter, total};

    fn check(meter: &Meter, readings: &[Reading]) -> Vec<Finding> {
        super::check(meter, readings, 101.0)
    }

    fn readings(kpa: &[f64]) -> Vec<Reading> {
        (0..)
            .zip(kpa)
            .map(|(hour, kpa)| {
                let mut reading = total(hour, hour);
                reading
                    .values
                    .push((Item::PressureAbs, ItemValue::Float(*kpa)));
                reading
            })
            .collect()
    }

    #[test]
    fn a_step_of_one_atmosphere_between_steady_pressures_is_found() {
        let down = check(&meter(), &readings(&[401.0, 400.5, 300.0, 300.2, 300.1]));
        assert_eq!(down.len(), 1);
        assert_eq!(down[0].at, at(2));
        assert!(
            down[0]
                .message_en()
                .starts_with("the absolute pressure went from 400.5 kPa to 300.0 kPa")
        );
        assert_eq!(
            check(&meter(), &readings(&[300.0, 300.0, 401.3, 401.3])).len(),
            1
        );
    }

    #[test]
    fn other_steps_and_swinging_pressures_are_not() {
        assert_eq!(
            check(&meter(), &readings(&[400.0, 400.0, 296.6, 296.6])),
            []
        );
        assert_eq!(
            check(&meter(), &readings(&[450.0, 400.0, 298.7, 260.0])),
            []
        );
        assert_eq!(check(&meter(), &readings(&[400.0, 298.7])), []);
    }

    #[test]
    fn an_atmosphere_is_that_of_the_zone_or_the_one_devices_come_with() {
        let found = |step: f64, atmosphere_kpa| {
            let readings = readings(&[400.0, 400.0, 400.0 - step, 400.0 - step]);
            super::check(&meter(), &readings, atmosphere_kpa).len()
        };
        // In Xining; at the sea a step of 77 kPa is the network's.
        assert_eq!([found(77.3, 77.3), found(101.325, 77.3)], [1, 1]);
        assert_eq!([found(77.3, 101.325), found(90.0, 77.3)], [0, 0]);
    }
}
