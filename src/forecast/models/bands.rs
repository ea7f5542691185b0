//! Bands that own up to their record: residual paths stretched or drawn in, lead group by lead group,
//! so that the bands of the last year and a half would have held four truths in five.
//!
//! A path keeps its shape over days and its day is the same for every node, so draws stay joint and
//! sums stay coherent; only its size changes.

use crate::domain::calendar::GasDay;
use crate::forecast::draws::Placed;
use crate::forecast::models::correction::lead_group;
use crate::forecast::models::paths::ResidualPath;

/// Part of the truths a band of P10 to P90 holds.
const HELD: f64 = 0.8;
/// Past origins of so many days are looked at.
const LOOK_BACK_DAYS: i64 = 540;
/// As many of them at most.
const ORIGINS_MAX: usize = 40;
/// A past band needs so many paths of its own past.
const PATHS_MIN: usize = 60;
/// Past bands without which nothing is said.
const BANDS_MIN: usize = 10;
/// An origin counts half after so many days.
const HALF_LIFE_DAYS: f64 = 365.0;
/// Independent past bands that weigh as much as the belief that bands are right.
const BANDS_HALF: f64 = 10.0;
/// Two errors at lead h are taken as independent from h / 2 days on.
const OVERLAP: f64 = 0.5;
/// Bands are halved or doubled at most.
const SCALE: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// A past origin whose band is held against what came.
struct Trial<'a> {
    path: &'a ResidualPath,
    /// Its place among the paths.
    at: usize,
    day: Placed,
    /// How likely each earlier path would have been drawn at it.
    likelihoods: Vec<f64>,
    /// Sums of the likelihoods before each.
    sums: Vec<f64>,
    weight: f64,
}

/// Scales the residuals of each lead group by what its past bands missed.
///
/// At each of up to 40 past origins the band is made from the paths known then. With z the residual
/// there ÷ the half of the band on its side, the 80 % quantile q of z is the factor that would have
/// made the bands right (split conformal prediction); q is drawn towards 1 by n / (n + 10), n the
/// number of independent bands. Residuals that are not known stay so. `counts` says what a path (by its
/// place) counts at a lead beside one of measured days, 0 to 1.
///
/// # Source
/// METHODS.md, "Bands that learn". H. Papadopoulos, V. Vovk, A. Gammerman, Regression conformal
/// prediction with nearest neighbours, JAIR 40 (2011), normalised scores.
pub fn scale_by_record(
    paths: &mut [ResidualPath],
    origin: GasDay,
    counts: impl Fn(usize, usize) -> f64,
) {
    let horizon = paths.iter().map(|p| p.residuals.len()).min().unwrap_or(0);
    let scales: Vec<f64> = {
        let paths: &[ResidualPath] = paths;
        let days: Vec<Placed> = paths.iter().map(|path| Placed::new(path.origin)).collect();
        let trials = trials(paths, &days, origin);
        let mut scales = Vec::with_capacity(horizon);
        while scales.len() < horizon {
            let first = scales.len() + 1;
            let group = lead_group(first);
            let in_group = (first..=horizon).take_while(|lead| lead_group(*lead) == group);
            let last = in_group.last().unwrap_or(first);
            let lead = usize::midpoint(first, last);
            let counts = |trial: &Trial<'_>| counts(trial.at, lead);
            let scale = scale_of(paths, &days, &trials, origin, lead, counts);
            scales.resize(last, scale);
        }
        scales
    };
    for path in paths.iter_mut() {
        for (residual, scale) in path.residuals.iter_mut().zip(&scales) {
            *residual *= scale;
        }
    }
}

