//! Hour shapes: how a day's volume falls on its 24 hours, from like days of the node's own past.
//!
//! A like day has the same kind of weekday and a temperature near the target's, and is recent or
//! of the same season. Shapes are weighted sums of volumes, so days without gas do not count. Where
//! the temperatures of hours are known, hours that are warmer than they were in the like days move
//! their share as they did in the past year.

use std::sync::LazyLock;

use chrono::Datelike;

use crate::domain::calendar::DayType;
use crate::forecast::features::calendar::DayTraits;

/// One past day with its hours.
#[derive(Debug, Clone)]
pub struct ShapeDay {
    /// Calendar.
    pub traits: DayTraits,
    /// Daily mean temperature, °C; NaN if unknown.
    pub temperature: f64,
    /// Hourly volumes, m³.
    pub hours: [f64; 24],
}

/// Past days of a node, earliest first.
#[derive(Debug, Clone, Default)]
pub struct ShapeBook {
    days: Vec<ShapeDay>,
    facts: Vec<Fact>,
    /// How much warmer than their day the hours were felt; empty where hours are not known.
    warmth: Vec<Warmth>,
    /// What the last hour of each day was felt as, °C.
    felt: Vec<f64>,
}

/// How much warmer than the mean of their day the hours are felt, K; NaN where unknown.
pub type Warmth = [f64; 24];

/// The shares of the 24 hours expected of a day, and what warmth could move them by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// Shares, summing to 1.
    pub shares: [f64; 24],
    /// Share × 24 × how much warmer the hour is than in the like days, K.
    lever: [f64; 24],
    /// How cold the day is, see [`coldness`].
    cold: f64,
}

impl Expected {
    /// How the response moves the shares.
    pub fn moved_by(&self, response: HourResponse) -> [f64; 24] {
        let slope = response.0[0] + response.0[1] * self.cold;
        self.lever.map(|lever| slope * lever)
    }
}

/// A past day's shares: what was expected, and what came more than that.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Missed {
    expected: Expected,
    error: [f64; 24],
    /// Volume of the day, m³.
    volume: f64,
}

impl Missed {
    /// What the response does not explain of the error.
    pub fn beyond(&self, response: HourResponse) -> [f64; 24] {
        let moved = self.expected.moved_by(response);
        std::array::from_fn(|hour| self.error[hour] - moved[hour])
    }
}

/// Change of an hour's share, as part of it and per K, on a day of 10 °C, and how it changes on
/// days 10 K colder.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HourResponse([f64; 2]);

/// Days it is learnt from at least, and a ridge relative to the squares.
const RESPONSE_DAYS_MIN: usize = 28;
const RESPONSE_RIDGE: f64 = 0.02;

impl HourResponse {
    /// Least squares over past days, in m³; none is learnt from few days or without hours' warmth.
    pub fn fit<'a>(days: impl IntoIterator<Item = &'a Missed>) -> Self {
        // Products of (lever, lever × cold) with themselves and with the errors.
        let (mut products, mut right) = ([0.0; 3], [0.0; 2]);
        let mut count = 0;
        for day in days {
            let weight = day.volume * day.volume;
            let cold = day.expected.cold;
            let (mut squares, mut met) = (0.0, 0.0);
            for (lever, error) in day.expected.lever.iter().zip(day.error) {
                squares += lever * lever;
                met += lever * error;
            }
            products[0] += weight * squares;
            products[1] += weight * squares * cold;
            products[2] += weight * squares * cold * cold;
            right[0] += weight * met;
            right[1] += weight * met * cold;
            count += 1;
        }
        let plain = products[0] * (1.0 + RESPONSE_RIDGE);
        let by_cold = products[2] * (1.0 + RESPONSE_RIDGE) + RESPONSE_RIDGE * plain;
        let mixed = products[1];
        let determinant = plain * by_cold - mixed * mixed;
        if count < RESPONSE_DAYS_MIN || determinant.is_nan() || determinant <= 0.0 {
            return Self::default();
        }
        Self([
            (by_cold * right[0] - mixed * right[1]) / determinant,
            (plain * right[1] - mixed * right[0]) / determinant,
        ])
    }
}

