//! The days after a run's last, month by month: expectation, parts and joint draws of each node.

use std::collections::{BTreeMap, BTreeSet};

use super::series::{Festival, NodeMonths, RECENT_MEAN, Said, by_class};
use super::{Days, Run, Split};
use crate::domain::breakdown::Part;
use crate::domain::calendar::GasDay;
use crate::domain::connection::NewConnection;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::DemandNode;
use crate::domain::factor::{Factor, FactorAmount};
use crate::forecast::draws::{choose_origins, far_reaching, path_for};
use crate::forecast::parts::{NEW_NODE, flows};

/// A node after the run's days.
pub(super) struct Later<'a> {
    pub(super) months: NodeMonths<'a>,
    /// Its position among the run's nodes.
    pub(super) of_run: Option<usize>,
    pub(super) model: &'static str,
    /// m³ by month of the outlook, in the order of [`Part::ALL`].
    pub(super) parts: Vec<[f64; 4]>,
    /// The same month of the latest year known, m³.
    pub(super) naive: Vec<Option<f64>>,
    /// m³: `[draw][month]`.
    draws: Vec<Vec<f64>>,
}

impl Later<'_> {
    /// Expected after the run's days of a month, m³.
    pub(super) fn p50(&self, month: usize) -> f64 {
        self.parts[month].iter().sum::<f64>().max(0.0)
    }

    /// A draw of the same, m³.
    pub(super) fn draw(&self, draw: usize, month: usize) -> f64 {
        let of_draw = self.draws.get(draw).and_then(|row| row.get(month));
        of_draw.copied().unwrap_or(0.0)
    }
}

/// A project, and in which draws gas flows: the same as in the run's days.
struct Drawn<'a> {
    connection: &'a NewConnection,
    flows: Vec<bool>,
}

/// A node before factors, which speak of several.
struct Before<'a> {
    months: NodeMonths<'a>,
    of_run: Option<usize>,
    said: Option<Said>,
    /// Statistical m³ by month, production changes apart.
    base: Vec<f64>,
    changes: Vec<f64>,
    new: Vec<f64>,
}

impl Before<'_> {
    fn m3(&self, month: usize) -> f64 {
        (self.base[month] + self.changes[month]).max(0.0) + self.new[month]
    }
}

/// Every node that the run has, or that a project will be, in order.
pub(super) fn later<'a>(run: &Run<'_>, splits: &[Split], days: &'a Days) -> Vec<Later<'a>> {
    let projects = projects(run);
    let months = months_of(run, splits, days, &projects);
    let said = said_of_all(run, splits, &months);
    let origins = origins(run, splits, &said);
    let first_of_all = months.iter().filter_map(NodeMonths::first_known).min();
    let before: Vec<Before<'_>> = months
        .into_iter()
        .zip(said)
        .map(|(months, said)| before(run, splits, &projects, months, said))
        .collect();
    let factors = factors(run, splits, &before);
    before
        .into_iter()
        .map(|node| {
            let naive = splits.iter().map(|split| split.month);
            let naive = naive.map(|month| node.months.naive_m3(month, first_of_all));
            let naive = naive.collect();
            let parts = (0..splits.len())
                .map(|month| parts(&node, &factors, month))
                .collect();
            let draws = draws(run, splits, &projects, &node, &factors, &origins);
            Later {
                of_run: node.of_run,
                model: node.said.as_ref().map_or(NEW_NODE, |said| said.model),
                months: node.months,
                parts,
                naive,
                draws,
            }
        })
        .collect()
}

fn projects<'a>(run: &Run<'a>) -> Vec<Drawn<'a>> {
    let of_request = run.request.parts.projects.iter();
    of_request
        .map(|project| Drawn {
            connection: &project.connection,
            flows: flows(run.request.seed, &project.connection, run.chosen.len()),
        })
        .collect()
}

