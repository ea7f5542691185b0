//! Backups made beside the running daemon, while readings are pushed to it, and put back.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::store::journal::Journal;
use reqwest::{Client, StatusCode};

use crate::support::daemon::{Daemon, qiliang};
use crate::support::publisher::payload;
use crate::support::site::Site;
use crate::support::wait_for;

fn run(config: &Path, arguments: &[&str]) -> Output {
    let config = config.to_str().unwrap();
    qiliang(&[&["--config", config], arguments].concat())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn accepted(path: &Path) -> u64 {
    Journal::open_read_only(path.join("readings.db"), GasDayClock::default())
        .and_then(|journal| journal.counters())
        .unwrap()
        .accepted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_the_daemon_has_all_it_acknowledged_before_and_can_be_put_back() {
    let site = Site::new(3);
    let config = site.config("");
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let url = format!("http://{}/api/v1/readings", daemon.address());
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let from = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap() - TimeDelta::days(2);

    let acknowledged = Arc::new(AtomicU64::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let pushing = tokio::spawn({
        let (acknowledged, is_over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
        async move {
            let client = Client::builder().no_proxy().build().unwrap();
            let mut seq = 0_i64;
            while !is_over.load(Ordering::SeqCst) && seq < 50_000 {
                let at = from + TimeDelta::seconds(seq);
                let body = payload(0, usize::try_from(seq).unwrap(), at);
                let request = client.post(&url).header("content-type", "application/json");
                let answer = request.body(body).send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::ACCEPTED);
                seq += 1;
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    wait_for("a hundred readings", || {
        (acknowledged.load(Ordering::SeqCst) >= 100).then_some(())
    });

    let copy = site.path().join("copies").join("one");
    let before = acknowledged.load(Ordering::SeqCst);
    let output = run(&config, &["backup", copy.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    wait_for("more readings after the backup", || {
        (acknowledged.load(Ordering::SeqCst) >= before + 50).then_some(())
    });
    let again = run(&config, &["backup", copy.to_str().unwrap()]);
    assert!(!again.status.success());
    assert!(said(&again).contains("exists already"), "{}", said(&again));

    // Not under a running daemon, whatever is asked.
    let under = run(&config, &["restore", copy.to_str().unwrap(), "--replace"]);
    assert!(!under.status.success());
    assert!(
        said(&under).contains("another process has it open"),
        "{}",
        said(&under)
    );

    is_over.store(true, Ordering::SeqCst);
    pushing.await.unwrap();
    assert!(daemon.stop().success());
    let all = accepted(&site.data_dir());
    assert_eq!(all, acknowledged.load(Ordering::SeqCst));

    let refused = run(&config, &["restore", copy.to_str().unwrap()]);
    assert!(
        said(&refused).contains("holds a store already"),
        "{}",
        said(&refused)
    );
    let checked = run(&config, &["restore", copy.to_str().unwrap(), "--check"]);
    assert!(checked.status.success(), "{}", said(&checked));
    let restored = run(&config, &["restore", copy.to_str().unwrap(), "--replace"]);
    assert!(restored.status.success(), "{}", said(&restored));

    // The daemon goes on from the backup; what was there is beside it, whole.
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    assert!(daemon.stop().success());
    let kept = accepted(&site.data_dir());
    assert!((before..all).contains(&kept), "{before} {kept} {all}");
    let verified = run(&config, &["verify"]);
    assert!(verified.status.success(), "{}", said(&verified));
    let aside = fs::read_dir(site.data_dir())
        .unwrap()
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("replaced-"))
        })
        .unwrap();
    assert_eq!(accepted(&aside), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_clean_stop_each_file_alone_is_all_of_its_store() {
    let site = Site::new(2);
    let config = site.config("");
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let from = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap() - TimeDelta::days(2);
    let client = Client::builder().no_proxy().build().unwrap();
    for seq in 0..60 {
        let body = payload(
            seq % 2,
            seq,
            from + TimeDelta::minutes(i64::try_from(seq).unwrap()),
        );
        let request = client
            .post(format!("http://{address}/api/v1/readings"))
            .header("content-type", "application/json");
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }
    // Somebody looks at it meanwhile, so that readers have the files open, too.
    let seen = client.get(format!("http://{address}/api/v1/overview"));
    assert!(seen.send().await.unwrap().status().is_success());
    assert!(site.data_dir().join("readings.db-wal").exists());
    assert!(daemon.stop().success());
    let copied = tempfile::tempdir().unwrap();
    for name in ["readings.db", "qiliang.db"] {
        for rest in ["-wal", "-shm"] {
            let beside = site.data_dir().join(format!("{name}{rest}"));
            assert!(!beside.exists(), "{beside:?}");
        }
        fs::copy(site.data_dir().join(name), copied.path().join(name)).unwrap();
    }
    assert_eq!(accepted(copied.path()), 60);
}
