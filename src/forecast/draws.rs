//! Joint draws: one past origin per draw, the same for every node, so that errors keep the
//! correlation they had between nodes and days.

use std::sync::LazyLock;

use chrono::Datelike;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::domain::calendar::GasDay;
use crate::forecast::features::calendar::season_distance;
use crate::forecast::models::paths::ResidualPath;

/// A day with its place in the year, for many comparisons.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    epoch_day: i64,
    of_year: u32,
}

/// By how far two dates lie apart in the year, days.
static OF_SEASON: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let likeness = |days: u32| {
        let days = f64::from(days);
        let apart = days.min(365.25 - days).abs() / 45.0;
        0.05 + (-0.5 * apart * apart).exp()
    };
    (0..366).map(likeness).collect()
});
/// By age, days, of as many years as a history is read.
static OF_AGE: LazyLock<Vec<f64>> = LazyLock::new(|| (0..2_400).map(of_age).collect());

fn of_age(days: i64) -> f64 {
    0.5_f64.powf(days as f64 / 730.0)
}

impl Placed {
    /// Places a day.
    pub fn new(day: GasDay) -> Self {
        Self {
            epoch_day: i64::from(day.epoch_day()),
            of_year: day.0.ordinal0(),
        }
    }

    /// Days from another one to this one.
    pub fn days_since(&self, other: &Self) -> i64 {
        self.epoch_day - other.epoch_day
    }

    /// How likely each of many past origins is drawn at this one: seasons alike, recent years
    /// somewhat more.
    pub fn likelihoods(&self, past: &[Self]) -> Vec<f64> {
        let (of_season, of_age_known) = (&*OF_SEASON, &*OF_AGE);
        past.iter()
            .map(|past| {
                let season = of_season[self.of_year.abs_diff(past.of_year) as usize];
                let age = self.days_since(past).max(0);
                let known = usize::try_from(age)
                    .ok()
                    .and_then(|age| of_age_known.get(age));
                season * known.copied().unwrap_or_else(|| of_age(age))
            })
            .collect()
    }
}

/// Chooses a past origin for each draw, for all nodes together.
///
/// Systematic sampling (one uniform start, equal steps through the cumulated likelihoods), then a
/// seeded shuffle; the same arguments give the same draws. Empty if no node has a path.
pub fn choose_origins<'a>(
    paths: impl IntoIterator<Item = &'a [ResidualPath]>,
    origin: GasDay,
    count: usize,
    seed: u64,
) -> Vec<GasDay> {
    let mut candidates: Vec<GasDay> = paths
        .into_iter()
        .flat_map(|of_node| of_node.iter().map(|p| p.origin))
        .collect();
    candidates.sort();
    candidates.dedup();
    let placed: Vec<Placed> = candidates.iter().copied().map(Placed::new).collect();
    let likelihoods = Placed::new(origin).likelihoods(&placed);
    let weighted: Vec<(GasDay, f64)> = candidates.into_iter().zip(likelihoods).collect();
    let total: f64 = weighted.iter().map(|(_, w)| w).sum();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let start: f64 = rng.random();
    let mut chosen = Vec::with_capacity(count);
    let mut cumulated = 0.0;
    for (day, weight) in &weighted {
        cumulated += weight;
        while chosen.len() < count
            && (chosen.len() as f64 + start) / count as f64 * total <= cumulated
        {
            chosen.push(*day);
        }
    }
    if let Some((last, _)) = weighted.last() {
        chosen.resize(count, *last); // rounding at the very end
    }
    chosen.shuffle(&mut rng);
    chosen
}

/// Those of the nodes' paths from which origins are drawn for all of them, earliest first each.
///
/// What a node lately missed is dense in the days it has been known: were the origins of a young one
/// among those drawn, most draws would be of its few weeks, and older nodes would repeat the few paths
/// they have of that season. So nodes that reach back less than half as far as the farthest are left
/// out.
pub fn far_reaching<'a>(paths: &[&'a [ResidualPath]], origin: GasDay) -> Vec<&'a [ResidualPath]> {
    let reach = |of_node: &&[ResidualPath]| {
        let first = of_node.first();
        first.map_or(0, |path| origin.days_since(path.origin))
    };
    let farthest = paths.iter().map(reach).max().unwrap_or(0);
    let is_far = |of_node: &&&[ResidualPath]| 2 * reach(of_node) >= farthest;
    paths.iter().filter(is_far).copied().collect()
}

