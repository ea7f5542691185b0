//! Dropping what is kept no longer: whole ranges of the key, a few thousand rows in a transaction.
//!
//! What is dropped must not change what stays. A curve depends on the totals before its day, so the
//! last days with totals before the first day that is kept stay with it, and a meter's days before that
//! are *closed*: what was computed of them is final, whatever is marked or comes late.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::check::days_of;
use super::ingest::number_of;
use super::{Cache, Journal, locked, millis, outbox, presence};
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::id::MeterId;
use crate::store::error::StoreError;
use crate::validate::curve::AROUND;
use crate::validate::estimate::CONTRACT_DAYS;

/// Rows that one transaction drops, about: some ten milliseconds.
const ROWS_MAX: u64 = 4_000;
/// Meters that one transaction looks at.
const METERS_MAX: usize = 1_000;
/// Meters that wait for curves, above which a whole day waits: an import is under way, and soon over.
const WAITING_MAX: usize = 1_000;
/// Key in `meta`: the gas day before which curves have been dropped.
const CURVES_BEFORE: &str = "curves_dropped_before";

/// What has a length of its own to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeptKind {
    /// Readings, with the values that contradicted them.
    Readings,
    /// Load curves.
    Curves,
    /// Findings.
    Findings,
}

impl KeptKind {
    /// Each of them, in the order in which they are dropped.
    pub const ALL: [Self; 3] = [Self::Readings, Self::Curves, Self::Findings];

    /// Name of the table and in metrics.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Curves => "curves",
            Self::Findings => "findings",
        }
    }
}

/// Rows of a gas day that are to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropRequest {
    /// Which rows.
    pub kind: KeptKind,
    /// Of which gas day.
    pub day: GasDay,
    /// Of which meters, each with the first gas day that it keeps.
    pub meters: Vec<(MeterId, GasDay)>,
}

/// Why rows of a day were not dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Curves of that day or of days before are still to be computed.
    Curves,
    /// Keys of that day still wait for the second store.
    Outbox,
    /// They lie on a damaged page, or below one.
    Damage,
}

/// What one transaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DropReport {
    /// Rows dropped.
    pub rows: u64,
    /// Meters of the request that were looked at, from the first; with fewer than all the rest is to be
    /// asked for again.
    pub meters: usize,
    /// Meters of which the day's rows stay because curves that are kept depend on them.
    pub needed: usize,
    /// Meters of which they stay because curves of the meter are still to be computed.
    pub waiting: usize,
    /// Why nothing was done.
    pub held: Option<Held>,
}

/// Gas days with keys in the outbox, up to one of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitingDays {
    days: BTreeSet<i32>,
    through: i64,
}

/// Rows of a meter on a gas day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeterRows {
    /// Meter.
    pub meter: MeterId,
    /// Rows.
    pub rows: u64,
    /// What their bodies or texts weigh.
    pub bytes: u64,
}

