//! Whether past forecasts have been as good as they said: coverage of P10–P90 by an exact binomial
//! test, bias by a two-sided CUSUM. The bounds follow from the rate of false alarms that is wanted
//! and from the number of series watched, not from a fixed guess.

use serde::{Deserialize, Serialize};

/// Share of truths that belong into P10–P90.
pub const COVERAGE: f64 = 0.8;
/// Cases before anything is said of days up to a week ahead.
pub const CASES_MIN: usize = 30;
/// The same beyond, where cases come once in a fortnight or a month. Both tests hold for any number of them;
/// fewer find only what is grossly wrong.
pub const CASES_MIN_FAR: usize = 12;
/// Last lead that is a near one.
const NEAR_LEAD_MAX: i64 = 7;
/// Latest cases the coverage is counted over.
pub const COVERAGE_CASES: usize = 90;
/// Latest cases the CUSUM runs over.
pub const CUSUM_CASES: usize = 180;

/// Significance of the coverage test over all series together, two-sided.
const COVERAGE_LEVEL: f64 = 0.002;
/// Cases between two false alarms of the CUSUM over all series together, on average.
const CUSUM_FALSE_ALARM_CASES: f64 = 730.0;
/// Half the shift looked for, standard deviations.
const ALLOWANCE: f64 = 0.5;
/// One wild day is no drift.
const CLIP: f64 = 4.0;
/// P10 to P90 of a normal distribution, standard deviations.
const BAND_SD: f64 = 2.563_103;
/// Days over which the mean is taken out before neighbours are compared.
const BLOCK: usize = 30;
const CORRELATION_MAX: f64 = 0.6;

/// A forecast and what came, m³.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Case {
    /// One in ten lies below.
    pub p10: f64,
    /// Published.
    pub p50: f64,
    /// One in ten lies above.
    pub p90: f64,
    /// What came.
    pub actual: f64,
}

/// What the tests say of a series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Cases the coverage was counted over.
    pub cases: usize,
    /// Cases before anything is said.
    pub cases_min: usize,
    /// Part of them within P10–P90.
    pub coverage: f64,
    /// Probability of a count as far off as this, were 80 % right.
    pub coverage_p: f64,
    /// Below it the coverage alarms.
    pub coverage_bound: f64,
    /// The larger of the two sums, standard deviations; positive where too little was forecast.
    pub cusum: f64,
    /// Beyond it the bias alarms.
    pub cusum_bound: f64,
}

impl Drift {
    /// Whether the bands are too narrow or too wide.
    pub fn is_coverage_off(&self) -> bool {
        self.cases >= self.cases_min && self.coverage_p < self.coverage_bound
    }

    /// Whether forecasts have a bias.
    pub fn is_biased(&self) -> bool {
        self.cases >= self.cases_min && self.cusum.abs() > self.cusum_bound
    }
}

/// Probability that a binomial count is as far off as `hits` or further, two-sided.
///
/// `min(1, 2 · min(P(X ≤ k), P(X ≥ k)))`.
pub fn binomial_p(cases: usize, hits: usize, probability: f64) -> f64 {
    let (mut below, mut above) = (0.0, 0.0);
    let odds = probability / (1.0 - probability);
    let mut mass = (1.0 - probability).powi(i32::try_from(cases).unwrap_or(i32::MAX));
    for k in 0..=cases {
        if k <= hits {
            below += mass;
        }
        if k >= hits {
            above += mass;
        }
        mass *= odds * (cases - k) as f64 / (k + 1) as f64;
    }
    (2.0 * f64::min(below, above)).min(1.0)
}

