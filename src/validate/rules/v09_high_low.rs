//! V09: a day that is far from the average of like days in the four weeks before.
//!
//! The average daily use (ADU) is taken over complete days of the same type; at least three are
//! needed. Flagged when day / ADU < `v09_low` or > `v09_high`; the limits themselves pass.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::validate::day::{DayFacts, volume_of};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&AVERAGE];

static AVERAGE: Sentence = Sentence {
    rule: RuleId::V09,
    key: "average",
    zh: "当日 {day:0},为 {days} 个同类日均值 {average:0} 的 {ratio:2} 倍,应在 {low} 至 {high} 之间",
    en: "{day:0} is {ratio:2} times the average of {average:0} on {days} like days, expected {low} to {high}",
};

/// Like days without which nothing is said.
const DAYS_MIN: usize = 3;

/// Checks a complete day.
pub fn check(facts: &DayFacts<'_>) -> Option<Finding> {
    if facts.is_announced(facts.curve) {
        return None;
    }
    let day = volume_of(facts.curve)?;
    let wanted = facts.type_of(facts.curve);
    let alike: Vec<f64> = facts
        .history
        .iter()
        .filter(|curve| facts.type_of(curve) == wanted && !facts.is_announced(curve))
        .filter_map(volume_of)
        .collect();
    if alike.len() < DAYS_MIN {
        return None;
    }
    let average = alike.iter().sum::<f64>() / alike.len() as f64;
    let limits = facts.limits;
    if day.max(average) < limits.day_floor_m3 || average <= 0.0 {
        return None;
    }
    let ratio = day / average;
    if (limits.v09_low..=limits.v09_high).contains(&ratio) {
        return None;
    }
    let args = [
        Arg::number("day", day, Unit::M3),
        Arg::number("ratio", ratio, Unit::One),
        Arg::number("average", average, Unit::M3),
        Arg::count("days", alike.len(), Unit::One),
        Arg::number("low", limits.v09_low, Unit::One),
        Arg::number("high", limits.v09_high, Unit::One),
    ];
    Some(facts.finding(&AVERAGE, Severity::Info, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::Case;

    #[test]
    fn two_and_a_half_times_the_average_passes_and_more_does_not() {
        // The day is a Saturday: of 22 days before it, six are weekend days.
        let case = |hour_m3| Case::flat(hour_m3).after_flat(&[20.0; 22]);
        assert_eq!(check(&case(50.0).facts()), None);
        assert_eq!(
            check(&case(50.2).facts()).unwrap().message_en(),
            "1205 m³ is 2.51 times the average of 480 m³ on 6 like days, expected 0.2 to 2.5"
        );
        assert_eq!(check(&case(4.0).facts()), None);
        assert!(check(&case(3.9).facts()).is_some());
    }

    #[test]
    fn two_like_days_are_too_few() {
        assert_eq!(
            check(&Case::flat(90.0).after_flat(&[20.0; 7]).facts()),
            None
        );
    }
}
