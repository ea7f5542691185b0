//! The outbox: what another store is still to be told.
//!
//! While forwarding is on, each commit appends the keys of the readings it wrote or changed, and each
//! write of curves those of the curves it changed, in the same transaction. The forwarder reads keys in
//! order, looks up what stands there now, sends it, and removes the keys after the other store has
//! acknowledged. So the table itself is the cursor: what was acknowledged there is gone here, a crash in
//! between sends a batch twice, and sending twice changes nothing there.
//!
//! Turned on for the first time, or again after it was off, every gas day is entered whole; of these,
//! only what was received since it was turned off is sent, or since what came earliest of all that was
//! replayed or imported meanwhile.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::check::{CURVES, READINGS, days_of};
use super::codec::{Bytes, put_signed, put_unsigned};
use super::curves::decode as decode_curve;
use super::ingest::epoch_day;
use super::place::unreadable;
use super::series::read_row;
use super::{Journal, MeterPoint, locked, millis};
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::series::LoadCurve;
use crate::store::error::StoreError;

/// Key in `meta`: `1` while forwarding, else `since <received_at>`.
const META: &str = "forwarding";

/// Refused lines kept at most, the newest; the journal has what they say.
const REFUSED_MAX: i64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Readings = 0,
    Curves = 1,
    Day = 2,
}

impl Kind {
    fn of(code: i64) -> Option<Self> {
        [Self::Readings, Self::Curves, Self::Day]
            .into_iter()
            .find(|kind| *kind as i64 == code)
    }
}

/// What is to be sent next, and the note that it was.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxBatch {
    /// What readings say, as all of them together have it now.
    pub points: Vec<MeterPoint>,
    /// Curves as they stand now.
    pub curves: Vec<LoadCurve>,
    /// For [`Journal::forwarded`].
    pub sent: Sent,
}

/// How far a batch goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Rows up to this one are done.
    through: i64,
    /// The row after them, of which a part is done: what is left of it.
    rest: Option<(i64, i64, Vec<u8>)>,
}

/// A line that the other store did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLine {
    /// Number.
    pub id: i64,
    /// When it was refused, Unix ms.
    pub at_ms: i64,
    /// The line.
    pub line: String,
    /// What the other store said.
    pub reason: String,
}

/// Keys that one transaction gathers.
#[derive(Debug, Default)]
pub(super) struct Keys {
    count: i64,
    bytes: Vec<u8>,
    last: i64,
}

impl Keys {
    /// A reading's meter number and instant, or a curve's and its day.
    pub(super) fn add(&mut self, number: i64, at: i64) {
        put_unsigned(&mut self.bytes, number.cast_unsigned());
        put_signed(&mut self.bytes, at.wrapping_sub(self.last));
        self.last = at;
        self.count += 1;
    }

    pub(super) fn append_readings(&self, t: &Transaction<'_>) -> rusqlite::Result<()> {
        self.append(t, Kind::Readings)
    }

    pub(super) fn append_curves(&self, t: &Transaction<'_>) -> rusqlite::Result<()> {
        self.append(t, Kind::Curves)
    }

    fn append(&self, t: &Transaction<'_>, kind: Kind) -> rusqlite::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        t.prepare_cached("INSERT INTO outbox (kind, count, keys) VALUES (?1, ?2, ?3)")?
            .execute(params![kind as i64, self.count, self.bytes])
            .map(drop)
    }
}

fn keys(bytes: &[u8]) -> Option<Vec<(i64, i64)>> {
    let mut bytes = Bytes(bytes);
    let mut keys = Vec::new();
    let mut last = 0_i64;
    while !bytes.0.is_empty() {
        let number = bytes.unsigned()?.cast_signed();
        last = last.wrapping_add(bytes.signed()?);
        keys.push((number, last));
    }
    Some(keys)
}

/// A day that is read whole: from which meter on, and what of it.
struct WholeDay {
    day: i64,
    from_number: i64,
    received_from: i64,
}

impl WholeDay {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_signed(&mut out, self.day);
        put_signed(&mut out, self.from_number);
        put_signed(&mut out, self.received_from);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(bytes);
        Some(Self {
            day: bytes.signed()?,
            from_number: bytes.signed()?,
            received_from: bytes.signed()?,
        })
    }
}

/// Whether commits append keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarding {
    /// It was never turned on.
    Never,
    /// They do.
    On,
    /// It was on. What was received since this instant, ms, is not known over there.
    OffSince(i64),
}

