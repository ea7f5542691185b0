//! The curve worker: dirty (meter, gas day) → load curve → demand of the gas day.
//!
//! Everything it does is a pure function of readings and registry, written in transactions that
//! also clear the marks they answer; it can stop anywhere and start again.
//!
//! A reading marks only the gas days its totals lie on. Here a dirty day is widened to every day
//! whose curve can depend on it: from the day of the third total before it to that of the third
//! after it, as stored now. That is enough in any order of arrival: if a day's third neighbours
//! changed, the neighbour that came last lies on a day that is dirty itself, with fewer than three
//! totals between it and the day in question.
//!
//! What the day rules find depends on the curves of four weeks before, too, and a gap is spread by what
//! was measured in the four weeks before its end. Days after a dirty one that have a curve are therefore
//! computed and judged again, as many of them.
//!
//! A changed limit or an announcement changes no curve. The days it is about are marked apart and judged
//! again, and no day beside them.
//!
//! Demand of a day estimates what curves lack from days before it, so that of later days is summed again
//! as well, where it rests on an estimate.

mod basis;
mod demand;
mod pass;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::clock::Clock;
use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::demand::DemandDay;
use crate::domain::live::LiveEvent;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::domain::text::error_chain;
use crate::store::StoreError;
use crate::store::book::Book;
use crate::store::journal::Journal;
use crate::validate::limits::LimitTable;

pub use self::basis::sync_registry;
pub(super) use self::basis::{Basis, Means, fingerprint};
use self::demand::sum_stale_days;
pub(super) use self::pass::build_curves;
pub use self::pass::judge_marked;
use self::pass::{compute_all, is_damage};

/// Sums the curves of a gas day (all of them, in order of meter) to the demand of each node.
pub type SumDay = Arc<dyn Fn(GasDay, &[LoadCurve]) -> Vec<DemandDay> + Send + Sync>;

/// Marks taken in one pass: all of an import of two years from 1,000 meters, 40 MB in memory.
const PASS_MAX: usize = 800_000;
/// Marks of what came late taken in one go, between passes: a second's work.
const LATE_MAX: usize = 10_000;
/// Gas days of meters judged again in one go, between passes: half a second's work.
const JUDGE_MAX: usize = 4_000;
/// Least pause between passes; a pass over everything that took longer is followed by a longer pause, so
/// that these never take more than a tenth of the time. Past days, which few readings speak of, are
/// looked at after every least pause.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_FACTOR: u32 = 9;
/// A pass is made at least this often, whatever wakes it.
const PASS_EVERY: Duration = Duration::from_mins(1);

/// What the worker needs.
#[derive(Clone)]
pub struct CurveDeps {
    /// Readings and curves.
    pub journal: Journal,
    /// Demand.
    pub book: Book,
    /// Meters and exchanges.
    pub registry: watch::Receiver<Arc<Registry>>,
    /// Curves to demand.
    pub sum_day: SumDay,
    /// Gas days back from which `sum_day` may estimate: of so many days after a changed one, the demand
    /// is summed again where it rests on an estimate.
    pub fill_days: i64,
    /// Working days and holidays.
    pub calendar: watch::Receiver<Arc<Calendar>>,
    /// What the day rules call unusual.
    pub limits: watch::Receiver<Arc<LimitTable>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Live views.
    pub live: broadcast::Sender<LiveEvent>,
}

impl std::fmt::Debug for CurveDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CurveDeps")
            .field("journal", &self.journal)
            .field("book", &self.book)
            .field("fill_days", &self.fill_days)
            .finish_non_exhaustive()
    }
}

/// What a pass did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassReport {
    /// Marks answered; those of damaged places stay.
    pub cleared: usize,
    /// Curves computed.
    pub computed: usize,
    /// Curves that differ from before.
    pub changed: usize,
    /// Gas days whose demand was summed.
    pub demand_days: usize,
    /// Gas days of meters judged again because what they are judged by changed.
    pub judged: usize,
}

