//! How the second store does, for whoever asks.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::client::InfluxError;

/// A clock that is off by more than this makes a server drop or misplace what is new, s.
pub const CLOCK_TOLERANCE_S: i64 = 60;

/// What a clock that is off means, and what to do.
pub fn clock_text(ahead_s: i64) -> String {
    format!(
        "the second store's clock is {ahead_s} s ahead of ours; set both by NTP, else it drops as too old, or keeps too \
         long, what is sent"
    )
}

/// How the second store does; clones are one.
#[derive(Debug, Clone, Default)]
pub struct InfluxHealth(Arc<Mutex<InfluxState>>);

/// What the forwarder found last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InfluxState {
    /// When it last took a batch.
    pub last_ok_at: Option<DateTime<Utc>>,
    /// What is wrong, and since when, if something is.
    pub failure: Option<(InfluxError, DateTime<Utc>)>,
    /// Readings, curves and whole days that wait.
    pub waiting: u64,
    /// Lines that were refused and are kept.
    pub refused: u64,
    /// How far its clock is ahead of ours, s, when that was last looked at.
    pub ahead_s: Option<i64>,
}

impl InfluxHealth {
    /// The state now.
    pub fn state(&self) -> InfluxState {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Changes it, and gives what the change gives.
    pub fn update<T>(&self, change: impl FnOnce(&mut InfluxState) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
