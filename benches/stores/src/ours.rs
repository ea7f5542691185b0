//! The journal.

use std::env;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::frame::Transport;
use qiliang::domain::id::MeterId;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::store::journal::{Journal, JournalEntry};
use tokio::runtime::{Builder, Runtime};

use crate::load::{self, Row};
use crate::{Figures, peak_mb, size, timed};

pub fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

pub fn open(dir: &Path) -> Journal {
    Journal::open(dir.join("readings.db"), GasDayClock::default()).expect("a journal")
}

pub fn name(meter: u32) -> String {
    format!("M{meter:06}")
}

fn entry(row: &Row) -> JournalEntry {
    let sampled_at = DateTime::from_timestamp_millis(row.at_ms).expect("an instant");
    let reading = Reading {
        meter: MeterId::new(name(row.meter)),
        sampled_at,
        received_at: sampled_at + TimeDelta::seconds(4),
        transport: Transport::Mqtt,
        values: vec![
            (Item::TotalStd, ItemValue::Exact(row.total)),
            (Item::FlowStd, ItemValue::Float(row.flow)),
            (Item::Temperature, ItemValue::Float(row.temperature)),
            (Item::PressureAbs, ItemValue::Float(row.pressure)),
        ],
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    };
    JournalEntry::Reading {
        reading,
        findings: Vec::new(),
    }
}

pub fn entries(rows: &[Row]) -> Arc<Vec<JournalEntry>> {
    Arc::new(rows.iter().map(entry).collect())
}

pub fn write(runtime: &Runtime, journal: &Journal, batches: impl Iterator<Item = Vec<Row>>) {
    for batch in batches {
        runtime
            .block_on(journal.receive(entries(&batch)))
            .expect("a commit");
    }
    runtime.block_on(journal.settle()).expect("a commit");
}

/// Every reading of the day `start` begins, with what it adds up to.
fn scan(journal: &Journal, start: DateTime<Utc>) -> (u64, i64) {
    let day = journal.clock().day_of(start);
    let (mut count, mut sum) = (0, 0_i64);
    journal
        .for_each_reading(day, day.plus(1), |reading| {
            count += 1;
            sum = sum.wrapping_add(reading.exact(Item::TotalStd).unwrap_or(0));
        })
        .expect("readings");
    (count, sum)
}

fn year(journal: &Journal, meter: u32) -> f64 {
    let from = load::year_start();
    let to = from + TimeDelta::days(366);
    let id = MeterId::new(name(meter));
    let (readings, s) = timed(|| journal.readings_between(&id, from, to).expect("readings"));
    assert_eq!(readings.len(), load::YEAR_HOURS as usize);
    s * 1e3
}

pub fn run() {
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let journal = open(dir.path());
    let (count, batches) = load::both();
    let ((), write_s) = timed(|| write(&runtime, &journal, batches));
    let year_ms = load::median(load::YEAR_ASKED.map(|meter| year(&journal, meter)).to_vec());
    let ((rows, _), day_s) = timed(|| scan(&journal, load::day_start()));
    assert_eq!(rows, u64::from(load::DAY_METERS) * 24);
    journal.cut_log().expect("the log in the file");
    drop(journal);
    Figures {
        name: "qiliang",
        write_s: count as f64 / write_s,
        bytes_per_row: size(dir.path()) as f64 / count as f64,
        year_ms,
        day_s,
    }
    .print();
}

/// What a row costs as the city grows: `growth METERS`.
pub fn growth() {
    let meters: u32 = env::args()
        .nth(2)
        .and_then(|text| text.parse().ok())
        .expect("meters");
    // As many rows for each size, so that none gets by without what only comes after a while.
    let days = (load::DAY_METERS / meters).max(1);
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let journal = open(dir.path());
    let start = load::day_start();
    let batches = load::batches(meters, start, days * 24);
    let ((), write_s) = timed(|| write(&runtime, &journal, batches));
    let mut rows = 0;
    let ((), scan_s) = timed(|| {
        for day in 0..days {
            rows += scan(&journal, start + TimeDelta::days(day.into())).0;
        }
    });
    println!(
        "| {meters} | {rows} | {:.2} | {:.3} | {:.0} |",
        write_s * 1e6 / rows as f64,
        scan_s * 1e6 / rows as f64,
        peak_mb()
    );
}
