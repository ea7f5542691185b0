//! One suite for every store of history: the journal, InfluxDB 2.9, and InfluxDB 1.6 by its InfluxQL.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::finding::{Finding, Quality, RuleId, Severity, Subject, Words};
use qiliang::domain::frame::Transport;
use qiliang::domain::id::MeterId;
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::reading::{Alarm, AlarmSet, FrozenTotals, Item, ItemValue, Reading};
use qiliang::domain::series::LoadCurve;
use qiliang::store::history::{History, HistoryPoint};
use qiliang::store::influx::{Influx, line, send};
use qiliang::store::journal::{CurveBatch, CurveWrite, Journal, JournalEntry};
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::WHY;
use crate::support::influx::{InfluxOne, InfluxServer, client, settings};
use crate::support::skipped;

const AWKWARD: &str = r"表 1, A=\b'c\'d";

fn day() -> GasDay {
    "2026-11-16".parse().unwrap()
}

/// Minutes after the start of the first gas day.
fn at(minute: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(day()) + TimeDelta::minutes(minute)
}

fn reading(meter: &str, minute: i64, values: Vec<(Item, ItemValue)>) -> Reading {
    Reading {
        meter: meter.into(),
        sampled_at: at(minute),
        received_at: at(minute + 1),
        transport: Transport::Mqtt,
        values,
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    }
}

fn total(meter: &str, minute: i64, units: i64) -> Reading {
    reading(
        meter,
        minute,
        vec![(Item::TotalStd, ItemValue::Exact(units))],
    )
}

fn array(minute: i64, totals: &[Option<i64>]) -> FrozenTotals {
    FrozenTotals {
        item: Item::TotalStd,
        first_at: at(minute),
        step_s: 3_600,
        totals: totals.to_vec(),
    }
}

fn curve(meter: &str, day: GasDay, units: i64) -> LoadCurve {
    let mut curve = LoadCurve::missing(meter.into(), day);
    curve.hours[0] = StdVolume::from_units(units);
    curve.quality[0] = Quality::Measured;
    curve.hours[23] = StdVolume::from_units(1);
    curve.quality[23] = Quality::Estimated;
    curve
}

fn entry(reading: Reading) -> JournalEntry {
    JournalEntry::Reading {
        reading,
        findings: Vec::new(),
    }
}

async fn filled(dir: &TempDir) -> Journal {
    let journal = Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap();
    block_in_place(|| journal.set_forwarding(true, 0)).unwrap();
    let mut full = reading(
        "A",
        60,
        vec![
            (Item::TotalStd, ItemValue::Exact(99_999_999_999_999)),
            (Item::TotalWork, ItemValue::Exact(-1)),
            (Item::Temperature, ItemValue::Float(-12.345_678_901_234_5)),
        ],
    );
    full.alarms = AlarmSet::default().with(Alarm::Leak).with(Alarm::Unlisted);
    let mut arrays = total("A", 1_500, 77);
    arrays.frozen = vec![
        array(0, &[Some(10), None, Some(30)]),
        array(1_440, &[Some(50)]),
    ];
    let mut contradicting = total("A", 1_560, 78);
    contradicting.frozen = vec![array(120, &[Some(29), Some(40)])];
    let failed = JournalEntry::Reading {
        reading: total("A", 90, 1),
        findings: vec![Finding {
            rule: RuleId::V02,
            severity: Severity::Fail,
            subject: Subject::Meter("A".into()),
            at: at(90),
            words: Words::Text("test".to_owned()),
        }],
    };
    let entries = vec![
        entry(contradicting),
        entry(full.clone()),
        failed,
        entry(arrays),
        entry(full),
        entry(total(AWKWARD, 5, 500)),
        entry(total("B", 5, 501)),
    ];
    for one in entries {
        journal.commit(vec![one]).await.unwrap();
    }
    for (computed, units) in [(2_000, 15_000), (2_001, 15_001)] {
        let curves = [
            curve("A", day(), units),
            curve("A", day().plus(2), 7),
            curve(AWKWARD, day(), 9),
        ];
        let batch = CurveBatch {
            curves: curves
                .map(|curve| CurveWrite {
                    curve,
                    findings: Vec::new(),
                })
                .to_vec(),
            cleared: Vec::new(),
            computed_at: at(computed),
        };
        block_in_place(|| journal.put_curves(batch)).unwrap();
    }
    journal
}

