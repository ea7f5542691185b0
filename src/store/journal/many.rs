//! Curves of many meters at once, and by what it is known that they are still the same.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, params};

use super::curves::{curve_days, decode, unreadable};
use super::{Journal, locked};
use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;
use crate::store::error::StoreError;

/// Rows of a day that are stepped over in the time in which one is looked for by its key.
const ROWS_A_SEEK: usize = 6;

/// How often curves of each gas day were written or dropped since the journal was opened.
#[derive(Debug, Clone, Default)]
pub(super) struct CurveWrites(Arc<Mutex<BTreeMap<GasDay, u64>>>);

impl CurveWrites {
    /// To be called when the commit has ended, however it did, and before anyone is told.
    pub(super) fn count(&self, days: impl IntoIterator<Item = GasDay>) {
        let mut writes = locked(&self.0);
        for day in days {
            *writes.entry(day).or_default() += 1;
        }
    }
}

impl Journal {
    /// How often a commit of this program may have changed curves of a gas day since the journal was opened.
    /// What was read of the day after asking is what stands there for as long as this says the same. None
    /// where another process writes, which nobody here counts.
    pub fn curve_writes_on(&self, day: GasDay) -> Option<u64> {
        let is_ours = !self.database.is_read_only() || self.database.refusal().is_some();
        is_ours.then(|| {
            let writes = locked(&self.curve_writes.0);
            writes.get(&day).copied().unwrap_or(0)
        })
    }

    /// Hands every curve of some meters on the gas days `[from, to)` to `take`, with the place of its meter
    /// in `meters`, by day. Of a few each curve is looked for; of many the days are read whole. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_curve_of(
        &self,
        meters: &[MeterId],
        from: GasDay,
        to: GasDay,
        mut take: impl FnMut(usize, LoadCurve),
    ) -> Result<(), StoreError> {
        self.read("reading curves", |c| {
            let mut wanted = Vec::with_capacity(meters.len());
            for (place, meter) in meters.iter().enumerate() {
                if let Some(number) = self.number(c, meter)? {
                    wanted.push((number, place));
                }
            }
            wanted.sort_unstable();
            let all: i64 = c
                .prepare_cached("SELECT count(*) FROM meters")?
                .query_row([], |row| row.get(0))?;
            let is_most = wanted.len() * ROWS_A_SEEK > usize::try_from(all).unwrap_or(usize::MAX);
            let Some((first, last)) = curve_days(c)?.filter(|_| !wanted.is_empty()) else {
                return Ok(());
            };
            for day in from.epoch_day().max(first)..to.epoch_day().min(last.saturating_add(1)) {
                let day = GasDay::from_epoch_day(day);
                let by_keys = || looked_for(c, meters, &wanted, day);
                let found = if is_most {
                    // A page of others' curves that is damaged keeps nobody from these.
                    read_whole(c, meters, &wanted, day).or_else(|_| by_keys())
                } else {
                    by_keys()
                };
                for (place, curve) in found? {
                    take(place, curve);
                }
            }
            Ok(())
        })
    }
}

impl Journal {
    /// Volume of each meter's curves on those of the gas days `[from, to)` on which it `counts`, complete or
    /// not. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn volumes_between(
        &self,
        from: GasDay,
        to: GasDay,
        counts: impl Fn(&MeterId, GasDay) -> bool,
    ) -> Result<BTreeMap<MeterId, StdVolume>, StoreError> {
        self.read("summing curves", |c| {
            let mut statement = c.prepare_cached(
                "SELECT meter, body, day FROM curves WHERE day >= ?1 AND day < ?2",
            )?;
            let mut rows = statement.query(params![from.epoch_day(), to.epoch_day()])?;
            let nobody = MeterId::new("");
            let mut by_number: BTreeMap<i64, (MeterId, StdVolume)> = BTreeMap::new();
            while let Some(row) = rows.next()? {
                let of_meter = match by_number.entry(row.get(0)?) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        let meter = self.meter(c, *entry.key())?;
                        entry.insert((meter, StdVolume::ZERO))
                    }
                };
                if !counts(&of_meter.0, GasDay::from_epoch_day(row.get(2)?)) {
                    continue;
                }
                let bytes = row.get_ref(1)?.as_blob()?;
                let curve = decode(nobody.clone(), from, bytes).ok_or_else(unreadable)?;
                of_meter.1 += curve.volume();
            }
            Ok(by_number.into_values().collect())
        })
    }
}

/// Numbers of meters, in order, each with its place in what was asked.
type Wanted<'a> = &'a [(i64, usize)];

fn looked_for(
    c: &Connection,
    meters: &[MeterId],
    wanted: Wanted<'_>,
    day: GasDay,
) -> rusqlite::Result<Vec<(usize, LoadCurve)>> {
    let mut statement =
        c.prepare_cached("SELECT body FROM curves WHERE day = ?1 AND meter = ?2")?;
    let mut curves = Vec::new();
    for (number, place) in wanted {
        let mut rows = statement.query(params![day.epoch_day(), number])?;
        if let Some(row) = rows.next()? {
            let bytes = row.get_ref(0)?.as_blob()?;
            let curve = decode(meters[*place].clone(), day, bytes).ok_or_else(unreadable)?;
            curves.push((*place, curve));
        }
    }
    Ok(curves)
}

fn read_whole(
    c: &Connection,
    meters: &[MeterId],
    wanted: Wanted<'_>,
    day: GasDay,
) -> rusqlite::Result<Vec<(usize, LoadCurve)>> {
    let mut statement =
        c.prepare_cached("SELECT meter, body FROM curves WHERE day = ?1 ORDER BY meter")?;
    let mut rows = statement.query([day.epoch_day()])?;
    let mut wanted = wanted.iter().peekable();
    let mut curves = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        while wanted.next_if(|(wanted, _)| *wanted < number).is_some() {}
        // One meter may be asked for at several places.
        while let Some((_, place)) = wanted.next_if(|(wanted, _)| *wanted == number) {
            let bytes = row.get_ref(1)?.as_blob()?;
            let curve = decode(meters[*place].clone(), day, bytes).ok_or_else(unreadable)?;
            curves.push((*place, curve));
        }
    }
    Ok(curves)
}
