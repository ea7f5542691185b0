mod version_5;

use std::io::Write as _;

use chrono::{DateTime, Utc};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::clock::ManualClock;
use crate::domain::frame::Transport;
use crate::settings::TopicSettings;

/// Nothing here takes this long; it only keeps a broken test from hanging.
const FOREVER: Duration = Duration::from_mins(1);

struct Rig {
    address: SocketAddr,
    frames: mpsc::Receiver<Delivery>,
    health: Arc<ListenHealth>,
    stop: CancellationToken,
    server: JoinSet<Result<(), ListenError>>,
}

fn settings() -> ListenSettings {
    ListenSettings {
        enabled: true,
        address: "127.0.0.1:0".parse().unwrap(),
        connections_max: 10,
        payload_max_bytes: 1_000,
        connect_timeout_s: 60,
        tls_address: None,
        tls: None,
        connects_per_minute: 0,
        messages_per_s: 0,
        user_messages_per_s: 0,
        messages_burst: 1,
        users_file: None,
    }
}

fn topics() -> Arc<TopicSet> {
    let template = "gas/{company}/{gateway}/{device}/up/reading".to_owned();
    Arc::new(TopicSet::new(&[TopicSettings { template }]).unwrap())
}

fn noon() -> DateTime<Utc> {
    "2026-11-21T04:00:00Z".parse().unwrap()
}

async fn rig(settings: ListenSettings, queue_len: usize) -> Rig {
    rig_with(settings, queue_len, None).await
}

fn users(text: &str) -> Arc<CredentialFile<Users>> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Arc::new(CredentialFile::load(file.path()).unwrap())
}

async fn rig_with(
    settings: ListenSettings,
    queue_len: usize,
    users: Option<Arc<CredentialFile<Users>>>,
) -> Rig {
    let listener = TcpListener::bind(settings.address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, frames) = mpsc::channel(queue_len);
    let health = Arc::new(ListenHealth::default());
    let stop = CancellationToken::new();
    let mut server = JoinSet::new();
    server.spawn(serve(
        Ports::plain(listener),
        settings,
        users,
        topics(),
        Arc::new(ManualClock::new(noon())),
        sender,
        Arc::clone(&health),
        stop.clone(),
    ));
    Rig {
        address,
        frames,
        health,
        stop,
        server,
    }
}

fn client(address: SocketAddr, id: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, address.ip().to_string(), address.port());
    options
        .set_clean_session(false)
        .set_max_packet_size(1 << 20, 1 << 20);
    AsyncClient::new(options, 100)
}

/// Polls until a PUBACK comes.
async fn puback(events: &mut EventLoop) -> u16 {
    loop {
        if let Event::Incoming(Packet::PubAck(ack)) = events.poll().await.unwrap() {
            return ack.pkid;
        }
    }
}

async fn frame(frames: &mut mpsc::Receiver<Delivery>) -> Delivery {
    tokio::time::timeout(FOREVER, frames.recv())
        .await
        .unwrap()
        .unwrap()
}

/// A connection closed without an answer.
const NOTHING: [u8; 0] = [];

const TOPIC: &str = "gas/xy/gw1/TX-1/up/reading";

#[tokio::test]
async fn puback_comes_after_the_commit_and_not_before() {
    let mut rig = rig(settings(), 10).await;
    let mut stream = raw(rig.address, "m1").await;
    stream.write_all(&publish(1, b"one")).await.unwrap();
    let delivery = frame(&mut rig.frames).await;
    assert_eq!(delivery.frame.bytes, "one");
    assert_eq!(delivery.frame.device.unwrap().as_str(), "TX-1");
    assert_eq!(delivery.frame.origin, TOPIC);
    assert_eq!(delivery.frame.transport, Transport::Mqtt);
    assert_eq!(delivery.frame.received_at, noon());
    // A ping behind the message on the same connection is answered: had there been an acknowledgement, it
    // would have come before.
    stream.write_all(&[0xC0, 0]).await.unwrap();
    assert_eq!(read_exactly::<2>(&mut stream).await, [0xD0, 0]);
    assert_eq!(rig.health.snapshot().acknowledged, 0);
    delivery.ack.done();
    assert_eq!(read_exactly::<4>(&mut stream).await, [0x40, 2, 0, 1]);
    assert_eq!(rig.health.snapshot().acknowledged, 1);
}

