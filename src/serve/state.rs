//! What handlers share: stores, registry, clock, and answers that many ask for at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::collect::health::CollectHealth;
use crate::collect::push::Push;
use crate::domain::calendar::GasDay;
use crate::domain::id::RunId;
use crate::domain::live::LiveEvent;
use crate::domain::registry::Registry;
use crate::ledger::entry::LedgerEntry;
use crate::serve::actions::Actions;
use crate::serve::api::forecast::RunSummary;
use crate::serve::documents;
use crate::serve::figures::instant_text;
use crate::serve::figures::overview::{Overview, Run, overview};
use crate::serve::live::{LiveHub, Notice};
use crate::serve::metrics::Metrics;
use crate::serve::problem::ApiProblem;
use crate::store::book::Book;
use crate::store::influx::{Influx, InfluxHealth};
use crate::store::journal::Journal;
use crate::validate::host_clock::HostClock;

/// An overview younger than this is given to whoever asks.
pub const CACHE_FOR: Duration = Duration::from_millis(900);

/// The ledger reads every large consumer's year; it is computed this many times less often.
const LEDGER_CACHE_FACTOR: u32 = 15;

/// Decoded runs kept: the latest, and the one that yesterday is compared with.
const RUNS_KEPT: usize = 3;

/// A store beside the journal that is told everything.
#[derive(Debug, Clone)]
pub struct SecondStore {
    /// The store.
    pub influx: Influx,
    /// How it does.
    pub health: InfluxHealth,
}

/// What an [`AppState`] is made of.
#[derive(Debug)]
pub struct AppParts {
    /// Readings, curves, rejects.
    pub journal: Journal,
    /// Weather, demand, runs, documents.
    pub book: Book,
    /// The second store, if there is one.
    pub second: Option<SecondStore>,
    /// The registry as it is swapped.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is known of that clock.
    pub host: HostClock,
    /// The program behind the API.
    pub actions: Arc<dyn Actions>,
    /// The way of pushed readings.
    pub push: Push,
    /// How the collectors fare.
    pub collection: CollectHealth,
    /// Metrics of the whole program.
    pub metrics: Arc<Metrics>,
    /// What other stages tell while it happens.
    pub events: broadcast::Sender<LiveEvent>,
    /// The clients of the live stream.
    pub live: LiveHub,
    /// Ends live streams.
    pub stop: CancellationToken,
    /// [`CACHE_FOR`]; zero computes for every request.
    pub cache_for: Duration,
}

/// What handlers share; a clone is a pointer.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: AppParts,
    overview: Cached<Overview>,
    ledger: Cached<LedgerSnapshot>,
    runs: Mutex<Vec<Arc<Run>>>,
    summaries: Mutex<BTreeMap<RunId, RunSummary>>,
    rate: Mutex<Option<Rate>>,
}

/// The ledger as of one instant.
#[derive(Debug)]
pub(super) struct LedgerSnapshot {
    pub(super) as_of: String,
    pub(super) rows: Arc<Vec<LedgerEntry>>,
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    at: Instant,
    received: u64,
    per_s: f64,
}

/// A value that many ask for and one computes; whoever comes meanwhile waits for it.
#[derive(Debug)]
struct Cached<T> {
    slot: Arc<tokio::sync::Mutex<Slot<T>>>,
    keep: Duration,
}

type Slot<T> = Option<(Instant, Arc<T>)>;

impl<T: Send + Sync + 'static> Cached<T> {
    fn new(keep: Duration) -> Self {
        Self {
            slot: Arc::default(),
            keep,
        }
    }

    /// What is kept, or what `compute` makes off the runtime. That goes on when whoever asked waits no
    /// longer: a request that was given up for its time finds it when it comes again.
    async fn get(
        &self,
        compute: impl FnOnce() -> Result<T, ApiProblem> + Send + 'static,
    ) -> Result<Arc<T>, ApiProblem> {
        let mut slot = Arc::clone(&self.slot).lock_owned().await;
        if let Some((at, value)) = slot.as_ref()
            && at.elapsed() < self.keep
        {
            return Ok(Arc::clone(value));
        }
        off_runtime(move || {
            let value = Arc::new(compute()?);
            *slot = Some((Instant::now(), Arc::clone(&value)));
            Ok(value)
        })
        .await
    }

    /// Computes it again for whoever asks next.
    async fn forget(&self) {
        *self.slot.lock().await = None;
    }
}

