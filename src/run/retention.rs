//! What is kept no longer is dropped: rejected frames by age and weight, readings, curves and findings
//! by the class of their customer.
//!
//! The daemon looks every minute. Rows go a few thousand in a transaction, with pauses nine times as
//! long, so that ingestion has nine tenths of the writer even while years are dropped.

mod due;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::finding::Subject;
use crate::domain::id::MeterId;
use crate::domain::meter::Meter;
use crate::domain::registry::Registry;
use crate::domain::text::error_chain;
use crate::run::compaction::{self, StoreMetrics};
use crate::settings::{KeptDays, RejectSettings, RetentionSettings};
use crate::store::StoreError;
use crate::store::book::Book;
use crate::store::journal::{DropRequest, Dropped, Held, Journal, KeptKind, WaitingDays};
use crate::validate::host_clock::HostClock;

pub use self::due::{Due, explain};

/// How often it is looked whether anything must go.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// A transaction is followed by a pause so many times as long.
const PAUSE_FACTOR: u32 = 9;

/// What the task works on.
#[derive(Debug, Clone)]
pub struct RetentionDeps {
    /// Readings, curves, findings and rejected frames.
    pub journal: Journal,
    /// Kept small, too.
    pub book: Book,
    /// Which meter is of which class.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// How long rejected frames stay.
    pub rejects: RejectSettings,
    /// How long the rest stays.
    pub kept: RetentionSettings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How far that can be believed: nothing is dropped by a later time.
    pub host: HostClock,
    /// Sizes, and what was dropped.
    pub metrics: StoreMetrics,
}

/// Drops rejected frames that the settings no longer keep, unless told to stop. `rest` is called after each
/// transaction with the time it took. Blocks.
///
/// # Errors
/// What the store says.
pub fn drop_now(
    journal: &Journal,
    settings: &RejectSettings,
    now: DateTime<Utc>,
    mut rest: impl FnMut(Duration) -> Rest,
) -> Result<Dropped, StoreError> {
    let before = now - TimeDelta::days(i64::from(settings.keep_days));
    let mut sum = Dropped::default();
    loop {
        let started = Instant::now();
        let dropped = journal.drop_rejects(before, settings.bytes_max)?;
        sum.frames += dropped.frames;
        sum.deliveries += dropped.deliveries;
        sum.bytes += dropped.bytes;
        if !dropped.is_partial || dropped.frames == 0 || rest(started.elapsed()) == Rest::Stop {
            return Ok(sum);
        }
    }
}

/// The first gas day that is kept of something that stays for so many days.
fn kept_from(kept: KeptDays, kind: KeptKind, today: GasDay) -> Option<GasDay> {
    let days = match kind {
        KeptKind::Readings => kept.readings,
        KeptKind::Curves => kept.curves,
        KeptKind::Findings => kept.findings,
    };
    days.map(|days| today.plus(-i64::from(days)))
}

/// The class that decides about a meter.
pub fn class_of(registry: &Registry, meter: &MeterId) -> Option<CustomerClass> {
    let meter = registry.meters.get(meter)?;
    registry.customer_of(meter).map(|customer| customer.class)
}

/// The class that decides about a subject of findings; none for a zone.
fn class_of_subject(registry: &Registry, subject: &Subject) -> Option<CustomerClass> {
    match subject {
        Subject::Meter(meter) => class_of(registry, meter),
        Subject::Customer(customer) => Some(registry.customers.get(customer)?.class),
        Subject::Zone(_) => None,
    }
}

/// Whether what is found of a subject on a gas day is kept today.
pub fn is_finding_kept(
    registry: &Registry,
    kept: &RetentionSettings,
    subject: &Subject,
    day: GasDay,
    today: GasDay,
) -> bool {
    let class = class_of_subject(registry, subject);
    kept_from(kept.of(class), KeptKind::Findings, today).is_none_or(|start| day >= start)
}

/// Code of a reading of a day that is kept no longer.
pub const TOO_OLD: &str = "ingest.kept_no_longer";

