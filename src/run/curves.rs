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
//! Demand of a day estimates what curves lack from days before it, so that of later days is summed again
//! as well, where it rests on an estimate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::clock::Clock;
use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::DemandDay;
use crate::domain::edit::CurveEdit;
use crate::domain::filing::ProductionChange;
use crate::domain::id::{MeterId, ZoneId};
use crate::domain::live::LiveEvent;
use crate::domain::meter::{Meter, MeterExchange, SettlementTotal};
use crate::domain::quantity::ReferenceConditions;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::domain::source::GasQuality;
use crate::domain::text::error_chain;
use crate::run::judging;
use crate::store::StoreError;
use crate::store::book::{Book, RestatedDay};
use crate::store::journal::{CurveBatch, CurveWrite, DirtyDay, Journal, StaleDay};
use crate::validate::convert::interval::ZoneConversion;
use crate::validate::curve::{
    AROUND, CurveRules, build_days, readings_of, readings_to_end, sample_findings,
};
use crate::validate::day::{DayFacts, HISTORY_DAYS, check_day};
use crate::validate::limits::LimitTable;
use crate::validate::points::expand;

/// Sums the curves of a gas day (all of them, in order of meter) to the demand of each node.
pub type SumDay = Arc<dyn Fn(GasDay, &[LoadCurve]) -> Vec<DemandDay> + Send + Sync>;

/// Grows when the way curves are computed changes, so that an upgrade computes them again.
const RULES_VERSION: u32 = 4;
/// Curves written in one transaction: few, so that readings do not wait long behind them.
const WRITE_MAX: usize = 1_000;
/// Marks taken in one pass: all of an import of two years from 1,000 meters, 40 MB in memory.
const PASS_MAX: usize = 800_000;
/// Dirty days this near to each other are computed in one go.
const JOIN_DAYS: i64 = 7;
/// Threads at most; more would only wait for the one writer.
const THREADS_MAX: usize = 4;
/// Gas days of demand written in one transaction.
const DEMAND_DAYS_MAX: usize = 32;
/// Marks of what came late taken in one go, between passes: a second's work.
const LATE_MAX: usize = 10_000;
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
    pub calendar: Arc<Calendar>,
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
    /// Marks answered.
    pub cleared: usize,
    /// Curves computed.
    pub computed: usize,
    /// Curves that differ from before.
    pub changed: usize,
    /// Gas days whose demand was summed.
    pub demand_days: usize,
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
            if is_full {
                run_once(&of_pass, PASS_MAX)
            } else {
                run_late(&of_pass, LATE_MAX)
            }
        })
        .await
        .unwrap_or_else(|_| {
            Err(StoreError::WriterStopped {
                path: deps.journal.path().to_owned(),
            })
        });
        let mut is_done = true;
        match pass {
            Ok(report) => {
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
        let look_at = if is_owed {
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

/// Works until nothing is dirty: for imports, the command line and tests. Blocks.
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
        if report.cleared == 0 {
            return Ok(sum);
        }
    }
}

/// Marks what a changed registry makes dirty: all days of meters whose factor, digits, largest
/// flow, period, settlement or exchanges, whose customer's class, size or production changes, whose
/// zone's gas (if it is converted by it), or whose limits or calendar differ from those of the last
/// pass. Blocks.
///
/// # Errors
/// As the store's.
pub fn sync_registry(deps: &CurveDeps) -> Result<Vec<MeterId>, StoreError> {
    let registry = Arc::clone(&deps.registry.borrow());
    let basis = Basis::new(Arc::clone(&deps.limits.borrow()), &deps.calendar);
    let digests = registry
        .meters
        .values()
        .map(|meter| (meter.id.clone(), fingerprint(meter, &registry, &basis)))
        .collect();
    let changed = deps.journal.sync_curve_rules(digests)?;
    if !changed.is_empty() {
        info!(
            meters = changed.len(),
            "Curves of changed meters are computed again"
        );
    }
    Ok(changed)
}

/// What the curves of all meters are computed by, beside the registry.
pub(super) struct Basis {
    limits: Arc<LimitTable>,
    /// Of the year files, hex.
    calendar: String,
}

impl Basis {
    pub(super) fn new(limits: Arc<LimitTable>, calendar: &Calendar) -> Self {
        let years: Vec<_> = calendar.years().collect();
        let json = serde_json::to_vec(&years).unwrap_or_default();
        Self {
            limits,
            calendar: hex::encode(Sha256::digest(&json)),
        }
    }
}

/// A digest of everything but readings and decisions that a meter's curves depend on.
pub(super) fn fingerprint(meter: &Meter, registry: &Registry, basis: &Basis) -> Vec<u8> {
    /// Atmosphere and dated qualities of the zone's gas, and the conditions to convert to.
    type Gas<'a> = (Option<f64>, ReferenceConditions, Vec<&'a GasQuality>);
    #[derive(Serialize)]
    struct Rules<'a> {
        version: u32,
        settlement: crate::domain::meter::SettlementTotal,
        total_digits: u32,
        flow_max_m3h: f64,
        fixed_factor: f64,
        period_s: u32,
        exchanges: Vec<&'a MeterExchange>,
        customer: Option<(CustomerClass, u32, f64)>,
        changes: Vec<&'a ProductionChange>,
        gas: Option<Gas<'a>>,
        limits: Vec<String>,
        calendar: &'a str,
    }
    let gas = || {
        let zone = registry.zones.get(&meter.zone);
        let qualities = registry.gas_qualities.iter();
        (
            zone.map(|zone| zone.atmosphere_kpa),
            registry.company.reference,
            qualities.filter(|q| q.zone == meter.zone).collect(),
        )
    };
    let rules = Rules {
        version: RULES_VERSION,
        settlement: meter.settlement,
        total_digits: meter.total_digits,
        flow_max_m3h: meter.flow_max_m3h,
        fixed_factor: meter.fixed_factor,
        period_s: meter.period_s,
        exchanges: registry.exchanges_of(&meter.id).collect(),
        customer: registry
            .customer_of(meter)
            .map(|c| (c.class, c.households, c.design_flow_m3h)),
        changes: changes_of(registry, meter).collect(),
        gas: (meter.settlement == SettlementTotal::Work).then(gas),
        limits: basis.limits.said_of(
            registry
                .customer_of(meter)
                .map(|c| (c.class, c.size_class())),
        ),
        calendar: &basis.calendar,
    };
    // A value that JSON cannot hold gives an empty digest, and the curves stay as they are.
    let json = serde_json::to_vec(&rules).unwrap_or_default();
    Sha256::digest(&json).to_vec()
}

