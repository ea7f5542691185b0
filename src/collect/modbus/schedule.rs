//! Whose turn it is on a bus; pure but for the instants it is given.
//!
//! A round begins at the same moment for all meters of one period: quick meters first, one right
//! after the other and always in the same order, so that each is a period after its last and the rest
//! of the period is free for whoever takes long. A slow or silent meter is asked only while the next
//! quick one need not wait for it, and only for as many of its blocks as fit: the others find their room
//! later.

use std::time::Duration;

use tokio::time::Instant;

use super::patience::Patience;

/// A poll that takes more than this part of the shortest period on the bus is not quick.
const QUICK_MAX: f64 = 0.05;
/// Quick meters may be late by this part of the shortest period on the bus.
const LATE_MAX: f64 = 0.03;
/// Periods that a meter that could be asked waits for room before it takes its turn all the same.
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
    /// Not before this; waits since then.
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
    /// This meter.
    Poll(Grant),
    /// Nobody before this instant.
    At(Instant),
    /// Nobody at all.
    Never,
}

/// What the meter whose turn it is may do with the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    /// Its place among the turns.
    pub(super) index: usize,
    /// Deadline of each request.
    pub(super) deadline: Duration,
    /// Requests at most; what is left of the poll takes another turn.
    pub(super) requests: u32,
}

impl Turn {
    /// What a poll is expected to take.
    fn cost(&self) -> Duration {
        self.request_cost() * self.requests
    }

    /// What one of its requests is expected to take, with the pause after it.
    fn request_cost(&self) -> Duration {
        let request = self.patience.usual().unwrap_or(Duration::ZERO);
        request + self.pauses / self.requests.max(1)
    }

    /// What must be free for it, at least: one request, with its whole deadline while it may only be
    /// slow, or a glance once it was silent for a whole period.
    fn room(&self) -> Duration {
        if !self.is_silent {
            return self.request_cost();
        }
        if self.failures > 0 {
            return self.patience.glance();
        }
        self.patience.timeout()
    }

    /// Its turn in so much room.
    fn grant(&self, index: usize, room: Duration) -> Grant {
        let fitting = room.as_nanos() / self.room().as_nanos().max(1);
        Grant {
            index,
            deadline: self.patience.timeout(),
            requests: u32::try_from(fitting)
                .unwrap_or(u32::MAX)
                .clamp(1, self.requests.max(1)),
        }
    }

    fn is_long(&self, quick_max: Duration) -> bool {
        self.is_silent || self.cost() > quick_max
    }
}

/// Whom to ask now. `free` is the number of connections not in use.
pub(super) fn next(turns: &[Turn], now: Instant, free: usize) -> Next {
    let Some(shortest) = turns.iter().map(|t| t.period).min() else {
        return Next::Never;
    };
    let quick_max = shortest.mul_f64(QUICK_MAX);
    let late_max = shortest.mul_f64(LATE_MAX);
    let is_ready = |turn: &&(usize, &Turn)| turn.1.ready_at <= now;
    let all: Vec<(usize, &Turn)> = turns.iter().enumerate().collect();
    let quick = all
        .iter()
        .filter(is_ready)
        .filter(|(_, t)| !t.is_long(quick_max))
        // Second attempts after the first ones of all: the failures of one do not move the others.
        .min_by_key(|(_, t)| (t.mark, t.attempts, t.unit));
    if let Some((index, turn)) = quick {
        return Next::Poll(turn.grant(*index, Duration::MAX));
    }
    let next_quick = all
        .iter()
        .filter(|(_, t)| !t.is_long(quick_max))
        .map(|(_, t)| t.ready_at)
        .min();
    let room = match next_quick {
        // Another connection stays free for them.
        Some(_) if free > 1 => Duration::MAX,
        Some(at) => (at + late_max).saturating_duration_since(now),
        None => Duration::MAX,
    };
    let long = all
        .iter()
        .filter(is_ready)
        .filter(|(_, t)| {
            let waited = now.saturating_duration_since(t.ready_at);
            t.room() <= room || waited > t.period * SLOW_WAITS_PERIODS * (t.failures + 1)
        })
        .min_by_key(|(_, t)| (t.failures, t.is_silent, t.mark, t.unit));
    if let Some((index, turn)) = long {
        let mut grant = turn.grant(*index, room);
        if turn.is_silent && turn.failures > 0 {
            // It will hardly answer: what the others may be late is not for it.
            let spare = room.saturating_sub(late_max);
            grant.deadline = grant.deadline.min(spare.max(turn.patience.glance()));
        }
        return Next::Poll(grant);
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
        granted(turns, now, free).map(|(unit, _)| unit)
    }

    /// Unit and number of requests.
    fn granted(turns: &[Turn], now: Instant, free: usize) -> Option<(u8, u32)> {
        match next(turns, now, free) {
            Next::Poll(grant) => Some((turns[grant.index].unit, grant.requests)),
            Next::At(_) | Next::Never => None,
        }
    }

    #[test]
    fn quick_meters_go_first_and_a_slow_one_only_where_it_keeps_nobody_waiting() {
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        assert_eq!(picked(&[slow(1, now), turn(2, now)], now, 1), Some(2));
        // Two requests of 1.6 s fit before a meter that is due in 4 s, one before one that is due in 2 s,
        // and none before one that is due in 1 s.
        let beside = |ms| [slow(1, now), turn(2, after(ms))];
        assert_eq!(granted(&beside(4_000), now, 1), Some((1, 2)));
        assert_eq!(granted(&beside(2_000), now, 1), Some((1, 1)));
        let crowded = beside(1_000);
        assert_eq!(next(&crowded, now, 1), Next::At(after(1_000)));
        // With a second connection nobody waits.
        assert_eq!(granted(&crowded, now, 2), Some((1, 2)));
        assert_eq!(granted(&[slow(1, now)], now, 1), Some((1, 2)));
    }

    #[test]
    fn quick_meters_keep_their_order_whatever_their_answers_took() {
        let now = Instant::now();
        let mut turns = [turn(1, now), turn(2, now), turn(3, now)];
        for _ in 0..20 {
            turns[0].patience.answered(Duration::from_millis(40));
        }
        assert_eq!(granted(&turns, now, 1), Some((1, 2)));
        // One that must be asked again follows those that were not asked yet.
        turns[0].attempts = 1;
        assert_eq!(picked(&turns, now, 1), Some(2));
    }

    #[test]
    fn a_meter_that_may_only_be_slow_needs_room_for_one_whole_deadline() {
        let now = Instant::now();
        let quiet = silent(1, now, 0);
        let beside = |ms| [quiet.clone(), turn(2, now + Duration::from_millis(ms))];
        assert_eq!(granted(&beside(900), now, 1), Some((1, 1)));
        assert_eq!(granted(&beside(800), now, 1), None);
    }

    #[test]
    fn a_silent_meter_is_glanced_at_in_what_time_is_left_and_never_forgotten() {
        let now = Instant::now();
        let dead = silent(9, now, 5);
        let beside = |ms| [dead.clone(), turn(2, now + Duration::from_millis(ms))];
        // 600 ms are left: not its whole second, but a glance that makes nobody late.
        let glance = Grant {
            index: 0,
            deadline: Duration::from_millis(600),
            requests: 1,
        };
        assert_eq!(next(&beside(600), now, 1), Next::Poll(glance));
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
