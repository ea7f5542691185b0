//! Joins rooms that do not know each other: profiles to ingestion, the ledger's demand to curves.

use std::sync::Arc;

use prometheus_client::registry::Registry as MetricRegistry;
use tokio::sync::{Notify, broadcast};

use crate::decode::DecodeContext;
use crate::domain::live::LiveEvent;
use crate::run::app::App;
use crate::run::clocks::Clocks;
use crate::run::compaction::StoreMetrics;
use crate::run::curves::CurveDeps;
use crate::run::estimating::Estimator;
use crate::run::forwarding::ForwardHealth;
use crate::run::host_clock::{HostClockDeps, HostClockMetrics};
use crate::run::ingest::{Decode, IngestDeps, IngestMetrics, entry_limits};
use crate::run::retention::RetentionDeps;
use crate::validate::estimate::CONTRACT_DAYS;

/// What ingestion and curves share.
#[derive(Debug, Clone)]
pub struct Stages {
    /// Woken after each commit.
    pub wake: Arc<Notify>,
    /// Events for live views.
    pub live: broadcast::Sender<LiveEvent>,
    /// Counters of ingestion.
    pub metrics: IngestMetrics,
    /// The devices' clocks.
    pub clocks: Clocks,
    /// How the host's clock does.
    pub host: HostClockMetrics,
    /// How the second store does.
    pub forward: ForwardHealth,
    /// How large the files are.
    pub store: StoreMetrics,
}

impl Default for Stages {
    fn default() -> Self {
        Self {
            wake: Arc::default(),
            live: broadcast::Sender::new(1_024),
            metrics: IngestMetrics::default(),
            clocks: Clocks::default(),
            host: HostClockMetrics::default(),
            forward: ForwardHealth::default(),
            store: StoreMetrics::default(),
        }
    }
}

impl Stages {
    /// Adds the counters to the program's metrics.
    pub fn register(&self, registry: &mut MetricRegistry) {
        self.metrics.register(registry);
        self.clocks.register(registry);
        self.host.register(registry);
        self.forward.register(registry);
        self.store.register(registry);
    }
}

/// Decoding with the profiles and keys in force at that moment; rows imported from CSV know their own.
pub fn decoder(app: &App) -> Decode {
    let (profiles, keys) = (app.profiles.clone(), app.keys.clone());
    Arc::new(move |bound, frame| {
        let profile = profiles.borrow().for_frame(frame, bound).cloned()?;
        let keys = Arc::clone(&keys.borrow());
        Some(profile.decode(&frame.bytes, &DecodeContext::of(frame, &keys)))
    })
}

/// For [`crate::run::ingest::run`].
pub fn ingest(app: &App, stages: &Stages) -> IngestDeps {
    IngestDeps {
        journal: app.journal.clone(),
        decode: decoder(app),
        registry: app.registry.clone(),
        settings: app.settings.ingest.clone(),
        kept: Arc::new(app.settings.retention.clone()),
        clock: Arc::clone(&app.clock),
        metrics: stages.metrics.clone(),
        clocks: stages.clocks.clone(),
        live: stages.live.clone(),
        wake: Arc::clone(&stages.wake),
    }
}

/// For [`crate::run::host_clock::run`].
pub fn host_clock(app: &App, stages: &Stages) -> HostClockDeps {
    HostClockDeps {
        journal: app.journal.clone(),
        clocks: stages.clocks.clone(),
        limits: entry_limits(&app.settings.ingest),
        clock: Arc::clone(&app.clock),
        metrics: stages.host.clone(),
    }
}

/// For [`crate::run::retention::run`].
pub fn retention(app: &App, stages: &Stages) -> RetentionDeps {
    RetentionDeps {
        journal: app.journal.clone(),
        book: app.book.clone(),
        registry: app.registry.clone(),
        rejects: app.settings.rejects.clone(),
        kept: app.settings.retention.clone(),
        clock: Arc::clone(&app.clock),
        host: stages.clocks.host(),
        metrics: stages.store.clone(),
    }
}

/// For [`crate::run::curves::run`]: hours without a value are estimated.
pub fn curves(app: &App, stages: &Stages) -> CurveDeps {
    let estimator = Estimator::new(app);
    CurveDeps {
        journal: app.journal.clone(),
        book: app.book.clone(),
        registry: app.registry.clone(),
        sum_day: Arc::new(move |day, curves| estimator.sum_day(day, curves)),
        fill_days: CONTRACT_DAYS,
        calendar: app.calendar.clone(),
        limits: app.limits.clone(),
        clock: Arc::clone(&app.clock),
        live: stages.live.clone(),
    }
}
