//! The file beside the journal that takes what the journal cannot.
//!
//! SQLite refuses to write where it meets a damaged page, and a commit cannot always do without it: a free page
//! that it needs, a page of one of the small tables, the header. Then the delivery goes here whole, in one
//! commit of a sound file, and may be acknowledged. When the journal is opened again each of them is committed
//! as if it came then; `meta` of the journal says in the same transaction how far that is, so that nothing is
//! taken twice, and the file is removed once nothing is left in it. `qiliang salvage` does the same to the
//! file that it writes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::super::{Cache, CommitReport, JournalEntry, ingest, past_damage};
use super::record;
use crate::domain::calendar::GasDayClock;
use crate::store::damage::Damage;
use crate::store::database::Database;
use crate::store::error::StoreError;

pub(in crate::store) const MIGRATIONS: &[&str] = &[include_str!("file.sql")];

/// After so long the journal is tried again, since not every commit meets what is damaged.
const TRY_AGAIN: Duration = Duration::from_mins(1);
/// Key in `meta` of the journal: the file's identity and the last entry that was taken.
const KEY: &str = "aside";

/// The file, made when it is first needed.
#[derive(Debug)]
pub(in crate::store::journal) struct AsideFile {
    path: PathBuf,
    database: Option<Database>,
    /// Deliveries in it that the journal does not have.
    waiting: u64,
    /// When and why the journal refused what it was to take.
    refused: Option<(Instant, StoreError)>,
}

/// An entry of the file.
struct Stored {
    id: i64,
    count: u64,
    /// None if the bytes are not those that were written.
    entries: Option<Vec<JournalEntry>>,
}

impl AsideFile {
    /// The one beside a journal, which need not be there.
    pub(in crate::store::journal) fn beside(journal: &Path) -> Self {
        Self {
            path: path_beside(journal),
            database: None,
            waiting: 0,
            refused: None,
        }
    }

    /// Deliveries that are in it alone.
    pub(in crate::store::journal) const fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Why the journal takes nothing at present, if so.
    pub(in crate::store::journal) fn refusal(&self) -> Option<&StoreError> {
        self.refused.as_ref().map(|(_, error)| error)
    }

    /// Whether the journal is to be tried.
    ///
    /// # Errors
    /// Why it refused a moment ago.
    pub(in crate::store::journal) fn pass(&self) -> Result<(), StoreError> {
        match &self.refused {
            Some((at, error)) if at.elapsed() < TRY_AGAIN => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// The journal takes what comes.
    pub(in crate::store::journal) fn taken(&mut self) {
        self.refused = None;
    }

    /// The journal cannot take anything.
    pub(in crate::store::journal) fn refuse(&mut self, error: StoreError) {
        self.refused = Some((Instant::now(), error));
    }

    /// Keeps what the journal could not take, if that is because it is damaged.
    ///
    /// # Errors
    /// Why the journal could not, or what is wrong with this file; nothing may be acknowledged then.
    pub(in crate::store::journal) fn keep(
        &mut self,
        entries: &[JournalEntry],
        error: StoreError,
    ) -> Result<CommitReport, StoreError> {
        if !matches!(error, StoreError::Damaged { .. }) {
            return Err(error);
        }
        if self.pass().is_ok() {
            self.refuse(error);
        }
        let rejected = entries
            .iter()
            .filter(|e| matches!(e, JournalEntry::Reject(_)));
        let rejected = rejected.count() as u64;
        let count = entries.len() as u64;
        if count > 0 {
            let fail =
                |error| StoreError::from_sqlite(&self.path, "setting deliveries aside", error);
            let (body, checksum) = record::encode(entries).map_err(fail)?;
            let database = self.opened()?;
            let fail = database.error("setting deliveries aside");
            database.write_blocking(move |t| {
                t.prepare_cached("INSERT INTO entries (count, checksum, body) VALUES (?1, ?2, ?3)")
                    .and_then(|mut insert| {
                        insert.execute(params![count.cast_signed(), checksum, body])
                    })
                    .map(drop)
                    .map_err(&fail)
            })?;
            self.waiting += count;
        }
        Ok(CommitReport {
            accepted: count - rejected,
            set_aside: count - rejected,
            rejected,
            ..CommitReport::default()
        })
    }

    fn opened(&mut self) -> Result<&Database, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::open(&self.path, MIGRATIONS, |_| Ok(()), || false)?,
        };
        Ok(self.database.insert(database))
    }

