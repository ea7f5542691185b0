//! What meters, zones and customers were judged by, and which of their gas days are to be judged again
//! because that changed.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::agenda::Agenda;
use super::curves::curve_days;
use super::findings::{kind_of, subject_of};
use super::ingest::number_of;
use super::{Journal, locked, retention};
use crate::domain::calendar::GasDay;
use crate::domain::finding::Subject;
use crate::domain::id::MeterId;
use crate::store::error::StoreError;
use crate::validate::judged_by::{DaySpan, JudgedBy};

/// Gas days of one meter that are judged in one go at most.
const SPAN_MAX: i32 = 64;

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    /// A meter, when its curve is computed or it is marked.
    Meters = 0,
    /// A zone, on the agenda.
    Zones = 1,
    /// A customer, on the agenda.
    Customers = 2,
}

impl SubjectKind {
    /// Its name in a log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meters => "meter(s)",
            Self::Zones => "zone(s)",
            Self::Customers => "customer(s)",
        }
    }
}

/// Gas days `[from, to)` of a meter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeterSpan {
    /// Meter.
    pub meter: MeterId,
    /// First gas day.
    pub from: GasDay,
    /// The day after the last.
    pub to: GasDay,
}

impl Journal {
    /// Tells the journal what subjects of a kind are judged by now, all of them. On gas days on which that is
    /// something else than last time they are marked to be judged again: meters as far as they have
    /// curves, zones and customers before `until`. A meter or zone that was not known before is marked
    /// on no day, a customer that is known no more as one of which nothing is known. Returns who is
    /// marked, and on which days. Blocks.
    ///
    /// # Errors
    /// As `commit`; nothing is marked then.
    pub fn sync_judged_by(
        &self,
        kind: SubjectKind,
        now: BTreeMap<Subject, JudgedBy>,
        until: GasDay,
    ) -> Result<BTreeMap<Subject, Vec<DaySpan>>, StoreError> {
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("comparing what is judged by", move |t| {
            let mut before = stored(t, kind)?;
            let mut marked = BTreeMap::new();
            let first_and_last = curve_days(t)?;
            let nothing = JudgedBy::default();
            for (subject, by) in &now {
                let old = before.remove(subject);
                if old.as_ref() == Some(by) {
                    continue;
                }
                put(t, kind, subject, by)?;
                let is_customer = kind == SubjectKind::Customers;
                let old = old.as_ref().or(is_customer.then_some(&nothing));
                if let (Some(old), Some(span)) = (old, first_and_last) {
                    let spans = old.differing(by, days_of(t, subject, span, until, &cache)?);
                    marked.insert(subject.clone(), spans);
                }
            }
            for (subject, old) in before {
                t.prepare_cached("DELETE FROM judged_by WHERE kind = ?1 AND subject = ?2")?
                    .execute(params![kind as u8, subject.as_str()])?;
                if let (SubjectKind::Customers, Some(span)) = (kind, first_and_last) {
                    let spans = old.differing(&nothing, days_of(t, &subject, span, until, &cache)?);
                    marked.insert(subject, spans);
                }
            }
            marked.retain(|_, spans| !spans.is_empty());
            if kind == SubjectKind::Meters {
                for (subject, spans) in &marked {
                    let meter = MeterId::new(subject.as_str());
                    let number = number_of(t, &mut locked(&cache), &meter)?;
                    for span in spans {
                        mark(t, number, (span.0.epoch_day(), span.1.epoch_day()))?;
                    }
                }
            } else {
                Agenda::mark_subjects(t, &marked)?;
            }
            Ok(marked)
        })
    }

