//! 日指定.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::domain::calendar::GasDay;
use crate::plan::nomination::{Check, Nomination};
use crate::serve::api::submissions::Submission;
use crate::serve::api::{Asked, VersionQuery, gas_day, sent, versioned, workbook};
use crate::serve::openapi::Workbook;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// A nomination, and what is to be corrected or looked at before it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct NominationView {
    /// As kept.
    #[serde(flatten)]
    pub nomination: Nomination,
    /// What was found; empty if nothing was, null of a nomination that an earlier program kept with
    /// other fields.
    pub checks: Option<Vec<Check>>,
    /// The versions that were sent, oldest first.
    pub submissions: Vec<Submission>,
}

/// A kept nomination with its checks and what was sent of its day.
fn viewed(state: &AppState, day: GasDay, mut body: Value) -> Result<Value, ApiProblem> {
    let nomination: Option<Nomination> = serde_json::from_value(body.clone()).ok();
    let submissions = state.nominations_sent(day)?;
    if let Some(fields) = body.as_object_mut() {
        fields.insert("checks".into(), json!(nomination.map(|n| n.checks())));
        fields.insert("submissions".into(), json!(submissions));
    }
    Ok(body)
}

/// Another quantity for a contract of a nomination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NominationEdit {
    /// Contract.
    pub contract: String,
    /// 日指定量, m³.
    pub nominated_m3: i64,
    /// Who decides.
    pub who: String,
    /// Why; needed where it differs from the suggestion by more than 5 %, and of every change of what was sent.
    #[serde(default)]
    pub reason: Option<String>,
    /// The version that who decides has seen; refused where there is a newer one.
    #[serde(default)]
    pub version: Option<u32>,
}

fn not_nominated(day: GasDay) -> ApiProblem {
    ApiProblem::not_found(
        "nomination.not_found",
        format!(
            "{day} has not been nominated; POST /api/v1/nominations/{day} computes a nomination"
        ),
    )
}

/// A version of a gas day's nomination, the latest if none is named
#[utoipa::path(get, path = "/nominations/{day}", tag = "plan",
    params(("day" = String, Path, description = "Gas day, `YYYY-MM-DD`"), VersionQuery),
    responses(
        (status = 200, body = NominationView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_nomination(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Asked(query): Asked<VersionQuery>,
) -> Result<Json<Value>, ApiProblem> {
    let day = gas_day(&text)?;
    state
        .blocking(move |state| {
            let body = state.nomination(day, query.version)?;
            let body = body.ok_or_else(|| not_nominated(day))?;
            Ok(Json(viewed(state, day, body)?))
        })
        .await
}

/// Compute a new version of a gas day's nomination
#[utoipa::path(post, path = "/nominations/{day}", tag = "plan",
    params(("day" = String, Path, description = "Gas day, `YYYY-MM-DD`")),
    responses(
        (status = 200, body = NominationView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "It cannot be computed with what is known; the detail says what is missing"),
    ))]
pub(super) async fn post_nomination(
    State(state): State<AppState>,
    Path(text): Path<String>,
) -> Result<Json<Value>, ApiProblem> {
    let day = gas_day(&text)?;
    state
        .blocking(move |state| {
            let body = state.actions().nominate(day)?;
            Ok(Json(viewed(state, day, body)?))
        })
        .await
}

/// Nominate another quantity for a contract; a new version, its hours in the shape they had
#[utoipa::path(post, path = "/nominations/{day}/lines", tag = "plan", request_body = NominationEdit,
    params(("day" = String, Path, description = "Gas day, `YYYY-MM-DD`")),
    responses(
        (status = 200, body = NominationView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json",
         description = "Somebody made a newer version than the one seen; the detail says who"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "It cannot be nominated; the detail says why"),
    ))]
pub(super) async fn post_nomination_line(
    State(state): State<AppState>,
    Path(text): Path<String>,
    body: Result<Json<NominationEdit>, JsonRejection>,
) -> Result<Json<Value>, ApiProblem> {
    let day = gas_day(&text)?;
    let edit = sent(body)?;
    state
        .blocking(move |state| {
            let body = state.actions().edit_nomination(day, &edit)?;
            Ok(Json(viewed(state, day, body)?))
        })
        .await
}

/// A version of a gas day's nomination as a workbook, the latest if none is named
#[utoipa::path(get, path = "/nominations/{day}/export.xlsx", tag = "plan",
    params(("day" = String, Path, description = "Gas day, `YYYY-MM-DD`"), VersionQuery),
    responses(
        (status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = Workbook),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn export_nomination(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Asked(query): Asked<VersionQuery>,
) -> Result<Response, ApiProblem> {
    let day = gas_day(&text)?;
    let bytes = state
        .blocking(move |state| {
            if state.nomination(day, query.version)?.is_none() {
                return Err(not_nominated(day));
            }
            Ok(state.actions().nomination_xlsx(day, query.version)?)
        })
        .await?;
    let name = format!("nomination-{day}{}.xlsx", versioned(query.version));
    Ok(workbook(&name, bytes))
}
