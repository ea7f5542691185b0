//! `qiliang demo`: a simulated city at the other end of real wires, in one process.
//!
//! The daemon part is the one `qiliang run` starts, with the same settings but for paths and ports;
//! it knows nothing of the city. History comes in through the import path, live readings over real
//! MQTT into the listener and real Modbus TCP.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, ScaledClock, real_duration};
use crate::collect::{Ack, Delivery};
use crate::domain::meter::Gateway;
use crate::domain::problem::Problem;
use crate::run::app::App;
use crate::run::daemon::{self, Sockets};
use crate::run::deps::{self, Stages};
use crate::run::{curves, forecasting, ingest, schedule, site};
use crate::settings::{self, Settings};
use crate::simulate::city::{City, CityConfig};
use crate::simulate::modbus_server;
use crate::simulate::publish::{self, PublishTarget};
use crate::store::book::Book;
use crate::supervise::Supervisor;

/// What the folder of a demo is known by; without it nothing is ever deleted.
const MARKER: &str = ".qiliang-demo";

/// What city, and where.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The city.
    pub city: CityConfig,
    /// Seconds of the city in a real second.
    pub factor: f64,
    /// Folder of the demo; made anew each time.
    pub dir: PathBuf,
    /// Console and API.
    pub address: SocketAddr,
    /// Days scored by the backtest that the console shows; 0 for none.
    pub backtest_days: usize,
}

/// What hears of progress: what is being done, how many so far.
pub type Progress = Arc<dyn Fn(&str, u64) + Send + Sync>;

