//! Weather comes in: files as they appear, providers as often as the settings say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::clock::real_duration;
use crate::collect::weather::open_meteo::OpenMeteo;
use crate::collect::weather::{WeatherError, check_stations, read_file};
use crate::domain::calendar::GasDay;
use crate::domain::live::LiveEvent;
use crate::domain::weather::{WeatherKind, WeatherVintage};
use crate::run::app::App;
use crate::run::schedule::soon;

/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Keeps what a file holds; how many vintages were new. Blocks.
///
/// # Errors
/// What is wrong with the file, or what the store says.
pub fn take_file(app: &App, file: &Path) -> anyhow::Result<u64> {
    let vintages = read_file(file, app.clock.now())?;
    check_stations(&app.registry(), &vintages)?;
    put(app, vintages)
}

/// Keeps vintages; demand that rests on estimates of days whose temperature is known now is summed again.
fn put(app: &App, vintages: Vec<WeatherVintage>) -> anyhow::Result<u64> {
    let clock = app.gas_day_clock();
    let days: BTreeSet<GasDay> = vintages
        .iter()
        .filter(|vintage| vintage.kind == WeatherKind::Observed)
        .flat_map(|vintage| &vintage.points)
        .map(|point| clock.day_of(point.at))
        .collect();
    let new = app.book.put_weather(vintages)?;
    if let (true, Some(first), Some(last)) = (new > 0, days.first(), days.last()) {
        let mut estimated = app.book.estimated_days(*first, last.plus(1))?;
        estimated.retain(|day| days.contains(day));
        app.journal.mark_stale_demand(estimated)?;
    }
    Ok(new)
}

/// What a source last said, so that a failure is told once and its end as well.
#[derive(Debug)]
struct Health {
    failing: BTreeSet<String>,
    live: broadcast::Sender<LiveEvent>,
}

impl Health {
    fn note(
        &mut self,
        source: &str,
        result: Result<u64, (&'static str, String)>,
        at: DateTime<Utc>,
    ) {
        match result {
            Ok(new) => {
                if self.failing.remove(source) {
                    tracing::info!("Weather from {source} comes again");
                }
                if new > 0 {
                    tracing::debug!(new, "Weather from {source}: {new} new vintages");
                }
            }
            Err((code, message)) => {
                if self.failing.insert(source.to_owned()) {
                    tracing::warn!(
                        error.code = code,
                        "Weather from {source} not taken: {message}"
                    );
                    // Nobody listening is no failure.
                    self.live
                        .send(LiveEvent::Notice {
                            code: code.to_owned(),
                            message,
                            at,
                        })
                        .ok();
                }
            }
        }
    }
}

fn told(error: &anyhow::Error) -> (&'static str, String) {
    let code = error
        .downcast_ref::<WeatherError>()
        .map_or("run.weather", WeatherError::code);
    (code, format!("{error:#}"))
}

/// Takes weather until told to stop.
///
/// # Errors
/// Only a panic of a worker; a source that fails is told and tried again.
pub async fn run(
    app: App,
    live: broadcast::Sender<LiveEvent>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let settings = app.settings.weather.clone();
    let timeout = Duration::from_secs(settings.timeout_s.max(1));
    let sources = settings
        .open_meteo
        .iter()
        .map(|one| OpenMeteo::new(one.clone(), timeout))
        .collect::<Result<Vec<_>, _>>()?;
    let every = TimeDelta::minutes(i64::from(settings.every_minutes.max(1)));
    let mut health = Health {
        failing: BTreeSet::new(),
        live,
    };
    let mut seen: BTreeMap<PathBuf, (SystemTime, u64)> = BTreeMap::new();
    let mut next_at = app.clock.now();
    if settings.files_dir.is_none() && sources.is_empty() {
        stop.cancelled().await;
        return Ok(());
    }
    loop {
        if let Some(dir) = &settings.files_dir {
            // The folder may be a share, and a share may hang.
            let (dir, before) = (dir.clone(), seen.clone());
            let looked = tokio::task::spawn_blocking(move || changed(&dir, &before));
            let found = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                found = looked => found?,
            };
            for (file, stamp) in found {
                let (worker, path) = (app.clone(), file.clone());
                let taken = tokio::task::spawn_blocking(move || take_file(&worker, &path));
                let taken = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    taken = taken => taken?,
                };
                let source = file.display().to_string();
                health.note(&source, taken.map_err(|e| told(&e)), app.clock.now());
                seen.insert(file, stamp);
            }
        }
        next_at = soon(next_at, app.clock.now(), every);
        if app.clock.now() >= next_at {
            for source in &sources {
                let fetched = tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    fetched = source.fetch(app.clock.now()) => fetched,
                };
                let kept = match fetched {
                    Ok(vintages) => keep(&app, vintages).await?,
                    Err(error) => Err(error.into()),
                };
                let name = format!("Open-Meteo for station `{}`", source.station());
                health.note(&name, kept.map_err(|e| told(&e)), app.clock.now());
            }
            next_at = app.clock.now() + every;
        }
        let wait = real_duration(&*app.clock, next_at - app.clock.now());
        let wait = if sources.is_empty() {
            LOOK_EVERY
        } else {
            wait.min(LOOK_EVERY)
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait.max(Duration::from_millis(50))) => {}
        }
    }
}

/// Files that are new or changed, in the order of their names.
fn changed(
    dir: &Path,
    seen: &BTreeMap<PathBuf, (SystemTime, u64)>,
) -> BTreeMap<PathBuf, (SystemTime, u64)> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|e| e == "csv" || e == "json" || e == "ndjson")
        })
        .filter_map(|path| {
            let found = std::fs::metadata(&path).ok()?;
            let stamp = (found.modified().ok()?, found.len());
            (seen.get(&path) != Some(&stamp)).then_some((path, stamp))
        })
        .collect()
}

/// Keeps fetched vintages; a forecast that says only what the last one said is none.
async fn keep(app: &App, vintages: Vec<WeatherVintage>) -> anyhow::Result<anyhow::Result<u64>> {
    let worker = app.clone();
    Ok(tokio::task::spawn_blocking(move || {
        check_stations(&worker.registry(), &vintages)?;
        let mut new = Vec::with_capacity(vintages.len());
        for vintage in vintages {
            if vintage.kind == WeatherKind::Forecast {
                let last = worker
                    .book
                    .latest_forecast_known_at(&vintage.station, vintage.available_at)?;
                if last.is_some_and(|last| last.points.ends_with(&vintage.points)) {
                    continue;
                }
                new.push(vintage);
            } else {
                let (Some(first), Some(last)) = (vintage.points.first(), vintage.points.last())
                else {
                    continue;
                };
                let known = worker.book.observed(
                    &vintage.station,
                    first.at,
                    last.at + TimeDelta::hours(1),
                )?;
                let mut vintage = vintage;
                vintage.points.retain(|p| !known.contains(p));
                if !vintage.points.is_empty() {
                    new.push(vintage);
                }
            }
        }
        put(&worker, new)
    })
    .await?)
}
