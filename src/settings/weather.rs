//! `[weather]`.

use std::path::PathBuf;

use serde::Deserialize;

/// `[weather]`: where observations and forecasts come from, beside `POST /api/v1/weather`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeatherSettings {
    /// Folder whose `*.csv` and `*.json` are taken as they appear or change.
    #[serde(default)]
    pub files_dir: Option<PathBuf>,
    /// Providers are asked this often, minutes of the clock.
    pub every_minutes: u32,
    /// A provider's answer is waited for this long, s.
    pub timeout_s: u64,
    /// Stations asked for at Open-Meteo.
    #[serde(default)]
    pub open_meteo: Vec<OpenMeteoSettings>,
}

/// `[[weather.open_meteo]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenMeteoSettings {
    /// Station of `zones.csv` it stands for.
    pub station: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Address of the forecast, with the key of a customer's plan if there is one.
    #[serde(default = "default_url")]
    pub url: String,
    /// Whether its past hours stand for observations, where no thermometer sends any.
    #[serde(default)]
    pub is_past_observed: bool,
}

fn default_url() -> String {
    "https://api.open-meteo.com/v1/forecast".to_owned()
}

impl OpenMeteoSettings {
    /// What is wrong: key, message, remedy.
    pub(super) fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut out = Vec::new();
        let is_local = ["http://127.0.0.1", "http://[::1]", "http://localhost"]
            .iter()
            .any(|start| self.url.starts_with(start));
        if !self.url.starts_with("https://") && !is_local {
            out.push((
                "url",
                "`weather.open_meteo.url` is not https".into(),
                "write https://…; plain http is for this machine only",
            ));
        }
        if !(-90.0..=90.0).contains(&self.latitude) || !(-180.0..=180.0).contains(&self.longitude) {
            out.push((
                "latitude",
                format!(
                    "station `{}` lies at {}° N, {}° E",
                    self.station, self.latitude, self.longitude
                ),
                "write degrees north (−90 to 90) and east (−180 to 180)",
            ));
        }
        out
    }
}