/// One pass: up to `limit` marks, then, if that was all of them, the demand of changed days. Blocks.
///
/// # Errors
/// As the store's; what was written before stays, the rest stays marked.
pub fn run_once(deps: &CurveDeps, limit: usize) -> Result<PassReport, StoreError> {
    let dirty = deps.journal.dirty_days(limit)?;
    let mut report = PassReport {
        cleared: dirty.len(),
        ..PassReport::default()
    };
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
    let mut report = PassReport {
        cleared: dirty.len(),
        ..PassReport::default()
    };
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

/// Computes curves on a few threads, each a meter at a time; the writer joins them.
fn compute_all(
    deps: &CurveDeps,
    dirty: Vec<DirtyDay>,
    report: &mut PassReport,
) -> Result<(), StoreError> {
    let mut by_meter: BTreeMap<MeterId, Vec<DirtyDay>> = BTreeMap::new();
    for mark in dirty {
        by_meter.entry(mark.meter.clone()).or_default().push(mark);
    }
    let mut work: Vec<Vec<DirtyDay>> = by_meter.into_values().collect();
    for marks in &mut work {
        marks.sort_by_key(|mark| mark.day);
    }
    let registry = Arc::clone(&deps.registry.borrow());
    let pass = Pass {
        deps,
        means: Means::new(&registry, &deps.journal)?,
        registry: &registry,
        limits: Arc::clone(&deps.limits.borrow()),
        work,
        next: AtomicUsize::new(0),
        outcome: Mutex::new(Ok((0, 0))),
    };
    let threads = std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(THREADS_MAX)
        .min(pass.work.len());
    if threads <= 1 {
        pass.work_off();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| pass.work_off());
            }
        });
    }
    let outcome = pass
        .outcome
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let (computed, changed) = outcome?;
    report.computed += computed;
    report.changed += changed;
    Ok(())
}

