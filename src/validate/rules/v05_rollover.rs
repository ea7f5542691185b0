//! V05: a totaliser that passed its last digit goes on from zero.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity};
use crate::domain::id::MeterId;
use crate::domain::quantity::UNITS_PER_M3;
use crate::validate::points::TotalPoint;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&ROLLED];

static ROLLED: Sentence = Sentence {
    rule: RuleId::V05,
    key: "rolled",
    zh: "累计量在 {since} 的 {from} 与 {to} 之间翻转",
    en: "the totaliser rolled over between {from} at {since} and {to}",
};

/// Where a totaliser with so many digits before the point rolls over, units of 1e-4 m³.
///
/// Beyond 14 digits a total would not fit; such a totaliser never rolls over.
pub fn modulus(digits: u32) -> Option<i64> {
    10_i64.checked_pow(digits)?.checked_mul(UNITS_PER_M3)
}

/// How far a total went from `from` to a smaller `to` if it rolled over: Δ' = 10ⁿ − prev + cur.
///
/// None if it cannot have: a total outside the digits, or a step back of less than half of them,
/// which only a rollover after an impossibly long silence could explain. The caller checks Δ'
/// against the capacity.
pub fn across(digits: u32, from: i64, to: i64) -> Option<i64> {
    let modulus = modulus(digits)?;
    let is_within = (0..modulus).contains(&from) && (0..modulus).contains(&to);
    if !is_within || from - to <= modulus / 2 {
        return None;
    }
    Some(modulus - from + to)
}

/// The finding of an interval that was read across a rollover.
pub fn finding(meter: &MeterId, from: &TotalPoint, to: &TotalPoint) -> Finding {
    let args = [
        Arg::volume("from", from.units),
        Arg::time("since", from.at),
        Arg::volume("to", to.units),
    ];
    Finding::new(&ROLLED, Severity::Info, meter, to.at, args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Quality;
    use crate::validate::rules::testing::{meter, rules_of, sequence};

    #[test]
    fn a_rollover_within_capacity_is_read_across() {
        // Five digits, 100 m³/h: 99 990 → 10 is 20 m³.
        let (curve, findings) = sequence(&meter(), &[(0, 99_980), (1, 99_990), (2, 10)]);
        assert_eq!(rules_of(&findings), [RuleId::V05]);
        assert_eq!(curve.hours[1].units(), 200_000);
        assert_eq!(curve.quality[1], Quality::Measured);
    }

    #[test]
    fn a_rollover_beyond_capacity_is_a_step_back() {
        // 1.2 · 100 m³/h in one hour is 120 m³: just within, then just beyond.
        let (_, findings) = sequence(&meter(), &[(1, 99_990), (2, 110)]);
        assert_eq!(rules_of(&findings), [RuleId::V05]);
        let (_, findings) = sequence(&meter(), &[(1, 99_990), (2, 111)]);
        assert_eq!(rules_of(&findings), [RuleId::V04]);
    }

    #[test]
    fn a_rollover_within_a_gap_conserves_volume() {
        let (curve, findings) = sequence(&meter(), &[(0, 99_990), (5, 10)]);
        assert_eq!(rules_of(&findings), [RuleId::V05, RuleId::V21]);
        assert_eq!(curve.volume().units(), 200_000);
    }

    #[test]
    fn digits_that_do_not_fit_never_roll_over() {
        assert_eq!(modulus(15), None);
        assert_eq!(across(15, i64::MAX, 0), None);
        assert_eq!(
            across(5, 1_000_000_001, 0),
            None,
            "a total beyond its digits"
        );
    }
}
