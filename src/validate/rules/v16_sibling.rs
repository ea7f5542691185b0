//! V16: a value is missing beside those it belongs to.
//!
//! Two families: standard and working total; pressure and temperature. A reading that has one of
//! a family and not the other is found if more than half of the day's readings that have the one
//! have the other too: a device that never says it is not at fault.

use chrono::{DateTime, Utc};

use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::meter::Meter;
use crate::domain::reading::{Item, Reading};

type Has = fn(&Reading) -> bool;

const FAMILIES: [[(&str, Has); 2]; 2] = [
    [
        ("the standard total", |r| r.value(Item::TotalStd).is_some()),
        ("the working total", |r| r.value(Item::TotalWork).is_some()),
    ],
    [
        ("the pressure", |r| {
            r.value(Item::PressureAbs).is_some() || r.value(Item::PressureGauge).is_some()
        }),
        ("the temperature", |r| r.value(Item::Temperature).is_some()),
    ],
];

/// How the intervals of a working total that begin on a day were converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::validate) struct Conversions {
    by_state: u32,
    fixed: u32,
    first_fixed_at: Option<DateTime<Utc>>,
}

impl Conversions {
    pub(in crate::validate) fn add(&mut self, at: DateTime<Utc>, is_by_state: bool) {
        if is_by_state {
            self.by_state += 1;
        } else {
            self.fixed += 1;
            self.first_fixed_at = self.first_fixed_at.or(Some(at));
        }
    }
}

/// Intervals of a day that had to be converted with the fixed factor, among others that had not.
pub(in crate::validate) fn fixed_factor(meter: &Meter, of_day: &Conversions) -> Option<Finding> {
    let at = of_day.first_fixed_at.filter(|_| of_day.by_state > 0)?;
    Some(Finding {
        rule: RuleId::V16,
        severity: Severity::Info,
        meter: meter.id.clone(),
        at,
        message: format!(
            "{} of {} intervals of the day have no pressure and temperature to convert them by; \
             the fixed factor {} was used",
            of_day.fixed,
            of_day.fixed + of_day.by_state,
            meter.fixed_factor
        ),
    })
}

/// Checks the readings of a day; one finding for each family and missing member, at the first
/// reading without it.
pub fn check(meter: &Meter, readings: &[Reading]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for [a, b] in FAMILIES {
        for (present, absent) in [(a, b), (b, a)] {
            let (mut have, mut lack) = (0_usize, 0_usize);
            let mut first = None;
            for reading in readings.iter().filter(|reading| present.1(reading)) {
                if absent.1(reading) {
                    have += 1;
                } else {
                    lack += 1;
                    first = first.or(Some(reading));
                }
            }
            let Some(first) = first.filter(|_| have > lack) else {
                continue;
            };
            findings.push(Finding {
                rule: RuleId::V16,
                severity: Severity::Info,
                meter: meter.id.clone(),
                at: first.sampled_at,
                message: format!(
                    "{} is there and {} is not in {lack} of {} readings of the day",
                    present.0,
                    absent.0,
                    have + lack
                ),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::{at, meter, total};

    fn readings(with_work: &[bool]) -> Vec<Reading> {
        (0..)
            .zip(with_work)
            .map(|(hour, has)| {
                let mut reading = total(hour, hour);
                if *has {
                    reading.values.push((Item::TotalWork, ItemValue::Exact(1)));
                }
                reading
            })
            .collect()
    }

    #[test]
    fn a_total_missing_once_is_found_where_it_is_missing() {
        let found = check(&meter(), &readings(&[true, true, false]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, at(2));
        assert_eq!(
            found[0].message,
            "the standard total is there and the working total is not in 1 of 3 readings of the day"
        );
    }

    #[test]
    fn what_is_missing_as_often_as_not_is_the_devices_way() {
        assert_eq!(check(&meter(), &readings(&[true, false])), []);
        assert_eq!(check(&meter(), &readings(&[false; 5])), []);
        assert_eq!(check(&meter(), &readings(&[true; 5])), []);
    }
}
