//! How a meter's connection ends, in words an operator can act on.

use std::fmt;

use rumqttc::mqttbytes::Error as PacketError;

use crate::collect::credentials::Denied;

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
    /// The handshake failed.
    Tls(String),
    /// Its user is no longer in the users file, or otherwise.
    Revoked {
        /// The user.
        user: String,
    },
    /// It published where it may not.
    Denied {
        /// The user.
        user: String,
        /// The topic.
        topic: String,
        /// Why, and what to do.
        why: Denied,
    },
    /// A packet above the limit.
    TooLarge(usize),
    /// `QoS` 2.
    TooExact,
    /// Anything against MQTT 3.1.1 or our limits.
    Protocol(String),
}

impl Close {
    /// Whether the peer did something an operator should know of.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout
                | Self::Credentials { .. }
                | Self::Tls(_)
                | Self::Revoked { .. }
                | Self::Denied { .. }
                | Self::TooLarge(_)
                | Self::TooExact
                | Self::Protocol(_)
        )
    }

    pub(super) fn too_large(len: usize) -> Self {
        Self::TooLarge(len)
    }

    /// The reason code of MQTT 5.
    pub(super) const fn reason(&self) -> u8 {
        match self {
            Self::ByPeer => 0x00,
            Self::Network(_) | Self::NotCommitted | Self::Tls(_) => 0x80,
            Self::Protocol(_) | Self::ConnectTimeout => 0x82,
            Self::Denied { .. } | Self::Credentials { .. } => 0x87,
            Self::Stopped => 0x8B,
            Self::Silent => 0x8D,
            Self::Displaced => 0x8E,
            Self::TooLarge(_) => 0x95,
            Self::Revoked { .. } => 0x98,
            Self::TooExact => 0x9B,
        }
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
                "no CONNECT within connect_timeout_s; check that the meter speaks MQTT 3.1.1 or 5, and TLS only at the port for it",
            ),
            Self::Credentials { user } => write!(
                f,
                "wrong user or password for user `{user}`; compare the meter's settings with users_file"
            ),
            Self::Tls(what) | Self::Protocol(what) => f.write_str(what),
            Self::Revoked { user } => write!(
                f,
                "user `{user}` is no longer in users_file as it was; the meter has to connect again"
            ),
            Self::Denied { user, topic, why } => {
                write!(f, "user `{user}` published to `{topic}`: {why}")
            }
            Self::TooLarge(len) => write!(
                f,
                "a packet of {len} bytes is above the limit; raise payload_max_bytes or send less at once"
            ),
            Self::TooExact => f.write_str(
                "it published at QoS 2; set the meter to QoS 1, a reading that comes twice is stored once",
            ),
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
            PacketError::PayloadSizeLimitExceeded(len) => Self::TooLarge(len),
            other => Self::Protocol(format!("not MQTT 3.1.1: {other}")),
        }
    }
}
