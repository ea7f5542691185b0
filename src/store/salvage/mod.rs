//! Saving what can be read of damaged files into new ones.
//!
//! The files are read page by page without SQLite, which gives up a whole tree where one page of it is
//! damaged. Rows of every page that can be read are taken; a reading only if its checksum fits. What is
//! missing is named by the rows before and after it. The result is a backup, for `qiliang restore`.

mod pages;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use rusqlite::types::Value;

use self::pages::Pages;
use self::tree::{Gap, Record, Walker};
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::store::backup::{self, ASIDE, BackupError, FILES, io_error};
use crate::store::damage::Damage;
use crate::store::error::{StoreError, VERSIONS_AHEAD_MAX};
use crate::store::journal::{self, Journal, StoredReading, of_inbox};
use crate::store::{book, database};

/// Readings written in one transaction.
const ROWS_MAX: usize = 5_000;
/// Written anew from the readings, or part of them.
const DERIVED: [&str; 6] = [
    "presence",
    "presence_far",
    "latest",
    "inbox",
    "inbox_moved",
    "aside",
];
/// What was found is told in this file, too.
pub const REPORT: &str = "salvage.txt";

/// What was saved, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Salvage {
    /// Rows saved, by file and table.
    pub saved: BTreeMap<(&'static str, String), u64>,
    /// What could not be read.
    pub lost: Vec<Damage>,
}

/// Reads the files of `data_dir`, whatever state they are in, and writes what they have into the new
/// folder `to`, a backup. Nothing in `data_dir` is changed. Blocks.
///
/// # Errors
/// `Exists`, `Locked` while a daemon runs there, no space, `NewerVersion`.
pub fn salvage(
    data_dir: &Path,
    to: &Path,
    clock: GasDayClock,
    now: DateTime<Utc>,
) -> Result<Salvage, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists {
            path: to.to_owned(),
        });
    }
    let mut locks = Vec::new();
    for name in FILES {
        locks.push(database::lock(&data_dir.join(name))?);
    }
    fs::create_dir_all(to).map_err(io_error(to, "creating the folder"))?;
    let mut found = Salvage::default();
    let jobs = [
        (FILES[0], journal::MIGRATIONS),
        (ASIDE, journal::ASIDE_MIGRATIONS),
        (FILES[1], book::MIGRATIONS),
    ];
    for (name, migrations) in jobs {
        let path = data_dir.join(name);
        if name == ASIDE && !path.exists() {
            continue;
        }
        let pages = Pages::open(&path).map_err(io_error(&path, "reading"))?;
        let mut file = FileJob {
            name,
            source: &path,
            target: &to.join(name),
            pages: &pages,
            found: &mut found,
            readings: Vec::new(),
            aside: Vec::new(),
        };
        file.run(migrations, clock)?;
        if name == ASIDE {
            file.take_in(&to.join(FILES[0]), clock)?;
        }
    }
    let saved = found.saved.iter();
    let saved = saved.map(|((file, table), rows)| format!("saved: {file}: {table}: {rows} rows\n"));
    let lost = found.lost.iter().map(|lost| format!("lost: {lost}\n"));
    let text: String = saved.chain(lost).collect();
    let report = to.join(REPORT);
    fs::write(&report, text).map_err(io_error(&report, "writing the report"))?;
    backup::seal(to, now)?;
    drop(locks);
    Ok(found)
}

struct FileJob<'a> {
    name: &'static str,
    source: &'a Path,
    target: &'a Path,
    pages: &'a Pages,
    found: &'a mut Salvage,
    readings: Vec<StoredReading>,
    /// Readings that were never at their place.
    aside: Vec<StoredReading>,
}

/// A table of the new file.
struct Table {
    name: String,
    /// Columns in the order in which a record has them.
    columns: Vec<String>,
    /// The column that the row number stands for.
    rowid: Option<usize>,
}

