//! The rules that look at zones and customers rather than meters: V15 and V26.
//!
//! They need what the balance and the ledger know, so they are judged here: of the last complete gas
//! days whenever the schedule makes its round, of earlier ones when their curves change, and of each day
//! once more when it leaves the round; what was found of a day before is replaced. Where a plan, a limit or
//! the registry changes, who it is about is judged again on the days it is about.

mod again;
mod late;
mod sync;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::finding::{Finding, RuleId, Subject};
use crate::domain::id::{CustomerId, ZoneId};
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::ledger::zone_days::ZoneDaysBuilder;
use crate::run::app::App;
use crate::run::pipes::Pipes;
use crate::run::{facts, retention};
use crate::store::book::Book;
use crate::store::error::StoreError;
use crate::validate::day::HISTORY_DAYS;
use crate::validate::judged_by::DaySpan;
use crate::validate::rules::v15_mass_balance::{self, ZoneDay};
use crate::validate::rules::v26_plan_deviation;

pub use self::again::{JudgeError, SPAN_MAX, judge_again, mark_and_wait};
pub(super) use self::late::mark;
pub use self::late::{catch_up, run, sync_known};
pub use self::sync::{sync, sync_changes, sync_plans};

/// Complete gas days that are judged again in every round: as long as late readings usually come.
pub const DAYS: i64 = 8;

/// The first gas day that can still be judged: what is before it was compared with curves that are
/// dropped by now, so that its findings are final. None if no curve was ever dropped. Blocks.
///
/// # Errors
/// What the store says.
pub fn open_from(app: &App) -> Result<Option<GasDay>, StoreError> {
    let dropped = app.journal.curves_dropped_before()?;
    Ok(dropped.map(|day| day.plus(HISTORY_DAYS)))
}

/// Judges some customers again on the days of the round, whose findings else wait for it. Blocks.
///
/// # Errors
/// What the stores say.
pub fn judge_customers<'a>(
    app: &App,
    customers: impl IntoIterator<Item = &'a CustomerId>,
) -> Result<usize, StoreError> {
    let (from, today) = (app.today().plus(-DAYS), app.today());
    let of = |id: &CustomerId| (Subject::Customer(id.clone()), vec![(from, today)]);
    let only: Only = customers.into_iter().map(of).collect();
    judge_some(app, &app.registry(), from, today, Some(&only))
}

/// Zones and customers that are judged, each on these of the days.
type Only = BTreeMap<Subject, Vec<DaySpan>>;

fn is_asked(only: &Only, subject: &Subject, day: GasDay) -> bool {
    only.get(subject)
        .is_some_and(|spans| spans.iter().any(|(from, to)| *from <= day && day < *to))
}

