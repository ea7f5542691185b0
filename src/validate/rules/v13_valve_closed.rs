//! V13: the total grows while the valve is said to be closed.
//!
//! Two readings in a row say closed, and the total grew by more than 0.01 m³ between them.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity};
use crate::domain::meter::Meter;
use crate::domain::reading::{Item, Reading};
use crate::validate::curve::settlement_item;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&GREW];

static GREW: Sentence = Sentence {
    rule: RuleId::V13,
    key: "grew",
    zh: "自 {since} 以来阀门关闭,累计量却增长 {growth}",
    en: "the total grew by {growth} since {since} although the valve is closed",
};

/// The valve's value when closed.
const CLOSED: f64 = 1.0;
/// Growth that is no flow, units of 1e-4 m³: the last digit while the valve shuts.
const GROWTH_MAX: i64 = 100;

/// Checks readings in time order; one finding for each step.
pub fn check(meter: &Meter, readings: &[Reading]) -> Vec<Finding> {
    let item = settlement_item(meter);
    let closed = |reading: &Reading| {
        let valve = reading.float(Item::Valve)?;
        if (valve - CLOSED).abs() > 0.5 {
            return None;
        }
        reading.exact(item)
    };
    readings
        .windows(2)
        .filter_map(|pair| {
            let [before, after] = pair else { return None };
            let (from, to) = (closed(before)?, closed(after)?);
            let growth = to.saturating_sub(from);
            (growth > GROWTH_MAX).then(|| {
                let args = [
                    Arg::volume("growth", growth),
                    Arg::time("since", before.sampled_at),
                ];
                let at = after.sampled_at;
                Finding::new(&GREW, Severity::Suspect, &meter.id, at, args)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::{at, std_meter, total};

    fn with(hour: i64, units: i64, valve: f64) -> Reading {
        let mut reading = total(hour, 0);
        reading.values = vec![
            (Item::TotalStd, ItemValue::Exact(units)),
            (Item::Valve, ItemValue::Float(valve)),
        ];
        reading
    }

    #[test]
    fn the_last_digit_may_turn_and_no_more() {
        let found = check(&std_meter(), &[with(0, 0, 1.0), with(1, 101, 1.0)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, at(1));
        assert!(found[0].message_en().contains("grew by 0.0101 m³"));
        assert_eq!(
            check(&std_meter(), &[with(0, 0, 1.0), with(1, 100, 1.0)]),
            []
        );
    }

    #[test]
    fn a_valve_that_was_open_or_broken_says_nothing() {
        for valve in [0.0, 2.0] {
            let pair = [with(0, 0, valve), with(1, 5_000, 1.0)];
            assert_eq!(check(&std_meter(), &pair), []);
        }
    }
}
