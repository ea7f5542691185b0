//! MQTT subscriber: one persistent session at a broker, `QoS` 1, acknowledged after the commit.
//!
//! Each connection (epoch) has an event loop, a window and acknowledgements of its own, and all
//! three are dropped with it. So nothing buffered, pending or unacknowledged can pass from one
//! connection into the next, where a packet id may already mean another message: the traps of
//! rumqttc (stale events after CONNACK, stale acks, a wedge after a lost session) have no place to
//! happen. What was not acknowledged the broker delivers again; ingest takes it by key.

mod backoff;
mod failure;
mod health;
mod window;

use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use rumqttc::{
    AsyncClient, ConnAck, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Outgoing,
    Packet, Publish, QoS, SubscribeFilter, SubscribeReasonCode,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::collect::topic::TopicSet;
use crate::collect::{Ack, Delivery};
use crate::domain::frame::{RawFrame, Transport};
use crate::settings::BrokerSettings;

use self::backoff::Backoff;
use self::failure::{Failure, FailureKind};
pub use self::health::{MqttHealth, MqttHealthSnapshot};
use self::window::{Acked, Window};

/// Requests between us and the event loop. Packet ids are 16 bits, so this many acknowledgements
/// and a few other requests can never be outstanding, and sending one never waits.
const REQUESTS_MAX: usize = 65_536 + 16;

/// A single packet may not be larger, bytes. Above `payload_max_bytes` but below this, a message is
/// still taken in part and rejected, since refusing to read it would block the session for good.
const PACKET_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Deadline of connecting and of each write, s.
const CONNECT_TIMEOUT_S: u64 = 10;

/// At shutdown, commits under way are waited for this long; the rest is delivered again.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why subscribing ended. Anything a broker or network does is not among it: that is retried.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// The password file cannot be read.
    #[error("broker `{broker}`: password file {} cannot be read; create it with mode 0600 or remove password_file", path.display())]
    PasswordFile {
        /// Broker by name.
        broker: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A persistent session needs a name.
    #[error(
        "broker `{broker}`: client_id is empty; give this daemon a fixed one of its own, it names the session the broker keeps for it"
    )]
    ClientIdEmpty {
        /// Broker by name.
        broker: String,
    },
    /// Ingest is gone although nobody asked us to stop.
    #[error("broker `{broker}`: the queue to ingest is closed")]
    QueueClosed {
        /// Broker by name.
        broker: String,
    },
}

impl MqttError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PasswordFile { .. } => "collect.mqtt_password_file",
            Self::ClientIdEmpty { .. } => "collect.mqtt_client_id",
            Self::QueueClosed { .. } => "collect.queue_closed",
        }
    }
}

/// How a connection ended.
enum Ended {
    Stopped,
    QueueClosed,
    Failed(Failure),
}

/// Subscribes at a broker until told to stop, and forwards what it delivers.
///
/// Messages are acknowledged in the order in which they came, after [`Ack::done`]. An
/// acknowledgement dropped unused (a failed commit) ends the connection, so that the broker delivers
/// again after a pause. A broker that cannot be reached or refuses us is logged once for each change
/// of state and tried again with growing, jittered delays.
///
/// # Errors
/// Only for what trying again cannot mend: see [`MqttError`].
pub async fn subscribe(
    broker: BrokerSettings,
    topics: Arc<TopicSet>,
    clock: Arc<dyn Clock>,
    sender: mpsc::Sender<Delivery>,
    health: Arc<MqttHealth>,
    stop: CancellationToken,
) -> Result<(), MqttError> {
    let options = options(&broker).await?;
    let mut backoff = Backoff::new(
        Duration::from_millis(broker.retry_delay_min_ms),
        Duration::from_millis(broker.retry_delay_max_ms),
    );
    let mut subscriber = Subscriber {
        broker,
        topics,
        clock,
        sender: Some(sender),
        health,
        stop,
        last_failure: None,
    };
    loop {
        let acknowledged_before = subscriber.health.snapshot().acknowledged;
        let started = Instant::now();
        let ended = subscriber.connection(options.clone()).await;
        subscriber.health.set_connected(false);
        match ended {
            Ended::Stopped => return Ok(()),
            Ended::QueueClosed => {
                return Err(MqttError::QueueClosed {
                    broker: subscriber.broker.name,
                });
            }
            Ended::Failed(failure) => subscriber.report(failure),
        }
        // A CONNACK alone is no success: a broker that accepts and drops us at once, or a journal
        // that cannot commit, would otherwise be hammered at the shortest delay.
        let did_work = subscriber.health.snapshot().acknowledged > acknowledged_before;
        if did_work || started.elapsed() >= backoff.longest() {
            backoff.reset();
        }
        tokio::select! {
            () = subscriber.stop.cancelled() => return Ok(()),
            () = sleep(backoff.next_delay()) => {}
        }
    }
}