impl Forwarding {
    /// As the file says.
    pub(super) fn read(c: &Connection) -> rusqlite::Result<Self> {
        let text: Option<String> = c
            .query_row("SELECT value FROM meta WHERE key = ?1", [META], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(match text.as_deref() {
            None => Self::Never,
            Some("1") => Self::On,
            Some(text) => text
                .strip_prefix("since ")
                .and_then(|since| since.parse().ok())
                .map_or(Self::Never, Self::OffSince),
        })
    }

    pub(super) fn write(self, t: &Transaction<'_>) -> rusqlite::Result<()> {
        let value = match self {
            Self::Never => return Ok(()),
            Self::On => "1".to_owned(),
            Self::OffSince(since) => format!("since {since}"),
        };
        t.execute(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
            [META, &value],
        )
        .map(drop)
    }
}

/// Enters every gas day with what was received since.
fn enter_days(t: &Transaction<'_>, received_from: i64) -> rusqlite::Result<()> {
    let mut days: BTreeSet<i32> = days_of(t, READINGS)?.into_iter().collect();
    days.extend(days_of(t, CURVES)?);
    for day in days {
        let whole = WholeDay {
            day: day.into(),
            from_number: 0,
            received_from,
        };
        t.prepare_cached("INSERT INTO outbox (kind, count, keys) VALUES (?1, 1, ?2)")?
            .execute(params![Kind::Day as i64, whole.encode()])?;
    }
    Ok(())
}

impl Journal {
    /// Turns forwarding on or off. Off, the outbox is emptied, and the next time it is turned on
    /// everything received since `now` is entered, and what came before and was changed meanwhile, by a
    /// replay or an import; turned on for the first time, everything. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn set_forwarding(&self, is_on: bool, now_ms: i64) -> Result<(), StoreError> {
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("turning forwarding on or off", move |t| {
            let mut cache = locked(&cache);
            match (cache.forwarding(t)?, is_on) {
                (Forwarding::On, false) => {
                    // What waits was received before now, some of it long ago.
                    let oldest: i64 = oldest_waiting(t)?.unwrap_or(now_ms);
                    t.execute("DELETE FROM outbox", [])?;
                    cache.set_forwarding(t, Forwarding::OffSince(oldest.min(now_ms)))?;
                }
                (Forwarding::Never, true) => {
                    enter_days(t, i64::MIN / 4)?;
                    cache.set_forwarding(t, Forwarding::On)?;
                }
                (Forwarding::OffSince(since), true) => {
                    enter_days(t, since)?;
                    cache.set_forwarding(t, Forwarding::On)?;
                }
                (Forwarding::On, true) | (Forwarding::Never | Forwarding::OffSince(_), false) => {}
            }
            Ok(())
        })
    }

