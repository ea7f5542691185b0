//! A meter's place in the rounds of its bus, and how an answer or a failure moves it.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::Remedy;
use super::patience::Patience;

/// What the schedule knows of a meter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Turn {
    /// Unit number, the last word in order.
    pub(super) unit: u8,
    /// Time between polls.
    pub(super) period: Duration,
    /// Mark of the poll under way or next.
    pub(super) mark: Instant,
    /// Not before this; waits since then.
    pub(super) ready_at: Instant,
    /// Attempts at this mark so far.
    pub(super) attempts: u32,
    /// Marks missed in a row.
    pub(super) failures: u32,
    /// Whether it was silent when last asked.
    pub(super) is_silent: bool,
    /// Silent attempts in a row that had less than its whole deadline.
    pub(super) glances: u32,
    /// Requests in a poll.
    pub(super) requests: u32,
    /// Pauses in a poll.
    pub(super) pauses: Duration,
    /// Deadline, and what is usual.
    pub(super) patience: Patience,
}

/// What a failure made of the poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is tried again before the next mark.
    Retried,
    /// The mark is missed.
    Missed,
}

impl Turn {
    /// What a poll is expected to take.
    pub(super) fn cost(&self) -> Duration {
        self.request_cost() * self.requests
    }

    /// What one of its requests is expected to take, with the pause after it.
    pub(super) fn request_cost(&self) -> Duration {
        let request = self.patience.usual().unwrap_or(Duration::ZERO);
        request + self.pauses / self.requests.max(1)
    }

    /// Some of its blocks were read, and the turn was over: it goes on when there is room again.
    pub(super) fn went_on(&mut self, now: Instant) {
        self.is_silent = false;
        self.glances = 0;
        self.ready_at = now;
    }

    /// The poll is complete. `after` gives the first mark after an instant.
    pub(super) fn succeeded(&mut self, now: Instant, after: impl Fn(Instant) -> Instant) {
        self.failures = 0;
        self.is_silent = false;
        self.glances = 0;
        self.to_next_mark(now, after);
    }

    /// An attempt with this deadline failed.
    pub(super) fn failed(
        &mut self,
        remedy: Remedy,
        deadline: Duration,
        retries_max: u32,
        now: Instant,
        after: impl Fn(Instant) -> Instant,
    ) -> Fate {
        self.attempts = self.attempts.saturating_add(1);
        let next_mark = after(self.mark).max(now);
        let retry_at = match remedy {
            Remedy::Again(wait) if self.attempts <= retries_max => {
                self.is_silent = false;
                Some(now + wait * (1 << (self.attempts - 1).min(8)))
            }
            Remedy::Quietly => {
                if deadline >= self.patience.timeout() {
                    self.patience.silent();
                    self.glances = 0;
                } else {
                    self.glances = self.glances.saturating_add(1);
                }
                self.is_silent = true;
                // The answer to the first attempt may still occupy the line.
                (self.attempts == 1 && self.failures == 0).then(|| now + deadline)
            }
            Remedy::Again(_) | Remedy::Reconnect | Remedy::NextPeriod => None,
        };
        match retry_at.filter(|at| *at < next_mark) {
            Some(retry_at) => {
                self.ready_at = retry_at;
                Fate::Retried
            }
            None => {
                self.failures = self.failures.saturating_add(1);
                self.to_next_mark(now, after);
                Fate::Missed
            }
        }
    }

    /// Not asked before this, which becomes its mark.
    pub(super) fn rest_until(&mut self, at: Instant) {
        self.ready_at = self.ready_at.max(at);
        self.mark = self.ready_at;
    }

    fn to_next_mark(&mut self, now: Instant, after: impl Fn(Instant) -> Instant) {
        // A bus that cannot keep up polls each meter once per round, not in bursts.
        let from = match now.checked_sub(self.period) {
            Some(earliest) => self.mark.max(earliest),
            None => self.mark,
        };
        self.mark = after(from);
        self.ready_at = self.mark;
        self.attempts = 0;
    }
}
