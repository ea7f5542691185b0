//! `/healthz`, `/readyz`, `/metrics`: for machines that watch the program.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::serve::problem::{ApiProblem, OwnBody};
use crate::serve::reading::NotReady;
use crate::serve::state::AppState;

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

#[derive(Debug, Serialize)]
struct Readiness {
    is_ready: bool,
    reasons: Vec<NotReady>,
    /// What is amiss and keeps nobody from working.
    warnings: Vec<NotReady>,
}

/// The program can do its work, or 503 with what keeps it from it.
pub(super) async fn readyz(State(state): State<AppState>) -> Result<Response, ApiProblem> {
    let reasons = state.blocking(|state| Ok(state.not_ready())).await?;
    let is_ready = reasons.is_empty();
    let warnings = state.warnings();
    let body = Json(Readiness {
        is_ready,
        reasons,
        warnings,
    });
    let mut response = if is_ready {
        body.into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    };
    response.extensions_mut().insert(OwnBody);
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Prometheus text.
pub(super) async fn metrics(State(state): State<AppState>) -> Result<Response, ApiProblem> {
    let moment = state.blocking(AppState::moment).await?;
    let text = state.metrics().text(moment).map_err(|error| {
        ApiProblem::internal(
            "serve.metrics_failed",
            "the metrics could not be written; look in the log for the reference",
            error.to_string(),
        )
    })?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok((
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind))],
        text,
    )
        .into_response())
}
