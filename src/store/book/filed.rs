//! Whether plans and production changes are those that the audit log says were entered.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::DocumentKind;
use crate::domain::calendar::GasDay;
use crate::domain::quantity::StdVolume;

/// Actions of the log about production changes.
pub(super) const CHANGE: &str = "production_change.";

/// Customer, day, units; none where a plan was taken back.
type Words = BTreeSet<(String, i32, Option<i64>)>;

/// What is wrong with the entry about a production change that a record speaks of.
pub(super) fn change_reason(c: &Connection, subject: &str, digest: &[u8]) -> Option<String> {
    let body = c
        .prepare_cached("SELECT body FROM production_changes WHERE digest = ?1")
        .and_then(|mut statement| {
            let body = statement.query_row([digest], |row| row.get::<_, String>(0));
            body.optional()
        });
    match body {
        Err(error) => Some(format!(
            "its production change {subject} cannot be read: {error}"
        )),
        Ok(None) => Some(format!("its production change {subject} is missing")),
        Ok(Some(body)) if super::digest(body.as_bytes()) != digest => Some(format!(
            "its production change {subject} was changed after it was entered"
        )),
        Ok(Some(_)) => None,
    }
}

/// Entries whose plans are others than their documents say.
pub(super) fn plan_reasons(c: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut kept: BTreeMap<String, Words> = BTreeMap::new();
    let mut statement =
        c.prepare("SELECT entry, customer, day, units FROM filed_plans WHERE entry IS NOT NULL")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let words = kept.entry(row.get(0)?).or_default();
        words.insert((row.get(1)?, row.get(2)?, row.get(3)?));
    }
    let mut reasons = Vec::new();
    let mut statement =
        c.prepare("SELECT key, body FROM documents WHERE kind = ?1 ORDER BY key")?;
    let mut rows = statement.query(params![DocumentKind::FiledPlans.key()])?;
    while let Some(row) = rows.next()? {
        let (key, body): (String, String) = (row.get(0)?, row.get(1)?);
        if words_of(&body) != kept.remove(&key) {
            reasons.push(format!(
                "the plans of entry {key} are others than were entered"
            ));
        }
    }
    let strange = kept.into_keys();
    reasons.extend(strange.map(|key| format!("plans name an entry {key} that there is not")));
    Ok(reasons)
}

/// What a document says was entered; none if it cannot be told.
fn words_of(body: &str) -> Option<Words> {
    let body: Value = serde_json::from_str(body).ok()?;
    let rows = body.get("rows")?.as_array()?.iter();
    let word = |row: &Value| {
        let day: GasDay = row.get(1)?.as_str()?.parse().ok()?;
        let units = match row.get(2)? {
            Value::Null => None,
            volume => Some(volume.as_str()?.parse::<StdVolume>().ok()?.units()),
        };
        Some((row.get(0)?.as_str()?.to_owned(), day.epoch_day(), units))
    };
    rows.map(word).collect()
}