/// Why a reading is not taken that was sampled on a gas day whose readings are kept no longer: it would
/// change nothing, since curves of that day are final, and be dropped again. None if it is taken.
pub fn too_old(
    registry: &Registry,
    kept: &RetentionSettings,
    meter: &Meter,
    (sampled_at, received_at): (DateTime<Utc>, DateTime<Utc>),
) -> Option<String> {
    let class = registry.customer_of(meter).map(|customer| customer.class);
    let days = kept.of(class).readings?;
    let clock = registry.company.gas_day_start_hour;
    let (day, today) = (clock.day_of(sampled_at), clock.day_of(received_at));
    let start = today.plus(-i64::from(days));
    (day < start).then(|| {
        format!(
            "it was sampled on {day}, and readings of this meter stay for {days} days, from {start} on; to take \
             it, raise retention.readings_days and replay, but curves of days that were dropped already stay"
        )
    })
}

/// What one look dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swept {
    /// Rows by kind.
    pub rows: BTreeMap<KeptKind, u64>,
    /// Gas days that were left for later, with the reason.
    pub held: BTreeMap<(KeptKind, GasDay), Held>,
}

/// How far a gas day has been gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Done {
    /// How many of the different lengths were over.
    lengths: usize,
    /// The day of the look, where rows stay because later curves need them: tomorrow they may not.
    needed_on: Option<GasDay>,
}

/// Looks for what is to go, and remembers which days need no second look.
#[derive(Debug, Default)]
pub struct Sweeper {
    registry_version: String,
    done: BTreeMap<(KeptKind, GasDay), Done>,
    /// Days with rows that a damaged page keeps, and the day of the look: they are tried again the next day.
    damaged: BTreeMap<(KeptKind, GasDay), GasDay>,
    /// How many of the different lengths were over when findings of zones and customers were gone through.
    done_subjects: BTreeMap<GasDay, usize>,
}

impl Sweeper {
    /// Drops all that is due today, unless told to stop; what a damaged page keeps from it stays, and all else
    /// goes. `rest` is called after each transaction with the time it took. Blocks.
    ///
    /// # Errors
    /// What the store says; what was dropped before stays dropped. Of a kind whose days cannot be told, after
    /// the others.
    pub fn sweep(
        &mut self,
        journal: &Journal,
        registry: &Registry,
        kept: &RetentionSettings,
        today: GasDay,
        mut rest: impl FnMut(Duration) -> Rest,
    ) -> Result<Swept, StoreError> {
        if self.registry_version != registry.version {
            self.done.clear();
            self.damaged.clear();
            self.done_subjects.clear();
            self.registry_version.clone_from(&registry.version);
        }
        let mut swept = Swept::default();
        let mut waiting = None;
        let mut unreadable = None;
        for kind in KeptKind::ALL {
            let starts = starts(kept, kind, today);
            let Some(newest) = starts.last() else {
                continue;
            };
            let days = match journal.days_with(kind) {
                Err(error) if error.is_of_file() => {
                    unreadable.get_or_insert(error);
                    continue;
                }
                days => days?,
            };
            for day in days {
                if day >= *newest {
                    break;
                }
                if self.damaged.get(&(kind, day)) == Some(&today) {
                    swept.held.insert((kind, day), Held::Damage);
                    continue;
                }
                let lengths = starts.iter().filter(|start| day < **start).count();
                let is_done = self.done.get(&(kind, day)).is_some_and(|done| {
                    done.lengths == lengths && done.needed_on.is_none_or(|on| on == today)
                });
                if is_done {
                    continue;
                }
                let waiting = match &mut waiting {
                    Some(waiting) => waiting,
                    none => none.insert(journal.waiting_days()?),
                };
                let (due, is_damaged) = due(journal, registry, kept, kind, day, today)?;
                let mut job = DayJob {
                    journal,
                    waiting,
                    rows: 0,
                    is_needed: false,
                    is_waiting: false,
                    is_damaged,
                };
                match job.run(kind, day, due, &mut rest)? {
                    Ended::Done if job.is_damaged => {
                        self.damaged.insert((kind, day), today);
                        swept.held.insert((kind, day), Held::Damage);
                    }
                    Ended::Done if job.is_waiting => {
                        swept.held.insert((kind, day), Held::Curves);
                    }
                    Ended::Done => {
                        let needed_on = job.is_needed.then_some(today);
                        self.done.insert((kind, day), Done { lengths, needed_on });
                    }
                    Ended::Held(held) => {
                        swept.held.insert((kind, day), held);
                    }
                    Ended::Stopped => {
                        *swept.rows.entry(kind).or_default() += job.rows;
                        return Ok(swept);
                    }
                }
                if job.rows > 0 {
                    *swept.rows.entry(kind).or_default() += job.rows;
                }
            }
        }
        let rows = self.sweep_subjects(journal, registry, kept, today, &mut rest)?;
        if rows > 0 {
            *swept.rows.entry(KeptKind::Findings).or_default() += rows;
        }
        unreadable.map_or(Ok(swept), Err)
    }

