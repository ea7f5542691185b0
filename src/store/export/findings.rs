//! Findings as rows: what was found of whom, in words of both languages, with its numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::ExportScope;
use crate::domain::calendar::GasDay;
use crate::domain::finding::{Finding, SEVERITY_KEYS, Subject};
use crate::domain::id::MeterId;
use crate::store::error::StoreError;
use crate::store::journal::{FindingFilter, Journal, KeptKind};
use crate::store::time::millis;
use crate::validate::day::HISTORY_DAYS;

/// A finding as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FindingRow {
    /// Days since 1970-01-01.
    pub(super) gas_day: i32,
    /// Milliseconds since 1970 UTC.
    pub(super) at: i64,
    pub(super) rule: &'static str,
    pub(super) name_zh: &'static str,
    pub(super) name_en: &'static str,
    pub(super) severity: &'static str,
    pub(super) state: &'static str,
    pub(super) subject_kind: &'static str,
    pub(super) subject: String,
    pub(super) message_zh: String,
    pub(super) message_en: String,
    /// JSON: name, value and unit of each number.
    pub(super) values: String,
}

/// Gas days up to today on which something may have been found, in order. Blocks.
///
/// # Errors
/// What SQLite says.
pub fn finding_days(journal: &Journal, today: GasDay) -> Result<Vec<GasDay>, StoreError> {
    let mut kept: BTreeSet<GasDay> = journal.days_with(KeptKind::Findings)?.into_iter().collect();
    kept.extend(journal.subject_finding_days(today.plus(1))?);
    // A finding stands with the curve it was found by, and may be of an instant of the day beside.
    let around = kept
        .iter()
        .flat_map(|day| (-1..=1).map(|offset| day.plus(offset)));
    Ok(around.collect::<BTreeSet<GasDay>>().into_iter().collect())
}

/// Turns findings into rows, and knows which of them can still change.
pub(super) struct FindingRows<'a> {
    journal: &'a Journal,
    scope: &'a ExportScope,
    closed: BTreeMap<MeterId, Option<GasDay>>,
    /// Findings of zones and customers before this day are final.
    subjects_open_from: Option<GasDay>,
}

impl<'a> FindingRows<'a> {
    pub(super) fn new(journal: &'a Journal, scope: &'a ExportScope) -> Result<Self, StoreError> {
        let dropped = journal.curves_dropped_before()?;
        Ok(Self {
            journal,
            scope,
            closed: BTreeMap::new(),
            subjects_open_from: dropped.map(|day| day.plus(HISTORY_DAYS)),
        })
    }

    /// The findings of a gas day, oldest first.
    pub(super) fn of_day(&mut self, day: GasDay) -> Result<Vec<FindingRow>, StoreError> {
        let clock = self.journal.clock();
        let mut found = self.journal.findings(&FindingFilter {
            from: Some(clock.start_of(day)),
            to: Some(clock.end_of(day)),
            ..FindingFilter::default()
        })?;
        found.reverse();
        let meters = &self.scope.meters;
        found.retain(|finding| {
            let meter = finding.subject.meter();
            meters.is_empty() || meter.is_some_and(|meter| meters.contains(meter))
        });
        found.iter().map(|finding| self.row(day, finding)).collect()
    }

    fn row(&mut self, day: GasDay, finding: &Finding) -> Result<FindingRow, StoreError> {
        let severity = SEVERITY_KEYS
            .into_iter()
            .find(|(_, severity)| *severity == finding.severity);
        Ok(FindingRow {
            gas_day: day.epoch_day(),
            at: millis(finding.at),
            rule: finding.rule.key(),
            name_zh: finding.rule.name_zh(),
            name_en: finding.rule.name_en(),
            severity: severity.map_or("", |(key, _)| key),
            state: self.state(day, &finding.subject)?,
            subject_kind: match &finding.subject {
                Subject::Meter(_) => "meter",
                Subject::Zone(_) => "zone",
                Subject::Customer(_) => "customer",
            },
            subject: finding.subject.to_string(),
            message_zh: finding.message_zh(),
            message_en: finding.message_en(),
            // Numbers that JSON cannot hold are in the words still.
            values: serde_json::to_string(finding.args()).unwrap_or_default(),
        })
    }

    /// `provisional` while the gas day runs, `final` once its readings or curves are kept no longer,
    /// else `standing`: it is withdrawn if a late reading or a decision says otherwise.
    fn state(&mut self, day: GasDay, subject: &Subject) -> Result<&'static str, StoreError> {
        if day >= self.scope.today {
            return Ok("provisional");
        }
        let open_from = match subject {
            Subject::Zone(_) | Subject::Customer(_) => self.subjects_open_from,
            Subject::Meter(meter) => {
                if let Some(known) = self.closed.get(meter) {
                    *known
                } else {
                    let closed = self.journal.closed_before(meter)?;
                    self.closed.insert(meter.clone(), closed);
                    closed
                }
            }
        };
        Ok(match open_from {
            Some(open_from) if day < open_from => "final",
            _ => "standing",
        })
    }
}
