//! How much gas each kind of use takes on a day, and in which hours (domain.md §10.G).

use chrono::{Datelike, NaiveDate, Weekday};

use crate::domain::calendar::{Calendar, DayType};
use crate::domain::customer::CustomerClass;
use crate::domain::season::SchoolHoliday;

/// A kind of use: a customer class, industry by shift pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoadKind {
    /// Cooking and hot water of households.
    Cooking,
    /// Households with wall-hung boilers.
    Heating,
    /// Shops, restaurants, hotels.
    Commercial,
    /// Industry around the clock.
    IndustryThree,
    /// Industry in two shifts.
    IndustryTwo,
    /// Industry in one shift.
    IndustryOne,
    /// Schools, hospitals, offices.
    Public,
    /// Filling stations.
    Vehicle,
}

impl LoadKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Cooking,
        Self::Heating,
        Self::Commercial,
        Self::IndustryThree,
        Self::IndustryTwo,
        Self::IndustryOne,
        Self::Public,
        Self::Vehicle,
    ];

    /// Position in `ALL`.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The kind whose share of the city this one's volume is part of: all industry is one.
    pub(crate) const fn is_industry(self) -> bool {
        matches!(
            self,
            Self::IndustryThree | Self::IndustryTwo | Self::IndustryOne
        )
    }

    /// The class that stands for this kind in tables of class shares; public service has two.
    pub const fn class(self) -> CustomerClass {
        match self {
            Self::Cooking => CustomerClass::ResidentialCooking,
            Self::Heating => CustomerClass::ResidentialHeating,
            Self::Commercial => CustomerClass::Commercial,
            Self::IndustryThree | Self::IndustryTwo | Self::IndustryOne => {
                CustomerClass::Industrial
            }
            Self::Public => CustomerClass::PublicService,
            Self::Vehicle => CustomerClass::VehicleCng,
        }
    }

    /// Share of the day's volume in each civil hour.
    pub const fn hour_shares(self) -> &'static [f64; 24] {
        match self {
            Self::Cooking => &COOKING,
            Self::Heating => &HEATING,
            Self::Commercial => &COMMERCIAL,
            Self::IndustryThree => &INDUSTRY_THREE,
            Self::IndustryTwo => &INDUSTRY_TWO,
            Self::IndustryOne => &INDUSTRY_ONE,
            Self::Public => &PUBLIC,
            Self::Vehicle => &VEHICLE,
        }
    }

    /// How much a single meter varies from its class: from day to day, and from hour to hour.
    pub(crate) const fn meter_spread(self) -> (f64, f64) {
        match self {
            Self::Cooking | Self::Heating => (0.05, 0.08),
            Self::Commercial => (0.12, 0.15),
            Self::IndustryThree => (0.05, 0.04),
            Self::IndustryTwo | Self::IndustryOne => (0.08, 0.08),
            Self::Public => (0.08, 0.10),
            Self::Vehicle => (0.10, 0.12),
        }
    }

    /// The whole city's volume in summer and at the winter median, m³/d, and how far beyond the
    /// winter median (as a multiple of the difference) cold can drive it.
    ///
    /// Boiler households take 2 % of the city in summer for hot water, where §10.G rounds to 0.
    const fn level(self) -> (f64, f64, f64) {
        match self {
            Self::Cooking => (108_000.0, 126_000.0, 2.5),
            Self::Heating => (7_600.0, 238_000.0, 2.5),
            Self::Commercial => (53_200.0, 70_000.0, 2.5),
            Self::IndustryThree | Self::IndustryTwo | Self::IndustryOne => {
                (174_800.0, 210_000.0, 1.2)
            }
            Self::Public => (19_000.0, 28_000.0, 2.0),
            Self::Vehicle => (19_000.0, 28_000.0, 1.2),
        }
    }

    /// Growth in a year, as a part.
    const fn growth(self) -> f64 {
        match self {
            Self::Cooking | Self::Public => 0.02,
            Self::Heating => 0.04,
            Self::Commercial | Self::IndustryThree | Self::IndustryTwo | Self::IndustryOne => 0.03,
            Self::Vehicle => -0.02,
        }
    }

    /// Saturday and Sunday as parts of the week's mean day.
    const fn weekend(self) -> (f64, f64) {
        match self {
            Self::Cooking => (1.05, 1.06),
            Self::Heating => (1.02, 1.03),
            Self::Commercial => (1.08, 1.04),
            Self::IndustryThree => (0.98, 0.96),
            Self::IndustryTwo => (0.85, 0.65),
            Self::IndustryOne => (0.60, 0.30),
            Self::Public => (0.80, 0.75),
            Self::Vehicle => (0.98, 0.93),
        }
    }
}

/// Expected volume of a kind if the whole city had nothing else, m³ per civil day.
///
/// Level by effective temperature, growth since `reference_on`, weekday, holiday, Spring Festival;
/// without any random part.
pub(crate) fn expected_m3(
    kind: LoadKind,
    date: NaiveDate,
    effective_c: f64,
    calendar: &Calendar,
    reference_on: NaiveDate,
) -> f64 {
    let (summer, winter, reach) = kind.level();
    let level = summer + (winter - summer) * winter_index(effective_c).min(reach);
    let years = (date - reference_on).num_days() as f64 / 365.0;
    level * (1.0 + kind.growth() * years) * day_factor(kind, date, calendar)
}

