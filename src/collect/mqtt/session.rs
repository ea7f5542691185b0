//! One connection at work: messages in, acknowledgements out, and the subscriptions as configured.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tracing::{info, warn};

use super::Subscriber;
use super::failure::Failure;
use super::link::Link;
use super::window::Window;
use super::wire::{Accepted, Grant, Incoming, Message};
use crate::collect::Delivery;
use crate::collect::topic::TopicSet;
use crate::domain::frame::{RawFrame, Transport};

/// At shutdown, commits under way are waited for this long; the rest is delivered again.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// A write that does not move on, or a subscription that is not answered, ends the connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A read that brings less than this is followed by a pause: a broker writes one message at a time,
/// and to wake for each of them costs several times what the message does.
const GATHER_BYTES: usize = 16 * 1024;

/// The pause. The timer's own grain; a commit takes longer.
const GATHER_FOR: Duration = Duration::from_millis(1);

/// How a connection ended.
pub(super) enum Ended {
    Stopped,
    QueueClosed,
    Failed(Failure),
}

/// Life signs of both sides.
struct Pulse {
    keep_alive: Duration,
    ticks: Interval,
    last_read: Instant,
    last_write: Instant,
    /// A ping is out since then.
    pinged_at: Option<Instant>,
    /// Bytes wait to go out since then.
    unsent_since: Option<Instant>,
}

impl Pulse {
    fn new(keep_alive: Duration) -> Self {
        let now = Instant::now();
        let period = (keep_alive / 8).clamp(Duration::from_millis(100), Duration::from_secs(1));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            keep_alive,
            ticks,
            last_read: now,
            last_write: now,
            pinged_at: None,
            unsent_since: None,
        }
    }
}

/// A question to the broker whose answer is awaited.
struct Asked<T> {
    pkid: u16,
    what: T,
    at: Instant,
}

/// One connection at work.
pub(super) struct Session<'a> {
    owner: &'a mut Subscriber,
    link: Link,
    window: Window,
    pulse: Pulse,
    topics: Arc<TopicSet>,
    last_pkid: u16,
    subscribing: Option<Asked<Vec<String>>>,
    unsubscribing: Option<Asked<Vec<String>>>,
}

impl<'a> Session<'a> {
    /// Works until told to stop, or until the connection ends.
    pub(super) async fn run(owner: &'a mut Subscriber, link: Link, accepted: &Accepted) -> Ended {
        let Some(sender) = owner.sender.clone() else {
            return Ended::Stopped;
        };
        let keep_alive_s = accepted
            .limits
            .keep_alive_s
            .unwrap_or(owner.broker.keep_alive_s);
        let topics = Arc::clone(&owner.topics.borrow_and_update());
        let mut session = Self {
            window: Window::new(owner.broker.in_flight_max),
            pulse: Pulse::new(Duration::from_secs(u64::from(keep_alive_s.max(1)))),
            topics,
            last_pkid: 0,
            subscribing: None,
            unsubscribing: None,
            link,
            owner,
        };
        session.connected(accepted).await;
        if let Some(ended) = session.work(&sender).await {
            return ended;
        }
        // Asked to stop: ingest sees the end of its queue once every collector has let go.
        drop(sender);
        session.owner.sender = None;
        session.drain().await;
        Ended::Stopped
    }

