//! V21: totals further apart than the meter's schedule says.

use chrono::TimeDelta;

use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::meter::Meter;
use crate::validate::points::TotalPoint;

/// Checks the span between two totals that follow each other: more than twice the period, and
/// more than two hours, below which no hour is without a total.
pub fn check(meter: &Meter, from: &TotalPoint, to: &TotalPoint) -> Option<Finding> {
    let span = to.at - from.at;
    let expected = TimeDelta::seconds(i64::from(meter.period_s));
    if span <= expected * 2 || span <= TimeDelta::hours(2) {
        return None;
    }
    let (hours, tenths) = (span.num_minutes() / 60, span.num_minutes() % 60 / 6);
    Some(Finding {
        rule: RuleId::V21,
        severity: Severity::Info,
        meter: meter.id.clone(),
        at: from.at,
        message: format!(
            "no total for {hours}.{tenths} h until {}, expected every {} s; what was used between \
             is spread over the hours and marked estimated",
            to.at, meter.period_s
        ),
    })
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
        assert!(findings[0].message.contains("no total for 3.0 h"));
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
