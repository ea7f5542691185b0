//! The arithmetic behind a ledger line. Exact where volumes are compared or added, floating point
//! where a statistic is made.

use std::collections::BTreeMap;

use chrono::Datelike as _;

use crate::domain::calendar::{Calendar, DayType, GasDay, GasDayClock};
use crate::domain::quantity::StdVolume;
use crate::domain::season::Season;
use crate::domain::slot::{SlotLevel, SlotTable};
use crate::ledger::entry::UsePattern;

/// Days of a customer, by gas day; a missing day is absent.
pub(super) type Days = BTreeMap<GasDay, StdVolume>;

/// Volume of the known days of a span, and how many these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct DaySum {
    pub(super) volume: StdVolume,
    pub(super) days: i64,
}

impl DaySum {
    /// From `first` to `last`, both included.
    pub(super) fn of(days: &Days, first: GasDay, last: GasDay) -> Self {
        if first > last {
            return Self::default();
        }
        days.range(first..=last)
            .fold(Self::default(), |sum, (_, volume)| Self {
                volume: sum.volume + *volume,
                days: sum.days + 1,
            })
    }

    /// Mean of a known day, m³.
    pub(super) fn mean_m3(self) -> Option<f64> {
        (self.days > 0).then(|| self.volume.to_f64() / self.days as f64)
    }

    /// Days until `gap` is used up at this mean, rounded up; none if nothing is used.
    pub(super) fn days_to_use(self, gap: StdVolume) -> Option<i64> {
        let used = i128::from(self.volume.units());
        if used <= 0 || gap < StdVolume::ZERO {
            return None;
        }
        let need = i128::from(gap.units()) * i128::from(self.days);
        i64::try_from((need + used - 1) / used).ok()
    }

    /// Compares `days` at this mean with `volume`, exactly (剩余天数 × 日均 against 剩余气量).
    pub(super) fn compare(self, days: i64, volume: StdVolume) -> std::cmp::Ordering {
        let expected = i128::from(self.volume.units()) * i128::from(days);
        expected.cmp(&(i128::from(volume.units()) * i128::from(self.days)))
    }
}

/// How a day compares with the one before, by the rule in use: outside 0.667 to 1.5, both bounds
/// themselves still inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DayRatio {
    Within,
    /// Below 0.667.
    Drop,
    /// Above 1.5.
    Rise,
    /// From nothing to something.
    Start,
}

impl DayRatio {
    pub(super) fn of(day: StdVolume, before: StdVolume) -> Self {
        let (day, before) = (i128::from(day.units()), i128::from(before.units()));
        if before <= 0 {
            return if before == 0 && day > 0 {
                Self::Start
            } else {
                Self::Within
            };
        }
        if 2 * day > 3 * before {
            Self::Rise
        } else if 1_000 * day < 667 * before {
            Self::Drop
        } else {
            Self::Within
        }
    }
}

/// Relative change; none where the base is not positive.
pub(super) fn change_ratio(now: Option<StdVolume>, base: Option<StdVolume>) -> Option<f64> {
    let (now, base) = (now?, base?);
    (base > StdVolume::ZERO).then(|| (now - base).to_f64() / base.to_f64())
}

/// The same date a year before; none on 29 February.
pub(super) fn year_before(day: GasDay) -> Option<GasDay> {
    day.0.with_year(day.0.year() - 1).map(GasDay)
}

/// Volume of all 24 hours, if all are known.
pub(super) fn whole_day(hours: &[Option<StdVolume>; 24]) -> Option<StdVolume> {
    hours.iter().copied().sum()
}

/// Volume of the known hours, if there is one.
pub(super) fn known_hours(hours: &[Option<StdVolume>; 24]) -> Option<StdVolume> {
    hours
        .iter()
        .any(Option::is_some)
        .then(|| hours.iter().flatten().sum())
}

