//! `qiliang verify`: both files to their last byte, the chain of decisions, curves against readings.

use super::{Context, Failure, VerifyArguments};
use crate::run::curve_check::{Extent, check_curves};

/// Of the curves that differ, so many are printed.
const LISTED_MAX: usize = 50;

/// Reads everything, prints each thing that does not fit, and fails if there is one.
pub(super) fn run(context: &Context, arguments: &VerifyArguments) -> Result<(), Failure> {
    let app = context.read()?;
    let mut wrong = 0;
    let journal = app.journal.check()?;
    let book = app.book.check()?;
    for damage in journal.damage.iter().chain(&book) {
        println!("damaged: {damage}");
    }
    wrong += journal.damage.len() + book.len();
    let set_aside = app.journal.set_aside_len()?;
    if set_aside > 0 {
        println!(
            "set aside: {set_aside} readings whose place is damaged; `qiliang salvage DIR` puts them there"
        );
    }
    if wrong == 0 {
        println!(
            "ok: {} readings, {} curves, every page of both files is sound",
            journal.readings, journal.curves
        );
    }
    let report = app.book.verify_audit()?;
    match &report.broken {
        None => println!(
            "ok: {} audit records, the chain is whole; head {}",
            report.records, report.head
        ),
        Some(found) => {
            println!("broken: audit log: record {}: {}", found.seq, found.reason);
            wrong += 1;
        }
    }
    if let Some(extent) = extent(arguments, context) {
        wrong += curves(&app, extent)?;
    }
    if wrong == 0 {
        return Ok(());
    }
    println!("{wrong} thing(s) wrong; help: restore the last sound backup with `qiliang restore`");
    Err(Failure::Warned)
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
