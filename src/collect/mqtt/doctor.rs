//! What a broker is good for, before readings depend on it.
//!
//! The doctor connects as the daemon does but under a name of its own, so that it never takes the
//! daemon's session. It looks at what the broker tells (`$SYS`, the limits of MQTT 5, the grants for
//! our topics) and, if asked to, at what the broker does: a bounded self-test on a private topic
//! shows whether messages the broker has acknowledged really come out again.

mod caller;
mod probe;
mod sys;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::time::Instant;

use self::caller::Caller;
use self::sys::SysTopics;
use super::failure::Failure;
use super::memory::Memory;
use super::secrets::{self, Secrets};
use super::wire::{Grant, Incoming, Limits};
use crate::clock::Clock;
use crate::collect::topic::TopicSet;
use crate::domain::text::error_chain;
use crate::settings::{BrokerSettings, MqttVersion};

/// Retained messages and `$SYS` come at once; this long without one means there are no more.
const QUIET: Duration = Duration::from_millis(700);

/// At most so long for all of them.
const LISTEN_MAX: Duration = Duration::from_secs(10);

/// A broker's clock may differ from ours by so much, s.
const CLOCK_TOLERANCE_S: i64 = 5;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Readings may be lost or slow under conditions that will come.
    Warning,
    /// Readings are lost or cannot come.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Stable code, `doctor.broker_queue`.
    pub code: &'static str,
    /// What is so.
    pub what: String,
    /// What to set; empty where nothing is to be done.
    pub remedy: String,
}

/// All that was found at one broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which they were looked at.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst of them.
    pub fn worst(&self) -> Severity {
        let severities = self.findings.iter().map(|f| f.severity);
        severities.max().unwrap_or(Severity::Good)
    }

    fn add(&mut self, severity: Severity, code: &'static str, what: String, remedy: &str) {
        self.findings.push(Finding {
            severity,
            code,
            what,
            remedy: remedy.to_owned(),
        });
    }

    fn good(&mut self, code: &'static str, what: String) {
        self.add(Severity::Good, code, what, "");
    }
}

/// What to examine.
#[derive(Debug)]
pub struct Examination<'a> {
    /// The broker.
    pub broker: &'a BrokerSettings,
    /// Topics the daemon reads.
    pub topics: &'a TopicSet,
    /// Where the daemon writes down its session.
    pub state_dir: &'a Path,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Messages of the self-test; none without one.
    pub probe_messages: Option<u32>,
}

/// Examines a broker. A broker that cannot be reached is a finding, not an error.
pub async fn examine(examination: Examination<'_>) -> Report {
    let mut report = Report::default();
    let broker = examination.broker;
    let secrets = match secrets::read(broker).await {
        Ok(secrets) => secrets,
        Err(error) => {
            report.add(
                Severity::Critical,
                "doctor.broker_files",
                error_chain(&error),
                "mend the file; the daemon does not start without it",
            );
            return report;
        }
    };
    let began = Instant::now();
    let name = format!("{}-doctor", broker.client_id);
    let opened = Caller::open(broker, &secrets, &name, caller::Kind::Clean).await;
    let (mut caller, accepted) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let failure = Failure::of(broker, &error);
            report.add(
                Severity::Critical,
                "doctor.broker_connect",
                failure.message,
                "the daemon tries again until it succeeds; nothing comes in till then",
            );
            return report;
        }
    };
    report.good(
        "doctor.broker_connect",
        format!(
            "connected as `{name}` by MQTT {} in {} ms",
            broker.version,
            began.elapsed().as_millis()
        ),
    );
    limits(&mut report, broker, &accepted.limits);
    let sys = SysTopics::read(&mut caller).await;
    told_by_sys(&mut report, &sys, examination.clock.as_ref());
    topics(&mut report, &examination, &mut caller).await;
    left_over(&mut report, &examination).await;
    match examination.probe_messages {
        Some(count) => {
            self_test(
                &mut report,
                &examination,
                &secrets,
                &mut caller,
                &sys,
                count,
            )
            .await;
        }
        None => report.add(
            Severity::Note,
            "doctor.broker_probe",
            "what its queues hold was not tried".into(),
            "run with --probe: it publishes to a private topic and counts what comes out",
        ),
    }
    caller.leave().await;
    report
}

fn limits(report: &mut Report, broker: &BrokerSettings, limits: &Limits) {
    let code = "doctor.broker_limits";
    if limits.qos_max == Some(0) {
        report.add(
            Severity::Critical,
            code,
            "the broker allows QoS 0 only: whatever it cannot deliver at once is lost".into(),
            "allow QoS 1",
        );
    }
    if limits.lacks_wildcards {
        report.add(
            Severity::Critical,
            code,
            "the broker allows no wildcards in subscriptions, which every topic template needs"
                .into(),
            "allow wildcard subscriptions",
        );
    }
    if broker.share_group.is_some() && limits.lacks_shared {
        report.add(
            Severity::Critical,
            code,
            "the broker has no shared subscriptions, but share_group is set".into(),
            "remove share_group, or turn them on at the broker",
        );
    }
    if let Some(seconds) = limits.keep_alive_s
        && seconds != caller::KEEP_ALIVE_S
    {
        report.add(
            Severity::Note,
            code,
            format!("the broker sets the keep-alive to {seconds} s; the daemon keeps to it"),
            "",
        );
    }
}

