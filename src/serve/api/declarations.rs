//! 月度申报.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::domain::calendar::GasMonth;
use crate::plan::declaration::Declaration;
use crate::serve::api::submissions::Submission;
use crate::serve::api::{Asked, VersionQuery, month, versioned, workbook};
use crate::serve::openapi::Workbook;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// A declaration in the list: the latest version of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeclarationSummary {
    /// `YYYY-MM`.
    pub month: String,
    /// Version, 1 for the first.
    pub version: u32,
    /// State of the workflow.
    pub state: Option<String>,
    /// Declared over all contracts, m³, exact.
    pub declared_m3: Option<String>,
    /// When it was computed.
    pub made_at: String,
    /// Suppliers it is declared to, each with a copy of its own.
    pub suppliers: Vec<String>,
    /// The versions that were sent, oldest first.
    pub submissions: Vec<Submission>,
}

/// Declarations, latest month first
#[utoipa::path(get, path = "/declarations", tag = "plan", responses(
    (status = 200, body = Vec<DeclarationSummary>),
))]
pub(super) async fn get_declarations(
    State(state): State<AppState>,
) -> Result<Json<Vec<DeclarationSummary>>, ApiProblem> {
    Ok(Json(state.blocking(AppState::declarations).await?))
}

fn not_declared(month: GasMonth) -> ApiProblem {
    ApiProblem::not_found(
        "declaration.not_found",
        format!(
            "{month} has not been declared; POST /api/v1/declarations/{month} computes a declaration"
        ),
    )
}

/// A version of a month's declaration, the latest if none is named
#[utoipa::path(get, path = "/declarations/{month}", tag = "plan",
    params(("month" = String, Path, description = "`YYYY-MM`"), VersionQuery),
    responses(
        (status = 200, body = Declaration),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_declaration(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Asked(query): Asked<VersionQuery>,
) -> Result<Json<Value>, ApiProblem> {
    let month = month(&text)?;
    state
        .blocking(move |state| state.declaration(month, query.version))
        .await?
        .map(Json)
        .ok_or_else(|| not_declared(month))
}

/// Compute a new version of a month's declaration
#[utoipa::path(post, path = "/declarations/{month}", tag = "plan",
    params(("month" = String, Path, description = "`YYYY-MM`")),
    responses(
        (status = 200, body = Declaration),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "It cannot be computed with what is known; the detail says what is missing"),
    ))]
pub(super) async fn post_declaration(
    State(state): State<AppState>,
    Path(text): Path<String>,
) -> Result<Json<Value>, ApiProblem> {
    let month = month(&text)?;
    Ok(Json(
        state
            .blocking(move |state| Ok(state.actions().declare(month)?))
            .await?,
    ))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// The copy for one supplier: its contracts and their days, declared quantities alone. Ours with every
    /// sheet if not given.
    supplier: Option<String>,
    /// A version; the latest if not given. A draft by the schedule is replaced by the next under its number.
    version: Option<u32>,
}

/// A version of a month's declaration as a workbook, the latest if none is named
#[utoipa::path(get, path = "/declarations/{month}/export.xlsx", tag = "plan",
    params(("month" = String, Path, description = "`YYYY-MM`"), ExportQuery),
    responses(
        (status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = Workbook),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn export_declaration(
    State(state): State<AppState>,
    Path(text): Path<String>,
    Asked(query): Asked<ExportQuery>,
) -> Result<Response, ApiProblem> {
    let month = month(&text)?;
    let version = versioned(query.version);
    let name = match query.supplier {
        None => format!("declaration-{month}{version}.xlsx"),
        Some(_) => format!("declaration-{month}{version}-supplier.xlsx"),
    };
    let bytes = state
        .blocking(move |state| {
            if state.declaration(month, query.version)?.is_none() {
                return Err(not_declared(month));
            }
            Ok(state
                .actions()
                .declaration_xlsx(month, query.version, query.supplier.as_deref())?)
        })
        .await?;
    Ok(workbook(&name, bytes))
}