#[tokio::test]
async fn acknowledgements_keep_the_order_of_arrival() {
    let mut rig = rig(settings(), 10).await;
    let mut stream = raw(rig.address, "m1").await;
    for pkid in [7_u8, 3, 5] {
        stream.write_all(&publish(pkid, b"x")).await.unwrap();
    }
    let (a, b, c) = (
        frame(&mut rig.frames).await,
        frame(&mut rig.frames).await,
        frame(&mut rig.frames).await,
    );
    c.ack.done();
    b.ack.done();
    a.ack.done();
    let acks = read_exactly::<12>(&mut stream).await;
    assert_eq!(acks, [0x40, 2, 0, 7, 0x40, 2, 0, 3, 0x40, 2, 0, 5]);
}

#[tokio::test]
async fn a_message_that_cannot_be_committed_closes_the_connection_unacknowledged() {
    let mut rig = rig(settings(), 10).await;
    let mut stream = raw(rig.address, "m1").await;
    stream.write_all(&publish(1, b"lost")).await.unwrap();
    drop(frame(&mut rig.frames).await.ack);
    assert_eq!(rest(&mut stream).await, NOTHING);
    // A client that keeps its session sends it again.
    let mut stream = raw(rig.address, "m1").await;
    stream.write_all(&publish(1, b"lost")).await.unwrap();
    frame(&mut rig.frames).await.ack.done();
    assert_eq!(read_exactly::<4>(&mut stream).await, [0x40, 2, 0, 1]);
}

#[tokio::test]
async fn a_client_that_reconnects_sends_again_what_was_not_acknowledged() {
    let mut rig = rig(settings(), 10).await;
    let (client, mut events) = client(rig.address, "m1");
    client
        .publish(TOPIC, QoS::AtLeastOnce, false, "one")
        .await
        .unwrap();
    let first = tokio::select! {
        first = frame(&mut rig.frames) => first,
        _ = puback(&mut events) => panic!("acknowledged too early"),
    };
    drop(first.ack);
    // The listener lets go; the client's library notices, reconnects and repeats.
    let again = async {
        loop {
            // The error is the connection we just closed.
            if let Ok(Event::Incoming(Packet::PubAck(_))) = events.poll().await {
                return;
            }
        }
    };
    let commit = async {
        let second = frame(&mut rig.frames).await;
        assert_eq!(second.frame.bytes, "one");
        second.ack.done();
    };
    tokio::time::timeout(FOREVER, async { tokio::join!(again, commit) })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_queue_stops_reading_and_loses_nothing() {
    let mut rig = rig(settings(), 1).await;
    let mut stream = raw(rig.address, "m1").await;
    for pkid in 1..=200 {
        stream.write_all(&publish(pkid, &[pkid])).await.unwrap();
    }
    for pkid in 1..=200_u8 {
        let delivery = frame(&mut rig.frames).await;
        assert_eq!(delivery.frame.bytes, [pkid][..]);
        assert!(rig.health.snapshot().received <= u64::from(pkid) + 64);
        delivery.ack.done();
    }
    let acks = read_exactly::<800>(&mut stream).await;
    assert!(acks.chunks(4).zip(1..=200).all(|(a, pkid)| a[3] == pkid));
}

#[tokio::test]
async fn quality_of_service_zero_is_taken_and_two_is_refused() {
    let mut rig = rig(settings(), 10).await;
    let mut stream = raw(rig.address, "m1").await;
    let mut zero = publish(0, b"hello");
    zero[0] = 0x30;
    // Without a packet id the length is two bytes less.
    let at = 2 + 2 + TOPIC.len();
    zero.drain(at..at + 2);
    zero[1] -= 2;
    stream.write_all(&zero).await.unwrap();
    assert_eq!(frame(&mut rig.frames).await.frame.bytes, "hello");
    let mut two = publish(1, b"x");
    two[0] = 0x34;
    stream.write_all(&two).await.unwrap();
    assert_eq!(rest(&mut stream).await, NOTHING);
    let error = refusal(&rig, 1).await;
    assert!(error.contains("QoS 2"), "{error}");
}

#[tokio::test]
async fn a_subscription_is_refused_and_the_connection_kept() {
    let rig = rig(settings(), 10).await;
    let mut stream = raw(rig.address, "m1").await;
    stream
        .write_all(&[0x82, 10, 0, 9, 0, 1, b'#', 1, 0, 1, b'a', 0])
        .await
        .unwrap();
    assert_eq!(
        read_exactly::<6>(&mut stream).await,
        [0x90, 4, 0, 9, 0x80, 0x80]
    );
    stream
        .write_all(&[0xA2, 5, 0, 4, 0, 1, b'#', 0xC0, 0])
        .await
        .unwrap();
    assert_eq!(
        read_exactly::<6>(&mut stream).await,
        [0xB0, 2, 0, 4, 0xD0, 0]
    );
    assert_eq!(rig.health.snapshot().connected, 1);
}

#[tokio::test]
async fn an_unknown_topic_is_kept_without_a_device() {
    let mut rig = rig(settings(), 10).await;
    let (client, mut events) = client(rig.address, "m1");
    client
        .publish("some/where", QoS::AtLeastOnce, false, "?")
        .await
        .unwrap();
    let delivery = tokio::select! {
        delivery = frame(&mut rig.frames) => delivery,
        _ = puback(&mut events) => panic!("acknowledged too early"),
    };
    assert_eq!(delivery.frame.device, None);
    assert_eq!(delivery.frame.origin, "some/where");
}

#[tokio::test]
async fn hostile_bytes_close_their_own_connection_only() {
    let mut rig = rig(settings(), 10).await;
    let mut good = raw(rig.address, "good").await;
    let connect = connect("bad", 4);
    let mut cases: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: meter\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        vec![0xff; 300],
        vec![0x10, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![0x10, 0xff, 0xff, 0xff, 0x7f],
        vec![0x00, 0x00],
        vec![0xC0, 0],
        publish(1, b"before connect"),
    ];
    // And after a good CONNECT: twice, a server's packets, nonsense lengths, a zero packet id, a
    // topic with a wildcard, one that is no UTF-8, a subscription without filters.
    for after in [
        connect.clone(),
        vec![0x20, 2, 0, 0],
        vec![0x40, 2, 0, 1],
        vec![0x90, 3, 0, 1, 0],
        vec![0xF0, 0],
        vec![0x30, 0],
        vec![0x32, 3, 0, 9, b'a'],
        publish(0, b"x"),
        vec![0x30, 4, 0, 2, b'a', b'#'],
        vec![0x30, 4, 0, 2, 0xff, 0xfe],
        vec![0x82, 2, 0, 1],
        vec![0x36, 5, 0, 1, b'a', 0, 1],
    ] {
        cases.push([connect.clone(), after].concat());
    }
    for (index, bytes) in cases.iter().enumerate() {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(
            answer.is_empty() || answer == [0x20, 2, 1, 0] || answer == [0x20, 2, 0, 1],
            "case {index}: {answer:?}"
        );
        refusal(&rig, index as u64 + 1).await;
    }
    good.write_all(&publish(1, b"still here")).await.unwrap();
    let delivery = frame(&mut rig.frames).await;
    assert_eq!(delivery.frame.bytes, "still here");
    assert_eq!(rig.health.snapshot().received, 1);
}

#[tokio::test]
async fn other_versions_of_the_protocol_are_told_so() {
    let rig = rig(settings(), 10).await;
    for level in [3, 6] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(&connect("m1", level)).await.unwrap();
        assert_eq!(rest(&mut stream).await, [0x20, 2, 0, 1], "level {level}");
    }
    let error = refusal(&rig, 2).await;
    assert!(error.contains("protocol level 6"), "{error}");
}

