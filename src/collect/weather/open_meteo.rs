//! Open-Meteo's forecast: one request a station, its documented JSON to a vintage.
//!
//! <https://open-meteo.com/en/docs>: `hourly.time` beside `hourly.temperature_2m`, null where a
//! model has no value; `{"error": true, "reason": "…"}` when it refuses. Times are asked for as
//! Unix seconds, which are GMT whatever the time zone.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::WeatherError;
use crate::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};
use crate::settings::OpenMeteoSettings;

/// Days ahead: the most that is offered.
const FORECAST_DAYS: &str = "16";
/// Days back: the gas day under way, and a gap to be filled.
const PAST_DAYS: &str = "2";
/// Bytes of an answer that are read: 18 days are 12 kB.
const ANSWER_BYTES_MAX: usize = 1_048_576;

#[derive(Debug, Deserialize)]
struct Answer {
    hourly_units: Units,
    hourly: Hourly,
}

#[derive(Debug, Deserialize)]
struct Units {
    temperature_2m: String,
}

#[derive(Debug, Deserialize)]
struct Hourly {
    time: Vec<i64>,
    temperature_2m: Vec<Option<f64>>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    reason: String,
}

/// Asks for one station's weather.
#[derive(Debug, Clone)]
pub struct OpenMeteo {
    settings: OpenMeteoSettings,
    client: reqwest::Client,
}