/// Runs what blocks off the runtime.
async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiProblem> + Send + 'static,
) -> Result<T, ApiProblem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ApiProblem::internal(
            "serve.internal",
            "something went wrong here; look in the log for the reference",
            error.to_string(),
        )),
    }
}

impl AppState {
    /// From its parts.
    pub fn new(parts: AppParts) -> Self {
        let keep = parts.cache_for;
        Self(Arc::new(Inner {
            parts,
            overview: Cached::new(keep),
            ledger: Cached::new(keep * LEDGER_CACHE_FACTOR),
            runs: Mutex::default(),
            summaries: Mutex::default(),
            rate: Mutex::default(),
        }))
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.0.parts.journal
    }

    pub(super) fn collection(&self) -> &CollectHealth {
        &self.0.parts.collection
    }

    pub(super) fn second(&self) -> Option<&SecondStore> {
        self.0.parts.second.as_ref()
    }

    pub(super) fn book(&self) -> &Book {
        &self.0.parts.book
    }

    pub(super) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.0.parts.registry.borrow())
    }

    pub(super) fn actions(&self) -> &dyn Actions {
        self.0.parts.actions.as_ref()
    }

    pub(super) fn push(&self) -> &Push {
        &self.0.parts.push
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    pub(super) fn shared_metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.0.parts.metrics)
    }

    pub(super) fn live(&self) -> &LiveHub {
        &self.0.parts.live
    }

    /// What other stages tell from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.0.parts.events.subscribe()
    }

    /// Tells clients what another stage told, unless a store will.
    pub fn relay(&self, event: &LiveEvent) {
        if let Some(notice) = documents::event_notice(event, self.now(), self.gas_day()) {
            self.live().notice(notice);
        }
    }

    pub(super) fn stop_token(&self) -> CancellationToken {
        self.0.parts.stop.clone()
    }

    pub(super) fn host(&self) -> &HostClock {
        &self.0.parts.host
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.0.parts.clock.now()
    }

    pub(super) fn time_factor(&self) -> f64 {
        self.0.parts.clock.factor()
    }

    /// The gas day that runs.
    pub(super) fn gas_day(&self) -> GasDay {
        self.registry()
            .company
            .gas_day_start_hour
            .day_of(self.now())
    }

    /// Runs what blocks off the runtime.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ApiProblem> + Send + 'static,
    ) -> Result<T, ApiProblem> {
        let state = self.clone();
        off_runtime(move || work(&state)).await
    }

    /// The overview, at most [`CACHE_FOR`] old.
    pub(super) async fn overview(&self) -> Result<Arc<Overview>, ApiProblem> {
        // A ledger that fails leaves its own list empty, not the page.
        let ledger = match self.ledger().await {
            Ok(ledger) => Arc::clone(&ledger.rows),
            Err(problem) => {
                problem.log("Overview without the ledger");
                Arc::default()
            }
        };
        let state = self.clone();
        let overview = move || Ok(overview(&state.facts(ledger)?));
        self.0.overview.get(overview).await
    }

    /// The ledger, some seconds old at most.
    pub(super) async fn ledger(&self) -> Result<Arc<LedgerSnapshot>, ApiProblem> {
        let state = self.clone();
        let ledger = move || {
            Ok(LedgerSnapshot {
                as_of: instant_text(state.now()),
                rows: Arc::new(state.actions().ledger()?),
            })
        };
        self.0.ledger.get(ledger).await
    }

    /// Ledger and overview are made anew for whoever asks next: something was entered that they stand on.
    pub(super) async fn forget_ledger(&self) {
        self.0.ledger.forget().await;
        self.0.overview.forget().await;
    }

    /// The latest run; 404 as long as there is none.
    pub(super) async fn latest_run(&self) -> Result<Arc<Run>, ApiProblem> {
        self.blocking(Self::run_now).await?.ok_or_else(|| {
            ApiProblem::not_found(
                "forecast.none_yet",
                "no forecast has been made yet; the first run starts when a few weeks of demand are known",
            )
        })
    }

    /// What happened lately, from stores and program, newest first.
    pub(super) async fn notices(&self, limit: usize) -> Result<Vec<Notice>, ApiProblem> {
        let mut notices = self.stored_notices(limit).await?;
        notices.extend(self.live().recent());
        notices.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.cmp(b)));
        notices.truncate(limit);
        Ok(notices)
    }

    /// What the stores say happened lately, newest first.
    pub(super) async fn stored_notices(&self, limit: usize) -> Result<Vec<Notice>, ApiProblem> {
        self.blocking(move |state| state.notices_now(limit)).await
    }

    /// A decoded run that is kept, or the one that `load` gives.
    pub(super) fn run(
        &self,
        id: &RunId,
        load: impl FnOnce() -> Result<Option<Run>, ApiProblem>,
    ) -> Result<Option<Arc<Run>>, ApiProblem> {
        let lock = || self.0.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = lock().iter().find(|run| run.forecast.run_id == *id) {
            return Ok(Some(Arc::clone(run)));
        }
        let Some(run) = load()?.map(Arc::new) else {
            return Ok(None);
        };
        let mut runs = lock();
        runs.insert(0, Arc::clone(&run));
        runs.truncate(RUNS_KEPT);
        Ok(Some(run))
    }

    /// The lines of some runs: a run never changes, so each is decoded for its line once. Lines of
    /// other runs are forgotten.
    pub(super) fn summaries(
        &self,
        ids: &[RunId],
        summarise: impl Fn(&RunId) -> Result<Option<RunSummary>, ApiProblem>,
    ) -> Result<Vec<RunSummary>, ApiProblem> {
        let lock = || {
            self.0
                .summaries
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        let mut known = lock().clone();
        let mut lines = Vec::with_capacity(ids.len());
        let mut kept = BTreeMap::new();
        for id in ids {
            let line = match known.remove(id) {
                Some(line) => Some(line),
                None => summarise(id)?,
            };
            if let Some(line) = line {
                kept.insert(id.clone(), line.clone());
                lines.push(line);
            }
        }
        *lock() = kept;
        Ok(lines)
    }

    /// Frames in a real second, over the last second or more.
    pub(super) fn rate_per_s(&self, received: u64) -> f64 {
        let mut rate = self.0.rate.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(before) = *rate else {
            *rate = Some(Rate {
                at: now,
                received,
                per_s: 0.0,
            });
            return 0.0;
        };
        let seconds = (now - before.at).as_secs_f64();
        if seconds < 1.0 {
            return before.per_s;
        }
        let per_s = received.saturating_sub(before.received) as f64 / seconds;
        *rate = Some(Rate {
            at: now,
            received,
            per_s,
        });
        per_s
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn one_more(computed: &Arc<AtomicU32>) -> u32 {
        computed.fetch_add(1, Ordering::Relaxed) + 1
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_computation() {
        let cached: Cached<u32> = Cached::new(Duration::from_hours(1));
        let computed = Arc::new(AtomicU32::new(0));
        let ask = || {
            let computed = Arc::clone(&computed);
            cached.get(move || Ok(one_more(&computed)))
        };
        let answers = futures_util::future::join_all((0..20).map(|_| ask())).await;
        assert!(answers.iter().all(|a| a.as_deref() == Ok(&1)));
        assert_eq!(computed.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let cached: Cached<u32> = Cached::new(Duration::from_hours(1));
        let problem = ApiProblem::not_found("test.none", "none");
        assert!(cached.get(move || Err(problem)).await.is_err());
        assert_eq!(cached.get(|| Ok(7)).await.as_deref(), Ok(&7));
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_found_by_who_asks_again() {
        let cached: Cached<u32> = Cached::new(Duration::from_hours(1));
        let computed = Arc::new(AtomicU32::new(0));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let of_first = Arc::clone(&computed);
        let first = cached.get(move || {
            wait.recv().ok();
            Ok(one_more(&of_first))
        });
        // The request's time is up before the answer is made.
        assert!(tokio::time::timeout(Duration::ZERO, first).await.is_err());
        go.send(()).unwrap();
        let of_second = Arc::clone(&computed);
        let second = cached.get(move || Ok(one_more(&of_second))).await;
        assert_eq!(second.as_deref(), Ok(&1));
        assert_eq!(computed.load(Ordering::Relaxed), 1);
    }
}
