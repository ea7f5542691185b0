//! What is made again and again: forecast, nomination, declaration, nudges.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use crate::clock::real_duration;
use crate::domain::calendar::{GasDay, GasDayClock, GasMonth};
use crate::run::app::App;
use crate::run::{forecasting, judging, ledgering, monitor, nudging, planning, submitting};
use crate::store::book::DocumentKind;

/// How often the schedule looks at the clock at most, real time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often what is approved leaves and recent events are settled, of the clock.
const NUDGES_EVERY: TimeDelta = TimeDelta::seconds(10);

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
    let mut nudges_at = app.clock.now();
    let mut nudges = Nudges::default();
    loop {
        let now = app.clock.now();
        if now >= next_at {
            let worker = app.clone();
            let made = tokio::task::spawn_blocking(move || round(&worker)).await?;
            if let Err(error) = made {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "Planning round skipped: {error:#}"
                );
            }
            nudges.settle(&app, nudging::settle_all).await?;
            next_at = next_after(now, every, app.gas_day_clock());
        }
        if now >= nudges_at {
            nudges.settle(&app, nudging::settle_recent).await?;
            nudges.send(&app).await;
            nudges_at = now + NUDGES_EVERY;
        }
        let wait = real_duration(&*app.clock, next_at - app.clock.now());
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait.clamp(Duration::from_millis(50), LOOK_EVERY)) => {}
        }
    }
}

/// Sending and settling between the rounds. What it says again and again is logged once.
#[derive(Debug, Default)]
struct Nudges {
    sent: String,
    settled: String,
}

impl Nudges {
    async fn settle(
        &mut self,
        app: &App,
        settle: fn(&App) -> anyhow::Result<usize>,
    ) -> anyhow::Result<()> {
        let worker = app.clone();
        let made = tokio::task::spawn_blocking(move || settle(&worker)).await?;
        match made {
            Ok(0) => self.settled.clear(),
            Ok(count) => tracing::info!(count, "Settled {count} off-peak events"),
            Err(error) => warn_once(
                &mut self.settled,
                format!("Off-peak events not settled: {error:#}"),
            ),
        }
        Ok(())
    }

    async fn send(&mut self, app: &App) {
        match nudging::send_approved(app).await {
            Ok(lines) => {
                let said = lines.join("\n");
                if said != self.sent {
                    for line in &lines {
                        tracing::info!("Nudge {line}");
                    }
                }
                self.sent = said;
            }
            Err(error) => warn_once(&mut self.sent, format!("Nudges not sent: {error:#}")),
        }
    }
}

/// Warns of what was not said last.
fn warn_once(last: &mut String, said: String) {
    if said != *last {
        tracing::warn!("{said}");
    }
    *last = said;
}

/// At once, or when the last run kept is old enough: a restart makes no run twice.
async fn first_at(app: &App, every: TimeDelta) -> anyhow::Result<DateTime<Utc>> {
    let worker = app.clone();
    let latest = tokio::task::spawn_blocking(move || worker.book.forecast_runs(1)).await?;
    let latest = match latest {
        // The round says what cannot be made, and the daemon goes on.
        Err(error) if error.is_of_file() => Vec::new(),
        latest => latest?,
    };
    let now = app.clock.now();
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
/// ago; what a person made is never replaced by it.
fn is_due(app: &App, kind: DocumentKind, key: &str, now: DateTime<Utc>) -> anyhow::Result<bool> {
    let latest = app.book.document(kind, key)?;
    Ok(latest.is_none_or(|d| d.who == submitting::DRAFTER && now - d.at >= RUN_AGAIN_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

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
