//! Curves of a gas day → demand of its nodes, and what is restated by that.

use std::collections::BTreeSet;

use super::CurveDeps;
use crate::domain::calendar::GasDay;
use crate::domain::live::LiveEvent;
use crate::run::judging;
use crate::store::StoreError;
use crate::store::book::RestatedDay;
use crate::store::journal::StaleDay;

/// Gas days of demand written in one transaction.
const DEMAND_DAYS_MAX: usize = 32;

/// Sums the demand of gas days whose curves changed, and of later ones that rest on estimates; what a
/// document was made from is restated.
pub(super) fn sum_stale_days(deps: &CurveDeps) -> Result<usize, StoreError> {
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
