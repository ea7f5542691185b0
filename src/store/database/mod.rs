//! One SQLite file: opened, migrated, written by one thread, read through a pool.

mod care;
mod crash;
pub(super) mod log;
mod pool;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, Transaction};
use rusqlite_migration::{M, Migrations};

pub use self::care::{Checkpoint, FileSize};
use self::pool::ReaderPool;
pub(super) use self::writer::Rescue;
use self::writer::{Job, Writer};
use crate::store::damage::Damage;
use crate::store::error::StoreError;

/// Statements a connection keeps prepared.
const STATEMENTS_MAX: usize = 64;
/// Pages the writer keeps, KiB. What a busy stream writes comes in the order of the key, so few are
/// needed more than once.
const WRITER_CACHE_KIB: u32 = 8 * 1_024;
/// Pages each reader keeps, KiB; behind it is the system's cache.
const READER_CACHE_KIB: u32 = 2 * 1_024;
/// Pages in the write-ahead log before they are moved to the file. A page that many commits write is
/// moved once: 64 MiB are a minute's worth of a busy city.
const CHECKPOINT_PAGES: u32 = 16_000;
/// How long to wait for a lock of another connection, ms. The writer is alone, so this is only
/// met while a backup or a checkpoint finishes.
const BUSY_TIMEOUT_MS: u64 = 5_000;

/// What is wrong with a file's pages is told so often at most.
const PROBLEMS_MAX: u32 = 100;

/// Places of damage that are remembered while the file is open.
const SEEN_MAX: usize = 100;

/// A handle on one file; clones share the writer thread and the pool.
#[derive(Clone)]
pub(super) struct Database {
    path: Arc<PathBuf>,
    /// Dropped before the writer, which can remove the log only when nobody reads any more.
    pool: Arc<ReaderPool>,
    writer: Option<Arc<Writer>>,
    /// Why there is no writer, of a file that cannot be used; whoever would write is kept away all the same.
    refused: Option<Arc<(StoreError, Option<File>)>>,
    seen: Seen,
}

/// What was met that is damaged, since the file was opened, and whether it was told; clones are one.
#[derive(Debug, Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<String, bool>>>);