#[tokio::test]
async fn a_payload_above_the_limit_closes_the_connection() {
    let mut rig = rig(settings(), 10).await;
    let (client, mut events) = client(rig.address, "m1");
    client
        .publish(TOPIC, QoS::AtLeastOnce, false, vec![b'x'; 1_000])
        .await
        .unwrap();
    tokio::select! {
        delivery = frame(&mut rig.frames) => delivery.ack.done(),
        _ = puback(&mut events) => panic!("acknowledged too early"),
    }
    puback(&mut events).await;
    client
        .publish(TOPIC, QoS::AtLeastOnce, false, vec![b'x'; 1_001])
        .await
        .unwrap();
    while events.poll().await.is_ok() {}
    let error = refusal(&rig, 1).await;
    assert!(error.contains("payload_max_bytes = 1000"), "{error}");
    assert!(rig.frames.try_recv().is_err());
    // A length far beyond the limit is refused before its bytes are read.
    let mut stream = raw(rig.address, "m2").await;
    stream
        .write_all(&[0x32, 0xff, 0xff, 0xff, 0x7f])
        .await
        .unwrap();
    assert_eq!(rest(&mut stream).await, NOTHING);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_right_one_accepted() {
    let hashed = crate::collect::credentials::hash_password("right").unwrap();
    let users = users(&format!("meters:right\nhashed:{hashed}\n"));
    let rig = rig_with(settings(), 10, Some(users)).await;
    for (user, password, is_good) in [
        ("meters", "right", true),
        ("hashed", "right", true),
        ("hashed", "right", true),
        ("hashed", "wrong", false),
        ("meters", "wrong", false),
        ("other", "right", false),
        ("", "", false),
    ] {
        let mut options = MqttOptions::new("m1", "127.0.0.1", rig.address.port());
        options.set_credentials(user, password);
        let (_client, mut events) = AsyncClient::new(options, 10);
        let answer = events.poll().await;
        if is_good {
            assert!(
                matches!(answer, Ok(Event::Incoming(Packet::ConnAck(_)))),
                "{answer:?}"
            );
        } else {
            let error = answer.unwrap_err().to_string();
            assert!(error.contains("BadUserNamePassword"), "{error}");
        }
    }
    let error = refusal(&rig, 4).await;
    assert!(
        !error.contains("right") && !error.contains("wrong:"),
        "{error}"
    );
}

#[tokio::test]
async fn users_are_needed_to_listen_beyond_this_host() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let (sender, _frames) = mpsc::channel(1);
    let error = serve(
        Ports::plain(listener),
        settings(),
        None,
        topics(),
        Arc::new(ManualClock::new(noon())),
        sender,
        Arc::default(),
        CancellationToken::new(),
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), "collect.listen_open");
    assert!(error.to_string().contains("set users_file"), "{error}");
}

