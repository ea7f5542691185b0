//! All civil arithmetic: Beijing time, gas days, holidays and make-up working days.
//!
//! Instants are `DateTime<Utc>` everywhere else. Beijing is a fixed +08:00; the daylight-saving
//! years 1986–1991 do not exist here (domain.md §7, 5).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, FixedOffset, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc, Weekday,
};
use serde::{Deserialize, Serialize};

use crate::domain::id::ZoneId;
use crate::domain::season::Place;

/// Beijing time, a fixed +08:00.
#[expect(clippy::expect_used, reason = "+08:00 is a valid offset")]
pub fn beijing() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600).expect("+08:00 is a valid offset")
}

/// The instant of a Beijing civil date and time.
pub fn beijing_instant(date: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
    (date.and_time(time) - TimeDelta::hours(8)).and_utc()
}

/// The instant at which a clock that is so far ahead of UTC shows a date and time.
pub fn civil_instant(
    date: NaiveDate,
    time: NaiveTime,
    ahead: FixedOffset,
) -> Option<DateTime<Utc>> {
    Some(date.and_time(time).checked_sub_offset(ahead)?.and_utc())
}

/// The Beijing civil date and time of an instant.
pub fn beijing_civil(at: DateTime<Utc>) -> DateTime<FixedOffset> {
    at.with_timezone(&beijing())
}

/// A gas day (气日), named by the civil date on which it starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GasDay(pub NaiveDate);

impl GasDay {
    /// The day `count` days later (earlier if negative).
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(self.0 + TimeDelta::days(count))
    }

    /// Whole days from `other` to `self`.
    pub fn days_since(self, other: Self) -> i64 {
        (self.0 - other.0).num_days()
    }

    /// Days since 1970-01-01, the form stored in SQL.
    pub fn epoch_day(self) -> i32 {
        i32::try_from((self.0 - NaiveDate::default()).num_days()).unwrap_or(i32::MAX)
    }

    /// From days since 1970-01-01.
    pub fn from_epoch_day(day: i32) -> Self {
        Self(NaiveDate::default() + TimeDelta::days(i64::from(day)))
    }

    /// The month it belongs to, by its start date.
    pub fn month(self) -> GasMonth {
        GasMonth {
            year: self.0.year(),
            month: self.0.month(),
        }
    }
}

impl fmt::Display for GasDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for GasDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GasDay({})", self.0)
    }
}

impl FromStr for GasDay {
    type Err = chrono::ParseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A month of gas days (计划期): from the 1st at the start hour to the next 1st at the start hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GasMonth {
    /// Year.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u32,
}

impl GasMonth {
    /// Its first gas day.
    pub fn first_day(self) -> GasDay {
        GasDay(NaiveDate::from_ymd_opt(self.year, self.month, 1).unwrap_or_default())
    }

    /// The month after.
    #[must_use]
    pub fn next(self) -> Self {
        if self.month >= 12 {
            Self {
                year: self.year + 1,
                month: 1,
            }
        } else {
            Self {
                year: self.year,
                month: self.month + 1,
            }
        }
    }

    /// The month before.
    #[must_use]
    pub fn previous(self) -> Self {
        if self.month <= 1 {
            Self {
                year: self.year - 1,
                month: 12,
            }
        } else {
            Self {
                year: self.year,
                month: self.month - 1,
            }
        }
    }

    /// The same month of the year before (上年同期).
    #[must_use]
    pub fn last_year(self) -> Self {
        Self {
            year: self.year - 1,
            month: self.month,
        }
    }

    /// Its gas days in order.
    pub fn days(self) -> Vec<GasDay> {
        let first = self.first_day();
        let count = self.next().first_day().days_since(first);
        (0..count).map(|i| first.plus(i)).collect()
    }
}

impl fmt::Display for GasMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for GasMonth {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let help = || format!("`{text}` is not a month; write YYYY-MM, for example 2026-12");
        let (year, month) = text.split_once('-').ok_or_else(help)?;
        let year = year.parse().map_err(|_| help())?;
        let month = month.parse().map_err(|_| help())?;
        if !(1970..=2200).contains(&year) || !(1..=12).contains(&month) {
            return Err(help());
        }
        Ok(Self { year, month })
    }
}

