//! Reading readings back: by time, by neighbourhood, newest.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::body::{Body, Stand};
use super::ingest::epoch_day;
use super::{Journal, LatestReading, instant, millis, presence};
use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::domain::reading::{Item, Reading};
use crate::store::error::StoreError;
use crate::validate::points::{TotalPoint, expand};

impl Journal {
    /// Readings of a meter sampled in `[from, to)`, in time order. Readings that must not be used are left
    /// out. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn readings_between(
        &self,
        meter: &MeterId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<Reading>, StoreError> {
        self.read("reading readings", |c| {
            let Some(number) = self.number(c, meter)? else {
                return Ok(Vec::new());
            };
            let (from, to) = (millis(from), millis(to));
            let Some((first, last)) = reading_days(c)? else {
                return Ok(Vec::new());
            };
            let clock = self.clock();
            let mut readings = Vec::new();
            for day in epoch_day(clock, from).max(first)..=epoch_day(clock, to).min(last) {
                rows_of_day(c, number, meter, day, from..to, |row| {
                    if row.is_usable {
                        readings.push(row.reading);
                    }
                })?;
            }
            Ok(readings)
        })
    }

    /// Hands every reading of the gas days `[from, to)` to `take`, by day, then by meter in the order
    /// in which they first reported, then by time; one is held at a time. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_reading(
        &self,
        from: GasDay,
        to: GasDay,
        mut take: impl FnMut(Reading),
    ) -> Result<(), StoreError> {
        self.read("reading readings", |c| {
            let mut statement = c.prepare_cached(
                "SELECT at, received_at, body, meter FROM readings WHERE day >= ?1 AND day < ?2
                 ORDER BY day, meter, at",
            )?;
            let mut rows = statement.query([from.epoch_day(), to.epoch_day()])?;
            let mut of: Option<(i64, MeterId)> = None;
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(3)?;
                let meter = match &of {
                    Some((known, meter)) if *known == number => meter.clone(),
                    _ => self.meter(c, number)?,
                };
                take(read_row(row, number, &meter)?.reading);
                of = Some((number, meter));
            }
            Ok(())
        })
    }

    /// The newest reading of a meter that is not from the future. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn latest(&self, meter: &MeterId) -> Result<Option<Reading>, StoreError> {
        self.read("reading the latest reading", |c| {
            let Some(number) = self.number(c, meter)? else {
                return Ok(None);
            };
            let found: Option<(i32, i64)> = c
                .prepare_cached("SELECT day, at FROM latest WHERE meter = ?1")?
                .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let mut latest = None;
            if let Some((day, at)) = found {
                rows_of_day(c, number, meter, day, at..at + 1, |row| {
                    latest = Some(row.reading);
                })?;
            }
            Ok(latest)
        })
    }

    /// When each meter last spoke, in order of meter. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn latest_all(&self) -> Result<Vec<LatestReading>, StoreError> {
        self.read("reading the latest readings", |c| {
            c.prepare_cached(
                "SELECT id, at, received_at FROM latest JOIN meters ON no = meter ORDER BY id",
            )?
            .query_map([], |row| {
                Ok(LatestReading {
                    meter: MeterId::new(row.get::<_, String>(0)?),
                    sampled_at: instant(row.get(1)?),
                    received_at: instant(row.get(2)?),
                })
            })?
            .collect()
        })
    }

    /// The last total of an item before an instant. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn total_before(
        &self,
        meter: &MeterId,
        item: Item,
        at: DateTime<Utc>,
    ) -> Result<Option<TotalPoint>, StoreError> {
        let day = self.clock().day_of(at);
        let readings = self.curve_readings(meter, item, day, day.plus(1), 1)?;
        let points = expand(&readings, item);
        Ok(points.into_iter().rfind(|point| point.at < at))
    }

    /// The `around` totals of an item nearest before the gas days `[from, to)` and after them, each
    /// in time order. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn neighbours(
        &self,
        meter: &MeterId,
        item: Item,
        from: GasDay,
        to: GasDay,
        around: usize,
    ) -> Result<(Vec<TotalPoint>, Vec<TotalPoint>), StoreError> {
        let readings = self.read("reading neighbours", |c| {
            let Some(mut gather) = self.gather(c, meter, item)? else {
                return Ok(Vec::new());
            };
            gather.neighbours(Side::Before, from.epoch_day(), around, self)?;
            gather.neighbours(Side::After, to.epoch_day(), around, self)?;
            Ok(gather.finish())
        })?;
        let points = expand(&readings, item);
        let (start, end) = (self.clock().start_of(from), self.clock().start_of(to));
        let first = points.partition_point(|point| point.at < start);
        let last = points.partition_point(|point| point.at < end);
        let before = points.get(first.saturating_sub(around)..first);
        let after = points.get(last..(last + around).min(points.len()));
        Ok((
            before.unwrap_or_default().to_vec(),
            after.unwrap_or_default().to_vec(),
        ))
    }

    fn gather<'a>(
        &self,
        c: &'a Connection,
        meter: &'a MeterId,
        item: Item,
    ) -> rusqlite::Result<Option<Gather<'a>>> {
        Ok(self.number(c, meter)?.map(|number| Gather {
            c,
            number,
            meter,
            item,
            whole_days: BTreeSet::new(),
            rows: Vec::new(),
        }))
    }

    /// Every reading that says something of the gas days `[from, to)`, and enough others that
    /// `around` totals before and after them are among its points, in time order. Readings that
    /// must not be used are left out. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn curve_readings(
        &self,
        meter: &MeterId,
        item: Item,
        from: GasDay,
        to: GasDay,
        around: usize,
    ) -> Result<Vec<Reading>, StoreError> {
        self.read("reading readings for curves", |c| {
            let Some(mut gather) = self.gather(c, meter, item)? else {
                return Ok(Vec::new());
            };
            gather.days(from.epoch_day(), to.epoch_day())?;
            gather.neighbours(Side::Before, from.epoch_day(), around, self)?;
            gather.neighbours(Side::After, to.epoch_day(), around, self)?;
            Ok(gather.finish())
        })
    }
}

