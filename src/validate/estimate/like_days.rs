//! E4, E5 and E9: the mean of the same hour on days like this one.

use std::collections::BTreeMap;

use chrono::Datelike as _;

use super::{CONTRACT_DAYS, LIKE_DAYS, LadderFacts, REACH_DAYS, estimate_of, hour_of, quantile};
use crate::domain::calendar::{DayType, GasDay};
use crate::domain::estimate::{Estimate, Method};
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;

/// Days that make a mean, at most and at least.
const DAYS_MAX: usize = 4;
const DAYS_MIN: usize = 2;
/// A day is as warm if its effective temperature differs by at most so much, °C.
const AS_WARM_C: f64 = 2.0;
/// Weights of a day's mean temperature and of the three before it: buildings remember.
const MEMORY: [f64; 4] = [1.0, 0.5, 0.25, 0.125];
/// Least uncertainty of a mean of like days, as a part of it.
const PART_MIN: f64 = 0.05;
/// What a value of one day alone is uncertain by, as a part of it.
const ALONE_PART: f64 = 0.5;
/// Half width of the interval that holds four of five values, in standard deviations, by n − 1: Student.
const STUDENT: [f64; 3] = [3.078, 1.886, 1.638];
/// Days as warm lie on both sides of this one and so further from each other than it from their mean: measured.
const AS_WARM_PART: f64 = 0.95;
/// Hours of the day itself that say how it stands to another day.
const KNOWN_MIN: usize = 6;
/// Days before a day that make its level: a week, so that every weekday is in it once; and how many of them
/// must be known at least.
const LEVEL_DAYS: i64 = REACH_DAYS - LIKE_DAYS;
const LEVEL_DAYS_MIN: usize = 3;
/// A day's level is taken to be at most so many times another's.
const LEVEL_RATIO_MAX: f64 = 3.0;
/// Complete days that a response to temperature is told from.
const RESPONSE_DAYS_MIN: usize = 10;
/// Newest values that say how far single ones lie from the contract's mean.
const CONTRACT_NEWEST: usize = 14;
/// Part of them that the uncertainty reaches to.
const CONTRACT_WITHIN: f64 = 0.8;

/// E4: the last four days of this weekday and day type, each brought to the level of this day; a holiday
/// and a working day at a weekend are like those of their type whatever the weekday. With fewer than two,
/// days of the type.
pub(super) fn by_weekday(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let day = facts.day.0;
    let wanted = facts.calendar.day_type(day);
    let is_like = |curve: &LoadCurve| facts.calendar.day_type(curve.day.0) == wanted;
    let is_own_weekday = wanted != DayType::Holiday && !facts.calendar.is_make_up_workday(day);
    let same_weekday = |curve: &LoadCurve| curve.day.0.weekday() == day.weekday();
    let of = |like: &dyn Fn(&LoadCurve) -> bool| {
        let values: Vec<f64> = recent(facts, LIKE_DAYS)
            .filter(|curve| like(curve))
            .filter_map(|curve| Some((curve, hour_of(curve, hour)?)))
            .take(DAYS_MAX)
            .map(|(curve, volume)| volume.to_f64() * level_ratio(facts, curve))
            .collect();
        mean(Method::E4, &values, 1.0)
    };
    let strict = is_own_weekday.then(|| of(&|curve| is_like(curve) && same_weekday(curve)));
    strict.flatten().or_else(|| of(&is_like))
}

/// E5: the four days nearest in effective temperature, within 2 °C, of who heats, each moved along the
/// meter's own response to it.
pub(super) fn by_temperature(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    facts.class.filter(|class| class.is_heating())?;
    let wanted = effective_c(facts.temperatures, facts.day)?;
    let mut days: Vec<(f64, &LoadCurve, StdVolume)> = recent(facts, LIKE_DAYS)
        .filter_map(|curve| {
            let off = effective_c(facts.temperatures, curve.day)? - wanted;
            Some((off, curve, hour_of(curve, hour)?))
        })
        .filter(|(off, ..)| off.abs() <= AS_WARM_C)
        .collect();
    // The newest first among days as near: the sort keeps the order of `recent`.
    days.sort_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    days.truncate(DAYS_MAX);
    let response = response(facts);
    let values: Vec<f64> = days
        .iter()
        .map(|(off, curve, volume)| {
            let ratio = same_day_ratio(facts, curve).or_else(|| {
                // `off` is how much warmer that day was.
                response.map(|by_c| bounded((-by_c * off).exp()))
            });
            volume.to_f64() * ratio.unwrap_or(1.0)
        })
        .collect();
    mean(Method::E5, &values, AS_WARM_PART)
}

