//! V12: gas flows in every hour of the day where there should be an hour without.
//!
//! Flagged when each of the 24 hours has more than `v12_flow_m3h`: one litre in a home. A meter of several
//! households is passed over: somebody always cooks.
//!
//! Where something may burn all day (a boiler in the cold), `v12_usual` is above 0, and more is asked. That
//! many times the usual least hour pass as well: the third greatest among the complete days of four weeks,
//! so that a leak is told on three days before it is usual. And the four least hours must be the same to a
//! tenth, or to two litres: through a leak flows as much at three as at four, through a boiler hardly ever.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::series::LoadCurve;
use crate::validate::day::DayFacts;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&FLOW];

static FLOW: Sentence = Sentence {
    rule: RuleId::V12,
    key: "flow",
    zh: "当日每小时至少用气 {least:4},应有一小时不超过 {limit};请检查是否泄漏",
    en: "at least {least:4} in every hour of the day, expected an hour with no more than {limit}; look for a leak",
};

/// Checks a complete day.
pub fn check(facts: &DayFacts<'_>) -> Option<Finding> {
    let limit = facts.limits.v12_flow_m3h;
    if limit <= 0.0 || facts.customer?.households > 1 || !facts.curve.is_complete() {
        return None;
    }
    let of_usual = facts.limits.v12_usual;
    let limit = limit.max(of_usual * usual(facts));
    let least = least_of(facts.curve)?;
    if least <= limit || (of_usual > 0.0 && !is_steady(facts.curve)) {
        return None;
    }
    let args = [
        Arg::number("least", least, Unit::M3),
        Arg::number("limit", limit, Unit::M3),
    ];
    Some(facts.finding(&FLOW, Severity::Suspect, args))
}

fn least_of(curve: &LoadCurve) -> Option<f64> {
    Some(curve.hours.iter().min()?.to_f64())
}

/// Hours that are held against each other: a night's.
const STEADY_HOURS: usize = 4;
/// By so much of the least may they differ, or by two litres, as totals to the litre do.
const STEADY_SHARE: f64 = 0.1;
const STEADY_M3: f64 = 0.002;

fn is_steady(curve: &LoadCurve) -> bool {
    let mut hours: Vec<f64> = curve.hours.iter().map(|hour| hour.to_f64()).collect();
    hours.sort_by(f64::total_cmp);
    match (hours.first(), hours.get(STEADY_HOURS - 1)) {
        (Some(least), Some(last)) => last - least <= (STEADY_SHARE * least).max(STEADY_M3) + 1e-9,
        _ => false,
    }
}

/// The third greatest least hour of the complete days before, m³; nothing with fewer days.
fn usual(facts: &DayFacts<'_>) -> f64 {
    let complete = facts.history.iter().filter(|curve| curve.is_complete());
    let mut least: Vec<f64> = complete.filter_map(least_of).collect();
    least.sort_by(|a, b| b.total_cmp(a));
    least.get(2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::Case;

    #[test]
    fn one_hour_of_a_litre_shows_that_nothing_leaks() {
        let mut case = Case::flat(0.02);
        case.limits.v12_flow_m3h = 0.001;
        assert_eq!(
            check(&case.facts()).unwrap().message_en(),
            "at least 0.0200 m³ in every hour of the day, expected an hour with no more than \
             0.001 m³; look for a leak"
        );
        case.set_hour(20, 0.001);
        assert_eq!(check(&case.facts()), None);
    }

    #[test]
    fn a_boiler_that_burns_all_day_is_told_from_a_leak_by_what_is_usual() {
        let found = |hour_m3: f64, before: &[f64]| {
            let mut case = Case::flat(hour_m3).after_flat(before);
            (case.limits.v12_flow_m3h, case.limits.v12_usual) = (0.001, 2.0);
            check(&case.facts()).is_some()
        };
        let cold = [0.0, 0.0, 0.1, 0.3, 0.2];
        assert!(!found(0.2, &cold), "twice the third greatest passes");
        assert!(found(0.201, &cold));
        // A leak is told on three days; then it is usual.
        assert!(found(0.02, &[0.0, 0.0, 0.0]));
        assert!(found(0.02, &[0.0, 0.0, 0.02, 0.02]));
        assert!(!found(0.02, &[0.0, 0.02, 0.02, 0.02]));
        assert!(found(0.002, &[]), "without history the limit holds");
        // A flame that is turned up and down is none.
        let mut case = Case::flat(0.3);
        (case.limits.v12_flow_m3h, case.limits.v12_usual) = (0.001, 2.0);
        for (hour, m3) in [(2, 0.2), (3, 0.219), (4, 0.22), (5, 0.22)] {
            case.set_hour(hour, m3);
        }
        assert!(check(&case.facts()).is_some(), "a tenth passes");
        case.set_hour(5, 0.221);
        assert_eq!(check(&case.facts()), None);
    }

    #[test]
    fn a_building_and_a_furnace_flow_all_day() {
        let mut case = Case::flat(0.02);
        assert_eq!(check(&case.facts()), None, "off for industry");
        case.limits.v12_flow_m3h = 0.001;
        case.customer.households = 60;
        assert_eq!(check(&case.facts()), None);
    }
}
