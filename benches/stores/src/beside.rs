//! How long commits take beside retention and compaction, and alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use qiliang::domain::calendar::GasDay;
use qiliang::run::compaction::compact;
use qiliang::run::curves;
use qiliang::run::retention::{Rest, Sweeper};
use qiliang::settings::RetentionSettings;
use qiliang::store::journal::Journal;

use crate::load::{self, day_start};
use crate::ours::{entries, open, runtime};
use crate::recompute::{deps, registry};

const METERS: u32 = 1_000;
/// Days of readings, of which 92 stay.
const DAYS: u32 = 120;
/// A commit every 20 ms: 5,000 readings/s.
const ROWS: usize = 100;
const PERIOD: Duration = Duration::from_millis(20);
const ALONE: Duration = Duration::from_secs(20);

/// Commits until told to stop; how long each took, ms.
fn stream(journal: &Journal, hour: &mut u32, is_over: &AtomicBool) -> Vec<f64> {
    let runtime = runtime();
    let mut took = Vec::new();
    let mut meter = 0;
    while !is_over.load(Ordering::Relaxed) {
        let tick = Instant::now();
        let rows: Vec<load::Row> = (0..ROWS as u32)
            .map(|k| load::row((meter + k) % METERS, day_start(), *hour))
            .collect();
        meter = (meter + ROWS as u32) % METERS;
        *hour += u32::from(meter == 0);
        let committed = Instant::now();
        runtime
            .block_on(journal.receive(entries(&rows)))
            .expect("a commit");
        took.push(committed.elapsed().as_secs_f64() * 1e3);
        thread::sleep(PERIOD.saturating_sub(tick.elapsed()));
    }
    took
}

fn print(beside: &str, mut took: Vec<f64>, did: &str) {
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize];
    println!(
        "| {beside} | {} | {:.1} | {:.1} | {:.1} | {did} |",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Runs `work` on a thread beside a stream of commits.
fn beside(journal: &Journal, hour: &mut u32, name: &str, work: impl FnOnce() -> String + Send) {
    let is_over = AtomicBool::new(false);
    let (took, did) = thread::scope(|scope| {
        let working = scope.spawn(|| {
            let did = work();
            is_over.store(true, Ordering::Relaxed);
            did
        });
        let took = stream(journal, hour, &is_over);
        (took, working.join().expect("the work"))
    });
    print(name, took, &did);
}

/// As the daemon does between two transactions.
fn rest(took: Duration) -> Rest {
    thread::sleep((took * 9).max(Duration::from_millis(5)));
    Rest::GoOn
}

pub fn run() {
    let dir = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let journal = open(dir.path());
    let start = day_start() - TimeDelta::days(i64::from(DAYS));
    for batch in load::batches(METERS, start, DAYS * 24) {
        runtime
            .block_on(journal.receive(entries(&batch)))
            .expect("a commit");
    }
    runtime.block_on(journal.settle()).expect("a commit");
    let (_registry, deps) = deps(dir.path(), journal.clone());
    // Days whose curves wait are not dropped.
    curves::drain(&deps).expect("curves");
    let today: GasDay = journal.clock().day_of(day_start());
    let kept = RetentionSettings {
        readings_days: 92,
        ..RetentionSettings::for_ever()
    };
    let registry = Arc::new(registry());
    let mut hour = 0;
    println!("| beside | commits of {ROWS} | p50, ms | p99, ms | at most, ms | which did |");
    println!("|---|---:|---:|---:|---:|---|");
    beside(&journal, &mut hour, "nothing", || {
        thread::sleep(ALONE);
        String::new()
    });
    // What the stream marked meanwhile would hold retention.
    curves::drain(&deps).expect("curves");
    beside(&journal, &mut hour, "retention", || {
        let began = Instant::now();
        let swept = Sweeper::default()
            .sweep(&journal, &registry, &kept, today, rest)
            .expect("a sweep");
        let rows: u64 = swept.rows.values().sum();
        format!("dropped {rows} rows in {:.0} s", began.elapsed().as_secs_f64())
    });
    beside(&journal, &mut hour, "compaction and the cut of the log", || {
        let began = Instant::now();
        let bytes = compact(&journal, 0, rest).expect("free space");
        journal.cut_log().expect("the log");
        format!(
            "gave {:.0} MB back in {:.0} s",
            bytes as f64 / 1e6,
            began.elapsed().as_secs_f64()
        )
    });
}
