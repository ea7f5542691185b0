//! Puts plans, projects and factors into the engine's nodes, expectation and draws alike.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::consumers::{Expected, expected};
use crate::domain::breakdown::{Addition, Part};
use crate::domain::calendar::GasDay;
use crate::domain::connection::NewConnection;
use crate::domain::demand::{DemandNode, Draws, NodeForecast};
use crate::domain::factor::{Factor, FactorAmount};
use crate::forecast::models::series::DailyForecast;
use crate::forecast::request::{ConsumerInput, ForecastRequest, Project};

/// Model of a node that has no history yet.
pub(in crate::forecast) const NEW_NODE: &str = "new_connection";

/// What is common to all nodes.
#[derive(Clone, Copy)]
pub(in crate::forecast) struct Frame<'a> {
    pub(in crate::forecast) request: &'a ForecastRequest,
    pub(in crate::forecast) today: GasDay,
    pub(in crate::forecast) chosen: &'a [GasDay],
}

/// The nodes with everything in them, and what they consist of, in m³ before rounding.
pub(in crate::forecast) struct Mixed {
    pub(in crate::forecast) nodes: Vec<NodeForecast>,
    /// By node and day, in the order of [`Part::ALL`].
    pub(super) parts: Vec<Vec<[f64; 4]>>,
    pub(super) consumers: Vec<MixedConsumer>,
    pub(super) connections: Vec<Addition>,
    pub(super) factors: Vec<Addition>,
}

/// A large consumer after plans.
pub(super) struct MixedConsumer {
    pub(super) input: ConsumerInput,
    pub(super) model: &'static str,
    pub(super) bias: f64,
    pub(super) p50: Vec<f64>,
    pub(super) is_planned: Vec<bool>,
    /// m³ by draw and day.
    pub(super) draws: Vec<Vec<f64>>,
}

/// A project, with whether gas flows in each draw.
struct Drawn<'a> {
    project: &'a Project,
    flows: Vec<bool>,
    added: Addition,
}

/// A factor and the volume it is spread over, by day.
struct Spread<'a> {
    factor: &'a Factor,
    covered: Vec<f64>,
}

/// Mixes the parts; `own` is what is expected of each consumer before plans and production changes.
pub(in crate::forecast) fn mix(
    frame: &Frame<'_>,
    mut nodes: Vec<NodeForecast>,
    own: &[Option<DailyForecast>],
) -> Mixed {
    let request = frame.request;
    let mut by_node: BTreeMap<&DemandNode, Vec<(&ConsumerInput, Expected)>> = BTreeMap::new();
    for (i, consumer) in request.parts.consumers.iter().enumerate() {
        let own = own.get(i).and_then(Option::as_ref);
        if let Some(own) = expected(consumer, frame, own) {
            by_node
                .entry(&consumer.node)
                .or_default()
                .push((consumer, own));
        }
    }
    let mut projects: Vec<Drawn<'_>> = request
        .parts
        .projects
        .iter()
        .map(|project| drawn(frame, project))
        .collect();
    add_missing(frame, &mut nodes, &by_node, &projects);
    let spreads = spreads(frame, &nodes);
    let mut out = Mixed {
        parts: Vec::with_capacity(nodes.len()),
        nodes: Vec::with_capacity(nodes.len()),
        consumers: Vec::new(),
        connections: Vec::new(),
        factors: Vec::new(),
    };
    for node in nodes {
        let consumers = by_node.remove(&node.node).unwrap_or_default();
        let mut mixer = Mixer::new(frame, node, consumers, &mut projects, &spreads);
        let parts = (0..request.horizon_days)
            .map(|lead| mixer.day(lead))
            .collect();
        out.parts.push(parts);
        out.nodes.push(mixer.node);
        out.consumers
            .extend(mixer.consumers.into_iter().map(|c| c.0));
        out.factors.extend(mixer.factors);
    }
    out.connections = projects
        .into_iter()
        .map(|p| p.added)
        .filter(|added| added.m3.iter().any(|m3| *m3 != 0.0))
        .collect();
    out.factors.retain(|f| f.m3.iter().any(|m3| *m3 != 0.0));
    out
}

