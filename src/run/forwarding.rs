//! Tells the second store what the journal commits, and never lets anyone wait for it.
//!
//! The outbox is the cursor: a batch is removed from it after the other store acknowledged every line
//! that it does not refuse by itself. So an outage of any length loses nothing, a crash sends a batch
//! twice, and sending twice changes nothing there. What is refused is kept with the reason
//! (`qiliang influx refused`).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as MetricRegistry;
use rand::Rng as _;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::domain::calendar::GasDayClock;
use crate::domain::text::error_chain;
use crate::settings::InfluxSettings;
use crate::store::StoreError;
use crate::store::influx::{
    Bucket, CLOCK_TOLERANCE_S, Influx, InfluxError, InfluxHealth, Outcome, clock_text, line, send,
};
use crate::store::journal::{Journal, OutboxBatch, Sent};

/// How often an empty outbox is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often clock and buckets are looked at again.
const EXAMINE_EVERY_S: i64 = 600;
/// How often what waits is counted.
const COUNT_EVERY_S: i64 = 5;
/// Points and curves in a batch. A curve is 24 lines, so one batch can be several requests.
const BATCH_ROWS: usize = 10_000;
/// Longest that the other store may ask us to wait, s.
const RETRY_AFTER_MAX_S: u64 = 600;

/// How the second store does, for people and metrics.
#[derive(Debug, Clone, Default)]
pub struct ForwardHealth {
    /// For the API.
    pub state: InfluxHealth,
    lines: Counter,
    expired: Counter,
    refused: Counter,
    failures: Counter,
    waiting: Gauge,
    kept: Gauge,
    is_up: Gauge,
    ahead_s: Gauge,
    last_ok_s: Gauge,
}