impl Serialize for GasMonth {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GasMonth {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Cuts instants into gas days that start at a contract's hour (08:00 Beijing by default).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GasDayClock {
    /// Start hour in Beijing time, 0 to 23.
    pub start_hour: u32,
}

impl Default for GasDayClock {
    fn default() -> Self {
        Self { start_hour: 8 }
    }
}

impl GasDayClock {
    /// The gas day an instant belongs to.
    pub fn day_of(self, at: DateTime<Utc>) -> GasDay {
        let shifted =
            beijing_civil(at).naive_local() - TimeDelta::hours(i64::from(self.start_hour));
        GasDay(shifted.date())
    }

    /// When a gas day starts.
    pub fn start_of(self, day: GasDay) -> DateTime<Utc> {
        (day.0.and_time(NaiveTime::MIN) + TimeDelta::hours(i64::from(self.start_hour))
            - TimeDelta::hours(8))
        .and_utc()
    }

    /// When a gas day ends (excluded).
    pub fn end_of(self, day: GasDay) -> DateTime<Utc> {
        self.start_of(day.plus(1))
    }

    /// The hour index 0 to 23 of an instant within its gas day; index 0 starts at the start hour.
    pub fn hour_index(self, at: DateTime<Utc>) -> usize {
        let civil = beijing_civil(at).hour();
        ((civil + 24 - self.start_hour) % 24) as usize
    }

    /// The civil hour 0 to 23 at which hour `index` of a gas day starts.
    pub fn civil_hour(self, index: usize) -> u32 {
        (u32::try_from(index).unwrap_or(0) + self.start_hour) % 24
    }
}

/// What kind of day a civil date is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayType {
    /// Monday to Friday not off, and make-up working days (调休上班).
    Workday,
    /// Saturday or Sunday not worked.
    Weekend,
    /// A public holiday or a day off joined to one.
    Holiday,
}

impl DayType {
    /// The three, in the order of tables.
    pub const ALL: [Self; 3] = [Self::Workday, Self::Weekend, Self::Holiday];
}

/// One holiday of a year file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolidaySpan {
    /// Chinese name (春节).
    pub name: String,
    /// English name.
    pub name_en: String,
    /// First day off.
    pub from: NaiveDate,
    /// Last day off, included.
    pub to: NaiveDate,
}

/// One `calendar/<year>.toml`: the State Council's annual notice (国务院办公厅节假日安排).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CalendarYear {
    /// The year.
    pub year: i32,
    /// Where the dates come from (title, number, date of the notice).
    pub source: String,
    /// False until the notice for the year is out: statutory days only, make-up days unknown.
    pub is_official: bool,
    /// First day of the lunar year (正月初一).
    pub spring_festival: NaiveDate,
    /// Days off, joined ones included.
    pub holidays: Vec<HolidaySpan>,
    /// Weekend days that are worked (调休上班).
    pub make_up_workdays: Vec<NaiveDate>,
}

/// The holiday calendar: what the year files say, and nothing inferred beyond Saturday and Sunday;
/// and what places have beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    years: BTreeMap<i32, CalendarYear>,
    off: BTreeMap<NaiveDate, String>,
    worked: BTreeSet<NaiveDate>,
    places: Vec<Place>,
}

/// First days of lunar years (正月初一), which are astronomy and known long before a year's holidays are.
const LUNAR_NEW_YEARS: [(i32, u32, u32); 26] = [
    (2010, 2, 14),
    (2011, 2, 3),
    (2012, 1, 23),
    (2013, 2, 10),
    (2014, 1, 31),
    (2015, 2, 19),
    (2016, 2, 8),
    (2017, 1, 28),
    (2018, 2, 16),
    (2019, 2, 5),
    (2020, 1, 25),
    (2021, 2, 12),
    (2022, 2, 1),
    (2023, 1, 22),
    (2024, 2, 10),
    (2025, 1, 29),
    (2026, 2, 17),
    (2027, 2, 6),
    (2028, 1, 26),
    (2029, 2, 13),
    (2030, 2, 3),
    (2031, 1, 23),
    (2032, 2, 11),
    (2033, 1, 31),
    (2034, 2, 19),
    (2035, 2, 8),
];

