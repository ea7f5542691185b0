//! The city's MQTT meters, through Debian's mosquitto.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use qiliang::clock::{Clock, ManualClock};
use qiliang::simulate::city::City;
use qiliang::simulate::publish::{self, PublishTarget};
use qiliang::simulate::{FrameKind, SimFrame};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::city;

/// A mosquitto of our own on a free port; none where it is not installed.
struct Mosquitto {
    child: Child,
    port: u16,
    config: tempfile::NamedTempFile,
}

impl Mosquitto {
    const PROGRAM: &str = "/usr/sbin/mosquitto";

    fn start() -> Option<Self> {
        if !Path::new(Self::PROGRAM).exists() {
            println!("SKIPPED: {} is not installed", Self::PROGRAM);
            return None;
        }
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut config = tempfile::NamedTempFile::new().unwrap();
        writeln!(
            config,
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n\
             max_inflight_messages 0\nmax_queued_messages 0"
        )
        .unwrap();
        let child = Self::spawn(config.path());
        Some(Self {
            child,
            port,
            config,
        })
    }

    fn spawn(config: &Path) -> Child {
        Command::new(Self::PROGRAM)
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(self.config.path());
    }

    /// A client that counts what it receives, subscribed when this returns.
    async fn listener(&self) -> rumqttc::EventLoop {
        let mut options = MqttOptions::new("listener", "127.0.0.1", self.port);
        options.set_max_packet_size(262_144, 262_144);
        let (client, mut eventloop) = AsyncClient::new(options, 16);
        client.try_subscribe("gas/#", QoS::AtLeastOnce).unwrap();
        loop {
            match eventloop.poll().await {
                Ok(Event::Incoming(Packet::SubAck(_))) => return eventloop,
                Ok(_) => {}
                // The broker is just starting.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn some_frames(city: &City, count: usize) -> Vec<SimFrame> {
    let now = city.config().now_at;
    let frames: Vec<_> = city
        .live_frames(now, now + TimeDelta::hours(60))
        .take(count)
        .collect();
    assert_eq!(frames.len(), count);
    frames
}

#[tokio::test]
async fn every_flooded_frame_reaches_a_subscriber_through_mosquitto() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let city = city();
    let frames = some_frames(&city, 1_500);
    let mut expected: Vec<(String, Vec<u8>)> = frames
        .iter()
        .map(|f| (f.topic.clone(), f.bytes.to_vec()))
        .collect();
    let mut eventloop = broker.listener().await;
    let (acked, mut acks) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    tasks.spawn(publish::flood(
        frames,
        PublishTarget::new("127.0.0.1", broker.port),
        acked,
        CancellationToken::new(),
    ));
    let mut received = Vec::new();
    let mut confirmed = Vec::new();
    while received.len() < expected.len() {
        tokio::select! {
            event = eventloop.poll() => {
                if let Event::Incoming(Packet::Publish(publish)) = event.unwrap() {
                    received.push((publish.topic, publish.payload.to_vec()));
                }
            }
            Some(ack) = acks.recv() => confirmed.push(ack),
        }
    }
    while let Some(ack) = acks.recv().await {
        confirmed.push(ack);
    }
    let stats = tasks.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(stats.published, 1_500);
    assert_eq!(stats.acknowledged, 1_500);
    assert_eq!(confirmed.len(), 1_500);
    assert_eq!((stats.repeated, stats.connects), (0, 4));
    expected.sort();
    received.sort();
    assert!(expected == received, "other frames came than were sent");
}

#[tokio::test]
async fn frames_of_a_gateway_keep_their_order_and_a_restarted_broker_gets_the_rest() {
    let Some(mut broker) = Mosquitto::start() else {
        return;
    };
    let city = city();
    let frames = some_frames(&city, 3_000);
    let mut wanted: Vec<_> = frames
        .iter()
        .map(|f| (f.device.clone(), f.kind, f.sampled_at))
        .collect();
    let (acked, mut acks) = mpsc::channel(8);
    let mut tasks = JoinSet::new();
    tasks.spawn(publish::flood(
        frames,
        PublishTarget {
            window: 20,
            ..PublishTarget::new("127.0.0.1", broker.port)
        },
        acked,
        CancellationToken::new(),
    ));
    let mut confirmed = Vec::new();
    while let Some(ack) = acks.recv().await {
        confirmed.push((ack.device, ack.kind, ack.sampled_at));
        if confirmed.len() == 1_000 || confirmed.len() == 2_000 {
            broker.restart();
        }
    }
    let stats = tasks.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(stats.acknowledged, 3_000);
    assert!(stats.connects >= 8, "{stats:?}");
    wanted.sort();
    confirmed.sort();
    assert!(
        wanted == confirmed,
        "each frame is acknowledged exactly once"
    );
}

#[tokio::test]
async fn the_city_publishes_as_its_clock_goes_on() {
    let Some(broker) = Mosquitto::start() else {
        return;
    };
    let city = Arc::new(city());
    let now = city.config().now_at;
    let expected: Vec<SimFrame> = city.live_frames(now, now + TimeDelta::minutes(5)).collect();
    assert!(expected.iter().any(|f| f.kind == FrameKind::Frozen));
    let clock = Arc::new(ManualClock::new(now));
    let mut eventloop = broker.listener().await;
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(publish::run(
        Arc::clone(&city),
        PublishTarget::new("127.0.0.1", broker.port),
        Arc::clone(&clock) as Arc<dyn Clock>,
        now,
        stop.clone(),
    ));
    let mut received = Vec::new();
    let last = expected.last().unwrap().arrives_at;
    // Two steps: nothing of the second may come before the clock reaches it.
    for at in [now + TimeDelta::minutes(2), last] {
        clock.set(at);
        let due = expected.iter().filter(|f| f.arrives_at <= at).count();
        while received.len() < due {
            if let Event::Incoming(Packet::Publish(publish)) = eventloop.poll().await.unwrap() {
                received.push(publish.topic);
            }
        }
        assert_eq!(received.len(), due);
    }
    stop.cancel();
    let stats = tasks.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(stats.published, expected.len() as u64);
    assert_eq!(stats.acknowledged, stats.published);
    let mut wanted: Vec<_> = expected.into_iter().map(|f| f.topic).collect();
    wanted.sort();
    received.sort();
    assert_eq!(received, wanted);
}
