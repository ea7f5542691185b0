//! Dividing a register difference over hours so that not a unit is lost.

/// Divides `total` by whole-number weights with the largest-remainder rule.
///
/// The parts sum to `total` exactly; equal remainders favour the earlier part. All in integers, so
/// the result is the same on every machine. With no weight at all the parts weigh the same.
///
/// # Source
/// METHODS.md, "Rounding that adds up".
#[expect(
    clippy::cast_possible_truncation,
    reason = "a part is not greater than the total"
)]
pub(super) fn spread(total: i64, weights: &[u64]) -> Vec<i64> {
    let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
    if sum == 0 {
        return if weights.is_empty() {
            Vec::new()
        } else {
            spread(total, &vec![1; weights.len()])
        };
    }
    let sum = i128::try_from(sum).unwrap_or(i128::MAX);
    let mut parts = Vec::with_capacity(weights.len());
    let mut remainders = Vec::with_capacity(weights.len());
    for (index, weight) in weights.iter().enumerate() {
        let exact = i128::from(total) * i128::from(*weight);
        parts.push(exact.div_euclid(sum) as i64);
        remainders.push((exact.rem_euclid(sum), index));
    }
    let left = total - parts.iter().sum::<i64>();
    remainders.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    // Fewer units are left than there are parts with a remainder.
    for (_, index) in remainders
        .iter()
        .take(usize::try_from(left).unwrap_or_default())
    {
        if let Some(part) = parts.get_mut(*index) {
            *part += 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_remainders_favour_the_earlier() {
        assert_eq!(spread(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(spread(5, &[0, 0]), [3, 2]);
        assert_eq!(spread(7, &[0, 3, 0]), [0, 7, 0]);
        assert_eq!(spread(7, &[]), Vec::<i64>::new());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_part_is_off_by_one(
            total in 0_i64..1_000_000_000_000_000,
            weights in prop::collection::vec(0_u64..3_600_000_000_000, 1..80),
        ) {
            let parts = spread(total, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), total);
            let sum: u128 = weights.iter().map(|w| u128::from(*w)).sum();
            if sum > 0 {
                for (part, weight) in parts.iter().zip(&weights) {
                    let scaled = i128::from(*part) * i128::try_from(sum).unwrap();
                    let exact = i128::from(total) * i128::from(*weight);
                    prop_assert!((scaled - exact).unsigned_abs() < sum);
                }
            }
        }
    }
}
