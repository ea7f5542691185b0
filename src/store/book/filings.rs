//! What customers filed, and which registry was in force.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, params};

use super::Book;
use crate::domain::calendar::GasDay;
use crate::domain::filing::{FiledPlan, ProductionChange};
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

impl Book {
    /// Keeps filed plans; a later plan for the same customer and day stands beside the earlier.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn put_filed_plans(&self, plans: Vec<FiledPlan>) -> Result<(), StoreError> {
        self.write("writing filed plans", move |t| {
            let mut statement =
                t.prepare_cached("INSERT OR REPLACE INTO filed_plans VALUES (?1, ?2, ?3, ?4)")?;
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

    /// Filed plans for the gas days `[from, to)` as known at an instant, the newest of each
    /// customer and day, by customer and day.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn filed_plans_known_at(
        &self,
        from: GasDay,
        to: GasDay,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<FiledPlan>, StoreError> {
        self.read("reading filed plans", |c| {
            let mut statement = c.prepare_cached(
                "SELECT customer, day, available_at, units FROM filed_plans
                 WHERE day >= ?1 AND day < ?2 AND available_at <= ?3
                 ORDER BY customer, day, available_at",
            )?;
            let mut rows =
                statement.query(params![from.epoch_day(), to.epoch_day(), millis(known_at)])?;
            let mut plans: Vec<FiledPlan> = Vec::new();
            while let Some(row) = rows.next()? {
                let plan = FiledPlan {
                    customer: CustomerId::new(row.get::<_, String>(0)?),
                    day: GasDay::from_epoch_day(row.get(1)?),
                    available_at: instant(row.get(2)?),
                    volume: StdVolume::from_units(row.get(3)?),
                };
                match plans.last_mut() {
                    Some(last) if last.customer == plan.customer && last.day == plan.day => {
                        *last = plan;
                    }
                    _ => plans.push(plan),
                }
            }
            Ok(plans)
        })
    }

    /// Keeps production changes; one that is known already changes nothing.
    ///
    /// # Errors
    /// `Damaged` if one cannot be encoded, and what SQLite says.
    pub fn put_production_changes(&self, changes: &[ProductionChange]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            let body = serde_json::to_string(change).map_err(|error| {
                self.damaged(format!("a production change cannot be encoded: {error}"))
            })?;
            rows.push((millis(change.available_at), body));
        }
        self.write("writing production changes", move |t| {
            let mut statement = t.prepare_cached(
                "INSERT INTO production_changes VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?;
            for (available_at, body) in &rows {
                statement.execute(params![super::digest(body.as_bytes()), available_at, body])?;
            }
            Ok(())
        })
    }

    /// Production changes known at an instant, in the order in which they became known.
    ///
    /// # Errors
    /// `Damaged` if one cannot be decoded, and what SQLite says.
    pub fn production_changes_known_at(
        &self,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<ProductionChange>, StoreError> {
        let bodies: Vec<String> = self.read("reading production changes", |c| {
            c.prepare_cached(
                "SELECT body FROM production_changes WHERE available_at <= ?1
                 ORDER BY available_at, digest",
            )?
            .query_map([millis(known_at)], |row| row.get(0))?
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
