//! A month's forecast by every dimension, for the test that they agree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::GasMonth;
use crate::domain::demand::DemandView;
use crate::domain::registry::Registry;
use crate::serve::figures::forecast::{Dimension, members};
use crate::serve::figures::overview::Run;

/// `GET /api/v1/totals`: whole m³; each dimension sums to `forecast_total_m3`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// The run.
    pub run_id: String,
    /// The month.
    #[schema(value_type = String)]
    pub month: GasMonth,
    /// Days of the month that the run reaches.
    pub days: usize,
    /// P50 over those days, m³.
    pub forecast_total_m3: i64,
    /// By source, m³.
    pub by_source: BTreeMap<String, i64>,
    /// By class, m³.
    pub by_class: BTreeMap<String, i64>,
    /// By time slot, m³.
    pub by_slot: BTreeMap<String, i64>,
}

/// Sums the published cells of a month.
pub fn totals(registry: &Registry, run: &Run, month: GasMonth) -> Totals {
    let days: Vec<_> = run.cells.days().filter(|d| d.month() == month).collect();
    let sum = |view: &DemandView| -> i64 {
        days.iter()
            .filter_map(|day| run.cells.day_m3(view, *day))
            .sum()
    };
    let by = |dimension| {
        members(registry, dimension)
            .into_iter()
            .map(|member| (member.label.key, sum(&member.view)))
            .collect()
    };
    Totals {
        run_id: run.forecast.run_id.to_string(),
        month,
        days: days.len(),
        forecast_total_m3: sum(&DemandView::total()),
        by_source: by(Dimension::Source),
        by_class: by(Dimension::Class),
        by_slot: by(Dimension::Slot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::figures::fixture;

    #[test]
    fn every_dimension_sums_to_the_total() {
        let registry = fixture::registry();
        let run = Run::new(fixture::forecast(
            &registry,
            "2026-11-21T09:00:00+08:00",
            41,
        ));
        for (month, days) in [("2026-11", 10), ("2026-12", 31), ("2027-02", 0)] {
            let totals = totals(&registry, &run, month.parse().unwrap());
            assert_eq!(totals.days, days);
            let sum = |map: &BTreeMap<String, i64>| map.values().sum::<i64>();
            assert_eq!(sum(&totals.by_source), totals.forecast_total_m3);
            assert_eq!(sum(&totals.by_class), totals.forecast_total_m3);
            assert_eq!(sum(&totals.by_slot), totals.forecast_total_m3);
            assert_eq!(totals.forecast_total_m3 > 0, days > 0);
        }
    }
}
