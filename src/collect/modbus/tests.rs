mod parallel;
mod serial;

use std::collections::BTreeSet;
use std::future::Ready;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bus::{Bus, Surroundings, retry_delay, seed};
use super::slot::Meters;
use super::*;
use crate::clock::{Clock, ScaledClock};
use crate::collect::Delivery;
use crate::decode::ProfileSet;
use crate::decode::vector::crc16;
use crate::decode::{DecodeContext, DeviceProfile, snapshot};
use crate::domain::calendar::GasDayClock;
use crate::domain::frame::{RawFrame, Transport};
use crate::domain::id::DeviceId;
use crate::domain::meter::{
    Gateway, GatewayTransport, Meter, MeterKind, MeterRole, SettlementTotal,
};
use crate::domain::reading::{Item, ItemValue};
use crate::domain::registry::{Registry, RegistryParts};
use crate::settings::ModbusSettings;
use crate::validate::rules::testing;

/// Simulated units of a gateway: registers hold `unit * 1000 + address`.
#[derive(Debug, Clone, Default)]
struct Units {
    silent: BTreeSet<u8>,
    exceptions: BTreeSet<u8>,
    busy_once: Arc<Mutex<BTreeSet<u8>>>,
    short: BTreeSet<u8>,
    connections: Arc<AtomicUsize>,
    functions: Arc<Mutex<BTreeSet<u8>>>,
}

impl Service for Units {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Self::Response, Self::Exception>>;

    fn call(&self, asked: Self::Request) -> Self::Future {
        let unit = asked.slave;
        self.functions
            .lock()
            .unwrap()
            .insert(asked.request.function_code().value());
        if self.silent.contains(&unit) {
            return std::future::ready(Ok(None));
        }
        if self.exceptions.contains(&unit) {
            return std::future::ready(Err(ExceptionCode::IllegalDataAddress));
        }
        if self.busy_once.lock().unwrap().remove(&unit) {
            return std::future::ready(Err(ExceptionCode::ServerDeviceBusy));
        }
        let words = |start: u16, count: u16| -> Vec<u16> {
            let count = if self.short.contains(&unit) {
                count - 1
            } else {
                count
            };
            (start..start + count)
                .map(|a| u16::from(unit) * 1_000 + a)
                .collect()
        };
        let bits = |count: u16| vec![true; count.into()];
        let response = match asked.request {
            Request::ReadHoldingRegisters(start, count) => {
                Response::ReadHoldingRegisters(words(start, count))
            }
            Request::ReadInputRegisters(start, count) => {
                Response::ReadInputRegisters(words(start, count))
            }
            Request::ReadCoils(_, count) => Response::ReadCoils(bits(count)),
            Request::ReadDiscreteInputs(_, count) => Response::ReadDiscreteInputs(bits(count)),
            _ => return std::future::ready(Err(ExceptionCode::IllegalFunction)),
        };
        std::future::ready(Ok(Some(response)))
    }
}

async fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn serve(listener: TcpListener, units: Units) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let connect = move |stream: TcpStream, address| {
            let units = units.clone();
            units.connections.fetch_add(1, Ordering::SeqCst);
            async move { accept_tcp_connection(stream, address, move |_| Ok(Some(units.clone()))) }
        };
        Server::new(listener).serve(&connect, |_| ()).await.ok();
    });
    tasks
}

/// A profile of two far blocks of function 3: a total and a telemetry value.
const PROFILE: &str = r#"
id = "acme/bus"
verified = false
description = "two blocks"
transport = "modbus"
codec = "modbus"
[modbus]
[[field]]
name = "total_std"
unit = "m3"
register = 10
type = "u16"
[[field]]
name = "temperature"
unit = "c"
register = 100
type = "u16"
[[test]]
name = "both"
hex = "03 000A 0001 0007 03 0064 0001 0014"
sampled_at = "1970-01-01T00:00:00Z"
items = { total_std_m3 = "7", temperature_c = 20.0 }
"#;

fn profile() -> Arc<DeviceProfile> {
    Arc::new(DeviceProfile::parse(Path::new("device-profiles/acme/bus.toml"), PROFILE).unwrap())
}

fn meter(unit: u8) -> Meter {
    Meter {
        id: format!("M-{unit}").as_str().into(),
        device: format!("D-{unit}").as_str().into(),
        customer: None,
        zone: "east".into(),
        role: MeterRole::Customer,
        kind: MeterKind::Rotary,
        profile: "acme/bus".into(),
        settlement: SettlementTotal::Std,
        total_digits: 8,
        flow_max_m3h: 100.0,
        fixed_factor: 1.0,
        period_s: 60,
        gateway: Some("GW".into()),
        unit,
        installed_on: "2025-01-01".parse().unwrap(),
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    }
}