/// How cold a day is: 0 at 10 °C, 1 at 0 °C, within −1.5 and 2.5; 0 where unknown.
fn coldness(temperature: f64) -> f64 {
    if temperature.is_finite() {
        ((10.0 - temperature) / 10.0).clamp(-1.5, 2.5)
    } else {
        0.0
    }
}

/// Part of an hour's temperature in what it is felt as; the rest is what the hour before was.
const FELT_NOW: f64 = 0.4;

/// The warmth of a day from the temperatures of its hours, °C, after an hour that was felt as
/// `before`, and what its last hour is felt as.
fn warmth_of(degrees: &[f64; 24], before: f64) -> (Warmth, f64) {
    let mut felt = before;
    let hours = degrees.map(|now| {
        if !felt.is_finite() {
            felt = now;
        } else if now.is_finite() {
            felt += FELT_NOW * (now - felt);
        }
        felt
    });
    let mean = hours.iter().sum::<f64>() / 24.0;
    (hours.map(|hour| hour - mean), felt)
}

/// What of a day is asked for again and again.
#[derive(Debug, Clone, Copy)]
struct Fact {
    /// Whether every hour is known.
    is_known: bool,
    /// Place in the year.
    of_year: u32,
    epoch_day: i32,
}

/// Past days looked at.
const DAYS_MAX: usize = 420;
/// Days before which no day has a share error: too few are like it.
const FIRST_DAYS: usize = 14;

impl ShapeBook {
    /// Takes past days, earliest first.
    pub fn new(days: Vec<ShapeDay>) -> Self {
        let fact = |day: &ShapeDay| Fact {
            is_known: day.hours.iter().all(|h| h.is_finite()),
            of_year: day.traits.day.0.ordinal0(),
            epoch_day: day.traits.day.epoch_day(),
        };
        let facts = days.iter().map(fact).collect();
        Self {
            days,
            facts,
            ..Self::default()
        }
    }

    /// The same with the temperatures of the hours of the days, °C, NaN where unknown.
    #[must_use]
    pub fn with_hours(mut self, degrees: &[[f64; 24]]) -> Self {
        let mut felt = f64::NAN;
        for of_day in degrees {
            let (warmth, last) = warmth_of(of_day, felt);
            felt = last;
            self.warmth.push(warmth);
            self.felt.push(felt);
        }
        self
    }

    /// The warmth of the days after `origin` from the temperatures of their hours; empty where the
    /// book has no hours.
    pub fn warmth_ahead(&self, origin: usize, degrees: &[f64]) -> Vec<Warmth> {
        let Some(felt) = self.felt.get(origin) else {
            return Vec::new();
        };
        let mut felt = *felt;
        degrees
            .chunks(24)
            .map(|of_day| {
                let hours =
                    std::array::from_fn(|hour| of_day.get(hour).copied().unwrap_or(f64::NAN));
                let (warmth, last) = warmth_of(&hours, felt);
                felt = last;
                warmth
            })
            .collect()
    }

    /// Shares of the 24 hours (summing to 1) for a day, from the days before `before`.
    ///
    /// A flat day if nothing like it is known.
    ///
    /// # Source
    /// METHODS.md, "Hour shapes"; worked example: `two_like_days_are_averaged_by_volume`.
    pub fn shares(&self, target: &DayTraits, temperature: f64, before: usize) -> [f64; 24] {
        self.expected(target, temperature, None, before).shares
    }

