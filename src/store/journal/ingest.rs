//! The writing side: entries to rows, in one transaction.

use std::collections::BTreeSet;
use std::ops::Range;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::aside::DamagedPlaces;
use super::body::{Body, Merged, Stand, Traits};
use super::inbox::{Row, Rows};
use super::outbox::Keys;
use super::presence::Added;
use super::{
    Cache, CommitReport, EntryOutcome, JournalEntry, aside, findings, millis, presence, rejects,
};
use crate::domain::calendar::GasDayClock;
use crate::domain::finding::{Finding, Severity};
use crate::domain::id::MeterId;
use crate::domain::reading::{FrozenTotals, Item, Reading};
use crate::validate::rules::v01_duplicate;

/// The gas day of an instant as SQL has it; the same as `GasDayClock::day_of`, without a date in
/// between because an import asks twenty million times.
pub(super) fn epoch_day(clock: GasDayClock, millis: i64) -> i32 {
    let shift_h = 8 - i64::from(clock.start_hour);
    let day = (millis + shift_h * 3_600_000).div_euclid(86_400_000);
    i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX })
}

/// When readings come to their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In this transaction, and whatever waits in the inbox with them.
    Now,
    /// With one of the next, if many come.
    Soon,
    /// Some of what waits in the inbox; nothing comes with it.
    Step,
}

/// What one transaction gathers before it writes each once. Rows come in the order of the key, so
/// all but arrays speak of the meter and day of the row before.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) dirty: Vec<(i32, i64)>,
    presence: Added,
    /// Meter, newest instant, last arrival.
    pub(super) latest: Vec<(i64, i64, i64)>,
    /// What another store is to be told.
    keys: Keys,
    pub(super) report: CommitReport,
    /// What became of each row, with the number that says when it came; kept only if asked for.
    pub(super) outcomes: Option<Vec<(u32, EntryOutcome)>>,
    /// Rows whose place is damaged.
    pub(super) aside: Rows,
}

pub(super) fn commit(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    entries: &[JournalEntry],
    place: Place,
) -> rusqlite::Result<CommitReport> {
    let mut report = apply(t, cache, clock, entries, place, Touched::default())?.report;
    count(t, &report)?;
    report.add(std::mem::take(&mut cache.carried));
    report.waiting = cache.inbox.len() as u64;
    Ok(report)
}

/// `commit` at their place that also tells what each entry did, in their order. What waits in the
/// inbox came earlier and is moved first.
pub(super) fn commit_each(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    entries: &[JournalEntry],
) -> rusqlite::Result<(CommitReport, Vec<EntryOutcome>)> {
    let mut report = commit(t, cache, clock, &[], Place::Now)?;
    let asked = Touched {
        outcomes: Some(Vec::with_capacity(entries.len())),
        ..Touched::default()
    };
    let touched = apply(t, cache, clock, entries, Place::Now, asked)?;
    count(t, &touched.report)?;
    report.add(touched.report);
    let mut of_rows = touched.outcomes.unwrap_or_default();
    of_rows.sort_unstable_by_key(|(came, _)| *came);
    let mut of_rows = of_rows.into_iter().map(|(_, outcome)| outcome);
    let outcomes = entries
        .iter()
        .map(|entry| match entry {
            JournalEntry::Reject(_) => EntryOutcome::Rejected,
            JournalEntry::Reading { .. } => of_rows.next().unwrap_or(EntryOutcome::Accepted),
        })
        .collect();
    Ok((report, outcomes))
}

/// Writes entries at their place without counting them as deliveries. What waits in the inbox is a
/// delivery and is moved and counted first; the next report tells of it, to whoever received it.
pub(super) fn replay(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    entries: &[JournalEntry],
) -> rusqlite::Result<CommitReport> {
    cache.carried = commit(t, cache, clock, &[], Place::Now)?;
    Ok(apply(t, cache, clock, entries, Place::Now, Touched::default())?.report)
}

fn apply(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    entries: &[JournalEntry],
    place: Place,
    mut touched: Touched,
) -> rusqlite::Result<Touched> {
    cache.inbox.read(t, clock)?;
    touched.report.rejected = keep_rejects(t, entries)?;
    for (reading, findings) in readings(entries) {
        let number = number_of(t, cache, &reading.meter)?;
        let is_usable = keep_findings(t, clock, number, findings)?;
        let rows = cache.inbox.arriving();
        rows.push(clock, number, reading, is_usable);
    }
    let damaged = &mut cache.damaged;
    match place {
        Place::Now => {
            for (rows, range) in cache.inbox.rest() {
                put_rows(t, clock, damaged, &mut touched, rows, range)?;
            }
            cache.inbox.emptied(t)?;
        }
        Place::Soon => {
            let meters = cache.numbers.len();
            let range = cache.inbox.append(t, meters)?;
            let end = range.end;
            put_rows(t, clock, damaged, &mut touched, cache.inbox.moving(), range)?;
            cache.inbox.moved(t, end)?;
        }
        Place::Step => {
            let range = cache.inbox.step();
            let end = range.end;
            put_rows(t, clock, damaged, &mut touched, cache.inbox.moving(), range)?;
            cache.inbox.moved(t, end)?;
        }
    }
    write_touched(t, cache, clock, &mut touched)?;
    Ok(touched)
}

