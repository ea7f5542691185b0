//! V02: a time from the future or too far back means a wrong clock; such a reading is kept and
//! not used.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity, Unit};
use crate::domain::frame::Transport;
use crate::domain::reading::Reading;
use crate::validate::EntryLimits;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&AHEAD, &STALE, &CLOCK_AHEAD, &CLOCK_BEHIND];

static AHEAD: Sentence = Sentence {
    rule: RuleId::V02,
    key: "ahead",
    zh: "时间 {time} 超前于到达时间 {arrived},超过 {limit} 秒;请检查表具时钟;读数保留但不采用",
    en: "the time {time} is ahead of its arrival at {arrived} by more than {limit} s; check the clock of the device; the reading is kept and not used",
};

static STALE: Sentence = Sentence {
    rule: RuleId::V02,
    key: "stale",
    zh: "时间 {time} 早于到达时间 {arrived} 超过 {limit} 天;请检查表具时钟;读数保留但不采用",
    en: "the time {time} lies back from its arrival at {arrived} by more than {limit} days; check the clock of the device; the reading is kept and not used",
};

static CLOCK_AHEAD: Sentence = Sentence {
    rule: RuleId::V02,
    key: "clock_ahead",
    zh: "表具时钟至少快 {minutes};请校时,否则冻结数据会落在错误的小时",
    en: "the device's clock is at least {minutes} ahead; set it, or its frozen totals stand at the wrong hour",
};

static CLOCK_BEHIND: Sentence = Sentence {
    rule: RuleId::V02,
    key: "clock_behind",
    zh: "表具时钟慢 {minutes}(除非其数据总要这么久才到;{arrivals} 次到达中的最小时延);请校时,否则冻结数据会落在错误的小时",
    en: "the device's clock is {minutes} behind, if its frames are not always that long on the way: the least delay of {arrivals} arrivals; set it, or its frozen totals stand at the wrong hour",
};

/// Checks the time of a reading and of each frozen total that has a value.
///
/// An import is history on purpose and is never stale.
pub fn check(reading: &Reading, limits: EntryLimits) -> Option<Finding> {
    let latest = reading.received_at + limits.future_tolerance;
    let earliest = reading.received_at - limits.stale_after;
    let is_stale = |at: DateTime<Utc>| at < earliest && reading.transport != Transport::Import;
    let wrong = instants(reading).find(|at| *at > latest || is_stale(*at))?;
    let (sentence, limit) = if wrong > latest {
        (&AHEAD, limits.future_tolerance.num_seconds() as f64)
    } else {
        (&STALE, limits.stale_after.num_seconds() as f64 / 86_400.0)
    };
    let args = [
        Arg::time("time", wrong),
        Arg::time("arrived", reading.received_at),
        Arg::number("limit", limit, Unit::One),
    ];
    let (meter, at) = (&reading.meter, reading.sampled_at);
    Some(Finding::new(sentence, Severity::Fail, meter, at, args))
}

/// A device's clock that was measured to be so many minutes ahead, or behind if negative, over some
/// arrivals.
pub fn clock(reading: &Reading, minutes: i64, arrivals: u64) -> Finding {
    let (meter, at) = (&reading.meter, reading.sampled_at);
    let off = Arg::number("minutes", minutes.unsigned_abs() as f64, Unit::Minute);
    if minutes > 0 {
        return Finding::new(&CLOCK_AHEAD, Severity::Suspect, meter, at, [off]);
    }
    let arrivals = Arg::number("arrivals", arrivals as f64, Unit::One);
    Finding::new(&CLOCK_BEHIND, Severity::Suspect, meter, at, [off, arrivals])
}

fn instants(reading: &Reading) -> impl Iterator<Item = DateTime<Utc>> {
    let frozen = reading.frozen.iter().flat_map(|array| {
        array
            .totals
            .iter()
            .enumerate()
            .filter(|(_, total)| total.is_some())
            .map(|(index, _)| {
                let steps = i64::try_from(index).unwrap_or(i64::MAX);
                let seconds = steps.saturating_mul(i64::from(array.step_s));
                // An absurd step ends far in the future, which is what it is.
                TimeDelta::try_seconds(seconds)
                    .and_then(|offset| array.first_at.checked_add_signed(offset))
                    .unwrap_or(DateTime::<Utc>::MAX_UTC)
            })
    });
    std::iter::once(reading.sampled_at).chain(frozen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::rules::testing::{LIMITS, at, frozen, total};

    fn received(mut reading: Reading, at: DateTime<Utc>) -> Reading {
        reading.received_at = at;
        reading
    }

    #[test]
    fn five_minutes_ahead_is_tolerated_and_a_second_more_is_not() {
        let ahead = TimeDelta::seconds(300);
        assert_eq!(check(&received(total(1, 5), at(1) - ahead), LIMITS), None);
        let later = received(total(1, 5), at(1) - ahead - TimeDelta::seconds(1));
        let finding = check(&later, LIMITS).unwrap();
        assert_eq!(finding.severity, Severity::Fail);
        assert!(
            finding.message_en().contains("is ahead of"),
            "{}",
            finding.message_en()
        );
    }

    #[test]
    fn four_hundred_days_back_is_tolerated_and_a_second_more_is_not() {
        let back = TimeDelta::days(400);
        assert_eq!(check(&received(total(1, 5), at(1) + back), LIMITS), None);
        let mut late = received(total(1, 5), at(1) + back + TimeDelta::seconds(1));
        let message = check(&late, LIMITS).unwrap().message_en();
        assert!(message.contains("400 days"), "{message}");
        late.transport = Transport::Import;
        assert_eq!(
            check(&late, LIMITS),
            None,
            "an import is history on purpose"
        );
    }

    #[test]
    fn an_empty_place_of_an_array_may_lie_ahead_but_not_a_value() {
        let empty = received(frozen(2, 1, &[Some(1), Some(2), None]), at(2));
        assert_eq!(check(&empty, LIMITS), None);
        let filled = received(frozen(2, 1, &[Some(1), Some(2), Some(3)]), at(2));
        assert!(check(&filled, LIMITS).is_some());
    }
}
