//! Observed demand by node and gas day.

use std::collections::BTreeSet;

use rusqlite::{Row, params};

use super::Book;
use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandNode};
use crate::domain::id::ZoneId;
use crate::store::error::StoreError;

fn demand_day(row: &Row<'_>) -> rusqlite::Result<Option<DemandDay>> {
    let Some(class) = CustomerClass::from_key(row.get_ref(2)?.as_str()?) else {
        return Ok(None);
    };
    let mut hours_m3 = [0.0; 24];
    let (chunks, _) = row.get_ref(3)?.as_blob()?.as_chunks::<8>();
    for (hour, chunk) in hours_m3.iter_mut().zip(chunks) {
        *hour = f64::from_le_bytes(*chunk);
    }
    Ok(Some(DemandDay {
        day: GasDay::from_epoch_day(row.get(0)?),
        node: DemandNode {
            zone: ZoneId::new(row.get::<_, String>(1)?),
            class,
        },
        hours_m3,
        coverage: row.get(4)?,
        uncertainty_m3: row.get(5)?,
    }))
}

impl Book {
    /// Demand of every node on the gas days `[from, to)`, by day, then node. Past months are read once.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn demand_days(&self, from: GasDay, to: GasDay) -> Result<Vec<DemandDay>, StoreError> {
        if self.is_ours() {
            let read = |from, to| self.read_demand_days(from, to);
            self.demand_months.between([from, to], read)
        } else {
            self.read_demand_days(from, to)
        }
    }

    fn read_demand_days(&self, from: GasDay, to: GasDay) -> Result<Vec<DemandDay>, StoreError> {
        let mut days: Vec<DemandDay> = self.read("reading demand", |c| {
            let mut statement = c.prepare_cached(
                "SELECT day, zone, class, hours, coverage, uncertainty FROM demand
                 WHERE day >= ?1 AND day < ?2",
            )?;
            let rows = statement.query_map([from.epoch_day(), to.epoch_day()], demand_day)?;
            rows.filter_map(Result::transpose).collect()
        })?;
        days.sort_by(|a, b| a.day.cmp(&b.day).then_with(|| a.node.cmp(&b.node)));
        Ok(days)
    }

    /// Gas days of `[from, to)` whose demand rests on an estimate or lacks one.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn estimated_days(&self, from: GasDay, to: GasDay) -> Result<BTreeSet<GasDay>, StoreError> {
        self.read("looking for estimated demand", |c| {
            c.prepare_cached(
                "SELECT DISTINCT day FROM demand
                 WHERE day >= ?1 AND day < ?2 AND (uncertainty > 0 OR coverage < 1)",
            )?
            .query_map([from.epoch_day(), to.epoch_day()], |row| {
                row.get(0).map(GasDay::from_epoch_day)
            })?
            .collect()
        })
    }
}

/// What is given for a day is all there is of it.
pub(super) fn replace(
    t: &rusqlite::Transaction<'_>,
    days: &[GasDay],
    demand: &[DemandDay],
) -> rusqlite::Result<()> {
    for day in days {
        t.prepare_cached("DELETE FROM demand WHERE day = ?1")?
            .execute([day.epoch_day()])?;
    }
    put(t, demand)
}

fn put(t: &rusqlite::Transaction<'_>, demand: &[DemandDay]) -> rusqlite::Result<()> {
    for day in demand {
        let hours: Vec<u8> = day.hours_m3.iter().flat_map(|h| h.to_le_bytes()).collect();
        t.prepare_cached("INSERT OR REPLACE INTO demand VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
            .execute(params![
                day.day.epoch_day(),
                day.node.zone.as_str(),
                day.node.class.key(),
                hours,
                day.coverage,
                day.uncertainty_m3
            ])?;
    }
    Ok(())
}
