//! Copies of both files that can be trusted: made while a daemon writes, checked before they are used.
//!
//! Each file is copied page by page within one read transaction of SQLite's online backup, so a copy is
//! the file as it stood at one moment, and no writer waits for it. The journal is copied first: what
//! the book has more than the journal's copy then knows (sums of newer curves) is computed again from
//! the journal after a restore, since the marks that ask for it are in the copy too. `manifest.json` is
//! written last; a folder without one is no backup.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::database;
use crate::store::error::StoreError;
use crate::store::time::millis;

/// The files of a data directory that a backup holds, in the order they are copied.
pub const FILES: [&str; 2] = ["readings.db", "qiliang.db"];
/// What a damaged journal could not take, where there is such a file.
pub const ASIDE: &str = "readings-aside.db";
const MANIFEST: &str = "manifest.json";
/// Version of the manifest's form.
const FORM: u32 = 1;
/// The form of a backup with [`ASIDE`], which earlier programs would restore without it.
const FORM_ASIDE: u32 = 2;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Form of this file.
    pub form: u32,
    /// Program that made it.
    pub program: String,
    /// When it was begun; all that was acknowledged before is in it.
    pub made_at: DateTime<Utc>,
    /// The files.
    pub files: Vec<BackupFile>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Name in the folder.
    pub name: String,
    /// Schema version.
    pub schema: u32,
    /// Size.
    pub bytes: u64,
    /// SHA-256, hex.
    pub sha256: String,
}

/// Why there is no backup, or it is not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target is there already.
    #[error("{}: exists already; name a folder that does not, each backup has its own", path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// Not a backup, or one of a form this program does not know.
    #[error("{}: is no backup this program can read ({reason}); name a folder that `qiliang backup` made", path.display())]
    NoBackup {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file is not as it was when the backup was made.
    #[error(
        "{}: is not the file that was backed up ({reason}); it was changed or damaged since, use another backup",
        path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// How it differs.
        reason: String,
    },
    /// There is a store where the backup should go.
    #[error(
        "{}: holds a store already; stop the daemon and use --replace, which moves it aside, or another paths.data_dir",
        path.display()
    )]
    Occupied {
        /// The data directory.
        path: PathBuf,
    },
    /// A file operation.
    #[error("{}: {doing} failed: {source}; check space and rights there", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(super) fn io_error<'a>(
    path: &'a Path,
    doing: &'static str,
) -> impl FnOnce(io::Error) -> BackupError + use<'a> {
    move |source| BackupError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}

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
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if partial.exists() {
        // Left by a backup that was killed; nobody takes it for one.
        fs::remove_dir_all(&partial)
            .map_err(io_error(&partial, "removing what a killed backup left"))?;
    }
    fs::create_dir_all(&partial).map_err(io_error(&partial, "creating the folder"))?;
    let made = copy_all(data_dir, &partial, now).and_then(|manifest| {
        sync(&partial)?;
        fs::rename(&partial, to).map_err(io_error(to, "naming the folder"))?;
        if let Some(parent) = to.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync(parent)?;
        }
        Ok(manifest)
    });
    if made.is_err() {
        // What went wrong is told; that a half copy cannot be removed either adds nothing.
        fs::remove_dir_all(&partial).ok();
    }
    made
}

fn copy_all(data_dir: &Path, to: &Path, made_at: DateTime<Utc>) -> Result<Manifest, BackupError> {
    let mut files = Vec::new();
    // First: what leaves it goes to the journal, and what is in both is taken once.
    let is_aside = data_dir.join(ASIDE).exists();
    for name in is_aside.then_some(ASIDE).into_iter().chain(FILES) {
        let target = to.join(name);
        let schema = copy_online(&data_dir.join(name), &target, made_at)?;
        files.push(described(&target, name, schema)?);
    }
    write_manifest(to, files, made_at)
}

/// Makes a folder that has the files a backup, written last.
pub(super) fn seal(to: &Path, made_at: DateTime<Utc>) -> Result<Manifest, BackupError> {
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
    let has_aside = files.iter().any(|file| file.name == ASIDE);
    let manifest = Manifest {
        form: if has_aside { FORM_ASIDE } else { FORM },
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

fn described(path: &Path, name: &str, schema: u32) -> Result<BackupFile, BackupError> {
    let (bytes, sha256) = digest(path)?;
    Ok(BackupFile {
        name: name.to_owned(),
        schema,
        bytes,
        sha256,
    })
}

/// Size and SHA-256 of a file.
fn digest(path: &Path) -> Result<(u64, String), BackupError> {
    let mut file = File::open(path).map_err(io_error(path, "opening"))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer).map_err(io_error(path, "reading"))?;
        if count == 0 {
            return Ok((bytes, hex::encode(hasher.finalize())));
        }
        let read = buffer.get(..count).unwrap_or_default();
        hasher.update(read);
        bytes += read.len() as u64;
    }
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(io_error(path, "writing to disk"))
}

