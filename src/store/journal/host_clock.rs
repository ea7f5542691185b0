//! What came while the host's clock was wrong: put right once it is known by how much.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::body::{Body, Stand};
use super::ingest::{self, epoch_day};
use super::{Journal, JournalEntry, findings, instant, locked, millis, place};
use crate::domain::finding::Severity;
use crate::domain::id::MeterId;
use crate::domain::reading::Reading;
use crate::store::error::StoreError;
use crate::validate::EntryLimits;
use crate::validate::rules::v02_time;

/// Key in `meta`: the latest time that could be believed, ms.
const META: &str = "known_time";
/// Findings looked at in one transaction.
const HEAL_MAX: usize = 1_000;
/// A step below this changes no age that is counted in days.
const AGE_STEP_MIN: TimeDelta = TimeDelta::hours(1);

/// Arrivals `[from, until]` by a clock that was off, and by how much it was set then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSpan {
    /// First, as the clock told it.
    pub from: DateTime<Utc>,
    /// Last, as the clock told it.
    pub until: DateTime<Utc>,
    /// What is to be added; negative where the clock was ahead.
    pub by: TimeDelta,
}

/// Where a finding of V02 stands.
struct Found {
    day: i32,
    number: i64,
    at: i64,
}

impl Journal {
    /// The latest time that could be believed when it was kept last, or the last arrival of anything; none of
    /// an empty journal. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn known_time(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.read("reading the time that is known", |c| {
            let kept: Option<i64> = c
                .prepare_cached("SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?1")?
                .query_row([META], |row| row.get(0))
                .optional()?;
            if let Some(kept) = kept {
                return Ok(Some(instant(kept)));
            }
            let last: Option<i64> = c
                .prepare_cached(
                    "SELECT max(at) FROM (SELECT max(received_at) AS at FROM latest
                     UNION ALL SELECT max(last_at) FROM rejects)",
                )?
                .query_row([], |row| row.get(0))?;
            Ok(last.map(instant))
        })
    }

    /// Keeps it. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn put_known_time(&self, known: DateTime<Utc>) -> Result<(), StoreError> {
        self.write_now("keeping the time that is known", move |t| {
            t.prepare_cached(
                "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute(params![META, millis(known).to_string()])
            .map(drop)
        })
    }

    /// Gives rejected frames of a span the age they have by the right clock. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn shift_rejects(&self, span: ClockSpan) -> Result<(), StoreError> {
        if span.by.abs() < AGE_STEP_MIN {
            return Ok(());
        }
        self.write_now("putting the age of rejected frames right", move |t| {
            // A frame that came before as well keeps its first time.
            t.execute(
                "UPDATE rejects SET last_at = last_at + ?3,
                   first_at = CASE WHEN first_at >= ?1 THEN first_at + ?3 ELSE first_at END
                 WHERE last_at >= ?1 AND last_at <= ?2",
                params![
                    millis(span.from),
                    millis(span.until),
                    span.by.num_milliseconds()
                ],
            )
            .map(drop)
        })
    }

    /// Takes readings of a span into use that V02 alone kept out, and would not by the right clock; the finding
    /// goes. How many. Blocks; a thousand in a transaction.
    ///
    /// # Errors
    /// As `commit`; what was put right before stays so.
    pub fn heal_times(&self, span: ClockSpan, limits: EntryLimits) -> Result<u64, StoreError> {
        let clock = self.clock();
        let (mut healed, mut after) = (0, None);
        loop {
            let cache = std::sync::Arc::clone(&self.cache);
            let from = after;
            let (many, last) = self.write_now("putting readings right", move |t| {
                let mut cache = locked(&cache);
                // Whatever waits is moved to its place first.
                ingest::replay(t, &mut cache, clock, &[])?;
                let found = found(t, clock, span, limits, from)?;
                let mut entries = Vec::new();
                for one in &found {
                    let Some(reading) = to_heal(t, one, span, limits)? else {
                        continue;
                    };
                    t.prepare_cached(
                        "DELETE FROM findings WHERE day = ?1 AND meter = ?2 AND origin = 0 AND at = ?3
                           AND rule = 'V02'",
                    )?
                    .execute(params![one.day, one.number, one.at])?;
                    entries.push(JournalEntry::Reading {
                        reading,
                        findings: Vec::new(),
                    });
                }
                // As if it came again without the finding: marks its days, and tells the second store.
                ingest::replay(t, &mut cache, clock, &entries)?;
                let last = found.last().map(|one| (one.day, one.number, one.at));
                Ok((entries.len() as u64, last))
            })?;
            healed += many;
            if last.is_none() {
                return Ok(healed);
            }
            after = last;
        }
    }
}