fn told_by_sys(report: &mut Report, sys: &SysTopics, clock: &dyn Clock) {
    let code = "doctor.broker_sys";
    if sys.is_empty() {
        report.add(
            Severity::Note,
            code,
            "the broker shows nothing of $SYS to us, so its own counters were not read".into(),
            "allow this client to read $SYS/# to have them looked at",
        );
        return;
    }
    if let Some(version) = sys.version() {
        report.good(code, version.to_owned());
    }
    match sys.dropped() {
        Some(0) => report.good(
            "doctor.broker_dropped",
            "the broker has dropped no message since its start".into(),
        ),
        Some(dropped) => report.add(
            Severity::Warning,
            "doctor.broker_dropped",
            format!("the broker has dropped {dropped} messages since its start (all clients)"),
            "watch whether it grows; raise its queue limit (mosquitto: max_queued_messages 0, EMQX: mqtt.max_mqueue_len)",
        ),
        None => {}
    }
    let now = clock.now();
    if let Some(theirs) = sys.datetime() {
        let apart: TimeDelta = theirs.signed_duration_since(now);
        let code = "doctor.broker_clock";
        if apart.num_seconds().abs() > CLOCK_TOLERANCE_S {
            report.add(
                Severity::Warning,
                code,
                format!("its clock is {} s off ours", apart.num_seconds()),
                "run a time service (chrony) on both hosts",
            );
        } else {
            report.good(code, "its clock agrees with ours".into());
        }
    }
}

/// Asks for our own topics, in a group of the doctor's own if they are shared, and looks at the
/// grants and at what is retained there.
async fn topics(report: &mut Report, examination: &Examination<'_>, caller: &mut Caller) {
    let filters: Vec<String> = examination
        .topics
        .filters()
        .map(|filter| match &examination.broker.share_group {
            Some(group) => format!("$share/{group}-doctor/{filter}"),
            None => filter.to_owned(),
        })
        .collect();
    let code = "doctor.broker_topics";
    let grants = match caller.subscribe(&filters).await {
        Ok(grants) => grants,
        Err(error) => {
            report.add(
                Severity::Critical,
                code,
                format!("the broker does not answer a subscription to our topics: {error}"),
                "see the broker's own log and its access list",
            );
            return;
        }
    };
    let mut is_whole = true;
    for (filter, grant) in filters.iter().zip(&grants) {
        let (severity, what) = match grant {
            Grant::Qos(1 | 2) => continue,
            Grant::Qos(_) => (
                Severity::Warning,
                format!("the broker grants `{filter}` only at QoS 0, so an outage loses readings"),
            ),
            Grant::Refused(why) => (
                Severity::Critical,
                format!("the broker refuses the subscription `{filter}` ({why})"),
            ),
        };
        is_whole = false;
        report.add(
            severity,
            code,
            what,
            "allow the user of this daemon to read it at QoS 1 in the broker's access list",
        );
    }
    if is_whole {
        report.good(
            code,
            format!("the broker grants all {} topics at QoS 1", filters.len()),
        );
    }
    let mut retained = BTreeSet::new();
    caller
        .listen(QUIET, LISTEN_MAX, |incoming| {
            if let Incoming::Message(message) = incoming
                && message.is_retained
            {
                retained.insert(message.topic.clone());
            }
        })
        .await
        .ok();
    if !retained.is_empty() {
        let again = if examination.broker.version == MqttVersion::V311 {
            "each reconnect brings them again; of meters that send a time the journal takes them once, of others they are refused"
        } else {
            "a new session brings them again; of meters that send a time the journal takes them once, of others they are refused"
        };
        report.add(
            Severity::Note,
            "doctor.broker_retained",
            format!(
                "{} of our topics hold a retained message: {again}",
                retained.len()
            ),
            "publish readings without the retain flag",
        );
    }
    caller.unsubscribe(&filters).await.ok();
}

async fn left_over(report: &mut Report, examination: &Examination<'_>) {
    let memory = Memory::load(examination.broker, examination.state_dir).await;
    let group = examination.broker.share_group.as_deref();
    let wanted: BTreeSet<String> = examination
        .topics
        .filters()
        .map(|filter| match group {
            Some(group) => format!("$share/{group}/{filter}"),
            None => filter.to_owned(),
        })
        .collect();
    let gone: Vec<&str> = memory
        .filters()
        .difference(&wanted)
        .map(String::as_str)
        .collect();
    if !gone.is_empty() {
        report.add(
            Severity::Note,
            "doctor.broker_left_over",
            format!(
                "the daemon's session still holds topics that left the configuration: {}",
                gone.join(", ")
            ),
            "the daemon unsubscribes them at its next connection",
        );
    }
}

