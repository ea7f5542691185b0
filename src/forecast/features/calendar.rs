//! Calendar features: weekday, day type, make-up working days, the year's main festival, season, trend,
//! and what the local calendar has of school, heating and price.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::sync::LazyLock;

use chrono::{Datelike, NaiveDate, TimeDelta};

use crate::domain::calendar::{Calendar, DayType, GasDay, lunar_new_year};
use crate::domain::demand::DemandNode;
use crate::domain::season::LocalDay;

/// What the calendar says of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DayTraits {
    /// The day.
    pub day: GasDay,
    /// Monday 0 to Sunday 6.
    pub weekday: usize,
    /// Working day, weekend, holiday.
    pub day_type: DayType,
    /// A weekend day that is worked (调休上班).
    pub is_make_up_workday: bool,
    /// Days from the year's main festival (正月初一), if near: lunar, so no date can stand for it.
    pub festival: Option<i64>,
    /// School, heating and price, where the customers in question have them.
    pub local: LocalDay,
}

/// Farthest day before and after the festival that it can still be felt on.
pub const FESTIVAL_REACH: i64 = 24;

impl DayTraits {
    /// From the Chinese calendar, without what is local.
    pub fn new(calendar: &Calendar, day: GasDay) -> Self {
        Self {
            day,
            weekday: weekday_of(day.0),
            day_type: calendar.day_type(day.0),
            is_make_up_workday: calendar.is_make_up_workday(day.0),
            festival: calendar.spring_festival_offset(day.0, FESTIVAL_REACH),
            local: LocalDay::default(),
        }
    }

    /// So many days from `first` on.
    pub fn span(calendar: &Calendar, first: GasDay, count: usize) -> Vec<Self> {
        (0_i64..)
            .take(count)
            .map(|i| Self::new(calendar, first.plus(i)))
            .collect()
    }

    /// The same with the local calendar, as the customers of a node feel it.
    pub fn span_of(
        calendar: &Calendar,
        node: &DemandNode,
        first: GasDay,
        count: usize,
    ) -> Vec<Self> {
        let mut days = Self::span(calendar, first, count);
        if let Some(place) = calendar.place_of(&node.zone) {
            for day in &mut days {
                day.local = place.on(day.day.0, node.class);
            }
        }
        days
    }

    /// Whether it is a weekend day that is not worked, or a holiday.
    pub fn is_off(&self) -> bool {
        self.day_type != DayType::Workday
    }
}

/// Monday 0 to Sunday 6.
pub fn weekday_of(date: NaiveDate) -> usize {
    date.weekday().num_days_from_monday() as usize
}

/// Part of the year gone, 0 at new year, as an angle.
pub fn year_angle(date: NaiveDate) -> f64 {
    TAU * f64::from(date.ordinal0()) / 365.25
}

/// Sine and cosine of [`year_angle`], which a model of many years asks for each day of.
pub fn first_harmonic(date: NaiveDate) -> (f64, f64) {
    static OF_DAYS: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| {
        let angle = |day| TAU * f64::from(day) / 365.25;
        (0..366).map(|day: u32| angle(day).sin_cos()).collect()
    });
    OF_DAYS[date.ordinal0() as usize]
}

/// Days between the two dates of the year, 0 to 183.
pub fn season_distance(a: NaiveDate, b: NaiveDate) -> f64 {
    let apart = (f64::from(a.ordinal0()) - f64::from(b.ordinal0())).abs();
    apart.min(365.25 - apart).abs()
}

/// Offsets at which the effect of the festival is free; linear between them, zero at the ends.
const FESTIVAL_KNOTS: [i64; 12] = [-21, -14, -7, -3, -1, 0, 1, 3, 7, 11, 16, 24];
const HARMONICS: usize = 4;

/// Number of calendar features without the local ones.
pub const CALENDAR_FEATURES: usize = FIRST_HARMONIC.start + 2 * HARMONICS;

// Columns in the order in which they are rarely to always other than zero: a sum of cross products
// passes over a column that is zero, and all that is to the right of it (`linear::gram`).
/// Columns of the festival.
pub const FESTIVAL: std::ops::Range<usize> = 1..FESTIVAL_KNOTS.len() - 1;
const HOLIDAYS: std::ops::Range<usize> = FESTIVAL.end..FESTIVAL.end + 3;
const BESIDE_DAYS_OFF: std::ops::Range<usize> = HOLIDAYS.end..HOLIDAYS.end + 3;
/// Columns that a few days a year are in: the festival, holidays, make-up workdays, days beside days off.
pub const RARE: std::ops::Range<usize> = FESTIVAL.start..BESIDE_DAYS_OFF.end;
const WEEKDAYS: std::ops::Range<usize> = BESIDE_DAYS_OFF.end..BESIDE_DAYS_OFF.end + 7;
/// Columns of the day off × first harmonic.
pub const OFF_DAY_SEASON: std::ops::Range<usize> = WEEKDAYS.end..WEEKDAYS.end + 2;
/// Column of the trend.
pub const TREND: usize = OFF_DAY_SEASON.end;
/// Columns of the first harmonic of the year, sine and cosine.
pub const FIRST_HARMONIC: std::ops::Range<usize> = TREND + 1..TREND + 3;

