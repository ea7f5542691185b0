//! 上报: what went to the supplier.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::plan::declaration::Declaration;
use crate::plan::nomination::Nomination;
use crate::serve::api::{gas_day, month, sent};
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;
use crate::store::book::DocumentKind;

/// Who sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmissionRequest {
    /// Who.
    pub person: String,
    /// How, or why: by which channel, as what change.
    pub reason: String,
}

/// A version that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submission {
    /// The version; GET with `version` reads it, and its workbook.
    pub version: u32,
    /// Which submission it was, from 1; 0 in documents of earlier programs.
    pub submission_no: u32,
    /// When, RFC 3339.
    pub sent_at: String,
    /// Who sent it.
    pub person: String,
    /// How, or why.
    pub reason: String,
}

/// Write down that the latest version of a month's declaration was sent as it stands
#[utoipa::path(post, path = "/declarations/{month}/sent", tag = "plan",
    params(("month" = String, Path, description = "`YYYY-MM`")),
    request_body = SubmissionRequest,
    responses(
        (status = 200, body = Declaration),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "It was sent already, or nobody says who sent it"),
    ))]
pub(super) async fn post_declaration_sent(
    State(state): State<AppState>,
    Path(text): Path<String>,
    request: Result<Json<SubmissionRequest>, JsonRejection>,
) -> Result<Json<Value>, ApiProblem> {
    let key = month(&text)?.to_string();
    mark(&state, DocumentKind::Declaration, key, sent(request)?).await
}

/// Write down that the latest version of a gas day's nomination was sent as it stands
#[utoipa::path(post, path = "/nominations/{day}/sent", tag = "plan",
    params(("day" = String, Path, description = "Gas day, `YYYY-MM-DD`")),
    request_body = SubmissionRequest,
    responses(
        (status = 200, body = Nomination),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "It was sent already, or nobody says who sent it"),
    ))]
pub(super) async fn post_nomination_sent(
    State(state): State<AppState>,
    Path(text): Path<String>,
    request: Result<Json<SubmissionRequest>, JsonRejection>,
) -> Result<Json<Value>, ApiProblem> {
    let key = gas_day(&text)?.to_string();
    mark(&state, DocumentKind::Nomination, key, sent(request)?).await
}

async fn mark(
    state: &AppState,
    kind: DocumentKind,
    key: String,
    request: SubmissionRequest,
) -> Result<Json<Value>, ApiProblem> {
    state
        .blocking(move |state| Ok(Json(state.actions().mark_sent(kind, &key, &request)?)))
        .await
}