/// Puts rows of another file at their place. Its marks and keys are taken from there, unless they `are_new`:
/// then nothing of them was told yet.
pub(super) fn put_salvaged(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    rows: &mut Rows,
    are_new: bool,
) -> rusqlite::Result<()> {
    rows.sort();
    let mut touched = Touched::default();
    put_rows(
        t,
        clock,
        &mut cache.damaged,
        &mut touched,
        rows,
        0..rows.len(),
    )?;
    if !are_new {
        touched.dirty.clear();
        touched.keys = Keys::default();
    }
    write_touched(t, cache, clock, &mut touched)
}

fn keep_rejects(t: &Transaction<'_>, entries: &[JournalEntry]) -> rusqlite::Result<u64> {
    let mut count = 0;
    for entry in entries {
        if let JournalEntry::Reject(reject) = entry {
            rejects::insert(t, reject)?;
            count += 1;
        }
    }
    Ok(count)
}

fn readings(entries: &[JournalEntry]) -> impl Iterator<Item = (&Reading, &[Finding])> {
    entries.iter().filter_map(|entry| match entry {
        JournalEntry::Reading { reading, findings } => Some((reading, findings.as_slice())),
        JournalEntry::Reject(_) => None,
    })
}

/// Keeps what the entry rules found; whether the reading may be used.
fn keep_findings(
    t: &Transaction<'_>,
    clock: GasDayClock,
    number: i64,
    found: &[Finding],
) -> rusqlite::Result<bool> {
    for finding in found {
        findings::insert(t, clock, number, findings::Origin::Entry, None, finding)?;
    }
    Ok(!found.iter().any(|f| f.severity == Severity::Fail))
}

#[derive(Clone, Copy)]
struct Key {
    day: i32,
    number: i64,
    at: i64,
}

impl Key {
    const fn of(row: &Row) -> Self {
        Self {
            day: row.day,
            number: row.number,
            at: row.at,
        }
    }

    const fn stand(self, received_at: i64) -> Stand {
        Stand {
            number: self.number,
            at: self.at,
            received_at,
        }
    }
}

enum Outcome {
    New,
    Known,
    Contradicts,
}

/// Puts rows at their place, in the order of the key, so that neighbours go to the same page.
pub(super) fn put_rows(
    t: &Transaction<'_>,
    clock: GasDayClock,
    damaged: &mut DamagedPlaces,
    touched: &mut Touched,
    rows: &Rows,
    range: Range<usize>,
) -> rusqlite::Result<()> {
    for (row, body) in rows.slice(range) {
        if damaged.has(row) {
            aside::set_aside(touched, row, body);
            continue;
        }
        let outcome =
            put_row(t, clock, touched, row, body).inspect_err(|error| damaged.note(row, error))?;
        let told = match outcome {
            Outcome::Known => {
                touched.report.duplicate += 1;
                EntryOutcome::Duplicate
            }
            Outcome::New => {
                touched.report.accepted += 1;
                EntryOutcome::Accepted
            }
            Outcome::Contradicts => {
                touched.report.accepted += 1;
                touched.report.conflicts += 1;
                EntryOutcome::Accepted
            }
        };
        if let Some(outcomes) = &mut touched.outcomes {
            outcomes.push((row.came(), told));
        }
    }
    Ok(())
}

fn put_row(
    t: &Transaction<'_>,
    clock: GasDayClock,
    touched: &mut Touched,
    row: &Row,
    body: &[u8],
) -> rusqlite::Result<Outcome> {
    let key = Key::of(row);
    let inserted = t
        .prepare_cached("INSERT INTO readings VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")?
        .execute(params![key.day, key.number, key.at, row.received_at, body])?;
    if inserted == 0 {
        return join_stored(t, clock, touched, row, body);
    }
    let arrays = if row.traits.has_arrays {
        Some(Body::decode(key.stand(row.received_at), body).ok_or_else(unreadable)?)
    } else {
        None
    };
    touch(clock, touched, row, row.traits, arrays.as_ref());
    Ok(Outcome::New)
}

