//! V14: what happened in the parts of a day does not add up to what the register says of the whole.
//!
//! Two sums are made from the readings of a day. Where a device keeps its settlement total in several
//! series (single totals, totals frozen by the hour, totals frozen by the day), their growth between
//! the same two instants is compared. Where a corrector reports both totals and its factor, the
//! converted working volume of the intervals, Σ ΔW · mean C, is compared with the growth of the
//! standard total. Flagged when the two differ by more than max(`v14_share` · growth, 2 · resolution);
//! the second sum is also allowed Σ ΔW · |ΔC| / 2, by which a mean factor can be wrong.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::meter::Meter;
use crate::domain::quantity::UNITS_PER_M3;
use crate::domain::reading::{Item, Reading};
use crate::validate::curve::settlement_item;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&SERIES, &CONVERTED];

static SERIES: Sentence = Sentence {
    rule: RuleId::V14,
    key: "series",
    zh: "自 {since} 至 {until},{fine}累计量增长 {sum},{coarse}累计量增长 {register},相差超过 {allowed}",
    en: "from {since} to {until} the {fine} totals grew by {sum} and the {coarse} totals by {register}, which differ by more than {allowed}",
};

static CONVERTED: Sentence = Sentence {
    rule: RuleId::V14,
    key: "converted",
    zh: "自 {since} 至 {until},各区间工况量按修正系数换算之和为 {sum:1},标况累积增长 {register},相差超过 {allowed:1}",
    en: "from {since} to {until} the working volume of the intervals, converted, sums to {sum:1}; the standard total grew by {register}, which differs by more than {allowed:1}",
};

/// Longest interval of which a mean factor says something.
const INTERVAL_MAX: TimeDelta = TimeDelta::hours(2);
/// A day of fewer intervals is not summed.
const INTERVALS_MIN: usize = 4;

/// Checks the readings of a day in time order.
pub fn check(meter: &Meter, readings: &[Reading], share: f64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if readings.iter().any(|reading| !reading.frozen.is_empty()) {
        findings.extend(series(meter, readings, share));
    }
    findings.extend(converted(meter, readings, share));
    findings
}

/// The difference that is allowed, units.
fn allowed(growth: i64, resolution: i64, share: f64) -> f64 {
    (growth as f64 * share).max(2.0 * resolution as f64)
}

/// The last digit that some totals use, at most a whole cubic metre, units.
fn resolution(totals: &[i64]) -> i64 {
    let mut step = UNITS_PER_M3;
    while step > 1 && totals.iter().any(|total| total % step != 0) {
        step /= 10;
    }
    step
}

/// Totals by instant, of one way of keeping them.
type Series = BTreeMap<DateTime<Utc>, i64>;

fn series(meter: &Meter, readings: &[Reading], share: f64) -> Vec<Finding> {
    let item = settlement_item(meter);
    let mut by_step: BTreeMap<u32, Series> = BTreeMap::new();
    for reading in readings {
        if let Some(units) = reading.exact(item) {
            by_step
                .entry(0)
                .or_default()
                .insert(reading.sampled_at, units);
        }
        for array in reading.frozen.iter().filter(|array| array.item == item) {
            let series = by_step.entry(array.step_s).or_default();
            for (index, total) in array.totals.iter().enumerate() {
                let offset = i64::try_from(index)
                    .ok()
                    .and_then(|index| index.checked_mul(i64::from(array.step_s)))
                    .and_then(TimeDelta::try_seconds)
                    .and_then(|offset| array.first_at.checked_add_signed(offset));
                if let (Some(at), Some(total)) = (offset, total) {
                    series.insert(at, *total);
                }
            }
        }
    }
    let Some(at) = readings.last().map(|reading| reading.sampled_at) else {
        return Vec::new();
    };
    let all: Vec<(u32, Series)> = by_step.into_iter().collect();
    let mut findings = Vec::new();
    for (index, (fine_step, fine)) in all.iter().enumerate() {
        for (coarse_step, coarse) in all.iter().skip(index + 1) {
            let mut common = coarse
                .iter()
                .filter_map(|(at, total)| Some((*at, *fine.get(at)?, *total)));
            let (Some(first), Some(last)) = (common.next(), common.next_back()) else {
                continue;
            };
            let (sum, register) = (
                last.1.saturating_sub(first.1),
                last.2.saturating_sub(first.2),
            );
            // A rollover or an exchange between the two is V05's and V04's.
            if sum < 0 || register < 0 {
                continue;
            }
            let step = resolution(&[first.1, last.1]).max(resolution(&[first.2, last.2]));
            let allowed = allowed(register, step, share);
            if (sum - register).abs() as f64 > allowed {
                let args = [
                    Arg::time("since", first.0),
                    Arg::time("until", last.0),
                    Arg::term("fine", name_of(*fine_step)),
                    Arg::term("coarse", name_of(*coarse_step)),
                    Arg::volume("sum", sum),
                    Arg::volume("register", register),
                    m3("allowed", allowed),
                ];
                let severity = Severity::Suspect;
                findings.push(Finding::new(&SERIES, severity, &meter.id, at, args));
            }
        }
    }
    findings
}

const fn name_of(step_s: u32) -> &'static str {
    match step_s {
        0 => "single",
        3_600 => "hourly",
        86_400 => "daily",
        _ => "frozen",
    }
}

fn m3(name: &'static str, units: f64) -> Arg {
    Arg::number(name, units / UNITS_PER_M3 as f64, Unit::M3)
}

