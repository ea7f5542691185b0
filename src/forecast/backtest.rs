//! Rolling backtest through the operational gates, by the production code path.
//!
//! Two gates (domain.md §2.3): the day-ahead nomination, made at 08:30 on D−1 when metering reaches
//! the end of gas day D−2, so D is lead 2; and the month-ahead request on the 10th of the month
//! before. Each forecast sees demand and weather up to its origin; the weather ahead is the forecast
//! that was known at the gate where it was kept, else re-created from observations with a forecast's
//! error, and climatology where a forecast has lost its skill. The report says how often which.
//! Production changes, filed plans, projects and named factors are those known at the gate, and what is
//! scored is the engine's whole forecast, as a run at the gate would have published it.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::calendar::{Calendar, GasDay, GasDayClock, GasMonth};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandDay, DemandNode, quantile_of_sorted};
use crate::domain::id::ZoneId;
use crate::forecast::ForecastError;
use crate::forecast::draws::{choose_origins, daily_draw, far_reaching, path_for};
use crate::forecast::engine::label;
use crate::forecast::features::calendar::DayTraits;
use crate::forecast::metrics::{Outcome, Scores, Tally};
use crate::forecast::models::daily::{DailyModel, DailyOptions};
use crate::forecast::models::seasonal_naive;
use crate::forecast::models::series::DailyForecast;
use crate::forecast::models::series::DailySeries;
use crate::forecast::weather::{
    Climatology, ForecastSkill, WeatherAhead, ZoneWeather, ahead_of_past_origin,
};

use gates::{Asked, Engines, Said, gate_at};

pub use gates::Known;

const DRAWS: usize = 200;
/// Complete days before the first target.
const HISTORY_DAYS_MIN: usize = 60;
const MONTH_LEADS_MAX: usize = 62;

/// What a backtest is made from.
#[derive(Debug, Clone)]
pub struct BacktestRequest {
    /// Complete gas days of the nodes, in any order.
    pub demand: Vec<DemandDay>,
    /// Observed daily mean temperatures by zone, °C.
    pub observed: BTreeMap<ZoneId, BTreeMap<GasDay, f64>>,
    /// Weather forecasts as they were known at the gate: by zone and origin (the last complete gas
    /// day, the gate being half an hour after its end), daily means of the days after it, °C.
    pub issued: BTreeMap<ZoneId, BTreeMap<GasDay, BTreeMap<GasDay, f64>>>,
    /// Holidays.
    pub calendar: Calendar,
    /// How gas days are cut.
    pub clock: GasDayClock,
    /// How good weather forecasts are taken to have been.
    pub weather_skill: ForecastSkill,
    /// Gas days forecast and scored, before the last complete one; 365 is a year.
    pub days: usize,
    /// Seed of the draws.
    pub seed: u64,
}

/// When a forecast is made, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Daily nomination: lead 2.
    DayAhead,
    /// Monthly request, days of the month.
    MonthAheadDays,
    /// Monthly request, total of the month.
    MonthAheadTotal,
}

/// Model and baseline on the same days. Where a node is too young for the baseline, its model is in the
/// sums and the baseline's are without it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// The published model.
    pub model: Scores,
    /// Seasonal naive.
    pub seasonal_naive: Scores,
}

/// Scores of one gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// The gate.
    pub gate: Gate,
    /// All nodes summed.
    pub total: Compared,
    /// Classes summed over zones.
    pub classes: Vec<(CustomerClass, Compared)>,
    /// Nodes.
    pub nodes: Vec<(DemandNode, Compared)>,
    /// The total by lead, days after the last complete one.
    pub leads: Vec<(usize, Compared)>,
    /// Classes by lead.
    #[serde(default)]
    pub class_leads: Vec<(CustomerClass, usize, Compared)>,
    /// Nodes by lead.
    #[serde(default)]
    pub node_leads: Vec<(DemandNode, usize, Compared)>,
}

