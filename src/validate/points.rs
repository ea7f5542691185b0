//! Totals as points in time: single totals and expanded frozen arrays, one per instant.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::frame::Transport;
use crate::domain::reading::{Item, Reading};
use crate::validate::convert::interval::MeteredState;

/// A total at an instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TotalPoint {
    /// When.
    pub at: DateTime<Utc>,
    /// The total, units of 1e-4 m³.
    pub units: i64,
    /// From a frozen array.
    pub is_frozen: bool,
    /// Used, but marked: the reading contradicts itself or another, or its pressure or temperature, by which
    /// gas is converted there or here, cannot be believed.
    pub is_suspect: bool,
    /// What another reading says of the same instant, if it says something else.
    pub contradicted_by: Option<i64>,
    /// Which way it came.
    pub transport: Transport,
    /// Working to standard conversion at that instant, as the device says, where it does.
    pub factor: Option<f64>,
    /// Pressure and temperature at that instant, where the reading has both and both can be believed.
    pub state: Option<MeteredState>,
}

/// Instants further than this from the epoch are not added up; a device's clock can say anything.
const OFFSET_MAX_S: i64 = 100 * 366 * 86_400;

/// The totals of an item that some readings hold, in time order, one per instant.
///
/// Where several speak of one instant, a single total wins over an element of an array, then the
/// higher ranked transport, then the greater total; the point is suspect if they differ. The
/// result depends on the set of readings only, not on their order.
pub fn expand(readings: &[Reading], item: Item) -> Vec<TotalPoint> {
    let mut points = Vec::new();
    for reading in readings {
        if let Some(units) = reading.exact(item) {
            points.push(TotalPoint {
                at: reading.sampled_at,
                units,
                is_frozen: false,
                is_suspect: MeteredState::is_doubted(reading)
                    || (item == Item::TotalStd
                        && crate::validate::rules::v18_dual_representation::differs(reading)),
                contradicted_by: None,
                transport: reading.transport,
                factor: reading.float(Item::ConversionFactor),
                state: MeteredState::of(reading),
            });
        }
        for array in reading.frozen.iter().filter(|array| array.item == item) {
            for (index, total) in array.totals.iter().enumerate() {
                let offset_s = i64::try_from(index)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(i64::from(array.step_s));
                let Some(units) = total else { continue };
                if offset_s > OFFSET_MAX_S {
                    break;
                }
                points.push(TotalPoint {
                    at: array.first_at + TimeDelta::seconds(offset_s),
                    units: *units,
                    is_frozen: true,
                    is_suspect: false,
                    contradicted_by: None,
                    transport: reading.transport,
                    factor: None,
                    state: None,
                });
            }
        }
    }
    points.sort_by(|a, b| {
        a.at.cmp(&b.at)
            .then_with(|| a.is_frozen.cmp(&b.is_frozen))
            .then_with(|| b.transport.rank().cmp(&a.transport.rank()))
            .then_with(|| b.units.cmp(&a.units))
            .then_with(|| b.is_suspect.cmp(&a.is_suspect))
            .then_with(|| {
                let of = |point: &TotalPoint| point.factor.unwrap_or(f64::NEG_INFINITY);
                of(b).total_cmp(&of(a))
            })
            .then_with(|| MeteredState::order(b.state, a.state))
    });
    points.dedup_by(|later, kept| {
        let is_same = later.at == kept.at;
        if is_same && later.units != kept.units {
            kept.is_suspect = true;
            kept.contradicted_by.get_or_insert(later.units);
        }
        is_same
    });
    points
}
