//! What is made again and again: forecast, nomination, declaration, nudges.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::clock::real_duration;
use crate::domain::calendar::{GasDay, GasDayClock, GasMonth, beijing_instant};
use crate::run::app::App;
use crate::run::{forecasting, judging, ledgering, monitor, nudging, planning, submitting};
use crate::store::book::DocumentKind;

/// How often the schedule looks at the clock at most, real time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Forecast runs kept beside the last fortnight's.
const RUNS_KEPT: usize = 200;

/// A run for the last hour before the nomination is due sees yesterday's late frames as well.
const RUN_AGAIN_AFTER: TimeDelta = TimeDelta::hours(4);

/// The last hour of a gas day is read and its curves are computed by then.
const LAST_HOUR_COMES: TimeDelta = TimeDelta::minutes(5);

/// Makes the runs until told to stop.
///
/// One failure is logged with what to do and tried again at the next time; the daemon goes on.
///
/// # Errors
/// Never by itself; the supervisor's type wants it.
pub async fn run(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let every = TimeDelta::minutes(i64::from(app.settings.forecast.every_minutes));
    let mut next_at = first_at(&app, every).await?;
    let mut settled = String::new();
    loop {
        let now = app.clock.now();
        next_at = soon(next_at, now, every);
        if now >= next_at {
            let worker = app.clone();
            let made = tokio::task::spawn_blocking(move || round(&worker)).await?;
            if let Err(error) = made {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "Planning round skipped: {error:#}"
                );
            }
            let worker = app.clone();
            let made = tokio::task::spawn_blocking(move || nudging::settle_all(&worker)).await?;
            nudging::tell_settled(&mut settled, made);
            next_at = next_after(now, every, app.gas_day_clock());
        }
        let wait = real_duration(&*app.clock, next_at - app.clock.now());
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait.clamp(Duration::from_millis(50), LOOK_EVERY)) => {}
        }
    }
}

/// When something is done that was to be done at an instant, each so long after the last: now where that
/// lies further off, for the clock was ahead when it was said.
pub(super) fn soon(at: DateTime<Utc>, now: DateTime<Utc>, every: TimeDelta) -> DateTime<Utc> {
    if at - now > every.max(TimeDelta::minutes(1)) {
        now
    } else {
        at
    }
}

/// At once, or when the last run kept is old enough: a restart makes no run twice. A run of a clock that was
/// ahead is none yet.
async fn first_at(app: &App, every: TimeDelta) -> anyhow::Result<DateTime<Utc>> {
    let worker = app.clone();
    let now = app.clock.now();
    let latest =
        tokio::task::spawn_blocking(move || worker.book.forecast_runs_known_at(now, 1)).await?;
    let latest = match latest {
        // The round says what cannot be made, and the daemon goes on.
        Err(error) if error.is_of_file() => Vec::new(),
        latest => latest?,
    };
    Ok(latest.first().map_or(now, |run| {
        next_after(run.origin_at, every, app.gas_day_clock()).max(now)
    }))
}

/// When the run after this one is made: so much later, but soon after the gas day has ended, for
/// tomorrow is nominated from that day on.
fn next_after(at: DateTime<Utc>, every: TimeDelta, clock: GasDayClock) -> DateTime<Utc> {
    let day_is_known = clock.end_of(clock.day_of(at)) + LAST_HOUR_COMES;
    (at + every.max(TimeDelta::minutes(1))).min(day_is_known)
}

/// A forecast from what is known now, and what follows from it.
///
/// # Errors
/// Too little history, contradicting limits, or what the stores say.
pub fn round(app: &App) -> anyhow::Result<()> {
    let planned = plan(app);
    // Readings are judged whatever became of the plan.
    let today = app.today();
    judging::judge(app, &app.registry(), today.plus(-judging::DAYS), today)?;
    planned
}

