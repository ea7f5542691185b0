//! V02: a time from the future or too far back means a wrong clock; such a reading is kept and
//! not used.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::finding::{Finding, RuleId, Severity};
use crate::domain::frame::Transport;
use crate::domain::reading::Reading;
use crate::validate::EntryLimits;

/// Checks the time of a reading and of each frozen total that has a value.
///
/// An import is history on purpose and is never stale.
pub fn check(reading: &Reading, limits: EntryLimits) -> Option<Finding> {
    let latest = reading.received_at + limits.future_tolerance;
    let earliest = reading.received_at - limits.stale_after;
    let is_stale = |at: DateTime<Utc>| at < earliest && reading.transport != Transport::Import;
    let wrong = instants(reading).find(|at| *at > latest || is_stale(*at))?;
    let (what, limit) = if wrong > latest {
        ("is ahead of", span(limits.future_tolerance))
    } else {
        ("lies back from", span(limits.stale_after))
    };
    Some(Finding {
        rule: RuleId::V02,
        severity: Severity::Fail,
        meter: reading.meter.clone(),
        at: reading.sampled_at,
        message: format!(
            "the time {wrong} {what} its arrival at {} by more than {limit}; check the clock of \
             the device; the reading is kept and not used",
            reading.received_at
        ),
    })
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

fn span(span: TimeDelta) -> String {
    if span >= TimeDelta::days(2) {
        format!("{} days", span.num_days())
    } else {
        format!("{} s", span.num_seconds())
    }
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
            finding.message.contains("is ahead of"),
            "{}",
            finding.message
        );
    }

    #[test]
    fn four_hundred_days_back_is_tolerated_and_a_second_more_is_not() {
        let back = TimeDelta::days(400);
        assert_eq!(check(&received(total(1, 5), at(1) + back), LIMITS), None);
        let mut late = received(total(1, 5), at(1) + back + TimeDelta::seconds(1));
        let message = check(&late, LIMITS).unwrap().message;
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
