//! V22: too much of what the meter is said to have measured was estimated.
//!
//! Flagged when more than `v22_days` days in a row, this one included, were estimated in at least
//! half of their hours; or when more than `v22_share` of the hours of the gas month so far (of the
//! four weeks before, if the month is older) were, of a month with seven days or more.

use crate::domain::finding::{Finding, Quality, RuleId, Severity};
use crate::domain::series::LoadCurve;
use crate::validate::day::DayFacts;

/// Days of a month before its share is judged.
const DAYS_MIN: usize = 7;

fn estimated(curve: &LoadCurve) -> usize {
    curve
        .quality
        .iter()
        .filter(|quality| **quality == Quality::Estimated)
        .count()
}

/// Checks a day of which something was estimated.
pub fn check(facts: &DayFacts<'_>) -> Option<Finding> {
    if estimated(facts.curve) == 0 {
        return None;
    }
    let mut run = 0_u32;
    let mut expected = facts.curve.day;
    for curve in std::iter::once(facts.curve).chain(facts.history.iter().rev()) {
        if curve.day != expected || estimated(curve) < 12 {
            break;
        }
        run += 1;
        expected = expected.plus(-1);
    }
    if f64::from(run) > facts.limits.v22_days {
        let message = format!(
            "estimated for {run} days in a row; a declaration should not rest on it without \
             somebody's word"
        );
        return Some(facts.finding(RuleId::V22, Severity::Suspect, message));
    }
    let month = facts.curve.day.month();
    let of_month: Vec<usize> = facts
        .history
        .iter()
        .chain([facts.curve])
        .filter(|curve| curve.day.month() == month)
        .map(estimated)
        .collect();
    let (hours, all) = (of_month.iter().sum::<usize>(), of_month.len() * 24);
    let share = hours as f64 / all.max(1) as f64;
    if of_month.len() < DAYS_MIN || share <= facts.limits.v22_share {
        return None;
    }
    let message = format!(
        "{hours} of {all} hours of the month were estimated ({:.1} %); a declaration should not \
         rest on it without somebody's word",
        share * 100.0
    );
    Some(facts.finding(RuleId::V22, Severity::Suspect, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::Case;

    #[test]
    fn the_fourth_day_in_a_row_is_too_much() {
        let mut case = Case::flat(5.0).after_flat(&[5.0; 5]);
        case.estimate(3, 24);
        assert_eq!(check(&case.facts()), None);
        case.estimate(4, 12);
        let found = check(&case.facts()).unwrap();
        assert!(found.message.starts_with("estimated for 4 days in a row"));
    }

    #[test]
    fn a_tenth_of_the_month_is_tolerated_and_an_hour_more_is_not() {
        // Ten days of November, 240 hours: 24 may be estimated.
        let mut case = Case::flat(5.0).after_flat(&[5.0; 9]);
        case.estimate(3, 8);
        assert_eq!(check(&case.facts()), None);
        case.estimate(3, 10);
        assert!(
            check(&case.facts())
                .unwrap()
                .message
                .starts_with("30 of 240 hours of the month were estimated (12.5 %)")
        );
    }
}
