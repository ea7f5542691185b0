//! V22: too much of what the meter is said to have measured was estimated.
//!
//! Flagged when more than `v22_days` days in a row, this one included, were estimated in at least
//! half of their hours; or when more than `v22_share` of the hours of the gas month so far that have a
//! volume (of the four weeks before, if the month is older) were, of a month with seven such days or
//! more. Hours without a volume are neither measured nor estimated and do not thin the share out.

use crate::domain::finding::{Arg, Finding, Quality, RuleId, Sentence, Severity, Unit};
use crate::domain::series::LoadCurve;
use crate::validate::day::DayFacts;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&DAYS, &MONTH];

static DAYS: Sentence = Sentence {
    rule: RuleId::V22,
    key: "days",
    zh: "已连续估算 {days};未经人工确认不宜据此申报",
    en: "estimated for {days} in a row; a declaration should not rest on it without somebody's word",
};

static MONTH: Sentence = Sentence {
    rule: RuleId::V22,
    key: "month",
    zh: "本月 {all} 中 {hours} 为估算({share:1});未经人工确认不宜据此申报",
    en: "{hours} of {all} of the month were estimated ({share:1}); a declaration should not rest on it without somebody's word",
};

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
        let args = [Arg::number("days", f64::from(run), Unit::Day)];
        return Some(facts.finding(&DAYS, Severity::Suspect, args));
    }
    let month = facts.curve.day.month();
    let of_month: Vec<&LoadCurve> = facts
        .history
        .iter()
        .chain([facts.curve])
        .filter(|curve| curve.day.month() == month && curve.hours_known() > 0)
        .collect();
    let hours: usize = of_month.iter().map(|curve| estimated(curve)).sum();
    let all: usize = of_month.iter().map(|curve| curve.hours_known()).sum();
    let share = hours as f64 / all.max(1) as f64;
    if of_month.len() < DAYS_MIN || share <= facts.limits.v22_share {
        return None;
    }
    let args = [
        Arg::count("hours", hours, Unit::One),
        Arg::count("all", all, Unit::Hour),
        Arg::number("share", share * 100.0, Unit::Percent),
    ];
    Some(facts.finding(&MONTH, Severity::Suspect, args))
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
        assert!(
            found
                .message_en()
                .starts_with("estimated for 4 days in a row")
        );
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
                .message_en()
                .starts_with("30 of 240 h of the month were estimated (12.5 %)")
        );
    }

    #[test]
    fn hours_without_a_volume_do_not_thin_the_share_out() {
        let mut case = Case::flat(5.0).after_flat(&[5.0; 9]);
        case.estimate(3, 8);
        // Of ten days one has no hour at all: 24 of 216 hours are more than a tenth.
        case.history[0].quality = [Quality::Missing; 24];
        let message = check(&case.facts()).unwrap().message_en();
        assert!(message.starts_with("24 of 216 h"), "{message}");
    }
}
