//! Do the volume correctors convert as their own pressure and temperature say (修正仪核查)?

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::id::MeterId;
use crate::serve::api::Asked;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// Days before now that are looked at if nothing is said.
pub const DAYS_DEFAULT: u32 = 7;
const DAYS_MAX: u32 = 31;
/// Rows in one answer, if nothing is said and at most.
pub const ROWS_DEFAULT: usize = 500;
const ROWS_MAX: usize = 5_000;

/// What is asked of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrectorsAsked {
    /// Only this meter.
    pub meter: Option<MeterId>,
    /// Days before now.
    pub days: u32,
    /// Only meters after this one.
    pub after: Option<MeterId>,
    /// Rows at most.
    pub limit: usize,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CorrectorQuery {
    /// Only this meter.
    meter: Option<String>,
    /// Days before now, 1 to 31; 7 if not given.
    days: Option<u32>,
    /// Only meters after this one: `next_after` of the answer before.
    after: Option<String>,
    /// Rows at most, 1 to 5,000; 500 if not given.
    limit: Option<usize>,
}

/// What readings of a corrector say together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CorrectorFinding {
    /// `factor` is wrong; its explanation `changed`; `pressure_frozen`.
    pub kind: String,
    /// In Chinese.
    pub message_zh: String,
    /// In English.
    pub message_en: String,
    /// First reading, RFC 3339.
    pub from: String,
    /// Last reading; null where something changed at one.
    pub to: Option<String>,
    /// Readings.
    pub readings: Option<usize>,
    /// Factor reported, by that of the corrector's own pressure and temperature.
    pub ratio: Option<f64>,
}

/// A corrector whose readings tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CorrectorView {
    /// Meter (表号).
    pub meter: String,
    /// Zone.
    pub zone: String,
    /// Readings that tell.
    pub readings: usize,
    /// Factor reported last.
    pub factor: Option<f64>,
    /// Factor of the pressure and temperature beside it.
    pub factor_expected: Option<f64>,
    /// What is odd; none if it converts as it should.
    pub findings: Vec<CorrectorFinding>,
    /// Why it cannot be judged.
    pub error: Option<String>,
}

impl CorrectorView {
    /// Whether somebody should look at it.
    pub fn is_odd(&self) -> bool {
        self.error.is_some() || !self.findings.is_empty()
    }
}

/// The correctors whose readings tell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CorrectorsView {
    /// Days before now that were looked at.
    pub days: u32,
    /// A row for each, in order of meter.
    pub rows: Vec<CorrectorView>,
    /// Where to go on: there may be more after this meter. Null if all were looked at.
    pub next_after: Option<String>,
}

/// Audit of the volume correctors: each by its own pressure and temperature
#[utoipa::path(get, path = "/correctors", tag = "ledger", params(CorrectorQuery), responses(
    (status = 200, body = CorrectorsView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_correctors(
    State(state): State<AppState>,
    Asked(query): Asked<CorrectorQuery>,
) -> Result<Json<CorrectorsView>, ApiProblem> {
    let days = query.days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(ApiProblem::bad_request(
            "serve.bad_span",
            format!("{days} days cannot be looked at; ask for 1 to {DAYS_MAX}"),
        ));
    }
    let limit = query.limit.unwrap_or(ROWS_DEFAULT);
    if !(1..=ROWS_MAX).contains(&limit) {
        return Err(ApiProblem::bad_request(
            "serve.bad_query",
            format!("{limit} rows cannot be asked for; ask for 1 to {ROWS_MAX}"),
        ));
    }
    let asked = CorrectorsAsked {
        meter: query.meter.map(MeterId::new),
        days,
        after: query.after.map(MeterId::new),
        limit,
    };
    if let Some(meter) = &asked.meter
        && !state.registry().meters.contains_key(meter)
    {
        return Err(ApiProblem::not_found(
            "registry.unknown_meter",
            "the registry has no such meter; meters.csv lists them",
        ));
    }
    let view = state
        .blocking(move |state| Ok(state.actions().correctors(&asked)?))
        .await?;
    Ok(Json(view))
}
