//! 台账: the ledger of large consumers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::GasDay;
use crate::ledger::entry::LedgerEntry;
use crate::serve::api::workbook;
use crate::serve::openapi::Workbook;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// The ledger as of one instant.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LedgerView {
    /// When it was computed.
    pub as_of: String,
    /// One row for each customer on the ledger.
    #[schema(value_type = Vec<LedgerEntry>)]
    pub rows: Arc<Vec<LedgerEntry>>,
}

/// A day's volume of a customer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CustomerDay {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Volume, m³; null unless every meter has all hours.
    pub m3: Option<f64>,
}

/// A completed day's volume and its mean temperature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TemperaturePoint {
    /// Mean of the gas day at the zone's station, °C.
    pub mean_c: f64,
    /// Volume, m³.
    pub m3: f64,
}

/// A customer in detail.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LedgerDetail {
    /// Its row.
    pub row: LedgerEntry,
    /// The last 400 completed gas days.
    pub days: Vec<CustomerDay>,
    /// 24 hours of yesterday, m³.
    pub yesterday_hours: Vec<Option<f64>>,
    /// 24 hours of today, m³.
    pub today_hours: Vec<Option<f64>>,
    /// Completed days for which a temperature is known.
    pub temperature: Vec<TemperaturePoint>,
}

/// The ledger of large consumers
#[utoipa::path(get, path = "/ledger", tag = "ledger", responses(
    (status = 200, body = LedgerView),
    (status = 500, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_ledger(
    State(state): State<AppState>,
) -> Result<Json<LedgerView>, ApiProblem> {
    let ledger = state.ledger().await?;
    Ok(Json(LedgerView {
        as_of: ledger.as_of.clone(),
        rows: Arc::clone(&ledger.rows),
    }))
}

/// The ledger as a workbook
#[utoipa::path(get, path = "/ledger/export.xlsx", tag = "ledger", responses(
    (status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = Workbook),
    (status = 500, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn export_ledger(State(state): State<AppState>) -> Result<Response, ApiProblem> {
    let bytes = state
        .blocking(|state| Ok(state.actions().ledger_xlsx()?))
        .await?;
    Ok(workbook(&format!("ledger-{}.xlsx", state.gas_day()), bytes))
}

/// A customer of the ledger in detail
#[utoipa::path(get, path = "/ledger/{account_no}", tag = "ledger",
    params(("account_no" = String, Path, description = "Account number (户号)")),
    responses(
        (status = 200, body = LedgerDetail),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_ledger_entry(
    State(state): State<AppState>,
    Path(account_no): Path<String>,
) -> Result<Json<LedgerDetail>, ApiProblem> {
    let ledger = state.ledger().await?;
    let row = ledger
        .rows
        .iter()
        .find(|row| row.account_no.as_str() == account_no)
        .cloned()
        .ok_or_else(|| {
            ApiProblem::not_found(
                "ledger.unknown_account",
                "no customer with this account number is on the ledger; GET /api/v1/ledger lists them",
            )
        })?;
    Ok(Json(
        state
            .blocking(move |state| state.ledger_detail(row))
            .await?,
    ))
}
