//! Curves: a year of 2,000 meters from nothing, and how soon a late reading is seen.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::{Calendar, GasDay, GasDayClock};
use qiliang::domain::customer::{Customer, CustomerClass, SaleMode, ShiftPattern};
use qiliang::domain::frame::Transport;
use qiliang::domain::id::MeterId;
use qiliang::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use qiliang::domain::quantity::{ReferenceConditions, StdVolume, YuanPerM3};
use qiliang::domain::reading::{AlarmSet, FrozenTotals, Item, ItemValue, Reading};
use qiliang::domain::registry::{Company, Registry, RegistryParts};
use qiliang::domain::slot::SlotTable;
use qiliang::run::curves::{self, CurveDeps};
use qiliang::store::book::Book;
use qiliang::store::journal::{Journal, JournalEntry};
use qiliang::validate::limits::LimitTable;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::load::day_start;
use crate::ours::{name, open, runtime};
use crate::{peak_mb, timed};

const METERS: u32 = 2_000;
const DAYS: i64 = 365;
/// Late readings, one every 100 ms.
const LATE: u32 = 200;
/// Readings of the day under way meanwhile, every 100 ms.
const BESIDE: u32 = 200;

fn first_day() -> GasDay {
    GasDayClock::default().day_of(day_start()).plus(-DAYS)
}

