//! What happened lately.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::serve::api::{Asked, limited};
use crate::serve::live::Notice;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NoticeQuery {
    /// At most so many, 1 to 200; 50 if not given.
    limit: Option<usize>,
}

/// Notices, newest first
#[utoipa::path(get, path = "/notices", tag = "dispatch", params(NoticeQuery), responses(
    (status = 200, body = Vec<Notice>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_notices(
    State(state): State<AppState>,
    Asked(query): Asked<NoticeQuery>,
) -> Result<Json<Vec<Notice>>, ApiProblem> {
    let limit = limited(query.limit, 50, 200);
    Ok(Json(state.notices(limit).await?))
}
