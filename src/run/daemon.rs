//! `qiliang run`: builds the tasks, joins them by channels, and lets them go in order.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::collect::Delivery;
use crate::collect::health::{BrokerHealth, CollectHealth};
use crate::collect::listen::{self, ListenHealth, Ports};
use crate::collect::modbus::{self, Fleet};
use crate::collect::mqtt::{self, MqttHealth, Subscription};
use crate::collect::push::Push;
use crate::collect::tls::TlsPort;
use crate::collect::topic::TopicSet;
use crate::domain::live::LiveEvent;
use crate::run::actions::Desk;
use crate::run::app::{App, Reload};
use crate::run::deps::{self, Stages};
use crate::run::edge::{EdgeSockets, Proofs};
use crate::run::{
    book_watch, clocks, curves, forwarding, host_clock, ingest, judging, nudging, reload,
    remembering, retention, schedule, site, weather,
};
use crate::serve::live::LiveHub;
use crate::serve::metrics::Metrics;
use crate::serve::state::{AppParts, AppState, CACHE_FOR, SecondStore};
use crate::store::StoreError;
use crate::supervise::Supervisor;

/// Time to drain after the signal to stop.
pub const GRACE: Duration = Duration::from_secs(30);

/// Where the daemon can be reached, once its sockets are open.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// Console and API.
    pub http: SocketAddr,
    /// Meters that connect directly, if that is enabled.
    pub mqtt: Option<SocketAddr>,
    /// Meters that connect directly over TLS, if that is configured.
    pub mqtt_tls: Option<SocketAddr>,
    /// Pushed readings alone, if that is configured.
    pub push: Option<SocketAddr>,
}

/// Sockets that are open before anything else starts, so that a taken port ends the program at once.
#[derive(Debug)]
pub struct Sockets {
    http: TcpListener,
    edge: EdgeSockets,
}

impl Sockets {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// An address that is taken or not allowed, with what to do.
    pub async fn open(app: &App) -> anyhow::Result<Self> {
        let http = crate::serve::listen::bind(&app.settings.serve).await?;
        let edge = EdgeSockets::open(app).await?;
        Ok(Self { http, edge })
    }

    /// The addresses in use.
    ///
    /// # Errors
    /// What the system says.
    pub fn addresses(&self) -> anyhow::Result<Addresses> {
        let of = |listener: Option<&TcpListener>| listener.map(TcpListener::local_addr).transpose();
        let (mqtt, push) = (&self.edge.mqtt, &self.edge.push);
        Ok(Addresses {
            http: self.http.local_addr()?,
            mqtt: of(mqtt.plain.as_ref())?,
            mqtt_tls: of(mqtt.tls.as_ref().map(|(listener, _)| listener))?,
            push: of(push.as_ref().map(|(listener, _)| listener))?,
        })
    }
}