/// Result of a backtest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BacktestReport {
    /// First gas day scored.
    pub from: GasDay,
    /// Last gas day scored.
    pub to: GasDay,
    /// One report for each gate.
    pub gates: Vec<GateReport>,
    /// Where the weather ahead came from.
    #[serde(default)]
    pub weather: WeatherUsed,
}

/// Where the weather ahead came from, counted by zone and origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WeatherUsed {
    /// Origins at which the stored forecast of that time was replayed.
    pub replayed: usize,
    /// Origins at which none was kept, so that it was re-created from observations with an error.
    pub recreated: usize,
}

/// What a tally is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Total,
    Class(CustomerClass),
    Node(usize),
    Lead(usize),
    ClassLead(CustomerClass, usize),
    NodeLead(usize, usize),
}

type Tallies = BTreeMap<Key, [Tally; 2]>;

struct NodeModel {
    node: DemandNode,
    model: DailyModel,
    ahead: WeatherAhead,
}

/// One node's forecasts at an origin: model and baseline, as far as there are any.
type Pair = [Option<Said>; 2];

/// A forecast that is scored: index of the last complete day, and days after it.
type GateAsked = (usize, usize);

/// Runs both gates over the last `days` complete gas days; `known` says what was known beside demand and
/// weather at an instant, of so many gas days from its own on.
///
/// # Errors
/// No demand, fewer than 60 complete days of any node before the first day scored, or what `known` says.
pub fn run<E: From<ForecastError>>(
    request: &BacktestRequest,
    mut known: impl FnMut(DateTime<Utc>, usize) -> Result<Known, E>,
) -> Result<BacktestReport, E> {
    let last = request
        .demand
        .iter()
        .map(|d| d.day)
        .max()
        .ok_or(ForecastError::NoNodes)?;
    let first = request
        .demand
        .iter()
        .map(|d| d.day)
        .min()
        .ok_or(ForecastError::NoNodes)?;
    let count = index(first, last) + 1;
    if count < HISTORY_DAYS_MIN + 2 {
        let error = ForecastError::InsufficientHistory {
            series: "all nodes".into(),
            have: count,
            need: HISTORY_DAYS_MIN + 2,
        };
        return Err(error.into());
    }
    let start = count
        .saturating_sub(request.days.max(1))
        .max(HISTORY_DAYS_MIN);
    let nodes = node_models(request, first, count);
    let steps = Steps::new(&nodes, start);
    let mut weather = BTreeMap::new();
    let (mut day_ahead, mut days, mut months) = <(Tallies, Tallies, Tallies)>::default();
    let gates: Vec<GateAsked> = (start..count)
        .filter_map(|target| Some((target.checked_sub(2)?, 2)))
        .collect();
    let mut forecasts = Forecasts {
        request,
        known: &mut known,
        engines: Engines::new(request),
        weather: &mut weather,
    };
    forecasts.each(&nodes, &gates, |nodes, (origin, _), pairs| {
        score(nodes, pairs, origin, &[2], &steps.by_day, &mut day_ahead);
    })?;
    let asked = month_gates(first, start, count);
    let gates: Vec<GateAsked> = asked.keys().copied().collect();
    forecasts.each(&nodes, &gates, |nodes, gate, pairs| {
        let (origin, leads) = (gate.0, &asked[&gate]);
        for lead in leads {
            score(nodes, pairs, origin, &[*lead], &steps.by_day, &mut days);
        }
        score(nodes, pairs, origin, leads, &steps.by_month, &mut months);
    })?;
    let replayed = weather.values().filter(|is_stored| **is_stored).count();
    let gates = [
        (Gate::DayAhead, day_ahead),
        (Gate::MonthAheadDays, days),
        (Gate::MonthAheadTotal, months),
    ]
    .into_iter()
    .map(|(gate, tallies)| report(gate, &tallies, &nodes))
    .collect();
    Ok(BacktestReport {
        from: first.plus(as_days(start)),
        to: last,
        gates,
        weather: WeatherUsed {
            replayed,
            recreated: weather.len() - replayed,
        },
    })
}

