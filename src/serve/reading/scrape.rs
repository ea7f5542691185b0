//! What `/metrics` says.

use std::collections::BTreeMap;

use super::{countable, in_book, journal_failed};
use crate::serve::figures::overview::meter_counts;
use crate::serve::metrics::{CollectCounts, Moment, WayIn};
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;

impl AppState {
    /// What `/metrics` reads at the moment of a scrape.
    pub(in crate::serve) fn moment(&self) -> Result<Moment, ApiProblem> {
        let registry = self.registry();
        let now = self.now();
        let meters = meter_counts(&registry, &self.heard()?, now);
        let rejects = countable(self.journal().reject_stats())?;
        let latest = in_book(self.book().forecast_runs_known_at(now, 1))?;
        let dirty = countable(self.journal().dirty_len())?;
        Ok(Moment {
            counts: CollectCounts {
                received: rejects.counters.received,
                accepted: rejects.counters.accepted,
                conflicts: rejects.counters.conflicts,
                rejected: rejects.counters.rejected,
                duplicates: rejects.counters.duplicate,
                rejected_by_code: rejects.by_code,
                reject_fates: BTreeMap::from([
                    ("waiting", rejects.waiting),
                    ("replayed", rejects.replayed),
                    ("dropped", rejects.dropped),
                    ("purged", rejects.purged),
                ]),
                reject_bytes: Some(rejects.bytes),
                journal_lag_s: None,
                dirty_curves: Some(dirty),
                set_aside: self.journal().set_aside_len().map_err(journal_failed)?,
                damaged: (self.journal().damage_seen().len() + self.book().damage_seen().len())
                    as u64,
                unserved: self.book().unserved().len() as u64,
            },
            meters: Some((meters.expected, meters.reporting)),
            coverage_ratio: (meters.expected > 0)
                .then(|| meters.reporting as f64 / meters.expected as f64),
            forecast_age_s: latest
                .first()
                .map(|run| (now - run.origin_at).as_seconds_f64()),
            ways_in: self.ways_in(),
        })
    }

    fn ways_in(&self) -> Vec<WayIn> {
        let health = self.collection();
        let brokers: Vec<_> = health.brokers.iter().map(|b| b.health.snapshot()).collect();
        let gateways = health.modbus.snapshot();
        let mut ways = vec![
            WayIn {
                kind: "broker",
                expected: brokers.len() as u64,
                connected: brokers.iter().filter(|b| b.is_connected).count() as u64,
                failures: brokers.iter().map(|b| b.sessions_lost).sum(),
            },
            WayIn {
                kind: "gateway",
                expected: gateways.len() as u64,
                connected: gateways.iter().filter(|g| g.is_connected).count() as u64,
                failures: gateways.iter().map(|g| g.errors).sum(),
            },
        ];
        if let Some(listener) = &health.listener {
            let now = listener.snapshot();
            ways.push(WayIn {
                kind: "listener",
                expected: 0,
                connected: now.connected,
                failures: now.refused,
            });
        }
        ways
    }
}
