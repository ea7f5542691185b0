//! `qiliang weather`: vintages from files into the book.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{Context, Failure};
use crate::run::weather;

/// Takes each file whole, or not at all.
pub(super) fn run(context: &Context, files: &[PathBuf]) -> Result<(), Failure> {
    let (app, _) = context.write().map_err(|failure| match failure {
        Failure::Error(error) if super::open::is_locked(&error) => Failure::Error(error.context(
            "the daemon has the stores open; put the files into `weather.files_dir`, or send them to POST /api/v1/weather",
        )),
        other => other,
    })?;
    for file in files {
        let new = weather::take_file(&app, file)
            .with_context(|| format!("nothing of {} was taken", file.display()))?;
        println!("{}: {new} new vintages", file.display());
    }
    Ok(())
}
