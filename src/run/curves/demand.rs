//! Curves of a gas day → demand of its nodes, and what is restated by that.

use std::collections::BTreeSet;
use std::time::Duration;

use super::CurveDeps;
use super::pass::is_damage;
use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandDay;
use crate::domain::live::LiveEvent;
use crate::run::{facts, judging};
use crate::store::StoreError;
use crate::store::book::RestatedDay;
use crate::store::journal::StaleDay;

/// Gas days of demand written in one transaction.
const DEMAND_DAYS_MAX: usize = 32;
/// Where the book did not take the demand of some days, it is asked again after so long.
const TRY_AGAIN: Duration = Duration::from_mins(1);

/// Sums the demand of gas days whose curves changed, and of later ones that rest on estimates; what a
/// document was made from is restated.
///
/// Where the book is damaged, the days that it does not take keep their marks, it is said which, and the others
/// are summed. Curves do not wait for it.
pub(super) fn sum_stale_days(deps: &CurveDeps) -> Result<usize, StoreError> {
    if deps.book.refused_lately(TRY_AGAIN) {
        return Ok(0);
    }
    match sum_days(deps) {
        Err(error) if is_of_book(deps, &error) => {
            deps.book.refuse_for_now();
            facts::tell_damage(&deps.book, "demand is not summed", &error);
            Ok(0)
        }
        summed => summed,
    }
}

fn is_of_book(deps: &CurveDeps, error: &StoreError) -> bool {
    deps.book.refusal().is_some() || (is_damage(error) && error.path() == deps.book.path())
}

fn sum_days(deps: &CurveDeps) -> Result<usize, StoreError> {
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
    let mut refused = BTreeSet::new();
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
        refused.extend(write(deps, &dated, &demand)?);
        for event in events {
            // Nobody need be listening.
            deps.live.send(event).ok();
        }
    }
    // They get marks of their own: one that only rests on a changed day had none.
    deps.journal.mark_stale_demand(refused.clone())?;
    if !stale.is_empty() {
        let today = clock.day_of(deps.clock.now());
        judging::mark(&deps.journal, stale.iter().map(|stale| stale.day), today)?;
        deps.journal.clear_stale_demand(stale)?;
    }
    Ok(days.len() - refused.len())
}

/// Writes the demand of some gas days; where the book refuses them together, day by day. Returns those that it
/// did not take.
///
/// # Errors
/// It took none of them.
fn write(
    deps: &CurveDeps,
    days: &[RestatedDay],
    demand: &[DemandDay],
) -> Result<BTreeSet<GasDay>, StoreError> {
    let put = |days, demand| {
        deps.book
            .restate_demand_days(days, demand, deps.clock.now())
    };
    let Err(error) = put(days.to_vec(), demand.to_vec()) else {
        return Ok(BTreeSet::new());
    };
    if !is_of_book(deps, &error) {
        return Err(error);
    }
    let mut refused = BTreeSet::new();
    for of in days {
        let of_day = demand.iter().filter(|demand| demand.day == of.day);
        match put(vec![*of], of_day.cloned().collect()) {
            Ok(()) => {}
            Err(error) if is_of_book(deps, &error) => {
                facts::tell_damage(
                    &deps.book,
                    &format!("demand of {} is not summed", of.day),
                    &error,
                );
                refused.insert(of.day);
            }
            Err(error) => return Err(error),
        }
    }
    if refused.len() == days.len() {
        return Err(error);
    }
    deps.book.refuse_for_now();
    Ok(refused)
}
