//! Restatements (追溯): what documents were made from and is no longer so.
//!
//! A document depends on the demand of a gas day if it was written after the day ended and within
//! [`DEPENDS_DAYS`] of it: so far back declarations (month to date, loss of 60 days), nominations and the
//! ledger look. Only the version in force counts; a new one is made from the new values.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Transaction, params};

use super::{Book, DocumentKind};
use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandNode};
use crate::domain::id::ZoneId;
use crate::store::error::StoreError;
use crate::store::time::{instant, millis};

/// Days after its end in which documents are made from a gas day.
pub const DEPENDS_DAYS: i64 = 62;
/// Least difference of a node's day that is a restatement, m³: documents print whole m³.
const DIFFERENCE_MIN_M3: f64 = 0.5;

/// Why the demand of a day became another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestatementCause {
    /// Readings came late, or a new version of the program computes otherwise.
    Readings,
    /// A person decided about hours, or took a decision back.
    Decision,
    /// The registry changed.
    Registry,
}

impl RestatementCause {
    /// The key used in SQL and JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Readings => "readings",
            Self::Decision => "decision",
            Self::Registry => "registry",
        }
    }

    fn from_key(key: &str) -> Self {
        match key {
            "decision" => Self::Decision,
            "registry" => Self::Registry,
            _ => Self::Readings,
        }
    }
}

/// A gas day whose demand is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestatedDay {
    /// Gas day.
    pub day: GasDay,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// When a person last decided about one of its curves.
    pub decided_at: Option<DateTime<Utc>>,
}

/// The demand of a node on a gas day, as a document has it and as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Restatement {
    /// Gas day.
    pub day: GasDay,
    /// Node.
    pub node: DemandNode,
    /// Kind of the document.
    pub kind: DocumentKind,
    /// What the document is about.
    pub key: String,
    /// Its version.
    pub version: u32,
    /// When the document was written, m³.
    pub before_m3: f64,
    /// Now, m³.
    pub after_m3: f64,
    /// When it last changed.
    pub at: DateTime<Utc>,
    /// Why.
    pub cause: RestatementCause,
}

/// A document that was made from a day.
struct Dependent {
    kind: String,
    key: String,
    version: u32,
    at: i64,
}

type Volumes = BTreeMap<(i32, String, String), f64>;

impl Book {
    /// Replaces the demand of gas days, and lists what that restates, in one transaction.
    ///
    /// # Errors
    /// What SQLite says; nothing has changed then.
    pub fn restate_demand_days(
        &self,
        days: Vec<RestatedDay>,
        demand: Vec<DemandDay>,
        at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let written = demand.iter().map(|one| one.day);
        let changed: Vec<GasDay> = days.iter().map(|day| day.day).chain(written).collect();
        let written = self.write("writing demand", move |t| {
            let before = volumes(t, &days)?;
            let replaced: Vec<GasDay> = days.iter().map(|day| day.day).collect();
            super::demand::replace(t, &replaced, &demand)?;
            let after: Volumes = demand
                .iter()
                .map(|day| {
                    let node = &day.node;
                    let key = (day.day.epoch_day(), node.zone.to_string(), node.class.key());
                    ((key.0, key.1, key.2.to_owned()), day.volume_m3())
                })
                .collect();
            let registry_at: Option<i64> =
                t.query_row("SELECT max(loaded_at) FROM registry_versions", [], |row| {
                    row.get(0)
                })?;
            for day in &days {
                restate(t, *day, &before, &after, registry_at, at)?;
            }
            Ok(())
        });
        self.demand_months.forget(changed);
        written
    }

