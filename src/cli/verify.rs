//! `qiliang verify`: the audit log's hash chain.

use anyhow::anyhow;

use super::{Context, Failure};

/// Recomputes every hash; names the first record that does not fit.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let app = context.read()?;
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