fn trials<'a>(paths: &'a [ResidualPath], days: &[Placed], origin: GasDay) -> Vec<Trial<'a>> {
    let age = |path: &ResidualPath| origin.days_since(path.origin);
    let from = paths.partition_point(|path| age(path) > LOOK_BACK_DAYS);
    let step = (paths.len() - from).div_ceil(ORIGINS_MAX).max(1);
    (from..paths.len())
        .rev()
        .step_by(step)
        .map(|at| {
            let day = days[at];
            let likelihoods = day.likelihoods(&days[..at]);
            let mut sums = Vec::with_capacity(at + 1);
            sums.push(0.0);
            sums.extend(likelihoods.iter().scan(0.0, |sum, likelihood| {
                *sum += likelihood;
                Some(*sum)
            }));
            Trial {
                path: &paths[at],
                at,
                day,
                likelihoods,
                sums,
                weight: 0.5_f64.powf(age(&paths[at]) as f64 / HALF_LIFE_DAYS),
            }
        })
        .collect()
}

/// Residuals of one lead, and by which paths they were left.
struct OfLead {
    /// Those known, by size.
    sorted: Vec<(f64, usize)>,
    /// Paths that do not know theirs.
    unknown: Vec<usize>,
}

impl OfLead {
    fn new(paths: &[ResidualPath], lead: usize) -> Self {
        let mut sorted = Vec::with_capacity(paths.len());
        let mut unknown = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            let residual = path.residuals[lead - 1];
            if residual.is_finite() {
                sorted.push((residual, i));
            } else {
                unknown.push(i);
            }
        }
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        Self { sorted, unknown }
    }

    /// Half of the band that the first `known` paths make at a trial, on the side of `residual`;
    /// none if too few of them know the lead.
    fn half_band(&self, trial: &Trial<'_>, known: usize, residual: f64) -> Option<f64> {
        let unknown = self.unknown.iter().take_while(|i| **i < known);
        let (mut total, mut count) = (trial.sums[known], known);
        for i in unknown {
            total -= trial.likelihoods[*i];
            count -= 1;
        }
        if count < PATHS_MIN {
            return None;
        }
        let part = (0.5 - 0.5 * HELD) * total;
        let then =
            |(residual, i): &(f64, usize)| (*i < known).then(|| (*residual, trial.likelihoods[*i]));
        // From the near end: a tenth of the paths instead of nine.
        Some(if residual > 0.0 {
            outermost(self.sorted.iter().rev().filter_map(then), part)
        } else {
            -outermost(self.sorted.iter().filter_map(then), part)
        })
    }
}

/// The first value, from the outside, with more than `part` of the weight up to it.
fn outermost(values: impl Iterator<Item = (f64, f64)>, part: f64) -> f64 {
    let (mut sum, mut last) = (0.0, 0.0);
    for (value, weight) in values {
        sum += weight;
        last = value;
        if sum > part {
            break;
        }
    }
    last
}

