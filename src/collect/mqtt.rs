//! MQTT subscriber: one persistent session at a broker, `QoS` 1, acknowledged after the commit.
//!
//! Each connection (epoch) has a link, a window and a ledger of its own, and all three are dropped
//! with it. So nothing buffered, pending or unacknowledged can pass from one connection into the
//! next, where a packet id may already mean another message. What was not acknowledged the broker
//! delivers again; ingest takes it by key.
//!
//! rumqttc reads and writes the packets of both versions (`wire`); why its event loop is not
//! used, ADR 0005 tells.

mod backoff;
pub mod doctor;
mod failure;
mod health;
mod link;
mod memory;
mod reader;
mod secrets;
mod session;
mod websocket;
mod window;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::collect::Delivery;
use crate::collect::topic::TopicSet;
use crate::settings::BrokerSettings;

use self::backoff::Backoff;
use self::failure::{Failure, FailureKind};
pub use self::health::{MqttHealth, MqttHealthSnapshot};
use self::link::{Link, LinkError};
use self::memory::Memory;
pub use self::secrets::SecretError;
use self::secrets::Secrets;
use self::session::{Ended, Session};
use self::wire::Hello;

/// A connection that ends sooner than this after it was accepted may have been taken over.
const SHORT_LIVED: Duration = Duration::from_mins(1);

/// So many short-lived connections in a row are no accident.
const SHORT_LIVED_MAX: u32 = 3;

/// Why subscribing ended. Anything a broker or network does is not among it: that is retried.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// A password or certificate cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
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
    pub fn code(&self) -> &'static str {
        match self {
            Self::Secret(error) => error.code(),
            Self::ClientIdEmpty { .. } => "collect.mqtt_client_id",
            Self::QueueClosed { .. } => "collect.queue_closed",
        }
    }
}

/// What a subscriber needs.
#[derive(Debug)]
pub struct Subscription {
    /// The broker.
    pub broker: BrokerSettings,
    /// Topics to read; a new set is subscribed at once, and what is not in it unsubscribed.
    pub topics: watch::Receiver<Arc<TopicSet>>,
    /// Where the state of the session is written down.
    pub state_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where messages go.
    pub sender: mpsc::Sender<Delivery>,
    /// How it fares.
    pub health: Arc<MqttHealth>,
    /// Ends it, in order.
    pub stop: CancellationToken,
}

/// Subscribes at a broker until told to stop, and forwards what it delivers.
///
/// Messages are acknowledged in the order in which they came, after [`Ack::done`]. An
/// acknowledgement dropped unused (a failed commit) ends the connection, so that the broker
/// delivers again after a pause. A broker that cannot be reached or refuses us is logged once for
/// each change of state and tried again with growing, jittered delays.
///
/// [`Ack::done`]: crate::collect::Ack::done
///
/// # Errors
/// Only for what trying again cannot mend: see [`MqttError`].
pub async fn subscribe(subscription: Subscription) -> Result<(), MqttError> {
    let broker = &subscription.broker;
    if broker.client_id.is_empty() {
        return Err(MqttError::ClientIdEmpty {
            broker: broker.name.clone(),
        });
    }
    // Files that cannot be used end the program at its start; later they may be in the making.
    secrets::read(broker).await?;
    let mut backoff = Backoff::new(
        Duration::from_millis(broker.retry_delay_min_ms),
        Duration::from_millis(broker.retry_delay_max_ms),
    );
    let mut subscriber = Subscriber {
        memory: Memory::load(broker, &subscription.state_dir).await,
        broker: subscription.broker,
        topics: subscription.topics,
        clock: subscription.clock,
        sender: Some(subscription.sender),
        health: subscription.health,
        stop: subscription.stop,
        last_failure: None,
        short_lived: 0,
    };
    loop {
        let acknowledged_before = subscriber.health.acknowledged();
        let started = Instant::now();
        let ended = subscriber.connection().await;
        subscriber.health.set_connected(false);
        let is_taken_over = match ended {
            Ended::Stopped => return Ok(()),
            Ended::QueueClosed => {
                return Err(MqttError::QueueClosed {
                    broker: subscriber.broker.name,
                });
            }
            Ended::Failed(failure) => {
                let is_taken_over = failure.kind == FailureKind::TakenOver;
                subscriber.report(failure);
                is_taken_over
            }
        };
        // A CONNACK alone is no success: a broker that accepts and drops us at once, or a journal
        // that cannot commit, would otherwise be hammered at the shortest delay. And two daemons
        // with one name would throw each other out as fast as they can.
        let did_work = subscriber.health.acknowledged() > acknowledged_before;
        if !is_taken_over && (did_work || started.elapsed() >= backoff.longest()) {
            backoff.reset();
        }
        tokio::select! {
            () = subscriber.stop.cancelled() => return Ok(()),
            () = sleep(backoff.next_delay()) => {}
        }
    }
}