    /// Gas days of meters to be judged again, at most `limit` days together and 64 of one meter; the same
    /// are given again until [`Self::answer_judged`] says that they are done. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn meters_to_judge(&self, limit: usize) -> Result<Vec<MeterSpan>, StoreError> {
        self.read("reading which meters to judge", |c| {
            let mut statement = c.prepare_cached(
                "SELECT meter, from_day, to_day FROM to_judge ORDER BY meter, from_day",
            )?;
            let mut rows = statement.query([])?;
            let mut left = i32::try_from(limit).unwrap_or(i32::MAX);
            let mut spans = Vec::new();
            while left > 0
                && let Some(row) = rows.next()?
            {
                let (from, to): (i32, i32) = (row.get(1)?, row.get(2)?);
                let days = (to - from).min(SPAN_MAX).min(left);
                left -= days;
                spans.push(MeterSpan {
                    meter: self.meter(c, row.get(0)?)?,
                    from: GasDay::from_epoch_day(from),
                    to: GasDay::from_epoch_day(from + days),
                });
            }
            Ok(spans)
        })
    }

    /// Says that these days are judged. Blocks.
    ///
    /// # Errors
    /// As `commit`; they are given again then.
    pub fn answer_judged(&self, spans: Vec<MeterSpan>) -> Result<(), StoreError> {
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("answering which meters to judge", move |t| {
            for span in &spans {
                let number = number_of(t, &mut locked(&cache), &span.meter)?;
                let (from, to) = (span.from.epoch_day(), span.to.epoch_day());
                t.prepare_cached(
                    "INSERT INTO to_judge SELECT meter, ?3, to_day FROM to_judge
                     WHERE meter = ?1 AND from_day = ?2 AND to_day > ?3",
                )?
                .execute(params![number, from, to])?;
                t.prepare_cached("DELETE FROM to_judge WHERE meter = ?1 AND from_day = ?2")?
                    .execute(params![number, from])?;
            }
            Ok(())
        })
    }
}

fn stored(t: &Transaction<'_>, kind: SubjectKind) -> rusqlite::Result<BTreeMap<Subject, JudgedBy>> {
    let mut statement = t.prepare_cached("SELECT subject, steps FROM judged_by WHERE kind = ?1")?;
    let mut rows = statement.query([kind as u8])?;
    let mut stored = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let subject = match kind {
            SubjectKind::Meters => Subject::Meter(MeterId::new(row.get::<_, String>(0)?)),
            _ => subject_of(kind as u8, row.get(0)?),
        };
        stored.insert(subject, JudgedBy::from_bytes(row.get_ref(1)?.as_blob()?));
    }
    Ok(stored)
}

fn put(
    t: &Transaction<'_>,
    kind: SubjectKind,
    subject: &Subject,
    by: &JudgedBy,
) -> rusqlite::Result<()> {
    debug_assert_eq!(
        kind_of(subject).unwrap_or(0),
        kind as u8,
        "one kind at a time"
    );
    t.prepare_cached(
        "INSERT INTO judged_by VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET steps = excluded.steps",
    )?
    .execute(params![kind as u8, subject.as_str(), by.to_bytes()])
    .map(drop)
}

/// The days on which somebody can be judged again: of a meter those with curves that are not final.
fn days_of(
    t: &Transaction<'_>,
    subject: &Subject,
    (first, last): (i32, i32),
    until: GasDay,
    cache: &std::sync::Mutex<super::Cache>,
) -> rusqlite::Result<DaySpan> {
    let day = GasDay::from_epoch_day;
    let Subject::Meter(meter) = subject else {
        return Ok((day(first), until));
    };
    let number = number_of(t, &mut locked(cache), meter)?;
    let from = retention::closed_before(t, number)?.map_or(first, |closed| closed.max(first));
    Ok((day(from), day(last.saturating_add(1))))
}

/// Marks days of a meter; what touches them becomes one mark.
fn mark(t: &Transaction<'_>, number: i64, (mut from, mut to): (i32, i32)) -> rusqlite::Result<()> {
    let touching: Vec<(i32, i32)> = t
        .prepare_cached(
            "SELECT from_day, to_day FROM to_judge WHERE meter = ?1 AND from_day <= ?3 AND to_day >= ?2",
        )?
        .query_map(params![number, from, to], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (a, b) in touching {
        (from, to) = (from.min(a), to.max(b));
        t.prepare_cached("DELETE FROM to_judge WHERE meter = ?1 AND from_day = ?2")?
            .execute(params![number, a])?;
    }
    t.prepare_cached("INSERT INTO to_judge VALUES (?1, ?2, ?3)")?
        .execute(params![number, from, to])
        .map(drop)
}
