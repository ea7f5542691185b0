//! Published forecast runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Row, params};

use super::{Book, audit};
use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandForecast;
use crate::domain::id::RunId;
use crate::domain::months::MonthlyOutlook;
use crate::store::error::StoreError;
use crate::store::time::{instant, millis};

/// What a list of runs shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForecastHeader {
    /// Run.
    pub run_id: RunId,
    /// Nothing known after this instant was used.
    pub origin_at: DateTime<Utc>,
    /// When it was published.
    pub created_at: DateTime<Utc>,
    /// First gas day.
    pub first_day: GasDay,
    /// Number of gas days.
    pub days: u32,
    /// Registry version it was made with.
    pub registry: String,
}

/// A part of what a run was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPart {
    /// Name, unique within the run (`demand 2026-11`).
    pub name: String,
    /// Encoded content.
    pub body: Vec<u8>,
}

/// What is kept beside a run.
#[derive(Debug, Clone, Default)]
pub struct RunBeside<'a> {
    /// What it consists of.
    pub breakdown: Option<&'a Breakdown>,
    /// The months it was continued by.
    pub months: Option<&'a MonthlyOutlook>,
    /// What it was made from, so that it can be made again.
    pub parts: Vec<RunPart>,
    /// Names of what was learnt, by the run that learnt it.
    pub learning: Option<&'a BTreeMap<RunId, Vec<String>>>,
}

const HEADER: &str = "id, origin_at, created_at, first_day, days, registry";

fn header(row: &Row<'_>) -> rusqlite::Result<ForecastHeader> {
    Ok(ForecastHeader {
        run_id: RunId::new(row.get::<_, String>(0)?),
        origin_at: instant(row.get(1)?),
        created_at: instant(row.get(2)?),
        first_day: GasDay::from_epoch_day(row.get(3)?),
        days: row.get(4)?,
        registry: row.get(5)?,
    })
}

/// Runs published before an instant beyond so many, that no document names: the index `documents_by_run` has
/// the very expression, and is of no use to a column's affinity.
pub(super) const OLD_RUNS: &str = "SELECT id FROM forecast_runs AS run
     WHERE created_at < ?1
       AND id NOT IN (SELECT id FROM forecast_runs ORDER BY origin_at DESC, created_at DESC LIMIT ?2)
       AND NOT EXISTS (SELECT 1 FROM documents
             WHERE CASE WHEN json_valid(body) THEN json_extract(body, '$.forecast_run') END = +run.id)";

