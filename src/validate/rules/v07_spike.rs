//! V07: one hour of the day stands far above all others.
//!
//! Both must hold: (greatest − third greatest) / third greatest > `v07_ratio`, and the hour lies
//! more than `v07_deviations` · 1.4826 · MAD above the day's median (Hampel). Equal is no spike. Nor is an
//! hour as great as this meter usually has it at that time of day: (greatest − usual) / usual must exceed
//! `v07_ratio`, too, usual being the second greatest of the hour and its neighbours on the complete days
//! before, so that one spike does not hide the next.

use chrono::TimeDelta;

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::validate::day::{DayFacts, median};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&SPIKE];

static SPIKE: Sentence = Sentence {
    rule: RuleId::V07,
    key: "spike",
    zh: "一小时用气 {greatest:1},当日第三大小时为 {third:1},中位数 {median:1}",
    en: "{greatest:1} in one hour, {third:1} in the third largest of the day, median {median:1}",
};

/// From the median of absolute deviations to the standard deviation of a normal distribution.
const MAD_TO_SIGMA: f64 = 1.4826;

/// Checks a complete day; at most one finding, at the hour.
pub fn check(facts: &DayFacts<'_>) -> Option<Finding> {
    if !facts.curve.is_complete() {
        return None;
    }
    let hours: Vec<f64> = facts.curve.hours.iter().map(|v| v.to_f64()).collect();
    let mut sorted = hours.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let (greatest, third) = (*sorted.first()?, *sorted.get(2)?);
    let limits = facts.limits;
    let is_small = greatest <= limits.v07_floor * facts.meter.flow_max_m3h;
    if is_small || greatest - third <= limits.v07_ratio * third {
        return None;
    }
    let middle = median(hours.clone())?;
    let mad = median(hours.iter().map(|v| (v - middle).abs()).collect())?;
    if greatest - middle <= limits.v07_deviations * MAD_TO_SIGMA * mad {
        return None;
    }
    let index = hours.iter().position(|v| *v >= greatest)?;
    if usual_at(facts, index).is_some_and(|usual| greatest - usual <= limits.v07_ratio * usual) {
        return None;
    }
    let hour = i64::try_from(index).unwrap_or(0);
    let start = facts.clock.start_of(facts.curve.day);
    let args = [
        Arg::number("greatest", greatest, Unit::M3),
        Arg::number("third", third, Unit::M3),
        Arg::number("median", middle, Unit::M3),
    ];
    let mut finding = facts.finding(&SPIKE, Severity::Suspect, args);
    finding.at = start + TimeDelta::hours(hour);
    Some(finding)
}

/// Complete days that tell what is usual, at least.
const USUAL_DAYS_MIN: usize = 3;

/// The second greatest of an hour and its neighbours on the complete days before, each day once, m³; none of
/// too few days.
fn usual_at(facts: &DayFacts<'_>, index: usize) -> Option<f64> {
    let near = index.saturating_sub(1)..=index + 1;
    let mut days: Vec<f64> = facts
        .history
        .iter()
        .filter(|curve| curve.is_complete())
        .map(|curve| {
            let hours = curve.hours.iter().enumerate();
            hours
                .filter(|(hour, _)| near.contains(hour))
                .map(|(_, volume)| volume.to_f64())
                .fold(0.0, f64::max)
        })
        .collect();
    days.sort_by(|a, b| b.total_cmp(a));
    days.get(1)
        .copied()
        .filter(|_| days.len() >= USUAL_DAYS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::{Case, at};

    #[test]
    fn an_hour_of_more_than_four_times_the_third_is_a_spike() {
        let mut case = Case::flat(10.0);
        case.set_hour(5, 40.0);
        assert_eq!(check(&case.facts()), None, "a ratio of exactly 3");
        case.set_hour(5, 40.1);
        let finding = check(&case.facts()).unwrap();
        assert_eq!(finding.at, at(5));
        assert_eq!(
            finding.message_en(),
            "40.1 m³ in one hour, 10.0 m³ in the third largest of the day, median 10.0 m³"
        );
    }

    #[test]
    fn an_hour_that_is_as_great_every_day_is_none() {
        let mut case = Case::flat(10.0);
        case.set_hour(5, 90.0);
        for back in [3, 2, 1] {
            let mut before = case.curve.clone();
            before.day = case.curve.day.plus(-back);
            case.history.push(before);
        }
        assert_eq!(check(&case.facts()), None);
        // One spike before does not hide this one.
        for curve in case.history.iter_mut().skip(1) {
            curve.hours[5] = curve.hours[9];
        }
        assert_eq!(check(&case.facts()).unwrap().at, at(5));
    }

    #[test]
    fn a_peak_of_three_hours_or_a_day_of_wide_swings_is_none() {
        let mut case = Case::flat(10.0);
        (5..8).for_each(|hour| case.set_hour(hour, 60.0));
        assert_eq!(check(&case.facts()), None);
        let mut small = Case::flat(0.1);
        small.set_hour(5, 5.0);
        assert_eq!(check(&small.facts()), None, "5 % of Qmax");
    }
}