impl OpenMeteo {
    /// Prepares the client.
    ///
    /// # Errors
    /// The system's certificates cannot be read.
    pub fn new(settings: OpenMeteoSettings, timeout: Duration) -> Result<Self, WeatherError> {
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("qiliang/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| WeatherError::Unreachable {
                provider: settings.station.clone(),
                reason: error.without_url().to_string(),
            })?;
        Ok(Self { settings, client })
    }

    /// Station it stands for.
    pub fn station(&self) -> &str {
        &self.settings.station
    }

    fn provider(&self) -> String {
        format!("Open-Meteo for station `{}`", self.settings.station)
    }

    fn unreachable(&self, error: reqwest::Error) -> WeatherError {
        // An address may carry a customer's key.
        let reason = error.without_url().to_string();
        WeatherError::Unreachable {
            provider: self.provider(),
            reason,
        }
    }

    /// Fetches what is forecast now; where it is set so, its past hours stand for observations.
    ///
    /// # Errors
    /// It cannot be reached, refuses, or answers something else.
    pub async fn fetch(&self, now: DateTime<Utc>) -> Result<Vec<WeatherVintage>, WeatherError> {
        let mut url =
            reqwest::Url::parse(&self.settings.url).map_err(|error| WeatherError::Unreachable {
                provider: self.provider(),
                reason: format!("its url is none ({error})"),
            })?;
        url.query_pairs_mut()
            .append_pair("latitude", &self.settings.latitude.to_string())
            .append_pair("longitude", &self.settings.longitude.to_string())
            .append_pair("hourly", "temperature_2m")
            .append_pair("timeformat", "unixtime")
            .append_pair("timezone", "GMT")
            .append_pair("past_days", PAST_DAYS)
            .append_pair("forecast_days", FORECAST_DAYS);
        let mut answer = self
            .client
            .get(url)
            .send()
            .await
            .map_err(|error| self.unreachable(error))?;
        let status = answer.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| self.unreachable(error))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(self.syntax("it does not end"));
            }
        }
        self.read(status, &body, now)
    }

    fn syntax(&self, reason: &str) -> WeatherError {
        WeatherError::Syntax {
            place: self.provider(),
            reason: format!("the answer is not the documented one: {reason}"),
        }
    }

    /// An answer to vintages.
    fn read(
        &self,
        status: u16,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<WeatherVintage>, WeatherError> {
        if status != 200 {
            let reason = serde_json::from_slice::<Refusal>(body)
                .map_or_else(|_| "no reason given".to_owned(), |refusal| refusal.reason);
            return Err(WeatherError::Refused {
                provider: self.provider(),
                status,
                reason: reason.chars().take(200).collect(),
            });
        }
        let answer: Answer =
            serde_json::from_slice(body).map_err(|error| self.syntax(&error.to_string()))?;
        let hourly = answer.hourly;
        if answer.hourly_units.temperature_2m != "°C" {
            return Err(self.syntax(&format!(
                "temperature_2m is in `{}`, not in °C",
                answer.hourly_units.temperature_2m
            )));
        }
        if hourly.time.len() != hourly.temperature_2m.len() {
            return Err(self.syntax(&format!(
                "{} times beside {} temperatures",
                hourly.time.len(),
                hourly.temperature_2m.len()
            )));
        }
        let points: Vec<WeatherPoint> = hourly
            .time
            .iter()
            .zip(&hourly.temperature_2m)
            .filter_map(|(seconds, value)| {
                Some(WeatherPoint {
                    at: DateTime::from_timestamp(*seconds, 0)?,
                    temperature_c: (*value)?,
                })
            })
            .collect();
        let vintage = |kind, points: Vec<WeatherPoint>| WeatherVintage {
            station: self.settings.station.clone(),
            kind,
            issued_at: now,
            available_at: now,
            points,
        };
        let hour_ended = |p: &WeatherPoint| p.at + TimeDelta::hours(1) <= now;
        let mut out = Vec::new();
        if self.settings.is_past_observed {
            let past: Vec<WeatherPoint> =
                points.iter().filter(|p| hour_ended(p)).copied().collect();
            if !past.is_empty() {
                out.push(vintage(WeatherKind::Observed, past).checked(now)?);
            }
        }
        let ahead = points.into_iter().filter(|p| !hour_ended(p)).collect();
        out.push(vintage(WeatherKind::Forecast, ahead).checked(now)?);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(is_past_observed: bool) -> OpenMeteo {
        let settings = OpenMeteoSettings {
            station: "57297".into(),
            latitude: 32.13,
            longitude: 114.07,
            url: "https://api.open-meteo.com/v1/forecast".into(),
            is_past_observed,
        };
        OpenMeteo::new(settings, Duration::from_secs(1)).unwrap()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_233_600 + 1_800, 0).unwrap()
    }

    fn body(unit: &str) -> Vec<u8> {
        format!(
            r#"{{"latitude":32.125,"longitude":114.0625,"generationtime_ms":0.04,"utc_offset_seconds":0,
            "timezone":"GMT","timezone_abbreviation":"GMT","elevation":79.0,
            "hourly_units":{{"time":"unixtime","temperature_2m":"{unit}"}},
            "hourly":{{"time":[1795230000,1795233600,1795237200,1795240800],
            "temperature_2m":[3.1,2.7,null,2.2]}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn the_documented_answer_becomes_a_forecast_and_past_hours_if_wanted() {
        let only = source(false).read(200, &body("°C"), now()).unwrap();
        assert_eq!(only.len(), 1);
        let values: Vec<f64> = only[0].points.iter().map(|p| p.temperature_c).collect();
        assert_eq!(
            values,
            [2.7, 2.2],
            "the hour under way and what is known of those ahead"
        );
        let both = source(true).read(200, &body("°C"), now()).unwrap();
        assert_eq!(both[0].kind, WeatherKind::Observed);
        assert_eq!(both[0].points.len(), 1);
    }

    #[test]
    fn refusals_and_other_units_are_said_in_the_providers_words() {
        let refusal = br#"{"error":true,"reason":"Latitude must be in range of -90 to 90"}"#;
        let error = source(false).read(400, refusal, now()).unwrap_err();
        assert_eq!(error.code(), "collect.weather_refused");
        assert!(error.to_string().contains("Latitude must be"), "{error}");
        let error = source(false).read(200, &body("°F"), now()).unwrap_err();
        assert!(error.to_string().contains("°F"), "{error}");
        let error = source(false).read(502, b"<html>", now()).unwrap_err();
        assert_eq!(error.code(), "collect.weather_refused");
    }
}
