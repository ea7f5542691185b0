//! What curves of past gas days sum to, meter by meter, as the ledger, the declaration and the runs ask for
//! it again and again: read once, and again where a curve was written since.
//!
//! A day is stale when the journal counts another number of writes to it than when it was read
//! ([`Journal::curve_writes_on`]); then all of it is read anew. Nothing else makes it so: a sum is a function
//! of the curve alone. ADR 0037.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;
use crate::store::error::StoreError;
use crate::store::journal::Journal;
use crate::validate::estimate::day_uncertainty;

/// What a curve sums to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DaySum {
    /// Volume of the hours that have one.
    pub(crate) volume: StdVolume,
    /// How many these are; none where there is no curve.
    pub(crate) hours: u8,
    /// How far the whole may be off, of a curve with estimated hours.
    pub(crate) uncertainty: StdVolume,
}

impl DaySum {
    fn of(curve: &LoadCurve) -> Self {
        Self {
            volume: curve.volume(),
            hours: u8::try_from(curve.hours_known()).unwrap_or(24),
            uncertainty: day_uncertainty(curve),
        }
    }

    /// Whether every hour has a volume.
    pub(crate) const fn is_complete(self) -> bool {
        self.hours == 24
    }
}

/// Days that are kept: what runs look back on, and some weeks for those that ask as of then.
const DAYS_MAX: usize = 2_300;

/// Days of meters that were read; clones are one. Nine bytes a meter and day.
#[derive(Debug, Clone, Default)]
pub(crate) struct DailyVolumes(Arc<Mutex<Shelf>>);

/// Consecutive gas days of some meters.
#[derive(Debug)]
pub(crate) struct Shelf {
    first: GasDay,
    /// How often each day had been written to when it was read; none of one that nobody asked for.
    writes: Vec<Option<u64>>,
    meters: BTreeMap<MeterId, OfMeter>,
}

/// One entry for each day.
#[derive(Debug, Default)]
struct OfMeter {
    volumes: Vec<StdVolume>,
    hours: Vec<u8>,
    /// Where it is not zero.
    uncertainties: BTreeMap<GasDay, StdVolume>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self {
            first: GasDay::from_epoch_day(0),
            writes: Vec::new(),
            meters: BTreeMap::new(),
        }
    }
}

impl DailyVolumes {
    /// Reads what is not known yet of some meters on the gas days `[from, to)` and lets `take` look at it.
    /// Blocks; whoever asks meanwhile waits.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn with<T>(
        &self,
        journal: &Journal,
        meters: &BTreeSet<&MeterId>,
        [from, to]: [GasDay; 2],
        take: impl FnOnce(&Shelf) -> T,
    ) -> Result<T, StoreError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut once = Shelf::default();
        // Where another process writes, nothing is known for longer than it takes to read it.
        let is_kept = journal.curve_writes_on(from).is_some() && kept.reach(from, to);
        let shelf = if is_kept { &mut *kept } else { &mut once };
        if !is_kept {
            shelf.begin(from, to);
        }
        let read = shelf.read(journal, meters, from, to);
        if read.is_err() {
            *shelf = Shelf::default();
        }
        read?;
        Ok(take(shelf))
    }
}

impl Shelf {
    /// What the curves of a meter sum to on the gas days `[from, to)`, in order; days without one are left
    /// out.
    pub(crate) fn of(
        &self,
        meter: &MeterId,
        [from, to]: [GasDay; 2],
    ) -> impl Iterator<Item = (GasDay, DaySum)> {
        let days = self.index(from)..self.index(to).min(self.writes.len());
        let of_meter = self.meters.get(meter);
        let sums = of_meter.into_iter().flat_map(move |of| {
            let sum = move |at| Some((self.day(at), of.sum(self.day(at), at)?));
            days.clone().filter_map(sum)
        });
        sums.filter(|(_, sum)| sum.hours > 0)
    }

    fn day(&self, index: usize) -> GasDay {
        self.first.plus(i64::try_from(index).unwrap_or(0))
    }

    fn index(&self, day: GasDay) -> usize {
        usize::try_from(day.days_since(self.first)).unwrap_or(0)
    }

    fn begin(&mut self, from: GasDay, to: GasDay) {
        self.first = from;
        self.meters.clear();
        self.writes = vec![None; usize::try_from(to.days_since(from)).unwrap_or(0)];
    }