fn index(first: GasDay, day: GasDay) -> usize {
    usize::try_from(day.days_since(first)).unwrap_or(0)
}

fn as_days(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn node_models(request: &BacktestRequest, first: GasDay, count: usize) -> Vec<NodeModel> {
    let days = count + MONTH_LEADS_MAX + 2;
    let mut values: BTreeMap<&DemandNode, Vec<f64>> = BTreeMap::new();
    let mut deviations: BTreeMap<&DemandNode, Vec<f64>> = BTreeMap::new();
    for day in &request.demand {
        let of_node = values
            .entry(&day.node)
            .or_insert_with(|| vec![f64::NAN; count]);
        of_node[index(first, day.day)] = day.volume_m3();
        if day.uncertainty_m3 > 0.0 {
            let of_node = deviations
                .entry(&day.node)
                .or_insert_with(|| vec![0.0; count]);
            of_node[index(first, day.day)] = day.deviation_m3();
        }
    }
    values
        .into_iter()
        .map(|(node, values)| {
            let traits = DayTraits::span_of(&request.calendar, node, first, days);
            let observed = request.observed.get(&node.zone).filter(|o| !o.is_empty());
            let temperatures = observed.map_or_else(Vec::new, |observed| {
                let at = |i: usize| observed.get(&traits[i].day).copied().unwrap_or(f64::NAN);
                (0..count).map(at).collect()
            });
            let ahead = if temperatures.is_empty() {
                WeatherAhead::None
            } else {
                WeatherAhead::Forecast(request.weather_skill)
            };
            let series = DailySeries {
                values,
                traits,
                temperatures,
                deviations: deviations.remove(node).unwrap_or_default(),
                climate: Vec::new(),
            };
            let series = match observed {
                Some(observed) => series.with_climate(observed),
                None => series,
            };
            NodeModel {
                node: node.clone(),
                model: DailyModel::new(series, DailyOptions::chinese()),
                ahead,
            }
        })
        .collect()
}

/// Whether the weather forecast of that time was replayed, by zone and origin.
type WeatherLog = BTreeMap<(ZoneId, usize), bool>;

/// Forecasts at the gates, a few of them at a time.
struct Forecasts<'a, K> {
    request: &'a BacktestRequest,
    known: &'a mut K,
    engines: Engines,
    weather: &'a mut WeatherLog,
}

impl<K> Forecasts<'_, K> {
    /// Makes the forecasts of each gate and gives them away, gate by gate.
    fn each<E: From<ForecastError>>(
        &mut self,
        nodes: &[NodeModel],
        gates: &[GateAsked],
        mut then: impl FnMut(&[NodeModel], GateAsked, &[Pair]),
    ) -> Result<(), E>
    where
        K: FnMut(DateTime<Utc>, usize) -> Result<Known, E>,
    {
        let Some(first) = nodes.first().map(|node| node.model.series().first()) else {
            return Ok(());
        };
        for gates in gates.chunks(self.engines.at_once()) {
            let mut asked = Vec::with_capacity(gates.len());
            for (origin, horizon) in gates.iter().copied() {
                let today = first.plus(as_days(origin) + 1);
                asked.push(Asked {
                    today,
                    horizon,
                    weather: weather_of(nodes, origin, horizon, self.request, self.weather),
                    known: (self.known)(gate_at(self.request, today), horizon)?,
                });
            }
            let said = self.engines.ask(self.request, asked)?;
            for (gate, mut of_nodes) in gates.iter().zip(said) {
                let (origin, horizon) = *gate;
                let baselines = baselines(nodes, origin, horizon, self.request.seed);
                let pairs: Vec<Pair> = nodes
                    .iter()
                    .zip(baselines)
                    .map(|(node, baseline)| [of_nodes.remove(&node.node), baseline])
                    .collect();
                then(nodes, *gate, &pairs);
            }
        }
        Ok(())
    }
}

