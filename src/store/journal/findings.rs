//! Findings: what rules found, when a reading came in or when a curve was computed.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Row, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::ingest::epoch_day;
use super::{Journal, instant, millis};
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::finding::{Finding, RuleId, Severity, Subject, Words};
use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::store::error::StoreError;
use crate::validate::rules;
use crate::validate::stats::{Counts, DayCount};

/// Which findings are asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FindingFilter {
    /// Only of this meter.
    pub meter: Option<MeterId>,
    /// Only of this rule.
    pub rule: Option<RuleId>,
    /// Only of this severity.
    pub severity: Option<Severity>,
    /// Only at or after.
    pub from: Option<DateTime<Utc>>,
    /// Only before.
    pub to: Option<DateTime<Utc>>,
    /// At most so many, newest first; 0 is no limit.
    pub limit: usize,
}

/// When a finding was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The reading came in.
    Entry = 0,
    /// The curve was computed; replaced with the curve.
    Sequence = 1,
}

pub(super) const fn severity_code(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Suspect => 1,
        Severity::Fail => 2,
    }
}

pub(super) const fn severity_of(code: u8) -> Severity {
    match code {
        0 => Severity::Info,
        1 => Severity::Suspect,
        _ => Severity::Fail,
    }
}

/// Keeps a finding of a meter. `part` tells apart findings of one rule at one instant; without one,
/// what they say does. The same finding again changes nothing.
pub(super) fn insert(
    t: &Transaction<'_>,
    clock: GasDayClock,
    number: i64,
    origin: Origin,
    part: Option<&[u8]>,
    finding: &Finding,
) -> rusqlite::Result<()> {
    let at = millis(finding.at);
    insert_on(t, epoch_day(clock, at), number, origin, part, finding)
}

/// Bytes of a digest that tell findings apart.
const PART_BYTES: usize = 8;

/// Keeps a finding under a given day: that of the curve it was found with.
pub(super) fn insert_on(
    t: &Transaction<'_>,
    day: i32,
    number: i64,
    origin: Origin,
    part: Option<&[u8]>,
    finding: &Finding,
) -> rusqlite::Result<()> {
    let kept = Kept::of(finding)?;
    let digest = Sha256::new()
        .chain_update(kept.sentence.unwrap_or_default())
        .chain_update(kept.args.as_deref().unwrap_or(kept.message))
        .finalize();
    let said = digest.get(..PART_BYTES).unwrap_or(&digest);
    t.prepare_cached(
        "INSERT OR REPLACE INTO findings
           (day, meter, origin, at, rule, part, severity, message, sentence, args)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        day,
        number,
        origin as u8,
        millis(finding.at),
        finding.rule.key(),
        part.unwrap_or(said),
        severity_code(finding.severity),
        kept.message,
        kept.sentence,
        kept.args,
    ])
    .map(drop)
}

/// Words as they are kept.
pub(super) struct Kept<'a> {
    pub(super) message: &'a str,
    pub(super) sentence: Option<&'static str>,
    pub(super) args: Option<String>,
}

impl<'a> Kept<'a> {
    pub(super) fn of(finding: &'a Finding) -> rusqlite::Result<Self> {
        Ok(match &finding.words {
            Words::Text(text) => Self {
                message: text,
                sentence: None,
                args: None,
            },
            Words::Said { sentence, args } => {
                let json = serde_json::to_string(args)
                    .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
                Self {
                    message: "",
                    sentence: Some(sentence.key),
                    args: Some(json),
                }
            }
        })
    }
}

/// The words of a kept finding. Of a sentence that this program does not have, the values are shown.
pub(super) fn words_of(
    rule: RuleId,
    message: String,
    sentence: Option<&str>,
    args: Option<String>,
) -> Words {
    let (Some(key), Some(args)) = (sentence, args) else {
        return Words::Text(message);
    };
    match (rules::sentence(rule, key), serde_json::from_str(&args)) {
        (Some(sentence), Ok(args)) => Words::Said { sentence, args },
        _ => Words::Text(args),
    }
}

pub(super) const fn kind_of(subject: &Subject) -> Option<u8> {
    match subject {
        Subject::Meter(_) => None,
        Subject::Zone(_) => Some(1),
        Subject::Customer(_) => Some(2),
    }
}

pub(super) fn subject_of(kind: u8, id: String) -> Subject {
    match kind {
        1 => Subject::Zone(ZoneId::new(id)),
        _ => Subject::Customer(CustomerId::new(id)),
    }
}

fn order(a: &Finding, b: &Finding) -> Ordering {
    b.at.cmp(&a.at)
        .then_with(|| a.subject.cmp(&b.subject))
        .then_with(|| a.rule.cmp(&b.rule))
        .then_with(|| a.message_en().cmp(&b.message_en()))
}

