//! Long history: what every store of readings and curves gives back alike.
//!
//! Two stores answer: the journal, and InfluxDB or what speaks like it. What a meter said is a set of
//! [`HistoryPoint`]s; a frozen total stands at the instant it speaks of, not at that of its uplink.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::domain::reading::{AlarmSet, FrozenTotals, Item, ItemValue, Reading};
use crate::domain::series::LoadCurve;
use crate::store::error::StoreError;
use crate::store::influx::InfluxError;

/// What is known of one instant of a meter.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryPoint {
    /// When.
    pub at: DateTime<Utc>,
    /// Values of a reading of that instant, in the order of `Item`.
    pub values: Vec<(Item, ItemValue)>,
    /// Frozen totals of that instant, in the order of `Item`, units of 1e-4 m³.
    pub frozen: Vec<(Item, i64)>,
    /// Alarms of a reading of that instant.
    pub alarms: AlarmSet,
}

impl HistoryPoint {
    /// Nothing yet.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self {
            at,
            values: Vec::new(),
            frozen: Vec::new(),
            alarms: AlarmSet::default(),
        }
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.frozen.is_empty() && self.alarms == AlarmSet::default()
    }
}

/// A store that cannot give its history now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HistoryError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] StoreError),
    /// The second store.
    #[error(transparent)]
    Influx(#[from] InfluxError),
}

impl HistoryError {
    /// Stable code, key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Journal(error) => error.code(),
            Self::Influx(error) => error.code(),
        }
    }
}

/// A store of readings and curves, read by time.
pub trait History {
    /// Hands the points of a meter in `[from, to)` to `take`, in time order, one for an instant; only a
    /// part of them is held at a time. Readings that must not be used are left out.
    fn for_each_point(
        &self,
        meter: &MeterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        take: impl FnMut(HistoryPoint) + Send,
    ) -> impl Future<Output = Result<(), HistoryError>> + Send;

    /// Load curves of a meter for the gas days `[from, to)`, in order; days without one are left out.
    fn curves_between(
        &self,
        meter: &MeterId,
        from: GasDay,
        to: GasDay,
    ) -> impl Future<Output = Result<Vec<LoadCurve>, HistoryError>> + Send;

    /// The points of a meter in `[from, to)`, in time order.
    fn points_between(
        &self,
        meter: &MeterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> impl Future<Output = Result<Vec<HistoryPoint>, HistoryError>> + Send
    where
        Self: Sync,
    {
        async move {
            let mut points = Vec::new();
            self.for_each_point(meter, from, to, |point| points.push(point))
                .await?;
            Ok(points)
        }
    }
}

/// Instants and totals of a frozen array, without those a device cannot mean.
pub fn frozen_totals(array: &FrozenTotals) -> impl Iterator<Item = (DateTime<Utc>, i64)> + '_ {
    array
        .totals
        .iter()
        .enumerate()
        .filter_map(|(index, total)| {
            let offset_s = i64::try_from(index)
                .ok()?
                .checked_mul(i64::from(array.step_s))?;
            let at = array
                .first_at
                .checked_add_signed(TimeDelta::try_seconds(offset_s)?)?;
            Some((at, (*total)?))
        })
}

/// Frozen totals by instant and item. Where arrays contradict each other the greatest counts, so that
/// neither the order of uplinks nor their repetition matters.
pub fn frozen_by_instant(readings: &[Reading]) -> BTreeMap<(DateTime<Utc>, Item), i64> {
    let mut totals = BTreeMap::new();
    for array in readings.iter().flat_map(|reading| &reading.frozen) {
        for (at, units) in frozen_totals(array) {
            let known = totals.entry((at, array.item)).or_insert(units);
            *known = units.max(*known);
        }
    }
    totals
}

/// The points that usable readings say of `[from, to)`, in time order.
pub fn points_of(
    readings: &[Reading],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<HistoryPoint> {
    let mut points: BTreeMap<DateTime<Utc>, HistoryPoint> = BTreeMap::new();
    let is_asked = |at: DateTime<Utc>| from <= at && at < to;
    for reading in readings
        .iter()
        .filter(|reading| is_asked(reading.sampled_at))
    {
        let at = reading.sampled_at;
        let point = points.entry(at).or_insert_with(|| HistoryPoint::new(at));
        point.values.clone_from(&reading.values);
        point.alarms = reading.alarms;
    }
    for ((at, item), units) in frozen_by_instant(readings) {
        if is_asked(at) {
            let point = points.entry(at).or_insert_with(|| HistoryPoint::new(at));
            point.frozen.push((item, units));
        }
    }
    points
        .into_values()
        .filter(|point| !point.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::total;

    #[test]
    fn contradicting_arrays_end_in_the_same_points_in_any_order() {
        let mut first = total(1, 12);
        let at = first.sampled_at;
        let array = |totals: &[i64]| FrozenTotals {
            item: Item::TotalStd,
            first_at: at - TimeDelta::hours(2),
            step_s: 3_600,
            totals: totals.iter().copied().map(Some).collect(),
        };
        first.frozen = vec![array(&[5, 9])];
        let mut second = total(2, 13);
        second.frozen = vec![array(&[7, 8])];
        let (from, to) = (at - TimeDelta::days(1), at + TimeDelta::days(1));
        let points = points_of(&[first.clone(), second.clone()], from, to);
        assert_eq!(points, points_of(&[second, first], from, to));
        let frozen: Vec<i64> = points
            .iter()
            .flat_map(|p| &p.frozen)
            .map(|(_, units)| *units)
            .collect();
        assert_eq!(frozen, [7, 9]);
        assert_eq!(points.len(), 4);
        assert_eq!(points_of(&[], from, to), []);
    }
}
