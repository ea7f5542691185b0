//! From delivery to acknowledgement: batch, decode, check, commit, and only then acknowledge.
//!
//! **Invariant:** a frame is acknowledged only after what became of it is on disk. On a store
//! error the batch is kept and tried again; nothing is acknowledged, nothing dropped, and the
//! bounded queues behind hold the senders back.

mod assess;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info};

use crate::clock::Clock;
use crate::collect::{Ack, Delivery, FrameOutcome};
use crate::domain::finding::Severity;
use crate::domain::frame::RawFrame;
use crate::domain::live::LiveEvent;
use crate::domain::registry::Registry;
use crate::domain::text::error_chain;
use crate::run::clocks::Clocks;
use crate::settings::{IngestSettings, RetentionSettings};
use crate::store::StoreError;
use crate::store::journal::{CommitReport, EntryOutcome, Journal, JournalEntry};

pub use self::assess::{Assessor, Decode, entry_limits};

/// Decoded batches that may wait for the disk: one is committed, one waits, one is decoded.
const DECODED_MAX: usize = 1;
/// Batches of so many frames are a stream: their readings are put at their place later.
const BUSY_FROM: usize = 256;
/// While more readings than this are not at their place, the next few do not take all of these along, which
/// would be one long commit.
const BACKLOG: u64 = 20_000;
/// Readings that are not at their place come to it when no batch has followed for so long.
const SETTLE_AFTER: Duration = Duration::from_millis(100);
/// First and longest wait before a failed commit is tried again.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(200);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(15);
/// Rejects and findings of one batch that live views are told of.
const EVENTS_MAX: usize = 20;

/// What ingestion needs.
#[derive(Clone)]
pub struct IngestDeps {
    /// Where it goes.
    pub journal: Journal,
    /// How bytes are decoded; looks at the profiles in force at that moment.
    pub decode: Decode,
    /// Which device is which meter.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// Batches and limits.
    pub settings: IngestSettings,
    /// How long readings stay.
    pub kept: Arc<RetentionSettings>,
    /// The time, for live events.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: IngestMetrics,
    /// The devices' clocks.
    pub clocks: Clocks,
    /// Live views.
    pub live: broadcast::Sender<LiveEvent>,
    /// Woken after each commit: the curve worker waits on it.
    pub wake: Arc<Notify>,
}

impl std::fmt::Debug for IngestDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IngestDeps")
            .field("journal", &self.journal)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Counters of ingestion: `received = accepted + duplicate + rejected` once the queue is empty.
#[derive(Debug, Clone, Default)]
pub struct IngestMetrics {
    /// Frames taken from the queue.
    pub received: Counter,
    /// Readings that said something new.
    pub accepted: Counter,
    /// Readings that said only what was known.
    pub duplicate: Counter,
    /// Rejected frames by code.
    pub rejected: Family<Vec<(String, String)>, Counter>,
    /// Commits that failed and were tried again.
    pub commit_failures: Counter,
}

impl IngestMetrics {
    /// Registers the counters as `qiliang_ingest_…`.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        let registry = registry.sub_registry_with_prefix("qiliang_ingest");
        let counters = [
            (
                "received_frames",
                "Frames taken from the queue",
                &self.received,
            ),
            (
                "accepted_readings",
                "Readings that said something new",
                &self.accepted,
            ),
            (
                "duplicate_readings",
                "Readings that were known",
                &self.duplicate,
            ),
            (
                "commit_failures",
                "Commits that failed and were tried again",
                &self.commit_failures,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "rejected_frames",
            "Rejected frames by code",
            self.rejected.clone(),
        );
    }
}

#[derive(Default)]
struct Batch {
    entries: Vec<JournalEntry>,
    acks: Vec<Ack>,
}

impl Batch {
    fn join(&mut self, mut other: Self) {
        self.entries.append(&mut other.entries);
        self.acks.append(&mut other.acks);
    }
}

/// Runs until the channel is closed and everything in it is committed and acknowledged.
///
/// # Errors
/// A store error that waiting cannot mend. What was not committed stays unacknowledged.
pub async fn run(receiver: mpsc::Receiver<Delivery>, deps: IngestDeps) -> Result<(), StoreError> {
    let (decoded, to_commit) = mpsc::channel(DECODED_MAX);
    tokio::try_join!(
        decode_batches(receiver, &deps, decoded),
        commit_batches(to_commit, &deps),
    )?;
    Ok(())
}

