//! How long a meter is waited for: learnt from its own answers, within what settings and profile allow.

use std::time::Duration;

use crate::settings::ModbusSettings;

/// An answer may take this much longer than the slowest seen lately…
const HEADROOM: f64 = 1.25;
/// … and this much on top, so that a jump of a few milliseconds is no silence.
const HEADROOM_MIN: Duration = Duration::from_millis(100);
/// Part of the way back towards the need of the last answer.
const FORGET: u32 = 8;
/// Weight of the last answer in the usual time.
const SMOOTH: u32 = 4;

/// The deadline of a meter's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    first: Duration,
    max: Duration,
    timeout: Duration,
    usual: Option<Duration>,
}

impl Patience {
    /// Before anything is known. A profile that says how long its model may take is believed at once.
    pub(super) fn new(settings: &ModbusSettings, profile_timeout_ms: Option<u64>) -> Self {
        let first = Duration::from_millis(settings.request_timeout_ms.max(1));
        let max = Duration::from_millis(settings.request_timeout_max_ms).max(first);
        let own = profile_timeout_ms.map(Duration::from_millis);
        let first = own.unwrap_or(first);
        Self {
            first,
            max: own.unwrap_or(max),
            timeout: first,
            usual: None,
        }
    }

    /// Deadline of the next request.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The shortest deadline that says anything, for a meter that did not answer lately.
    pub(super) fn glance(&self) -> Duration {
        let usual = self.usual.map_or(Duration::ZERO, Self::needed);
        (self.first / 2).max(usual).min(self.timeout)
    }

    /// How long a request usually takes, once one was answered.
    pub(super) fn usual(&self) -> Option<Duration> {
        self.usual
    }

    /// An answer came.
    pub(super) fn answered(&mut self, after: Duration) {
        self.usual = Some(
            self.usual
                .map_or(after, |usual| (usual * (SMOOTH - 1) + after) / SMOOTH),
        );
        let needed = Self::needed(after);
        let next = if needed >= self.timeout {
            needed
        } else {
            self.timeout
                .saturating_sub(self.timeout.saturating_sub(needed) / FORGET)
        };
        self.timeout = next.clamp(self.first, self.max);
    }

    /// No answer came within the whole deadline: the next may take longer.
    pub(super) fn silent(&mut self) {
        self.timeout = (self.timeout * 2).min(self.max);
    }

    fn needed(answer: Duration) -> Duration {
        answer.mul_f64(HEADROOM) + HEADROOM_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience() -> Patience {
        let settings = ModbusSettings {
            request_timeout_ms: 1_000,
            request_timeout_max_ms: 2_000,
            ..crate::collect::modbus::tests::settings()
        };
        Patience::new(&settings, None)
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_slow_meter_earns_its_time_and_a_silent_one_no_more_than_the_longest() {
        let mut slow = patience();
        assert_eq!(slow.timeout(), ms(1_000));
        slow.silent();
        assert_eq!(slow.timeout(), ms(2_000));
        slow.silent();
        assert_eq!(slow.timeout(), ms(2_000));
        for _ in 0..100 {
            slow.answered(ms(1_600));
        }
        assert_eq!(slow.timeout(), ms(2_000));
        assert_eq!(slow.usual(), Some(ms(1_600)));
    }

    #[test]
    fn a_quick_meter_keeps_the_first_deadline_and_forgets_a_slow_hour() {
        let mut quick = patience();
        quick.answered(ms(20));
        assert_eq!(quick.timeout(), ms(1_000));
        quick.answered(ms(1_200));
        assert_eq!(quick.timeout(), ms(1_600));
        for _ in 0..100 {
            quick.answered(ms(20));
        }
        assert_eq!(quick.timeout(), ms(1_000));
        assert!(quick.glance() < ms(1_000));
    }

    #[test]
    fn a_profile_that_says_how_long_is_believed_at_once() {
        let settings = crate::collect::modbus::tests::settings();
        let own = Patience::new(&settings, Some(2_500));
        assert_eq!(own.timeout(), ms(2_500));
    }
}
