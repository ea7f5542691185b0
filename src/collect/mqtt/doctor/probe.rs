//! The self-test: publishes to a private topic and counts what comes out again.
//!
//! Two sessions of the doctor's own, a publisher and a persistent subscriber. First the subscriber
//! is connected but acknowledges nothing until everything is published: that shows the in-flight
//! window and the queue behind it. Then it is away without a goodbye while as much is published
//! again: that shows the session. Both sessions are gone afterwards.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::link::LinkError;
use super::super::secrets::Secrets;
use super::super::wire::{Grant, Incoming, Message};
use super::caller::{CallError, Caller, Kind};
use crate::settings::BrokerSettings;

/// Published and not yet acknowledged, at most; fewer if the broker says so. Mosquitto's own limit
/// is twenty.
const OUTSTANDING_MAX: u16 = 20;

/// Payload, bytes: as long as a reading.
const PAYLOAD_BYTES: usize = 210;

/// No message for so long means that no more will come.
const QUIET: Duration = Duration::from_secs(3);

/// Each half of the test takes this long at most.
const HALF_MAX: Duration = Duration::from_mins(1);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Messages the broker acknowledged, in each half.
    pub(super) published: u32,
    /// Messages it sent before the first acknowledgement.
    pub(super) window: u32,
    /// Different messages delivered to the connected subscriber.
    pub(super) delivered: u32,
    /// Different messages delivered after the subscriber was away.
    pub(super) delivered_offline: u32,
    /// Whether the session outlived the connection.
    pub(super) kept_session: bool,
    /// How long the broker says it keeps sessions, s.
    pub(super) session_expiry_s: Option<u32>,
    /// Messages behind one that was published later.
    pub(super) out_of_order: u32,
    /// Messages that came twice without being marked.
    pub(super) unmarked_duplicates: u32,
    /// From publishing to delivery, alone on the line.
    pub(super) round_trip: Duration,
}

/// Runs the test with `count` messages in each half.
pub(super) async fn run(
    broker: &BrokerSettings,
    secrets: &Secrets,
    count: u32,
) -> Result<Outcome, CallError> {
    let nonce = RandomState::new().hash_one(&broker.client_id);
    let test = Test {
        broker,
        secrets,
        count,
        topic: format!("qiliang-doctor/{}/{nonce:016x}", broker.client_id),
        subscriber_id: format!("{}-doctor-{:08x}", broker.client_id, nonce & 0xffff_ffff),
        publisher_id: format!("{}-doctor-out", broker.client_id),
    };
    let outcome = test.run().await;
    // Whatever happened, no session is left behind.
    let removed = Caller::open(broker, secrets, &test.subscriber_id, Kind::Clean).await;
    if let Ok((caller, _)) = removed {
        caller.leave().await;
    }
    outcome
}

struct Test<'a> {
    broker: &'a BrokerSettings,
    secrets: &'a Secrets,
    count: u32,
    topic: String,
    subscriber_id: String,
    publisher_id: String,
}

/// What a subscriber has seen of one half of the test.
#[derive(Default)]
struct Seen {
    /// The half's first number; what comes again of the other half is only acknowledged.
    first: u32,
    numbers: BTreeSet<u32>,
    last: Option<u32>,
    out_of_order: u32,
    unmarked_duplicates: u32,
    unacknowledged: Vec<u16>,
}

impl Seen {
    fn take(&mut self, message: &Message) {
        let text = String::from_utf8_lossy(&message.payload);
        let Ok(number) = text.trim().parse::<u32>() else {
            return;
        };
        self.unacknowledged.push(message.pkid);
        if number < self.first {
            return;
        }
        if !self.numbers.insert(number) {
            self.unmarked_duplicates += u32::from(!message.is_duplicate);
            return;
        }
        self.out_of_order += u32::from(self.last.is_some_and(|last| last > number));
        self.last = Some(number);
    }

    fn count(&self) -> u32 {
        u32::try_from(self.numbers.len()).unwrap_or(u32::MAX)
    }
}