/// What every store gives back of `filled`.
async fn conforms(store: &(impl History + Sync)) {
    let span = (at(-100_000), at(100_000));
    let of = |minute: i64, values: Vec<(Item, ItemValue)>, frozen: Option<i64>| HistoryPoint {
        values,
        frozen: frozen
            .map(|units| (Item::TotalStd, units))
            .into_iter()
            .collect(),
        ..HistoryPoint::new(at(minute))
    };
    let exact = |units| vec![(Item::TotalStd, ItemValue::Exact(units))];
    let mut full = of(
        60,
        vec![
            (Item::TotalStd, ItemValue::Exact(99_999_999_999_999)),
            (Item::TotalWork, ItemValue::Exact(-1)),
            (Item::Temperature, ItemValue::Float(-12.345_678_901_234_5)),
        ],
        None,
    );
    full.alarms = AlarmSet::default().with(Alarm::Leak).with(Alarm::Unlisted);
    let all = [
        of(0, Vec::new(), Some(10)),
        full,
        of(120, Vec::new(), Some(30)),
        of(180, Vec::new(), Some(40)),
        of(1_440, Vec::new(), Some(50)),
        of(1_500, exact(77), None),
        of(1_560, exact(78), None),
    ];
    assert_eq!(
        store
            .points_between(&"A".into(), span.0, span.1)
            .await
            .unwrap(),
        all
    );
    // Half-open: the start counts, the end does not.
    let part = store
        .points_between(&"A".into(), at(60), at(1_440))
        .await
        .unwrap();
    assert_eq!(part, all[1..4]);
    assert_eq!(
        store
            .points_between(&"A".into(), at(60), at(60))
            .await
            .unwrap(),
        []
    );
    assert_eq!(
        store
            .points_between(&"nobody".into(), span.0, span.1)
            .await
            .unwrap(),
        []
    );
    let awkward = store
        .points_between(&AWKWARD.into(), span.0, span.1)
        .await
        .unwrap();
    assert_eq!(awkward, [of(5, exact(500), None)]);
    let mut streamed = Vec::new();
    store
        .for_each_point(&"B".into(), span.0, span.1, |point| streamed.push(point))
        .await
        .unwrap();
    assert_eq!(streamed, [of(5, exact(501), None)]);

    let (from, to) = (day().plus(-3), day().plus(3));
    let curves = store.curves_between(&"A".into(), from, to).await.unwrap();
    assert_eq!(
        curves,
        [curve("A", day(), 15_001), curve("A", day().plus(2), 7)]
    );
    assert_eq!(
        store
            .curves_between(&"A".into(), from, day().plus(2))
            .await
            .unwrap(),
        curves[..1]
    );
    assert_eq!(
        store
            .curves_between(&AWKWARD.into(), from, to)
            .await
            .unwrap(),
        [curve(AWKWARD, day(), 9)]
    );
    assert_eq!(
        store.curves_between(&"B".into(), from, to).await.unwrap(),
        []
    );
}