impl Seen {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, what: &str) {
        let mut seen = self.all();
        if seen.len() < SEEN_MAX {
            seen.entry(what.to_owned()).or_default();
        }
    }

    /// Whether it was not told yet; whoever asks tells it.
    fn tell(&self, what: &str) -> bool {
        self.note(what);
        let mut seen = self.all();
        let is_told = seen.get_mut(what);
        is_told.is_some_and(|is_told| !std::mem::replace(is_told, true))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Opens for reading and writing, making and migrating the file as needed.
    ///
    /// `prepare` runs once on the migrated file before anyone writes. `on_rollback` runs on the writer
    /// thread after each rolled back transaction: whoever caches what is in the file forgets it there, and
    /// says whether the same work can be done now.
    pub(super) fn open(
        path: &Path,
        migrations: &[&'static str],
        prepare: impl FnOnce(&Connection) -> Result<(), StoreError>,
        on_rollback: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        check_length(path, Shorter::Refused)?;
        let seen = Seen::default();
        // SQLite takes such a log for a shorter one and writes over the rest.
        if let Some(damage) = log::damage(path) {
            seen.note(&damage);
        }
        let fail = |doing| move |error| StoreError::from_sqlite(path, doing, error);
        let mut connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(fail("opening"))?;
        configure(&connection, WRITER_CACHE_KIB).map_err(fail("configuring"))?;
        let pages: i64 = connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .map_err(fail("opening"))?;
        if pages == 0 {
            // Only a new file can be made one that gives free pages back.
            connection
                .execute_batch("PRAGMA auto_vacuum=INCREMENTAL")
                .map_err(fail("configuring"))?;
        }
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
                 PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES};"
            ))
            .map_err(fail("configuring"))?;
        migrate(path, &mut connection, migrations)?;
        prepare(&connection)?;
        let writer = Writer::start(path, connection, lock, Box::new(on_rollback))?;
        Ok(Self {
            path: Arc::new(path.to_owned()),
            pool: Arc::new(ReaderPool::new(path)),
            writer: Some(Arc::new(writer)),
            refused: None,
            seen,
        })
    }

    /// Opens an existing file for reading, also while a daemon writes to it.
    pub(super) fn open_read_only(
        path: &Path,
        migrations: &[&'static str],
    ) -> Result<Self, StoreError> {
        check_length(path, Shorter::Read)?;
        let pool = ReaderPool::new(path);
        let found = pool.read(|connection| {
            connection
                .query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
                .map_err(|error| StoreError::from_sqlite(path, "reading the version", error))
        })?;
        let known = migrations.len();
        let version = usize::try_from(found).unwrap_or(usize::MAX);
        if version > known {
            return Err(StoreError::unknown_version(path, found, known));
        }
        let found = version;
        if found < known {
            return Err(StoreError::NotWritable {
                path: path.to_owned(),
                reason: format!(
                    "it has schema {found} and must be brought to {known} by the daemon first"
                ),
            });
        }
        Ok(Self {
            path: Arc::new(path.to_owned()),
            pool: Arc::new(pool),
            writer: None,
            refused: None,
            seen: Seen::default(),
        })
    }

    /// A file that `open` refused: nothing is written to it, and it is read as far as that goes; a newer
    /// program's is not read either, since what its rows mean is not known.
    pub(super) fn open_refused(path: &Path, error: StoreError) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        Ok(Self::refused(path, error, Some(lock)))
    }

    /// The same beside whoever has it open.
    pub(super) fn refused_to_read(path: &Path, error: StoreError) -> Self {
        Self::refused(path, error, None)
    }

    fn refused(path: &Path, error: StoreError, lock: Option<File>) -> Self {
        let seen = Seen::default();
        seen.note(&error.to_string());
        Self {
            path: Arc::new(path.to_owned()),
            pool: Arc::new(ReaderPool::new(path)),
            writer: None,
            refused: Some(Arc::new((error, lock))),
            seen,
        }
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// An SQLite error of this file; one that tells of damage is remembered.
    pub(super) fn error(
        &self,
        doing: &'static str,
    ) -> impl Fn(rusqlite::Error) -> StoreError + Send + use<> {
        let path = Arc::clone(&self.path);
        let seen = self.seen.clone();
        move |error| {
            let error = StoreError::from_sqlite(&path, doing, error);
            if let StoreError::Damaged { detail, .. } = &error {
                seen.note(&format!("{doing}: {detail}"));
            }
            error
        }
    }

    /// Remembers damage that whoever reads can name better.
    pub(super) fn note_damage(&self, what: &str) {
        self.seen.note(what);
    }

    /// Whether damage was not told yet; whoever asks tells it.
    pub(super) fn tell_damage(&self, what: &str) -> bool {
        self.seen.tell(what)
    }

    /// What was met since the file was opened that is damaged, the first hundred.
    pub(super) fn damage_seen(&self) -> Vec<String> {
        self.seen.all().keys().cloned().collect()
    }

    /// Runs `work` in a transaction that is durable when this returns `Ok`.
    ///
    /// `work` may run twice: once with what else is waiting and, if that group fails, once alone.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_or(work, None).await
    }

    /// `write`, with something else to be done on the writer thread if the transaction fails.
    pub(super) async fn write_or<T: Send + 'static>(
        &self,
        work: impl FnMut(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        rescue: Option<Rescue<T>>,
    ) -> Result<T, StoreError> {
        let rescue = match (&self.refused, rescue) {
            (Some(refused), Some(rescue)) => {
                let error = refused.0.clone();
                let rescued = tokio::task::spawn_blocking(move || rescue(error)).await;
                return rescued.unwrap_or_else(|_| Err(self.stopped()));
            }
            (_, rescue) => rescue,
        };
        let (job, answer) = Job::new(work, rescue);
        self.writer()?.send(job).await?;
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// The same for callers outside the runtime.
    pub(super) fn write_blocking<T: Send + 'static>(
        &self,
        work: impl FnMut(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.write_blocking_or(work, None)
    }

    /// `write_or` for callers outside the runtime.
    pub(super) fn write_blocking_or<T: Send + 'static>(
        &self,
        work: impl FnMut(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        rescue: Option<Rescue<T>>,
    ) -> Result<T, StoreError> {
        let rescue = match (&self.refused, rescue) {
            (Some(refused), Some(rescue)) => return rescue(refused.0.clone()),
            (_, rescue) => rescue,
        };
        let (job, answer) = Job::new(work, rescue);
        self.writer()?.send_blocking(job)?;
        answer
            .blocking_recv()
            .unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Reads with a connection of the pool. Blocks while all are in use.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self.refusal() {
            Some(error @ StoreError::NewerVersion { .. }) => Err(error.clone()),
            _ => self.pool.read(read),
        }
    }

    /// Why nothing is written to the file, if it was refused when it was opened.
    pub(super) fn refusal(&self) -> Option<&StoreError> {
        self.refused.as_ref().map(|refused| &refused.0)
    }

    /// Reads every page and holds indexes against their tables; what is wrong, the first hundred.
    /// Takes as long as the file is large.
    pub(super) fn problems(&self) -> Result<Vec<Damage>, StoreError> {
        let name = self.name();
        self.read(|c| {
            let mut damage = Vec::new();
            damage.extend(log::damage(self.path()).map(|what| Damage::of_file(&name, what)));
            let found = collect_problems(c, |text| damage.push(Damage::of_file(&name, text)));
            match found {
                Ok(()) => Ok(damage),
                Err(error) => match StoreError::from_sqlite(self.path(), "checking", error) {
                    StoreError::Damaged { detail, .. } => {
                        damage.push(Damage::of_file(&name, detail));
                        Ok(damage)
                    }
                    other => Err(other),
                },
            }
        })
    }

    /// The file's name without its folder.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map_or_else(
            || "store".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }

    /// Whether it was opened for reading only.
    pub(super) fn is_read_only(&self) -> bool {
        self.writer.is_none()
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.writer.as_deref().ok_or_else(|| match &self.refused {
            Some(refused) => refused.0.clone(),
            None => StoreError::ReadOnly {
                path: self.path().to_owned(),
            },
        })
    }

    fn stopped(&self) -> StoreError {
        StoreError::WriterStopped {
            path: self.path().to_owned(),
        }
    }
}