fn months_of<'a>(
    run: &Run<'_>,
    splits: &[Split],
    days: &'a Days,
    projects: &[Drawn<'_>],
) -> Vec<NodeMonths<'a>> {
    let of_run = run.forecast.nodes.iter().map(|node| node.node.clone());
    let mut nodes: BTreeSet<DemandNode> = of_run.collect();
    for project in projects {
        let mut to_come = splits.iter().flat_map(|split| &split.later);
        if to_come.any(|day| project.connection.expected_m3(*day, run.today) > 0.0) {
            nodes.insert(project.connection.node());
        }
    }
    let current = run.today.month();
    nodes
        .into_iter()
        .map(|node| {
            let effects = run.festivals.get(&node);
            let of_node = days.get(&node);
            NodeMonths::new(run, node, of_node, current, splits.len(), effects)
        })
        .collect()
}

/// A node's position in the run, and what its days there sum to without new connections, m³.
fn in_run(run: &Run<'_>, node: &DemandNode) -> Option<(usize, f64)> {
    let nodes = &run.forecast.nodes;
    let position = nodes.iter().position(|of| of.node == *node)?;
    if nodes[position].model == NEW_NODE {
        return None;
    }
    let new = run.breakdown.connections.iter();
    let new: f64 = new
        .filter(|of| of.node == *node)
        .flat_map(|of| &of.m3)
        .sum();
    let m3: f64 = nodes[position].p50_m3.iter().flatten().sum();
    Some((position, (m3 - new).max(0.0)))
}

/// What is said of each node's months: by its own; by those of its class, as the run's days of both lie to
/// each other; else by the mean of its days in the run. None of a node that has nothing but a project.
fn said_of_all(run: &Run<'_>, splits: &[Split], months: &[NodeMonths<'_>]) -> Vec<Option<Said>> {
    let own: Vec<Option<Said>> = months.iter().map(|of| of.by_months(splits.len())).collect();
    let in_run: Vec<_> = months.iter().map(|of| in_run(run, &of.node)).collect();
    let mut of_class: BTreeMap<CustomerClass, (Vec<&Said>, f64)> = BTreeMap::new();
    for ((of, said), in_run) in months.iter().zip(&own).zip(&in_run) {
        if let (Some(said), Some((_, m3))) = (said, in_run) {
            let class = of_class.entry(of.node.class).or_default();
            class.0.push(said);
            class.1 += m3;
        }
    }
    let cold = |of: &NodeMonths<'_>, in_run: Option<(usize, f64)>| {
        let (position, m3) = in_run?;
        let alike = of_class.get(&of.node.class);
        if let Some((alike, total)) = alike.filter(|(_, total)| *total > 0.0) {
            return by_class(alike, m3 / total);
        }
        let per_day = m3 / run.forecast.days.len().max(1) as f64;
        let of_month = |split: &Split| per_day * split.month.days().len() as f64;
        Some(Said {
            model: RECENT_MEAN,
            p50: splits.iter().map(of_month).collect(),
            paths: Vec::new(),
            by_draw: levels(run, position),
            festival: Festival::default(),
        })
    };
    let cold: Vec<Option<Said>> = months
        .iter()
        .zip(&in_run)
        .zip(&own)
        .map(|((of, in_run), own)| {
            if own.is_some() {
                None
            } else {
                cold(of, *in_run)
            }
        })
        .collect();
    own.into_iter()
        .zip(cold)
        .map(|(own, cold)| own.or(cold))
        .collect()
}

/// By draw, how high a node's days in the run lie beside their expectation.
fn levels(run: &Run<'_>, position: usize) -> Vec<f64> {
    let node = &run.forecast.nodes[position];
    let expected: f64 = node.p50_m3.iter().flatten().sum();
    let days = run.forecast.days.len();
    node.draws
        .daily
        .chunks_exact(days.max(1))
        .map(|draw| draw.iter().map(|m3| f64::from(*m3)).sum::<f64>())
        .map(|m3| if expected > 0.0 { m3 / expected } else { 1.0 })
        .collect()
}