/// Reads a backup's manifest and every byte of its files. Blocks.
///
/// # Errors
/// `NoBackup`, `Changed`.
pub fn check(dir: &Path) -> Result<Manifest, BackupError> {
    let no_backup = |reason: String| BackupError::NoBackup {
        path: dir.to_owned(),
        reason,
    };
    let text =
        fs::read(dir.join(MANIFEST)).map_err(|error| no_backup(format!("{MANIFEST}: {error}")))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| no_backup(format!("{MANIFEST}: {error}")))?;
    if !(FORM..=FORM_ASIDE).contains(&manifest.form) {
        return Err(no_backup(format!(
            "form {} instead of {FORM} or {FORM_ASIDE}",
            manifest.form
        )));
    }
    for name in names(&manifest) {
        let Some(expected) = manifest.files.iter().find(|file| file.name == name) else {
            return Err(no_backup(format!("{MANIFEST} does not name {name}")));
        };
        let path = dir.join(name);
        let (bytes, sha256) = digest(&path)?;
        let reason = if bytes != expected.bytes {
            format!("{bytes} bytes instead of {}", expected.bytes)
        } else if sha256 != expected.sha256 {
            "another SHA-256".to_owned()
        } else {
            continue;
        };
        return Err(BackupError::Changed { path, reason });
    }
    Ok(manifest)
}

/// The files of a backup.
fn names(manifest: &Manifest) -> impl Iterator<Item = &'static str> + use<> {
    let has_aside = manifest.form == FORM_ASIDE;
    has_aside.then_some(ASIDE).into_iter().chain(FILES)
}

/// Puts a backup into `data_dir`, after checking every byte of it. Blocks.
///
/// With `is_replacing`, a store that is there is moved to a folder beside it, whose path is returned:
/// nothing is ever deleted.
///
/// # Errors
/// As [`check`]; `Occupied`; `Locked` while a daemon runs there.
pub fn restore(
    from: &Path,
    data_dir: &Path,
    is_replacing: bool,
    now: DateTime<Utc>,
) -> Result<(Manifest, Option<PathBuf>), BackupError> {
    let manifest = check(from)?;
    fs::create_dir_all(data_dir).map_err(io_error(data_dir, "creating the folder"))?;
    // Held until the end, so that no daemon starts on half of it.
    let mut locks = Vec::new();
    for name in FILES {
        locks.push(database::lock(&data_dir.join(name))?);
    }
    let mut all = FILES.iter().chain([&ASIDE]);
    let is_occupied = all.any(|name| data_dir.join(name).exists());
    if is_occupied && !is_replacing {
        return Err(BackupError::Occupied {
            path: data_dir.to_owned(),
        });
    }
    // Beside the old files first: a full disk leaves these as they are.
    let incoming: Vec<(PathBuf, PathBuf)> = names(&manifest)
        .map(|name| {
            (
                data_dir.join(format!("{name}.restoring")),
                data_dir.join(name),
            )
        })
        .collect();
    for (name, (arriving, _)) in names(&manifest).zip(&incoming) {
        fs::copy(from.join(name), arriving).map_err(io_error(arriving, "copying"))?;
        sync(arriving)?;
    }
    let aside = if is_occupied {
        Some(move_aside(data_dir, now)?)
    } else {
        None
    };
    for (arriving, target) in &incoming {
        fs::rename(arriving, target).map_err(io_error(target, "naming the file"))?;
    }
    sync(data_dir)?;
    drop(locks);
    Ok((manifest, aside))
}

