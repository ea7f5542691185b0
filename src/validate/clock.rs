//! How far a device's clock stands off (表钟漂移), told apart from frames that were merely late.
//!
//! A frame arrives at delay = way − offset, where the way takes at least no time and the offset is
//! how far the clock is ahead. One frame from the future therefore proves a clock that is ahead. A
//! clock that is behind looks like a slow way; but of many frames some come at once, so it is the
//! *least* delay over a window that counts, never a single one: a queue that was held for hours
//! raises the delays of its frames and not the least of them all.

use chrono::{DateTime, TimeDelta, Utc};

/// Frames that come within this time of each other are one arrival: a burst proves no more than
/// its best frame.
const ARRIVAL: TimeDelta = TimeDelta::minutes(1);
/// Arrivals before a clock is called behind.
const ARRIVALS_MIN: u32 = 3;
/// Time they must span.
const SPAN_MIN: TimeDelta = TimeDelta::hours(6);
/// A window ends after this time, if it holds enough arrivals.
const WINDOW: TimeDelta = TimeDelta::hours(24);

/// What is known of one device's clock: the least delay in the window under way and in the one
/// before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockWatch {
    /// The times held against arrival are those of sending; otherwise those of sampling, and a
    /// device that samples early and sends late looks as if it were behind.
    pub is_sent: bool,
    /// Start of the window under way.
    pub since: DateTime<Utc>,
    /// Start of the latest arrival.
    pub last_at: DateTime<Utc>,
    /// Arrivals in the window under way.
    pub arrivals: u32,
    /// Least delay in it, ms; negative where the clock was ahead of the arrival.
    pub delay_min_ms: i64,
    /// Arrivals in the window before.
    pub before_arrivals: u32,
    /// Least delay in that one, ms.
    pub before_delay_min_ms: Option<i64>,
}

/// A clock that is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDrift {
    /// How far the clock is ahead, s; negative: behind. At least so far.
    pub offset_s: i64,
    /// From how many arrivals.
    pub arrivals: u32,
}

impl ClockDrift {
    /// In whole minutes, away from zero.
    pub const fn minutes(self) -> i64 {
        let whole = self.offset_s.abs() / 60;
        if self.offset_s < 0 { -whole } else { whole }
    }
}

impl ClockWatch {
    /// From the first frame: what the device's clock showed, and when the frame came.
    pub fn new(is_sent: bool, shown_at: DateTime<Utc>, received_at: DateTime<Utc>) -> Self {
        Self {
            is_sent,
            since: received_at,
            last_at: received_at,
            arrivals: 1,
            delay_min_ms: delay_ms(shown_at, received_at),
            before_arrivals: 0,
            before_delay_min_ms: None,
        }
    }

    /// Takes another frame.
    ///
    /// A time of sending says more than one of sampling: the first of its kind begins anew, and
    /// times of sampling are passed over from then on.
    pub fn observe(&mut self, is_sent: bool, shown_at: DateTime<Utc>, received_at: DateTime<Utc>) {
        if is_sent != self.is_sent {
            if is_sent {
                *self = Self::new(true, shown_at, received_at);
            }
            return;
        }
        if received_at - self.since >= WINDOW && self.arrivals >= ARRIVALS_MIN {
            self.before_arrivals = self.arrivals;
            self.before_delay_min_ms = Some(self.delay_min_ms);
            self.since = received_at;
            self.arrivals = 0;
            self.delay_min_ms = i64::MAX;
        }
        if self.arrivals == 0 || received_at - self.last_at >= ARRIVAL {
            self.arrivals = self.arrivals.saturating_add(1);
            self.last_at = received_at;
        }
        self.delay_min_ms = self.delay_min_ms.min(delay_ms(shown_at, received_at));
    }

    /// The least delay of both windows, ms.
    pub fn least_delay_ms(&self) -> i64 {
        self.before_delay_min_ms
            .map_or(self.delay_min_ms, |before| before.min(self.delay_min_ms))
    }

    /// Whether, and how far, the clock is off by more than `limit`.
    pub fn drift(&self, limit: TimeDelta) -> Option<ClockDrift> {
        let least = self.least_delay_ms();
        let arrivals = self.arrivals.saturating_add(self.before_arrivals);
        let is_ahead = least < -limit.num_milliseconds();
        let is_long = self.before_arrivals > 0 || self.last_at - self.since >= SPAN_MIN;
        let is_behind =
            self.is_sent && least > limit.num_milliseconds() && arrivals >= ARRIVALS_MIN && is_long;
        (is_ahead || is_behind).then_some(ClockDrift {
            offset_s: -least / 1_000,
            arrivals,
        })
    }
}