impl Book {
    /// Publishes a run with what is kept beside it: keeps it whole and notes it in the audit log. A run id is
    /// used once.
    ///
    /// # Errors
    /// `Damaged` if the run cannot be encoded, and what SQLite says, also for a known id.
    pub fn put_forecast_run(
        &self,
        run: &DemandForecast,
        beside: RunBeside<'_>,
        created_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let RunBeside {
            breakdown,
            months,
            parts,
            learning,
        } = beside;
        let body = postcard::to_stdvec(run)
            .map_err(|error| self.damaged(format!("a forecast cannot be encoded: {error}")))?;
        let digest = super::digest(&body);
        let of_parts = breakdown
            .map(postcard::to_stdvec)
            .transpose()
            .map_err(|error| {
                self.damaged(format!("a forecast's parts cannot be encoded: {error}"))
            })?;
        let of_months = months
            .map(postcard::to_stdvec)
            .transpose()
            .map_err(|error| {
                self.damaged(format!("a forecast's months cannot be encoded: {error}"))
            })?;
        let learning = learning.filter(|learning| !learning.is_empty());
        let learning = learning
            .map(serde_json::to_string)
            .transpose()
            .map_err(|error| {
                self.damaged(format!("what a forecast learnt cannot be encoded: {error}"))
            })?;
        let id = run.run_id.clone();
        let origin_at = millis(run.origin_at);
        let first = run.days.first().map_or(0, |day| day.epoch_day());
        let days = u32::try_from(run.days.len()).unwrap_or(u32::MAX);
        let registry = run
            .inputs
            .iter()
            .find(|(name, _)| name == "registry")
            .map_or_else(String::new, |(_, version)| version.clone());
        let created = millis(created_at);
        self.write("publishing a forecast", move |t| {
            t.prepare_cached("INSERT INTO forecast_runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(params![
                    id.as_str(),
                    origin_at,
                    created,
                    first,
                    days,
                    registry,
                    body
                ])?;
            if let Some(of_parts) = &of_parts {
                t.prepare_cached("INSERT INTO run_breakdowns VALUES (?1, ?2)")?
                    .execute(params![id.as_str(), of_parts])?;
            }
            if let Some(of_months) = &of_months {
                t.prepare_cached("INSERT INTO run_months VALUES (?1, ?2)")?
                    .execute(params![id.as_str(), of_months])?;
            }
            if let Some(learning) = &learning {
                t.prepare_cached("INSERT INTO run_learning VALUES (?1, ?2)")?
                    .execute(params![id.as_str(), learning])?;
            }
            for part in &parts {
                let of_part = super::digest(&part.body);
                t.prepare_cached("INSERT OR IGNORE INTO inputs VALUES (?1, ?2)")?
                    .execute(params![of_part, part.body])?;
                t.prepare_cached("INSERT INTO run_inputs VALUES (?1, ?2, ?3)")?
                    .execute(params![id.as_str(), part.name, of_part])?;
            }
            audit::append(
                t,
                &audit::Entry {
                    at: created,
                    who: "forecast",
                    action: "forecast.publish",
                    subject: id.as_str(),
                    reason: "",
                    digest: &digest,
                },
            )
        })
    }

    /// The run with the newest origin.
    ///
    /// # Errors
    /// `Damaged` if it cannot be decoded, and what SQLite says.
    pub fn latest_forecast_run(&self) -> Result<Option<Arc<DemandForecast>>, StoreError> {
        self.forecast_run_known_at(DateTime::<Utc>::MAX_UTC)
    }

    /// The run with the newest origin of those published by an instant.
    ///
    /// # Errors
    /// As `latest_forecast_run`.
    pub fn forecast_run_known_at(
        &self,
        at: DateTime<Utc>,
    ) -> Result<Option<Arc<DemandForecast>>, StoreError> {
        let body = self.read("reading the latest forecast", |c| {
            c.prepare_cached(
                "SELECT body FROM forecast_runs WHERE created_at <= ?1
                 ORDER BY origin_at DESC, created_at DESC, id DESC LIMIT 1",
            )?
            .query_row([millis(at)], |row| row.get::<_, Vec<u8>>(0))
            .optional()
        })?;
        self.decode_forecast(body)
    }

    /// One run.
    ///
    /// # Errors
    /// As `latest_forecast_run`.
    pub fn forecast_run(&self, id: &RunId) -> Result<Option<Arc<DemandForecast>>, StoreError> {
        let body = self.read("reading a forecast", |c| {
            c.prepare_cached("SELECT body FROM forecast_runs WHERE id = ?1")?
                .query_row([id.as_str()], |row| row.get::<_, Vec<u8>>(0))
                .optional()
        })?;
        self.decode_forecast(body)
    }

    /// What a run consists of; none where that was not kept.
    ///
    /// # Errors
    /// `Damaged` if it cannot be decoded, and what SQLite says.
    pub fn breakdown(&self, id: &RunId) -> Result<Option<Breakdown>, StoreError> {
        let body: Option<Vec<u8>> = self.read("reading a forecast's parts", |c| {
            c.prepare_cached("SELECT body FROM run_breakdowns WHERE run = ?1")?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()
        })?;
        body.map(|body| {
            postcard::from_bytes(&body).map_err(|error| {
                self.damaged(format!("a forecast's parts cannot be decoded: {error}"))
            })
        })
        .transpose()
    }

    /// The months a run was continued by; none where it was not.
    ///
    /// # Errors
    /// `Damaged` if they cannot be decoded, and what SQLite says.
    pub fn run_months(&self, id: &RunId) -> Result<Option<Arc<MonthlyOutlook>>, StoreError> {
        let body: Option<Vec<u8>> = self.read("reading a forecast's months", |c| {
            c.prepare_cached("SELECT body FROM run_months WHERE run = ?1")?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()
        })?;
        self.decode_months(body)
    }

    /// The run with the newest origin of those published by an instant that were continued by months.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn months_run_known_at(
        &self,
        at: DateTime<Utc>,
    ) -> Result<Option<ForecastHeader>, StoreError> {
        self.read("looking for the latest months", |c| {
            c.prepare_cached(&format!(
                "SELECT {HEADER} FROM forecast_runs
                 WHERE created_at <= ?1 AND id IN (SELECT run FROM run_months)
                 ORDER BY origin_at DESC, created_at DESC, id DESC LIMIT 1"
            ))?
            .query_row([millis(at)], header)
            .optional()
        })
    }

    fn decode_months(
        &self,
        body: Option<Vec<u8>>,
    ) -> Result<Option<Arc<MonthlyOutlook>>, StoreError> {
        body.map(|body| {
            postcard::from_bytes(&body)
                .map(Arc::new)
                .map_err(|error| self.damaged(format!("months cannot be decoded: {error}")))
        })
        .transpose()
    }

    /// Names of the series of a run by the run that learnt them; empty where that was not kept.
    ///
    /// # Errors
    /// `Damaged` if they cannot be decoded, and what SQLite says.
    pub fn run_learning(&self, id: &RunId) -> Result<BTreeMap<RunId, Vec<String>>, StoreError> {
        let body: Option<String> = self.read("reading what a forecast learnt", |c| {
            c.prepare_cached("SELECT body FROM run_learning WHERE run = ?1")?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()
        })?;
        let Some(body) = body else {
            return Ok(BTreeMap::new());
        };
        serde_json::from_str(&body).map_err(|error| {
            self.damaged(format!("what a forecast learnt cannot be decoded: {error}"))
        })
    }

    /// What a run was made from, by name; empty if that was not kept.
    ///
    /// # Errors
    /// `Damaged` if a part is not what its digest says, and what SQLite says.
    pub fn run_parts(&self, id: &RunId) -> Result<Vec<RunPart>, StoreError> {
        let rows: Vec<(RunPart, Vec<u8>)> =
            self.read("reading what a forecast was made from", |c| {
                c.prepare_cached(
                    "SELECT part, body, inputs.digest FROM run_inputs JOIN inputs USING (digest)
                 WHERE run = ?1 ORDER BY part",
                )?
                .query_map([id.as_str()], |row| {
                    let part = RunPart {
                        name: row.get(0)?,
                        body: row.get(1)?,
                    };
                    Ok((part, row.get(2)?))
                })?
                .collect()
            })?;
        rows.into_iter()
            .map(|(part, digest)| {
                if super::digest(&part.body) == digest {
                    Ok(part)
                } else {
                    Err(self.damaged(format!(
                        "part `{}` of forecast `{id}` is not what its digest says",
                        part.name
                    )))
                }
            })
            .collect()
    }

    /// Runs, newest origin first, at most `limit`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn forecast_runs(&self, limit: usize) -> Result<Vec<ForecastHeader>, StoreError> {
        self.forecast_runs_known_at(DateTime::<Utc>::MAX_UTC, limit)
    }

    /// Those published by an instant: a run of a clock that was ahead is none of them.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn forecast_runs_known_at(
        &self,
        at: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<ForecastHeader>, StoreError> {
        self.read("listing forecasts", |c| {
            c.prepare_cached(&format!(
                "SELECT {HEADER} FROM forecast_runs WHERE created_at <= ?1
                 ORDER BY origin_at DESC, created_at DESC, id DESC LIMIT ?2"
            ))?
            .query_map(
                params![millis(at), i64::try_from(limit).unwrap_or(i64::MAX)],
                header,
            )?
            .collect()
        })
    }

    /// Removes runs published before an instant with what they were made from, but neither the newest
    /// `keep` of all nor one that a document names (`forecast_run`): what was declared can be made again for
    /// as long as the document is there.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn prune_forecast_runs(
        &self,
        before: DateTime<Utc>,
        keep: usize,
    ) -> Result<usize, StoreError> {
        let keep = i64::try_from(keep).unwrap_or(i64::MAX);
        // Read outside of the writer's transaction: documents to come name newer runs.
        let old: Vec<String> = self.read("listing old forecasts", |c| {
            c.prepare_cached(OLD_RUNS)?
                .query_map(params![millis(before), keep], |row| row.get(0))?
                .collect()
        })?;
        if old.is_empty() {
            return Ok(0);
        }
        self.write("removing old forecasts", move |t| {
            let mut gone = 0;
            for id in &old {
                gone += t
                    .prepare_cached("DELETE FROM forecast_runs WHERE id = ?1")?
                    .execute([id])?;
            }
            if gone > 0 {
                t.execute_batch(
                    "DELETE FROM run_breakdowns WHERE run NOT IN (SELECT id FROM forecast_runs);
                     DELETE FROM run_months WHERE run NOT IN (SELECT id FROM forecast_runs);
                     DELETE FROM run_learning WHERE run NOT IN (SELECT id FROM forecast_runs);
                     DELETE FROM run_inputs WHERE run NOT IN (SELECT id FROM forecast_runs);
                     DELETE FROM inputs WHERE digest NOT IN (SELECT digest FROM run_inputs);",
                )?;
            }
            Ok(gone)
        })
    }

    fn decode_forecast(
        &self,
        body: Option<Vec<u8>>,
    ) -> Result<Option<Arc<DemandForecast>>, StoreError> {
        body.map(|body| {
            postcard::from_bytes(&body)
                .map(Arc::new)
                .map_err(|error| self.damaged(format!("a forecast cannot be decoded: {error}")))
        })
        .transpose()
    }
}
