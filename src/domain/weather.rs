//! Weather: observations, and forecasts kept with the time they became known (vintages).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Hourly mean air temperature at a station.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WeatherPoint {
    /// Start of the hour.
    pub at: DateTime<Utc>,
    /// °C.
    pub temperature_c: f64,
}

/// Temperatures of one station that became known together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeatherVintage {
    /// Station.
    pub station: String,
    /// Observed, or forecast.
    pub kind: WeatherKind,
    /// When the provider made it.
    pub issued_at: DateTime<Utc>,
    /// When we could know it.
    pub available_at: DateTime<Utc>,
    /// Points in time order.
    pub points: Vec<WeatherPoint>,
}

/// Observed or forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeatherKind {
    /// What the station measured.
    Observed,
    /// What a provider expected.
    Forecast,
}
