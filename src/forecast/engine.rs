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

use crate::domain::breakdown::Breakdown;
use crate::domain::demand::{DemandCube, DemandForecast, DemandNode};
use crate::domain::months::MonthlyOutlook;
use crate::forecast::ForecastError;
use crate::forecast::draws::{choose_origins, far_reaching};
use crate::forecast::memory::{Learning, Memory};
use crate::forecast::models::daily::DailyOptions;
use crate::forecast::months;
use crate::forecast::parts;
use crate::forecast::request::ForecastRequest;

pub use large::{ConsumerDays, consumer_days};

use assemble::{Frame, node_forecast};
use nodes::{History, PreparedNode, prepare_all};

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
