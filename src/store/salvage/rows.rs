//! Which table a page belongs to that no tree leads to any more, told by the form of its rows.
//!
//! Below a damaged inner page stand whole pages of rows. Their types and number of columns fit one table of the
//! file, and rarely an index; a page that fits more than one is left. What carries a digest of its own must
//! have it.

use rusqlite::Connection;
use rusqlite::types::Value;
use sha2::{Digest as _, Sha256};

use super::tree::Record;
use crate::store::{book, journal};

/// A table of the new file.
pub(super) struct Table {
    pub(super) name: String,
    /// Columns in the order in which a record has them.
    pub(super) columns: Vec<String>,
    /// The column that the row number stands for.
    pub(super) rowid: Option<usize>,
    fields: Vec<Field>,
    is_clustered: bool,
}

struct Column {
    name: String,
    kind: String,
    is_optional: bool,
    may_lack: bool,
    key: i64,
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    kind: String,
    is_optional: bool,
    /// Rows of an earlier schema end before it.
    may_lack: bool,
}

impl Field {
    fn of(column: &Column) -> Self {
        Self {
            kind: column.kind.clone(),
            is_optional: column.is_optional,
            may_lack: column.may_lack,
        }
    }

    fn fits(&self, value: &Value) -> bool {
        match value {
            Value::Null => self.is_optional,
            Value::Integer(_) => self.kind == "INTEGER" || self.kind == "REAL",
            Value::Real(_) => self.kind == "REAL",
            Value::Text(_) => self.kind == "TEXT",
            Value::Blob(_) => self.kind == "BLOB",
        }
    }
}

pub(super) fn tables(new: &Connection) -> rusqlite::Result<Vec<Table>> {
    let mut schema = new.prepare(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )?;
    let named: Vec<(String, String)> = schema
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut tables = Vec::new();
    for (name, sql) in named {
        let mut info = new.prepare(&format!("PRAGMA table_info({name})"))?;
        let mut columns: Vec<Column> = info
            .query_map([], |row| {
                Ok(Column {
                    name: row.get(1)?,
                    kind: row.get(2)?,
                    is_optional: row.get::<_, i64>(3)? == 0 && row.get::<_, i64>(5)? == 0,
                    may_lack: row.get::<_, Option<String>>(4)?.is_some(),
                    key: row.get(5)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        let is_clustered = sql.contains("WITHOUT ROWID");
        if is_clustered {
            // The key first, in its order; a stable sort keeps the rest in theirs.
            columns.sort_by_key(|column| {
                if column.key == 0 {
                    i64::MAX
                } else {
                    column.key
                }
            });
        }
        let rowid = columns
            .iter()
            .position(|column| !is_clustered && column.key == 1 && column.kind == "INTEGER");
        tables.push(Table {
            name,
            fields: columns.iter().map(Field::of).collect(),
            columns: columns.into_iter().map(|column| column.name).collect(),
            rowid,
            is_clustered,
        });
    }
    Ok(tables)
}

/// The forms of a file's rows and of its index entries.
pub(super) struct Shapes<'a> {
    tables: &'a [Table],
    indexes: Vec<Vec<Field>>,
}

impl<'a> Shapes<'a> {
    pub(super) fn of(new: &Connection, tables: &'a [Table]) -> rusqlite::Result<Self> {
        let mut indexes = Vec::new();
        for table in tables {
            let mut list = new
                .prepare("SELECT name FROM pragma_index_list(?1) WHERE origin <> 'pk' OR NOT ?2")?;
            let names: Vec<String> = list
                .query_map(rusqlite::params![table.name, table.is_clustered], |row| {
                    row.get(0)
                })?
                .collect::<Result<_, _>>()?;
            for name in names {
                let mut info = new.prepare("SELECT name FROM pragma_index_xinfo(?1)")?;
                let of: Vec<Option<String>> = info
                    .query_map([&name], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                indexes.push(
                    of.iter()
                        .map(|column| table.field(column.as_deref()))
                        .collect(),
                );
            }
        }
        Ok(Self { tables, indexes })
    }

    /// The one table of those asked for that all rows of a page fit.
    pub(super) fn table_of(
        &self,
        records: &[Record],
        is_asked: impl Fn(&str) -> bool,
    ) -> Option<&'a Table> {
        if records.is_empty() {
            return None;
        }
        let asked = self.tables.iter().filter(|table| is_asked(&table.name));
        let mut fitting = asked.filter(|table| {
            let of_kind = records
                .iter()
                .all(|r| r.rowid.is_some() != table.is_clustered);
            of_kind && records.iter().all(|record| table.fits(record))
        });
        let table = fitting.next()?;
        let is_index = table.is_clustered
            && self
                .indexes
                .iter()
                .any(|fields| records.iter().all(|record| fit(fields, None, record)));
        (fitting.next().is_none() && !is_index).then_some(table)
    }
}

impl Table {
    fn field(&self, column: Option<&str>) -> Field {
        let index = self
            .columns
            .iter()
            .position(|name| Some(name.as_str()) == column);
        let field = index.and_then(|index| self.fields.get(index)).cloned();
        // An index that names no column names the row number.
        field.unwrap_or_else(|| Field {
            kind: "INTEGER".to_owned(),
            is_optional: false,
            may_lack: false,
        })
    }

    fn fits(&self, record: &Record) -> bool {
        fit(&self.fields, self.rowid, record) && is_plausible(&self.name, record)
    }
}

fn fit(fields: &[Field], rowid: Option<usize>, record: &Record) -> bool {
    let values = &record.columns;
    let ends_early = fields.iter().skip(values.len()).all(|field| field.may_lack);
    values.len() <= fields.len()
        && ends_early
        && fields
            .iter()
            .zip(values)
            .enumerate()
            .all(|(index, (field, value))| {
                if rowid == Some(index) {
                    *value == Value::Null
                } else {
                    field.fits(value)
                }
            })
}

/// Days are counted from 1970 and instants in milliseconds since then: that tells apart two tables whose rows
/// have the same form where every temperature is whole.
fn is_plausible(table: &str, record: &Record) -> bool {
    let is_day = |index: usize| match record.columns.get(index) {
        Some(Value::Integer(number)) => (0..1_000_000).contains(number),
        _ => false,
    };
    match table {
        "filed_plans" => is_day(1),
        "observed" => !is_day(1),
        _ => true,
    }
}

/// Whether a table's rows carry a digest without which they are worth nothing.
pub(super) fn has_digest(table: &str) -> bool {
    matches!(table, "inputs" | "production_changes")
}

/// Whether a row is what was written, as far as it carries a digest.
pub(super) fn is_sound(table: &str, record: &Record) -> bool {
    let is_digest = |digest: &[u8], body: &[u8]| Sha256::digest(body).as_slice() == digest;
    match (table, record.columns.as_slice()) {
        ("audit", columns) => record
            .rowid
            .is_some_and(|seq| book::is_vouched(seq, columns)),
        ("entries", [_, _, Value::Integer(checksum), Value::Blob(body)]) => {
            u32::try_from(*checksum).is_ok_and(|checksum| journal::is_delivery(body, checksum))
        }
        ("inputs", [Value::Blob(digest), Value::Blob(body)]) => is_digest(digest, body),
        ("production_changes", [Value::Blob(digest), _, Value::Text(body)]) => {
            is_digest(digest, body.as_bytes())
        }
        _ => true,
    }
}