fn converted(meter: &Meter, readings: &[Reading], share: f64) -> Option<Finding> {
    let said = |reading: &Reading| {
        Some((
            reading.sampled_at,
            reading.exact(Item::TotalWork)?,
            reading.exact(Item::TotalStd)?,
            reading.float(Item::ConversionFactor)?,
        ))
    };
    let (mut sum, mut slack, mut register, mut intervals) = (0.0, 0.0, 0_i64, 0_usize);
    let mut before: Option<(DateTime<Utc>, i64, i64, f64)> = None;
    let mut since = None;
    let mut steps = [UNITS_PER_M3; 2];
    for this in readings.iter().filter_map(said) {
        steps[0] = steps[0].min(resolution(&[this.1]));
        steps[1] = steps[1].min(resolution(&[this.2]));
        if let Some(last) = before.replace(this)
            && this.0 - last.0 <= INTERVAL_MAX
        {
            let work = this.1.saturating_sub(last.1);
            let standard = this.2.saturating_sub(last.2);
            if work < 0 || standard < 0 {
                return None;
            }
            sum += work as f64 * f64::midpoint(this.3, last.3);
            slack += work as f64 * (this.3 - last.3).abs() / 2.0;
            register = register.saturating_add(standard);
            intervals += 1;
            since.get_or_insert(last.0);
        }
    }
    let (until, .., factor) = before?;
    let step = (steps[0] as f64 * factor).max(steps[1] as f64);
    // Each total is read with its own last digit cut off, at both ends of what is summed.
    let allowed = (register as f64 * share).max(2.0 * step) + slack;
    if intervals < INTERVALS_MIN || (sum - register as f64).abs() <= allowed {
        return None;
    }
    let args = [
        Arg::time("since", since?),
        Arg::time("until", until),
        m3("sum", sum),
        Arg::volume("register", register),
        m3("allowed", allowed),
    ];
    Some(Finding::new(
        &CONVERTED,
        Severity::Suspect,
        &meter.id,
        until,
        args,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::ItemValue;
    use crate::validate::rules::testing::{at, frozen, std_meter, total};

    const SHARE: f64 = 0.005;

    /// Daily frozen totals of this morning and the morning before, m³.
    fn daily(first: i64, last: i64) -> Reading {
        let mut reading = frozen(24, 0, &[Some(first), Some(last)]);
        reading.frozen[0].step_s = 86_400;
        reading
    }

    #[test]
    fn hourly_and_daily_totals_may_differ_by_half_a_percent() {
        let mut hours = vec![None; 25];
        (hours[0], hours[24]) = (Some(1_000), Some(3_000));
        let hourly = frozen(24, 0, &hours);
        // 2,000 m³ by the hour: 1,991 by the day allows 9.955 m³, 1,990 allows 9.95.
        assert_eq!(
            check(&std_meter(), &[hourly.clone(), daily(1_000, 2_991)], SHARE),
            []
        );
        let found = check(&std_meter(), &[hourly, daily(1_000, 2_990)], SHARE);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].message_en(),
            "from 2026-11-21 08:00:00 +08:00 to 2026-11-22 08:00:00 +08:00 the hourly totals grew \
             by 2000.0000 m³ and the daily totals by 1990.0000 m³, which differ by more than 9.95 m³"
        );
    }

    #[test]
    fn a_small_day_may_differ_by_two_last_digits() {
        let mut hours = vec![None; 25];
        (hours[0], hours[24]) = (Some(1_000), Some(1_012));
        let hourly = frozen(24, 0, &hours);
        assert_eq!(
            check(&std_meter(), &[hourly.clone(), daily(1_000, 1_010)], SHARE),
            []
        );
        let found = check(&std_meter(), &[hourly, daily(1_000, 1_009)], SHARE);
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn one_common_instant_is_no_sum() {
        let hourly = frozen(24, 0, &[Some(1_000), Some(1_100)]);
        assert_eq!(
            check(&std_meter(), &[hourly, daily(1_000, 9_000)], SHARE),
            []
        );
    }

    /// A corrector that converts with factor 3 and adds this much to its standard total every hour.
    fn corrector(std_per_hour: i64, hours: i64) -> Vec<Reading> {
        (0..=hours)
            .map(|hour| {
                let mut reading = total(hour, 50_000 + hour * std_per_hour);
                let work = ItemValue::Exact((10_000 + hour * 100) * 10_000);
                reading.values.push((Item::TotalWork, work));
                reading
                    .values
                    .push((Item::ConversionFactor, ItemValue::Float(3.0)));
                reading
            })
            .collect()
    }

    #[test]
    fn intervals_converted_must_sum_to_the_standard_total() {
        // 24 · 100 m³ · 3 = 7,200 m³; 0.5 % of 24 · 298 = 7,152 is 35.8, of 7,176 is 35.9.
        assert_eq!(check(&std_meter(), &corrector(299, 24), SHARE), []);
        let found = check(&std_meter(), &corrector(298, 24), SHARE);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .message_zh()
                .contains("换算之和为 7200.0 m³,标况累积增长 7152.0000 m³"),
            "{}",
            found[0].message_zh()
        );
    }

    #[test]
    fn silence_between_readings_is_not_summed() {
        let mut readings = corrector(100, 24);
        readings.retain(|reading| (reading.sampled_at - at(0)).num_hours() % 3 == 0);
        assert_eq!(check(&std_meter(), &readings, SHARE), []);
    }
}