/// What the customer of a meter told beforehand.
fn changes_of<'a>(
    registry: &'a Registry,
    meter: &'a Meter,
) -> impl Iterator<Item = &'a ProductionChange> {
    registry
        .production_changes
        .iter()
        .filter(|change| Some(&change.customer) == meter.customer.as_ref())
}

/// What curves are computed with, by meter and zone.
pub(super) struct Means {
    exchanges: BTreeMap<MeterId, Vec<MeterExchange>>,
    conversions: BTreeMap<ZoneId, ZoneConversion>,
    edits: BTreeMap<MeterId, Vec<CurveEdit>>,
}

impl Means {
    pub(super) fn new(registry: &Registry, journal: &Journal) -> Result<Self, StoreError> {
        let mut exchanges: BTreeMap<MeterId, Vec<MeterExchange>> = BTreeMap::new();
        for exchange in &registry.exchanges {
            exchanges
                .entry(exchange.meter.clone())
                .or_default()
                .push(exchange.clone());
        }
        let conversion = |zone| {
            ZoneConversion::new(
                Some(zone),
                &registry.gas_qualities,
                journal.clock(),
                registry.company.reference,
            )
        };
        let mut edits: BTreeMap<MeterId, Vec<CurveEdit>> = BTreeMap::new();
        for edit in journal.edits_in_force()? {
            edits.entry(edit.meter.clone()).or_default().push(edit);
        }
        Ok(Self {
            exchanges,
            conversions: registry
                .zones
                .values()
                .map(|zone| (zone.id.clone(), conversion(zone)))
                .collect(),
            edits,
        })
    }

    /// The rules of a meter, without the curves before.
    pub(super) fn rules<'a>(&'a self, meter: &'a Meter, calendar: &'a Calendar) -> CurveRules<'a> {
        let is_work = meter.settlement == SettlementTotal::Work;
        CurveRules {
            exchanges: self.exchanges.get(&meter.id).map_or(&[], Vec::as_slice),
            conversion: self.conversions.get(&meter.zone).filter(|_| is_work),
            calendar: Some(calendar),
            edits: self.edits.get(&meter.id).map_or(&[], Vec::as_slice),
            ..CurveRules::plain(meter)
        }
    }
}

const fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Damaged { .. })
}

struct Pass<'a> {
    deps: &'a CurveDeps,
    registry: &'a Registry,
    means: Means,
    limits: Arc<LimitTable>,
    work: Vec<Vec<DirtyDay>>,
    next: AtomicUsize,
    outcome: Mutex<Result<(usize, usize), StoreError>>,
}