/// 0 in summer, 1 at an effective temperature of 2.5 °C (the winter median), 2 at −8 °C.
///
/// The sigmoid 1/(1 + (40/(40 − θ))⁷) of the German load profiles (domain.md §6.1), scaled.
pub(crate) fn winter_index(effective_c: f64) -> f64 {
    let at = |theta: f64| {
        let ratio = 40.0 / (40.0 - theta.min(35.0));
        let square = ratio * ratio;
        1.0 / (1.0 + square * square * square * ratio)
    };
    let zero = at(24.0);
    ((at(effective_c) - zero) / (at(2.5) - zero)).max(0.0)
}

/// What kind of day it is, as a factor on the kind's mean day.
pub(crate) fn day_factor(kind: LoadKind, date: NaiveDate, calendar: &Calendar) -> f64 {
    let (saturday, sunday) = kind.weekend();
    let workday = (7.0 - saturday - sunday) / 5.0;
    let base = match calendar.day_type(date) {
        DayType::Workday => workday,
        DayType::Weekend if date.weekday() == Weekday::Sat => saturday,
        DayType::Weekend | DayType::Holiday => sunday,
    };
    let is_long = calendar
        .holiday_name(date)
        .is_some_and(|name| name.contains("国庆") || name.contains("劳动"));
    let holiday = match (kind, is_long) {
        (LoadKind::IndustryThree, true) => 0.88,
        (LoadKind::IndustryTwo | LoadKind::IndustryOne, true) => 0.75,
        (LoadKind::Commercial, true) => 1.08,
        _ => 1.0,
    };
    base * holiday * festival_factor(kind, date, calendar) * school_factor(kind, date, calendar)
}

/// Offsets in days from the first day of the lunar year, and what industry takes of its mean day.
const FESTIVAL_INDUSTRY: [(f64, f64); 9] = [
    (-8.0, 1.0),
    (-6.0, 0.85),
    (-3.0, 0.45),
    (-1.0, 0.22),
    (5.0, 0.20),
    (8.0, 0.45),
    (11.0, 0.72),
    (15.0, 0.94),
    (17.0, 1.0),
];

/// Spring Festival: industry collapses from T−7 to T+15, households cook more, shops close.
fn festival_factor(kind: LoadKind, date: NaiveDate, calendar: &Calendar) -> f64 {
    let Some(offset) = calendar.spring_festival_offset(date, 20) else {
        return 1.0;
    };
    let curve = interpolate(&FESTIVAL_INDUSTRY, offset as f64);
    match kind {
        LoadKind::IndustryOne | LoadKind::IndustryTwo => curve,
        // Furnaces are kept warm: the collapse is two thirds as deep.
        LoadKind::IndustryThree => 1.0 - (1.0 - curve) * 0.68,
        LoadKind::Cooking if (-2..=6).contains(&offset) => 1.12,
        LoadKind::Heating if (-3..=8).contains(&offset) => 1.05,
        LoadKind::Commercial if (-1..=4).contains(&offset) => 0.60,
        LoadKind::Commercial if (5..=8).contains(&offset) => 0.85,
        LoadKind::Public if (-6..=8).contains(&offset) => 0.75,
        LoadKind::Vehicle if (-1..=3).contains(&offset) => 0.80,
        _ => 1.0,
    }
}

/// School holidays of the city's own calendar.
fn school_factor(kind: LoadKind, date: NaiveDate, calendar: &Calendar) -> f64 {
    let is_away = |holiday: &SchoolHoliday| holiday.span().contains(date);
    let mut holidays = calendar.places().iter().flat_map(|p| &p.school_holidays);
    if kind == LoadKind::Public && holidays.any(is_away) {
        0.85
    } else {
        1.0
    }
}

fn interpolate(points: &[(f64, f64)], x: f64) -> f64 {
    for pair in points.windows(2) {
        if let [(x0, y0), (x1, y1)] = pair
            && x <= *x1
        {
            let weight = ((x - x0) / (x1 - x0)).clamp(0.0, 1.0);
            return y0 + (y1 - y0) * weight;
        }
    }
    points.last().map_or(1.0, |p| p.1)
}

