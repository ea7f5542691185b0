//! The local calendar (本地日历): school holidays, heating season (供暖期) and winter price (采暖季
//! 价格) of a city, and which customers feel which.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::domain::customer::CustomerClass;
use crate::domain::id::ZoneId;

/// Month and day of every year, `MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonthDay {
    month: u32,
    day: u32,
}

impl MonthDay {
    fn of(date: NaiveDate) -> Self {
        Self {
            month: date.month(),
            day: date.day(),
        }
    }

    /// The date in a year; the first of March for a 29 February that the year has not.
    pub fn in_year(self, year: i32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, self.month, self.day)
            .or_else(|| NaiveDate::from_ymd_opt(year, self.month + 1, 1))
            .unwrap_or_default()
    }
}

impl fmt::Display for MonthDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}

impl FromStr for MonthDay {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let help = || format!("`{text}` is no day of the year; write MM-DD, for example 11-15");
        // A leap year has every day there can be.
        let date: NaiveDate = format!("2024-{text}").parse().map_err(|_| help())?;
        Ok(Self::of(date))
    }
}

impl Serialize for MonthDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MonthDay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Dates from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateSpan {
    /// First date.
    pub from: NaiveDate,
    /// Last date, included.
    pub to: NaiveDate,
}

impl DateSpan {
    /// Whether the date is one of them.
    pub fn contains(self, date: NaiveDate) -> bool {
        self.from <= date && date <= self.to
    }

    /// How many there are; below one if they are the wrong way round.
    pub fn days(self) -> i64 {
        (self.to - self.from).num_days() + 1
    }
}

/// A season of every year, with the years in which it was otherwise (提前供暖, 延长供暖).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Season {
    /// First day.
    pub from: MonthDay,
    /// Last day, included; the season may pass the end of the year.
    pub to: MonthDay,
    /// Seasons that began or ended on other days, each in the place of the one it is nearest to.
    #[serde(default)]
    pub exceptions: Vec<DateSpan>,
}

/// An exception begins at most so many days from the first day it stands in for.
const EXCEPTION_DAYS_MAX: i64 = 60;
/// Longest season that began or ended on other days than usual.
const SEASON_DAYS_MAX: i64 = 300;

impl Season {
    /// November to March: when upstream winter prices hold, where nothing else is agreed.
    pub const fn winter_price() -> Self {
        Self {
            from: MonthDay { month: 11, day: 1 },
            to: MonthDay { month: 3, day: 31 },
            exceptions: Vec::new(),
        }
    }

    /// First and last day of the season that begins in a year, exceptions apart.
    pub fn usual(&self, year: i32) -> DateSpan {
        let ends = if self.to < self.from { year + 1 } else { year };
        DateSpan {
            from: self.from.in_year(year),
            to: self.to.in_year(ends),
        }
    }

    /// The year in which the season begins that an exception stands in for, if there is one.
    pub fn year_of(&self, exception: DateSpan) -> Option<i32> {
        let year = exception.from.year();
        [year - 1, year, year + 1].into_iter().find(|year| {
            let apart = exception.from - self.from.in_year(*year);
            apart.abs() <= TimeDelta::days(EXCEPTION_DAYS_MAX)
        })
    }

    /// What is wrong with its exceptions, each in a sentence: too far from the season they stand in for, too long
    /// or the wrong way round, or two of one season.
    pub fn faults(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut years = BTreeSet::new();
        for span in &self.exceptions {
            let (from, to) = (span.from, span.to);
            match self.year_of(*span) {
                None => out.push(format!(
                    "{from} to {to} begins more than {EXCEPTION_DAYS_MAX} days from {}",
                    self.from
                )),
                Some(_) if !(1..=SEASON_DAYS_MAX).contains(&span.days()) => {
                    out.push(format!("it lasts from {from} to {to}"));
                }
                Some(year) if !years.insert(year) => {
                    out.push(format!(
                        "the season that begins in {year} has two exceptions"
                    ));
                }
                Some(_) => {}
            }
        }
        out
    }

    /// Whether a date is in it.
    pub fn contains(&self, date: NaiveDate) -> bool {
        if self.exceptions.iter().any(|span| span.contains(date)) {
            return true;
        }
        let year = [date.year() - 1, date.year()]
            .into_iter()
            .find(|year| self.usual(*year).contains(date));
        let is_replaced = |year| {
            let mut years = self.exceptions.iter().map(|span| self.year_of(*span));
            years.any(|of| of == Some(year))
        };
        year.is_some_and(|year| !is_replaced(year))
    }
}

/// A school holiday (寒假, 暑假).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchoolHoliday {
    /// Its name.
    pub name: String,
    /// First day without school.
    pub from: NaiveDate,
    /// Last day without school, included.
    pub to: NaiveDate,
}