/// Weather as it was known at an origin, by zone.
fn weather_of(
    nodes: &[NodeModel],
    origin: usize,
    horizon: usize,
    request: &BacktestRequest,
    log: &mut WeatherLog,
) -> BTreeMap<ZoneId, ZoneWeather> {
    let mut zones = BTreeMap::new();
    for node in nodes {
        let zone = &node.node.zone;
        let series = node.model.series();
        let known = series.temperatures.get(..=origin).unwrap_or(&[]);
        if known.is_empty() || zones.contains_key(zone) {
            continue;
        }
        let issued = request
            .issued
            .get(zone)
            .and_then(|of_zone| of_zone.get(&series.traits[origin].day));
        log.insert((zone.clone(), origin), issued.is_some());
        let ahead = (1..=horizon).map(|lead| series.traits[origin + lead].day);
        let (first, climate_known) = series.climate_until(origin);
        let (_, climate, before) = series.climate();
        let forecast = match issued {
            Some(days) => ahead
                .filter_map(|day| Some((day, *days.get(&day)?)))
                .collect(),
            // Re-created: truth plus a forecast's error.
            None => ahead
                .zip(ahead_of_past_origin(
                    node.ahead,
                    &Climatology::new(first, climate_known),
                    first,
                    climate,
                    before + origin,
                    horizon,
                ))
                .filter(|(_, temperature)| temperature.is_finite())
                .collect(),
        };
        let observed = request.observed.get(zone);
        let observed = observed.into_iter().flatten();
        let until = series.traits[origin].day;
        let of_zone = ZoneWeather {
            observed: observed
                .take_while(|(day, _)| **day <= until)
                .map(|(day, temperature)| (*day, *temperature))
                .collect(),
            forecast,
            issued_at: None,
        };
        zones.insert(zone.clone(), of_zone);
    }
    zones
}

/// Seasonal-naive forecasts of every node at an origin with their draws; none where a node is too young.
fn baselines(nodes: &[NodeModel], origin: usize, horizon: usize, seed: u64) -> Vec<Option<Said>> {
    let Some(first) = nodes.first() else {
        return Vec::new();
    };
    let day = first.model.series().traits[origin].day;
    let forecasts: Vec<Option<DailyForecast>> = nodes
        .iter()
        .map(|node| {
            let known = node.model.series().days_known(origin);
            let is_known = known >= seasonal_naive::DAYS_MIN;
            is_known.then(|| node.model.baseline(origin, horizon))?
        })
        .collect();
    let paths: Vec<_> = forecasts
        .iter()
        .flatten()
        .map(|forecast| forecast.paths.as_slice())
        .collect();
    let chosen = choose_origins(far_reaching(&paths, day), day, DRAWS, seed);
    forecasts
        .into_iter()
        .map(|forecast| {
            let forecast = forecast?;
            let draw = |past: &GasDay| daily_draw(&forecast.p50, path_for(&forecast.paths, *past));
            Some(Said {
                model: forecast.model.to_owned(),
                draws: chosen.iter().map(draw).collect(),
                p50: forecast.p50,
            })
        })
        .collect()
}

/// Sums each draw over some leads: `[model or baseline][node][draw]`, with the expectation last.
fn drawn_sums(pairs: &[Pair], which: usize, leads: &[usize]) -> Vec<Option<Vec<f64>>> {
    let sum = |volumes: &[f64]| leads.iter().map(|lead| volumes[lead - 1]).sum::<f64>();
    pairs
        .iter()
        .map(|pair| {
            let said = pair[which].as_ref()?;
            let mut sums: Vec<f64> = said.draws.iter().map(|draw| sum(draw)).collect();
            sums.push(sum(&said.p50));
            Some(sums)
        })
        .collect()
}

