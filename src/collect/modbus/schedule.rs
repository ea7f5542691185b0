//! Whose turn it is on a bus; pure but for the instants it is given.
//!
//! A round begins at the same moment for all meters of one period: quick meters first, one right
//! after the other and always in the same order, so that each is a period after its last and the rest
//! of the period is free for whoever takes long. A slow or silent meter is asked only while the next
//! quick one need not wait for it, and only for as many of its blocks as fit: the others find their room
//! later.

use std::time::Duration;

use tokio::time::Instant;

use super::turn::Turn;

/// A poll that takes more than this part of the shortest period on the bus is not quick.
const QUICK_MAX: f64 = 0.05;
/// Quick meters may be late by this part of the shortest period on the bus.
const LATE_MAX: f64 = 0.03;
/// Periods that a slow or silent meter waits for room behind others of its kind; then it goes before them.
const WAITS_PERIODS: u32 = 2;
/// Periods after which it takes its turn behind the quick ones, whether it has room or not.
const WAITS_PERIODS_LONG: u32 = 3;
/// Periods after which whoever waits goes before all others.
const WAITS_PERIODS_MAX: u32 = 4;
/// Glances in a row at a silent meter; the next attempt has its whole deadline, lest a slow meter that
/// nobody knows yet is never heard.
const GLANCES_MAX: u32 = 8;

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
    /// What must be free for it, at least: one request, with its whole deadline while it may only be
    /// slow, or a glance once it was silent for a whole period.
    fn room(&self) -> Duration {
        if !self.is_silent {
            return self.request_cost();
        }
        if self.is_glanced_at() {
            return self.patience.glance();
        }
        self.patience.timeout()
    }

    /// Whether it will hardly answer, and is given what time there is.
    fn is_glanced_at(&self) -> bool {
        self.is_silent && self.failures > 0 && self.glances < GLANCES_MAX
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

    /// When it has waited for so many periods.
    fn waited_at(&self, periods: u32) -> Instant {
        self.ready_at + self.period * periods
    }
}

/// Whom to ask now. `free` is the number of connections not in use.
///
/// A meter that could have been asked for four of its periods goes before all others, the one that
/// waits longest first, and is asked for one block. Since every turn ends, and its meter then is not
/// ready before its next mark, nobody waits for ever, however busy the bus and whatever failed before.
pub(super) fn next(turns: &[Turn], now: Instant, free: usize) -> Next {
    let Some(shortest) = turns.iter().map(|t| t.period).min() else {
        return Next::Never;
    };
    let bus = Bus {
        turns,
        now,
        quick_max: shortest.mul_f64(QUICK_MAX),
        late_max: shortest.mul_f64(LATE_MAX),
    };
    if let Some(grant) = bus.overdue(WAITS_PERIODS_MAX) {
        return Next::Poll(grant);
    }
    if let Some(grant) = bus.quick() {
        return Next::Poll(grant);
    }
    // With another connection free, the quick ones need not wait for a long one.
    let room = if free > 1 { Duration::MAX } else { bus.room() };
    let long = bus.long(room).or_else(|| bus.overdue(WAITS_PERIODS_LONG));
    if let Some(grant) = long {
        return Next::Poll(grant);
    }
    Next::At(bus.wakes_at().min(now + shortest))
}

/// The meters of a bus at a moment.
struct Bus<'a> {
    turns: &'a [Turn],
    now: Instant,
    quick_max: Duration,
    late_max: Duration,
}

impl<'a> Bus<'a> {
    fn ready(&self) -> impl Iterator<Item = (usize, &'a Turn)> {
        let now = self.now;
        self.turns
            .iter()
            .enumerate()
            .filter(move |(_, t)| t.ready_at <= now)
    }

    fn is_long(&self, turn: &Turn) -> bool {
        turn.is_silent || turn.cost() > self.quick_max
    }

    fn overdue(&self, periods: u32) -> Option<Grant> {
        let (index, turn) = self
            .ready()
            .filter(|(_, t)| t.waited_at(periods) <= self.now)
            .min_by_key(|(_, t)| (t.ready_at, t.unit))?;
        Some(if self.is_long(turn) {
            self.long_grant(turn, index, Duration::ZERO)
        } else {
            turn.grant(index, Duration::MAX)
        })
    }

    fn quick(&self) -> Option<Grant> {
        self.ready()
            .filter(|(_, t)| !self.is_long(t))
            // Second attempts after the first ones of all: the failures of one do not move the others.
            .min_by_key(|(_, t)| (t.mark, t.attempts, t.unit))
            .map(|(index, turn)| turn.grant(index, Duration::MAX))
    }

