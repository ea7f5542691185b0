//! Months ahead: a run's days continued for 12 to 18 months, coherent with them.
//!
//! What the run says of days stands: a month it covers wholly is the sum of its days, draw by draw. The
//! months after it, and the rest of the month in which it ends, are the model of months'
//! ([`models::monthly`](crate::forecast::models::monthly)). The two are joined by rank: the draw whose days
//! are the k-th largest of the city goes on with the past origin that had the k-th largest error of the same
//! days. Changes, projects and factors are added as in days: they were taken out of the months before.

mod later;
mod series;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::later::{Later, later};
use self::series::{Days, days_of};
use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandForecast, DemandNode};
use crate::domain::id::{SourceId, ZoneId};
use crate::domain::months::{MonthBasis, MonthCell, MonthSeries, MonthlyOutlook, OutlookMonth};
use crate::domain::quantity::round_to_total;
use crate::forecast::models::rare_days::PerColumn;
use crate::forecast::parts::{TakenOut, whole_parts};
use crate::forecast::request::{ForecastRequest, MonthsInput};

/// A run that is continued.
pub(in crate::forecast) struct Run<'a> {
    pub(in crate::forecast) request: &'a ForecastRequest,
    pub(in crate::forecast) today: GasDay,
    pub(in crate::forecast) taken_out: &'a TakenOut,
    /// Past origin of each draw.
    pub(in crate::forecast) chosen: &'a [GasDay],
    /// What the festival does to nodes, by columns of rare days, as parts of their level.
    pub(in crate::forecast) festivals: BTreeMap<DemandNode, PerColumn>,
    pub(in crate::forecast) forecast: &'a DemandForecast,
    pub(in crate::forecast) breakdown: &'a Breakdown,
}

/// The days of a month of the outlook.
struct Split {
    month: GasMonth,
    known: Vec<GasDay>,
    /// Positions in the run's days.
    of_run: Vec<usize>,
    later: Vec<GasDay>,
}

impl Run<'_> {
    fn splits(&self, count: usize) -> Vec<Split> {
        let mut month = self.today.month();
        let mut out = Vec::with_capacity(count);
        for _ in 0..count {
            let mut split = Split {
                month,
                known: Vec::new(),
                of_run: Vec::new(),
                later: Vec::new(),
            };
            for day in month.days() {
                match usize::try_from(day.days_since(self.today)) {
                    Err(_) => split.known.push(day),
                    Ok(ahead) if ahead < self.forecast.days.len() => split.of_run.push(ahead),
                    Ok(_) => split.later.push(day),
                }
            }
            out.push(split);
            month = month.next();
        }
        out
    }
}

