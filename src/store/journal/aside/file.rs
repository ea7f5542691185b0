//! One of the files beside the journal: deliveries that the journal could not take, each commit a row.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use super::super::{Cache, JournalEntry, ingest, past_damage};
use super::heap::Heap;
use super::record;
use crate::domain::calendar::GasDayClock;
use crate::store::damage::Damage;
use crate::store::database::{self, Database};
use crate::store::error::StoreError;

pub(in crate::store) const MIGRATIONS: &[&str] = &[include_str!("file.sql")];

/// Key in `meta` of the journal, with the file's identity behind it: the last entry that was taken. Programs
/// before there could be several files kept both in the value.
const KEY: &str = "aside";

/// A file; made when something is to be written to it.
#[derive(Debug)]
pub(super) struct OneFile {
    path: PathBuf,
    database: Option<Database>,
    /// Deliveries in it that the journal does not have.
    heap: Heap,
    /// Why nothing is read from it, or written to it, any more.
    refused: Option<StoreError>,
}

/// An entry of the file.
struct Stored {
    id: i64,
    count: u64,
    /// None if the bytes are not those that were written.
    entries: Option<Vec<JournalEntry>>,
}

/// What became of taking in a file.
pub(super) enum Taken {
    /// The journal has all of it, and it is gone.
    Whole,
    /// Part of it cannot be read; it stays.
    Part(Damage),
}

impl OneFile {
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path,
            database: None,
            heap: Heap::default(),
            refused: None,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub(super) const fn heap(&self) -> &Heap {
        &self.heap
    }

    pub(super) const fn refusal(&self) -> Option<&StoreError> {
        self.refused.as_ref()
    }

    /// Nothing is read from it or written to it any more.
    pub(super) fn refuse(&mut self, error: StoreError) {
        self.heap = Heap::default();
        self.database = None;
        self.refused = Some(error);
    }

    /// Keeps what one commit brought; durable when this returns `Ok`.
    pub(super) fn write(&mut self, entries: &[JournalEntry]) -> Result<(), StoreError> {
        let fail = |error| StoreError::from_sqlite(&self.path, "setting deliveries aside", error);
        let (body, checksum) = record::encode(entries).map_err(fail)?;
        let database = self.opened()?;
        let fail = database.error("setting deliveries aside");
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        database.write_blocking(move |t| {
            t.prepare_cached("INSERT INTO entries (count, checksum, body) VALUES (?1, ?2, ?3)")
                .and_then(|mut insert| insert.execute(params![count, checksum, body]))
                .map(drop)
                .map_err(&fail)
        })?;
        for entry in entries {
            self.heap.add(entry);
        }
        Ok(())
    }

    fn opened(&mut self) -> Result<&Database, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => Database::open(&self.path, MIGRATIONS, |_| Ok(()), || false)?,
        };
        Ok(self.database.insert(database))
    }

    /// Opens it beside whoever writes to it.
    pub(super) fn open_read_only(&mut self) -> Result<(), StoreError> {
        self.database = Some(Database::open_read_only(&self.path, MIGRATIONS)?);
        Ok(())
    }

    /// Looks what is in it; `journal` says what of it was taken, if it can be read.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(super) fn count(&mut self, journal: Option<&Connection>) -> Result<(), StoreError> {
        let database = self.opened()?.clone();
        let (_, through) = position(&database, journal)?;
        self.heap = heap_after(&database, through)?;
        Ok(())
    }

    /// Commits to the journal what is here, and removes the file once nothing is left in it.
    ///
    /// # Errors
    /// The journal refuses, or this file cannot be read; what is not taken stays.
    pub(super) fn take_in(
        &mut self,
        journal: &Path,
        c: &Connection,
        clock: GasDayClock,
    ) -> Result<Taken, StoreError> {
        let database = self.opened()?.clone();
        let (identity, through) = position(&database, Some(c))?;
        let fail = |error| StoreError::from_sqlite(journal, "taking what was set aside", error);
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
        self.heap = Heap::default();
        if unreadable > 0 {
            let lost = format!("{unreadable} deliveries set aside in it are not what was written");
            return Ok(Taken::Part(Damage::of_file(&database.name(), lost)));
        }
        drop(database);
        self.database = None;
        // One that cannot be removed does no harm: the journal knows that it has all of it.
        database::remove(&self.path);
        Ok(Taken::Whole)
    }

    /// Hands every delivery in it that the journal does not have to `take`.
    pub(super) fn for_each(
        &self,
        journal: &Connection,
        take: &mut dyn FnMut(JournalEntry),
    ) -> Result<(), StoreError> {
        let Some(database) = &self.database else {
            return Ok(());
        };
        let (_, mut id) = position(database, Some(journal))?;
        while let Some(stored) = next(database, id)? {
            id = stored.id;
            stored.entries.into_iter().flatten().for_each(&mut *take);
        }
        Ok(())
    }

    /// What is wrong with it.
    pub(super) fn damage(&self) -> Result<Vec<Damage>, StoreError> {
        let Some(database) = &self.database else {
            let refused = self.refused.as_ref();
            let refused = refused.map(|error| Damage::of_file(&self.name(), error.to_string()));
            return Ok(refused.into_iter().collect());
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

/// The file's identity, and up to which entry of it the journal has it.
fn position(
    database: &Database,
    journal: Option<&Connection>,
) -> Result<(String, i64), StoreError> {
    let fail = database.error("reading whose file it is");
    let identity = database.read(|c| {
        c.query_row("SELECT id FROM identity", [], |row| row.get::<_, String>(0))
            .optional()
            .map_err(&fail)
    })?;
    let identity = identity.unwrap_or_default();
    // Of a journal that cannot say, nothing of the file is taken to be in it: what is taken twice is joined.
    let value = |key: &str| {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let value = journal?.query_row(sql, [key], |row| row.get::<_, String>(0));
        value.ok()
    };
    let through = value(&key_of(&identity)).and_then(|id| id.parse().ok());
    let through = through.or_else(|| {
        let known = value(KEY)?;
        let (of, id) = known.split_once(' ')?;
        (of == identity).then(|| id.parse().ok())?
    });
    Ok((identity, through.unwrap_or(0)))
}

fn key_of(identity: &str) -> String {
    format!("{KEY} {identity}")
}

fn note(t: &Transaction<'_>, identity: &str, id: i64) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
    )?
    .execute(params![key_of(identity), id.to_string()])
    .map(drop)
}

fn heap_after(database: &Database, through: i64) -> Result<Heap, StoreError> {
    let fail = database.error("counting what was set aside");
    database.read(|c| {
        let read = || -> rusqlite::Result<Heap> {
            let mut heap = Heap::default();
            let mut statement =
                c.prepare("SELECT count, checksum, body FROM entries WHERE id > ?1 ORDER BY id")?;
            let mut rows = statement.query([through])?;
            while let Some(row) = rows.next()? {
                let body = row.get_ref(2)?.as_blob()?;
                if !record::look(body, row.get(1)?, &mut heap) {
                    heap.unreadable += row.get::<_, i64>(0)?.cast_unsigned();
                }
            }
            Ok(heap)
        };
        read().map_err(&fail)
    })
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
