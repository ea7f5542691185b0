//! What went wrong with a broker, in words an operator can act on.

use rumqttc::mqttbytes::Error as PacketError;
use rumqttc::{ClientError, ConnectReturnCode, ConnectionError, StateError};

use crate::settings::BrokerSettings;

/// Kinds of failure; a change of kind is worth a line in the log, a repetition is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    Unreachable,
    Credentials,
    ClientId,
    Refused,
    Silent,
    Closed,
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

    pub(super) fn of(broker: &BrokerSettings, error: &ConnectionError) -> Self {
        match error {
            ConnectionError::Io(cause) => Self::new(
                broker,
                FailureKind::Unreachable,
                &format!(
                    "cannot be reached: {cause}; check host and port of [[mqtt.broker]] and that the broker runs"
                ),
            ),
            ConnectionError::Tls(cause) => Self::new(
                broker,
                FailureKind::Unreachable,
                &format!("does not speak TLS with us: {cause}; check its certificate and port"),
            ),
            ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => Self::new(
                broker,
                FailureKind::Silent,
                "does not answer in time; check the network and that the port is an MQTT port",
            ),
            ConnectionError::ConnectionRefused(code) => Self::refused(broker, *code),
            ConnectionError::MqttState(state) => Self::of_state(broker, state),
            other => Self::new(
                broker,
                FailureKind::Protocol,
                &format!(
                    "does not keep to MQTT 3.1.1: {other}; check that the port is an MQTT port"
                ),
            ),
        }
    }

    fn refused(broker: &BrokerSettings, code: ConnectReturnCode) -> Self {
        match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
                let user = broker.username.as_deref().unwrap_or("");
                let who = if user.is_empty() {
                    "refuses a connection without a user; set username and password_file".to_owned()
                } else {
                    format!("refuses user `{user}`; check username and password_file")
                };
                Self::new(
                    broker,
                    FailureKind::Credentials,
                    &format!("{who} of [[mqtt.broker]] and the broker's password list"),
                )
            }
            ConnectReturnCode::BadClientId => Self::new(
                broker,
                FailureKind::ClientId,
                &format!(
                    "refuses the client_id `{}`; choose one it allows",
                    broker.client_id
                ),
            ),
            other => Self::new(
                broker,
                FailureKind::Refused,
                &format!("refuses the connection ({other:?}); see the broker's own log"),
            ),
        }
    }

    fn of_state(broker: &BrokerSettings, state: &StateError) -> Self {
        match state {
            StateError::Io(cause) | StateError::Deserialization(PacketError::Io(cause)) => {
                Self::new(
                    broker,
                    FailureKind::Closed,
                    &closed(broker, &cause.to_string()),
                )
            }
            StateError::ConnectionAborted => Self::new(
                broker,
                FailureKind::Closed,
                &closed(broker, "end of stream"),
            ),
            StateError::Deserialization(PacketError::PayloadSizeLimitExceeded(len)) => Self::new(
                broker,
                FailureKind::TooLarge,
                &format!(
                    "sent a packet of {len} bytes, which we do not read, and it will send it again; lower its message_size_limit and clear the session of client `{}`",
                    broker.client_id
                ),
            ),
            StateError::AwaitPingResp => Self::new(
                broker,
                FailureKind::Silent,
                &format!(
                    "did not answer a ping within keep_alive_s = {} s; check the network",
                    broker.keep_alive_s
                ),
            ),
            other => Self::new(
                broker,
                FailureKind::Protocol,
                &format!("does not keep to MQTT 3.1.1: {other}; see the broker's own log"),
            ),
        }
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

    pub(super) fn subscribe(broker: &BrokerSettings, error: &ClientError) -> Self {
        Self::new(
            broker,
            FailureKind::Protocol,
            &format!("could not be asked for our topics: {error}"),
        )
    }
}

fn closed(broker: &BrokerSettings, cause: &str) -> String {
    format!(
        "closed the connection ({cause}); if it keeps doing so, another client may be using client_id `{}`",
        broker.client_id
    )
}
