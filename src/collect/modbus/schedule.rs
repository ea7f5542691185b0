//! Whose turn it is on a bus; pure but for the instants it is given.
//!
//! A round begins at the same moment for all meters of one period: quick meters first, one right
//! after the other, so that the rest of the period is free for whoever takes long. A slow or silent
//! meter is asked only while the next quick one need not wait for it.

use std::time::Duration;

use tokio::time::Instant;

use super::patience::Patience;

/// Quick meters may be late by this part of the shortest period on the bus.
const TOLERANCE: f64 = 0.05;
/// Periods that a slow meter waits for room before it takes its turn all the same.
const SLOW_WAITS_PERIODS: u32 = 2;

/// What the schedule knows of a meter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Turn {
    /// Unit number, the last word in order.
    pub(super) unit: u8,
    /// Time between polls.
    pub(super) period: Duration,
    /// Mark of the poll under way or next.
    pub(super) mark: Instant,
    /// Not before this.
    pub(super) ready_at: Instant,
    /// Attempts at this mark so far.
    pub(super) attempts: u32,
    /// Marks missed in a row.
    pub(super) failures: u32,
    /// Whether it was silent when last asked.
    pub(super) is_silent: bool,
    /// Requests in a poll.
    pub(super) requests: u32,
    /// Pauses in a poll.
    pub(super) pauses: Duration,
    /// Deadline, and what is usual.
    pub(super) patience: Patience,
}

/// A turn to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// This meter, with this deadline for a request.
    Poll(usize, Duration),
    /// Nobody before this instant.
    At(Instant),
    /// Nobody at all.
    Never,
}

impl Turn {
    /// What a poll is expected to take.
    fn cost(&self) -> Duration {
        let request = self.patience.usual().unwrap_or(Duration::ZERO);
        request * self.requests + self.pauses
    }

    /// What must be free for it, at least: its whole deadline for each request while it may only be slow,
    /// a glance once it was silent for a whole period.
    fn room(&self) -> Duration {
        if !self.is_silent {
            return self.cost();
        }
        if self.failures > 0 {
            return self.patience.glance();
        }
        self.patience.timeout() * self.requests
    }

    fn is_long(&self, tolerance: Duration) -> bool {
        self.is_silent || self.cost() > tolerance
    }
}

/// Whom to ask now. `free` is the number of connections not in use.
pub(super) fn next(turns: &[Turn], now: Instant, free: usize) -> Next {
    let Some(shortest) = turns.iter().map(|t| t.period).min() else {
        return Next::Never;
    };
    let tolerance = shortest.mul_f64(TOLERANCE);
    let is_ready = |turn: &&(usize, &Turn)| turn.1.ready_at <= now;
    let all: Vec<(usize, &Turn)> = turns.iter().enumerate().collect();
    let quick = all
        .iter()
        .filter(is_ready)
        .filter(|(_, t)| !t.is_long(tolerance))
        .min_by_key(|(_, t)| (t.mark, t.cost(), t.unit));
    if let Some((index, turn)) = quick {
        return Next::Poll(*index, turn.patience.timeout());
    }
    let next_quick = all
        .iter()
        .filter(|(_, t)| !t.is_long(tolerance))
        .map(|(_, t)| t.ready_at)
        .min();
    let room = match next_quick {
        // Another connection stays free for them.
        Some(_) if free > 1 => Duration::MAX,
        Some(at) => (at + tolerance).saturating_duration_since(now),
        None => Duration::MAX,
    };
    let long = all
        .iter()
        .filter(is_ready)
        .filter(|(_, t)| {
            let waited = now.saturating_duration_since(t.mark);
            t.room() <= room || waited > t.period * SLOW_WAITS_PERIODS * (t.failures + 1)
        })
        .min_by_key(|(_, t)| (t.failures, t.is_silent, t.mark, t.unit));
    if let Some((index, turn)) = long {
        let deadline = turn.patience.timeout();
        let is_glance = turn.is_silent && turn.failures > 0 && room < deadline;
        let deadline = if is_glance {
            deadline.min(room.max(turn.patience.glance()))
        } else {
            deadline
        };
        return Next::Poll(*index, deadline);
    }
    // Those that wait for room find it when a quick one had its turn, or at the next look.
    let soonest = all.iter().map(|(_, t)| t.ready_at).filter(|at| *at > now);
    let at = soonest.min().unwrap_or(now + shortest);
    Next::At(at.min(now + shortest))
}

/// The marks of a bus: multiples of the period since it started, wandering a little and together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Marks {
    pub(super) epoch: Instant,
    pub(super) seed: u64,
    pub(super) jitter_ratio: f64,
}