/// What outlives a connection.
struct Subscriber {
    broker: BrokerSettings,
    topics: watch::Receiver<Arc<TopicSet>>,
    clock: Arc<dyn Clock>,
    /// Dropped at shutdown, so that ingest sees the end of its queue.
    sender: Option<mpsc::Sender<Delivery>>,
    health: Arc<MqttHealth>,
    memory: Memory,
    stop: CancellationToken,
    last_failure: Option<FailureKind>,
    /// Connections in a row that the broker closed soon after it had accepted them.
    short_lived: u32,
}

/// How we introduce ourselves for the session that lasts.
fn hello(broker: &BrokerSettings, secrets: &Secrets) -> Hello {
    Hello {
        client_id: broker.client_id.clone(),
        is_clean: false,
        keep_alive_s: broker.keep_alive_s,
        session_expiry_s: broker.session_expiry_s,
        receive_max: broker.in_flight_max,
        login: login(broker, secrets),
    }
}

fn login(broker: &BrokerSettings, secrets: &Secrets) -> Option<(String, String)> {
    let password = secrets.password.clone().unwrap_or_default();
    broker.username.clone().map(|username| (username, password))
}

impl Subscriber {
    async fn connection(&mut self) -> Ended {
        let secrets = match secrets::read(&self.broker).await {
            Ok(secrets) => secrets,
            Err(error) => return Ended::Failed(Failure::secrets(&self.broker, &error)),
        };
        let stop = self.stop.clone();
        let hello = hello(&self.broker, &secrets);
        let opened = tokio::select! {
            () = stop.cancelled() => return Ended::Stopped,
            opened = Link::open(&self.broker, &secrets, &hello) => opened,
        };
        let (link, accepted) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ended::Failed(Failure::of(&self.broker, &error)),
        };
        let accepted_at = Instant::now();
        let ended = Session::run(self, link, &accepted).await;
        self.judge_end(ended, accepted_at.elapsed())
    }

    /// MQTT 3.1.1 has no word for a session taken over; a broker that closes one connection after
    /// another just after accepting it says as much.
    fn judge_end(&mut self, ended: Ended, lived: Duration) -> Ended {
        let Ended::Failed(failure) = &ended else {
            return ended;
        };
        if failure.kind != FailureKind::Closed || lived >= SHORT_LIVED {
            self.short_lived = 0;
            return ended;
        }
        self.short_lived += 1;
        if self.short_lived < SHORT_LIVED_MAX {
            return ended;
        }
        let how = format!(
            "it closed {} connections in a row soon after accepting them",
            self.short_lived
        );
        Ended::Failed(Failure::taken_over(&self.broker, &how))
    }

    fn failed(&self, error: &LinkError) -> Ended {
        Ended::Failed(Failure::of(&self.broker, error))
    }

    fn queue_closed(&self) -> Ended {
        if self.stop.is_cancelled() {
            Ended::Stopped
        } else {
            Ended::QueueClosed
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
