//! The estimation ladder: volumes for hours that no total bounds, each with its method and uncertainty.
//!
//! A curve itself holds what totals say (measured, E1, E2) and what a person decided (E10). What is
//! computed here is never stored in it and never serves for another estimate: the steps use hours of
//! curves only. When totals come, the estimate is gone.
//!
//! # Source
//! METHODS.md, "Estimation".

mod like_days;
mod linear;
mod others;

use std::collections::BTreeMap;

use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::customer::CustomerClass;
use crate::domain::estimate::{Estimate, Method};
use crate::domain::finding::Quality;
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;

/// Gas days before a day from which like days are taken.
pub const LIKE_DAYS: i64 = 28;
/// Gas days of which the contract's rule takes the mean: three months.
pub const CONTRACT_DAYS: i64 = 92;
/// Gas days back at which E7 looks how what is left of the gates is usually divided.
pub const WEEKS_BACK: [i64; 4] = [7, 14, 21, 28];
/// Gas days before a day that its like days and their levels can depend on.
pub const REACH_DAYS: i64 = LIKE_DAYS + 7;
/// Least uncertainty: an estimate is never as good as a measurement.
const LEAST: StdVolume = StdVolume::from_units(1);
/// Uncertainty of a spread by the meter's profile, and by time: a part of the mean hour of its run.
const SPREAD_PART: f64 = 0.185;
const EVEN_PART: f64 = 0.85;
/// Uncertainty of a decision: a part of its volume.
const DECIDED_PART: f64 = 0.1;

/// What is known of the other meters of a node, in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerHour {
    /// What they used.
    pub volume: StdVolume,
    /// Sum of their largest flows, in 0.01 m³/h.
    pub size: i64,
    /// How many.
    pub meters: u32,
}

/// What came through the gates of a zone in one hour and no meter used, and a meter's part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateHour {
    /// Supply less what other meters used and what more lies in the pipes at the end of the hour.
    pub left: StdVolume,
    /// The meter's part: what it used in this hour on the same weekdays before ([`WEEKS_BACK`]), in 1e-4 m³;
    /// or its largest flow.
    pub own: i64,
    /// The whole: what was left on these days, the usual loss with it; or the largest flows of all meters
    /// without a value.
    pub all: i64,
    /// Whether it is of these days.
    pub is_by_use: bool,
    /// How much more or less may lie in the pipes at the end of the hour, in four of five hours, where that is
    /// not taken off; zero where it is, or there are no pipes.
    pub pack: StdVolume,
}

/// What the hours of a meter's gas day can be estimated from.
#[derive(Debug, Clone, Copy)]
pub struct LadderFacts<'a> {
    /// Gas day.
    pub day: GasDay,
    /// The day's curve, if there is one.
    pub curve: Option<&'a LoadCurve>,
    /// Curves of the days before, in order.
    pub history: &'a [LoadCurve],
    /// Working days and holidays.
    pub calendar: &'a Calendar,
    /// The customer's class.
    pub class: Option<CustomerClass>,
    /// Mean temperatures of gas days where the meter stands, °C.
    pub temperatures: &'a BTreeMap<GasDay, f64>,
    /// The meter's largest flow, in 0.01 m³/h.
    pub size: i64,
    /// Other meters of the class and zone.
    pub peers: Option<&'a [PeerHour; 24]>,
    /// The zone's gates, and the meter's part.
    pub gate: Option<&'a [Option<GateHour>; 24]>,
    /// What the customer planned for this meter and day.
    pub plan: Option<StdVolume>,
}

impl LadderFacts<'_> {
    /// Volume of an hour of the day that totals give.
    fn known(&self, hour: usize) -> Option<StdVolume> {
        self.curve.and_then(|curve| hour_of(curve, hour))
    }
}

/// The volume of an hour that totals give: measured, or bounded by them. Decisions do not count.
fn hour_of(curve: &LoadCurve, hour: usize) -> Option<StdVolume> {
    let quality = *curve.quality.get(hour)?;
    let volume = *curve.hours.get(hour)?;
    (quality <= Quality::Estimated).then_some(volume)
}

