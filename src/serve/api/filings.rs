//! What customers tell beforehand, as somebody enters it: production changes (生产变更) and filed plans
//! (客户用气计划).

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{Path, State};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::calendar::GasDay;
use crate::domain::filing::ChangeKind;
use crate::domain::language::Bilingual;
use crate::serve::api::{Asked, gas_day, month, sent};
use crate::serve::openapi::Workbook;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// Gas days of plans that are shown at a time.
const PLAN_DAYS_MAX: i64 = 366;

/// Where a fact came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilingOrigin {
    /// A file of the registry; it is changed there.
    File,
    /// Somebody entered it.
    Entry,
    /// It came in without an entry, as the demo's plans do.
    Feed,
}

/// Where a production change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeState {
    /// Begins later.
    Planned,
    /// In force today.
    Active,
    /// Over.
    Ended,
    /// Taken back.
    Withdrawn,
}

/// What is said of a production change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeFacts {
    /// Kind.
    #[schema(value_type = String)]
    pub kind: ChangeKind,
    /// First gas day.
    #[schema(value_type = String)]
    pub from_on: NaiveDate,
    /// Last gas day, included.
    #[schema(value_type = String)]
    pub to_on: NaiveDate,
    /// Change of the daily volume, m³/d; negative is less.
    pub delta_m3_per_day: f64,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// How we were told (电话, 微信, 函件, 走访).
    pub source: String,
}

/// `POST /api/v1/production-changes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChange {
    /// Account number (户号).
    pub customer: String,
    /// What changes.
    pub change: ChangeFacts,
    /// Who enters it.
    pub person: String,
    /// Why, or what was said.
    pub reason: String,
}

/// Corrects a production change, or takes it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeCorrection {
    /// Who.
    pub person: String,
    /// Why.
    pub reason: String,
    /// What it is from now on; null takes it back.
    #[serde(default)]
    pub change: Option<ChangeFacts>,
    /// The version that who corrects has seen; refused where there is a newer one.
    #[serde(default)]
    pub version: Option<u32>,
}

/// A production change as it is known now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProductionChangeView {
    /// Names it through its corrections; null for one of a file, which is changed there.
    pub id: Option<String>,
    /// Where it came from.
    pub origin: FilingOrigin,
    /// Account number.
    pub customer: String,
    /// Name.
    pub name: String,
    /// What is said of it.
    pub change: ChangeFacts,
    /// Where it stands.
    pub state: ChangeState,
    /// When this became known, RFC 3339.
    pub available_at: String,
    /// Who entered it last.
    pub person: Option<String>,
    /// Why, or what was said.
    pub reason: Option<String>,
    /// Its entries so far: 1, and one for each correction.
    pub version: u32,
}

/// One customer's plan for one gas day, to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRow {
    /// Account number, or the name if only one customer has it.
    pub customer: String,
    /// Gas day, `YYYY-MM-DD`.
    pub day: String,
    /// Planned volume, m³; null takes the plan back.
    pub m3: Option<String>,
}

/// `POST /api/v1/filed-plans`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlans {
    /// Who enters it.
    pub person: String,
    /// How we were told.
    pub source: String,
    /// Why, or what was said.
    pub reason: String,
    /// What was said.
    pub rows: Vec<PlanRow>,
    /// Look only; nothing is kept.
    #[serde(default)]
    pub dry_run: bool,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanOutcome {
    /// There was no plan for the day.
    New,
    /// There was another.
    Changed,
    /// The plan is taken back.
    Withdrawn,
    /// The same is in force already.
    Unchanged,
    /// A gas day that is over; a table does not change those.
    Over,
    /// It cannot be taken.
    Problem,
}

/// A row, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanRowView {
    /// Where it stands: the cell of a table, or the number of the row.
    pub place: String,
    /// Account number; as written where it is not known.
    pub customer: String,
    /// Gas day.
    #[schema(value_type = Option<String>)]
    pub day: Option<GasDay>,
    /// Planned, m³.
    pub m3: Option<String>,
    /// Planned before, m³.
    pub before_m3: Option<String>,
    /// What becomes of it.
    pub outcome: PlanOutcome,
    /// What is wrong, and what to do.
    pub problem: Option<Bilingual>,
}

/// A customer's rows together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanSum {
    /// Account number.
    pub customer: String,
    /// Name.
    pub name: String,
    /// Days.
    pub days: usize,
    /// First gas day.
    #[schema(value_type = String)]
    pub first_on: GasDay,
    /// Last gas day.
    #[schema(value_type = String)]
    pub last_on: GasDay,
    /// Planned over these days, m³.
    pub total_m3: String,
    /// Planned before over those of them that had a plan, m³; null if none had.
    pub before_m3: Option<String>,
    /// Mean of a planned day, m³.
    pub mean_m3: f64,
    /// Mean of the last 30 complete days of use, m³; null if none is known.
    pub used_mean_m3: Option<f64>,
}

