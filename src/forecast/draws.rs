//! Joint draws: one past origin per draw, the same for every node, so that errors keep the
//! correlation they had between nodes and days.

use std::collections::BTreeSet;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::domain::calendar::GasDay;
use crate::forecast::features::calendar::season_distance;
use crate::forecast::models::paths::ResidualPath;

/// How likely a past origin is drawn: seasons alike, recent years somewhat more.
pub fn likelihood(origin: GasDay, past: GasDay) -> f64 {
    let apart = season_distance(origin.0, past.0) / 45.0;
    let age = origin.days_since(past).max(0) as f64;
    (0.05 + (-0.5 * apart * apart).exp()) * 0.5_f64.powf(age / 730.0)
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
    let candidates: BTreeSet<GasDay> = paths
        .into_iter()
        .flat_map(|of_node| of_node.iter().map(|p| p.origin))
        .collect();
    let weighted: Vec<(GasDay, f64)> = candidates
        .into_iter()
        .map(|day| (day, likelihood(origin, day)))
        .collect();
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
