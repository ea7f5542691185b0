//! Direct correction by lead: what the node's own recent residuals say about the days ahead.
//!
//! For each lead (or group of far leads) a small robust ridge learns, over many past origins, how
//! the base regression's error at the lead follows from the errors known at the origin. The fits
//! that made those errors never saw the day that is corrected.

use crate::domain::calendar::GasDay;
use crate::forecast::features::calendar::season_distance;
use crate::forecast::linear::gram::{Gram, errors};
use crate::forecast::linear::{Penalty, dot};

/// Days of residuals that are read.
pub const RESIDUAL_DAYS: usize = 28;
/// Features of the correction.
pub const CORRECTION_FEATURES: usize = 17;
/// Leads up to this one are corrected by what yesterday was like, too.
const NEAR_LEADS: usize = 7;
const WEEK: usize = 7;
/// Feature: the mean residual of four weeks.
const MONTH: usize = 13;

/// Mean of the values that are known; none if none is.
#[inline]
pub(in crate::forecast::models) fn mean_known(
    values: impl IntoIterator<Item = f64>,
) -> Option<f64> {
    let (sum, count) = values
        .into_iter()
        .filter(|v| v.is_finite())
        .fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// Mean of the values that are known, each counted by what it counts beside a measured one (0 to 1): what
/// all of them lack to one measured day is said by `otherwise`.
#[inline]
pub(in crate::forecast::models) fn mean_trusted(
    values: impl IntoIterator<Item = (f64, f64)>,
    otherwise: f64,
) -> f64 {
    let (sum, trust) = values
        .into_iter()
        .filter(|(value, _)| value.is_finite())
        .fold((0.0, 0.0), |(sum, all), (value, trust)| {
            (sum + trust * value, all + trust)
        });
    let lacking = (1.0 - trust).max(0.0);
    (sum + lacking * otherwise) / (trust + lacking)
}

/// What an origin knows of its own errors, as the regression calls it.
#[derive(Debug, Clone)]
pub struct KnownResiduals {
    last: f64,
    second: f64,
    third: f64,
    three: f64,
    week: f64,
    month: f64,
    /// By days before the origin: the residual, the mean of that weekday, the expectation.
    same: [[f64; 3]; WEEK],
    warm: f64,
    warm_week: f64,
    has_weather_effect: bool,
}

impl KnownResiduals {
    /// From base residuals and expectations of the last days, latest first, NaN where a day has no
    /// value; `trusts` are what these count; `weather_effect` says how much the weather of the last days moved the expectation away
    /// from typical weather, and is empty where weather ahead is known.
    pub fn new(
        recent: &[f64; RESIDUAL_DAYS],
        trusts: &[f64; RESIDUAL_DAYS],
        expected: &[f64; RESIDUAL_DAYS],
        weather_effect: &[f64],
    ) -> Self {
        let head = |count: usize, otherwise: f64| {
            let days = recent.iter().zip(trusts).take(count);
            mean_trusted(days.map(|(error, trust)| (*error, *trust)), otherwise)
        };
        let month = head(RESIDUAL_DAYS, 0.0);
        let week = head(WEEK, month);
        let three = head(3, week);
        let of_day = |i: usize, otherwise| mean_trusted([(recent[i], trusts[i])], otherwise);
        let same = std::array::from_fn(|back| {
            let of_weekday = (back..RESIDUAL_DAYS).step_by(WEEK);
            let weekday_mean = mean_trusted(of_weekday.map(|i| (recent[i], trusts[i])), week);
            [of_day(back, week), weekday_mean, expected[back]]
        });
        let warm = |count: usize| mean_known(weather_effect.iter().take(count).copied());
        Self {
            last: of_day(0, three),
            second: of_day(1, three),
            third: of_day(2, three),
            three,
            week,
            month,
            same,
            warm: warm(1).unwrap_or(0.0),
            warm_week: warm(WEEK).unwrap_or(0.0),
            has_weather_effect: !weather_effect.is_empty(),
        }
    }

    /// Features for a lead; those that are zero on most days first (see [`Gram`]).
    #[inline]
    pub fn features(&self, lead: usize, target: &Target) -> [f64; CORRECTION_FEATURES] {
        // The latest known day with the target's weekday lies (7 − lead) mod 7 days before the origin.
        let [same_weekday, weekday_mean, expected] = self.same[(WEEK - lead % WEEK) % WEEK];
        let is_near = lead <= NEAR_LEADS;
        let near = |value: f64| if is_near { or(value, 0.0) } else { 0.0 };
        let [off, off_before] = target.off.map(|is_off| f64::from(u8::from(is_off)));
        [
            1.0,
            near(off),
            near(off_before),
            near((off - off_before) * self.last),
            self.warm,
            self.warm_week,
            if self.has_weather_effect {
                target.year_cosine
            } else {
                0.0
            },
            near(target.warmer),
            if is_near { self.third } else { 0.0 },
            // With `last` this makes "as yesterday" one of the choices,
            near(self.same[0][2] - target.expected),
            self.last,
            if is_near { self.second } else { self.three },
            self.week,
            self.month,
            same_weekday,
            weekday_mean,
            // and with `same_weekday` this the seasonal-naive forecast.
            or(expected - target.expected, 0.0),
        ]
    }
}

fn or(value: f64, otherwise: f64) -> f64 {
    if value.is_finite() { value } else { otherwise }
}

/// The day that is corrected, as the origin sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Base expectation, m³.
    pub expected: f64,
    /// Cosine of its place in the year.
    pub year_cosine: f64,
    /// Whether it, and whether the origin, is a day off.
    pub off: [bool; 2],
    /// How much warmer it is than the origin, K; NaN where unknown.
    pub warmer: f64,
}