/// V02's findings of readings that may have come in a span, beyond the last place looked at.
fn found(
    t: &Transaction<'_>,
    clock: crate::domain::calendar::GasDayClock,
    span: ClockSpan,
    limits: EntryLimits,
    after: Option<(i32, i64, i64)>,
) -> rusqlite::Result<Vec<Found>> {
    // What looked ahead lies after its arrival; what looked stale so long before the right one at most.
    let first = if span.by < TimeDelta::zero() {
        span.from + span.by - limits.stale_after
    } else {
        span.from
    };
    let last = span.until.max(span.until + span.by) + limits.future_tolerance;
    let (day, meter, at) = after.unwrap_or((epoch_day(clock, millis(first)), -1, i64::MIN));
    t.prepare_cached(
        "SELECT day, meter, at FROM findings
         WHERE (day, meter, at) > (?1, ?2, ?3) AND day <= ?4 AND day >= ?1 AND origin = 0 AND rule = 'V02'
           AND severity = ?5 AND sentence IN ('ahead', 'stale')
         ORDER BY day, meter, at LIMIT ?6",
    )?
    .query_map(
        params![
            day,
            meter,
            at,
            epoch_day(clock, millis(last)),
            findings::severity_code(Severity::Fail),
            i64::try_from(HEAL_MAX).unwrap_or(i64::MAX)
        ],
        |row| {
            Ok(Found {
                day: row.get(0)?,
                number: row.get(1)?,
                at: row.get(2)?,
            })
        },
    )?
    .collect()
}

/// The reading of a finding, if it came in the span, is in no use, and nothing but its time speaks against it
/// by the wrong clock and nothing at all by the right one.
fn to_heal(
    t: &Transaction<'_>,
    found: &Found,
    span: ClockSpan,
    limits: EntryLimits,
) -> rusqlite::Result<Option<Reading>> {
    let row = t
        .prepare_cached(
            "SELECT r.received_at, r.body, m.id,
               (SELECT count(*) FROM findings f WHERE f.day = r.day AND f.meter = r.meter AND f.origin = 0
                  AND f.at = r.at AND f.severity = ?4)
             FROM readings r JOIN meters m ON m.no = r.meter
             WHERE r.day = ?1 AND r.meter = ?2 AND r.at = ?3",
        )?
        .query_row(
            params![
                found.day,
                found.number,
                found.at,
                findings::severity_code(Severity::Fail)
            ],
            |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, Vec<u8>>(1)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, i64>(3)?,
                ))
            },
        )
        .optional()?;
    let Some((received_at, bytes, meter, failures)) = row else {
        return Ok(None);
    };
    let arrived = instant(received_at);
    if arrived < span.from || arrived > span.until || failures > 1 {
        return Ok(None);
    }
    let stand = Stand {
        number: found.number,
        at: found.at,
        received_at,
    };
    let body = Body::decode(stand, &bytes).ok_or_else(place::unreadable)?;
    if body.is_usable {
        return Ok(None);
    }
    let mut reading = body.into_reading(MeterId::new(meter), instant(found.at), arrived);
    reading.received_at = arrived + span.by;
    let is_right = v02_time::check(&reading, limits).is_none();
    reading.received_at = arrived;
    Ok(is_right.then_some(reading))
}