impl Test<'_> {
    async fn run(&self) -> Result<Outcome, CallError> {
        let opened = self.open(&self.subscriber_id, Kind::Persistent).await?;
        let (mut subscriber, accepted) = opened;
        let session_expiry_s = accepted.limits.session_expiry_s;
        let grants = subscriber
            .subscribe(std::slice::from_ref(&self.topic))
            .await?;
        if let Some(Grant::Refused(why)) = grants.first() {
            return Err(CallError::Refused {
                topic: self.topic.clone(),
                why: why.clone(),
            });
        }
        let (mut publisher, accepted) = self.open(&self.publisher_id, Kind::Clean).await?;
        let outstanding_max = accepted
            .limits
            .receive_max
            .unwrap_or(OUTSTANDING_MAX)
            .min(OUTSTANDING_MAX);
        let round_trip = self.round_trip(&mut publisher, &mut subscriber).await?;

        let mut seen = Seen::default();
        let window = {
            let publishing = self.publish(&mut publisher, outstanding_max, 0);
            let watching = watch(&mut subscriber, &mut seen, self.count);
            let (published, watched) = tokio::join!(publishing, watching);
            published?;
            watched?;
            seen.count()
        };
        self.collect(&mut subscriber, &mut seen).await?;
        let delivered = seen.count();

        // Away without a goodbye, as when the network fails.
        drop(subscriber);
        self.publish(&mut publisher, outstanding_max, self.count)
            .await?;
        publisher.leave().await;
        let (mut subscriber, accepted) = self.open(&self.subscriber_id, Kind::Persistent).await?;
        let mut seen_offline = Seen {
            first: self.count,
            ..Seen::default()
        };
        if accepted.has_session {
            self.collect(&mut subscriber, &mut seen_offline).await?;
        }
        subscriber.leave().await;
        Ok(Outcome {
            published: self.count,
            window,
            delivered,
            delivered_offline: seen_offline.count(),
            kept_session: accepted.has_session,
            session_expiry_s,
            out_of_order: seen.out_of_order + seen_offline.out_of_order,
            unmarked_duplicates: seen.unmarked_duplicates + seen_offline.unmarked_duplicates,
            round_trip,
        })
    }

    async fn open(
        &self,
        client_id: &str,
        kind: Kind,
    ) -> Result<(Caller, super::super::wire::Accepted), LinkError> {
        Caller::open(self.broker, self.secrets, client_id, kind).await
    }

    async fn round_trip(
        &self,
        publisher: &mut Caller,
        subscriber: &mut Caller,
    ) -> Result<Duration, CallError> {
        let began = Instant::now();
        let pkid = publisher.next_pkid();
        let message = publisher.writer().probe_message(pkid, &self.topic, b"-");
        message.map_err(LinkError::Wire)?;
        publisher.flush().await?;
        let arrived = async {
            loop {
                if let Incoming::Message(message) = subscriber.next().await? {
                    return Ok::<u16, LinkError>(message.pkid);
                }
            }
        };
        let pkid = timeout(QUIET, arrived)
            .await
            .map_err(|_| CallError::Timeout)??;
        let round_trip = began.elapsed();
        subscriber.writer().acknowledge(pkid);
        subscriber.flush().await?;
        Ok(round_trip)
    }

    /// Publishes the numbers from `first` on, until the broker has acknowledged all of them.
    async fn publish(
        &self,
        publisher: &mut Caller,
        outstanding_max: u16,
        first: u32,
    ) -> Result<(), CallError> {
        let mut to_send = first..first + self.count;
        // The round trip's own acknowledgement may still be under way.
        let mut outstanding = BTreeSet::new();
        let work = async {
            loop {
                while outstanding.len() < usize::from(outstanding_max)
                    && let Some(number) = to_send.next()
                {
                    let pkid = publisher.next_pkid();
                    outstanding.insert(pkid);
                    let payload = format!("{number:>PAYLOAD_BYTES$}");
                    publisher
                        .writer()
                        .probe_message(pkid, &self.topic, payload.as_bytes())
                        .map_err(LinkError::Wire)?;
                }
                if outstanding.is_empty() {
                    return Ok::<(), LinkError>(());
                }
                if let Incoming::PubAck { pkid } = publisher.next().await? {
                    outstanding.remove(&pkid);
                }
            }
        };
        timeout(HALF_MAX, work)
            .await
            .map_err(|_| CallError::Timeout)??;
        Ok(())
    }

    /// Acknowledges what was seen and takes the rest, until all are there or no more come.
    async fn collect(&self, subscriber: &mut Caller, seen: &mut Seen) -> Result<(), CallError> {
        let end = Instant::now() + HALF_MAX;
        while Instant::now() < end {
            for pkid in std::mem::take(&mut seen.unacknowledged) {
                subscriber.writer().acknowledge(pkid);
            }
            if seen.count() == self.count {
                break;
            }
            match timeout(QUIET, subscriber.next()).await {
                Err(_) => break,
                Ok(Ok(Incoming::Message(message))) => seen.take(&message),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.into()),
            }
        }
        // Answered only after the broker has seen the acknowledgements before it.
        subscriber.ping().await
    }
}

/// Reads without acknowledging until all are there or no more come.
async fn watch(subscriber: &mut Caller, seen: &mut Seen, count: u32) -> Result<(), LinkError> {
    let end = Instant::now() + HALF_MAX;
    while seen.count() < count && Instant::now() < end {
        match timeout(QUIET, subscriber.next()).await {
            Err(_) => break,
            Ok(Ok(Incoming::Message(message))) => seen.take(&message),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
    Ok(())
}
