//! V24: reports further apart than the schedule says, and a weak signal.
//!
//! Silence: two reports that follow each other on the day are more than twice the period, and more
//! than two hours, apart. It is told even if frozen totals fill what is between, which V21 then
//! does not tell. Signal: RSRP below `v24_rsrp_dbm` in more than half of the day's reports that
//! have one, of which there must be three.

use chrono::TimeDelta;

use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::meter::Meter;
use crate::domain::reading::{Item, Reading};

const SIGNALS_MIN: usize = 3;

/// Checks the readings of a day in time order.
pub fn check(meter: &Meter, readings: &[Reading], weakest_dbm: f64) -> Vec<Finding> {
    let silence = (TimeDelta::seconds(i64::from(meter.period_s)) * 2).max(TimeDelta::hours(2));
    let mut findings: Vec<Finding> = readings
        .windows(2)
        .filter_map(|pair| {
            let [before, after] = pair else { return None };
            let span = after.sampled_at - before.sampled_at;
            (span > silence).then(|| Finding {
                rule: RuleId::V24,
                severity: Severity::Info,
                meter: meter.id.clone(),
                at: before.sampled_at,
                message: format!(
                    "no report for {} min until {}, expected every {} s",
                    span.num_minutes(),
                    after.sampled_at,
                    meter.period_s
                ),
            })
        })
        .collect();
    findings.extend(weak(meter, readings, weakest_dbm));
    findings
}

fn weak(meter: &Meter, readings: &[Reading], weakest_dbm: f64) -> Option<Finding> {
    let signals: Vec<(&Reading, f64)> = readings
        .iter()
        .filter_map(|reading| Some((reading, reading.float(Item::Rsrp)?)))
        .collect();
    let is_weak = |dbm: &f64| *dbm < weakest_dbm;
    let weak = signals.iter().filter(|(_, dbm)| is_weak(dbm)).count();
    if signals.len() < SIGNALS_MIN || weak * 2 <= signals.len() {
        return None;
    }
    let (first, dbm) = signals.iter().find(|(_, dbm)| is_weak(dbm))?;
    Some(Finding {
        rule: RuleId::V24,
        severity: Severity::Info,
        meter: meter.id.clone(),
        at: first.sampled_at,
        message: format!(
            "the signal was below {weakest_dbm} dBm in {weak} of {} reports of the day, {dbm} dBm \
             in the first",
            signals.len()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::{at, meter, total};

    fn with(hour: i64, dbm: f64) -> Reading {
        let mut reading = total(hour, hour);
        reading.values.push((Item::Rsrp, ItemValue::Float(dbm)));
        reading
    }

    #[test]
    fn the_weakest_signal_passes_and_a_weaker_one_does_not() {
        let day = |dbm| [with(0, dbm), with(1, dbm), with(2, -90.0)];
        assert_eq!(check(&meter(), &day(-115.0), -115.0), []);
        let found = check(&meter(), &day(-115.5), -115.0);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message,
            "the signal was below -115 dBm in 2 of 3 reports of the day, -115.5 dBm in the first"
        );
    }

    #[test]
    fn two_periods_of_silence_pass_and_more_do_not() {
        assert_eq!(check(&meter(), &[total(0, 0), total(2, 5)], -115.0), []);
        let found = check(&meter(), &[total(0, 0), total(3, 5)], -115.0);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, at(0));
        assert!(found[0].message.starts_with("no report for 180 min"));
    }
}
