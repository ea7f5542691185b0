//! V11: a sensor that says exactly the same again and again.

use chrono::TimeDelta;

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::meter::Meter;
use crate::domain::reading::{Item, Reading};

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&SAME];

static SAME: Sentence = Sentence {
    rule: RuleId::V11,
    key: "same",
    zh: "{what}连续 {samples} 次采样完全相同,直至 {until}",
    en: "the {what} stayed exactly the same in {samples} samples until {until}",
};

/// Samples in a row that make a sensor suspect.
const RUN_MIN: usize = 6;
/// Periods of silence that end a run.
const SILENCE_PERIODS: i32 = 3;

/// Checks readings in time order: the same non-zero flow, or the same temperature and pressure, in
/// six samples or more. One finding for each run, at its first sample.
pub fn check(meter: &Meter, readings: &[Reading]) -> Vec<Finding> {
    let flow = |reading: &Reading| {
        let value = reading
            .float(Item::FlowStd)
            .or_else(|| reading.float(Item::FlowWork))?;
        (value != 0.0).then_some([value.to_bits(), 0])
    };
    let conditions = |reading: &Reading| {
        let pressure = reading
            .float(Item::PressureAbs)
            .or_else(|| reading.float(Item::PressureGauge))?;
        Some([
            reading.float(Item::Temperature)?.to_bits(),
            pressure.to_bits(),
        ])
    };
    let mut findings = runs(meter, readings, "flow", flow);
    findings.extend(runs(meter, readings, "temperature_pressure", conditions));
    findings
}

fn runs(
    meter: &Meter,
    readings: &[Reading],
    what: &'static str,
    value: impl Fn(&Reading) -> Option<[u64; 2]>,
) -> Vec<Finding> {
    let silence = TimeDelta::seconds(i64::from(meter.period_s.max(1))) * SILENCE_PERIODS;
    let mut findings = Vec::new();
    let mut run: Vec<&Reading> = Vec::new();
    let mut before = None;
    for reading in readings {
        let this = value(reading);
        let is_near = run
            .last()
            .is_some_and(|last| reading.sampled_at - last.sampled_at <= silence);
        if this.is_none() || this != before || !is_near {
            findings.extend(finding(meter, &run, what));
            run.clear();
        }
        if this.is_some() {
            run.push(reading);
        }
        before = this;
    }
    findings.extend(finding(meter, &run, what));
    findings
}

fn finding(meter: &Meter, run: &[&Reading], what: &'static str) -> Option<Finding> {
    let (first, last) = (run.first()?, run.last()?);
    if run.len() < RUN_MIN {
        return None;
    }
    let args = [
        Arg::term("what", what),
        Arg::count("samples", run.len(), Unit::One),
        Arg::time("until", last.sampled_at),
    ];
    let at = first.sampled_at;
    Some(Finding::new(&SAME, Severity::Suspect, &meter.id, at, args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::{at, meter, total};

    fn with(hour: i64, flow: f64) -> Reading {
        let mut reading = total(hour, hour);
        reading.values.push((Item::FlowStd, ItemValue::Float(flow)));
        reading
    }

    #[test]
    fn six_equal_flows_are_stuck_and_five_are_not() {
        let six: Vec<_> = (0..6).map(|h| with(h, 12.5)).collect();
        let found = check(&meter(), &six);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].at, at(0));
        assert!(found[0].message_en().contains("6 samples"));
        assert_eq!(check(&meter(), &six[..5]), []);
    }

    #[test]
    fn no_flow_at_all_is_not_stuck() {
        let idle: Vec<_> = (0..12).map(|h| with(h, 0.0)).collect();
        assert_eq!(check(&meter(), &idle), []);
    }

    #[test]
    fn a_gap_ends_the_run() {
        let hours = [0, 1, 2, 12, 13, 14];
        let readings: Vec<_> = hours.iter().map(|h| with(*h, 12.5)).collect();
        assert_eq!(check(&meter(), &readings), []);
    }

    #[test]
    fn temperature_and_pressure_count_together() {
        let sample = |hour: i64, pressure: f64| {
            let mut reading = total(hour, hour);
            reading
                .values
                .push((Item::Temperature, ItemValue::Float(15.0)));
            reading
                .values
                .push((Item::PressureAbs, ItemValue::Float(pressure)));
            reading
        };
        let same: Vec<_> = (0..7).map(|h| sample(h, 300.0)).collect();
        assert_eq!(check(&meter(), &same).len(), 1);
        let moving: Vec<_> = (0..7).map(|h| sample(h, 300.0 + h as f64)).collect();
        assert_eq!(check(&meter(), &moving), []);
    }
}