/// A deadline that only a server that means it misses, however busy the machine.
pub(super) fn settings() -> ModbusSettings {
    patience(5_000)
}

pub(super) fn patience(request_timeout_ms: u64) -> ModbusSettings {
    ModbusSettings {
        request_timeout_ms,
        request_timeout_max_ms: 2 * request_timeout_ms,
        late_answer_max_ms: 10_000,
        jitter_ratio: 0.02,
        is_clock_aligned: false,
        retries_max: 3,
        connect_timeout_ms: 2_000,
        period_s: 60,
        retry_delay_min_ms: 20,
        retry_delay_max_ms: 200,
    }
}

fn start() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-21T08:00:00+08:00")
        .unwrap()
        .to_utc()
}

/// A poller under test: a minute of its clock passes in 200 ms.
struct Polling {
    receiver: mpsc::Receiver<Delivery>,
    health: Arc<ModbusHealth>,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), CollectError>>,
    plan: watch::Sender<Meters>,
}

impl Polling {
    fn start(address: SocketAddr, units: &[u8]) -> Self {
        Self::with_settings(address, units, settings())
    }

    fn with_settings(address: SocketAddr, units: &[u8], settings: ModbusSettings) -> Self {
        Self::over(GatewayTransport::Tcp, address, units, settings)
    }

    fn over(
        transport: GatewayTransport,
        address: SocketAddr,
        units: &[u8],
        settings: ModbusSettings,
    ) -> Self {
        let gateway = Gateway {
            transport,
            ..Gateway::tcp("GW".into(), address.ip().to_string(), address.port())
        };
        Self::behind(gateway, units, settings)
    }

    fn behind(gateway: Gateway, units: &[u8], settings: ModbusSettings) -> Self {
        let (sender, receiver) = mpsc::channel(4);
        let health = Arc::new(ModbusHealth::default());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let around = Surroundings {
            settings: Arc::new(settings),
            clock: Arc::new(ScaledClock::running(start(), 300.0)),
            health: Arc::clone(&health),
            sender,
        };
        let meters: Meters = units
            .iter()
            .map(|unit| (meter(*unit).id, (meter(*unit), profile())))
            .collect();
        let (plan, watched) = watch::channel(meters);
        tasks.spawn(Bus::new(gateway, around).run(watched, stop.clone()));
        Self {
            receiver,
            health,
            stop,
            tasks,
            plan,
        }
    }

    async fn next(&mut self) -> RawFrame {
        self.receiver
            .recv()
            .await
            .expect("the poller goes on")
            .frame
    }

    /// Takes frames until every unit has come `count` times; how often each came.
    async fn until(&mut self, units: &[u8], count: usize) -> Vec<RawFrame> {
        let mut frames = Vec::new();
        loop {
            frames.push(self.next().await);
            let seen = |unit: &u8| {
                let device = DeviceId::from(format!("D-{unit}").as_str());
                frames
                    .iter()
                    .filter(|f| f.device.as_ref() == Some(&device))
                    .count()
            };
            if units.iter().all(|unit| seen(unit) >= count) {
                return frames;
            }
        }
    }

    async fn end(mut self) -> Vec<GatewayHealth> {
        self.stop.cancel();
        // A full queue must not keep the poller from ending.
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap().unwrap();
        }
        self.health.snapshot()
    }
}

