//! 日指定.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use crate::domain::calendar::GasDay;
use crate::plan::nomination::Nomination;
use crate::serve::api::{gas_day, workbook};
use crate::serve::openapi::Workbook;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

fn not_nominated(day: GasDay) -> ApiProblem {
    ApiProblem::not_found(
        "nomination.not_found",
        format!(
            "{day} has not been nominated; POST /api/v1/nominations/{day} computes a nomination"
        ),
    )
}

/// The latest version of a gas day's nomination
#[utoipa::path(get, path = "/nominations/{day}", tag = "plan",
    params(("day" = String, Path, description = "Gas day, `YYYY-MM-DD`")),
    responses(
        (status = 200, body = Nomination),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_nomination(
    State(state): State<AppState>,
    Path(text): Path<String>,
) -> Result<Json<Value>, ApiProblem> {
    let day = gas_day(&text)?;
    state
        .blocking(move |state| state.nomination(day))
        .await?
        .map(Json)
        .ok_or_else(|| not_nominated(day))
}

/// Compute a new version of a gas day's nomination
#[utoipa::path(post, path = "/nominations/{day}", tag = "plan",
    params(("day" = String, Path, description = "Gas day, `YYYY-MM-DD`")),
    responses(
        (status = 200, body = Nomination),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "It cannot be computed with what is known; the detail says what is missing"),
    ))]
pub(super) async fn post_nomination(
    State(state): State<AppState>,
    Path(text): Path<String>,
) -> Result<Json<Value>, ApiProblem> {
    let day = gas_day(&text)?;
    Ok(Json(
        state
            .blocking(move |state| Ok(state.actions().nominate(day)?))
            .await?,
    ))
}

/// The latest version of a gas day's nomination as a workbook
#[utoipa::path(get, path = "/nominations/{day}/export.xlsx", tag = "plan",
    params(("day" = String, Path, description = "Gas day, `YYYY-MM-DD`")),
    responses(
        (status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = Workbook),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn export_nomination(
    State(state): State<AppState>,
    Path(text): Path<String>,
) -> Result<Response, ApiProblem> {
    let day = gas_day(&text)?;
    let bytes = state
        .blocking(move |state| {
            if state.nomination(day)?.is_none() {
                return Err(not_nominated(day));
            }
            Ok(state.actions().nomination_xlsx(day)?)
        })
        .await?;
    Ok(workbook(&format!("nomination-{day}.xlsx"), bytes))
}
