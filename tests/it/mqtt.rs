//! The subscriber against Debian's mosquitto: nothing acknowledged is lost, nothing lost is
//! acknowledged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so"
)]

mod broken;
mod doctor;
mod transports;
mod version;

use std::collections::{BTreeSet, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use qiliang::clock::SystemClock;
use qiliang::collect::Delivery;
use qiliang::collect::mqtt::{MqttError, MqttHealth, MqttHealthSnapshot, Subscription, subscribe};
use qiliang::collect::topic::TopicSet;
use qiliang::settings::{BrokerSettings, BrokerTransport, MqttVersion, TopicSettings};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::mosquitto::Mosquitto;

/// Nothing here takes this long; it only keeps a broken test from hanging.
const FOREVER: Duration = Duration::from_mins(2);

/// Both protocols, one subscriber.
const VERSIONS: [MqttVersion; 2] = [MqttVersion::V311, MqttVersion::V5];

/// Published until the subscription stands.
const PROBE: u32 = 900_000;

/// Where meters publish.
const TEMPLATE: &str = "gas/{company}/{gateway}/{device}/up/reading";

fn settings(port: u16) -> BrokerSettings {
    BrokerSettings {
        name: "test".into(),
        host: "127.0.0.1".into(),
        port,
        version: MqttVersion::V311,
        transport: BrokerTransport::Tcp,
        websocket_path: "/mqtt".into(),
        ca_file: None,
        server_name: None,
        client_cert_file: None,
        client_key_file: None,
        client_pkcs12_file: None,
        client_pkcs12_password_file: None,
        client_id: "qiliang-test".into(),
        username: None,
        password_file: None,
        share_group: None,
        keep_alive_s: 5,
        session_expiry_s: 3_600,
        in_flight_max: 100,
        payload_max_bytes: 1_000,
        retry_delay_min_ms: 20,
        retry_delay_max_ms: 200,
    }
}

fn settings_of(version: MqttVersion, port: u16) -> BrokerSettings {
    BrokerSettings {
        version,
        ..settings(port)
    }
}

fn topics(templates: &[&str]) -> Arc<TopicSet> {
    let settings: Vec<TopicSettings> = templates
        .iter()
        .map(|template| TopicSettings {
            template: (*template).to_owned(),
        })
        .collect();
    Arc::new(TopicSet::new(&settings).unwrap())
}

/// A running subscriber.
struct Rig {
    frames: mpsc::Receiver<Delivery>,
    health: Arc<MqttHealth>,
    topics: watch::Sender<Arc<TopicSet>>,
    stop: CancellationToken,
    task: JoinSet<Result<(), MqttError>>,
    state: Option<TempDir>,
}

/// A subscriber whose memory of its session lasts as long as itself.
fn subscriber(broker: BrokerSettings, queue_len: usize) -> Rig {
    let state = tempfile::tempdir().unwrap();
    let mut rig = subscriber_in(state.path().to_owned(), broker, queue_len, &[TEMPLATE]);
    rig.state = Some(state);
    rig
}

fn subscriber_in(
    state_dir: PathBuf,
    broker: BrokerSettings,
    queue_len: usize,
    templates: &[&str],
) -> Rig {
    let (sender, frames) = mpsc::channel(queue_len);
    let (topics, wanted) = watch::channel(topics(templates));
    let health = Arc::new(MqttHealth::default());
    let stop = CancellationToken::new();
    let mut task = JoinSet::new();
    task.spawn(subscribe(Subscription {
        broker,
        topics: wanted,
        state_dir,
        clock: Arc::new(SystemClock),
        sender,
        health: Arc::clone(&health),
        stop: stop.clone(),
    }));
    Rig {
        frames,
        health,
        topics,
        stop,
        task,
        state: None,
    }
}

impl Rig {
    /// The next message but for those that tried whether the subscription stands; its number is
    /// its payload.
    async fn next(&mut self) -> (u32, Delivery) {
        loop {
            let delivery = tokio::time::timeout(FOREVER, self.frames.recv())
                .await
                .expect("a message comes")
                .expect("the subscriber runs");
            let text = String::from_utf8_lossy(&delivery.frame.bytes);
            match text.parse().unwrap() {
                PROBE => delivery.ack.done(),
                number => return (number, delivery),
            }
        }
    }

    async fn until(&self, holds: impl Fn(&MqttHealthSnapshot) -> bool) -> MqttHealthSnapshot {
        let wait = async {
            loop {
                let now = self.health.snapshot();
                if holds(&now) {
                    return now;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(FOREVER, wait)
            .await
            .unwrap_or_else(|_| panic!("never came true: {:?}", self.health.snapshot()))
    }

    /// Stops in order.
    async fn stop(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(FOREVER, self.task.join_next()).await;
        ended.unwrap().unwrap().unwrap().unwrap();
    }
}

/// Publishes `numbers` at `QoS` 1, over broker failures too, until the broker has acknowledged all.
///
/// In small batches, each begun anew on a new client when the connection is lost, so that what the
/// publisher's library does with its unacknowledged messages has no part in the result.
async fn publish(port: u16, numbers: std::ops::Range<u32>) {
    let mut numbers: VecDeque<u32> = numbers.collect();
    let connect = || {
        let options = MqttOptions::new("meter", "127.0.0.1", port);
        AsyncClient::new(options, 100)
    };
    let (mut client, mut events) = connect();
    'batch: while !numbers.is_empty() {
        let batch = numbers.len().min(20);
        for number in numbers.iter().take(batch) {
            let topic = "gas/xy/gw1/TX-1/up/reading";
            client
                .try_publish(topic, QoS::AtLeastOnce, false, number.to_string())
                .unwrap();
        }
        let mut acknowledged = 0;
        while acknowledged < batch {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => acknowledged += 1,
                Ok(_) => {}
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    (client, events) = connect();
                    continue 'batch;
                }
            }
        }
        numbers.drain(..batch);
    }
}

#[tokio::test]
async fn every_message_arrives_and_is_acknowledged_after_done() {
    for version in VERSIONS {
        every_message_arrives_and_is_acknowledged_after_done_by(version).await;
    }
}

async fn every_message_arrives_and_is_acknowledged_after_done_by(version: MqttVersion) {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let mut rig = subscriber(settings_of(version, broker.port()), 16);
    rig.until(|h| h.is_connected).await;
    // Subscribed once the first message comes through; the session keeps the rest.
    publish_until_received(&mut rig, broker.port()).await;
    let before = rig.health.snapshot();
    let (publishing, mut seen) = (publish(broker.port(), 0..1_000), Vec::new());
    let consuming = async {
        while seen.len() < 1_000 {
            let (number, delivery) = rig.next().await;
            assert_eq!(delivery.frame.device.as_ref().unwrap().as_str(), "TX-1");
            seen.push(number);
            delivery.ack.done();
        }
    };
    tokio::join!(publishing, consuming);
    assert_eq!(seen, (0..1_000).collect::<Vec<u32>>());
    let now = rig
        .until(|h| h.acknowledged == before.acknowledged + 1_000)
        .await;
    assert_eq!(
        (now.received, now.redelivered),
        (before.received + 1_000, 0)
    );
    rig.stop().await;
    // Acknowledged means the broker has forgotten them.
    let again = subscriber(settings_of(version, broker.port()), 16);
    again.until(|h| h.is_connected).await;
    publish(broker.port(), 5_000..5_001).await;
    let mut again = again;
    assert_eq!(again.next().await.0, 5_000);
}

/// A first message, acknowledged: from here on the session exists at the broker.
async fn publish_until_received(rig: &mut Rig, port: u16) {
    let before = rig.health.snapshot();
    loop {
        publish(port, PROBE..PROBE + 1).await;
        let first = tokio::time::timeout(Duration::from_millis(500), rig.frames.recv()).await;
        if let Ok(Some(delivery)) = first {
            delivery.ack.done();
            break;
        }
    }
    // A slow machine may have delivered more than one of them by now.
    rig.until(|h| h.acknowledged > before.acknowledged).await;
    while let Ok(delivery) = rig.frames.try_recv() {
        delivery.ack.done();
    }
    rig.until(|h| h.acknowledged - before.acknowledged == h.received - before.received)
        .await;
}

#[tokio::test]
async fn acknowledged_only_after_commit() {
    for version in VERSIONS {
        acknowledged_only_after_commit_by(version).await;
    }
}

async fn acknowledged_only_after_commit_by(version: MqttVersion) {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let mut rig = subscriber(settings_of(version, broker.port()), 100);
    publish_until_received(&mut rig, broker.port()).await;
    let acknowledged = rig.health.snapshot().acknowledged;
    publish(broker.port(), 0..30).await;
    let mut kept = Vec::new();
    for expected in 0..30 {
        let (number, delivery) = rig.next().await;
        assert_eq!(number, expected);
        if number < 10 {
            delivery.ack.done();
        } else {
            kept.push(delivery);
        }
    }
    rig.until(|h| h.acknowledged == acknowledged + 10).await;
    // As a crash: the task is gone in the middle of everything.
    rig.task.abort_all();
    while rig.task.join_next().await.is_some() {}
    drop(kept);
    publish(broker.port(), 30..40).await;
    let mut rig = subscriber(settings_of(version, broker.port()), 100);
    for expected in 10..40 {
        let (number, delivery) = rig.next().await;
        assert_eq!(number, expected);
        delivery.ack.done();
    }
    let now = rig.until(|h| h.acknowledged == 30).await;
    assert!(now.redelivered >= 20, "{now:?}");
}

#[tokio::test]
async fn an_acknowledgement_dropped_unused_brings_the_message_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let mut rig = subscriber(settings(broker.port()), 100);
    publish_until_received(&mut rig, broker.port()).await;
    publish(broker.port(), 0..3).await;
    let (_, first) = rig.next().await;
    let (_, second) = rig.next().await;
    let (_, third) = rig.next().await;
    third.ack.done();
    first.ack.done();
    drop(second);
    let failed = rig.until(|h| h.last_error.is_some()).await;
    assert!(
        failed
            .last_error
            .as_ref()
            .unwrap()
            .contains("could not be committed"),
        "{failed:?}"
    );
    // The first was acknowledged in order before the break; second and third come again.
    for expected in [1, 2] {
        let (number, delivery) = rig.next().await;
        assert_eq!(number, expected);
        delivery.ack.done();
    }
    let now = rig.until(|h| h.is_connected).await;
    assert_eq!(now.last_error, None);
}

