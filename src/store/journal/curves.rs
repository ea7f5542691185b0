//! Load curves, and which of them have to be computed again.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::codec::{Bytes, put_signed};
use super::ingest::number_of;
use super::outbox::{Forwarding, Keys};
use super::{Journal, findings, instant, locked, millis};
use crate::domain::calendar::GasDay;
use crate::domain::finding::{Finding, Quality};
use crate::domain::id::MeterId;
use crate::domain::quantity::StdVolume;
use crate::domain::series::LoadCurve;
use crate::store::error::StoreError;

const FORMAT: u8 = 1;

/// A curve to compute again, as it was marked when it was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirtyDay {
    /// Meter.
    pub meter: MeterId,
    /// Gas day.
    pub day: GasDay,
    /// The commit that last marked it; clearing leaves later marks alone.
    pub mark: i64,
}

/// A gas day whose demand is to be summed again, as it was marked when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleDay {
    /// Gas day.
    pub day: GasDay,
    /// The write that last marked it.
    pub mark: i64,
}

/// A computed curve with the findings made on the way; they replace those of the last time.
#[derive(Debug, Clone, PartialEq)]
pub struct CurveWrite {
    /// The curve.
    pub curve: LoadCurve,
    /// Findings of the sequence rules.
    pub findings: Vec<Finding>,
}

/// Curves to write and dirty days to clear in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct CurveBatch {
    /// Curves.
    pub curves: Vec<CurveWrite>,
    /// Marks answered by them.
    pub cleared: Vec<DirtyDay>,
    /// When they were computed.
    pub computed_at: DateTime<Utc>,
}

/// A curve with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCurve {
    /// The curve.
    pub curve: LoadCurve,
    /// 1 for the first; one more each time hours or quality changed.
    pub version: u32,
    /// When this version was computed.
    pub computed_at: DateTime<Utc>,
}

/// 24 volumes, then quality as (code, run) pairs.
fn encode(curve: &LoadCurve) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.push(FORMAT);
    for volume in &curve.hours {
        put_signed(&mut out, volume.units());
    }
    let mut quality = curve.quality.iter().peekable();
    while let Some(first) = quality.next() {
        let mut run = 1_u8;
        while quality.next_if_eq(&first).is_some() {
            run += 1;
        }
        out.push(*first as u8);
        out.push(run);
    }
    out
}

pub(super) fn decode(meter: MeterId, day: GasDay, bytes: &[u8]) -> Option<LoadCurve> {
    let mut bytes = Bytes(bytes);
    if bytes.byte()? != FORMAT {
        return None;
    }
    let mut curve = LoadCurve::missing(meter, day);
    for volume in &mut curve.hours {
        *volume = StdVolume::from_units(bytes.signed()?);
    }
    let mut quality = curve.quality.iter_mut();
    while let Some(code) = bytes.byte() {
        for _ in 0..bytes.byte()? {
            *quality.next()? = Quality::from_code(code);
        }
    }
    Some(curve)
}

/// Whether a stored curve has a form of ours.
pub(super) fn is_readable(bytes: &[u8]) -> bool {
    decode(
        MeterId::new(String::new()),
        GasDay::from_epoch_day(0),
        bytes,
    )
    .is_some()
}

pub(super) fn unreadable() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some("a stored curve has an unknown form".to_owned()),
    )
}

/// Writes one curve; true if it differs from what was there.
fn put_curve(
    t: &Transaction<'_>,
    number: i64,
    write: &CurveWrite,
    computed_at: i64,
) -> rusqlite::Result<bool> {
    let day = write.curve.day.epoch_day();
    let body = encode(&write.curve);
    let inserted = t
        .prepare_cached("INSERT INTO curves VALUES (?1, ?2, 1, ?3, ?4) ON CONFLICT DO NOTHING")?
        .execute(params![day, number, computed_at, body])?;
    let mut changed = inserted;
    // A curve that is new has no findings to replace.
    if inserted == 0 {
        changed = t
            .prepare_cached(
                "UPDATE curves SET version = version + 1, computed_at = ?3, body = ?4
                 WHERE day = ?1 AND meter = ?2 AND body <> ?4",
            )?
            .execute(params![day, number, computed_at, body])?;
        t.prepare_cached("DELETE FROM findings WHERE day = ?1 AND meter = ?2 AND origin = ?3")?
            .execute(params![day, number, findings::Origin::Sequence as u8])?;
    }
    for finding in &write.findings {
        findings::insert_on(t, day, number, findings::Origin::Sequence, None, finding)?;
    }
    Ok(changed > 0)
}

