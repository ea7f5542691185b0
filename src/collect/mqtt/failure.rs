//! What went wrong with a broker, in words an operator can act on.

use super::link::{CONNECT_TIMEOUT, LinkError};
use super::secrets::SecretError;
use super::wire::{Refusal, RefusalKind, WireError};
use crate::domain::text::error_chain;
use crate::settings::BrokerSettings;

/// Kinds of failure; a change of kind is worth a line in the log, a repetition is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    Unreachable,
    Secrets,
    Tls,
    WebSocket,
    Credentials,
    ClientId,
    Refused,
    Silent,
    Closed,
    TakenOver,
    TooLarge,
    Protocol,
    NotCommitted,
}

/// A failure that is retried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) message: String,
}

impl Failure {
    fn new(broker: &BrokerSettings, kind: FailureKind, rest: &str) -> Self {
        Self {
            kind,
            message: format!(
                "broker `{}` at {}:{} {rest}",
                broker.name, broker.host, broker.port
            ),
        }
    }

    pub(super) fn of(broker: &BrokerSettings, error: &LinkError) -> Self {
        let (kind, rest) = match error {
            LinkError::Unreachable(cause) => (
                FailureKind::Unreachable,
                format!(
                    "cannot be reached: {cause}; check host and port of [[mqtt.broker]] and that the broker runs"
                ),
            ),
            LinkError::Tls(cause) => (FailureKind::Tls, tls(broker, &error_chain(cause))),
            LinkError::WebSocket(cause) => (
                FailureKind::WebSocket,
                format!(
                    "does not open a WebSocket at `{}`: {cause}; check port and websocket_path, and that the broker offers the subprotocol mqtt there",
                    broker.websocket_path
                ),
            ),
            LinkError::ConnectTimeout => (
                FailureKind::Silent,
                format!(
                    "does not answer within {} s; check the network, and that the port speaks {}",
                    CONNECT_TIMEOUT.as_secs(),
                    if broker.transport.is_tls() {
                        "TLS"
                    } else {
                        "MQTT without TLS"
                    }
                ),
            ),
            LinkError::Refused(refusal) => return Self::refused(broker, refusal),
            LinkError::Farewell(farewell) if farewell.is_taken_over => {
                return Self::taken_over(broker, &farewell.text);
            }
            LinkError::Farewell(farewell) => (
                FailureKind::Closed,
                format!(
                    "ended the connection: {}; see the broker's own log",
                    farewell.text
                ),
            ),
            LinkError::Closed(cause) => (
                FailureKind::Closed,
                format!(
                    "closed the connection ({cause}); if it keeps doing so, another client may be using client_id `{}`",
                    broker.client_id
                ),
            ),
            LinkError::Wire(WireError::TooLarge(len)) => (
                FailureKind::TooLarge,
                format!(
                    "sent a packet of {len} bytes that is no message; see the broker's own log"
                ),
            ),
            LinkError::Wire(WireError::Malformed(_)) | LinkError::Unexpected(_) => (
                FailureKind::Protocol,
                format!(
                    "does not keep to MQTT {}: {error}; check that the port is an MQTT port and the version one the broker speaks",
                    broker.version
                ),
            ),
        };
        Self::new(broker, kind, &rest)
    }

    fn refused(broker: &BrokerSettings, refusal: &Refusal) -> Self {
        let text = &refusal.text;
        let (kind, rest) = match refusal.kind {
            RefusalKind::Credentials => {
                let who = match broker.username.as_deref() {
                    None | Some("") if broker.client_cert_file.is_none() => {
                        "refuses a connection without a user".to_owned()
                    }
                    None | Some("") => "refuses our certificate".to_owned(),
                    Some(user) => format!("refuses user `{user}`"),
                };
                (
                    FailureKind::Credentials,
                    format!(
                        "{who} ({text}); check username and password_file of [[mqtt.broker]] and the broker's password list"
                    ),
                )
            }
            RefusalKind::ClientId => (
                FailureKind::ClientId,
                format!(
                    "refuses the client_id `{}` ({text}); choose one it allows",
                    broker.client_id
                ),
            ),
            RefusalKind::Version => (
                FailureKind::Refused,
                format!(
                    "does not speak MQTT {} ({text}); set version to the other one",
                    broker.version
                ),
            ),
            RefusalKind::Other => (
                FailureKind::Refused,
                format!("refuses the connection ({text}); see the broker's own log"),
            ),
        };
        Self::new(broker, kind, &rest)
    }

    /// Another client has our name, and the broker says so or it shows.
    pub(super) fn taken_over(broker: &BrokerSettings, how: &str) -> Self {
        Self::new(
            broker,
            FailureKind::TakenOver,
            &format!(
                "gave our session to another client ({how}): two programs use client_id `{}`; give each its own, or stop one",
                broker.client_id
            ),
        )
    }

    pub(super) fn secrets(broker: &BrokerSettings, error: &SecretError) -> Self {
        Self::new(
            broker,
            FailureKind::Secrets,
            &format!("is not connected to: {}", error_chain(error)),
        )
    }

    pub(super) fn silent(broker: &BrokerSettings, what: &str) -> Self {
        Self::new(
            broker,
            FailureKind::Silent,
            &format!("{what}; check the network between here and there"),
        )
    }

    pub(super) fn not_committed(broker: &BrokerSettings) -> Self {
        Self::new(
            broker,
            FailureKind::NotCommitted,
            "is left for a while because a message could not be committed; it is delivered again, see the journal's own message for the cause",
        )
    }

    pub(super) fn qos_two(broker: &BrokerSettings) -> Self {
        Self::new(
            broker,
            FailureKind::Protocol,
            "delivered at QoS 2 what was subscribed at QoS 1; see the broker's own log",
        )
    }
}

fn tls(broker: &BrokerSettings, cause: &str) -> String {
    let name = broker.server_name.as_deref().unwrap_or(&broker.host);
    let remedy = if cause.contains("Hostname mismatch") || cause.contains("IP address mismatch") {
        format!("its certificate does not bear `{name}`: set server_name to a name it bears")
    } else if cause.contains("verify failed") {
        "name the authority that signed its certificate in ca_file, and check that it has not expired".to_owned()
    } else if cause.contains("handshake failure") || cause.contains("certificate required") {
        "if it asks for a client certificate, set client_cert_file and client_key_file".to_owned()
    } else {
        "check that the port is a TLS port and that both sides speak TLS 1.2 or later".to_owned()
    };
    format!("does not speak TLS with us: {cause}; {remedy}")
}