fn total(frame: &RawFrame) -> i64 {
    let decoded = profile()
        .decode(&frame.bytes, &DecodeContext::at(frame.received_at))
        .unwrap();
    match decoded.values[0] {
        (Item::TotalStd, ItemValue::Exact(units)) => units / 10_000,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_unit_is_polled_whole_and_reading_only() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let units = Units::default();
    let _server = serve(listener, units.clone());
    let mut polling = Polling::start(address, &[1, 2, 3]);
    let frames = polling.until(&[1, 2, 3], 2).await;
    for frame in &frames {
        let unit: i64 = frame.origin.strip_prefix("GW/").unwrap().parse().unwrap();
        assert_eq!(frame.transport, Transport::Modbus);
        assert_eq!(
            frame.device,
            Some(DeviceId::from(format!("D-{unit}").as_str()))
        );
        assert_eq!(total(frame), unit * 1_000 + 10);
        assert!(frame.received_at >= start());
        let blocks = snapshot::decode(&frame.bytes).unwrap();
        assert_eq!(blocks.len(), 2);
        assert_eq!(i64::from(blocks[1].registers[0]), unit * 1_000 + 100);
    }
    let health = polling.end().await;
    assert_eq!(health[0].connects, 1);
    assert!(health[0].is_connected);
    let polls: u64 = health[0].meters.values().map(|m| m.polls).sum();
    assert!(polls >= frames.len() as u64);
    assert_eq!(*units.functions.lock().unwrap(), BTreeSet::from([3]));
}

#[tokio::test]
async fn a_silent_unit_does_not_stop_its_neighbours() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let units = Units {
        silent: BTreeSet::from([2]),
        ..Units::default()
    };
    let _server = serve(listener, units.clone());
    let settings = ModbusSettings {
        request_timeout_max_ms: 300,
        ..patience(300)
    };
    let mut polling = Polling::with_settings(address, &[1, 2, 3], settings);
    let frames = polling.until(&[1, 3], 8).await;
    assert!(frames.iter().all(|f| f.device != Some("D-2".into())));
    let health = polling.end().await;
    let silent = &health[0].meters[&MeterId::from("M-2")];
    assert_eq!(silent.polls, 0);
    assert!(silent.errors >= 1);
    assert_eq!(silent.failures_in_row, silent.errors);
    let message = silent.last_error.as_deref().unwrap();
    // The whole deadline, or the time its neighbours left it, down to a glance of half of it.
    let waited_ms: u64 = message
        .strip_prefix("meter `M-2`, unit 2 of gateway `GW`: no answer within ")
        .and_then(|rest| rest.split_once(" ms;"))
        .and_then(|(ms, _)| ms.parse().ok())
        .unwrap_or_else(|| panic!("{message}"));
    assert!((150..=300).contains(&waited_ms), "{message}");
    // Each time it was tried, the connection was given up.
    assert!(units.connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn a_short_answer_is_no_reading_and_ends_the_connection() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let units = Units {
        short: BTreeSet::from([2]),
        exceptions: BTreeSet::from([3]),
        ..Units::default()
    };
    let _server = serve(listener, units.clone());
    let mut polling = Polling::start(address, &[1, 2, 3]);
    let frames = polling.until(&[1], 6).await;
    assert!(frames.iter().all(|f| f.device == Some("D-1".into())));
    let health = polling.end().await;
    let error = |id: &str| {
        let meter = &health[0].meters[&MeterId::from(id)];
        meter.last_error.clone().unwrap_or_default()
    };
    assert!(
        error("M-2").contains("answer has 0 registers, asked for 1"),
        "{}",
        error("M-2")
    );
    assert!(
        error("M-3")
            .contains("exception 2 (illegal data address) for registers 10 to 10 of function 3"),
        "{}",
        error("M-3")
    );
    assert!(units.connections.load(Ordering::SeqCst) >= 3);
}

#[tokio::test]
async fn busy_is_not_now_and_the_connection_stays() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let units = Units::default();
    units.busy_once.lock().unwrap().insert(1);
    let _server = serve(listener, units.clone());
    let mut polling = Polling::start(address, &[1]);
    polling.until(&[1], 2).await;
    let health = polling.end().await;
    let meter = &health[0].meters[&MeterId::from("M-1")];
    // Asked again within the period: nothing was lost.
    assert_eq!((meter.retries, meter.errors), (1, 0));
    assert_eq!(units.connections.load(Ordering::SeqCst), 1);
}

/// Answers a request frame: transaction, unit and one register.
fn answer(request: &[u8; 12], transaction: [u8; 2], register: u16) -> Vec<u8> {
    let mut out = vec![
        transaction[0],
        transaction[1],
        0,
        0,
        0,
        5,
        request[6],
        request[7],
        2,
    ];
    out.extend_from_slice(&register.to_be_bytes());
    out
}

#[tokio::test]
async fn a_late_answer_is_not_taken_for_the_next_ones() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let (late_sent, late) = oneshot::channel();
    let mut server = JoinSet::new();
    server.spawn(async move {
        // The first connection answers only after the poller has given up, and wrongly.
        let (mut first, _) = listener.accept().await.unwrap();
        let mut request = [0_u8; 12];
        first.read_exact(&mut request).await.unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        let stale = answer(&request, [request[0], request[1]], 666);
        let was_dropped = first.write_all(&stale).await.is_err()
            || first
                .read(&mut request)
                .await
                .map_or(true, |size| size == 0);
        late_sent.send(was_dropped).unwrap();
        loop {
            let mut request = [0_u8; 12];
            if second.read_exact(&mut request).await.is_err() {
                return;
            }
            let fresh = answer(&request, [request[0], request[1]], 42);
            second.write_all(&fresh).await.unwrap();
        }
    });
    let mut polling = Polling::with_settings(address, &[1], patience(1_000));
    for _ in 0..3 {
        let frame = polling.next().await;
        assert_eq!(total(&frame), 42);
    }
    assert!(
        late.await.unwrap(),
        "the first connection was closed by the poller"
    );
    let health = polling.end().await;
    let meter = &health[0].meters[&MeterId::from("M-1")];
    assert_eq!(meter.retries + meter.errors, 1);
}

