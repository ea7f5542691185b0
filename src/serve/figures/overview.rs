//! 调度总览: one page's numbers at one instant.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandForecast, DemandView};
use crate::domain::id::{CustomerId, MeterId};
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::domain::series::LoadCurve;
use crate::ledger::entry::LedgerEntry;
use crate::serve::figures::bought::{Bought, BoughtFacts};
use crate::serve::figures::cells::Cells;
use crate::serve::figures::nominated::NominatedDay;
use crate::serve::figures::supply::{month_contract_m3, remaining_avg_dcq_m3};
use crate::serve::figures::today::{Today, today};
use crate::serve::figures::weather::StationPoints;
use crate::serve::figures::{Band, band_of, hour_band_of, instant_text};
use crate::serve::metrics::CollectCounts;

pub mod view;

pub use view::{
    AlertCounts, ClassHour, ClassView, CollectView, HeatmapDay, HourView, Kpi, LiveOverview,
    MeterCounts, Overview, SourceView, TodayView, TopCustomer,
};

/// Gas days before today on the heat map.
pub const HEATMAP_DAYS: i64 = 14;

/// Customers in the list of the largest.
const TOP_CUSTOMERS: usize = 10;

/// A published run and its cells.
#[derive(Debug, Clone)]
pub struct Run {
    /// The run.
    pub forecast: DemandForecast,
    /// Its published cells by gas day.
    pub cells: Cells,
    /// What it consists of; none where a run of an earlier program does not say.
    pub breakdown: Option<Breakdown>,
}

impl Run {
    /// Indexes a run.
    pub fn new(forecast: DemandForecast) -> Self {
        Self {
            cells: Cells::of_forecast(&forecast),
            forecast,
            breakdown: None,
        }
    }

    /// The same with what it consists of.
    #[must_use]
    pub fn with(self, breakdown: Option<Breakdown>) -> Self {
        Self { breakdown, ..self }
    }

    /// Band of a view on a gas day, if the run reaches it.
    pub fn day_band(&self, view: &DemandView, day: GasDay) -> Option<Band> {
        let index = self.forecast.day_index(day)?;
        Some(band_of(&self.forecast, &self.cells, view, &[index]))
    }

    /// Band of what customers will have used in a gas day, given its known hours.
    pub fn expected_day(&self, view: &DemandView, today: &Today) -> Option<Band> {
        let index = self.forecast.day_index(today.day)?;
        if index >= self.forecast.hourly_days {
            return self.day_band(view, today.day);
        }
        let used = today.used_m3(view).unwrap_or(0);
        let hours = self.cells.hours_m3(view, today.day)?;
        let mut p50_m3 = used;
        let mut sums: Vec<f64> = Vec::new();
        for hour in today.open_hours() {
            p50_m3 += hours.get(hour).copied().unwrap_or(0);
            let draws = self.forecast.hour_draws(view, index, hour);
            if sums.is_empty() {
                sums = vec![used as f64; draws.len()];
            }
            for (sum, draw) in sums.iter_mut().zip(draws) {
                *sum += draw;
            }
        }
        Some(Band::around(p50_m3, sums))
    }
}

/// Everything the overview is made of.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The instant.
    pub now: DateTime<Utc>,
    /// How many seconds of the clock pass in a real second.
    pub time_factor: f64,
    /// The registry.
    pub registry: Arc<Registry>,
    /// Curves of the gas day that runs.
    pub curves_today: Vec<LoadCurve>,
    /// Curves of earlier days, from which silent meters are filled, the most like today first.
    pub curves_earlier: Vec<Vec<LoadCurve>>,
    /// Purchases of the gas day that runs and of the month.
    pub bought: BoughtFacts,
    /// Observed demand of completed days: this month's and the last fourteen.
    pub demand: Vec<DemandDay>,
    /// The latest run.
    pub run: Option<Arc<Run>>,
    /// Stations.
    pub weather: Vec<StationPoints>,
    /// Nomination for tomorrow.
    pub nominated_tomorrow: Option<NominatedDay>,
    /// When each meter was last heard of.
    pub heard: BTreeMap<MeterId, DateTime<Utc>>,
    /// Frames.
    pub counts: CollectCounts,
    /// Frames in a real second, lately.
    pub rate_per_s: f64,
    /// The ledger.
    pub ledger: Arc<Vec<LedgerEntry>>,
    /// Alerts that are open.
    pub alerts: AlertCounts,
}