/// The self-test, and what follows from its figures.
async fn self_test(
    report: &mut Report,
    examination: &Examination<'_>,
    secrets: &Secrets,
    caller: &mut Caller,
    sys: &SysTopics,
    count: u32,
) {
    let broker = examination.broker;
    let outcome = match probe::run(broker, secrets, count).await {
        Ok(outcome) => outcome,
        Err(error) => {
            report.add(
                Severity::Warning,
                "doctor.broker_probe",
                format!("the self-test could not be finished: {error}"),
                "allow this user to publish to and read from qiliang-doctor/#, or run without --probe",
            );
            return;
        }
    };
    judge(report, broker, &outcome);
    let lost = outcome.published - outcome.delivered;
    let offline_lost = outcome.published - outcome.delivered_offline;
    // Mosquitto does not tell a counter that has never moved.
    let before = sys.dropped().unwrap_or_default();
    if lost + offline_lost > 0
        && !sys.is_empty()
        && let Some(after) = SysTopics::watch_dropped(caller, before).await
    {
        report.add(
            Severity::Note,
            "doctor.broker_dropped",
            format!(
                "its own counter of dropped messages grew by {} meanwhile",
                after.saturating_sub(before)
            ),
            "this counter ($SYS/broker/publish/messages/dropped) is worth an alarm",
        );
    }
}

fn judge(report: &mut Report, broker: &BrokerSettings, outcome: &probe::Outcome) {
    const QUEUE: &str = "mosquitto: max_queued_messages 0; EMQX: mqtt.max_mqueue_len = infinity; elsewhere the queue limit of a session";
    let published = outcome.published;
    let lost = published - outcome.delivered;
    if lost == 0 {
        report.good(
            "doctor.broker_queue",
            format!("all {published} messages acknowledged to the publisher were delivered to a slow subscriber"),
        );
    } else {
        report.add(
            Severity::Critical,
            "doctor.broker_queue",
            format!(
                "the broker acknowledged {published} messages at QoS 1 but threw {lost} of them away for a subscriber that was connected and slow: its queue holds about {}",
                outcome.delivered.saturating_sub(outcome.window)
            ),
            QUEUE,
        );
    }
    let offline_lost = published - outcome.delivered_offline;
    if !outcome.kept_session {
        report.add(
            Severity::Critical,
            "doctor.broker_session",
            "the broker forgot a persistent session after a lost connection: whatever is published during an outage is lost".into(),
            "let sessions persist (mosquitto: no persistent_client_expiration below a day; EMQX: mqtt.session_expiry_interval)",
        );
    } else if offline_lost > 0 {
        report.add(
            Severity::Critical,
            "doctor.broker_session",
            format!(
                "of {published} messages published while the subscriber was away, {offline_lost} were thrown away"
            ),
            QUEUE,
        );
    } else {
        report.good(
            "doctor.broker_session",
            format!("a session left without a goodbye was kept, with all {published} messages published meanwhile"),
        );
    }
    if let Some(given_s) = outcome.session_expiry_s
        && given_s < broker.session_expiry_s
    {
        report.add(
            Severity::Warning,
            "doctor.broker_expiry",
            format!(
                "the broker keeps sessions for {given_s} s, not session_expiry_s = {} s; a longer outage loses readings",
                broker.session_expiry_s
            ),
            "raise the broker's maximum session expiry, or lower session_expiry_s knowingly",
        );
    }
    let wanted = u32::from(broker.in_flight_max).min(published);
    if outcome.window < wanted {
        report.add(
            Severity::Warning,
            "doctor.broker_window",
            format!(
                "the broker sends at most {} unacknowledged messages, so a commit of 30 ms limits it to about {} messages/s",
                outcome.window,
                outcome.window.saturating_mul(1_000) / 30
            ),
            &format!(
                "raise its in-flight window to in_flight_max = {} (mosquitto: max_inflight_messages; EMQX: mqtt.max_inflight)",
                broker.in_flight_max
            ),
        );
    } else {
        report.good(
            "doctor.broker_window",
            format!("the in-flight window reaches {wanted} messages"),
        );
    }
    if outcome.out_of_order > 0 || outcome.unmarked_duplicates > 0 {
        report.add(
            Severity::Note,
            "doctor.broker_order",
            format!(
                "{} messages came out of order and {} twice without the duplicate mark; the journal takes each once in any order",
                outcome.out_of_order, outcome.unmarked_duplicates
            ),
            "",
        );
    }
    report.good(
        "doctor.broker_round_trip",
        format!(
            "a message of our own is back after {:.1} ms",
            outcome.round_trip.as_secs_f64() * 1e3
        ),
    );
}
