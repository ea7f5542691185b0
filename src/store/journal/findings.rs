//! Findings: what rules found, when a reading came in or when a curve was computed.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Transaction, params};

use super::ingest::epoch_day;
use super::{Journal, instant, millis};
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::id::MeterId;
use crate::store::error::StoreError;

/// Which findings are asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FindingFilter {
    /// Only of this meter.
    pub meter: Option<MeterId>,
    /// Only of this rule.
    pub rule: Option<RuleId>,
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

const fn severity_code(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 0,
        Severity::Suspect => 1,
        Severity::Fail => 2,
    }
}

const fn severity_of(code: u8) -> Severity {
    match code {
        0 => Severity::Info,
        1 => Severity::Suspect,
        _ => Severity::Fail,
    }
}

/// Keeps a finding. `part` tells apart findings of one rule at one instant; without one the
/// message does. The same finding again changes nothing.
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

/// Keeps a finding under a given day: that of the curve it was found with.
pub(super) fn insert_on(
    t: &Transaction<'_>,
    day: i32,
    number: i64,
    origin: Origin,
    part: Option<&[u8]>,
    finding: &Finding,
) -> rusqlite::Result<()> {
    t.prepare_cached("INSERT OR REPLACE INTO findings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            day,
            number,
            origin as u8,
            millis(finding.at),
            finding.rule.key(),
            part.unwrap_or(finding.message.as_bytes()),
            severity_code(finding.severity),
            finding.message,
        ])
        .map(drop)
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
                "SELECT meter, at, rule, severity, message FROM findings
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
                let Some(rule) = RuleId::from_key(row.get_ref(2)?.as_str()?) else {
                    continue;
                };
                of_day.push(Finding {
                    rule,
                    severity: severity_of(row.get(3)?),
                    meter: self.meter(c, row.get(0)?)?,
                    at: instant(row.get(1)?),
                    message: row.get(4)?,
                });
            }
            of_day.sort_by(|a, b| {
                b.at.cmp(&a.at)
                    .then_with(|| a.meter.cmp(&b.meter))
                    .then_with(|| a.rule.cmp(&b.rule))
                    .then_with(|| a.message.cmp(&b.message))
            });
            found.extend(of_day);
            if found.len() >= limit {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Findings of a meter on a gas day, in time order. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn findings_on(&self, meter: &MeterId, day: GasDay) -> Result<Vec<Finding>, StoreError> {
        let clock = self.clock();
        let mut found = self.findings(&FindingFilter {
            meter: Some(meter.clone()),
            from: Some(clock.start_of(day)),
            to: Some(clock.end_of(day)),
            ..FindingFilter::default()
        })?;
        found.reverse();
        Ok(found)
    }
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
    let mut statement =
        c.prepare_cached("SELECT max(day) FROM findings WHERE day < ?1 AND day >= ?2")?;
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