/// What an entry or a table of plans says, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanReport {
    /// Kept; false for a dry run, and where nothing was to be kept.
    pub is_taken: bool,
    /// Names the entry.
    pub entry: Option<String>,
    /// Known from then on, RFC 3339.
    pub available_at: Option<String>,
    /// What is wrong with the table as a whole, and what to do.
    pub problem: Option<Bilingual>,
    /// Columns of the table that were not understood and are not used.
    pub unused_columns: Vec<String>,
    /// Rows by what becomes of them.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub counts: BTreeMap<PlanOutcome, usize>,
    /// By customer, of the rows that can be taken.
    pub customers: Vec<PlanSum>,
    /// Row by row; those with a problem first.
    pub rows: Vec<PlanRowView>,
}

/// Plans of a month, a customer a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanBoardRow {
    /// Account number.
    pub customer: String,
    /// Name.
    pub name: String,
    /// On the ledger of large consumers.
    pub is_on_ledger: bool,
    /// Days of the month with a plan.
    pub days_filed: usize,
    /// Planned over them, m³; null if none.
    pub plan_m3: Option<String>,
    /// Complete days of the month with use.
    pub days_used: usize,
    /// Used on them, m³; null if none.
    pub used_m3: Option<String>,
    /// Used less planned, part of planned, over the days that have both.
    pub deviation_ratio: Option<f64>,
    /// When the last word on these plans became known, RFC 3339.
    pub filed_at: Option<String>,
    /// Production changes of the month in force.
    pub changes: usize,
}

/// `GET /api/v1/filed-plans`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlanBoard {
    /// Month, `YYYY-MM`.
    pub month: String,
    /// Its gas days.
    pub days: usize,
    /// Large consumers and whoever filed, those without a plan first.
    pub rows: Vec<PlanBoardRow>,
}

/// A customer's gas day: planned and used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanDay {
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// The plan in force, m³.
    pub plan_m3: Option<String>,
    /// Where it came from.
    pub origin: Option<FilingOrigin>,
    /// The entry it came with.
    pub entry: Option<String>,
    /// When it became known, RFC 3339.
    pub available_at: Option<String>,
    /// Words on it so far; more than one if it was corrected.
    pub words: usize,
    /// Used, m³; null unless every meter has all hours.
    pub used_m3: Option<String>,
}

/// Who entered plans, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanEntryView {
    /// Names it.
    pub id: String,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub person: String,
    /// How we were told.
    pub source: String,
    /// Why, or what was said.
    pub reason: String,
    /// The file, if it was one.
    pub file: Option<String>,
    /// Its words on this customer's days.
    pub days: usize,
}

/// `GET /api/v1/filed-plans/{account_no}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CustomerPlans {
    /// Account number.
    pub customer: String,
    /// Name.
    pub name: String,
    /// Day by day.
    pub days: Vec<PlanDay>,
    /// Entries about these days, newest first.
    pub entries: Vec<PlanEntryView>,
}

/// A table of plans as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanUpload {
    /// Its bytes.
    pub bytes: Bytes,
    /// Who sends it, and what it leaves open.
    pub about: UploadQuery,
}