/// Runs passes until told to stop, woken by `wake` and by changes of the registry.
///
/// # Errors
/// A store error that waiting cannot mend.
pub async fn run(
    mut deps: CurveDeps,
    wake: Arc<Notify>,
    stop: CancellationToken,
) -> Result<(), StoreError> {
    let mut has_failed = false;
    let mut is_new_registry = true;
    let mut next_full = Instant::now();
    loop {
        let of_pass = deps.clone();
        let started = Instant::now();
        let is_full = is_new_registry || started >= next_full;
        let pass = tokio::task::spawn_blocking(move || {
            if is_new_registry {
                sync_registry(&of_pass)?;
            }
            let mut report = if is_full {
                run_once(&of_pass, PASS_MAX)?
            } else {
                run_late(&of_pass, LATE_MAX)?
            };
            report.judged = judge_marked(&of_pass, JUDGE_MAX)?;
            Ok(report)
        })
        .await
        .unwrap_or_else(|_| {
            Err(StoreError::WriterStopped {
                path: deps.journal.path().to_owned(),
            })
        });
        let mut is_done = true;
        let mut has_more_to_judge = false;
        match pass {
            Ok(report) => {
                has_more_to_judge = report.judged >= JUDGE_MAX;
                is_done = report.cleared < if is_full { PASS_MAX } else { LATE_MAX };
                is_new_registry = false;
                has_failed = false;
            }
            // What is damaged is told and stays; everything else goes on.
            Err(error) if !error.is_transient() && !is_damage(&error) => return Err(error),
            Err(error) if !has_failed => {
                has_failed = true;
                error!(
                    code = error.code(),
                    error = %error_chain(&error),
                    "Curves wait until the store takes them"
                );
            }
            Err(_) => {}
        }
        if stop.is_cancelled() {
            return Ok(());
        }
        if !is_done {
            continue;
        }
        if is_full {
            next_full = Instant::now() + (started.elapsed() * PAUSE_FACTOR).max(PAUSE_MIN);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE_MIN) => {}
        }
        // After a look at late readings only, the full pass is still owed.
        let is_owed = !is_full;
        let look_at = if has_more_to_judge {
            Instant::now()
        } else if is_owed {
            next_full
        } else {
            Instant::now() + PASS_EVERY
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = wake.notified() => {}
            () = tokio::time::sleep_until(look_at.into()) => {}
            changed = deps.registry.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                is_new_registry = true;
            }
        }
    }
}

/// Works until nothing is dirty or to be judged but what is damaged, which stays marked: for imports, the
/// command line and tests. Blocks.
///
/// # Errors
/// As the store's.
pub fn drain(deps: &CurveDeps) -> Result<PassReport, StoreError> {
    sync_registry(deps)?;
    let mut sum = PassReport::default();
    loop {
        let report = run_once(deps, PASS_MAX)?;
        sum.cleared += report.cleared;
        sum.computed += report.computed;
        sum.changed += report.changed;
        sum.demand_days += report.demand_days;
        let judged = judge_marked(deps, JUDGE_MAX)?;
        sum.judged += judged;
        if report.cleared == 0 && judged == 0 {
            return Ok(sum);
        }
    }
}

/// One pass: up to `limit` marks, then, if that was all of them, the demand of changed days. Blocks.
///
/// # Errors
/// As the store's; what was written before stays, the rest stays marked.
pub fn run_once(deps: &CurveDeps, limit: usize) -> Result<PassReport, StoreError> {
    let dirty = deps.journal.dirty_days(limit)?;
    let mut report = PassReport::default();
    let is_all = dirty.len() < limit;
    compute_all(deps, dirty, &mut report)?;
    if is_all {
        report.demand_days = sum_stale_days(deps)?;
    }
    Ok(report)
}

/// Only what came late: marks of gas days before the one under way, and the demand they change. Blocks.
///
/// # Errors
/// As [`run_once`].
pub fn run_late(deps: &CurveDeps, limit: usize) -> Result<PassReport, StoreError> {
    let today = deps.journal.clock().day_of(deps.clock.now());
    let dirty = deps.journal.dirty_days_before(today, limit)?;
    let mut report = PassReport::default();
    if dirty.is_empty() {
        return Ok(report);
    }
    let is_all = dirty.len() < limit;
    compute_all(deps, dirty, &mut report)?;
    if is_all {
        report.demand_days = sum_stale_days(deps)?;
    }
    Ok(report)
}
