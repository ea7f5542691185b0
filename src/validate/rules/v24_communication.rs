//! V24: reports further apart than the schedule says, and a weak signal.
//!
//! Silence: two reports that follow each other on the day are more than twice the period, and more
//! than two hours, apart. It is told even if frozen totals fill what is between, which V21 then
//! does not tell. Signal: RSRP below `v24_rsrp_dbm` in more than half of the day's reports that
//! have one, of which there must be three.

use chrono::TimeDelta;

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::meter::Meter;
use crate::domain::reading::{Item, Reading};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&SILENT, &WEAK];

static SILENT: Sentence = Sentence {
    rule: RuleId::V24,
    key: "silent",
    zh: "至 {until} 为止 {minutes} 没有上报,应每 {period} 一次",
    en: "no report for {minutes} until {until}, expected every {period}",
};

static WEAK: Sentence = Sentence {
    rule: RuleId::V24,
    key: "weak",
    zh: "当日 {all} 次上报中 {weak} 次信号低于 {limit},首次为 {first}",
    en: "the signal was below {limit} in {weak} of {all} reports of the day, {first} in the first",
};

const SIGNALS_MIN: usize = 3;

/// Checks the readings of a day in time order.
pub fn check(meter: &Meter, readings: &[Reading], weakest_dbm: f64) -> Vec<Finding> {
    let silence = (TimeDelta::seconds(i64::from(meter.period_s)) * 2).max(TimeDelta::hours(2));
    let mut findings: Vec<Finding> = readings
        .windows(2)
        .filter_map(|pair| {
            let [before, after] = pair else { return None };
            let span = after.sampled_at - before.sampled_at;
            (span > silence).then(|| {
                let args = [
                    Arg::number("minutes", span.num_minutes() as f64, Unit::Minute),
                    Arg::time("until", after.sampled_at),
                    Arg::number("period", f64::from(meter.period_s), Unit::Second),
                ];
                let at = before.sampled_at;
                Finding::new(&SILENT, Severity::Info, &meter.id, at, args)
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
    let args = [
        Arg::number("limit", weakest_dbm, Unit::Dbm),
        Arg::count("weak", weak, Unit::One),
        Arg::count("all", signals.len(), Unit::One),
        Arg::number("first", *dbm, Unit::Dbm),
    ];
    let at = first.sampled_at;
    Some(Finding::new(&WEAK, Severity::Info, &meter.id, at, args))
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
            found[0].message_en(),
            "the signal was below -115 dBm in 2 of 3 reports of the day, -115.5 dBm in the first"
        );
    }

    #[test]
    fn two_periods_of_silence_pass_and_more_do_not() {
        assert_eq!(check(&meter(), &[total(0, 0), total(2, 5)], -115.0), []);
        let found = check(&meter(), &[total(0, 0), total(3, 5)], -115.0);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, at(0));
        assert!(found[0].message_en().starts_with("no report for 180 min"));
    }
}
