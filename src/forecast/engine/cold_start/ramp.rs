//! How a customer's use grows after gas was let in.

use crate::domain::calendar::GasDay;
use crate::domain::capacity::NodeCapacity;
use crate::domain::connection::RAMP;

/// Days of a step of [`RAMP`].
const STEP_DAYS: u16 = 30;
/// Days from which on use is full: the middle of the last step.
const FULL_DAYS: i64 = 135;
/// Nodes that what is taken for granted is worth.
const DEFAULT_WORTH: f64 = 2.0;

/// Parts of the full use in the middle of each month after gas was let in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ramp([f64; RAMP.len()]);

impl Default for Ramp {
    fn default() -> Self {
        Self(RAMP)
    }
}

impl Ramp {
    /// The default, moved by what was seen of nodes that grew before one's eyes; each gives parts of
    /// its full use by month, NaN where unknown.
    pub(super) fn learnt(seen: &[[f64; RAMP.len()]]) -> Self {
        let mut ramp = RAMP;
        for (month, part) in ramp.iter_mut().enumerate().take(RAMP.len() - 1) {
            let known = seen.iter().map(|of| of[month]).filter(|v| v.is_finite());
            let (sum, count) = known.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
            *part = (DEFAULT_WORTH * *part + sum) / (DEFAULT_WORTH + count);
        }
        Self(ramp)
    }

    /// Month of an age in days, the last for all that are older.
    pub(super) fn month_of(age: usize) -> usize {
        (age / usize::from(STEP_DAYS)).min(RAMP.len() - 1)
    }

    /// Part of the full use so many days after gas was let in: linear between the middles of months.
    fn at(&self, age: i64) -> f64 {
        let Ok(age) = u16::try_from(age.min(FULL_DAYS)) else {
            return 0.0;
        };
        // Days since the middle of the first step.
        let since = age.saturating_sub(STEP_DAYS / 2);
        let low = usize::from(since / STEP_DAYS).min(RAMP.len() - 1);
        let high = (low + 1).min(RAMP.len() - 1);
        let part = f64::from(since % STEP_DAYS) / f64::from(STEP_DAYS);
        self.0[low] + part * (self.0[high] - self.0[low])
    }

    /// Design flow in use on `count` days from `first` on, m³/h: Σ design flow × ramp^`follows`, where
    /// `follows` says how far customers follow the ramp, 0 not at all and 1 quite.
    pub(super) fn in_use(
        &self,
        capacity: &NodeCapacity,
        first: GasDay,
        count: usize,
        follows: f64,
    ) -> Vec<f64> {
        let steps = capacity.steps();
        let (mut full, mut grown) = (0.0, 0);
        (0_i64..)
            .take(count)
            .map(|i| {
                let day = first.plus(i);
                while let Some(step) = steps.get(grown)
                    && day.days_since(step.from_on) >= FULL_DAYS
                {
                    full += step.m3h;
                    grown += 1;
                }
                let growing = steps[grown..].iter().take_while(|s| s.from_on <= day);
                let part: f64 = growing
                    .map(|s| s.m3h * self.at(day.days_since(s.from_on)).powf(follows))
                    .sum();
                full + part
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::capacity::CapacityStep;

    #[test]
    fn use_grows_between_the_middles_of_months() {
        let ramp = Ramp::default();
        let near = |age, part: f64| assert!((ramp.at(age) - part).abs() < 1e-12, "{age}");
        near(-1, 0.0);
        near(0, 0.3);
        near(15, 0.3);
        near(30, 0.4);
        near(45, 0.5);
        near(135, 1.0);
        near(9_999, 1.0);
    }

    #[test]
    fn design_flow_in_use_adds_up_over_those_who_came_at_different_times() {
        let first = GasDay("2026-01-01".parse().unwrap());
        let capacity = NodeCapacity::new([
            CapacityStep {
                from_on: first.plus(-400),
                m3h: 100.0,
            },
            CapacityStep {
                from_on: first.plus(10),
                m3h: 50.0,
            },
        ]);
        let in_use = |follows| Ramp::default().in_use(&capacity, first, 200, follows);
        let quite = in_use(1.0);
        for (day, m3h) in [(9, 100.0), (10, 115.0), (55, 125.0), (199, 150.0)] {
            assert!((quite[day] - m3h).abs() < 1e-9, "{day}: {}", quite[day]);
        }
        assert!((in_use(0.0)[10] - 150.0).abs() < 1e-9);
    }

    #[test]
    fn a_ramp_is_learnt_from_nodes_that_grew_and_held_to_the_default() {
        let seen = [[0.6, f64::NAN, 0.7, 0.85, 1.0]; 2];
        let Ramp(learnt) = Ramp::learnt(&seen);
        for (have, want) in learnt.iter().zip([0.45, 0.5, 0.7, 0.85, 1.0]) {
            assert!((have - want).abs() < 1e-12, "{have} {want}");
        }
        assert_eq!(Ramp::learnt(&[]), Ramp::default());
    }
}