#[tokio::test]
async fn broker_restart_mid_stream_loses_nothing() {
    for version in VERSIONS {
        broker_restart_mid_stream_loses_nothing_by(version).await;
    }
}

async fn broker_restart_mid_stream_loses_nothing_by(version: MqttVersion) {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let port = broker.port();
    let mut rig = subscriber(settings_of(version, port), 8);
    publish_until_received(&mut rig, port).await;
    let mut seen = BTreeSet::new();
    let mut publishing = JoinSet::new();
    publishing.spawn(publish(port, 0..3_000));
    let mut restarts = 0;
    while seen.len() < 3_000 {
        let (number, delivery) = rig.next().await;
        seen.insert(number);
        delivery.ack.done();
        if seen.len() > 600 * (restarts + 1) && restarts < 3 {
            restarts += 1;
            broker.restart();
        }
    }
    assert_eq!(restarts, 3);
    publishing.join_all().await;
    assert_eq!(seen.len(), 3_000);
    let now = rig.until(|h| h.is_connected).await;
    assert!(now.epoch >= 4, "{now:?}");
    rig.stop().await;
}

/// Our old acknowledgements must not meet a new session's packet ids, and we must subscribe anew.
#[tokio::test]
async fn stale_acks_never_reach_a_new_session() {
    for version in VERSIONS {
        stale_acks_never_reach_a_new_session_by(version).await;
    }
}