#[tokio::test]
async fn the_newest_connection_of_a_client_id_displaces_the_one_before() {
    let rig = rig(settings(), 10).await;
    let mut old = raw(rig.address, "m1").await;
    let mut new = raw(rig.address, "m1").await;
    assert_eq!(rest(&mut old).await, NOTHING);
    new.write_all(&[0xC0, 0]).await.unwrap();
    assert_eq!(read_exactly::<2>(&mut new).await, [0xD0, 0]);
}

#[tokio::test]
async fn more_connections_than_allowed_are_turned_away() {
    let rig = rig(
        ListenSettings {
            connections_max: 1,
            ..settings()
        },
        10,
    )
    .await;
    let mut first = raw(rig.address, "m1").await;
    let mut second = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(rest(&mut second).await, NOTHING);
    assert_eq!(rig.health.snapshot().refused, 1);
    first.write_all(&[0xE0, 0]).await.unwrap();
    assert_eq!(rest(&mut first).await, NOTHING);
    raw(rig.address, "m3").await;
}

#[tokio::test]
async fn silence_ends_a_connection_before_and_after_connect() {
    let rig = rig(
        ListenSettings {
            connect_timeout_s: 1,
            ..settings()
        },
        10,
    )
    .await;
    let mut silent = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(rest(&mut silent).await, NOTHING);
    let error = refusal(&rig, 1).await;
    assert!(error.contains("connect_timeout_s"), "{error}");
    let mut quiet = TcpStream::connect(rig.address).await.unwrap();
    let mut hello = connect("m1", 4);
    hello[11] = 1; // keep-alive of one second
    let before = Instant::now();
    quiet.write_all(&hello).await.unwrap();
    assert_eq!(rest(&mut quiet).await, [0x20, 2, 1, 0]);
    assert!(before.elapsed() >= Duration::from_millis(1_500));
}

#[tokio::test]
async fn stopping_waits_for_commits_under_way_and_acknowledges_them() {
    let mut rig = rig(settings(), 10).await;
    let mut stream = raw(rig.address, "m1").await;
    stream.write_all(&publish(1, b"one")).await.unwrap();
    let delivery = frame(&mut rig.frames).await;
    rig.stop.cancel();
    // The queue ends although the acknowledgement is outstanding: ingest can finish its batch.
    assert!(rig.frames.recv().await.is_none());
    delivery.ack.done();
    assert_eq!(rest(&mut stream).await, [0x40, 2, 0, 1]);
    rig.server.join_next().await.unwrap().unwrap().unwrap();
}

const OTHER: &str = "gas/xy/gw1/TX-2/up/reading";

/// Publishes by a client of MQTT 3.1.1 on a topic, as a user.
fn client_of(address: SocketAddr, user: &str, password: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(
        format!("c-{user}"),
        address.ip().to_string(),
        address.port(),
    );
    options.set_credentials(user, password);
    AsyncClient::new(options, 100)
}

