//! The engine: what is known at an origin in, a published forecast out.
//!
//! Pure and deterministic: the same request gives the same bits. Days from the origin's gas day on
//! are not read from the demand, whatever the request holds; hours of that day already metered are
//! given apart and taken as they are.

mod assemble;
#[cfg(test)]
mod memory_tests;
mod cold_start;
pub(in crate::forecast) mod ladder;
mod large;
mod nodes;
mod pooling;
mod shares;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::capacity::NodeCapacity;
use crate::domain::demand::{
    DRAWS_MAX, DemandCube, DemandDay, DemandForecast, DemandNode, HORIZON_DAYS_MAX,
};
use crate::domain::id::{CustomerId, RunId, SourceId, ZoneId};
use crate::domain::months::{MonthlyOutlook, OUTLOOK_MONTHS};
use crate::forecast::ForecastError;
use crate::forecast::draws::{choose_origins, far_reaching};
use crate::forecast::memory::{Learning, Memory};
use crate::forecast::models::daily::{DailyOptions, Weighing};
use crate::forecast::months::{self, MonthsInput};
use crate::forecast::parts::{self, PartsInput};
use crate::forecast::weather::{ForecastSkill, ZoneWeather};

pub use large::{ConsumerDays, consumer_days};

use assemble::{Frame, node_forecast};
use nodes::{History, PreparedNode, prepare_all};

/// Which models the engine may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModelChoice {
    /// The best the history allows.
    #[default]
    Best,
    /// The baseline only, to stand beside it.
    SeasonalNaive,
}

/// Everything a forecast is made from.
#[derive(Debug, Clone)]
pub struct ForecastRequest {
    /// Identifier of the run.
    pub run_id: RunId,
    /// Nothing later is used.
    pub origin_at: DateTime<Utc>,
    /// How gas days are cut.
    pub clock: GasDayClock,
    /// Holidays.
    pub calendar: Calendar,
    /// Complete gas days of the nodes, in any order; days from the origin's gas day on are ignored.
    pub demand: Vec<DemandDay>,
    /// Hours of the origin's gas day already metered, m³.
    pub today_hours: BTreeMap<DemandNode, [Option<f64>; 24]>,
    /// Temperatures by zone as known at the origin; observed days from the origin's gas day on are
    /// ignored.
    pub weather: BTreeMap<ZoneId, ZoneWeather>,
    /// How good the weather forecast is by lead.
    pub weather_skill: ForecastSkill,
    /// Source shares of each day of the horizon.
    pub shares: Vec<Vec<(ZoneId, SourceId, f64)>>,
    /// Known production changes: change of a node's daily volume by gas day, m³, past days too. Past
    /// changes are taken out of the history before learning, those to come are added.
    pub effects: BTreeMap<DemandNode, BTreeMap<GasDay, f64>>,
    /// Design flow of the nodes' customers, those of projects on their ramp left out; nodes without
    /// history are forecast by it. None only in runs of earlier programs, which are made again
    /// without.
    pub capacities: Option<BTreeMap<DemandNode, NodeCapacity>>,
    /// Design flow of the large consumers; young ones are forecast by it and by those alike. None only
    /// in runs of earlier programs, which are made again as they were: of their own days, and with
    /// draws from the past of all nodes, however short.
    pub customer_capacities: Option<BTreeMap<CustomerId, NodeCapacity>>,
    /// Large consumers with their plans, new connections, named factors.
    pub parts: PartsInput,
    /// What the months after the days are made from; none where they are not asked for.
    pub months: Option<MonthsInput>,
    /// Gas days ahead, the origin's own included: 1 to [`HORIZON_DAYS_MAX`].
    pub horizon_days: usize,
    /// Days that get hourly draws, at most `horizon_days`.
    pub hourly_days: usize,
    /// Joint draws, at most [`DRAWS_MAX`].
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Whether days that are partly estimated count less, by [`DemandDay::uncertainty_m3`].
    pub weighs_estimates: bool,
    /// In what they do.
    pub weighing: Weighing,
    /// Whether climatology knows all observed temperatures; if not, those of each series' own days, as in
    /// runs of earlier programs.
    pub reads_climate: bool,
    /// What the models may be.
    pub models: ModelChoice,
    /// What else it was made from: `registry`, `program`, … copied into the result.
    pub inputs: Vec<(String, String)>,
}