    /// Commits to the journal what is here, and removes the file once nothing is left in it; what of it cannot
    /// be read is told and stays.
    ///
    /// # Errors
    /// The journal refuses, or this file cannot be read; what is not taken stays.
    pub(in crate::store::journal) fn take_in(
        &mut self,
        c: &Connection,
        clock: GasDayClock,
    ) -> Result<Vec<Damage>, StoreError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let database = self.opened()?.clone();
        let (identity, through) = position(&database, c)?;
        self.waiting = waiting_after(&database, through)?;
        let fail = |error| StoreError::from_sqlite(&self.path, "taking what was set aside", error);
        let mut cache = Cache::default();
        let mut unreadable = 0;
        let mut id = i64::MIN;
        while let Some(stored) = next(&database, id)? {
            id = stored.id;
            let Some(entries) = stored.entries else {
                unreadable += stored.count;
                continue;
            };
            if id > through {
                past_damage(c, &mut cache, |t, cache| {
                    ingest::commit(t, cache, clock, &entries, ingest::Place::Now)?;
                    note(t, &identity, id)
                })
                .map_err(fail)?;
            }
        }
        self.waiting = 0;
        if unreadable > 0 {
            let lost = format!("{unreadable} deliveries set aside in it are not what was written");
            return Ok(vec![Damage::of_file(&database.name(), lost)]);
        }
        drop(database);
        self.database = None;
        self.remove();
        Ok(Vec::new())
    }

    /// Removes the file. One that cannot be removed does no harm: the journal knows that it has all of it.
    fn remove(&self) {
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.path.as_os_str().to_owned();
            path.push(suffix);
            std::fs::remove_file(path).ok();
        }
    }

    /// Looks at it beside whoever writes to it.
    pub(in crate::store::journal) fn look(&mut self, c: &Connection) -> Result<(), StoreError> {
        if !self.path.exists() {
            return Ok(());
        }
        let database = Database::open_read_only(&self.path, MIGRATIONS)?;
        let (_, through) = position(&database, c)?;
        self.waiting = waiting_after(&database, through)?;
        self.database = Some(database);
        Ok(())
    }

    /// What is wrong with it.
    pub(in crate::store::journal) fn damage(&self) -> Result<Vec<Damage>, StoreError> {
        let Some(database) = &self.database else {
            return Ok(Vec::new());
        };
        let mut damage = database.problems()?;
        let mut id = i64::MIN;
        loop {
            match next(database, id) {
                Ok(Some(stored)) => {
                    id = stored.id;
                    if stored.entries.is_none() {
                        let what = format!("{} deliveries are not what was written", stored.count);
                        damage.push(Damage::of_table(&database.name(), "entries", what));
                    }
                }
                Ok(None) => return Ok(damage),
                Err(error) => {
                    damage.push(Damage::of_file(&database.name(), error.to_string()));
                    return Ok(damage);
                }
            }
        }
    }
}

/// `readings-aside.db` of `readings.db`.
fn path_beside(journal: &Path) -> PathBuf {
    let mut name = journal.file_stem().unwrap_or_default().to_owned();
    name.push("-aside.db");
    journal.with_file_name(name)
}

/// The file's identity, and up to which entry of it the journal has it.
fn position(database: &Database, journal: &Connection) -> Result<(String, i64), StoreError> {
    let fail = database.error("reading whose file it is");
    let identity = database.read(|c| {
        c.query_row("SELECT id FROM identity", [], |row| row.get::<_, String>(0))
            .optional()
            .map_err(&fail)
    })?;
    let identity = identity.unwrap_or_default();
    // Of a journal that cannot say, nothing of the file is taken to be in it: what is taken twice is joined.
    let known: Option<String> = journal
        .query_row("SELECT value FROM meta WHERE key = ?1", [KEY], |row| {
            row.get(0)
        })
        .optional()
        .unwrap_or_default();
    let through = known.and_then(|known| {
        let (of, id) = known.split_once(' ')?;
        (of == identity).then(|| id.parse().ok())?
    });
    Ok((identity, through.unwrap_or(0)))
}

fn note(t: &Transaction<'_>, identity: &str, id: i64) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![KEY, format!("{identity} {id}")])
    .map(drop)
}

fn waiting_after(database: &Database, through: i64) -> Result<u64, StoreError> {
    let fail = database.error("counting what was set aside");
    database
        .read(|c| {
            c.query_row(
                "SELECT coalesce(sum(count), 0) FROM entries WHERE id > ?1",
                [through],
                |row| row.get::<_, i64>(0),
            )
            .map_err(&fail)
        })
        .map(i64::cast_unsigned)
}

fn next(database: &Database, after: i64) -> Result<Option<Stored>, StoreError> {
    let fail = database.error("reading what was set aside");
    database.read(|c| {
        c.prepare_cached(
            "SELECT id, count, checksum, body FROM entries WHERE id > ?1 ORDER BY id LIMIT 1",
        )
        .and_then(|mut select| {
            select
                .query_row([after], |row| {
                    let body = row.get_ref(3)?.as_blob()?;
                    Ok(Stored {
                        id: row.get(0)?,
                        count: row.get::<_, i64>(1)?.cast_unsigned(),
                        entries: record::decode(body, row.get(2)?),
                    })
                })
                .optional()
        })
        .map_err(&fail)
    })
}