/// The past origin each draw goes on with after the run's days.
///
/// Origins are drawn for all nodes together, as for days. The draw whose days of the run are the k-th
/// largest of the city gets the origin whose errors of the same days were the k-th largest: a December that
/// comes out high goes on as years did in which December came out high.
fn origins(run: &Run<'_>, splits: &[Split], said: &[Option<Said>]) -> Vec<GasDay> {
    let draws = run.chosen.len();
    let before = run.today.month().first_day().plus(-1);
    let paths: Vec<_> = said
        .iter()
        .flatten()
        .map(|said| said.paths.as_slice())
        .collect();
    let paths = far_reaching(&paths, before);
    let chosen = choose_origins(paths, before, draws, run.request.seed);
    if chosen.len() < draws {
        return chosen;
    }
    // Of the months that are the run's alone, if there is one.
    let is_whole = |split: &Split| !split.of_run.is_empty() && split.later.is_empty();
    let any_whole = splits.iter().any(is_whole);
    let joined: Vec<(usize, &Split)> = splits
        .iter()
        .enumerate()
        .filter(|(_, split)| !split.of_run.is_empty() && (!any_whole || is_whole(split)))
        .collect();
    let days = run.forecast.days.len();
    let of_run = |draw: usize| -> f64 {
        let nodes = run.forecast.nodes.iter();
        nodes
            .map(|node| {
                let of_months = joined.iter().flat_map(|(_, split)| &split.of_run);
                of_months
                    .filter_map(|day| node.draws.daily.get(draw * days + day))
                    .map(|m3| f64::from(*m3))
                    .sum::<f64>()
            })
            .sum()
    };
    let mut missed: BTreeMap<GasDay, f64> = BTreeMap::new();
    for origin in &chosen {
        missed.entry(*origin).or_insert_with(|| {
            let nodes = said.iter().flatten();
            let paths = nodes.filter_map(|said| path_for(&said.paths, *origin));
            paths
                .map(|path| {
                    let of_months = joined.iter().filter_map(|(month, split)| {
                        let part = split.of_run.len() as f64 / split.month.days().len() as f64;
                        Some(part * path.residuals.get(*month)?)
                    });
                    of_months.sum::<f64>()
                })
                .sum()
        });
    }
    let ranked = |of: Vec<f64>| {
        let mut places: Vec<usize> = (0..of.len()).collect();
        places.sort_by(|a, b| of[*a].total_cmp(&of[*b]).then(a.cmp(b)));
        places
    };
    let by_days = ranked((0..draws).map(of_run).collect());
    let by_error = ranked(chosen.iter().map(|origin| missed[origin]).collect());
    let mut out = chosen.clone();
    for (draw, path) in by_days.into_iter().zip(by_error) {
        out[draw] = chosen[path];
    }
    out
}

fn before<'a>(
    run: &Run<'_>,
    splits: &[Split],
    projects: &[Drawn<'_>],
    months: NodeMonths<'a>,
    said: Option<Said>,
) -> Before<'a> {
    let node = &months.node;
    let effects = run.request.effects.get(node);
    let change = |day: &GasDay| effects.and_then(|of| of.get(day)).copied().unwrap_or(0.0);
    let expected = |day: &GasDay| -> f64 {
        let of_node = projects.iter().filter(|of| of.connection.node() == *node);
        of_node
            .map(|of| of.connection.expected_m3(*day, run.today))
            .sum()
    };
    let base = splits.iter().enumerate().map(|(month, split)| {
        let said = said.as_ref()?;
        Some(said.p50[month] * said.part_on(&months, split.month, &split.later))
    });
    let base = base.map(Option::unwrap_or_default).collect();
    let changes = splits
        .iter()
        .map(|split| split.later.iter().map(change).sum());
    let changes = changes.collect();
    let new = splits
        .iter()
        .map(|split| split.later.iter().map(expected).sum());
    let new = new.collect();
    let nodes = &run.forecast.nodes;
    Before {
        of_run: nodes.iter().position(|of| of.node == *node),
        said,
        base,
        changes,
        new,
        months,
    }
}

/// A factor by month: part of the days after the run on which it holds, and what each m³ of the nodes it
/// covers is moved by where it is an amount.
struct Spread<'a> {
    factor: &'a Factor,
    held: Vec<f64>,
    per_m3: Vec<f64>,
}