/// First day of a lunar year (正月初一) from 2010 to 2035.
pub fn lunar_new_year(year: i32) -> Option<NaiveDate> {
    let (_, month, day) = LUNAR_NEW_YEARS.iter().find(|(of, _, _)| *of == year)?;
    NaiveDate::from_ymd_opt(year, *month, *day)
}

impl Calendar {
    /// Joins year files; a later file for the same year replaces the earlier.
    pub fn new(years: impl IntoIterator<Item = CalendarYear>) -> Self {
        let mut calendar = Self::default();
        for year in years {
            calendar.years.insert(year.year, year);
        }
        for year in calendar.years.values() {
            for span in &year.holidays {
                for date in span.from.iter_days().take_while(|d| *d <= span.to) {
                    calendar.off.insert(date, span.name.clone());
                }
            }
            calendar
                .worked
                .extend(year.make_up_workdays.iter().copied());
        }
        calendar
    }

    /// The same with local calendars.
    #[must_use]
    pub fn with_places(mut self, places: Vec<Place>) -> Self {
        self.places = places;
        self
    }

    /// The local calendars.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The local calendar of a zone: of the place that names it, else of the one that names none.
    pub fn place_of(&self, zone: &ZoneId) -> Option<&Place> {
        let named = self.places.iter().find(|place| place.zones.contains(zone));
        named.or_else(|| self.places.iter().find(|place| place.zones.is_empty()))
    }

    /// Whether a file for the year is loaded.
    pub fn covers(&self, year: i32) -> bool {
        self.years.contains_key(&year)
    }

    /// The loaded year files.
    pub fn years(&self) -> impl Iterator<Item = &CalendarYear> {
        self.years.values()
    }

