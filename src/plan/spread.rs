//! Whole m³ spread over days within bounds.

/// Spreads `total` over the days in proportion to `weights`, each day within `[least, most]`,
/// whole m³ that add up exactly. None if the bounds do not allow `total`.
///
/// Water-filling: one factor is found such that the clamped shares add up; the last m³ go by
/// largest remainder to days that have room, the earlier day first.
///
/// # Source
/// METHODS.md, "Daily split".
#[expect(
    clippy::cast_possible_truncation,
    reason = "volumes of a month are far below 2^53 m³"
)]
pub fn spread(weights: &[f64], total: i64, least: &[i64], most: &[i64]) -> Option<Vec<i64>> {
    if weights.len() != least.len() || weights.len() != most.len() {
        return None;
    }
    let floor: i64 = least.iter().sum();
    let ceiling = most.iter().fold(0_i64, |sum, m| sum.saturating_add(*m));
    if total < floor || total > ceiling || least.iter().zip(most).any(|(l, m)| l > m) {
        return None;
    }
    let base: f64 = weights.iter().map(|w| w.max(0.0)).sum();
    let weight = |at: usize| {
        // Days without any forecast share alike.
        if base > 0.0 {
            weights.get(at).map_or(0.0, |w| w.max(0.0) / base)
        } else {
            1.0 / weights.len() as f64
        }
    };
    let share = |factor: f64, at: usize| -> f64 {
        let (low, high) = (
            least.get(at).copied().unwrap_or(0) as f64,
            most.get(at).copied().unwrap_or(0) as f64,
        );
        (factor * weight(at)).clamp(low, high)
    };
    let sum = |factor: f64| -> f64 { (0..weights.len()).map(|at| share(factor, at)).sum() };
    let (mut low, mut high) = (0.0, total.max(1) as f64);
    while sum(high) < total as f64 && high < 1e18 {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if sum(middle) < total as f64 {
            low = middle;
        } else {
            high = middle;
        }
    }
    let exact: Vec<f64> = (0..weights.len()).map(|at| share(high, at)).collect();
    let mut out: Vec<i64> = exact.iter().map(|v| v.floor() as i64).collect();
    let mut order: Vec<(f64, usize)> = exact
        .iter()
        .enumerate()
        .map(|(at, v)| (v - v.floor(), at))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut left = total - out.iter().sum::<i64>();
    while left != 0 {
        let before = left;
        for (_, at) in &order {
            let (Some(cell), Some(low), Some(high)) =
                (out.get_mut(*at), least.get(*at), most.get(*at))
            else {
                continue;
            };
            // Weightless days take a whole remainder at once; otherwise one m³ each round.
            if left > 0 && *cell < *high {
                *cell += 1;
                left -= 1;
            } else if left < 0 && *cell > *low {
                *cell -= 1;
                left += 1;
            }
            if left == 0 {
                break;
            }
        }
        if left == before {
            return None;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_at_a_bound_leave_the_rest_to_the_others() {
        let days = spread(&[1.0, 1.0, 8.0], 100, &[5; 3], &[40; 3]).unwrap();
        assert_eq!(days, vec![30, 30, 40]);
        assert_eq!(spread(&[1.0; 3], 14, &[5; 3], &[40; 3]), None);
        assert_eq!(spread(&[1.0; 3], 121, &[5; 3], &[40; 3]), None);
        assert_eq!(
            spread(&[0.0; 3], 4, &[0; 3], &[40; 3]).unwrap(),
            vec![2, 1, 1]
        );
    }

    proptest! {
        #[test]
        fn the_days_add_up_within_their_bounds(
            days in prop::collection::vec((0.0..1000.0_f64, 0_i64..500, 0_i64..5000), 1..40),
            percent in 0_i64..=100,
        ) {
            let weights: Vec<f64> = days.iter().map(|d| d.0).collect();
            let least: Vec<i64> = days.iter().map(|d| d.1).collect();
            let most: Vec<i64> = days.iter().map(|d| d.1 + d.2).collect();
            let (floor, ceiling): (i64, i64) = (least.iter().sum(), most.iter().sum());
            let total = floor + (ceiling - floor) * percent / 100;
            let out = spread(&weights, total, &least, &most).unwrap();
            prop_assert_eq!(out.iter().sum::<i64>(), total);
            for ((v, l), m) in out.iter().zip(&least).zip(&most) {
                prop_assert!(l <= v && v <= m);
            }
        }
    }
}
