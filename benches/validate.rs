//! How fast the rules judge on one core: `cargo bench --bench validate`.
#![expect(clippy::unwrap_used, reason = "the bench makes what it reads")]

use std::hint::black_box;

use chrono::TimeDelta;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use qiliang::domain::calendar::{Calendar, GasDay, GasDayClock};
use qiliang::domain::frame::Transport;
use qiliang::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use qiliang::domain::quantity::ReferenceConditions;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::domain::series::LoadCurve;
use qiliang::validate::curve::{
    CurveRules, build_days, readings_of, readings_to_end, sample_findings,
};
use qiliang::validate::day::{DayFacts, HISTORY_DAYS, check_day};
use qiliang::validate::limits::LimitTable;
use qiliang::validate::points::expand;
use qiliang::validate::{EntryLimits, check_entry};

const DAYS: i64 = 30;
/// A reading every quarter of an hour.
const PERIOD_S: i64 = 900;

fn meter() -> Meter {
    Meter {
        id: "m".into(),
        device: "d".into(),
        customer: None,
        zone: "z".into(),
        role: MeterRole::Customer,
        kind: MeterKind::Turbine,
        profile: "bench/bench".into(),
        settlement: SettlementTotal::Std,
        total_digits: 9,
        flow_max_m3h: 400.0,
        fixed_factor: 1.0,
        period_s: 900,
        gateway: None,
        unit: 0,
        installed_on: "2020-01-01".parse().unwrap(),
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    }
}

/// What a corrector pushes, all day.
fn readings(from: GasDay) -> Vec<Reading> {
    let start = GasDayClock::default().start_of(from);
    (0..=DAYS * 86_400 / PERIOD_S)
        .map(|n| {
            let at = start + TimeDelta::seconds(n * PERIOD_S);
            let swing = (n * 7 % 31) as f64;
            let float = |item, value| (item, ItemValue::Float(value));
            let std_units = 1_000_000_000 + n * 800_000 + n * n % 97 * 1_000;
            Reading {
                meter: "m".into(),
                sampled_at: at,
                received_at: at + TimeDelta::seconds(20),
                transport: Transport::Mqtt,
                values: vec![
                    (Item::TotalStd, ItemValue::Exact(std_units)),
                    (Item::TotalWork, ItemValue::Exact(std_units / 3)),
                    float(Item::FlowStd, 320.0 + swing),
                    float(Item::FlowWork, 106.0 + swing / 3.0),
                    float(Item::Temperature, 15.0 + swing / 100.0),
                    float(Item::PressureAbs, 302.0 + swing / 50.0),
                    float(Item::ConversionFactor, 3.0),
                    float(Item::Rsrp, -95.0),
                    float(Item::Valve, 0.0),
                ],
                frozen: Vec::new(),
                alarms: AlarmSet::default(),
            }
        })
        .collect()
}

fn entry(c: &mut Criterion) {
    let readings = readings("2026-10-01".parse().unwrap());
    let limits = EntryLimits {
        stale_after: TimeDelta::days(400),
        future_tolerance: TimeDelta::seconds(300),
    };
    let mut group = c.benchmark_group("validate");
    group.throughput(Throughput::Elements(readings.len() as u64));
    group.bench_function("entry", |b| {
        b.iter(|| {
            for reading in &readings {
                black_box(check_entry(reading, limits));
            }
        });
    });
    group.finish();
}

/// Every rule of a meter: entry rules, curves with sequence rules, day rules with four weeks of
/// history.
fn all(c: &mut Criterion) {
    let from: GasDay = "2026-10-01".parse().unwrap();
    let (readings, meter) = (readings(from), meter());
    let limits = EntryLimits {
        stale_after: TimeDelta::days(400),
        future_tolerance: TimeDelta::seconds(300),
    };
    let (clock, calendar, table) = (
        GasDayClock::default(),
        Calendar::default(),
        LimitTable::default(),
    );
    let mut group = c.benchmark_group("validate");
    group.throughput(Throughput::Elements(readings.len() as u64));
    group.bench_function("all_rules", |b| {
        b.iter(|| {
            for reading in &readings {
                black_box(check_entry(reading, limits));
            }
            let rules = CurveRules::plain(&meter);
            let points = expand(&readings, rules.item());
            let mut history: Vec<LoadCurve> = Vec::new();
            for (curve, mut found) in build_days(&rules, clock, from, from.plus(DAYS), &points) {
                let day = curve.day;
                found.extend(sample_findings(&meter, clock, day, &readings));
                let first = history.partition_point(|c| c.day < day.plus(-HISTORY_DAYS));
                found.extend(check_day(&DayFacts {
                    meter: &meter,
                    customer: None,
                    changes: &[],
                    atmosphere_kpa: 101.325,
                    reference: ReferenceConditions::CHINA,
                    calendar: &calendar,
                    clock,
                    limits: &table.of(None, day),
                    curve: &curve,
                    history: &history[first..],
                    readings: readings_of(clock, day, &readings),
                    readings_to_end: readings_to_end(clock, day, &readings),
                }));
                black_box(&found);
                history.push(curve);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, entry, all);
criterion_main!(benches);
