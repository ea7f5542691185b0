//! 调度气量预测日报 (domain.md §2.11): today, tomorrow and the week by source, class and slot on paper.
//!
//! Every volume is a sum of the run's published cells, so no two tables of it differ, and none from
//! the console or the declaration. They are what customers use (用户侧); what stands beside a nomination or
//! a contract is what is bought (购气侧), as the overview and the nomination have it.

pub(super) mod page;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandView;
use crate::domain::quantity::ReferenceConditions;
use crate::domain::registry::Registry;
use crate::serve::api::outlook::{ChangeView, OutlookView};
use crate::serve::documents;
use crate::serve::figures::forecast::{
    Cards, Dimension, Horizon, Label, MonthView, QualityRow, members_of,
};
use crate::serve::figures::methods::NodeMethod;
use crate::serve::figures::months::{MonthsBy, MonthsView, months_view};
use crate::serve::figures::nominated::NominatedDay;
use crate::serve::figures::overview::Run;
use crate::serve::figures::{Band, band_of, hour_band_of};
use crate::serve::live::Notice;
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;
use crate::store::book::DocumentKind;

pub use page::html;

/// Gas days of "the week": tomorrow and the six after it.
const WEEK_DAYS: i64 = 7;
/// Alerts on the paper at most.
const ALERTS_MAX: usize = 12;
/// Runs looked through for yesterday's.
const RUNS_MAX: usize = 200;
/// A run at least so much older says what was thought a day ago.
const DAY_AGO: TimeDelta = TimeDelta::hours(20);

/// Today, tomorrow and the week of one member, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// The gas day that runs.
    pub today: Band,
    /// The next.
    pub tomorrow: Band,
    /// Tomorrow and six more; P10 and P90 are of the week's sum.
    pub week: Band,
}

/// One dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which.
    pub by: Dimension,
    /// Its members; their P50 sum to the total.
    pub rows: Vec<(Label, Spans)>,
}

/// Tomorrow's P50 of a source and class by slot, m³.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossRow {
    /// Source.
    pub source: Label,
    /// Class.
    pub class: Label,
    /// By slot.
    pub slots_m3: Vec<i64>,
}

impl CrossRow {
    /// Over all slots, m³.
    pub fn total_m3(&self) -> i64 {
        self.slots_m3.iter().sum()
    }
}

/// One hour of tomorrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourRow {
    /// Beijing hour.
    pub civil_hour: u32,
    /// Position of its slot.
    pub slot: usize,
    /// Expected.
    pub band: Band,
}

/// The tables that come from the run alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    /// All of it.
    pub total: Spans,
    /// By source, class and slot.
    pub blocks: Vec<Block>,
    /// Slots, as columns of `cross`.
    pub slots: Vec<Label>,
    /// Source × class × slot; rows without gas are left out.
    pub cross: Vec<CrossRow>,
    /// Hours of tomorrow, from the start of the gas day; empty if the run has none.
    pub hours: Vec<HourRow>,
    /// The four parts of today, tomorrow and the week, m³; none if the run does not say.
    pub parts: Option<[[i64; 4]; 3]>,
}

/// Makes the tables; none unless the run reaches today, tomorrow and the week.
pub fn tables(
    registry: &Registry,
    run: &Run,
    breakdown: Option<&Breakdown>,
    today: GasDay,
) -> Option<Tables> {
    let forecast = &run.forecast;
    let index = |ahead: i64| forecast.day_index(today.plus(ahead));
    let (now, next) = (index(0)?, index(1)?);
    let week: Vec<usize> = (1..=WEEK_DAYS).map(index).collect::<Option<_>>()?;
    let spans = |view: &DemandView| Spans {
        today: band_of(forecast, &run.cells, view, &[now]),
        tomorrow: band_of(forecast, &run.cells, view, &[next]),
        week: band_of(forecast, &run.cells, view, &week),
    };
    let dimensions = [Dimension::Source, Dimension::Class, Dimension::Slot];
    let blocks = dimensions
        .into_iter()
        .map(|by| Block {
            by,
            rows: members_of(registry, forecast, by)
                .into_iter()
                .map(|member| (member.label, spans(&member.view)))
                .collect(),
        })
        .collect();
    let slots = members_of(registry, forecast, Dimension::Slot);
    let mut cross = Vec::new();
    for source in members_of(registry, forecast, Dimension::Source) {
        for class in members_of(registry, forecast, Dimension::Class) {
            let slots_m3: Vec<i64> = slots
                .iter()
                .map(|slot| DemandView {
                    source: source.view.source.clone(),
                    class: class.view.class,
                    ..slot.view.clone()
                })
                .map(|view| run.cells.day_m3(&view, today.plus(1)).unwrap_or(0))
                .collect();
            if slots_m3.iter().any(|m3| *m3 != 0) {
                cross.push(CrossRow {
                    source: source.label.clone(),
                    class: class.label,
                    slots_m3,
                });
            }
        }
    }
    let whole = DemandView::total();
    let hours = (0..24)
        .filter_map(|hour| {
            let civil_hour = forecast.clock.civil_hour(hour);
            Some(HourRow {
                civil_hour,
                slot: registry.company.slots.index_of(civil_hour),
                band: hour_band_of(forecast, &run.cells, &whole, next, hour)?,
            })
        })
        .collect();
    let parts = breakdown.map(|parts| {
        let of = |days: &[usize]| {
            let mut sums = [0; 4];
            for day in days {
                for (sum, m3) in sums.iter_mut().zip(parts.day_m3(&whole, *day)) {
                    *sum += m3;
                }
            }
            sums
        };
        [of(&[now]), of(&[next]), of(&week)]
    });
    Some(Tables {
        total: spans(&whole),
        blocks,
        slots: slots.into_iter().map(|slot| slot.label).collect(),
        cross,
        hours,
        parts,
    })
}

