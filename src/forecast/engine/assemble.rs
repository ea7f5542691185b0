//! From daily expectation and residual paths to hours and joint draws of one node.

use super::nodes::PreparedNode;
use crate::domain::calendar::GasDay;
use crate::domain::demand::{Draws, NodeForecast};
use crate::forecast::draws::{daily_draw, hours_of, path_for};
use crate::forecast::request::ForecastRequest;

/// What is common to all nodes of a run.
pub(super) struct Frame<'a> {
    pub(super) request: &'a ForecastRequest,
    pub(super) today: GasDay,
    /// Past origin of each draw.
    pub(super) chosen: &'a [GasDay],
}

/// The metered hours of the day under way, and what they say of the hours left.
struct Underway {
    hours: [Option<f64>; 24],
    /// Factor on the hours left.
    ratio: f64,
    /// Part of the day's uncertainty the metered hours have settled.
    settled: f64,
}

/// Weight of the day-ahead expectation against the metered hours: as if 30 % of a day had agreed
/// with it.
const PRIOR_SHARE: f64 = 0.3;

impl Underway {
    fn new(hours: &[Option<f64>; 24], expected: &[f64; 24]) -> Self {
        let (mut metered, mut awaited) = (0.0, 0.0);
        for (hour, expected) in hours.iter().zip(expected) {
            if let Some(volume) = hour.filter(|v| v.is_finite()) {
                metered += volume;
                awaited += expected;
            }
        }
        let day: f64 = expected.iter().sum();
        let share = if day > 0.0 { awaited / day } else { 0.0 };
        let settled = share / (share + PRIOR_SHARE);
        let ratio = if awaited > 0.0 {
            (metered / awaited).clamp(0.0, 4.0)
        } else {
            1.0
        };
        Self {
            hours: *hours,
            ratio: 1.0 + settled * (ratio - 1.0),
            settled,
        }
    }

    fn expectation(&self, expected: &[f64; 24]) -> [f64; 24] {
        std::array::from_fn(|h| self.metered(h).unwrap_or(expected[h] * self.ratio))
    }

    fn draw(&self, expected: &[f64; 24], drawn: &[f64; 24]) -> [f64; 24] {
        std::array::from_fn(|h| {
            let left = expected[h] + (1.0 - self.settled) * (drawn[h] - expected[h]);
            self.metered(h).unwrap_or(left.max(0.0) * self.ratio)
        })
    }

    fn metered(&self, hour: usize) -> Option<f64> {
        self.hours[hour].filter(|v| v.is_finite())
    }
}

/// Cuts a node's days into hours, adds known changes and metered hours, and makes its draws.
pub(super) fn node_forecast(frame: &Frame<'_>, node: &PreparedNode) -> NodeForecast {
    let request = frame.request;
    let effects: Vec<f64> = (0_i64..)
        .take(request.horizon_days)
        .map(|lead| {
            let of_node = request.effects.get(&node.node);
            of_node
                .and_then(|e| e.get(&frame.today.plus(lead)))
                .copied()
                .unwrap_or(0.0)
        })
        .collect();
    let expected: Vec<[f64; 24]> = node
        .forecast
        .p50
        .iter()
        .zip(&effects)
        .zip(&node.shares)
        .map(|((p50, effect), shares)| shares.map(|share| (p50 + effect).max(0.0) * share))
        .collect();
    let underway = request
        .today_hours
        .get(&node.node)
        .filter(|hours| hours.iter().any(Option::is_some))
        .map(|hours| Underway::new(hours, &expected[0]));
    let mut p50_m3 = expected.clone();
    if let Some(underway) = &underway {
        p50_m3[0] = underway.expectation(&expected[0]);
    }
    NodeForecast {
        node: node.node.clone(),
        model: node.model.to_owned(),
        p50_m3,
        draws: draws(frame, node, &expected, &effects, underway.as_ref()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "draws are kept in single precision"
)]
fn draws(
    frame: &Frame<'_>,
    node: &PreparedNode,
    expected: &[[f64; 24]],
    effects: &[f64],
    underway: Option<&Underway>,
) -> Draws {
    let request = frame.request;
    let mut out = Draws {
        count: frame.chosen.len(),
        daily: Vec::with_capacity(frame.chosen.len() * request.horizon_days),
        hourly: Vec::with_capacity(frame.chosen.len() * request.hourly_days * 24),
    };
    for past in frame.chosen {
        let path = path_for(&node.forecast.paths, *past);
        for (lead, volume) in daily_draw(&node.forecast.p50, path).into_iter().enumerate() {
            let volume = (volume + effects[lead]).max(0.0);
            let needs_hours = lead < request.hourly_days || (lead == 0 && underway.is_some());
            if !needs_hours {
                out.daily.push(volume as f32);
                continue;
            }
            // The hours of the very day that gave the daily error, if that day is known.
            let error = path
                .and_then(|p| usize::try_from(p.origin.days_since(node.first)).ok())
                .and_then(|at| node.share_errors.get(at + 1 + lead));
            let mut hours = hours_of(volume, &node.shares[lead], error);
            if let (0, Some(underway)) = (lead, underway) {
                hours = underway.draw(&expected[0], &hours);
            }
            let hours = hours.map(|v| v as f32);
            out.daily
                .push(hours.iter().map(|v| f64::from(*v)).sum::<f64>() as f32);
            if lead < request.hourly_days {
                out.hourly.extend(hours);
            }
        }
    }
    out
}
