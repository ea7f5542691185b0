//! The numbers behind the views: pure functions of registry, curves, demand, forecast and weather.
//!
//! Every volume that a view shows is a sum of the same whole-m³ cells (zone × source × class ×
//! hour), observed or forecast, so that no two views can differ by even 0.0001 万m³. What is not
//! known is absent, never zero.

pub mod bought;
pub mod cells;
pub mod forecast;
pub mod methods;
pub mod months;
pub mod nominated;
pub mod overview;
pub mod supply;
pub mod today;
pub mod totals;
pub mod weather;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::beijing_civil;
use crate::domain::demand::{self, DemandForecast, DemandView, quantile_of_sorted};

/// P10, P50 and P90, whole m³.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Band {
    /// One in ten lies below, m³.
    pub p10_m3: i64,
    /// As likely above as below; the published figure, m³.
    pub p50_m3: i64,
    /// One in ten lies above, m³.
    pub p90_m3: i64,
}

impl From<demand::Band> for Band {
    fn from(band: demand::Band) -> Self {
        Self {
            p10_m3: band.p10_m3,
            p50_m3: band.p50_m3,
            p90_m3: band.p90_m3,
        }
    }
}

impl Band {
    /// The same volume added to all three: what has already happened has no band.
    #[must_use]
    pub fn plus(self, m3: i64) -> Self {
        Self {
            p10_m3: self.p10_m3 + m3,
            p50_m3: self.p50_m3 + m3,
            p90_m3: self.p90_m3 + m3,
        }
    }

    /// The band of joint draws about a published P50, which it always contains.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "city volumes are far below 2^53 m³"
    )]
    pub fn around(p50_m3: i64, mut draws: Vec<f64>) -> Self {
        if draws.is_empty() {
            return Self {
                p10_m3: p50_m3,
                p50_m3,
                p90_m3: p50_m3,
            };
        }
        draws.sort_by(f64::total_cmp);
        Self {
            p10_m3: (quantile_of_sorted(&draws, 0.1).round() as i64).min(p50_m3),
            p50_m3,
            p90_m3: (quantile_of_sorted(&draws, 0.9).round() as i64).max(p50_m3),
        }
    }
}

/// An instant as the API writes it: RFC 3339 in Beijing time, whole seconds.
pub fn instant_text(at: DateTime<Utc>) -> String {
    beijing_civil(at).to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// Band of a view over some days of a run, with the P50 taken from its cells.
pub fn band_of(
    forecast: &DemandForecast,
    cells: &cells::Cells,
    view: &DemandView,
    day_indexes: &[usize],
) -> Band {
    let p50_m3 = day_indexes
        .iter()
        .filter_map(|index| forecast.days.get(*index))
        .filter_map(|day| cells.day_m3(view, *day))
        .sum();
    Band::around(p50_m3, forecast.draws(view, day_indexes))
}

/// Band of a view in one hour of one of the hourly days.
pub fn hour_band_of(
    forecast: &DemandForecast,
    cells: &cells::Cells,
    view: &DemandView,
    day_index: usize,
    hour: usize,
) -> Option<Band> {
    let day = forecast.days.get(day_index)?;
    let p50_m3 = *cells.hours_m3(view, *day)?.get(hour)?;
    if day_index >= forecast.hourly_days {
        return None;
    }
    Some(Band::around(
        p50_m3,
        forecast.hour_draws(view, day_index, hour),
    ))
}

#[cfg(test)]
pub(crate) mod fixture;