async fn stale_acks_never_reach_a_new_session_by(version: MqttVersion) {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let port = broker.port();
    let mut rig = subscriber(settings_of(version, port), 100);
    publish_until_received(&mut rig, port).await;
    publish(port, 0..50).await;
    let mut under_way = Vec::new();
    for _ in 0..50 {
        under_way.push(rig.next().await.1);
    }
    let before = rig.health.snapshot();
    broker.kill9();
    rig.until(|h| !h.is_connected).await;
    std::fs::remove_file(dir.path().join("mosquitto.db")).ok();
    broker.run();
    rig.until(|h| h.epoch > before.epoch).await;
    // Committed only now: these belong to the connection that is gone.
    for delivery in under_way {
        delivery.ack.done();
    }
    publish_until_received(&mut rig, port).await;
    publish(port, 100..200).await;
    for expected in 100..200 {
        let (number, delivery) = rig.next().await;
        assert_eq!(number, expected);
        delivery.ack.done();
    }
    // The first message of the new session and the hundred; not one of the fifty.
    let now = rig
        .until(|h| h.acknowledged - before.acknowledged >= 101)
        .await;
    assert_eq!(now.sessions_lost, 1, "{now:?}");
    let notice = now.last_notice.as_ref().unwrap();
    assert!(
        notice.contains("has lost our session `qiliang-test`"),
        "{notice}"
    );
    assert_eq!(
        now.acknowledged - before.acknowledged,
        now.received - before.received
    );
    rig.stop().await;
}

#[tokio::test]
async fn an_unreachable_broker_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let port = broker.port();
    broker.kill9();
    let mut rig = subscriber(settings(port), 8);
    let now = rig.until(|h| h.last_error.is_some()).await;
    let error = now.last_error.unwrap();
    assert!(
        error.contains(&format!(
            "broker `test` at 127.0.0.1:{port} cannot be reached"
        )) && error.contains("check host and port"),
        "{error}"
    );
    assert!(!now.is_connected);
    broker.run();
    publish_until_received(&mut rig, port).await;
    assert_eq!(rig.health.snapshot().last_error, None);
    rig.stop().await;
}

#[tokio::test]
async fn wrong_credentials_are_named_and_tried_again() {
    for version in VERSIONS {
        wrong_credentials_are_named_and_tried_again_by(version).await;
    }
}

