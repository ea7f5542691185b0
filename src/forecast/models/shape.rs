//! Hour shapes: how a day's volume falls on its 24 hours, from like days of the node's own past.
//!
//! A like day has the same kind of weekday and a temperature near the target's, and is recent or
//! of the same season. Shapes are weighted sums of volumes, so days without gas do not count.

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
        Self { days, facts }
    }

    /// Shares of the 24 hours (summing to 1) for a day, from the days before `before`.
    ///
    /// A flat day if nothing like it is known.
    ///
    /// # Source
    /// METHODS.md, "Hour shapes"; worked example: `two_like_days_are_averaged_by_volume`.
    pub fn shares(&self, target: &DayTraits, temperature: f64, before: usize) -> [f64; 24] {
        let before = before.min(self.days.len());
        let mut sums = [0.0; 24];
        let mut total = 0.0;
        let place = target.day.0.ordinal0();
        let today = target.day.epoch_day();
        let (of_age, of_season) = (&*OF_AGE, &*OF_SEASON);
        let past = before.saturating_sub(DAYS_MAX)..before;
        for (day, fact) in self.days[past.clone()].iter().zip(&self.facts[past]) {
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
            for (sum, hour) in sums.iter_mut().zip(day.hours) {
                let volume = weight * hour.max(0.0);
                *sum += volume;
                total += volume;
            }
        }
        if total <= 0.0 {
            [1.0 / 24.0; 24]
        } else {
            sums.map(|s| s / total)
        }
    }

    /// What the shares of each day of the book differed by from those expected of it, for days
    /// from `from` on; none for a day without gas or with an unknown hour.
    pub fn share_errors(&self, from: usize) -> Vec<Option<[f64; 24]>> {
        (0..self.days.len())
            .map(|i| (i >= from).then(|| self.share_error(i)).flatten())
            .collect()
    }

    /// The same of one day; none in the first two weeks.
    pub fn share_error(&self, index: usize) -> Option<[f64; 24]> {
        let day = self.days.get(index).filter(|_| index >= FIRST_DAYS)?;
        let total: f64 = day.hours.iter().sum();
        if !total.is_finite() || total <= 0.0 {
            return None;
        }
        // The day before is not known in full when a day is forecast.
        let expected = self.shares(&day.traits, day.temperature, index - 1);
        Some(std::array::from_fn(|h| day.hours[h] / total - expected[h]))
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
}