impl Journal {
    /// Gas days with rows of a kind, in order. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn days_with(&self, kind: KeptKind) -> Result<Vec<GasDay>, StoreError> {
        self.read("reading which days there are", |c| {
            let days = days_of(c, kind.key())?;
            Ok(days.into_iter().map(GasDay::from_epoch_day).collect())
        })
    }

    /// Meters with rows of a kind on a gas day; each is found by a seek. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn meters_with(&self, kind: KeptKind, day: GasDay) -> Result<Vec<MeterId>, StoreError> {
        self.read("reading who has rows of a day", |c| {
            let sql = format!(
                "SELECT min(meter) FROM {} WHERE day = ?1 AND meter > ?2",
                kind.key()
            );
            let mut next = c.prepare_cached(&sql)?;
            let mut meters = Vec::new();
            let mut number = i64::MIN;
            while let Some(found) = next.query_row(params![day.epoch_day(), number], |row| {
                row.get::<_, Option<i64>>(0)
            })? {
                meters.push(self.meter(c, found)?);
                number = found;
            }
            Ok(meters)
        })
    }

    /// How many rows of a kind each meter has on a gas day. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn rows_with(&self, kind: KeptKind, day: GasDay) -> Result<Vec<MeterRows>, StoreError> {
        let text = if kind == KeptKind::Findings {
            "message"
        } else {
            "body"
        };
        self.read("counting the rows of a day", |c| {
            let sql = format!(
                "SELECT meter, count(*), sum(length({text})) FROM {} WHERE day = ?1 GROUP BY meter",
                kind.key()
            );
            let mut statement = c.prepare_cached(&sql)?;
            let mut rows = statement.query([day.epoch_day()])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(MeterRows {
                    meter: self.meter(c, row.get(0)?)?,
                    rows: row.get::<_, i64>(1)?.cast_unsigned(),
                    bytes: row.get::<_, i64>(2)?.cast_unsigned(),
                });
            }
            Ok(found)
        })
    }

    /// Gas days of which keys wait for the second store. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn waiting_days(&self) -> Result<WaitingDays, StoreError> {
        let clock = self.clock();
        self.read("reading the outbox's days", |c| {
            let mut waiting = WaitingDays::default();
            waiting.read(c, clock)?;
            Ok(waiting)
        })
    }

    /// Drops rows of a gas day in one short transaction, unless something still needs them: curves that
    /// are to be computed from them, the second store, or curves of days that are kept. Blocks.
    ///
    /// # Errors
    /// As `commit`; nothing is dropped then.
    pub fn drop_rows(
        &self,
        request: DropRequest,
        waiting: &WaitingDays,
    ) -> Result<DropReport, StoreError> {
        let cache = std::sync::Arc::clone(&self.cache);
        let clock = self.clock();
        let waiting = waiting.clone();
        let (kind, day) = (request.kind, request.day);
        let dropped = self.write_now("dropping what is kept no longer", move |t| {
            let cache = &mut locked(&cache);
            let dropped = drop_rows(t, cache, clock, &request, &waiting);
            if dropped.is_err() {
                cache.forget();
            }
            dropped
        });
        if kind == KeptKind::Curves {
            self.curve_writes.count([day]);
        }
        dropped
    }

    /// The first gas day of a meter of which no reading was dropped; curves of days before it are
    /// final. None if none ever was. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn closed_before(&self, meter: &MeterId) -> Result<Option<GasDay>, StoreError> {
        self.read("reading which days are closed", |c| {
            let Some(number) = self.number(c, meter)? else {
                return Ok(None);
            };
            Ok(closed_before(c, number)?.map(GasDay::from_epoch_day))
        })
    }

    /// The first gas day of which no curve was dropped; what was summed of days before it is final.
    /// None if none ever was. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn curves_dropped_before(&self) -> Result<Option<GasDay>, StoreError> {
        self.read("reading which curves were dropped", |c| {
            let day: Option<String> = c
                .query_row(
                    "SELECT value FROM meta WHERE key = ?1",
                    [CURVES_BEFORE],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(day
                .and_then(|day| day.parse().ok())
                .map(GasDay::from_epoch_day))
        })
    }
}

impl WaitingDays {
    /// Adds the days of rows that came since.
    fn read(&mut self, c: &Connection, clock: GasDayClock) -> rusqlite::Result<()> {
        let (days, through) = (&mut self.days, self.through);
        self.through = outbox::days_since(c, clock, through, |day| {
            days.insert(day);
        })?;
        Ok(())
    }
}

pub(super) fn closed_before(c: &Connection, number: i64) -> rusqlite::Result<Option<i32>> {
    c.prepare_cached("SELECT before_day FROM closed WHERE meter = ?1")?
        .query_row([number], |row| row.get(0))
        .optional()
}