#[tokio::test]
async fn a_device_publishes_to_its_own_topics_and_to_no_others() {
    let users = users("TX-1:a\ngw:b:devices=TX-1,TX-2\nmaster:c:devices=*\n");
    let mut rig = rig_with(settings(), 10, Some(users)).await;
    for (user, password, topics, foreign) in [
        ("TX-1", "a", &[TOPIC][..], Some(OTHER)),
        (
            "gw",
            "b",
            &[TOPIC, OTHER],
            Some("gas/xy/gw1/TX-3/up/reading"),
        ),
        ("master", "c", &[TOPIC, OTHER, "some/where"], None),
    ] {
        let (client, mut events) = client_of(rig.address, user, password);
        for topic in topics {
            client
                .publish(*topic, QoS::AtLeastOnce, false, *topic)
                .await
                .unwrap();
            tokio::select! {
                delivery = frame(&mut rig.frames) => {
                    assert_eq!(delivery.frame.origin, *topic);
                    delivery.ack.done();
                }
                _ = puback(&mut events) => panic!("acknowledged too early"),
            }
            puback(&mut events).await;
        }
        let Some(foreign) = foreign else { continue };
        let before = rig.health.snapshot().refused;
        client
            .publish(foreign, QoS::AtLeastOnce, false, "x")
            .await
            .unwrap();
        // 3.1.1 cannot say no to one message: the connection is closed, nothing acknowledged.
        let error = loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => panic!("{user}: acknowledged"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        drop(error);
        let words = refusal(&rig, before + 1).await;
        assert!(
            words.contains(&format!("user `{user}`"))
                && words.contains(foreign)
                && words.contains("devices="),
            "{words}"
        );
        assert!(rig.frames.try_recv().is_err(), "{user}");
    }
}

#[tokio::test]
async fn a_topic_without_a_device_counts_as_the_only_device_of_its_user() {
    let mut rig = rig_with(settings(), 10, Some(users("TX-1:a\n"))).await;
    let (client, mut events) = client_of(rig.address, "TX-1", "a");
    client
        .publish("some/where", QoS::AtLeastOnce, false, r#"{"dev":"TX-2"}"#)
        .await
        .unwrap();
    let delivery = tokio::select! {
        delivery = frame(&mut rig.frames) => delivery,
        _ = puback(&mut events) => panic!("acknowledged too early"),
    };
    // Ingest refuses a payload that names another device than this.
    assert_eq!(delivery.frame.device.unwrap().as_str(), "TX-1");
}

#[tokio::test]
async fn a_client_id_is_taken_over_by_its_own_user_only() {
    let rig = rig_with(settings(), 10, Some(users("a:1\nb:2\n"))).await;
    let login = |user: &str, password: &str| {
        let mut hello = connect("same", 4);
        hello[9] = 0xC0;
        for text in [user, password] {
            hello.extend_from_slice(&[0, len(text.as_bytes())]);
            hello.extend_from_slice(text.as_bytes());
        }
        hello[1] = len(&hello[2..]);
        hello
    };
    let mut streams = Vec::new();
    for (user, password) in [("a", "1"), ("b", "2"), ("a", "1")] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(&login(user, password)).await.unwrap();
        assert_eq!(read_exactly::<4>(&mut stream).await, [0x20, 2, 1, 0]);
        streams.push(stream);
    }
    assert_eq!(rest(&mut streams[0]).await, NOTHING);
    for stream in &mut streams[1..] {
        stream.write_all(&[0xC0, 0]).await.unwrap();
        assert_eq!(read_exactly::<2>(stream).await, [0xD0, 0]);
    }
}

#[tokio::test]
async fn who_sends_too_fast_is_slowed_down_and_loses_nothing() {
    let fast = ListenSettings {
        messages_per_s: 100,
        messages_burst: 10,
        ..settings()
    };
    let mut rig = rig(fast, 100).await;
    let mut stream = raw(rig.address, "m1").await;
    let began = Instant::now();
    for pkid in 1..=40 {
        stream.write_all(&publish(pkid, &[pkid])).await.unwrap();
    }
    for _ in 1..=40 {
        frame(&mut rig.frames).await.ack.done();
    }
    // Ten at once, thirty more at a hundred a second.
    assert!(began.elapsed() >= Duration::from_millis(290));
    let acks = read_exactly::<160>(&mut stream).await;
    assert!(acks.chunks(4).zip(1..=40).all(|(a, pkid)| a[3] == pkid));
    assert!(rig.health.snapshot().slowed > 0);
}

#[tokio::test]
async fn the_connections_of_a_user_share_its_rate() {
    let fast = ListenSettings {
        user_messages_per_s: 100,
        messages_burst: 10,
        ..settings()
    };
    let mut rig = rig_with(fast, 100, Some(users("TX-1:a\n"))).await;
    let began = Instant::now();
    let mut clients = Vec::new();
    for n in 0..2 {
        let mut options = MqttOptions::new(format!("c{n}"), "127.0.0.1", rig.address.port());
        options.set_credentials("TX-1", "a");
        let (client, mut events) = AsyncClient::new(options, 100);
        for _ in 0..20 {
            client
                .publish(TOPIC, QoS::AtLeastOnce, false, "x")
                .await
                .unwrap();
        }
        rig.server.spawn(async move {
            for _ in 0..20 {
                puback(&mut events).await;
            }
            Ok(())
        });
        clients.push(client);
    }
    for _ in 0..40 {
        frame(&mut rig.frames).await.ack.done();
    }
    assert!(began.elapsed() >= Duration::from_millis(290));
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_refused_for_a_while() {
    let slow = ListenSettings {
        connects_per_minute: 2,
        ..settings()
    };
    let rig = rig(slow, 10).await;
    let _one = raw(rig.address, "m1").await;
    let _two = raw(rig.address, "m2").await;
    let mut three = TcpStream::connect(rig.address).await.unwrap();
    assert_eq!(rest(&mut three).await, NOTHING);
    let words = refusal(&rig, 1).await;
    assert!(words.contains("connects_per_minute = 2"), "{words}");
}

#[tokio::test]
async fn a_user_who_is_taken_out_of_the_file_is_cut_off_at_the_next_message() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "TX-1:a\nTX-2:b\n").unwrap();
    let users = Arc::new(CredentialFile::load(file.path()).unwrap());
    let mut rig = rig_with(settings(), 10, Some(Arc::clone(&users))).await;
    let (client, mut events) = client_of(rig.address, "TX-1", "a");
    client
        .publish(TOPIC, QoS::AtLeastOnce, false, "x")
        .await
        .unwrap();
    tokio::select! {
        delivery = frame(&mut rig.frames) => delivery.ack.done(),
        _ = puback(&mut events) => panic!("acknowledged too early"),
    }
    puback(&mut events).await;
    std::fs::write(file.path(), "TX-2:b\n").unwrap();
    users.reload().unwrap();
    client
        .publish(TOPIC, QoS::AtLeastOnce, false, "y")
        .await
        .unwrap();
    while events.poll().await.is_ok() {}
    let words = refusal(&rig, 1).await;
    assert!(words.contains("no longer in users_file"), "{words}");
    assert!(rig.frames.try_recv().is_err());
}