impl FileJob<'_> {
    fn run(&mut self, migrations: &[&'static str], clock: GasDayClock) -> Result<(), BackupError> {
        let known = migrations.len();
        let version = self.pages.version.and_then(|v| usize::try_from(v).ok());
        let version = match version {
            // A header that tells of a thousand migrations is damaged; one of a few more is newer.
            Some(found) if found > known && found < known + VERSIONS_AHEAD_MAX => {
                return Err(BackupError::Store(StoreError::NewerVersion {
                    path: self.source.to_owned(),
                    found,
                    known,
                }));
            }
            Some(found) if (1..=known).contains(&found) => found,
            _ => {
                self.lose(
                    None,
                    "the first page is damaged: taken for the newest schema",
                );
                known
            }
        };
        let fail = |error| StoreError::from_sqlite(self.target, "writing the new file", error);
        let new = Connection::open(self.target).map_err(fail)?;
        let made = new
            .execute_batch("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA synchronous=OFF;")
            .and_then(|()| {
                migrations
                    .iter()
                    .take(version)
                    .try_for_each(|sql| new.execute_batch(sql))
            })
            .and_then(|()| {
                new.pragma_update(None, "user_version", u32::try_from(version).unwrap_or(0))
            });
        made.map_err(fail)?;
        let roots = self.roots();
        let pages = self.pages;
        let mut walker = Walker::new(pages);
        let mut is_whole = true;
        let tables = tables(&new).map_err(fail)?;
        for table in tables {
            let Some(root) = roots.get(&table.name) else {
                self.lose(Some(&table.name), "nothing leads to the table any more");
                is_whole = false;
                continue;
            };
            let gaps = self
                .table(&new, &table, *root, &mut walker)
                .map_err(|error| StoreError::from_sqlite(self.target, "writing a row", error))?;
            is_whole &= gaps == 0;
        }
        drop(new);
        if self.name == FILES[0] {
            if !is_whole {
                for root in roots.values() {
                    // Indexes too, so that what is left are pages nothing leads to.
                    if !walker.seen.contains(root) {
                        walker.walk(*root, &mut |_| {});
                    }
                }
                self.orphans(&walker);
            }
            self.write_readings(clock)?;
        }
        Ok(())
    }

    fn lose(&mut self, table: Option<&str>, reason: &str) {
        let reason = table.map_or_else(|| reason.to_owned(), |table| format!("{table}: {reason}"));
        self.found.lost.push(Damage::of_file(self.name, reason));
    }

    /// First page of each tree, as the schema says.
    fn roots(&mut self) -> BTreeMap<String, u32> {
        let mut roots = BTreeMap::new();
        let gaps = Walker::new(self.pages).walk(1, &mut |record| {
            if let [_, Value::Text(name), _, Value::Integer(root), ..] = record.columns.as_slice()
                && let Ok(root) = u32::try_from(*root)
            {
                roots.insert(name.clone(), root);
            }
        });
        for gap in gaps {
            self.lose(None, &format!("schema: page {}: {}", gap.page, gap.reason));
        }
        roots
    }

    /// Copies the rows of a table; how many gaps there were.
    fn table(
        &mut self,
        new: &Connection,
        table: &Table,
        root: u32,
        walker: &mut Walker<'_>,
    ) -> rusqlite::Result<usize> {
        let is_journal = self.name == FILES[0];
        let mut saved = 0_u64;
        let mut refused = 0_u64;
        let mut failed = None;
        let mut readings = Vec::new();
        let mut aside = Vec::new();
        new.execute_batch("BEGIN")?;
        let gaps = walker.walk(root, &mut |record| {
            if failed.is_some() {
                return;
            }
            if is_journal && table.name == "readings" {
                match reading_of(record) {
                    Some(reading) => readings.push(reading),
                    None => refused += 1,
                }
                return;
            }
            if is_journal && (table.name == "inbox" || table.name == "aside") {
                let is_aside = table.name == "aside";
                let heap = if is_aside { &mut aside } else { &mut readings };
                match record.columns.last() {
                    Some(Value::Blob(bytes)) => match of_inbox(bytes) {
                        Some(more) => heap.extend(more),
                        None => refused += 1,
                    },
                    _ => refused += 1,
                }
                return;
            }
            if is_journal && DERIVED.contains(&table.name.as_str()) {
                return;
            }
            match insert(new, table, record) {
                Ok(true) => saved += 1,
                Ok(false) => refused += 1,
                Err(error) => failed = Some(error),
            }
        });
        new.execute_batch("COMMIT")?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.readings.append(&mut readings);
        self.aside.append(&mut aside);
        if !(is_journal && DERIVED.contains(&table.name.as_str())) && saved > 0 {
            self.found
                .saved
                .insert((self.name, table.name.clone()), saved);
        }
        if refused > 0 {
            self.lose(
                Some(&table.name),
                &format!("{refused} row(s) that no program writes"),
            );
        }
        for gap in &gaps {
            let between = described(table, gap);
            self.lose(
                Some(&table.name),
                &format!("{between}: page {}: {}", gap.page, gap.reason),
            );
        }
        Ok(gaps.len())
    }

    /// Readings of pages that no tree leads to any more: only what a checksum vouches for.
    fn orphans(&mut self, walker: &Walker<'_>) {
        for page in self.pages.numbers() {
            if !walker.seen.contains(&page) {
                let readings = &mut self.readings;
                walker.orphan(page, &mut |record| {
                    readings.extend(reading_of(record).filter(|r| r.body.first() == Some(&2)));
                });
            }
        }
    }

    fn write_readings(&mut self, clock: GasDayClock) -> Result<(), BackupError> {
        let readings = std::mem::take(&mut self.readings);
        let aside = std::mem::take(&mut self.aside);
        let journal = Journal::open(self.target, in_file(self.target, clock)?)?;
        let mut saved = 0;
        for (readings, are_new) in [(readings, false), (aside, true)] {
            saved += self.write_heap(&journal, readings, are_new)?;
        }
        self.found
            .saved
            .insert((self.name, "readings".to_owned()), saved);
        journal.mark_days_without_curves()?;
        journal.cut_log()?;
        Ok(())
    }

    /// The new journal takes what was set aside when it is opened beside the file.
    fn take_in(&mut self, journal: &Path, clock: GasDayClock) -> Result<(), BackupError> {
        let taken = Journal::open(journal, in_file(journal, clock)?)?;
        for what in taken.damage_seen() {
            self.lose(None, &what);
        }
        taken.mark_days_without_curves()?;
        drop(taken);
        // What is left in it cannot be read, and was named.
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut path = self.target.as_os_str().to_owned();
            path.push(suffix);
            fs::remove_file(path).ok();
        }
        Ok(())
    }

    /// Writes readings, and tells of those that are not what was written; how many were written.
    fn write_heap(
        &mut self,
        journal: &Journal,
        readings: Vec<StoredReading>,
        are_new: bool,
    ) -> Result<u64, BackupError> {
        let (sound, damaged): (Vec<_>, Vec<_>) =
            readings.into_iter().partition(StoredReading::is_sound);
        for reading in damaged {
            let day = journal.day_of_ms(reading.at);
            let meter = journal.name_of(reading.number)?;
            self.found.lost.push(Damage::of_day(
                self.name,
                "readings",
                day,
                meter,
                "its bytes are not those that were written",
            ));
        }
        let count = sound.len() as u64;
        let mut sound = sound.into_iter().peekable();
        while sound.peek().is_some() {
            journal.put_salvaged(sound.by_ref().take(ROWS_MAX).collect(), are_new)?;
        }
        Ok(count)
    }
}