/// Scores model and baseline on the sum of some leads after an origin, by node, class and total.
fn score(
    nodes: &[NodeModel],
    pairs: &[Pair],
    origin: usize,
    leads: &[usize],
    steps: &BTreeMap<Key, f64>,
    tallies: &mut Tallies,
) {
    let truths: Vec<Option<f64>> = nodes
        .iter()
        .map(|node| {
            let values = &node.model.series().values;
            leads
                .iter()
                .map(|lead| values.get(origin + lead).copied().filter(|v| v.is_finite()))
                .sum()
        })
        .collect();
    for which in 0..2 {
        let drawn = drawn_sums(pairs, which, leads);
        let mut groups: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for (i, node) in nodes.iter().enumerate() {
            if truths[i].is_none() || drawn[i].is_none() {
                continue;
            }
            for key in [Key::Total, Key::Class(node.node.class), Key::Node(i)] {
                groups.entry(key).or_default().push(i);
            }
        }
        for (key, members) in groups {
            let truth: f64 = members.iter().filter_map(|i| truths[*i]).sum();
            let mut sums = vec![0.0; DRAWS + 1];
            for of_node in members.iter().filter_map(|i| drawn[*i].as_ref()) {
                let own = of_node.len() - 1;
                for (draw, sum) in sums.iter_mut().enumerate() {
                    // A node without paths has its expectation only.
                    *sum += of_node[if draw == DRAWS { own } else { draw.min(own) }];
                }
            }
            let p50 = sums.pop().unwrap_or(0.0);
            sums.sort_by(f64::total_cmp);
            let p10 = quantile_of_sorted(&sums, 0.1).min(p50);
            let p90 = quantile_of_sorted(&sums, 0.9).max(p50);
            let step = steps.get(&key).copied().unwrap_or(0.0);
            let outcome = Outcome {
                p10,
                p50,
                p90,
                truth,
            };
            if let [lead] = leads {
                let by_lead = match &key {
                    Key::Class(class) => Key::ClassLead(*class, *lead),
                    Key::Node(i) => Key::NodeLead(*i, *lead),
                    _ => Key::Lead(*lead),
                };
                tallies.entry(by_lead).or_default()[which].add(outcome, step);
            }
            tallies.entry(key).or_default()[which].add(outcome, step);
        }
    }
}

/// Whole months from the first scored day on, asked for on the 10th of the month before: gates, and leads of
/// the month's days.
fn month_gates(first: GasDay, start: usize, count: usize) -> BTreeMap<GateAsked, Vec<usize>> {
    let mut gates = BTreeMap::new();
    let mut month: GasMonth = first.plus(as_days(start)).month();
    loop {
        let from = index(first, month.first_day());
        let until = index(first, month.next().first_day());
        if until > count {
            return gates;
        }
        let made = month.previous().first_day().plus(9).days_since(first);
        // Metering reaches the end of the 9th.
        let origin = usize::try_from(made - 1)
            .ok()
            .filter(|o| *o + 1 >= HISTORY_DAYS_MIN);
        if let Some(origin) = origin.filter(|_| from >= start) {
            let leads = (from - origin..until - origin).collect();
            gates.insert((origin, until - origin - 1), leads);
        }
        month = month.next();
    }
}

/// Steps of the naive forecasts that errors are measured in.
struct Steps {
    by_day: BTreeMap<Key, f64>,
    by_month: BTreeMap<Key, f64>,
}

impl Steps {
    fn new(nodes: &[NodeModel], start: usize) -> Self {
        Self {
            by_day: steps(nodes, start, 7),
            by_month: steps(nodes, start, 30),
        }
    }
}