pub fn registry() -> Registry {
    let meter = |n| Meter {
        id: name(n).as_str().into(),
        device: name(n).as_str().into(),
        customer: Some(format!("K{n}").as_str().into()),
        zone: "north".into(),
        role: MeterRole::Customer,
        kind: MeterKind::Turbine,
        profile: "qiliang/json-push".into(),
        settlement: SettlementTotal::Std,
        total_digits: 9,
        flow_max_m3h: 1_000.0,
        fixed_factor: 1.0,
        period_s: 3_600,
        gateway: None,
        unit: 0,
        installed_on: first_day().0,
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    };
    let customer = |n: u32| Customer {
        id: format!("K{n}").as_str().into(),
        name: format!("Works {n}"),
        class: CustomerClass::ALL[n as usize % CustomerClass::ALL.len()],
        zone: "north".into(),
        households: 1,
        industry: String::new(),
        grid: String::new(),
        account_manager: String::new(),
        contact_group: String::new(),
        sale_mode: SaleMode::Direct,
        design_flow_m3h: 900.0,
        contract_annual: StdVolume::ZERO,
        base_price: YuanPerM3::default(),
        agreed_discount: YuanPerM3::default(),
        shift: ShiftPattern::Three,
        protection_rank: 5,
        is_interruptible: false,
        shiftable_m3_per_day: 0.0,
        flow_min_safe_m3h: 0.0,
        is_nudge_opted_in: false,
        ledger_reason: String::new(),
        connected_on: first_day().0,
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
        customers: (0..METERS).map(customer).collect(),
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

fn total(meter: u32, start: DateTime<Utc>, hour: i64) -> i64 {
    crate::load::row(meter, start, u32::try_from(hour).expect("an hour")).total
}

fn entry(meter: u32, sampled_at: DateTime<Utc>) -> JournalEntry {
    let reading = Reading {
        meter: name(meter).as_str().into(),
        sampled_at,
        received_at: sampled_at + TimeDelta::seconds(4),
        transport: Transport::Mqtt,
        values: Vec::new(),
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    };
    JournalEntry::Reading {
        reading,
        findings: Vec::new(),
    }
}

/// A frozen day: 25 totals in one uplink.
fn frozen(meter: u32, day: i64) -> JournalEntry {
    let start = GasDayClock::default().start_of(first_day());
    let at = start + TimeDelta::days(day);
    let mut entry = entry(meter, at + TimeDelta::minutes(24 * 60 + 20));
    if let JournalEntry::Reading { reading, .. } = &mut entry {
        // Noon is missing, so that a late reading has something to say.
        let totals =
            (0..=24).map(|hour| (hour != 12).then(|| total(meter, start, day * 24 + hour)));
        reading.frozen.push(FrozenTotals {
            item: Item::TotalStd,
            first_at: at,
            step_s: 3_600,
            totals: totals.collect(),
        });
    }
    entry
}

fn single(meter: u32, at: DateTime<Utc>, units: i64) -> JournalEntry {
    let mut entry = entry(meter, at);
    if let JournalEntry::Reading { reading, .. } = &mut entry {
        reading
            .values
            .push((Item::TotalStd, ItemValue::Exact(units)));
    }
    entry
}

/// What curves are computed with; the sender keeps the registry there.
pub fn deps(dir: &Path, journal: Journal) -> (watch::Sender<Arc<Registry>>, CurveDeps) {
    let (sender, receiver) = watch::channel(Arc::new(registry()));
    let deps = CurveDeps {
        journal,
        book: Book::open(dir.join("qiliang.db")).expect("a book"),
        registry: receiver,
        sum_day: Arc::new(|_, _| Vec::new()),
        fill_days: 0,
        calendar: watch::channel(Arc::new(Calendar::default())).1,
        limits: watch::channel(Arc::new(LimitTable::default())).1,
        clock: Arc::new(ManualClock::new(day_start() + TimeDelta::hours(12))),
        live: broadcast::channel(1_024).0,
    };
    (sender, deps)
}

pub fn run() {
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let journal = open(dir.path());
    for day in 0..DAYS {
        let entries = Arc::new((0..METERS).map(|meter| frozen(meter, day)).collect());
        runtime
            .block_on(journal.receive(entries))
            .expect("a commit");
    }
    runtime.block_on(journal.settle()).expect("a commit");
    let (_registry, deps) = deps(dir.path(), journal);
    let (report, s) = timed(|| curves::drain(&deps).expect("curves"));
    println!(
        "{} curves of {METERS} meters and {DAYS} days computed in {s:.1} s, {:.0} MB",
        report.changed,
        peak_mb()
    );
    late(&runtime, &deps);
}

/// Late readings beside a stream of the day under way, from the call to commit to the changed curve.
fn late(runtime: &Runtime, deps: &CurveDeps) {
    let (wake, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let worker = runtime.spawn(curves::run(deps.clone(), Arc::clone(&wake), stop.clone()));
    let start = GasDayClock::default().start_of(first_day());
    let mut waiting: Vec<(u32, GasDay, u32, Instant)> = Vec::new();
    let mut seen_ms = Vec::new();
    for n in 0.. {
        let tick = Instant::now();
        if n < LATE {
            let day = first_day().plus(i64::from(n * 37 % 360) + 1);
            let meter = n * 7 % METERS;
            let version = version(deps, meter, day);
            let hour = day.days_since(first_day()) * 24 + 12;
            let at = start + TimeDelta::hours(hour);
            let reading = single(meter, at, total(meter, start, hour));
            waiting.push((meter, day, version, Instant::now()));
            runtime
                .block_on(deps.journal.commit(vec![reading]))
                .expect("a commit");
        }
        let beside = (0..BESIDE).map(|k| {
            let meter = (n * BESIDE + k) % METERS;
            let at = day_start() + TimeDelta::seconds(i64::from(n) * 10);
            single(
                meter,
                at,
                total(meter, start, DAYS * 24) + i64::from(n) * 100,
            )
        });
        let beside = Arc::new(beside.collect());
        runtime
            .block_on(deps.journal.receive(beside))
            .expect("a commit");
        wake.notify_one();
        while tick.elapsed() < Duration::from_millis(100) {
            waiting.retain(|(meter, day, before, since)| {
                let is_seen = version(deps, *meter, *day) > *before;
                if is_seen {
                    seen_ms.push(since.elapsed().as_secs_f64() * 1e3);
                }
                !is_seen
            });
            std::thread::sleep(Duration::from_millis(4));
        }
        if (n >= LATE && waiting.is_empty()) || n > 3 * LATE {
            break;
        }
    }
    stop.cancel();
    runtime
        .block_on(worker)
        .expect("the worker")
        .expect("curves");
    assert!(!seen_ms.is_empty(), "no late reading was seen in its curve");
    seen_ms.sort_by(f64::total_cmp);
    let at = |share: f64| seen_ms[((seen_ms.len() - 1) as f64 * share).round() as usize];
    println!(
        "{} of {LATE} late readings seen in their curves, beside {} readings/s: p50 {:.0} ms, p99 {:.0} ms, at most {:.0} ms",
        seen_ms.len(),
        BESIDE * 10,
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn version(deps: &CurveDeps, meter: u32, day: GasDay) -> u32 {
    let id = MeterId::new(name(meter));
    let stored = deps.journal.stored_curve(&id, day).expect("a curve");
    stored.map_or(0, |stored| stored.version)
}