async fn options(broker: &BrokerSettings) -> Result<MqttOptions, MqttError> {
    if broker.client_id.is_empty() {
        return Err(MqttError::ClientIdEmpty {
            broker: broker.name.clone(),
        });
    }
    let mut options = MqttOptions::new(&broker.client_id, &broker.host, broker.port);
    // The in-flight window of rumqttc bounds what we publish, which is nothing; what the broker may
    // send unacknowledged is its own setting (max_inflight_messages).
    options
        .set_keep_alive(Duration::from_secs(u64::from(broker.keep_alive_s)))
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_max_packet_size(
            PACKET_MAX_BYTES.max(broker.payload_max_bytes.saturating_add(65_540)),
            1024 * 1024,
        );
    let password = match &broker.password_file {
        None => String::new(),
        Some(path) => {
            tokio::fs::read_to_string(path)
                .await
                .map_err(|source| MqttError::PasswordFile {
                    broker: broker.name.clone(),
                    path: path.clone(),
                    source,
                })?
        }
    };
    if let Some(username) = &broker.username {
        options.set_credentials(username, password.trim_end_matches(['\r', '\n']));
    }
    Ok(options)
}

fn events(eventloop: EventLoop) -> impl Stream<Item = Result<Event, ConnectionError>> {
    // A poll that is dropped half way can lose an acknowledgement it has already taken from the
    // request queue. Inside the stream a poll begun is always finished.
    stream::unfold(eventloop, |mut eventloop| async move {
        let event = eventloop.poll().await;
        Some((event, eventloop))
    })
}

type Events<'a, S> = Pin<&'a mut S>;

/// Sends what is queued, acknowledgements above all, and says goodbye.
async fn leave(
    client: &AsyncClient,
    mut events: Events<'_, impl Stream<Item = Result<Event, ConnectionError>>>,
) {
    client.try_disconnect().ok();
    while let Some(Ok(event)) = events.next().await {
        if event == Event::Outgoing(Outgoing::Disconnect) {
            break;
        }
    }
}

struct Subscriber {
    broker: BrokerSettings,
    topics: Arc<TopicSet>,
    clock: Arc<dyn Clock>,
    /// Dropped at shutdown, so that ingest sees the end of its queue.
    sender: Option<mpsc::Sender<Delivery>>,
    health: Arc<MqttHealth>,
    stop: CancellationToken,
    last_failure: Option<FailureKind>,
}