impl Spread<'_> {
    /// What it adds to a node of `before` m³ that is `m3` by now; never more than is there.
    fn change(&self, node: &DemandNode, month: usize, before: f64, m3: f64) -> f64 {
        if !self.factor.covers(node) {
            return 0.0;
        }
        let change = match self.factor.amount {
            FactorAmount::Percent(percent) => self.held[month] * m3 * percent / 100.0,
            FactorAmount::M3PerDay(_) => self.per_m3[month] * before,
        };
        change.max(-m3)
    }
}

fn factors<'a>(run: &Run<'a>, splits: &[Split], nodes: &[Before<'_>]) -> Vec<Spread<'a>> {
    let mut factors: Vec<&Factor> = run.request.parts.factors.iter().collect();
    factors.sort_by(|a, b| a.id.cmp(&b.id));
    let of_factor = |factor: &'a Factor| {
        let days = |split: &Split| {
            let held = split.later.iter().filter(|day| factor.holds_on(**day));
            held.count() as f64
        };
        let held = splits.iter().map(|split| {
            let later = split.later.len();
            if later > 0 {
                days(split) / later as f64
            } else {
                0.0
            }
        });
        let per_m3 = splits.iter().enumerate().map(|(month, split)| {
            let covered = nodes.iter().filter(|of| factor.covers(&of.months.node));
            let covered: f64 = covered.map(|of| of.m3(month)).sum();
            match factor.amount {
                FactorAmount::M3PerDay(m3) if covered > 0.0 => m3 * days(split) / covered,
                _ => 0.0,
            }
        });
        Spread {
            held: held.collect(),
            per_m3: per_m3.collect(),
            factor,
        }
    };
    factors.into_iter().map(of_factor).collect()
}

fn parts(node: &Before<'_>, factors: &[Spread<'_>], month: usize) -> [f64; 4] {
    let before = node.m3(month);
    let mut total = before;
    for factor in factors {
        total += factor.change(&node.months.node, month, before, total);
    }
    let mut parts = [0.0; 4];
    parts[Part::New.index()] = node.new[month];
    parts[Part::Statistical.index()] = node.base[month];
    parts[Part::Other.index()] = total - node.new[month] - node.base[month];
    parts
}

fn draws(
    run: &Run<'_>,
    splits: &[Split],
    projects: &[Drawn<'_>],
    node: &Before<'_>,
    factors: &[Spread<'_>],
    origins: &[GasDay],
) -> Vec<Vec<f64>> {
    let of_node: Vec<(&Drawn<'_>, Vec<f64>)> = projects
        .iter()
        .filter(|project| project.connection.node() == node.months.node)
        .map(|project| {
            let use_of = |day: &GasDay| project.connection.use_if_connected_m3(*day, run.today);
            let by_month = splits
                .iter()
                .map(|split| split.later.iter().map(use_of).sum());
            (project, by_month.collect())
        })
        .collect();
    (0..run.chosen.len())
        .map(|draw| {
            let said = node.said.as_ref();
            let origin = origins.get(draw);
            let path = said.and_then(|said| path_for(&said.paths, *origin?));
            (0..splits.len())
                .map(|month| {
                    let mut base = node.base[month];
                    if let Some(said) = said.filter(|said| said.p50[month] > 0.0) {
                        let missed = path.and_then(|path| path.residuals.get(month));
                        let missed = missed.copied().unwrap_or(0.0) / said.p50[month];
                        let level = said.by_draw.get(draw).map_or(0.0, |level| level - 1.0);
                        base *= (1.0 + missed + level).max(0.0);
                    }
                    let mut m3 = (base + node.changes[month]).max(0.0);
                    for (project, by_month) in &of_node {
                        if project.flows[draw] {
                            m3 += by_month[month];
                        }
                    }
                    let before = node.m3(month);
                    for factor in factors {
                        m3 += factor.change(&node.months.node, month, before, m3);
                    }
                    m3
                })
                .collect()
        })
        .collect()
}
