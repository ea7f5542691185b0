//! Commits of batches to the journal, each with its fsync: `commit`, and `receive` as a busy stream
//! uses it. The disk is that of the temporary directory (`TMPDIR`).
#![expect(clippy::expect_used, reason = "a bench that cannot be set up ends")]

use std::hint::black_box;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::frame::Transport;
use qiliang::domain::id::MeterId;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::store::journal::{Journal, JournalEntry};
use tokio::runtime::Builder;

const METERS: usize = 5_000;

/// Readings of all meters in turn, each a minute after its last.
struct Load {
    meters: Vec<MeterId>,
    from: DateTime<Utc>,
    next: usize,
}

impl Load {
    fn new() -> Self {
        Self {
            meters: (0..METERS).map(|n| MeterId::new(format!("L{n}"))).collect(),
            from: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
            next: 0,
        }
    }

    fn batch(&mut self, len: usize) -> Vec<JournalEntry> {
        let from = self.next;
        self.next += len;
        (from..self.next).map(|n| self.entry(n)).collect()
    }

    fn entry(&self, n: usize) -> JournalEntry {
        let minute = i64::try_from(n / METERS).unwrap_or(i64::MAX);
        let sampled_at = self.from + TimeDelta::minutes(minute);
        let total = 11_802_134_200 + minute * 31_000;
        let reading = Reading {
            meter: self.meters[n % METERS].clone(),
            sampled_at,
            received_at: sampled_at + TimeDelta::seconds(4),
            transport: Transport::Mqtt,
            values: vec![
                (Item::TotalStd, ItemValue::Exact(total * 3)),
                (Item::TotalWork, ItemValue::Exact(total)),
                (Item::FlowStd, ItemValue::Float(948.1)),
                (Item::FlowWork, ItemValue::Float(312.5)),
                (Item::Temperature, ItemValue::Float(15.0)),
                (Item::PressureAbs, ItemValue::Float(301.325)),
                (Item::BatteryVoltage, ItemValue::Float(3.58)),
                (Item::Rsrp, ItemValue::Float(-97.0)),
                (Item::ReportSeq, ItemValue::Float(minute as f64)),
            ],
            frozen: Vec::new(),
            alarms: AlarmSet::default(),
        };
        JournalEntry::Reading {
            reading,
            findings: Vec::new(),
        }
    }
}

fn journal(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let mut group = criterion.benchmark_group("journal");
    group.sample_size(30);
    for len in [200, 1_000, 5_000] {
        group.throughput(Throughput::Elements(len as u64));
        for is_received in [false, true] {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let path = dir.path().join("readings.db");
            let journal = Journal::open(path, GasDayClock::default()).expect("a new journal");
            let mut load = Load::new();
            let name = if is_received { "receive" } else { "commit" };
            group.bench_function(format!("{name}/{len}"), |b| {
                b.iter_batched(
                    || Arc::new(load.batch(len)),
                    |entries| {
                        let report = if is_received {
                            runtime.block_on(journal.receive(entries))
                        } else {
                            runtime.block_on(journal.commit_shared(entries))
                        };
                        black_box(report.expect("room on the disk"))
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, journal);
criterion_main!(benches);