impl Journal {
    /// Findings, newest first, then by meter and rule. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, StoreError> {
        self.read("reading findings", |c| self.find(c, filter))
    }

    fn find(&self, c: &Connection, filter: &FindingFilter) -> rusqlite::Result<Vec<Finding>> {
        let number = match &filter.meter {
            Some(meter) => match self.number(c, meter)? {
                Some(number) => Some(number),
                None => return Ok(Vec::new()),
            },
            None => None,
        };
        let limit = if filter.limit == 0 {
            usize::MAX
        } else {
            filter.limit
        };
        let mut found = Vec::new();
        // A finding's day is never before the day of its instant's eve nor after its morrow, so
        // whole days are read newest first until the limit is certain.
        for day in finding_days(c, self.clock(), filter)? {
            let mut statement = c.prepare_cached(
                "SELECT rule, at, severity, message, sentence, args, meter FROM findings
                 WHERE day = ?1 AND (?2 IS NULL OR meter = ?2) AND (?3 IS NULL OR rule = ?3)
                   AND at >= ?4 AND at < ?5",
            )?;
            let mut rows = statement.query(params![
                day,
                number,
                filter.rule.map(RuleId::key),
                filter.from.map_or(i64::MIN, millis),
                filter.to.map_or(i64::MAX, millis),
            ])?;
            let mut of_day = Vec::new();
            while let Some(row) = rows.next()? {
                of_day.extend(finding_of(row, |row| {
                    Ok(Subject::Meter(self.meter(c, row.get(6)?)?))
                })?);
            }
            if filter.meter.is_none() {
                of_day.extend(of_subjects(c, day, filter)?);
            }
            of_day.retain(|finding| filter.severity.is_none_or(|of| finding.severity == of));
            of_day.sort_by(order);
            found.extend(of_day);
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// How often each rule found something on the gas days `[from, to)`, and how many of those days
    /// each meter has a curve of. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn finding_counts(&self, from: GasDay, to: GasDay) -> Result<Counts, StoreError> {
        self.read("counting findings", |c| {
            let days = params![from.epoch_day(), to.epoch_day()];
            let mut findings = Vec::new();
            let mut statement = c.prepare_cached(
                "SELECT rule, meter, day, count(*) FROM findings WHERE day >= ?1 AND day < ?2
                 GROUP BY day, meter, rule",
            )?;
            let mut rows = statement.query(days)?;
            while let Some(row) = rows.next()? {
                let Some(rule) = RuleId::from_key(row.get_ref(0)?.as_str()?) else {
                    continue;
                };
                findings.push(DayCount {
                    rule,
                    subject: Subject::Meter(self.meter(c, row.get(1)?)?),
                    day: GasDay::from_epoch_day(row.get(2)?),
                    count: row.get::<_, i64>(3)?.unsigned_abs(),
                });
            }
            let mut statement = c.prepare_cached(
                "SELECT rule, kind, subject, day FROM subject_findings WHERE day >= ?1 AND day < ?2",
            )?;
            let mut rows = statement.query(days)?;
            while let Some(row) = rows.next()? {
                let Some(rule) = RuleId::from_key(row.get_ref(0)?.as_str()?) else {
                    continue;
                };
                findings.push(DayCount {
                    rule,
                    subject: subject_of(row.get(1)?, row.get(2)?),
                    day: GasDay::from_epoch_day(row.get(3)?),
                    count: 1,
                });
            }
            let mut meter_days = BTreeMap::new();
            let mut statement = c.prepare_cached(
                "SELECT meter, count(*) FROM curves WHERE day >= ?1 AND day < ?2 GROUP BY meter",
            )?;
            let mut rows = statement.query(days)?;
            while let Some(row) = rows.next()? {
                let days: i64 = row.get(1)?;
                meter_days.insert(self.meter(c, row.get(0)?)?, days.unsigned_abs());
            }
            Ok(Counts {
                from,
                to,
                findings,
                meter_days,
            })
        })
    }

    /// Replaces what some rules found on a gas day of zones and customers: of all of them, or of those
    /// named. Blocks.
    ///
    /// # Errors
    /// As the store's.
    pub fn put_subject_findings(
        &self,
        day: GasDay,
        rules: Vec<RuleId>,
        of: Option<Vec<Subject>>,
        findings: Vec<Finding>,
    ) -> Result<(), StoreError> {
        self.write_now("writing findings", move |t| {
            for rule in &rules {
                let of_day = params![day.epoch_day(), rule.key()];
                match &of {
                    None => {
                        t.prepare_cached(
                            "DELETE FROM subject_findings WHERE day = ?1 AND rule = ?2",
                        )?
                        .execute(of_day)?;
                    }
                    Some(subjects) => {
                        let mut delete = t.prepare_cached(
                            "DELETE FROM subject_findings
                             WHERE day = ?1 AND rule = ?2 AND kind = ?3 AND subject = ?4",
                        )?;
                        for subject in subjects {
                            let kind = kind_of(subject);
                            delete.execute(params![
                                day.epoch_day(),
                                rule.key(),
                                kind,
                                subject.as_str()
                            ])?;
                        }
                    }
                }
            }
            let mut insert = t.prepare_cached(
                "INSERT OR REPLACE INTO subject_findings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?;
            for finding in &findings {
                let kept = Kept::of(finding)?;
                insert.execute(params![
                    day.epoch_day(),
                    finding.rule.key(),
                    kind_of(&finding.subject),
                    finding.subject.as_str(),
                    millis(finding.at),
                    severity_code(finding.severity),
                    kept.sentence.unwrap_or_default(),
                    kept.args.unwrap_or_default(),
                ])?;
            }
            Ok(())
        })
    }

    /// Gas days before one with findings of zones and customers, in order. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn subject_finding_days(&self, before: GasDay) -> Result<Vec<GasDay>, StoreError> {
        self.read("reading which days there are", |c| {
            c.prepare_cached("SELECT DISTINCT day FROM subject_findings WHERE day < ?1")?
                .query_map([before.epoch_day()], |row| {
                    Ok(GasDay::from_epoch_day(row.get(0)?))
                })?
                .collect()
        })
    }

    /// Who of zones and customers has findings on a gas day: how many, and what their values weigh, bytes.
    /// Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn subjects_with_findings(
        &self,
        day: GasDay,
    ) -> Result<Vec<(Subject, u64, u64)>, StoreError> {
        self.read("reading who has findings of a day", |c| {
            c.prepare_cached(
                "SELECT kind, subject, count(*), sum(length(args)) FROM subject_findings WHERE day = ?1
                 GROUP BY kind, subject ORDER BY kind, subject",
            )?
            .query_map([day.epoch_day()], |row| {
                Ok((
                    subject_of(row.get(0)?, row.get(1)?),
                    row.get::<_, i64>(2)?.unsigned_abs(),
                    row.get::<_, i64>(3)?.unsigned_abs(),
                ))
            })?
            .collect()
        })
    }

    /// Drops what was found of zones and customers on a gas day; how many findings. Blocks.
    ///
    /// # Errors
    /// As the store's; nothing is dropped then.
    pub fn drop_subject_findings(
        &self,
        day: GasDay,
        subjects: Vec<Subject>,
    ) -> Result<u64, StoreError> {
        self.write_now("dropping what is kept no longer", move |t| {
            let mut delete = t.prepare_cached(
                "DELETE FROM subject_findings WHERE day = ?1 AND kind = ?2 AND subject = ?3",
            )?;
            let mut rows = 0;
            for subject in &subjects {
                let of = params![day.epoch_day(), kind_of(subject), subject.as_str()];
                rows += delete.execute(of)? as u64;
            }
            Ok(rows)
        })
    }
}

