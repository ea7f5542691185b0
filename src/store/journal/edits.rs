//! Decisions of people about hours of a curve: kept for good, taken back by another row.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::ingest::number_of;
use super::{Journal, instant, locked, millis};
use crate::domain::calendar::GasDay;
use crate::domain::edit::{CurveEdit, Revocation};
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::store::error::StoreError;

/// A decision to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEdit {
    /// Meter.
    pub meter: MeterId,
    /// Gas day.
    pub day: GasDay,
    /// Volume by hour of the gas day, 0 to 23.
    pub hours: BTreeMap<u8, StdVolume>,
    /// Who decided.
    pub who: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// What became of an attempt to take a decision back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It no longer counts.
    Revoked,
    /// It did not count any more.
    AlreadyRevoked,
    /// There is no such decision.
    Unknown,
}

/// Which decisions are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EditFilter {
    /// Only about this meter.
    pub meter: Option<MeterId>,
    /// Only about this gas day or later.
    pub from: Option<GasDay>,
    /// Only about gas days before this one.
    pub to: Option<GasDay>,
    /// Only those that count.
    pub in_force: bool,
}

const COLUMNS: &str = "e.id, e.meter, e.day, e.hours, e.who, e.reason, e.at, r.who, r.reason, r.at";

fn edit(journal: &Journal, c: &rusqlite::Connection, row: &Row<'_>) -> rusqlite::Result<CurveEdit> {
    let hours = serde_json::from_str(row.get_ref(3)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error))
    })?;
    let revoked_at: Option<i64> = row.get(9)?;
    Ok(CurveEdit {
        id: row.get(0)?,
        meter: journal.meter(c, row.get(1)?)?,
        day: GasDay::from_epoch_day(row.get(2)?),
        hours,
        who: row.get(4)?,
        reason: row.get(5)?,
        at: instant(row.get(6)?),
        revoked: match revoked_at {
            None => None,
            Some(at) => Some(Revocation {
                who: row.get(7)?,
                reason: row.get(8)?,
                at: instant(at),
            }),
        },
    })
}

fn mark(
    t: &Transaction<'_>,
    cache: &mut super::Cache,
    day: i32,
    meter: i64,
) -> rusqlite::Result<()> {
    cache.mark += 1;
    t.prepare_cached(
        "INSERT INTO dirty VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET mark = excluded.mark",
    )?
    .execute(params![day, meter, cache.mark])
    .map(drop)
}

impl Journal {
    /// Keeps a decision and marks its day, in one transaction; returns its number. Blocks.
    ///
    /// # Errors
    /// `Damaged` if it cannot be encoded, and as `commit`; nothing is kept then.
    pub fn put_edit(&self, new: NewEdit) -> Result<i64, StoreError> {
        let hours = serde_json::to_string(&new.hours).map_err(|error| StoreError::Damaged {
            path: self.path().to_owned(),
            detail: format!("a decision about hours cannot be encoded: {error}"),
        })?;
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("writing a decision", move |t| {
            let cache = &mut locked(&cache);
            let (number, day) = (number_of(t, cache, &new.meter)?, new.day.epoch_day());
            t.prepare_cached(
                "INSERT INTO edits (meter, day, hours, who, reason, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                number,
                day,
                hours,
                new.who,
                new.reason,
                millis(new.at)
            ])?;
            let id = t.last_insert_rowid();
            mark(t, cache, day, number)?;
            Ok(id)
        })
    }

    /// Takes a decision back and marks its day; the decision stays on record. Blocks.
    ///
    /// # Errors
    /// As `commit`; nothing has changed then.
    pub fn revoke_edit(&self, id: i64, by: Revocation) -> Result<RevokeOutcome, StoreError> {
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("taking back a decision", move |t| {
            let found: Option<(i32, i64)> = t
                .prepare_cached("SELECT day, meter FROM edits WHERE id = ?1")?
                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((day, number)) = found else {
                return Ok(RevokeOutcome::Unknown);
            };
            let inserted = t
                .prepare_cached(
                    "INSERT INTO edit_revocations VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                )?
                .execute(params![id, by.who, by.reason, millis(by.at)])?;
            if inserted == 0 {
                return Ok(RevokeOutcome::AlreadyRevoked);
            }
            mark(t, &mut locked(&cache), day, number)?;
            Ok(RevokeOutcome::Revoked)
        })
    }

    /// Decisions, oldest first. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn edits(&self, filter: &EditFilter) -> Result<Vec<CurveEdit>, StoreError> {
        self.read("reading decisions", |c| {
            let number = match &filter.meter {
                None => None,
                Some(meter) => match self.number(c, meter)? {
                    None => return Ok(Vec::new()),
                    number => number,
                },
            };
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM edits AS e LEFT JOIN edit_revocations AS r ON r.edit = e.id
                 WHERE (?1 IS NULL OR e.meter = ?1) AND e.day >= ?2 AND e.day < ?3
                   AND (NOT ?4 OR r.edit IS NULL)
                 ORDER BY e.id"
            ))?;
            let from = filter.from.map_or(i32::MIN, GasDay::epoch_day);
            let to = filter.to.map_or(i32::MAX, GasDay::epoch_day);
            let mut rows = statement.query(params![number, from, to, filter.in_force])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(edit(self, c, row)?);
            }
            Ok(found)
        })
    }

    /// Every decision that counts, oldest first. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn edits_in_force(&self) -> Result<Vec<CurveEdit>, StoreError> {
        self.edits(&EditFilter {
            in_force: true,
            ..EditFilter::default()
        })
    }

    /// When somebody last decided about a gas day, or took a decision about it back. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn last_decision_on(&self, day: GasDay) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.read("reading decisions", |c| {
            c.prepare_cached(
                "SELECT max(max(e.at, coalesce(r.at, e.at))) FROM edits AS e
                 LEFT JOIN edit_revocations AS r ON r.edit = e.id WHERE e.day = ?1",
            )?
            .query_row([day.epoch_day()], |row| row.get::<_, Option<i64>>(0))
            .map(|at| at.map(instant))
        })
    }
}
