//! The devices' clocks: held against the time of arrival, flagged when off, kept over a restart; and the
//! host's, held against theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::domain::finding::Finding;
use crate::domain::frame::Transport;
use crate::domain::id::MeterId;
use crate::domain::reading::Reading;
use crate::store::StoreError;
use crate::store::journal::{Journal, StoredClock};
use crate::validate::clock::ClockWatch;
use crate::validate::host_clock::HostClock;
use crate::validate::rules::v02_time;

/// A clock is off when it is off by more than this (V02).
pub const DRIFT_LIMIT: TimeDelta = TimeDelta::minutes(5);
/// A clock that stays off is told again after this time.
const FLAG_AGAIN: TimeDelta = TimeDelta::hours(24);
/// What was measured is kept this often.
const KEEP_EVERY: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    watch: ClockWatch,
    flagged_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<MeterId, Known>,
    changed: BTreeSet<MeterId>,
}

/// All clocks; a clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    inner: Arc<Mutex<Inner>>,
    host: HostClock,
    off: Family<Direction, Gauge>,
    worst_s: Family<Direction, Gauge>,
}

impl Clocks {
    /// With what is known from before. Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn load(&self, journal: &Journal) -> Result<(), StoreError> {
        let clocks = journal.clocks()?;
        let mut inner = self.inner();
        for clock in clocks {
            let known = Known {
                watch: clock.watch,
                flagged_at: clock.flagged_at,
            };
            inner.known.entry(clock.meter).or_insert(known);
        }
        drop(inner);
        self.measure();
        Ok(())
    }

    /// The host's own.
    pub fn host(&self) -> HostClock {
        self.host.clone()
    }

    /// Forgets what was measured by a host's clock that has been set since.
    pub fn forget(&self) {
        self.inner().known.clear();
    }

    /// Registers the gauges as `qiliang_validate_clocks_…`.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        let registry = registry.sub_registry_with_prefix("qiliang_validate");
        registry.register(
            "clocks_off",
            "Meters whose clock is off by more than five minutes",
            self.off.clone(),
        );
        registry.register(
            "clocks_off_worst_seconds",
            "How far the worst of these clocks is off",
            self.worst_s.clone(),
        );
    }

    /// Takes what a frame showed of its device's clock; a finding where the clock is off and that was
    /// not said within a day.
    ///
    /// An import is history and shows no clock.
    pub fn observe(
        &self,
        reading: &Reading,
        decoded_clock: Option<DateTime<Utc>>,
    ) -> Option<Finding> {
        if reading.transport == Transport::Import {
            return None;
        }
        // A poll reads the device's clock at that moment; elsewhere a reading may be older than its
        // frame, unless the frame tells the time of sending.
        let is_sent = decoded_clock.is_some() || reading.transport == Transport::Modbus;
        let shown_at = decoded_clock.unwrap_or(reading.sampled_at);
        let received_at = reading.received_at;
        self.host.hear(&reading.meter, shown_at, received_at);
        let mut inner = self.inner();
        let Inner { known, changed } = &mut *inner;
        let entry = if let Some(entry) = known.get_mut(&reading.meter) {
            let before = entry.watch;
            entry.watch.observe(is_sent, shown_at, received_at);
            if before != entry.watch && !changed.contains(&reading.meter) {
                changed.insert(reading.meter.clone());
            }
            entry
        } else {
            changed.insert(reading.meter.clone());
            known.entry(reading.meter.clone()).or_insert(Known {
                watch: ClockWatch::new(is_sent, shown_at, received_at),
                flagged_at: None,
            })
        };
        let drift = entry.watch.drift(DRIFT_LIMIT)?;
        if entry
            .flagged_at
            .is_some_and(|flagged| received_at - flagged < FLAG_AGAIN)
        {
            return None;
        }
        entry.flagged_at = Some(received_at);
        Some(v02_time::clock(
            reading,
            drift.minutes(),
            drift.arrivals.into(),
        ))
    }

    /// Counts the clocks that are off.
    fn measure(&self) {
        let (mut ahead, mut behind) = ((0, 0), (0, 0));
        for known in self.inner().known.values() {
            if let Some(drift) = known.watch.drift(DRIFT_LIMIT) {
                let side = if drift.offset_s > 0 {
                    &mut ahead
                } else {
                    &mut behind
                };
                side.0 += 1;
                side.1 = drift.offset_s.abs().max(side.1);
            }
        }
        for (direction, (count, worst)) in [("ahead", ahead), ("behind", behind)] {
            let label = Direction { direction };
            self.off.get_or_create(&label).set(count);
            self.worst_s.get_or_create(&label).set(worst);
        }
    }

    fn changed(&self) -> Vec<StoredClock> {
        let mut inner = self.inner();
        let changed = std::mem::take(&mut inner.changed);
        changed
            .into_iter()
            .filter_map(|meter| {
                let known = inner.known.get(&meter)?;
                Some(StoredClock {
                    meter,
                    watch: known.watch,
                    flagged_at: known.flagged_at,
                })
            })
            .collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what was measured every minute, and once more at the end.
///
/// # Errors
/// None: what cannot be kept now is kept the next time, and measured again after a restart.
pub async fn keep(clocks: Clocks, journal: Journal, stop: CancellationToken) -> anyhow::Result<()> {
    let mut has_ended = false;
    while !has_ended {
        tokio::select! {
            () = stop.cancelled() => has_ended = true,
            () = tokio::time::sleep(KEEP_EVERY) => {}
        }
        clocks.measure();
        let changed = clocks.changed();
        if changed.is_empty() {
            continue;
        }
        let journal = journal.clone();
        let kept = tokio::task::spawn_blocking(move || journal.put_clocks(changed)).await?;
        if let Err(error) = kept {
            warn!(code = error.code(), "Clocks are not kept: {error}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::GasDayClock;
    use crate::domain::finding::{RuleId, Severity};
    use crate::domain::reading::AlarmSet;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-11-21T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    fn reading(transport: Transport, sampled: i64, received: i64) -> Reading {
        Reading {
            meter: "m".into(),
            sampled_at: at(sampled),
            received_at: at(received),
            transport,
            values: Vec::new(),
            frozen: Vec::new(),
            alarms: AlarmSet::default(),
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_once_a_day_with_its_minutes() {
        let clocks = Clocks::default();
        let found: Vec<Finding> = (0..48)
            .filter_map(|hour| {
                let shown = at(hour * 60 - 17);
                clocks.observe(
                    &reading(Transport::Mqtt, hour * 60 - 60, hour * 60),
                    Some(shown),
                )
            })
            .collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            (found[0].rule, found[0].severity),
            (RuleId::V02, Severity::Suspect)
        );
        assert!(
            found[0].message_en().contains("17 min behind"),
            "{}",
            found[0].message_en()
        );
        clocks.measure();
        let behind = Direction {
            direction: "behind",
        };
        assert_eq!(clocks.off.get_or_create(&behind).get(), 1);
        assert_eq!(clocks.worst_s.get_or_create(&behind).get(), 17 * 60);
        // The last was told at hour 24; a clock ahead is told at once, but not twice within a day.
        let ahead = reading(Transport::Modbus, 2_839, 2_830);
        assert_eq!(clocks.observe(&ahead, None), None);
        let ahead = reading(Transport::Modbus, 4_329, 4_320);
        let told = clocks.observe(&ahead, None).unwrap();
        assert!(
            told.message_en().contains("9 min ahead"),
            "{}",
            told.message_en()
        );
    }

    #[test]
    fn a_late_burst_and_an_import_show_no_clock() {
        let clocks = Clocks::default();
        for hour in 0..30 {
            assert_eq!(
                clocks.observe(&reading(Transport::Mqtt, hour * 60, hour * 60), None),
                None
            );
        }
        for hour in 30..40 {
            // Ten hours in a queue, then all at once.
            let late = reading(Transport::Mqtt, hour * 60, 40 * 60);
            assert_eq!(clocks.observe(&late, Some(at(hour * 60))), None);
        }
        assert_eq!(
            clocks.observe(&reading(Transport::Import, 99_999, 0), None),
            None
        );
    }

    #[test]
    fn what_was_measured_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let journal =
            Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap();
        let clocks = Clocks::default();
        assert!(
            clocks
                .observe(&reading(Transport::Mqtt, 12, 0), None)
                .is_some()
        );
        journal.put_clocks(clocks.changed()).unwrap();
        assert!(clocks.changed().is_empty(), "kept once");
        let again = Clocks::default();
        again.load(&journal).unwrap();
        let ahead = Direction { direction: "ahead" };
        assert_eq!(again.off.get_or_create(&ahead).get(), 1);
        assert_eq!(
            again.observe(&reading(Transport::Mqtt, 72, 60), None),
            None,
            "told already"
        );
    }
}
