//! V23: the meter is too large or too small for what flows through it.
//!
//! Over the day and the four weeks before: too large if more than `v23_share` of the gas flowed in
//! hours with a mean working flow below Qmin, too small if as much did above Qmax. Told once a
//! week, on Mondays, of at least 14 complete days. Qmin is Qmax divided by the turndown of the
//! kind: 150 for diaphragm, 20 for turbine, 100 for rotary and ultrasonic meters. Only meters that
//! settle by their working total are judged: of the others the working flow of past hours is not
//! known.

use chrono::{Datelike as _, Weekday};

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::meter::{MeterKind, SettlementTotal};
use crate::domain::series::LoadCurve;
use crate::validate::day::DayFacts;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&TOO_LARGE, &TOO_SMALL];

static TOO_LARGE: Sentence = Sentence {
    rule: RuleId::V23,
    key: "too_large",
    zh: "{share:0} 的气量在 {flow_min:2} 以下流过,表具在此不准;选型偏大",
    en: "{share:0} of the gas flowed below {flow_min:2}, where the meter is not accurate; it is too large",
};

static TOO_SMALL: Sentence = Sentence {
    rule: RuleId::V23,
    key: "too_small",
    zh: "{share:0} 的气量超过表具最大流量 {flow_max};选型偏小",
    en: "{share:0} of the gas flowed above the meter's largest flow of {flow_max}; it is too small",
};

const DAYS_MIN: usize = 14;

const fn turndown(kind: MeterKind) -> f64 {
    match kind {
        MeterKind::Diaphragm => 150.0,
        MeterKind::Turbine => 20.0,
        MeterKind::Rotary | MeterKind::Ultrasonic => 100.0,
    }
}

/// Checks a Monday.
pub fn check(facts: &DayFacts<'_>) -> Option<Finding> {
    let meter = facts.meter;
    if facts.curve.day.0.weekday() != Weekday::Mon
        || meter.settlement != SettlementTotal::Work
        || meter.fixed_factor <= 0.0
    {
        return None;
    }
    let days: Vec<&LoadCurve> = facts
        .history
        .iter()
        .chain([facts.curve])
        .filter(|curve| curve.is_complete())
        .collect();
    if days.len() < DAYS_MIN {
        return None;
    }
    let flow_max = meter.flow_max_m3h;
    let flow_min = flow_max / turndown(meter.kind);
    let (mut all, mut below, mut above) = (0.0, 0.0, 0.0);
    for hour in days.iter().flat_map(|curve| &curve.hours) {
        let flow = hour.to_f64() / meter.fixed_factor;
        all += flow;
        if flow < flow_min {
            below += flow;
        } else if flow > flow_max {
            above += flow;
        }
    }
    let share = |part: f64| if all > 0.0 { part / all } else { 0.0 };
    let limit = facts.limits.v23_share;
    let percent = |part: f64| Arg::number("share", share(part) * 100.0, Unit::Percent);
    if share(below) > limit {
        let flow_min = Arg::number("flow_min", flow_min, Unit::M3PerHour);
        return Some(facts.finding(&TOO_LARGE, Severity::Info, [percent(below), flow_min]));
    }
    if share(above) > limit {
        let flow_max = Arg::number("flow_max", flow_max, Unit::M3PerHour);
        return Some(facts.finding(&TOO_SMALL, Severity::Info, [percent(above), flow_max]));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::Case;

    // A rotary meter of 100 m³/h: Qmin is 1 m³/h.
    fn monday(hour_m3: f64) -> Case {
        Case::flat(hour_m3)
            .after_flat(&[hour_m3; 20])
            .on("2026-11-23")
    }

    #[test]
    fn the_smallest_and_the_largest_flow_belong_to_the_meter() {
        assert_eq!(check(&monday(1.0).facts()), None);
        assert_eq!(check(&monday(100.0).facts()), None);
        let found = check(&monday(0.9).facts()).unwrap();
        assert!(
            found
                .message_en()
                .starts_with("100 % of the gas flowed below 1.00 m³/h")
        );
        let found = check(&monday(100.1).facts()).unwrap();
        assert!(
            found.message_en().contains("it is too small"),
            "{}",
            found.message_en()
        );
    }

    #[test]
    fn other_days_and_too_few_days_are_passed_over() {
        assert_eq!(check(&monday(0.9).on("2026-11-24").facts()), None);
        let few = Case::flat(0.9).after_flat(&[0.9; 12]).on("2026-11-23");
        assert_eq!(check(&few.facts()), None);
        assert_eq!(check(&monday(0.0).facts()), None);
    }
}
