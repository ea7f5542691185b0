//! `qiliang influx`: the second store: is it fit, what did it refuse, take that again.

use std::collections::BTreeSet;

use anyhow::{Context as _, anyhow};

use super::{Context, Failure};
use crate::domain::calendar::{GasDayClock, beijing_civil};
use crate::run::forwarding;
use crate::store::influx::{self, Influx, InfluxError, send};

pub(super) fn store(context: &Context, clock: GasDayClock) -> Result<Influx, Failure> {
    let settings = context.settings()?;
    forwarding::influx(&settings.influx, clock)?.ok_or_else(|| {
        anyhow!("no second store is configured; set influx.url, influx.org and influx.token_file")
            .into()
    })
}

pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(runtime.context("cannot start the runtime")?.block_on(work))
}

/// Looks whether the second store is there, knows us, has its buckets and the right time, and gives back
/// what is written.
pub(super) fn doctor(context: &Context) -> Result<(), Failure> {
    let influx = store(context, GasDayClock::default())?;
    let mut found = Vec::new();
    let examined = block_on(examine(&influx, context, &mut found))?;
    let mut is_warned = false;
    for line in &found {
        match line {
            Ok(line) => println!("ok: {line}"),
            Err(line) => {
                is_warned = true;
                println!("warning: {line}");
            }
        }
    }
    examined?;
    if is_warned {
        Err(Failure::Warned)
    } else {
        Ok(())
    }
}

/// What is fine is `Ok`, what is amiss but works `Err`.
type Found = Vec<Result<String, String>>;

async fn examine(influx: &Influx, context: &Context, found: &mut Found) -> Result<(), InfluxError> {
    let settings = influx.settings();
    let ping = influx.ping().await?;
    let version = ping
        .version
        .map(|version| format!(", version {version}"))
        .unwrap_or_default();
    found.push(Ok(format!("{} answers{version}", settings.url)));
    if let Some(date) = ping.date {
        let ahead_s = (date - context.clock.now()).num_seconds();
        let is_off = ahead_s.abs() > influx::CLOCK_TOLERANCE_S;
        let fine = "its clock agrees with ours".to_owned();
        found.push(if is_off {
            Err(influx::clock_text(ahead_s))
        } else {
            Ok(fine)
        });
    }
    for bucket in influx.ensure_buckets().await? {
        found.push(match forwarding::retention_text(&bucket) {
            Some(text) => Err(text),
            None => Ok(format!("bucket {} is there", bucket.name)),
        });
    }
    for bucket in [&settings.bucket, &settings.bucket_hourly] {
        let took = influx.probe(bucket, context.clock.now()).await?;
        found.push(Ok(format!(
            "a point written to {bucket} was read back after {} ms",
            took.as_millis()
        )));
    }
    Ok(())
}

/// Lists lines that the second store refused, with its reasons.
pub(super) fn refused(context: &Context, limit: usize) -> Result<(), Failure> {
    let app = context.read()?;
    let count = app.journal.refused_len()?;
    for line in app.journal.refused_lines(limit)? {
        let at = chrono::DateTime::from_timestamp_millis(line.at_ms).unwrap_or_default();
        println!(
            "{}  {}\n    {}",
            beijing_civil(at).format("%Y-%m-%d %H:%M:%S"),
            line.reason,
            line.line
        );
    }
    let waiting = app.journal.outbox_len()?;
    println!("{count} refused line(s); {waiting} row(s) wait to be forwarded");
    Ok(())
}

/// Sends refused lines again, after what was wrong there was mended.
pub(super) fn retry(context: &Context) -> Result<(), Failure> {
    let (app, _) = context.write()?;
    let influx = store(context, app.gas_day_clock())?;
    let settings = influx.settings();
    let (mut taken, mut left) = (Vec::new(), 0);
    let kept = app.journal.refused_lines(usize::MAX)?;
    let is_hourly = |line: &str| line.starts_with(crate::store::influx::line::HOURLY);
    for (bucket, hourly) in [(&settings.bucket, false), (&settings.bucket_hourly, true)] {
        let of_bucket = || kept.iter().filter(|kept| is_hourly(&kept.line) == hourly);
        let lines: Vec<String> = of_bucket().map(|kept| kept.line.clone()).collect();
        let outcome = block_on(send(&influx, bucket, &lines))??;
        let refused: BTreeSet<&str> = outcome
            .refused
            .iter()
            .map(|(line, _)| line.as_str())
            .collect();
        left += refused.len();
        taken.extend(
            of_bucket()
                .filter(|kept| !refused.contains(kept.line.as_str()))
                .map(|kept| kept.id),
        );
    }
    println!("{} line(s) taken, {left} still refused", taken.len());
    app.journal.forget_refused(taken)?;
    if left > 0 {
        Err(Failure::Refused)
    } else {
        Ok(())
    }
}
