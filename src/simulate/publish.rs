//! The city's MQTT meters: real connections, acknowledged delivery, nothing forgotten before its `PUBACK`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, real_duration};
use crate::domain::id::DeviceId;
use crate::simulate::SimulateError;
use crate::simulate::city::City;
use crate::simulate::stream::{FrameKind, SimFrame};

/// Where to publish, and how hard.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishTarget {
    /// Broker's host.
    pub host: String,
    /// Broker's port.
    pub port: u16,
    /// User name and password, if the broker wants them.
    pub credentials: Option<(String, String)>,
    /// Client ids are this and a number.
    pub client_prefix: String,
    /// Connections; each gateway's frames pass one of them, in order.
    pub connections: usize,
    /// Unacknowledged messages of a connection at most.
    pub window: u16,
    /// Messages in a second of real time at most, all connections together.
    pub rate_max_per_s: u32,
}

impl PublishTarget {
    /// A broker at an address, with four connections, 100 messages in flight each, and 2,000
    /// messages a second at most.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            credentials: None,
            client_prefix: "city".into(),
            connections: 4,
            window: 100,
            rate_max_per_s: 2_000,
        }
    }
}

/// What became of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishStats {
    /// Frames given to the connections.
    pub published: u64,
    /// Frames the broker acknowledged.
    pub acknowledged: u64,
    /// Publications repeated because a connection broke before the acknowledgement.
    pub repeated: u64,
    /// Connections made.
    pub connects: u64,
}

/// A frame whose PUBACK has come: the broker is answerable for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AckedFrame {
    /// Device.
    pub device: DeviceId,
    /// What it said.
    pub kind: FrameKind,
    /// The device's time of its values.
    pub sampled_at: DateTime<Utc>,
    /// MQTT packet id under which it was acknowledged.
    pub packet_id: u16,
    /// Connection, counted from 0.
    pub connection: usize,
}

/// How long a connection waits for outstanding acknowledgements after it was told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Time between looks at the clock where nothing is due.
const IDLE: TimeDelta = TimeDelta::minutes(1);

/// Publishes the city's live frames that arrive from `from_at` on as the clock reaches their times,
/// until `stop` is cancelled or the city's span ends.
///
/// `from_at` is where history ends (`CityConfig::now_at`) or where an earlier run left off; if the
/// clock is past it already, or the broker was away, frames catch up at the target's rate.
///
/// # Errors
/// Only a panic in a task; a broker that is away is waited for.
pub async fn run(
    city: Arc<City>,
    target: PublishTarget,
    clock: Arc<dyn Clock>,
    from_at: DateTime<Utc>,
    stop: CancellationToken,
) -> Result<PublishStats, SimulateError> {
    let mut fleet = Fleet::start(&target, None, &stop);
    let mut pace = Pace::new(target.rate_max_per_s);
    let mut from = from_at;
    let end_at = crate::domain::calendar::GasDayClock::default().start_of(city.config().end_on());
    while !stop.is_cancelled() && from < end_at {
        let to = from + IDLE;
        // A minute of the city at a time; it is made on a blocking thread, since it may be long.
        let source = Arc::clone(&city);
        let frames: Vec<SimFrame> =
            tokio::task::spawn_blocking(move || source.live_frames(from, to).collect()).await?;
        for frame in frames {
            if !sleep_until(&*clock, frame.arrives_at, &stop).await {
                break;
            }
            pace.wait().await;
            fleet.send(frame, &stop).await;
        }
        sleep_until(&*clock, to, &stop).await;
        from = to;
    }
    fleet.finish().await
}

/// Publishes a bounded list of frames as fast as they are acknowledged (the rate bound is not
/// applied), and tells `acked` of every PUBACK. Ends when all are acknowledged or `stop` is
/// cancelled.
///
/// # Errors
/// Only a panic in a task; a broker that is away is waited for.
pub async fn flood(
    frames: Vec<SimFrame>,
    target: PublishTarget,
    acked: mpsc::Sender<AckedFrame>,
    stop: CancellationToken,
) -> Result<PublishStats, SimulateError> {
    let mut fleet = Fleet::start(&target, Some(&acked), &stop);
    // The lines hold the sender; it closes with the last of them.
    drop(acked);
    for frame in frames {
        if !fleet.send(frame, &stop).await {
            break;
        }
    }
    fleet.finish().await
}