fn plan(app: &App) -> anyhow::Result<()> {
    let made = forecasting::publish_whole(app)?;
    monitor::after_run(app, &made)?;
    let forecast = made.forecast;
    let of_runs = |is_own: bool| -> usize {
        let runs = made.learning.iter();
        runs.filter(|(run, _)| (**run == forecast.run_id) == is_own)
            .map(|(_, series)| series.len())
            .sum()
    };
    let (learnt, reused) = (of_runs(true), of_runs(false));
    tracing::info!(
        run.id = %forecast.run_id,
        nodes = forecast.nodes.len(),
        learnt,
        reused,
        "Published forecast `{}` of {} nodes: {learnt} series learnt, {reused} as learnt before",
        forecast.run_id,
        forecast.nodes.len()
    );
    let now = app.clock.now();
    let today = app.today();
    // Today's has been sent long ago where there is one; a new site begins with both.
    let of_today = app
        .book
        .document(DocumentKind::Nomination, &today.to_string())?;
    if of_today.is_none() {
        planning::nominate(app, today, submitting::DRAFTER, "none was kept")?;
    }
    if is_due(
        app,
        DocumentKind::Nomination,
        &today.plus(1).to_string(),
        now,
    )? {
        planning::nominate(app, today.plus(1), submitting::DRAFTER, "scheduled")?;
    }
    let month = month_to_declare(today);
    if is_due(app, DocumentKind::Declaration, &month.to_string(), now)? {
        planning::declare(app, month, submitting::DRAFTER, "scheduled")?;
    }
    ledgering::keep_members(app)?;
    let drafted = nudging::draft(app)?;
    if drafted > 0 {
        tracing::info!(drafted, "Drafted {drafted} off-peak nudges");
    }
    app.book
        .prune_forecast_runs(now - TimeDelta::days(14), RUNS_KEPT)?;
    Ok(())
}

/// The month whose declaration is being prepared: the next one.
pub fn month_to_declare(today: GasDay) -> GasMonth {
    today.month().next()
}

/// A document is due when there is none, or when the last one was made by the schedule some hours
/// ago and its deadline has not passed; what a person made is never replaced by it.
fn is_due(app: &App, kind: DocumentKind, key: &str, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let latest = app.book.document(kind, key)?;
    Ok(latest.is_none_or(|d| {
        let is_old = d.who == submitting::DRAFTER && now - d.at >= RUN_AGAIN_AFTER;
        is_old && deadline(&d.body).is_none_or(|at| now < at)
    }))
}

/// When what is drafted must have been sent: the hard deadline of a nomination, the end of the day on which a
/// declaration is wanted first. Later drafts would change what people are talking about.
fn deadline(body: &Value) -> Option<DateTime<Utc>> {
    let field = |name: &str| body.get(name).and_then(Value::as_str);
    if let Some(at) = field("due_hard_at") {
        return at.parse().ok();
    }
    let day: NaiveDate = field("due_on")?.parse().ok()?;
    Some(beijing_instant(day.succ_opt()?, NaiveTime::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clock_ahead_put_off_for_months_is_done_now() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (now, hour) = (at("2026-11-21T03:00:00Z"), TimeDelta::hours(1));
        assert_eq!(soon(at("2027-08-01T00:00:00Z"), now, hour), now);
        let next = at("2026-11-21T04:00:00Z");
        assert_eq!(soon(next, now, hour), next);
    }

    #[test]
    fn a_run_follows_the_end_of_a_gas_day_whatever_the_rhythm() {
        let clock = GasDayClock::default();
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        // 08:00 in Beijing is midnight UTC.
        for (every, from, next) in [
            (60, "2026-11-20T22:40:00Z", "2026-11-20T23:40:00Z"),
            (60, "2026-11-20T23:40:00Z", "2026-11-21T00:05:00Z"),
            (60, "2026-11-21T00:05:00Z", "2026-11-21T01:05:00Z"),
            (60, "2026-11-21T00:00:00Z", "2026-11-21T01:00:00Z"),
            (1440, "2026-11-21T03:00:00Z", "2026-11-22T00:05:00Z"),
            (0, "2026-11-21T03:00:00Z", "2026-11-21T03:01:00Z"),
        ] {
            let every = TimeDelta::minutes(every);
            assert_eq!(next_after(at(from), every, clock), at(next), "{from}");
        }
    }
}
