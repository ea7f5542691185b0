//! The crash matrix: the daemon killed at every boundary of a commit, files torn at any byte.
//!
//! `make crash-matrix` goes through it at length and prints the table; here are a few of each.

#![cfg(debug_assertions)]

mod disk;
mod recompute;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::frame::Transport;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::store::journal::{Journal, JournalEntry};
use reqwest::Client;

use crate::support::daemon::{Daemon, qiliang};
use crate::support::publisher::payload;
use crate::support::site::Site;

const READINGS: usize = 40;

fn rounds() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a test takes is asked of the environment"
    )]
    let asked = std::env::var("QILIANG_CRASH_ROUNDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn first_at() -> DateTime<Utc> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let now = Utc::now();
    DateTime::from_timestamp(now.timestamp(), 0).unwrap() - TimeDelta::days(2)
}

/// A row of the table; `scripts/crash-matrix` has its head.
fn row(done: &str, rounds: u64, sums: &Sums, also: &str) {
    println!(
        "| {done} | {rounds} | {} | {} | {} | {} | {also} |",
        sums.acknowledged, sums.repeated, sums.lost, sums.twice
    );
}

#[derive(Default)]
struct Sums {
    kills: u64,
    acknowledged: u64,
    repeated: u64,
    lost: usize,
    twice: usize,
}

/// Pushes what is not acknowledged yet, each with its idempotency key, until the daemon is gone or all
/// is said.
async fn push(address: &str, from: DateTime<Utc>, acknowledged: &mut BTreeSet<usize>) -> u64 {
    let client = Client::builder().no_proxy().build().unwrap();
    let mut tried = 0;
    for seq in 0..READINGS {
        if acknowledged.contains(&seq) {
            continue;
        }
        let body = payload(
            0,
            seq,
            from + TimeDelta::minutes(i64::try_from(seq).unwrap()),
        );
        let request = client
            .post(format!("http://{address}/api/v1/readings"))
            .header("content-type", "application/json")
            .header("idempotency-key", format!("key-{seq}"));
        tried += 1;
        match request.body(body).send().await {
            Ok(answer) if answer.status().is_success() => {
                acknowledged.insert(seq);
            }
            Ok(answer) => panic!("answered {}", answer.status()),
            Err(_) => break,
        }
    }
    tried
}

fn stored(dir: &Path, from: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let journal = Journal::open_read_only(dir.join("readings.db"), GasDayClock::default()).unwrap();
    assert_eq!(journal.check().unwrap().damage, []);
    journal
        .readings_between(
            &"M0".into(),
            from - TimeDelta::days(1),
            from + TimeDelta::days(1),
        )
        .unwrap()
        .into_iter()
        .map(|reading| reading.sampled_at)
        .collect()
}