    /// What kind of day it is.
    pub fn day_type(&self, date: NaiveDate) -> DayType {
        if self.worked.contains(&date) {
            DayType::Workday
        } else if self.off.contains_key(&date) {
            DayType::Holiday
        } else if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) {
            DayType::Weekend
        } else {
            DayType::Workday
        }
    }

    /// The holiday's Chinese name, if it is one.
    pub fn holiday_name(&self, date: NaiveDate) -> Option<&str> {
        self.off.get(&date).map(String::as_str)
    }

    /// Whether it is a weekend day that is worked (调休上班).
    pub fn is_make_up_workday(&self, date: NaiveDate) -> bool {
        self.worked.contains(&date)
    }

    /// Days from the nearest Spring Festival (正月初一), if within ±`window` days of one loaded.
    pub fn spring_festival_offset(&self, date: NaiveDate, window: i64) -> Option<i64> {
        self.years
            .values()
            .map(|year| (date - year.spring_festival).num_days())
            .min_by_key(|offset| offset.abs())
            .filter(|offset| offset.abs() <= window)
    }

    /// The instant `count` working days after `from`, at the same time of day (复杂事项时限).
    ///
    /// The day of `from` does not count.
    pub fn add_working_days(&self, from: DateTime<Utc>, count: u32) -> DateTime<Utc> {
        let civil = beijing_civil(from);
        let mut date = civil.date_naive();
        let mut left = count;
        while left > 0 {
            date = date + Days::new(1);
            if self.day_type(date) == DayType::Workday {
                left -= 1;
            }
        }
        beijing_instant(date, civil.time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year_2026() -> Calendar {
        let text = include_str!("../../config/calendar/2026.toml");
        Calendar::new([toml::from_str(text).unwrap()])
    }

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn a_gas_day_starts_at_eight_and_not_a_second_earlier() {
        let clock = GasDayClock::default();
        let day = |text: &str| clock.day_of(at(text)).to_string();
        assert_eq!(day("2026-11-21T07:59:59+08:00"), "2026-11-20");
        assert_eq!(day("2026-11-21T08:00:00+08:00"), "2026-11-21");
        let midnight = GasDayClock { start_hour: 0 };
        assert_eq!(
            midnight.day_of(at("2026-11-21T07:59:59+08:00")).to_string(),
            "2026-11-21"
        );
    }

    #[test]
    fn hours_are_counted_from_the_start_hour() {
        let clock = GasDayClock::default();
        assert_eq!(clock.hour_index(at("2026-11-21T08:30:00+08:00")), 0);
        assert_eq!(clock.hour_index(at("2026-11-22T07:30:00+08:00")), 23);
        assert_eq!(clock.civil_hour(0), 8);
        assert_eq!(clock.civil_hour(23), 7);
    }

    #[test]
    fn a_month_is_the_sum_of_its_gas_days() {
        let month: GasMonth = "2026-12".parse().unwrap();
        let days = month.days();
        assert_eq!(days.len(), 31);
        let clock = GasDayClock::default();
        assert_eq!(clock.start_of(days[0]), at("2026-12-01T08:00:00+08:00"));
        assert_eq!(clock.end_of(days[30]), at("2027-01-01T08:00:00+08:00"));
        assert_eq!(month.next().to_string(), "2027-01");
        assert!("2026-13".parse::<GasMonth>().is_err());
    }

    #[test]
    fn spring_festival_2026_and_its_make_up_days() {
        let calendar = year_2026();
        let type_of = |text: &str| calendar.day_type(text.parse().unwrap());
        assert_eq!(type_of("2026-02-14"), DayType::Workday); // Saturday, worked
        assert_eq!(type_of("2026-02-15"), DayType::Holiday);
        assert_eq!(type_of("2026-02-23"), DayType::Holiday);
        assert_eq!(type_of("2026-02-24"), DayType::Workday);
        assert_eq!(type_of("2026-02-28"), DayType::Workday); // Saturday, worked
        assert_eq!(type_of("2026-03-01"), DayType::Weekend);
        assert_eq!(
            calendar.spring_festival_offset("2026-02-10".parse().unwrap(), 20),
            Some(-7)
        );
        assert_eq!(
            calendar.spring_festival_offset("2026-04-10".parse().unwrap(), 20),
            None
        );
    }

    #[test]
    fn lunar_years_begin_where_the_calendars_say_and_at_a_new_moon() {
        for text in [
            include_str!("../../config/calendar/2020.toml"),
            include_str!("../../config/calendar/2021.toml"),
            include_str!("../../config/calendar/2022.toml"),
            include_str!("../../config/calendar/2023.toml"),
            include_str!("../../config/calendar/2024.toml"),
            include_str!("../../config/calendar/2025.toml"),
            include_str!("../../config/calendar/2026.toml"),
            include_str!("../../config/calendar/2027.toml"),
        ] {
            let year: CalendarYear = toml::from_str(text).unwrap();
            assert_eq!(lunar_new_year(year.year), Some(year.spring_festival));
        }
        // A new moon on 2000-01-06T18:14Z and every 29.530588853 days; the true one up to 15 hours off.
        let known = NaiveDate::from_ymd_opt(2000, 1, 7).unwrap();
        for (year, _, _) in LUNAR_NEW_YEARS {
            let days = (lunar_new_year(year).unwrap() - known).num_days() as f64 - 0.09;
            let apart = days - (days / 29.530_588_853).round() * 29.530_588_853;
            assert!(apart.abs() < 1.3, "{year}: {apart} days");
        }
    }

    #[test]
    fn three_working_days_step_over_the_festival() {
        // Friday 2026-02-13 16:00; the Saturday after is worked, then nine days off.
        let due = year_2026().add_working_days(at("2026-02-13T16:00:00+08:00"), 3);
        assert_eq!(due, at("2026-02-25T16:00:00+08:00"));
    }

    #[test]
    fn the_daylight_saving_years_do_not_matter() {
        let clock = GasDayClock::default();
        let noon = beijing_instant(
            "1988-07-01".parse().unwrap(),
            NaiveTime::from_hms_opt(12, 0, 0).unwrap(),
        );
        assert_eq!(noon, at("1988-07-01T12:00:00+08:00"));
        assert_eq!(clock.day_of(noon).to_string(), "1988-07-01");
    }
}
