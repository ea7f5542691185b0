//! E6, E7 and E8: what others used, what came in, what was planned.

use super::{LadderFacts, PeerHour, estimate_of, hour_of, quantile};
use crate::domain::estimate::{Estimate, Method};
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;

/// Meters that make a profile of a class.
const PEERS_MIN: u32 = 3;
/// Hours that the meter itself must know to be compared with its class, and how many are taken: those of
/// two weeks.
const OWN_HOURS_MIN: usize = 6;
const OWN_HOURS: usize = 14 * 24;
/// Part of the known hours that the uncertainty of E6 reaches to.
const OWN_WITHIN: f64 = 0.83;
/// Least uncertainty of it, as a part of the volume.
const CLASS_PART_MIN: f64 = 0.05;
/// Uncertainty as a part of the volume: of the class by size alone, of what is left of the gates by use and
/// by size, of a plan.
const CLASS_SIZE_PART: f64 = 0.4;
const GATE_PART: f64 = 0.42;
const GATE_SIZE_PART: f64 = 0.9;
const PLAN_PART: f64 = 0.68;
/// What is left of the pipes' own moves where days of the same weekday are compared, whose swing is alike.
const LIKE_PACK_PART: f64 = 0.25;

/// E6: what the class used in this hour for each m³/h of largest flow, times what the meter uses of that;
/// times its largest flow if nothing is known of its own use.
pub(super) fn by_class(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let of_hour = class_use(facts.peers?.get(hour)?)?;
    let (size, part) = own_size(facts).unwrap_or((facts.size as f64, CLASS_SIZE_PART));
    let volume = of_hour * size;
    Some(estimate_of(
        StdVolume::from_f64(volume),
        Method::E6,
        part * volume,
    ))
}

/// m³ of the class in an hour for each 0.01 m³/h of largest flow.
fn class_use(peer: &PeerHour) -> Option<f64> {
    (peer.meters >= PEERS_MIN && peer.size > 0).then(|| peer.volume.to_f64() / peer.size as f64)
}

/// The largest flow that a meter of its class with this meter's use would have: by what it used in hours
/// that are known, of the day itself or else of the newest days, against what the class uses in those hours
/// of the day. And how far four of five of these hours lie from that, as a part of it.
fn own_size(facts: &LadderFacts<'_>) -> Option<(f64, f64)> {
    let peers = facts.peers?;
    let of = |curve: &LoadCurve, pairs: &mut Vec<(f64, f64)>| {
        for (hour, peer) in peers.iter().enumerate() {
            if let (Some(own), Some(of_class)) = (hour_of(curve, hour), class_use(peer)) {
                pairs.push((own.to_f64(), of_class));
            }
        }
    };
    let mut pairs = Vec::new();
    if let Some(curve) = facts.curve {
        of(curve, &mut pairs);
    }
    if pairs.len() < OWN_HOURS_MIN {
        for curve in facts.history.iter().rev() {
            of(curve, &mut pairs);
            if pairs.len() >= OWN_HOURS {
                break;
            }
        }
    }
    let own: f64 = pairs.iter().map(|(own, _)| own).sum();
    let of_class: f64 = pairs.iter().map(|(_, of_class)| of_class).sum();
    if pairs.len() < OWN_HOURS_MIN || of_class <= 0.0 {
        return None;
    }
    let size = own / of_class;
    let mut off: Vec<f64> = pairs
        .iter()
        .map(|(own, of_class)| (own - size * of_class).abs() / (size * of_class))
        .filter(|off| off.is_finite())
        .collect();
    off.sort_by(f64::total_cmp);
    let within = quantile(&off, OWN_WITHIN)?;
    Some((size, within.max(CLASS_PART_MIN)))
}

/// E7: what came through the gates, did not stay in the pipes and nobody else used, by what it used of that on the same weekdays
/// before; by largest flow if that is not known.
pub(super) fn by_gate(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let gate = (*facts.gate?.get(hour)?)?;
    let volume = share(gate.left.max(StdVolume::ZERO), gate.own, gate.all)?;
    let (part, pack_part) = if gate.is_by_use {
        (GATE_PART, LIKE_PACK_PART)
    } else {
        (GATE_SIZE_PART, 1.0)
    };
    // What stays in the pipes has nothing to do with who uses what: the two add up as squares.
    let of_pack = pack_part * share(gate.pack, gate.own, gate.all)?.to_f64();
    let half_width = (part * volume.to_f64()).hypot(of_pack);
    Some(estimate_of(volume, Method::E7, half_width))
}

/// E8: the plan, divided over the hours of the day as the class uses gas, or evenly. What is known of the
/// day is not taken off: the plan's error would fall on the few hours that are left.
pub(super) fn by_plan(facts: &LadderFacts<'_>, hour: usize) -> Option<Estimate> {
    let plan = facts.plan?;
    let weight = |hour: usize| {
        let of_hour = facts.peers.and_then(|peers| peers.get(hour));
        of_hour.map_or(0, |peer: &PeerHour| peer.volume.units().max(0))
    };
    let sum: i64 = (0..24).map(weight).sum();
    let volume = if sum > 0 {
        share(plan, weight(hour), sum)?
    } else {
        share(plan, 1, 24)?
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