impl Pass<'_> {
    fn work_off(&self) {
        let mut curves = Vec::new();
        let mut cleared = Vec::new();
        while let Some(marks) = self.work.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if self.has_failed() {
                return;
            }
            match self.compute(marks) {
                Ok(of_meter) => curves.extend(of_meter),
                // The marks stay, the curves are those of before, and the next meter is computed.
                Err(error) if is_damage(&error) => {
                    self.tell_damage(marks, &error);
                    continue;
                }
                Err(error) => return self.add(Err(error)),
            }
            cleared.extend_from_slice(marks);
            if curves.len() >= WRITE_MAX {
                self.write(std::mem::take(&mut curves), std::mem::take(&mut cleared));
            }
        }
        if !cleared.is_empty() {
            self.write(curves, cleared);
        }
    }

    fn write(&self, curves: Vec<CurveWrite>, cleared: Vec<DirtyDay>) {
        let computed = curves.len();
        let batch = CurveBatch {
            curves,
            cleared,
            computed_at: self.deps.clock.now(),
        };
        let written = self.deps.journal.put_curves(batch);
        self.add(written.map(|changed| (computed, changed)));
    }

    fn has_failed(&self) -> bool {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_err()
    }

    fn add(&self, part: Result<(usize, usize), StoreError>) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *outcome, part) {
            (Ok(sum), Ok(part)) => *sum = (sum.0 + part.0, sum.1 + part.1),
            (Ok(_), Err(error)) => *outcome = Err(error),
            (Err(_), _) => {}
        }
    }

    fn tell_damage(&self, marks: &[DirtyDay], error: &StoreError) {
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else {
            return;
        };
        let what = format!(
            "curves of {} on {}…{} are not computed: {error}",
            first.meter, first.day, last.day
        );
        if self.deps.journal.tell_damage(&what) {
            error!(code = error.code(), "{what}");
        }
    }

    /// Every curve of one meter that its dirty days can change.
    fn compute(&self, marks: &[DirtyDay]) -> Result<Vec<CurveWrite>, StoreError> {
        // A meter that left the registry has no rules to compute by; its curves stay as they are.
        let Some(meter) = marks
            .first()
            .and_then(|mark| self.registry.meters.get(&mark.meter))
        else {
            return Ok(Vec::new());
        };
        let rules = self.means.rules(meter, &self.deps.calendar);
        // Curves of days whose readings were dropped are final; their marks are answered by that.
        let journal = &self.deps.journal;
        let open_from = journal.closed_before(&meter.id)?;
        let is_open = |mark: &&DirtyDay| open_from.is_none_or(|from| mark.day >= from);
        let open: Vec<DirtyDay> = marks.iter().filter(is_open).cloned().collect();
        let mut spans = Vec::new();
        for (first, last) in runs(&open) {
            let (from, to) = self.widen(&rules, first, last)?;
            spans.push((open_from.map_or(from, |open_from| from.max(open_from)), to));
        }
        let mut done: BTreeMap<GasDay, CurveWrite> = BTreeMap::new();
        for (index, (from, to)) in spans.iter().enumerate() {
            // The next span judges its own days, and those after it.
            let end = spans.get(index + 1).map_or(to.plus(HISTORY_DAYS), |next| {
                next.0.min(to.plus(HISTORY_DAYS))
            });
            self.compute_days(&rules, (*from, *to), end.max(*to), &mut done)?;
        }
        Ok(done.into_values().collect())
    }

    /// The days `[from, to)` whose curves can depend on totals of the days `first..=last`.
    fn widen(
        &self,
        rules: &CurveRules<'_>,
        first: GasDay,
        last: GasDay,
    ) -> Result<(GasDay, GasDay), StoreError> {
        let journal = &self.deps.journal;
        let (clock, item) = (journal.clock(), rules.item());
        let (before, after) =
            journal.neighbours(&rules.meter.id, item, first, last.plus(1), AROUND)?;
        let from = before.first().map_or(first, |point| clock.day_of(point.at));
        let to = after.last().map_or(last, |point| clock.day_of(point.at));
        Ok((from, to.plus(1)))
    }

    /// Computes the days of a span, and judges those after it and before `end` that have a curve
    /// again.
    fn compute_days(
        &self,
        rules: &CurveRules<'_>,
        (from, to): (GasDay, GasDay),
        end: GasDay,
        done: &mut BTreeMap<GasDay, CurveWrite>,
    ) -> Result<(), StoreError> {
        let journal = &self.deps.journal;
        let clock = journal.clock();
        let meter = rules.meter;
        let after = journal.curves_of(&meter.id, to, end)?;
        let end = after.last().map_or(to, |curve| curve.day.plus(1));
        let readings = journal.curve_readings(&meter.id, rules.item(), from, end, AROUND)?;
        let points = expand(&readings, rules.item());
        let mut history: BTreeMap<GasDay, LoadCurve> = journal
            .curves_of(&meter.id, from.plus(-HISTORY_DAYS), from)?
            .into_iter()
            .map(|curve| (curve.day, curve))
            .collect();
        for (day, write) in done.range(from.plus(-HISTORY_DAYS)..from) {
            history.insert(*day, write.curve.clone());
        }
        let mut history: Vec<LoadCurve> = history.into_values().collect();
        let rules = CurveRules {
            history: &history,
            ..*rules
        };
        let built = build_days(&rules, clock, from, end, &points);
        let customer = self.registry.customer_of(meter);
        let changes: Vec<ProductionChange> = changes_of(self.registry, meter).cloned().collect();
        for (curve, mut findings) in built {
            let day = curve.day;
            if day >= to && after.binary_search_by_key(&day, |curve| curve.day).is_err() {
                continue;
            }
            findings.extend(sample_findings(meter, clock, day, &readings));
            let start = history.partition_point(|c| c.day < day.plus(-HISTORY_DAYS));
            findings.extend(check_day(&DayFacts {
                meter,
                customer,
                changes: &changes,
                calendar: &self.deps.calendar,
                clock,
                limits: &self.limits.of(customer, day),
                curve: &curve,
                history: history.get(start..).unwrap_or_default(),
                readings: readings_of(clock, day, &readings),
                readings_to_end: readings_to_end(clock, day, &readings),
            }));
            history.push(curve.clone());
            done.insert(day, CurveWrite { curve, findings });
        }
        Ok(())
    }
}

