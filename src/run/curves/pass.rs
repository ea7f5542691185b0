//! One pass: the curves of marked meters and days, computed or only judged again, on a few threads, each a
//! meter at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::error;

use super::basis::Means;
use super::{CurveDeps, PassReport};
use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::filing::ProductionChange;
use crate::domain::id::{CustomerId, MeterId};
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::run::facts;
use crate::store::StoreError;
use crate::store::journal::{CurveBatch, CurveWrite, DirtyDay, Journal, MeterSpan};
use crate::validate::curve::{
    AROUND, CurveRules, build_days, readings_of, readings_to_end, sample_findings,
};
use crate::validate::day::{DayFacts, HISTORY_DAYS, check_day};
use crate::validate::limits::LimitTable;
use crate::validate::points::expand;

/// Curves written in one transaction: few, so that readings do not wait long behind them.
const WRITE_MAX: usize = 1_000;
/// Dirty days this near to each other are computed in one go.
const JOIN_DAYS: i64 = 7;
/// Threads at most; more would only wait for the one writer.
const THREADS_MAX: usize = 4;

/// Computes curves on a few threads, each a meter at a time; the writer joins them.
pub(super) fn compute_all(
    deps: &CurveDeps,
    dirty: Vec<DirtyDay>,
    report: &mut PassReport,
) -> Result<(), StoreError> {
    let mut by_meter: BTreeMap<MeterId, Vec<DirtyDay>> = BTreeMap::new();
    for mark in dirty {
        by_meter.entry(mark.meter.clone()).or_default().push(mark);
    }
    let work = by_meter.into_values().map(|mut marks| {
        marks.sort_by_key(|mark| mark.day);
        Work::Dirty(marks)
    });
    let done = work_off(deps, work.collect())?;
    report.cleared += done.cleared;
    report.computed += done.computed;
    report.changed += done.changed;
    Ok(())
}

/// Judges marked days of meters again, at most `limit`; how many. Their curves stay as they are, and days
/// beside them are not looked at. Whoever is stopped in between judges the same days again. Blocks.
///
/// # Errors
/// As the store's.
pub fn judge_marked(deps: &CurveDeps, limit: usize) -> Result<usize, StoreError> {
    let spans = deps.journal.meters_to_judge(limit)?;
    if spans.is_empty() {
        return Ok(0);
    }
    let days = |span: &MeterSpan| usize::try_from(span.to.days_since(span.from)).unwrap_or(0);
    let judged = spans.iter().map(days).sum();
    work_off(deps, spans.iter().cloned().map(Work::Judge).collect())?;
    deps.journal.answer_judged(spans)?;
    Ok(judged)
}

/// What was written of a pass.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    /// Marks answered; those of damaged places stay.
    cleared: usize,
    /// Curves computed.
    computed: usize,
    /// Those of them that differ from before.
    changed: usize,
}