async fn decode_batches(
    mut receiver: mpsc::Receiver<Delivery>,
    deps: &IngestDeps,
    decoded: mpsc::Sender<Batch>,
) -> Result<(), StoreError> {
    let max = deps.settings.batch_max.max(1);
    let wait = Duration::from_millis(deps.settings.batch_wait_ms);
    loop {
        let mut deliveries = Vec::new();
        if receiver.recv_many(&mut deliveries, max).await == 0 {
            return Ok(());
        }
        // Few frames wait for company. Many do not: the sender may have a window of unacknowledged
        // messages, and once it is full nothing more comes until these are committed.
        let deadline = Instant::now() + wait;
        while deliveries.len() < max.min(BUSY_FROM) {
            let room = max - deliveries.len();
            match timeout_at(deadline, receiver.recv_many(&mut deliveries, room)).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        deps.metrics.received.inc_by(deliveries.len() as u64);
        let batch = decode_batch(deliveries, deps).await?;
        if decoded.send(batch).await.is_err() {
            // The committing side has ended with the error that `run` returns.
            return Ok(());
        }
    }
}

async fn decode_batch(deliveries: Vec<Delivery>, deps: &IngestDeps) -> Result<Batch, StoreError> {
    let (frames, acks): (Vec<RawFrame>, Vec<Ack>) = deliveries
        .into_iter()
        .map(|delivery| (delivery.frame, delivery.ack))
        .unzip();
    let reader = Assessor {
        registry: Arc::clone(&deps.registry.borrow()),
        decode: Arc::clone(&deps.decode),
        limits: entry_limits(&deps.settings),
        kept: Arc::clone(&deps.kept),
        clocks: Some(deps.clocks.clone()),
    };
    let entries = tokio::task::spawn_blocking(move || reader.assess_all(frames)).await;
    let entries = entries.map_err(|_| StoreError::WriterStopped {
        path: deps.journal.path().to_owned(),
    })?;
    Ok(Batch { entries, acks })
}

async fn commit_batches(
    mut batches: mpsc::Receiver<Batch>,
    deps: &IngestDeps,
) -> Result<(), StoreError> {
    let mut waiting = 0;
    let mut is_settling = false;
    loop {
        let next = if waiting == 0 {
            Ok(batches.recv().await)
        } else if is_settling {
            // What came meanwhile goes first.
            match batches.try_recv() {
                Ok(batch) => Ok(Some(batch)),
                Err(TryRecvError::Disconnected) => Ok(None),
                Err(TryRecvError::Empty) => Err(()),
            }
        } else {
            timeout(SETTLE_AFTER, batches.recv()).await.map_err(drop)
        };
        let (mut batch, is_last) = match next {
            Ok(Some(batch)) => (batch, false),
            Ok(None) => (Batch::default(), true),
            Err(()) => (Batch::default(), false),
        };
        if batch.entries.is_empty() && waiting == 0 {
            return Ok(());
        }
        // What was decoded during the last commit shares one fsync.
        while let Ok(more) = batches.try_recv() {
            batch.join(more);
        }
        let entries = Arc::new(batch.entries);
        let pace = if batch.acks.iter().any(Ack::wants_outcome) {
            Pace::Reporting
        } else if is_last {
            Pace::Calm
        } else if entries.is_empty() {
            Pace::Settling
        } else if entries.len() >= BUSY_FROM || waiting > BACKLOG {
            Pace::Busy
        } else {
            Pace::Calm
        };
        is_settling = pace == Pace::Settling;
        // Who asks for outcomes needs all that came before at its place, and so does whoever stops: not in one
        // commit, behind which everyone would wait.
        while waiting > BACKLOG && (pace == Pace::Reporting || is_last) {
            let (report, _) = commit(&Arc::default(), Pace::Settling, deps).await?;
            waiting = report.waiting;
            tell(&[], &report, deps);
        }
        let (report, outcomes) = commit(&entries, pace, deps).await?;
        waiting = report.waiting;
        acknowledge(batch.acks, &entries, &outcomes);
        deps.wake.notify_one();
        tell(&entries, &report, deps);
        if is_last {
            return Ok(());
        }
    }
}

/// How a batch is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Readings come in such numbers that they are put at their place later, many at a time.
    Busy,
    Calm,
    /// Nothing came: some of what waits is put at its place.
    Settling,
    /// Someone wants to know what became of a frame: only a reading at its place can tell.
    Reporting,
}

/// Tells whoever waits. `outcomes` is empty where nobody asked for them.
fn acknowledge(acks: Vec<Ack>, entries: &[JournalEntry], outcomes: &[EntryOutcome]) {
    let mut outcomes = entries.iter().zip(outcomes);
    for ack in acks {
        match outcomes.next() {
            Some((entry, outcome)) if ack.wants_outcome() => {
                ack.tell(frame_outcome(entry, *outcome));
            }
            _ => ack.done(),
        }
    }
}