/// Number of features of the local calendar, which follow the others where there is one.
pub const LOCAL_FEATURES: usize = 3;
/// Column of school holidays, where there is a local calendar.
pub const SCHOOL: usize = CALENDAR_FEATURES;
/// Columns of heating season and winter price, where there is a local calendar.
pub const SEASONS: std::ops::Range<usize> = SCHOOL + 1..CALENDAR_FEATURES + LOCAL_FEATURES;

/// Features of the local calendar.
pub fn local_features(day: &DayTraits) -> [f64; LOCAL_FEATURES] {
    let local = day.local;
    [
        flag(local.is_school_holiday),
        flag(local.is_heating),
        flag(local.is_winter_priced),
    ]
}

/// Calendar features of `days[index]`; the intercept is first. A make-up working day counts a fifth of
/// each working day of the week, and has a column of its own for what it differs by.
///
/// The trend counts years from `epoch`. Neighbours are taken from `days`, so a list should reach
/// one day further than is forecast.
pub fn calendar_features(
    days: &[DayTraits],
    index: usize,
    epoch: GasDay,
) -> [f64; CALENDAR_FEATURES] {
    let day = days[index];
    let mut row = [0.0; CALENDAR_FEATURES];
    row[0] = 1.0;
    festival_features(day.festival, &mut row[FESTIVAL]);
    let is_holiday = day.day_type == DayType::Holiday;
    row[HOLIDAYS].copy_from_slice(&[
        flag(is_holiday && day.weekday < 5),
        flag(is_holiday && day.weekday >= 5),
        flag(day.is_make_up_workday),
    ]);
    let before = index.checked_sub(1).and_then(|i| days.get(i));
    let after = days.get(index + 1);
    let is_work = !day.is_off();
    let holiday = |d: Option<&DayTraits>| d.is_some_and(|d| d.day_type == DayType::Holiday);
    let off = |d: Option<&DayTraits>| d.is_some_and(DayTraits::is_off);
    row[BESIDE_DAYS_OFF].copy_from_slice(&[
        flag(is_work && holiday(after)),
        flag(is_work && holiday(before)),
        flag(is_work && off(before) && off(after)),
    ]);
    if day.is_make_up_workday {
        row[WEEKDAYS][..5].fill(0.2);
    } else {
        row[WEEKDAYS][day.weekday] = flag(!is_holiday);
    }
    let (sine, cosine) = first_harmonic(day.day.0);
    let off_day = flag(day.is_off());
    row[OFF_DAY_SEASON].copy_from_slice(&[off_day * sine, off_day * cosine]);
    row[TREND] = day.day.days_since(epoch) as f64 / 365.25;
    let (mut of_k, mut co_of_k) = (sine, cosine);
    for pair in row[FIRST_HARMONIC.start..].chunks_exact_mut(2) {
        pair.copy_from_slice(&[of_k, co_of_k]);
        (of_k, co_of_k) = (
            of_k * cosine + co_of_k * sine,
            co_of_k * cosine - of_k * sine,
        );
    }
    row
}

