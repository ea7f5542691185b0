//! What must be bought (购气量): the published demand less what is carried for others, plus what is lost
//! on the way, whole m³.
//!
//! The loss (供销差与自用) is a part of what passes the gates: passed = used ÷ (1 − ratio). It is ours on
//! carried gas too, which is handed over as metered at the customer. It is added as cells of its own,
//! day by day and source by source, so that every table is a sum of the same cells and no two tables
//! differ.

use std::collections::BTreeMap;

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{Band, CubeRow, DemandForecast, DemandView, quantile_of_sorted};
use crate::domain::id::{SourceId, ZoneId};
use crate::domain::quantity::round_to_total;
use crate::plan::PlanError;
use crate::plan::carried::Carried;

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
    /// Cells of gas carried for others, in the same order; none of it is in `cells`.
    pub carried: Vec<SupplyCell>,
    /// Part of the P50 that is carried for others, by day of the run, zone and class.
    carried_part: BTreeMap<(usize, ZoneId, CustomerClass), f64>,
}

type Cells = BTreeMap<(usize, SourceId, CustomerClass), [i64; 24]>;

impl<'a> Supply<'a> {
    /// Cells of `days`, loss included, without what is `carried` for others.
    ///
    /// # Errors
    /// [`PlanError::HorizonTooShort`] if the forecast does not reach every day,
    /// [`PlanError::UnaccountedRatio`] if the loss is no sensible part of what is bought.
    pub fn over(
        forecast: &'a DemandForecast,
        days: Vec<GasDay>,
        unaccounted_ratio: f64,
        carried: &Carried,
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
        let mut bought = Cells::new();
        for row in &forecast.cube.rows {
            if let Some(day) = day_indexes.iter().position(|i| *i == row.day_index) {
                let key = (day, row.source.clone(), row.class);
                add_hours(&mut bought, key, row.hours_m3);
            }
        }
        let (of_others, carried_part) = carried_cells(forecast, &day_indexes, carried);
        add_loss(&mut bought, gross);
        for (key, hours) in &of_others {
            if let Some(cell) = bought.get_mut(key) {
                for (own, other) in cell.iter_mut().zip(hours) {
                    *own -= other;
                }
            }
        }
        Ok(Self {
            forecast,
            days,
            clock: forecast.clock,
            day_indexes,
            gross,
            cells: listed(bought),
            carried: listed(of_others),
            carried_part,
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

    /// Joint draws of a source (of all if none), loss included, summed over all days, m³.
    pub fn draws(&self, source: Option<&SourceId>) -> Vec<f64> {
        self.draws_on(source, &self.day_indexes)
    }

    /// Joint draws of a source and class without loss, summed over all days, m³.
    pub fn class_draws(&self, source: Option<&SourceId>, class: CustomerClass) -> Vec<f64> {
        let mut draws = self.through(source, Some(class), &self.day_indexes);
        self.take_off_carried(&mut draws, source, Some(class), &self.day_indexes);
        draws
    }

    /// Joint draws of the loss, summed over all days, m³: it moves with everything that passes the gates.
    pub fn loss_draws(&self) -> Vec<f64> {
        let mut draws = self.through(None, None, &self.day_indexes);
        for draw in &mut draws {
            *draw *= self.gross - 1.0;
        }
        draws
    }

    /// Bought ÷ used of gas that is ours: what a class's use becomes with its loss.
    pub fn gross(&self) -> f64 {
        self.gross
    }

    /// Joint draws of everything on one day (by position), loss included, m³.
    pub fn day_draws(&self, day: usize) -> Vec<f64> {
        let index: Vec<usize> = self.day_indexes.get(day).copied().into_iter().collect();
        self.draws_on(None, &index)
    }

    /// Joint draws of everything in one hour of a day (by position), loss included, m³; zeros past the run's
    /// hourly days.
    pub fn hour_draws(&self, day: usize, hour: usize) -> Vec<f64> {
        let Some(index) = self.day_indexes.get(day).copied() else {
            return Vec::new();
        };
        let of = |view: &DemandView| self.forecast.hour_draws(view, index, hour);
        let mut draws = of(&DemandView::total());
        for draw in &mut draws {
            *draw *= self.gross;
        }
        let of_day = self.carried_part.iter();
        for ((_, zone, class), part) in of_day.filter(|((day, ..), _)| *day == index) {
            let view = DemandView {
                zone: Some(zone.clone()),
                class: Some(*class),
                ..DemandView::default()
            };
            for (draw, other) in draws.iter_mut().zip(of(&view)) {
                *draw -= part * other;
            }
        }
        draws
    }

    fn draws_on(&self, source: Option<&SourceId>, days: &[usize]) -> Vec<f64> {
        let mut draws = self.through(source, None, days);
        for draw in &mut draws {
            *draw *= self.gross;
        }
        self.take_off_carried(&mut draws, source, None, days);
        draws
    }

    /// What is used, whoever buys it.
    fn through(
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
        self.forecast.draws(&view, days)
    }

    /// Carried gas misses as its class does: of each draw the part that it has of the P50.
    fn take_off_carried(
        &self,
        draws: &mut [f64],
        source: Option<&SourceId>,
        class: Option<CustomerClass>,
        days: &[usize],
    ) {
        let asked = self.carried_part.iter();
        let asked = asked.filter(|((day, _, of_class), _)| {
            days.contains(day) && class.is_none_or(|class| class == *of_class)
        });
        for ((day, zone, of_class), part) in asked {
            let view = DemandView {
                zone: Some(zone.clone()),
                source: source.cloned(),
                class: Some(*of_class),
                ..DemandView::default()
            };
            let of_others = self.forecast.draws(&view, &[*day]);
            for (draw, other) in draws.iter_mut().zip(of_others) {
                *draw -= part * other;
            }
        }
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

fn add_hours(cells: &mut Cells, key: (usize, SourceId, CustomerClass), hours: [i64; 24]) {
    let sums = cells.entry(key).or_insert([0; 24]);
    for (sum, value) in sums.iter_mut().zip(hours) {
        *sum += value;
    }
}

fn listed(cells: Cells) -> Vec<SupplyCell> {
    let cell = |((day, source, class), hours_m3)| SupplyCell {
        day,
        source,
        class,
        hours_m3,
    };
    cells.into_iter().map(cell).collect()
}

/// What of the run's cells is carried for others, and the part of each zone × class × day that it is:
/// split over sources and hours like the cells, by largest remainder.
fn carried_cells(
    forecast: &DemandForecast,
    day_indexes: &[usize],
    carried: &Carried,
) -> (Cells, BTreeMap<(usize, ZoneId, CustomerClass), f64>) {
    type OfDay<'a> = BTreeMap<(&'a ZoneId, CustomerClass), Vec<&'a CubeRow>>;
    let mut days: BTreeMap<usize, OfDay<'_>> = BTreeMap::new();
    for row in &forecast.cube.rows {
        let of_day = days.entry(row.day_index).or_default();
        of_day.entry((&row.zone, row.class)).or_default().push(row);
    }
    let (mut cells, mut parts) = (Cells::new(), BTreeMap::new());
    for (day, index) in day_indexes.iter().enumerate() {
        for ((zone, class), rows) in days.get(index).into_iter().flatten() {
            let volumes: Vec<i64> = rows.iter().map(|r| r.hours_m3.iter().sum()).collect();
            let total: i64 = volumes.iter().sum();
            let of_others = if *class == CustomerClass::Wheeling {
                total
            } else {
                let known: i64 = carried.parts(*index, zone, *class).iter().sum();
                known.clamp(0, total.max(0))
            };
            if of_others <= 0 {
                continue;
            }
            parts.insert(
                (*index, (*zone).clone(), *class),
                of_others as f64 / total as f64,
            );
            let shape: Vec<f64> = volumes.iter().map(|m3| *m3 as f64).collect();
            for (row, m3) in rows.iter().zip(round_to_total(&shape, of_others)) {
                let shape: Vec<f64> = row.hours_m3.iter().map(|m3| *m3 as f64).collect();
                let mut hours = [0; 24];
                for (hour, m3) in hours.iter_mut().zip(round_to_total(&shape, m3)) {
                    *hour = m3;
                }
                add_hours(&mut cells, (day, row.source.clone(), *class), hours);
            }
        }
    }
    (cells, parts)
}

/// Adds the loss of each day and source as a class of its own, shaped like the day.
#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 m³"
)]
fn add_loss(summed: &mut Cells, gross: f64) {
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