/// Volume of the peak slots (峰段用量), if each of their hours is known.
pub(super) fn peak_slots(
    hours: &[Option<StdVolume>; 24],
    slots: &SlotTable,
    clock: GasDayClock,
) -> Option<StdVolume> {
    let mut sum = StdVolume::ZERO;
    for (index, volume) in hours.iter().enumerate() {
        let slot = slots.0.get(slots.index_of(clock.civil_hour(index)));
        if slot.is_some_and(|s| s.level == SlotLevel::Peak) {
            sum += (*volume)?;
        }
    }
    Some(sum)
}

/// Mean hour over largest hour (负荷率), of a day whose hours are all known.
pub(super) fn load_factor(hours: &[Option<StdVolume>; 24]) -> Option<f64> {
    let total = whole_day(hours)?;
    let largest = hours.iter().flatten().max().copied()?;
    (largest > StdVolume::ZERO).then(|| total.to_f64() / 24.0 / largest.to_f64())
}

/// Least number of days a slope is fitted on.
const SLOPE_DAYS_MIN: usize = 20;

/// Change of the daily volume per degree (温度敏感系数), m³/°C: the slope of a least-squares line
/// through the heating season's days. Negative where cold means more gas. None with fewer than 20
/// days or hardly any spread of temperature.
///
/// # Source
/// Ordinary least squares, Σ(t − t̄)(v − v̄) / Σ(t − t̄)²; METHODS.md, "Temperature sensitivity".
pub(super) fn temperature_slope(
    days: &Days,
    temperatures: &BTreeMap<GasDay, f64>,
    season: &Season,
) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = days
        .iter()
        .filter(|(day, _)| season.contains(day.0))
        .filter_map(|(day, volume)| Some((*temperatures.get(day)?, volume.to_f64())))
        .filter(|(t, _)| t.is_finite())
        .collect();
    if pairs.len() < SLOPE_DAYS_MIN {
        return None;
    }
    let count = pairs.len() as f64;
    let mean_t = pairs.iter().map(|(t, _)| t).sum::<f64>() / count;
    let mean_v = pairs.iter().map(|(_, v)| v).sum::<f64>() / count;
    let spread: f64 = pairs.iter().map(|(t, _)| (t - mean_t).powi(2)).sum();
    let both: f64 = pairs.iter().map(|(t, v)| (t - mean_t) * (v - mean_v)).sum();
    // Less than one degree of standard deviation says nothing about temperature.
    (spread / count > 1.0).then(|| both / spread)
}

/// Least number of days a pattern is told from.
const PATTERN_DAYS_MIN: i64 = 28;

/// How a customer uses gas (用气规律): by rule, on the days known before `today`.
///
/// - intermittent: nothing at all on a tenth of the working days or more;
/// - seasonal: mean day of the heating season and of the rest of the year differ by half or more,
///   each known on 28 days at least;
/// - peaks: yesterday's mean hour is below 0.6 of its largest;
/// - stable: none of these.
pub(super) fn use_pattern(
    days: &Days,
    calendar: &Calendar,
    season: Option<&Season>,
    load_factor: Option<f64>,
) -> UsePattern {
    let (mut workdays, mut idle) = (0_i64, 0_i64);
    let (mut cold, mut warm) = (DaySum::default(), DaySum::default());
    for (day, volume) in days {
        if calendar.day_type(day.0) == DayType::Workday {
            workdays += 1;
            idle += i64::from(volume.is_zero());
        }
        let part = match season {
            Some(season) if season.contains(day.0) => &mut cold,
            _ => &mut warm,
        };
        part.volume += *volume;
        part.days += 1;
    }
    if cold.days + warm.days < PATTERN_DAYS_MIN {
        return UsePattern::Unknown;
    }
    if workdays > 0 && 10 * idle >= workdays {
        return UsePattern::Intermittent;
    }
    if let (Some(cold_m3), Some(warm_m3)) = (cold.mean_m3(), warm.mean_m3())
        && cold.days.min(warm.days) >= PATTERN_DAYS_MIN
        && (cold_m3 >= 1.5 * warm_m3 || warm_m3 >= 1.5 * cold_m3)
    {
        return UsePattern::Seasonal;
    }
    match load_factor {
        Some(factor) if factor < 0.6 => UsePattern::Peaks,
        _ => UsePattern::Stable,
    }
}