    /// What is to be sent next: about `limit` readings and curves, none if all was. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn outbox(&self, limit: usize) -> Result<Option<OutboxBatch>, StoreError> {
        self.read("reading the outbox", |c| {
            let mut batch = OutboxBatch {
                points: Vec::new(),
                curves: Vec::new(),
                sent: Sent {
                    through: 0,
                    rest: None,
                },
            };
            let mut statement =
                c.prepare_cached("SELECT id, kind, keys FROM outbox ORDER BY id")?;
            let mut rows = statement.query([])?;
            let mut is_empty = true;
            while let Some(row) = rows.next()? {
                is_empty = false;
                let (id, kind): (i64, i64) = (row.get(0)?, row.get(1)?);
                let bytes = row.get_ref(2)?.as_blob()?;
                let kind = Kind::of(kind).ok_or_else(unreadable)?;
                let rest = match kind {
                    Kind::Readings => self.read_keys(c, bytes, &mut batch.points)?,
                    Kind::Curves => self.curve_keys(c, bytes, &mut batch.curves)?,
                    Kind::Day => self.whole_day(c, bytes, limit, &mut batch)?,
                };
                if let Some(rest) = rest {
                    batch.sent.rest = Some((id, kind as i64, rest));
                    break;
                }
                batch.sent.through = id;
                if batch.points.len() + batch.curves.len() >= limit {
                    break;
                }
            }
            Ok((!is_empty).then_some(batch))
        })
    }

    fn read_keys(
        &self,
        c: &Connection,
        bytes: &[u8],
        out: &mut Vec<MeterPoint>,
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut select = c.prepare_cached(
            "SELECT at, received_at, body FROM readings WHERE day = ?1 AND meter = ?2 AND at = ?3",
        )?;
        for (number, at) in keys(bytes).ok_or_else(unreadable)? {
            let mut rows = select.query(params![epoch_day(self.clock(), at), number, at])?;
            // Retention may have dropped it.
            if let Some(row) = rows.next()? {
                let row = read_row(row, number, &self.meter(c, number)?)?;
                self.append_points(c, row.reading, out)?;
            }
        }
        Ok(None)
    }

    fn curve_keys(
        &self,
        c: &Connection,
        bytes: &[u8],
        out: &mut Vec<LoadCurve>,
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut select =
            c.prepare_cached("SELECT body FROM curves WHERE day = ?1 AND meter = ?2")?;
        for (number, day) in keys(bytes).ok_or_else(unreadable)? {
            let mut rows = select.query(params![day, number])?;
            if let Some(row) = rows.next()? {
                let day = GasDay::from_epoch_day(i32::try_from(day).map_err(|_| unreadable())?);
                let body = row.get_ref(0)?.as_blob()?;
                out.push(decode_curve(self.meter(c, number)?, day, body).ok_or_else(unreadable)?);
            }
        }
        Ok(None)
    }

    /// Meters of a day in the order of their number, until there are enough; what is left of it.
    fn whole_day(
        &self,
        c: &Connection,
        bytes: &[u8],
        limit: usize,
        batch: &mut OutboxBatch,
    ) -> rusqlite::Result<Option<Vec<u8>>> {
        let whole = WholeDay::decode(bytes).ok_or_else(unreadable)?;
        let mut numbers = c.prepare_cached(
            "SELECT meter FROM readings WHERE day = ?1 AND meter >= ?2
             UNION SELECT meter FROM curves WHERE day = ?1 AND meter >= ?2 ORDER BY 1",
        )?;
        let mut rows = numbers.query([whole.day, whole.from_number])?;
        let mut of_meter = c.prepare_cached(
            "SELECT at, received_at, body FROM readings WHERE day = ?1 AND meter = ?2 AND received_at >= ?3",
        )?;
        let mut curve = c.prepare_cached(
            "SELECT body FROM curves WHERE day = ?1 AND meter = ?2 AND computed_at >= ?3",
        )?;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            if batch.points.len() + batch.curves.len() >= limit {
                let rest = WholeDay {
                    from_number: number,
                    ..whole
                };
                return Ok(Some(rest.encode()));
            }
            let meter = self.meter(c, number)?;
            let mut found = of_meter.query(params![whole.day, number, whole.received_from])?;
            while let Some(row) = found.next()? {
                let row = read_row(row, number, &meter)?;
                if row.is_usable {
                    self.append_points(c, row.reading, &mut batch.points)?;
                }
            }
            let mut found = curve.query(params![whole.day, number, whole.received_from])?;
            if let Some(row) = found.next()? {
                let day =
                    GasDay::from_epoch_day(i32::try_from(whole.day).map_err(|_| unreadable())?);
                let body = row.get_ref(0)?.as_blob()?;
                batch
                    .curves
                    .push(decode_curve(meter, day, body).ok_or_else(unreadable)?);
            }
        }
        Ok(None)
    }

    /// Notes that the other store has what a batch held, but for lines it refused. Blocks.
    ///
    /// # Errors
    /// As `commit`; the batch is sent once more then.
    pub fn forwarded(
        &self,
        sent: Sent,
        refused: Vec<(String, String)>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        self.write_now("noting what was forwarded", move |t| {
            t.prepare_cached("DELETE FROM outbox WHERE id <= ?1")?.execute([sent.through])?;
            if let Some((id, _, rest)) = &sent.rest {
                t.prepare_cached("UPDATE outbox SET keys = ?2 WHERE id = ?1")?.execute(params![id, rest])?;
            }
            for (line, reason) in &refused {
                t.prepare_cached(
                    "INSERT INTO outbox_refused (at, line, reason) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET at = excluded.at, reason = excluded.reason",
                )?
                .execute(params![now_ms, line, reason])?;
            }
            if !refused.is_empty() {
                t.prepare_cached(
                    "DELETE FROM outbox_refused WHERE id <= (SELECT max(id) FROM outbox_refused) - ?1",
                )?
                .execute([REFUSED_MAX])?;
            }
            Ok(())
        })
    }

    /// Readings, curves and whole days that wait to be forwarded. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn outbox_len(&self) -> Result<u64, StoreError> {
        self.read("counting the outbox", |c| {
            c.prepare_cached("SELECT coalesce(sum(count), 0) FROM outbox")?
                .query_row([], |row| row.get::<_, i64>(0))
        })
        .map(i64::cast_unsigned)
    }

    /// Lines the other store refused, the oldest first. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn refused_lines(&self, limit: usize) -> Result<Vec<RefusedLine>, StoreError> {
        self.read("reading refused lines", |c| {
            c.prepare_cached(
                "SELECT id, at, line, reason FROM outbox_refused ORDER BY id LIMIT ?1",
            )?
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok(RefusedLine {
                    id: row.get(0)?,
                    at_ms: row.get(1)?,
                    line: row.get(2)?,
                    reason: row.get(3)?,
                })
            })?
            .collect()
        })
    }

    /// How many lines the other store refused. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn refused_len(&self) -> Result<u64, StoreError> {
        self.read("counting refused lines", |c| {
            c.prepare_cached("SELECT count(*) FROM outbox_refused")?
                .query_row([], |row| row.get::<_, i64>(0))
        })
        .map(i64::cast_unsigned)
    }

    /// Forgets refused lines that were taken after all. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn forget_refused(&self, ids: Vec<i64>) -> Result<(), StoreError> {
        self.write_now("forgetting refused lines", move |t| {
            for id in &ids {
                t.prepare_cached("DELETE FROM outbox_refused WHERE id = ?1")?
                    .execute([id])?;
            }
            Ok(())
        })
    }
}

