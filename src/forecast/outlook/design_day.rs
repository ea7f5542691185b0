//! The 1-in-20 design day (二十年一遇设计日): the day's demand that the coldest day of a winter exceeds in
//! one winter of twenty, with the load as it is connected now.

use std::collections::BTreeMap;

use chrono::Datelike as _;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{Calendar, DayType, GasDay};
use crate::forecast::features::temperature::effective_temperature;
use crate::forecast::linear::{Design, Penalty, dot, ridge};

/// Below so many winters there is nothing to fit.
pub const WINTERS_MIN: usize = 3;
/// From so many winters on the answer lies within what was seen.
pub const WINTERS_FULL: usize = 20;
/// Complete days the response needs.
pub const DEMAND_DAYS_MIN: usize = 200;

/// Days of a winter (November to March) that must be known.
const WINTER_DAYS_MIN: usize = 130;
/// Winters imagined for each that was.
const REPEATS: usize = 50;
/// Days of demand the response is learnt from, and their half-life.
const RESPONSE_DAYS: i64 = 1_100;
const HALF_LIFE_DAYS: f64 = 365.0;
/// Days whose mean error moves the response to the load connected now.
const LEVEL_DAYS: usize = 28;
const EULER: f64 = 0.577_215_664_901_532_9;

/// The design day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesignDay {
    /// Exceeded by the largest day of one winter in twenty, m³.
    pub one_in_20_m3: i64,
    /// Exceeded by the largest day of every other winter, m³.
    pub one_in_2_m3: i64,
    /// Effective temperature that the coldest day of one winter in twenty falls below, °C.
    pub one_in_20_c: f64,
    /// What a further kelvin of cold adds at that temperature, m³.
    pub m3_per_kelvin: i64,
    /// Winters of weather it stands on.
    pub winters: usize,
    /// First and last of them, by the year they began.
    pub years: (i32, i32),
    /// Whether twenty years lie beyond what was seen.
    pub is_extrapolated: bool,
    /// Days of demand it stands on.
    pub demand_days: usize,
}

/// Why there is no design day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoDesignDay {
    /// Fewer winters of weather than [`WINTERS_MIN`].
    WintersMissing {
        /// Winters that are known.
        have: usize,
    },
    /// Fewer days of demand with their temperature than [`DEMAND_DAYS_MIN`].
    DemandMissing {
        /// Days that are known.
        have: usize,
    },
}

/// Location and scale of a Gumbel distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gumbel {
    location: f64,
    scale: f64,
}

impl Gumbel {
    /// By L-moments; none for fewer than two values.
    ///
    /// # Source
    /// J. R. M. Hosking, L-moments, J. R. Statist. Soc. B 52 (1990); METHODS.md, "Design day".
    pub fn fit(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        if count < 2 {
            return None;
        }
        let n = count as f64;
        let mean = sorted.iter().sum::<f64>() / n;
        let weighted = sorted
            .iter()
            .enumerate()
            .map(|(i, v)| i as f64 / (n - 1.0) * v)
            .sum::<f64>()
            / n;
        let scale = (2.0 * weighted - mean) / std::f64::consts::LN_2;
        Some(Self {
            location: mean - EULER * scale,
            scale,
        })
    }

    /// The value not exceeded with this probability.
    pub fn quantile(self, probability: f64) -> f64 {
        self.location - self.scale * (-probability.ln()).ln()
    }
}

/// The response of the day's demand to its effective temperature.
struct Response {
    coefficients: Vec<f64>,
    level: f64,
    residuals: Vec<f64>,
    days: usize,
}

fn features(effective_c: f64, is_off: bool) -> [f64; 4] {
    [
        1.0,
        f64::from(is_off),
        (18.0 - effective_c).max(0.0),
        (8.0 - effective_c).max(0.0),
    ]
}

