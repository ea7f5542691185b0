//! Watches the host's clock, and puts right what came while it was wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::run::clocks::Clocks;
use crate::store::StoreError;
use crate::store::journal::{ClockSpan, Journal};
use crate::validate::EntryLimits;
use crate::validate::host_clock::Step;

/// How often it is looked at, real time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What is known is kept, and what is amiss measured, this often.
const KEEP_EVERY: Duration = Duration::from_mins(1);

/// What is counted; a clone shares it.
#[derive(Debug, Clone, Default)]
pub struct HostClockMetrics {
    off_s: Gauge,
    steps: Counter,
    healed: Counter,
}

impl HostClockMetrics {
    /// Registers them as `qiliang_host_clock_…`.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        let registry = registry.sub_registry_with_prefix("qiliang_host_clock");
        registry.register(
            "off_seconds",
            "How far the host's clock is off, at least; negative if it is behind, 0 if nothing speaks against it",
            self.off_s.clone(),
        );
        registry.register(
            "steps",
            "Jumps of the host's clock by more than five minutes",
            self.steps.clone(),
        );
        registry.register(
            "healed_readings",
            "Readings that had been kept and not used because the host's clock was wrong, and are used now",
            self.healed.clone(),
        );
    }
}

/// What the task works on.
#[derive(Debug, Clone)]
pub struct HostClockDeps {
    /// What came, and where the time that is known is kept.
    pub journal: Journal,
    /// What is known of it, and of the devices' clocks.
    pub clocks: Clocks,
    /// Limits of the entry rules.
    pub limits: EntryLimits,
    /// The host's clock.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: HostClockMetrics,
}

impl HostClockDeps {
    /// Begins with what an earlier run knew, or with the latest arrival of a journal of an earlier program.
    /// Blocks.
    ///
    /// # Errors
    /// What the store says.
    pub fn begin(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let host = self.clocks.host();
        host.begin(now, None);
        host.begin(now, self.journal.known_time()?);
        Ok(())
    }

    /// Puts right what came in the time that a step ended: readings kept and not used because of their time
    /// alone, and the age of rejected frames. How many readings. Blocks.
    ///
    /// # Errors
    /// What the store says; what was put right before stays so.
    pub fn heal(&self, step: Step) -> Result<u64, StoreError> {
        // A clock that goes back had frames look too old, one that goes forward had them look ahead.
        let since = if step.by < TimeDelta::zero() {
            Some(step.since)
        } else {
            step.ahead_since
        };
        self.journal.shift_rejects(ClockSpan {
            from: step.since,
            until: step.until,
            by: step.by,
        })?;
        let Some(from) = since else {
            return Ok(0);
        };
        let (until, by) = (step.until, step.by);
        let healed = self
            .journal
            .heal_times(ClockSpan { from, until, by }, self.limits)?;
        self.metrics.healed.inc_by(healed);
        Ok(healed)
    }
}

