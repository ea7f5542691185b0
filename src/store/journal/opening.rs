//! Opening a journal: for writing, for reading beside whoever writes, and where it is damaged.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::aside::beside::AsideFiles;
use super::ingest::Place;
use super::many::CurveWrites;
use super::{Cache, Journal, MIGRATIONS, aside, ingest, locked};
use crate::domain::calendar::GasDayClock;
use crate::store::database::Database;
use crate::store::error::StoreError;

impl Journal {
    /// Opens the journal for writing, making and migrating it as needed.
    ///
    /// # Errors
    /// `NotWritable`, `Locked` by another process, `NewerVersion`, `OtherGasDay`, `Damaged`.
    pub fn open(path: impl AsRef<Path>, clock: GasDayClock) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let cache = Arc::new(Mutex::new(Cache::default()));
        let of_writer = Arc::clone(&cache);
        let forget = move || {
            let mut cache = locked(&of_writer);
            cache.forget();
            cache.damaged.learn()
        };
        let mut aside = AsideFiles::beside(path);
        let mut damage = Vec::new();
        let prepare = |c: &Connection| {
            prepare(path, c, clock)?;
            let error = |error| StoreError::from_sqlite(path, "emptying the inbox", error);
            aside.count(Some(c))?;
            let opened = empty_inbox(c, clock).map_err(error);
            let opened = opened.and_then(|()| aside.take_in(path, c, clock));
            match opened {
                Ok(unreadable) => damage.extend(unreadable.iter().map(ToString::to_string)),
                // All of it waits for the file to be mended; what comes meanwhile is set aside, too.
                Err(error @ StoreError::Damaged { .. }) => {
                    damage.push(error.to_string());
                    aside.refuse(error);
                }
                Err(error) => return Err(error),
            }
            Ok(())
        };
        let database = Database::open(path, MIGRATIONS, prepare, forget)?;
        for what in damage {
            database.note_damage(&what);
        }
        Self::of(database, clock, cache, aside)
    }

    /// A journal that `open` found damaged or a newer program's, for a daemon that has to go on: nothing is written to the file,
    /// every delivery is set aside in the one beside it, and queries answer what can be read.
    ///
    /// # Errors
    /// `Locked`, `NotWritable`.
    pub fn open_refused(
        path: impl AsRef<Path>,
        clock: GasDayClock,
        error: StoreError,
    ) -> Result<Self, StoreError> {
        let mut aside = AsideFiles::beside(path.as_ref());
        let database = Database::open_refused(path.as_ref(), error.clone())?;
        let counted = database
            .read(|c| Ok(aside.count(Some(c))))
            .unwrap_or_else(|_| aside.count(None));
        counted?;
        aside.refuse(error);
        Self::of(database, clock, Arc::default(), aside)
    }

    fn of(
        database: Database,
        clock: GasDayClock,
        cache: Arc<Mutex<Cache>>,
        aside: AsideFiles,
    ) -> Result<Self, StoreError> {
        let journal = Self {
            database,
            clock,
            cache,
            names: Arc::default(),
            curve_writes: CurveWrites::default(),
            aside: Arc::new(Mutex::new(aside)),
        };
        let newest = journal.read("reading marks", |c| {
            c.query_row(
                "SELECT max(coalesce((SELECT max(mark) FROM dirty), 0),
                            coalesce((SELECT max(mark) FROM stale_demand), 0))",
                [],
                |row| row.get::<_, i64>(0),
            )
        });
        let newest = match newest {
            // Later than any that was ever made; of a file that takes nothing it does not matter.
            Err(error) if error.is_of_file() => journal
                .read("reading the time", |c| {
                    c.query_row("SELECT unixepoch() * 1000", [], |row| row.get(0))
                })
                .unwrap_or(0),
            newest => newest?,
        };
        locked(&journal.cache).mark = newest + 1;
        Ok(journal)
    }

    /// Opens an existing journal for reading, also while the daemon writes to it.
    ///
    /// # Errors
    /// `NotWritable` if there is none or it needs migrating, `NewerVersion`, `OtherGasDay`, `Damaged`.
    pub fn open_read_only(path: impl AsRef<Path>, clock: GasDayClock) -> Result<Self, StoreError> {
        let journal = Self {
            database: Database::open_read_only(path.as_ref(), MIGRATIONS)?,
            clock,
            cache: Arc::default(),
            names: Arc::default(),
            curve_writes: CurveWrites::default(),
            aside: Arc::new(Mutex::new(AsideFiles::beside(path.as_ref()))),
        };
        let found = journal.read("reading the gas day's start hour", start_hour)?;
        check_start_hour(path.as_ref(), found.unwrap_or(clock.start_hour), clock)?;
        journal.database.read(|c| locked(&journal.aside).look(c))?;
        Ok(journal)
    }
}

/// Rows are clustered by gas day, so the start hour belongs to the file.
fn prepare(path: &Path, c: &Connection, clock: GasDayClock) -> Result<(), StoreError> {
    let error = |error| StoreError::from_sqlite(path, "preparing the journal", error);
    if let Some(found) = start_hour(c).map_err(error)? {
        return check_start_hour(path, found, clock);
    }
    c.execute(
        "INSERT INTO meta VALUES ('gas_day_start_hour', ?1)",
        [clock.start_hour.to_string()],
    )
    .map(drop)
    .map_err(error)
}

/// Does work in a transaction of its own, and again without each place that it finds damaged.
pub(super) fn past_damage<T>(
    c: &Connection,
    cache: &mut Cache,
    work: impl Fn(&Transaction<'_>, &mut Cache) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    loop {
        let t = c.unchecked_transaction()?;
        match work(&t, cache) {
            Ok(done) => return t.commit().map(|()| done),
            Err(error) => {
                t.rollback()?;
                cache.forget();
                if !cache.damaged.learn() {
                    return Err(error);
                }
            }
        }
    }
}

/// Puts at its place what a crash left in the inbox, and what was set aside.
fn empty_inbox(c: &Connection, clock: GasDayClock) -> rusqlite::Result<()> {
    past_damage(c, &mut Cache::default(), |t, cache| {
        ingest::commit(t, cache, clock, &[], Place::Now)?;
        aside::retry(t, cache, clock)
    })
}

fn start_hour(c: &Connection) -> rusqlite::Result<Option<u32>> {
    let text: Option<String> = c
        .query_row(
            "SELECT value FROM meta WHERE key = 'gas_day_start_hour'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(text.and_then(|text| text.parse().ok()))
}

fn check_start_hour(path: &Path, found: u32, clock: GasDayClock) -> Result<(), StoreError> {
    if found == clock.start_hour {
        return Ok(());
    }
    Err(StoreError::OtherGasDay {
        path: path.to_owned(),
        found,
        asked: clock.start_hour,
    })
}
