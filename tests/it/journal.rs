//! Order, duplicates and delay cannot matter: the same set of readings gives the same curves,
//! findings and demand to the bit, through the real journal and the real curve worker.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandNode};
use qiliang::domain::finding::{Finding, RuleId};
use qiliang::domain::frame::Transport;
use qiliang::domain::live::LiveEvent;
use qiliang::domain::meter::{Meter, MeterExchange, MeterKind, MeterRole, SettlementTotal};
use qiliang::domain::quantity::{ReferenceConditions, StdVolume, WorkVolume};
use qiliang::domain::reading::{AlarmSet, FrozenTotals, Item, ItemValue, Reading};
use qiliang::domain::registry::{Company, Registry, RegistryParts};
use qiliang::domain::series::LoadCurve;
use qiliang::domain::slot::SlotTable;
use qiliang::run::curve_check::{Extent, check_curves};
use qiliang::run::curves::{self, CurveDeps};
use qiliang::store::book::Book;
use qiliang::store::journal::{FindingFilter, Journal, JournalEntry, StoredCurve};
use qiliang::validate::{EntryLimits, check_entry};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

const DAYS: i64 = 6;
const LIMITS: EntryLimits = EntryLimits {
    stale_after: TimeDelta::days(400),
    future_tolerance: TimeDelta::seconds(300),
};

fn first_day() -> GasDay {
    "2026-11-16".parse().unwrap()
}

fn at(minute: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(first_day()) + TimeDelta::minutes(minute)
}

fn meter(id: &str, settlement: SettlementTotal, total_digits: u32, fixed_factor: f64) -> Meter {
    Meter {
        id: id.into(),
        device: id.into(),
        customer: None,
        zone: "north".into(),
        role: MeterRole::Customer,
        kind: MeterKind::Rotary,
        profile: "test/test".into(),
        settlement,
        total_digits,
        flow_max_m3h: 160.0,
        fixed_factor,
        period_s: 3_600,
        gateway: None,
        unit: 0,
        installed_on: first_day().0,
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    }
}