/// One step of the ladder.
type Step = fn(&LadderFacts<'_>, usize) -> Option<Estimate>;

/// From the third step on; who heats is estimated by temperature before by weekday. The first four ask the
/// meter and its class, the others the gates, the customer and the contract.
const STEPS: [Step; 7] = [
    linear::estimate,
    like_days::by_temperature,
    like_days::by_weekday,
    others::by_class,
    others::by_gate,
    others::by_plan,
    like_days::by_contract,
];
const NEAR_STEPS: usize = 4;
/// Of these, those that ask the meter alone.
const OWN_STEPS: usize = 3;

/// Estimates of the hours that have no volume; none where the curve has one, or nothing is known.
pub fn ladder(facts: &LadderFacts<'_>) -> [Option<Estimate>; 24] {
    climb(facts, &STEPS)
}

/// The same by the steps up to E6, which need neither gates nor plans.
pub fn ladder_near(facts: &LadderFacts<'_>) -> [Option<Estimate>; 24] {
    climb(facts, STEPS.get(..NEAR_STEPS).unwrap_or_default())
}

/// The same by the steps before E6, which need nothing but the meter's own days.
pub fn ladder_own(facts: &LadderFacts<'_>) -> [Option<Estimate>; 24] {
    climb(facts, STEPS.get(..OWN_STEPS).unwrap_or_default())
}

fn climb(facts: &LadderFacts<'_>, steps: &[Step]) -> [Option<Estimate>; 24] {
    std::array::from_fn(|hour| {
        let quality = facts.curve.and_then(|c| c.quality.get(hour));
        if quality.is_some_and(|quality| quality.has_volume()) {
            return None;
        }
        steps.iter().find_map(|step| step(facts, hour))
    })
}

/// One step alone, for judging it.
pub fn by_method(method: Method, facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    match method {
        Method::E1 | Method::E2 | Method::E10 => None,
        Method::E3 => linear::estimate(facts, hour),
        Method::E4 => like_days::by_weekday(facts, hour),
        Method::E5 => like_days::by_temperature(facts, hour),
        Method::E6 => others::by_class(facts, hour),
        Method::E7 => others::by_gate(facts, hour),
        Method::E8 => others::by_plan(facts, hour),
        Method::E9 => like_days::by_contract(facts, hour),
    }
}

/// How the hours of a curve came about that are not measured: E1 where totals bound them, E2 from frozen
/// totals, E10 by decision.
///
/// Of a run of n estimated hours with the mean V, each is uncertain by 0.185 · V · (1 − 1/n) where the meter's
/// profile spread them: the totals say what all of them sum to, so the fewer they are the less can be
/// misplaced. Where time alone did, which shows in hours that are all alike, by 0.85 · V · (1 − 1/n)².
pub fn of_curve(curve: &LoadCurve) -> [Option<Estimate>; 24] {
    let mut found = [None; 24];
    let mut start = 0;
    while start < 24 {
        let quality = curve.quality.get(start).copied();
        let run = curve.quality.iter().skip(start);
        let len = run.take_while(|q| Some(**q) == quality).count().max(1);
        let hours = curve.hours.iter().skip(start).take(len);
        let mean = hours.clone().sum::<StdVolume>().to_f64() / len as f64;
        let free = 1.0 - 1.0 / len.max(2) as f64;
        let part = if is_even(curve.hours.get(start..start + len).unwrap_or_default()) {
            EVEN_PART * free * free
        } else {
            SPREAD_PART * free
        };
        for (slot, volume) in found.iter_mut().skip(start).take(len).zip(hours) {
            *slot = match quality {
                Some(Quality::Backfilled) => Some(Estimate {
                    volume: *volume,
                    method: Method::E2,
                    uncertainty: StdVolume::ZERO,
                }),
                Some(Quality::Estimated) => Some(estimate_of(*volume, Method::E1, part * mean)),
                Some(Quality::Edited) => Some(estimate_of(
                    *volume,
                    Method::E10,
                    DECIDED_PART * volume.to_f64(),
                )),
                _ => None,
            };
        }
        start += len;
    }
    found
}

/// How far the volume of a whole gas day may be off where the hours of its curve were not all measured: in
/// about four of five days it lies within.
///
/// Uncertainties of hours are added, as they err together. A run of estimated hours that neither begins nor
/// ends the day is left out: totals on the day itself say what it sums to.
pub fn day_uncertainty(curve: &LoadCurve) -> StdVolume {
    let estimates = of_curve(curve);
    let is_estimated = |quality: &Quality| *quality == Quality::Estimated;
    let first = curve.quality.iter().take_while(|q| is_estimated(q)).count();
    let last = curve
        .quality
        .iter()
        .rev()
        .take_while(|q| is_estimated(q))
        .count();
    let inner = first..24_usize.saturating_sub(last).max(first);
    estimates
        .iter()
        .enumerate()
        .filter_map(|(hour, estimate)| Some((hour, (*estimate)?)))
        .filter(|(hour, estimate)| estimate.method != Method::E1 || !inner.contains(hour))
        .map(|(_, estimate)| estimate.uncertainty)
        .sum()
}

/// Whether the hours of a run within its ends are the same to the last unit or one: spread by time. The
/// first and the last may be parts of an hour.
fn is_even(run: &[StdVolume]) -> bool {
    let inner = match run {
        [_, inner @ .., _] if inner.len() > 1 => inner,
        _ => run,
    };
    let units = inner.iter().map(|volume| volume.units());
    units.clone().max().unwrap_or(0) - units.min().unwrap_or(0) <= 1
}

fn estimate_of(volume: StdVolume, method: Method, half_width_m3: f64) -> Estimate {
    Estimate {
        volume,
        method,
        uncertainty: StdVolume::from_f64(half_width_m3.abs()).max(LEAST),
    }
}

/// The value that a part of some sorted values does not exceed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place among a few hundred values"
)]
fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(place.min(sorted.len().checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests;
