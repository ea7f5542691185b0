//! Effects of rare days, pooled over alike customers.
//!
//! A customer meets one Spring Festival a year, one working Saturday in two months. What its own
//! history says of such days is noisy, and nothing if it is new; customers of its class have met them
//! too. Each customer's effects are held to the mean of the others', brought to its own depth, by how
//! little customers of the class differ and how little its own days say (empirical Bayes).

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::forecast::features::calendar::{FESTIVAL, RARE};
use crate::forecast::models::base::upper_median;

/// Number of effects: the festival by offset, holidays, make-up workdays, days beside days off.
pub const RARE_FEATURES: usize = RARE.end - RARE.start;

/// One figure for each column of rare days.
pub type PerColumn = [f64; RARE_FEATURES];

/// What a customer's own history says of rare days, as parts of its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OwnEffects {
    /// Effect, part of the level.
    pub effects: PerColumn,
    /// Days that tell of it.
    pub days: PerColumn,
    /// What such a day counts in the regression.
    pub weights: PerColumn,
    /// Variance of what a rare day shows, in parts of the level.
    pub noise: f64,
}

/// What is known of a customer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Its own effects; none where its history is too short for a regression or met no festival.
    pub own: Option<OwnEffects>,
    /// Normal use around the festival, m³ a day; likewise.
    pub level: Option<f64>,
    /// Its last days, m³.
    pub days: Vec<(GasDay, f64)>,
}

/// What to expect of a customer before its own rare days are looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassPrior {
    /// Effects, m³ a day.
    pub effects: PerColumn,
    /// How strongly the regression is held to them: as if so many days of full weight had shown them.
    pub pull: PerColumn,
}

/// Standard deviation between customers, part of the level, before any is known, and as many customers
/// as this is worth.
const SPREAD_FIRST: f64 = 0.15;
const SPREAD_WORTH: f64 = 2.0;
const SPREAD_MIN: f64 = 0.02;
/// The same around what a customer's depth explains.
const REST_FIRST: f64 = 0.07;
/// Standard deviation of depths, the class's being one.
const DEPTH_SPREAD: f64 = 0.4;
/// Customers further from the mean than so many standard deviations count less.
const CLIP: f64 = 1.5;
/// Days from which a customer's effect has a say.
const DAYS_MIN: f64 = 0.8;
/// Rounds in which spread and mean are found.
const ROUNDS: usize = 8;
/// Days that tell the level of a customer that met no festival.
const LEVEL_DAYS_MIN: usize = 8;
/// What a rare day counts where none was met.
const WEIGHT_UNMET: f64 = 0.4;
/// Columns of the festival, by which depths are told.
const FESTIVAL_FEATURES: usize = FESTIVAL.end - FESTIVAL.start;

/// A column of a class: Σ weight · effect, Σ weight, the mean, the variance between customers, and what
/// of it is left around each one's depth.
#[derive(Debug, Clone, Copy, Default)]
struct Column {
    sum: f64,
    weights: f64,
    mean: f64,
    spread: f64,
    rest: f64,
}

impl Column {
    /// A member's effect and what it counts, if its days say anything.
    fn said(&self, own: &OwnEffects, j: usize) -> Option<(f64, f64)> {
        if own.days[j] < DAYS_MIN {
            return None;
        }
        let variance = own.noise / own.days[j] + self.spread;
        let apart = (own.effects[j] - self.mean).abs();
        let limit = CLIP * variance.sqrt();
        let counted = if apart > limit { limit / apart } else { 1.0 };
        Some((own.effects[j], counted / variance))
    }

    /// Mean of the others and its variance; none without others.
    fn without(&self, own: Option<&OwnEffects>, j: usize) -> Option<(f64, f64)> {
        let (mut sum, mut weights) = (self.sum, self.weights);
        if let Some((effect, weight)) = own.and_then(|own| self.said(own, j)) {
            sum -= weight * effect;
            weights -= weight;
        }
        // What is left of a sum from which all was taken is rounding.
        (weights > 1e-9 * self.weights).then(|| (sum / weights, 1.0 / weights))
    }
}