fn drop_rows(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    request: &DropRequest,
    waiting: &WaitingDays,
) -> rusqlite::Result<DropReport> {
    let mut report = DropReport::default();
    let day = request.day.epoch_day();
    let kept_from = request
        .meters
        .iter()
        .map(|(_, kept_from)| kept_from.epoch_day());
    let kept_from = kept_from.max().unwrap_or(day);
    let mut new = WaitingDays {
        through: waiting.through,
        ..WaitingDays::default()
    };
    new.read(t, clock)?;
    if waiting.days.contains(&day) || new.days.contains(&day) {
        report.held = Some(Held::Outbox);
        return Ok(report);
    }
    // Of a curve its day's demand is made, and that of days which estimate by it: of all meters together.
    // A reading is needed by curves of its own meter alone.
    let Some(marked) = marked_before(t, kept_from)?
        .filter(|marked| request.kind != KeptKind::Curves || !marked.is_about(day))
    else {
        report.held = Some(Held::Curves);
        return Ok(report);
    };
    for (meter, kept_from) in request.meters.iter().take(METERS_MAX) {
        if report.rows >= ROWS_MAX {
            break;
        }
        report.meters += 1;
        let number = number_of(t, cache, meter)?;
        let kept_from = kept_from.epoch_day();
        if marked.meters.contains(&number) {
            report.waiting += 1;
            continue;
        }
        if request.kind == KeptKind::Readings && is_needed(t, number, day, kept_from)? {
            report.needed += 1;
            continue;
        }
        let sql = format!(
            "DELETE FROM {} WHERE day = ?1 AND meter = ?2",
            request.kind.key()
        );
        report.rows += t.prepare_cached(&sql)?.execute(params![day, number])? as u64;
        match request.kind {
            KeptKind::Readings => forget_readings(t, cache, clock, number, request.day, kept_from)?,
            KeptKind::Curves => note_dropped_curves(t, day + 1)?,
            KeptKind::Findings => {}
        }
    }
    Ok(report)
}

/// Marks that are not answered yet: they want the readings that are there now.
#[derive(Debug, Default)]
struct Marked {
    meters: BTreeSet<i64>,
    days: BTreeSet<i32>,
}

impl Marked {
    /// Whether demand that is still to be summed may rest on curves of a day: that of the day, and of those
    /// whose estimates look back to it.
    fn is_about(&self, day: i32) -> bool {
        let last = GasDay::from_epoch_day(day).plus(CONTRACT_DAYS);
        self.days.range(day..=last.epoch_day()).next().is_some()
    }
}

/// Those of days before one; none if they are of many meters.
fn marked_before(c: &Connection, day: i32) -> rusqlite::Result<Option<Marked>> {
    let mut statement = c.prepare_cached("SELECT day, meter FROM dirty WHERE day < ?1")?;
    let mut rows = statement.query([day])?;
    let mut marked = Marked::default();
    while let Some(row) = rows.next()? {
        marked.days.insert(row.get(0)?);
        marked.meters.insert(row.get(1)?);
        if marked.meters.len() > WAITING_MAX {
            return Ok(None);
        }
    }
    Ok(Some(marked))
}

/// Whether a day's rows hold totals that curves of days from `kept_from` on are computed from.
fn is_needed(c: &Connection, number: i64, day: i32, kept_from: i32) -> rusqlite::Result<bool> {
    let mut nearest = kept_from;
    for _ in 0..AROUND {
        match presence::day_before(c, number, nearest)? {
            Some(found) if found > day => nearest = found,
            Some(_) => return Ok(true),
            // No older totals at all.
            None => break,
        }
    }
    presence::has_totals_on(c, number, day, nearest)
}

/// What else speaks of a day's rows of a meter.
fn forget_readings(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    number: i64,
    day: GasDay,
    kept_from: i32,
) -> rusqlite::Result<()> {
    let (from, to) = (millis(clock.start_of(day)), millis(clock.end_of(day)));
    t.prepare_cached("DELETE FROM conflicts WHERE meter = ?1 AND at >= ?2 AND at < ?3")?
        .execute(params![number, from, to])?;
    cache.presence.forget_row_day(t, number, day.epoch_day())?;
    t.prepare_cached(
        "INSERT INTO closed VALUES (?1, ?2) ON CONFLICT DO UPDATE
         SET before_day = excluded.before_day WHERE before_day < excluded.before_day",
    )?
    .execute(params![number, kept_from])
    .map(drop)
}

fn note_dropped_curves(t: &Transaction<'_>, before: i32) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value
         WHERE CAST(value AS INTEGER) < CAST(excluded.value AS INTEGER)",
    )?
    .execute(params![CURVES_BEFORE, before.to_string()])
    .map(drop)
}