/// Mean |yₜ − yₜ₋ₗₐ₉| before the first scored day, by node, class and total; for lag 30, of sums
/// over 30 days.
fn steps(nodes: &[NodeModel], start: usize, lag: usize) -> BTreeMap<Key, f64> {
    let mut summed: BTreeMap<Key, Vec<f64>> = BTreeMap::new();
    for (i, node) in nodes.iter().enumerate() {
        let values = &node.model.series().values[..start];
        for key in [Key::Total, Key::Class(node.node.class), Key::Node(i)] {
            let sum = summed.entry(key).or_insert_with(|| vec![0.0; start]);
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += if value.is_finite() { *value } else { 0.0 };
            }
        }
    }
    summed
        .into_iter()
        .map(|(key, values)| {
            let values: Vec<f64> = if lag == 7 {
                values
            } else {
                values.windows(lag).map(|w| w.iter().sum()).collect()
            };
            let differences: Vec<f64> = (lag..values.len())
                .map(|i| (values[i] - values[i - lag]).abs())
                .collect();
            (
                key,
                differences.iter().sum::<f64>() / (differences.len() as f64).max(1.0),
            )
        })
        .collect()
}

fn report(gate: Gate, tallies: &Tallies, nodes: &[NodeModel]) -> GateReport {
    let mut out = GateReport {
        gate,
        total: Compared::default(),
        classes: Vec::new(),
        nodes: Vec::new(),
        leads: Vec::new(),
        class_leads: Vec::new(),
        node_leads: Vec::new(),
    };
    for (key, [model, baseline]) in tallies {
        let compared = Compared {
            model: model.scores(),
            seasonal_naive: baseline.scores(),
        };
        match key {
            Key::Total => out.total = compared,
            Key::Class(class) => out.classes.push((*class, compared)),
            Key::Node(i) => out.nodes.push((nodes[*i].node.clone(), compared)),
            Key::Lead(lead) => out.leads.push((*lead, compared)),
            Key::ClassLead(class, lead) => out.class_leads.push((*class, *lead, compared)),
            Key::NodeLead(i, lead) => {
                out.node_leads
                    .push((nodes[*i].node.clone(), *lead, compared));
            }
        }
    }
    out
}

impl fmt::Display for BacktestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "gas days {} to {}; seasonal naive in brackets",
            self.from, self.to
        )?;
        writeln!(
            f,
            "weather ahead: {} zone-origins by the forecast known then, {} re-created from observations",
            self.weather.replayed, self.weather.recreated
        )?;
        for gate in &self.gates {
            let name = match gate.gate {
                Gate::DayAhead => "day-ahead (lead 2)",
                Gate::MonthAheadDays => "month-ahead, days",
                Gate::MonthAheadTotal => "month-ahead, month totals",
            };
            writeln!(f, "\n{name}")?;
            writeln!(
                f,
                "{:<34}{:>6}{:>18}{:>16}{:>18}{:>18}{:>16}",
                "", "n", "WAPE %", "MASE", "BIAS %", "pinball %", "P10–P90 %"
            )?;
            row(f, "total", &gate.total)?;
            for (class, compared) in &gate.classes {
                row(f, class.key(), compared)?;
            }
            for (node, compared) in &gate.nodes {
                row(f, &label(node), compared)?;
            }
            if gate.leads.len() > 1 {
                for (lead, compared) in &gate.leads {
                    row(f, &format!("total, lead {lead}"), compared)?;
                }
            }
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, compared: &Compared) -> fmt::Result {
    let pair = |pick: fn(&Scores) -> f64, scale: f64| {
        format!(
            "{:.2} ({:.2})",
            scale * pick(&compared.model),
            scale * pick(&compared.seasonal_naive)
        )
    };
    writeln!(
        f,
        "{name:<34}{:>6}{:>18}{:>16}{:>18}{:>18}{:>16}",
        compared.model.count,
        pair(|s| s.wape, 100.0),
        pair(|s| s.mase, 1.0),
        pair(|s| s.bias, 100.0),
        pair(|s| s.pinball, 100.0),
        format!(
            "{:.0} ({:.0})",
            100.0 * compared.model.coverage,
            100.0 * compared.seasonal_naive.coverage
        ),
    )
}

mod gates;
pub mod page;

#[cfg(test)]
mod tests;