/// Starts every task of the daemon.
///
/// # Errors
/// Topic templates that cannot be read, or a meter whose profile is not there.
pub fn start(
    app: &App,
    reload: Reload,
    sockets: Sockets,
    supervisor: &mut Supervisor,
) -> anyhow::Result<LiveHub> {
    let stop = supervisor.stop_token();
    let live = LiveHub::new();
    let address = sockets.addresses()?.http;
    let topics = TopicSet::new(&app.settings.mqtt.topic).map_err(|errors| {
        let list: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow!("{}", list.join("\n"))
    })?;
    let topics = Arc::new(topics);
    let (sender, receiver) = mpsc::channel(app.settings.ingest.queue_len);

    let stages = Stages::default();
    start_clocks(app, &stages, supervisor)?;
    // Before anything is committed: what comes first is forwarded too.
    let second = start_forwarding(app, &stages, supervisor)?;
    start_stages(app, &stages, receiver, supervisor);
    let EdgeSockets {
        mqtt,
        push: push_socket,
        proofs,
    } = sockets.edge;
    let collection = start_collectors(app, &topics, &sender, (mqtt, &proofs), supervisor);
    let push = Push::new(
        app.settings.push.clone(),
        proofs.gate(app)?,
        Arc::clone(&app.clock),
        &sender,
    );
    // The collectors hold the only senders: when they end, the stages drain and end. The push is
    // one of them until the program stops.
    let push_stop = stop.clone();
    supervisor.spawn("push", async move {
        push_stop.cancelled().await;
        drop(sender);
        Ok(())
    });
    supervisor.spawn("credentials", proofs.watch(stop.clone()));

    let planner = app.clone();
    let planner_stop = stop.clone();
    supervisor.spawn("planner", schedule::run(planner, planner_stop));
    supervisor.spawn("nudges", nudging::run(app.clone(), stop.clone()));

    let metrics = Metrics::new();
    metrics.register(|registry| {
        stages.register(registry);
        remembering::register(&app.memory, registry);
    });
    let state = AppState::new(AppParts {
        journal: app.journal.clone(),
        book: app.book.clone(),
        second,
        registry: app.registry.clone(),
        clock: Arc::clone(&app.clock),
        host: stages.clocks.host(),
        actions: Arc::new(Desk::new(app.clone(), Arc::clone(&stages.wake))),
        push,
        collection,
        metrics: Arc::new(metrics),
        events: stages.live.clone(),
        live: live.clone(),
        stop: stop.clone(),
        cache_for: CACHE_FOR,
    });
    for problem in site::unverified(&app.profiles.borrow(), &app.registry(), &app.settings.paths) {
        state.relay(&LiveEvent::Notice {
            code: problem.code.to_owned(),
            message: format!("{}; {}", problem.message, problem.remedy),
            at: app.clock.now(),
        });
    }
    let publisher = state.clone();
    let publisher_stop = stop.clone();
    supervisor.spawn("live", async move {
        crate::serve::live::publish(publisher, crate::serve::live::LIVE_PERIOD, publisher_stop)
            .await;
        Ok(())
    });
    let connections_max = app.settings.push.connections_max;
    start_push(push_socket, &state, connections_max, supervisor);
    let router = crate::serve::router(state);
    let http_stop = stop.clone();
    supervisor.spawn("http", async move {
        crate::serve::answer(sockets.http, router, http_stop).await;
        Ok(())
    });
    supervisor.spawn(
        "reload",
        reload::run(app.clone(), reload, stages.live.clone(), stop.clone()),
    );
    supervisor.spawn(
        "weather sources",
        weather::run(app.clone(), stages.live.clone(), stop.clone()),
    );
    supervisor.spawn("judging", judging::run(app.clone(), stop.clone()));
    supervisor.spawn(
        "book",
        book_watch::run(app.clone(), stages.live.clone(), stop.clone()),
    );
    let dropping = retention::run(deps::retention(app, &stages), stop);
    supervisor.spawn("retention", dropping);
    let file = app.data_dir().join("address");
    fs::write(&file, address.to_string())
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(live)
}

/// What is known of the devices' clocks and of the host's, before anything comes.
fn start_clocks(app: &App, stages: &Stages, supervisor: &mut Supervisor) -> Result<(), StoreError> {
    in_spite_of_damage("the devices' clocks", stages.clocks.load(&app.journal))?;
    let host = deps::host_clock(app, stages);
    in_spite_of_damage("the time that was known last", host.begin())?;
    let stop = supervisor.stop_token();
    supervisor.spawn("host clock", host_clock::run(host, stop.clone()));
    let kept = clocks::keep(stages.clocks.clone(), app.journal.clone(), stop);
    supervisor.spawn("clocks", kept);
    Ok(())
}

/// The port for pushed readings alone.
fn start_push(
    socket: Option<(TcpListener, Option<Arc<TlsPort>>)>,
    state: &AppState,
    connections_max: usize,
    supervisor: &mut Supervisor,
) {
    let Some((listener, tls)) = socket else {
        return;
    };
    if let Ok(address) = listener.local_addr() {
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!(address = %address, "Readings are taken at {scheme}://{address}/api/v1/readings");
    }
    let stop = supervisor.stop_token();
    let router = crate::serve::push_router(state.clone());
    match tls {
        None => supervisor.spawn("push port", async move {
            crate::serve::answer_push(listener, router, connections_max, stop).await;
            Ok(())
        }),
        Some(port) => {
            let listener = crate::serve::TlsListener::new(listener, port);
            supervisor.spawn("push port", async move {
                crate::serve::answer_push(listener, router, connections_max, stop).await;
                Ok(())
            });
        }
    }
}

/// What part of a journal that cannot be read has to say is done without; readings are taken all the same.
fn in_spite_of_damage(what: &str, done: Result<(), StoreError>) -> Result<(), StoreError> {
    match done {
        Err(error) if error.is_of_file() => {
            tracing::error!(
                code = error.code(),
                "The daemon starts without {what}: {error}"
            );
            Ok(())
        }
        done => done,
    }
}

