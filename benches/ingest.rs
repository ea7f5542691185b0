//! From frames in the queue to readings on disk: decode, entry rules, commit with fsync, and
//! acknowledgement, as the daemon does it. The disk is that of the temporary directory (`TMPDIR`).
#![expect(clippy::expect_used, reason = "a bench that cannot be set up ends")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qiliang::clock::ManualClock;
use qiliang::collect::{Ack, Delivery};
use qiliang::decode::{DecodeContext, JSON_PUSH, ProfileSet};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::frame::{RawFrame, Transport};
use qiliang::domain::id::DeviceId;
use qiliang::domain::key::KeyRing;
use qiliang::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use qiliang::domain::quantity::ReferenceConditions;
use qiliang::domain::registry::{Company, Registry, RegistryParts};
use qiliang::domain::slot::SlotTable;
use qiliang::run::clocks::Clocks;
use qiliang::run::ingest::{self, Decode, IngestDeps, IngestMetrics};
use qiliang::settings::IngestSettings;
use qiliang::store::journal::Journal;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, broadcast, mpsc, watch};

const METERS: usize = 5_000;
const FRAMES: usize = 50_000;

fn from() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn registry() -> Registry {
    let meter = |n: usize| Meter {
        id: format!("L{n}").as_str().into(),
        device: DeviceId::new(format!("D{n}")),
        customer: None,
        zone: "z".into(),
        role: MeterRole::Customer,
        kind: MeterKind::Ultrasonic,
        profile: JSON_PUSH.into(),
        settlement: SettlementTotal::Std,
        total_digits: 9,
        flow_max_m3h: 1_000.0,
        fixed_factor: 1.0,
        period_s: 60,
        gateway: None,
        unit: 0,
        installed_on: from().date_naive(),
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    };
    Registry::new(RegistryParts {
        version: "bench".into(),
        company: Company {
            name: "bench".into(),
            short_name: "bench".into(),
            phone: String::new(),
            gas_day_start_hour: GasDayClock::default(),
            reference: ReferenceConditions::CHINA,
            heating_from: "11-15".into(),
            heating_to: "03-15".into(),
            slots: SlotTable::default(),
        },
        zones: Vec::new(),
        sources: Vec::new(),
        shares: Vec::new(),
        customers: Vec::new(),
        meters: (0..METERS).map(meter).collect(),
        exchanges: Vec::new(),
        gateways: Vec::new(),
        contracts: Vec::new(),
        production_changes: Vec::new(),
        filed_plans: Vec::new(),
        new_connections: Vec::new(),
        gas_qualities: Vec::new(),
    })
}

fn decoder() -> Decode {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let (profiles, problems) = ProfileSet::load(&dir);
    assert!(problems.is_empty(), "{problems:?}");
    Arc::new(move |id, frame| {
        let context = DecodeContext::of(frame, KeyRing::EMPTY);
        Some(profiles.get(id)?.decode(&frame.bytes, &context))
    })
}

fn frame(n: usize) -> RawFrame {
    let (meter, seq) = (n % METERS, n / METERS);
    let at = from() + TimeDelta::minutes(i64::try_from(seq).unwrap_or(i64::MAX));
    let total = 1_180_213 + seq * 3;
    let text = format!(
        r#"{{"v":1,"dev":"D{meter}","seq":{seq},"ts":"{}","work_m3":"{total}.42","std_m3":"{}.1116","q_work":312.5,"q_std":948.1,"t_c":15.0,"p_kpa_abs":301.325,"batt_v":3.58,"rsrp":-97,"alarms":[],"x":"00"}}"#,
        at.to_rfc3339_opts(SecondsFormat::Secs, true),
        total * 3,
    );
    RawFrame {
        transport: Transport::Mqtt,
        origin: format!("gas/bench/gw/D{meter}/up/reading"),
        device: Some(DeviceId::new(format!("D{meter}"))),
        bytes: Bytes::from(text),
        received_at: at + TimeDelta::seconds(4),
    }
}

/// The time from the first frame in the queue to the last acknowledged, on a new journal.
fn run_once(runtime: &Runtime, decode: &Decode, frames: &[RawFrame]) -> Duration {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("readings.db");
    let journal = Journal::open(path, GasDayClock::default()).expect("a new journal");
    let (_registry, registry) = watch::channel(Arc::new(registry()));
    let deps = IngestDeps {
        journal: journal.clone(),
        decode: Arc::clone(decode),
        registry,
        settings: IngestSettings {
            queue_len: 4_096,
            batch_max: 2_000,
            batch_wait_ms: 20,
            stale_after_days: 400,
            future_tolerance_s: 300,
        },
        kept: Arc::new(qiliang::settings::RetentionSettings::default()),
        clock: Arc::new(ManualClock::new(from())),
        metrics: IngestMetrics::default(),
        clocks: Clocks::default(),
        live: broadcast::Sender::new(16),
        wake: Arc::new(Notify::new()),
    };
    let took = runtime.block_on(async {
        let (sender, receiver) = mpsc::channel(4_096);
        let began = Instant::now();
        let send = async move {
            for frame in frames.iter().cloned() {
                let ack = Ack::none();
                sender.send(Delivery { frame, ack }).await.ok();
            }
        };
        let (ended, ()) = tokio::join!(ingest::run(receiver, deps), send);
        ended.expect("room on the disk");
        began.elapsed()
    });
    let counters = journal.counters().expect("counters");
    assert_eq!(counters.accepted, frames.len() as u64, "{counters:?}");
    took
}

fn ingest(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let decode = decoder();
    let frames: Vec<RawFrame> = (0..FRAMES).map(frame).collect();
    let mut group = criterion.benchmark_group("ingest");
    group.sample_size(10);
    group.throughput(Throughput::Elements(FRAMES as u64));
    group.bench_function("frames to disk", |b| {
        b.iter_custom(|times| {
            (0..times)
                .map(|_| run_once(&runtime, &decode, &frames))
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
