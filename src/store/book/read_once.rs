//! What forecasts read again and again and seldom changes: demand of past months is read once, and of
//! observed weather it is known whether it is still what was read.
//!
//! Only of a book that this process writes: what another one writes nobody here counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};

use super::Book;
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::demand::DemandDay;
use crate::domain::weather::StationMix;
use crate::store::error::StoreError;

/// Rows kept at most, of some 280 bytes each: six years of ninety nodes.
const ROWS_MAX: usize = 200_000;

/// Months of demand that were read.
#[derive(Debug, Default)]
pub(super) struct DemandMonths(Mutex<Months>);

#[derive(Debug, Default)]
struct Months {
    /// By month, in the order in which the book tells.
    kept: BTreeMap<GasMonth, Arc<[DemandDay]>>,
    rows: usize,
    /// Commits so far that may have changed some.
    writes: u64,
}

/// How often observed temperatures of a station and of a civil day (UTC) were written since the book was
/// opened.
#[derive(Debug, Default)]
pub(super) struct ObservedWrites(Mutex<BTreeMap<(String, NaiveDate), u64>>);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DemandMonths {
    /// Forgets the months of some days. To be called when the commit has ended, however it did, and before
    /// anyone is told.
    pub(super) fn forget(&self, days: impl IntoIterator<Item = GasDay>) {
        let mut months = locked(&self.0);
        months.writes += 1;
        for day in days {
            if let Some(gone) = months.kept.remove(&day.month()) {
                months.rows -= gone.len();
            }
        }
    }

    /// Demand of the gas days `[from, to)`; `read` is asked for whole months that are not kept.
    pub(super) fn between(
        &self,
        [from, to]: [GasDay; 2],
        read: impl Fn(GasDay, GasDay) -> Result<Vec<DemandDay>, StoreError>,
    ) -> Result<Vec<DemandDay>, StoreError> {
        let mut out = Vec::new();
        let mut month = from.month();
        while month.first_day() < to {
            let (kept, writes) = {
                let months = locked(&self.0);
                (months.kept.get(&month).cloned(), months.writes)
            };
            let next = month.next();
            let days = match kept {
                Some(days) => days,
                None => self.keep(month, writes, read(month.first_day(), next.first_day())?),
            };
            let asked = days.iter().filter(|day| from <= day.day && day.day < to);
            out.extend(asked.cloned());
            month = next;
        }
        Ok(out)
    }

    /// Keeps a month unless something was written since it was begun to be read.
    fn keep(&self, month: GasMonth, writes: u64, days: Vec<DemandDay>) -> Arc<[DemandDay]> {
        let days: Arc<[DemandDay]> = days.into();
        let mut months = locked(&self.0);
        let fits = months.rows + days.len() <= ROWS_MAX;
        if fits && months.writes == writes && !months.kept.contains_key(&month) {
            months.rows += days.len();
            months.kept.insert(month, Arc::clone(&days));
        }
        days
    }
}

impl ObservedWrites {
    pub(super) fn count(&self, of: impl IntoIterator<Item = (String, NaiveDate)>) {
        let mut writes = locked(&self.0);
        for one in of {
            *writes.entry(one).or_default() += 1;
        }
    }
}

impl Book {
    /// How often a commit of this program may have changed observed temperatures of some stations between
    /// two instants since the book was opened: what was read after asking stands for as long as this says
    /// the same. None where another process writes.
    pub fn observed_writes(
        &self,
        mix: &StationMix,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Option<u64> {
        if !self.is_ours() {
            return None;
        }
        let writes = locked(&self.observed_writes.0);
        let of_station = |station: &str| -> u64 {
            let first = (station.to_owned(), from.date_naive());
            let last = (station.to_owned(), to.date_naive());
            writes.range(first..=last).map(|(_, count)| count).sum()
        };
        Some(mix.stations().map(|(station, _)| of_station(station)).sum())
    }

    /// Whether all that is written to the file is written by this process.
    pub(super) fn is_ours(&self) -> bool {
        !self.database.is_read_only()
    }
}