/// Choices of the correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CorrectionOptions {
    /// Ridge.
    pub penalty: Penalty,
    /// The relative penalty at lead 1, growing with the square of the lead up to that of `penalty`:
    /// tomorrow's error is a matter of a few days, on which there are many examples.
    pub relative_at_lead_1: f64,
    /// An origin counts half after so many days.
    pub half_life_days: f64,
    /// Weight of the opposite season.
    pub season_floor: f64,
    /// Residuals beyond so many robust standard deviations count less.
    pub clip: f64,
}

impl Default for CorrectionOptions {
    fn default() -> Self {
        Self {
            penalty: Penalty {
                relative: 0.05,
                pseudo_days: 0.0,
            },
            relative_at_lead_1: 0.003,
            half_life_days: 365.0,
            season_floor: 0.3,
            clip: 1.5,
        }
    }
}

impl CorrectionOptions {
    /// The ridge of a group of leads.
    fn penalty_of(&self, group: usize) -> Penalty {
        let square = (group * group) as f64;
        Penalty {
            relative: (self.relative_at_lead_1 * square).min(self.penalty.relative),
            ..self.penalty
        }
    }

    /// What a past origin counts at an origin.
    pub fn weight_of(&self, past: GasDay, origin: GasDay) -> f64 {
        let age = origin.days_since(past) as f64;
        let apart = season_distance(past.0, origin.0) / 50.0;
        let season = self.season_floor + (1.0 - self.season_floor) * (-0.5 * apart * apart).exp();
        0.5_f64.powf(age / self.half_life_days) * season
    }
}

/// Past origins and a lead, or group of leads, of which a correction is learnt.
#[derive(Debug, Clone, Default)]
pub struct Examples {
    /// Features, and what the base regression missed (m³), row by row.
    rows: Vec<f64>,
    weights: Vec<f64>,
    /// First example of each part of the past but the first.
    parts: Vec<usize>,
}

impl Examples {
    const WIDE: usize = Gram::row_length(CORRECTION_FEATURES);

    /// None yet, with room for so many.
    pub fn with_room_for(count: usize) -> Self {
        Self {
            rows: Vec::with_capacity(count * Self::WIDE),
            weights: Vec::with_capacity(count),
            parts: Vec::new(),
        }
    }

    /// What follows is of the next part of the past.
    pub fn next_part(&mut self) {
        self.parts.push(self.weights.len());
    }

    /// Adds what was missed, m³, and what it counts.
    #[inline]
    pub fn push(&mut self, features: &[f64; CORRECTION_FEATURES], missed: f64, weight: f64) {
        self.rows.extend_from_slice(features);
        self.rows.push(missed);
        self.rows
            .resize(self.rows.len().next_multiple_of(Self::WIDE), 0.0);
        self.weights.push(weight);
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.rows[i * Self::WIDE..(i + 1) * Self::WIDE]
    }

    /// Counts examples less that are far from what the first fit says, in the sums of their parts;
    /// whether there was anything to change.
    fn reweight(
        &self,
        first: &Correction,
        clip: f64,
        parts: &[std::ops::Range<usize>],
        sums: &mut [Gram],
    ) -> bool {
        let mut sizes = errors(&self.rows, &first.0);
        for size in &mut sizes {
            *size = size.abs();
        }
        let middle = sizes.len() / 2;
        let median = *sizes
            .clone()
            .select_nth_unstable_by(middle, f64::total_cmp)
            .1;
        let limit = clip * 1.4826 * median;
        if limit <= 0.0 {
            return false;
        }
        let (mut rows, mut changes) = (Vec::new(), Vec::new());
        for (range, sum) in parts.iter().zip(sums) {
            rows.clear();
            changes.clear();
            for i in range.clone().filter(|i| sizes[*i] > limit) {
                rows.extend_from_slice(self.row(i));
                changes.push((limit / sizes[i] - 1.0) * self.weights[i]);
            }
            sum.add(&rows, &changes);
        }
        true
    }