/// How deep a customer's festival is, beside that of others of whom the mean is given.
fn depth(own: &OwnEffects, means: &[Option<(f64, f64)>], columns: &[Column]) -> f64 {
    let (mut product, mut square) = (1.0, 1.0);
    for j in 0..FESTIVAL_FEATURES {
        let Some((mean, _)) = means[j].filter(|_| own.days[j] >= DAYS_MIN) else {
            continue;
        };
        let certain = DEPTH_SPREAD * DEPTH_SPREAD / (own.noise / own.days[j] + columns[j].rest);
        product += certain * own.effects[j] * mean;
        square += certain * mean * mean;
    }
    product / square
}

/// What those of each one's class say of it, in the order given.
pub fn priors(all: Vec<(CustomerClass, Evidence)>) -> Vec<Option<ClassPrior>> {
    let mut priors = vec![None; all.len()];
    let mut classes: BTreeMap<CustomerClass, (Vec<usize>, Vec<Evidence>)> = BTreeMap::new();
    for (index, (class, evidence)) in all.into_iter().enumerate() {
        let of_class = classes.entry(class).or_default();
        of_class.0.push(index);
        of_class.1.push(evidence);
    }
    for (members, evidence) in classes.into_values() {
        let pool = ClassPool::new(evidence);
        for (place, index) in members.into_iter().enumerate() {
            priors[index] = pool.prior(place);
        }
    }
    priors
}

/// The customers of a class.
#[derive(Debug)]
pub struct ClassPool {
    members: Vec<Evidence>,
    columns: Vec<Column>,
    /// Use of a day in parts of the level, mean of those who know theirs.
    course: BTreeMap<GasDay, f64>,
    noise: f64,
}

impl ClassPool {
    /// From all members of a class.
    ///
    /// # Source
    /// METHODS.md, "Rare days of alike customers"; worked example: `the_mean_of_two_others`.
    pub fn new(members: Vec<Evidence>) -> Self {
        let owns: Vec<OwnEffects> = members.iter().filter_map(|m| m.own).collect();
        let mut columns: Vec<Column> = (0..RARE_FEATURES).map(|j| column(&owns, j)).collect();
        let rests = rests(&owns, &columns);
        for (column, rest) in columns.iter_mut().zip(rests) {
            column.rest = rest;
        }
        let noise = owns.iter().map(|own| own.noise).sum::<f64>() / (owns.len() as f64).max(1.0);
        let is_any_without = members.iter().any(|m| m.level.is_none());
        let course = if is_any_without {
            course(&members)
        } else {
            BTreeMap::new()
        };
        Self {
            members,
            columns,
            course,
            noise,
        }
    }

    /// What the others say of a member; none where there are none, or its level is not known.
    pub fn prior(&self, member: usize) -> Option<ClassPrior> {
        let evidence = self.members.get(member)?;
        let level = evidence.level.or_else(|| self.level_of(evidence))?;
        let noise = evidence.own.map_or(self.noise, |own| own.noise);
        let mut prior = ClassPrior {
            effects: [0.0; RARE_FEATURES],
            pull: [0.0; RARE_FEATURES],
        };
        let own = evidence.own.as_ref();
        let means: Vec<Option<(f64, f64)>> = self
            .columns
            .iter()
            .enumerate()
            .map(|(j, column)| column.without(own, j))
            .collect();
        let depth = own.map_or(1.0, |own| depth(own, &means, &self.columns));
        let mut is_any = false;
        for (j, column) in self.columns.iter().enumerate() {
            let Some((mean, variance)) = means[j] else {
                continue;
            };
            is_any = true;
            let is_festival = j < FESTIVAL_FEATURES;
            let (depth, spread) = if is_festival {
                (depth, column.rest)
            } else {
                (1.0, column.spread)
            };
            prior.effects[j] = level * depth * mean;
            let of_day = own.map_or(WEIGHT_UNMET, |own| own.weights[j]);
            prior.pull[j] = of_day * noise / (spread + depth * depth * variance);
        }
        is_any.then_some(prior)
    }