/// Tells a second store what is committed from now on, if there is one; keeps note of when there is none.
fn start_forwarding(
    app: &App,
    stages: &Stages,
    supervisor: &mut Supervisor,
) -> anyhow::Result<Option<SecondStore>> {
    let influx = forwarding::influx(&app.settings.influx, app.gas_day_clock())?;
    let now_ms = app.clock.now().timestamp_millis();
    let set = tokio::task::block_in_place(|| app.journal.set_forwarding(influx.is_some(), now_ms));
    in_spite_of_damage("what the second store is to be told", set)?;
    let Some(influx) = influx else {
        return Ok(None);
    };
    let task = forwarding::run(
        influx.clone(),
        app.journal.clone(),
        Arc::clone(&app.clock),
        stages.forward.clone(),
        supervisor.stop_token(),
    );
    supervisor.spawn("influx", task);
    Ok(Some(SecondStore {
        influx,
        health: stages.forward.state.clone(),
    }))
}

/// From frame to curve: these end when the channel before them closes, not at the signal.
fn start_stages(
    app: &App,
    stages: &Stages,
    receiver: mpsc::Receiver<Delivery>,
    supervisor: &mut Supervisor,
) {
    let drained = CancellationToken::new();
    let frames = ingest::run(receiver, deps::ingest(app, stages));
    let done = drained.clone();
    supervisor.spawn("ingest", async move {
        let ended = frames.await;
        // The curves behind it may finish what they have.
        done.cancel();
        Ok(ended?)
    });
    let computed = curves::run(deps::curves(app, stages), Arc::clone(&stages.wake), drained);
    supervisor.spawn("curves", async move { Ok(computed.await?) });
}

fn start_collectors(
    app: &App,
    topics: &Arc<TopicSet>,
    sender: &mpsc::Sender<Delivery>,
    (ports, proofs): (Ports, &Proofs),
    supervisor: &mut Supervisor,
) -> CollectHealth {
    let stop = supervisor.stop_token();
    let mut fares = CollectHealth::default();
    for broker in app.settings.mqtt.broker.clone() {
        let name = format!("mqtt {}", broker.name);
        let health = Arc::new(MqttHealth::default());
        fares.brokers.push(BrokerHealth {
            name: broker.name.clone(),
            address: format!("{}:{}", broker.host, broker.port),
            health: Arc::clone(&health),
        });
        let task = mqtt::subscribe(Subscription {
            broker,
            topics: watch::channel(Arc::clone(topics)).1,
            state_dir: app.data_dir().to_owned(),
            clock: Arc::clone(&app.clock),
            sender: sender.clone(),
            health,
            stop: stop.clone(),
        });
        supervisor.spawn(name, async move { Ok(task.await?) });
    }
    if ports.plain.is_some() || ports.tls.is_some() {
        let health = Arc::new(ListenHealth::default());
        fares.listener = Some(Arc::clone(&health));
        let task = listen::serve(
            ports,
            app.settings.mqtt.listen.clone(),
            proofs.users.clone(),
            Arc::clone(topics),
            Arc::clone(&app.clock),
            sender.clone(),
            health,
            stop.clone(),
        );
        supervisor.spawn("mqtt listener", async move { Ok(task.await?) });
    }
    let fleet = Fleet {
        registry: app.registry.clone(),
        profiles: app.profiles.clone(),
        settings: app.settings.modbus.clone(),
        clock: Arc::clone(&app.clock),
        health: Arc::clone(&fares.modbus),
        sender: sender.clone(),
    };
    supervisor.spawn("modbus", async move { Ok(modbus::run(fleet, stop).await?) });
    fares
}

/// Runs until SIGTERM, SIGINT or a failure, then drains in the direction of the flow.
///
/// # Errors
/// The first task that failed, by name.
pub async fn run(app: App, reload: Reload) -> anyhow::Result<()> {
    let of_journal = app.journal.damage_seen().into_iter();
    let of_journal = of_journal.filter(|what| app.journal.tell_damage(what));
    let of_book = app.book.damage_seen().into_iter();
    let of_book = of_book.filter(|what| app.book.tell_damage(what));
    for what in of_journal.chain(of_book) {
        tracing::error!(
            code = "store.damaged",
            "Part of the store is lost: {what}; `qiliang verify` tells of all, `qiliang restore` takes a backup"
        );
    }
    let stop = CancellationToken::new();
    let mut supervisor = Supervisor::new(stop.clone());
    let sockets = Sockets::open(&app).await?;
    start(&app, reload, sockets, &mut supervisor)?;
    supervisor.spawn("signals", signals(stop));
    supervisor.run(GRACE).await
}

/// Cancels at SIGTERM or SIGINT.
///
/// # Errors
/// The system refuses signal handlers.
pub async fn signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("Told to stop (SIGTERM); draining"),
        _ = interrupt.recv() => tracing::info!("Told to stop (SIGINT); draining"),
        () = stop.cancelled() => {}
    }
    stop.cancel();
    Ok(())
}