/// What the sender of a frame is told.
pub(crate) fn frame_outcome(entry: &JournalEntry, outcome: EntryOutcome) -> FrameOutcome {
    match (entry, outcome) {
        (JournalEntry::Reject(reject), _) => FrameOutcome::Rejected(reject.reason.clone()),
        (JournalEntry::Reading { .. }, EntryOutcome::Duplicate) => FrameOutcome::Duplicate,
        (JournalEntry::Reading { .. }, _) => FrameOutcome::Accepted,
    }
}

fn unasked(report: CommitReport) -> (CommitReport, Vec<EntryOutcome>) {
    (report, Vec::new())
}

/// Commits, however long it takes: a full disk is told once and waited out.
async fn commit(
    entries: &Arc<Vec<JournalEntry>>,
    pace: Pace,
    deps: &IngestDeps,
) -> Result<(CommitReport, Vec<EntryOutcome>), StoreError> {
    let mut delay = RETRY_DELAY_MIN;
    let mut has_failed = false;
    loop {
        let entries_again = Arc::clone(entries);
        let committed = match pace {
            Pace::Busy => deps.journal.receive(entries_again).await.map(unasked),
            Pace::Calm => deps.journal.commit_shared(entries_again).await.map(unasked),
            Pace::Settling => deps.journal.settle_some().await.map(unasked),
            Pace::Reporting => deps.journal.commit_each(entries_again).await,
        };
        let error = match committed {
            Ok(report) => {
                if has_failed {
                    info!("the journal takes readings again");
                    notice(deps, "ingest.resumed", "the journal takes readings again");
                }
                if report.0.set_aside > 0 {
                    tell_damage(deps);
                }
                return Ok(report);
            }
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => error,
        };
        deps.metrics.commit_failures.inc();
        if !has_failed {
            has_failed = true;
            error!(
                code = error.code(),
                frames = entries.len(),
                error = %error_chain(&error),
                "Readings wait unacknowledged until the journal takes them"
            );
            notice(deps, error.code(), &error.to_string());
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY_DELAY_MAX);
    }
}

/// Each place of damage that made readings be set aside is told once.
fn tell_damage(deps: &IngestDeps) {
    for what in deps.journal.damage_seen() {
        if !deps.journal.tell_damage(&what) {
            continue;
        }
        let message = format!(
            "The journal is damaged ({what}): readings that cannot be put at their place are set aside and \
             acknowledged; stop the daemon, `qiliang salvage DIR` and `qiliang restore DIR --replace` put them \
             there"
        );
        error!(code = "store.set_aside", "{message}");
        notice(deps, "store.set_aside", &message);
    }
}

fn notice(deps: &IngestDeps, code: &str, message: &str) {
    let event = LiveEvent::Notice {
        code: code.to_owned(),
        message: message.to_owned(),
        at: deps.clock.now(),
    };
    // Nobody need be listening.
    deps.live.send(event).ok();
}

fn count_rejects(entries: &[JournalEntry], report: &CommitReport, deps: &IngestDeps) {
    if report.rejected == 0 {
        return;
    }
    for entry in entries {
        if let JournalEntry::Reject(reject) = entry {
            let label = vec![("code".to_owned(), reject.reason.code.clone())];
            deps.metrics.rejected.get_or_create(&label).inc();
        }
    }
}

fn tell(entries: &[JournalEntry], report: &CommitReport, deps: &IngestDeps) {
    deps.metrics.accepted.inc_by(report.accepted);
    deps.metrics.duplicate.inc_by(report.duplicate);
    count_rejects(entries, report, deps);
    // What nobody hears need not be said.
    if deps.live.receiver_count() == 0 {
        return;
    }
    let mut events = vec![LiveEvent::Ingested {
        accepted: report.accepted,
        duplicate: report.duplicate,
        rejected: report.rejected,
        at: deps.clock.now(),
    }];
    for entry in entries {
        match entry {
            JournalEntry::Reject(reject) => {
                events.push(LiveEvent::Rejected {
                    code: reject.reason.code.clone(),
                    origin: reject.frame.origin.clone(),
                    at: reject.frame.received_at,
                });
            }
            JournalEntry::Reading { findings, .. } => {
                events.extend(
                    findings
                        .iter()
                        .filter(|finding| finding.severity > Severity::Info)
                        .filter_map(|finding| {
                            Some(LiveEvent::Finding {
                                rule: finding.rule,
                                severity: finding.severity,
                                meter: finding.subject.meter()?.clone(),
                                at: finding.at,
                            })
                        }),
                );
            }
        }
    }
    for event in events.into_iter().take(EVENTS_MAX) {
        deps.live.send(event).ok();
    }
}

#[cfg(test)]
mod tests;