/// Bound of a CUSUM with allowance ½ that is passed by chance once in `cases` cases on one side.
///
/// Siegmund: ARL = (e^(2kb) − 2kb − 1) / (2k²), b = h + 1.166; solved by bisection.
///
/// # Source
/// D. Siegmund, Sequential Analysis (1985), ch. 2; METHODS.md, "Drift".
pub fn cusum_bound(cases: f64) -> f64 {
    let length = |h: f64| {
        let x = 2.0 * ALLOWANCE * (h + 1.166);
        (x.exp() - x - 1.0) / (2.0 * ALLOWANCE * ALLOWANCE)
    };
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if length(middle) < cases {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Tests one of `series` series at a lead in days; cases in time order, far enough apart not to overlap.
///
/// # Source
/// METHODS.md, "Drift".
pub fn drift(cases: &[Case], lead: i64, series: usize) -> Drift {
    let series = series.max(1) as f64;
    let latest = &cases[cases.len().saturating_sub(COVERAGE_CASES)..];
    let hits = latest
        .iter()
        .filter(|c| (c.p10..=c.p90).contains(&c.actual))
        .count();
    let run = &cases[cases.len().saturating_sub(CUSUM_CASES)..];
    Drift {
        cases: latest.len(),
        cases_min: if lead <= NEAR_LEAD_MAX {
            CASES_MIN
        } else {
            CASES_MIN_FAR
        },
        coverage: hits as f64 / (latest.len() as f64).max(1.0),
        coverage_p: binomial_p(latest.len(), hits, COVERAGE),
        coverage_bound: COVERAGE_LEVEL / series,
        cusum: cusum(run),
        cusum_bound: cusum_bound(2.0 * series * CUSUM_FALSE_ALARM_CASES),
    }
}

fn cusum(cases: &[Case]) -> f64 {
    let scaled: Vec<f64> = cases
        .iter()
        .filter(|c| c.p90 > c.p10)
        .map(|c| ((c.actual - c.p50) * BAND_SD / (c.p90 - c.p10)).clamp(-CLIP, CLIP))
        .collect();
    let correlation = correlation(&scaled);
    let spread = (1.0 - correlation * correlation).sqrt();
    let (mut up, mut down) = (0.0_f64, 0.0_f64);
    let mut before = 0.0;
    for z in scaled {
        let fresh = (z - correlation * before) / spread;
        before = z;
        up = (up + fresh - ALLOWANCE).max(0.0);
        down = (down - fresh - ALLOWANCE).max(0.0);
    }
    if up >= down { up } else { -down }
}

/// Correlation of neighbours, block by block around the block's own mean, so that a shift is not
/// taken for it; 0 to 0.6.
fn correlation(values: &[f64]) -> f64 {
    let (mut products, mut squares) = (0.0, 0.0);
    for block in values.chunks(BLOCK).filter(|block| block.len() > 3) {
        let mean = block.iter().sum::<f64>() / block.len() as f64;
        squares += block.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        products += block
            .windows(2)
            .map(|w| (w[0] - mean) * (w[1] - mean))
            .sum::<f64>();
    }
    if squares > 0.0 {
        (products / squares).clamp(0.0, CORRELATION_MAX)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn normal(rng: &mut ChaCha8Rng) -> f64 {
        let (a, b): (f64, f64) = (rng.random(), rng.random());
        (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }

    /// Honest forecasts of 1000 ± 100, of which `of` makes what came.
    fn cases(count: usize, seed: u64, of: impl Fn(usize, f64) -> f64) -> Vec<Case> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count)
            .map(|i| Case {
                p10: 1_000.0 - 128.155,
                p50: 1_000.0,
                p90: 1_000.0 + 128.155,
                actual: 1_000.0 + 100.0 * of(i, normal(&mut rng)),
            })
            .collect()
    }

    fn alarms(cases: &[Case], series: usize) -> Option<usize> {
        (CASES_MIN..=cases.len()).find(|n| {
            let found = drift(&cases[..*n], 1, series);
            found.is_coverage_off() || found.is_biased()
        })
    }

    #[test]
    fn binomial_and_cusum_bounds_of_the_worked_example() {
        // P(X ≤ 60 | 90, 0.8) is 0.0021.
        assert!(
            (binomial_p(90, 60, 0.8) - 0.0042).abs() < 5e-4,
            "{}",
            binomial_p(90, 60, 0.8)
        );
        assert!(binomial_p(90, 72, 0.8) > 0.9);
        assert!((binomial_p(2, 0, 0.5) - 0.5).abs() < 1e-12);
        let bound = cusum_bound(1_460.0);
        assert!((bound - 5.436).abs() < 0.01, "{bound}");
        assert!(cusum_bound(29_200.0) > bound + 2.0);
    }

    #[test]
    fn honest_forecasts_alarm_in_few_years() {
        let years = 200_u8;
        let false_alarms = (0..years)
            .filter(|seed| alarms(&cases(365, u64::from(*seed), |_, z| z), 1).is_some())
            .count();
        // One in two years by CUSUM at most, and a few per cent by coverage.
        assert!(
            false_alarms * 2 <= usize::from(years),
            "{false_alarms} of {years}"
        );
        assert!(
            false_alarms > 5,
            "a bound that never alarms is none: {false_alarms}"
        );
        let many = (0..years)
            .filter(|seed| alarms(&cases(365, u64::from(*seed), |_, z| z), 20).is_some())
            .count();
        assert!(
            many * 20 <= 3 * usize::from(years),
            "of twenty series: {many}"
        );
    }

    #[test]
    fn a_bias_of_one_deviation_is_found_within_weeks() {
        let found: Vec<usize> = (0..50)
            .filter_map(|seed| {
                let drifting = cases(200, seed, |i, z| if i >= 100 { z + 1.0 } else { z });
                alarms(&drifting, 20).filter(|n| *n > 100).map(|n| n - 100)
            })
            .collect();
        assert!(found.len() >= 47, "{} of 50", found.len());
        let mean = found.iter().sum::<usize>() as f64 / found.len() as f64;
        assert!(mean < 25.0, "after {mean} days");
        let up = drift(&cases(120, 7, |_, z| z + 1.0), 1, 1);
        let down = drift(&cases(120, 7, |_, z| z - 1.0), 1, 1);
        assert!(up.cusum > 0.0 && up.is_biased() && down.cusum < 0.0 && down.is_biased());
    }

    #[test]
    fn bands_too_narrow_are_found_and_errors_that_follow_each_other_are_no_drift() {
        let narrow = drift(&cases(90, 3, |_, z| 1.8 * z), 1, 20);
        assert!(narrow.is_coverage_off(), "{narrow:?}");
        let wide = drift(&cases(90, 3, |_, z| 0.4 * z), 1, 20);
        assert!(wide.is_coverage_off() && wide.coverage > 0.95);
        let alarmed = (0..100)
            .filter(|seed| {
                let mut last = 0.0;
                let mut following = cases(180, *seed, |_, z| z);
                for case in &mut following {
                    let z = (case.actual - 1_000.0) / 100.0;
                    last = 0.4 * last + (1.0_f64 - 0.16).sqrt() * z;
                    case.actual = 1_000.0 + 100.0 * last;
                }
                drift(&following, 1, 20).is_biased()
            })
            .count();
        assert!(alarmed <= 3, "{alarmed} of 100");
    }

    #[test]
    fn a_month_is_needed_before_anything_is_said() {
        let few = drift(&cases(29, 1, |_, z| z + 5.0), 7, 1);
        assert!(!few.is_biased() && !few.is_coverage_off());
        assert_eq!(drift(&[], 1, 0).cases, 0);
    }

    #[test]
    fn a_year_of_months_tells_what_is_grossly_wrong_and_little_else() {
        let year = |seed, of: fn(f64) -> f64| cases(CASES_MIN_FAR, seed, move |_, z| of(z));
        let is_told = |cases: &[Case]| {
            let found = drift(cases, 30, 180);
            found.is_coverage_off() || found.is_biased()
        };
        let wrong = (0..100).filter(|seed| is_told(&year(*seed, |z| z + 4.0)));
        assert_eq!(wrong.count(), 100);
        let honest = (0..1_000).filter(|seed| is_told(&year(*seed, |z| z)));
        assert_eq!(honest.count(), 0);
        let eleven = cases(CASES_MIN_FAR - 1, 1, |_, z| z + 9.0);
        assert!(!is_told(&eleven));
        let near = drift(&year(1, |z| z + 9.0), 7, 180);
        assert!(!near.is_coverage_off() && !near.is_biased());
    }
}
