//! Results: measured once the hours of a window are known, and again when late readings change them.

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::domain::meter::Meter;
use crate::domain::registry::Registry;
use crate::nudge::Nudge;
use crate::nudge::baseline::{HourUse, hours_of};
use crate::nudge::settlement::{self, Settled};
use crate::run::app::App;
use crate::run::nudging::{KeptSettlement, kept, put, settlements};
use crate::store::book::DocumentKind;

/// Gas days back on which a late reading still changes a result: older ones are refused as stale.
const RESTATED_DAYS: i64 = 400;

/// Gas days whose results are looked at between two rounds as well.
const RECENT_DAYS: i64 = 3;

/// Settles every event whose readings may still change; the number of new versions.
///
/// # Errors
/// What the stores say.
pub fn settle_all(app: &App) -> anyhow::Result<usize> {
    settle(app, app.today().plus(-RESTATED_DAYS))
}

/// Settles the events of the last days.
///
/// # Errors
/// What the stores say.
pub fn settle_recent(app: &App) -> anyhow::Result<usize> {
    settle(app, app.today().plus(-RECENT_DAYS))
}

/// Settles the events of the gas days from `first` on that were sent; the number of new versions.
///
/// # Errors
/// What the stores say.
pub fn settle(app: &App, first: GasDay) -> anyhow::Result<usize> {
    let _steps = app.nudge_steps.lock();
    let now = app.clock.now();
    let is_over = |nudge: &Nudge| nudge.state.has_left() && nudge.window_to <= now;
    let nudges: Vec<Nudge> = kept(app)?
        .into_iter()
        .filter(|nudge| nudge.day >= first && is_over(nudge))
        .collect();
    if nudges.is_empty() {
        return Ok(0);
    }
    let before: BTreeMap<String, KeptSettlement> = settlements(app)?;
    let registry = app.registry();
    let kept_from = app.journal.curves_dropped_before()?;
    let clock = app.gas_day_clock();
    let mut made = 0;
    for nudge in nudges {
        let known = before.get(&nudge.id).map(|kept| &kept.settlement);
        let is_dropped = kept_from.is_some_and(|from| nudge.day < from);
        let is_gone = registry.meters_of(&nudge.customer).next().is_none();
        // A result stands when what it was measured from is no longer kept.
        if known.is_some() && (is_dropped || is_gone) {
            continue;
        }
        let hours = hours(app, &registry, &nudge)?;
        if let Settled::New(next) = settlement::settle(&nudge, &hours, known, clock, now) {
            let reason = if known.is_none() {
                "measured against the frozen baseline"
            } else {
                "measured again: readings, a decision or the reply changed it"
            };
            let by = ("qiliang", reason);
            put(app, DocumentKind::Settlement, &nudge.id, &*next, by)?;
            made += 1;
        }
    }
    Ok(made)
}

/// Hours of an enterprise on the gas day of its event.
fn hours(app: &App, registry: &Registry, nudge: &Nudge) -> anyhow::Result<[HourUse; 24]> {
    let meters: Vec<&Meter> = registry.meters_of(&nudge.customer).collect();
    let mut curves = Vec::new();
    for meter in &meters {
        curves.extend(
            app.journal
                .curves_of(&meter.id, nudge.day, nudge.day.plus(1))?,
        );
    }
    Ok(hours_of(&meters, nudge.day, &curves))
}