fn delay_ms(shown_at: DateTime<Utc>, received_at: DateTime<Utc>) -> i64 {
    (received_at - shown_at).num_milliseconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: TimeDelta = TimeDelta::minutes(5);

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-11-21T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    /// Frames as (minute shown, minute received).
    fn watch(is_sent: bool, frames: &[(i64, i64)]) -> ClockWatch {
        let mut frames = frames.iter();
        let (shown, received) = frames.next().unwrap();
        let mut watch = ClockWatch::new(is_sent, at(*shown), at(*received));
        for (shown, received) in frames {
            watch.observe(is_sent, at(*shown), at(*received));
        }
        watch
    }

    fn minutes(watch: &ClockWatch) -> Option<i64> {
        watch.drift(LIMIT).map(ClockDrift::minutes)
    }

    #[test]
    fn one_frame_from_the_future_proves_a_clock_that_is_ahead() {
        assert_eq!(minutes(&watch(false, &[(12, 0)])), Some(12));
        assert_eq!(minutes(&watch(true, &[(5, 0)])), None, "five are tolerated");
        assert_eq!(minutes(&watch(true, &[(6, 0)])), Some(6));
    }

    #[test]
    fn a_clock_that_is_behind_takes_three_arrivals_over_six_hours() {
        let slow: Vec<(i64, i64)> = (0..=6).map(|h| (h * 60 - 17, h * 60)).collect();
        assert_eq!(
            minutes(&watch(true, &slow[..6])),
            None,
            "five hours are too few"
        );
        assert_eq!(minutes(&watch(true, &slow)), Some(-17));
        let two = [(-17, 0), (343, 360)];
        assert_eq!(
            minutes(&watch(true, &two)),
            None,
            "two arrivals are too few"
        );
    }

    #[test]
    fn a_burst_that_was_held_for_hours_is_no_slow_clock() {
        // Twelve hours of frames come at once, then the day goes on as usual.
        let mut frames: Vec<(i64, i64)> = (0..12).map(|h| (h * 60, 720)).collect();
        assert_eq!(
            minutes(&watch(true, &frames)),
            None,
            "one arrival proves nothing"
        );
        frames.extend((13..24).map(|h| (h * 60, h * 60)));
        assert_eq!(minutes(&watch(true, &frames)), None);
        // Held again, for longer than any window's minimum: the least delay of before still counts.
        frames.extend((24..40).map(|h| (h * 60, 40 * 60)));
        frames.extend((41..44).map(|h| ((h - 1) * 60, h * 60)));
        assert_eq!(minutes(&watch(true, &frames)), None);
    }

    #[test]
    fn a_device_that_samples_early_and_sends_late_is_not_called_behind() {
        let daily: Vec<(i64, i64)> = (0..10).map(|d| (d * 1_440, d * 1_440 + 360)).collect();
        assert_eq!(minutes(&watch(false, &daily)), None);
        assert_eq!(minutes(&watch(true, &daily)), Some(-360));
    }

    #[test]
    fn a_clock_set_right_is_right_at_once_if_it_was_behind_and_after_two_windows_if_ahead() {
        let mut slow = watch(
            true,
            &(0..9).map(|h| (h * 60 - 30, h * 60)).collect::<Vec<_>>(),
        );
        assert_eq!(minutes(&slow), Some(-30));
        slow.observe(true, at(540), at(540));
        assert_eq!(minutes(&slow), None);
        let mut fast = watch(true, &[(30, 0)]);
        for hour in 1..=50 {
            fast.observe(true, at(hour * 60), at(hour * 60));
        }
        assert_eq!(minutes(&fast), None);
    }

    #[test]
    fn times_of_sending_replace_times_of_sampling() {
        let mut clock = watch(false, &[(0, 300), (60, 360)]);
        clock.observe(true, at(420), at(420));
        assert_eq!((clock.is_sent, clock.least_delay_ms()), (true, 0));
        clock.observe(false, at(0), at(480));
        assert_eq!(clock.arrivals, 1, "a time of sampling says nothing more");
    }
}