    fn largest(&self) -> [f64; CORRECTION_FEATURES] {
        let mut largest = [0.0_f64; CORRECTION_FEATURES];
        for row in self.rows.chunks_exact(Self::WIDE) {
            for (most, value) in largest.iter_mut().zip(row) {
                *most = most.max(value.abs());
            }
        }
        largest
    }
}

/// The corrections of one lead or group of leads: learnt from all of the past, and from all but
/// each part of it.
#[derive(Debug, Clone)]
pub struct Corrections {
    /// Learnt from everything.
    pub all: Correction,
    /// Learnt without one part, by part.
    pub without: Vec<Correction>,
}

/// Parts of the past that are left out in turn, so that errors of past origins are honest.
pub const BLOCKS: usize = 5;
/// Examples a correction is learnt from at least.
const EXAMPLES_MIN: usize = 40;

impl Corrections {
    /// The level of the last four weeks alone, learnt from nothing.
    pub fn level() -> Self {
        let mut b = [0.0; CORRECTION_FEATURES];
        b[MONTH] = 1.0;
        Self {
            all: Correction(b),
            without: vec![Correction(b); BLOCKS],
        }
    }

    /// Robust ridge from sums by part, reweighted once; without enough examples nothing is
    /// corrected. `group` is that of the leads.
    pub fn fit(examples: &Examples, group: usize, options: &CorrectionOptions) -> Self {
        let count = examples.weights.len();
        let bounds: Vec<usize> = std::iter::once(0)
            .chain(examples.parts.iter().copied())
            .chain([count])
            .collect();
        let parts: Vec<_> = bounds.windows(2).map(|w| w[0]..w[1]).collect();
        let nothing = Correction([0.0; CORRECTION_FEATURES]);
        if count < EXAMPLES_MIN {
            return Self {
                all: nothing,
                without: vec![nothing; parts.len()],
            };
        }
        let penalty = options.penalty_of(group);
        let largest = if penalty.pseudo_days > 0.0 {
            examples.largest()
        } else {
            [0.0; CORRECTION_FEATURES] // not read then
        };
        let mut sums: Vec<Gram> = parts
            .iter()
            .map(|part| {
                let mut sum = Gram::new(CORRECTION_FEATURES);
                sum.add(
                    &examples.rows[part.start * Examples::WIDE..part.end * Examples::WIDE],
                    &examples.weights[part.clone()],
                );
                sum
            })
            .collect();
        let mut mixed = Gram::new(CORRECTION_FEATURES);
        let mut solve = |sums: &[Gram], without: Option<usize>| {
            let mut factors = [1.0; BLOCKS];
            if let Some(factor) = without.and_then(|part| factors.get_mut(part)) {
                *factor = 0.0;
            }
            mixed.mix(sums, &factors);
            let b = mixed.solve(penalty, &largest, &[]);
            b.and_then(|b| b.try_into().ok()).map(Correction)
        };
        let mut all = solve(&sums, None);
        let is_changed = all
            .as_ref()
            .is_some_and(|first| examples.reweight(first, options.clip, &parts, &mut sums));
        if is_changed {
            all = solve(&sums, None);
        }
        let without = parts
            .iter()
            .enumerate()
            .map(|(part, range)| {
                let is_enough = count - range.len() >= EXAMPLES_MIN;
                let learnt = is_enough.then(|| solve(&sums, Some(part))).flatten();
                learnt.unwrap_or(nothing)
            })
            .collect();
        Self {
            all: all.unwrap_or(nothing),
            without,
        }
    }
}

/// The correction of one lead or group of leads.
#[derive(Debug, Clone, Copy)]
pub struct Correction([f64; CORRECTION_FEATURES]);

impl Correction {
    /// The correction for these features, m³.
    #[inline]
    pub fn of(&self, features: &[f64; CORRECTION_FEATURES]) -> f64 {
        dot(&self.0, features)
    }
}

/// Leads that share one correction: each day of the first week alone, then wider and wider groups.
#[inline]
pub fn lead_group(lead: usize) -> usize {
    match lead {
        0..=7 => lead,
        8..=10 => 8,
        11..=14 => 9,
        15..=21 => 10,
        22..=31 => 11,
        32..=45 => 12,
        _ => 13,
    }
}

/// Number of groups.
pub const LEAD_GROUPS: usize = 14;
