//! How much nodes of a class differ, and how well so many days tell of the days to come: measured on
//! nodes with history, as if all but their last days were hidden.

use super::pool::Pool;
use crate::domain::demand::quantile_of_sorted;

/// Ages at which the hiding is tried, days.
const AGES: [usize; 7] = [1, 3, 7, 14, 28, 45, 60];
/// Days ahead whose mean is to be met: the first of a forecast, and those after.
const TARGETS: [(usize, usize); 2] = [(0, 7), (7, 31)];
/// Days between the pretended origins, no whole weeks.
const STEP_DAYS: usize = 13;
/// Variance of logarithms between nodes where nothing is known, and the nodes that is worth.
const BETWEEN_DEFAULT: f64 = 0.16;
const DEFAULT_WORTH: f64 = 2.0;
/// Variance of a level that changes within weeks, and that of a single day beside it.
const DRIFT_DEFAULT: f64 = 0.006;
const DAY_DEFAULT: f64 = 0.04;
const VARIANCE_MIN: f64 = 1e-6;
/// Half-width of a band that holds four of five, in standard deviations.
const FOUR_OF_FIVE: f64 = 1.2816;

/// By target: near, later.
pub(super) type ByTarget = [f64; TARGETS.len()];

/// Variances of logarithms of a class: of nodes beside their class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    /// Between levels of nodes.
    pub(super) between: f64,
    /// Of the mean of so many days around a node's level, by [`AGES`].
    past: [f64; AGES.len()],
    /// Of the mean of the days to come around it.
    to_come: ByTarget,
    /// Of the days to come around those before.
    apart: [ByTarget; AGES.len()],
    /// Nodes it was measured on.
    nodes: f64,
}

impl Default for Spread {
    fn default() -> Self {
        let of = |days: usize| DRIFT_DEFAULT + DAY_DEFAULT / days as f64;
        let to_come = TARGETS.map(|(from, to)| of(to - from));
        Self {
            between: BETWEEN_DEFAULT,
            past: AGES.map(of),
            to_come,
            apart: AGES.map(|days| {
                let day = DAY_DEFAULT / days as f64;
                to_come.map(|to_come| to_come + day)
            }),
            nodes: 0.0,
        }
    }
}

/// What days tell of a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Told {
    /// Days that tell it best, the last ones.
    pub(super) days: usize,
    /// What they count beside the class, 0 to 1.
    pub(super) weight: f64,
    /// Variance that remains.
    pub(super) variance: f64,
}

/// The standard deviation of which four of five sizes are within, squared.
fn variance_of(sizes: &mut [f64]) -> Option<f64> {
    if sizes.is_empty() {
        return None;
    }
    sizes.sort_by(f64::total_cmp);
    let width = quantile_of_sorted(sizes, 0.8) / FOUR_OF_FIVE;
    Some((width * width).max(VARIANCE_MIN))
}

/// Sizes of what was missed at the pretended origins.
#[derive(Default)]
struct Missed {
    past: [Vec<f64>; AGES.len()],
    to_come: [Vec<f64>; TARGETS.len()],
    apart: [[Vec<f64>; TARGETS.len()]; AGES.len()],
}

impl Spread {
    /// Measured on the donors of a pool, which must be on design flow; none where there are not two.
    pub(super) fn measured(pool: &Pool<'_>) -> Option<Self> {
        let nodes = pool.donors.len();
        if nodes < 2 {
            return None;
        }
        let mean = pool.donors.iter().map(|d| d.level).sum::<f64>() / nodes as f64;
        let squares: f64 = pool.donors.iter().map(|d| (d.level - mean).powi(2)).sum();
        let mut missed = Missed::default();
        for (i, donor) in pool.donors.iter().enumerate() {
            missed.add(&donor.rates, &pool.rates(Some(i)));
        }
        let mut out = Self {
            between: squares / (nodes - 1) as f64,
            nodes: nodes as f64,
            ..Self::default()
        };
        for (target, sizes) in missed.to_come.iter_mut().enumerate() {
            out.to_come[target] = variance_of(sizes).unwrap_or(out.to_come[target]);
        }
        for age in 0..AGES.len() {
            out.past[age] = variance_of(&mut missed.past[age]).unwrap_or(out.past[age]);
            for (target, sizes) in missed.apart[age].iter_mut().enumerate() {
                out.apart[age][target] = variance_of(sizes).unwrap_or(out.apart[age][target]);
            }
        }
        Some(out)
    }

