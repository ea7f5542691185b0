//! Whose use of gas changed from one quarter to the next (用气规律变化).
//!
//! METHODS.md, "Changed use of a quarter".

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::calendar::{Calendar, DayType, GasDay};
use crate::ledger::entry::UsePattern;
use crate::ledger::figures::Days;

/// Gas days of a quarter: thirteen whole weeks.
pub(crate) const QUARTER_DAYS: i64 = 91;

/// Working days of a quarter that have to be known.
const WORKDAYS_MIN: usize = 40;

/// Days off of a quarter that have to be known.
const OFF_DAYS_MIN: usize = 16;

/// A mean working day that moved by less is no change.
const LEVEL_RATIO: f64 = 0.3;

/// Days off over working days, moved by less, are no change.
const OFF_DAYS_RATIO: f64 = 0.3;

/// Part of working days without gas, moved by less, is no change.
const IDLE_SHARE: f64 = 0.1;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuarterReason {
    /// 用量: the mean working day; not told of seasonal use, which moves with the weather.
    Level,
    /// 休息日: days off against working days.
    DaysOff,
    /// 停用: working days without gas.
    Idle,
}

/// How a customer used gas over a quarter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct QuarterUse {
    /// Mean working day, m³.
    pub workday_m3: f64,
    /// Mean day off over it; null without use on working days.
    pub off_days_ratio: Option<f64>,
    /// Part of working days without gas, 0 to 1.
    pub idle_share: f64,
}

impl QuarterUse {
    /// Over the quarter that ends before `until`; none where too few days are known.
    fn over(days: &Days, calendar: &Calendar, until: GasDay) -> Option<Self> {
        let (mut worked, mut off) = (Vec::new(), Vec::new());
        for (day, volume) in days.range(until.plus(-QUARTER_DAYS)..until) {
            match calendar.day_type(day.0) {
                DayType::Workday => worked.push(volume.to_f64()),
                DayType::Weekend | DayType::Holiday => off.push(volume.to_f64()),
            }
        }
        if worked.len() < WORKDAYS_MIN || off.len() < OFF_DAYS_MIN {
            return None;
        }
        let mean = |days: &[f64]| days.iter().sum::<f64>() / days.len() as f64;
        let workday_m3 = mean(&worked);
        let idle = worked.iter().filter(|m3| **m3 == 0.0).count();
        Some(Self {
            workday_m3,
            off_days_ratio: (workday_m3 > 0.0).then(|| mean(&off) / workday_m3),
            idle_share: idle as f64 / worked.len() as f64,
        })
    }
}

/// Two quarters of a customer beside each other.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct QuarterChange {
    /// The 91 gas days up to and with yesterday.
    pub now: QuarterUse,
    /// The 91 before.
    pub before: QuarterUse,
    /// What changed; empty if nothing did.
    pub reasons: Vec<QuarterReason>,
}

/// Compares the last two quarters; none where either is not known well enough.
pub(super) fn quarter_change(
    days: &Days,
    calendar: &Calendar,
    today: GasDay,
    pattern: UsePattern,
) -> Option<QuarterChange> {
    let now = QuarterUse::over(days, calendar, today)?;
    let before = QuarterUse::over(days, calendar, today.plus(-QUARTER_DAYS))?;
    let has_moved = (now.workday_m3 - before.workday_m3).abs() > LEVEL_RATIO * before.workday_m3;
    let off_days = now
        .off_days_ratio
        .zip(before.off_days_ratio)
        .is_some_and(|(now, before)| (now - before).abs() > OFF_DAYS_RATIO);
    let idle = (now.idle_share - before.idle_share).abs() >= IDLE_SHARE;
    let reasons = [
        (
            has_moved && pattern != UsePattern::Seasonal,
            QuarterReason::Level,
        ),
        (off_days, QuarterReason::DaysOff),
        (idle, QuarterReason::Idle),
    ];
    Some(QuarterChange {
        now,
        before,
        reasons: reasons
            .into_iter()
            .filter_map(|(is_so, reason)| is_so.then_some(reason))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::quantity::StdVolume;

    fn today() -> GasDay {
        "2026-11-20".parse().unwrap()
    }

    /// Two quarters of working days and days off, m³.
    fn days(before: (f64, f64), now: (f64, f64)) -> Days {
        let calendar = Calendar::default();
        (1..=2 * QUARTER_DAYS)
            .map(|back| {
                let day = today().plus(-back);
                let (work, off) = if back <= QUARTER_DAYS { now } else { before };
                let m3 = match calendar.day_type(day.0) {
                    DayType::Workday => work,
                    _ => off,
                };
                (day, StdVolume::from_f64(m3))
            })
            .collect()
    }

    fn reasons(days: &Days, pattern: UsePattern) -> Vec<QuarterReason> {
        quarter_change(days, &Calendar::default(), today(), pattern)
            .unwrap()
            .reasons
    }

    #[test]
    fn a_level_that_moved_by_thirty_per_cent_is_none_yet() {
        let steady = days((1_000.0, 500.0), (1_300.0, 650.0));
        assert!(reasons(&steady, UsePattern::Stable).is_empty());
        let more = days((1_000.0, 500.0), (1_301.0, 650.5));
        assert_eq!(reasons(&more, UsePattern::Stable), [QuarterReason::Level]);
        let less = days((1_000.0, 500.0), (699.0, 349.5));
        assert_eq!(reasons(&less, UsePattern::Peaks), [QuarterReason::Level]);
    }

    #[test]
    fn who_heats_moves_with_the_weather() {
        let winter = days((1_000.0, 1_000.0), (4_000.0, 4_000.0));
        assert!(reasons(&winter, UsePattern::Seasonal).is_empty());
    }

    #[test]
    fn days_off_that_are_worked_now_are_a_change() {
        let seven_days = days((1_000.0, 100.0), (1_000.0, 900.0));
        assert_eq!(
            reasons(&seven_days, UsePattern::Stable),
            [QuarterReason::DaysOff]
        );
    }

    #[test]
    fn working_days_without_gas_are_counted() {
        let mut stopped = days((1_000.0, 1_000.0), (1_000.0, 1_000.0));
        let calendar = Calendar::default();
        let idle: Vec<GasDay> = stopped
            .keys()
            .rev()
            .filter(|day| calendar.day_type(day.0) == DayType::Workday)
            .take(7)
            .copied()
            .collect();
        for day in idle {
            stopped.insert(day, StdVolume::ZERO);
        }
        let change = quarter_change(&stopped, &calendar, today(), UsePattern::Stable).unwrap();
        assert_eq!(change.reasons, [QuarterReason::Idle]);
        assert!(change.before.idle_share.abs() < f64::EPSILON);
    }

    #[test]
    fn a_quarter_that_is_not_known_is_not_compared() {
        let mut short = days((1_000.0, 1_000.0), (2_000.0, 2_000.0));
        short.retain(|day, _| *day >= today().plus(-QUARTER_DAYS - 30));
        let change = quarter_change(&short, &Calendar::default(), today(), UsePattern::Stable);
        assert_eq!(change, None);
        // A customer that used nothing at all did not change its days off.
        let none = days((0.0, 0.0), (0.0, 0.0));
        assert!(reasons(&none, UsePattern::Intermittent).is_empty());
    }
}
