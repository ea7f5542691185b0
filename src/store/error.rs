//! What can go wrong with a store: what, which file, what is not lost, what to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{ErrorCode, ffi};

/// A header that tells of more schemas than this beyond those that are known is damaged.
pub(super) const VERSIONS_AHEAD_MAX: usize = 1_000;

/// A store could not do what it was asked.
///
/// Cloneable, because one failed commit answers everyone who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the size the file may grow to, is exhausted.
    #[error(
        "{}: no space left to commit; nothing was acknowledged and nothing committed is lost; \
         free space on that disk or raise its quota, the commit is tried again by itself",
        path.display()
    )]
    Full {
        /// The store.
        path: PathBuf,
    },
    /// The file was written by a newer program.
    #[error(
        "{}: was written by a newer program (schema {found}, this one knows {known}); \
         start the newer program, or restore a backup made before the upgrade",
        path.display()
    )]
    NewerVersion {
        /// The store.
        path: PathBuf,
        /// Schema of the file.
        found: usize,
        /// Newest schema this program knows.
        known: usize,
    },
    /// The file or its directory cannot be written to or opened.
    #[error(
        "{}: cannot be opened for writing ({reason}); make file and directory writable for the \
         user the daemon runs as",
        path.display()
    )]
    NotWritable {
        /// The store.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another process writes to it.
    #[error(
        "{}: another process has it open for writing; stop that process, or use another data \
         directory",
        path.display()
    )]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// Asked to write through a handle opened for reading.
    #[error("{}: was opened for reading only; run this where the daemon does not hold the file", path.display())]
    ReadOnly {
        /// The store.
        path: PathBuf,
    },
    /// Gas days were cut at another hour when the file was made.
    #[error(
        "{}: its gas days start at {found:02}:00 but the registry says {asked:02}:00; correct \
         `gas_day_start_hour` in company.toml, or begin a new data directory and import again",
        path.display()
    )]
    OtherGasDay {
        /// The store.
        path: PathBuf,
        /// Start hour of the file.
        found: u32,
        /// Start hour asked for.
        asked: u32,
    },
    /// The file is damaged or not a store.
    #[error("{}: is damaged or not a store ({detail}); `qiliang verify` tells what is lost, `qiliang restore` takes a backup, `qiliang salvage` saves what can be read", path.display())]
    Damaged {
        /// The store.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The writer thread is gone.
    #[error("{}: its writer has stopped; restart the program", path.display())]
    WriterStopped {
        /// The store.
        path: PathBuf,
    },
    /// Anything else SQLite said.
    #[error("{}: {doing} failed", path.display())]
    Sqlite {
        /// The store.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: Arc<rusqlite::Error>,
    },
}

impl StoreError {
    /// Stable code, key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Full { .. } => "store.full",
            Self::NewerVersion { .. } => "store.newer_version",
            Self::NotWritable { .. } => "store.not_writable",
            Self::Locked { .. } => "store.locked",
            Self::ReadOnly { .. } => "store.read_only",
            Self::OtherGasDay { .. } => "store.other_gas_day",
            Self::Damaged { .. } => "store.damaged",
            Self::WriterStopped { .. } => "store.writer_stopped",
            Self::Sqlite { .. } => "store.sqlite",
        }
    }

    /// Which store.
    pub fn path(&self) -> &Path {
        match self {
            Self::Full { path }
            | Self::NewerVersion { path, .. }
            | Self::NotWritable { path, .. }
            | Self::Locked { path }
            | Self::ReadOnly { path }
            | Self::OtherGasDay { path, .. }
            | Self::Damaged { path, .. }
            | Self::WriterStopped { path }
            | Self::Sqlite { path, .. } => path,
        }
    }

    /// Whether waiting and trying again can help without anyone restarting the program.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::Locked { .. }
                | Self::NotWritable { .. }
                | Self::Sqlite { .. }
        )
    }

    /// Whether the file as it is cannot be used, or part of it: it is damaged, or a newer program's. Waiting does
    /// not help, and what comes can be kept beside it until it is mended.
    pub const fn is_of_file(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::NewerVersion { .. })
    }

    pub(super) fn from_sqlite(path: &Path, doing: &'static str, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let reason = error.to_string();
        // A column of a type that no program writes there.
        if matches!(
            error,
            rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
        ) {
            return Self::Damaged {
                path,
                detail: reason,
            };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                Self::NotWritable { path, reason }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            _ if is_damage(&error) => Self::Damaged {
                path,
                detail: reason,
            },
            _ => Self::Sqlite {
                path,
                doing,
                source: Arc::new(error),
            },
        }
    }

    /// Of a file whose schema this program does not know: a newer one, or one that no program wrote.
    pub(super) fn unknown_version(path: &Path, found: i64, known: usize) -> Self {
        match usize::try_from(found) {
            Ok(found) if found < known + VERSIONS_AHEAD_MAX => Self::NewerVersion {
                path: path.to_owned(),
                found,
                known,
            },
            _ => Self::damaged(path, format!("its header tells of schema {found}")),
        }
    }

    pub(super) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }
}

/// Whether part of a file is not what was written, or cannot be read from the disk.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let Some(code) = error.sqlite_error() else {
        return false;
    };
    matches!(
        code.code,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
    ) || matches!(
        code.extended_code,
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA
    )
}
