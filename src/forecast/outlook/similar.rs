//! Similar days (相似日): past days like one to come, by what planners look at, each with how far it is
//! off in every respect.

use serde::{Deserialize, Serialize};

use crate::domain::calendar::{Calendar, DayType, GasDay};
use crate::forecast::features::calendar::{DayTraits, FESTIVAL_REACH, season_distance, weekday_of};

/// Kelvin that count as one.
const KELVIN: f64 = 2.0;
/// Days of the year that count as one.
const SEASON_DAYS: f64 = 30.0;
/// Days from the festival that count as one.
const FESTIVAL_DAYS: f64 = 2.0;
/// Another weekday of the same type of day.
const WEEKDAY: f64 = 0.3;
/// Another type of day.
const DAY_TYPE: f64 = 1.5;
/// Years that count as one.
const YEARS: f64 = 4.0;

/// What is looked at of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayFacts {
    /// Gas day.
    pub day: GasDay,
    /// Effective temperature, °C; none where unknown.
    pub effective_c: Option<f64>,
}

/// How unlike a past day is, in each respect; their squares sum to the square of `distance`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SimilarDay {
    /// The past day.
    pub day: GasDay,
    /// Root of the sum of squares.
    pub distance: f64,
    /// Effective temperature, past less asked, K; none where one is unknown.
    pub temperature_k: Option<f64>,
    /// Distance by temperature.
    pub by_temperature: f64,
    /// Distance by weekday and type of day.
    pub by_day_type: f64,
    /// Distance within the year.
    pub by_season: f64,
    /// Distance by offset from the spring festival.
    pub by_festival: f64,
    /// Distance by age.
    pub by_age: f64,
}

/// The `count` past days most like `asked`, nearest first.
///
/// # Source
/// METHODS.md, "Similar days"; worked example: `a_like_day_is_near_in_every_respect`.
pub fn similar_days(
    calendar: &Calendar,
    asked: DayFacts,
    past: &[DayFacts],
    count: usize,
) -> Vec<SimilarDay> {
    let mut out: Vec<SimilarDay> = past
        .iter()
        .filter(|p| p.day < asked.day)
        .map(|p| compare(calendar, asked, *p))
        .collect();
    out.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(b.day.cmp(&a.day)));
    out.truncate(count);
    out
}

fn compare(calendar: &Calendar, asked: DayFacts, past: DayFacts) -> SimilarDay {
    let temperature_k = asked.effective_c.zip(past.effective_c).map(|(a, p)| p - a);
    // An unknown temperature is as bad as five kelvins off.
    let by_temperature = temperature_k.unwrap_or(5.0).abs() / KELVIN;
    let kind = |day: GasDay| -> (DayType, usize) { (calendar.day_type(day.0), weekday_of(day.0)) };
    let ((a_type, a_weekday), (p_type, p_weekday)) = (kind(asked.day), kind(past.day));
    let by_day_type = if a_type != p_type {
        DAY_TYPE
    } else if a_weekday != p_weekday {
        WEEKDAY
    } else {
        0.0
    };
    let by_season = season_distance(asked.day.0, past.day.0) / SEASON_DAYS;
    let by_festival = festival_distance(
        DayTraits::new(calendar, asked.day).festival,
        DayTraits::new(calendar, past.day).festival,
    );
    let by_age = asked.day.days_since(past.day) as f64 / 365.25 / YEARS;
    let squares = [by_temperature, by_day_type, by_season, by_festival, by_age].map(|d| d * d);
    SimilarDay {
        day: past.day,
        distance: squares.iter().sum::<f64>().sqrt(),
        temperature_k,
        by_temperature,
        by_day_type,
        by_season,
        by_festival,
        by_age,
    }
}

/// Both far from the festival: none; one far: as far as the other reaches into it.
fn festival_distance(a: Option<i64>, b: Option<i64>) -> f64 {
    let near = |offset: Option<i64>| offset.filter(|o| o.abs() <= FESTIVAL_REACH);
    let days = match (near(a), near(b)) {
        (Some(a), Some(b)) => (a - b).abs(),
        (Some(inside), None) | (None, Some(inside)) => FESTIVAL_REACH + 1 - inside.abs(),
        (None, None) => 0,
    };
    days as f64 / FESTIVAL_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar() -> Calendar {
        Calendar::new(
            [
                include_str!("../../../config/calendar/2025.toml"),
                include_str!("../../../config/calendar/2026.toml"),
            ]
            .map(|text| toml::from_str(text).unwrap()),
        )
    }

    fn facts(day: &str, effective_c: f64) -> DayFacts {
        DayFacts {
            day: day.parse().unwrap(),
            effective_c: Some(effective_c),
        }
    }

    #[test]
    fn a_like_day_is_near_in_every_respect() {
        let asked = facts("2026-11-20", 6.0); // a Friday
        let past = [
            facts("2026-11-13", 8.0), // Friday, 2 K warmer, a week before
            facts("2026-11-15", 6.0), // Sunday
            facts("2026-07-17", 6.0), // Friday in July
            facts("2026-11-27", 6.0), // later: never
        ];
        let found = similar_days(&calendar(), asked, &past, 5);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].day, past[0].day);
        // (2/2)² + (7/30)² + (7/365.25/4)² = 1.0545
        assert!(
            (found[0].distance - 1.0545_f64.sqrt()).abs() < 1e-4,
            "{:?}",
            found[0]
        );
        assert!((found[0].by_day_type - 0.0).abs() < 1e-9);
        assert!((found[1].by_day_type - 1.5).abs() < 1e-9);
        assert!(found[2].by_season > 4.0);
    }

    #[test]
    fn a_day_of_the_festival_is_like_the_same_day_of_another_year() {
        // 正月初一: 2025-01-29 and 2026-02-17.
        let asked = facts("2026-02-18", 5.0);
        let past = [facts("2025-01-30", 5.0), facts("2025-02-18", 5.0)];
        let found = similar_days(&calendar(), asked, &past, 2);
        assert_eq!(found[0].day, past[0].day, "{found:?}");
        assert!((found[0].by_festival - 0.0).abs() < 1e-9);
        assert!(found[1].by_festival > 5.0);
    }
}
