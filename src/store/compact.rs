//! A file written anew: without free space, its pages in the order of their keys, and able to give free
//! pages back while in use. For files of before that was so, with the daemon stopped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::store::backup::{self, FILES};
use crate::store::error::StoreError;

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// The file.
    pub path: PathBuf,
    /// Its size before, log included.
    pub before_bytes: u64,
    /// Its size now.
    pub after_bytes: u64,
    /// Tables that were compared.
    pub tables: usize,
    /// Rows of all of them.
    pub rows: u64,
}

/// Writes the files of a data directory anew. Each is replaced only once the new one is on disk, sound,
/// and has as many rows in every table; it needs as much space as the file beside it. Blocks.
///
/// # Errors
/// `Locked` while a daemon runs there, `Full`, `Damaged`; the old file is as it was then.
pub fn compact(data_dir: &Path) -> Result<Vec<Compacted>, StoreError> {
    let locks = backup::lock_files(data_dir)?;
    let mut done = Vec::new();
    for name in FILES {
        let path = data_dir.join(name);
        if path.exists() {
            done.push(rewrite(&path)?);
        }
    }
    drop(locks);
    Ok(done)
}

fn rewrite(path: &Path) -> Result<Compacted, StoreError> {
    let fail = |doing| move |error| StoreError::from_sqlite(path, doing, error);
    let io = |error: std::io::Error| StoreError::NotWritable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let before_bytes = size(path) + size(&beside(path, "-wal"));
    let fresh = beside(path, ".compacting");
    if fresh.exists() {
        // Left by one that was killed.
        fs::remove_file(&fresh).map_err(io)?;
    }
    let old = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .map_err(fail("opening"))?;
    // The file whole and without a log, so that nothing of it is left beside the new one.
    let mode: String = old
        .query_row("PRAGMA journal_mode=DELETE", [], |row| row.get(0))
        .map_err(fail("moving the log to the file"))?;
    if mode != "delete" {
        return Err(StoreError::Locked {
            path: path.to_owned(),
        });
    }
    old.execute_batch("PRAGMA auto_vacuum=INCREMENTAL")
        .map_err(fail("configuring"))?;
    let written = old
        .execute("VACUUM INTO ?1", [fresh.to_string_lossy()])
        .map_err(fail("writing it anew"))
        .and_then(|_| compared(path, &old, &fresh));
    let counts = match written {
        Ok(counts) => counts,
        Err(error) => {
            // What went wrong is told; the half file says nothing more.
            fs::remove_file(&fresh).ok();
            return Err(error);
        }
    };
    drop(old);
    File::open(&fresh)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    fs::rename(&fresh, path).map_err(io)?;
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    }
    Ok(Compacted {
        path: path.to_owned(),
        before_bytes,
        after_bytes: size(path),
        tables: counts.len(),
        rows: counts.values().sum(),
    })
}

/// The rows of each table, if the new file is sound and has as many as the old one.
fn compared(
    path: &Path,
    old: &Connection,
    fresh: &Path,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let fail = |error| StoreError::from_sqlite(fresh, "comparing the new file", error);
    let new = Connection::open_with_flags(fresh, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(fail)?;
    let said: String = new
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(fail)?;
    if said != "ok" {
        return Err(StoreError::damaged(fresh, said));
    }
    let of_new = counts(&new).map_err(fail)?;
    let of_old =
        counts(old).map_err(|error| StoreError::from_sqlite(path, "counting rows", error))?;
    if of_new == of_old {
        return Ok(of_new);
    }
    Err(StoreError::damaged(
        path,
        "it has other numbers of rows than the copy made from it",
    ))
}

fn counts(c: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut tables = c.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )?;
    let tables: Vec<String> = tables
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut counts = BTreeMap::new();
    for table in tables {
        let sql = format!("SELECT count(*) FROM \"{table}\"");
        let rows: i64 = c.query_row(&sql, [], |row| row.get(0))?;
        counts.insert(table, rows.cast_unsigned());
    }
    Ok(counts)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::domain::calendar::GasDayClock;
    use crate::store::book::Book;
    use crate::store::journal::{Journal, JournalEntry};
    use crate::validate::rules::testing;

    fn fill(journal: &Journal, readings: i64) {
        let entries = (0..readings)
            .map(|k| JournalEntry::Reading {
                reading: testing::total(k, k),
                findings: Vec::new(),
            })
            .collect();
        journal.commit_blocking(entries).unwrap();
    }

    /// A file as programs before this one made it.
    fn without_auto_vacuum(path: &Path) {
        let c = Connection::open(path).unwrap();
        c.execute_batch("PRAGMA journal_mode=DELETE; PRAGMA auto_vacuum=NONE; VACUUM;")
            .unwrap();
    }

    #[test]
    fn a_file_of_before_is_made_one_that_shrinks_with_all_it_had() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("readings.db");
        let clock = GasDayClock::default();
        let journal = Journal::open(&path, clock).unwrap();
        drop(Book::open(dir.path().join("qiliang.db")).unwrap());
        assert!(journal.file_size().unwrap().can_shrink);
        fill(&journal, 3_000);
        assert!(matches!(
            compact(dir.path()),
            Err(StoreError::Locked { .. })
        ));
        drop(journal);
        without_auto_vacuum(&path);
        let journal = Journal::open(&path, clock).unwrap();
        assert!(!journal.file_size().unwrap().can_shrink);
        drop(journal);

        let done = compact(dir.path()).unwrap();
        assert_eq!(done.len(), 2);
        assert!(done[0].rows >= 3_000);
        let journal = Journal::open(&path, clock).unwrap();
        assert!(journal.file_size().unwrap().can_shrink);
        assert_eq!(journal.verify().unwrap(), 3_000);
        fill(&journal, 3_100);
        assert_eq!(journal.counters().unwrap().accepted, 3_100);
        assert_eq!(
            fs::read_dir(dir.path())
                .unwrap()
                .filter(|f| {
                    f.as_ref()
                        .unwrap()
                        .file_name()
                        .to_string_lossy()
                        .contains("compacting")
                })
                .count(),
            0
        );
    }
}
