//! Server-sent events.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::serve::figures::overview::LiveOverview;
use crate::serve::live::follow;
use crate::serve::state::AppState;

/// Live events: the overview about every two seconds, notices as they happen
#[utoipa::path(get, path = "/live", tag = "dispatch", responses(
    (status = 200, content_type = "text/event-stream", body = LiveOverview,
     description = "`event: overview` with a LiveOverview, at once and about every two seconds; `event: notice` with a Notice"),
))]
pub(super) async fn get_live(State(state): State<AppState>) -> Response {
    let first = match state.overview().await {
        Ok(overview) => Some(LiveOverview::from(overview.as_ref())),
        Err(problem) => {
            problem.log("Live stream began without an overview");
            None
        }
    };
    follow(&state, first).into_response()
}
