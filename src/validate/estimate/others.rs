//! E6, E7 and E8: what others used, what came in, what was planned.

use super::{LadderFacts, PeerHour, estimate_of};
use crate::domain::estimate::{Estimate, Method};
use crate::domain::quantity::StdVolume;

/// Meters that make a profile of a class.
const PEERS_MIN: u32 = 3;
/// Uncertainty as a part of the volume.
const CLASS_PART: f64 = 0.6;
const GATE_PART: f64 = 0.8;
const PLAN_PART: f64 = 0.3;

/// E6: what the class used in this hour for each m³/h of largest flow, times the meter's.
pub(super) fn by_class(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let peers = facts.peers?.get(hour)?;
    (peers.meters >= PEERS_MIN).then_some(())?;
    let volume = share(peers.volume, facts.size, peers.size)?;
    let half_width = CLASS_PART * volume.to_f64();
    Some(estimate_of(volume, Method::E6, half_width))
}

/// E7: what came through the gates and nobody else used, by largest flow.
pub(super) fn by_gate(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let gate = (*facts.gate?.get(hour)?)?;
    let volume = share(gate.left.max(StdVolume::ZERO), facts.size, gate.size)?;
    let half_width = GATE_PART * volume.to_f64();
    Some(estimate_of(volume, Method::E7, half_width))
}

/// E8: the plan less what is known of the day, over the hours that are not, as the class uses gas over
/// the day, or evenly.
pub(super) fn by_plan(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let plan = facts.plan?;
    let known: StdVolume = (0..24).filter_map(|h| facts.known(h)).sum();
    let left = (plan - known).max(StdVolume::ZERO);
    let weight = |hour: usize| {
        let of_hour = facts.peers.and_then(|peers| peers.get(hour));
        of_hour.map_or(0, |peer: &PeerHour| peer.volume.units().max(0))
    };
    let open = || (0..24).filter(|h| facts.known(*h).is_none());
    let sum: i64 = open().map(weight).sum();
    let volume = if sum > 0 {
        share(left, weight(hour), sum)?
    } else {
        share(left, 1, i64::try_from(open().count()).ok()?)?
    };
    let half_width = PLAN_PART * volume.to_f64();
    Some(estimate_of(volume, Method::E8, half_width))
}

/// `volume` · `part` / `whole`, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the part is of the size of the volume, and clamped"
)]
fn share(volume: StdVolume, part: i64, whole: i64) -> Option<StdVolume> {
    (part >= 0 && whole > 0).then_some(())?;
    let product = i128::from(volume.units()) * i128::from(part) / i128::from(whole);
    let units = product.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64;
    Some(StdVolume::from_units(units))
}