fn work_off(deps: &CurveDeps, work: Vec<Work>) -> Result<Written, StoreError> {
    let registry = Arc::clone(&deps.registry.borrow());
    // Curves do not wait for a damaged book.
    let now = deps.clock.now();
    let told = facts::changes_if_readable(&deps.book, &registry, now)?
        .unwrap_or_else(|| registry.changes_known_at(now).cloned().collect());
    let mut changes: BTreeMap<CustomerId, Vec<ProductionChange>> = BTreeMap::new();
    for change in told {
        let of_customer = changes.entry(change.customer.clone()).or_default();
        of_customer.push(change);
    }
    let pass = Pass {
        deps,
        changes,
        means: Means::new(&registry, &deps.journal)?,
        registry: &registry,
        limits: Arc::clone(&deps.limits.borrow()),
        calendar: Arc::clone(&deps.calendar.borrow()),
        work,
        next: AtomicUsize::new(0),
        outcome: Mutex::new(Ok(Written::default())),
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
    pass.outcome
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// What is to be done for one meter.
enum Work {
    /// Curves to compute again, in order of day.
    Dirty(Vec<DirtyDay>),
    /// Curves to judge again.
    Judge(MeterSpan),
}

impl Work {
    /// Meter, first and last gas day.
    fn about(&self) -> Option<(&MeterId, GasDay, GasDay)> {
        match self {
            Self::Dirty(marks) => {
                let (first, last) = (marks.first()?, marks.last()?);
                Some((&first.meter, first.day, last.day))
            }
            Self::Judge(span) => Some((&span.meter, span.from, span.to.plus(-1))),
        }
    }

    fn marks(&self) -> &[DirtyDay] {
        match self {
            Self::Dirty(marks) => marks,
            Self::Judge(_) => &[],
        }
    }
}

pub(super) const fn is_damage(error: &StoreError) -> bool {
    error.is_of_file()
}

struct Pass<'a> {
    deps: &'a CurveDeps,
    registry: &'a Registry,
    /// What customers told beforehand.
    changes: BTreeMap<CustomerId, Vec<ProductionChange>>,
    means: Means,
    limits: Arc<LimitTable>,
    calendar: Arc<Calendar>,
    work: Vec<Work>,
    next: AtomicUsize,
    outcome: Mutex<Result<Written, StoreError>>,
}

impl Pass<'_> {
    fn work_off(&self) {
        let mut curves = Vec::new();
        let mut cleared = Vec::new();
        while let Some(work) = self.work.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if self.has_failed() {
                return;
            }
            match self.compute(work) {
                Ok(of_meter) => curves.extend(of_meter),
                // The marks stay, the curves are those of before, and the next meter is computed.
                Err(error) if is_damage(&error) => {
                    self.tell_damage(work, &error);
                    continue;
                }
                Err(error) => return self.add(Err(error)),
            }
            cleared.extend_from_slice(work.marks());
            if curves.len() >= WRITE_MAX {
                self.write(std::mem::take(&mut curves), std::mem::take(&mut cleared));
            }
        }
        if !cleared.is_empty() || !curves.is_empty() {
            self.write(curves, cleared);
        }
    }

    fn write(&self, curves: Vec<CurveWrite>, cleared: Vec<DirtyDay>) {
        let (computed, answered) = (curves.len(), cleared.len());
        let batch = CurveBatch {
            curves,
            cleared,
            computed_at: self.deps.clock.now(),
        };
        let written = self.deps.journal.put_curves(batch);
        self.add(written.map(|changed| Written {
            cleared: answered,
            computed,
            changed,
        }));
    }

    fn has_failed(&self) -> bool {
        self.outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_err()
    }

    fn add(&self, part: Result<Written, StoreError>) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *outcome, part) {
            (Ok(sum), Ok(part)) => {
                sum.cleared += part.cleared;
                sum.computed += part.computed;
                sum.changed += part.changed;
            }
            (Ok(_), Err(error)) => *outcome = Err(error),
            (Err(_), _) => {}
        }
    }

    fn tell_damage(&self, work: &Work, error: &StoreError) {
        let Some((meter, first, last)) = work.about() else {
            return;
        };
        let what = format!("curves of {meter} on {first}…{last} are not computed: {error}");
        if self.deps.journal.tell_damage(&what) {
            error!(code = error.code(), "{what}");
        }
    }

    /// Every curve of one meter that its dirty days can change, or those to be judged.
    fn compute(&self, work: &Work) -> Result<Vec<CurveWrite>, StoreError> {
        // A meter that left the registry has no rules to compute by; its curves stay as they are.
        let Some(meter) = work
            .about()
            .and_then(|(meter, ..)| self.registry.meters.get(meter))
        else {
            return Ok(Vec::new());
        };
        let rules = self.means.rules(meter, &self.calendar);
        // Curves of days whose readings were dropped are final; their marks are answered by that.
        let journal = &self.deps.journal;
        let open_from = journal.closed_before(&meter.id)?;
        let mut done: BTreeMap<GasDay, CurveWrite> = BTreeMap::new();
        let marks = match work {
            Work::Dirty(marks) => marks,
            Work::Judge(MeterSpan { from, to, .. }) => {
                // A span without days of its own: what follows it has a curve and is judged.
                let from = open_from.map_or(*from, |open_from| open_from.max(*from));
                if from < *to {
                    self.compute_days(&rules, (from, from), *to, &mut done)?;
                }
                return Ok(done.into_values().collect());
            }
        };
        let is_open = |mark: &&DirtyDay| open_from.is_none_or(|from| mark.day >= from);
        let open: Vec<DirtyDay> = marks.iter().filter(is_open).cloned().collect();
        let mut spans = Vec::new();
        for (first, last) in runs(&open) {
            let (from, to) = self.widen(&rules, first, last)?;
            spans.push((open_from.map_or(from, |open_from| from.max(open_from)), to));
        }
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
        let told = meter.customer.as_ref();
        let told = told.and_then(|customer| self.changes.get(customer));
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
                changes: told.map_or(&[], Vec::as_slice),
                atmosphere_kpa: self.registry.atmosphere_of(meter),
                reference: self.registry.company.reference,
                calendar: &self.calendar,
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
pub(in crate::run) fn build_curves(
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
