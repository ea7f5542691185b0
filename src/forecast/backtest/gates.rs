//! What would have been published at the gates: the engine itself, with what was known then.

use std::collections::BTreeMap;
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};

use super::{BacktestRequest, DRAWS};
use crate::domain::calendar::GasDay;
use crate::domain::capacity::NodeCapacity;
use crate::domain::demand::{DemandForecast, DemandNode};
use crate::domain::id::{CustomerId, ZoneId};
use crate::forecast::ForecastError;
use crate::forecast::engine;
use crate::forecast::memory::Memory;
use crate::forecast::request::{ForecastRequest, PartsInput};
use crate::forecast::weather::ZoneWeather;

/// A gate is so long after the gas day began (domain.md §2.3).
const GATE: TimeDelta = TimeDelta::minutes(30);
/// Engines beside each other at most; each has the demand for itself.
const THREADS_MAX: usize = 4;
/// Gates that each engine answers before what was said is scored.
const GATES_EACH: usize = 8;

/// What was known at a gate beside demand and weather.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Production changes: change of a node's daily volume by gas day, m³.
    pub effects: BTreeMap<DemandNode, BTreeMap<GasDay, f64>>,
    /// Design flow of the nodes' customers by the day each got gas; what came after the gate is not read.
    pub capacities: BTreeMap<DemandNode, NodeCapacity>,
    /// The same of the large consumers.
    pub customer_capacities: BTreeMap<CustomerId, NodeCapacity>,
    /// Large consumers with their plans, new connections, named factors.
    pub parts: PartsInput,
}

/// A gate, and what was known at it.
pub(super) struct Asked {
    /// The gas day that has begun.
    pub(super) today: GasDay,
    pub(super) horizon: usize,
    pub(super) weather: BTreeMap<ZoneId, ZoneWeather>,
    pub(super) known: Known,
}

/// What was said of a node: its days after the last complete one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    /// Rung of the ladder.
    pub(super) model: String,
    /// m³ by lead.
    pub(super) p50: Vec<f64>,
    /// m³ by draw and lead; none where there is an expectation only.
    pub(super) draws: Vec<Vec<f64>>,
}

/// When the gate of a gas day is.
pub(super) fn gate_at(request: &BacktestRequest, today: GasDay) -> DateTime<Utc> {
    request.clock.start_of(today) + GATE
}

/// Engines that answer gates beside each other.
pub(super) struct Engines {
    requests: Vec<ForecastRequest>,
}

impl Engines {
    pub(super) fn new(request: &BacktestRequest) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let run_id = "backtest".into();
        let (at, clock) = (DateTime::<Utc>::UNIX_EPOCH, request.clock);
        let mut one = ForecastRequest::new(run_id, at, clock, request.calendar.clone());
        one.demand.clone_from(&request.demand);
        one.weather_skill = request.weather_skill;
        one.hourly_days = 0;
        one.draws = DRAWS;
        one.seed = request.seed;
        Self {
            requests: vec![one; threads.min(THREADS_MAX)],
        }
    }

    /// Gates that are best asked about together.
    pub(super) fn at_once(&self) -> usize {
        self.requests.len() * GATES_EACH
    }

    /// What would have been published at each gate, by node; nothing where no node could be forecast.
    pub(super) fn ask(
        &mut self,
        request: &BacktestRequest,
        asked: Vec<Asked>,
    ) -> Result<Vec<BTreeMap<DemandNode, Said>>, ForecastError> {
        let each = asked.len().div_ceil(self.requests.len()).max(1);
        let mut asked = asked.into_iter();
        thread::scope(|scope| {
            let mut working = Vec::new();
            for engine in &mut self.requests {
                let gates: Vec<Asked> = asked.by_ref().take(each).collect();
                working.push(scope.spawn(move || {
                    let gates = gates.into_iter();
                    gates.map(|gate| say(request, engine, gate)).collect()
                }));
            }
            let mut said = Vec::new();
            for one in working {
                let of_gates: Result<Vec<_>, ForecastError> = match one.join() {
                    Ok(of_gates) => of_gates,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                said.extend(of_gates?);
            }
            Ok(said)
        })
    }
}

fn say(
    request: &BacktestRequest,
    engine: &mut ForecastRequest,
    gate: Asked,
) -> Result<BTreeMap<DemandNode, Said>, ForecastError> {
    let known = gate.known;
    engine.origin_at = gate_at(request, gate.today);
    engine.horizon_days = gate.horizon;
    engine.shares = vec![Vec::new(); gate.horizon];
    engine.weather = gate.weather;
    engine.effects = known.effects;
    engine.parts = known.parts;
    // Of those who got gas later nobody could know how they would use it.
    let until = |of: NodeCapacity| of.until(gate.today);
    let capacities = known.capacities.into_iter();
    engine.capacities = Some(capacities.map(|(node, of)| (node, until(of))).collect());
    let of_customers = known.customer_capacities.into_iter();
    engine.customer_capacities = Some(of_customers.map(|(id, of)| (id, until(of))).collect());
    match engine::run_with(engine, &Memory::default()) {
        Ok(run) => Ok(by_node(run.forecast)),
        Err(ForecastError::NoNodes | ForecastError::InsufficientHistory { .. }) => {
            Ok(BTreeMap::new())
        }
        Err(error) => Err(error),
    }
}

fn by_node(forecast: DemandForecast) -> BTreeMap<DemandNode, Said> {
    let horizon = forecast.days.len();
    let nodes = forecast.nodes.into_iter();
    nodes
        .map(|node| {
            let daily = node.draws.daily.chunks(horizon.max(1));
            let said = Said {
                model: node.model,
                p50: node.p50_m3.iter().map(|hours| hours.iter().sum()).collect(),
                draws: daily
                    .map(|draw| draw.iter().map(|m3| f64::from(*m3)).collect())
                    .collect(),
            };
            (node.node, said)
        })
        .collect()
}
