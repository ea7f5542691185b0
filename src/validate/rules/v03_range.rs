//! V03: telemetry outside what gas in a city's pipes can be.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::reading::{Item, Reading};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&BETWEEN, &AT_LEAST];

static BETWEEN: Sentence = Sentence {
    rule: RuleId::V03,
    key: "between",
    zh: "{item}为 {value},应在 {least} 至 {greatest} 之间",
    en: "the {item} is {value}, expected {least} to {greatest}",
};

static AT_LEAST: Sentence = Sentence {
    rule: RuleId::V03,
    key: "at_least",
    zh: "{item}为 {value},应不小于 {least}",
    en: "the {item} is {value}, expected {least} or more",
};

/// Item, least and greatest value. Temperature and Z are domain.md §4.3's; the pressures span what
/// a city network has, from a leaking vacuum pump to a 10,000 kPa trunk line; flow is never negative.
const RANGES: [(Item, f64, f64); 7] = [
    (Item::FlowStd, 0.0, f64::INFINITY),
    (Item::FlowWork, 0.0, f64::INFINITY),
    (Item::Temperature, -30.0, 60.0),
    (Item::PressureAbs, 50.0, 10_000.0),
    (Item::PressureGauge, -50.0, 10_000.0),
    (Item::ZFactor, 0.7, 1.05),
    (Item::ConversionFactor, 0.5, 120.0),
];

const fn unit_of(item: Item) -> Unit {
    match item {
        Item::FlowStd | Item::FlowWork => Unit::M3PerHour,
        Item::Temperature => Unit::Celsius,
        Item::PressureAbs | Item::PressureGauge => Unit::Kpa,
        _ => Unit::One,
    }
}

/// Whether a value can be: within its item's range, both limits included. Items without a range may have
/// any value.
pub(in crate::validate) fn is_plausible(item: Item, value: f64) -> bool {
    let of_item = RANGES.iter().find(|(ranged, ..)| *ranged == item);
    of_item.is_none_or(|(_, least, greatest)| (*least..=*greatest).contains(&value))
}

/// Checks one reading; a finding for each item outside its range.
pub fn check(reading: &Reading) -> Vec<Finding> {
    RANGES
        .iter()
        .filter_map(|(item, least, greatest)| {
            let value = reading.float(*item)?;
            if is_plausible(*item, value) {
                return None;
            }
            let mut args = vec![
                Arg::term("item", item.key()),
                Arg::number("value", value, unit_of(*item)),
                Arg::number("least", *least, unit_of(*item)),
            ];
            let sentence = if greatest.is_finite() {
                args.push(Arg::number("greatest", *greatest, unit_of(*item)));
                &BETWEEN
            } else {
                &AT_LEAST
            };
            let (meter, at) = (&reading.meter, reading.sampled_at);
            Some(Finding::new(sentence, Severity::Suspect, meter, at, args))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::total;

    fn with(item: Item, value: f64) -> Reading {
        let mut reading = total(1, 5);
        reading.values.push((item, ItemValue::Float(value)));
        reading
    }

    #[test]
    fn the_limits_belong_to_the_range() {
        for (item, least, greatest) in RANGES {
            assert_eq!(check(&with(item, least)), []);
            assert_eq!(check(&with(item, least - 0.01)).len(), 1, "{item:?}");
            if greatest.is_finite() {
                assert_eq!(check(&with(item, greatest)), []);
                assert_eq!(check(&with(item, greatest + 0.01)).len(), 1, "{item:?}");
            }
        }
    }

    #[test]
    fn a_reading_without_telemetry_has_nothing_to_find() {
        assert_eq!(check(&total(1, 5)), []);
    }

    #[test]
    fn the_message_names_item_value_and_range() {
        let found = check(&with(Item::Temperature, 85.0));
        assert_eq!(
            found[0].message_en(),
            "the temperature is 85 °C, expected -30 °C to 60 °C"
        );
    }
}