async fn wrong_credentials_are_named_and_tried_again_by(version: MqttVersion) {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start_with_password(dir.path(), "qiliang", "right") else {
        return;
    };
    let with = |path: &Path| BrokerSettings {
        username: Some("qiliang".into()),
        password_file: Some(path.to_owned()),
        ..settings_of(version, broker.port())
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"wrong\n").unwrap();
    let rig = subscriber(with(file.path()), 8);
    let error = rig
        .until(|h| h.last_error.is_some())
        .await
        .last_error
        .unwrap();
    assert!(
        error.contains("refuses user `qiliang`") && error.contains("password_file"),
        "{error}"
    );
    assert!(!error.contains("wrong"), "{error}");
    rig.stop().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"right\n").unwrap();
    let rig = subscriber(with(file.path()), 8);
    rig.until(|h| h.is_connected).await;
    rig.stop().await;
    let mut rig = subscriber(with(Path::new("/nonexistent/password")), 8);
    let ended = rig.task.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(ended.code(), "collect.mqtt_password_file");
}

#[tokio::test]
async fn an_oversize_message_is_kept_in_part_and_blocks_nothing() {
    for version in VERSIONS {
        an_oversize_message_is_kept_in_part_and_blocks_nothing_by(version).await;
    }
}

async fn an_oversize_message_is_kept_in_part_and_blocks_nothing_by(version: MqttVersion) {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let mut rig = subscriber(settings_of(version, broker.port()), 8);
    publish_until_received(&mut rig, broker.port()).await;
    let mut options = MqttOptions::new("big", "127.0.0.1", broker.port());
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = AsyncClient::new(options, 10);
    let topic = "gas/xy/gw1/TX-1/up/reading";
    client
        .publish(topic, QoS::AtLeastOnce, false, vec![b'7'; 200_000])
        .await
        .unwrap();
    while !matches!(
        events.poll().await.unwrap(),
        Event::Incoming(Packet::PubAck(_))
    ) {}
    let delivery = tokio::time::timeout(FOREVER, rig.frames.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(delivery.frame.bytes.len(), 1_000);
    assert_eq!(delivery.frame.device, None);
    assert_eq!(
        delivery.frame.origin,
        format!("{topic} (200000 bytes, first 1000 kept)")
    );
    delivery.ack.done();
    publish(broker.port(), 1..2).await;
    assert_eq!(rig.next().await.0, 1);
}

/// Waits until the broker has thrown out a client that lets its keep-alive of one second pass, and
/// with it whoever has been silent for as long; mosquitto looks only every few seconds.
async fn outlast_a_silent_client(port: u16) {
    let mut silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connect = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x01\x00\x06silent";
    silent.write_all(connect).await.unwrap();
    let mut answers = Vec::new();
    let ended = tokio::time::timeout(FOREVER, silent.read_to_end(&mut answers)).await;
    ended.expect("the broker minds the keep-alive").ok();
    assert_eq!(answers, b"\x20\x02\x00\x00", "accepted, then closed");
}

/// Ingest that stands still for longer than the keep-alive must not cost the connection.
#[tokio::test]
async fn a_stalled_ingest_keeps_the_connection_alive() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let mut rig = subscriber(
        BrokerSettings {
            keep_alive_s: 1,
            ..settings(broker.port())
        },
        1,
    );
    publish_until_received(&mut rig, broker.port()).await;
    publish(broker.port(), 0..60).await;
    outlast_a_silent_client(broker.port()).await;
    goes_on_undisturbed(rig, broker.port()).await;
}

/// The same with a broker that sends more than the window: nothing is read then, not even its answer
/// to a ping, and yet it must hear from us.
#[tokio::test]
async fn a_full_window_keeps_the_connection_alive() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let mut rig = subscriber(
        BrokerSettings {
            keep_alive_s: 1,
            in_flight_max: 20,
            ..settings(broker.port())
        },
        1,
    );
    publish_until_received(&mut rig, broker.port()).await;
    let before = rig.health.snapshot();
    publish(broker.port(), 0..60).await;
    // One more than the window is read, and no further.
    rig.until(|h| h.received - before.received == 21).await;
    // Once for the silence before the first ping, once for that after it.
    outlast_a_silent_client(broker.port()).await;
    outlast_a_silent_client(broker.port()).await;
    assert_eq!(rig.health.snapshot().received - before.received, 21);
    goes_on_undisturbed(rig, broker.port()).await;
}

/// Sixty messages published before, and one more, all over the first connection.
async fn goes_on_undisturbed(mut rig: Rig, port: u16) {
    for expected in 0..61 {
        if expected == 60 {
            publish(port, 60..61).await;
        }
        let (number, delivery) = rig.next().await;
        assert_eq!(number, expected);
        delivery.ack.done();
    }
    let now = rig.until(|h| h.acknowledged == h.received).await;
    assert_eq!((now.epoch, now.redelivered), (1, 0), "{now:?}");
    rig.stop().await;
}
