//! Weather pushed over HTTP.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::collect::weather::{self, WeatherError};
use crate::domain::id::DeviceId;
use crate::serve::api::readings::{admit, read_body};
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// What became of pushed weather.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WeatherReport {
    /// Vintages in the request.
    pub received: u64,
    /// Those that said something new; on disk.
    pub accepted: u64,
}

impl From<WeatherError> for ApiProblem {
    fn from(error: WeatherError) -> Self {
        Self::refused(error.code(), error.to_string())
    }
}

/// Push weather: observed or forecast hourly temperatures of a station; answered once on disk
///
/// One vintage `{\"station\", \"kind\": \"observed\"|\"forecast\", \"issued_at\", \"points\":
/// [{\"at\", \"temperature_c\"}]}` or an array of them; hours are stamped by their start. All are taken
/// or none. What is pushed is known from this moment on: a forecast made for an earlier instant never
/// sees it. A token speaks for the stations named in its `devices=`.
#[utoipa::path(post, path = "/weather", tag = "collect",
    params(("Authorization" = Option<String>, Header, description = "`Bearer <token>`, where tokens are configured")),
    request_body(
        description = "A vintage, or an array of them",
        content((serde_json::Value = "application/json")),
    ),
    responses(
        (status = 202, body = WeatherReport, description = "On disk"),
        (status = 401, body = ProblemBody, content_type = "application/problem+json",
         description = "No token, or one that is not known"),
        (status = 403, body = ProblemBody, content_type = "application/problem+json",
         description = "The token may not speak for the station"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json",
         description = "Larger than push.body_max_bytes"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "Not what a vintage is; nothing was taken"),
        (status = 429, body = ProblemBody, content_type = "application/problem+json",
         description = "More requests than the token may send"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json",
         description = "No room, or the disk does not take it"),
    ))]
pub(super) async fn post_weather(
    State(state): State<AppState>,
    request: Request,
) -> Result<(StatusCode, Json<WeatherReport>), ApiProblem> {
    let push = state.push();
    let (parts, body) = request.into_parts();
    let token = admit(push, &parts.headers)?;
    let (body, _room) = read_body(push, &parts.headers, body).await?;
    let _place = push.place().await?;
    let now = push.now();
    let report = state
        .blocking(move |state| {
            let vintages = weather::parse_json(&body, "the body", now, false)?;
            weather::check_stations(&state.registry(), &vintages)?;
            let denied = vintages.iter().find(|vintage| {
                !token
                    .rights()
                    .may_speak_for(&DeviceId::from(vintage.station.as_str()), None)
            });
            if let Some(denied) = denied {
                return Err(ApiProblem::forbidden(
                    "push.not_allowed",
                    format!(
                        "token `{}` may not speak for station `{}`; if it should, add the station to `devices=` of its line",
                        token.id(),
                        denied.station
                    ),
                ));
            }
            let received = vintages.len() as u64;
            let accepted = state
                .book()
                .put_weather(vintages)
                .map_err(|error| ApiProblem::store("the weather", &error))?;
            Ok(WeatherReport { received, accepted })
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(report)))
}
