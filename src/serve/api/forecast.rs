//! 预测报告.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::demand::DemandView;
use crate::domain::language::Language;
use crate::serve::api::Asked;
use crate::serve::dispatch;
use crate::serve::figures::forecast::{Dimension, ForecastView, Horizon};
use crate::serve::figures::months::{MonthsBy, MonthsView, months_view};
use crate::serve::figures::overview::Run;
use crate::serve::figures::{Band, instant_text};
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// Runs in the list at most.
const RUNS_MAX: usize = 30;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ForecastQuery {
    /// Hours of the first days, or gas days of the whole run; `daily` if not given.
    horizon: Option<Horizon>,
    /// What to split by; `total` if not given.
    by: Option<Dimension>,
    /// Only this member of the dimension.
    key: Option<String>,
}

/// The latest run, whole or split by source, class or time slot
#[utoipa::path(get, path = "/forecast", tag = "forecast", params(ForecastQuery), responses(
    (status = 200, body = ForecastView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_forecast(
    State(state): State<AppState>,
    Asked(query): Asked<ForecastQuery>,
) -> Result<Json<ForecastView>, ApiProblem> {
    let run = state.latest_run().await?;
    let view = state
        .blocking(move |state| {
            let horizon = query.horizon.unwrap_or(Horizon::Daily);
            let by = query.by.unwrap_or_default();
            let key = query.key.as_deref();
            let view = state.forecast_view(&run, horizon, by, key)?;
            view.ok_or_else(|| unknown_key(key))
        })
        .await?;
    Ok(Json(view))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MonthsQuery {
    /// What to split by; `total` if not given.
    by: Option<MonthsBy>,
    /// Only this member of the dimension.
    key: Option<String>,
}

/// The months ahead, 18 from the one under way on, whole or split by zone, source, class or zone × class
#[utoipa::path(get, path = "/forecast/months", tag = "forecast", params(MonthsQuery), responses(
    (status = 200, body = MonthsView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_forecast_months(
    State(state): State<AppState>,
    Asked(query): Asked<MonthsQuery>,
) -> Result<Json<MonthsView>, ApiProblem> {
    let view = state.blocking(move |state| {
        let by = query.by.unwrap_or_default();
        let key = query.key.as_deref();
        let of_day = state.months()?;
        let renewed = state.months_renewed(&of_day)?;
        let view = months_view(&state.registry(), &of_day, renewed.as_ref(), by, key);
        view.ok_or_else(|| unknown_key(key))
    });
    Ok(Json(view.await?))
}

fn unknown_key(key: Option<&str>) -> ApiProblem {
    let shown: String = key.unwrap_or("").chars().take(40).collect();
    ApiProblem::bad_request(
        "serve.unknown_key",
        format!("`{shown}` is no member of this dimension; GET /api/v1/meta lists them"),
    )
}

/// A run in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunSummary {
    /// The run.
    pub run_id: String,
    /// Nothing known after this instant was used.
    pub origin_at: String,
    /// Gas days it reaches.
    pub days: usize,
    /// Its second gas day: the day ahead.
    pub total_tomorrow: Option<Band>,
}

impl From<&Run> for RunSummary {
    fn from(run: &Run) -> Self {
        let forecast = &run.forecast;
        Self {
            run_id: forecast.run_id.to_string(),
            origin_at: instant_text(forecast.origin_at),
            days: forecast.days.len(),
            total_tomorrow: forecast
                .days
                .get(1)
                .and_then(|day| run.day_band(&DemandView::total(), *day)),
        }
    }
}

/// The latest runs, newest first
#[utoipa::path(get, path = "/forecast/runs", tag = "forecast", responses(
    (status = 200, body = Vec<RunSummary>),
))]
pub(super) async fn get_forecast_runs(
    State(state): State<AppState>,
) -> Result<Json<Vec<RunSummary>>, ApiProblem> {
    Ok(Json(
        state
            .blocking(|state| state.run_summaries(RUNS_MAX))
            .await?,
    ))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportQuery {
    /// `zh` if not given.
    #[param(inline)]
    language: Option<Language>,
}

/// The dispatch report (调度气量预测日报) as a page to read or print
#[utoipa::path(get, path = "/forecast/report", tag = "forecast", params(ReportQuery), responses(
    (status = 200, content_type = "text/html", body = String),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_report(
    State(state): State<AppState>,
    Asked(query): Asked<ReportQuery>,
) -> Result<Response, ApiProblem> {
    let run = state.latest_run().await?;
    let language = query.language.unwrap_or_default();
    let page = state
        .blocking(move |state| Ok(dispatch::html(&state.dispatch_report(&run)?, language)))
        .await?;
    let mut response = Html(page).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