fn drawn<'a>(frame: &Frame<'_>, project: &'a Project) -> Drawn<'a> {
    Drawn {
        project,
        flows: flows(frame.request.seed, &project.connection, frame.chosen.len()),
        added: Addition {
            id: project.connection.id.clone(),
            node: project.connection.node(),
            m3: vec![0.0; frame.request.horizon_days],
        },
    }
}

/// In which of so many draws gas flows. The seed of a project is its own: another project beside it moves
/// nothing.
pub(in crate::forecast) fn flows(seed: u64, project: &NewConnection, draws: usize) -> Vec<bool> {
    let seed = project.id.bytes().fold(seed, |seed, byte| {
        seed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let chance = project.chance();
    (0..draws).map(|_| rng.random::<f64>() < chance).collect()
}

/// Nodes that so far have only a project or a plan, in their place among the others.
fn add_missing(
    frame: &Frame<'_>,
    nodes: &mut Vec<NodeForecast>,
    by_node: &BTreeMap<&DemandNode, Vec<(&ConsumerInput, Expected)>>,
    projects: &[Drawn<'_>],
) {
    let request = frame.request;
    let days: Vec<GasDay> = (0_i64..)
        .take(request.horizon_days)
        .map(|i| frame.today.plus(i))
        .collect();
    let of_projects = projects
        .iter()
        .map(|p| &p.project.connection)
        .filter(|c| days.iter().any(|d| c.expected_m3(*d, frame.today) > 0.0))
        .map(NewConnection::node);
    let of_plans = by_node
        .iter()
        .filter(|(_, of_node)| {
            let mut plans = of_node.iter().flat_map(|(_, own)| &own.plans);
            plans.any(Option::is_some)
        })
        .map(|(node, _)| (*node).clone());
    for node in of_projects.chain(of_plans) {
        if let Err(place) = nodes.binary_search_by(|known| known.node.cmp(&node)) {
            let count = frame.chosen.len();
            let missing = NodeForecast {
                node,
                model: NEW_NODE.to_owned(),
                p50_m3: vec![[0.0; 24]; request.horizon_days],
                draws: Draws {
                    count,
                    daily: vec![0.0; count * request.horizon_days],
                    hourly: vec![0.0; count * request.hourly_days * 24],
                },
            };
            nodes.insert(place, missing);
        }
    }
}

fn spreads<'a>(frame: &Frame<'a>, nodes: &[NodeForecast]) -> Vec<Spread<'a>> {
    let mut factors: Vec<&Factor> = frame.request.parts.factors.iter().collect();
    factors.sort_by(|a, b| a.id.cmp(&b.id));
    factors
        .into_iter()
        .map(|factor| Spread {
            factor,
            covered: (0..frame.request.horizon_days)
                .map(|lead| {
                    nodes
                        .iter()
                        .filter(|n| factor.covers(&n.node))
                        .map(|n| n.p50_m3[lead].iter().sum::<f64>())
                        .sum()
                })
                .collect(),
        })
        .collect()
}

/// One node on its way.
struct Mixer<'a, 'b> {
    frame: &'b Frame<'a>,
    node: NodeForecast,
    consumers: Vec<(MixedConsumer, Expected)>,
    projects: &'b mut [Drawn<'a>],
    spreads: &'b [Spread<'a>],
    factors: Vec<Addition>,
    metered: [bool; 24],
}