/// The path of a node for a drawn origin: its own of that day, else the nearest of its season.
pub fn path_for(paths: &[ResidualPath], origin: GasDay) -> Option<&ResidualPath> {
    if let Ok(index) = paths.binary_search_by_key(&origin, |p| p.origin) {
        return paths.get(index);
    }
    paths.iter().min_by(|a, b| {
        let apart = |p: &ResidualPath| season_distance(p.origin.0, origin.0);
        apart(a).total_cmp(&apart(b)).then(b.origin.cmp(&a.origin))
    })
}

/// Volumes of one draw: expectation plus path, never below zero.
pub fn daily_draw(p50: &[f64], path: Option<&ResidualPath>) -> Vec<f64> {
    p50.iter()
        .enumerate()
        .map(|(lead, expected)| {
            let residual = path
                .and_then(|p| p.residuals.get(lead))
                .copied()
                .unwrap_or(0.0);
            (expected + residual).max(0.0)
        })
        .collect()
}

/// Cuts a day into hours: expected shares, moved by the share error of the drawn past day. The
/// hours are not below zero and sum to `daily`.
pub fn hours_of(daily: f64, shares: &[f64; 24], error: Option<&[f64; 24]>) -> [f64; 24] {
    let moved: [f64; 24] =
        std::array::from_fn(|h| (shares[h] + error.map_or(0.0, |e| e[h])).max(0.0));
    let total: f64 = moved.iter().sum();
    if total > 0.0 {
        moved.map(|share| daily * share / total)
    } else {
        shares.map(|share| daily * share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(first: &str, count: i64) -> Vec<ResidualPath> {
        let first = GasDay(first.parse().unwrap());
        (0..count)
            .map(|i| ResidualPath {
                origin: first.plus(i),
                residuals: vec![i as f64; 3],
            })
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_draws_and_another_does_not() {
        let of_node = paths("2025-01-01", 200);
        let origin = GasDay("2025-09-01".parse().unwrap());
        let draw = |seed| choose_origins([of_node.as_slice()], origin, 100, seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1).len(), 100);
    }

    #[test]
    fn draws_come_from_the_season_of_the_origin() {
        let of_node = paths("2024-01-01", 640);
        let origin = GasDay("2026-01-10".parse().unwrap());
        let chosen = choose_origins([of_node.as_slice()], origin, 200, 7);
        let winter = chosen
            .iter()
            .filter(|d| season_distance(d.0, origin.0) < 60.0)
            .count();
        assert!(winter > 120, "{winter} of 200");
    }

    #[test]
    fn a_young_node_does_not_choose_for_all() {
        // Three years, every sixth day; and five weeks, every day.
        let old: Vec<ResidualPath> = paths("2023-11-01", 1_080).into_iter().step_by(6).collect();
        let young = paths("2026-09-10", 36);
        let origin = GasDay("2026-10-15".parse().unwrap());
        let all = [old.as_slice(), young.as_slice()];
        let lately = |chosen: &[GasDay]| {
            let of_young = chosen.iter().filter(|day| **day >= young[0].origin);
            of_young.count()
        };
        let crowded = choose_origins(all, origin, 200, 3);
        assert!(lately(&crowded) >= 90, "{}", lately(&crowded));
        let chosen = choose_origins(far_reaching(&all, origin), origin, 200, 3);
        assert!(lately(&chosen) < 40, "{}", lately(&chosen));
        assert_eq!(chosen, choose_origins([old.as_slice()], origin, 200, 3));
        // Alone, or among equals, everyone chooses.
        let equals = [young.as_slice(), &young[5..]];
        assert_eq!(far_reaching(&equals, origin).len(), 2);
        assert!(far_reaching(&[], origin).is_empty());
    }

    #[test]
    fn hours_sum_to_their_day() {
        let shares = [1.0 / 24.0; 24];
        let mut error = [0.0; 24];
        error[3] = -0.2;
        error[4] = 0.1;
        let hours = hours_of(240.0, &shares, Some(&error));
        assert!((hours.iter().sum::<f64>() - 240.0).abs() < 1e-9);
        assert!(hours[3] == 0.0 && hours[4] > 30.0);
    }

    #[test]
    fn a_node_without_the_origin_lends_from_its_season() {
        let of_node = paths("2025-03-01", 30);
        let day = GasDay("2026-03-10".parse().unwrap());
        let path = path_for(&of_node, day).unwrap();
        assert_eq!(path.origin.to_string(), "2025-03-10");
        assert_eq!(path_for(&[], day), None);
        assert_eq!(daily_draw(&[1.0, 20.0], Some(path)), [10.0, 29.0]);
    }
}
