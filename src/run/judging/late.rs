//! Days older than the round's: judged again when their curves change, and once when they leave it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::{DAYS, judge_some, sync_changes, sync_plans};
use crate::domain::calendar::GasDay;
use crate::domain::filing::ProductionChange;
use crate::domain::text::error_chain;
use crate::run::app::App;
use crate::run::facts;
use crate::store::error::StoreError;
use crate::store::journal::{DueDays, Journal};
use crate::validate::day::HISTORY_DAYS;

/// Gas days judged in one step. With the four weeks before them, sixty days of curves are read.
const STEP_DAYS: u16 = 32;
/// How often it is looked whether days are to be judged.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether plans and announcements became known that no reading of the registry
/// tells of.
const SYNC_EVERY: Duration = Duration::from_mins(10);
/// Least pause between steps; one that took longer is followed by a pause as long.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Marks what changed curves of these gas days can change: the day before, at whose end their pressures
/// stand, and those that are compared with them. Days of the round need no mark. Blocks.
///
/// # Errors
/// As the journal's `commit`.
pub(in crate::run) fn mark(
    journal: &Journal,
    changed: impl Iterator<Item = GasDay>,
    today: GasDay,
) -> Result<(), StoreError> {
    let until = today.plus(-DAYS);
    let days: BTreeSet<GasDay> = changed
        .filter(|day| *day < until)
        .flat_map(|day| (-1..=HISTORY_DAYS).map(move |offset| day.plus(offset)))
        .filter(|day| *day < until)
        .collect();
    journal.mark_unjudged(&days)
}

/// Judges the earliest days that are to be judged, and says which; none if there are none. Blocks.
///
/// Whoever is stopped in between judges the same days again.
///
/// # Errors
/// What the stores say.
pub fn catch_up(app: &App) -> Result<Option<DueDays>, StoreError> {
    let until = app.today().plus(-DAYS);
    let Some(due) = app.journal.take_unjudged(until, STEP_DAYS)? else {
        return Ok(None);
    };
    let found = judge_some(app, &app.registry(), due.from, due.to, due.only.as_ref())?;
    app.journal.answer_unjudged()?;
    let whom = due.only.as_ref().map_or_else(
        || "zones and customers".to_owned(),
        |only| format!("{} zone(s) and customer(s)", only.len()),
    );
    tracing::info!(
        found,
        "Judged {whom} on the gas days {} to {}",
        due.from,
        due.to.plus(-1)
    );
    Ok(Some(due))
}

/// Tells what became known by another way than the registry, or whose time to be known has come: plans, and
/// production changes where they are others than `told`, those told last. Blocks.
///
/// # Errors
/// What the stores say.
pub fn sync_known(app: &App, told: &mut Option<Vec<ProductionChange>>) -> Result<(), StoreError> {
    loop {
        let (now, registry, limits) = (app.clock.now(), app.registry(), app.limits());
        sync_plans(&app.journal, &app.book, &registry, now)?;
        let changes = facts::changes_if_readable(&app.book, &registry, now)?;
        if let Some(changes) = changes.filter(|changes| told.as_ref() != Some(changes)) {
            sync_changes(&app.journal, &registry, &limits, &changes, now)?;
            *told = Some(changes);
        }
        // Where one was swapped meanwhile, whoever told of the new one may have been first.
        if Arc::ptr_eq(&registry, &app.registry()) && Arc::ptr_eq(&limits, &app.limits()) {
            return Ok(());
        }
        *told = None;
    }
}

/// Catches up until told to stop.
///
/// # Errors
/// A panic of the worker.
pub async fn run(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let mut has_failed = false;
    let mut synced = None;
    let mut told = None;
    loop {
        let (worker, started) = (app.clone(), Instant::now());
        let mut of_step = told.take();
        let is_sync_due = synced.is_none_or(|at: Instant| at.elapsed() >= SYNC_EVERY);
        let step;
        (step, told) = tokio::task::spawn_blocking(move || {
            let synced = if is_sync_due {
                sync_known(&worker, &mut of_step)
            } else {
                Ok(())
            };
            (synced.and_then(|()| catch_up(&worker)), of_step)
        })
        .await?;
        if is_sync_due && step.is_ok() {
            synced = Some(started);
        }
        let pause = match step {
            Ok(Some(_)) => started.elapsed().max(PAUSE_MIN),
            Ok(None) => LOOK_EVERY,
            Err(error) => {
                if !has_failed {
                    tracing::warn!(
                        code = error.code(),
                        "Zones and customers are not judged now, and are tried again: {}",
                        error_chain(&error)
                    );
                }
                has_failed = true;
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(LOOK_EVERY) => continue,
                }
            }
        };
        has_failed = false;
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}