impl Subscriber {
    async fn connection(&mut self, options: MqttOptions) -> Ended {
        let (client, mut eventloop) = AsyncClient::new(options, REQUESTS_MAX);
        let mut network = NetworkOptions::new();
        network
            .set_connection_timeout(CONNECT_TIMEOUT_S)
            .set_tcp_nodelay(true);
        eventloop.set_network_options(network);
        let mut events = pin!(events(eventloop));
        let mut window = Window::default();
        let Some(sender) = self.sender.clone() else {
            return Ended::Stopped;
        };
        loop {
            if window.forward(&sender).is_err() {
                return self.queue_closed();
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                acked = window::front(&mut window.held), if !window.held.is_empty() => {
                    if self.acknowledge(&client, &mut window, acked).is_err() {
                        timeout(DRAIN_MAX, leave(&client, events)).await.ok();
                        return Ended::Failed(Failure::not_committed(&self.broker));
                    }
                }
                permit = sender.reserve(), if !window.parked.is_empty() => match permit {
                    Ok(permit) => window.send_parked(permit),
                    Err(_) => return self.queue_closed(),
                },
                event = events.next(), if window.has_room() => {
                    let outcome = match event {
                        Some(Ok(event)) => self.handle(&client, &mut window, event),
                        Some(Err(error)) => Err(Failure::of(&self.broker, &error)),
                        None => return Ended::Stopped,
                    };
                    if let Err(failure) = outcome {
                        return Ended::Failed(failure);
                    }
                }
            }
        }
        // Asked to stop: ingest sees the end of its queue once every collector has let go of it.
        drop(sender);
        self.sender = None;
        self.drain(&client, events, window).await;
        Ended::Stopped
    }

    fn queue_closed(&self) -> Ended {
        if self.stop.is_cancelled() {
            Ended::Stopped
        } else {
            Ended::QueueClosed
        }
    }

    fn handle(
        &mut self,
        client: &AsyncClient,
        window: &mut Window,
        event: Event,
    ) -> Result<(), Failure> {
        match event {
            Event::Incoming(Packet::ConnAck(connack)) => self.connected(client, &connack),
            Event::Incoming(Packet::SubAck(suback)) => {
                self.subscribed(&suback.return_codes);
                Ok(())
            }
            Event::Incoming(Packet::Publish(publish)) => self.take(window, &publish),
            _ => Ok(()),
        }
    }

    fn connected(&mut self, client: &AsyncClient, connack: &ConnAck) -> Result<(), Failure> {
        let name = &self.broker.name;
        let epoch = self.health.begin_epoch();
        self.last_failure = None;
        if epoch > 1 && !connack.session_present {
            warn!(
                broker.name = %name,
                mqtt.epoch = epoch,
                "Broker `{name}` has forgotten our session; what was published since the last connection may be lost there, turn on its persistence and raise persistent_client_expiration"
            );
        }
        info!(
            broker.name = %name,
            mqtt.epoch = epoch,
            mqtt.session_present = connack.session_present,
            "Connected to broker `{name}` at {}:{}",
            self.broker.host,
            self.broker.port
        );
        let filters = self
            .topics
            .filters()
            .map(|filter| SubscribeFilter::new(filter.to_owned(), QoS::AtLeastOnce));
        client
            .try_subscribe_many(filters)
            .map_err(|error| Failure::subscribe(&self.broker, &error))
    }