impl SchoolHoliday {
    /// Its dates.
    pub fn span(&self) -> DateSpan {
        DateSpan {
            from: self.from,
            to: self.to,
        }
    }
}

/// A city or a part of it, with what its calendar has beside the national one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Zones that lie in it; empty: every zone that no other place names.
    #[serde(default)]
    pub zones: Vec<ZoneId>,
    /// When district heating runs and households heat (供暖期); none where there is none.
    pub heating: Option<Season>,
    /// When the winter price holds (采暖季价格); none where one price holds all the year.
    pub pricing: Option<Season>,
    /// School holidays, each by its dates, which the education bureau names every year.
    #[serde(default)]
    pub school_holidays: Vec<SchoolHoliday>,
}

/// What the local calendar says of a day to a class of customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LocalDay {
    /// Schools are closed.
    pub is_school_holiday: bool,
    /// The heating season.
    pub is_heating: bool,
    /// The winter price holds.
    pub is_winter_priced: bool,
}

impl LocalDay {
    /// Whether there is anything to say.
    pub fn is_any(self) -> bool {
        self.is_school_holiday || self.is_heating || self.is_winter_priced
    }
}

impl Place {
    /// What it says of a day to a class: schools matter to public service, and a little to households
    /// and shops; the heating season to who heats; the price to who decides by it.
    pub fn on(&self, date: NaiveDate, class: CustomerClass) -> LocalDay {
        use CustomerClass as C;
        let has_school = matches!(
            class,
            C::PublicResidential | C::PublicService | C::ResidentialCooking | C::Commercial
        );
        let heats = matches!(
            class,
            C::ResidentialCooking
                | C::ResidentialHeating
                | C::DistrictHeating
                | C::PublicResidential
                | C::PublicService
        );
        let minds_price = matches!(
            class,
            C::Industrial | C::Commercial | C::DistributedEnergy | C::Power
        );
        let is_in = |season: &Option<Season>| season.as_ref().is_some_and(|s| s.contains(date));
        let mut school = self.school_holidays.iter();
        LocalDay {
            is_school_holiday: has_school && school.any(|h| h.span().contains(date)),
            is_heating: heats && is_in(&self.heating),
            is_winter_priced: minds_price && is_in(&self.pricing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn place() -> Place {
        toml::from_str(
            "name = \"city\"\n\
             heating = { from = \"11-15\", to = \"03-15\", exceptions = [\
               { from = \"2025-11-08\", to = \"2026-03-22\" }] }\n\
             pricing = { from = \"11-01\", to = \"03-31\" }\n\
             school_holidays = [{ name = \"寒假\", from = \"2026-01-31\", to = \"2026-03-01\" }]\n",
        )
        .unwrap()
    }

    #[test]
    fn a_season_passes_new_year_and_an_early_winter_takes_its_place() {
        let heating = place().heating.unwrap();
        let is_in = |text: &str| heating.contains(date(text));
        assert!(!is_in("2024-11-14") && is_in("2024-11-15"));
        assert!(is_in("2025-03-15") && !is_in("2025-03-16"));
        assert!(!is_in("2025-11-07") && is_in("2025-11-08"), "early");
        assert!(is_in("2026-03-22") && !is_in("2026-03-23"), "prolonged");
        assert!(is_in("2026-01-10") && !is_in("2026-11-14"));
    }

    #[test]
    fn a_shorter_winter_is_shorter_at_both_ends() {
        let mut heating = place().heating.unwrap();
        heating.exceptions[0] = DateSpan {
            from: date("2025-11-20"),
            to: date("2026-03-05"),
        };
        assert!(!heating.contains(date("2025-11-16")) && !heating.contains(date("2026-03-10")));
        assert!(heating.contains(date("2025-11-20")) && heating.contains(date("2026-11-16")));
    }

    #[test]
    fn a_class_hears_what_it_feels() {
        let place = place();
        let on = |class| place.on(date("2026-02-05"), class);
        let school = on(CustomerClass::PublicService);
        assert!(school.is_school_holiday && school.is_heating && !school.is_winter_priced);
        let factory = on(CustomerClass::Industrial);
        assert!(!factory.is_school_holiday && !factory.is_heating && factory.is_winter_priced);
        assert!(!on(CustomerClass::VehicleCng).is_any());
        assert!(on(CustomerClass::DistrictHeating).is_heating);
    }

    #[test]
    fn a_day_that_is_none_is_refused() {
        let error = "11-31".parse::<MonthDay>().unwrap_err();
        assert!(error.contains("write MM-DD"), "{error}");
        assert_eq!(
            "02-29".parse::<MonthDay>().unwrap().in_year(2026),
            date("2026-03-01")
        );
    }
}