/// Builds the city, loads its history, and runs daemon and city until told to stop.
///
/// `ready` is called once with the console's address, when there is something to see on it.
///
/// # Errors
/// Problems of the city's own files would be bugs and are listed; else what could not be done.
pub async fn run(
    options: DemoOptions,
    progress: Progress,
    ready: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    prepare_folder(&options.dir)?;
    let told = Arc::clone(&progress);
    let config = options.city.clone();
    let city = Arc::new(tokio::task::spawn_blocking(move || City::new(config)).await?);
    told("building the city, meters", city.sites().len() as u64);
    let registry_dir = options.dir.join("registry");
    city.write_registry(&registry_dir)?;
    city.write_faults(&options.dir.join("faults.txt"))?;
    let gateways = open_gateways(&city, &registry_dir).await?;

    let settings = demo_settings(&options, &registry_dir)?;
    let now_at = options.city.now_at;
    let site = site::examine_with(settings, now_at)
        .into_site()
        .map_err(|problems| anyhow!(list(&problems)))?;
    let scaled = Arc::new(ScaledClock::standing(now_at, options.factor));
    let clock: Arc<dyn Clock> = Arc::clone(&scaled) as Arc<dyn Clock>;
    let time = Arc::clone(&clock);
    let (app, reload) = tokio::task::spawn_blocking(move || App::open(&site, time)).await??;

    let stages = Stages::default();
    load_weather(&app, &city, &progress).await?;
    load_history(&app, &stages, &city, &progress).await?;
    compute_curves(&app, &stages, &progress).await?;
    progress("forecast, declaration, nomination, nudges", 0);
    let planner = app.clone();
    tokio::task::spawn_blocking(move || schedule::round(&planner)).await??;

    let stop = CancellationToken::new();
    let mut supervisor = Supervisor::new(stop.clone());
    let sockets = Sockets::open(&app).await?;
    let addresses = sockets.addresses()?;
    scaled.start();
    daemon::start(&app, reload, sockets, &mut supervisor)?;
    start_city(&city, gateways, addresses.mqtt, &clock, &mut supervisor)?;
    let feed = weather_feed(
        Arc::clone(&city),
        app.book.clone(),
        Arc::clone(&clock),
        stop.clone(),
    );
    supervisor.spawn("weather", feed);
    if options.backtest_days > 0 {
        let scorer = app.clone();
        let days = options.backtest_days;
        let token = stop.clone();
        supervisor.spawn("backtest", async move {
            tokio::task::spawn_blocking(move || forecasting::publish_backtest(&scorer, days))
                .await??;
            token.cancelled().await;
            Ok(())
        });
    }
    supervisor.spawn("signals", daemon::signals(stop));
    ready(addresses.http);
    supervisor.run(daemon::GRACE).await
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn prepare_folder(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        let is_ours = dir.join(MARKER).exists();
        let is_empty = fs::read_dir(dir)?.next().is_none();
        if !is_ours && !is_empty {
            bail!(
                "{} holds files that are not a demo's; name another folder with --data-dir",
                dir.display()
            );
        }
        fs::remove_dir_all(dir).with_context(|| format!("cannot clear {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    fs::write(dir.join(MARKER), "made anew by every `qiliang demo`\n")?;
    Ok(())
}

/// Writes `site.toml`, so that every command can be used on the demo, and reads it back.
fn demo_settings(options: &DemoOptions, registry_dir: &Path) -> anyhow::Result<Settings> {
    let here = std::env::current_dir()?;
    let text = format!(
        "# The demo's site, for other commands: qiliang --config {file} declare --month …\n\
         [paths]\ndata_dir = \"{data}\"\nregistry_dir = \"{registry}\"\n\
         profiles_dir = \"{profiles}\"\ncalendar_dir = \"{calendar}\"\n\n\
         [serve]\naddress = \"{address}\"\n\n\
         [mqtt.listen]\nenabled = true\naddress = \"127.0.0.1:0\"\nconnections_max = 1000\n\
         payload_max_bytes = 262144\nconnect_timeout_s = 10\n\n\
         [modbus]\nrequest_timeout_ms = 3000\nconnect_timeout_ms = 3000\nperiod_s = 300\n\
         retry_delay_min_ms = 1000\nretry_delay_max_ms = 30000\n",
        file = options.dir.join("site.toml").display(),
        data = here.join(&options.dir).join("data").display(),
        registry = here.join(registry_dir).display(),
        profiles = here.join("device-profiles").display(),
        calendar = here.join("config/calendar").display(),
        address = options.address,
    );
    let file = options.dir.join("site.toml");
    fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    settings::load(Some(&file)).map_err(|problems| anyhow!(list(&problems)))
}

/// Opens a free port for each of the city's gateways and writes the ports into the registry.
async fn open_gateways(
    city: &City,
    registry_dir: &Path,
) -> anyhow::Result<Vec<(Gateway, TcpListener)>> {
    let mut open = Vec::new();
    for gateway in city.gateways() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let gateway = Gateway {
            port: listener.local_addr()?.port(),
            ..gateway.clone()
        };
        open.push((gateway, listener));
    }
    let mut writer = csv::Writer::from_path(registry_dir.join("gateways.csv"))?;
    for (gateway, _) in &open {
        writer.serialize(gateway)?;
    }
    writer.flush()?;
    Ok(open)
}

async fn load_weather(app: &App, city: &Arc<City>, progress: &Progress) -> anyhow::Result<()> {
    let (app, city, told) = (app.clone(), Arc::clone(city), Arc::clone(progress));
    tokio::task::spawn_blocking(move || {
        let from = app.gas_day_clock().start_of(city.config().start_on());
        let vintages = city.weather_vintages(from, city.config().now_at);
        let mut count = 0;
        let mut batch = Vec::with_capacity(1_000);
        for vintage in vintages {
            batch.push(vintage);
            count += 1;
            if batch.len() == 1_000 {
                app.book.put_weather(std::mem::take(&mut batch))?;
                told("weather vintages", count);
            }
        }
        app.book.put_weather(batch)?;
        told("weather vintages", count);
        anyhow::Ok(())
    })
    .await?
}

/// The city's archive through the import path: the same channel, decoder, rules and journal as live.
async fn load_history(
    app: &App,
    stages: &Stages,
    city: &Arc<City>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (sender, receiver) = mpsc::channel(app.settings.ingest.queue_len);
    let (source, told) = (Arc::clone(city), Arc::clone(progress));
    let clock = app.gas_day_clock();
    let reader = tokio::task::spawn_blocking(move || {
        let config = source.config();
        let from = clock.start_of(config.start_on());
        let mut count: u64 = 0;
        for frame in source.history_frames(from, config.now_at) {
            let delivery = Delivery {
                frame,
                ack: Ack::none(),
            };
            if sender.blocking_send(delivery).is_err() {
                break;
            }
            count += 1;
            if count.is_multiple_of(20_000) {
                told("history frames imported", count);
            }
        }
        told("history frames imported", count);
    });
    ingest::run(receiver, deps::ingest(app, stages)).await?;
    reader.await?;
    Ok(())
}

async fn compute_curves(app: &App, stages: &Stages, progress: &Progress) -> anyhow::Result<()> {
    let deps = deps::curves(app, stages);
    let told = Arc::clone(progress);
    tokio::task::spawn_blocking(move || {
        let mut count = 0;
        loop {
            let pass = curves::run_once(&deps, 100_000)?;
            count += pass.computed as u64;
            told("load curves computed", count);
            if pass.cleared == 0 {
                return anyhow::Ok(());
            }
        }
    })
    .await?
}

fn start_city(
    city: &Arc<City>,
    gateways: Vec<(Gateway, TcpListener)>,
    mqtt: Option<SocketAddr>,
    clock: &Arc<dyn Clock>,
    supervisor: &mut Supervisor,
) -> anyhow::Result<()> {
    let mqtt = mqtt.context("the demo needs the MQTT listener")?;
    let stop = supervisor.stop_token();
    for (gateway, listener) in gateways {
        let name = format!("city gateway {}", gateway.id);
        let task = modbus_server::run(
            Arc::clone(city),
            gateway.id,
            listener,
            Arc::clone(clock),
            stop.clone(),
        );
        supervisor.spawn(name, async move { Ok(task.await?) });
    }
    let target = PublishTarget::new(mqtt.ip().to_string(), mqtt.port());
    let task = publish::run(
        Arc::clone(city),
        target,
        Arc::clone(clock),
        city.config().now_at,
        stop.clone(),
    );
    supervisor.spawn("city meters", async move {
        task.await?;
        // The city ends after its scripted days; the daemon stays.
        stop.cancelled().await;
        Ok(())
    });
    Ok(())
}

/// What a weather provider and the customers would send: vintages as they become known, and plans.
async fn weather_feed(
    city: Arc<City>,
    book: Book,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let step = TimeDelta::minutes(10);
    let mut from: DateTime<Utc> = city.config().now_at;
    loop {
        let to = clock.now();
        if to > from {
            let (source, store) = (Arc::clone(&city), book.clone());
            tokio::task::spawn_blocking(move || {
                store.put_weather(source.weather_vintages(from, to).collect())?;
                let plans = source.filed_plans(to);
                let new = plans
                    .into_iter()
                    .filter(|p| p.available_at > from)
                    .collect();
                store.put_filed_plans(new)
            })
            .await??;
            from = to;
        }
        let wait = real_duration(&*clock, step).max(Duration::from_millis(200));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
    }
}