    fn subscribed(&self, codes: &[SubscribeReasonCode]) {
        let name = &self.broker.name;
        info!(broker.name = %name, "Subscribed to {} topics at broker `{name}`", codes.len());
        for (filter, code) in self.topics.filters().zip(codes) {
            match code {
                SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce) => {}
                SubscribeReasonCode::Success(QoS::AtMostOnce) => {
                    let text = format!(
                        "broker `{name}` grants `{filter}` only at QoS 0, so an outage loses readings; allow QoS 1 for client `{}`",
                        self.broker.client_id
                    );
                    warn!(broker.name = %name, "{text}");
                    self.health.set_error(text);
                }
                SubscribeReasonCode::Failure => {
                    let text = format!(
                        "broker `{name}` refuses the subscription `{filter}`; allow client `{}` to read it in the broker's access list",
                        self.broker.client_id
                    );
                    warn!(broker.name = %name, "{text}");
                    self.health.set_error(text);
                }
            }
        }
    }

    fn take(&self, window: &mut Window, publish: &Publish) -> Result<(), Failure> {
        self.health.count_received(publish.dup);
        let frame = self.frame(publish);
        match publish.qos {
            QoS::AtMostOnce => window.park(Delivery {
                frame,
                ack: Ack::none(),
            }),
            QoS::AtLeastOnce => {
                let (ack, done) = Ack::pair();
                window.park(Delivery { frame, ack });
                window.hold(publish.pkid, done);
            }
            // We subscribe at QoS 1; a broker may never deliver above what was granted.
            QoS::ExactlyOnce => return Err(Failure::qos_two(&self.broker)),
        }
        let max = usize::from(self.broker.in_flight_max);
        if window.held.len() == max + 1 {
            let name = &self.broker.name;
            warn!(
                broker.name = %name,
                "Broker `{name}` sends more than in_flight_max = {max} unacknowledged messages; set its max_inflight_messages to {max}, or raise in_flight_max and ingest.queue_len"
            );
        }
        Ok(())
    }

    fn frame(&self, publish: &Publish) -> RawFrame {
        let max = self.broker.payload_max_bytes;
        let len = publish.payload.len();
        let received_at = self.clock.now();
        // Copied, so that a small payload does not keep the connection's whole read buffer alive.
        match publish.payload.get(..max) {
            Some(head) if len > max => {
                warn!(
                    broker.name = %self.broker.name,
                    "Message on `{}` has {len} bytes, more than payload_max_bytes = {max}; its first {max} bytes are kept among the rejected frames",
                    publish.topic
                );
                RawFrame {
                    transport: Transport::Mqtt,
                    origin: format!("{} ({len} bytes, first {max} kept)", publish.topic),
                    // No device: a truncated frame must not be decoded as if it were whole.
                    device: None,
                    bytes: Bytes::copy_from_slice(head),
                    received_at,
                }
            }
            _ => RawFrame {
                transport: Transport::Mqtt,
                origin: publish.topic.clone(),
                device: self.topics.device_of(&publish.topic),
                bytes: Bytes::copy_from_slice(&publish.payload),
                received_at,
            },
        }
    }

    /// Acknowledges the front of the window and whatever behind it is committed too.
    fn acknowledge(
        &self,
        client: &AsyncClient,
        window: &mut Window,
        front: Acked,
    ) -> Result<(), window::NotCommitted> {
        let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new());
        for pkid in window.acknowledged(front)? {
            publish.pkid = pkid;
            if client.try_ack(&publish).is_err() {
                // Cannot happen while packet ids are 16 bits; the message then comes once more.
                debug!(broker.name = %self.broker.name, "Acknowledgement {pkid} found no room");
            } else {
                self.health.count_acknowledged();
            }
        }
        Ok(())
    }

    /// Waits for the commits under way, acknowledges them and says goodbye.
    async fn drain(
        &self,
        client: &AsyncClient,
        mut events: Events<'_, impl Stream<Item = Result<Event, ConnectionError>>>,
        mut window: Window,
    ) {
        window.parked.clear();
        let goodbye = async {
            while !window.held.is_empty() {
                tokio::select! {
                    biased;
                    acked = window::front(&mut window.held) => {
                        if self.acknowledge(client, &mut window, acked).is_err() {
                            break;
                        }
                    }
                    // What still comes in is not taken and so delivered again.
                    event = events.next() => if !matches!(event, Some(Ok(_))) { return; }
                }
            }
            leave(client, events).await;
        };
        if self.health.snapshot().is_connected && timeout(DRAIN_MAX, goodbye).await.is_err() {
            let name = &self.broker.name;
            info!(broker.name = %name, "Left broker `{name}` with commits under way; it delivers those messages again");
        }
    }

    fn report(&mut self, failure: Failure) {
        let name = &self.broker.name;
        if self.last_failure == Some(failure.kind) {
            debug!(broker.name = %name, "{}", failure.message);
        } else {
            warn!(broker.name = %name, "{}", failure.message);
        }
        self.last_failure = Some(failure.kind);
        self.health.set_error(failure.message);
    }
}
