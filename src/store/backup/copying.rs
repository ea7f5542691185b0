//! A copy of each file as it stood at one moment, made while a daemon writes.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::{
    ASIDE, BackupError, BackupFile, FILES, FORM, FORM_ASIDE, FORM_ASIDES, MANIFEST, Manifest,
    aside_names, described, finish, io_error, is_aside, make_whole, sync,
};
use crate::store::database;
use crate::store::error::StoreError;
use crate::store::time::millis;

/// Copies the files of `data_dir` into the new folder `to`. Blocks; a daemon may be writing.
///
/// # Errors
/// `Exists`, an unreadable store, no space: nothing named `to` is left then.
pub fn backup(data_dir: &Path, to: &Path, now: DateTime<Utc>) -> Result<Manifest, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists {
            path: to.to_owned(),
        });
    }
    finish(data_dir)?;
    make_whole(to, "removing what a killed backup left", |partial| {
        copy_all(data_dir, partial, now)
    })
}

fn copy_all(data_dir: &Path, to: &Path, made_at: DateTime<Utc>) -> Result<Manifest, BackupError> {
    let mut files = Vec::new();
    // First: what leaves it goes to the journal, and what is in both is taken once.
    let names = aside_names(data_dir)
        .into_iter()
        .chain(FILES.map(str::to_owned));
    for name in names {
        let target = to.join(&name);
        let schema = copy_online(&data_dir.join(&name), &target, made_at)?;
        files.push(described(&target, &name, schema)?);
    }
    write_manifest(to, files, made_at)
}

/// Makes a folder that has the files a backup, written last.
pub(in crate::store) fn seal(to: &Path, made_at: DateTime<Utc>) -> Result<Manifest, BackupError> {
    let mut files = Vec::new();
    for name in FILES {
        let path = to.join(name);
        let fail = |error| StoreError::from_sqlite(&path, "reading the version", error);
        let c = Connection::open(&path).map_err(fail)?;
        // Without a log beside it, as backups are.
        c.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))
            .map_err(fail)?;
        let schema = c
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(fail)?;
        drop(c);
        sync(&path)?;
        files.push(described(&path, name, schema)?);
    }
    write_manifest(to, files, made_at)
}

fn write_manifest(
    to: &Path,
    files: Vec<BackupFile>,
    made_at: DateTime<Utc>,
) -> Result<Manifest, BackupError> {
    let asides: Vec<&str> = files
        .iter()
        .map(|file| file.name.as_str())
        .filter(|name| is_aside(name))
        .collect();
    let manifest = Manifest {
        form: match asides.as_slice() {
            [] => FORM,
            [ASIDE] => FORM_ASIDE,
            _ => FORM_ASIDES,
        },
        program: format!("qiliang {}", env!("CARGO_PKG_VERSION")),
        made_at,
        files,
    };
    let path = to.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| io_error(&path, "writing the manifest")(error.into()))?;
    fs::write(&path, text).map_err(io_error(&path, "writing the manifest"))?;
    sync(&path)?;
    Ok(manifest)
}

/// The whole file in one step: between steps, another process's commit would start it anew.
fn copy_online(from: &Path, to: &Path, made_at: DateTime<Utc>) -> Result<u32, BackupError> {
    let fail = |doing| move |error| StoreError::from_sqlite(from, doing, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(fail("opening"))?;
    database::configure_reader(&source).map_err(fail("configuring"))?;
    let mut target = Connection::open(to)
        .map_err(|error| StoreError::from_sqlite(to, "creating the copy", error))?;
    let copy = Backup::new(&source, &mut target).map_err(fail("backing up"))?;
    copy.step(-1)
        .map_err(|error| StoreError::from_sqlite(to, "copying pages", error))?;
    drop(copy);
    forget_later_answers(&target, made_at)
        .map_err(|error| StoreError::from_sqlite(to, "preparing the copy", error))?;
    let schema = target
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| StoreError::from_sqlite(to, "reading the version", error))?;
    target
        .close()
        .map_err(|(_, error)| StoreError::from_sqlite(to, "closing the copy", error))?;
    sync(to)?;
    Ok(schema)
}

/// The book is copied after the journal, so it may hold answers to pushes whose readings the journal's
/// copy lacks. A repeat of such a push must be taken, not answered from memory.
fn forget_later_answers(copy: &Connection, made_at: DateTime<Utc>) -> rusqlite::Result<()> {
    if copy.table_exists(None, "push_answers")? {
        copy.execute("DELETE FROM push_answers WHERE at >= ?1", [millis(made_at)])?;
    }
    Ok(())
}
