//! Copies of both files that can be trusted: made while a daemon writes, checked before they are used.
//!
//! Each file is copied page by page within one read transaction of SQLite's online backup, so a copy is
//! the file as it stood at one moment, and no writer waits for it. The journal is copied first: what
//! the book has more than the journal's copy then knows (sums of newer curves) is computed again from
//! the journal after a restore, since the marks that ask for it are in the copy too. `manifest.json` is
//! written last; a folder without one is no backup.

mod copying;
mod restoring;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::store::error::StoreError;
use crate::store::{database, journal};

pub use self::copying::backup;
pub(in crate::store) use self::copying::seal;
pub use self::restoring::{finish, restore};

/// The files of a data directory that a backup holds, in the order they are copied.
pub const FILES: [&str; 2] = ["readings.db", "qiliang.db"];
/// What a damaged journal could not take, where there is such a file; once that is damaged, too, others with a
/// number follow it.
pub const ASIDE: &str = "readings-aside.db";
const MANIFEST: &str = "manifest.json";
/// Version of the manifest's form.
const FORM: u32 = 1;
/// The form of a backup with [`ASIDE`], which earlier programs would restore without it.
const FORM_ASIDE: u32 = 2;
/// The form of one with several of them.
const FORM_ASIDES: u32 = 3;

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
    if !(FORM..=FORM_ASIDES).contains(&manifest.form) {
        return Err(no_backup(format!(
            "form {} instead of {FORM} to {FORM_ASIDES}",
            manifest.form
        )));
    }
    let is_named = |name: &str| manifest.files.iter().any(|file| file.name == name);
    let missing = FILES.into_iter().find(|name| !is_named(name));
    let missing = missing.or((manifest.form == FORM_ASIDE && !is_named(ASIDE)).then_some(ASIDE));
    if let Some(name) = missing {
        return Err(no_backup(format!("{MANIFEST} does not name {name}")));
    }
    for expected in &manifest.files {
        let name = expected.name.as_str();
        if !FILES.contains(&name) && !is_aside(name) {
            return Err(no_backup(format!(
                "{MANIFEST} names {name}, which is no file of a store"
            )));
        }
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

fn is_aside(name: &str) -> bool {
    journal::aside_number(Path::new(FILES[0]), name).is_some()
}

/// Names of the files beside the journal of a data directory, in the order in which they were made.
pub fn aside_names(data_dir: &Path) -> Vec<String> {
    let files = journal::aside_files(&data_dir.join(FILES[0]));
    let names = files.iter().filter_map(|file| file.file_name()?.to_str());
    names.map(str::to_owned).collect()
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

/// Keeps every writer of a data directory away for as long as they are held.
pub(super) fn lock_files(data_dir: &Path) -> Result<Vec<File>, StoreError> {
    let lock = |name: &str| database::lock(&data_dir.join(name));
    FILES.into_iter().map(lock).collect()
}

/// Makes the new folder `to`. Until `fill` has written all of it, it has another name: whoever is killed in
/// between leaves nothing that is taken for whole, and begins again; `removing` says what of it is removed
/// then.
pub(super) fn make_whole<T>(
    to: &Path,
    removing: &'static str,
    fill: impl FnOnce(&Path) -> Result<T, BackupError>,
) -> Result<T, BackupError> {
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(io_error(&partial, removing))?;
    }
    fs::create_dir_all(&partial).map_err(io_error(&partial, "creating the folder"))?;
    let made = fill(&partial).and_then(|made| {
        put_name(&partial, to)?;
        Ok(made)
    });
    if made.is_err() {
        // What went wrong is told; that a half copy cannot be removed either adds nothing.
        fs::remove_dir_all(&partial).ok();
    }
    made
}

/// Gives a folder that is whole its name.
fn put_name(partial: &Path, to: &Path) -> Result<(), BackupError> {
    sync(partial)?;
    fs::rename(partial, to).map_err(io_error(to, "naming the folder"))?;
    if let Some(parent) = to.parent().filter(|p| !p.as_os_str().is_empty()) {
        sync(parent)?;
    }
    Ok(())
}