impl ForwardHealth {
    /// Adds the counters to the program's metrics.
    pub fn register(&self, registry: &mut MetricRegistry) {
        for (name, help, counter) in [
            (
                "qiliang_influx_lines",
                "Lines that the second store acknowledged",
                &self.lines,
            ),
            (
                "qiliang_influx_expired_lines",
                "Lines that were older than the second store keeps",
                &self.expired,
            ),
            (
                "qiliang_influx_refused_lines",
                "Lines that the second store refused, kept with the reason",
                &self.refused,
            ),
            (
                "qiliang_influx_failures",
                "Attempts to send to the second store that failed and are repeated",
                &self.failures,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, gauge) in [
            (
                "qiliang_influx_waiting_rows",
                "Readings, curves and whole days that wait for the second store",
                &self.waiting,
            ),
            (
                "qiliang_influx_refused_kept",
                "Refused lines kept now",
                &self.kept,
            ),
            (
                "qiliang_influx_up",
                "Whether the second store took the last request",
                &self.is_up,
            ),
            (
                "qiliang_influx_clock_ahead_seconds",
                "How far the second store's clock is ahead of ours",
                &self.ahead_s,
            ),
            (
                "qiliang_influx_last_success_timestamp_seconds",
                "When the second store last took a batch",
                &self.last_ok_s,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }

    fn wait(&self, waiting: u64, kept: u64) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.kept.set(i64::try_from(kept).unwrap_or(i64::MAX));
        self.state.update(|state| {
            state.waiting = waiting;
            state.refused = kept;
        });
    }

    fn succeeded(&self, outcome: &Outcome, at: DateTime<Utc>) {
        self.lines.inc_by(outcome.taken);
        self.expired.inc_by(outcome.expired);
        self.refused.inc_by(outcome.refused.len() as u64);
        self.is_up.set(1);
        self.last_ok_s.set(at.timestamp());
        let ended = self.state.update(|state| {
            state.last_ok_at = Some(at);
            state.failure.take()
        });
        if let Some((_, since)) = ended {
            info!(since = %since, "The second store takes lines again; what waited is being sent");
        }
    }

    /// Says what is wrong once, and again when it becomes something else.
    fn failed(&self, failure: &InfluxError, at: DateTime<Utc>) {
        self.failures.inc();
        self.is_up.set(0);
        let before = self.state.update(|state| {
            let before = state.failure.take();
            let is_same = before
                .as_ref()
                .is_some_and(|(old, _)| old.code() == failure.code());
            let since = before.filter(|_| is_same).map_or(at, |(_, since)| since);
            state.failure = Some((failure.clone(), since));
            is_same
        });
        if before {
            return;
        }
        let code = failure.code();
        let text = format!("{failure}; readings go on being stored here and wait to be forwarded");
        match failure {
            InfluxError::Unauthorized { .. } | InfluxError::NoBucket { .. } => {
                error!(code, "{text}");
            }
            _ => {
                warn!(code, "{text}");
            }
        }
    }

    fn clock(&self, ahead_s: i64) {
        self.ahead_s.set(ahead_s);
        self.state.update(|state| state.ahead_s = Some(ahead_s));
        if ahead_s.abs() > CLOCK_TOLERANCE_S {
            warn!(code = "influx.clock", "{}", clock_text(ahead_s));
        }
    }
}

/// What a bucket that keeps for another time than asked means; none if it is as asked.
pub fn retention_text(bucket: &Bucket) -> Option<String> {
    let days = |days: u64| {
        if days == 0 {
            "for ever".to_owned()
        } else {
            format!("{days} days")
        }
    };
    let keeps = bucket
        .keep_days
        .filter(|keeps| *keeps != bucket.wanted_days)?;
    Some(format!(
        "bucket `{}` keeps {}, the settings say {}; change it there (influx bucket update --retention) or here \
         (influx.keep_days, influx.keep_hourly_days)",
        bucket.name,
        days(keeps),
        days(bucket.wanted_days)
    ))
}

/// The second store of the settings, with its token; none if there is none.
///
/// # Errors
/// A token file that cannot be read, or an address that is none.
pub fn influx(settings: &InfluxSettings, clock: GasDayClock) -> anyhow::Result<Option<Influx>> {
    if !settings.is_configured() {
        return Ok(None);
    }
    let token = match (&settings.token_file, &settings.token) {
        (Some(file), _) => std::fs::read_to_string(file).with_context(|| {
            format!(
                "cannot read influx.token_file {}; create it with the token alone, readable by this user",
                file.display()
            )
        })?,
        (None, Some(token)) => token.secret().to_owned(),
        (None, None) => String::new(),
    };
    Ok(Some(Influx::new(
        settings.clone(),
        token.trim().to_owned(),
        clock,
    )?))
}

/// Forwards until told to stop.
///
/// # Errors
/// A panic of a worker. What the other store says is waited out.
pub async fn run(
    influx: Influx,
    journal: Journal,
    clock: Arc<dyn Clock>,
    health: ForwardHealth,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut forwarder = Forwarder {
        influx,
        journal,
        clock,
        health,
        examined_at: None,
        counted_at: None,
    };
    let mut attempts = 0;
    loop {
        // What is under way may be given up: it is sent again.
        let step = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            step = forwarder.step() => step?,
        };
        let pause = match step {
            Step::Sent => {
                attempts = 0;
                Duration::ZERO
            }
            Step::Idle => LOOK_EVERY,
            Step::Failed => {
                attempts += 1;
                forwarder.retry_delay(attempts)
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Sent,
    Idle,
    Failed,
}

/// Rows that wait, lines that were refused.
type Counts = Option<(u64, u64)>;

struct Forwarder {
    influx: Influx,
    journal: Journal,
    clock: Arc<dyn Clock>,
    health: ForwardHealth,
    /// When buckets and clock were last found in order.
    examined_at: Option<DateTime<Utc>>,
    /// When what waits was last counted: that reads all of it.
    counted_at: Option<DateTime<Utc>>,
}

impl Forwarder {
    async fn step(&mut self) -> anyhow::Result<Step> {
        let now = self.clock.now();
        let is_count_due = self
            .counted_at
            .is_none_or(|at| (now - at).num_seconds() >= COUNT_EVERY_S);
        let Some((batch, counts)) = self.read(is_count_due).await? else {
            return Ok(Step::Failed);
        };
        if let Some((waiting, kept)) = counts {
            self.counted_at = Some(now);
            self.health.wait(waiting, kept);
        }
        let is_due = self
            .examined_at
            .is_none_or(|at| (now - at).num_seconds() >= EXAMINE_EVERY_S);
        if is_due {
            if let Err(failure) = self.examine(now).await {
                return Ok(self.failed(&failure));
            }
            self.examined_at = Some(now);
        }
        let Some(batch) = batch else {
            return Ok(Step::Idle);
        };
        match self.send(&batch).await {
            Ok(outcome) => self.note(batch.sent, outcome).await,
            Err(failure) => Ok(self.failed(&failure)),
        }
    }

    /// The next batch, and now and then how much waits and is refused.
    async fn read(
        &self,
        is_count_due: bool,
    ) -> anyhow::Result<Option<(Option<OutboxBatch>, Counts)>> {
        let journal = self.journal.clone();
        let read = tokio::task::spawn_blocking(move || {
            let batch = journal.outbox(BATCH_ROWS)?;
            let is_count_due = is_count_due || batch.is_none();
            let counts = is_count_due
                .then(|| Ok::<_, StoreError>((journal.outbox_len()?, journal.refused_len()?)));
            Ok::<_, StoreError>((batch, counts.transpose()?))
        });
        match read.await? {
            Ok(read) => Ok(Some(read)),
            Err(error) => {
                warn!(
                    code = error.code(),
                    "The outbox cannot be read now: {}",
                    error_chain(&error)
                );
                Ok(None)
            }
        }
    }

    /// Buckets, what they keep, and the clock.
    async fn examine(&self, now: DateTime<Utc>) -> Result<(), InfluxError> {
        let ping = self.influx.ping().await?;
        if let Some(date) = ping.date {
            self.health.clock((date - now).num_seconds());
        }
        for bucket in self.influx.ensure_buckets().await? {
            if let Some(text) = retention_text(&bucket) {
                warn!(code = "influx.retention", "{text}");
            }
        }
        Ok(())
    }

    fn failed(&mut self, failure: &InfluxError) -> Step {
        // Somebody may have deleted the bucket, or put another token into the file.
        if matches!(
            failure,
            InfluxError::NoBucket { .. } | InfluxError::Unauthorized { .. }
        ) {
            self.examined_at = None;
        }
        if matches!(failure, InfluxError::Unauthorized { .. }) {
            match influx(self.influx.settings(), self.influx.clock()) {
                Ok(Some(influx)) => self.influx = influx,
                Ok(None) => {}
                Err(error) => warn!("{error:#}"),
            }
        }
        self.health.failed(failure, self.clock.now());
        Step::Failed
    }

    async fn send(&self, batch: &OutboxBatch) -> Result<Outcome, InfluxError> {
        let mut outcome = Outcome::default();
        let settings = self.influx.settings();
        let (mut readings, mut hourly) = (Vec::new(), Vec::new());
        for (meter, point) in &batch.points {
            if let Err(error) = line::of_point(meter, point, &settings.tags, &mut readings) {
                let what = format!("{},{}={meter} {}", line::READINGS, line::METER, point.at);
                outcome.refused.push((what, error.to_string()));
            }
        }
        for curve in &batch.curves {
            let clock = self.journal.clock();
            if let Err(error) = line::of_curve(curve, clock, &settings.tags, &mut hourly) {
                let what = format!(
                    "{},{}={} {}",
                    line::HOURLY,
                    line::METER,
                    curve.meter,
                    curve.day
                );
                outcome.refused.push((what, error.to_string()));
            }
        }
        for (bucket, lines) in [
            (&settings.bucket, readings),
            (&settings.bucket_hourly, hourly),
        ] {
            let sent = send(&self.influx, bucket, &lines).await?;
            outcome.taken += sent.taken;
            outcome.expired += sent.expired;
            outcome.refused.extend(sent.refused);
        }
        Ok(outcome)
    }

    async fn note(&self, sent: Sent, outcome: Outcome) -> anyhow::Result<Step> {
        let at = self.clock.now();
        if let Some((line, reason)) = outcome.refused.first() {
            error!(
                code = "influx.refused",
                count = outcome.refused.len(),
                "The second store refuses `{line}`: {reason}; kept: mend the field's type there or drop the \
                 measurement, then `qiliang influx retry`"
            );
        }
        let (journal, refused) = (self.journal.clone(), outcome.refused.clone());
        let noted = tokio::task::spawn_blocking(move || {
            journal.forwarded(sent, refused, at.timestamp_millis())
        });
        if let Err(error) = noted.await? {
            // Nothing is lost: the batch is sent once more.
            warn!(
                code = error.code(),
                "What was forwarded cannot be noted now: {}",
                error_chain(&error)
            );
            return Ok(Step::Failed);
        }
        self.health.succeeded(&outcome, at);
        Ok(Step::Sent)
    }

    /// Doubles, with jitter; at once the longest where only a person can mend it; never shorter than
    /// the other store asks for.
    fn retry_delay(&self, attempts: u32) -> Duration {
        let settings = self.influx.settings();
        let failure = self
            .health
            .state
            .state()
            .failure
            .map(|(failure, _)| failure);
        let doubled = match failure {
            Some(InfluxError::Unauthorized { .. } | InfluxError::NoBucket { .. }) => {
                settings.retry_delay_max_ms
            }
            _ => settings
                .retry_delay_min_ms
                .saturating_mul(1 << attempts.saturating_sub(1).min(20))
                .min(settings.retry_delay_max_ms),
        };
        let own = Duration::from_millis(doubled).mul_f64(rand::rng().random_range(0.5..1.0));
        match failure {
            Some(InfluxError::Busy {
                retry_after_s: Some(asked_s),
                ..
            }) => own.max(Duration::from_secs(asked_s.min(RETRY_AFTER_MAX_S))),
            _ => own,
        }
    }
}
