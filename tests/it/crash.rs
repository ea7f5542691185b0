//! Nothing acknowledged is lost: the daemon killed ten times, the broker restarted mid-stream.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::id::MeterId;
use qiliang::store::journal::Journal;

use crate::support::daemon::Daemon;
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher::{Acknowledged, Key, publish_all};
use crate::support::site::{self, Site};
use crate::support::{skipped, wait_for};

const DEVICES: usize = 20;

fn first_at() -> DateTime<Utc> {
    // Recent, so that no reading is stale or from the future; whole seconds, as on the wire.
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let now = Utc::now();
    DateTime::from_timestamp(now.timestamp(), 0).unwrap() - TimeDelta::days(3)
}

fn stored(journal: &Journal, from: DateTime<Utc>) -> Vec<Key> {
    (0..DEVICES)
        .flat_map(|device| {
            let meter = MeterId::from(format!("M{device}").as_str());
            journal
                .readings_between(
                    &meter,
                    from - TimeDelta::days(1),
                    from + TimeDelta::days(10),
                )
                .unwrap()
                .into_iter()
                .map(move |reading| (device, reading.sampled_at))
        })
        .collect()
}

fn wait_until_drained(site: &Site, expected: usize) {
    let path = site.data_dir().join("readings.db");
    wait_for("the journal to hold every acknowledged reading", || {
        let journal = Journal::open_read_only(&path, GasDayClock::default()).ok()?;
        let counters = journal.counters().ok()?;
        (counters.accepted >= expected as u64).then_some(())
    });
}

fn assert_exactly_once(site: &Site, from: DateTime<Utc>, acknowledged: &BTreeSet<Key>) {
    let path = site.data_dir().join("readings.db");
    let journal = Journal::open_read_only(path, GasDayClock::default()).unwrap();
    let rows = stored(&journal, from);
    let set: BTreeSet<Key> = rows.iter().copied().collect();
    assert_eq!(rows.len(), set.len(), "a reading is stored twice");
    let lost: Vec<_> = acknowledged.difference(&set).take(5).collect();
    assert!(lost.is_empty(), "acknowledged and not stored: {lost:?} …");
    let invented: Vec<_> = set.difference(acknowledged).take(5).collect();
    assert!(
        invented.is_empty(),
        "stored and never published: {invented:?} …"
    );
    let counters = journal.counters().unwrap();
    assert_eq!(
        counters.accepted + counters.duplicate + counters.rejected,
        counters.received
    );
    assert_eq!(counters.rejected, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_in_full_flow_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(None, dir.path()) else {
        return skipped("mosquitto not found: apt-get install mosquitto");
    };
    let site = Site::new(DEVICES);
    let config = site.config(&site::broker(broker.port()));
    let from = first_at();
    let acknowledged = Acknowledged::default();
    // The subscription must exist before the first message, or the broker has nobody to keep it for.
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    wait_for("the subscription", || {
        daemon.log().contains("Subscribed to").then_some(())
    });
    let publishing = tokio::spawn(publish_all(
        broker.port(),
        DEVICES,
        800,
        Duration::from_millis(10),
        from,
        acknowledged.clone(),
    ));
    for round in 1..=10 {
        let before = acknowledged.len();
        tokio::task::block_in_place(|| {
            wait_for("more messages in flight", || {
                (acknowledged.len() >= before + 400 || publishing.is_finished()).then_some(())
            });
        });
        assert!(
            !publishing.is_finished(),
            "the load ended before kill number {round}; nothing was in flight"
        );
        daemon.kill();
        daemon = Daemon::start(&config, &site.data_dir());
        daemon.address();
    }
    publishing.await.unwrap();
    let keys = acknowledged.keys();
    assert_eq!(keys.len(), DEVICES * 800);
    tokio::task::block_in_place(|| wait_until_drained(&site, keys.len()));
    assert!(daemon.is_running());
    assert!(daemon.stop().success());
    assert_exactly_once(&site, from, &keys);
    broker.kill9();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_restarted_mid_stream_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(None, dir.path()) else {
        return skipped("mosquitto not found: apt-get install mosquitto");
    };
    let site = Site::new(DEVICES);
    let config = site.config(&site::broker(broker.port()));
    let from = first_at();
    let acknowledged = Acknowledged::default();
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    wait_for("the subscription", || {
        daemon.log().contains("Subscribed to").then_some(())
    });
    let publishing = tokio::spawn(publish_all(
        broker.port(),
        DEVICES,
        300,
        Duration::from_millis(10),
        from,
        acknowledged.clone(),
    ));
    for _ in 0..3 {
        let before = acknowledged.len();
        tokio::task::block_in_place(|| {
            wait_for("more messages in flight", || {
                (acknowledged.len() >= before + 500 || publishing.is_finished()).then_some(())
            });
            broker.restart();
        });
    }
    publishing.await.unwrap();
    let keys = acknowledged.keys();
    assert_eq!(keys.len(), DEVICES * 300);
    tokio::task::block_in_place(|| wait_until_drained(&site, keys.len()));
    assert!(daemon.is_running(), "{}", daemon.log());
    assert!(daemon.stop().success());
    assert_exactly_once(&site, from, &keys);
    broker.kill9();
}
