//! E3: linear between the hours before and after, for one or two hours.

use super::{LadderFacts, estimate_of, hour_of};
use crate::domain::estimate::{Estimate, Method};
use crate::domain::quantity::StdVolume;

/// Hours in a row at most.
const RUN_MAX: usize = 2;
/// Parts of the step between the two hours, and of their mean, that the uncertainty is made of.
const STEP_PART: f64 = 0.36;
const MEAN_PART: f64 = 0.11;

/// V = a + (b − a) · k / (n + 1) for the k-th of n hours between a and b.
pub(super) fn estimate(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let run = (0..=hour).rev().take_while(|h| facts.known(*h).is_none());
    let back = run.count();
    let ahead = (hour..24).take_while(|h| facts.known(*h).is_none()).count();
    let len = back + ahead - 1;
    if len > RUN_MAX {
        return None;
    }
    let before = match (hour + 1).checked_sub(back + 1) {
        Some(index) => facts.known(index),
        None => facts
            .history
            .last()
            .filter(|curve| curve.day == facts.day.plus(-1))
            .and_then(|curve| hour_of(curve, 23)),
    }?;
    let after = facts.known(hour + ahead)?;
    let (place, parts) = (i64::try_from(back).ok()?, i64::try_from(len + 1).ok()?);
    let step = after.units() - before.units();
    let volume = StdVolume::from_units(before.units() + step * place / parts);
    let mean = f64::midpoint(before.to_f64(), after.to_f64());
    let half_width = STEP_PART * (after - before).to_f64().abs() + MEAN_PART * mean;
    Some(estimate_of(volume, Method::E3, half_width))
}