fn registry(factor: f64) -> Arc<Registry> {
    Arc::new(Registry::new(RegistryParts {
        version: "test".into(),
        company: Company {
            name: "测试燃气".into(),
            short_name: "测试".into(),
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
        meters: vec![
            meter("hourly", SettlementTotal::Std, 8, 1.0),
            meter("rolling", SettlementTotal::Work, 5, factor),
            meter("frozen", SettlementTotal::Std, 8, 1.0),
            meter("exchanged", SettlementTotal::Work, 6, 1.0),
        ],
        exchanges: vec![MeterExchange {
            meter: "exchanged".into(),
            exchanged_at: at(3 * 1_440 + 130),
            old_total: WorkVolume::from_m3(50_800),
            new_total: WorkVolume::from_m3(2),
        }],
        gateways: Vec::new(),
        contracts: Vec::new(),
        production_changes: Vec::new(),
        filed_plans: Vec::new(),
        new_connections: Vec::new(),
        gas_qualities: Vec::new(),
    }))
}

fn reading(meter: &str, minute: i64, values: Vec<(Item, ItemValue)>) -> Reading {
    Reading {
        meter: meter.into(),
        sampled_at: at(minute),
        received_at: at(minute) + TimeDelta::seconds(9),
        transport: Transport::Mqtt,
        values,
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    }
}

fn exact(item: Item, units: i64) -> (Item, ItemValue) {
    (item, ItemValue::Exact(units))
}

/// Several days of four meters: hourly with a gap, a dip and a constant flow; a totaliser that
/// rolls over; daily frozen arrays, two of which overlap and contradict each other; an exchange.
fn city(flow_units: i64) -> Vec<Reading> {
    let mut readings = Vec::new();
    for hour in 0..DAYS * 24 {
        let minute = hour * 60 + 7 * (hour % 3);
        let units = 5_000_000 + hour * flow_units;
        if !(30..80).contains(&hour) {
            let units = if hour == 100 { 77 } else { units };
            let mut values = vec![exact(Item::TotalStd, units)];
            values.push((Item::FlowStd, ItemValue::Float(12.5)));
            readings.push(reading("hourly", minute, values));
        }
        let rolling = (999_000_000 + hour * 123_457) % 1_000_000_000;
        let values = vec![exact(Item::TotalWork, rolling)];
        readings.push(reading("rolling", minute, values));
        if hour % 5 == 0 {
            let total = 50_000 + hour * 10;
            let total = if hour * 60 > 3 * 1_440 + 130 {
                total - 50_700
            } else {
                total
            };
            let values = vec![exact(Item::TotalWork, total * 10_000)];
            readings.push(reading("exchanged", hour * 60, values));
        }
    }
    for day in 1..=DAYS {
        let mut daily = reading("frozen", day * 1_440 + 10, Vec::new());
        let totals = (0..=24).map(|h| ((day * 7 + h) % 11 != 0).then(|| (day * 24 + h) * 9_999));
        daily.frozen.push(FrozenTotals {
            item: Item::TotalStd,
            first_at: at((day - 1) * 1_440),
            step_s: 3_600,
            totals: totals.collect(),
        });
        readings.push(daily);
    }
    let mut contradicting = reading("frozen", 3 * 1_440 + 11, Vec::new());
    contradicting.frozen.push(FrozenTotals {
        item: Item::TotalStd,
        first_at: at(2 * 1_440 + 60),
        step_s: 3_600,
        totals: vec![Some(74 * 9_999 - 5), Some(75 * 9_999)],
    });
    readings.push(contradicting);
    let mut other = readings[3].clone();
    other.transport = Transport::Modbus;
    for (_, value) in &mut other.values {
        if let ItemValue::Exact(units) = value {
            *units += 3;
        }
    }
    readings.push(other);
    readings
}

fn entry(reading: Reading) -> JournalEntry {
    let findings = check_entry(&reading, LIMITS);
    JournalEntry::Reading { reading, findings }
}

/// Sums in order of meter, so that even the last bit of a float depends on the set alone.
fn sum_day(day: GasDay, curves: &[LoadCurve]) -> Vec<DemandDay> {
    let mut hours_m3 = [0.0; 24];
    for curve in curves {
        for (sum, volume) in hours_m3.iter_mut().zip(&curve.hours) {
            *sum += volume.to_f64();
        }
    }
    let known: usize = curves.iter().map(LoadCurve::hours_known).sum();
    vec![DemandDay {
        node: DemandNode {
            zone: "north".into(),
            class: CustomerClass::Industrial,
        },
        day,
        hours_m3,
        coverage: known as f64 / (curves.len() * 24).max(1) as f64,
        uncertainty_m3: 0.0,
    }]
}

struct Bench {
    dir: tempfile::TempDir,
    registry: watch::Sender<Arc<Registry>>,
    deps: CurveDeps,
}

impl Bench {
    fn new(factor: f64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = GasDayClock::default();
        let (registry, receiver) = watch::channel(registry(factor));
        let deps = CurveDeps {
            journal: Journal::open(dir.path().join("readings.db"), clock).unwrap(),
            book: Book::open(dir.path().join("qiliang.db")).unwrap(),
            registry: receiver,
            sum_day: Arc::new(sum_day),
            fill_days: 0,
            calendar: tokio::sync::watch::channel(Arc::default()).1,
            limits: watch::channel(Arc::default()).1,
            clock: Arc::new(ManualClock::new(at(0))),
            live: broadcast::channel(16).0,
        };
        Self {
            dir,
            registry,
            deps,
        }
    }

    fn commit(&self, entries: Vec<JournalEntry>) {
        self.deps.journal.commit_blocking(entries).unwrap();
    }

    fn outcome(&self) -> Outcome {
        curves::drain(&self.deps).unwrap();
        let (from, to) = (first_day().plus(-2), first_day().plus(DAYS + 3));
        let mut curves = Vec::new();
        self.deps
            .journal
            .for_each_curve(from, to, |curve| curves.push(curve))
            .unwrap();
        let demand = self.deps.book.demand_days(from, to).unwrap();
        Outcome {
            curves,
            findings: self
                .deps
                .journal
                .findings(&FindingFilter::default())
                .unwrap(),
            demand_bits: demand
                .iter()
                .map(|d| (d.day, d.hours_m3.map(f64::to_bits), d.coverage.to_bits()))
                .collect(),
        }
    }

    fn stored(&self, meter: &str, day: GasDay) -> StoredCurve {
        let stored = self.deps.journal.stored_curve(&meter.into(), day).unwrap();
        stored.unwrap()
    }
}

#[derive(Debug, PartialEq)]
struct Outcome {
    curves: Vec<LoadCurve>,
    findings: Vec<Finding>,
    demand_bits: Vec<(GasDay, [u64; 24], u64)>,
}

fn in_order(readings: &[Reading]) -> Outcome {
    let bench = Bench::new(1.023_7);
    let mut readings = readings.to_vec();
    readings.sort_by_key(|r| r.sampled_at);
    bench.commit(readings.into_iter().map(entry).collect());
    bench.outcome()
}

#[test]
fn the_city_shows_what_it_is_meant_to_show() {
    let outcome = in_order(&city(20_000));
    let of = |meter: &str| -> Vec<&LoadCurve> {
        outcome
            .curves
            .iter()
            .filter(|c| c.meter.as_str() == meter)
            .collect()
    };
    for meter in ["hourly", "rolling", "frozen", "exchanged"] {
        assert!(of(meter).len() >= 6, "{meter}");
    }
    for rule in [
        RuleId::V01,
        RuleId::V04,
        RuleId::V05,
        RuleId::V11,
        RuleId::V21,
    ] {
        assert!(outcome.findings.iter().any(|f| f.rule == rule), "{rule:?}");
    }
    assert!(outcome.findings.iter().all(|f| f.rule != RuleId::V06));
    // Each hour of the frozen meter is worth 9 999 units, those in its gaps included; the hour
    // whose end is the first total with a value is open.
    let frozen: StdVolume = of("frozen").iter().map(|c| c.volume()).sum();
    assert_eq!(frozen, StdVolume::from_units(143 * 9_999));
    let exchanged: StdVolume = of("exchanged").iter().map(|c| c.volume()).sum();
    // Every fifth hour from 0 to 140: 27 times 50 m³, and across the exchange
    // (50 800 − 50 700) + (50 − 2) = 148 m³.
    assert_eq!(exchanged, StdVolume::from_m3(27 * 50 + 148));
    assert_eq!(
        outcome.demand_bits.len(),
        of("hourly").len().max(of("frozen").len())
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn order_duplicates_and_delay_do_not_matter(
        flow_units in 1_i64..400_000,
        keys in prop::collection::vec(any::<u32>(), 700),
        copies in prop::collection::vec(0_usize..400, 0..120),
        cuts in prop::collection::vec((1_usize..150, 0_usize..30), 1..7),
    ) {
        let readings = city(flow_units);
        let expected = in_order(&readings);
        let mut mixed = readings.clone();
        mixed.extend(copies.iter().filter_map(|i| readings.get(*i).cloned()));
        prop_assert!(mixed.len() <= keys.len());
        let mut keyed: Vec<(u32, Reading)> = keys.into_iter().zip(mixed).collect();
        keyed.sort_by_key(|(key, _)| *key);
        let mut left: Vec<Reading> = keyed.into_iter().map(|(_, reading)| reading).collect();
        let bench = Bench::new(1.023_7);
        for (take, limit) in cuts.iter().cycle() {
            if left.is_empty() {
                break;
            }
            let rest = left.split_off((*take).min(left.len()));
            bench.commit(std::mem::replace(&mut left, rest).into_iter().map(entry).collect());
            // Now and then the worker gets so far, as if it were stopped in the middle.
            if *limit > 0 {
                curves::run_once(&bench.deps, *limit).unwrap();
            }
        }
        let outcome = bench.outcome();
        prop_assert_eq!(&outcome.curves, &expected.curves);
        prop_assert_eq!(&outcome.findings, &expected.findings);
        prop_assert_eq!(&outcome.demand_bits, &expected.demand_bits);
        let counters = bench.deps.journal.counters().unwrap();
        let sent = (readings.len() + copies.iter().filter(|i| **i < readings.len()).count()) as u64;
        prop_assert_eq!(counters.received, sent);
        prop_assert_eq!(counters.accepted, readings.len() as u64);
    }
}

#[test]
fn a_late_reading_replaces_the_estimate_and_only_what_it_changes_gets_a_new_version() {
    let bench = Bench::new(1.0);
    let total = |hour: i64| {
        let values = vec![exact(Item::TotalStd, hour * 10_000)];
        entry(reading("hourly", hour * 60, values))
    };
    bench.commit([0, 1, 2, 3, 120, 121, 122, 123].map(total).to_vec());
    bench.outcome();
    let middle = first_day().plus(2);
    assert_eq!(bench.stored("hourly", middle).curve.hours_known(), 24);
    // On the straight line the volumes stay, only the gap's findings move; off it they change.
    let mut late = reading("hourly", 60 * 60, vec![exact(Item::TotalStd, 100 * 10_000)]);
    late.received_at = at(130 * 60);
    bench.commit(vec![entry(late)]);
    let report = curves::drain(&bench.deps).unwrap();
    assert_eq!(report.cleared, 1, "one day is marked");
    assert!(
        report.computed >= 5,
        "the whole gap is computed again: {report:?}"
    );
    let stored = bench.stored("hourly", middle);
    assert_eq!(stored.version, 2);
    let sum: StdVolume = (0..5)
        .map(|d| bench.stored("hourly", first_day().plus(d)).curve.volume())
        .sum();
    assert_eq!(sum, StdVolume::from_m3(120));
    assert_eq!(
        curves::drain(&bench.deps).unwrap().computed,
        0,
        "nothing left to do"
    );
}

#[test]
fn a_changed_factor_computes_its_meter_again_and_no_other() {
    let bench = Bench::new(1.0);
    bench.commit(city(20_000).into_iter().map(entry).collect());
    let before = bench.outcome();
    bench.registry.send(registry(1.5)).unwrap();
    let after = bench.outcome();
    for (old, new) in before.curves.iter().zip(&after.curves) {
        let is_same = old == new;
        let has_factor = old.meter.as_str() == "rolling" && old.hours_known() > 0;
        assert_eq!(is_same, !has_factor, "{} {}", old.meter, old.day);
    }
    assert_ne!(before.demand_bits, after.demand_bits);
}

#[test]
fn demand_of_later_days_is_summed_again_where_it_rests_on_estimates() {
    let days = |off: fn(GasDay) -> bool| {
        let mut bench = Bench::new(1.0);
        bench.deps.fill_days = 3;
        bench.deps.sum_day = Arc::new(move |day, curves| {
            let mut demand = sum_day(day, curves);
            for node in demand.iter_mut().filter(|node| off(node.day)) {
                node.uncertainty_m3 = 1.0;
            }
            demand
        });
        bench.commit(city(20_000).into_iter().map(entry).collect());
        bench.outcome();
        let values = vec![exact(Item::TotalStd, 5_000_000 + 10 * 20_000 + 600)];
        let late = reading("hourly", 10 * 60 + 30, values);
        bench.commit(vec![entry(late)]);
        let report = curves::drain(&bench.deps).unwrap();
        assert_eq!(report.changed, 1);
        report.demand_days
    };
    assert_eq!(days(|_| false), 1, "the changed day alone");
    assert_eq!(days(|_| true), 4, "the changed day and three after it");
    assert_eq!(
        days(|day| day == first_day().plus(2)),
        2,
        "the estimated one"
    );
    assert_eq!(days(|day| day == first_day().plus(4)), 1, "too far off");
}

#[test]
fn curves_are_what_their_readings_give_and_one_that_is_not_is_named() {
    let bench = Bench::new(1.023_7);
    bench.commit(city(20_000).into_iter().map(entry).collect());
    bench.outcome();
    let check = |extent| {
        let registry = Arc::clone(&bench.deps.registry.borrow());
        check_curves(
            &bench.deps.journal,
            &registry,
            &bench.deps.calendar.borrow(),
            extent,
        )
        .unwrap()
    };
    let whole = check(Extent::Whole);
    assert_eq!(whole.different, []);
    assert_eq!(whole.checked, bench.deps.journal.curves_len().unwrap());
    let sample = check(Extent::Sample { count: 8, seed: 3 });
    assert!((1..whole.checked).contains(&sample.checked), "{sample:?}");

    // What waits to be computed is no difference.
    let values = vec![exact(Item::TotalStd, 5_000_000 + 50 * 20_000 + 600)];
    bench.commit(vec![entry(reading("hourly", 50 * 60, values))]);
    let waiting = check(Extent::Whole);
    assert_eq!(waiting.different, []);
    assert!(waiting.waiting > 0);
    curves::drain(&bench.deps).unwrap();

    let file = bench.dir.path().join("readings.db");
    let raw = rusqlite::Connection::open(file).unwrap();
    let of = "day = ?1 AND meter = (SELECT no FROM meters WHERE id = ?2)";
    let (one, other) = (first_day().plus(1), first_day().plus(2));
    let change = format!(
        "UPDATE curves SET body = (SELECT body FROM curves WHERE day = ?3 AND meter =
         (SELECT no FROM meters WHERE id = ?2)) WHERE {of}"
    );
    let days = (one.epoch_day(), "rolling", other.epoch_day());
    assert_eq!(raw.execute(&change, days).unwrap(), 1);
    let drop = format!("DELETE FROM curves WHERE {of}");
    let gone = (other.epoch_day(), "frozen");
    assert_eq!(raw.execute(&drop, gone).unwrap(), 1);
    let found = check(Extent::Whole);
    let named: Vec<_> = found
        .different
        .iter()
        .map(|d| (d.meter.as_str(), d.day, d.stored.is_some()))
        .collect();
    assert_eq!(named, [("rolling", one, true), ("frozen", other, false)]);
}

#[tokio::test]
async fn the_loop_is_woken_by_a_commit_and_by_a_changed_registry_and_stops_when_told() {
    let bench = Bench::new(1.0);
    let mut events = bench.deps.live.subscribe();
    let wake = Arc::new(Notify::new());
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(curves::run(
        bench.deps.clone(),
        Arc::clone(&wake),
        stop.clone(),
    ));
    let entries = city(20_000).into_iter().map(entry).collect();
    bench.deps.journal.commit(entries).await.unwrap();
    wake.notify_one();
    let mut computed = |day: GasDay| {
        let mut events = std::mem::replace(&mut events, bench.deps.live.subscribe());
        async move {
            loop {
                match events.recv().await {
                    Ok(LiveEvent::CurvesComputed { day: of, meters }) if of == day => {
                        return meters;
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => panic!("the worker is gone"),
                }
            }
        }
    };
    assert_eq!(computed(first_day().plus(1)).await, 4);
    let again = computed(first_day().plus(1));
    bench.registry.send(registry(1.5)).unwrap();
    assert_eq!(again.await, 4);
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}