    /// Makes room for the gas days `[from, to)`, on which old ones are given up; false where they lie too far
    /// from those that are kept.
    fn reach(&mut self, from: GasDay, to: GasDay) -> bool {
        let end = self.day(self.writes.len());
        if self.writes.is_empty() {
            self.begin(from, to);
            return true;
        }
        let days_max = i64::try_from(DAYS_MAX).unwrap_or(0);
        let end_then = end.max(to);
        let first_then = self.first.min(from).max(end_then.plus(-days_max));
        if from < first_then {
            return false;
        }
        let gone = self.index(first_then).min(self.writes.len());
        let before = usize::try_from(self.first.days_since(first_then)).unwrap_or(0);
        let len = usize::try_from(end_then.days_since(first_then)).unwrap_or(0);
        shift(&mut self.writes, gone, before, len, None);
        for of in self.meters.values_mut() {
            shift(&mut of.volumes, gone, before, len, StdVolume::ZERO);
            shift(&mut of.hours, gone, before, len, 0);
            of.uncertainties = of.uncertainties.split_off(&first_then);
        }
        self.first = first_then;
        true
    }

    fn read(
        &mut self,
        journal: &Journal,
        meters: &BTreeSet<&MeterId>,
        from: GasDay,
        to: GasDay,
    ) -> Result<(), StoreError> {
        let mut stale = Vec::new();
        for at in self.index(from)..self.index(to) {
            // Asked before it is read: who writes meanwhile makes it stale again.
            let now = Some(journal.curve_writes_on(self.day(at)).unwrap_or(0));
            if self.writes[at] != now {
                self.writes[at] = now;
                stale.push(at);
            }
        }
        let is_new = |meter: &&&MeterId| !self.meters.contains_key(**meter);
        let new: Vec<MeterId> = meters.iter().filter(is_new).copied().cloned().collect();
        let days = self.writes.len();
        for meter in &new {
            let of = OfMeter {
                volumes: vec![StdVolume::ZERO; days],
                hours: vec![0; days],
                uncertainties: BTreeMap::new(),
            };
            self.meters.insert(meter.clone(), of);
        }
        let is_fresh = |at: &usize| self.writes[*at].is_some() && stale.binary_search(at).is_err();
        let fresh: Vec<usize> = (0..days).filter(is_fresh).collect();
        if !new.is_empty() {
            self.read_days(journal, &new, &fresh)?;
        }
        if !stale.is_empty() {
            let all: Vec<MeterId> = self.meters.keys().cloned().collect();
            self.read_days(journal, &all, &stale)?;
        }
        Ok(())
    }

    /// Reads days anew, in as few reads as there are gaps between them.
    fn read_days(
        &mut self,
        journal: &Journal,
        meters: &[MeterId],
        days: &[usize],
    ) -> Result<(), StoreError> {
        let first = self.first;
        let mut columns: Vec<&mut OfMeter> = Vec::with_capacity(meters.len());
        for (id, of) in &mut self.meters {
            if meters.binary_search(id).is_ok() {
                columns.push(of);
            }
        }
        for span in days.chunk_by(|a, b| a + 1 == *b) {
            let (Some(begin), Some(last)) = (span.first(), span.last()) else {
                continue;
            };
            let end = last + 1;
            for of in &mut columns {
                of.clear(first, *begin..end);
            }
            let day = |at: usize| first.plus(i64::try_from(at).unwrap_or(0));
            journal.for_each_curve_of(meters, day(*begin), day(end), |place, curve| {
                let at = usize::try_from(curve.day.days_since(first)).unwrap_or(0);
                columns[place].set(at, &curve);
            })?;
        }
        Ok(())
    }
}

impl OfMeter {
    fn clear(&mut self, first: GasDay, days: Range<usize>) {
        for at in days.clone() {
            self.uncertainties
                .remove(&first.plus(i64::try_from(at).unwrap_or(0)));
        }
        self.hours[days].fill(0);
    }

    fn set(&mut self, at: usize, curve: &LoadCurve) {
        let DaySum {
            volume,
            hours,
            uncertainty,
        } = DaySum::of(curve);
        self.volumes[at] = volume;
        self.hours[at] = hours;
        if !uncertainty.is_zero() {
            self.uncertainties.insert(curve.day, uncertainty);
        }
    }

    fn sum(&self, day: GasDay, at: usize) -> Option<DaySum> {
        Some(DaySum {
            volume: *self.volumes.get(at)?,
            hours: *self.hours.get(at)?,
            uncertainty: self.uncertainties.get(&day).copied().unwrap_or_default(),
        })
    }
}

/// Drops what is gone from the front, puts so many `empty` before the rest, and makes it so long.
fn shift<T: Clone>(of: &mut Vec<T>, gone: usize, before: usize, len: usize, empty: T) {
    of.drain(..gone.min(of.len()));
    of.splice(0..0, std::iter::repeat_n(empty.clone(), before));
    of.resize(len, empty);
}

#[cfg(test)]
mod tests;
