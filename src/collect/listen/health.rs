//! How the listener fares, for health checks and metrics.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How the listener fares; written by its connections, read by anyone.
#[derive(Debug, Default)]
pub struct ListenHealth {
    connected: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    slowed: AtomicU64,
    received: AtomicU64,
    acknowledged: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// The figures at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListenHealthSnapshot {
    /// Meters connected.
    pub connected: u64,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections refused or closed for what the peer did.
    pub refused: u64,
    /// Times that reading rested because a meter sent faster than it may.
    pub slowed: u64,
    /// Messages received.
    pub received: u64,
    /// Messages acknowledged after their commit.
    pub acknowledged: u64,
    /// The last refusal, in words.
    pub last_error: Option<String>,
}

impl ListenHealth {
    /// The figures now.
    pub fn snapshot(&self) -> ListenHealthSnapshot {
        ListenHealthSnapshot {
            connected: self.connected.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            slowed: self.slowed.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            acknowledged: self.acknowledged.load(Ordering::Relaxed),
            last_error: self.error().clone(),
        }
    }

    fn error(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.last_error
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(super) fn set_error(&self, text: String) {
        *self.error() = Some(text);
    }

    pub(super) fn enter(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.connected.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_slowed(&self) {
        self.slowed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self) {
        self.received.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_acknowledged(&self, count: u64) {
        self.acknowledged.fetch_add(count, Ordering::Relaxed);
    }
}