fn scale_of(
    paths: &[ResidualPath],
    days: &[Placed],
    trials: &[Trial<'_>],
    origin: GasDay,
    lead: usize,
    counts: impl Fn(&Trial<'_>) -> f64,
) -> f64 {
    let of_lead = OfLead::new(paths, lead);
    let ahead = i64::try_from(lead).unwrap_or(i64::MAX);
    let mut scores: Vec<(f64, f64)> = Vec::with_capacity(trials.len());
    for trial in trials {
        let residual = trial.path.residuals[lead - 1];
        // Paths whose day had come by then.
        let known = days[..trial.likelihoods.len()]
            .partition_point(|day| trial.day.days_since(day) >= ahead);
        if !residual.is_finite() {
            continue;
        }
        let Some(half) = of_lead.half_band(trial, known, residual) else {
            continue;
        };
        let score = if half > 0.0 {
            residual.abs() / half
        } else if residual == 0.0 {
            0.0
        } else {
            *SCALE.end()
        };
        scores.push((score, trial.weight * counts(trial)));
    }
    if scores.len() < BANDS_MIN {
        return 1.0;
    }
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = weighted_quantile(&scores, HELD).clamp(*SCALE.start(), *SCALE.end());
    let total: f64 = scores.iter().map(|(_, w)| w).sum();
    let squares: f64 = scores.iter().map(|(_, w)| w * w).sum();
    let span = trials
        .last()
        .map_or(0, |t| origin.days_since(t.path.origin));
    let apart = span as f64 / trials.len().max(1) as f64;
    if squares <= 0.0 {
        return 1.0; // of all days next to nothing is known
    }
    let bands = total * total / squares / (1.0 + OVERLAP * lead as f64 / apart.max(1.0));
    wanted.powf(bands / (bands + BANDS_HALF))
}

/// The least value with this part of the weight up to it; `sorted` by value.
fn weighted_quantile(sorted: &[(f64, f64)], part: f64) -> f64 {
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut sum = 0.0;
    for (value, weight) in sorted {
        sum += weight;
        if sum >= part * total {
            return *value;
        }
    }
    sorted.last().map_or(0.0, |(value, _)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const DAYS: i64 = 1_000;

    /// Triangular errors, `late` times as large in the last 300 days.
    fn paths(late: f64) -> (Vec<ResidualPath>, GasDay) {
        let first = GasDay("2023-01-01".parse().unwrap());
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let paths = (0..DAYS)
            .map(|i| {
                let size = if i >= DAYS - 300 { late } else { 1.0 };
                let mut draw = || rng.random::<f64>() - rng.random::<f64>();
                ResidualPath {
                    origin: first.plus(i),
                    residuals: (0..7).map(|_| size * draw()).collect(),
                }
            })
            .collect();
        (paths, first.plus(DAYS))
    }

    fn mean_factor(late: f64) -> f64 {
        mean_factor_if(late, 1.0)
    }

    /// The same, where the last 300 days count so much.
    fn mean_factor_if(late: f64, counts: f64) -> f64 {
        let (before, origin) = paths(late);
        let mut after = before.clone();
        let first_late = before.len() - 300;
        scale_by_record(&mut after, origin, |path, _| {
            if path >= first_late { counts } else { 1.0 }
        });
        let size = |paths: &[ResidualPath]| -> f64 {
            paths
                .iter()
                .flat_map(|p| &p.residuals)
                .map(|r| r.abs())
                .sum()
        };
        size(&after) / size(&before)
    }

    #[test]
    fn honest_bands_stay_and_those_that_missed_grow() {
        let honest = mean_factor(1.0);
        assert!((0.93..1.07).contains(&honest), "{honest}");
        let missed = mean_factor(2.0);
        assert!(missed > 1.12, "{missed}");
        let too_wide = mean_factor(0.5);
        assert!(too_wide < 0.9, "{too_wide}");
    }

    #[test]
    fn days_that_count_little_do_not_stretch_bands() {
        // The last 300 days missed by twice as much; what if these were all estimated?
        let told = mean_factor_if(2.0, 1e-6);
        assert!((told - 1.0).abs() < 0.08, "{told}");
        let unknown = mean_factor_if(2.0, 0.0);
        assert!((unknown - told).abs() < 1e-3, "{unknown} {told}");
        assert!(mean_factor(2.0) > told + 0.1);
    }

    #[test]
    fn a_short_or_constant_past_changes_nothing() {
        let (mut few, origin) = paths(1.0);
        let mut few = few.split_off(few.len() - 65);
        let before = few.clone();
        scale_by_record(&mut few, origin, |_, _| 1.0);
        assert_eq!(few, before);
        scale_by_record(&mut [], origin, |_, _| 1.0);
        let (mut flat, origin) = paths(1.0);
        for path in &mut flat {
            path.residuals.fill(0.0);
        }
        scale_by_record(&mut flat, origin, |_, _| 1.0);
        assert!(flat.iter().all(|p| p.residuals.iter().all(|r| *r == 0.0)));
    }

    #[test]
    fn unknown_residuals_stay_unknown() {
        let (mut some, origin) = paths(2.0);
        some[990].residuals[6] = f64::NAN;
        scale_by_record(&mut some, origin, |_, _| 1.0);
        assert!(some[990].residuals[6].is_nan());
        let known = some
            .iter()
            .flat_map(|p| &p.residuals)
            .filter(|r| r.is_finite());
        assert_eq!(known.count(), 6_999);
    }
}
