//! V12: gas flows in every hour of the day where there should be an hour without.
//!
//! Flagged when each of the 24 hours has more than `v12_flow_m3h`: one litre in a home. A meter of
//! several households is passed over: somebody always cooks.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
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
    let least = facts.curve.hours.iter().min()?.to_f64();
    if least <= limit {
        return None;
    }
    let args = [
        Arg::number("least", least, Unit::M3),
        Arg::number("limit", limit, Unit::M3),
    ];
    Some(facts.finding(&FLOW, Severity::Suspect, args))
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
    fn a_building_and_a_furnace_flow_all_day() {
        let mut case = Case::flat(0.02);
        assert_eq!(check(&case.facts()), None, "off for industry");
        case.limits.v12_flow_m3h = 0.001;
        case.customer.households = 60;
        assert_eq!(check(&case.facts()), None);
    }
}