/// Judges zones and customers on the gas days `[from, to)`, those that are final excepted; how many
/// findings there are. Blocks.
///
/// # Errors
/// What the stores say.
pub fn judge(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<usize, StoreError> {
    judge_some(app, registry, from, to, None)
}

/// The same, of some of them only if asked.
fn judge_some(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
    only: Option<&Only>,
) -> Result<usize, StoreError> {
    let from = open_from(app)?.map_or(from, |open_from| open_from.max(from));
    if from >= to {
        return Ok(0);
    }
    let is_judged = |subject: &Subject, day| only.is_none_or(|only| is_asked(only, subject, day));
    let mut found: BTreeMap<GasDay, Vec<Finding>> = BTreeMap::new();
    let clock = app.gas_day_clock();
    let limits = app.limits();
    let is_about_zones =
        only.is_none_or(|only| only.keys().any(|of| matches!(of, Subject::Zone(_))));
    let zones = if is_about_zones {
        zone_days(app, registry, from.plus(-HISTORY_DAYS), to)?
    } else {
        BTreeMap::new()
    };
    for (zone, days) in zones {
        let subject = Subject::Zone(zone.clone());
        let is_of = |day: &ZoneDay| day.day >= from && is_judged(&subject, day.day);
        for (index, day) in days.iter().enumerate().filter(|(_, day)| is_of(day)) {
            let first = days.partition_point(|d| d.day < day.day.plus(-HISTORY_DAYS));
            let finding = v15_mass_balance::check(
                &zone,
                clock.start_of(day.day),
                day,
                days.get(first..index).unwrap_or_default(),
                &limits.of(None, day.day),
            );
            found.entry(day.day).or_default().extend(finding);
        }
    }
    let (declared, rules) = match declared(app, registry, from, to, only) {
        // What was found of customers stays; zones are judged all the same.
        Err(error) if error.is_of_file() && error.path() == app.book.path() => {
            (BTreeMap::new(), vec![RuleId::V15])
        }
        declared => (declared?, vec![RuleId::V15, RuleId::V26]),
    };
    for (customer, days) in declared {
        for (day, used, declared) in days {
            let at = clock.start_of(day);
            let finding = v26_plan_deviation::check(&customer, at, used, declared);
            found.entry(day).or_default().extend(finding);
        }
    }
    let mut count = 0;
    for offset in 0..to.days_since(from).max(0) {
        let day = from.plus(offset);
        let of: Option<Vec<Subject>> = only.map(|only| {
            let asked = only.keys().filter(|of| is_asked(only, of, day));
            asked.cloned().collect()
        });
        if of.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let mut of_day = found.remove(&day).unwrap_or_default();
        of_day.retain(|finding| {
            let (kept, today) = (&app.settings.retention, app.today());
            retention::is_finding_kept(registry, kept, &finding.subject, day, today)
        });
        count += of_day.len();
        app.journal
            .put_subject_findings(day, rules.clone(), of, of_day)?;
    }
    Ok(count)
}

/// Days of each zone with gates, with line pack where pipes and pressures are known.
///
/// # Errors
/// What the stores say.
pub fn zone_days(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<ZoneId, Vec<ZoneDay>>, StoreError> {
    let mut builder = ZoneDaysBuilder::new(registry, from, to);
    app.journal
        .for_each_curve(from, to, |curve| builder.add(&curve))?;
    let mut zones = builder.finish();
    for (zone, days) in &mut zones {
        let mut pipes = Pipes::of(&app.journal, registry, zone);
        for day in days {
            day.line_pack = pipes.growth_on(day.day)?;
        }
    }
    Ok(zones)
}

type Declared = Vec<(GasDay, StdVolume, StdVolume)>;

/// Complete days of customers that declared them: used, declared.
fn declared(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
    only: Option<&Only>,
) -> Result<BTreeMap<CustomerId, Declared>, StoreError> {
    let mut plans = plans_in_force(&app.book, registry, from, to, app.clock.now())?;
    plans.retain(|(customer, day), _| {
        only.is_none_or(|only| is_asked(only, &Subject::Customer(customer.clone()), *day))
    });
    let mut customers: Vec<&CustomerId> = plans.keys().map(|(customer, _)| customer).collect();
    customers.dedup();
    let daily = facts::daily_of(app, registry, customers, from, to)?;
    let mut out: BTreeMap<CustomerId, Declared> = BTreeMap::new();
    for ((customer, day), declared) in &plans {
        if let Some(used) = daily.get(customer).and_then(|days| days.get(day)) {
            let days = out.entry(customer.clone()).or_default();
            days.push((*day, *used, *declared));
        }
    }
    Ok(out)
}

/// What customers declared for the gas days `[from, to)` as known at an instant.
fn plans_in_force(
    book: &Book,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
    at: DateTime<Utc>,
) -> Result<BTreeMap<(CustomerId, GasDay), StdVolume>, StoreError> {
    let plans = facts::plans_known_at(book, registry, from, to, at)?;
    let plans = plans.into_iter().map(|p| ((p.customer, p.day), p.volume));
    Ok(plans.collect())
}