const COOKING: [f64; 24] = [
    0.010, 0.007, 0.006, 0.006, 0.010, 0.025, 0.055, 0.060, 0.045, 0.035, 0.040, 0.065, 0.060,
    0.035, 0.028, 0.028, 0.040, 0.075, 0.095, 0.085, 0.070, 0.055, 0.040, 0.025,
];
const HEATING: [f64; 24] = [
    0.0383, 0.0373, 0.0373, 0.0373, 0.0394, 0.0434, 0.0484, 0.0494, 0.0454, 0.0414, 0.0383, 0.0363,
    0.0353, 0.0343, 0.0343, 0.0353, 0.0383, 0.0434, 0.0487, 0.0505, 0.0505, 0.0494, 0.0464, 0.0414,
];
const COMMERCIAL: [f64; 24] = [
    0.008, 0.005, 0.004, 0.004, 0.006, 0.012, 0.025, 0.035, 0.040, 0.050, 0.070, 0.095, 0.085,
    0.045, 0.025, 0.025, 0.045, 0.085, 0.100, 0.090, 0.065, 0.040, 0.025, 0.016,
];
const INDUSTRY_THREE: [f64; 24] = [1.0 / 24.0; 24];
const INDUSTRY_ONE: [f64; 24] = [
    0.0052, 0.0052, 0.0052, 0.0052, 0.0052, 0.0086, 0.0259, 0.0604, 0.0820, 0.0863, 0.0846, 0.0733,
    0.0647, 0.0820, 0.0863, 0.0846, 0.0820, 0.0690, 0.0385, 0.0173, 0.0104, 0.0069, 0.0060, 0.0052,
];
/// Two shifts from 06 to 22 o'clock over a base of 40 %.
const INDUSTRY_TWO: [f64; 24] = [
    0.0165, 0.0165, 0.0165, 0.0165, 0.0165, 0.0300, 0.0490, 0.0540, 0.0545, 0.0545, 0.0545, 0.0500,
    0.0480, 0.0535, 0.0545, 0.0545, 0.0545, 0.0535, 0.0530, 0.0525, 0.0515, 0.0450, 0.0275, 0.0230,
];
const VEHICLE: [f64; 24] = [
    0.0153, 0.0102, 0.0082, 0.0082, 0.0153, 0.0357, 0.0561, 0.0612, 0.0561, 0.0510, 0.0490, 0.0510,
    0.0531, 0.0490, 0.0459, 0.0459, 0.0510, 0.0561, 0.0593, 0.0561, 0.0510, 0.0459, 0.0408, 0.0286,
];
const PUBLIC: [f64; 24] = [
    0.0139, 0.0129, 0.0129, 0.0129, 0.0166, 0.0323, 0.0646, 0.0693, 0.0554, 0.0508, 0.0600, 0.0785,
    0.0646, 0.0416, 0.0369, 0.0369, 0.0462, 0.0693, 0.0646, 0.0462, 0.0369, 0.0323, 0.0259, 0.0185,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::config::shipped_calendar;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn hour_shares_sum_to_one_and_peak_as_the_reference_says() {
        let peak_to_mean = [2.28, 1.21, 2.40, 1.0, 1.31, 2.07, 1.88, 1.47];
        for (kind, expected) in LoadKind::ALL.into_iter().zip(peak_to_mean) {
            let shares = kind.hour_shares();
            let sum: f64 = shares.iter().sum();
            assert!((sum - 1.0).abs() < 0.002, "{kind:?}: {sum}");
            let peak = shares.iter().copied().fold(0.0, f64::max) * 24.0 / sum;
            assert!((peak - expected).abs() < 0.02, "{kind:?}: {peak}");
        }
    }

    #[test]
    fn the_response_is_one_at_the_winter_median_and_two_in_deep_frost() {
        assert!((winter_index(2.5) - 1.0).abs() < 1e-12);
        assert!((winter_index(-8.0) - 2.0).abs() < 0.05);
        assert!(winter_index(26.0).abs() < 0.01);
        assert!(winter_index(15.0) < 0.12);
    }

    #[test]
    fn a_week_without_holidays_has_its_mean() {
        let calendar = shipped_calendar();
        for kind in LoadKind::ALL {
            let mean = (0..7)
                .map(|i| {
                    day_factor(
                        kind,
                        date("2026-05-18") + chrono::TimeDelta::days(i),
                        &calendar,
                    )
                })
                .sum::<f64>()
                / 7.0;
            assert!((mean - 1.0).abs() < 1e-9, "{kind:?}: {mean}");
        }
    }

    #[test]
    fn industry_collapses_around_the_spring_festival_and_recovers() {
        let calendar = shipped_calendar();
        let one_shift = |text| day_factor(LoadKind::IndustryOne, date(text), &calendar);
        let furnace = |text| day_factor(LoadKind::IndustryThree, date(text), &calendar);
        // 2026-02-17 is the first day of the lunar year; all five are Tuesdays but the second.
        assert!(one_shift("2026-02-03") > 1.2);
        assert!(one_shift("2026-02-12") < 0.8 * one_shift("2026-02-05"));
        assert!(one_shift("2026-02-17") < 0.1);
        assert!((0.35..0.55).contains(&furnace("2026-02-17")));
        assert!((one_shift("2026-03-10") - one_shift("2026-02-03")).abs() < 1e-9);
    }

    #[test]
    fn a_make_up_saturday_is_a_workday() {
        let calendar = shipped_calendar();
        let saturday = day_factor(LoadKind::IndustryOne, date("2026-05-09"), &calendar);
        let plain = day_factor(LoadKind::IndustryOne, date("2026-05-16"), &calendar);
        assert!(saturday > 1.5 * plain);
    }
}
