//! What customers are connected for (设计小时量), summed over a node.

use serde::{Deserialize, Serialize};

use crate::domain::calendar::GasDay;

/// Design flow that gas was let into on one gas day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CapacityStep {
    /// First gas day with gas.
    pub from_on: GasDay,
    /// Design flow, m³/h.
    pub m3h: f64,
}

/// Design flow of a node's customers by the day each of them got gas.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeCapacity {
    steps: Vec<CapacityStep>,
}

impl NodeCapacity {
    /// From steps in any order; what is not a positive number is left out, steps of a day are summed.
    pub fn new(steps: impl IntoIterator<Item = CapacityStep>) -> Self {
        let mut given: Vec<CapacityStep> = steps
            .into_iter()
            .filter(|step| step.m3h.is_finite() && step.m3h > 0.0)
            .collect();
        given.sort_by_key(|step| step.from_on);
        let mut steps: Vec<CapacityStep> = Vec::with_capacity(given.len());
        for step in given {
            match steps.last_mut() {
                Some(last) if last.from_on == step.from_on => last.m3h += step.m3h,
                _ => steps.push(step),
            }
        }
        Self { steps }
    }

    /// The steps, earliest first.
    pub fn steps(&self) -> &[CapacityStep] {
        &self.steps
    }

    /// What was connected up to and with a gas day, as it was known then.
    #[must_use]
    pub fn until(&self, day: GasDay) -> Self {
        let known = self.steps.iter().take_while(|step| step.from_on <= day);
        Self {
            steps: known.copied().collect(),
        }
    }

    /// Design flow connected on a gas day, m³/h.
    pub fn m3h_on(&self, day: GasDay) -> f64 {
        let connected = self.steps.iter().take_while(|step| step.from_on <= day);
        connected.map(|step| step.m3h).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_ordered_summed_and_plausible() {
        let step = |day: &str, m3h| CapacityStep {
            from_on: day.parse().unwrap(),
            m3h,
        };
        let capacity = NodeCapacity::new([
            step("2026-05-01", 40.0),
            step("2026-01-01", 100.0),
            step("2026-05-01", 20.0),
            step("2026-02-01", f64::NAN),
            step("2026-02-01", -5.0),
        ]);
        assert_eq!(
            capacity.steps(),
            [step("2026-01-01", 100.0), step("2026-05-01", 60.0)]
        );
        let on = |day: &str| capacity.m3h_on(day.parse().unwrap());
        assert!((on("2025-12-31")).abs() < 1e-12);
        assert!((on("2026-04-30") - 100.0).abs() < 1e-12);
        assert!((on("2026-05-01") - 160.0).abs() < 1e-12);
        let before = capacity.until("2026-04-30".parse().unwrap());
        assert_eq!(before.steps(), [step("2026-01-01", 100.0)]);
    }
}
