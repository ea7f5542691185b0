//! Between the rounds: what is approved leaves, and events that are over are settled.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use super::sending::Sender;
use super::settling;
use crate::clock::real_duration;
use crate::run::app::App;

/// How often it is looked, of the clock.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(10);
/// And in real time, a fast clock or none: never more often, never less.
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Sends and settles until told to stop. A receiver that takes nothing holds up nobody but itself.
///
/// # Errors
/// A panic of the worker.
pub async fn run(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let mut sender = Sender::new(stop.clone());
    let (mut sent, mut settled) = (String::new(), String::new());
    loop {
        let worker = app.clone();
        let made = tokio::task::spawn_blocking(move || settling::settle_recent(&worker)).await?;
        tell_settled(&mut settled, made);
        match sender.send_approved(&app).await {
            Ok(lines) => {
                let said = lines.join("\n");
                if said != sent {
                    for line in &lines {
                        tracing::info!("Nudge {line}");
                    }
                }
                sent = said;
            }
            Err(error) => warn_once(&mut sent, format!("Nudges not sent: {error:#}")),
        }
        let wait = real_duration(&*app.clock, LOOK_EVERY);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait.clamp(WAIT_MIN, WAIT_MAX)) => {}
        }
    }
}

/// Says what was settled, a failure once.
pub(in crate::run) fn tell_settled(last: &mut String, made: anyhow::Result<usize>) {
    match made {
        Ok(0) => last.clear(),
        Ok(count) => tracing::info!(count, "Settled {count} off-peak events"),
        Err(error) => warn_once(last, format!("Off-peak events not settled: {error:#}")),
    }
}

/// Warns of what was not said last.
fn warn_once(last: &mut String, said: String) {
    if said != *last {
        tracing::warn!("{said}");
    }
    *last = said;
}
