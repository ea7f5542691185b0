//! Saving what can be read of damaged files into new ones.
//!
//! The files are read page by page without SQLite, which gives up a whole tree where one page of it is
//! damaged. Rows of every page that can be read are taken; a reading only if its checksum fits. What is
//! missing is named by the rows before and after it. The result is a backup, for `qiliang restore`. Until it is
//! whole it has another name, so that whoever is killed in it begins again and nothing is taken for a backup.

mod file;
mod mended;
mod pages;
mod rows;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};

use self::file::FileJob;
use crate::domain::calendar::GasDayClock;
use crate::store::backup::{self, BackupError, FILES, aside_names, io_error};
use crate::store::damage::Damage;
use crate::store::{book, journal};

/// What was found is told in this file, too.
pub const REPORT: &str = "salvage.txt";

/// What was saved, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Salvage {
    /// Rows saved, by file and table.
    pub saved: BTreeMap<(String, String), u64>,
    /// Of these, rows on pages that nothing leads to any more.
    pub stray: BTreeMap<(String, String), u64>,
    /// What could not be read.
    pub lost: Vec<Damage>,
}

impl Salvage {
    /// A line for each table and for each thing that is lost.
    pub fn lines(&self) -> Vec<String> {
        let saved = self.saved.iter().map(|(of, rows)| {
            let stray = self.stray.get(of).map_or_else(String::new, |stray| {
                format!(", {stray} of them on pages that nothing leads to")
            });
            format!("saved: {}: {}: {rows} rows{stray}", of.0, of.1)
        });
        let lost = self.lost.iter().map(|lost| format!("lost: {lost}"));
        saved.chain(lost).collect()
    }
}

/// Reads the files of `data_dir`, whatever state they are in, and writes what they have into the new
/// folder `to`, a backup. Nothing in `data_dir` is changed. Blocks.
///
/// # Errors
/// `Exists`, `Locked` while a daemon runs there, no space, `NewerVersion`; nothing named `to` is left then.
pub fn salvage(
    data_dir: &Path,
    to: &Path,
    clock: GasDayClock,
    now: DateTime<Utc>,
) -> Result<Salvage, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists {
            path: to.to_owned(),
        });
    }
    backup::finish(data_dir)?;
    let locks = backup::lock_files(data_dir)?;
    let made = backup::make_whole(to, "removing what a killed salvage left", |partial| {
        write_all(data_dir, partial, clock, now)
    });
    drop(locks);
    made
}

fn write_all(
    data_dir: &Path,
    to: &Path,
    clock: GasDayClock,
    now: DateTime<Utc>,
) -> Result<Salvage, BackupError> {
    let mut found = Salvage::default();
    FileJob::new(data_dir, FILES[0], to, &mut found).run(journal::MIGRATIONS, clock)?;
    for name in aside_names(data_dir) {
        let mut file = FileJob::new(data_dir, &name, to, &mut found);
        file.run(journal::ASIDE_MIGRATIONS, clock)?;
        file.take_in(&to.join(FILES[0]), clock)?;
    }
    let mut file = FileJob::new(data_dir, FILES[1], to, &mut found);
    file.run(book::MIGRATIONS, clock)?;
    let of_book = file.into_gaps();
    mended::finish(to, &of_book, clock, now, &mut found)?;
    let mut text = found.lines().join("\n");
    text.push('\n');
    let report = to.join(REPORT);
    fs::write(&report, text).map_err(io_error(&report, "writing the report"))?;
    backup::seal(to, now)?;
    Ok(found)
}

/// What can be read of a file that SQLite refuses, by table, and what cannot; nothing is written. Blocks.
///
/// # Errors
/// It is not there, or a newer program's.
pub fn look(data_dir: &Path, name: &str) -> Result<Salvage, BackupError> {
    let mut found = Salvage::default();
    let migrations = match name {
        name if name == FILES[0] => journal::MIGRATIONS,
        name if name == FILES[1] => book::MIGRATIONS,
        _ => journal::ASIDE_MIGRATIONS,
    };
    FileJob::looking(data_dir, name, &mut found).run(migrations, GasDayClock::default())?;
    Ok(found)
}
