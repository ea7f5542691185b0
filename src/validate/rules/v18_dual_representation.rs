//! V18: the same total in two representations must agree within the coarser one's resolution.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::quantity::UNITS_PER_M3;
use crate::domain::reading::{Item, Reading};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&TWO];

static TWO: Sentence = Sentence {
    rule: RuleId::V18,
    key: "two",
    zh: "{total}在一种表示中为 {exact},在另一种中为 {second};采用精确值",
    en: "the {total} is {exact} in one representation and {second} in the other; the exact one is used",
};

/// Difference to the exact total beyond which the second representation contradicts it, m³.
///
/// The second is an f32 in every map we know: 24 bits of mantissa, so above 16 777 216 m³ it counts
/// in steps of 2 m³. Two steps are allowed, one for rounding and one for the moment between the two
/// registers, and never less than 0.01 m³.
fn tolerance_m3(total_m3: f64) -> f64 {
    (total_m3.abs() * f64::from(f32::EPSILON) * 2.0).max(0.01)
}

/// The totals that a device may say twice.
const PAIRS: [(Item, Item); 2] = [
    (Item::TotalStd, Item::TotalStdSecond),
    (Item::TotalWork, Item::TotalWorkSecond),
];

/// The first total of a reading whose two representations contradict each other.
fn contradiction(reading: &Reading) -> Option<(Item, i64, f64)> {
    PAIRS.into_iter().find_map(|(exact, second)| {
        let units = reading.exact(exact)?;
        let second = reading.float(second)?;
        let m3 = units as f64 / UNITS_PER_M3 as f64;
        ((m3 - second).abs() > tolerance_m3(m3)).then_some((exact, units, second))
    })
}

/// Whether two representations of a total contradict each other.
pub fn differs(reading: &Reading) -> bool {
    contradiction(reading).is_some()
}

/// Checks one reading.
pub fn check(reading: &Reading) -> Option<Finding> {
    let (item, units, second) = contradiction(reading)?;
    let args = [
        Arg::term("total", item.key()),
        Arg::volume("exact", units),
        Arg::number("second", second, Unit::M3),
    ];
    let (meter, at) = (&reading.meter, reading.sampled_at);
    Some(Finding::new(&TWO, Severity::Suspect, meter, at, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quantity::StdVolume;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::total;

    fn both(exact_m3: &str, second: f64) -> Reading {
        let mut reading = total(1, 0);
        let units = exact_m3.parse::<StdVolume>().unwrap().units();
        reading.values = vec![
            (Item::TotalStd, ItemValue::Exact(units)),
            (Item::TotalStdSecond, ItemValue::Float(second)),
        ];
        reading
    }

    #[test]
    fn the_published_example_contradicts_itself() {
        // domain.md §3.4: f32 12 345 686 beside BCD 12 285 686.4222.
        let finding = check(&both("12285686.4222", 12_345_686.0)).unwrap();
        assert_eq!(finding.severity, Severity::Suspect);
        assert!(finding.message_en().contains("12285686.4222 m³"));
    }

    #[test]
    fn the_working_total_is_held_against_its_own_second() {
        let mut reading = both("1243.1116", 1_243.111_6);
        let units = "12285686.4222".parse::<StdVolume>().unwrap().units();
        reading.values.extend([
            (Item::TotalWork, ItemValue::Exact(units)),
            (Item::TotalWorkSecond, ItemValue::Float(12_345_686.0)),
        ]);
        let finding = check(&reading).unwrap();
        assert!(
            finding
                .message_en()
                .starts_with("the working total is 12285686.4222 m³"),
            "{}",
            finding.message_en()
        );
    }

    #[test]
    fn the_resolution_of_a_float_is_no_contradiction() {
        assert_eq!(check(&both("1243.1116", f64::from(1_243.111_6_f32))), None);
        assert_eq!(check(&both("12345686.4222", 12_345_686.0)), None);
        assert_eq!(check(&both("100.0099", 100.0)), None);
        assert!(check(&both("100.0300", 100.0)).is_some());
    }

    #[test]
    fn one_representation_alone_has_nothing_to_contradict() {
        assert_eq!(check(&total(1, 5)), None);
    }
}
