//! V20: the pressure steps by one atmosphere from a reading to the next: gauge said for absolute,
//! or absolute for gauge.
//!
//! Flagged when a step is 101.325 kPa give or take 2 kPa, up or down, and the readings two before
//! and two after it lie within 2 kPa of their neighbours: a network that swings is not judged.

use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::meter::Meter;
use crate::domain::reading::{Item, Reading};

const ATMOSPHERE_KPA: f64 = 101.325;
const TOLERANCE_KPA: f64 = 2.0;

/// Checks the readings of a day in time order; a finding for each item and step.
pub fn check(meter: &Meter, readings: &[Reading]) -> Vec<Finding> {
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
            let is_atmosphere = ((c - b).abs() - ATMOSPHERE_KPA).abs() <= TOLERANCE_KPA;
            if is_steady && is_atmosphere {
                findings.push(Finding {
                    rule: RuleId::V20,
                    severity: Severity::Suspect,
                    meter: meter.id.clone(),
                    at: reading.sampled_at,
                    message: format!(
                        "{} went from {b:.1} to {c:.1}, by one atmosphere; gauge and absolute \
                         pressure may have been mixed up",
                        item.key()
                    ),
                });
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
                .message
                .starts_with("pressure_abs_kpa went from 400.5 to 300.0")
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
}
