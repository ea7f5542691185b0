//! 避峰提醒.

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;

/// Nudges in the list at most.
const NUDGES_MAX: usize = 200;

/// Off-peak nudges, newest first, drafts included
#[utoipa::path(get, path = "/nudges", tag = "plan", responses(
    (status = 200, body = Vec<Value>, description = "Nudge documents"),
))]
pub(super) async fn get_nudges(
    State(state): State<AppState>,
) -> Result<Json<Vec<Value>>, ApiProblem> {
    Ok(Json(
        state.blocking(|state| state.nudges(NUDGES_MAX)).await?,
    ))
}
