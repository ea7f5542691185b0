//! How long commits take beside retention and compaction, and alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use qiliang::domain::calendar::GasDay;
use qiliang::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use qiliang::run::compaction::compact;
use qiliang::run::curves;
use qiliang::run::retention::{Rest, Sweeper};
use qiliang::settings::RetentionSettings;
use qiliang::store::journal::{Journal, JournalEntry};

use crate::load::{self, day_start};
use crate::ours::{entries, open, runtime};
use crate::recompute::{deps, registry};
use crate::timed;

const METERS: u32 = 1_000;
/// Days of readings, of which 92 stay.
const DAYS: u32 = 120;
/// A commit every 20 ms: 5,000 readings/s.
const ROWS: usize = 100;
const PERIOD: Duration = Duration::from_millis(20);
const ALONE: Duration = Duration::from_secs(20);

/// Commits beside compaction that are looked at.
const COMMITS_MIN: u64 = 2_000;
/// Frames of 40 kB that leave free pages for compaction to give back: two seconds of it.
const FRAMES: u32 = 1_000;
const FRAME_BYTES: usize = 40_000;

/// When a stream of commits ends, and which of them count.
#[derive(Default)]
struct Watch {
    is_over: AtomicBool,
    /// Set while what the commits are measured beside is not at work.
    is_paused: AtomicBool,
    counted: AtomicU64,
}

/// Commits until told to stop; how long each took, ms.
fn stream(journal: &Journal, hour: &mut u32, watch: &Watch) -> Vec<f64> {
    let runtime = runtime();
    let mut took = Vec::new();
    let mut meter = 0;
    while !watch.is_over.load(Ordering::Relaxed) {
        let tick = Instant::now();
        let rows: Vec<load::Row> = (0..ROWS as u32)
            .map(|k| load::row((meter + k) % METERS, day_start(), *hour))
            .collect();
        meter = (meter + ROWS as u32) % METERS;
        *hour += u32::from(meter == 0);
        let was_paused = watch.is_paused.load(Ordering::Relaxed);
        let committed = Instant::now();
        runtime
            .block_on(journal.receive(entries(&rows)))
            .expect("a commit");
        if !was_paused && !watch.is_paused.load(Ordering::Relaxed) {
            took.push(committed.elapsed().as_secs_f64() * 1e3);
            watch.counted.fetch_add(1, Ordering::Relaxed);
        }
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
fn beside(
    journal: &Journal,
    hour: &mut u32,
    name: &str,
    work: impl FnOnce(&Watch) -> String + Send,
) {
    let watch = Watch::default();
    let (took, did) = thread::scope(|scope| {
        let working = scope.spawn(|| {
            let did = work(&watch);
            watch.is_over.store(true, Ordering::Relaxed);
            did
        });
        let took = stream(journal, hour, &watch);
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
        ..RetentionSettings::default()
    };
    let registry = Arc::new(registry());
    let mut hour = 0;
    println!("| beside | commits of {ROWS} | p50, ms | p99, ms | at most, ms | which did |");
    println!("|---|---:|---:|---:|---:|---|");
    beside(&journal, &mut hour, "nothing", |_| {
        thread::sleep(ALONE);
        String::new()
    });
    // What the stream marked meanwhile would hold retention.
    curves::drain(&deps).expect("curves");
    beside(&journal, &mut hour, "retention", |_| {
        let began = Instant::now();
        let swept = Sweeper::default()
            .sweep(&journal, &registry, &kept, today, rest)
            .expect("a sweep");
        let rows: u64 = swept.rows.values().sum();
        format!(
            "dropped {rows} rows in {:.0} s",
            began.elapsed().as_secs_f64()
        )
    });
    beside(
        &journal,
        &mut hour,
        "compaction and the cut of the log",
        |watch| {
            let (mut bytes, mut took_s) = (0, 0.0);
            while watch.counted.load(Ordering::Relaxed) < COMMITS_MIN {
                watch.is_paused.store(true, Ordering::Relaxed);
                leave_free_pages(&journal);
                watch.is_paused.store(false, Ordering::Relaxed);
                let ((), s) = timed(|| {
                    bytes += compact(&journal, 0, rest).expect("free space");
                    journal.cut_log().expect("the log");
                });
                took_s += s;
            }
            format!("gave {:.0} MB back in {took_s:.0} s", bytes as f64 / 1e6)
        },
    );
}

/// Rejected frames come and go.
fn leave_free_pages(journal: &Journal) {
    for few in (0..FRAMES).collect::<Vec<_>>().chunks(20) {
        let frame = |number: &u32| {
            let mut bytes = vec![7; FRAME_BYTES];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            JournalEntry::Reject(RejectedFrame {
                frame: RawFrame {
                    transport: Transport::Mqtt,
                    origin: "up/x".to_owned(),
                    device: None,
                    bytes: bytes.into(),
                    received_at: day_start(),
                },
                meter: None,
                reason: RejectReason::new("decode.truncated", "it ends early"),
            })
        };
        let frames = few.iter().map(frame).collect();
        journal.commit_blocking(frames).expect("a commit");
    }
    while journal
        .drop_rejects(day_start(), 0)
        .expect("a commit")
        .frames
        > 0
    {}
}

/// Readings that wait when a push comes in the middle of a flood: as many as ever do.
const FLOOD: u64 = 1_500_000;
/// Fewer are taken along by whoever asks what became of a reading; more are put at their place before, some
/// in each commit (`run::ingest`).
const BACKLOG: u64 = 20_000;

/// What a push waits for in a flood, and the longest commit that everyone waits for.
pub fn push() {
    println!(
        "| a push behind a flood | readings that waited | longest commit, ms | answered after, ms |"
    );
    println!("|---|---:|---:|---:|");
    for (how, in_steps) in [("all in its commit", false), ("in steps, as it is", true)] {
        let dir = tempfile::tempdir().expect("a folder");
        let (runtime, journal) = (runtime(), open(dir.path()));
        let mut waiting = 0;
        for batch in load::batches(load::DAY_METERS, day_start(), 24) {
            let received = runtime.block_on(journal.receive(entries(&batch)));
            waiting = received.expect("a commit").waiting;
            if waiting >= FLOOD {
                break;
            }
        }
        let (waited, began, mut longest) = (waiting, Instant::now(), 0.0_f64);
        while in_steps && waiting > BACKLOG {
            let (report, s) = timed(|| runtime.block_on(journal.settle_some()));
            waiting = report.expect("a commit").waiting;
            longest = longest.max(s);
        }
        let pushed = entries(&[load::row(1, day_start(), 30)]);
        let (answer, s) = timed(|| runtime.block_on(journal.commit_each(pushed)));
        answer.expect("a commit");
        println!(
            "| {how} | {waited} | {:.0} | {:.0} |",
            longest.max(s) * 1e3,
            began.elapsed().as_secs_f64() * 1e3
        );
    }
}
