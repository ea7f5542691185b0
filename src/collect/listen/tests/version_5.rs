//! MQTT 5: our terms, refusals in their turn, reasons for a cut.

use super::*;

/// A client of MQTT 5.
fn client5(
    address: SocketAddr,
    id: &str,
    login: Option<(&str, &str)>,
) -> (rumqttc::v5::AsyncClient, rumqttc::v5::EventLoop) {
    let mut options = rumqttc::v5::MqttOptions::new(id, address.ip().to_string(), address.port());
    options.set_clean_start(false);
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
    rumqttc::v5::AsyncClient::new(options, 100)
}

/// Polls until a PUBACK of MQTT 5 comes.
async fn puback5(events: &mut rumqttc::v5::EventLoop) {
    loop {
        let event = events.poll().await;
        if matches!(event, Ok(Event5::Incoming(packets5::Packet::PubAck(_)))) {
            return;
        }
    }
}

type Event5 = rumqttc::v5::Event;
use rumqttc::v5::mqttbytes::v5 as packets5;

#[tokio::test]
async fn a_client_of_mqtt_5_is_told_our_terms_and_acknowledged_after_the_commit() {
    let mut rig = rig(settings(), 10).await;
    let (client, mut events) = client5(rig.address, "m5", None);
    let Event5::Incoming(packets5::Packet::ConnAck(ack)) = events.poll().await.unwrap() else {
        panic!("no CONNACK")
    };
    let terms = ack.properties.unwrap();
    assert!(ack.session_present);
    assert_eq!((terms.receive_max, terms.max_qos), (Some(64), Some(1)));
    assert_eq!(terms.max_packet_size, Some(1_000 + 65_540 + 5));
    client
        .publish(
            TOPIC,
            rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
            false,
            "five",
        )
        .await
        .unwrap();
    let delivery = tokio::select! {
        delivery = frame(&mut rig.frames) => delivery,
        () = puback5(&mut events) => panic!("acknowledged too early"),
    };
    assert_eq!(delivery.frame.bytes, "five");
    assert_eq!(delivery.frame.device.unwrap().as_str(), "TX-1");
    delivery.ack.done();
    loop {
        if let Event5::Incoming(packets5::Packet::PubAck(ack)) = events.poll().await.unwrap() {
            assert_eq!(ack.reason, packets5::PubAckReason::Success);
            break;
        }
    }
}

#[tokio::test]
async fn mqtt_5_refuses_one_message_in_its_turn_and_keeps_the_connection() {
    let mut rig = rig_with(settings(), 10, Some(users("TX-1:a\n"))).await;
    let (client, mut events) = client5(rig.address, "m5", Some(("TX-1", "a")));
    for topic in [TOPIC, OTHER, TOPIC] {
        client
            .publish(topic, rumqttc::v5::mqttbytes::QoS::AtLeastOnce, false, "x")
            .await
            .unwrap();
    }
    let mut held = Vec::new();
    let mut reasons = Vec::new();
    while reasons.len() < 3 {
        tokio::select! {
            delivery = frame(&mut rig.frames) => {
                held.push(delivery);
                if held.len() == 2 {
                    // The later one first: the answers keep the order of arrival.
                    held.drain(..).rev().for_each(|d| d.ack.done());
                }
            }
            event = events.poll() => {
                if let Event5::Incoming(packets5::Packet::PubAck(ack)) = event.unwrap() {
                    reasons.push((ack.pkid, ack.reason));
                }
            }
        }
    }
    assert_eq!(
        reasons,
        [
            (1, packets5::PubAckReason::Success),
            (2, packets5::PubAckReason::NotAuthorized),
            (3, packets5::PubAckReason::Success),
        ]
    );
    let words = refusal(&rig, 1).await;
    assert!(words.contains(OTHER), "{words}");
    assert_eq!(rig.health.snapshot().received, 2);
}

#[tokio::test]
async fn mqtt_5_is_told_why_it_is_cut_off() {
    let rig = rig(settings(), 10).await;
    let hello = connect("m5", 5);
    let connack_len = 2 + 3 + 16;
    // QoS 2; then a DISCONNECT without a reason, as clients of MQTT 5 say goodbye.
    let mut two = TcpStream::connect(rig.address).await.unwrap();
    two.write_all(&hello).await.unwrap();
    two.write_all(&[0x34, 7, 0, 1, b'a', 0, 1, 0, b'x'])
        .await
        .unwrap();
    let answer = rest(&mut two).await;
    assert_eq!(answer[connack_len..], [0xE0, 2, 0x9B, 0]);
    let mut polite = TcpStream::connect(rig.address).await.unwrap();
    polite.write_all(&hello).await.unwrap();
    polite.write_all(&[0xE0, 0]).await.unwrap();
    assert_eq!(rest(&mut polite).await.len(), connack_len);
    // Taken over by a newer connection.
    let mut old = TcpStream::connect(rig.address).await.unwrap();
    old.write_all(&hello).await.unwrap();
    let mut first = [0; 21];
    old.read_exact(&mut first).await.unwrap();
    raw(rig.address, "m5").await;
    assert_eq!(rest(&mut old).await, [0xE0, 2, 0x8E, 0]);
    refusal(&rig, 1).await;
    assert_eq!(rig.health.snapshot().refused, 1);
}