async fn kill_at(file: &str, boundary: &str, count: u64, sums: &mut Sums) {
    let site = Site::new(1);
    let config = site.config("");
    let from = first_at();
    let point = format!("{file}/{boundary}/{count}");
    let vars = [("QILIANG_CRASH_AT", point.as_str())];
    let mut daemon = Daemon::start_with(&config, &site.data_dir(), &vars);
    let mut acknowledged = BTreeSet::new();
    let tried = push(&daemon.address(), from, &mut acknowledged).await;
    crate::support::wait_for("the daemon to be killed by itself", || {
        (!daemon.is_running()).then_some(())
    });
    let before = acknowledged.clone();
    let survivors: BTreeSet<_> = stored(&site.data_dir(), from).into_iter().collect();
    let at = |seq: &usize| from + TimeDelta::minutes(i64::try_from(*seq).unwrap());
    sums.lost += before
        .iter()
        .filter(|seq| !survivors.contains(&at(seq)))
        .count();

    // The meter repeats what it got no answer for; then everything is there, once.
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let again = push(&daemon.address(), from, &mut acknowledged).await;
    assert!(daemon.stop().success());
    let rows = stored(&site.data_dir(), from);
    let distinct: BTreeSet<_> = rows.iter().copied().collect();
    sums.kills += 1;
    sums.acknowledged += before.len() as u64;
    sums.repeated += (tried + again).saturating_sub(READINGS as u64);
    sums.lost += (0..READINGS)
        .filter(|seq| !distinct.contains(&at(seq)))
        .count();
    sums.twice += rows.len() - distinct.len();
    assert_eq!(rows.len(), READINGS, "{point}");
    let config = config.to_str().unwrap();
    let output = qiliang(&["--config", config, "verify", "--all-curves"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{point}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_boundary_of_a_commit_loses_nothing_and_stores_nothing_twice() {
    for file in ["readings.db", "qiliang.db"] {
        for boundary in ["begin", "commit", "answer", "rest"] {
            let mut sums = Sums::default();
            for round in 0..rounds() {
                kill_at(file, boundary, 20 + round * 3, &mut sums).await;
            }
            let done = format!("`kill -9` before {boundary} of {file}");
            row(&done, sums.kills, &sums, "");
            assert_eq!((sums.lost, sums.twice), (0, 0), "{file} {boundary}");
        }
    }
}

fn entries(commit: i64) -> Vec<JournalEntry> {
    (0..50)
        .map(|k| {
            let sampled_at = DateTime::from_timestamp(1_795_219_200 + commit * 600, 0).unwrap();
            let reading = Reading {
                meter: format!("m{k}").as_str().into(),
                sampled_at,
                received_at: sampled_at,
                transport: Transport::Mqtt,
                values: vec![(Item::TotalStd, ItemValue::Exact(commit * 10_000 + k))],
                frozen: Vec::new(),
                alarms: AlarmSet::default(),
            };
            JournalEntry::Reading {
                reading,
                findings: Vec::new(),
            }
        })
        .collect()
}

/// Offsets spread over a file, the same every time.
fn offsets(len: u64, count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(move |n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995) % len.max(1))
}

const SUFFIXES: [&str; 2] = ["", "-wal"];

fn copy(from: &Path, to: &Path) {
    for suffix in SUFFIXES {
        let name = format!("readings.db{suffix}");
        if from.join(&name).exists() {
            fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

/// A torn tail of the log is the end of some commit that nobody was told of: what is before it stays,
/// whole commits only. A torn file is named damaged, never taken for a shorter one.
#[test]
fn a_file_torn_at_any_byte_loses_whole_commits_from_its_end_or_is_named_damaged() {
    const COMMITS: i64 = 30;
    let clock = GasDayClock::default();
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().join("readings.db"), clock).unwrap();
    for commit in 0..COMMITS {
        journal.commit_blocking(entries(commit)).unwrap();
    }
    // As a killed process leaves them: the log not moved to the file yet.
    let killed = tempfile::tempdir().unwrap();
    copy(dir.path(), killed.path());
    let torn = tempfile::tempdir().unwrap();
    copy(killed.path(), torn.path());
    let wal = torn.path().join("readings.db-wal");
    let wal_len = wal.metadata().unwrap().len();
    assert!(wal_len > 100_000);
    let count = 40 * rounds();
    let (mut shorter, mut whole) = (0, 0);
    for offset in offsets(wal_len, count) {
        // From the copy: the open journal moves its rows on after some seconds.
        copy(killed.path(), torn.path());
        File::options()
            .write(true)
            .open(&wal)
            .unwrap()
            .set_len(offset)
            .unwrap();
        // Before the first commit the file is not even a store of any schema; it is made anew.
        let opened = Journal::open(torn.path().join("readings.db"), clock).unwrap();
        let readings = opened.verify().unwrap();
        assert_eq!(readings % 50, 0, "half a commit after a cut at {offset}");
        assert_eq!(opened.counters().unwrap().accepted, readings);
        shorter += u64::from(readings < 50 * COMMITS.unsigned_abs());
        whole += 1;
        drop(opened);
        fs::remove_file(torn.path().join("readings.db")).unwrap();
    }
    println!(
        "| log cut at a random byte | {whole} | – | – | 0 | 0 | {shorter} ended some commits earlier, 0 within one |"
    );
    drop(journal);

    let file = dir.path().join("readings.db");
    let len = file.metadata().unwrap().len();
    let (mut refused, mut named) = (0, 0);
    for offset in offsets(len, count) {
        let one = tempfile::tempdir().unwrap();
        let target = one.path().join("readings.db");
        fs::copy(&file, &target).unwrap();
        let cut = offset.min(len - 1);
        File::options()
            .write(true)
            .open(&target)
            .unwrap()
            .set_len(cut)
            .unwrap();
        if cut == 0 {
            continue;
        }
        let error = Journal::open(&target, clock).unwrap_err();
        assert_eq!(error.code(), "store.damaged", "{cut}: {error}");
        match Journal::open_read_only(&target, clock).and_then(|journal| journal.check()) {
            Err(error) => {
                assert_eq!(error.code(), "store.damaged", "{cut}: {error}");
                refused += 1;
            }
            Ok(check) => {
                assert!(
                    !check.damage.is_empty(),
                    "a cut at {cut} of {len} went unnoticed"
                );
                named += 1;
            }
        }
    }
    println!(
        "| file cut at a random byte | {} | – | – | named | 0 | writing refused by all, reading by {refused}; {named} \
         named by table and day |",
        refused + named
    );
}