    /// None once told to stop.
    async fn work(&mut self, sender: &mpsc::Sender<Delivery>) -> Option<Ended> {
        let ledger = self.window.ledger();
        let stop = self.owner.stop.clone();
        let mut topics = self.owner.topics.clone();
        let mut topics_may_change = true;
        let mut is_gathering = false;
        let mut gathered = pin!(sleep(GATHER_FOR));
        loop {
            if let Err(failure) = self.take_packets().await {
                return Some(Ended::Failed(failure));
            }
            if self.window.forward(sender).is_err() {
                return Some(self.owner.queue_closed());
            }
            if self.acknowledge().is_err() {
                self.leave().await;
                return Some(Ended::Failed(Failure::not_committed(&self.owner.broker)));
            }
            let has_room = self.window.has_room();
            let has_unsent = self.link.has_unsent();
            let may_read = has_room && !is_gathering;
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = ledger.front_resolved(), if self.window.has_held() => {}
                permit = sender.reserve(), if self.window.has_parked() => match permit {
                    Ok(permit) => self.window.send_parked(permit),
                    Err(_) => return Some(self.owner.queue_closed()),
                },
                changed = topics.changed(), if topics_may_change => {
                    topics_may_change = changed.is_ok();
                    let now = Arc::clone(&topics.borrow_and_update());
                    if now != self.topics {
                        self.topics = now;
                        self.subscribe().await;
                    }
                }
                _ = self.pulse.ticks.tick() => {
                    if let Err(failure) = self.check_pulse(has_room) {
                        return Some(Ended::Failed(failure));
                    }
                }
                () = &mut gathered, if is_gathering => is_gathering = false,
                exchanged = self.link.exchange(may_read), if may_read || has_unsent => {
                    match exchanged {
                        Ok(exchange) => {
                            let now = Instant::now();
                            if exchange.read_bytes > 0 {
                                is_gathering = exchange.read_bytes < GATHER_BYTES;
                                gathered.as_mut().reset(now + GATHER_FOR);
                                self.pulse.last_read = now;
                                self.pulse.pinged_at = None;
                            }
                            if exchange.has_written {
                                self.pulse.last_write = now;
                                self.pulse.unsent_since = None;
                            }
                        }
                        Err(error) => return Some(self.owner.failed(&error)),
                    }
                }
            }
        }
    }

    fn next_pkid(&mut self) -> u16 {
        self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
        self.last_pkid
    }

    /// After each CONNACK: tell what became of the session, then ask for the topics, whether the
    /// broker says it remembers them or not.
    async fn connected(&mut self, accepted: &Accepted) {
        let name = self.owner.broker.name.clone();
        let epoch = self.owner.health.begin_epoch();
        self.owner.last_failure = None;
        info!(
            broker.name = %name,
            mqtt.epoch = epoch,
            mqtt.session_present = accepted.has_session,
            "Connected to broker `{name}`"
        );
        let had_session = !self.owner.memory.filters().is_empty();
        if had_session && !accepted.has_session {
            let text = format!(
                "broker `{name}` has lost our session `{}`: what was published while we were away did not reach us; give it persistence and a session expiry longer than our outages, and see that nobody connects with our client_id and a clean session",
                self.owner.broker.client_id
            );
            warn!(broker.name = %name, "{text}");
            self.owner.health.session_lost(text);
            self.remember(BTreeSet::new()).await;
        }
        let wanted_s = self.owner.broker.session_expiry_s;
        if let Some(given_s) = accepted.limits.session_expiry_s
            && given_s < wanted_s
        {
            let text = format!(
                "broker `{name}` keeps our session for {given_s} s, not session_expiry_s = {wanted_s} s; a longer outage loses readings"
            );
            warn!(broker.name = %name, "{text}");
            self.owner.health.set_notice(text);
        }
        self.subscribe().await;
    }

    fn filters(&self) -> Vec<String> {
        let group = self.owner.broker.share_group.as_deref();
        self.topics
            .filters()
            .map(|filter| match group {
                Some(group) => format!("$share/{group}/{filter}"),
                None => filter.to_owned(),
            })
            .collect()
    }

    /// Asks for the filters of the configuration, and gives up those that left it.
    async fn subscribe(&mut self) {
        let filters = self.filters();
        let wanted: BTreeSet<String> = filters.iter().cloned().collect();
        let gone: Vec<String> = self
            .owner
            .memory
            .filters()
            .difference(&wanted)
            .cloned()
            .collect();
        // Both sets are written down before the broker knows: a crash in between forgets nothing.
        let both = wanted.iter().chain(&gone).cloned().collect();
        self.remember(both).await;
        if !gone.is_empty() {
            let pkid = self.next_pkid();
            let name = &self.owner.broker.name;
            info!(broker.name = %name, "Giving up at broker `{name}` what left the configuration: {}", gone.join(", "));
            if self.link.writer().unsubscribe(pkid, &gone).is_ok() {
                self.unsubscribing = Some(Asked {
                    pkid,
                    what: gone,
                    at: Instant::now(),
                });
            }
        }
        let pkid = self.next_pkid();
        let names = filters.iter().map(String::as_str);
        if self.link.writer().subscribe(pkid, names).is_ok() {
            self.subscribing = Some(Asked {
                pkid,
                what: filters,
                at: Instant::now(),
            });
        }
    }

    async fn remember(&mut self, filters: BTreeSet<String>) {
        if let Err(error) = self.owner.memory.remember(filters).await {
            let name = &self.owner.broker.name;
            warn!(
                broker.name = %name,
                "What broker `{name}` keeps for us cannot be written to {}: {error}; a topic that leaves the configuration may stay subscribed there",
                self.owner.memory.file().display()
            );
        }
    }

    /// Every whole packet that has come in, as far as there is room.
    async fn take_packets(&mut self) -> Result<(), Failure> {
        let mut received_at = None;
        while self.window.has_room() {
            let packet = match self.link.next() {
                Ok(Some(packet)) => packet,
                Ok(None) => break,
                Err(error) => return Err(Failure::of(&self.owner.broker, &error)),
            };
            match packet {
                Incoming::Message(message) => {
                    // One look at the clock for what came in together.
                    let at = *received_at.get_or_insert_with(|| self.owner.clock.now());
                    self.take(message, at)?;
                }
                Incoming::Pong => self.pulse.pinged_at = None,
                Incoming::SubAck { pkid, grants } => self.subscribed(pkid, &grants),
                Incoming::UnsubAck { pkid } => self.unsubscribed(pkid).await,
                Incoming::Disconnect(farewell) => {
                    let error = super::link::LinkError::Farewell(farewell);
                    return Err(Failure::of(&self.owner.broker, &error));
                }
                Incoming::ConnAck(_) => return Err(self.unexpected("a second CONNACK")),
                Incoming::PubAck { .. } => return Err(self.unexpected("PUBACK")),
                Incoming::Unexpected(what) => return Err(self.unexpected(what)),
            }
        }
        Ok(())
    }

    fn unexpected(&self, what: &'static str) -> Failure {
        Failure::of(
            &self.owner.broker,
            &super::link::LinkError::Unexpected(what),
        )
    }

    fn subscribed(&mut self, pkid: u16, grants: &[Grant]) {
        let Some(asked) = self.subscribing.take_if(|asked| asked.pkid == pkid) else {
            return;
        };
        let name = &self.owner.broker.name;
        let client_id = &self.owner.broker.client_id;
        let mut is_whole = true;
        for (filter, grant) in asked.what.iter().zip(grants) {
            let text = match grant {
                Grant::Qos(1 | 2) => continue,
                Grant::Qos(_) => format!(
                    "broker `{name}` grants `{filter}` only at QoS 0, so an outage loses readings; allow QoS 1 for client `{client_id}`"
                ),
                Grant::Refused(why) => format!(
                    "broker `{name}` refuses the subscription `{filter}` ({why}); allow client `{client_id}` to read it in the broker's access list"
                ),
            };
            warn!(broker.name = %name, "{text}");
            self.owner.health.set_error(text);
            is_whole = false;
        }
        if is_whole {
            info!(broker.name = %name, "Subscribed to {} topics at broker `{name}`", grants.len());
        }
        self.owner.health.set_subscribed(is_whole);
    }

    async fn unsubscribed(&mut self, pkid: u16) {
        let Some(asked) = self.unsubscribing.take_if(|asked| asked.pkid == pkid) else {
            return;
        };
        let mut left = self.owner.memory.filters().clone();
        for filter in &asked.what {
            left.remove(filter);
        }
        self.remember(left).await;
    }

    fn take(&mut self, message: Message, received_at: DateTime<Utc>) -> Result<(), Failure> {
        self.owner.health.count_received(message.is_duplicate);
        let (qos, pkid) = (message.qos, message.pkid);
        let frame = self.frame(message, received_at);
        match qos {
            0 => self.window.park(frame),
            1 => self.window.hold(pkid, frame),
            // We subscribe at QoS 1; a broker may never deliver above what was granted.
            _ => return Err(Failure::qos_two(&self.owner.broker)),
        }
        Ok(())
    }

    fn frame(&self, message: Message, received_at: DateTime<Utc>) -> RawFrame {
        let max = self.owner.broker.payload_max_bytes;
        let len = message.len;
        if len <= max {
            return RawFrame {
                transport: Transport::Mqtt,
                device: self.topics.device_of(&message.topic),
                origin: if message.is_retained {
                    RawFrame::retained_origin(&message.topic)
                } else {
                    message.topic
                },
                // A part of the read buffer, which lives until the last message in it is done:
                // they are taken in order, so it holds little more than what is under way.
                bytes: message.payload,
                received_at,
            };
        }
        warn!(
            broker.name = %self.owner.broker.name,
            "Message on `{}` has {len} bytes, more than payload_max_bytes = {max}; its first {max} bytes are kept among the rejected frames",
            message.topic
        );
        let mut head = message.payload;
        head.truncate(max);
        RawFrame {
            transport: Transport::Mqtt,
            origin: format!("{} ({len} bytes, first {max} kept)", message.topic),
            // No device: a truncated frame must not be decoded as if it were whole.
            device: None,
            bytes: head,
            received_at,
        }
    }

    /// Acknowledges, in one batch, what has been committed in the order received.
    fn acknowledge(&mut self) -> Result<(), crate::collect::ledger::NotCommitted> {
        let (pkids, outcome) = self.window.take_committed();
        let count = pkids.len() as u64;
        if count > 0 {
            let mut writer = self.link.writer();
            for pkid in pkids {
                writer.acknowledge(pkid);
            }
            self.owner.health.count_acknowledged(count);
        }
        outcome
    }

    fn check_pulse(&mut self, has_room: bool) -> Result<(), Failure> {
        let now = Instant::now();
        let broker = &self.owner.broker;
        let pulse = &mut self.pulse;
        if self.link.has_unsent() {
            let since = *pulse.unsent_since.get_or_insert(now);
            if now.duration_since(since) >= ANSWER_TIMEOUT {
                return Err(Failure::silent(broker, "takes no bytes from us"));
            }
        } else {
            pulse.unsent_since = None;
        }
        // While nothing is read, since ingest stands still, no answer can be seen; the broker's time
        // to answer begins anew.
        if !has_room {
            pulse.last_read = now;
            pulse.pinged_at = pulse.pinged_at.map(|_| now);
        }
        let asked_at = [&self.subscribing, &self.unsubscribing]
            .into_iter()
            .flatten()
            .map(|asked| asked.at.max(pulse.last_read));
        if has_room
            && asked_at
                .min()
                .is_some_and(|at| now.duration_since(at) >= ANSWER_TIMEOUT)
        {
            return Err(Failure::silent(broker, "does not answer a subscription"));
        }
        if let Some(at) = pulse.pinged_at
            && now.duration_since(at) >= pulse.keep_alive
        {
            return Err(Failure::silent(
                broker,
                &format!(
                    "did not answer a ping within its keep-alive of {} s",
                    pulse.keep_alive.as_secs()
                ),
            ));
        }
        // One ping at a time; but while no answer can be seen, the broker must still hear from us.
        let may_ping = pulse.pinged_at.is_none() || !has_room;
        let quiet = now.duration_since(pulse.last_read.min(pulse.last_write));
        if may_ping && !self.link.has_unsent() && quiet >= pulse.keep_alive / 2 {
            pulse.pinged_at = Some(now);
            self.link.writer().ping();
        }
        Ok(())
    }

    /// Waits for the commits under way, acknowledges them and says goodbye.
    async fn drain(mut self) {
        self.window.forget_parked();
        let ledger = self.window.ledger();
        let commits = async {
            while self.acknowledge().is_ok() && self.window.has_held() {
                let has_unsent = self.link.has_unsent();
                tokio::select! {
                    () = ledger.front_resolved() => {}
                    // What still comes in is not taken and so delivered again.
                    sent = self.link.exchange(false), if has_unsent => if sent.is_err() { return },
                }
            }
        };
        let is_drained = timeout(DRAIN_MAX, commits).await.is_ok();
        if !is_drained {
            let name = &self.owner.broker.name;
            info!(broker.name = %name, "Left broker `{name}` with commits under way; it delivers those messages again");
        }
        timeout(DRAIN_MAX, self.link.leave()).await.ok();
    }

    /// Sends the acknowledgements there are and says goodbye.
    async fn leave(&mut self) {
        self.link.writer().goodbye();
        let sending = async {
            while self.link.has_unsent() {
                if self.link.exchange(false).await.is_err() {
                    return;
                }
            }
        };
        timeout(DRAIN_MAX, sending).await.ok();
    }
}