/// Waits until the clock reads `at`; false if told to stop before.
async fn sleep_until(clock: &dyn Clock, at: DateTime<Utc>, stop: &CancellationToken) -> bool {
    loop {
        let left = at - clock.now();
        if left <= TimeDelta::zero() {
            return !stop.is_cancelled();
        }
        // A clock that someone else moves is looked at again soon.
        let nap = real_duration(clock, left).min(Duration::from_millis(200));
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(nap.max(Duration::from_millis(1))) => {}
        }
    }
}

/// Bounds messages per second of real time.
#[derive(Debug)]
struct Pace {
    per_s: u32,
    second: tokio::time::Instant,
    sent: u32,
}

impl Pace {
    fn new(per_s: u32) -> Self {
        Self {
            per_s: per_s.max(1),
            second: tokio::time::Instant::now(),
            sent: 0,
        }
    }

    async fn wait(&mut self) {
        if self.second.elapsed() >= Duration::from_secs(1) {
            self.second = tokio::time::Instant::now();
            self.sent = 0;
        }
        if self.sent >= self.per_s {
            tokio::time::sleep_until(self.second + Duration::from_secs(1)).await;
            self.second = tokio::time::Instant::now();
            self.sent = 0;
        }
        self.sent += 1;
    }
}

/// The connections.
#[derive(Debug)]
struct Fleet {
    queues: Vec<mpsc::Sender<SimFrame>>,
    tasks: JoinSet<PublishStats>,
    published: u64,
}

impl Fleet {
    fn start(
        target: &PublishTarget,
        acked: Option<&mpsc::Sender<AckedFrame>>,
        stop: &CancellationToken,
    ) -> Self {
        let mut queues = Vec::new();
        let mut tasks = JoinSet::new();
        for index in 0..target.connections.max(1) {
            let (sender, receiver) = mpsc::channel(usize::from(target.window.max(1)));
            queues.push(sender);
            let line = Line {
                index,
                target: target.clone(),
                queue: receiver,
                waiting: VecDeque::new(),
                sent: VecDeque::new(),
                in_flight: BTreeMap::new(),
                acked: acked.cloned(),
                stats: PublishStats::default(),
            };
            tasks.spawn(line.run(stop.clone()));
        }
        Self {
            queues,
            tasks,
            published: 0,
        }
    }

    /// Hands a frame to its gateway's connection; false if told to stop while it was full.
    async fn send(&mut self, frame: SimFrame, stop: &CancellationToken) -> bool {
        let key: usize = frame.channel.bytes().map(usize::from).sum();
        let queue = &self.queues[key % self.queues.len()];
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            sent = queue.send(frame) => {
                self.published += u64::from(sent.is_ok());
                sent.is_ok()
            }
        }
    }

    async fn finish(self) -> Result<PublishStats, SimulateError> {
        let Self {
            queues,
            mut tasks,
            published,
        } = self;
        drop(queues);
        let mut total = PublishStats {
            published,
            ..PublishStats::default()
        };
        while let Some(ended) = tasks.join_next().await {
            let stats = ended?;
            total.acknowledged += stats.acknowledged;
            total.repeated += stats.repeated;
            total.connects += stats.connects;
        }
        Ok(total)
    }
}

/// One connection and what is on its way through it.
///
/// rumqttc forgets unacknowledged messages when it reconnects to a broker without a session, so the
/// frames are kept here and a broken connection is replaced by a new client that begins with them.
#[derive(Debug)]
struct Line {
    index: usize,
    target: PublishTarget,
    queue: mpsc::Receiver<SimFrame>,
    /// Not yet given to the client.
    waiting: VecDeque<SimFrame>,
    /// Given to the client, no packet id known yet; in that order.
    sent: VecDeque<SimFrame>,
    /// On the wire, by packet id.
    in_flight: BTreeMap<u16, (u64, SimFrame)>,
    acked: Option<mpsc::Sender<AckedFrame>>,
    stats: PublishStats,
}