fn put(
    t: &Transaction<'_>,
    cache: &mut super::Cache,
    batch: &CurveBatch,
) -> rusqlite::Result<usize> {
    cache.mark += 1;
    let mark = cache.mark;
    let mut numbered = Vec::with_capacity(batch.curves.len());
    for write in &batch.curves {
        numbered.push((number_of(t, cache, &write.curve.meter)?, write));
    }
    numbered.sort_by_key(|(number, write)| (write.curve.day, *number));
    let mut changed = 0;
    let mut stale = std::collections::BTreeSet::new();
    let mut keys = Keys::default();
    let computed_at = millis(batch.computed_at);
    for (number, write) in numbered {
        if put_curve(t, number, write, computed_at)? {
            changed += 1;
            stale.insert(write.curve.day.epoch_day());
            keys.add(number, write.curve.day.epoch_day().into());
        }
    }
    if cache.forwarding(t)? == Forwarding::On {
        keys.append_curves(t)?;
    }
    for day in stale {
        t.prepare_cached(
            "INSERT INTO stale_demand VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET mark = excluded.mark",
        )?
        .execute(params![day, mark])?;
    }
    let mut cleared = Vec::with_capacity(batch.cleared.len());
    for dirty in &batch.cleared {
        let number = number_of(t, cache, &dirty.meter)?;
        cleared.push((dirty.day.epoch_day(), number, dirty.mark));
    }
    cleared.sort_unstable();
    for (day, number, mark) in cleared {
        t.prepare_cached("DELETE FROM dirty WHERE day = ?1 AND meter = ?2 AND mark = ?3")?
            .execute(params![day, number, mark])?;
    }
    Ok(changed)
}

/// Key in `meta`: a digest of the meters in use, by the last sync.
const IN_USE: &str = "meters_in_use";

impl Journal {
    /// Writes curves, replaces the findings made with them and clears the marks they answer, all
    /// in one transaction. A curve equal to the stored one keeps version and time; the gas days of
    /// the others are marked for summing demand again. Returns how many changed. Blocks.
    ///
    /// # Errors
    /// As `commit`; nothing is written or cleared then.
    pub fn put_curves(&self, batch: CurveBatch) -> Result<usize, StoreError> {
        let cache = std::sync::Arc::clone(&self.cache);
        let days: BTreeSet<GasDay> = batch.curves.iter().map(|write| write.curve.day).collect();
        let changed = self.write_now("writing curves", move |t| {
            put(t, &mut locked(&cache), &batch)
        });
        if !matches!(changed, Ok(0)) {
            self.curve_writes.count(days);
        }
        changed
    }

    /// Begins a new mark for what is written from now on. Whatever bears an older one is committed
    /// when this returns.
    fn next_mark(&self) -> Result<i64, StoreError> {
        if self.database.is_read_only() {
            return Ok(i64::MAX);
        }
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("beginning a new mark", move |_| {
            let mut cache = locked(&cache);
            cache.mark += 1;
            cache.dirty.clear();
            Ok(cache.mark)
        })
    }