/// Waits until `count` refusals are counted; gives the last one's words.
async fn refusal(rig: &Rig, count: u64) -> String {
    let counted = async {
        loop {
            let now = rig.health.snapshot();
            if let (true, Some(error)) = (now.refused >= count, now.last_error) {
                return error;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FOREVER * 10, counted).await.unwrap()
}

fn len(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap()
}

fn connect(id: &str, level: u8) -> Vec<u8> {
    let name: &[u8] = if level == 3 { b"MQIsdp" } else { b"MQTT" };
    let mut body = vec![0, len(name)];
    body.extend_from_slice(name);
    body.extend_from_slice(&[level, 0, 0, 60]);
    if level == 5 {
        body.push(0);
    }
    body.extend_from_slice(&[0, len(id.as_bytes())]);
    body.extend_from_slice(id.as_bytes());
    [vec![0x10, len(&body)], body].concat()
}

fn publish(pkid: u8, payload: &[u8]) -> Vec<u8> {
    let mut body = vec![0, len(TOPIC.as_bytes())];
    body.extend_from_slice(TOPIC.as_bytes());
    body.extend_from_slice(&[0, pkid]);
    body.extend_from_slice(payload);
    [vec![0x32, len(&body)], body].concat()
}

/// A connection made by hand, accepted.
async fn raw(address: SocketAddr, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&connect(id, 4)).await.unwrap();
    // The session is present: nothing of ours could have been forgotten.
    assert_eq!(read_exactly::<4>(&mut stream).await, [0x20, 2, 1, 0]);
    stream
}

async fn read_exactly<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    tokio::time::timeout(FOREVER, stream.read_exact(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    bytes
}

/// What comes until the peer closes; a reset counts as closing.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    tokio::time::timeout(FOREVER * 10, stream.read_to_end(&mut bytes))
        .await
        .unwrap()
        .ok();
    bytes
}