    /// Drops findings of zones and customers; how many. Nothing is computed from them.
    fn sweep_subjects(
        &mut self,
        journal: &Journal,
        registry: &Registry,
        kept: &RetentionSettings,
        today: GasDay,
        rest: &mut impl FnMut(Duration) -> Rest,
    ) -> Result<u64, StoreError> {
        let starts = starts(kept, KeptKind::Findings, today);
        let Some(newest) = starts.last() else {
            return Ok(0);
        };
        let mut dropped = 0;
        for day in journal.subject_finding_days(*newest)? {
            let lengths = starts.iter().filter(|start| day < **start).count();
            if self.done_subjects.get(&day) == Some(&lengths) {
                continue;
            }
            let subjects = journal.subjects_with_findings(day)?.into_iter();
            let due: Vec<Subject> = subjects
                .map(|(subject, _, _)| subject)
                .filter(|subject| !is_finding_kept(registry, kept, subject, day, today))
                .collect();
            let mut is_stopped = false;
            if !due.is_empty() {
                let started = Instant::now();
                dropped += journal.drop_subject_findings(day, due)?;
                is_stopped = rest(started.elapsed()) == Rest::Stop;
            }
            self.done_subjects.insert(day, lengths);
            if is_stopped {
                break;
            }
        }
        Ok(dropped)
    }
}

/// Whether to go on after a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// With the next.
    GoOn,
    /// Not today.
    Stop,
}

/// The first days kept of a kind, of each class that has its own, in order.
fn starts(kept: &RetentionSettings, kind: KeptKind, today: GasDay) -> BTreeSet<GasDay> {
    let classes = CustomerClass::ALL.into_iter().map(Some).chain([None]);
    classes
        .filter_map(|class| kept_from(kept.of(class), kind, today))
        .collect()
}

/// The meters whose rows of a day are kept no longer, each with the first day that it keeps. Where a damaged page
/// hides who has rows, all of the registry that would be due, and true.
fn due(
    journal: &Journal,
    registry: &Registry,
    kept: &RetentionSettings,
    kind: KeptKind,
    day: GasDay,
    today: GasDay,
) -> Result<(Vec<(MeterId, GasDay)>, bool), StoreError> {
    let (meters, is_damaged) = match journal.meters_with(kind, day) {
        Err(error) if error.is_of_file() => (registry.meters.keys().cloned().collect(), true),
        meters => (meters?, false),
    };
    let of_meter = |meter: MeterId| {
        let start = kept_from(kept.of(class_of(registry, &meter)), kind, today)?;
        (day < start).then_some((meter, start))
    };
    Ok((
        meters.into_iter().filter_map(of_meter).collect(),
        is_damaged,
    ))
}

struct DayJob<'a> {
    journal: &'a Journal,
    waiting: &'a WaitingDays,
    rows: u64,
    is_needed: bool,
    is_waiting: bool,
    is_damaged: bool,
}

enum Ended {
    Done,
    Held(Held),
    Stopped,
}