    /// Curves to compute again, the earliest days first, at most `limit`. Days that are marked
    /// meanwhile are left for the next call, also if they were marked before. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn dirty_days(&self, limit: usize) -> Result<Vec<DirtyDay>, StoreError> {
        self.dirty_until(i32::MAX, limit)
    }

    /// The same, of gas days before `day` only: what came late. Without any it writes nothing. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn dirty_days_before(
        &self,
        day: GasDay,
        limit: usize,
    ) -> Result<Vec<DirtyDay>, StoreError> {
        let has_any = self.read("looking for dirty days", |c| {
            c.prepare_cached("SELECT EXISTS (SELECT 1 FROM dirty WHERE day < ?1)")?
                .query_row([day.epoch_day()], |row| row.get::<_, bool>(0))
        })?;
        if !has_any {
            return Ok(Vec::new());
        }
        self.dirty_until(day.epoch_day(), limit)
    }

    fn dirty_until(&self, day: i32, limit: usize) -> Result<Vec<DirtyDay>, StoreError> {
        let next = self.next_mark()?;
        self.read("reading dirty days", |c| {
            let mut statement = c.prepare_cached(
                "SELECT meter, day, mark FROM dirty WHERE mark < ?2 AND day < ?3
                 ORDER BY day, meter LIMIT ?1",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![limit, next, day])?;
            let mut dirty = Vec::new();
            while let Some(row) = rows.next()? {
                dirty.push(DirtyDay {
                    meter: self.meter(c, row.get(0)?)?,
                    day: GasDay::from_epoch_day(row.get(1)?),
                    mark: row.get(2)?,
                });
            }
            Ok(dirty)
        })
    }

    /// How many curves wait to be computed again. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn dirty_len(&self) -> Result<u64, StoreError> {
        self.read("counting dirty days", |c| {
            c.prepare_cached("SELECT count(*) FROM dirty")?
                .query_row([], |row| row.get::<_, i64>(0))
        })
        .map(i64::cast_unsigned)
    }

    /// Whether a curve of the gas days `[from, to)` waits to be computed again. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn is_dirty_between(&self, from: GasDay, to: GasDay) -> Result<bool, StoreError> {
        self.read("looking for dirty days", |c| {
            c.prepare_cached("SELECT EXISTS (SELECT 1 FROM dirty WHERE day >= ?1 AND day < ?2)")?
                .query_row([from.epoch_day(), to.epoch_day()], |row| row.get(0))
        })
    }

    /// Gas days `[from, to)` of a meter whose curves wait to be computed again, in order. Blocks.
    ///
    /// A curve read after this and not named by it holds all that was known when this was asked.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn dirty_days_of(
        &self,
        meter: &MeterId,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<GasDay>, StoreError> {
        self.read("looking for dirty days", |c| {
            let Some(number) = self.number(c, meter)? else {
                return Ok(Vec::new());
            };
            let mut waits =
                c.prepare_cached("SELECT 1 FROM dirty WHERE day = ?1 AND meter = ?2")?;
            let mut days = Vec::new();
            for day in from.epoch_day()..to.epoch_day() {
                if waits.exists(params![day, number])? {
                    days.push(GasDay::from_epoch_day(day));
                }
            }
            Ok(days)
        })
    }

    /// Gas days whose demand has to be summed again, in order. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn stale_demand_days(&self) -> Result<Vec<StaleDay>, StoreError> {
        self.read("reading stale demand days", |c| {
            c.prepare_cached("SELECT day, mark FROM stale_demand ORDER BY day")?
                .query_map([], |row| {
                    Ok(StaleDay {
                        day: GasDay::from_epoch_day(row.get(0)?),
                        mark: row.get(1)?,
                    })
                })?
                .collect()
        })
    }

    /// Marks gas days on which a meter came or went, whose demand is to be summed again: `days`, and `recent` ones
    /// unless the registry is the version it was the last time; of these, those that have curves. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn mark_demand_in_use(
        &self,
        days: BTreeSet<GasDay>,
        recent: BTreeSet<GasDay>,
        registry: String,
    ) -> Result<(), StoreError> {
        let known = self.read("reading who was in use", |c| {
            c.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
                .query_row([IN_USE], |row| row.get::<_, String>(0))
                .optional()
        })?;
        let is_known = known.as_ref() == Some(&registry);
        if days.is_empty() && is_known {
            return Ok(());
        }
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("marking stale demand days", move |t| {
            let cache = &mut locked(&cache);
            cache.mark += 1;
            let mut statement = t.prepare_cached(
                "INSERT INTO stale_demand SELECT ?1, ?2
                 WHERE EXISTS (SELECT 1 FROM curves WHERE day = ?1)
                 ON CONFLICT DO UPDATE SET mark = excluded.mark",
            )?;
            let recent = recent.iter().filter(|_| !is_known);
            for day in days.iter().chain(recent) {
                statement.execute(params![day.epoch_day(), cache.mark])?;
            }
            t.prepare_cached(
                "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute(params![IN_USE, registry])
            .map(drop)
        })
    }

    /// Marks gas days whose demand is to be summed again though no curve changed. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn mark_stale_demand(&self, days: BTreeSet<GasDay>) -> Result<(), StoreError> {
        if days.is_empty() {
            return Ok(());
        }
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("marking stale demand days", move |t| {
            let cache = &mut locked(&cache);
            cache.mark += 1;
            let mut statement = t.prepare_cached(
                "INSERT INTO stale_demand VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET mark = excluded.mark",
            )?;
            for day in &days {
                statement.execute(params![day.epoch_day(), cache.mark])?;
            }
            Ok(())
        })
    }

    /// Clears marks once the demand of their days is written; later marks stay. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn clear_stale_demand(&self, days: Vec<StaleDay>) -> Result<(), StoreError> {
        self.write_now("clearing stale demand days", move |t| {
            let mut statement =
                t.prepare_cached("DELETE FROM stale_demand WHERE day = ?1 AND mark = ?2")?;
            for stale in &days {
                statement.execute(params![stale.day.epoch_day(), stale.mark])?;
            }
            Ok(())
        })
    }

    /// Every curve of a gas day, in order of meter. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn curves_on(&self, day: GasDay) -> Result<Vec<LoadCurve>, StoreError> {
        self.read("reading curves", |c| self.curves_of_day(c, day))
    }

    fn curves_of_day(&self, c: &Connection, day: GasDay) -> rusqlite::Result<Vec<LoadCurve>> {
        let mut statement = c.prepare_cached("SELECT meter, body FROM curves WHERE day = ?1")?;
        let mut rows = statement.query([day.epoch_day()])?;
        let mut curves = Vec::new();
        while let Some(row) = rows.next()? {
            let meter = self.meter(c, row.get(0)?)?;
            let bytes = row.get_ref(1)?.as_blob()?;
            curves.push(decode(meter, day, bytes).ok_or_else(unreadable)?);
        }
        curves.sort_by(|a, b| a.meter.cmp(&b.meter));
        Ok(curves)
    }

    /// Curves of a meter for the gas days `[from, to)`, in order; days without one are left out.
    /// Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn curves_of(
        &self,
        meter: &MeterId,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<LoadCurve>, StoreError> {
        self.read("reading curves", |c| {
            let Some(number) = self.number(c, meter)? else {
                return Ok(Vec::new());
            };
            let Some((first, last)) = curve_days(c)? else {
                return Ok(Vec::new());
            };
            let mut statement =
                c.prepare_cached("SELECT body FROM curves WHERE day = ?1 AND meter = ?2")?;
            let mut curves = Vec::new();
            for day in from.epoch_day().max(first)..to.epoch_day().min(last.saturating_add(1)) {
                let mut rows = statement.query(params![day, number])?;
                if let Some(row) = rows.next()? {
                    let bytes = row.get_ref(0)?.as_blob()?;
                    let day = GasDay::from_epoch_day(day);
                    curves.push(decode(meter.clone(), day, bytes).ok_or_else(unreadable)?);
                }
            }
            Ok(curves)
        })
    }

    /// A curve with version and time. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn stored_curve(
        &self,
        meter: &MeterId,
        day: GasDay,
    ) -> Result<Option<StoredCurve>, StoreError> {
        self.read("reading a curve", |c| {
            let Some(number) = self.number(c, meter)? else {
                return Ok(None);
            };
            c.prepare_cached(
                "SELECT version, computed_at, body FROM curves WHERE day = ?1 AND meter = ?2",
            )?
            .query_row(params![day.epoch_day(), number], |row| {
                let bytes = row.get_ref(2)?.as_blob()?;
                Ok(StoredCurve {
                    version: row.get(0)?,
                    computed_at: instant(row.get(1)?),
                    curve: decode(meter.clone(), day, bytes).ok_or_else(unreadable)?,
                })
            })
            .optional()
        })
    }

    /// Hands every curve of the gas days `[from, to)` to `take`, by day, then meter; only one
    /// day's curves are held at a time. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn for_each_curve(
        &self,
        from: GasDay,
        to: GasDay,
        mut take: impl FnMut(LoadCurve),
    ) -> Result<(), StoreError> {
        self.read("reading curves", |c| {
            let Some((first, last)) = curve_days(c)? else {
                return Ok(());
            };
            for day in from.epoch_day().max(first)..to.epoch_day().min(last.saturating_add(1)) {
                for curve in self.curves_of_day(c, GasDay::from_epoch_day(day))? {
                    take(curve);
                }
            }
            Ok(())
        })
    }

    /// First and last gas day with a curve. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn curve_span(&self) -> Result<Option<(GasDay, GasDay)>, StoreError> {
        self.read("reading the span of curves", curve_days)
            .map(|span| span.map(|(a, b)| (GasDay::from_epoch_day(a), GasDay::from_epoch_day(b))))
    }
}

pub(super) fn curve_days(c: &Connection) -> rusqlite::Result<Option<(i32, i32)>> {
    let first: Option<i32> = c
        .prepare_cached("SELECT min(day) FROM curves")?
        .query_row([], |row| row.get(0))?;
    let last: Option<i32> = c
        .prepare_cached("SELECT max(day) FROM curves")?
        .query_row([], |row| row.get(0))?;
    Ok(first.zip(last))
}
