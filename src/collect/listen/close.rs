//! How a meter's connection ends, in words an operator can act on.

use std::fmt;

use rumqttc::mqttbytes::Error as PacketError;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Close {
    /// DISCONNECT, or the end of the stream.
    ByPeer,
    /// Network error.
    Network(String),
    /// Nothing within the keep-alive.
    Silent,
    /// A newer connection uses the client id.
    Displaced,
    /// We stop.
    Stopped,
    /// Something already received could not be committed; the peer sends it again.
    NotCommitted,
    /// No CONNECT in time.
    ConnectTimeout,
    /// User or password wrong.
    Credentials {
        /// As given.
        user: String,
    },
    /// Anything against MQTT 3.1.1 or our limits.
    Protocol(String),
}

impl Close {
    /// Whether the peer did something an operator should know of.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout | Self::Credentials { .. } | Self::Protocol(_)
        )
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer => f.write_str("it left"),
            Self::Network(cause) => write!(f, "network error: {cause}"),
            Self::Silent => f.write_str("silent for longer than one and a half keep-alives"),
            Self::Displaced => f.write_str("its client id connected anew"),
            Self::Stopped => f.write_str("we stop"),
            Self::NotCommitted => {
                f.write_str("a message could not be committed; the meter sends it again")
            }
            Self::ConnectTimeout => f.write_str(
                "no CONNECT within connect_timeout_s; check that the meter speaks MQTT 3.1.1 without TLS",
            ),
            Self::Credentials { user } => write!(
                f,
                "wrong user or password for user `{user}`; compare the meter's settings with users_file"
            ),
            Self::Protocol(what) => f.write_str(what),
        }
    }
}

impl From<std::io::Error> for Close {
    fn from(error: std::io::Error) -> Self {
        Self::Network(error.to_string())
    }
}

impl From<PacketError> for Close {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::PayloadSizeLimitExceeded(len) => Self::Protocol(format!(
                "a packet of {len} bytes is above the limit; raise payload_max_bytes or send less at once"
            )),
            other => Self::Protocol(format!("not MQTT 3.1.1: {other}")),
        }
    }
}
