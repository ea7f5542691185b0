//! One damaged file, read page by page, and the new one that takes its rows.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::types::Value;

use super::Salvage;
use super::mended::in_file;
use super::pages::Pages;
use super::rows::{Shapes, Table, has_digest, is_sound, tables};
use super::tree::{Gap, Record, Walker};
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::store::backup::{BackupError, FILES, io_error};
use crate::store::damage::Damage;
use crate::store::database::{self, log};
use crate::store::error::{StoreError, VERSIONS_AHEAD_MAX};
use crate::store::journal::{Journal, StoredReading, of_inbox};

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

/// A file that is read, and the new one.
pub(super) struct FileJob<'a> {
    name: String,
    source: PathBuf,
    /// None if nothing is to be written.
    target: Option<PathBuf>,
    found: &'a mut Salvage,
    readings: Vec<StoredReading>,
    /// Readings that were never at their place.
    aside: Vec<StoredReading>,
    gaps: Gaps,
}

/// What could not be read of each table; none of a table that nothing leads to.
pub(super) type Gaps = BTreeMap<String, Vec<Gap>>;

impl<'a> FileJob<'a> {
    pub(super) fn new(data_dir: &Path, name: &str, to: &Path, found: &'a mut Salvage) -> Self {
        Self {
            target: Some(to.join(name)),
            ..Self::looking(data_dir, name, found)
        }
    }

    /// Counts what could be saved.
    pub(super) fn looking(data_dir: &Path, name: &str, found: &'a mut Salvage) -> Self {
        Self {
            name: name.to_owned(),
            source: data_dir.join(name),
            target: None,
            found,
            readings: Vec::new(),
            aside: Vec::new(),
            gaps: Gaps::new(),
        }
    }

    pub(super) fn into_gaps(self) -> Gaps {
        self.gaps
    }

