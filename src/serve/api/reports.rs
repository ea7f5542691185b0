//! 周报、月总结、季度清单: reports of each week, month and quarter.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::domain::language::Language;
use crate::serve::api::Asked;
use crate::serve::periodic::{PeriodicKind, html};
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportQuery {
    /// `zh` if not given.
    #[param(inline)]
    language: Option<Language>,
}

/// The weekly report (大用户与合同执行周报), the monthly summary (月总结) or the quarterly list of enterprises
/// whose use changed (用气规律变化企业清单), as a page to read or print
#[utoipa::path(get, path = "/reports/{kind}", tag = "dispatch",
    params(("kind" = String, Path, description = "`weekly`, `monthly` or `quarterly`"), ReportQuery),
    responses(
        (status = 200, content_type = "text/html", body = String),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_report(
    State(state): State<AppState>,
    Path(kind): Path<String>,
    Asked(query): Asked<ReportQuery>,
) -> Result<Response, ApiProblem> {
    let kind: PeriodicKind = serde_json::from_value(kind.into()).map_err(|_| {
        ApiProblem::not_found(
            "serve.unknown_key",
            "there is no such report; ask for weekly, monthly or quarterly",
        )
    })?;
    let language = query.language.unwrap_or_default();
    // A list of enterprises without the ledger would be an empty one: its failure is this report's.
    let rows = Arc::clone(&state.ledger().await?.rows);
    let sources = state.overview().await?.sources.clone();
    let page = state
        .blocking(move |state| Ok(html(&state.periodic_report(kind, rows, sources)?, language)))
        .await?;
    let mut response = Html(page).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
