//! `qiliang verify`: both files page by page, and the audit log's hash chain.

use anyhow::anyhow;

use super::{Context, Failure};

/// Reads everything and recomputes every hash; names the first thing that does not fit.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let app = context.read()?;
    let readings = app.journal.verify()?;
    app.book.verify_file()?;
    println!("ok: {readings} readings, every page of both files is sound");
    let report = app.book.verify_audit()?;
    match &report.broken {
        None => {
            println!(
                "ok: {} audit records, the chain is whole; head {}",
                report.records, report.head
            );
            Ok(())
        }
        Some(found) => Err(anyhow!(
            "the audit log is broken: record {}: {}",
            found.seq,
            found.reason
        )
        .into()),
    }
}
