//! The writing side: entries to rows, in one transaction.

use rusqlite::{Transaction, params};

use super::inbox::Rows;
use super::outbox::{Forwarding, Keys};
use super::place::put_rows;
use super::presence::Added;
use super::{Cache, CommitReport, EntryOutcome, JournalEntry, aside, findings, rejects};
use crate::domain::calendar::GasDayClock;
use crate::domain::finding::{Finding, Severity};
use crate::domain::id::MeterId;
use crate::domain::reading::Reading;

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
    pub(super) presence: Added,
    /// Meter, newest instant, last arrival.
    pub(super) latest: Vec<(i64, i64, i64)>,
    /// What another store is to be told.
    pub(super) keys: Keys,
    /// When the earliest of them first came, ms.
    pub(super) earliest: Option<i64>,
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

/// Puts rows that lay elsewhere at their place. Marks and keys come from where they lay, unless they `are_new`:
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
    match cache.forwarding(t)? {
        Forwarding::On => touched.keys.append_readings(t)?,
        // What is replayed or imported came before forwarding was turned off, and changes now.
        Forwarding::OffSince(since) => {
            if let Some(earliest) = touched.earliest.filter(|at| *at < since) {
                cache.set_forwarding(t, Forwarding::OffSince(earliest))?;
            }
        }
        Forwarding::Never => {}
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