    /// Restatements, the last changed first, at most `limit`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn restatements(&self, limit: usize) -> Result<Vec<Restatement>, StoreError> {
        self.read("reading restatements", |c| {
            let mut statement = c.prepare_cached(
                "SELECT day, zone, class, kind, key, version, before_m3, after_m3, at, cause
                 FROM restatements ORDER BY at DESC, day DESC, kind, key, zone, class LIMIT ?1",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query([limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let class = CustomerClass::from_key(row.get_ref(2)?.as_str()?);
                let kind = DocumentKind::from_key(row.get_ref(3)?.as_str()?);
                let (Some(class), Some(kind)) = (class, kind) else {
                    continue;
                };
                found.push(Restatement {
                    day: GasDay::from_epoch_day(row.get(0)?),
                    node: DemandNode {
                        zone: ZoneId::new(row.get::<_, String>(1)?),
                        class,
                    },
                    kind,
                    key: row.get(4)?,
                    version: row.get(5)?,
                    before_m3: row.get(6)?,
                    after_m3: row.get(7)?,
                    at: instant(row.get(8)?),
                    cause: RestatementCause::from_key(row.get_ref(9)?.as_str()?),
                });
            }
            Ok(found)
        })
    }
}

/// Volume of each node on some days, as it stands.
fn volumes(t: &Transaction<'_>, days: &[RestatedDay]) -> rusqlite::Result<Volumes> {
    let mut statement = t.prepare_cached("SELECT zone, class, hours FROM demand WHERE day = ?1")?;
    let mut found = Volumes::new();
    for day in days {
        let day = day.day.epoch_day();
        let mut rows = statement.query([day])?;
        while let Some(row) = rows.next()? {
            let (hours, _) = row.get_ref(2)?.as_blob()?.as_chunks::<8>();
            let volume = hours.iter().map(|hour| f64::from_le_bytes(*hour)).sum();
            found.insert((day, row.get(0)?, row.get(1)?), volume);
        }
    }
    Ok(found)
}

fn restate(
    t: &Transaction<'_>,
    of: RestatedDay,
    before: &Volumes,
    after: &Volumes,
    registry_at: Option<i64>,
    at: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let day = of.day.epoch_day();
    let nodes_of = |volumes: &Volumes| -> BTreeSet<(String, String)> {
        let from = (day, String::new(), String::new());
        let to = (day + 1, String::new(), String::new());
        let of_day = volumes.range(from..to);
        of_day
            .map(|((_, zone, class), _)| (zone.clone(), class.clone()))
            .collect()
    };
    let known = nodes_of(before);
    // A day that was summed for the first time was in no document.
    if known.is_empty() || at < of.ended_at {
        return Ok(());
    }
    let dependents = dependents(t, of.ended_at)?;
    if dependents.is_empty() {
        return Ok(());
    }
    for (zone, class) in known.union(&nodes_of(after)) {
        let key = (day, zone.clone(), class.clone());
        let was = before.get(&key).copied().unwrap_or(0.0);
        let is = after.get(&key).copied().unwrap_or(0.0);
        if was.to_bits() == is.to_bits() {
            continue;
        }
        for document in &dependents {
            let is_since = |then: Option<i64>| then.is_some_and(|then| then > document.at);
            let cause = if is_since(of.decided_at.map(millis)) {
                RestatementCause::Decision
            } else if is_since(registry_at) {
                RestatementCause::Registry
            } else {
                RestatementCause::Readings
            };
            t.prepare_cached(
                "INSERT INTO restatements VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT DO UPDATE SET after_m3 = excluded.after_m3, at = excluded.at,
                   cause = excluded.cause",
            )?
            .execute(params![
                day,
                zone,
                class,
                document.kind,
                document.key,
                document.version,
                was,
                is,
                millis(at),
                cause.key()
            ])?;
        }
    }
    // What came back to what the document has is none.
    t.prepare_cached("DELETE FROM restatements WHERE day = ?1 AND abs(after_m3 - before_m3) < ?2")?
        .execute(params![day, DIFFERENCE_MIN_M3])
        .map(drop)
}

