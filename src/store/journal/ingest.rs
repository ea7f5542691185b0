//! The writing side: entries to rows, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::body::{Body, Merged};
use super::presence::{Added, Place};
use super::{Cache, CommitReport, EntryOutcome, JournalEntry, findings, millis, rejects};
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

/// What one transaction gathers before it writes each once.
#[derive(Default)]
struct Touched {
    dirty: BTreeSet<(i32, i64)>,
    presence: Added,
    latest: BTreeMap<i64, (i64, i64)>,
}

pub(super) fn commit(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    entries: &[JournalEntry],
) -> rusqlite::Result<(CommitReport, Vec<EntryOutcome>)> {
    cache.mark += 1;
    let mark = cache.mark;
    let mut report = CommitReport::default();
    let mut outcomes = vec![EntryOutcome::Rejected; entries.len()];
    let mut readings = Vec::with_capacity(entries.len());
    for (entry, outcome) in entries.iter().zip(&mut outcomes) {
        match entry {
            JournalEntry::Reject(reject) => {
                rejects::insert(t, reject)?;
                report.rejected += 1;
            }
            JournalEntry::Reading { reading, findings } => {
                let number = number_of(t, cache, &reading.meter)?;
                let at = millis(reading.sampled_at);
                readings.push((epoch_day(clock, at), number, at, reading, findings, outcome));
            }
        }
    }
    // In the order of the key, so that neighbours go to the same page.
    readings.sort_by_key(|(day, number, at, ..)| (*day, *number, *at));
    let mut touched = Touched::default();
    for (day, number, at, reading, findings, outcome) in readings {
        let key = Key { day, number, at };
        *outcome = match put(t, clock, &mut touched, key, reading, findings)? {
            Outcome::New => {
                report.accepted += 1;
                EntryOutcome::Accepted
            }
            Outcome::Known => {
                report.duplicate += 1;
                EntryOutcome::Duplicate
            }
            Outcome::Contradicts => {
                report.accepted += 1;
                report.conflicts += 1;
                EntryOutcome::Accepted
            }
        };
    }
    write_touched(t, cache, clock, &touched, mark)?;
    count(t, &report)?;
    Ok((report, outcomes))
}

#[derive(Clone, Copy)]
struct Key {
    day: i32,
    number: i64,
    at: i64,
}

enum Outcome {
    New,
    Known,
    Contradicts,
}

fn put(
    t: &Transaction<'_>,
    clock: GasDayClock,
    touched: &mut Touched,
    key: Key,
    reading: &Reading,
    entry_findings: &[Finding],
) -> rusqlite::Result<Outcome> {
    let is_usable = !entry_findings
        .iter()
        .any(|finding| finding.severity == Severity::Fail);
    for finding in entry_findings {
        findings::insert(t, clock, key.number, findings::Origin::Entry, None, finding)?;
    }
    let mut body = Body::new(reading, is_usable);
    let received_at = millis(reading.received_at);
    let inserted = t
        .prepare_cached("INSERT INTO readings VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING")?
        .execute(params![
            key.day,
            key.number,
            key.at,
            received_at,
            body.encode(key.at)
        ])?;
    let mut outcome = Outcome::New;
    if inserted == 0 {
        let merged = merge_stored(t, key, received_at, &mut body)?;
        if !merged.conflicts.is_empty() {
            let is_new = keep_conflicts(t, clock, key, &reading.meter, &merged)?;
            outcome = if is_new {
                Outcome::Contradicts
            } else if merged.has_news {
                Outcome::New
            } else {
                Outcome::Known
            };
        } else if !merged.has_news {
            outcome = Outcome::Known;
        }
        if !merged.has_changed {
            return Ok(outcome);
        }
    }
    if body.is_usable {
        touch(clock, touched, key, &body);
        let latest = touched
            .latest
            .entry(key.number)
            .or_insert((key.at, received_at));
        latest.0 = latest.0.max(key.at);
        latest.1 = latest.1.max(received_at);
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
    let mut stored = Body::decode(key.at, &bytes).ok_or_else(unreadable)?;
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
            stored_at.min(received_at),
            stored.encode(key.at)
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
    meter: &MeterId,
    merged: &Merged,
) -> rusqlite::Result<bool> {
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
        let finding = conflict_finding(t, key, meter, &conflict.part)?;
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
    let mut name = String::new();
    let mut texts = Vec::new();
    while let Some(row) = rows.next()? {
        let (item, value) = super::body::describe_conflict(part, row.get_ref(0)?.as_blob()?);
        let transport = super::body::transport_of(row.get(1)?);
        name = item;
        texts.push(format!("{value} by {}", transport.key()));
    }
    Ok(v01_duplicate::reported_differently(
        meter,
        super::instant(key.at),
        &name,
        &texts,
    ))
}

/// Which days' curves the row can change, and where its totals are to be found.
fn touch(clock: GasDayClock, touched: &mut Touched, key: Key, body: &Body) {
    touched.dirty.insert((key.day, key.number));
    if body.has_total() {
        touched.presence.insert(key.number, key.day, Place::Single);
    }
    for array in body.arrays() {
        for day in days_of(clock, array) {
            touched.dirty.insert((day, key.number));
            let later = key.day.saturating_sub(day);
            touched
                .presence
                .insert(key.number, day, Place::Array(later));
        }
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

fn write_touched(
    t: &Transaction<'_>,
    cache: &mut Cache,
    clock: GasDayClock,
    touched: &Touched,
    mark: i64,
) -> rusqlite::Result<()> {
    for (day, number) in &touched.dirty {
        mark_dirty(t, *number, *day, mark)?;
    }
    cache.presence.write(t, &touched.presence)?;
    for (number, (at, received_at)) in &touched.latest {
        t.prepare_cached(
            "INSERT INTO latest VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
               day = max(day, excluded.day), at = max(at, excluded.at),
               received_at = max(received_at, excluded.received_at)",
        )?
        .execute(params![number, epoch_day(clock, *at), at, received_at])?;
    }
    Ok(())
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