/// Looks every second until told to stop.
///
/// # Errors
/// A panic of the worker.
pub async fn run(deps: HostClockDeps, stop: CancellationToken) -> anyhow::Result<()> {
    let host = deps.clocks.host();
    // A simulated clock has no other to be held against.
    let is_real = (deps.clock.factor() - 1.0).abs() < f64::EPSILON;
    let mut looked = (deps.clock.now(), Instant::now());
    let mut kept = Instant::now();
    // Frames that got their time before a step may be committed after it: once more at the next keeping.
    let mut to_heal: Vec<Step> = Vec::new();
    let mut has_ended = false;
    while !has_ended {
        tokio::select! {
            () = stop.cancelled() => has_ended = true,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let (now, at) = (deps.clock.now(), Instant::now());
        let passed = if is_real {
            TimeDelta::from_std(at - looked.1).unwrap_or_default()
        } else {
            now - looked.0
        };
        looked = (now, at);
        if let Some(step) = host.look(now, passed) {
            deps.metrics.steps.inc();
            deps.clocks.forget();
            warn!(
                code = "clock.step",
                "The host's clock went from {} to {} ({} s): what came before is looked at again",
                step.until,
                now,
                step.by.num_seconds()
            );
            heal(&deps, step).await?;
            to_heal.push(step);
        }
        if kept.elapsed() < KEEP_EVERY && !has_ended {
            continue;
        }
        kept = Instant::now();
        for step in to_heal.drain(..) {
            heal(&deps, step).await?;
        }
        let off = host.doubt(now).map(|doubt| doubt.offset());
        deps.metrics
            .off_s
            .set(off.unwrap_or_default().num_seconds());
        let Some(known) = host.known() else {
            continue;
        };
        let journal = deps.journal.clone();
        let put = tokio::task::spawn_blocking(move || journal.put_known_time(known)).await?;
        if let Err(error) = put {
            warn!(
                code = error.code(),
                "The time that is known is not kept: {error}"
            );
        }
    }
    Ok(())
}

async fn heal(deps: &HostClockDeps, step: Step) -> anyhow::Result<()> {
    let worker = deps.clone();
    match tokio::task::spawn_blocking(move || worker.heal(step)).await? {
        Ok(0) => {}
        Ok(healed) => info!(
            healed,
            "Readings that were kept and not used because of the host's clock are used now"
        ),
        Err(error) => warn!(
            code = error.code(),
            "What came while the host's clock was wrong is not put right now: {error}"
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::calendar::GasDayClock;
    use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
    use crate::domain::reading::Reading;
    use crate::store::journal::{FindingFilter, JournalEntry, RejectFilter};
    use crate::validate::check_entry;
    use crate::validate::rules::testing::{self, LIMITS};

    fn at(minute: i64) -> DateTime<Utc> {
        testing::at(0) + TimeDelta::minutes(minute)
    }

    struct Host {
        _dir: tempfile::TempDir,
        clock: Arc<ManualClock>,
        deps: HostClockDeps,
    }

    impl Host {
        fn new(minute: i64) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("readings.db");
            let journal = Journal::open(path, GasDayClock::default()).unwrap();
            let clock = Arc::new(ManualClock::new(at(minute)));
            let deps = HostClockDeps {
                journal,
                clocks: Clocks::default(),
                limits: LIMITS,
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                metrics: HostClockMetrics::default(),
            };
            deps.begin().unwrap();
            Self {
                _dir: dir,
                clock,
                deps,
            }
        }

        /// Time passes.
        fn pass_to(&self, minute: i64) {
            let passed = at(minute) - self.clock.now();
            self.clock.set(at(minute));
            let step = self.deps.clocks.host().look(at(minute), passed);
            assert_eq!(step, None);
        }

        /// A frame as ingestion takes it; whether it may be used.
        fn take(&self, meter: &str, sampled: i64, received: i64) -> bool {
            self.pass_to(received);
            let reading = Reading {
                meter: meter.into(),
                sampled_at: at(sampled),
                received_at: at(received),
                transport: Transport::Mqtt,
                ..testing::total(0, 1_000 + sampled)
            };
            let mut findings = check_entry(&reading, LIMITS);
            findings.extend(self.deps.clocks.observe(&reading, None));
            let entry = JournalEntry::Reading { reading, findings };
            self.deps.journal.commit_blocking(vec![entry]).unwrap();
            self.is_used(meter, sampled)
        }

        fn is_used(&self, meter: &str, sampled: i64) -> bool {
            let latest = self.deps.journal.latest(&meter.into()).unwrap();
            latest.is_some_and(|latest| latest.sampled_at == at(sampled))
        }

        fn reject(&self, received: i64) {
            self.pass_to(received);
            let frame = RawFrame {
                received_at: at(received),
                transport: Transport::Mqtt,
                origin: "gas/x/up".into(),
                device: None,
                bytes: received.to_string().into(),
            };
            let reject = JournalEntry::Reject(RejectedFrame {
                frame,
                meter: None,
                reason: RejectReason::new("decode.other", "no"),
            });
            self.deps.journal.commit_blocking(vec![reject]).unwrap();
        }

        /// Seconds from the arrival of the one rejected frame to an instant.
        fn reject_age_s(&self, minute: i64) -> i64 {
            let rejects = self.deps.journal.rejects(&RejectFilter::default()).unwrap();
            (at(minute) - rejects[0].last_received_at).num_seconds()
        }

        /// Runs the task while the clock is set.
        fn set_to(&self, minute: i64) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            let stop = CancellationToken::new();
            let task = run(self.deps.clone(), stop.clone());
            self.clock.set(at(minute));
            let stopper = async {
                tokio::time::sleep(LOOK_EVERY * 2).await;
                stop.cancel();
            };
            let (ended, ()) = runtime.block_on(async { tokio::join!(task, stopper) });
            ended.unwrap();
        }
    }

    #[test]
    fn what_came_while_the_host_was_three_hours_behind_is_used_once_its_clock_is_set() {
        // 08:00 by the host, 11:00 by all meters but two.
        let host = Host::new(0);
        let (journal, now) = (&host.deps.journal, at(1));
        assert!(!host.take("a", 181, 1));
        assert!(!host.take("b", 120, 1), "from the broker's backlog");
        assert!(!host.take("b", 180, 1));
        assert!(!host.take("fast", 181 + 360, 1));
        host.reject(1);
        assert!(host.deps.clocks.host().doubt(now).is_some());
        assert_eq!(journal.dirty_len().unwrap(), 0);

        host.set_to(181);
        assert!(host.is_used("a", 181));
        assert!(host.is_used("b", 180));
        let all = journal
            .readings_between(&"b".into(), at(0), at(200))
            .unwrap();
        assert_eq!(all.len(), 2);
        assert!(journal.dirty_len().unwrap() > 0, "curves are computed");
        assert!(!host.is_used("fast", 541), "six hours ahead all the same");
        let found = journal.findings(&FindingFilter::default()).unwrap();
        assert!(
            found
                .iter()
                .all(|f| f.subject.meter() == Some(&"fast".into()))
        );
        assert!(!found.is_empty());
        assert_eq!(host.deps.metrics.healed.get(), 3);
        assert!((0..10).contains(&host.reject_age_s(181)));
        assert!(host.take("a", 190, 190));
        assert_eq!(journal.check().unwrap().damage, []);
    }

    #[test]
    fn a_meter_that_is_ahead_by_itself_is_not_taken_into_use_by_a_step() {
        let host = Host::new(0);
        assert!(!host.take("fast", 60, 0));
        for minute in 1..4 {
            for meter in ["a", "b", "c"] {
                assert!(host.take(meter, minute, minute + 1));
            }
        }
        // The meter was set right; later the host jumps by an hour.
        assert!(host.take("fast", 61, 62));
        let before = host.deps.journal.findings(&FindingFilter::default());
        host.set_to(130);
        let after = host.deps.journal.findings(&FindingFilter::default());
        assert_eq!(after.unwrap(), before.unwrap());
    }

    #[test]
    fn what_came_while_the_host_was_years_ahead_is_used_once_its_clock_is_set() {
        let years = 2 * 365 * 1_440;
        let host = Host::new(years);
        assert!(!host.take("a", 1, years + 1), "stale by the wrong clock");
        host.reject(years + 1);
        host.set_to(2);
        assert!(host.is_used("a", 1));
        assert!((0..10).contains(&host.reject_age_s(2)));
    }

    #[test]
    fn what_is_known_is_kept_over_a_restart() {
        let host = Host::new(0);
        let journal = &host.deps.journal;
        assert_eq!(journal.known_time().unwrap(), None);
        host.reject(7);
        assert_eq!(journal.known_time().unwrap(), Some(at(7)));
        journal.put_known_time(at(9)).unwrap();
        host.clock.set(at(400 * 1_440));
        host.deps.begin().unwrap();
        let now = host.clock.now();
        assert_eq!(host.deps.clocks.host().dropping_time(now), at(9));
    }
}