    /// The same with what warmth of the hours would change.
    pub fn expected(
        &self,
        target: &DayTraits,
        temperature: f64,
        warmth: Option<&Warmth>,
        before: usize,
    ) -> Expected {
        let before = before.min(self.days.len());
        let (mut sums, mut total) = ([0.0; 24], 0.0);
        let (mut warm, mut warm_of) = ([0.0; 24], 0.0);
        let place = target.day.0.ordinal0();
        let today = target.day.epoch_day();
        let (of_age, of_season) = (&*OF_AGE, &*OF_SEASON);
        let past = before.saturating_sub(DAYS_MAX)..before;
        for i in past {
            let (day, fact) = (&self.days[i], self.facts[i]);
            if !fact.is_known {
                continue;
            }
            let age = usize::try_from(today - fact.epoch_day).unwrap_or(0);
            let known = of_age.get(age).copied();
            let recent = known.unwrap_or_else(|| weight_of_age(age))
                + of_season[place.abs_diff(fact.of_year) as usize]
                + 0.01;
            let weight = likeness(target, temperature, day) * recent;
            if weight < 1e-6 {
                continue;
            }
            let hours = day.hours.map(|hour| hour.max(0.0));
            let volume: f64 = hours.iter().sum();
            let then = self.warmth.get(i).filter(|then| then[0].is_finite());
            if let Some(then) = then.filter(|_| warmth.is_some()) {
                let counts = weight * volume;
                warm_of += counts;
                for (sum, then) in warm.iter_mut().zip(then) {
                    *sum += counts * then;
                }
            }
            for (sum, hour) in sums.iter_mut().zip(hours) {
                *sum += weight * hour;
            }
            total += weight * volume;
        }
        let shares = if total > 0.0 {
            sums.map(|sum| sum / total)
        } else {
            [1.0 / 24.0; 24]
        };
        let lever = match warmth {
            Some(now) if warm_of > 0.0 && now[0].is_finite() => {
                std::array::from_fn(|hour| 24.0 * shares[hour] * (now[hour] - warm[hour] / warm_of))
            }
            _ => [0.0; 24],
        };
        Expected {
            shares,
            lever,
            cold: coldness(temperature),
        }
    }

    /// What a day's shares differed by from those expected of it; none in the first two weeks, for a
    /// day without gas or with an unknown hour.
    pub fn share_error(&self, index: usize) -> Option<[f64; 24]> {
        self.missed(index).map(|missed| missed.error)
    }

    /// What was expected of a past day's shares and what came; none in the first two weeks.
    pub fn missed(&self, index: usize) -> Option<Missed> {
        let day = self.days.get(index).filter(|_| index >= FIRST_DAYS)?;
        let volume: f64 = day.hours.iter().sum();
        if !volume.is_finite() || volume <= 0.0 {
            return None;
        }
        // The day before is not known in full when a day is forecast.
        let warmth = self.warmth.get(index);
        let expected = self.expected(&day.traits, day.temperature, warmth, index - 1);
        Some(Missed {
            error: std::array::from_fn(|h| day.hours[h] / volume - expected.shares[h]),
            volume,
            expected,
        })
    }

    /// The days.
    pub fn days(&self) -> &[ShapeDay] {
        &self.days
    }
}

/// By age, days.
static OF_AGE: LazyLock<Vec<f64>> =
    LazyLock::new(|| (0..2 * DAYS_MAX).map(weight_of_age).collect());
/// By how far two dates lie apart within the year, days.
static OF_SEASON: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let likeness = |apart: u32| {
        let apart = f64::from(apart);
        let season = apart.min(365.25 - apart).abs() / 30.0;
        0.3 * (-0.5 * season * season).exp()
    };
    (0..366).map(likeness).collect()
});

fn weight_of_age(days: usize) -> f64 {
    (-std::f64::consts::LN_2 / 45.0 * days as f64).exp()
}