impl Journal {
    /// Usable rows that stand on some gas days, or hold totals of them.
    pub(super) fn rows_about(
        &self,
        c: &Connection,
        meter: &MeterId,
        item: Item,
        days: std::ops::Range<i32>,
    ) -> rusqlite::Result<Vec<Reading>> {
        let Some(mut gather) = self.gather(c, meter, item)? else {
            return Ok(Vec::new());
        };
        gather.days(days.start, days.end)?;
        Ok(gather.finish())
    }
}

pub(super) struct Row {
    pub(super) is_usable: bool,
    pub(super) reading: Reading,
}

fn rows_of_day(
    c: &Connection,
    number: i64,
    meter: &MeterId,
    day: i32,
    at: std::ops::Range<i64>,
    mut take: impl FnMut(Row),
) -> rusqlite::Result<()> {
    let mut statement = c.prepare_cached(
        "SELECT at, received_at, body FROM readings
         WHERE day = ?1 AND meter = ?2 AND at >= ?3 AND at < ?4 ORDER BY at",
    )?;
    let mut rows = statement.query(params![day, number, at.start, at.end])?;
    while let Some(row) = rows.next()? {
        take(read_row(row, number, meter)?);
    }
    Ok(())
}

pub(super) fn read_row(
    row: &rusqlite::Row<'_>,
    number: i64,
    meter: &MeterId,
) -> rusqlite::Result<Row> {
    let at = row.get(0)?;
    let received_at = row.get(1)?;
    let stand = Stand {
        number,
        at,
        received_at,
    };
    let body = Body::decode(stand, row.get_ref(2)?.as_blob()?).ok_or_else(|| damaged(meter, at))?;
    Ok(Row {
        is_usable: body.is_usable,
        reading: body.into_reading(meter.clone(), instant(at), instant(received_at)),
    })
}

/// A row whose bytes are not those that were written.
fn damaged(meter: &MeterId, at: i64) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some(format!(
            "the reading of {meter} at {} is not what was written; `qiliang verify` tells of all",
            instant(at)
        )),
    )
}