/// Hands the gas days of keys that wait, in rows after `through`, to `take`; returns the last row.
pub(super) fn days_since(
    c: &Connection,
    clock: GasDayClock,
    through: i64,
    mut take: impl FnMut(i32),
) -> rusqlite::Result<i64> {
    let mut statement =
        c.prepare_cached("SELECT id, kind, keys FROM outbox WHERE id > ?1 ORDER BY id")?;
    let mut rows = statement.query([through])?;
    let mut last = through;
    while let Some(row) = rows.next()? {
        last = row.get(0)?;
        let bytes = row.get_ref(2)?.as_blob()?;
        let day_of = |day: i64| i32::try_from(day).map_err(|_| unreadable());
        match Kind::of(row.get(1)?).ok_or_else(unreadable)? {
            Kind::Readings => {
                for (_, at) in keys(bytes).ok_or_else(unreadable)? {
                    take(epoch_day(clock, at));
                }
            }
            Kind::Curves => {
                for (_, day) in keys(bytes).ok_or_else(unreadable)? {
                    take(day_of(day)?);
                }
            }
            Kind::Day => take(day_of(WholeDay::decode(bytes).ok_or_else(unreadable)?.day)?),
        }
    }
    Ok(last)
}

/// From when on what waits was received or computed: looked for up to the first row of readings, since a
/// curve that was computed again meanwhile is later than the row that speaks of it.
fn oldest_waiting(t: &Transaction<'_>) -> rusqlite::Result<Option<i64>> {
    let mut statement = t.prepare_cached("SELECT kind, keys FROM outbox ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut oldest: Option<i64> = None;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(1)?.as_blob()?;
        let kind = Kind::of(row.get(0)?).ok_or_else(unreadable)?;
        let mut found: Option<i64> = None;
        match kind {
            Kind::Day => {
                found = Some(
                    WholeDay::decode(bytes)
                        .ok_or_else(unreadable)?
                        .received_from,
                );
            }
            // Rows are appended in the order they were committed, hence received; an hour for good
            // measure.
            Kind::Readings => {
                for (number, at) in keys(bytes).ok_or_else(unreadable)? {
                    let day = at.div_euclid(86_400_000);
                    let received: Option<i64> = t
                        .prepare_cached(
                            "SELECT received_at FROM readings
                             WHERE meter = ?1 AND at = ?2 AND day BETWEEN ?3 AND ?4",
                        )?
                        .query_row(params![number, at, day - 1, day + 1], |row| row.get(0))
                        .optional()?;
                    found = found.into_iter().chain(received).min();
                }
                found = found.map(|at| at - 3_600_000);
            }
            Kind::Curves => {
                for (number, day) in keys(bytes).ok_or_else(unreadable)? {
                    let computed: Option<i64> = t
                        .prepare_cached(
                            "SELECT computed_at FROM curves WHERE day = ?1 AND meter = ?2",
                        )?
                        .query_row(params![day, number], |row| row.get(0))
                        .optional()?;
                    found = found.into_iter().chain(computed).min();
                }
            }
        }
        oldest = oldest.into_iter().chain(found).min();
        if kind != Kind::Curves && found.is_some() {
            break;
        }
    }
    Ok(oldest)
}

/// Unix ms of a gas day's hour, as curves are stamped.
pub fn hour_ms(clock: GasDayClock, day: GasDay, hour: usize) -> i64 {
    millis(clock.start_of(day)) + i64::try_from(hour).unwrap_or(0) * 3_600_000
}