#[tokio::test]
async fn an_answer_to_another_request_is_a_mismatch() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut is_first = true;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            loop {
                let mut request = [0_u8; 12];
                if stream.read_exact(&mut request).await.is_err() {
                    break;
                }
                let transaction = if is_first {
                    [0xAB, 0xCD]
                } else {
                    [request[0], request[1]]
                };
                let register = if is_first { 666 } else { 42 };
                is_first = false;
                stream
                    .write_all(&answer(&request, transaction, register))
                    .await
                    .unwrap();
            }
        }
    });
    let mut polling = Polling::start(address, &[1]);
    assert_eq!(total(&polling.next().await), 42);
    let health = polling.end().await;
    let meter = &health[0].meters[&MeterId::from("M-1")];
    assert_eq!(meter.retries + meter.errors, 1);
    assert!(
        meter
            .last_error
            .as_deref()
            .unwrap()
            .contains("does not match")
    );
    assert_eq!(health[0].connects, 2);
}

#[tokio::test]
async fn hostile_bytes_end_the_connection_not_the_poller() {
    // After transaction and protocol: length, unit, function, data.
    let hostile: [&[u8]; 10] = [
        b"",
        &[0, 0],
        &[0, 1, 1],
        &[0, 2, 1, 3],
        &[0, 2, 1, 0x83],
        &[0, 3, 1, 0x80, 2],
        &[0, 5, 1, 3, 200, 0, 1],
        &[0, 4, 1, 3, 1, 9],
        &[0, 5, 1, 6, 0, 1, 0],
        &[0, 4, 1, 1, 0, 0],
    ];
    let (listener, address) = listen("127.0.0.1:0").await;
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut left = hostile.iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0_u8; 12];
            while stream.read_exact(&mut request).await.is_ok() {
                let transaction = [request[0], request[1]];
                let Some(bytes) = left.next() else {
                    let good = answer(&request, transaction, 42);
                    stream.write_all(&good).await.ok();
                    continue;
                };
                let mut reply = vec![transaction[0], transaction[1], 0, 0];
                reply.extend_from_slice(bytes);
                stream.write_all(&reply).await.ok();
                // Half a frame and then the end, so that nobody waits for the rest.
                break;
            }
        }
    });
    let mut polling = Polling::start(address, &[1]);
    assert_eq!(total(&polling.next().await), 42);
    let health = polling.end().await;
    let meter = &health[0].meters[&MeterId::from("M-1")];
    let failed = meter.retries + meter.errors;
    assert!(failed >= hostile.len() as u64, "{failed}");
}

#[tokio::test]
async fn an_unreachable_gateway_is_named_and_recovers() {
    // A port that was free a moment ago.
    let (listener, address) = listen("127.0.0.1:0").await;
    drop(listener);
    let mut polling = Polling::start(address, &[1, 2]);
    loop {
        let health = polling.health.snapshot();
        if health.first().is_some_and(|g| g.errors >= 2) {
            let message = health[0].last_error.clone().unwrap();
            assert!(
                message.contains(&format!(
                    "gateway `GW` cannot be reached at 127.0.0.1:{}",
                    address.port()
                )) && message.contains("check its power, network and the address in gateways.csv"),
                "{message}"
            );
            // Not the meters' fault.
            assert!(health[0].meters.values().all(|m| m.errors == 0));
            break;
        }
        tokio::task::yield_now().await;
    }
    let (listener, _) = listen(&address.to_string()).await;
    let server = serve(listener, Units::default());
    polling.until(&[1, 2], 2).await;

    // The server goes away and comes back: nobody has to restart us.
    drop(server);
    while polling.health.snapshot()[0].is_connected {
        let waiting = tokio::time::timeout(Duration::from_millis(10), polling.receiver.recv());
        waiting.await.ok();
    }
    let (listener, _) = listen(&address.to_string()).await;
    let _server = serve(listener, Units::default());
    polling.until(&[1, 2], 2).await;
    let health = polling.end().await;
    assert!(health[0].connects >= 2);
    assert!(health[0].is_connected);
}