/// The curves of the days `[from, to)`, from what the journal has; nothing is judged.
pub(super) fn build_curves(
    journal: &Journal,
    rules: &CurveRules<'_>,
    from: GasDay,
    to: GasDay,
) -> Result<Vec<LoadCurve>, StoreError> {
    let meter = &rules.meter.id;
    let readings = journal.curve_readings(meter, rules.item(), from, to, AROUND)?;
    let history = journal.curves_of(meter, from.plus(-HISTORY_DAYS), from)?;
    let rules = CurveRules {
        history: &history,
        ..*rules
    };
    let points = expand(&readings, rules.item());
    let built = build_days(&rules, journal.clock(), from, to, &points);
    Ok(built.into_iter().map(|(curve, _)| curve).collect())
}

/// First and last day of each run of dirty days that are near to each other.
fn runs(marks: &[DirtyDay]) -> Vec<(GasDay, GasDay)> {
    let mut runs: Vec<(GasDay, GasDay)> = Vec::new();
    for mark in marks {
        match runs.last_mut() {
            Some((_, last)) if mark.day.days_since(*last) <= JOIN_DAYS => *last = mark.day,
            _ => runs.push((mark.day, mark.day)),
        }
    }
    runs
}

/// Sums the demand of gas days whose curves changed, and of later ones that rest on estimates; what a
/// document was made from is restated.
fn sum_stale_days(deps: &CurveDeps) -> Result<usize, StoreError> {
    let stale = deps.journal.stale_demand_days()?;
    let Some((_, last)) = deps.journal.curve_span()? else {
        return Ok(0);
    };
    let mut days: BTreeSet<GasDay> = BTreeSet::new();
    if let (Some(first), Some(newest)) = (stale.first(), stale.last()) {
        let reach = |after: i64| newest.day.plus(after.max(0) + 1);
        let estimated = deps.book.estimated_days(first.day, reach(deps.fill_days))?;
        for StaleDay { day, .. } in &stale {
            days.insert(*day);
            days.extend(estimated.range(*day..=day.plus(deps.fill_days.max(0))));
        }
    }
    // What was summed of days whose curves were dropped is final, too.
    let open_from = deps.journal.curves_dropped_before()?;
    let is_open = |day: &GasDay| *day <= last && open_from.is_none_or(|from| *day >= from);
    let days: Vec<GasDay> = days.into_iter().filter(is_open).collect();
    let clock = deps.journal.clock();
    for chunk in days.chunks(DEMAND_DAYS_MAX) {
        let mut demand = Vec::new();
        let mut events = Vec::new();
        for day in chunk {
            let curves = deps.journal.curves_on(*day)?;
            events.push(LiveEvent::CurvesComputed {
                day: *day,
                meters: curves.len(),
            });
            demand.extend((deps.sum_day)(*day, &curves));
        }
        let mut dated = Vec::with_capacity(chunk.len());
        for day in chunk {
            dated.push(RestatedDay {
                day: *day,
                ended_at: clock.end_of(*day),
                decided_at: deps.journal.last_decision_on(*day)?,
            });
        }
        deps.book
            .restate_demand_days(dated, demand, deps.clock.now())?;
        for event in events {
            // Nobody need be listening.
            deps.live.send(event).ok();
        }
    }
    if !stale.is_empty() {
        let today = clock.day_of(deps.clock.now());
        judging::mark(&deps.journal, stale.iter().map(|stale| stale.day), today)?;
        deps.journal.clear_stale_demand(stale)?;
    }
    Ok(days.len())
}