/// Of the same kind of day and as warm.
fn likeness(target: &DayTraits, temperature: f64, day: &ShapeDay) -> f64 {
    let same_kind = match (target.day_type, day.traits.day_type) {
        (a, b) if a == b && target.weekday == day.traits.weekday => 1.0,
        (DayType::Workday, DayType::Workday) => 0.5,
        (a, b) if a == b => 0.6,
        (DayType::Holiday, DayType::Weekend) | (DayType::Weekend, DayType::Holiday) => 0.3,
        _ => 0.005,
    };
    let near = if temperature.is_finite() && day.temperature.is_finite() {
        let apart = (temperature - day.temperature) / 4.0;
        (-0.5 * apart * apart).exp().max(0.01)
    } else {
        0.3
    };
    same_kind * near
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calendar::{Calendar, GasDay};

    fn day(text: &str, temperature: f64, hours: [f64; 24]) -> ShapeDay {
        let day = GasDay(text.parse().unwrap());
        ShapeDay {
            traits: DayTraits::new(&Calendar::default(), day),
            temperature,
            hours,
        }
    }

    #[test]
    fn two_like_days_are_averaged_by_volume() {
        // Same weekday, same temperature, same age to the target on either side: weights are equal
        // only if the ages are, so take the same day twice with different volumes.
        let mut first = [0.0; 24];
        first[0] = 30.0;
        let mut second = [0.0; 24];
        second[12] = 10.0;
        let book = ShapeBook::new(vec![
            day("2026-03-02", 5.0, first),
            day("2026-03-02", 5.0, second),
        ]);
        let target = DayTraits::new(&Calendar::default(), GasDay("2026-03-09".parse().unwrap()));
        let shares = book.shares(&target, 5.0, 2);
        assert!((shares[0] - 0.75).abs() < 1e-12 && (shares[12] - 0.25).abs() < 1e-12);
    }

    #[test]
    fn shares_sum_to_one_and_an_empty_book_is_flat() {
        let target = DayTraits::new(&Calendar::default(), GasDay("2026-03-09".parse().unwrap()));
        let flat = ShapeBook::default().shares(&target, f64::NAN, 0);
        assert!(
            (flat.iter().sum::<f64>() - 1.0).abs() < 1e-12 && (flat[3] - 1.0 / 24.0).abs() < 1e-12
        );
    }

    #[test]
    fn a_workday_is_not_shaped_like_a_sunday() {
        let mut work = [1.0; 24];
        work[9] = 25.0;
        let mut sunday = [1.0; 24];
        sunday[20] = 25.0;
        let book = ShapeBook::new(vec![
            day("2026-03-01", 5.0, sunday),
            day("2026-03-02", 5.0, work),
        ]);
        let target = DayTraits::new(&Calendar::default(), GasDay("2026-03-10".parse().unwrap()));
        let shares = book.shares(&target, 5.0, 2);
        assert!(shares[9] > 0.4 && shares[20] < 0.1, "{shares:?}");
    }

    /// A year of heat: every hour uses 3 % less for each kelvin that it is warmer than its day.
    fn heated(days: usize) -> (Vec<ShapeDay>, Vec<[f64; 24]>) {
        let first: GasDay = GasDay("2025-01-01".parse().unwrap());
        let degrees: Vec<[f64; 24]> = (0..days)
            .map(|d| {
                let swing = 1.0 + (d * 37 % 11) as f64 / 2.0;
                let angle = |h: usize| std::f64::consts::TAU * (h as f64 - 9.0) / 24.0;
                std::array::from_fn(|h| 10.0 + swing * angle(h).sin())
            })
            .collect();
        let book = ShapeBook::new(Vec::new()).with_hours(&degrees);
        let of_day = |d: usize| ShapeDay {
            traits: DayTraits::new(&Calendar::default(), first.plus(i64::try_from(d).unwrap())),
            temperature: 10.0,
            hours: book.warmth[d].map(|warmth| 100.0 * (1.0 - 0.03 * warmth)),
        };
        ((0..days).map(of_day).collect(), degrees)
    }

    #[test]
    fn hours_answer_to_warmth_as_they_did() {
        let (days, degrees) = heated(200);
        let target = days[199].clone();
        let book = ShapeBook::new(days).with_hours(&degrees);
        let missed: Vec<Missed> = (0..199).filter_map(|i| book.missed(i)).collect();
        let response = HourResponse::fit(&missed);
        assert!((response.0[0] * 24.0 + 0.03).abs() < 0.003, "{response:?}");
        let warmth = book.warmth_ahead(198, &degrees[199]);
        let expected = book.expected(&target.traits, 10.0, warmth.first(), 199);
        let moved = expected.moved_by(response);
        let whole: f64 = target.hours.iter().sum();
        let error = |with: f64| -> f64 {
            (0..24)
                .map(|h| (expected.shares[h] + with * moved[h] - target.hours[h] / whole).abs())
                .sum()
        };
        assert!(
            error(1.0) < 0.2 * error(0.0),
            "{} {}",
            error(1.0),
            error(0.0)
        );
    }

    #[test]
    fn without_hours_or_with_few_days_nothing_is_moved() {
        let (days, degrees) = heated(40);
        let plain = ShapeBook::new(days.clone());
        assert!(plain.warmth_ahead(39, &[8.0; 24]).is_empty());
        let book = ShapeBook::new(days).with_hours(&degrees);
        let few: Vec<Missed> = (14..20).filter_map(|i| book.missed(i)).collect();
        assert_eq!(HourResponse::fit(&few), HourResponse::default());
        let unknown = book.warmth_ahead(39, &[f64::NAN; 24]);
        assert!(unknown[0].iter().all(|w| w.abs() < 1e-12), "{unknown:?}");
    }
}
