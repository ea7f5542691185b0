//! V01: one instant, two values. Both are kept; the choice does not depend on which came first.

use chrono::{DateTime, Utc};

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity};
use crate::domain::id::MeterId;
use crate::domain::reading::Item;
use crate::validate::points::TotalPoint;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&REPORTED, &TOTALS];

static REPORTED: Sentence = Sentence {
    rule: RuleId::V01,
    key: "reported",
    zh: "{part}上报了不同的数值:{values};采用优先级高的通道,其次采用较大的值",
    en: "{part} was reported with different values: {values}; the higher ranked transport, then the greater value is used",
};

static TOTALS: Sentence = Sentence {
    rule: RuleId::V01,
    key: "totals",
    zh: "同一时刻一条读数的累计量为 {first},另一条为 {second};采用前者",
    en: "the total is {first} in one reading and {second} in another of the same instant; the first is used",
};

/// A part of a reading that was reported with different values; `values` in order of preference.
pub fn reported_differently(
    meter: &MeterId,
    at: DateTime<Utc>,
    part: Part<'_>,
    values: &[String],
) -> Finding {
    let part = match part {
        Part::Item(item) => Arg::term("part", item.key()),
        Part::Other(text) => Arg::text("part", text),
    };
    let values = Arg::text("values", values.join(", "));
    Finding::new(&REPORTED, Severity::Suspect, meter, at, [part, values])
}

/// What was reported with different values.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// An item.
    Item(Item),
    /// A frozen array, or what has no name.
    Other(&'a str),
}

/// Checks whether another reading speaks of the instant of a total with another value.
pub fn check(meter: &MeterId, point: &TotalPoint) -> Option<Finding> {
    let other = point.contradicted_by?;
    let args = [
        Arg::volume("first", point.units),
        Arg::volume("second", other),
    ];
    Some(Finding::new(
        &TOTALS,
        Severity::Suspect,
        meter,
        point.at,
        args,
    ))
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
                .message_en()
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