impl Line {
    async fn run(mut self, stop: CancellationToken) -> PublishStats {
        let mut failures = 0_u32;
        loop {
            let (client, mut eventloop) = self.client();
            match self.drive(&client, &mut eventloop, &stop).await {
                Outcome::Done => return self.stats,
                Outcome::Lost { was_connected } => {
                    failures = if was_connected { 0 } else { failures + 1 };
                    self.take_back();
                }
            }
            // 100 ms, doubling to 6.4 s.
            let delay = Duration::from_millis(100 << failures.min(6));
            tokio::select! {
                () = stop.cancelled() => return self.stats,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    fn client(&self) -> (AsyncClient, EventLoop) {
        let id = format!("{}-{}", self.target.client_prefix, self.index);
        let mut options = MqttOptions::new(id, &self.target.host, self.target.port);
        options.set_keep_alive(Duration::from_secs(30));
        options.set_clean_session(true);
        options.set_inflight(self.target.window.max(1));
        options.set_max_packet_size(262_144, 262_144);
        if let Some((user, password)) = &self.target.credentials {
            options.set_credentials(user, password);
        }
        AsyncClient::new(options, usize::from(self.target.window) + 8)
    }

    async fn drive(
        &mut self,
        client: &AsyncClient,
        eventloop: &mut EventLoop,
        stop: &CancellationToken,
    ) -> Outcome {
        let mut was_connected = false;
        let mut is_open = true;
        let mut serial = 0_u64;
        let mut stop_at = None;
        loop {
            // The same poll is carried on until it yields: dropped half way, rumqttc could forget
            // a packet that it already counts as sent.
            let mut poll = std::pin::pin!(eventloop.poll());
            let event = loop {
                self.hand_over(client);
                let pending = self.waiting.len() + self.sent.len() + self.in_flight.len();
                if pending == 0 && (!is_open || stop_at.is_some()) {
                    return Outcome::Done;
                }
                let has_room =
                    is_open && stop_at.is_none() && pending < usize::from(self.target.window);
                tokio::select! {
                    event = &mut poll => break event,
                    frame = self.queue.recv(), if has_room => match frame {
                        Some(frame) => self.waiting.push_back(frame),
                        None => is_open = false,
                    },
                    () = stop.cancelled(), if stop_at.is_none() => {
                        stop_at = Some(tokio::time::Instant::now() + DRAIN_MAX);
                    }
                    () = sleep_to(stop_at), if stop_at.is_some() => return Outcome::Done,
                }
            };
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    was_connected = true;
                    self.stats.connects += 1;
                }
                Ok(Event::Outgoing(Outgoing::Publish(packet_id))) => {
                    if let Some(frame) = self.sent.pop_front() {
                        serial += 1;
                        self.in_flight.insert(packet_id, (serial, frame));
                    }
                }
                Ok(Event::Incoming(Packet::PubAck(ack))) => self.acknowledge(ack.pkid).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(connection = self.index, error = %error, "Lost the broker");
                    return Outcome::Lost { was_connected };
                }
            }
        }
    }

    /// Gives waiting frames to the client, as long as it takes them.
    fn hand_over(&mut self, client: &AsyncClient) {
        while let Some(frame) = self.waiting.pop_front() {
            let given = client.try_publish(
                frame.topic.clone(),
                QoS::AtLeastOnce,
                false,
                frame.bytes.to_vec(),
            );
            if given.is_err() {
                self.waiting.push_front(frame);
                return;
            }
            self.sent.push_back(frame);
        }
    }

    async fn acknowledge(&mut self, packet_id: u16) {
        let Some((_, frame)) = self.in_flight.remove(&packet_id) else {
            return;
        };
        self.stats.acknowledged += 1;
        if let Some(acked) = &self.acked {
            let one = AckedFrame {
                device: frame.device,
                kind: frame.kind,
                sampled_at: frame.sampled_at,
                packet_id,
                connection: self.index,
            };
            // Nobody listening any more is the listener's choice.
            acked.send(one).await.ok();
        }
    }

    /// After a lost connection: whatever was not acknowledged goes first, in its old order.
    fn take_back(&mut self) {
        let mut lost: Vec<(u64, SimFrame)> =
            std::mem::take(&mut self.in_flight).into_values().collect();
        lost.sort_by_key(|(serial, _)| *serial);
        self.stats.repeated += lost.len() as u64;
        let again = lost.into_iter().map(|(_, frame)| frame);
        let rest = self.sent.drain(..).chain(self.waiting.drain(..));
        self.waiting = again.chain(rest).collect();
    }
}

enum Outcome {
    Done,
    Lost { was_connected: bool },
}

async fn sleep_to(at: Option<tokio::time::Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