impl Marks {
    /// The first mark after an instant.
    pub(super) fn after(&self, instant: Instant, period: Duration) -> Instant {
        let period_ns = period.as_nanos().max(1);
        let since = instant.saturating_duration_since(self.epoch).as_nanos();
        let number = u64::try_from(since / period_ns).unwrap_or(u64::MAX / 4);
        [number, number + 1, number + 2]
            .into_iter()
            .map(|n| self.mark(n, period))
            .find(|mark| *mark > instant)
            .unwrap_or(instant + period)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the product of a period and a count is far below the end of time"
    )]
    /// The mark of a number.
    pub(super) fn mark(&self, number: u64, period: Duration) -> Instant {
        let whole = period.as_nanos() * u128::from(number);
        let wander = period.mul_f64(self.jitter_ratio * chance(self.seed ^ number));
        self.epoch + Duration::from_nanos(whole as u64) + wander
    }
}

/// A number from 0 to 1 that looks like chance and is the same for the same seed (`SplitMix64`).
fn chance(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PERIOD: Duration = Duration::from_secs(5);

    fn turn(unit: u8, ready_at: Instant) -> Turn {
        let mut patience = Patience::new(&crate::collect::modbus::tests::patience(1_000), None);
        patience.answered(Duration::from_millis(20));
        Turn {
            unit,
            period: PERIOD,
            mark: ready_at,
            ready_at,
            attempts: 0,
            failures: 0,
            is_silent: false,
            requests: 2,
            pauses: Duration::ZERO,
            patience,
        }
    }

    fn slow(unit: u8, ready_at: Instant) -> Turn {
        let mut slow = turn(unit, ready_at);
        for _ in 0..50 {
            slow.patience.answered(Duration::from_millis(1_600));
        }
        slow
    }

    fn silent(unit: u8, ready_at: Instant, failures: u32) -> Turn {
        Turn {
            is_silent: true,
            failures,
            ..turn(unit, ready_at)
        }
    }

    fn picked(turns: &[Turn], now: Instant, free: usize) -> Option<u8> {
        match next(turns, now, free) {
            Next::Poll(index, _) => Some(turns[index].unit),
            Next::At(_) | Next::Never => None,
        }
    }

    #[test]
    fn quick_meters_go_first_and_a_slow_one_only_where_it_keeps_nobody_waiting() {
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        assert_eq!(picked(&[slow(1, now), turn(2, now)], now, 1), Some(2));
        // Two requests of 1.6 s fit before a meter that is due in 4 s, not before one due in 2 s.
        assert_eq!(
            picked(&[slow(1, now), turn(2, after(4_000))], now, 1),
            Some(1)
        );
        let crowded = [slow(1, now), turn(2, after(2_000))];
        assert_eq!(next(&crowded, now, 1), Next::At(after(2_000)));
        // With a second connection nobody waits.
        assert_eq!(picked(&crowded, now, 2), Some(1));
        assert_eq!(picked(&[slow(1, now)], now, 1), Some(1));
    }

    #[test]
    fn a_silent_meter_is_glanced_at_in_what_time_is_left_and_never_forgotten() {
        let now = Instant::now();
        let dead = silent(9, now, 5);
        let beside = |ms| [dead.clone(), turn(2, now + Duration::from_millis(ms))];
        // 600 ms are left, and 250 ms of tolerance: not its whole second, but a glance.
        let Next::Poll(0, deadline) = next(&beside(600), now, 1) else {
            panic!("not asked")
        };
        assert_eq!(deadline, Duration::from_millis(850));
        assert_eq!(picked(&beside(100), now, 1), None);
        // After many periods without room it has its turn all the same.
        let later = now + PERIOD * 13;
        let turns = [dead, turn(2, later + Duration::from_millis(1))];
        assert_eq!(picked(&turns, later, 1), Some(9));
    }

    #[test]
    fn nobody_is_asked_before_the_time() {
        let now = Instant::now();
        let soon = now + Duration::from_secs(1);
        assert_eq!(next(&[turn(1, soon)], now, 1), Next::At(soon));
        assert_eq!(next(&[], now, 1), Next::Never);
    }

    proptest! {
        #[test]
        fn marks_are_a_period_apart_but_for_the_jitter(seed in any::<u64>(), start_ms in 0_u64..100_000) {
            let epoch = Instant::now();
            let marks = Marks { epoch, seed, jitter_ratio: 0.02 };
            let mut at = epoch + Duration::from_millis(start_ms);
            let mut last = None;
            for _ in 0..20 {
                let mark = marks.after(at, PERIOD);
                prop_assert!(mark > at);
                if let Some(last) = last {
                    let gap: Duration = mark - last;
                    prop_assert!(gap >= PERIOD.mul_f64(0.979) && gap <= PERIOD.mul_f64(1.021), "{gap:?}");
                }
                last = Some(mark);
                at = mark;
            }
        }
    }
}