/// A row that begins with rule, at, severity, message, sentence and args; none of a rule that this program
/// does not have.
fn finding_of(
    row: &Row<'_>,
    subject: impl FnOnce(&Row<'_>) -> rusqlite::Result<Subject>,
) -> rusqlite::Result<Option<Finding>> {
    let Some(rule) = RuleId::from_key(row.get_ref(0)?.as_str()?) else {
        return Ok(None);
    };
    let sentence = row.get_ref(4)?.as_str_or_null()?;
    Ok(Some(Finding {
        rule,
        severity: severity_of(row.get(2)?),
        subject: subject(row)?,
        at: instant(row.get(1)?),
        words: words_of(rule, row.get(3)?, sentence, row.get(5)?),
    }))
}

/// Findings of zones and customers on a day.
fn of_subjects(c: &Connection, day: i32, filter: &FindingFilter) -> rusqlite::Result<Vec<Finding>> {
    let mut statement = c.prepare_cached(
        "SELECT rule, at, severity, '', sentence, args, kind, subject FROM subject_findings
         WHERE day = ?1 AND (?2 IS NULL OR rule = ?2) AND at >= ?3 AND at < ?4",
    )?;
    let mut rows = statement.query(params![
        day,
        filter.rule.map(RuleId::key),
        filter.from.map_or(i64::MIN, millis),
        filter.to.map_or(i64::MAX, millis),
    ])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(finding_of(row, |row| {
            Ok(subject_of(row.get(6)?, row.get(7)?))
        })?);
    }
    Ok(found)
}

fn finding_days(
    c: &Connection,
    clock: GasDayClock,
    filter: &FindingFilter,
) -> rusqlite::Result<Vec<i32>> {
    let from = filter
        .from
        .map_or(i32::MIN, |at| epoch_day(clock, millis(at)));
    let to = filter
        .to
        .map_or(i32::MAX, |at| epoch_day(clock, millis(at)));
    // Walks from one existing day to the next through the key, however many rows a day has.
    let mut statement = c.prepare_cached(
        "SELECT max(day) FROM (
               SELECT max(day) AS day FROM findings WHERE day < ?1 AND day >= ?2
               UNION ALL
               SELECT max(day) FROM subject_findings WHERE day < ?1 AND day >= ?2)",
    )?;
    let mut days = Vec::new();
    let mut before = i64::from(to) + 1;
    while let Some(day) =
        statement.query_row(params![before, from], |row| row.get::<_, Option<i32>>(0))?
    {
        days.push(day);
        before = i64::from(day);
    }
    Ok(days)
}
