//! `qiliang compact`: files written anew without free space, so that they can shrink while in use.

use super::{Context, Failure};
use crate::store::compact;

/// Writes both files anew, one after the other; refused while a daemon has them.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    for report in compact::compact(&settings.paths.data_dir)? {
        println!(
            "{}: {:.1} MB instead of {:.1} MB, {} rows in {} tables compared",
            report.path.display(),
            report.after_bytes as f64 / 1e6,
            report.before_bytes as f64 / 1e6,
            report.rows,
            report.tables
        );
    }
    Ok(())
}
