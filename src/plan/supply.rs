//! What must be bought (购气量): the published demand plus what is lost on the way, whole m³.
//!
//! The loss (供销差与自用) is a part of what is bought: bought = sold ÷ (1 − ratio). It is added
//! as cells of its own, day by day and source by source, so that every table is a sum of the
//! same cells and no two tables differ.

use std::collections::BTreeMap;

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{Band, DemandForecast, DemandView, quantile_of_sorted};
use crate::domain::id::SourceId;
use crate::domain::quantity::round_to_total;
use crate::plan::PlanError;

/// Whole m³ of one day × source × class, by hour of the gas day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupplyCell {
    /// Position in [`Supply::days`].
    pub day: usize,
    /// Source.
    pub source: SourceId,
    /// Class; [`CustomerClass::Unaccounted`] holds the loss.
    pub class: CustomerClass,
    /// m³ by hour of the gas day.
    pub hours_m3: [i64; 24],
}

impl SupplyCell {
    /// m³ of the day.
    pub fn day_m3(&self) -> i64 {
        self.hours_m3.iter().sum()
    }
}

/// What must be bought over some days of a forecast.
#[derive(Debug)]
pub struct Supply<'a> {
    forecast: &'a DemandForecast,
    /// Gas days.
    pub days: Vec<GasDay>,
    /// How gas days are cut.
    pub clock: GasDayClock,
    day_indexes: Vec<usize>,
    gross: f64,
    /// Cells in order of day, source, class.
    pub cells: Vec<SupplyCell>,
}

impl<'a> Supply<'a> {
    /// Cells of `days`, loss included.
    ///
    /// # Errors
    /// [`PlanError::HorizonTooShort`] if the forecast does not reach every day,
    /// [`PlanError::UnaccountedRatio`] if the loss is no sensible part of what is bought.
    pub fn over(
        forecast: &'a DemandForecast,
        days: Vec<GasDay>,
        unaccounted_ratio: f64,
    ) -> Result<Self, PlanError> {
        if !(0.0..0.5).contains(&unaccounted_ratio) {
            return Err(PlanError::UnaccountedRatio {
                ratio: unaccounted_ratio,
            });
        }
        let day_indexes: Vec<usize> = days
            .iter()
            .filter_map(|day| forecast.day_index(*day))
            .collect();
        if day_indexes.len() != days.len() {
            return Err(PlanError::HorizonTooShort {
                run: forecast.run_id.clone(),
                need_from: days.first().copied(),
                need_to: days.last().copied(),
                have_from: forecast.days.first().copied(),
                have_to: forecast.days.last().copied(),
                missing: days.len() - day_indexes.len(),
            });
        }
        let gross = 1.0 / (1.0 - unaccounted_ratio);
        let mut summed: BTreeMap<(usize, SourceId, CustomerClass), [i64; 24]> = BTreeMap::new();
        for row in &forecast.cube.rows {
            let Some(day) = day_indexes.iter().position(|i| *i == row.day_index) else {
                continue;
            };
            let hours = summed
                .entry((day, row.source.clone(), row.class))
                .or_insert([0; 24]);
            for (sum, value) in hours.iter_mut().zip(row.hours_m3) {
                *sum += value;
            }
        }
        add_loss(&mut summed, gross);
        let cells = summed
            .into_iter()
            .map(|((day, source, class), hours_m3)| SupplyCell {
                day,
                source,
                class,
                hours_m3,
            })
            .collect();
        Ok(Self {
            forecast,
            days,
            clock: forecast.clock,
            day_indexes,
            gross,
            cells,
        })
    }

    /// Sources with cells, in order.
    pub fn sources(&self) -> Vec<SourceId> {
        let mut sources: Vec<SourceId> = self.cells.iter().map(|c| c.source.clone()).collect();
        sources.sort();
        sources.dedup();
        sources
    }

    /// Sum of the cells for which `wanted` holds, m³.
    pub fn sum_m3(&self, wanted: impl Fn(&SupplyCell) -> bool) -> i64 {
        self.cells
            .iter()
            .filter(|cell| wanted(cell))
            .map(SupplyCell::day_m3)
            .sum()
    }

    /// Joint draws of a source (of all if none), summed over all days, m³.
    pub fn draws(&self, source: Option<&SourceId>) -> Vec<f64> {
        self.draws_on(source, None, &self.day_indexes)
    }

    /// Joint draws of a source and class, summed over all days, m³.
    pub fn class_draws(&self, source: Option<&SourceId>, class: CustomerClass) -> Vec<f64> {
        self.draws_on(source, Some(class), &self.day_indexes)
    }

    /// Joint draws of everything on one day (by position), m³.
    pub fn day_draws(&self, day: usize) -> Vec<f64> {
        let index: Vec<usize> = self.day_indexes.get(day).copied().into_iter().collect();
        self.draws_on(None, None, &index)
    }

    fn draws_on(
        &self,
        source: Option<&SourceId>,
        class: Option<CustomerClass>,
        days: &[usize],
    ) -> Vec<f64> {
        let view = DemandView {
            source: source.cloned(),
            class,
            ..DemandView::default()
        };
        let mut draws = self.forecast.draws(&view, days);
        for draw in &mut draws {
            *draw *= self.gross;
        }
        draws
    }

    /// Largest hour of a source, m³/h.
    pub fn hour_max_m3h(&self, source: &SourceId) -> i64 {
        let mut hours: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        for cell in self.cells.iter().filter(|c| c.source == *source) {
            for (hour, value) in cell.hours_m3.iter().enumerate() {
                *hours.entry((cell.day, hour)).or_insert(0) += value;
            }
        }
        hours.into_values().max().unwrap_or(0)
    }
}

/// Adds the loss of each day and source as a class of its own, shaped like the day.
#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
fn add_loss(summed: &mut BTreeMap<(usize, SourceId, CustomerClass), [i64; 24]>, gross: f64) {
    let mut sold: BTreeMap<(usize, SourceId), [i64; 24]> = BTreeMap::new();
    for ((day, source, _), hours) in summed.iter() {
        let sum = sold.entry((*day, source.clone())).or_insert([0; 24]);
        for (total, value) in sum.iter_mut().zip(hours) {
            *total += value;
        }
    }
    for ((day, source), hours) in sold {
        let total: i64 = hours.iter().sum();
        let loss = (total as f64 * gross).round() as i64 - total;
        if loss <= 0 {
            continue;
        }
        let shape: Vec<f64> = hours.iter().map(|h| *h as f64).collect();
        let cell = summed
            .entry((day, source, CustomerClass::Unaccounted))
            .or_insert([0; 24]);
        for (value, part) in cell.iter_mut().zip(round_to_total(&shape, loss)) {
            *value += part;
        }
    }
}

/// Band of draws around a published P50.
#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
pub fn band_of(p50_m3: i64, mut draws: Vec<f64>) -> Band {
    draws.sort_by(f64::total_cmp);
    if draws.is_empty() {
        return Band {
            p10_m3: p50_m3,
            p50_m3,
            p90_m3: p50_m3,
        };
    }
    let at = |q| quantile_of_sorted(&draws, q).round() as i64;
    Band {
        p10_m3: at(0.1).min(p50_m3),
        p50_m3,
        p90_m3: at(0.9).max(p50_m3),
    }
}
