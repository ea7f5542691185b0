//! What breaks between a broker and us: sessions, networks, names taken twice.

use std::collections::BTreeSet;
use std::time::Duration;

use qiliang::settings::{BrokerSettings, MqttVersion};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::task::JoinSet;

use super::{
    FOREVER, Rig, TEMPLATE, VERSIONS, publish, settings_of, subscriber, subscriber_in, topics,
};
use crate::support::mosquitto::Mosquitto;
use crate::support::proxy::{Line, Proxy};

/// Publishes one message of any text to any topic.
async fn publish_to(port: u16, topic: &str, text: &str) {
    let options = MqttOptions::new("other-meter", "127.0.0.1", port);
    let (client, mut events) = AsyncClient::new(options, 10);
    client
        .publish(topic, QoS::AtLeastOnce, false, text)
        .await
        .unwrap();
    while !matches!(
        events.poll().await.unwrap(),
        Event::Incoming(Packet::PubAck(_))
    ) {}
}

/// Takes messages until all of `0..count` have been seen.
async fn take_all(rig: &mut Rig, count: u32) {
    let mut seen = BTreeSet::new();
    while seen.len() < count as usize {
        let (number, delivery) = rig.next().await;
        seen.insert(number);
        delivery.ack.done();
    }
}

#[tokio::test]
async fn client_never_wedges_after_lost_session() {
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let Some(mut broker) = Mosquitto::start(None, dir.path()) else {
            return;
        };
        let port = broker.port();
        let mut rig = subscriber(settings_of(version, port), 8);
        for round in 0..5_u32 {
            rig.until(|h| h.is_subscribed && h.sessions_lost == u64::from(round))
                .await;
            // More than the queue holds, half of it unacknowledged when the broker dies.
            let first = 1_000 * round;
            publish(port, first..first + 60).await;
            let mut kept = Vec::new();
            for _ in 0..30 {
                kept.push(rig.next().await.1);
            }
            broker.kill9();
            rig.until(|h| !h.is_connected).await;
            std::fs::remove_file(dir.path().join("mosquitto.db")).ok();
            // What was handed on before the end is still in the queue; it belongs to the past.
            while rig.frames.try_recv().is_ok() {}
            drop(kept);
            broker.run();
        }
        rig.until(|h| h.is_subscribed && h.sessions_lost == 5).await;
        publish(port, 0..200).await;
        take_all(&mut rig, 200).await;
        rig.stop().await;
    }
}

#[tokio::test]
async fn network_cut_at_either_end_recovers_and_loses_nothing() {
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let Some(broker) = Mosquitto::start(None, dir.path()) else {
            return;
        };
        let ours = Proxy::start(broker.port()).await;
        let meters = Proxy::start(broker.port()).await;
        let mut rig = subscriber(
            BrokerSettings {
                keep_alive_s: 1,
                ..settings_of(version, ours.port())
            },
            8,
        );
        rig.until(|h| h.is_subscribed).await;
        let mut publishing = JoinSet::new();
        publishing.spawn(publish(meters.port(), 0..4_000));
        let mut seen = BTreeSet::new();
        let storms = [
            (500, &ours, Line::Cut),
            (1_200, &ours, Line::Holds),
            (2_000, &meters, Line::Cut),
            (2_800, &ours, Line::Cut),
        ];
        for (after, place, line) in storms {
            while seen.len() < after {
                let (number, delivery) = rig.next().await;
                seen.insert(number);
                delivery.ack.done();
            }
            let before = rig.health.snapshot();
            place.set(line);
            if std::ptr::eq(place, &raw const ours) {
                // Noticed though not a byte comes: that is what the ping is for. The queue is
                // emptied meanwhile, since a subscriber that may not read cannot notice.
                let noticed = async {
                    while rig.health.snapshot().is_connected {
                        if let Ok(delivery) = rig.frames.try_recv() {
                            let text = String::from_utf8_lossy(&delivery.frame.bytes);
                            seen.insert(text.parse().unwrap());
                            delivery.ack.done();
                        } else {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                    }
                };
                tokio::time::timeout(FOREVER, noticed).await.unwrap();
                place.set(Line::Up);
                let epoch = before.epoch;
                rig.until(|h| h.epoch > epoch).await;
            } else {
                // Long enough for the meters to notice; they begin their batch anew.
                tokio::time::sleep(Duration::from_millis(50)).await;
                place.set(Line::Up);
            }
        }
        while seen.len() < 4_000 {
            let (number, delivery) = rig.next().await;
            seen.insert(number);
            delivery.ack.done();
        }
        publishing.join_all().await;
        let now = rig.health.snapshot();
        assert!(now.epoch >= 4 && now.sessions_lost == 0, "{now:?}");
        // What the last cut brought a second time lies before this one.
        publish(broker.port(), 9_998..9_999).await;
        loop {
            let (number, delivery) = rig.next().await;
            delivery.ack.done();
            if number == 9_998 {
                break;
            }
        }
        rig.stop().await;
        // All of them are acknowledged: nothing comes before the next one.
        let mut rig = subscriber(settings_of(version, broker.port()), 8);
        publish(broker.port(), 9_999..10_000).await;
        assert_eq!(rig.next().await.0, 9_999);
        rig.stop().await;
    }
}

