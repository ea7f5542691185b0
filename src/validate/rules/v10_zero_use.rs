//! V10: no use on working days in a row, of a customer who used gas in the weeks before.
//!
//! Found on the day that makes it `v10_days` working days (three) and on each working day after;
//! days the customer announced to stand still end the run. A single litre is use.

use crate::domain::calendar::DayType;
use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::series::LoadCurve;
use crate::validate::day::{DayFacts, volume_of};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&IDLE];

static IDLE: Sentence = Sentence {
    rule: RuleId::V10,
    key: "idle",
    zh: "自 {since} 起连续 {days} 个工作日零用气,未报停产;用户停用或表具失灵",
    en: "no gas for {days} working days, since {since}, and no shutdown announced; either the customer stands still or the meter does",
};

/// Checks a complete working day.
pub fn check(facts: &DayFacts<'_>) -> Option<Finding> {
    let is_idle = |curve: &LoadCurve| {
        volume_of(curve).is_some_and(|m3| m3 <= 0.0) && !facts.is_announced_idle(curve)
    };
    if facts.type_of(facts.curve) != DayType::Workday || !is_idle(facts.curve) {
        return None;
    }
    let mut working_days = 1_u32;
    let mut next = facts.curve.day;
    let mut has_used = false;
    for curve in facts.history.iter().rev() {
        let follows = next.days_since(curve.day) == 1;
        if !follows || !is_idle(curve) {
            has_used = facts.history.iter().any(|curve| curve.volume().units() > 0);
            break;
        }
        working_days += u32::from(facts.type_of(curve) == DayType::Workday);
        next = curve.day;
    }
    if !has_used || f64::from(working_days) < facts.limits.v10_days {
        return None;
    }
    let args = [
        Arg::number("days", f64::from(working_days), Unit::One),
        Arg::day("since", next),
    ];
    Some(facts.finding(&IDLE, Severity::Suspect, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::filing::ChangeKind;
    use crate::validate::rules::testing::Case;

    #[test]
    fn the_third_working_day_without_gas_is_found() {
        // Monday 23rd after Friday 20th, Saturday and Sunday: two working days.
        let mut case = Case::flat(0.0)
            .after_flat(&[20.0, 0.0, 0.0, 0.0])
            .on("2026-11-23");
        assert_eq!(check(&case.facts()), None);
        case = Case::flat(0.0)
            .after_flat(&[20.0, 0.0, 0.0, 0.0, 0.0])
            .on("2026-11-23");
        let found = check(&case.facts()).unwrap();
        assert!(
            found
                .message_en()
                .starts_with("no gas for 3 working days, since 2026-11-19"),
            "{}",
            found.message_en()
        );
        case.announce(ChangeKind::Shutdown);
        assert_eq!(check(&case.facts()), None);
    }

    #[test]
    fn a_customer_who_never_used_gas_is_not_missed() {
        let never = Case::flat(0.0).after_flat(&[0.0; 9]).on("2026-11-23");
        assert_eq!(check(&never.facts()), None);
        let litre = Case::flat(0.0)
            .after_flat(&[20.0, 0.001, 0.0])
            .on("2026-11-25");
        assert_eq!(check(&litre.facts()), None);
    }
}