/// Every line that the outbox holds, and none afterwards: (of readings, of curves).
fn drain(journal: &Journal, rows: usize) -> (Vec<String>, Vec<String>) {
    let (mut readings, mut hourly, none) = (Vec::new(), Vec::new(), BTreeMap::new());
    while let Some(batch) = journal.outbox(rows).unwrap() {
        for (meter, point) in &batch.points {
            line::of_point(meter, point, &none, &mut readings).unwrap();
        }
        for curve in &batch.curves {
            line::of_curve(curve, journal.clock(), &none, &mut hourly).unwrap();
        }
        block_in_place(|| journal.forwarded(batch.sent, Vec::new(), 0)).unwrap();
    }
    (readings, hourly)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conforms(&filled(&dir).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_2_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = InfluxServer::start(dir.path()) else {
        return skipped(WHY);
    };
    let influx = server.client();
    influx.ensure_buckets().await.unwrap();
    let (readings, hourly) = drain(&filled(&dir).await, 2);
    for (bucket, lines) in [("gas_readings", readings), ("gas_hourly", hourly)] {
        let outcome = send(&influx, bucket, &lines).await.unwrap();
        assert_eq!(
            (outcome.taken, outcome.refused),
            (lines.len() as u64, vec![])
        );
    }
    conforms(&influx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_1_6_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = InfluxOne::start(dir.path()) else {
        return skipped("InfluxDB 1.6 not found: apt-get install influxdb");
    };
    let (readings, hourly) = drain(&filled(&dir).await, 1_000);
    server.write("gas_readings", &readings).await;
    server.write("gas_hourly", &hourly).await;
    let influx = client(&server.url, "");
    assert!(
        influx
            .ping()
            .await
            .unwrap()
            .version
            .unwrap()
            .starts_with("1.6")
    );
    conforms(&influx).await;
}

fn deliveries() -> Vec<Reading> {
    let mut all = Vec::new();
    for (index, meter) in ["X", "Y", AWKWARD].into_iter().enumerate() {
        let offset = i64::try_from(index).unwrap() * 1_000;
        for hour in 0..48 {
            all.push(total(meter, hour * 60 + 7, offset + hour * 11));
        }
        // Each day's array comes the day after; one contradicts what was said at its hour.
        for of_day in 0..2 {
            let mut daily = total(meter, (of_day + 1) * 1_440 + 30, offset + 5_000 + of_day);
            let totals: Vec<_> = (0..24)
                .map(|h| (h != 5).then_some(offset + of_day * 264 + h * 11))
                .collect();
            daily.frozen = vec![array(of_day * 1_440, &totals)];
            all.push(daily);
        }
        let mut again = total(meter, 4_000, offset + 6_000);
        again.frozen = vec![array(600, &[Some(offset + 3), Some(offset + 9_999)])];
        all.push(again);
        // The same instant with another value, and with another item.
        all.push(total(meter, 7, offset + 1));
        all.push(reading(
            meter,
            7,
            vec![(Item::Temperature, ItemValue::Float(3.5))],
        ));
    }
    all
}

/// Commits and forwards in turns, in batches of so many.
async fn deliver(influx: &Influx, readings: &[Reading], batch: usize) -> (TempDir, Journal) {
    influx.ensure_buckets().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().join("readings.db"), GasDayClock::default()).unwrap();
    block_in_place(|| journal.set_forwarding(true, 0)).unwrap();
    for part in readings.chunks(batch) {
        journal
            .commit(part.iter().cloned().map(entry).collect())
            .await
            .unwrap();
        let (lines, _) = drain(&journal, batch);
        let bucket = influx.settings().bucket.clone();
        assert_eq!(send(influx, &bucket, &lines).await.unwrap().refused, vec![]);
    }
    (dir, journal)
}

#[tokio::test(flavor = "multi_thread")]
async fn order_duplicates_and_delay_matter_to_neither_store() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = InfluxServer::start(dir.path()) else {
        return skipped(WHY);
    };
    let span = (at(-10_000), at(10_000));
    let mut runner = TestRunner::default();
    let mut first: Option<Vec<Vec<HistoryPoint>>> = None;
    for round in 0..8 {
        let mut settings = settings(&server.url);
        settings.bucket = format!("order_{round}");
        let influx = Influx::new(settings, server.token.clone(), GasDayClock::default()).unwrap();
        // Each once, and a third of them once more, in any order.
        let twice = deliveries().into_iter().step_by(3);
        let mut readings: Vec<Reading> = deliveries().into_iter().chain(twice).collect();
        if round > 0 {
            readings = Just(readings)
                .prop_shuffle()
                .new_tree(&mut runner)
                .unwrap()
                .current();
        }
        let (_dir, journal) = deliver(&influx, &readings, 1 + round * 7).await;
        let mut all = Vec::new();
        for meter in ["X", "Y", AWKWARD] {
            let meter = MeterId::from(meter);
            let here = journal
                .points_between(&meter, span.0, span.1)
                .await
                .unwrap();
            let there = influx.points_between(&meter, span.0, span.1).await.unwrap();
            assert_eq!(here, there, "round {round}, {meter}");
            assert!(here.len() > 48);
            all.push(here);
        }
        assert_eq!(
            first.get_or_insert_with(|| all.clone()),
            &all,
            "round {round}"
        );
    }
}