fn move_aside(data_dir: &Path, now: DateTime<Utc>) -> Result<PathBuf, BackupError> {
    let aside = data_dir.join(format!("replaced-{}", now.format("%Y%m%dT%H%M%SZ")));
    fs::create_dir_all(&aside).map_err(io_error(&aside, "creating the folder"))?;
    for name in FILES.into_iter().chain([ASIDE]) {
        // A log belongs to the file beside it: the restored one must not find it.
        for suffix in ["", "-wal", "-shm"] {
            let file = data_dir.join(format!("{name}{suffix}"));
            if file.exists() {
                let target = aside.join(format!("{name}{suffix}"));
                fs::rename(&file, &target).map_err(io_error(&file, "moving aside"))?;
            }
        }
    }
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};

    use tempfile::TempDir;

    use super::*;
    use crate::domain::calendar::GasDayClock;
    use crate::store::book::Book;
    use crate::store::journal::{Journal, JournalEntry};

    fn now() -> DateTime<Utc> {
        "2026-11-22T00:00:00Z".parse().unwrap()
    }

    async fn store(dir: &Path, readings: u32) -> (Journal, Book) {
        let journal = Journal::open(dir.join("readings.db"), GasDayClock::default()).unwrap();
        let book = Book::open(dir.join("qiliang.db")).unwrap();
        journal.commit(entries(0..readings)).await.unwrap();
        (journal, book)
    }

    fn entries(range: std::ops::Range<u32>) -> Vec<JournalEntry> {
        range
            .map(|k| {
                let mut reading = crate::validate::rules::testing::total(1, i64::from(k));
                reading.sampled_at = now() + chrono::TimeDelta::seconds(k.into());
                JournalEntry::Reading {
                    reading,
                    findings: Vec::new(),
                }
            })
            .collect()
    }

    fn count(dir: &Path) -> u64 {
        let journal =
            Journal::open_read_only(dir.join("readings.db"), GasDayClock::default()).unwrap();
        Book::open_read_only(dir.join("qiliang.db"))
            .unwrap()
            .check()
            .unwrap();
        journal.verify().unwrap()
    }

    #[tokio::test]
    async fn a_backup_made_beside_a_writer_holds_all_that_was_committed_before() {
        let dir = TempDir::new().unwrap();
        let (data, to, back) = (
            dir.path().join("data"),
            dir.path().join("copies/monday"),
            dir.path().join("back"),
        );
        fs::create_dir_all(&data).unwrap();
        let (journal, _book) = store(&data, 500).await;
        let mut writing = tokio::task::JoinSet::new();
        writing.spawn(async move {
            for k in 0..40 {
                journal
                    .commit(entries(500 + k * 10..510 + k * 10))
                    .await
                    .unwrap();
            }
        });
        let manifest = backup(&data, &to, now()).unwrap();
        writing.join_next().await.unwrap().unwrap();
        assert_eq!(manifest, check(&to).unwrap());
        let (_, aside) = restore(&to, &back, false, now()).unwrap();
        assert_eq!(aside, None);
        let restored = count(&back);
        assert!((500..=900).contains(&restored), "{restored}");
        // A commit is in it whole or not at all.
        assert_eq!(restored % 10, 0);
        assert!(matches!(
            backup(&data, &to, now()),
            Err(BackupError::Exists { .. })
        ));
    }

    #[tokio::test]
    async fn a_store_is_never_overwritten_and_never_under_a_daemon() {
        let dir = TempDir::new().unwrap();
        let (data, to) = (dir.path().join("data"), dir.path().join("copy"));
        fs::create_dir_all(&data).unwrap();
        let open = store(&data, 20).await;
        backup(&data, &to, now()).unwrap();
        open.0.commit(entries(20..25)).await.unwrap();
        let error = restore(&to, &data, true, now()).unwrap_err();
        assert!(
            matches!(error, BackupError::Store(StoreError::Locked { .. })),
            "{error}"
        );
        drop(open);
        let error = restore(&to, &data, false, now()).unwrap_err();
        assert!(matches!(error, BackupError::Occupied { .. }), "{error}");
        assert_eq!(count(&data), 25);
        let (_, aside) = restore(&to, &data, true, now()).unwrap();
        assert_eq!(count(&data), 20);
        assert_eq!(count(&aside.unwrap()), 25);
    }

    #[tokio::test]
    async fn a_changed_backup_is_not_restored() {
        let dir = TempDir::new().unwrap();
        let (data, to, back) = (
            dir.path().join("data"),
            dir.path().join("copy"),
            dir.path().join("back"),
        );
        fs::create_dir_all(&data).unwrap();
        drop(store(&data, 20).await);
        backup(&data, &to, now()).unwrap();
        let mut file = File::options()
            .write(true)
            .open(to.join("readings.db"))
            .unwrap();
        file.seek(SeekFrom::Start(5_000)).unwrap();
        file.write_all(b"?").unwrap();
        drop(file);
        let error = restore(&to, &back, false, now()).unwrap_err();
        assert!(error.to_string().contains("another SHA-256"), "{error}");
        assert!(!back.join("readings.db").exists());
        fs::remove_file(to.join(MANIFEST)).unwrap();
        assert!(matches!(check(&to), Err(BackupError::NoBackup { .. })));
    }
}
