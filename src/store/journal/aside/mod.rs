//! Readings set aside because their place in the file is damaged, or the file takes nothing at all.
//!
//! SQLite lets nothing more be written in a transaction that met a damaged page. So such a commit is rolled
//! back, the meter's gas day that it met the page on is remembered, and it is made again with the rows of that
//! day written to the table `aside`: all of the batch is durable then, and may be acknowledged. These rows come
//! to their place when the file is opened with that place whole, or by `qiliang salvage`. What no row's place
//! explains sends the whole delivery to a file of its own ([`mod@file`]).

pub(in crate::store) mod file;
pub(in crate::store) mod names;
mod record;

use std::collections::BTreeSet;

use rusqlite::{Connection, Transaction, params};

use super::inbox::{Row, Rows};
use super::ingest::{Touched, put_salvaged};
use super::place::unreadable;
use super::{Cache, EntryOutcome, Journal, locked};
use crate::domain::calendar::GasDayClock;
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
            Err(StoreError::Damaged { .. }) => 0,
            counted => counted?,
        };
        Ok(in_table + locked(&self.aside).waiting())
    }

    /// Why the journal takes nothing at present, so that deliveries are kept in a file beside it; none if it
    /// does.
    pub fn refusal(&self) -> Option<StoreError> {
        locked(&self.aside).refusal().cloned()
    }
}
