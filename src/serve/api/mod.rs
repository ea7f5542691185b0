//! `/api/v1`, one file per resource. Handlers are thin: they ask the state, and say what is wrong.

pub mod balance;
pub mod collection;
pub mod correctors;
pub mod declarations;
pub mod edits;
pub mod filings;
pub mod findings;
pub mod forecast;
pub mod ledger;
pub mod live;
pub mod meta;
pub mod meters;
pub mod nominations;
pub mod notices;
pub mod nudges;
pub mod outlook;
pub mod overview;
pub mod readings;
pub mod rejects;
mod reports;
pub mod submissions;
pub mod totals;
pub mod weather;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;

const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Every route of `/api/v1` with its description.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(overview::get_overview))
        .routes(routes!(live::get_live))
        .routes(routes!(notices::get_notices))
        .routes(routes!(forecast::get_forecast))
        .routes(routes!(forecast::get_forecast_months))
        .routes(routes!(forecast::get_forecast_runs))
        .routes(routes!(forecast::get_report))
        .routes(routes!(outlook::get_parts))
        .routes(routes!(outlook::get_factors, outlook::post_factor))
        .routes(routes!(outlook::change_factor))
        .routes(routes!(outlook::get_record))
        .routes(routes!(outlook::get_outlook))
        .routes(routes!(outlook::get_similar))
        .routes(routes!(outlook::get_explain))
        .routes(routes!(outlook::get_reproduction))
        .routes(routes!(totals::get_totals))
        .routes(routes!(ledger::get_ledger))
        .routes(routes!(ledger::export_ledger))
        .routes(routes!(ledger::get_ledger_entry))
        .routes(routes!(filings::get_changes, filings::post_change))
        .routes(routes!(filings::correct_change))
        .routes(routes!(filings::get_plans))
        .routes(routes!(declarations::get_declarations))
        .routes(routes!(
            declarations::get_declaration,
            declarations::post_declaration
        ))
        .routes(routes!(declarations::export_declaration))
        .routes(routes!(submissions::post_declaration_sent))
        .routes(routes!(submissions::post_nomination_sent))
        .routes(routes!(
            nominations::get_nomination,
            nominations::post_nomination
        ))
        .routes(routes!(nominations::post_nomination_line))
        .routes(routes!(nominations::export_nomination))
        .routes(routes!(nudges::get_nudges))
        .routes(routes!(nudges::post_nudge))
        .routes(routes!(nudges::get_opt_outs, nudges::post_opt_out))
        .routes(routes!(balance::get_balance))
        .routes(routes!(correctors::get_correctors))
        .routes(routes!(findings::get_findings))
        .routes(routes!(findings::get_finding_stats))
        .routes(routes!(findings::post_judge))
        .routes(routes!(collection::get_collection))
        .routes(routes!(reports::get_report))
        .routes(routes!(rejects::get_rejects))
        .routes(routes!(rejects::post_replay))
        .routes(routes!(rejects::post_purge))
        .routes(routes!(meters::get_meter_curve))
        .routes(routes!(edits::get_edits, edits::post_edit))
        .routes(routes!(edits::post_revoke))
        .routes(routes!(edits::get_restatements))
        .routes(routes!(meta::get_meta))
        .routes(routes!(meta::get_openapi))
}

/// What takes tables, larger than all else that people send.
pub(super) fn table_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(filings::get_board, filings::post_plans))
        .routes(routes!(filings::import_plans))
}

/// What is pushed, which has limits of its own, and a port of its own if wanted.
pub(super) fn push_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(readings::post_readings))
        .routes(routes!(weather::post_weather))
}

/// Query parameters; what cannot be read is a problem with the parser's own words.
#[derive(Debug, Clone, Copy)]
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(asked)| Self(asked))
            .map_err(|rejection| {
                ApiProblem::bad_request("serve.bad_query", rejection.body_text().to_lowercase())
            })
    }
}

/// A body of JSON; what cannot be read is a problem with the parser's own words.
fn sent<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ApiProblem> {
    body.map(|Json(body)| body).map_err(|rejection| {
        ApiProblem::bad_request("serve.bad_body", rejection.body_text().to_lowercase())
    })
}

fn month(text: &str) -> Result<GasMonth, ApiProblem> {
    text.parse()
        .map_err(|help: String| ApiProblem::bad_request("serve.bad_month", help))
}

fn gas_day(text: &str) -> Result<GasDay, ApiProblem> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        ApiProblem::bad_request(
            "serve.bad_day",
            format!("`{shown}` is not a gas day; write YYYY-MM-DD, for example 2026-12-01"),
        )
    })
}

/// Which version of a document.
#[derive(Debug, Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionQuery {
    /// A version; the latest if not given. A draft by the schedule is replaced by the next under its number.
    version: Option<u32>,
}

/// At most `max`, `default` if nothing was asked.
fn limited(limit: Option<usize>, default: usize, max: usize) -> usize {
    limit.unwrap_or(default).clamp(1, max)
}

/// The part of a file's name that says which version was asked for.
fn versioned(version: Option<u32>) -> String {
    version.map_or_else(String::new, |version| format!("-v{version}"))
}

/// A workbook to save under a name.
fn workbook(name: &str, bytes: Vec<u8>) -> Response {
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(XLSX));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(disposition) = format!("attachment; filename=\"{name}\"").parse() {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_days_that_are_none_say_what_to_write() {
        assert!(month("2026-12").is_ok() && gas_day("2026-12-01").is_ok());
        for text in ["2026-13", "2026", "december", ""] {
            assert_eq!(month(text).unwrap_err().code(), "serve.bad_month");
        }
        for text in ["2026-02-30", "2026-12", "today"] {
            assert_eq!(gas_day(text).unwrap_err().code(), "serve.bad_day");
        }
    }

    #[test]
    fn a_limit_stays_within_its_bounds() {
        assert_eq!(limited(None, 50, 500), 50);
        assert_eq!(limited(Some(0), 50, 500), 1);
        assert_eq!(limited(Some(9_999), 50, 500), 500);
    }
}