/// What several parts of the page share.
struct Shared<'a> {
    facts: &'a Facts,
    day: GasDay,
    today: Today,
    history: Cells,
    bought: Bought<'a>,
}

/// Computes the page.
pub fn overview(facts: &Facts) -> Overview {
    let registry = &facts.registry;
    let clock = registry.company.gas_day_start_hour;
    let day = clock.day_of(facts.now);
    let shared = Shared {
        facts,
        day,
        today: today(
            registry,
            day,
            facts.now,
            &facts.curves_today,
            &facts.curves_earlier,
        ),
        history: Cells::of_demand(&facts.demand, registry),
        bought: Bought::new(
            registry,
            &facts.bought,
            facts
                .run
                .as_deref()
                .map(|run| (&run.forecast, run.breakdown.as_ref())),
        ),
    };
    let elapsed_s = (facts.now - clock.start_of(day)).num_seconds();
    let meters = meter_counts(registry, &facts.heard, facts.now);
    Overview {
        company: registry.company.name.clone(),
        now: instant_text(facts.now),
        gas_day: day,
        gas_day_start_hour: clock.start_hour,
        gas_day_progress: elapsed_s as f64 / 86_400.0,
        remaining_s: 86_400 - elapsed_s,
        time_factor: facts.time_factor,
        weather: facts
            .weather
            .iter()
            .map(|s| s.view(clock, facts.now))
            .collect(),
        coverage_ratio: (meters.expected > 0)
            .then(|| meters.reporting as f64 / meters.expected as f64),
        meters,
        alerts: facts.alerts,
        kpi: shared.kpi(),
        today: shared.hours(),
        sources: shared.sources(),
        classes: shared.classes(),
        heatmap: shared.heatmap(),
        top_customers: shared.top_customers(),
        collect: CollectView {
            received: facts.counts.received,
            accepted: facts.counts.accepted,
            rejected: facts.counts.rejected,
            duplicates: facts.counts.duplicates,
            rate_per_s: facts.rate_per_s,
            journal_lag_s: facts.counts.journal_lag_s,
        },
    }
}

