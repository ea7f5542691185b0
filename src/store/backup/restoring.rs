//! A backup put in place of what is there, and finished by whoever comes next if it was killed.
//!
//! Every byte that arrives is on disk beside the old files before any of these is touched; then a note of what
//! is to be done is written, and only then are files renamed. Until the note is there nothing has happened,
//! and from then on nothing but renames is left, which can be done any number of times: the next start, or
//! the next restore, finds the note and does the rest before anything else. In between there is no moment at
//! which a program would take the folder for an empty store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{BackupError, FILES, Manifest, aside_names, check, io_error, lock_files, sync};

/// The note; there while renames are left.
const NOTE: &str = "restoring.json";
/// What arrives is named so until it is in its place.
const ARRIVING: &str = "restoring";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// What arrives.
    manifest: Manifest,
    /// Files that make room, in the data directory.
    leaving: Vec<String>,
    /// The folder they go to, in the data directory; none if there are none.
    aside: Option<String>,
}

/// Asked before each step on disk; tests end there, as `kill -9` would.
type Step<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Puts a backup into `data_dir`, after checking every byte of it. Blocks.
///
/// With `is_replacing`, a store that is there is moved to a folder beside it, whose path is returned:
/// nothing is ever deleted. Whoever is killed in it calls it again; a daemon that is started instead
/// finishes it.
///
/// # Errors
/// As [`check`]; `Occupied`; `Locked` while a daemon runs there.
pub fn restore(
    from: &Path,
    data_dir: &Path,
    is_replacing: bool,
    now: DateTime<Utc>,
) -> Result<(Manifest, Option<PathBuf>), BackupError> {
    restore_in_steps(from, data_dir, is_replacing, now, &mut || Ok(()))
}

pub(super) fn restore_in_steps(
    from: &Path,
    data_dir: &Path,
    is_replacing: bool,
    now: DateTime<Utc>,
    step: Step<'_>,
) -> Result<(Manifest, Option<PathBuf>), BackupError> {
    let manifest = check(from)?;
    fs::create_dir_all(data_dir).map_err(io_error(data_dir, "creating the folder"))?;
    // Held until the end, so that no daemon starts on half of it.
    let locks = lock_files(data_dir)?;
    if let Some(note) = finish_locked(data_dir, step)? {
        // It was this one that was killed.
        if note.manifest == manifest {
            return Ok((manifest, note.aside.map(|aside| data_dir.join(aside))));
        }
    }
    let leaving: Vec<String> = aside_names(data_dir)
        .into_iter()
        .chain(FILES.map(str::to_owned))
        .filter(|name| data_dir.join(name).exists())
        .collect();
    if !leaving.is_empty() && !is_replacing {
        return Err(BackupError::Occupied {
            path: data_dir.to_owned(),
        });
    }
    // Beside the old files first: a full disk leaves these as they are.
    for file in &manifest.files {
        let arriving = beside(data_dir, &file.name, ARRIVING);
        step().map_err(io_error(&arriving, "copying"))?;
        fs::copy(from.join(&file.name), &arriving).map_err(io_error(&arriving, "copying"))?;
        sync(&arriving)?;
    }
    let aside = format!("replaced-{}", now.format("%Y%m%dT%H%M%SZ"));
    let note = Note {
        manifest,
        aside: (!leaving.is_empty()).then_some(aside),
        leaving,
    };
    write_note(data_dir, &note, step)?;
    finish_locked(data_dir, step)?;
    drop(locks);
    let aside = note.aside.map(|aside| data_dir.join(aside));
    Ok((note.manifest, aside))
}

/// Does what a killed restore left to be done, if there is one. Blocks.
///
/// # Errors
/// `Locked` while somebody is at it, and what the system says of a rename.
pub fn finish(data_dir: &Path) -> Result<(), BackupError> {
    if !data_dir.join(NOTE).exists() {
        return Ok(());
    }
    let locks = lock_files(data_dir)?;
    let finished = finish_locked(data_dir, &mut || Ok(())).map(drop);
    drop(locks);
    finished
}

fn write_note(data_dir: &Path, note: &Note, step: Step<'_>) -> Result<(), BackupError> {
    let path = data_dir.join(NOTE);
    let arriving = beside(data_dir, NOTE, "partial");
    let text = serde_json::to_vec_pretty(note)
        .map_err(|error| io_error(&path, "writing down what is to be done")(error.into()))?;
    step().map_err(io_error(&path, "writing down what is to be done"))?;
    fs::write(&arriving, text).map_err(io_error(&arriving, "writing down what is to be done"))?;
    sync(&arriving)?;
    rename(&arriving, &path, step)?;
    sync(data_dir)
}

/// The renames that are left; what was to be done, if anything was.
fn finish_locked(data_dir: &Path, step: Step<'_>) -> Result<Option<Note>, BackupError> {
    let path = data_dir.join(NOTE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(&path, "reading what is to be done")(error)),
    };
    let note: Note = serde_json::from_slice(&text)
        .map_err(|error| io_error(&path, "reading what is to be done")(error.into()))?;
    let arriving = |name: &str| beside(data_dir, name, ARRIVING);
    if let Some(aside) = &note.aside {
        let aside = data_dir.join(aside);
        fs::create_dir_all(&aside).map_err(io_error(&aside, "creating the folder"))?;
        for name in &note.leaving {
            let comes = note.manifest.files.iter().any(|file| file.name == *name);
            // What has come to its place already stays there.
            if comes && !arriving(name).exists() {
                continue;
            }
            // A log belongs to the file beside it: the restored one must not find it.
            for suffix in ["", "-wal", "-shm"] {
                let name = format!("{name}{suffix}");
                let old = data_dir.join(&name);
                if old.exists() {
                    rename(&old, &aside.join(&name), step)?;
                }
            }
        }
        sync(&aside)?;
    }
    for file in &note.manifest.files {
        let arriving = arriving(&file.name);
        if arriving.exists() {
            rename(&arriving, &data_dir.join(&file.name), step)?;
        }
    }
    sync(data_dir)?;
    step().map_err(io_error(&path, "removing the note"))?;
    fs::remove_file(&path).map_err(io_error(&path, "removing the note"))?;
    sync(data_dir)?;
    Ok(Some(note))
}

fn rename(from: &Path, to: &Path, step: Step<'_>) -> Result<(), BackupError> {
    step()
        .and_then(|()| fs::rename(from, to))
        .map_err(io_error(from, "renaming"))
}

fn beside(data_dir: &Path, name: &str, suffix: &str) -> PathBuf {
    data_dir.join(format!("{name}.{suffix}"))
}