impl Response {
    fn fit(
        calendar: &Calendar,
        demand: &BTreeMap<GasDay, f64>,
        effective: &BTreeMap<GasDay, f64>,
    ) -> Result<Self, NoDesignDay> {
        let last = demand.keys().next_back().copied();
        let rows: Vec<(f64, [f64; 4], f64)> = demand
            .iter()
            .filter_map(|(day, m3)| {
                let age = last?.days_since(*day);
                let effective_c = *effective.get(day)?;
                let is_off = calendar.day_type(day.0) != DayType::Workday;
                (age <= RESPONSE_DAYS).then(|| {
                    let weight = 0.5_f64.powf(age as f64 / HALF_LIFE_DAYS);
                    (*m3, features(effective_c, is_off), weight)
                })
            })
            .collect();
        let missing = NoDesignDay::DemandMissing { have: rows.len() };
        if rows.len() < DEMAND_DAYS_MIN {
            return Err(missing);
        }
        let mut design = Design::new(4);
        for (_, row, _) in &rows {
            design.push(row);
        }
        let values: Vec<f64> = rows.iter().map(|r| r.0).collect();
        let weights: Vec<f64> = rows.iter().map(|r| r.2).collect();
        let penalty = Penalty {
            relative: 1e-6,
            pseudo_days: 1e-3,
        };
        let coefficients = ridge(&design, &values, &weights, penalty).ok_or(missing)?;
        let residuals: Vec<f64> = rows
            .iter()
            .map(|(m3, row, _)| m3 - dot(row, &coefficients))
            .collect();
        let recent = &residuals[residuals.len().saturating_sub(LEVEL_DAYS)..];
        let level = recent.iter().sum::<f64>() / recent.len() as f64;
        let mean = residuals.iter().sum::<f64>() / residuals.len() as f64;
        Ok(Self {
            level,
            residuals: residuals.iter().map(|e| e - mean).collect(),
            days: rows.len(),
            coefficients,
        })
    }

    fn at(&self, effective_c: f64, is_off: bool) -> f64 {
        dot(&features(effective_c, is_off), &self.coefficients) + self.level
    }
}

/// The design day from daily demand (m³) and daily mean temperatures (°C), as long as they reach back.
///
/// # Errors
/// Too few winters of weather, or too few days of demand.
///
/// # Source
/// METHODS.md, "Design day".
#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
pub fn design_day(
    calendar: &Calendar,
    demand: &BTreeMap<GasDay, f64>,
    temperatures: &BTreeMap<GasDay, f64>,
    seed: u64,
) -> Result<DesignDay, NoDesignDay> {
    let effective = effective_days(temperatures);
    let winters = winters(&effective);
    if winters.len() < WINTERS_MIN {
        let have = winters.len();
        return Err(NoDesignDay::WintersMissing { have });
    }
    let response = Response::fit(calendar, demand, &effective)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut largest = Vec::with_capacity(winters.len() * REPEATS);
    for days in winters.values() {
        for _ in 0..REPEATS {
            // Which weekday a cold day falls on is chance.
            let shift = rng.random_range(0..7_usize);
            let most = days.iter().enumerate().map(|(i, effective_c)| {
                let error = response.residuals[rng.random_range(0..response.residuals.len())];
                response.at(*effective_c, (i + shift) % 7 >= 5) + error
            });
            largest.push(most.fold(f64::MIN, f64::max));
        }
    }
    let coldest: Vec<f64> = winters
        .values()
        .map(|days| -days.iter().copied().fold(f64::MAX, f64::min))
        .collect();
    let have = winters.len();
    let missing = NoDesignDay::WintersMissing { have };
    let demand_of = Gumbel::fit(&largest).ok_or(missing)?;
    let cold_of = Gumbel::fit(&coldest).ok_or(missing)?;
    let one_in_20_c = -cold_of.quantile(0.95);
    let per_kelvin = response.at(one_in_20_c - 1.0, false) - response.at(one_in_20_c, false);
    let first = winters.keys().next().copied().unwrap_or(0);
    let last = winters.keys().next_back().copied().unwrap_or(0);
    Ok(DesignDay {
        one_in_20_m3: demand_of.quantile(0.95).round() as i64,
        one_in_2_m3: demand_of.quantile(0.5).round() as i64,
        one_in_20_c,
        m3_per_kelvin: per_kelvin.round() as i64,
        winters: winters.len(),
        years: (first, last),
        is_extrapolated: winters.len() < WINTERS_FULL,
        demand_days: response.days,
    })
}

