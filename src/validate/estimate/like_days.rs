//! E4, E5 and E9: the mean of the same hour on days like this one.

use chrono::Datelike as _;

use super::{CONTRACT_DAYS, HALF_WIDTH, LIKE_DAYS, LadderFacts, estimate_of, hour_of};
use crate::domain::calendar::DayType;
use crate::domain::estimate::{Estimate, Method};
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;

/// Days that make a mean, at most and at least.
const DAYS_MAX: usize = 4;
const DAYS_MIN: usize = 2;
/// A day is as warm if its mean temperature differs by at most so much, °C.
const AS_WARM_C: f64 = 2.0;
/// Least uncertainty of a mean of like days, as a part of it.
const PART_MIN: f64 = 0.05;
/// What a value of one day alone is uncertain by, as a part of it.
const ALONE_PART: f64 = 0.5;

/// E4: the last four days of this weekday and day type; a holiday and a working day at a weekend are
/// like those of their type whatever the weekday. With fewer than two, days of the type.
pub(super) fn by_weekday(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let day = facts.day.0;
    let wanted = facts.calendar.day_type(day);
    let is_like = |curve: &LoadCurve| facts.calendar.day_type(curve.day.0) == wanted;
    let is_own_weekday = wanted != DayType::Holiday && !facts.calendar.is_make_up_workday(day);
    let same_weekday = |curve: &LoadCurve| curve.day.0.weekday() == day.weekday();
    let strict = is_own_weekday.then(|| {
        mean(
            Method::E4,
            &last(facts, hour, |c| is_like(c) && same_weekday(c)),
        )
    });
    strict
        .flatten()
        .or_else(|| mean(Method::E4, &last(facts, hour, is_like)))
}

/// E5: the four days nearest in temperature, within 2 °C, of who heats.
pub(super) fn by_temperature(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    facts.class.filter(|class| class.is_heating())?;
    let wanted = *facts.temperatures.get(&facts.day)?;
    let mut days: Vec<(f64, StdVolume)> = recent(facts, LIKE_DAYS)
        .filter_map(|curve| {
            let off = (facts.temperatures.get(&curve.day)? - wanted).abs();
            Some((off, hour_of(curve, hour)?))
        })
        .filter(|(off, _)| *off <= AS_WARM_C)
        .collect();
    // The newest first among days as near: the sort keeps the order of `recent`.
    days.sort_by(|a, b| a.0.total_cmp(&b.0));
    days.truncate(DAYS_MAX);
    let values: Vec<StdVolume> = days.into_iter().map(|(_, v)| v).collect();
    mean(Method::E5, &values)
}

/// E9: the mean of this hour's valid readings of three months; the last one if it is alone.
pub(super) fn by_contract(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let values: Vec<StdVolume> = recent(facts, CONTRACT_DAYS)
        .filter_map(|curve| hour_of(curve, hour))
        .collect();
    if let [alone] = values.as_slice() {
        let half_width = ALONE_PART * alone.to_f64();
        return Some(estimate_of(*alone, Method::E9, half_width));
    }
    mean(Method::E9, &values)
}

/// Curves of the last so many days, newest first.
fn recent<'a>(facts: &LadderFacts<'a>, days: i64) -> impl Iterator<Item = &'a LoadCurve> {
    let (from, to) = (facts.day.plus(-days), facts.day);
    facts
        .history
        .iter()
        .rev()
        .filter(move |curve| from <= curve.day && curve.day < to)
}

fn last(
    facts: &LadderFacts<'_>,
    hour: usize,
    is_like: impl Fn(&LoadCurve) -> bool,
) -> Vec<StdVolume> {
    recent(facts, LIKE_DAYS)
        .filter(|curve| is_like(curve))
        .filter_map(|curve| hour_of(curve, hour))
        .take(DAYS_MAX)
        .collect()
}

/// Mean, and 1.2816 · s · √(1 + 1/n) with the standard deviation s of the n values.
fn mean(method: Method, values: &[StdVolume]) -> Option<Estimate> {
    if values.len() < DAYS_MIN {
        return None;
    }
    let count = i64::try_from(values.len()).ok()?;
    let sum: StdVolume = values.iter().sum();
    let mean = StdVolume::from_units((sum.units() + count / 2).div_euclid(count));
    let squares: f64 = values
        .iter()
        .map(|v| (v.to_f64() - mean.to_f64()).powi(2))
        .sum();
    let n = values.len() as f64;
    let spread = HALF_WIDTH * (squares / (n - 1.0)).sqrt() * (1.0 + 1.0 / n).sqrt();
    Some(estimate_of(
        mean,
        method,
        spread.max(PART_MIN * mean.to_f64()),
    ))
}
