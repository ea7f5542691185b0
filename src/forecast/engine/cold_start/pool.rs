//! What nodes of a class use per m³/h of design flow, day by day, pooled so that none rules.

use crate::domain::demand::quantile_of_sorted;
use crate::forecast::models::correction::mean_known;
use crate::forecast::models::series::DailyForecast;

/// Days that two nodes must share to be held against each other.
const SHARED_DAYS_MIN: usize = 28;
/// A node further from the others than so many standard deviations counts less.
const CLIP: f64 = 1.5;
/// Standard deviation of levels is taken to be at least so much, as a part.
const LEVEL_SPREAD_MIN: f64 = 0.15;

/// A node with a forecast of its own.
pub(super) struct Donor<'a> {
    /// Position among the members.
    pub(super) member: usize,
    /// Use by day, m³ per m³/h of design flow (m³ where that is not known); NaN where unknown.
    pub(super) rates: Vec<f64>,
    /// The same of the days ahead, by its own forecast.
    pub(super) ahead: Vec<f64>,
    pub(super) forecast: &'a DailyForecast,
    /// Logarithm of its level beside the first donor's.
    pub(super) level: f64,
    /// What it counts, 0 to 1.
    pub(super) weight: f64,
}

impl<'a> Donor<'a> {
    pub(super) const fn new(
        member: usize,
        rates: Vec<f64>,
        ahead: Vec<f64>,
        forecast: &'a DailyForecast,
    ) -> Self {
        Self {
            member,
            rates,
            ahead,
            forecast,
            level: 0.0,
            weight: 1.0,
        }
    }

    fn days(&self) -> usize {
        self.rates.iter().filter(|v| v.is_finite()).count()
    }
}

/// Days before an origin and after it whose levels are held against each other.
const MOVES: [(usize, usize); 2] = [(7, 7), (14, 31)];
/// Days between such origins, no whole weeks.
const MOVE_STEP_DAYS: usize = 13;
/// Following the class quite is taken for granted as by moves of so much, in squares of logarithms.
const FOLLOWS_WORTH: f64 = 0.02;
/// Logarithms of moves are cut off here.
const MOVE_MAX: f64 = 1.0;
/// Days whose mean stands for a year's.
const YEAR_DAYS: usize = 364;

/// Donors of a class on a common level.
pub(super) struct Pool<'a> {
    /// The one with most days first.
    pub(super) donors: Vec<Donor<'a>>,
    /// How far a node follows when the others of its class move: 1 quite, 0 not at all.
    pub(super) follows: f64,
}

/// Sums of the known of a row of days, for means of any span.
struct Sums(Vec<(f64, usize)>);

impl Sums {
    fn new(values: &[f64]) -> Self {
        let mut sums = vec![(0.0, 0)];
        let (mut sum, mut count) = (0.0, 0);
        for value in values {
            if value.is_finite() {
                sum += value;
                count += 1;
            }
            sums.push((sum, count));
        }
        Self(sums)
    }

    /// Logarithm of the mean of the days `from..to`, of which half must be known.
    fn log_mean(&self, from: usize, to: usize) -> Option<f64> {
        let (a, b) = (self.0.get(from)?, self.0.get(to)?);
        let count = b.1 - a.1;
        let mean = ((b.0 - a.0) / count as f64).ln();
        (2 * count > to - from && mean.is_finite()).then_some(mean)
    }
}

/// Logarithm of Σ numerator / Σ denominator over days on which both are known.
pub(super) fn log_ratio(numerator: &[f64], denominator: &[f64], days_min: usize) -> Option<f64> {
    let (mut above, mut below, mut days) = (0.0, 0.0, 0);
    for (a, b) in numerator.iter().zip(denominator) {
        if a.is_finite() && b.is_finite() {
            above += a;
            below += b;
            days += 1;
        }
    }
    let ratio: f64 = (above / below).ln();
    (days >= days_min && ratio.is_finite()).then_some(ratio)
}

/// Mean of the last year's known days; NaN if none is.
fn year_mean(rates: &[f64]) -> f64 {
    let year = &rates[rates.len().saturating_sub(YEAR_DAYS)..];
    mean_known(year.iter().copied()).unwrap_or(f64::NAN)
}

/// The mean of the two in the middle where their number is even; sorts them.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile_of_sorted(values, 0.5)
}