    pub(super) fn run(
        &mut self,
        migrations: &[&'static str],
        clock: GasDayClock,
    ) -> Result<(), BackupError> {
        let pages = match Pages::open(&self.source) {
            Ok(pages) => pages,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.target.is_some() => {
                self.lose(None, "the file is not there: a new one is made");
                return self.create(migrations, migrations.len()).map(drop);
            }
            Err(error) => return Err(io_error(&self.source, "reading")(error)),
        };
        if let Some(damage) = log::damage(&self.source) {
            self.lose(None, &damage);
        }
        let version = self.version(&pages, migrations.len())?;
        let new = self.create(migrations, version)?;
        let fail = |error| StoreError::from_sqlite(&self.source, "writing the new file", error);
        let tables = tables(&new).map_err(fail)?;
        let roots = self.roots(&pages);
        let mut walker = Walker::new(&pages);
        let mut is_whole = true;
        for table in &tables {
            let Some(root) = roots.get(&table.name) else {
                self.lose(Some(&table.name), "nothing leads to the table any more");
                self.gaps.insert(table.name.clone(), Vec::new());
                is_whole = false;
                continue;
            };
            let gaps = self
                .table(&new, table, *root, &mut walker)
                .map_err(|error| StoreError::from_sqlite(&self.source, "writing a row", error))?;
            is_whole &= gaps.is_empty();
            if !gaps.is_empty() {
                self.gaps.insert(table.name.clone(), gaps);
            }
        }
        if !is_whole {
            for root in roots.values() {
                // Indexes too, so that what is left are pages nothing leads to.
                if !walker.seen.contains(root) {
                    walker.walk(*root, &mut |_| {});
                }
            }
        }
        if self.name == FILES[0] && self.target.is_some() {
            drop(new);
            if !is_whole {
                self.orphans(&pages, &walker);
            }
            return self.write_readings(clock);
        }
        if self.name != FILES[0] && !is_whole {
            self.stray_rows(&new, &tables, &pages, &walker)
                .map_err(|error| StoreError::from_sqlite(&self.source, "writing a row", error))?;
        }
        Ok(())
    }

    /// The schema of a file, as its header tells.
    fn version(&mut self, pages: &Pages, known: usize) -> Result<usize, BackupError> {
        let version = pages.version.and_then(|v| usize::try_from(v).ok());
        match version {
            // A header that tells of a thousand migrations is damaged; one of a few more is newer.
            Some(found) if found > known && found < known + VERSIONS_AHEAD_MAX => {
                Err(BackupError::Store(StoreError::NewerVersion {
                    path: self.source.clone(),
                    found,
                    known,
                }))
            }
            Some(found) if (1..=known).contains(&found) => Ok(found),
            _ => {
                self.lose(
                    None,
                    "the first page is damaged: taken for the newest schema",
                );
                Ok(known)
            }
        }
    }

    /// The new file without rows; in memory if nothing is to be written.
    fn create(
        &self,
        migrations: &[&'static str],
        version: usize,
    ) -> Result<Connection, BackupError> {
        let path = self.target.as_ref().unwrap_or(&self.source);
        let fail = |error| StoreError::from_sqlite(path, "writing the new file", error);
        let new = match &self.target {
            Some(target) => Connection::open(target),
            None => Connection::open_in_memory(),
        };
        let new = new.map_err(fail)?;
        new.execute_batch("PRAGMA auto_vacuum=INCREMENTAL; PRAGMA synchronous=OFF;")
            .and_then(|()| {
                migrations
                    .iter()
                    .take(version)
                    .try_for_each(|sql| new.execute_batch(sql))
            })
            .and_then(|()| {
                new.pragma_update(None, "user_version", u32::try_from(version).unwrap_or(0))
            })
            .map_err(fail)?;
        Ok(new)
    }

    fn lose(&mut self, table: Option<&str>, reason: &str) {
        let reason = table.map_or_else(|| reason.to_owned(), |table| format!("{table}: {reason}"));
        self.found.lost.push(Damage::of_file(&self.name, reason));
    }

    /// First page of each tree, as the schema says.
    fn roots(&mut self, pages: &Pages) -> BTreeMap<String, u32> {
        let mut roots = BTreeMap::new();
        let gaps = Walker::new(pages).walk(1, &mut |record| {
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

    /// Copies the rows of a table; what of it could not be read.
    fn table(
        &mut self,
        new: &Connection,
        table: &Table,
        root: u32,
        walker: &mut Walker<'_>,
    ) -> rusqlite::Result<Vec<Gap>> {
        let is_look = self.target.is_none();
        let is_journal = self.name == FILES[0] && !is_look;
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
            if is_look {
                saved += 1;
                return;
            }
            if has_digest(&table.name) && !is_sound(&table.name, record) {
                refused += 1;
                return;
            }
            match insert(new, table, record, OnConflict::Replace) {
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
                .insert((self.name.clone(), table.name.clone()), saved);
        }
        if refused > 0 {
            self.lose(
                Some(&table.name),
                &format!("{refused} row(s) that are not what was written"),
            );
        }
        for gap in &gaps {
            let between = described(table, gap);
            self.lose(
                Some(&table.name),
                &format!("{between}: page {}: {}", gap.page, gap.reason),
            );
        }
        Ok(gaps)
    }

    /// Rows of damaged tables on pages that no tree leads to any more.
    fn stray_rows(
        &mut self,
        new: &Connection,
        tables: &[Table],
        pages: &Pages,
        walker: &Walker<'_>,
    ) -> rusqlite::Result<()> {
        let shapes = Shapes::of(new, tables)?;
        let free = pages.free();
        for page in pages.numbers() {
            if walker.seen.contains(&page) || free.contains(&page) {
                continue;
            }
            let mut records = Vec::new();
            walker.orphan(page, &mut |record| records.push(record.clone()));
            let Some(table) = shapes.table_of(&records, |name| self.gaps.contains_key(name)) else {
                continue;
            };
            let mut taken = 0;
            for record in records
                .iter()
                .filter(|record| is_sound(&table.name, record))
            {
                let is_new =
                    self.target.is_none() || insert(new, table, record, OnConflict::Ignore)?;
                taken += u64::from(is_new);
            }
            if taken > 0 {
                let of = (self.name.clone(), table.name.clone());
                *self.found.saved.entry(of.clone()).or_default() += taken;
                *self.found.stray.entry(of).or_default() += taken;
            }
        }
        Ok(())
    }

    /// Readings of pages that no tree leads to any more: only what a checksum vouches for.
    fn orphans(&mut self, pages: &Pages, walker: &Walker<'_>) {
        for page in pages.numbers() {
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
        let Some(target) = self.target.clone() else {
            return Ok(());
        };
        let journal = Journal::open(&target, in_file(&target, clock)?)?;
        let mut saved = 0;
        for (readings, are_new) in [(readings, false), (aside, true)] {
            saved += self.write_heap(&journal, readings, are_new)?;
        }
        self.found
            .saved
            .insert((self.name.clone(), "readings".to_owned()), saved);
        journal.mark_days_without_curves()?;
        journal.cut_log()?;
        Ok(())
    }

    /// The new journal takes what was set aside when it is opened beside the file.
    pub(super) fn take_in(
        &mut self,
        journal: &Path,
        clock: GasDayClock,
    ) -> Result<(), BackupError> {
        let taken = Journal::open(journal, in_file(journal, clock)?)?;
        for what in taken.damage_seen() {
            self.lose(None, &what);
        }
        taken.mark_days_without_curves()?;
        drop(taken);
        // What is left in it cannot be read, and was named.
        if let Some(target) = &self.target {
            database::remove(target);
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
                &self.name,
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

/// What becomes of a row whose key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnConflict {
    Replace,
    Ignore,
}

/// Writes a row; false if the table does not take it.
fn insert(
    new: &Connection,
    table: &Table,
    record: &Record,
    on_conflict: OnConflict,
) -> rusqlite::Result<bool> {
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
    let or = match on_conflict {
        OnConflict::Replace => "REPLACE",
        OnConflict::Ignore => "IGNORE",
    };
    let sql = format!(
        "INSERT OR {or} INTO {} ({}) VALUES ({places})",
        table.name,
        columns.join(", ")
    );
    match new
        .prepare_cached(&sql)?
        .execute(rusqlite::params_from_iter(values))
    {
        Ok(rows) => Ok(rows > 0),
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
                || error.sqlite_error_code() == Some(rusqlite::ErrorCode::TypeMismatch) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
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
