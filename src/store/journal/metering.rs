//! What turns each meter's totals into volume, as its curves were last computed by.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Journal, MIGRATIONS, ingest, locked};
use crate::domain::id::MeterId;
use crate::domain::meter::MeteringTerms;
use crate::store::database::Database;
use crate::store::error::StoreError;

const DOING: &str = "reading what meters are settled by";

impl Journal {
    /// Keeps by what curves are computed from now on; the latest correction of a meter stays known, though
    /// its row no longer says so. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn keep_terms(&self, terms: Vec<(MeterId, MeteringTerms)>) -> Result<(), StoreError> {
        let known = self.read(DOING, |c| {
            let mut known = c.prepare_cached(
                "SELECT terms FROM metering JOIN meters ON meters.no = metering.meter
                 WHERE meters.id = ?1",
            )?;
            let mut other = Vec::new();
            for (meter, mut terms) in terms {
                let before: Option<String> = known
                    .query_row([meter.as_str()], |row| row.get(0))
                    .optional()?;
                let before = before.and_then(|text| parsed(&text));
                let corrected_at = before.as_ref().and_then(|before| before.corrected_at);
                terms.corrected_at = terms.corrected_at.max(corrected_at);
                if before.as_ref() != Some(&terms)
                    && let Ok(text) = serde_json::to_string(&terms)
                {
                    other.push((meter, text));
                }
            }
            Ok(other)
        })?;
        if known.is_empty() {
            return Ok(());
        }
        let cache = Arc::clone(&self.cache);
        self.write_now("keeping what meters are settled by", move |t| {
            let mut cache = locked(&cache);
            for (meter, text) in &known {
                let number = ingest::number_of(t, &mut cache, meter)?;
                t.prepare_cached(
                    "INSERT INTO metering VALUES (?1, ?2)
                     ON CONFLICT DO UPDATE SET terms = excluded.terms",
                )?
                .execute(params![number, text])?;
            }
            Ok(())
        })
    }

    /// By what the curves of meters that have readings, or had some that retention dropped, were computed.
    /// Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn terms_in_use(&self) -> Result<BTreeMap<MeterId, MeteringTerms>, StoreError> {
        self.read(DOING, terms_in_use)
    }

    /// The same of a file that need not be opened for it, also while a daemon writes to it. Blocks.
    ///
    /// # Errors
    /// There is no file, or it is damaged or of another schema.
    pub fn terms_in_file(path: &Path) -> Result<BTreeMap<MeterId, MeteringTerms>, StoreError> {
        let database = Database::open_read_only(path, MIGRATIONS)?;
        database.read(|c| terms_in_use(c).map_err(database.error(DOING)))
    }
}

fn terms_in_use(c: &Connection) -> rusqlite::Result<BTreeMap<MeterId, MeteringTerms>> {
    let mut statement = c.prepare_cached(
        "SELECT meters.id, metering.terms FROM metering JOIN meters ON meters.no = metering.meter
         WHERE EXISTS (SELECT 1 FROM latest WHERE latest.meter = metering.meter)
            OR EXISTS (SELECT 1 FROM closed WHERE closed.meter = metering.meter)",
    )?;
    let mut rows = statement.query([])?;
    let mut of = BTreeMap::new();
    while let Some(row) = rows.next()? {
        if let Some(terms) = parsed(row.get_ref(1)?.as_str()?) {
            of.insert(row.get_ref(0)?.as_str()?.into(), terms);
        }
    }
    Ok(of)
}

/// One that cannot be read says nothing: the next pass keeps it anew.
fn parsed(text: &str) -> Option<MeteringTerms> {
    serde_json::from_str(text).ok()
}
