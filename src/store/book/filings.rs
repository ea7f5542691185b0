//! What customers filed, and which registry was in force.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, params};

use super::{Book, NewDocument, audit, documents};
use crate::domain::calendar::GasDay;
use crate::domain::filing::{ChangeEntry, FiledPlan, PlanWord, ProductionChange};
use crate::domain::id::CustomerId;
use crate::domain::quantity::StdVolume;
use crate::store::error::StoreError;
use crate::store::time::{instant, millis};

/// A registry that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryVersion {
    /// SHA-256 over its files, hex.
    pub version: String,
    /// When it was loaded.
    pub loaded_at: DateTime<Utc>,
}

/// An earlier entry that lies further ahead was made while the clock was wrong.
const CLOCK_AHEAD_MAX: TimeDelta = TimeDelta::hours(1);

impl Book {
    /// Keeps filed plans that came without an entry; a later plan for the same customer and day stands beside
    /// the earlier.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn put_filed_plans(&self, plans: Vec<FiledPlan>) -> Result<(), StoreError> {
        self.write("writing filed plans", move |t| {
            let mut statement = t.prepare_cached(
                "INSERT OR REPLACE INTO filed_plans VALUES (?1, ?2, ?3, ?4, NULL)",
            )?;
            for plan in &plans {
                statement.execute(params![
                    plan.customer.as_str(),
                    plan.day.epoch_day(),
                    millis(plan.available_at),
                    plan.volume.units()
                ])?;
            }
            Ok(())
        })
    }

    /// Keeps what was entered of plans, in one transaction with the document that says who entered it and its
    /// record in the audit log. All of it is known from the document's time on, or a moment later where an
    /// earlier entry has that time; returns when. An entry of a clock that was ahead, by more than an hour,
    /// draws none after it.
    ///
    /// # Errors
    /// What SQLite says; nothing is written then.
    pub fn put_plan_entry(
        &self,
        entry: NewDocument,
        plans: Vec<(CustomerId, GasDay, Option<StdVolume>)>,
    ) -> Result<DateTime<Utc>, StoreError> {
        self.write("writing filed plans", move |t| {
            let kind = entry.kind.key();
            let last: Option<i64> = t
                .prepare_cached("SELECT max(at) FROM documents WHERE kind = ?1 AND at <= ?2")?
                .query_row(params![kind, millis(entry.at + CLOCK_AHEAD_MAX)], |row| {
                    row.get(0)
                })?;
            let at = last.map_or(millis(entry.at), |last| millis(entry.at).max(last + 1));
            let mut entry = entry.clone();
            entry.at = instant(at);
            documents::append(t, &entry)?;
            let mut statement =
                t.prepare_cached("INSERT INTO filed_plans VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (customer, day, volume) in &plans {
                statement.execute(params![
                    customer.as_str(),
                    day.epoch_day(),
                    at,
                    volume.map(StdVolume::units),
                    entry.key
                ])?;
            }
            Ok(entry.at)
        })
    }

    /// The newest word on each plan of the gas days `[from, to)` as known at an instant, by customer and day;
    /// of one customer, or of all.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn plan_words(
        &self,
        customer: Option<&CustomerId>,
        from: GasDay,
        to: GasDay,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<PlanWord>, StoreError> {
        let mut words: Vec<PlanWord> = Vec::new();
        for word in self.plan_history(customer, from, to, known_at)? {
            match words.last_mut() {
                Some(last) if last.customer == word.customer && last.day == word.day => {
                    *last = word;
                }
                _ => words.push(word),
            }
        }
        Ok(words)
    }

    /// Every word on them, by customer, day and when it became known.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn plan_history(
        &self,
        customer: Option<&CustomerId>,
        from: GasDay,
        to: GasDay,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<PlanWord>, StoreError> {
        self.read("reading filed plans", |c| {
            c.prepare_cached(
                "SELECT customer, day, available_at, units, entry FROM filed_plans
                 WHERE (?1 IS NULL OR customer = ?1) AND day >= ?2 AND day < ?3 AND available_at <= ?4
                 ORDER BY customer, day, available_at",
            )?
            .query_map(
                params![
                    customer.map(CustomerId::as_str),
                    from.epoch_day(),
                    to.epoch_day(),
                    millis(known_at)
                ],
                |row| {
                    Ok(PlanWord {
                        customer: CustomerId::new(row.get::<_, String>(0)?),
                        day: GasDay::from_epoch_day(row.get(1)?),
                        available_at: instant(row.get(2)?),
                        volume: row.get::<_, Option<i64>>(3)?.map(StdVolume::from_units),
                        entry: row.get(4)?,
                    })
                },
            )?
            .collect()
        })
    }

    /// Keeps an entry about a production change with its record in the audit log. It is known from its
    /// `available_at` on, or a moment later where the entry before it has that time; returns when. None if
    /// there are not `after` entries about the same change before it: somebody made another meanwhile.
    ///
    /// # Errors
    /// `Damaged` if it cannot be encoded, and what SQLite says; nothing is written then.
    pub fn put_change_entry(
        &self,
        entry: ChangeEntry,
        after: u32,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let mut before = self.change_entries()?;
        before.retain(|e| e.id == entry.id);
        let mut entry = entry;
        if let Some(last) = before.last().map(|e| e.change.available_at) {
            let next = last + TimeDelta::milliseconds(1);
            entry.change.available_at = entry.change.available_at.max(next);
        }
        let known = entry.change.available_at;
        let body = serde_json::to_string(&entry).map_err(|error| {
            self.damaged(format!("a production change cannot be encoded: {error}"))
        })?;
        self.write("writing a production change", move |t| {
            let known_of: u32 = t
                .prepare_cached(
                    "SELECT count(*) FROM production_changes WHERE json_extract(body, '$.id') = ?1",
                )?
                .query_row(params![entry.id], |row| row.get(0))?;
            if known_of != after {
                return Ok(None);
            }
            let digest = super::digest(body.as_bytes());
            t.prepare_cached("INSERT INTO production_changes VALUES (?1, ?2, ?3)")?
                .execute(params![digest, millis(known), body])?;
            let action = if entry.is_withdrawn {
                "production_change.withdraw"
            } else {
                "production_change.enter"
            };
            audit::append(
                t,
                &audit::Entry {
                    at: millis(known),
                    who: &entry.person,
                    action,
                    subject: &format!("{} {}", entry.id, entry.change.customer),
                    reason: &entry.reason,
                    digest: &digest,
                },
            )?;
            Ok(Some(known))
        })
    }

    /// Every entry about production changes, in the order in which they became known.
    ///
    /// # Errors
    /// `Damaged` if one cannot be decoded, and what SQLite says.
    pub fn change_entries(&self) -> Result<Vec<ChangeEntry>, StoreError> {
        let bodies: Vec<String> = self.read("reading production changes", |c| {
            c.prepare_cached("SELECT body FROM production_changes ORDER BY available_at, digest")?
                .query_map([], |row| row.get(0))?
                .collect()
        })?;
        bodies
            .iter()
            .map(|body| {
                serde_json::from_str(body).map_err(|error| {
                    self.damaged(format!("a production change cannot be decoded: {error}"))
                })
            })
            .collect()
    }

    /// Production changes as known at an instant: of each the newest entry, those that were taken back by then
    /// left out; in the order in which they became known.
    ///
    /// # Errors
    /// As [`Book::change_entries`].
    pub fn production_changes_known_at(
        &self,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<ProductionChange>, StoreError> {
        let mut newest: BTreeMap<String, ChangeEntry> = BTreeMap::new();
        for entry in self.change_entries()? {
            if entry.change.available_at <= known_at {
                newest.insert(entry.id.clone(), entry);
            }
        }
        let entries = newest.into_values().filter(|entry| !entry.is_withdrawn);
        let mut changes: Vec<ProductionChange> = entries.map(|entry| entry.change).collect();
        changes.sort_by_key(|change| change.available_at);
        Ok(changes)
    }

    /// Whether a plan or a production change became known after one instant and until another.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn has_filings_between(
        &self,
        after: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.read("looking for what was filed", |c| {
            c.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM filed_plans WHERE available_at > ?1 AND available_at <= ?2)
                     OR EXISTS (SELECT 1 FROM production_changes
                                WHERE available_at > ?1 AND available_at <= ?2)",
            )?
            .query_row(params![millis(after), millis(until)], |row| row.get(0))
        })
    }

    /// Notes that a registry was loaded; the one in force already is not noted again. Returns the
    /// version that was in force before, if it was another.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn put_registry_version(
        &self,
        version: &str,
        loaded_at: DateTime<Utc>,
    ) -> Result<Option<String>, StoreError> {
        let version = version.to_owned();
        self.write("noting the registry version", move |t| {
            let last: Option<String> = t
                .prepare_cached("SELECT version FROM registry_versions ORDER BY id DESC LIMIT 1")?
                .query_row([], |row| row.get(0))
                .optional()?;
            if last.as_ref() == Some(&version) {
                return Ok(None);
            }
            t.prepare_cached("INSERT INTO registry_versions (version, loaded_at) VALUES (?1, ?2)")?
                .execute(params![version, millis(loaded_at)])?;
            Ok(last)
        })
    }

    /// Registries that were loaded, newest first, at most `limit`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn registry_versions(&self, limit: usize) -> Result<Vec<RegistryVersion>, StoreError> {
        self.read("listing registry versions", |c| {
            c.prepare_cached(
                "SELECT version, loaded_at FROM registry_versions ORDER BY id DESC LIMIT ?1",
            )?
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok(RegistryVersion {
                    version: row.get(0)?,
                    loaded_at: instant(row.get(1)?),
                })
            })?
            .collect()
        })
    }
}