/// Effective temperature of every day whose own temperature is known, °C.
pub fn effective_days(temperatures: &BTreeMap<GasDay, f64>) -> BTreeMap<GasDay, f64> {
    temperatures
        .keys()
        .map(|day| {
            let before: Vec<f64> = (0..4)
                .rev()
                .map(|back| temperatures.get(&day.plus(-back)).copied())
                .map(|t| t.unwrap_or(f64::NAN))
                .collect();
            (*day, effective_temperature(&before))
        })
        .filter(|(_, t)| t.is_finite())
        .collect()
}

/// November to March by the year of November, where enough days are known.
fn winters(effective: &BTreeMap<GasDay, f64>) -> BTreeMap<i32, Vec<f64>> {
    let mut out: BTreeMap<i32, Vec<f64>> = BTreeMap::new();
    for (day, effective_c) in effective {
        let year = match day.0.month() {
            11 | 12 => day.0.year(),
            1..=3 => day.0.year() - 1,
            _ => continue,
        };
        out.entry(year).or_default().push(*effective_c);
    }
    out.retain(|_, days| days.len() >= WINTER_DAYS_MIN);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weather of so many years whose winters differ, and a demand that follows it.
    fn city(years: i64) -> (BTreeMap<GasDay, f64>, BTreeMap<GasDay, f64>) {
        let first: GasDay = "2000-07-01".parse().unwrap();
        let mut temperatures = BTreeMap::new();
        for i in 0..years * 365 {
            let year = i / 365;
            let wave = (std::f64::consts::TAU * (i % 365) as f64 / 365.0).cos();
            // Coldest in the middle; each winter has its own depth.
            let depth = 12.0 + (year * 7 % 5) as f64;
            temperatures.insert(first.plus(i), 14.0 + depth * wave);
        }
        let last = *temperatures.keys().next_back().unwrap();
        let demand = effective_days(&temperatures)
            .into_iter()
            .filter(|(day, _)| last.days_since(*day) < 800)
            .map(|(day, t)| (day, 100_000.0 + 5_000.0 * (18.0 - t).max(0.0)))
            .collect();
        (demand, temperatures)
    }

    #[test]
    fn gumbel_by_l_moments_of_the_worked_example() {
        let fit = Gumbel::fit(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert!((fit.scale - 1.202_245_9).abs() < 1e-6);
        assert!((fit.location - 1.806_044_9).abs() < 1e-6);
        assert!((fit.quantile(0.95) - 5.376_9).abs() < 1e-3);
        assert_eq!(Gumbel::fit(&[1.0]), None);
    }

    #[test]
    fn the_design_day_follows_the_coldest_winters() {
        let (demand, temperatures) = city(22);
        let day = design_day(&Calendar::default(), &demand, &temperatures, 1).unwrap();
        assert_eq!((day.winters, day.is_extrapolated), (22, false));
        assert_eq!(day.years, (2000, 2021));
        // Depths 12 to 16 K below 14 °C: the coldest days lie at 2 to -2 °C.
        assert!((-4.0..-1.0).contains(&day.one_in_20_c), "{day:?}");
        assert!((4_900..5_100).contains(&day.m3_per_kelvin), "{day:?}");
        let of = |c: f64| 100_000.0 + 5_000.0 * (18.0 - c);
        assert!(
            (day.one_in_20_m3 as f64 / of(day.one_in_20_c) - 1.0).abs() < 0.03,
            "{day:?}"
        );
        assert!(day.one_in_2_m3 < day.one_in_20_m3);
        let again = design_day(&Calendar::default(), &demand, &temperatures, 1).unwrap();
        assert_eq!(day, again);
    }

    #[test]
    fn too_little_weather_or_demand_is_said_so() {
        let (demand, temperatures) = city(2);
        let missing = design_day(&Calendar::default(), &demand, &temperatures, 1);
        assert_eq!(missing, Err(NoDesignDay::WintersMissing { have: 2 }));
        let (_, temperatures) = city(6);
        let missing = design_day(&Calendar::default(), &BTreeMap::new(), &temperatures, 1);
        assert_eq!(missing, Err(NoDesignDay::DemandMissing { have: 0 }));
        let (demand, temperatures) = city(6);
        let few = design_day(&Calendar::default(), &demand, &temperatures, 1).unwrap();
        assert!(few.is_extrapolated);
    }
}
