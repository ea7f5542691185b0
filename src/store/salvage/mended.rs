//! What is done to the new files once their rows are there: what follows from readings is marked to be computed
//! again, and the chain of the audit log is held against what is left of it.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::Salvage;
use super::file::Gaps;
use super::tree::{Gap, Record};
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::store::backup::{BackupError, FILES};
use crate::store::book::Book;
use crate::store::damage::Damage;
use crate::store::error::StoreError;
use crate::store::journal::Journal;

/// Longest reason in the record of a salvage, characters.
const REASON_MAX: usize = 2_000;

/// Marks, records and checks.
pub(super) fn finish(
    to: &Path,
    gaps: &Gaps,
    clock: GasDayClock,
    now: DateTime<Utc>,
    found: &mut Salvage,
) -> Result<(), BackupError> {
    if found.lost.is_empty() {
        return Ok(());
    }
    let path = to.join(FILES[0]);
    let journal = Journal::open(&path, in_file(&path, clock)?)?;
    let book = Book::open(to.join(FILES[1]))?;
    sum_again(&journal, &book, gaps)?;
    let of_book = found.lost.iter().filter(|lost| lost.file == FILES[1]);
    let of_book: Vec<String> = of_book.map(|lost| lost.reason.clone()).collect();
    if !of_book.is_empty() {
        let reason: String = of_book.join("; ").chars().take(REASON_MAX).collect();
        let is_end_lost = gaps.get("audit").is_some_and(|gaps| ends_lost(gaps));
        book.record_salvage(now, reason, is_end_lost)?;
    }
    let report = book.verify_audit()?;
    for found_break in report.breaks {
        let what = format!(
            "the chain breaks at record {}: {}",
            found_break.seq, found_break.reason
        );
        let damage = Damage::of_table(FILES[1], "audit", what);
        found.lost.push(damage);
    }
    if report.more > 0 {
        let what = format!("the chain breaks at {} more records", report.more);
        let damage = Damage::of_table(FILES[1], "audit", what);
        found.lost.push(damage);
    }
    Ok(())
}

/// Nothing leads to the table, or no row was read after the last gap.
fn ends_lost(gaps: &[Gap]) -> bool {
    gaps.last().is_none_or(|gap| gap.after.is_none())
}

/// Demand of gas days that have curves and lost part of it, or all.
fn sum_again(journal: &Journal, book: &Book, gaps: &Gaps) -> Result<(), StoreError> {
    let dropped = journal.curves_dropped_before()?;
    let mut days: BTreeSet<GasDay> = journal.days_with_curves()?.into_iter().collect();
    days.retain(|day| dropped.is_none_or(|from| *day >= from));
    // At its edges a gap may have taken some nodes of a day.
    let edges = gaps.get("demand").into_iter().flatten();
    let edges = edges.flat_map(|gap| [&gap.before, &gap.after]);
    let edges: BTreeSet<GasDay> = edges.filter_map(|row| day_of(row.as_ref()?)).collect();
    let broken: BTreeSet<GasDay> = days.intersection(&edges).copied().collect();
    book.drop_demand(broken)?;
    let summed = book.days_with_demand()?;
    journal.mark_stale_demand(days.difference(&summed).copied().collect())
}

fn day_of(record: &Record) -> Option<GasDay> {
    match record.columns.first() {
        Some(Value::Integer(day)) => i32::try_from(*day).ok().map(GasDay::from_epoch_day),
        _ => None,
    }
}

/// How gas days are cut in a file: as was saved, or else as is asked.
pub(super) fn in_file(path: &Path, asked: GasDayClock) -> Result<GasDayClock, StoreError> {
    let fail = |error| StoreError::from_sqlite(path, "reading the gas day", error);
    let c = Connection::open(path).map_err(fail)?;
    let mut statement = c
        .prepare("SELECT value FROM meta WHERE key = 'gas_day_start_hour'")
        .map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    let text: Option<String> = match rows.next().map_err(fail)? {
        Some(row) => row.get(0).map_err(fail)?,
        None => None,
    };
    let saved = text.and_then(|text| text.parse().ok());
    let saved = saved.filter(|hour| *hour < 24);
    Ok(saved.map_or(asked, |start_hour| GasDayClock { start_hour }))
}
