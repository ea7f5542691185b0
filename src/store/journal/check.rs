//! Reading a journal to its last byte, past what is damaged: whoever asks learns of all of it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _};

use super::body::{Body, Stand};
use super::{Journal, curves, locked, presence, rejects};
use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::store::damage::Damage;
use crate::store::error::StoreError;

/// What a reading of the whole file found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalCheck {
    /// Readings that can be read.
    pub readings: u64,
    /// Load curves that can be read.
    pub curves: u64,
    /// What cannot.
    pub damage: Vec<Damage>,
}

/// Tables whose key begins with the gas day and whose rows have a form of ours.
pub(super) const READINGS: &str = "readings";
pub(super) const CURVES: &str = "curves";
/// Frames are told apart by a digest of their bytes, which vouches for these.
const REJECTS: &str = "rejects";

impl Journal {
    /// Reads every page, every reading and every curve. What cannot be read is told by table, gas day
    /// and meter, as far as that is known, and the rest is read all the same. Blocks, for as long as
    /// the file is large.
    ///
    /// # Errors
    /// The file cannot be opened at all.
    pub fn check(&self) -> Result<JournalCheck, StoreError> {
        let mut check = JournalCheck {
            damage: self.database.problems()?,
            ..JournalCheck::default()
        };
        self.check_days(
            READINGS,
            "SELECT meter, at, body, received_at FROM readings WHERE day = ?1",
            |row| {
                let body = row.get_ref(2)?.as_blob()?;
                let stand = Stand {
                    number: row.get(0)?,
                    at: row.get(1)?,
                    received_at: row.get(3)?,
                };
                Ok(Body::decode(stand, body).is_some())
            },
            &mut check.readings,
            &mut check.damage,
        )?;
        self.check_days(
            CURVES,
            "SELECT meter, body FROM curves WHERE day = ?1",
            |row| Ok(curves::is_readable(row.get_ref(1)?.as_blob()?)),
            &mut check.curves,
            &mut check.damage,
        )?;
        let file = self.database.name();
        self.database.read(|c| {
            let damage = &mut check.damage;
            let read = rejects::damaged(c, |what| {
                damage.push(Damage::of_table(&file, REJECTS, what));
            });
            if let Err(error) = read {
                damage.push(Damage::of_table(&file, REJECTS, error.to_string()));
            }
            Ok(())
        })?;
        check.damage.extend(locked(&self.aside).damage()?);
        Ok(check)
    }

    fn check_days(
        &self,
        table: &'static str,
        sql: &'static str,
        is_readable: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
        count: &mut u64,
        damage: &mut Vec<Damage>,
    ) -> Result<(), StoreError> {
        let file = self.database.name();
        self.database.read(|c| {
            let days = match days_of(c, table) {
                Ok(days) => days,
                Err(error) => {
                    damage.push(Damage::of_table(&file, table, error.to_string()));
                    return Ok(());
                }
            };
            for day in days {
                if let Err(error) = self.check_day(c, table, sql, day, &is_readable, count, damage)
                {
                    let of = GasDay::from_epoch_day(day);
                    damage.push(Damage::of_day(&file, table, of, None, error.to_string()));
                }
            }
            Ok(())
        })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the loop of `check_days`, apart so that an error ends one day only"
    )]
    fn check_day(
        &self,
        c: &Connection,
        table: &'static str,
        sql: &'static str,
        day: i32,
        is_readable: &impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<bool>,
        count: &mut u64,
        damage: &mut Vec<Damage>,
    ) -> rusqlite::Result<()> {
        let mut statement = c.prepare_cached(sql)?;
        let mut rows = statement.query([day])?;
        while let Some(row) = rows.next()? {
            if is_readable(row)? {
                *count += 1;
                continue;
            }
            let meter = self.meter(c, row.get(0)?)?;
            damage.push(Damage::of_day(
                &self.database.name(),
                table,
                GasDay::from_epoch_day(day),
                Some(meter),
                "it is not what was written: its checksum or form is wrong",
            ));
        }
        Ok(())
    }

    /// Meters that have totals of a gas day, or a curve of it, in order. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn meters_on(&self, day: GasDay) -> Result<Vec<MeterId>, StoreError> {
        self.read("reading who reported on a day", |c| {
            let mut numbers = presence::numbers_on(c, day.epoch_day())?;
            let mut statement = c.prepare_cached("SELECT meter FROM curves WHERE day = ?1")?;
            let mut rows = statement.query([day.epoch_day()])?;
            while let Some(row) = rows.next()? {
                numbers.insert(row.get(0)?);
            }
            let mut meters = Vec::with_capacity(numbers.len());
            for number in numbers {
                meters.push(self.meter(c, number)?);
            }
            meters.sort();
            Ok(meters)
        })
    }

    /// How many curves there are. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn curves_len(&self) -> Result<u64, StoreError> {
        self.read("counting curves", |c| {
            c.query_row("SELECT count(*) FROM curves", [], |row| {
                row.get::<_, i64>(0)
            })
        })
        .map(i64::cast_unsigned)
    }

    /// Gas days with a curve, in order. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn days_with_curves(&self) -> Result<Vec<GasDay>, StoreError> {
        self.read("reading which days have curves", |c| {
            let days = days_of(c, CURVES)?;
            Ok(days.into_iter().map(GasDay::from_epoch_day).collect())
        })
    }

    /// Gas days with a curve or a reading, in order. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn days_with_curves_or_readings(&self) -> Result<Vec<GasDay>, StoreError> {
        self.read("reading which days there are", |c| {
            let mut days: BTreeSet<i32> = days_of(c, CURVES)?.into_iter().collect();
            days.extend(days_of(c, READINGS)?);
            Ok(days.into_iter().map(GasDay::from_epoch_day).collect())
        })
    }

    /// Whether curves of a meter wait to be computed again: a mark, or other rules than `digest`.
    /// Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn is_waiting(&self, meter: &MeterId, digest: &[u8]) -> Result<bool, StoreError> {
        self.read("reading what waits", |c| {
            let Some(number) = self.number(c, meter)? else {
                return Ok(false);
            };
            let rules: Option<Vec<u8>> = c
                .prepare_cached("SELECT digest FROM curve_rules WHERE meter = ?1")?
                .query_row([number], |row| row.get(0))
                .optional()?;
            if rules.is_none_or(|rules| rules != digest) {
                return Ok(true);
            }
            let received: bool = c
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM inbox)")?
                .query_row([], |row| row.get(0))?;
            if received {
                return Ok(true);
            }
            c.prepare_cached("SELECT EXISTS (SELECT 1 FROM dirty WHERE meter = ?1)")?
                .query_row([number], |row| row.get(0))
        })
    }
}

/// The days a table has rows of; each is found by a seek, so that a day without is not asked for.
pub(super) fn days_of(c: &Connection, table: &'static str) -> rusqlite::Result<Vec<i32>> {
    let mut next = c.prepare(&format!("SELECT min(day) FROM {table} WHERE day > ?1"))?;
    let last: Option<i32> = c.query_row(&format!("SELECT max(day) FROM {table}"), [], |row| {
        row.get(0)
    })?;
    let mut days = Vec::new();
    let mut day = i32::MIN;
    loop {
        match next.query_row([day], |row| row.get::<_, Option<i32>>(0)) {
            Ok(Some(found)) => day = found,
            Ok(None) => return Ok(days),
            // The seek met a damaged page: the day after may be past it.
            Err(_) if day > i32::MIN && last.is_some_and(|last| day < last) => day += 1,
            Err(error) => return Err(error),
        }
        days.push(day);
    }
}