/// What the festival does to the days of `[from, to)` near one, by effects of the columns of rare days. Of
/// a year that has no calendar the festival's day is known, its holidays are not.
pub fn festival_days(
    calendar: &Calendar,
    node: &DemandNode,
    effects: &[f64],
    [from, to]: [GasDay; 2],
) -> BTreeMap<GasDay, f64> {
    let count = usize::try_from(to.days_since(from)).unwrap_or(0);
    let days = DayTraits::span_of(calendar, node, from.plus(-1), count + 2);
    (1..=count)
        .filter_map(|i| {
            let day = days[i];
            let row = if calendar.covers(day.day.0.year()) {
                day.festival?;
                calendar_features(&days, i, from)
            } else {
                let mut row = [0.0; CALENDAR_FEATURES];
                let offset = day.day.0 - lunar_new_year(day.day.0.year())?;
                let offset = Some(offset.num_days()).filter(|of| of.abs() <= FESTIVAL_REACH);
                festival_features(Some(offset?), &mut row[FESTIVAL]);
                row
            };
            let effect = row[RARE].iter().zip(effects).map(|(x, e)| x * e).sum();
            Some((day.day, effect))
        })
        .collect()
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn festival_features(offset: Option<i64>, row: &mut [f64]) {
    if offset.is_none() {
        return;
    }
    for (value, window) in row.iter_mut().zip(FESTIVAL_KNOTS.windows(3)) {
        let [low, at, high] = [window[0], window[1], window[2]];
        *value = match offset {
            Some(d) if low < d && d <= at => (d - low) as f64 / (at - low) as f64,
            Some(d) if at < d && d < high => (high - d) as f64 / (high - at) as f64,
            _ => 0.0,
        };
    }
}

/// Calendar for places whose year file we do not have: named public holidays by date.
///
/// The main festival is lunar new year where it is kept, else Christmas.
pub fn traits_of_named_holidays(
    holidays: &std::collections::BTreeMap<NaiveDate, String>,
    first: GasDay,
    count: usize,
) -> Vec<DayTraits> {
    let is_lunar = |name: &str| {
        matches!(
            name,
            "Chinese New Year" | "Korean New Year" | "Lunar New Year" | "Spring Festival"
        )
    };
    let has_lunar = holidays.values().any(|name| is_lunar(name));
    let festivals: Vec<NaiveDate> = holidays
        .iter()
        .filter(|(_, name)| {
            if has_lunar {
                is_lunar(name)
            } else {
                name.contains("Christmas Day")
                    && !name.contains("observed")
                    && !name.contains("Orthodox")
            }
        })
        .map(|(date, _)| *date)
        .collect();
    (0_i64..)
        .take(count)
        .map(|i| {
            let day = first.plus(i);
            let date = day.0;
            let weekday = weekday_of(date);
            let day_type = if holidays.contains_key(&date) {
                DayType::Holiday
            } else if weekday >= 5 {
                DayType::Weekend
            } else {
                DayType::Workday
            };
            let near = festivals.partition_point(|f| *f <= date + TimeDelta::days(FESTIVAL_REACH));
            let festival = festivals[..near]
                .iter()
                .rev()
                .take(2)
                .map(|f| (date - *f).num_days())
                .filter(|d| d.abs() <= FESTIVAL_REACH)
                .min_by_key(|d| d.abs());
            DayTraits {
                day,
                weekday,
                day_type,
                is_make_up_workday: false,
                festival,
                local: LocalDay::default(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days() -> Vec<DayTraits> {
        let text = include_str!("../../../config/calendar/2026.toml");
        let calendar = Calendar::new([toml::from_str(text).unwrap()]);
        DayTraits::span(&calendar, GasDay("2026-01-01".parse().unwrap()), 365)
    }

    fn at(text: &str) -> usize {
        let date: NaiveDate = text.parse().unwrap();
        date.ordinal0() as usize
    }

    #[test]
    fn columns_follow_each_other_without_a_hole() {
        let days = days();
        let row = calendar_features(&days, at("2026-07-04"), days[0].day); // a Saturday
        assert_eq!(CALENDAR_FEATURES, 35);
        let other_than_zero: Vec<usize> = (0..row.len()).filter(|j| row[*j] != 0.0).collect();
        let expected: Vec<usize> = [0, WEEKDAYS.start + 5]
            .into_iter()
            .chain(OFF_DAY_SEASON.start..CALENDAR_FEATURES)
            .collect();
        assert_eq!(other_than_zero, expected);
    }

    #[test]
    fn a_make_up_workday_is_a_workday_of_no_name() {
        let days = days();
        let row = calendar_features(&days, at("2026-02-14"), days[0].day);
        assert_eq!(row[WEEKDAYS], [0.2, 0.2, 0.2, 0.2, 0.2, 0.0, 0.0]);
        assert_eq!(row[HOLIDAYS], [0.0, 0.0, 1.0]);
        assert_eq!(
            row[BESIDE_DAYS_OFF],
            [1.0, 0.0, 0.0],
            "the day before a holiday"
        );
    }

    #[test]
    fn the_festival_is_felt_by_its_offset_and_fades() {
        let days = days();
        let block = |text: &str| {
            let row = calendar_features(&days, at(text), days[0].day);
            row[FESTIVAL].to_vec()
        };
        let on_the_day = block("2026-02-17");
        assert!((on_the_day.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((on_the_day[4] - 1.0).abs() < 1e-12);
        let between = block("2026-02-08"); // day −9: 5/7 of knot −7, 2/7 of knot −14
        assert!((between[1] - 5.0 / 7.0).abs() < 1e-12 && (between[0] - 2.0 / 7.0).abs() < 1e-12);
        assert!(block("2026-04-20").iter().all(|v| *v == 0.0));
    }

    #[test]
    fn seasons_meet_at_new_year() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert!(season_distance(date("2026-12-30"), date("2026-01-02")) < 4.0);
        assert!(season_distance(date("2026-01-01"), date("2026-07-01")) > 175.0);
    }

    #[test]
    fn named_holidays_find_the_festival() {
        let holidays = [
            ("2025-12-25", "Christmas Day"),
            ("2026-01-01", "New Year's Day"),
        ]
        .into_iter()
        .map(|(d, n)| (d.parse().unwrap(), n.to_owned()))
        .collect();
        let days = traits_of_named_holidays(&holidays, GasDay("2025-12-20".parse().unwrap()), 14);
        assert_eq!(days[0].festival, Some(-5));
        assert_eq!(days[12].day_type, DayType::Holiday);
        assert_eq!(days[12].festival, Some(7));
    }
}
