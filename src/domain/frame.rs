//! Raw frames: bytes and where they came from, before anyone knows what they mean.

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::id::{DeviceId, MeterId};

/// Which way a frame came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// MQTT, through a broker or the listener.
    Mqtt,
    /// Modbus, polled by us.
    Modbus,
    /// `POST /api/v1/readings`.
    Http,
    /// `qiliang import`.
    Import,
}

impl Transport {
    /// The key used in SQL, metrics and JSON.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Modbus => "modbus",
            Self::Http => "http",
            Self::Import => "import",
        }
    }

    /// Which of two contradicting values wins: the greater rank, closer to the meter.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Import => 0,
            Self::Http => 1,
            Self::Mqtt => 2,
            Self::Modbus => 3,
        }
    }

    /// The transport of a key.
    pub fn from_key(key: &str) -> Option<Self> {
        [Self::Mqtt, Self::Modbus, Self::Http, Self::Import]
            .into_iter()
            .find(|t| t.key() == key)
    }
}

/// Bytes as they came in, with their origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// Which way.
    pub transport: Transport,
    /// Topic, `gateway/unit/block`, or file and line: where it came from, for people.
    pub origin: String,
    /// The device the origin stands for, where the transport says so (topic, polled unit).
    pub device: Option<DeviceId>,
    /// The payload.
    pub bytes: Bytes,
    /// When it reached us.
    pub received_at: DateTime<Utc>,
}

/// Ends the origin of a frame that a broker had kept: it came before, nobody knows when.
const RETAINED: &str = " (retained)";

impl RawFrame {
    /// The origin of a message that a broker had kept (MQTT's retain flag) and sent when we subscribed. It
    /// stands in the origin so that it is known as long as the frame is.
    pub fn retained_origin(topic: &str) -> String {
        format!("{topic}{RETAINED}")
    }

    /// Whether a broker had kept it: its arrival says nothing about its age.
    pub fn is_retained(&self) -> bool {
        self.transport == Transport::Mqtt && self.origin.ends_with(RETAINED)
    }
}

/// Why a frame was not taken: a stable code, what was wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectReason {
    /// Stable code, `decode.truncated`; key of the Chinese sentence.
    pub code: String,
    /// What, where and what to do, in English.
    pub message: String,
}

impl RejectReason {
    /// From a code and a message.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)
    }
}

/// A frame kept because it could not be taken (rejected frame); can be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedFrame {
    /// The frame.
    pub frame: RawFrame,
    /// The meter, if it was known by then.
    pub meter: Option<MeterId>,
    /// Why.
    pub reason: RejectReason,
}
