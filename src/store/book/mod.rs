//! The book (`qiliang.db`): weather vintages, demand, forecast runs, decisions and who took them.
//!
//! Facts are kept with the time they became known, so that a question about an earlier instant is
//! answered as it would have been then. Documents are append-only; each append is also a record of
//! the hash-chained audit log, in the same transaction.

mod audit;
mod check;
mod demand;
mod documents;
mod expectations;
mod filed;
mod filings;
mod forecasts;
mod mending;
mod parts;
mod push;
mod read_once;
mod restatements;
mod weather;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction};

use crate::store::database::{Checkpoint, Database, FileSize};
use crate::store::error::StoreError;

pub(super) use self::audit::is_vouched;
pub use self::audit::{AuditBreak, AuditRecord, AuditReport};
pub use self::documents::{Document, DocumentKind, NewDocument, SentVersion};
pub use self::filings::RegistryVersion;
pub use self::forecasts::{ForecastHeader, RunBeside, RunPart};
pub use self::parts::{BOOK_PARTS, BookPart};
pub use self::push::{PUSH_ANSWER_KEPT, PushAnswer};
pub use self::restatements::{DEPENDS_DAYS, RestatedDay, Restatement, RestatementCause};

pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_book.sql"),
    include_str!("migrations/0002_push_answers.sql"),
    include_str!("migrations/0003_run_inputs.sql"),
    include_str!("migrations/0004_restatements.sql"),
    include_str!("migrations/0005_outlook.sql"),
    include_str!("migrations/0006_run_learning.sql"),
    include_str!("migrations/0007_plans_taken_back.sql"),
    include_str!("migrations/0008_run_months.sql"),
    include_str!("migrations/0009_expectations_without.sql"),
    include_str!("migrations/0010_by_day_and_run.sql"),
];

/// The book; clones share one writer thread and one pool of readers.
///
/// All methods block but those that say `async`: call them through `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Book {
    database: Database,
    kept: Arc<push::Kept>,
    demand_months: Arc<read_once::DemandMonths>,
    observed_writes: Arc<read_once::ObservedWrites>,
    unserved: Arc<check::Unserved>,
}

impl Book {
    fn of(database: Database) -> Self {
        Self {
            database,
            kept: Arc::default(),
            demand_months: Arc::default(),
            observed_writes: Arc::default(),
            unserved: Arc::default(),
        }
    }

    /// What was met since the file was opened that is damaged, in whatever reading or writing.
    pub fn damage_seen(&self) -> Vec<String> {
        self.database.damage_seen()
    }

    /// Remembers damage that whoever met it can name better than the store; whether it was not told yet.
    pub fn tell_damage(&self, what: &str) -> bool {
        self.database.tell_damage(what)
    }

    /// Why nothing is written to the file, if it was refused when it was opened.
    pub fn refusal(&self) -> Option<&StoreError> {
        self.database.refusal()
    }

    /// Opens the book for writing, making and migrating it as needed.
    ///
    /// # Errors
    /// `NotWritable`, `Locked` by another process, `NewerVersion`, `Damaged`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Database::open(path.as_ref(), MIGRATIONS, |_| Ok(()), || false).map(Self::of)
    }

    /// A book that `open` refused, for a daemon that has to go on: nothing is written to the file, and
    /// questions are answered as far as it can be read.
    ///
    /// # Errors
    /// `Locked` by another process, `NotWritable`.
    pub fn open_refused(path: impl AsRef<Path>, error: StoreError) -> Result<Self, StoreError> {
        Database::open_refused(path.as_ref(), error).map(Self::of)
    }

    /// A book that `open_read_only` refused, for a command that needs little of it.
    pub fn refused_to_read(path: impl AsRef<Path>, error: StoreError) -> Self {
        Self::of(Database::refused_to_read(path.as_ref(), error))
    }

    /// Opens an existing book for reading, also while the daemon writes to it.
    ///
    /// # Errors
    /// `NotWritable` if there is none or it needs migrating, `NewerVersion`, `Damaged`.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Database::open_read_only(path.as_ref(), MIGRATIONS).map(Self::of)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.database.path()
    }

    /// How large the file is. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn file_size(&self) -> Result<FileSize, StoreError> {
        self.database.size()
    }

    /// Gives at most so many free pages back to the disk, in one transaction; how many. Blocks.
    ///
    /// # Errors
    /// As a commit.
    pub fn give_back(&self, pages: u32) -> Result<u64, StoreError> {
        self.database.shrink(pages)
    }

    /// Moves the write-ahead log to the file, beside the writer, and cuts it. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn cut_log(&self) -> Result<Checkpoint, StoreError> {
        self.database.checkpoint()
    }

    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.database
            .read(|connection| read(connection).map_err(self.database.error(doing)))
    }

    fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        mut work: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let error = self.database.error(doing);
        self.database
            .write_blocking(move |t| work(t).map_err(&error))
    }

    fn damaged(&self, detail: impl Into<String>) -> StoreError {
        StoreError::damaged(self.path(), detail)
    }
}

/// SHA-256 of some bytes.
fn digest(bytes: &[u8]) -> Vec<u8> {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).to_vec()
}