#[tokio::test]
async fn a_full_queue_holds_the_poller_and_a_closed_one_ends_it() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let _server = serve(listener, Units::default());
    let mut polling = Polling::start(address, &[1]);
    polling.next().await;
    polling.receiver.close();
    while polling.receiver.recv().await.is_some() {}
    let ended = polling.tasks.join_next().await.unwrap().unwrap();
    assert!(matches!(ended, Err(CollectError::QueueClosed { .. })));
}

#[test]
fn retry_delays_double_up_to_the_longest_and_repeat_by_seed() {
    let settings = settings();
    let delays = || -> Vec<Duration> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed("M-1"));
        (1..=40)
            .map(|n| retry_delay(&settings, n, &mut rng))
            .collect()
    };
    let first = delays();
    assert_eq!(first, delays());
    assert!(first[0] >= Duration::from_millis(10) && first[0] < Duration::from_millis(20));
    assert!(first[39] >= Duration::from_millis(100) && first[39] < Duration::from_millis(200));
    assert_ne!(seed("M-1"), seed("M-2"));
}

#[tokio::test]
async fn a_meter_added_to_a_running_bus_is_polled_and_one_removed_is_not() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let units = Units::default();
    let _server = serve(listener, units.clone());
    let mut polling = Polling::start(address, &[1]);
    polling.until(&[1], 2).await;
    polling.plan.send_modify(|meters| {
        meters.insert(meter(2).id, (meter(2), profile()));
    });
    polling.until(&[1, 2], 2).await;
    polling.plan.send_modify(|meters| {
        meters.remove(&meter(1).id);
    });
    // At most the poll that was under way and what is in the queue come after that.
    let frames = polling.until(&[2], 12).await;
    let late = frames
        .iter()
        .skip(6)
        .filter(|f| f.device == Some("D-1".into()));
    assert_eq!(late.count(), 0);
    let health = polling.end().await;
    assert_eq!(health[0].connects, 1, "the line outlives the change");
    assert!(!health[0].meters.contains_key(&MeterId::from("M-1")));
}

/// Ten minutes of the clock before the gas day ends, two seconds of ours.
#[tokio::test]
async fn a_meter_is_polled_from_its_first_day_and_until_its_last_though_no_file_changes() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let _server = serve(listener, Units::default());
    let gas_day = GasDayClock::default();
    let today = gas_day.day_of(start());
    let on = |unit: u8, installed_on: NaiveDate, removed_on| Meter {
        gateway: Some("GW".into()),
        installed_on,
        removed_on,
        ..meter(unit)
    };
    let long_ago = today.plus(-900).0;
    let tomorrow = today.plus(1).0;
    let meters = vec![
        on(1, long_ago, Some(tomorrow)),
        on(2, long_ago, None),
        on(3, tomorrow, None),
    ];
    let registry = Registry::new(RegistryParts {
        meters,
        gateways: vec![Gateway::tcp("GW".into(), "127.0.0.1", address.port())],
        ..testing::parts()
    });
    let profile = profile();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(format!("{}.toml", profile.id()));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, PROFILE).unwrap();
    let (profiles, problems) = ProfileSet::load(dir.path());
    assert_eq!(problems, vec![]);
    let (sender, mut receiver) = mpsc::channel(4);
    let stop = CancellationToken::new();
    let ends_at = gas_day.end_of(today);
    let fleet = Fleet {
        registry: watch::channel(Arc::new(registry)).1,
        profiles: watch::channel(Arc::new(profiles)).1,
        settings: settings(),
        clock: Arc::new(ScaledClock::running(
            ends_at - TimeDelta::minutes(10),
            300.0,
        )),
        health: Arc::default(),
        sender,
    };
    let mut running = JoinSet::new();
    running.spawn(run(fleet, stop.clone()));
    let mut polled: [BTreeSet<DeviceId>; 2] = Default::default();
    loop {
        let frame = receiver.recv().await.unwrap().frame;
        let after = frame.received_at - ends_at;
        let device = frame.device.unwrap();
        if after < TimeDelta::zero() {
            polled[0].insert(device);
        } else if after > TimeDelta::minutes(3) {
            polled[1].insert(device);
        }
        if after > TimeDelta::minutes(10) {
            break;
        }
    }
    stop.cancel();
    drop(receiver);
    running.join_next().await.unwrap().unwrap().ok();
    let devices = |units: [u8; 2]| units.map(|unit| meter(unit).device).into();
    assert_eq!(polled, [devices([1, 2]), devices([2, 3])]);
}
