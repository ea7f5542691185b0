//! What is known of the devices' clocks, carried over a restart.

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::{Journal, ingest, instant, locked, millis};
use crate::domain::id::MeterId;
use crate::store::error::StoreError;
use crate::validate::clock::ClockWatch;

/// A meter's clock as measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredClock {
    /// The meter.
    pub meter: MeterId,
    /// What was measured.
    pub watch: ClockWatch,
    /// When a finding last said that it is off.
    pub flagged_at: Option<DateTime<Utc>>,
}

impl Journal {
    /// Every clock that was ever measured, by meter. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn clocks(&self) -> Result<Vec<StoredClock>, StoreError> {
        self.read("reading clocks", |c| {
            let mut statement = c.prepare_cached(
                "SELECT m.id, c.is_sent, c.since, c.arrivals, c.delay_min_ms, c.before_arrivals,
                        c.before_delay_min_ms, c.last_at, c.flagged_at
                 FROM clocks c JOIN meters m ON m.no = c.meter ORDER BY m.id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(StoredClock {
                    meter: MeterId::new(row.get::<_, String>(0)?),
                    watch: ClockWatch {
                        is_sent: row.get(1)?,
                        since: instant(row.get(2)?),
                        arrivals: row.get(3)?,
                        delay_min_ms: row.get(4)?,
                        before_arrivals: row.get(5)?,
                        before_delay_min_ms: row.get(6)?,
                        last_at: instant(row.get(7)?),
                    },
                    flagged_at: row.get::<_, Option<i64>>(8)?.map(instant),
                })
            })?;
            rows.collect()
        })
    }

    /// Keeps what was measured. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn put_clocks(&self, clocks: Vec<StoredClock>) -> Result<(), StoreError> {
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("keeping clocks", move |t| {
            let mut cache = locked(&cache);
            for clock in &clocks {
                let number = ingest::number_of(t, &mut cache, &clock.meter)?;
                let watch = &clock.watch;
                t.prepare_cached(
                    "INSERT OR REPLACE INTO clocks VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    number,
                    watch.is_sent,
                    millis(watch.since),
                    watch.arrivals,
                    watch.delay_min_ms,
                    watch.before_arrivals,
                    watch.before_delay_min_ms,
                    millis(watch.last_at),
                    clock.flagged_at.map(millis),
                ])?;
            }
            Ok(())
        })
    }
}