#[tokio::test]
async fn persistent_session_surprises() {
    const OTHER: &str = "old/{device}";
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let state = tempfile::tempdir().unwrap();
        let Some(mut broker) = Mosquitto::start(None, dir.path()) else {
            return;
        };
        let port = broker.port();
        let start = |templates: &[&str]| {
            let settings = settings_of(version, port);
            subscriber_in(state.path().to_owned(), settings, 100, templates)
        };
        let mut rig = start(&[TEMPLATE, OTHER]);
        rig.until(|h| h.is_subscribed).await;
        publish_to(port, "old/TX-9", "1").await;
        let (number, delivery) = rig.next().await;
        assert_eq!(number, 1);
        delivery.ack.done();
        rig.until(|h| h.acknowledged == 1).await;
        rig.stop().await;

        // The configuration changes while the daemon is down; the broker still has both filters.
        let mut rig = start(&[TEMPLATE]);
        rig.until(|h| h.is_subscribed).await;
        publish_to(port, "old/TX-9", "2").await;
        publish(port, 3..4).await;
        let (number, delivery) = rig.next().await;
        assert_eq!(number, 3, "the old filter is still subscribed");
        delivery.ack.done();

        // It changes under way.
        rig.topics.send_replace(topics(&[TEMPLATE, OTHER]));
        let mut number = 0;
        while number != 5 {
            publish_to(port, "old/TX-9", "5").await;
            let next = tokio::time::timeout(Duration::from_millis(200), rig.next()).await;
            if let Ok((received, delivery)) = next {
                number = received;
                delivery.ack.done();
            }
        }
        rig.stop().await;

        // The session is lost while the daemon is down: it remembers that there was one.
        broker.kill9();
        std::fs::remove_file(dir.path().join("mosquitto.db")).ok();
        broker.run();
        let rig = start(&[TEMPLATE, OTHER]);
        let now = rig.until(|h| h.is_subscribed).await;
        assert_eq!(now.sessions_lost, 1);
        let notice = now.last_notice.unwrap();
        assert!(notice.contains("session expiry"), "{notice}");
        rig.stop().await;
    }
}

#[tokio::test]
async fn two_daemons_with_one_client_id_are_told() {
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let Some(broker) = Mosquitto::start(None, dir.path()) else {
            return;
        };
        let one = subscriber(settings_of(version, broker.port()), 8);
        one.until(|h| h.is_subscribed).await;
        let two = subscriber(settings_of(version, broker.port()), 8);
        // Mosquitto 2.0.11 closes the older connection without a word in MQTT 5 too; a broker that
        // gives the reason (session taken over) is told of at the first time.
        let mentions = |error: Option<&String>| {
            error.is_some_and(|text| text.contains("two programs use client_id `qiliang-test`"))
        };
        let told = async {
            loop {
                let (a, b) = (one.health.snapshot(), two.health.snapshot());
                if mentions(a.last_error.as_ref()) || mentions(b.last_error.as_ref()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let told = tokio::time::timeout(FOREVER, told).await;
        told.unwrap_or_else(|_| panic!("{:?} {:?}", one.health.snapshot(), two.health.snapshot()));
        two.stop().await;
        one.until(|h| h.is_subscribed).await;
        one.stop().await;
    }
}

/// With MQTT 5 the broker keeps to our window although its own is wider, and nothing stalls.
#[tokio::test]
async fn mqtt5_receive_maximum_is_respected() {
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return;
    };
    let mut rig = subscriber(
        BrokerSettings {
            in_flight_max: 10,
            ..settings_of(MqttVersion::V5, broker.port())
        },
        1_000,
    );
    rig.until(|h| h.is_subscribed).await;
    publish(broker.port(), 0..100).await;
    let mut kept = Vec::new();
    for _ in 0..10 {
        kept.push(rig.next().await.1);
    }
    // A ping goes to and fro meanwhile: the connection lives, but no eleventh message comes.
    let eleventh = tokio::time::timeout(Duration::from_secs(1), rig.frames.recv()).await;
    assert!(eleventh.is_err(), "more than ten are in flight");
    let mut expected = 10;
    for delivery in kept {
        delivery.ack.done();
    }
    while expected < 100 {
        let (number, delivery) = rig.next().await;
        assert_eq!(number, expected);
        delivery.ack.done();
        expected += 1;
    }
    let now = rig.until(|h| h.acknowledged == 100).await;
    assert_eq!((now.epoch, now.redelivered), (1, 0));
    rig.stop().await;
}

#[tokio::test]
async fn shared_subscription_shares_without_loss() {
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let Some(broker) = Mosquitto::start(None, dir.path()) else {
            return;
        };
        let member = |client_id: &str| {
            subscriber(
                BrokerSettings {
                    client_id: client_id.into(),
                    share_group: Some("collectors".into()),
                    ..settings_of(version, broker.port())
                },
                100,
            )
        };
        let (mut one, mut two) = (member("qiliang-1"), member("qiliang-2"));
        one.until(|h| h.is_subscribed).await;
        two.until(|h| h.is_subscribed).await;
        let mut publishing = JoinSet::new();
        publishing.spawn(publish(broker.port(), 0..2_000));
        let mut seen = [BTreeSet::new(), BTreeSet::new()];
        while seen[0].len() + seen[1].len() < 2_000 {
            let (who, (number, delivery)) = tokio::select! {
                next = one.next() => (0, next),
                next = two.next() => (1, next),
            };
            assert!(seen[who].insert(number), "{number} came twice to {who}");
            delivery.ack.done();
        }
        publishing.join_all().await;
        let both: BTreeSet<u32> = seen[0].union(&seen[1]).copied().collect();
        assert_eq!(both, (0..2_000).collect());
        assert!(seen[0].len() > 200 && seen[1].len() > 200, "not shared");
        // One dies: what it had not acknowledged and all that comes goes to the other.
        two.task.abort_all();
        while two.task.join_next().await.is_some() {}
        drop(two);
        one.stop().await;
    }
}
