//! Temperature features: effective temperature, hinges of it, slow means, interactions.

use std::sync::LazyLock;

use crate::domain::calendar::DayType;
use crate::forecast::features::calendar::{DayTraits, year_angle};
use crate::forecast::linear::dot;

/// Effective temperature of the last four days, today last.
///
/// `T_eff = (T₀ + 0.5 T₋₁ + 0.25 T₋₂ + 0.125 T₋₃) / 1.875`: buildings remember. Days that are not
/// known (NaN) or not given take no part.
///
/// # Source
/// METHODS.md, "Effective temperature"; worked example: `effective_temperature_of_the_worked_example`.
pub fn effective_temperature(days: &[f64]) -> f64 {
    let (mut sum, mut weights, mut weight) = (0.0, 0.0, 1.0);
    for value in days.iter().rev().take(4) {
        if value.is_finite() {
            sum += weight * value;
            weights += weight;
        }
        weight /= 2.0;
    }
    if weights > 0.0 {
        sum / weights
    } else {
        f64::NAN
    }
}

/// What buildings feel of the weather on a day, °C.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Felt {
    /// Mean of the day.
    pub today: f64,
    /// Effective temperature of four days.
    pub effective: f64,
    /// Exponential mean that forgets 15 % a day.
    pub slow: f64,
}

const SLOW_KEEP: f64 = 0.85;
/// Days of weather a slow mean reads; 0.85²⁴ is 2 %.
pub const SLOW_DAYS: usize = 24;

/// What each of [`SLOW_DAYS`] days counts, the latest last, and all of them.
static SLOW_WEIGHTS: LazyLock<([f64; SLOW_DAYS], f64)> = LazyLock::new(|| {
    let mut weight = 1.0;
    let mut weights = [0.0; SLOW_DAYS];
    for of_day in weights.iter_mut().rev() {
        *of_day = weight;
        weight *= SLOW_KEEP;
    }
    (weights, weights.iter().sum())
});

fn slow_mean(days: &[f64]) -> f64 {
    let (weights, all) = &*SLOW_WEIGHTS;
    if days.len() == SLOW_DAYS && days.iter().all(|value| value.is_finite()) {
        return dot(days, weights) / all;
    }
    let weights = &weights[SLOW_DAYS - days.len()..];
    let known = |(value, _): &(&f64, &f64)| value.is_finite();
    let (mut sum, mut total) = (0.0, 0.0);
    for (value, weight) in days.iter().zip(weights).filter(known) {
        sum += weight * value;
        total += weight;
    }
    if total > 0.0 { sum / total } else { f64::NAN }
}

impl Felt {
    /// From daily means up to and with the day itself, the latest last.
    pub fn new(days: &[f64]) -> Self {
        let today = days.last().copied().unwrap_or(f64::NAN);
        let from = days.len().saturating_sub(SLOW_DAYS);
        Self {
            today,
            effective: effective_temperature(days),
            slow: slow_mean(&days[from..]),
        }
    }

    /// Whether every part is known.
    pub fn is_known(&self) -> bool {
        self.today.is_finite() && self.effective.is_finite() && self.slow.is_finite()
    }
}

/// Where the response may bend: quantiles of the temperatures met so far, so that Harbin and
/// Guangzhou each get knots where their days are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Knots {
    effective: [f64; 6],
    today: f64,
    slow: f64,
}

const KNOT_QUANTILES: [f64; 6] = [0.08, 0.25, 0.42, 0.58, 0.75, 0.92];

impl Knots {
    /// From days whose weather is known; none if there are fewer than 20.
    pub fn new(days: &[Felt]) -> Option<Self> {
        let known = |pick: fn(&Felt) -> f64| -> Vec<f64> {
            days.iter().filter(|d| d.is_known()).map(pick).collect()
        };
        let mut effective = known(|d| d.effective);
        if effective.len() < 20 {
            return None;
        }
        let [today] = quantiles(&mut known(|d| d.today), [0.5]);
        let [slow] = quantiles(&mut known(|d| d.slow), [0.5]);
        Some(Self {
            effective: quantiles(&mut effective, KNOT_QUANTILES),
            today,
            slow,
        })
    }
}

/// Quantiles, asked for in rising order, of values that need not be sorted for it; linear between
/// the values next to them, as in [`quantile_of_sorted`](crate::domain::demand::quantile_of_sorted).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into a few thousand days"
)]
fn quantiles<const N: usize>(values: &mut [f64], parts: [f64; N]) -> [f64; N] {
    let last = values.len() - 1;
    let mut from = 0;
    parts.map(|part| {
        let position = part * last as f64;
        let below = position.floor() as usize;
        let (_, low, above) = values[from..].select_nth_unstable_by(below - from, f64::total_cmp);
        let low = *low;
        let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
        from = below;
        let weight = position - position.floor();
        low * (1.0 - weight) + high * weight
    })
}

/// Number of temperature features.
pub const TEMPERATURE_FEATURES: usize = 1 + 6 + 1 + 2 + 2 + 1 + 2 + 1;

/// Temperature features of a day: effective temperature with hinges `(knot − T)⁺`, today's and the
/// slow mean with one hinge each, and the response on days off, over the year and over the years.
///
/// `first_harmonic` are sine and cosine of the day's place in the year; empty to have them computed.
#[inline]
pub fn temperature_features(
    felt: Felt,
    knots: &Knots,
    day: &DayTraits,
    years: f64,
    first_harmonic: &[f64],
) -> [f64; TEMPERATURE_FEATURES] {
    let below = |knot: f64, value: f64| (knot - value).max(0.0);
    let [hinge8, hinge25, hinge42, hinge58, hinge75, hinge92] =
        knots.effective.map(|knot| below(knot, felt.effective));
    let (sine, cosine) = match first_harmonic {
        [sine, cosine] => (*sine, *cosine),
        _ => year_angle(day.day.0).sin_cos(),
    };
    let off_day = f64::from(u8::from(day.day_type != DayType::Workday));
    // Rarely to always other than zero, as with the calendar.
    [
        off_day * hinge58,
        hinge8,
        (felt.effective - knots.effective[5]).max(0.0),
        hinge25,
        hinge42,
        below(knots.slow, felt.slow),
        below(knots.today, felt.today),
        hinge58,
        hinge58 * sine,
        hinge58 * cosine,
        hinge58 * years,
        hinge75,
        hinge92,
        felt.effective,
        felt.today,
        felt.slow,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_temperature_of_the_worked_example() {
        // Today 4, yesterday 6, then 8 and 10 °C (domain.md §6.1).
        let felt = effective_temperature(&[10.0, 8.0, 6.0, 4.0]);
        assert!((felt - 5.4667).abs() < 5e-5, "{felt}");
    }

    #[test]
    fn an_unknown_day_takes_no_part() {
        let felt = effective_temperature(&[10.0, f64::NAN, 6.0, 4.0]);
        assert!((felt - (4.0 + 3.0 + 1.25) / 1.625).abs() < 1e-12);
        assert!(effective_temperature(&[f64::NAN]).is_nan());
    }

    #[test]
    fn steady_weather_is_felt_as_it_is() {
        let felt = Felt::new(&[7.5; 40]);
        assert!((felt.slow - 7.5).abs() < 1e-12 && (felt.effective - 7.5).abs() < 1e-12);
    }
}