/// The months of a run; the same bits for the same request.
pub(in crate::forecast) fn outlook(run: &Run<'_>, asked: &MonthsInput) -> MonthlyOutlook {
    let days = days_of(run.request, run.today);
    let splits = run.splits(asked.count);
    let later = later(run, &splits, &days);
    let mut filled = vec![0_u32; splits.len()];
    let mut by_zone: BTreeMap<&ZoneId, Vec<&Later<'_>>> = BTreeMap::new();
    for node in &later {
        by_zone
            .entry(&node.months.node.zone)
            .or_default()
            .push(node);
    }
    let mut series = Vec::new();
    for (zone, nodes) in by_zone {
        series.extend(of_zone(run, asked, &splits, zone, &nodes));
    }
    series.sort_by(|a, b| {
        let key = |of: &MonthSeries| (of.zone.clone(), of.source.clone(), of.class);
        key(a).cmp(&key(b))
    });
    for (split, filled) in splits.iter().zip(&mut filled) {
        let is_filled = |day: &&GasDay| {
            let mut nodes = later
                .iter()
                .map(|node| node.months.known_m3(**day, run.today));
            nodes.any(|(_, is_filled)| is_filled)
        };
        *filled = count(split.known.iter().filter(is_filled).count());
    }
    MonthlyOutlook {
        run_id: run.forecast.run_id.clone(),
        origin_at: run.forecast.origin_at,
        months: splits
            .iter()
            .zip(filled)
            .map(|(split, filled_days)| OutlookMonth {
                month: split.month,
                basis: match (split.of_run.is_empty(), split.later.is_empty()) {
                    (_, true) => MonthBasis::Run,
                    (false, false) => MonthBasis::Joint,
                    (true, false) => MonthBasis::Months,
                },
                known_days: count(split.known.len()),
                filled_days,
                run_days: count(split.of_run.len()),
                later_days: count(split.later.len()),
            })
            .collect(),
        draws: run.chosen.len(),
        series,
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

/// A zone's months by source and class: whole m³ that sum to the zone's, and draws.
fn of_zone(
    run: &Run<'_>,
    asked: &MonthsInput,
    splits: &[Split],
    zone: &ZoneId,
    nodes: &[&Later<'_>],
) -> Vec<MonthSeries> {
    let sources = asked.sources(zone);
    let places: Vec<(&SourceId, &Later<'_>)> = sources
        .iter()
        .flat_map(|source| nodes.iter().map(move |node| (source, *node)))
        .collect();
    let mut out: Vec<MonthSeries> = places
        .iter()
        .map(|(source, node)| MonthSeries {
            zone: zone.clone(),
            source: (*source).clone(),
            class: node.months.node.class,
            model: node.model.to_owned(),
            cells: Vec::with_capacity(splits.len()),
            draws: vec![0.0; run.chosen.len() * splits.len()],
        })
        .collect();
    for (index, split) in splits.iter().enumerate() {
        let whole = split.month.days();
        let share = |source: &SourceId, days: &[GasDay]| asked.share_over(days, zone, source);
        let known: Vec<f64> = places
            .iter()
            .map(|(source, node)| {
                let of_day = |day: &GasDay| {
                    let (m3, _) = node.months.known_m3(*day, run.today);
                    m3 * asked.share_on(*day, zone, source)
                };
                split.known.iter().map(of_day).sum()
            })
            .collect();
        let later: Vec<f64> = places
            .iter()
            .map(|(source, node)| node.p50(index) * share(source, &split.later))
            .collect();
        let naive: Vec<Option<f64>> = places
            .iter()
            .map(|(source, node)| Some(node.naive[index]? * share(source, &whole)))
            .collect();
        let naive_known: Vec<f64> = naive.iter().map(|m3| m3.unwrap_or(0.0)).collect();
        let of_known = rounded(&known);
        let of_later = rounded(&later);
        let of_naive = rounded(&naive_known);
        for (place, (source, node)) in places.iter().enumerate() {
            let of_run = of_run(run, split, zone, source, node.months.node.class);
            let mut parts_m3 = whole_parts(&node.parts[index], of_later[place]);
            for (sum, m3) in parts_m3.iter_mut().zip(of_run.parts) {
                *sum += m3;
            }
            out[place].cells.push(MonthCell {
                m3: of_known[place] + of_run.m3 + of_later[place],
                known_m3: of_known[place],
                parts_m3,
                naive_m3: naive[place].map(|_| of_naive[place]),
            });
            let later_share = share(source, &split.later);
            draws_of(
                run,
                (split, index, splits.len()),
                (zone, *source, *node),
                (known[place], later_share),
                &mut out[place].draws,
            );
        }
    }
    out
}

/// A zone's month in whole m³, by largest remainder.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a zone's month is far below 2^53 m³"
)]
fn rounded(m3: &[f64]) -> Vec<i64> {
    round_to_total(m3, m3.iter().sum::<f64>().round() as i64)
}

/// Published cells and parts of a zone × source × class on a month's days of the run.
struct OfRun {
    m3: i64,
    parts: [i64; 4],
}

fn of_run(
    run: &Run<'_>,
    split: &Split,
    zone: &ZoneId,
    source: &SourceId,
    class: CustomerClass,
) -> OfRun {
    let mut out = OfRun {
        m3: 0,
        parts: [0; 4],
    };
    let days = match (split.of_run.first(), split.of_run.last()) {
        (Some(first), Some(last)) => *first..=*last,
        _ => return out,
    };
    // The cube's rows, and the parts beside them, are in order of days.
    let rows = &run.forecast.cube.rows;
    let from = rows.partition_point(|row| row.day_index < *days.start());
    let to = rows.partition_point(|row| row.day_index <= *days.end());
    for (row, parts) in rows[from..to].iter().zip(&run.breakdown.rows[from..to]) {
        if row.class == class && row.zone == *zone && row.source == *source {
            out.m3 += row.hours_m3.iter().sum::<i64>();
            for (sum, m3) in out.parts.iter_mut().zip(parts.m3) {
                *sum += m3;
            }
        }
    }
    out
}

/// Puts the draws of a place's month where they belong: what is known, the run's days, and what is later.
#[expect(
    clippy::cast_possible_truncation,
    reason = "draws are kept in single precision"
)]
fn draws_of(
    run: &Run<'_>,
    (split, index, months): (&Split, usize, usize),
    (zone, source, node): (&ZoneId, &SourceId, &Later<'_>),
    (known_m3, later_share): (f64, f64),
    out: &mut [f32],
) {
    let shares: Vec<f64> = split
        .of_run
        .iter()
        .map(|day| {
            let of_day = run.forecast.shares.get(*day).into_iter().flatten();
            let of = of_day.filter(|(z, s, _)| z == zone && s == source);
            of.map(|(_, _, share)| share).sum()
        })
        .collect();
    let days = run.forecast.days.len();
    for (draw, row) in out.chunks_exact_mut(months).enumerate() {
        let of_run: f64 = node.of_run.map_or(0.0, |position| {
            let daily = &run.forecast.nodes[position].draws.daily;
            let of_draw = split.of_run.iter().zip(&shares);
            of_draw
                .map(|(day, share)| {
                    share * f64::from(daily.get(draw * days + day).copied().unwrap_or(0.0))
                })
                .sum()
        });
        let later = later_share * node.draw(draw, index);
        row[index] = (known_m3 + of_run + later) as f32;
    }
}
