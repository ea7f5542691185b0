//! From delivery to acknowledgement: batch, decode, check, commit, and only then acknowledge.
//!
//! **Invariant:** a frame is acknowledged only after what became of it is on disk. On a store
//! error the batch is kept and tried again; nothing is acknowledged, nothing dropped, and the
//! bounded queues behind hold the senders back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::collect::{Ack, Delivery, FrameOutcome};
use crate::domain::finding::Severity;
use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use crate::domain::id::{DeviceId, MeterId, ProfileId};
use crate::domain::live::LiveEvent;
use crate::domain::meter::Meter;
use crate::domain::reading::{Decoded, Reading};
use crate::domain::registry::Registry;
use crate::domain::text::error_chain;
use crate::run::clocks::Clocks;
use crate::run::retention;
use crate::settings::{IngestSettings, RetentionSettings};
use crate::store::StoreError;
use crate::store::journal::{CommitReport, EntryOutcome, Journal, JournalEntry};
use crate::validate::{EntryLimits, check_entry};

/// Decodes a frame with a profile; none if there is no such profile.
pub type Decode =
    Arc<dyn Fn(&ProfileId, &RawFrame) -> Option<Result<Decoded, RejectReason>> + Send + Sync>;

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

/// The entry rules' limits as configured.
pub fn entry_limits(settings: &IngestSettings) -> EntryLimits {
    EntryLimits {
        stale_after: TimeDelta::days(settings.stale_after_days),
        future_tolerance: TimeDelta::seconds(settings.future_tolerance_s),
    }
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

/// Turns frames into journal entries; also used to replay rejected frames.
pub struct Assessor {
    /// Which device is which meter.
    pub registry: Arc<Registry>,
    /// How bytes are decoded.
    pub decode: Decode,
    /// Limits of the entry rules.
    pub limits: EntryLimits,
    /// How long readings stay: older ones are not taken.
    pub kept: Arc<RetentionSettings>,
    /// Where clocks are measured; none for frames that are not fresh.
    pub clocks: Option<Clocks>,
}

impl std::fmt::Debug for Assessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assessor")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A rejection before it is joined with its frame.
struct Refusal {
    meter: Option<MeterId>,
    reason: RejectReason,
}

impl Refusal {
    fn new(meter: Option<&Meter>, code: &str, message: String) -> Self {
        Self {
            meter: meter.map(|m| m.id.clone()),
            reason: RejectReason::new(code, message),
        }
    }
}

impl Assessor {
    fn assess_all(&self, frames: Vec<RawFrame>) -> Vec<JournalEntry> {
        frames.into_iter().map(|frame| self.assess(frame)).collect()
    }

    /// What one frame becomes.
    pub fn assess(&self, frame: RawFrame) -> JournalEntry {
        match self.read(&frame) {
            Ok((reading, clock_at)) => {
                let mut findings = check_entry(&reading, self.limits);
                if let Some(clocks) = &self.clocks {
                    findings.extend(clocks.observe(&reading, clock_at));
                }
                JournalEntry::Reading { reading, findings }
            }
            Err(Refusal { meter, reason }) => JournalEntry::Reject(RejectedFrame {
                frame,
                meter,
                reason,
            }),
        }
    }

    /// The reading, and what the device's clock showed when it sent the frame.
    fn read(&self, frame: &RawFrame) -> Result<(Reading, Option<DateTime<Utc>>), Refusal> {
        let (meter, decoded) = match &frame.device {
            Some(device) => self.read_as(frame, device)?,
            None => self.read_unnamed(frame)?,
        };
        let reached = (decoded.sampled_at, frame.received_at);
        if let Some(reason) = retention::too_old(&self.registry, &self.kept, meter, reached) {
            return Err(Refusal::new(Some(meter), retention::TOO_OLD, reason));
        }
        let reading = Reading {
            meter: meter.id.clone(),
            sampled_at: decoded.sampled_at,
            received_at: frame.received_at,
            transport: frame.transport,
            values: decoded.values,
            frozen: decoded.frozen,
            alarms: decoded.alarms,
        };
        Ok((reading, decoded.clock_at))
    }

    /// The transport names the device: its bound profile decodes, and a payload that names another
    /// device is refused, since a device speaks only for itself.
    fn read_as(&self, frame: &RawFrame, device: &DeviceId) -> Result<(&Meter, Decoded), Refusal> {
        let Some(meter) = self.registry.meter_of(device) else {
            return Err(Refusal::new(
                None,
                "ingest.unknown_device",
                format!(
                    "no meter in the registry has device `{device}`, named by {}; add it to \
                     meters.csv and replay",
                    frame.origin
                ),
            ));
        };
        let decoded = self.decode_with(meter, &meter.profile, frame)?;
        match &decoded.device {
            Some(named) if named != device => Err(Refusal::new(
                Some(meter),
                "ingest.device_mismatch",
                format!(
                    "{} stands for device `{device}` but the payload names `{named}`; a device \
                     speaks only for its own meter; correct the device's address or the topic",
                    frame.origin
                ),
            )),
            _ => Ok((meter, decoded)),
        }
    }

    /// Only the payload can name the device. Each profile bound in the registry is tried in order,
    /// and counts only if the device it finds is bound to that very profile.
    fn read_unnamed(&self, frame: &RawFrame) -> Result<(&Meter, Decoded), Refusal> {
        let mut profiles: Vec<&ProfileId> =
            self.registry.meters.values().map(|m| &m.profile).collect();
        profiles.sort();
        profiles.dedup();
        let mut named = None;
        for profile in profiles {
            let Some(Ok(decoded)) = self.try_decode(profile, frame) else {
                continue;
            };
            let Some(device) = &decoded.device else {
                continue;
            };
            match self.registry.meter_of(device) {
                Some(meter) if meter.profile == *profile => return Ok((meter, decoded)),
                _ => named = named.or_else(|| Some(device.clone())),
            }
        }
        if let Some(device) = named {
            return Err(Refusal::new(
                None,
                "ingest.unknown_device",
                format!(
                    "the payload from {} names device `{device}`, which no meter with a fitting \
                     profile has; add it to meters.csv and replay",
                    frame.origin
                ),
            ));
        }
        if frame.transport == Transport::Mqtt {
            return Err(Refusal::new(
                None,
                "collect.unknown_topic",
                format!(
                    "topic `{}` fits no template with {{device}} and the payload names no device \
                     that a profile knows; add a template under [[mqtt.topic]] and replay",
                    frame.origin
                ),
            ));
        }
        if frame.transport == Transport::Import {
            return Err(Refusal::new(
                None,
                crate::collect::import::code::LINE,
                format!(
                    "{} is no row or frame that can be read, or names no device; `qiliang import \
                     --dry-run` on the file says what is wrong; mend the file and import it again",
                    frame.origin
                ),
            ));
        }
        Err(Refusal::new(
            None,
            "ingest.unknown_device",
            format!(
                "neither {} nor the payload names a device that a profile knows; name the device \
                 and send it again",
                frame.origin
            ),
        ))
    }

    fn decode_with(
        &self,
        meter: &Meter,
        profile: &ProfileId,
        frame: &RawFrame,
    ) -> Result<Decoded, Refusal> {
        match self.try_decode(profile, frame) {
            Some(Ok(decoded)) => Ok(decoded),
            Some(Err(reason)) => Err(Refusal {
                meter: Some(meter.id.clone()),
                reason,
            }),
            None => Err(Refusal::new(
                Some(meter),
                "ingest.unknown_profile",
                format!(
                    "meter `{}` is bound to profile `{profile}`, which is not loaded; add \
                     device-profiles/{profile}.toml or correct meters.csv, then replay",
                    meter.id
                ),
            )),
        }
    }

    /// A decoder that panics costs its frame, not the batch.
    fn try_decode(
        &self,
        profile: &ProfileId,
        frame: &RawFrame,
    ) -> Option<Result<Decoded, RejectReason>> {
        let attempt = catch_unwind(AssertUnwindSafe(|| (self.decode)(profile, frame)));
        attempt.unwrap_or_else(|_| {
            warn!(profile.id = %profile, "Decoder of profile `{profile}` panicked");
            Some(Err(RejectReason::new(
                "ingest.decoder_panicked",
                format!(
                    "the decoder of profile `{profile}` failed on this frame; the frame is kept; \
                     report it with its bytes"
                ),
            )))
        })
    }
}

#[cfg(test)]
mod tests;