/// Versions in force that were made from a day.
fn dependents(t: &Transaction<'_>, ended_at: DateTime<Utc>) -> rusqlite::Result<Vec<Dependent>> {
    let until = ended_at + TimeDelta::days(DEPENDS_DAYS);
    t.prepare_cached(
        "SELECT kind, key, version, at FROM documents AS d
         WHERE kind IN ('declaration', 'nomination', 'ledger') AND at >= ?1 AND at < ?2
           AND NOT (kind = 'ledger' AND key = 'members')
           AND version = (SELECT max(version) FROM documents WHERE kind = d.kind AND key = d.key)
         ORDER BY kind, key",
    )?
    .query_map([millis(ended_at), millis(until)], |row| {
        Ok(Dependent {
            kind: row.get(0)?,
            key: row.get(1)?,
            version: row.get(2)?,
            at: row.get(3)?,
        })
    })?
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn day() -> GasDay {
        "2026-11-20".parse().unwrap()
    }

    fn at(hours: i64) -> DateTime<Utc> {
        crate::domain::calendar::GasDayClock::default().end_of(day()) + TimeDelta::hours(hours)
    }

    fn demand(volume: f64) -> DemandDay {
        DemandDay {
            node: DemandNode {
                zone: "z".into(),
                class: CustomerClass::Industrial,
            },
            day: day(),
            hours_m3: [volume / 24.0; 24],
            coverage: 1.0,
            uncertainty_m3: 0.0,
        }
    }

    fn sum(book: &Book, volume: f64, hours: i64, decided: Option<i64>) {
        let of = RestatedDay {
            day: day(),
            ended_at: at(0),
            decided_at: decided.map(at),
        };
        book.restate_demand_days(vec![of], vec![demand(volume)], at(hours))
            .unwrap();
    }

    fn write(book: &Book, kind: DocumentKind, key: &str, hours: i64) {
        book.put_document(kind, key, json!({}), at(hours), "w", "r")
            .unwrap();
    }

    #[test]
    fn what_a_document_was_made_from_is_listed_when_it_changes() {
        let dir = tempfile::TempDir::new().unwrap();
        let book = Book::open(dir.path().join("b.db")).unwrap();
        sum(&book, 240.0, 1, None);
        write(&book, DocumentKind::Nomination, "before", -2);
        write(&book, DocumentKind::Nomination, "2026-11-22", 2);
        write(&book, DocumentKind::Declaration, "2026-12", 2);
        write(&book, DocumentKind::Ledger, "members", 2);
        write(&book, DocumentKind::Notice, "n", 2);
        write(&book, DocumentKind::Nomination, "late", 24 * DEPENDS_DAYS);
        sum(&book, 240.0, 3, None);
        assert_eq!(book.restatements(9).unwrap(), []);
        sum(&book, 252.0, 4, None);
        sum(&book, 264.0, 5, Some(4));
        let found = book.restatements(9).unwrap();
        let keys: Vec<_> = found.iter().map(|r| r.key.as_str()).collect();
        assert_eq!(keys, ["2026-12", "2026-11-22"]);
        let first = &found[0];
        assert_eq!((first.version, first.at), (1, at(5)));
        assert!(
            (first.before_m3 - 240.0).abs() < 1e-9,
            "as the document has it"
        );
        assert!((first.after_m3 - 264.0).abs() < 1e-9);
        assert_eq!(first.cause, RestatementCause::Decision);

        // A new version is made from the new values; the old one's line stays as it was.
        write(&book, DocumentKind::Declaration, "2026-12", 6);
        sum(&book, 240.0, 7, Some(4));
        let found = book.restatements(9).unwrap();
        let lines: Vec<_> = found.iter().map(|r| (r.key.as_str(), r.version)).collect();
        assert_eq!(lines, [("2026-12", 2), ("2026-12", 1)]);
        assert!((found[0].before_m3 - 264.0).abs() < 1e-9);
        assert_eq!(found[0].cause, RestatementCause::Readings);
    }
}