/// The report.
#[derive(Debug, Clone)]
pub struct DispatchReport {
    /// Company.
    pub company: String,
    /// What volumes refer to.
    pub reference: ReferenceConditions,
    /// When it was printed.
    pub made_at: DateTime<Utc>,
    /// The gas day that runs.
    pub today: GasDay,
    /// The run.
    pub run_id: String,
    /// Nothing known after this instant was used.
    pub origin_at: DateTime<Utc>,
    /// Mean temperature of today and the days after it, °C, averaged over the stations.
    pub temperatures: Vec<(GasDay, Option<f64>)>,
    /// Yesterday, today, tomorrow.
    pub cards: Cards,
    /// Nominated and suggested for tomorrow, m³.
    pub nominated: Option<(i64, i64)>,
    /// From the run.
    pub tables: Tables,
    /// This month and the next.
    pub months: Vec<MonthView>,
    /// The months ahead; none of a site too young for them.
    pub ahead: Option<MonthsView>,
    /// Peaks and the design day.
    pub outlook: Option<OutlookView>,
    /// Open alerts, most urgent first.
    pub alerts: Vec<Notice>,
    /// Against the run of a day ago.
    pub change: Option<ChangeView>,
    /// The last backtest.
    pub quality: Vec<QualityRow>,
    /// The model of each node, with its volume of tomorrow.
    pub methods: Vec<NodeMethod>,
}

impl AppState {
    /// The report as of now.
    pub(super) fn dispatch_report(&self, run: &Run) -> Result<DispatchReport, ApiProblem> {
        let registry = self.registry();
        let today = self.gas_day();
        let id = &run.forecast.run_id;
        let tables = tables(&registry, run, run.breakdown.as_ref(), today).ok_or_else(|| {
            ApiProblem::not_found(
                "forecast.too_short",
                format!(
                    "run `{id}` does not reach from {today} to {}; wait for the next run",
                    today.plus(WEEK_DAYS)
                ),
            )
        })?;
        let view = self
            .forecast_view(run, Horizon::Daily, Dimension::Total, None)?
            .ok_or_else(|| {
                ApiProblem::internal("serve.internal", "the total is no view", String::new())
            })?;
        let nominated = self
            .nomination(today.plus(1), None)?
            .and_then(|body| NominatedDay::of_document(&registry, &body))
            .map(|day| (day.nominated.values().sum(), day.suggested.values().sum()));
        Ok(DispatchReport {
            company: registry.company.name.clone(),
            reference: registry.company.reference,
            made_at: self.now(),
            today,
            run_id: id.to_string(),
            origin_at: run.forecast.origin_at,
            temperatures: self.temperatures(&registry, today)?,
            cards: view.cards,
            nominated,
            tables,
            months: view.month,
            // A site too young for months has none; the report of its days stands without.
            ahead: self.months().ok().and_then(|of_day| {
                let renewed = self.months_renewed(&of_day).ok()?;
                months_view(&registry, &of_day, renewed.as_ref(), MonthsBy::Total, None)
            }),
            // A site of its first weeks has no peaks or design day to speak of yet.
            outlook: self.actions().outlook().ok(),
            alerts: self.open_alerts()?,
            change: self.change_since_yesterday(run)?,
            quality: view.quality,
            methods: view.methods,
        })
    }

    fn temperatures(
        &self,
        registry: &Registry,
        today: GasDay,
    ) -> Result<Vec<(GasDay, Option<f64>)>, ApiProblem> {
        let stations = self.weather(registry, self.now())?;
        let clock = registry.company.gas_day_start_hour;
        Ok((0..=WEEK_DAYS)
            .map(|ahead| {
                let day = today.plus(ahead);
                let known: Vec<f64> = stations
                    .iter()
                    .filter_map(|station| station.day_mean_c(clock, day))
                    .collect();
                let mean = known.iter().sum::<f64>() / known.len() as f64;
                (day, (!known.is_empty()).then_some(mean))
            })
            .collect())
    }

    fn open_alerts(&self) -> Result<Vec<Notice>, ApiProblem> {
        let stored = self
            .book()
            .documents(DocumentKind::Alert, 500)
            .map_err(|error| ApiProblem::store("the book", &error))?;
        let mut alerts: Vec<Notice> = stored
            .iter()
            .filter(|one| documents::is_open(one))
            .map(documents::document_notice)
            .collect();
        alerts.sort_by(|a, b| b.level.cmp(&a.level).then_with(|| b.at.cmp(&a.at)));
        alerts.truncate(ALERTS_MAX);
        Ok(alerts)
    }

    /// What moved since the latest run that is a day older; none if there is none, or if what it was
    /// made from was not kept.
    fn change_since_yesterday(&self, run: &Run) -> Result<Option<ChangeView>, ApiProblem> {
        let headers = self
            .book()
            .forecast_runs(RUNS_MAX)
            .map_err(|error| ApiProblem::store("the book", &error))?;
        let until = run.forecast.origin_at - DAY_AGO;
        let older = headers.iter().find(|header| header.origin_at <= until);
        Ok(older.and_then(|older| {
            self.actions()
                .explain(older.run_id.as_str(), run.forecast.run_id.as_str())
                .ok()
        }))
    }
}

#[cfg(test)]
mod tests;