impl<'a, 'b> Mixer<'a, 'b> {
    fn new(
        frame: &'b Frame<'a>,
        node: NodeForecast,
        consumers: Vec<(&ConsumerInput, Expected)>,
        projects: &'b mut [Drawn<'a>],
        spreads: &'b [Spread<'a>],
    ) -> Self {
        let horizon = frame.request.horizon_days;
        let consumers = consumers
            .into_iter()
            .map(|(input, own)| {
                let mixed = MixedConsumer {
                    input: input.clone(),
                    model: own.model,
                    bias: own.bias,
                    p50: vec![0.0; horizon],
                    is_planned: own.plans.iter().map(Option::is_some).collect(),
                    draws: vec![vec![0.0; horizon]; frame.chosen.len()],
                };
                (mixed, own)
            })
            .collect();
        let today_hours = frame.request.today_hours.get(&node.node);
        let metered = today_hours.map_or([false; 24], |hours| {
            std::array::from_fn(|h| hours[h].is_some_and(f64::is_finite))
        });
        let factors = spreads
            .iter()
            .map(|spread| Addition {
                id: spread.factor.id.clone(),
                node: node.node.clone(),
                m3: vec![0.0; horizon],
            })
            .collect();
        Self {
            frame,
            node,
            consumers,
            projects,
            spreads,
            factors,
            metered,
        }
    }

    /// Mixes one day; returns its parts.
    fn day(&mut self, lead: usize) -> [f64; 4] {
        let is_open: [bool; 24] = std::array::from_fn(|h| lead > 0 || !self.metered[h]);
        let hours = self.node.p50_m3[lead];
        let before: f64 = hours.iter().sum();
        let left = open_part(&hours, &is_open);
        let (planned, with_plans, effect_of_planned) = self.consumers_at(lead, before, left);
        let day = self.frame.today.plus(i64::try_from(lead).unwrap_or(0));
        let (mut new, today) = (0.0, self.frame.today);
        for project in self.of_node() {
            let connection = &project.project.connection;
            let m3 = left * connection.expected_m3(day, today);
            project.added.m3[lead] = m3;
            new += m3;
        }
        let base = with_plans + new;
        let mut total = base;
        for (position, spread) in self.spreads.iter().enumerate() {
            let m3 = self.change(spread, lead, before, left, total);
            self.factors[position].m3[lead] = m3;
            total += m3;
        }
        let of_node = self.frame.request.effects.get(&self.node.node);
        let effect = of_node.and_then(|e| e.get(&day)).copied().unwrap_or(0.0);
        let production = left * (effect - effect_of_planned);
        self.node.p50_m3[lead] = moved(&hours, &is_open, total - before);
        self.draws_at(lead, &is_open);
        let mut other = total - base + production;
        let mut statistical = total - planned - new - other;
        if statistical < 0.0 {
            // A change larger than what it changes.
            other += statistical;
            statistical = 0.0;
        }
        let mut parts = [0.0; 4];
        parts[Part::Planned.index()] = planned;
        parts[Part::Statistical.index()] = statistical;
        parts[Part::New.index()] = new;
        parts[Part::Other.index()] = other;
        parts
    }

    /// Large consumers of a day: volume of those with a plan, the node with plans in it, and the
    /// production changes that plans know of.
    fn consumers_at(&mut self, lead: usize, node_m3: f64, left: f64) -> (f64, f64, f64) {
        let own: f64 = self.consumers.iter().map(|(_, own)| own.p50[lead]).sum();
        let fit = fitting(own, node_m3);
        let (mut planned, mut delta, mut effect) = (0.0, 0.0, 0.0);
        for (mixed, own) in &mut self.consumers {
            let model = fit * own.p50[lead];
            mixed.p50[lead] = match own.plans[lead] {
                Some(plan) => {
                    let m3 = model + left * (plan - model);
                    planned += m3;
                    delta += m3 - model;
                    effect += own.effects[lead];
                    m3
                }
                None => model,
            };
        }
        (planned, (node_m3 + delta).max(0.0), effect)
    }

    /// What a factor adds to this node's `m3` on a day; never more than is there.
    fn change(&self, spread: &Spread<'_>, lead: usize, before: f64, left: f64, m3: f64) -> f64 {
        let day = self.frame.today.plus(i64::try_from(lead).unwrap_or(0));
        let factor = spread.factor;
        if !factor.holds_on(day) || !factor.covers(&self.node.node) {
            return 0.0;
        }
        let change = match factor.amount {
            FactorAmount::Percent(percent) => left * m3 * percent / 100.0,
            FactorAmount::M3PerDay(amount) if spread.covered[lead] > 0.0 => {
                left * amount * before / spread.covered[lead]
            }
            FactorAmount::M3PerDay(_) => 0.0,
        };
        change.max(-m3)
    }

    fn of_node(&mut self) -> impl Iterator<Item = &mut Drawn<'a>> {
        let node = &self.node.node;
        self.projects.iter_mut().filter(move |p| {
            p.project.connection.zone == node.zone && p.project.connection.class == node.class
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "draws are kept in single precision"
    )]
    fn draws_at(&mut self, lead: usize, is_open: &[bool; 24]) {
        let (horizon, hourly_days) = (
            self.frame.request.horizon_days,
            self.frame.request.hourly_days,
        );
        let day = self.frame.today.plus(i64::try_from(lead).unwrap_or(0));
        for draw in 0..self.node.draws.count {
            let at = draw * horizon + lead;
            let before = f64::from(self.node.draws.daily[at]);
            let from = (draw * hourly_days + lead) * 24;
            let hours: Option<[f64; 24]> = (lead < hourly_days)
                .then(|| std::array::from_fn(|h| f64::from(self.node.draws.hourly[from + h])));
            let left = match &hours {
                Some(hours) => open_part(hours, is_open),
                // Only the first day has metered hours, and it may have no hourly draws.
                None => open_part(&self.node.p50_m3[lead], is_open),
            };
            let own: f64 = self
                .consumers
                .iter()
                .map(|(_, o)| o.draws[draw][lead])
                .sum();
            let fit = fitting(own, before);
            let mut m3 = before;
            for (mixed, own) in &mut self.consumers {
                let model = fit * own.draws[draw][lead];
                mixed.draws[draw][lead] = match own.plans[lead] {
                    Some(plan) => {
                        let around = own.width[lead] * (own.draws[draw][lead] - own.p50[lead]);
                        let used = model + left * ((plan + around).max(0.0) - model);
                        m3 += used - model;
                        used
                    }
                    None => model,
                };
            }
            m3 = m3.max(0.0);
            let today = self.frame.today;
            for project in self.of_node().filter(|p| p.flows[draw]) {
                let connection = &project.project.connection;
                m3 += left * connection.use_if_connected_m3(day, today);
            }
            for (position, spread) in self.spreads.iter().enumerate() {
                m3 += match spread.factor.amount {
                    FactorAmount::Percent(_) => self.change(spread, lead, before, left, m3),
                    FactorAmount::M3PerDay(_) => self.factors[position].m3[lead].max(-m3),
                };
            }
            if m3.to_bits() == before.to_bits() {
                continue;
            }
            let Some(hours) = hours else {
                self.node.draws.daily[at] = m3 as f32;
                continue;
            };
            let hours = moved(&hours, is_open, m3 - before).map(|v| v as f32);
            self.node.draws.daily[at] = hours.iter().map(|v| f64::from(*v)).sum::<f64>() as f32;
            self.node.draws.hourly[from..from + 24].copy_from_slice(&hours);
        }
    }
}