/// Working days without any gas at the end of `days`, up to `last`: a day of use or one that is
/// unknown ends the count; days off without gas are passed over.
pub(super) fn idle_workdays(days: &Days, calendar: &Calendar, last: GasDay) -> u32 {
    let mut count = 0;
    let mut day = last;
    while days.get(&day).is_some_and(|volume| volume.is_zero()) {
        if calendar.day_type(day.0) == DayType::Workday {
            count += 1;
        }
        day = day.plus(-1);
    }
    count
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;
    use crate::ledger::entry::fixture::calendar;

    fn v(text: &str) -> StdVolume {
        text.parse().unwrap()
    }

    fn on(text: &str) -> GasDay {
        text.parse().unwrap()
    }

    #[test]
    fn the_bounds_of_the_day_ratio_are_inside() {
        let ratio = |day: &str, before: &str| DayRatio::of(v(day), v(before));
        assert_eq!(ratio("1500", "1000"), DayRatio::Within);
        assert_eq!(ratio("1500.0001", "1000"), DayRatio::Rise);
        assert_eq!(ratio("667", "1000"), DayRatio::Within);
        assert_eq!(ratio("666.9999", "1000"), DayRatio::Drop);
        assert_eq!(ratio("0", "1000"), DayRatio::Drop);
        assert_eq!(ratio("0", "0"), DayRatio::Within);
        assert_eq!(ratio("0.0001", "0"), DayRatio::Start);
    }

    #[test]
    fn days_to_use_rounds_up_and_is_exact() {
        let mean = DaySum {
            volume: v("300"),
            days: 30,
        };
        assert_eq!(mean.days_to_use(v("0")), Some(0));
        assert_eq!(mean.days_to_use(v("100")), Some(10));
        assert_eq!(mean.days_to_use(v("100.0001")), Some(11));
        assert_eq!(DaySum::default().days_to_use(v("1")), None);
        assert_eq!(mean.compare(10, v("100")), Ordering::Equal);
        assert_eq!(mean.compare(10, v("99.9999")), Ordering::Greater);
        assert_eq!(mean.compare(10, v("100.0001")), Ordering::Less);
    }

    fn heating() -> Season {
        Season {
            from: "11-15".parse().unwrap(),
            to: "03-15".parse().unwrap(),
            exceptions: Vec::new(),
        }
    }

    #[test]
    fn a_line_is_found_through_the_heating_days_only() {
        let season = heating();
        assert!(season.contains("2026-11-15".parse().unwrap()));
        assert!(season.contains("2027-03-15".parse().unwrap()));
        assert!(!season.contains("2027-03-16".parse().unwrap()));
        let first = on("2026-01-01");
        let mut days = Days::new();
        let mut temperatures = BTreeMap::new();
        for i in 0..200 {
            let temperature = f64::from(i % 15) - 5.0;
            let is_heating = season.contains(first.plus(i64::from(i)).0);
            let volume = if is_heating {
                2_000.0 - 37.5 * temperature
            } else {
                9_000.0
            };
            days.insert(first.plus(i64::from(i)), StdVolume::from_f64(volume));
            temperatures.insert(first.plus(i64::from(i)), temperature);
        }
        let slope = temperature_slope(&days, &temperatures, &season).unwrap();
        assert!((slope + 37.5).abs() < 1e-6, "{slope}");
        let few: Days = days.clone().into_iter().take(19).collect();
        assert_eq!(temperature_slope(&few, &temperatures, &season), None);
        let flat = temperatures.keys().map(|day| (*day, 1.0)).collect();
        assert_eq!(temperature_slope(&days, &flat, &season), None);
    }

    #[test]
    fn patterns_by_rule() {
        let heating_season = heating();
        let season = Some(&heating_season);
        let first = on("2026-01-01");
        let days = |of: &dyn Fn(GasDay) -> i64| -> Days {
            (0..365)
                .map(|i| first.plus(i))
                .map(|day| (day, StdVolume::from_m3(of(day))))
                .collect()
        };
        let calendar = calendar();
        let pattern =
            |of: &dyn Fn(GasDay) -> i64, factor| use_pattern(&days(of), &calendar, season, factor);
        assert_eq!(pattern(&|_| 100, Some(0.9)), UsePattern::Stable);
        assert_eq!(pattern(&|_| 100, None), UsePattern::Stable);
        assert_eq!(pattern(&|_| 100, Some(0.59)), UsePattern::Peaks);
        let heating = |day: GasDay| {
            if season.is_some_and(|season| season.contains(day.0)) {
                150
            } else {
                100
            }
        };
        assert_eq!(pattern(&heating, Some(0.9)), UsePattern::Seasonal);
        // Weekends off is a rhythm, not an interruption.
        let weekdays = |day: GasDay| i64::from(calendar.day_type(day.0) == DayType::Workday);
        assert_eq!(pattern(&weekdays, None), UsePattern::Stable);
        let batches = |day: GasDay| i64::from(!day.0.ordinal().is_multiple_of(9));
        assert_eq!(pattern(&batches, None), UsePattern::Intermittent);
        let few = (0..27).map(|i| (first.plus(i), v("1"))).collect();
        assert_eq!(
            use_pattern(&few, &calendar, season, None),
            UsePattern::Unknown
        );
    }

    #[test]
    fn idle_days_are_counted_over_a_festival_and_end_at_a_gap() {
        let calendar = calendar();
        // 2026-02-14 (Saturday, worked) and 02-24 are working days; the festival lies between.
        let zero = |days: &[&str]| -> Days { days.iter().map(|d| (on(d), v("0"))).collect() };
        let mut days = Days::new();
        for i in 0..12 {
            days.insert(on("2026-02-13").plus(i), v("0"));
        }
        assert_eq!(idle_workdays(&days, &calendar, on("2026-02-24")), 3);
        days.insert(on("2026-02-20"), v("5"));
        assert_eq!(idle_workdays(&days, &calendar, on("2026-02-24")), 1);
        let gap = zero(&["2026-11-16", "2026-11-17", "2026-11-19"]);
        assert_eq!(idle_workdays(&gap, &calendar, on("2026-11-19")), 1);
        assert_eq!(idle_workdays(&gap, &calendar, on("2026-11-20")), 0);
    }

    #[test]
    fn hours_give_load_factor_and_peak_volume_only_when_known() {
        let clock = GasDayClock::default();
        let slots = SlotTable::default();
        let mut hours = [Some(v("10")); 24];
        hours[0] = Some(v("34"));
        assert_eq!(whole_day(&hours), Some(v("264")));
        assert!((load_factor(&hours).unwrap() - 11.0 / 34.0).abs() < 1e-12);
        // Peak slots: 05–09, 11–13, 17–22, eleven hours; 08:00 is hour 0.
        assert_eq!(peak_slots(&hours, &slots, clock), Some(v("134")));
        hours[1] = None;
        assert_eq!(whole_day(&hours), None);
        assert_eq!(load_factor(&hours), None);
        assert_eq!(peak_slots(&hours, &slots, clock), Some(v("134")));
        assert_eq!(known_hours(&hours), Some(v("254")));
        hours[0] = None;
        assert_eq!(peak_slots(&hours, &slots, clock), None);
        assert_eq!(known_hours(&[None; 24]), None);
    }

    #[test]
    fn the_year_before_has_no_leap_day() {
        assert_eq!(year_before(on("2026-11-20")), Some(on("2025-11-20")));
        assert_eq!(year_before(on("2028-02-29")), None);
    }
}
