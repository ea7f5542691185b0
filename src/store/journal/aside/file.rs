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

    /// Keeps what the journal could not take, if that is because of its file.
    ///
    /// # Errors
    /// Why the journal could not, or what is wrong with this file; nothing may be acknowledged then.
    pub(in crate::store::journal) fn keep(
        &mut self,
        entries: &[JournalEntry],
        error: StoreError,
    ) -> Result<CommitReport, StoreError> {
        if !error.is_of_file() {
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
        journal: &Path,
        c: &Connection,
        clock: GasDayClock,
    ) -> Result<Vec<Damage>, StoreError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
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

    /// Counts what is in it, if there is such a file; `journal` says what of it was taken, if it can be read.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(in crate::store::journal) fn count(
        &mut self,
        journal: Option<&Connection>,
    ) -> Result<(), StoreError> {
        if !self.path.exists() {
            return Ok(());
        }
        let database = self.opened()?.clone();
        let (_, through) = position(&database, journal)?;
        self.waiting = waiting_after(&database, through)?;
        Ok(())
    }

    /// The same beside whoever writes to it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(in crate::store::journal) fn look(
        &mut self,
        journal: &Connection,
    ) -> Result<(), StoreError> {
        if self.path.exists() {
            self.database = Some(Database::open_read_only(&self.path, MIGRATIONS)?);
        }
        self.count(Some(journal))
    }

    /// Whether an error is of the journal and not of this file.
    pub(in crate::store::journal) fn is_of_journal(&self, error: &StoreError) -> bool {
        !matches!(error, StoreError::Damaged { path, .. } if *path == self.path)
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
    let known = journal.and_then(|c| {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        c.query_row(sql, [KEY], |row| row.get::<_, String>(0)).ok()
    });
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

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::TimeDelta;
    use tempfile::TempDir;

    use super::*;
    use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
    use crate::store::backup;
    use crate::store::book::Book;
    use crate::store::journal::Journal;
    use crate::validate::rules::testing;

    fn entries(range: std::ops::Range<i64>) -> Vec<JournalEntry> {
        let reading = |k| {
            let mut reading = testing::total(1, k);
            reading.sampled_at += TimeDelta::seconds(k);
            JournalEntry::Reading {
                reading,
                findings: Vec::new(),
            }
        };
        range.map(reading).collect()
    }

    fn reject() -> JournalEntry {
        JournalEntry::Reject(RejectedFrame {
            frame: RawFrame {
                transport: Transport::Mqtt,
                origin: "up/x".to_owned(),
                device: None,
                bytes: vec![1, 2].into(),
                received_at: testing::total(1, 0).received_at,
            },
            meter: None,
            reason: RejectReason::new("decode.truncated", "it ends early"),
        })
    }

    /// A journal whose table of counters cannot be written, and its file as it was before.
    fn damaged(dir: &Path) -> (PathBuf, Vec<u8>) {
        let path = dir.join("readings.db");
        let journal = Journal::open(&path, GasDayClock::default()).unwrap();
        journal.commit_blocking(entries(0..10)).unwrap();
        drop(journal);
        let c = Connection::open(&path).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'counters'";
        let root: u32 = c.query_row(root, [], |row| row.get(0)).unwrap();
        drop(c);
        let sound = fs::read(&path).unwrap();
        let mut garbled = sound.clone();
        let at = (usize::try_from(root).unwrap() - 1) * 4_096;
        garbled[at..at + 12].fill(0xA5);
        fs::write(&path, garbled).unwrap();
        (path, sound)
    }

    fn open(path: &Path) -> Journal {
        Journal::open(path, GasDayClock::default()).unwrap()
    }

    #[test]
    fn what_the_journal_refused_comes_to_it_once() {
        let dir = TempDir::new().unwrap();
        let (path, sound) = damaged(dir.path());
        let journal = open(&path);
        // Known, new, and a frame that nobody takes.
        let mut batch = entries(5..15);
        batch.push(reject());
        let report = journal.commit_blocking(batch).unwrap();
        assert_eq!((report.set_aside, report.rejected), (10, 1));
        assert!(journal.refusal().is_some());
        journal.commit_blocking(entries(15..20)).unwrap();
        assert_eq!(journal.set_aside_len().unwrap(), 16);
        let beside = Journal::open_read_only(&path, GasDayClock::default()).unwrap();
        assert_eq!(beside.set_aside_len().unwrap(), 16);
        drop((journal, beside));
        // Not mended yet.
        let journal = open(&path);
        assert_eq!(journal.set_aside_len().unwrap(), 16);
        drop(journal);

        fs::write(&path, &sound).unwrap();
        let aside = path_beside(&path);
        let copy = fs::read(&aside).unwrap();
        // The second time is a kill before the file was removed.
        for _ in 0..2 {
            fs::write(&aside, &copy).unwrap();
            let journal = open(&path);
            assert_eq!(journal.set_aside_len().unwrap(), 0);
            assert_eq!(journal.refusal().map(|e| e.to_string()), None);
            let counters = journal.counters().unwrap();
            let counted = (counters.accepted, counters.duplicate, counters.rejected);
            assert_eq!(counted, (20, 5, 1));
            assert_eq!(journal.verify().unwrap(), 20);
            assert!(!aside.exists());
        }
    }

    #[test]
    fn what_is_changed_in_it_is_named_and_the_rest_taken() {
        let dir = TempDir::new().unwrap();
        let (path, sound) = damaged(dir.path());
        let journal = open(&path);
        journal.commit_blocking(entries(10..13)).unwrap();
        journal.commit_blocking(entries(13..20)).unwrap();
        drop(journal);
        let aside = path_beside(&path);
        let c = Connection::open(&aside).unwrap();
        c.execute("UPDATE entries SET body = zeroblob(9) WHERE id = 1", [])
            .unwrap();
        drop(c);
        let read_only = Journal::open_read_only(&path, GasDayClock::default()).unwrap();
        let damage = read_only.check().unwrap().damage;
        let is_named = |what: &str| damage.iter().any(|d| d.to_string().contains(what));
        assert!(
            is_named("3 deliveries are not what was written"),
            "{damage:?}"
        );
        drop(read_only);
        fs::write(&path, &sound).unwrap();
        let journal = open(&path);
        assert_eq!(journal.check().unwrap().readings, 17);
        let seen = journal.damage_seen();
        assert!(seen[0].contains("3 deliveries set aside in it"), "{seen:?}");
        assert!(aside.exists());
    }

    #[test]
    fn a_backup_has_it_and_a_restore_brings_it_back() {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        fs::create_dir_all(&data).unwrap();
        let (path, _) = damaged(&data);
        let journal = open(&path);
        let _book = Book::open(data.join("qiliang.db")).unwrap();
        journal.commit_blocking(entries(10..20)).unwrap();
        let (to, back) = (dir.path().join("copy"), dir.path().join("back"));
        let now = testing::total(1, 0).received_at;
        let manifest = backup::backup(&data, &to, now).unwrap();
        assert_eq!(manifest, backup::check(&to).unwrap());
        assert_eq!((manifest.form, manifest.files.len()), (2, 3));
        backup::restore(&to, &back, false, now).unwrap();
        let restored = open(&back.join("readings.db"));
        assert_eq!(restored.set_aside_len().unwrap(), 10);
        drop(restored);
        // Replaced by a store without one: the old one goes with its journal.
        let sound = dir.path().join("sound");
        fs::create_dir_all(&sound).unwrap();
        drop(open(&sound.join("readings.db")));
        drop(Book::open(sound.join("qiliang.db")).unwrap());
        backup::backup(&sound, &dir.path().join("other"), now).unwrap();
        let other = dir.path().join("other");
        let (_, moved) = backup::restore(&other, &back, true, now).unwrap();
        assert!(!back.join(backup::ASIDE).exists());
        assert!(moved.unwrap().join(backup::ASIDE).exists());
    }
}
