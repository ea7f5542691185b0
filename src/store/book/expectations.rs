//! What was expected at the gates, and what came.

use rusqlite::{Row, params};

use super::Book;
use crate::domain::calendar::GasDay;
use crate::domain::expectation::{Expectation, Watched, WithoutFactor};
use crate::store::error::StoreError;

const COLUMNS: &str = "day, lead, zone, class, run, p10, p50, p90, unaided, actual";

fn expectation(row: &Row<'_>) -> rusqlite::Result<Expectation> {
    Ok(Expectation {
        day: GasDay::from_epoch_day(row.get(0)?),
        lead: row.get(1)?,
        of: Watched {
            zone: row.get(2)?,
            class: row.get(3)?,
        },
        run: row.get(4)?,
        p10_m3: row.get(5)?,
        p50_m3: row.get(6)?,
        p90_m3: row.get(7)?,
        unaided_m3: row.get(8)?,
        actual_m3: row.get(9)?,
    })
}

/// Of every lead: the index by day finds them.
pub(super) const SETTLE: &str =
    "UPDATE expectations SET actual = ?4 WHERE day = ?1 AND zone = ?2 AND class = ?3";

impl Book {
    /// Keeps what is expected; what was expected of the same day at the same lead before stays.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn put_expectations(&self, expected: Vec<Expectation>) -> Result<(), StoreError> {
        self.write("writing expectations", move |t| {
            let mut statement = t.prepare_cached(
                "INSERT OR IGNORE INTO expectations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            for one in &expected {
                statement.execute(params![
                    one.day.epoch_day(),
                    one.lead,
                    one.of.zone,
                    one.of.class,
                    one.run,
                    one.p10_m3,
                    one.p50_m3,
                    one.p90_m3,
                    one.unaided_m3,
                    one.actual_m3
                ])?;
            }
            Ok(())
        })
    }

    /// Keeps what would have been expected without one factor or the other.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn put_expectations_without(&self, without: Vec<WithoutFactor>) -> Result<(), StoreError> {
        self.write("writing expectations without factors", move |t| {
            let mut statement = t.prepare_cached(
                "INSERT OR IGNORE INTO expectations_without VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            for one in &without {
                let (day, of) = (one.day.epoch_day(), &one.of);
                statement.execute(params![
                    one.factor, day, one.lead, of.zone, of.class, one.p50_m3
                ])?;
            }
            Ok(())
        })
    }

    /// What would have been expected of the gas days `[from, to)` without one factor or the other.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn expectations_without(
        &self,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<WithoutFactor>, StoreError> {
        self.read("reading expectations without factors", |c| {
            let mut statement = c.prepare_cached(
                "SELECT factor, day, lead, zone, class, p50 FROM expectations_without
                 WHERE day >= ?1 AND day < ?2 ORDER BY factor, day, lead, zone, class",
            )?;
            let days = params![from.epoch_day(), to.epoch_day()];
            let rows = statement.query_map(days, |row| {
                Ok(WithoutFactor {
                    factor: row.get(0)?,
                    day: GasDay::from_epoch_day(row.get(1)?),
                    lead: row.get(2)?,
                    of: Watched {
                        zone: row.get(3)?,
                        class: row.get(4)?,
                    },
                    p50_m3: row.get(5)?,
                })
            })?;
            rows.collect()
        })
    }

    /// Notes what came on gas days, for every lead; corrected demand replaces what stood there.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn settle_expectations(&self, came: Vec<(GasDay, Watched, f64)>) -> Result<(), StoreError> {
        self.write("settling expectations", move |t| {
            let mut statement = t.prepare_cached(SETTLE)?;
            for (day, of, m3) in &came {
                statement.execute(params![day.epoch_day(), of.zone, of.class, m3])?;
            }
            Ok(())
        })
    }

    /// Expectations of the gas days `[from, to)`, by lead, what they are of, and day.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn expectations(&self, from: GasDay, to: GasDay) -> Result<Vec<Expectation>, StoreError> {
        self.read("reading expectations", |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM expectations WHERE day >= ?1 AND day < ?2
                 ORDER BY lead, zone, class, day"
            ))?
            .query_map(params![from.epoch_day(), to.epoch_day()], expectation)?
            .collect()
        })
    }

    /// Expectations at one lead of every so manieth of the gas days `[from, to)` of which is known what came,
    /// by what they are of, and day.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn expectations_apart(
        &self,
        lead: i64,
        every: i64,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<Expectation>, StoreError> {
        self.read("reading expectations", |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM expectations
                 WHERE lead = ?1 AND day >= ?3 AND day < ?4 AND day % ?2 = 0 AND actual IS NOT NULL
                 ORDER BY zone, class, day"
            ))?
            .query_map(
                params![lead, every.max(1), from.epoch_day(), to.epoch_day()],
                expectation,
            )?
            .collect()
        })
    }
}
