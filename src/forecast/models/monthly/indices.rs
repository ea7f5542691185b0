//! Seasonal indices of weather-normal months: how a month lies to the mean of the year around it,
//! learnt over many years, and the level of the latest months that goes with them.

use super::SEASON;

/// How each month of a year lies to the year's mean, by index modulo twelve; the mean is 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Indices([f64; SEASON]);

/// Known months a year needs for its mean to be believed.
const KNOWN_MIN: usize = 9;

impl Indices {
    /// From the months known, the latest last; each year counts `fade` of the one after it, and at
    /// most so many `years` are read. None without a year that used anything, or where some month
    /// of the year was never met.
    fn new(normal: &[f64], fade: f64, years: usize) -> Option<Self> {
        let count = normal.len();
        let (mut sums, mut weights) = ([0.0; SEASON], [0.0; SEASON]);
        for i in count.saturating_sub(SEASON * years)..count {
            let Some(mean) = mean_around(normal, i).filter(|m| *m > 0.0 && normal[i].is_finite())
            else {
                continue;
            };
            let age = i32::try_from((count - 1 - i) / SEASON).unwrap_or(i32::MAX);
            let weight = fade.powi(age);
            sums[i % SEASON] += weight * normal[i] / mean;
            weights[i % SEASON] += weight;
        }
        if weights.contains(&0.0) {
            return None;
        }
        let raw: [f64; SEASON] = std::array::from_fn(|month| sums[month] / weights[month]);
        let mean = raw.iter().sum::<f64>() / SEASON as f64;
        (mean > 0.0).then(|| Self(raw.map(|index| index / mean)))
    }

    /// The index of a month.
    fn of(&self, index: usize) -> f64 {
        self.0[index % SEASON]
    }

    /// Level of the year's mean that the latest months speak for, each counting `fade` of the one
    /// after it, together with `months` months of an average season at the level `before`: months in
    /// which little is used say little of the year.
    fn level(&self, normal: &[f64], fade: f64, months: f64, before: f64) -> f64 {
        let (mut used, mut of_year, mut weight) = (months * before, months, 1.0);
        for (i, value) in normal.iter().enumerate().rev().take(4 * SEASON) {
            if value.is_finite() {
                used += weight * value;
                of_year += weight * self.of(i);
            }
            weight *= fade;
        }
        if of_year > 0.0 {
            used / of_year
        } else {
            before
        }
    }
}

/// Months of an average season at the level of a year that levels of few months are held to.
const HELD: f64 = 0.2;
/// What is left of the latest level's distance from that of a year, from each month to the next.
const FADING: f64 = 0.85;

/// Seasonal indices of the last ten and fifteen years with their levels.
pub(super) struct Smoothed {
    ten: Indices,
    fifteen: Indices,
    /// Level of the latest few months, by the indices of ten years.
    quick: f64,
    /// By those of fifteen: of the latest few months, of half a year, and of a year.
    levels: [f64; 3],
}

impl Smoothed {
    /// From the months known, the latest last; `before` is a level to fall back to.
    pub(super) fn new(normal: &[f64], before: f64) -> Option<Self> {
        let ten = Indices::new(normal, 0.85, 10)?;
        let fifteen = Indices::new(normal, 0.95, 15)?;
        let year = fifteen.level(normal, 0.9, 0.0, before);
        let [quick, half_year] = [0.5, 0.7].map(|fade| fifteen.level(normal, fade, HELD, year));
        Some(Self {
            quick: ten.level(normal, 0.5, HELD, year),
            levels: [quick, half_year, year],
            ten,
            fifteen,
        })
    }

    /// A month of the year ahead, three ways.
    pub(super) fn said(&self, index: usize, lead: usize) -> [f64; 3] {
        let [quick, half_year, year] = self.levels;
        let exponent = i32::try_from(lead.saturating_sub(1)).unwrap_or(i32::MAX);
        let fading = year + (quick - year) * FADING.powi(exponent);
        let index_of_fifteen = self.fifteen.of(index);
        [
            self.quick * self.ten.of(index),
            half_year * index_of_fifteen,
            fading * index_of_fifteen,
        ]
    }
}

/// Mean of the thirteen months around one, the outer two at half weight; at the ends of what is
/// known the thirteen next to it.
fn mean_around(normal: &[f64], i: usize) -> Option<f64> {
    let wide = normal.len().min(SEASON + 1);
    let from = i.saturating_sub(SEASON / 2).min(normal.len() - wide);
    let (mut sum, mut weights, mut known) = (0.0, 0.0, 0);
    for (k, value) in normal[from..from + wide].iter().enumerate() {
        if value.is_finite() {
            let is_end = wide > SEASON && (k == 0 || k + 1 == wide);
            let weight = if is_end { 0.5 } else { 1.0 };
            sum += weight * value;
            weights += weight;
            known += 1;
        }
    }
    (known >= KNOWN_MIN).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn months(years: usize) -> Vec<f64> {
        (0..years * SEASON)
            .map(|i| if i % SEASON < 6 { 150.0 } else { 50.0 })
            .collect()
    }

    #[test]
    fn indices_of_a_year_that_repeats_are_its_shape() {
        let indices = Indices::new(&months(4), 0.85, 10).unwrap();
        assert!((indices.of(0) - 1.5).abs() < 1e-9 && (indices.of(11) - 0.5).abs() < 1e-9);
        let level = indices.level(&months(4), 0.5, 0.5, 100.0);
        assert!((level - 100.0).abs() < 1e-9, "{level}");
    }

    #[test]
    fn months_of_little_use_hardly_move_the_level() {
        let mut known = months(4);
        let indices = Indices::new(&known, 0.95, 15).unwrap();
        let count = known.len();
        known[count - 3..].fill(60.0);
        let alone = indices.level(&known, 0.5, 0.0, 100.0);
        let held = indices.level(&known, 0.5, 1.0, 100.0);
        assert!(held - 100.0 < 0.6 * (alone - 100.0), "{held} {alone}");
        assert!(held > 100.0);
    }

    #[test]
    fn nothing_used_or_a_month_never_met_gives_no_indices() {
        assert_eq!(Indices::new(&[0.0; 24], 0.9, 10), None);
        let mut known = months(3);
        for year in 0..3 {
            known[year * SEASON + 4] = f64::NAN;
        }
        assert_eq!(Indices::new(&known, 0.9, 10), None);
        assert_eq!(Indices::new(&[], 0.9, 10), None);
    }
}