    /// The mean of what classes measured, held to the default; of variances it is the geometric one,
    /// so that no restless class speaks for all.
    pub(super) fn of_all(classes: &[Self]) -> Self {
        let mut out = Self::default();
        for of in classes {
            let worth = out.nodes;
            out = of.mixed(&out, of.nodes - 1.0, worth + DEFAULT_WORTH);
            out.nodes = worth + of.nodes - 1.0;
        }
        out
    }

    /// A class's own, held to that of all classes by how few nodes it has.
    pub(super) fn held_to(&self, all: &Self) -> Self {
        self.mixed(all, self.nodes - 1.0, DEFAULT_WORTH)
    }

    /// Geometric mean with another, by weights.
    fn mixed(&self, other: &Self, own: f64, others: f64) -> Self {
        let part = own.max(0.0) / (own.max(0.0) + others);
        let mean = |a: f64, b: f64| {
            let (a, b) = (a.max(VARIANCE_MIN), b.max(VARIANCE_MIN));
            (part * a.ln() + (1.0 - part) * b.ln()).exp()
        };
        let by_target =
            |a: &ByTarget, b: &ByTarget| std::array::from_fn(|target| mean(a[target], b[target]));
        Self {
            between: mean(self.between, other.between),
            past: std::array::from_fn(|age| mean(self.past[age], other.past[age])),
            to_come: by_target(&self.to_come, &other.to_come),
            apart: std::array::from_fn(|age| by_target(&self.apart[age], &other.apart[age])),
            nodes: self.nodes,
        }
    }

    /// Variance of the mean of `days` around a level, and of a target around that mean.
    fn at(&self, days: usize, target: usize) -> (f64, f64) {
        let of = |age: usize| (self.past[age], self.apart[age][target]);
        let last = AGES.len() - 1;
        let above = AGES.iter().position(|age| *age >= days).unwrap_or(last);
        let Some(below) = above.checked_sub(1) else {
            return of(0);
        };
        let place = |days: usize| (days as f64).ln();
        let from = place(AGES[below]);
        let part = ((place(days) - from) / (place(AGES[above]) - from)).min(1.0);
        let (a, b) = (of(below), of(above));
        (a.0 + part * (b.0 - a.0), a.1 + part * (b.1 - a.1))
    }

    /// Variance of the mean of `days` around a level.
    pub(super) fn of_days(&self, days: usize) -> f64 {
        self.at(days, 0).0
    }

    /// What the last of `known` days tell of a target; `between` nodes, infinite where the class tells
    /// nothing of the level.
    ///
    /// The best linear forecast of a level to come from the one that was: with variances v of the
    /// days, f of the target and d between the two, their covariance is c = (v + f − d) / 2, the
    /// weight (b + c) / (b + v), and b + f − (b + c)² / (b + v) remains.
    ///
    /// # Source
    /// METHODS.md, "Short history"; worked example: `days_count_by_what_they_tell`.
    pub(super) fn told(&self, known: usize, target: usize, between: f64) -> Told {
        let to_come = self.to_come[target];
        let none = Told {
            days: 0,
            weight: 0.0,
            variance: between + to_come,
        };
        let tried = AGES.into_iter().filter(|age| *age < known);
        let tried = tried.chain((known > 0).then_some(known));
        tried
            .map(|days| {
                let (past, apart) = self.at(days, target);
                if between.is_infinite() {
                    return Told {
                        days,
                        weight: 1.0,
                        variance: apart,
                    };
                }
                let common = between + (past + to_come - apart) / 2.0;
                let weight = (common / (between + past)).clamp(0.0, 1.0);
                Told {
                    days,
                    weight,
                    variance: (between + to_come - weight * common).max(VARIANCE_MIN),
                }
            })
            .fold(none, |best, told| {
                if told.variance < best.variance {
                    told
                } else {
                    best
                }
            })
    }
}

