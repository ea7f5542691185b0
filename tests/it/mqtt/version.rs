//! One session, two versions of the protocol.

use std::collections::BTreeSet;

use qiliang::settings::MqttVersion;

use super::{TEMPLATE, publish, publish_until_received, settings_of, subscriber_in};
use crate::support::mosquitto::Mosquitto;

/// A backlog of twenty windows.
const BACKLOG: u32 = 2_000;

/// Whoever changes `version` keeps the session, and what it holds: a queue, and messages in flight,
/// of which mosquitto 2.0 has more than the window once the first acknowledgements have come.
#[tokio::test]
async fn changing_the_mqtt_version_loses_nothing_and_does_not_stall() {
    for (old, new) in [
        (MqttVersion::V311, MqttVersion::V5),
        (MqttVersion::V5, MqttVersion::V311),
    ] {
        changing_the_mqtt_version_loses_nothing_and_does_not_stall_by(old, new).await;
    }
}

async fn changing_the_mqtt_version_loses_nothing_and_does_not_stall_by(
    old: MqttVersion,
    new: MqttVersion,
) {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let port = broker.port();
    let state = tempfile::tempdir().unwrap();
    let start = |version| {
        let broker = settings_of(version, port);
        subscriber_in(state.path().to_owned(), broker, 16, &[TEMPLATE])
    };
    let mut rig = start(old);
    publish_until_received(&mut rig, port).await;
    rig.stop().await;
    publish(port, 0..BACKLOG).await;

    // The old version takes a few windows of it and dies with more under way.
    let mut rig = start(old);
    let mut seen = BTreeSet::new();
    while seen.len() < 250 {
        let (number, delivery) = rig.next().await;
        seen.insert(number);
        delivery.ack.done();
    }
    let (_, under_way) = rig.next().await;
    rig.until(|h| h.acknowledged >= 250 && h.received > h.acknowledged)
        .await;
    rig.task.abort_all();
    while rig.task.join_next().await.is_some() {}
    drop((under_way, rig));

    // The new one has its window full, and perhaps the SUBACK behind it, before ingest takes any.
    let mut rig = start(new);
    rig.until(|h| h.received >= 100).await;
    while seen.len() < BACKLOG as usize {
        let (number, delivery) = rig.next().await;
        seen.insert(number);
        delivery.ack.done();
    }
    assert_eq!(seen, (0..BACKLOG).collect::<BTreeSet<u32>>());
    let now = rig
        .until(|h| h.is_subscribed && h.acknowledged == h.received)
        .await;
    assert_eq!(
        (now.epoch, now.sessions_lost, &now.last_notice),
        (1, 0, &None),
        "{now:?}"
    );
    rig.stop().await;

    // And back, with nothing left over from before.
    let mut rig = start(old);
    publish(port, BACKLOG..BACKLOG + 50).await;
    for expected in BACKLOG..BACKLOG + 50 {
        let (number, delivery) = rig.next().await;
        assert_eq!(number, expected);
        delivery.ack.done();
    }
    let now = rig.until(|h| h.is_subscribed && h.acknowledged == 50).await;
    assert_eq!((now.received, now.redelivered), (50, 0), "{now:?}");
    rig.stop().await;
}
