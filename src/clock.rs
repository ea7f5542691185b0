//! The time of day, as an argument: system time, a city's faster time, or a test's own.

use std::fmt::Debug;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time. Only tasks hold one; pure code takes `now` as an argument.
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> DateTime<Utc>;

    /// How many of its seconds pass in a real second.
    fn factor(&self) -> f64 {
        1.0
    }
}

/// A span of a clock's time as real time to wait.
pub fn real_duration(clock: &dyn Clock, span: TimeDelta) -> Duration {
    let seconds = span.as_seconds_f64().max(0.0) / clock.factor().max(1e-9);
    Duration::from_secs_f64(seconds.min(86_400.0 * 365.0))
}

/// The host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the host"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A simulated city's clock: stands at `origin` until it is started, then runs `factor` times as
/// fast as the host's.
#[derive(Debug)]
pub struct ScaledClock {
    origin: DateTime<Utc>,
    started: OnceLock<Instant>,
    factor: f64,
}

impl ScaledClock {
    /// Stands at `origin`.
    pub fn standing(origin: DateTime<Utc>, factor: f64) -> Self {
        Self {
            origin,
            started: OnceLock::new(),
            factor,
        }
    }

    /// Runs from now on.
    pub fn running(origin: DateTime<Utc>, factor: f64) -> Self {
        let clock = Self::standing(origin, factor);
        clock.start();
        clock
    }

    /// Lets it run; a second call changes nothing.
    pub fn start(&self) {
        self.started.get_or_init(Instant::now);
    }
}

impl Clock for ScaledClock {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "microseconds of a demo fit i64"
    )]
    fn now(&self) -> DateTime<Utc> {
        let elapsed = self.started.get().map(Instant::elapsed).unwrap_or_default();
        let micros = elapsed.as_secs_f64() * self.factor * 1e6;
        self.origin + TimeDelta::microseconds(micros as i64)
    }

    fn factor(&self) -> f64 {
        self.factor
    }
}

/// A clock that a test moves.
#[derive(Debug)]
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// Stands at `at`.
    pub fn new(at: DateTime<Utc>) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves to `at`.
    pub fn set(&self, at: DateTime<Utc>) {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = at;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