impl<'a> Pool<'a> {
    /// Brings donors to a common level; none where there is none.
    pub(super) fn new(mut donors: Vec<Donor<'a>>) -> Option<Self> {
        donors.retain(|donor| donor.days() >= SHARED_DAYS_MIN);
        // Of equally many days the first: order is by node.
        let longest = (0..donors.len()).rev().max_by_key(|i| donors[*i].days())?;
        donors[..=longest].rotate_right(1);
        let (reference, others) = donors.split_first_mut()?;
        for donor in others {
            let level = log_ratio(&donor.rates, &reference.rates, SHARED_DAYS_MIN);
            donor.level = level.unwrap_or(f64::NAN);
        }
        donors.retain(|donor| donor.level.is_finite());
        let mut levels: Vec<f64> = donors.iter().map(|d| d.level).collect();
        let middle = median(&mut levels);
        let mut apart: Vec<f64> = levels.iter().map(|l| (l - middle).abs()).collect();
        let spread = (1.4826 * median(&mut apart)).max(LEVEL_SPREAD_MIN);
        for donor in &mut donors {
            let apart = (donor.level - middle).abs() / spread;
            donor.weight = if apart > CLIP { CLIP / apart } else { 1.0 };
        }
        let mut pool = Self {
            donors,
            follows: 1.0,
        };
        pool.follows = pool.measured_follows();
        Some(pool)
    }

    /// Least squares of donors' moves on those of the others, in logarithms, held to 1.
    fn measured_follows(&self) -> f64 {
        let (mut products, mut squares) = (FOLLOWS_WORTH, FOLLOWS_WORTH);
        if self.donors.len() < 2 {
            return 1.0;
        }
        for (i, donor) in self.donors.iter().enumerate() {
            let others = Sums::new(&self.rates(Some(i)));
            let own = Sums::new(&donor.rates);
            for (before, after) in MOVES {
                let mut origin = before;
                while origin + after <= donor.rates.len() {
                    let moved = |of: &Sums| {
                        let to = of.log_mean(origin, origin + after)?;
                        Some(
                            (to - of.log_mean(origin - before, origin)?).clamp(-MOVE_MAX, MOVE_MAX),
                        )
                    };
                    if let (Some(x), Some(y)) = (moved(&others), moved(&own)) {
                        products += x * y;
                        squares += x * x;
                    }
                    origin += MOVE_STEP_DAYS;
                }
            }
        }
        (products / squares).clamp(0.0, 1.0)
    }

    /// What a node is expected to do when its class does this: moves around the year's mean, taken as
    /// far as nodes follow.
    fn followed<'r>(&self, rates: impl Iterator<Item = &'r mut f64>, year: f64) {
        if self.follows < 1.0 && year > 0.0 {
            for rate in rates {
                *rate = year * (rate.max(0.0) / year).powf(self.follows);
            }
        }
    }

    fn others(&self, without: Option<usize>) -> impl Iterator<Item = &Donor<'a>> {
        let kept = move |(i, _): &(usize, &Donor<'a>)| Some(*i) != without;
        let donors = self.donors.iter().enumerate();
        donors.filter(kept).map(|(_, donor)| donor)
    }

    /// Level of the class, in logarithms beside the first donor.
    pub(super) fn level(&self, without: Option<usize>) -> f64 {
        let of = |(sum, weights): (f64, f64), d: &Donor<'_>| {
            (sum + d.weight * d.level, weights + d.weight)
        };
        let (sum, weights) = self.others(without).fold((0.0, 0.0), of);
        sum / weights
    }

    fn pooled(
        &self,
        without: Option<usize>,
        of: impl for<'d> Fn(&'d Donor<'a>) -> &'d [f64],
        count: usize,
    ) -> Vec<f64> {
        let level = self.level(without);
        let (mut sums, mut weights) = (vec![0.0; count], vec![0.0; count]);
        for donor in self.others(without) {
            let to_level = donor.weight * (level - donor.level).exp();
            let slots = sums.iter_mut().zip(&mut weights);
            for ((sum, weight), rate) in slots.zip(of(donor)) {
                if rate.is_finite() {
                    *sum += to_level * rate;
                    *weight += donor.weight;
                }
            }
        }
        let means = sums.into_iter().zip(weights);
        means.map(|(sum, weight)| sum / weight).collect()
    }

    /// Use of the class by day; NaN where no donor knows.
    pub(super) fn rates(&self, without: Option<usize>) -> Vec<f64> {
        let count = self.donors.first().map_or(0, |d| d.rates.len());
        let mut rates = self.pooled(without, |donor| &donor.rates, count);
        let year = year_mean(&rates);
        self.followed(rates.iter_mut(), year);
        rates
    }

    /// Expected use of the class on the days ahead. Days of `quite` are followed quite: what nodes follow
    /// is measured on weeks of all kinds, and the festival is everybody's.
    pub(super) fn ahead(&self, quite: impl Fn(usize) -> bool) -> Vec<f64> {
        let count = self.donors.first().map_or(0, |d| d.ahead.len());
        let mut ahead = self.pooled(None, |donor| &donor.ahead, count);
        let days = self.donors.first().map_or(0, |d| d.rates.len());
        let rates = self.pooled(None, |donor| &donor.rates, days);
        let days = ahead.iter_mut().enumerate();
        let days = days.filter(|(lead, _)| !quite(*lead)).map(|(_, rate)| rate);
        self.followed(days, year_mean(&rates));
        ahead
    }
}