impl Missed {
    /// Adds the origins of one node beside the others of its class.
    fn add(&mut self, own: &[f64], others: &[f64]) {
        let mut sums = vec![(0.0, 0.0, 0_usize)];
        for (a, b) in own.iter().zip(others) {
            let (above, below, days) = sums[sums.len() - 1];
            sums.push(if a.is_finite() && b.is_finite() {
                (above + a, below + b, days + 1)
            } else {
                (above, below, days)
            });
        }
        let level = |from: usize, to: usize| {
            let (a, b) = (sums[from], sums[to]);
            let ratio: f64 = ((b.0 - a.0) / (b.1 - a.1)).ln();
            (2 * (b.2 - a.2) > to - from && ratio.is_finite()).then_some(ratio)
        };
        let Some(all) = level(0, own.len()) else {
            return;
        };
        let (oldest, farthest) = (AGES[AGES.len() - 1], TARGETS[TARGETS.len() - 1].1);
        for origin in (oldest..(own.len() + 1).saturating_sub(farthest)).step_by(STEP_DAYS) {
            let to_come = TARGETS.map(|(from, to)| level(origin + from, origin + to));
            for (sizes, to_come) in self.to_come.iter_mut().zip(to_come) {
                sizes.extend(to_come.map(|to_come| (to_come - all).abs()));
            }
            for (age, days) in AGES.into_iter().enumerate() {
                let Some(shown) = level(origin - days, origin) else {
                    continue;
                };
                self.past[age].push((shown - all).abs());
                for (sizes, to_come) in self.apart[age].iter_mut().zip(to_come) {
                    sizes.extend(to_come.map(|to_come| (to_come - shown).abs()));
                }
            }
        }
    }
}

/// Part of the near target at a lead of 1, 2, …: all of it for a week, none after three.
pub(super) fn near_part(lead: usize) -> f64 {
    ((21.0 - lead as f64) / 14.0).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_by_what_they_tell() {
        let spread = Spread {
            between: 0.16,
            past: [0.05; AGES.len()],
            to_come: [0.01, 0.02],
            apart: [[0.04, 0.05]; AGES.len()],
            nodes: 4.0,
        };
        // c = (0.05 + 0.01 − 0.04) / 2 = 0.01; w = 0.17 / 0.21; 0.17 − 0.17² / 0.21 remains.
        let told = spread.told(1, 0, 0.16);
        assert_eq!(told.days, 1);
        assert!((told.weight - 0.809_524).abs() < 1e-6, "{told:?}");
        assert!((told.variance - 0.032_381).abs() < 1e-6, "{told:?}");
        // Nothing known: the class alone.
        let told = spread.told(0, 1, 0.16);
        assert!(told.weight.abs() < 1e-12 && (told.variance - 0.18).abs() < 1e-12);
        // Nothing told by the class: the days alone.
        let told = spread.told(5, 1, f64::INFINITY);
        assert!((told.weight - 1.0).abs() < 1e-12 && (told.variance - 0.05).abs() < 1e-12);
    }

    #[test]
    fn classes_are_held_to_all_by_how_few_nodes_they_have() {
        let of = |between: f64, nodes: f64| Spread {
            between,
            nodes,
            ..Spread::default()
        };
        let all = Spread::of_all(&[of(0.01, 3.0)]);
        // Two beside two that the default is worth: √(0.01 · 0.16).
        assert!((all.between - 0.04).abs() < 1e-12, "{}", all.between);
        let own = of(0.04, 1_000.0).held_to(&of(9.0, 0.0));
        assert!((own.between / 0.04 - 1.0).abs() < 0.02, "{}", own.between);
        assert_eq!(Spread::of_all(&[]), Spread::default());
    }
}