/// Meters heard of within two of their own periods, of those that are to be heard of today.
pub fn meter_counts(
    registry: &Registry,
    heard: &BTreeMap<MeterId, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> MeterCounts {
    let today = registry.company.gas_day_start_hour.day_of(now);
    let (mut expected, mut reporting) = (0, 0);
    for meter in registry.meters.values() {
        if meter.removed_on.is_some() && !meter.is_expected_on(today) {
            continue;
        }
        expected += 1;
        let is_heard = heard.get(&meter.id).is_some_and(|at| {
            now - *at <= TimeDelta::seconds(2 * i64::from(meter.period_s.max(1)))
        });
        reporting += u64::from(is_heard);
    }
    MeterCounts {
        expected,
        reporting,
        silent: expected - reporting,
    }
}

impl Shared<'_> {
    fn run(&self) -> Option<&Run> {
        self.facts.run.as_deref()
    }

    fn kpi(&self) -> Kpi {
        let total = DemandView::total();
        let registry = &self.facts.registry;
        let bought = &self.bought;
        let nominated_m3 = bought.nominated().and_then(NominatedDay::total_m3);
        let taken_m3 = bought.taken_m3;
        let remaining_m3 = nominated_m3.zip(taken_m3).map(|(n, t)| n - t);
        let hours_left = 24 - bought.taken_hours();
        let due_m3 = taken_m3.and_then(|_| bought.due_m3(None));
        let over_probability = bought
            .nominated()
            .and_then(|n| self.free_up_to_m3(n))
            .zip(bought.expected())
            .and_then(|(limit, expected)| share_above(&expected.draws, limit));
        let before = bought.delivered_in_m3(self.day.month(), None);
        let month_contract_m3 = month_contract_m3(registry, self.day.month(), None);
        let (yesterday, tomorrow) = (self.day.plus(-1), self.day.plus(1));
        Kpi {
            nominated_m3,
            taken_m3,
            taken_through: taken_m3.map(|_| instant_text(bought.taken_through_at(registry))),
            taken_hours: taken_m3.map(|_| bought.taken_hours()),
            due_m3,
            pace_m3: taken_m3.zip(due_m3).map(|(taken, due)| taken - due),
            used_m3: self.today.used_m3(&total),
            remaining_m3,
            remaining_avg_flow_m3h: remaining_m3
                .filter(|_| hours_left > 0)
                .map(|m3| m3 as f64 / hours_left as f64),
            bought_day: bought.expected().map(|expected| expected.band),
            deviation_m3: bought
                .expected()
                .zip(nominated_m3)
                .map(|(expected, nominated)| expected.band.p50_m3 - nominated),
            over_probability,
            expected_day: self
                .run()
                .and_then(|run| run.expected_day(&total, &self.today)),
            yesterday_m3: self.history.day_m3(&total, yesterday),
            bought_yesterday_m3: bought.delivered_m3(yesterday, None),
            tomorrow: self.run().and_then(|run| run.day_band(&total, tomorrow)),
            bought_tomorrow: bought.day_band(tomorrow, None),
            month_taken_m3: month_taken(before, taken_m3),
            month_contract_m3,
            remaining_avg_dcq_m3: month_contract_m3
                .zip(before)
                .map(|(contract, taken)| remaining_avg_dcq_m3(contract, taken, self.day)),
        }
    }

    /// What may be taken today without a charge: each source's nomination and its contract's band.
    fn free_up_to_m3(&self, nominated: &NominatedDay) -> Option<f64> {
        nominated.total_m3()?;
        let registry = &self.facts.registry;
        Some(
            nominated
                .nominated
                .iter()
                .map(|(source, m3)| {
                    let band = registry
                        .contract_of(source, self.day)
                        .map_or(0.0, |c| c.deviation.band_ratio);
                    *m3 as f64 * (1.0 + band)
                })
                .sum(),
        )
    }

    fn hours(&self) -> TodayView {
        let total = DemandView::total();
        let clock = self.facts.registry.company.gas_day_start_hour;
        let actual = self.today.hours_m3(&total);
        let run = self
            .run()
            .and_then(|run| Some((run, run.forecast.day_index(self.day)?)));
        let nominated = self.bought.nominated();
        let hours = (0..24)
            .map(|hour| HourView {
                civil_hour: clock.civil_hour(hour),
                actual_m3: actual.get(hour).copied().flatten(),
                quality: self
                    .today
                    .quality
                    .get(hour)
                    .copied()
                    .flatten()
                    .map(quality_key),
                band: run.and_then(|(run, index)| {
                    hour_band_of(&run.forecast, &run.cells, &total, index, hour)
                }),
                bought_m3: self.bought.hours_m3.get(hour).copied().flatten(),
                bought_band: self.bought.hour_band(hour),
                nominated_m3: nominated.and_then(|n| n.hour_m3(hour)),
            })
            .collect();
        TodayView { hours }
    }

    fn sources(&self) -> Vec<SourceView> {
        let registry = &self.facts.registry;
        let month = self.day.month();
        registry
            .sources
            .values()
            .map(|source| {
                let bought = &self.bought;
                let id = Some(&source.id);
                let contract = month_contract_m3(registry, month, id);
                let before = bought.delivered_in_m3(month, id);
                let of_source = || bought.taken_by_source.get(&source.id).copied();
                let taken_m3 = bought.taken_m3.map(|_| of_source().unwrap_or(0));
                let due_m3 = taken_m3.and_then(|_| bought.due_m3(id));
                SourceView {
                    source: source.id.to_string(),
                    name: source.name.clone(),
                    class: key_of(&source.class),
                    supplier: source.supplier.clone(),
                    delivery_point: source.delivery_point.clone(),
                    nominated_m3: bought
                        .nominated()
                        .and_then(|n| n.nominated.get(&source.id).copied()),
                    taken_m3,
                    taken_by: taken_m3.map(|_| bought.split),
                    due_m3,
                    pace_m3: taken_m3.zip(due_m3).map(|(taken, due)| taken - due),
                    month_contract_m3: contract,
                    month_taken_m3: month_taken(before, taken_m3),
                    remaining_avg_dcq_m3: contract
                        .zip(before)
                        .map(|(c, t)| remaining_avg_dcq_m3(c, t, self.day)),
                    tomorrow: bought.day_band(self.day.plus(1), id),
                    suggested_m3: self
                        .facts
                        .nominated_tomorrow
                        .as_ref()
                        .and_then(|n| n.suggested.get(&source.id).copied()),
                }
            })
            .collect()
    }

    fn classes(&self) -> Vec<ClassView> {
        classes_of(&self.facts.registry)
            .into_iter()
            .map(|class| {
                let view = DemandView {
                    class: Some(class),
                    ..DemandView::default()
                };
                let actual = self.today.hours_m3(&view);
                let p50 = self
                    .run()
                    .and_then(|run| run.cells.hours_m3(&view, self.day));
                ClassView {
                    class: class.key().to_owned(),
                    today: self
                        .run()
                        .and_then(|run| run.expected_day(&view, &self.today)),
                    yesterday_m3: self.history.day_m3(&view, self.day.plus(-1)),
                    hours: (0..24)
                        .map(|hour| ClassHour {
                            actual_m3: actual.get(hour).copied().flatten(),
                            p50_m3: p50.and_then(|hours| hours.get(hour).copied()),
                        })
                        .collect(),
                }
            })
            .collect()
    }

    fn heatmap(&self) -> Vec<HeatmapDay> {
        let total = DemandView::total();
        let mut rows: Vec<HeatmapDay> = (1..=HEATMAP_DAYS)
            .rev()
            .map(|back| {
                let day = self.day.plus(-back);
                let hours = self.history.hours_m3(&total, day);
                HeatmapDay {
                    day,
                    hours: (0..24)
                        .map(|h| hours.and_then(|hours| hours.get(h).copied()))
                        .collect(),
                }
            })
            .collect();
        let expected = self
            .run()
            .and_then(|run| run.cells.hours_m3(&total, self.day));
        rows.push(HeatmapDay {
            day: self.day,
            hours: self
                .today
                .hours_m3(&total)
                .into_iter()
                .enumerate()
                .map(|(h, actual)| {
                    actual.or_else(|| expected.and_then(|hours| hours.get(h).copied()))
                })
                .collect(),
        });
        rows
    }

    fn top_customers(&self) -> Vec<TopCustomer> {
        let number = |volume: Option<StdVolume>| volume.map(StdVolume::to_f64);
        let mut rows: Vec<&LedgerEntry> = self.facts.ledger.iter().collect();
        rows.sort_by(|a, b| {
            b.yesterday_m3
                .cmp(&a.yesterday_m3)
                .then_with(|| a.account_no.cmp(&b.account_no))
        });
        rows.into_iter()
            .take(TOP_CUSTOMERS)
            .map(|row| TopCustomer {
                account_no: row.account_no.to_string(),
                name: row.name.clone(),
                class: row.class.key().to_owned(),
                latest_flow_m3h: self.latest_flow(&row.account_no),
                yesterday_m3: number(row.yesterday_m3),
                plan_m3: number(row.plan_m3),
                status: row.status,
                sparkline: row.sparkline.clone(),
            })
            .collect()
    }

    /// Volume of the last hour that all meters of a customer have, which is its mean flow.
    fn latest_flow(&self, id: &CustomerId) -> Option<f64> {
        let curves: Option<Vec<&LoadCurve>> = self
            .facts
            .registry
            .meters_of(id)
            .filter(|m| m.is_expected_on(self.day))
            .map(|m| self.facts.curves_today.iter().find(|c| c.meter == m.id))
            .collect();
        let curves = curves.filter(|c| !c.is_empty())?;
        let clock = self.facts.registry.company.gas_day_start_hour;
        let over = usize::try_from((self.facts.now - clock.start_of(self.day)).num_hours())
            .unwrap_or(0)
            .min(24);
        (0..over).rev().find_map(|hour| {
            curves
                .iter()
                .map(|c| {
                    let known = c.quality.get(hour)?.has_volume();
                    known
                        .then(|| c.hours.get(hour).map(|v| v.to_f64()))
                        .flatten()
                })
                .sum::<Option<f64>>()
        })
    }
}

fn month_taken(before: Option<i64>, today: Option<i64>) -> Option<i64> {
    before.map(|m3| m3 + today.unwrap_or(0))
}

/// Part of the draws above a limit; none without draws.
fn share_above(draws: &[f64], limit: f64) -> Option<f64> {
    let above = draws.iter().filter(|d| **d > limit).count();
    (!draws.is_empty()).then(|| above as f64 / draws.len() as f64)
}

/// Classes that have a customer's meter, in the order of forms.
pub fn classes_of(registry: &Registry) -> Vec<CustomerClass> {
    let nodes = registry.nodes();
    CustomerClass::ALL
        .into_iter()
        .filter(|class| nodes.iter().any(|n| n.class == *class))
        .collect()
}

fn quality_key(quality: crate::domain::finding::Quality) -> String {
    key_of(&quality)
}

/// The key an enum has in JSON.
pub fn key_of(value: &impl Serialize) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|v| v.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
