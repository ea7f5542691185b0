//! V06: more gas than the meter can pass.

use chrono::TimeDelta;

use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::id::MeterId;
use crate::domain::meter::{Meter, SettlementTotal};
use crate::domain::quantity::{UNITS_PER_M3, WorkVolume};
use crate::validate::points::TotalPoint;

/// Part of Qmax that counts as impossible.
const TOLERANCE: f64 = 1.2;
/// A totaliser that counts in whole cubic metres may step by one at any moment.
const STEP_M3: f64 = 1.0;
/// Least span a step is judged over, h: clocks and totals are not read at quite the same moment.
const SPAN_MIN_H: f64 = 1.0 / 6.0;
/// Working to standard conversion assumed where a corrector's total settles and nothing says how
/// far it compresses: 900 kPa absolute, the highest pressure of city distribution.
const FACTOR_UNKNOWN: f64 = 9.0;

/// The most a total may grow between two points, units of 1e-4 m³.
///
/// Qmax is a working flow; a standard total grows by the conversion factor faster.
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped below the largest volume"
)]
pub fn limit(meter: &Meter, from: &TotalPoint, to: &TotalPoint) -> i64 {
    let factor = match meter.settlement {
        SettlementTotal::Work => 1.0,
        SettlementTotal::Std => match (from.factor, to.factor) {
            (None, None) => FACTOR_UNKNOWN,
            (a, b) => a.unwrap_or(0.0).max(b.unwrap_or(0.0)).max(1.0),
        },
    };
    let hours = hours(to.at - from.at).max(SPAN_MIN_H);
    let limit = (TOLERANCE * meter.flow_max_m3h * factor * hours).max(STEP_M3);
    (limit * UNITS_PER_M3 as f64).min(1e18) as i64
}

fn hours(span: TimeDelta) -> f64 {
    span.num_milliseconds() as f64 / 3_600_000.0
}

/// The finding of an interval that is over capacity.
pub fn finding(meter: &Meter, from: &TotalPoint, to: &TotalPoint) -> Finding {
    Finding {
        rule: RuleId::V06,
        severity: Severity::Fail,
        meter: meter.id.clone(),
        at: to.at,
        message: format!(
            "from {} m³ at {} to {} m³ is more than {} m³, which 1.2 times the largest flow of {} \
             m³/h allows; the interval is not used",
            WorkVolume::from_units(from.units),
            from.at,
            WorkVolume::from_units(to.units),
            WorkVolume::from_units(limit(meter, from, to)),
            meter.flow_max_m3h
        ),
    }
}

/// The finding of a single total that lies outside its neighbours, which agree with each other.
pub fn outlier(meter: &MeterId, point: &TotalPoint) -> Finding {
    Finding {
        rule: RuleId::V06,
        severity: Severity::Fail,
        meter: meter.clone(),
        at: point.at,
        message: format!(
            "the total {} m³ is more than the meter can have passed, and the one after it continues \
             as if it were not there; it is not used",
            WorkVolume::from_units(point.units)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Quality;
    use crate::validate::rules::testing::{meter, rules_of, sequence};

    #[test]
    fn one_hour_at_the_limit_passes_and_a_cubic_metre_more_fails() {
        let (curve, findings) = sequence(&meter(), &[(0, 0), (1, 120)]);
        assert_eq!(rules_of(&findings), []);
        assert_eq!(curve.hours[0].units(), 1_200_000);
        let (curve, findings) = sequence(&meter(), &[(0, 0), (1, 121)]);
        assert_eq!(rules_of(&findings), [RuleId::V06]);
        assert_eq!(curve.quality[0], Quality::Invalid);
    }

    #[test]
    fn a_gap_gives_more_room() {
        let (_, findings) = sequence(&meter(), &[(0, 0), (3, 360)]);
        assert_eq!(rules_of(&findings), [RuleId::V21]);
        let (curve, findings) = sequence(&meter(), &[(0, 0), (3, 361)]);
        assert_eq!(rules_of(&findings), [RuleId::V06]);
        assert_eq!(curve.quality[..3], [Quality::Invalid; 3]);
    }

    #[test]
    fn a_single_spike_is_passed_over() {
        let (curve, findings) = sequence(&meter(), &[(0, 100), (1, 9_999), (2, 120), (3, 130)]);
        assert_eq!(rules_of(&findings), [RuleId::V06]);
        assert_eq!(curve.volume().units(), 300_000);
        assert_eq!(curve.quality[..2], [Quality::Estimated; 2]);
    }

    #[test]
    fn a_standard_total_is_judged_by_the_conversion_the_device_reports() {
        let mut std_meter = meter();
        std_meter.settlement = SettlementTotal::Std;
        let point = |hour: i64, units, factor| TotalPoint {
            at: crate::validate::rules::testing::at(hour),
            units,
            is_frozen: false,
            is_suspect: false,
            contradicted_by: None,
            transport: crate::domain::frame::Transport::Mqtt,
            factor,
            state: None,
        };
        let known = limit(&std_meter, &point(0, 0, Some(3.0)), &point(1, 0, Some(3.1)));
        assert_eq!(known, 3_720_000);
        let unknown = limit(&std_meter, &point(0, 0, None), &point(1, 0, None));
        assert_eq!(unknown, 10_800_000);
    }
}
