//! Rows put at their place: joined with what is there, contradictions kept, and noted what that touches.

use std::collections::BTreeSet;
use std::ops::Range;

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::aside::{self, DamagedPlaces};
use super::body::{self, Body, ConflictPart, Merged, Stand, Traits};
use super::inbox::{Row, Rows};
use super::ingest::{Touched, epoch_day};
use super::{EntryOutcome, findings, millis, presence};
use crate::domain::calendar::GasDayClock;
use crate::domain::finding::Finding;
use crate::domain::id::MeterId;
use crate::domain::reading::{FrozenTotals, Item};
use crate::validate::rules::v01_duplicate;

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
    touch(
        clock,
        touched,
        row,
        row.received_at,
        row.traits,
        arrays.as_ref(),
    );
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
    let (merged, first_at) = merge_stored(t, key, row.received_at, &mut body)?;
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
        touch(clock, touched, row, first_at, body.traits(), Some(&body));
    }
    Ok(outcome)
}

/// Joins `body` with the stored row; afterwards `body` is what is stored. With when it first came.
fn merge_stored(
    t: &Transaction<'_>,
    key: Key,
    received_at: i64,
    body: &mut Body,
) -> rusqlite::Result<(Merged, i64)> {
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
    Ok((merged, first_at))
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
    let mut name = ConflictPart::Other(String::new());
    let mut texts = Vec::new();
    while let Some(row) = rows.next()? {
        let (item, value) = body::describe_conflict(part, row.get_ref(0)?.as_blob()?);
        let transport = body::transport_of(row.get(1)?);
        name = item;
        texts.push(format!("{value} ({})", transport.key()));
    }
    Ok(v01_duplicate::reported_differently(
        meter,
        super::instant(key.at),
        match &name {
            ConflictPart::Item(item) => v01_duplicate::Part::Item(*item),
            ConflictPart::Other(text) => v01_duplicate::Part::Other(text),
        },
        &texts,
    ))
}

/// Which days' curves the row can change, and where its totals are to be found.
fn touch(
    clock: GasDayClock,
    touched: &mut Touched,
    row: &Row,
    first_at: i64,
    traits: Traits,
    arrays: Option<&Body>,
) {
    if !traits.is_usable {
        return;
    }
    let (day, number) = (row.day, row.number);
    touched.keys.add(number, row.at);
    touched.earliest = Some(touched.earliest.map_or(first_at, |at| at.min(first_at)));
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