    /// The level of one that met no festival: its days, as the class has used gas on those days.
    fn level_of(&self, evidence: &Evidence) -> Option<f64> {
        let (mut own, mut class, mut count) = (0.0, 0.0, 0);
        for (day, volume) in &evidence.days {
            if let Some(part) = self.course.get(day) {
                own += volume;
                class += part;
                count += 1;
            }
        }
        (count >= LEVEL_DAYS_MIN && class > 0.0 && own > 0.0).then(|| own / class)
    }
}

fn column(owns: &[OwnEffects], j: usize) -> Column {
    let first = SPREAD_FIRST * SPREAD_FIRST;
    let mut effects: Vec<f64> = owns
        .iter()
        .filter(|own| own.days[j] >= DAYS_MIN)
        .map(|own| own.effects[j])
        .collect();
    let Some(middle) = upper_median(&mut effects) else {
        return Column::default();
    };
    let mut column = Column {
        mean: middle,
        spread: first,
        ..Column::default()
    };
    // The mean lies nearer to its own members than the truth does.
    let count = effects.len() as f64;
    let freed = count / (count - 1.0).max(0.5);
    for _ in 0..ROUNDS {
        let (mut sum, mut weights) = (0.0, 0.0);
        let (mut over, mut worth) = (SPREAD_WORTH * first, SPREAD_WORTH);
        for own in owns {
            let Some((effect, weight)) = column.said(own, j) else {
                continue;
            };
            sum += weight * effect;
            weights += weight;
            let noise = own.noise / own.days[j];
            let apart = (effect - column.mean)
                .powi(2)
                .min(4.0 * (noise + column.spread));
            let reliable = (column.spread / (noise + column.spread)).powi(2);
            over += reliable * (apart * freed - noise);
            worth += reliable;
        }
        column.mean = sum / weights;
        if count > 1.0 {
            column.spread = (over / worth).max(SPREAD_MIN * SPREAD_MIN);
        }
    }
    // Summed with the last mean and spread, so that a member can be taken out again.
    for own in owns {
        if let Some((effect, weight)) = column.said(own, j) {
            column.sum += weight * effect;
            column.weights += weight;
        }
    }
    column
}

/// What variance between customers is left around the depths, by column of the festival.
fn rests(owns: &[OwnEffects], columns: &[Column]) -> [f64; FESTIVAL_FEATURES] {
    let first = REST_FIRST * REST_FIRST;
    let mut over = [SPREAD_WORTH * first; FESTIVAL_FEATURES];
    let mut worth = [SPREAD_WORTH; FESTIVAL_FEATURES];
    let around: Vec<Column> = columns
        .iter()
        .map(|c| Column { rest: first, ..*c })
        .collect();
    for own in owns {
        let means: Vec<Option<(f64, f64)>> = (0..RARE_FEATURES)
            .map(|j| around[j].without(Some(own), j))
            .collect();
        let depth = depth(own, &means, &around);
        for j in 0..FESTIVAL_FEATURES {
            let Some((mean, _)) = means[j].filter(|_| own.days[j] >= DAYS_MIN) else {
                continue;
            };
            let noise = own.noise / own.days[j];
            let apart = (own.effects[j] - depth * mean)
                .powi(2)
                .min(4.0 * (noise + first));
            let reliable = (first / (noise + first)).powi(2);
            over[j] += reliable * (apart - noise);
            worth[j] += reliable;
        }
    }
    std::array::from_fn(|j| (over[j] / worth[j]).max(SPREAD_MIN * SPREAD_MIN))
}

