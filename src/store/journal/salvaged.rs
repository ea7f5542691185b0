//! Readings from a damaged file, put into a new one.

use rusqlite::{OptionalExtension as _, params};

use super::body::{Body, Stand};
use super::inbox::Rows;
use super::{Journal, ingest, locked, place};
use crate::domain::calendar::GasDay;
use crate::domain::id::MeterId;
use crate::store::error::StoreError;

/// A stored reading as it stood in another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct StoredReading {
    pub(in crate::store) number: i64,
    pub(in crate::store) at: i64,
    pub(in crate::store) received_at: i64,
    pub(in crate::store) body: Vec<u8>,
}

impl StoredReading {
    /// Whether its bytes are those that were written for this meter and instant.
    pub(in crate::store) fn is_sound(&self) -> bool {
        let stand = Stand {
            number: self.number,
            at: self.at,
            received_at: self.received_at,
        };
        Body::decode(stand, &self.body).is_some()
    }
}

/// Readings that a row of the inbox holds; none if its bytes are not of that form.
pub(in crate::store) fn of_inbox(bytes: &[u8]) -> Option<Vec<StoredReading>> {
    let mut rows = Rows::default();
    rows.read(crate::domain::calendar::GasDayClock::default(), bytes)?;
    let len = rows.len();
    let stored = rows.slice(0..len).map(|(row, body)| StoredReading {
        number: row.number,
        at: row.at,
        received_at: row.received_at,
        body: body.to_vec(),
    });
    Some(stored.collect())
}

impl Journal {
    /// Puts sound readings at their place, joined with what is there, without counting them. Unless they
    /// `are_new` their days are not marked and the second store is not told: their curves and keys come from
    /// the other file, too. Meters whose name was lost get one from their number. Blocks.
    pub(in crate::store) fn put_salvaged(
        &self,
        readings: Vec<StoredReading>,
        are_new: bool,
    ) -> Result<(), StoreError> {
        let clock = self.clock();
        let cache = std::sync::Arc::clone(&self.cache);
        self.write_now("writing salvaged readings", move |t| {
            let mut rows = Rows::default();
            for reading in &readings {
                t.prepare_cached("INSERT OR IGNORE INTO meters VALUES (?1, ?2)")?
                    .execute(params![
                        reading.number,
                        format!("salvaged-{}", reading.number)
                    ])?;
                rows.add_stored(clock, reading)
                    .ok_or_else(place::unreadable)?;
            }
            ingest::put_salvaged(t, &mut locked(&cache), clock, &mut rows, are_new)
        })
    }

    /// Marks days that have readings and no curve, unless they are closed. Blocks.
    pub(in crate::store) fn mark_days_without_curves(&self) -> Result<(), StoreError> {
        self.write_now("marking days without curves", |t| {
            t.execute(
                "INSERT OR IGNORE INTO dirty
                 SELECT DISTINCT r.day, r.meter, 0 FROM readings r
                 WHERE NOT EXISTS (SELECT 1 FROM curves c WHERE c.day = r.day AND c.meter = r.meter)
                   AND NOT EXISTS
                     (SELECT 1 FROM closed WHERE closed.meter = r.meter AND r.day < before_day)",
                [],
            )
            .map(drop)
        })
    }

    /// The name of a meter's number, if there is one. Blocks.
    pub(in crate::store) fn name_of(&self, number: i64) -> Result<Option<MeterId>, StoreError> {
        self.read("reading a meter's name", |c| {
            c.prepare_cached("SELECT id FROM meters WHERE no = ?1")?
                .query_row([number], |row| row.get::<_, String>(0))
                .optional()
        })
        .map(|name| name.map(MeterId::new))
    }

    /// The gas day of an instant, ms.
    pub(in crate::store) fn day_of_ms(&self, at: i64) -> GasDay {
        GasDay::from_epoch_day(ingest::epoch_day(self.clock(), at))
    }
}