/// Joins a row with the one that is there.
fn join_stored(
    t: &Transaction<'_>,
    clock: GasDayClock,
    touched: &mut Touched,
    row: &Row,
    body: &[u8],
) -> rusqlite::Result<Outcome> {
    let key = Key::of(row);
    let mut body = Body::decode(key.stand(row.received_at), body).ok_or_else(unreadable)?;
    let merged = merge_stored(t, key, row.received_at, &mut body)?;
    let outcome = if merged.conflicts.is_empty() {
        if merged.has_news {
            Outcome::New
        } else {
            Outcome::Known
        }
    } else if keep_conflicts(t, clock, key, &merged)? {
        Outcome::Contradicts
    } else if merged.has_news {
        Outcome::New
    } else {
        Outcome::Known
    };
    if merged.has_changed {
        touch(clock, touched, row, body.traits(), Some(&body));
    }
    Ok(outcome)
}

/// Joins `body` with the stored row; afterwards `body` is what is stored.
fn merge_stored(
    t: &Transaction<'_>,
    key: Key,
    received_at: i64,
    body: &mut Body,
) -> rusqlite::Result<Merged> {
    let (stored_at, bytes) = t
        .prepare_cached(
            "SELECT received_at, body FROM readings WHERE day = ?1 AND meter = ?2 AND at = ?3",
        )?
        .query_row(params![key.day, key.number, key.at], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })?;
    let mut stored = Body::decode(key.stand(stored_at), &bytes).ok_or_else(unreadable)?;
    let first_at = stored_at.min(received_at);
    let merged = stored.merge(body);
    if merged.has_changed || received_at < stored_at {
        t.prepare_cached(
            "UPDATE readings SET received_at = ?4, body = ?5
             WHERE day = ?1 AND meter = ?2 AND at = ?3",
        )?
        .execute(params![
            key.day,
            key.number,
            key.at,
            first_at,
            stored.encode(key.stand(first_at))
        ])?;
    }
    *body = stored;
    Ok(merged)
}

/// A body that no version of the program wrote.
pub(super) fn unreadable() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
        Some("a stored reading has an unknown form".to_owned()),
    )
}

