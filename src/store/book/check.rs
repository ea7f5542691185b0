//! Reading a book to its last byte, past what is damaged: what is lost, table by table, and what cannot be
//! served because of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::parts::{BOOK_PARTS, BookPart, part_of};
use super::{Book, digest};
use crate::store::damage::Damage;
use crate::store::error::StoreError;

/// What cannot be served, as last looked.
#[derive(Debug, Default)]
pub(super) struct Unserved {
    parts: Mutex<Option<Vec<&'static BookPart>>>,
    /// When demand was last refused.
    refused_at: Mutex<Option<Instant>>,
}

impl Unserved {
    fn locked(&self) -> MutexGuard<'_, Option<Vec<&'static BookPart>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.refused_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of a table on one side of what is damaged.
#[derive(Debug, Default)]
struct Side {
    rows: u64,
    /// Key of the last that could be read, in words.
    last: Option<String>,
    /// Rows whose digest is not that of their content, or whose text is none.
    changed: u64,
    error: Option<String>,
}

impl Book {
    /// Whether demand was refused so lately that it is not worth asking again.
    pub fn refused_lately(&self, within: Duration) -> bool {
        self.unserved
            .refused_at()
            .is_some_and(|at| at.elapsed() < within)
    }

    /// Notes that demand was refused.
    pub fn refuse_for_now(&self) {
        *self.unserved.refused_at() = Some(Instant::now());
    }

    /// Reads every page and every row of the file and tells what is wrong with it, table by table. Blocks, for
    /// as long as the file is large.
    ///
    /// # Errors
    /// The file cannot be opened at all.
    pub fn check(&self) -> Result<Vec<Damage>, StoreError> {
        let mut damage = self.database.problems()?;
        damage.extend(self.check_tables()?);
        Ok(damage)
    }

    fn check_tables(&self) -> Result<Vec<Damage>, StoreError> {
        let file = self.database.name();
        self.database.read(|c| {
            let tables = BOOK_PARTS.iter().flat_map(|part| part.tables);
            let found = tables.filter_map(|table| {
                let what = lost_of(c, table)?;
                let part = part_of(table).map_or("", |part| part.name);
                let what = format!("{what} (of {part})");
                Some(Damage::of_table(&file, table, what))
            });
            Ok(found.collect())
        })
    }

    /// Looks which parts of the book cannot be served whole, and remembers it for [`Self::unserved`]. Blocks,
    /// for as long as the file is large.
    pub fn look_what_is_served(&self) -> Vec<Damage> {
        let found = self.check_tables();
        let (parts, damage) = match found {
            Ok(damage) => {
                let tables: BTreeSet<&str> = damage.iter().filter_map(|d| d.table).collect();
                let is_hit = |part: &&BookPart| part.tables.iter().any(|t| tables.contains(t));
                (BOOK_PARTS.iter().filter(is_hit).collect(), damage)
            }
            Err(error) => {
                let damage = Damage::of_file(&self.database.name(), error.to_string());
                (BOOK_PARTS.iter().collect(), vec![damage])
            }
        };
        *self.unserved.locked() = Some(parts);
        damage
    }

    /// Parts of the book that cannot be served whole, as last looked; none if nobody had a reason to look.
    pub fn unserved(&self) -> Vec<&'static BookPart> {
        self.unserved.locked().clone().unwrap_or_default()
    }

    /// The same in a sentence, with what to do.
    pub fn unserved_message(&self) -> Option<String> {
        let unserved = self.unserved();
        if unserved.is_empty() {
            return None;
        }
        if let Some(error) = self.refusal().filter(|error| !is_damage(error)) {
            return Some(format!(
                "nothing of the book is served; readings are taken as ever: {error}"
            ));
        }
        let names: Vec<&str> = unserved.iter().map(|part| part.name).collect();
        Some(format!(
            "{} is damaged, and part or all of this cannot be served or written: {}; readings are taken as ever. \
             Stop the daemon; `qiliang verify` names what is lost, `qiliang salvage DIR` and \
             `qiliang restore DIR --replace` keep every row that can be read",
            self.database.name(),
            names.join("; ")
        ))
    }
}

const fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. })
}

/// What is wrong with a table, in words; none if each of its rows can be read.
fn lost_of(c: &Connection, table: &str) -> Option<String> {
    let key = match key_of(c, table) {
        Ok(key) => key,
        Err(error) => return Some(format!("nothing of it can be read: {error}")),
    };
    let forward = side(c, table, &key, "ASC");
    let Some(error) = &forward.error else {
        return (forward.changed > 0).then(|| {
            format!(
                "{} of {} rows are not what was written",
                forward.changed, forward.rows
            )
        });
    };
    let backward = side(c, table, &key, "DESC");
    let after = backward.last.as_deref().unwrap_or("its end");
    let before = forward.last.as_deref().unwrap_or("its first");
    Some(format!(
        "{} rows can be read; what stands after {before} and before {after} cannot: {error}",
        forward.rows + backward.rows
    ))
}

/// Columns by which a table's rows are ordered.
fn key_of(c: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let sql: String = c.query_row(sql, [table], |row| row.get(0))?;
    if !sql.contains("WITHOUT ROWID") {
        return Ok(vec!["rowid".to_owned()]);
    }
    let mut info = c.prepare(&format!("PRAGMA table_info({table})"))?;
    let mut columns: Vec<(String, i64)> = info
        .query_map([], |row| Ok((row.get(1)?, row.get(5)?)))?
        .collect::<Result<_, _>>()?;
    columns.retain(|(_, place)| *place > 0);
    columns.sort_by_key(|(_, place)| *place);
    Ok(columns.into_iter().map(|(name, _)| name).collect())
}

/// Reads a table from one end until something cannot be read.
fn side(c: &Connection, table: &str, key: &[String], order: &str) -> Side {
    let by: Vec<String> = key.iter().map(|key| format!("{key} {order}")).collect();
    let sql = format!("SELECT * FROM {table} ORDER BY {}", by.join(", "));
    let mut side = Side::default();
    let mut read = || -> rusqlite::Result<()> {
        let mut statement = c.prepare(&sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            // Each column: a value behind the page is read only when it is asked for.
            let mut is_right = true;
            for column in 0..columns {
                let value = row.get_ref(column)?;
                is_right &= !matches!(value, ValueRef::Text(text) if str::from_utf8(text).is_err());
            }
            is_right &= table != "inputs" || is_digest_right(row)?;
            side.changed += u64::from(!is_right);
            side.last = Some(words_of(row, columns));
            side.rows += 1;
        }
        Ok(())
    };
    let outcome = read();
    side.error = outcome.err().map(|error| error.to_string());
    side
}

fn is_digest_right(row: &Row<'_>) -> rusqlite::Result<bool> {
    let (told, body) = (row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob()?);
    Ok(digest(body) == told)
}

/// The first columns of a row.
fn words_of(row: &Row<'_>, columns: usize) -> String {
    let word = |column: usize| match row.get_ref(column) {
        Ok(ValueRef::Integer(number)) => number.to_string(),
        Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
        _ => "…".to_owned(),
    };
    let words: Vec<String> = (0..columns.min(3)).map(word).collect();
    format!("({})", words.join(", "))
}