/// How gas days are cut in a file: as was saved, or else as is asked.
fn in_file(path: &Path, asked: GasDayClock) -> Result<GasDayClock, StoreError> {
    let fail = |error| StoreError::from_sqlite(path, "reading the gas day", error);
    let c = Connection::open(path).map_err(fail)?;
    let mut statement = c
        .prepare("SELECT value FROM meta WHERE key = 'gas_day_start_hour'")
        .map_err(fail)?;
    let mut rows = statement.query([]).map_err(fail)?;
    let text: Option<String> = match rows.next().map_err(fail)? {
        Some(row) => row.get(0).map_err(fail)?,
        None => None,
    };
    let saved = text.and_then(|text| text.parse().ok());
    let saved = saved.filter(|hour| *hour < 24);
    Ok(saved.map_or(asked, |start_hour| GasDayClock { start_hour }))
}

fn reading_of(record: &Record) -> Option<StoredReading> {
    match record.columns.as_slice() {
        [
            Value::Integer(_),
            Value::Integer(number),
            Value::Integer(at),
            Value::Integer(received_at),
            Value::Blob(body),
        ] => Some(StoredReading {
            number: *number,
            at: *at,
            received_at: *received_at,
            body: body.clone(),
        }),
        _ => None,
    }
}

/// Writes a row; false if the table does not take it.
fn insert(new: &Connection, table: &Table, record: &Record) -> rusqlite::Result<bool> {
    let mut values = record.columns.clone();
    if values.len() > table.columns.len() {
        return Ok(false);
    }
    if let (Some(index), Some(rowid)) = (table.rowid, record.rowid)
        && let Some(value) = values.get_mut(index)
    {
        *value = Value::Integer(rowid);
    }
    let columns = table.columns.get(..values.len()).unwrap_or_default();
    let places = vec!["?"; values.len()].join(", ");
    let sql = format!(
        "INSERT OR REPLACE INTO {} ({}) VALUES ({places})",
        table.name,
        columns.join(", ")
    );
    match new
        .prepare_cached(&sql)?
        .execute(rusqlite::params_from_iter(values))
    {
        Ok(_) => Ok(true),
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
                || error.sqlite_error_code() == Some(rusqlite::ErrorCode::TypeMismatch) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn tables(new: &Connection) -> rusqlite::Result<Vec<Table>> {
    let mut schema = new.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )?;
    let named: Vec<(String, String)> = schema
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut tables = Vec::new();
    for (name, sql) in named {
        let mut info = new.prepare(&format!("PRAGMA table_info({name})"))?;
        let mut columns: Vec<(String, String, i64)> = info
            .query_map([], |row| Ok((row.get(1)?, row.get(2)?, row.get(5)?)))?
            .collect::<Result<_, _>>()?;
        let is_clustered = sql.contains("WITHOUT ROWID");
        if is_clustered {
            // The key first, in its order; a stable sort keeps the rest in theirs.
            columns.sort_by_key(|(_, _, key)| if *key == 0 { i64::MAX } else { *key });
        }
        let rowid = columns
            .iter()
            .position(|(_, kind, key)| !is_clustered && *key == 1 && kind == "INTEGER");
        tables.push(Table {
            name,
            columns: columns.into_iter().map(|(name, _, _)| name).collect(),
            rowid,
        });
    }
    Ok(tables)
}

/// Which rows a gap may have held.
fn described(table: &Table, gap: &Gap) -> String {
    let is = |index: usize, name: &str| table.columns.get(index).is_some_and(|c| c == name);
    let side = |record: &Option<Record>, none: &str| match record {
        None => none.to_owned(),
        Some(record) => {
            let key = record.columns.iter().take(3).map(|value| match value {
                Value::Integer(number) => number.to_string(),
                Value::Text(text) => text.clone(),
                _ => "…".to_owned(),
            });
            let mut key: Vec<String> = key.collect();
            if is(0, "day")
                && let Some(Value::Integer(day)) = record.columns.first()
                && let (Ok(day), Some(first)) = (i32::try_from(*day), key.first_mut())
            {
                *first = format!("gas day {}", GasDay::from_epoch_day(day));
            }
            if is(1, "meter")
                && let Some(second) = key.get_mut(1)
            {
                *second = format!("meter {second}");
            }
            format!("({})", key.join(", "))
        }
    };
    format!(
        "rows after {} and before {}",
        side(&gap.before, "its first"),
        side(&gap.after, "its end")
    )
}
