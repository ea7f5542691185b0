//! Marks on gas days of meters whose curves are to be computed again.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Journal, ingest, locked, presence, retention};
use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::store::error::StoreError;

/// Marks the writer made since the marks were last read.
///
/// A day that is marked since then needs no second mark: whoever reads marks first gets a new mark
/// for all that follow (`Journal::dirty_days`), and clears none but those it has read.
#[derive(Debug, Default)]
pub(super) struct Marked(BTreeSet<(i32, i64)>);

/// Days remembered as marked; a city's import marks more, one by one.
const MARKED_MAX: usize = 250_000;
/// Days of changed meters marked in one transaction, but for the last meter's: some 50 ms.
const PIECE_MAX: usize = 10_000;

impl Marked {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn mark(
        &mut self,
        t: &Transaction<'_>,
        number: i64,
        day: i32,
        mark: i64,
    ) -> rusqlite::Result<()> {
        if self.0.len() >= MARKED_MAX {
            self.0.clear();
        }
        if self.0.insert((day, number)) {
            mark_dirty(t, number, day, mark)?;
        }
        Ok(())
    }
}

pub(super) fn mark_dirty(
    t: &Transaction<'_>,
    number: i64,
    day: i32,
    mark: i64,
) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO dirty VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET mark = excluded.mark",
    )?
    .execute(params![day, number, mark])
    .map(drop)
}

impl Journal {
    /// Marks gas days of meters to be computed again. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn mark_dirty(&self, days: Vec<(MeterId, GasDay)>) -> Result<(), StoreError> {
        let cache = Arc::clone(&self.cache);
        self.write_now("marking days dirty", move |t| {
            let mut cache = locked(&cache);
            let mark = cache.mark;
            for (meter, day) in &days {
                let number = ingest::number_of(t, &mut cache, meter)?;
                mark_dirty(t, number, day.epoch_day(), mark)?;
            }
            Ok(())
        })
    }

    /// Tells the journal what curves are computed by, as a digest for each meter (of factor,
    /// digits, exchanges and the like). Where it differs from last time, every gas day the meter
    /// has totals of is marked dirty; returns those meters. Some meters in each transaction, so that
    /// readings do not wait behind all of them; whoever is stopped in between marks the rest the next time.
    /// Blocks.
    ///
    /// # Errors
    /// As `commit`; the meters marked before stay so.
    pub fn sync_curve_rules(
        &self,
        digests: Vec<(MeterId, Vec<u8>)>,
    ) -> Result<Vec<MeterId>, StoreError> {
        let changed = Arc::new(self.with_other_rules(digests)?);
        let mut done = 0;
        while done < changed.len() {
            done = self.take_rules(&changed, done, PIECE_MAX)?;
        }
        let meters = changed.iter().map(|(meter, _)| meter.clone());
        Ok(meters.collect())
    }

    /// Those of which another digest is known, or none.
    fn with_other_rules(
        &self,
        digests: Vec<(MeterId, Vec<u8>)>,
    ) -> Result<Vec<(MeterId, Vec<u8>)>, StoreError> {
        self.read("comparing the rules of curves", |c| {
            let mut known = c.prepare_cached(
                "SELECT digest = ?2 FROM curve_rules JOIN meters ON meters.no = curve_rules.meter
                 WHERE meters.id = ?1",
            )?;
            let mut other = Vec::new();
            for (meter, digest) in digests {
                let is_known = known
                    .query_row(params![meter.as_str(), digest], |row| row.get(0))
                    .optional()?;
                if is_known != Some(true) {
                    other.push((meter, digest));
                }
            }
            Ok(other)
        })
    }

    /// Takes the digests from `first` on and marks the days of their meters, whole meters until so many days
    /// are marked, in one transaction; where the next begins.
    pub(super) fn take_rules(
        &self,
        changed: &Arc<Vec<(MeterId, Vec<u8>)>>,
        first: usize,
        days_max: usize,
    ) -> Result<usize, StoreError> {
        let (cache, changed) = (Arc::clone(&self.cache), Arc::clone(changed));
        self.write_now("marking days whose rules changed", move |t| {
            let mut cache = locked(&cache);
            let mark = cache.mark;
            let (mut marked, mut done) = (0, first);
            for (meter, digest) in changed.iter().skip(first) {
                if marked >= days_max || done - first >= days_max {
                    break;
                }
                let number = ingest::number_of(t, &mut cache, meter)?;
                t.prepare_cached(
                    "INSERT INTO curve_rules VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET digest = excluded.digest",
                )?
                .execute(params![number, digest])?;
                let closed_before = retention::closed_before(t, number)?.unwrap_or(i32::MIN);
                for day in presence::all_days(t, number)? {
                    if day >= closed_before {
                        mark_dirty(t, number, day, mark)?;
                        marked += 1;
                    }
                }
                done += 1;
            }
            Ok(done)
        })
    }
}