fn course(members: &[Evidence]) -> BTreeMap<GasDay, f64> {
    let mut sums: BTreeMap<GasDay, (f64, f64)> = BTreeMap::new();
    for member in members {
        let Some(level) = member.level else { continue };
        for (day, volume) in &member.days {
            let of_day = sums.entry(*day).or_default();
            of_day.0 += volume / level;
            of_day.1 += 1.0;
        }
    }
    let mean = |(day, (sum, count))| (day, sum / count);
    sums.into_iter().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(effect: f64, days: f64, noise: f64) -> Evidence {
        Evidence {
            own: Some(OwnEffects {
                effects: [effect; RARE_FEATURES],
                days: [days; RARE_FEATURES],
                weights: [0.5; RARE_FEATURES],
                noise,
            }),
            level: Some(1_000.0),
            days: vec![(GasDay::from_epoch_day(1), 1_000.0); 1],
        }
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * (1.0 + b.abs())
    }

    #[test]
    fn the_mean_of_two_others() {
        // The others are off by 60 % and 50 %, from as many days with as much noise: 55 % of 1 000 m³.
        let pool = ClassPool::new(vec![
            own(0.0, 10.0, 0.01),
            own(-0.6, 10.0, 0.01),
            own(-0.5, 10.0, 0.01),
        ]);
        // Column 12 is no column of the festival, so that depth has no part in it.
        let prior = pool.prior(0).unwrap();
        assert!(near(prior.effects[12], -550.0), "{:?}", prior.effects[12]);
        let spread = pool.columns[12].spread;
        assert!(spread.sqrt() > 0.15, "they differ: {spread}");
        // Variance of the mean of two: half of (spread + 0.01 / 10).
        let expected = 0.5 * 0.01 / (spread + 0.5 * (spread + 0.001));
        assert!(
            near(prior.pull[12], expected),
            "{} {expected}",
            prior.pull[12]
        );
        // In the festival it is at a depth of its own: not at all.
        let depth = prior.effects[3] / -550.0;
        assert!(depth < 0.05, "{depth}");
    }

    #[test]
    fn alike_customers_pull_harder_and_noisy_ones_are_pulled_harder() {
        let of = |effects: [f64; 4], noise: f64| {
            let mut members: Vec<Evidence> = effects.iter().map(|e| own(*e, 10.0, 0.01)).collect();
            members.push(own(-0.2, 4.0, noise));
            ClassPool::new(members).prior(4).unwrap().pull[12]
        };
        let alike = of([-0.5, -0.51, -0.49, -0.5], 0.01);
        let unlike = of([-0.9, -0.1, -0.7, -0.3], 0.01);
        assert!(alike > 2.0 * unlike, "{alike} {unlike}");
        let noisy = of([-0.5, -0.51, -0.49, -0.5], 0.1);
        assert!(noisy > 5.0 * alike, "{noisy} {alike}");
    }

    #[test]
    fn nobody_is_held_to_himself() {
        assert_eq!(ClassPool::new(vec![own(-0.5, 10.0, 0.01)]).prior(0), None);
        let pool = ClassPool::new(vec![own(-0.5, 10.0, 0.01), own(-0.1, 10.0, 0.01)]);
        assert!(near(pool.prior(0).unwrap().effects[12], -100.0));
        assert!(near(pool.prior(1).unwrap().effects[12], -500.0));
    }

    #[test]
    fn who_met_none_gets_the_class_s_by_the_level_of_the_same_days() {
        // In these days the class uses 0.4 of its level; the new one 200 m³ a day.
        let days = |volume: f64| -> Vec<(GasDay, f64)> {
            (0..10)
                .map(|i| (GasDay::from_epoch_day(i), volume))
                .collect()
        };
        let mut known = own(-0.5, 10.0, 0.01);
        known.days = days(400.0);
        let new = Evidence {
            days: days(200.0),
            ..Evidence::default()
        };
        let short = Evidence {
            days: days(200.0)[..3].to_vec(),
            ..Evidence::default()
        };
        let pool = ClassPool::new(vec![known, new, short]);
        assert!(near(pool.prior(1).unwrap().effects[0], -250.0));
        assert_eq!(pool.prior(2), None, "three days tell no level");
    }
}
