//! Residual paths of a node forecast from its class: what the class itself is missed by, what nodes of
//! it go their own ways from day to day, and how little is known of this one's level.

use super::pool::{Donor, Pool};
use super::spread::{ByTarget, near_part};
use crate::domain::calendar::GasDay;
use crate::forecast::models::correction::mean_known;
use crate::forecast::models::paths::ResidualPath;

/// What is held for possible of a node's level.
pub(super) struct Level {
    /// How likely, 0 to 1.
    pub(super) likelihood: f64,
    /// What the node's own days count beside the design flow, 0 to 1.
    pub(super) weight: f64,
    /// Logarithm of its level beside the class's, near and later.
    pub(super) own: ByTarget,
    /// Standard deviation of that.
    pub(super) deviation: ByTarget,
    /// Design flow in use on the days ahead, m³/h.
    pub(super) in_use: Vec<f64>,
}

impl Level {
    /// Logarithm of the level on a day ahead, counted from 0.
    pub(super) fn own_at(&self, lead: usize) -> f64 {
        at_lead(self.own, lead)
    }
}

fn at_lead([near, later]: ByTarget, lead: usize) -> f64 {
    later + near_part(lead + 1) * (near - later)
}

/// Most paths.
const PATHS_MAX: usize = 240;
/// Days over which a node's own level is taken out of its own ways.
const WAYS_DAYS: usize = 31;
/// Days by which its own ways of days not yet known are looked up earlier.
const BACK_DAYS: usize = 7;
/// Fractional parts of multiples fill the unit interval evenly, both together the square.
const SPREAD_LEVELS: f64 = 0.754_877_666_246_693;
const SPREAD_KINDS: f64 = 0.569_840_290_998_053;

/// The standard normal quantile, |error| < 4.5e-4.
///
/// # Source
/// M. Abramowitz, I. A. Stegun, Handbook of Mathematical Functions (1964), 26.2.23.
fn normal_quantile(p: f64) -> f64 {
    let tail = p.min(1.0 - p).max(1e-9);
    let t = (-2.0 * tail.ln()).sqrt();
    let over = 0.010_328f64.mul_add(t, 0.802_853).mul_add(t, 2.515_517);
    let under = 0.001_308f64
        .mul_add(t, 0.189_269)
        .mul_add(t, 1.432_788)
        .mul_add(t, 1.0);
    let size = t - over / under;
    if p < 0.5 { -size } else { size }
}

/// Use of a node beside its class by day, on its level.
struct Ways {
    ratios: Vec<f64>,
}

impl Ways {
    fn new(own: &[f64], class: &[f64]) -> Self {
        let ratios = own.iter().zip(class).map(|(own, class)| own / class);
        Self {
            ratios: ratios.collect(),
        }
    }

    fn mean(&self, from: usize, days: usize) -> f64 {
        let until = (from + days).min(self.ratios.len());
        let of = self.ratios.get(from..until).unwrap_or(&[]);
        mean_known(of.iter().copied()).unwrap_or(f64::NAN)
    }

    /// Parts by which the days after `origin` went their own way.
    fn after(&self, origin: usize, horizon: usize) -> Vec<f64> {
        (0..horizon)
            .map(|lead| {
                let mut at = origin + 1 + lead;
                while at >= self.ratios.len() && at >= BACK_DAYS {
                    at -= BACK_DAYS;
                }
                let from = at - lead % WAYS_DAYS.min(at + 1);
                let from = from.min(self.ratios.len().saturating_sub(WAYS_DAYS));
                let level = self.mean(from, WAYS_DAYS);
                let way = self.ratios.get(at).copied().unwrap_or(f64::NAN) / level - 1.0;
                if way.is_finite() {
                    way.clamp(-1.0, 3.0)
                } else {
                    0.0
                }
            })
            .collect()
    }
}

/// What the pooled class was missed by after an origin, as parts of what it is expected to use.
fn class_error(pool: &Pool<'_>, origin: GasDay, horizon: usize) -> Vec<f64> {
    let (mut missed, mut expected) = (vec![0.0; horizon], vec![0.0; horizon]);
    for donor in &pool.donors {
        let paths = &donor.forecast.paths;
        let Ok(at) = paths.binary_search_by_key(&origin, |p| p.origin) else {
            continue;
        };
        // Each counts as it does in the pool, not by its size.
        let counts = donor.weight * (-donor.level).exp();
        for (lead, residual) in paths[at].residuals.iter().enumerate().take(horizon) {
            let (p50, ahead) = (donor.forecast.p50[lead], donor.ahead[lead]);
            if p50 > 0.0 && ahead.is_finite() {
                missed[lead] += counts * ahead * residual / p50;
                expected[lead] += counts * ahead;
            }
        }
    }
    let parts = missed.into_iter().zip(expected).map(|(missed, expected)| {
        if expected > 0.0 {
            pool.follows * (missed / expected)
        } else {
            0.0
        }
    });
    parts.collect()
}

/// Paths from the past origins of the class, earliest first. `typical` are the volumes by level, m³.
pub(super) fn paths(
    first: GasDay,
    pool: &Pool<'_>,
    levels: &[Level],
    typical: &[Vec<f64>],
    p50: &[f64],
    seed: u64,
) -> Vec<ResidualPath> {
    let horizon = p50.len();
    let donors = &pool.donors;
    let ways: Vec<Ways> = if donors.len() > 1 {
        let of = |(i, donor): (usize, &Donor<'_>)| Ways::new(&donor.rates, &pool.rates(Some(i)));
        donors.iter().enumerate().map(of).collect()
    } else {
        Vec::new()
    };
    let origins: Vec<GasDay> = donors[0].forecast.paths.iter().map(|p| p.origin).collect();
    let step = origins.len().div_ceil(PATHS_MAX).max(1);
    let chosen: Vec<GasDay> = origins.iter().copied().step_by(step).collect();
    // A start of its own for each node, so that levels of two new nodes are missed apart.
    let start = (seed % 10_007) as f64 / 10_007.0;
    let count = chosen.len();
    chosen
        .iter()
        .enumerate()
        .map(|(k, origin)| {
            let place = |step: f64| ((k + 1) as f64).mul_add(step, start).fract();
            let error = normal_quantile(place(SPREAD_LEVELS));
            let kind = kind_at(levels, place(SPREAD_KINDS));
            let of_class = class_error(pool, *origin, horizon);
            let own_ways = match ways.get(k % ways.len().max(1)) {
                Some(ways) => {
                    let at = origin.days_since(first);
                    // Origins before the days looked at lend from their season.
                    let at = (0..4).map(|year| at + 364 * year).find(|at| *at >= 0);
                    let at = at.and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
                    ways.after(at, horizon)
                }
                // Alone in its class: as much again as the class is missed by, on another day.
                None => class_error(pool, chosen[(k + count / 2) % count], horizon),
            };
            let residuals = (0..horizon)
                .map(|lead| {
                    let parts = (1.0 + of_class[lead]) * (1.0 + own_ways[lead]);
                    let level = (error * at_lead(levels[kind].deviation, lead)).exp();
                    (typical[kind][lead] * level * parts).max(0.0) - p50[lead]
                })
                .collect();
            ResidualPath {
                origin: *origin,
                residuals,
            }
        })
        .collect()
}

/// The level at a place in the unit interval that all share by likelihood.
fn kind_at(levels: &[Level], place: f64) -> usize {
    let mut sum = 0.0;
    let reached = |level: &Level| {
        sum += level.likelihood;
        place < sum
    };
    levels.iter().position(reached).unwrap_or(0)
}
