//! A book that was written anew from a damaged one: what of it is to be computed again, and the record of it.

use std::collections::BTreeSet;

use super::{Book, audit};
use crate::domain::calendar::GasDay;
use crate::store::error::StoreError;
use crate::store::time::millis;
use chrono::{DateTime, Utc};

impl Book {
    /// Gas days with demand. Blocks.
    pub(in crate::store) fn days_with_demand(&self) -> Result<BTreeSet<GasDay>, StoreError> {
        self.read("reading which days have demand", |c| {
            c.prepare("SELECT DISTINCT day FROM demand")?
                .query_map([], |row| row.get(0).map(GasDay::from_epoch_day))?
                .collect()
        })
    }

    /// Drops the demand of gas days that is not whole: a node that is lost would count as one that had nothing.
    /// Blocks.
    pub(in crate::store) fn drop_demand(&self, days: BTreeSet<GasDay>) -> Result<(), StoreError> {
        self.write("dropping what is left of demand", move |t| {
            let mut drop_day = t.prepare_cached("DELETE FROM demand WHERE day = ?1")?;
            for day in &days {
                drop_day.execute([day.epoch_day()])?;
            }
            Ok(())
        })
    }

    /// Records that the book was salvaged and what was lost of it. Where the end of the audit log is lost, one
    /// number is left out, since nobody knows how many records there were: the chain tells of it for ever.
    /// Blocks.
    pub(in crate::store) fn record_salvage(
        &self,
        now: DateTime<Utc>,
        lost: String,
        is_end_lost: bool,
    ) -> Result<(), StoreError> {
        self.write("recording the salvage", move |t| {
            audit::append_after(
                t,
                &audit::Entry {
                    at: millis(now),
                    who: "qiliang",
                    action: "store.salvage",
                    subject: "qiliang.db",
                    reason: &lost,
                    digest: &[],
                },
                i64::from(is_end_lost),
            )
        })
    }
}
