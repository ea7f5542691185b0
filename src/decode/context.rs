//! What a frame's bytes do not say and a codec may need.

use chrono::{DateTime, Utc};

use crate::domain::frame::RawFrame;
use crate::domain::id::DeviceId;
use crate::domain::key::{DeviceKey, KeyRing};

/// What is known of a frame beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct DecodeContext<'a> {
    /// When it reached us: the sampling time where the device tells none.
    pub received_at: DateTime<Utc>,
    /// The device the transport stands for, if it does.
    pub device: Option<&'a DeviceId>,
    /// Keys of devices whose frames are encrypted.
    pub keys: &'a KeyRing,
}

impl<'a> DecodeContext<'a> {
    /// A frame of which only the time is known.
    pub const fn at(received_at: DateTime<Utc>) -> Self {
        Self {
            received_at,
            device: None,
            keys: KeyRing::EMPTY,
        }
    }

    /// A frame as a collector hands it over.
    pub const fn of(frame: &'a RawFrame, keys: &'a KeyRing) -> Self {
        Self {
            received_at: frame.received_at,
            device: frame.device.as_ref(),
            keys,
        }
    }

    /// The key of a device that names itself in its frame; else that of the device the transport
    /// stands for.
    pub fn key(&self, named: &DeviceId) -> Option<&'a DeviceKey> {
        self.keys
            .get(named)
            .or_else(|| self.device.and_then(|device| self.keys.get(device)))
    }
}