/// What is said beside the table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// Name of the file.
    #[serde(default)]
    pub file: String,
    /// Who enters it; not needed for a dry run.
    #[serde(default)]
    pub person: String,
    /// How we were told.
    #[serde(default)]
    pub source: String,
    /// Why, or what was said.
    #[serde(default)]
    pub reason: String,
    /// Look only; nothing is kept.
    #[serde(default)]
    pub dry_run: bool,
    /// Unit where the table says none: `m3` or `wan` (万m³).
    pub unit: Option<String>,
    /// Month of days that are mere numbers, `YYYY-MM`.
    pub month: Option<String>,
    /// Whose plans they are where the table does not say.
    pub customer: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangesQuery {
    /// Only about this customer (户号).
    customer: Option<String>,
    /// Also those that are over or were taken back.
    #[serde(default)]
    all: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BoardQuery {
    /// Month, `YYYY-MM`; this one if not given.
    month: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PlansQuery {
    /// First gas day, `YYYY-MM-DD`; the first of this month if not given.
    from: Option<String>,
    /// Last gas day, included; the last of the month of `from` if not given, a year on at most.
    to: Option<String>,
}

/// Production changes as known now, of files and as entered, last known first
#[utoipa::path(get, path = "/production-changes", tag = "ledger", params(ChangesQuery), responses(
    (status = 200, body = Vec<ProductionChangeView>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_changes(
    State(state): State<AppState>,
    Asked(query): Asked<ChangesQuery>,
) -> Result<Json<Vec<ProductionChangeView>>, ApiProblem> {
    state
        .blocking(move |state| {
            let (customer, all) = (query.customer.as_deref(), query.all);
            Ok(Json(state.actions().changes(customer, all)?))
        })
        .await
}

/// Enters a production change; known from now on
#[utoipa::path(post, path = "/production-changes", tag = "ledger", request_body = NewChange, responses(
    (status = 200, body = ProductionChangeView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn post_change(
    State(state): State<AppState>,
    body: Result<Json<NewChange>, JsonRejection>,
) -> Result<Json<ProductionChangeView>, ApiProblem> {
    let new = sent(body)?;
    let view = state
        .blocking(move |state| Ok(Json(state.actions().enter_change(&new)?)))
        .await?;
    state.forget_ledger().await;
    Ok(view)
}

/// Corrects a production change, or takes it back; what was said before stays on record
#[utoipa::path(post, path = "/production-changes/{id}", tag = "ledger", params(
    ("id" = String, Path, description = "Identifier of the production change"),
), request_body = ChangeCorrection, responses(
    (status = 200, body = ProductionChangeView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json",
     description = "Somebody made a newer version than the one seen; the detail says who"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn correct_change(
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Result<Json<ChangeCorrection>, JsonRejection>,
) -> Result<Json<ProductionChangeView>, ApiProblem> {
    let correction = sent(body)?;
    let view = state
        .blocking(move |state| Ok(Json(state.actions().correct_change(&id, &correction)?)))
        .await?;
    state.forget_ledger().await;
    Ok(view)
}

/// Plans of a month beside what was used, a customer a line
#[utoipa::path(get, path = "/filed-plans", tag = "ledger", params(BoardQuery), responses(
    (status = 200, body = PlanBoard),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_board(
    State(state): State<AppState>,
    Asked(query): Asked<BoardQuery>,
) -> Result<Json<PlanBoard>, ApiProblem> {
    let asked = query.month.as_deref().map(month).transpose()?;
    state
        .blocking(move |state| {
            let month = asked.unwrap_or_else(|| state.gas_day().month());
            Ok(Json(state.actions().plan_board(month)?))
        })
        .await
}

/// A customer's plans beside what it used, and who entered them
#[utoipa::path(get, path = "/filed-plans/{account_no}", tag = "ledger", params(
    ("account_no" = String, Path, description = "Account number (户号)"),
    PlansQuery,
), responses(
    (status = 200, body = CustomerPlans),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_plans(
    State(state): State<AppState>,
    Path(account_no): Path<String>,
    Asked(query): Asked<PlansQuery>,
) -> Result<Json<CustomerPlans>, ApiProblem> {
    let from = query.from.as_deref().map(gas_day).transpose()?;
    let to = query.to.as_deref().map(gas_day).transpose()?;
    state
        .blocking(move |state| {
            let from = from.unwrap_or_else(|| state.gas_day().month().first_day());
            let to = to.map_or_else(|| from.month().next().first_day(), |to| to.plus(1));
            if !(1..=PLAN_DAYS_MAX).contains(&to.days_since(from)) {
                return Err(ApiProblem::bad_request(
                    "serve.bad_span",
                    format!("plans are shown for 1 to {PLAN_DAYS_MAX} gas days at a time"),
                ));
            }
            Ok(Json(state.actions().plans_of(&account_no, from, to)?))
        })
        .await
}

/// Enters plans, or takes them back: all rows or none; known from now on
#[utoipa::path(post, path = "/filed-plans", tag = "ledger", request_body = NewPlans, responses(
    (status = 200, body = PlanReport),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 413, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn post_plans(
    State(state): State<AppState>,
    body: Result<Json<NewPlans>, JsonRejection>,
) -> Result<Json<PlanReport>, ApiProblem> {
    let new = sent(body)?;
    let report = state
        .blocking(move |state| Ok(state.actions().file_plans(&new)?))
        .await?;
    Ok(answer(&state, report).await)
}

/// Enters a table of plans, CSV or xlsx: all of it or nothing; `dry_run` tells what would become of it
///
/// A row for each customer and day, or a row for each customer and a column for each day, or a column for
/// each customer and a row for each day. Gas days that are over are left out.
#[utoipa::path(post, path = "/filed-plans/import", tag = "ledger", params(UploadQuery),
    request_body(
        description = "The file's bytes",
        content((Workbook = "application/octet-stream")),
    ),
    responses(
        (status = 200, body = PlanReport),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn import_plans(
    State(state): State<AppState>,
    Asked(about): Asked<UploadQuery>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<PlanReport>, ApiProblem> {
    let bytes = body.map_err(|rejection| {
        ApiProblem::with_status(
            rejection.status(),
            "serve.bad_body",
            rejection.body_text().to_lowercase(),
        )
    })?;
    let upload = PlanUpload { bytes, about };
    let report = state
        .blocking(move |state| Ok(state.actions().import_plans(&upload)?))
        .await?;
    Ok(answer(&state, report).await)
}

async fn answer(state: &AppState, report: PlanReport) -> Json<PlanReport> {
    if report.is_taken {
        state.forget_ledger().await;
    }
    Json(report)
}