    /// What is free before the next quick one would be late.
    fn room(&self) -> Duration {
        self.turns
            .iter()
            .filter(|t| !self.is_long(t))
            .map(|t| t.ready_at)
            .min()
            .map_or(Duration::MAX, |at| {
                (at + self.late_max).saturating_duration_since(self.now)
            })
    }

    fn long(&self, room: Duration) -> Option<Grant> {
        self.ready()
            .filter(|(_, t)| self.is_long(t) && t.room() <= room)
            .min_by_key(|(_, t)| {
                let waits_long = t.waited_at(WAITS_PERIODS) <= self.now;
                (!waits_long, t.failures, t.is_silent, t.mark, t.unit)
            })
            .map(|(index, turn)| self.long_grant(turn, index, room))
    }

    fn long_grant(&self, turn: &Turn, index: usize, room: Duration) -> Grant {
        let mut grant = turn.grant(index, room);
        if turn.is_glanced_at() {
            // What the others may be late is not for it.
            let spare = room.saturating_sub(self.late_max);
            grant.deadline = grant.deadline.min(spare.max(turn.patience.glance()));
        }
        grant
    }

    /// When somebody becomes ready, or has waited long enough.
    fn wakes_at(&self) -> Instant {
        let changes = self.turns.iter().map(|t| {
            if t.ready_at > self.now {
                t.ready_at
            } else {
                t.waited_at(WAITS_PERIODS_LONG)
            }
        });
        changes.min().unwrap_or(self.now)
    }
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
mod simulation;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::collect::modbus::fault::Remedy;
    use crate::collect::modbus::patience::Patience;
    use crate::collect::modbus::turn::Fate;

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
            glances: 0,
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
    fn a_silent_meter_is_glanced_at_in_what_time_is_left() {
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
    }

    #[test]
    fn who_waited_long_goes_before_those_who_are_always_ready() {
        let now = Instant::now();
        let after = |periods| now + PERIOD * periods;
        let dead = silent(9, now, 5);
        // One block, and no more than a glance.
        let glance = Next::Poll(Grant {
            index: 0,
            deadline: Duration::from_millis(500),
            requests: 1,
        });
        // Three periods: after the quick ones, though the next of them will be late.
        let beside = |at| [dead.clone(), turn(2, at)];
        let soon = after(3) + Duration::from_millis(100);
        assert_eq!(next(&beside(soon), after(3), 1), glance);
        assert_eq!(
            picked(&beside(soon), after(3) - Duration::from_millis(1), 1),
            None
        );
        assert_eq!(picked(&beside(after(3)), after(3), 1), Some(2));
        // Four periods: before all, and of two, the one that waits longer.
        assert_eq!(next(&beside(after(4)), after(4), 1), glance);
        let both = [dead.clone(), turn(2, now - Duration::from_millis(1))];
        assert_eq!(picked(&both, after(4), 1), Some(2));
        // Two periods: before a slow one that has room as well.
        let long = [dead.clone(), slow(3, after(2)), turn(2, after(3))];
        assert_eq!(picked(&long, after(2), 1), Some(9));
        let both_ready = [dead.clone(), slow(3, now), turn(2, after(3))];
        assert_eq!(picked(&both_ready, after(1), 1), Some(3));
        // Looked at again when somebody is ready.
        let soon = now + Duration::from_millis(100);
        assert_eq!(next(&beside(soon), now, 1), Next::At(soon));
    }

    #[test]
    fn after_many_glances_a_silent_meter_has_its_whole_deadline_once() {
        let now = Instant::now();
        let mut dead = silent(9, now, 20);
        dead.glances = GLANCES_MAX;
        let beside = |dead: &Turn, ms| [dead.clone(), turn(2, now + Duration::from_millis(ms))];
        assert_eq!(picked(&beside(&dead, 700), now, 1), None);
        let whole = Grant {
            index: 0,
            deadline: Duration::from_secs(1),
            requests: 1,
        };
        assert_eq!(next(&beside(&dead, 900), now, 1), Next::Poll(whole));
        let after = |from: Instant| from + PERIOD;
        let fate = dead.failed(Remedy::Quietly, Duration::from_secs(1), 3, now, after);
        assert_eq!((fate, dead.glances), (Fate::Missed, 0));
        dead.failed(Remedy::Quietly, Duration::from_millis(500), 3, now, after);
        assert_eq!(dead.glances, 1);
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