impl ForecastRequest {
    /// A request with the usual settings (62 days, 8 of them hourly, 200 draws) and nothing in it.
    pub fn new(
        run_id: RunId,
        origin_at: DateTime<Utc>,
        clock: GasDayClock,
        calendar: Calendar,
    ) -> Self {
        Self {
            run_id,
            origin_at,
            clock,
            calendar,
            demand: Vec::new(),
            today_hours: BTreeMap::new(),
            weather: BTreeMap::new(),
            weather_skill: ForecastSkill::default(),
            shares: Vec::new(),
            effects: BTreeMap::new(),
            capacities: Some(BTreeMap::new()),
            customer_capacities: Some(BTreeMap::new()),
            parts: PartsInput::default(),
            months: None,
            horizon_days: 62,
            hourly_days: 8,
            draws: 200,
            seed: 1,
            weighs_estimates: true,
            weighing: Weighing::All,
            reads_climate: true,
            models: ModelChoice::Best,
            inputs: Vec::new(),
        }
    }

    fn check_days(&self) -> Result<(), ForecastError> {
        let horizon = self.horizon_days;
        let is_ok = (1..=HORIZON_DAYS_MAX).contains(&horizon);
        in_range("horizon_days", horizon, is_ok, "1 to 100 days")
    }

    fn check(&self) -> Result<(), ForecastError> {
        self.check_days()?;
        let horizon = self.horizon_days;
        in_range(
            "hourly_days",
            self.hourly_days,
            self.hourly_days <= horizon,
            "at most horizon_days",
        )?;
        in_range("draws", self.draws, self.draws <= DRAWS_MAX, "0 to 2000")?;
        if let Some(months) = &self.months {
            let is_ok = OUTLOOK_MONTHS.contains(&months.count);
            in_range("months", months.count, is_ok, "12 to 18 months")?;
        }
        if self.shares.len() < horizon {
            return Err(ForecastError::SharesMissing {
                have: self.shares.len(),
                need: horizon,
            });
        }
        Ok(())
    }
}

fn in_range(
    what: &'static str,
    have: usize,
    is_ok: bool,
    allowed: &'static str,
) -> Result<(), ForecastError> {
    if is_ok {
        return Ok(());
    }
    Err(ForecastError::OutOfRange {
        what,
        have,
        allowed,
    })
}

/// Forecasts every node of the request.
///
/// Models by what the history allows: `regression` from some 90 complete days; where alike nodes have
/// one, `class_profile_scaled` or `class_profile_design_flow` below that and while a regression is
/// young; else `seasonal_naive` from 8 days, `recent_mean` from 3. A node with less is left out and
/// named under `left_out` in the inputs.
///
/// # Errors
/// A request out of bounds, values that are not numbers, or no node with enough history.
pub fn run(request: &ForecastRequest) -> Result<DemandForecast, ForecastError> {
    run_in_parts(request).map(|(forecast, _)| forecast)
}

/// The same, with what each published figure consists of.
///
/// # Errors
/// As [`run`].
pub fn run_in_parts(
    request: &ForecastRequest,
) -> Result<(DemandForecast, Breakdown), ForecastError> {
    run_with(request, &Memory::default()).map(|run| (run.forecast, run.breakdown))
}

/// A forecast, and what became of it on the way.
#[derive(Debug, Clone)]
pub struct EngineRun {
    /// The forecast.
    pub forecast: DemandForecast,
    /// What each published figure consists of.
    pub breakdown: Breakdown,
    /// The months ahead, where they were asked for.
    pub months: Option<MonthlyOutlook>,
    /// Which regressions were learnt by this run, and which by runs before.
    pub learning: Learning,
}