/// Consumers together are not more than their node.
fn fitting(consumers_m3: f64, node_m3: f64) -> f64 {
    if consumers_m3 > node_m3 && node_m3 > 0.0 {
        node_m3 / consumers_m3
    } else {
        1.0
    }
}

/// Part of a day that is still open: all of it, unless hours were metered.
fn open_part(hours: &[f64; 24], is_open: &[bool; 24]) -> f64 {
    let open = is_open.iter().filter(|open| **open).count();
    if open == 24 {
        return 1.0;
    }
    let total: f64 = hours.iter().sum();
    if total <= 0.0 {
        return open as f64 / 24.0;
    }
    let left: f64 = hours
        .iter()
        .zip(is_open)
        .filter(|(_, open)| **open)
        .map(|(v, _)| v)
        .sum();
    left / total
}

/// The hours with `delta` more in those that are open, in their proportion; none below zero.
fn moved(hours: &[f64; 24], is_open: &[bool; 24], delta: f64) -> [f64; 24] {
    let open = is_open.iter().filter(|open| **open).count();
    if delta == 0.0 || open == 0 {
        return *hours;
    }
    let left = open_part(hours, is_open) * hours.iter().sum::<f64>();
    std::array::from_fn(|h| match (is_open[h], left > 0.0) {
        (false, _) => hours[h],
        (true, true) => (hours[h] * (1.0 + delta / left)).max(0.0),
        (true, false) => (delta / open as f64).max(0.0),
    })
}
