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
    is_subscribed: AtomicBool,
    sessions_lost: AtomicU64,
    last_error: Mutex<Option<String>>,
    last_notice: Mutex<Option<String>>,
}

/// The figures at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MqttHealthSnapshot {
    /// Whether the broker has accepted us and not gone since.
    pub is_connected: bool,
    /// Whether it has granted every topic at `QoS` 1.
    pub is_subscribed: bool,
    /// Connections accepted since the start.
    pub epoch: u64,
    /// Messages received, redeliveries included.
    pub received: u64,
    /// Of these, marked by the broker as delivered before.
    pub redelivered: u64,
    /// Messages acknowledged after their commit.
    pub acknowledged: u64,
    /// Times the broker had lost the session it should have kept for us.
    pub sessions_lost: u64,
    /// The last thing that went wrong, cleared by a connection that succeeds.
    pub last_error: Option<String>,
    /// What is amiss at the broker although it works: a session lost, or kept too short.
    pub last_notice: Option<String>,
}

impl MqttHealth {
    /// The figures now.
    pub fn snapshot(&self) -> MqttHealthSnapshot {
        MqttHealthSnapshot {
            is_connected: self.is_connected.load(Ordering::Relaxed),
            epoch: self.epoch.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            redelivered: self.redelivered.load(Ordering::Relaxed),
            acknowledged: self.acknowledged(),
            is_subscribed: self.is_subscribed.load(Ordering::Relaxed),
            sessions_lost: self.sessions_lost.load(Ordering::Relaxed),
            last_error: lock(&self.last_error).clone(),
            last_notice: lock(&self.last_notice).clone(),
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(super) fn begin_epoch(&self) -> u64 {
        *lock(&self.last_error) = None;
        self.is_connected.store(true, Ordering::Relaxed);
        self.epoch.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn set_connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
        if !is_connected {
            self.set_subscribed(false);
        }
    }

    pub(super) fn set_subscribed(&self, is_subscribed: bool) {
        self.is_subscribed.store(is_subscribed, Ordering::Relaxed);
    }

    pub(super) fn session_lost(&self, text: String) {
        self.sessions_lost.fetch_add(1, Ordering::Relaxed);
        self.set_notice(text);
    }

    pub(super) fn set_notice(&self, text: String) {
        *lock(&self.last_notice) = Some(text);
    }

    pub(super) fn set_error(&self, text: String) {
        *lock(&self.last_error) = Some(text);
    }

    pub(super) fn count_received(&self, is_redelivered: bool) {
        self.received.fetch_add(1, Ordering::Relaxed);
        if is_redelivered {
            self.redelivered.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_acknowledged(&self, count: u64) {
        self.acknowledged.fetch_add(count, Ordering::Relaxed);
    }
}

fn lock(text: &Mutex<Option<String>>) -> std::sync::MutexGuard<'_, Option<String>> {
    text.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