/// What to do with a file that has lost its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shorter {
    /// Writing to it would bury what is left.
    Refused,
    /// What is left can be read.
    Read,
}

/// A file says in its first bytes how long it is. One that lost its end would be taken for an empty
/// store, or found damaged only where somebody reads what is gone.
fn check_length(path: &Path, shorter: Shorter) -> Result<(), StoreError> {
    let Ok(mut file) = File::open(path) else {
        return Ok(());
    };
    let len = file.metadata().map_or(0, |metadata| metadata.len());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // With a log beside it, the end may not have been moved to the file yet.
    let has_log = std::fs::metadata(log).is_ok_and(|log| log.len() > 0);
    if len == 0 || has_log {
        return Ok(());
    }
    let mut header = [0_u8; 32];
    let is_whole = file.read_exact(&mut header).is_ok();
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        page => u64::from(page),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    let expected = page * u64::from(pages);
    let is_readable = is_whole && len >= page && shorter == Shorter::Read;
    if is_readable || (is_whole && len >= expected) {
        return Ok(());
    }
    Err(StoreError::damaged(
        path,
        format!("it is cut off: {len} of {expected} bytes"),
    ))
}

/// Each tree by the number of its first page, as SQLite's words name it, if the schema can be read.
fn trees(c: &Connection) -> BTreeMap<String, String> {
    let named = c
        .prepare("SELECT rootpage, type, name FROM sqlite_schema WHERE rootpage > 0")
        .and_then(|mut schema| {
            schema
                .query_map([], |row| {
                    let (root, kind, name): (i64, String, String) =
                        (row.get(0)?, row.get(1)?, row.get(2)?);
                    Ok((root.to_string(), format!("{kind} {name}")))
                })?
                .collect()
        });
    named.unwrap_or_default()
}

/// `Tree 12 page 40: …` with the name of the table or index.
fn with_name(line: &str, trees: &BTreeMap<String, String>) -> String {
    let tree = line
        .strip_prefix("Tree ")
        .and_then(|rest| rest.split_once(' '))
        .and_then(|(root, rest)| Some((trees.get(root)?, rest)));
    tree.map_or_else(|| line.to_owned(), |(name, rest)| format!("{name}: {rest}"))
}

fn collect_problems(c: &Connection, mut take: impl FnMut(String)) -> rusqlite::Result<()> {
    let trees = trees(c);
    let mut statement = c.prepare(&format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        // A row may tell of several pages, a line each.
        for line in row.get_ref(0)?.as_str()?.lines() {
            if line != "ok" && !line.starts_with("***") {
                take(with_name(line, &trees));
            }
        }
    }
    Ok(())
}

/// Removes a file with all that lies beside it, as far as that goes.
pub(super) fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        std::fs::remove_file(path).ok();
    }
}

/// Takes the writer's lock. The system releases it when the process ends, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let not_writable = |error: std::io::Error| StoreError::NotWritable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name))
        .map_err(not_writable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(not_writable(error)),
    }
}

/// As the readers of the pool are.
pub(super) fn configure_reader(connection: &Connection) -> rusqlite::Result<()> {
    configure(connection, READER_CACHE_KIB)
}

fn configure(connection: &Connection, cache_kib: u32) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.execute_batch(&format!(
        "PRAGMA cache_size=-{cache_kib}; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;"
    ))
}

fn migrate(
    path: &Path,
    connection: &mut Connection,
    migrations: &[&'static str],
) -> Result<(), StoreError> {
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| StoreError::from_sqlite(path, "reading the version", error))?;
    if usize::try_from(found).unwrap_or(usize::MAX) > migrations.len() {
        return Err(StoreError::unknown_version(path, found, migrations.len()));
    }
    Migrations::new(migrations.iter().map(|sql| M::up(sql)).collect())
        .to_latest(connection)
        .map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => {
                StoreError::from_sqlite(path, "migrating", err)
            }
            other => StoreError::damaged(path, other.to_string()),
        })
}
