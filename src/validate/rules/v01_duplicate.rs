//! V01: one instant, two values. Both are kept; the choice does not depend on which came first.

use chrono::{DateTime, Utc};

use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::id::MeterId;
use crate::domain::quantity::WorkVolume;
use crate::validate::points::TotalPoint;

/// A part of a reading that was reported with different values; `values` in order of preference.
pub fn reported_differently(
    meter: &MeterId,
    at: DateTime<Utc>,
    part: &str,
    values: &[String],
) -> Finding {
    Finding {
        rule: RuleId::V01,
        severity: Severity::Suspect,
        meter: meter.clone(),
        at,
        message: format!(
            "{part} was reported with different values: {}; the higher ranked transport, then the \
             greater value is used",
            values.join(", ")
        ),
    }
}

/// Checks whether another reading speaks of the instant of a total with another value.
pub fn check(meter: &MeterId, point: &TotalPoint) -> Option<Finding> {
    let other = point.contradicted_by?;
    Some(Finding {
        rule: RuleId::V01,
        severity: Severity::Suspect,
        meter: meter.clone(),
        at: point.at,
        message: format!(
            "the total is {} m³ in one reading and {} m³ in another of the same instant; the first \
             is used",
            WorkVolume::from_units(point.units),
            WorkVolume::from_units(other)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::Item;
    use crate::validate::points::expand;
    use crate::validate::rules::testing::{at, frozen, total};

    #[test]
    fn a_frozen_total_that_contradicts_a_single_one_is_found() {
        let rows = [total(10, 100), frozen(20, 9, &[Some(90), Some(101)])];
        let points = expand(&rows, Item::TotalStd);
        let found: Vec<_> = points
            .iter()
            .filter_map(|p| check(&"m".into(), p))
            .collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, at(10));
        assert!(
            found[0]
                .message
                .contains("100.0000 m³ in one reading and 101.0000 m³")
        );
        assert_eq!(points[1].units, 1_000_000, "the single total is used");
    }

    #[test]
    fn equal_totals_of_one_instant_are_no_conflict() {
        let rows = [total(10, 100), frozen(20, 9, &[Some(90), Some(100)])];
        let points = expand(&rows, Item::TotalStd);
        assert!(points.iter().all(|p| check(&"m".into(), p).is_none()));
        assert_eq!(points.len(), 2);
    }

    #[test]
    fn a_gap_in_the_array_contradicts_nothing() {
        let rows = [total(10, 100), frozen(20, 9, &[Some(90), None])];
        let points = expand(&rows, Item::TotalStd);
        assert!(points.iter().all(|p| check(&"m".into(), p).is_none()));
    }
}
