//! `qiliang verify`: both files to their last byte, the chain of decisions, curves against readings.

use std::path::Path;

use super::{Context, Failure, VerifyArguments};
use crate::run::curve_check::{Extent, check_curves};
use crate::store::StoreError;
use crate::store::backup::{BackupError, FILES, aside_names};
use crate::store::book::Book;
use crate::store::journal::Journal;
use crate::store::salvage;

/// Of the curves that differ, so many are printed.
const LISTED_MAX: usize = 50;

/// Reads everything, prints each thing that does not fit, and fails if there is one. A file that cannot be
/// opened is read page by page, and the others all the same.
pub(super) fn run(context: &Context, arguments: &VerifyArguments) -> Result<(), Failure> {
    let settings = context.settings()?;
    let data_dir = &settings.paths.data_dir;
    let app = match context.read() {
        Ok(app) => app,
        Err(Failure::Error(error)) => {
            let of_file = error.downcast_ref::<StoreError>();
            if !of_file.is_some_and(|error| matches!(error, StoreError::Damaged { .. })) {
                return Err(Failure::Error(error));
            }
            println!("damaged: {error:#}");
            let mut wrong = 1 + look(data_dir, FILES[0])?;
            for name in aside_names(data_dir) {
                wrong += look(data_dir, &name)?;
            }
            let path = data_dir.join(FILES[1]);
            wrong += match Book::open_read_only(&path) {
                Ok(book) => of_book(&book, data_dir)?,
                Err(error) => of_book(&Book::refused_to_read(&path, error), data_dir)?,
            };
            return summed(wrong);
        }
        Err(other) => return Err(other),
    };
    let journal = app.journal.check()?;
    for damage in &journal.damage {
        println!("damaged: {damage}");
    }
    let mut wrong = journal.damage.len();
    set_aside(&app.journal)?;
    if wrong == 0 {
        println!(
            "ok: {} readings, {} curves, every page of {} is sound",
            journal.readings, journal.curves, FILES[0]
        );
    }
    wrong += of_book(&app.book, data_dir)?;
    if let Some(extent) = extent(arguments, context) {
        wrong += curves(&app, extent)?;
    }
    summed(wrong)
}

fn summed(wrong: usize) -> Result<(), Failure> {
    if wrong == 0 {
        return Ok(());
    }
    println!(
        "{wrong} thing(s) wrong; help: stop the daemon and restore the last sound backup with `qiliang restore`, \
         or save what can be read with `qiliang salvage`"
    );
    Err(Failure::Warned)
}

/// What of a book is lost, table by table, and whether its chain holds; how many things are wrong.
fn of_book(book: &Book, data_dir: &Path) -> Result<usize, Failure> {
    if let Some(error) = book.refusal() {
        println!("damaged: {error}");
        return Ok(1 + look(data_dir, FILES[1])?);
    }
    let damage = book.check()?;
    for damage in &damage {
        println!("damaged: {damage}");
    }
    if damage.is_empty() {
        println!("ok: every page and every row of {} is sound", FILES[1]);
    }
    let report = book.verify_audit()?;
    for found in &report.breaks {
        println!("broken: audit log: record {}: {}", found.seq, found.reason);
    }
    if report.more > 0 {
        println!("broken: audit log: {} more records", report.more);
    }
    if report.breaks.is_empty() {
        println!(
            "ok: {} audit records, the chain is whole; head {}",
            report.records, report.head
        );
    }
    Ok(damage.len() + report.breaks.len())
}

/// Table by table, what can be read of a file that cannot be opened, and what not; how many things are lost.
fn look(data_dir: &Path, name: &str) -> Result<usize, Failure> {
    let found = match salvage::look(data_dir, name) {
        Ok(found) => found,
        Err(BackupError::Store(StoreError::NewerVersion { .. })) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    for ((file, table), rows) in &found.saved {
        println!("readable: {file}: {table}: {rows} rows");
    }
    for lost in &found.lost {
        println!("lost: {lost}");
    }
    Ok(found.lost.len())
}

/// What is on disk but not at its place.
fn set_aside(journal: &Journal) -> Result<(), Failure> {
    let set_aside = journal.set_aside()?;
    if set_aside.readings + set_aside.rejected > 0 || !set_aside.damaged.is_empty() {
        println!(
            "set aside: {}; `qiliang salvage DIR` puts them at their place",
            set_aside.words()
        );
    }
    Ok(())
}

fn extent(arguments: &VerifyArguments, context: &Context) -> Option<Extent> {
    if arguments.all_curves {
        return Some(Extent::Whole);
    }
    // Another day, another sample: in time all are looked at.
    let seed = context
        .clock
        .now()
        .timestamp()
        .div_euclid(86_400)
        .cast_unsigned();
    (arguments.curves > 0).then_some(Extent::Sample {
        count: arguments.curves,
        seed,
    })
}

fn curves(app: &crate::run::app::App, extent: Extent) -> Result<usize, Failure> {
    let found = check_curves(&app.journal, &app.registry(), &app.calendar(), extent)?;
    for difference in found.different.iter().take(LISTED_MAX) {
        println!("different: {difference}");
    }
    let more = found.different.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        println!("different: {more} more");
    }
    let word = if found.different.is_empty() {
        "ok"
    } else {
        "different"
    };
    println!(
        "{word}: {} of {} curves computed again from readings differ; {} wait to be computed, {} have \
         outlived their readings, {} are of meters that left the registry",
        found.different.len(),
        found.checked,
        found.waiting,
        found.closed,
        found.unknown
    );
    Ok(found.different.len())
}
