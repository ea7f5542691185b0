//! Which model a node is forecast by: its class while it is young, else its own days, else their mean.
//!
//! The engine and the backtest climb the same ladder.

pub(in crate::forecast) use super::cold_start::HandOver;
use super::cold_start::{Member, cold_starts};
use super::label;
use crate::domain::calendar::GasDay;
use crate::domain::capacity::NodeCapacity;
use crate::domain::demand::DemandNode;
use crate::domain::text::fnv1a;
use crate::forecast::models::paths::ResidualPath;
use crate::forecast::models::series::DailyForecast;
use crate::forecast::models::series::DailySeries;

/// Days that make a mean.
pub(super) const MEAN_DAYS_MIN: usize = 3;

/// A node at an origin.
pub(in crate::forecast) struct Climber<'a> {
    pub(in crate::forecast) node: &'a DemandNode,
    /// Its days; those from `today` on are not read.
    pub(in crate::forecast) series: &'a DailySeries,
    pub(in crate::forecast) capacity: Option<&'a NodeCapacity>,
    /// What its own days say, by regression or else by the last same weekday.
    pub(in crate::forecast) own: Option<&'a DailyForecast>,
    /// Days since its regression became possible.
    pub(in crate::forecast) regression_age: Option<usize>,
}

/// Where a node came to stand.
pub(in crate::forecast) struct Rung {
    pub(in crate::forecast) forecast: DailyForecast,
    /// Position of a node whose hours are alike, if it is forecast by its class.
    pub(super) donor: Option<usize>,
}

/// The best that can be said of each node; none of one with fewer than three days and nobody alike.
/// Without `hand_over`, classes are not asked.
pub(in crate::forecast) fn climb(
    nodes: &[Climber<'_>],
    today: GasDay,
    horizon: usize,
    hand_over: Option<HandOver>,
) -> Vec<Option<Rung>> {
    let mut by_class = match hand_over {
        Some(hand_over) => {
            let members: Vec<Member<'_>> = nodes.iter().map(member).collect();
            cold_starts(&members, today, horizon, hand_over)
        }
        None => nodes.iter().map(|_| None).collect(),
    };
    let nodes = nodes.iter().zip(&mut by_class);
    nodes
        .map(|(node, cold)| {
            let of_own = || {
                let own = node.own.cloned();
                own.or_else(|| recent_mean(node.series, today, horizon))
            };
            let (forecast, donor) = match cold.take() {
                Some(cold) => (cold.forecast, Some(cold.donor)),
                None => (of_own()?, None),
            };
            Some(Rung { forecast, donor })
        })
        .collect()
}

fn member<'a>(node: &Climber<'a>) -> Member<'a> {
    Member {
        class: node.node.class,
        series: node.series,
        capacity: node.capacity,
        own: node.own,
        regression_age: node.regression_age,
        seed: fnv1a(label(node.node).bytes()),
    }
}

/// The mean of the days known, for a node in its first week; each day's distance from it is a path.
fn recent_mean(series: &DailySeries, today: GasDay, horizon: usize) -> Option<DailyForecast> {
    let days: Vec<(GasDay, f64)> = series
        .traits
        .iter()
        .zip(&series.values)
        .filter(|(traits, value)| traits.day < today && value.is_finite())
        .map(|(traits, value)| (traits.day, *value))
        .collect();
    if days.len() < MEAN_DAYS_MIN {
        return None;
    }
    let recent = &days[days.len().saturating_sub(7)..];
    let mean = recent.iter().map(|(_, v)| v).sum::<f64>() / recent.len() as f64;
    let paths = recent
        .iter()
        .map(|(day, value)| ResidualPath {
            origin: *day,
            residuals: vec![2.0 * (value - mean); horizon],
        })
        .collect();
    Some(DailyForecast {
        model: "recent_mean",
        p50: vec![mean; horizon],
        paths,
    })
}
