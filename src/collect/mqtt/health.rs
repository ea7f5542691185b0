//! How a subscription fares, for health checks and metrics.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the session at one broker fares; written by the subscriber, read by anyone.
#[derive(Debug, Default)]
pub struct MqttHealth {
    is_connected: AtomicBool,
    epoch: AtomicU64,
    received: AtomicU64,
    redelivered: AtomicU64,
    acknowledged: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// The figures at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MqttHealthSnapshot {
    /// Whether the broker has accepted us and not gone since.
    pub is_connected: bool,
    /// Connections accepted since the start.
    pub epoch: u64,
    /// Messages received, redeliveries included.
    pub received: u64,
    /// Of these, marked by the broker as delivered before.
    pub redelivered: u64,
    /// Messages acknowledged after their commit.
    pub acknowledged: u64,
    /// The last thing that went wrong, cleared by a connection that succeeds.
    pub last_error: Option<String>,
}

impl MqttHealth {
    /// The figures now.
    pub fn snapshot(&self) -> MqttHealthSnapshot {
        MqttHealthSnapshot {
            is_connected: self.is_connected.load(Ordering::Relaxed),
            epoch: self.epoch.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            redelivered: self.redelivered.load(Ordering::Relaxed),
            acknowledged: self.acknowledged.load(Ordering::Relaxed),
            last_error: self.error().clone(),
        }
    }

    fn error(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.last_error
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn begin_epoch(&self) -> u64 {
        *self.error() = None;
        self.is_connected.store(true, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }

    pub(super) fn set_error(&self, text: String) {
        *self.error() = Some(text);
    }

    pub(super) fn count_received(&self, is_redelivered: bool) {
        self.received.fetch_add(1, Ordering::Relaxed);
        if is_redelivered {
            self.redelivered.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_acknowledged(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}