/// Keeps every distinct value with the best transport it came by; true if one was not known yet.
fn keep_conflicts(
    t: &Transaction<'_>,
    clock: GasDayClock,
    key: Key,
    merged: &Merged,
) -> rusqlite::Result<bool> {
    let meter: String = t
        .prepare_cached("SELECT id FROM meters WHERE no = ?1")?
        .query_row([key.number], |row| row.get(0))?;
    let meter = MeterId::new(meter);
    let mut is_new = false;
    for conflict in &merged.conflicts {
        for (value, rank) in &conflict.values {
            let known: Option<u8> = t
                .prepare_cached(
                    "SELECT transport FROM conflicts
                     WHERE meter = ?1 AND at = ?2 AND part = ?3 AND value = ?4",
                )?
                .query_row(params![key.number, key.at, conflict.part, value], |row| {
                    row.get(0)
                })
                .optional()?;
            is_new |= known.is_none();
            if known.is_none_or(|known| known < *rank) {
                t.prepare_cached("INSERT OR REPLACE INTO conflicts VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![key.number, key.at, conflict.part, value, rank])?;
            }
        }
        let finding = conflict_finding(t, key, &meter, &conflict.part)?;
        let part = Some(conflict.part.as_slice());
        findings::insert(
            t,
            clock,
            key.number,
            findings::Origin::Entry,
            part,
            &finding,
        )?;
    }
    Ok(is_new)
}

/// V01 over all values known for a part, so that the last word does not depend on the order.
fn conflict_finding(
    t: &Transaction<'_>,
    key: Key,
    meter: &MeterId,
    part: &[u8],
) -> rusqlite::Result<Finding> {
    let mut statement = t.prepare_cached(
        "SELECT value, transport FROM conflicts WHERE meter = ?1 AND at = ?2 AND part = ?3
         ORDER BY transport DESC, value",
    )?;
    let mut rows = statement.query(params![key.number, key.at, part])?;
    let mut name = super::body::ConflictPart::Other(String::new());
    let mut texts = Vec::new();
    while let Some(row) = rows.next()? {
        let (item, value) = super::body::describe_conflict(part, row.get_ref(0)?.as_blob()?);
        let transport = super::body::transport_of(row.get(1)?);
        name = item;
        texts.push(format!("{value} ({})", transport.key()));
    }
    Ok(v01_duplicate::reported_differently(
        meter,
        super::instant(key.at),
        match &name {
            super::body::ConflictPart::Item(item) => v01_duplicate::Part::Item(*item),
            super::body::ConflictPart::Other(text) => v01_duplicate::Part::Other(text),
        },
        &texts,
    ))
}

/// Which days' curves the row can change, and where its totals are to be found.
fn touch(
    clock: GasDayClock,
    touched: &mut Touched,
    row: &Row,
    traits: Traits,
    arrays: Option<&Body>,
) {
    if !traits.is_usable {
        return;
    }
    let (day, number) = (row.day, row.number);
    touched.keys.add(number, row.at);
    if touched.dirty.last() != Some(&(day, number)) {
        touched.dirty.push((day, number));
    }
    if traits.has_total {
        touched
            .presence
            .insert(number, day, presence::Place::Single);
    }
    for array in arrays.into_iter().flat_map(Body::arrays) {
        for of_day in days_of(clock, array) {
            touched.dirty.push((of_day, number));
            let later = day.saturating_sub(of_day);
            let place = presence::Place::Array(later);
            touched.presence.insert(number, of_day, place);
        }
    }
    match touched.latest.last_mut() {
        Some((of, at, received_at)) if *of == number => {
            *at = row.at.max(*at);
            *received_at = row.received_at.max(*received_at);
        }
        _ => touched.latest.push((number, row.at, row.received_at)),
    }
}

/// Gas days an array has totals of.
fn days_of(clock: GasDayClock, array: &FrozenTotals) -> BTreeSet<i32> {
    let first = millis(array.first_at);
    let step = i64::from(array.step_s) * 1_000;
    let mut days = BTreeSet::new();
    if !matches!(array.item, Item::TotalStd | Item::TotalWork) {
        return days;
    }
    let mut at = first;
    let mut before = None;
    for total in &array.totals {
        if total.is_some() {
            let day = epoch_day(clock, at);
            if before != Some(day) {
                days.insert(day);
                before = Some(day);
            }
        }
        at = at.saturating_add(step);
    }
    days
}

pub(super) fn write_touched(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    touched: &mut Touched,
) -> rusqlite::Result<()> {
    touched.dirty.sort_unstable();
    touched.dirty.dedup();
    for (day, number) in &touched.dirty {
        cache.dirty.mark(t, *number, *day, cache.mark)?;
    }
    if cache.is_forwarding(t)? {
        touched.keys.append_readings(t)?;
    }
    cache.presence.write(t, &touched.presence)?;
    aside::write(t, &touched.aside)?;
    let mut latest = t.prepare_cached(
        "INSERT INTO latest VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
           day = max(day, excluded.day), at = max(at, excluded.at),
           received_at = max(received_at, excluded.received_at)",
    )?;
    for (number, at, received_at) in &touched.latest {
        latest.execute(params![number, epoch_day(clock, *at), at, received_at])?;
    }
    Ok(())
}

/// Marks the writer made since the marks were last read.
///
/// A day that is marked since then needs no second mark: whoever reads marks first gets a new mark
/// for all that follow (`Journal::dirty_days`), and clears none but those it has read.
#[derive(Debug, Default)]
pub(super) struct Marked(BTreeSet<(i32, i64)>);

/// Days remembered as marked; a city's import marks more, one by one.
const MARKED_MAX: usize = 250_000;

impl Marked {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn mark(
        &mut self,
        t: &Transaction<'_>,
        number: i64,
        day: i32,
        mark: i64,
    ) -> rusqlite::Result<()> {
        if self.0.len() >= MARKED_MAX {
            self.0.clear();
        }
        if self.0.insert((day, number)) {
            mark_dirty(t, number, day, mark)?;
        }
        Ok(())
    }
}

pub(super) fn mark_dirty(
    t: &Transaction<'_>,
    number: i64,
    day: i32,
    mark: i64,
) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO dirty VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET mark = excluded.mark",
    )?
    .execute(params![day, number, mark])
    .map(drop)
}

/// The number of a meter, given now if it has none.
pub(super) fn number_of(
    t: &Transaction<'_>,
    cache: &mut Cache,
    meter: &MeterId,
) -> rusqlite::Result<i64> {
    if let Some(number) = cache.numbers.get(meter) {
        return Ok(*number);
    }
    t.prepare_cached("INSERT INTO meters (id) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([meter.as_str()])?;
    let number = t
        .prepare_cached("SELECT no FROM meters WHERE id = ?1")?
        .query_row([meter.as_str()], |row| row.get(0))?;
    cache.numbers.insert(meter.clone(), number);
    Ok(number)
}

fn count(t: &Transaction<'_>, report: &CommitReport) -> rusqlite::Result<()> {
    for (name, value) in [
        ("accepted", report.accepted),
        ("duplicate", report.duplicate),
        ("conflicts", report.conflicts),
        ("rejected", report.rejected),
    ] {
        if value > 0 {
            t.prepare_cached(
                "INSERT INTO counters VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET value = value + excluded.value",
            )?
            .execute(params![name, value.cast_signed()])?;
        }
    }
    Ok(())
}
