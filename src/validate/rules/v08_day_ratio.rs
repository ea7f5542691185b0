//! V08: a day that is far from the day before, of customers who plan their use.
//!
//! Flagged when day / day before < `v08_low` or > `v08_high`; the limits themselves pass. Only
//! complete days of the same type (working day, weekend, holiday) are compared, days the customer
//! announced are not, nor are households, whose use follows the weather.

use crate::domain::customer::CustomerClass;
use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::validate::day::{DayFacts, volume_of};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&RATIO];

static RATIO: Sentence = Sentence {
    rule: RuleId::V08,
    key: "ratio",
    zh: "当日 {day:0},前一日 {last:0},为其 {ratio:2} 倍,应在 {low} 至 {high} 之间",
    en: "{day:0} after {last:0} the day before is {ratio:2} times as much, expected {low} to {high}",
};

/// Checks a complete day.
pub fn check(facts: &DayFacts<'_>) -> Option<Finding> {
    let plans = matches!(
        facts.customer?.class,
        CustomerClass::Industrial
            | CustomerClass::VehicleCng
            | CustomerClass::VehicleLng
            | CustomerClass::DistributedEnergy
            | CustomerClass::Power
            | CustomerClass::Wheeling
    );
    let before = facts.history.last()?;
    let is_alike = facts.curve.day.days_since(before.day) == 1
        && facts.type_of(before) == facts.type_of(facts.curve);
    if !plans || !is_alike || facts.is_announced(before) || facts.is_announced(facts.curve) {
        return None;
    }
    let (day, last) = (volume_of(facts.curve)?, volume_of(before)?);
    let limits = facts.limits;
    if day.max(last) < limits.day_floor_m3 || last <= 0.0 {
        return None;
    }
    let ratio = day / last;
    if (limits.v08_low..=limits.v08_high).contains(&ratio) {
        return None;
    }
    let args = [
        Arg::number("day", day, Unit::M3),
        Arg::number("last", last, Unit::M3),
        Arg::number("ratio", ratio, Unit::One),
        Arg::number("low", limits.v08_low, Unit::One),
        Arg::number("high", limits.v08_high, Unit::One),
    ];
    Some(facts.finding(&RATIO, Severity::Info, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filing::ChangeKind;
    use crate::validate::rules::testing::Case;

    fn friday(hour_m3: f64, before_m3: f64) -> Case {
        Case::flat(hour_m3)
            .after_flat(&[before_m3])
            .on("2026-11-20")
    }

    #[test]
    fn half_as_much_again_passes_and_more_does_not() {
        // A Friday after a Thursday.
        let case = |hour_m3| friday(hour_m3, 20.0);
        assert_eq!(check(&case(30.0).facts()), None);
        assert_eq!(
            check(&case(30.2).facts()).unwrap().message_en(),
            "725 m³ after 480 m³ the day before is 1.51 times as much, expected 0.667 to 1.5"
        );
        assert_eq!(check(&case(13.4).facts()), None);
        assert!(check(&case(13.3).facts()).is_some());
        assert!(check(&case(0.0).facts()).is_some());
    }

    #[test]
    fn households_announced_days_and_small_volumes_are_passed_over() {
        let mut home = friday(60.0, 20.0);
        home.customer.class = CustomerClass::ResidentialCooking;
        assert_eq!(check(&home.facts()), None);
        let mut announced = friday(60.0, 20.0);
        announced.announce(ChangeKind::Expand);
        assert_eq!(check(&announced.facts()), None);
        assert_eq!(check(&friday(2.0, 1.0).facts()), None);
        let saturday = friday(60.0, 20.0).on("2026-11-21");
        assert_eq!(
            check(&saturday.facts()),
            None,
            "a weekend after a working day"
        );
    }
}