/// E9: the mean of this hour's valid readings of three months; the last one if it is alone.
///
/// It is not brought to any level: the contract says what it is. So it is as uncertain as the newest
/// readings are far from it, season included.
pub(super) fn by_contract(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let values: Vec<f64> = recent(facts, CONTRACT_DAYS)
        .filter_map(|curve| hour_of(curve, hour))
        .map(StdVolume::to_f64)
        .collect();
    if let [alone] = values.as_slice() {
        let half_width = ALONE_PART * alone;
        return Some(estimate_of(
            StdVolume::from_f64(*alone),
            Method::E9,
            half_width,
        ));
    }
    if values.len() <= DAYS_MAX {
        return mean(Method::E9, &values, 1.0);
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let newest = values.iter().take(CONTRACT_NEWEST);
    let mut off: Vec<f64> = newest.map(|value| (value - mean).abs()).collect();
    off.sort_by(f64::total_cmp);
    let half_width = quantile(&off, CONTRACT_WITHIN)?;
    Some(estimate_of(
        StdVolume::from_f64(mean),
        Method::E9,
        half_width.max(PART_MIN * mean),
    ))
}

/// What this day's level is to another day's: by the hours that both know, else by the week before each.
fn level_ratio(facts: &LadderFacts<'_>, curve: &LoadCurve) -> f64 {
    same_day_ratio(facts, curve)
        .or_else(|| week_ratio(facts, curve))
        .unwrap_or(1.0)
}

/// By the hours that both days know.
fn same_day_ratio(facts: &LadderFacts<'_>, curve: &LoadCurve) -> Option<f64> {
    let (mut own, mut other, mut hours) = (0.0, 0.0, 0);
    for hour in 0..24 {
        if let (Some(here), Some(there)) = (facts.known(hour), hour_of(curve, hour)) {
            own += here.to_f64();
            other += there.to_f64();
            hours += 1;
        }
    }
    (hours >= KNOWN_MIN && own > 0.0 && other > 0.0).then(|| bounded(own / other))
}

/// By the complete days of the week before each, of the same kind of day.
fn week_ratio(facts: &LadderFacts<'_>, curve: &LoadCurve) -> Option<f64> {
    let of = |day: GasDay| {
        let found = facts.history.binary_search_by_key(&day, |curve| curve.day);
        facts.history.get(found.ok()?)
    };
    let (mut own, mut other, mut days) = (0.0, 0.0, 0);
    for back in 1..=LEVEL_DAYS {
        let (here, there) = (of(facts.day.plus(-back)), of(curve.day.plus(-back)));
        let Some((here, there)) = here.zip(there) else {
            continue;
        };
        let kind = |curve: &LoadCurve| facts.calendar.day_type(curve.day.0);
        if kind(here) != kind(there) {
            continue;
        }
        if let Some((here, there)) = known_volume(here).zip(known_volume(there)) {
            own += here;
            other += there;
            days += 1;
        }
    }
    (days >= LEVEL_DAYS_MIN && own > 0.0 && other > 0.0).then(|| bounded(own / other))
}

/// Volume of a day all of whose hours totals give, m³.
fn known_volume(curve: &LoadCurve) -> Option<f64> {
    (0..24)
        .map(|hour| Some(hour_of(curve, hour)?.to_f64()))
        .sum()
}

fn bounded(ratio: f64) -> f64 {
    if ratio.is_finite() && ratio > 0.0 {
        ratio.clamp(1.0 / LEVEL_RATIO_MAX, LEVEL_RATIO_MAX)
    } else {
        1.0
    }
}

/// (T₀ + T₋₁/2 + T₋₂/4 + T₋₃/8) / 1.875 of the days that are known, °C; none without the day itself.
fn effective_c(temperatures: &BTreeMap<GasDay, f64>, day: GasDay) -> Option<f64> {
    temperatures.get(&day)?;
    let (mut sum, mut weights) = (0.0, 0.0);
    for (back, weight) in (0..).zip(MEMORY) {
        if let Some(c) = temperatures.get(&day.plus(-back)) {
            sum += weight * c;
            weights += weight;
        }
    }
    Some(sum / weights)
}

/// How the logarithm of the meter's complete days changes with each °C of effective temperature, by least
/// squares; none of too few days, or where warmth does not lower use.
fn response(facts: &LadderFacts<'_>) -> Option<f64> {
    let days: Vec<(f64, f64)> = recent(facts, LIKE_DAYS)
        .filter_map(|curve| {
            let c = effective_c(facts.temperatures, curve.day)?;
            let volume = known_volume(curve).filter(|volume| *volume > 0.0)?;
            Some((c, volume.ln()))
        })
        .collect();
    let n = days.len() as f64;
    if days.len() < RESPONSE_DAYS_MIN {
        return None;
    }
    let mean_c = days.iter().map(|(c, _)| c).sum::<f64>() / n;
    let mean_ln = days.iter().map(|(_, ln)| ln).sum::<f64>() / n;
    let spread: f64 = days.iter().map(|(c, _)| (c - mean_c).powi(2)).sum();
    let common: f64 = days
        .iter()
        .map(|(c, ln)| (c - mean_c) * (ln - mean_ln))
        .sum();
    let by_c = common / spread;
    (spread > 0.0 && by_c < 0.0).then_some(by_c)
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

/// Mean, and a part of t · s · √(1 + 1/n) with the standard deviation s of the n values.
fn mean(method: Method, values: &[f64], part: f64) -> Option<Estimate> {
    if values.len() < DAYS_MIN {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let student = STUDENT
        .get(values.len() - DAYS_MIN)
        .or(STUDENT.last())
        .copied()
        .unwrap_or_default();
    let spread = part * student * (squares / (n - 1.0)).sqrt() * (1.0 + 1.0 / n).sqrt();
    Some(estimate_of(
        StdVolume::from_f64(mean),
        method,
        spread.max(PART_MIN * mean),
    ))
}
