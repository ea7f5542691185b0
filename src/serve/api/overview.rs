//! 调度总览.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::serve::figures::overview::Overview;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// The dispatch overview at this instant
#[utoipa::path(get, path = "/overview", tag = "dispatch", responses(
    (status = 200, body = Overview),
    (status = 500, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_overview(
    State(state): State<AppState>,
) -> Result<Json<Arc<Overview>>, ApiProblem> {
    Ok(Json(state.overview().await?))
}
