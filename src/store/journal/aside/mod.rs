//! Readings set aside because their place in the file is damaged, or the file takes nothing at all.
//!
//! SQLite lets nothing more be written in a transaction that met a damaged page. So such a commit is rolled
//! back, the meter's gas day that it met the page on is remembered, and it is made again with the rows of that
//! day written to the table `aside`: all of the batch is durable then, and may be acknowledged. These rows come
//! to their place when the file is opened with that place whole, or by `qiliang salvage`. What no row's place
//! explains sends the whole delivery to a file of its own ([`mod@beside`]).

pub(super) mod beside;
pub(in crate::store) mod file;
pub(super) mod heap;
pub(in crate::store) mod names;
pub(in crate::store) mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction, params};

use self::heap::Heap;
pub use self::heap::SetAside;
use super::body::{Body, Stand};
use super::inbox::{Row, Rows};
use super::ingest::{Touched, put_salvaged};
use super::place::unreadable;
use super::{Cache, EntryOutcome, Journal, JournalEntry, StoredReading, instant, locked, of_inbox};
use crate::domain::calendar::GasDayClock;
use crate::domain::id::MeterId;
use crate::domain::reading::Reading;
use crate::store::error::{StoreError, is_damage};

/// Days of meters that are learnt one by one; more, and the damage is above them all.
const PLACES_MAX: usize = 64;

/// Where commits met damage since the file was opened.
#[derive(Debug, Default)]
pub(super) struct DamagedPlaces {
    /// Gas days of meters.
    places: BTreeSet<(i32, i64)>,
    are_all: bool,
    /// Met by the transaction that is being rolled back.
    met: Option<(i32, i64)>,
}

impl DamagedPlaces {
    /// Whether the row's place is known to be damaged.
    pub(super) fn has(&self, row: &Row) -> bool {
        self.are_all || (!self.places.is_empty() && self.places.contains(&(row.day, row.number)))
    }

    /// Notes which row met an error, if that tells of damage.
    pub(super) fn note(&mut self, row: &Row, error: &rusqlite::Error) {
        if is_damage(error) {
            self.met = Some((row.day, row.number));
        }
    }

    /// After a failed transaction: whether it met a damaged place that was not known, so that the next one
    /// can do without.
    pub(super) fn learn(&mut self) -> bool {
        let Some(place) = self.met.take() else {
            return false;
        };
        self.are_all |= self.places.len() >= PLACES_MAX;
        self.places.insert(place)
    }
}

/// Sets a row aside. Its day stays marked, so that its curve is computed once it is at its place.
pub(super) fn set_aside(touched: &mut Touched, row: &Row, body: &[u8]) {
    touched.aside.add_copy(row, body);
    touched.dirty.push((row.day, row.number));
    touched.latest.push((row.number, row.at, row.received_at));
    touched.report.accepted += 1;
    touched.report.set_aside += 1;
    if let Some(outcomes) = &mut touched.outcomes {
        outcomes.push((row.came(), EntryOutcome::Accepted));
    }
}

/// Writes what was set aside.
pub(super) fn write(t: &Transaction<'_>, rows: &Rows) -> rusqlite::Result<()> {
    if rows.len() == 0 {
        return Ok(());
    }
    let mut bytes = Vec::new();
    rows.write(0, &mut bytes);
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    t.prepare_cached("INSERT INTO aside (count, rows) VALUES (?1, ?2)")?
        .execute(params![count, bytes])
        .map(drop)
}

/// Puts at their place what was set aside, as far as that is whole now. These were counted when they came.
pub(super) fn retry(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
) -> rusqlite::Result<()> {
    let mut rows = Rows::default();
    {
        let mut statement = t.prepare("SELECT rows FROM aside ORDER BY id")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let bytes = row.get_ref(0)?.as_blob()?;
            rows.read(clock, bytes).ok_or_else(unreadable)?;
        }
    }
    if rows.len() == 0 {
        return Ok(());
    }
    t.execute("DELETE FROM aside", [])?;
    put_salvaged(t, cache, clock, &mut rows, true)
}

/// Readings in the table, as they are stored; those of a row that is not what was written are passed over.
fn in_table(c: &Connection) -> rusqlite::Result<Vec<StoredReading>> {
    let mut statement = c.prepare_cached("SELECT rows FROM aside ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(of_inbox(row.get_ref(0)?.as_blob()?).unwrap_or_default());
    }
    Ok(found)
}

/// Readings in the table.
pub(super) fn len(c: &Connection) -> rusqlite::Result<u64> {
    c.prepare_cached("SELECT coalesce(sum(count), 0) FROM aside")?
        .query_row([], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

impl Journal {
    /// Readings and rejected frames that are durable but not at their place, because that is damaged; those in
    /// a part that cannot be read are not counted. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn set_aside_len(&self) -> Result<u64, StoreError> {
        let in_table = match self.read("counting what is set aside", len) {
            Err(error) if error.is_of_file() => 0,
            counted => counted?,
        };
        Ok(in_table + locked(&self.aside).waiting())
    }

    /// The same in numbers: readings of how many meters, from when to when. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn set_aside(&self) -> Result<SetAside, StoreError> {
        let (mut heap, (files, damaged)) = {
            let aside = locked(&self.aside);
            (aside.heap(), aside.names())
        };
        let in_table = self.read("counting what is set aside", |c| {
            let mut of_table = Heap::default();
            for stored in in_table(c)? {
                of_table.add_reading(&self.meter(c, stored.number)?, stored.at);
            }
            Ok(of_table)
        });
        match in_table {
            Err(error) if error.is_of_file() => {}
            of_table => heap.join(&of_table?),
        }
        Ok(SetAside::of(&heap, files, damaged))
    }

    /// Readings of a meter that are set aside, in `[from, to)` of its own time, in order; what is known of the
    /// same instant at its place is not joined with them. All that is set aside is read for it. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn set_aside_between(
        &self,
        meter: &MeterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Reading>, StoreError> {
        let mut found = Vec::new();
        let is_asked = |at: DateTime<Utc>| from <= at && at < to;
        let in_table = self.read("reading what is set aside", |c| {
            let Some(number) = self.number(c, meter)? else {
                return Ok(Vec::new());
            };
            let mut of_meter = in_table(c)?;
            of_meter.retain(|stored| stored.number == number && is_asked(instant(stored.at)));
            Ok(of_meter)
        });
        let in_table = match in_table {
            Err(error) if error.is_of_file() => Vec::new(),
            read => read?,
        };
        for stored in in_table {
            let stand = Stand {
                number: stored.number,
                at: stored.at,
                received_at: stored.received_at,
            };
            if let Some(body) = Body::decode(stand, &stored.body) {
                let (at, received_at) = (instant(stored.at), instant(stored.received_at));
                found.push(body.into_reading(meter.clone(), at, received_at));
            }
        }
        self.database.read(|c| {
            locked(&self.aside).for_each(c, &mut |entry| {
                if let JournalEntry::Reading { reading, .. } = entry
                    && reading.meter == *meter
                    && is_asked(reading.sampled_at)
                {
                    found.push(reading);
                }
            })
        })?;
        found.sort_by_key(|reading| (reading.sampled_at, reading.received_at));
        Ok(found)
    }

    /// Why the journal takes nothing at present, so that deliveries are kept in a file beside it; none if it
    /// does.
    pub fn refusal(&self) -> Option<StoreError> {
        locked(&self.aside).refusal().cloned()
    }
}