impl DayJob<'_> {
    fn run(
        &mut self,
        kind: KeptKind,
        day: GasDay,
        mut meters: Vec<(MeterId, GasDay)>,
        rest: &mut impl FnMut(Duration) -> Rest,
    ) -> Result<Ended, StoreError> {
        // As many meters at once as no damage has been met among.
        let mut together = meters.len();
        while !meters.is_empty() {
            let started = Instant::now();
            together = together.min(meters.len());
            let request = DropRequest {
                kind,
                day,
                meters: meters.iter().take(together).cloned().collect(),
            };
            match self.journal.drop_rows(request, self.waiting) {
                Err(error) if error.is_of_file() => {
                    self.is_damaged = true;
                    if together == 1 {
                        meters.remove(0);
                    }
                    together = (together / 2).max(1);
                }
                report => {
                    let report = report?;
                    if let Some(held) = report.held {
                        return Ok(Ended::Held(held));
                    }
                    self.rows += report.rows;
                    self.is_needed |= report.needed > 0;
                    self.is_waiting |= report.waiting > 0;
                    meters.drain(..report.meters);
                    together *= 2;
                }
            }
            if rest(started.elapsed()) == Rest::Stop {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Done)
    }
}

/// Looks every minute until told to stop.
///
/// # Errors
/// A panic of the worker.
pub async fn run(deps: RetentionDeps, stop: CancellationToken) -> anyhow::Result<()> {
    let mut memory = Memory::default();
    loop {
        let (of_look, of_stop) = (deps.clone(), stop.clone());
        memory = tokio::task::spawn_blocking(move || {
            look(&of_look, &mut memory, &of_stop);
            memory
        })
        .await?;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
struct Memory {
    sweeper: Sweeper,
    /// Why days are held, as it was told last.
    told: BTreeSet<Held>,
}

/// One look at everything; what fails is told and tried again.
fn look(deps: &RetentionDeps, memory: &mut Memory, stop: &CancellationToken) {
    let now = deps.host.dropping_time(deps.clock.now());
    let rest = |took: Duration| rest(took, stop);
    match drop_now(&deps.journal, &deps.rejects, now, rest) {
        Ok(dropped) if dropped.frames > 0 => info!(
            frames = dropped.frames,
            deliveries = dropped.deliveries,
            bytes = dropped.bytes,
            "Dropped rejected frames that are kept no longer (rejects.keep_days, rejects.bytes_max)"
        ),
        Ok(_) => {}
        Err(error) => warn!(
            code = error.code(),
            "Rejected frames are not dropped now: {}",
            error_chain(&error)
        ),
    }
    let registry = Arc::clone(&deps.registry.borrow());
    let today = deps.journal.clock().day_of(now);
    match memory
        .sweeper
        .sweep(&deps.journal, &registry, &deps.kept, today, rest)
    {
        Ok(swept) => tell(&swept, &mut memory.told, &deps.metrics),
        Err(error) => warn!(
            code = error.code(),
            "What is kept no longer is not dropped now: {}",
            error_chain(&error)
        ),
    }
    compaction::look(&deps.journal, &deps.book, &deps.metrics, stop);
}

/// Leaves the writer to ingestion for nine times as long as it was used.
#[expect(
    clippy::disallowed_methods,
    reason = "on a thread for blocking work, not on the runtime's"
)]
pub(super) fn rest(took: Duration, stop: &CancellationToken) -> Rest {
    std::thread::sleep((took * PAUSE_FACTOR).max(Duration::from_millis(5)));
    if stop.is_cancelled() {
        Rest::Stop
    } else {
        Rest::GoOn
    }
}

fn tell(swept: &Swept, told: &mut BTreeSet<Held>, metrics: &StoreMetrics) {
    for (kind, rows) in &swept.rows {
        metrics.dropped(*kind, *rows);
        info!(
            kind = kind.key(),
            rows, "Dropped what is kept no longer (retention)"
        );
    }
    metrics.held(swept.held.len());
    let reasons: BTreeSet<Held> = swept.held.values().copied().collect();
    for held in reasons.difference(told) {
        let days = swept.held.values().filter(|reason| *reason == held).count();
        match held {
            Held::Curves => info!(
                days,
                "Days are kept longer than [retention] says until curves that wait are computed"
            ),
            Held::Damage => warn!(
                code = "retention.held",
                days,
                "Rows of days past [retention] stay because a page of the file is damaged, all else went; \
                 `qiliang salvage` saves what can be read"
            ),
            Held::Outbox => warn!(
                code = "retention.held",
                days,
                "Days are kept longer than [retention] says because the second store has not taken them yet; \
                 `qiliang doctor influx` says why, or end forwarding by an empty influx.url"
            ),
        }
    }
    *told = reasons;
}
