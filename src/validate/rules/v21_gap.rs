//! V21: totals further apart than the meter's schedule says.

use chrono::TimeDelta;

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::meter::Meter;
use crate::validate::points::TotalPoint;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&GAP];

static GAP: Sentence = Sentence {
    rule: RuleId::V21,
    key: "gap",
    zh: "至 {until} 为止有 {hours:1}没有累计量,应每 {period}一次;其间用气分摊到各小时并标为估算",
    en: "no total for {hours:1} until {until}, expected every {period}; what was used between is spread over the hours and marked estimated",
};

/// Checks the span between two totals that follow each other: more than twice the period, and
/// more than two hours, below which no hour is without a total.
pub fn check(meter: &Meter, from: &TotalPoint, to: &TotalPoint) -> Option<Finding> {
    let span = to.at - from.at;
    let expected = TimeDelta::seconds(i64::from(meter.period_s));
    if span <= expected * 2 || span <= TimeDelta::hours(2) {
        return None;
    }
    let args = [
        Arg::number("hours", span.num_seconds() as f64 / 3_600.0, Unit::Hour),
        Arg::time("until", to.at),
        Arg::number("period", f64::from(meter.period_s), Unit::Second),
    ];
    Some(Finding::new(&GAP, Severity::Info, &meter.id, from.at, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Quality;
    use crate::validate::rules::testing::{at, meter, rules_of, sequence};

    #[test]
    fn more_than_two_periods_of_silence_is_a_gap() {
        let (curve, findings) = sequence(&meter(), &[(0, 0), (3, 10)]);
        assert_eq!(rules_of(&findings), [RuleId::V21]);
        assert_eq!(findings[0].at, at(0));
        assert!(findings[0].message_en().contains("no total for 3.0 h"));
        assert_eq!(curve.quality[..3], [Quality::Estimated; 3]);
        // 10 m³ over three hours, to the last unit: 33334 + 33333 + 33333.
        let units: Vec<_> = curve.hours[..3].iter().map(|v| v.units()).collect();
        assert_eq!(units, [33_334, 33_333, 33_333]);
    }

    #[test]
    fn two_periods_are_tolerated() {
        let (_, findings) = sequence(&meter(), &[(0, 0), (2, 10)]);
        assert_eq!(rules_of(&findings), []);
    }

    #[test]
    fn a_gap_without_a_later_total_is_missing_not_estimated() {
        let (curve, findings) = sequence(&meter(), &[(0, 0), (1, 10)]);
        assert_eq!(rules_of(&findings), []);
        assert_eq!(curve.quality[1], Quality::Missing);
    }

    #[test]
    fn a_meter_that_reports_daily_may_be_silent_for_a_day() {
        let mut daily = meter();
        daily.period_s = 86_400;
        let (_, findings) = sequence(&daily, &[(0, 0), (24, 10)]);
        assert_eq!(rules_of(&findings), []);
    }
}