/// The same by what earlier runs learnt, where that is what this one would learn: the forecast is
/// that of an empty memory to the bit.
///
/// # Errors
/// As [`run`].
pub fn run_with(request: &ForecastRequest, memory: &Memory) -> Result<EngineRun, ForecastError> {
    request.check()?;
    let recall = memory.of_run(&request.run_id);
    let today = request.clock.day_of(request.origin_at);
    let histories = History::collect(request, today)?;
    if histories.is_empty() {
        return Err(ForecastError::NoNodes);
    }
    let taken_out = parts::taken_out(request, today);
    let options = DailyOptions {
        weighing: request.weighing,
        ..DailyOptions::chinese()
    };
    let (prepared, left_out, priors) =
        prepare_all(request, &recall, &taken_out, today, histories, options)?;
    let origin = today.plus(-1);
    let paths: Vec<_> = prepared
        .iter()
        .map(|n| n.forecast.paths.as_slice())
        .collect();
    let paths = if request.customer_capacities.is_some() {
        far_reaching(&paths, origin)
    } else {
        paths
    };
    let chosen = choose_origins(paths, origin, request.draws, request.seed);
    let frame = Frame {
        request,
        today,
        chosen: &chosen,
    };
    let nodes: Vec<_> = prepared
        .iter()
        .map(|node| node_forecast(&frame, node))
        .collect();
    let shares = request.shares[..request.horizon_days].to_vec();
    let around = parts::Frame {
        request,
        today,
        chosen: &chosen,
    };
    let consumers = large::known(request, today);
    let own = large::forecasts(request, &recall, today, &consumers, &priors.consumers);
    let mut mixed = parts::mix(&around, nodes, &own);
    let nodes = std::mem::take(&mut mixed.nodes);
    let cube = DemandCube::publish(&nodes, &shares);
    let breakdown = mixed.publish(&nodes, &cube);
    let forecast = DemandForecast {
        run_id: request.run_id.clone(),
        origin_at: request.origin_at,
        days: (0_i64..)
            .take(request.horizon_days)
            .map(|i| today.plus(i))
            .collect(),
        hourly_days: request.hourly_days,
        clock: request.clock,
        cube,
        inputs: inputs(request, &prepared, &left_out),
        nodes,
        shares,
    };
    let months = request.months.as_ref().map(|asked| {
        let festivals = prepared
            .iter()
            .filter_map(|node| Some((node.node.clone(), node.festival?)))
            .collect();
        let run = months::Run {
            request,
            today,
            taken_out: &taken_out,
            chosen: &chosen,
            festivals,
            forecast: &forecast,
            breakdown: &breakdown,
        };
        months::outlook(&run, asked)
    });
    Ok(EngineRun {
        forecast,
        breakdown,
        months,
        learning: recall.learning(),
    })
}

fn inputs(
    request: &ForecastRequest,
    prepared: &[PreparedNode],
    left_out: &[String],
) -> Vec<(String, String)> {
    let mut inputs = request.inputs.clone();
    let mut add = |key: &str, value: String| inputs.push((key.to_owned(), value));
    if let Some(day) = prepared.iter().filter_map(|n| n.last_known).max() {
        add("demand_through", day.to_string());
    }
    let lagging: Vec<String> = prepared
        .iter()
        .filter(|n| n.last_known < prepared.iter().map(|m| m.last_known).max().flatten())
        .map(|n| {
            format!(
                "{} {}",
                label(&n.node),
                n.last_known.map(|d| d.to_string()).unwrap_or_default()
            )
        })
        .collect();
    if !lagging.is_empty() {
        add("demand_behind", lagging.join(", "));
    }
    match request.weather.values().filter_map(|w| w.issued_at).max() {
        Some(at) => add("weather_issued_at", at.to_rfc3339()),
        None => add("weather_issued_at", "none".to_owned()),
    }
    add("draws", request.draws.to_string());
    add("seed", request.seed.to_string());
    if !left_out.is_empty() {
        add("left_out", left_out.join(", "));
    }
    inputs
}

/// `zone/class`, as nodes are named in messages.
pub fn label(node: &DemandNode) -> String {
    format!("{}/{}", node.zone, node.class.key())
}