/// The first and last day that readings stand on. Where the page with one of them is damaged, what
/// `presence` says is taken: asking for a day without readings costs a seek, and other days can be read.
pub(super) fn reading_days(c: &Connection) -> rusqlite::Result<Option<(i32, i32)>> {
    let edge = |sql: &str| c.prepare_cached(sql)?.query_row([], |row| row.get(0));
    let first: rusqlite::Result<Option<i32>> = edge("SELECT min(day) FROM readings");
    let last: rusqlite::Result<Option<i32>> = edge("SELECT max(day) FROM readings");
    match (first, last) {
        (Ok(first), Ok(last)) => Ok(first.zip(last)),
        _ => presence::span(c),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Collects the rows around some days without reading any row day twice.
struct Gather<'a> {
    c: &'a Connection,
    number: i64,
    meter: &'a MeterId,
    item: Item,
    whole_days: BTreeSet<i32>,
    rows: Vec<Reading>,
}

impl Gather<'_> {
    /// All rows that stand on, or hold totals of, the days `[from, to)`.
    fn days(&mut self, from: i32, to: i32) -> rusqlite::Result<()> {
        let mut row_days = presence::row_days_of(self.c, self.number, from..to)?;
        // Rows without totals count too: a rule may look at their flow.
        row_days.extend(from..to);
        for day in row_days {
            self.whole_day(day)?;
        }
        Ok(())
    }

    fn whole_day(&mut self, day: i32) -> rusqlite::Result<()> {
        if !self.whole_days.insert(day) {
            return Ok(());
        }
        let rows = &mut self.rows;
        rows_of_day(
            self.c,
            self.number,
            self.meter,
            day,
            i64::MIN..i64::MAX,
            |row| {
                if row.is_usable {
                    rows.push(row.reading);
                }
            },
        )
    }

    /// Rows that hold the `around` totals nearest to a day's edge on one side.
    fn neighbours(
        &mut self,
        side: Side,
        edge: i32,
        around: usize,
        journal: &Journal,
    ) -> rusqlite::Result<()> {
        let mut day = edge;
        // Only days walked through are counted: rows read for another reason may hold totals
        // further out while nearer ones are not read yet.
        while self.count(day.min(edge), day.max(edge), journal) < around {
            let next = match side {
                Side::Before => presence::day_before(self.c, self.number, day)?,
                Side::After => presence::day_from(self.c, self.number, day)?,
            };
            let Some(next) = next else {
                return Ok(());
            };
            self.edge_of_day(side, next, around)?;
            day = match side {
                Side::Before => next,
                Side::After => next + 1,
            };
        }
        Ok(())
    }

    /// Rows of a neighbouring day: all of them where arrays are involved, since an array's place
    /// in time is not its row's; else only as many as are needed, since a day may have 1,440.
    fn edge_of_day(&mut self, side: Side, day: i32, around: usize) -> rusqlite::Result<()> {
        let (row_days, has_arrays) = presence::row_days(self.c, self.number, day)?;
        if has_arrays {
            for row_day in row_days {
                self.whole_day(row_day)?;
            }
            return Ok(());
        }
        if self.whole_days.contains(&day) {
            return Ok(());
        }
        let order = if side == Side::Before { "DESC" } else { "ASC" };
        let mut statement = self.c.prepare_cached(&format!(
            "SELECT at, received_at, body FROM readings WHERE day = ?1 AND meter = ?2
             ORDER BY at {order}"
        ))?;
        let mut rows = statement.query(params![day, self.number])?;
        let mut found = 0;
        while let Some(row) = rows.next()? {
            let row = read_row(row, self.number, self.meter)?;
            if row.is_usable && row.reading.exact(self.item).is_some() {
                self.rows.push(row.reading);
                found += 1;
                if found == around {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Totals read so far within the days `[from, to)`.
    fn count(&self, from: i32, to: i32, journal: &Journal) -> usize {
        let start_of = |day| journal.clock().start_of(GasDay::from_epoch_day(day));
        let (from, to) = (start_of(from), start_of(to));
        expand(&self.rows, self.item)
            .iter()
            .filter(|point| from <= point.at && point.at < to)
            .count()
    }

    fn finish(mut self) -> Vec<Reading> {
        self.rows.sort_by_key(|reading| reading.sampled_at);
        self.rows.dedup_by_key(|reading| reading.sampled_at);
        self.rows
    }
}
