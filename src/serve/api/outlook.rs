//! What stands behind a forecast: its four parts, named factors, peaks, days alike, its record, why it
//! moved and whether it can be made again.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::calendar::GasDay;
use crate::domain::factor::{Factor, FactorAmount, FactorKind};
use crate::domain::language::Bilingual;
use crate::serve::api::{Asked, gas_day, limited};
use crate::serve::figures::Band;
use crate::serve::figures::forecast::Dimension;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// The four parts, m³; they sum to the published figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PartsM3 {
    /// 计划用气客户: filed plans, corrected by each customer's bias.
    pub planned_m3: i64,
    /// 非计划用气客户: statistical.
    pub statistical_m3: i64,
    /// 新增/置换客户.
    pub new_m3: i64,
    /// 其他影响因素: production changes and named factors; may be negative.
    pub other_m3: i64,
    /// All four.
    pub total_m3: i64,
}

impl From<[i64; 4]> for PartsM3 {
    fn from(m3: [i64; 4]) -> Self {
        let [planned_m3, statistical_m3, new_m3, other_m3] = m3;
        Self {
            planned_m3,
            statistical_m3,
            new_m3,
            other_m3,
            total_m3: m3.iter().sum(),
        }
    }
}

/// Parts of a gas day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartsDay {
    /// Gas day.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Its parts.
    pub parts: PartsM3,
}

/// Parts of a member of the dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartsRow {
    /// Member.
    pub key: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Today.
    pub today: PartsM3,
    /// Tomorrow.
    pub tomorrow: PartsM3,
}

/// A large consumer tomorrow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConsumerRow {
    /// 户号.
    pub customer: String,
    /// Name.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// Class.
    pub class: String,
    /// Whether a filed plan stands in the place of its own expectation.
    pub is_planned: bool,
    /// Rung of the ladder its own expectation comes from (docs/METHODS.md, "Short history"); `plan` if it
    /// has none.
    pub model: String,
    /// Relative bias its plans are corrected by.
    pub plan_bias: f64,
    /// Tomorrow.
    pub tomorrow: Band,
}

/// A class of a zone: its large consumers and the rest, tomorrow, m³.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeRow {
    /// Zone.
    pub zone: String,
    /// Class.
    pub class: String,
    /// Large consumers together.
    pub consumers_m3: i64,
    /// Everyone else.
    pub rest_m3: i64,
    /// Both.
    pub total_m3: i64,
}

/// A project and what it adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProjectRow {
    /// Identifier.
    pub id: String,
    /// 项目名称.
    pub name: String,
    /// Zone.
    pub zone: String,
    /// Class.
    pub class: String,
    /// `signed`, `building`, `completed` or `connected`.
    pub stage: String,
    /// First gas day with gas, as planned.
    #[schema(value_type = String)]
    pub connected_on: NaiveDate,
    /// 开口气量, m³/d.
    pub connected_m3_per_day: f64,
    /// 达产系数.
    pub coefficient: f64,
    /// Probability that gas flows.
    pub probability: f64,
    /// Expected on the last day of the run, m³.
    pub last_day_m3: f64,
    /// Expected over the whole run, m³.
    pub total_m3: f64,
}

/// `GET /api/v1/forecast/parts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartsView {
    /// The run.
    pub run_id: String,
    /// Split by.
    pub by: Dimension,
    /// Days of the run from today on.
    pub days: Vec<PartsDay>,
    /// Members of the dimension; time slots have no parts of their own.
    pub rows: Vec<PartsRow>,
    /// Zone × class: large consumers and the rest.
    pub nodes: Vec<NodeRow>,
    /// Large consumers one by one, largest first.
    pub consumers: Vec<ConsumerRow>,
    /// Projects.
    pub projects: Vec<ProjectRow>,
}

/// Where a factor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FactorState {
    /// Begins later.
    Planned,
    /// In force today.
    Active,
    /// Over.
    Ended,
    /// Not confirmed in time.
    Expired,
    /// Taken back.
    Withdrawn,
}

/// Human against model, over the gas days a factor was in force and that are known by now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactorScore {
    /// Expectations scored.
    pub cases: usize,
    /// WAPE of the published runs.
    pub aided_wape: f64,
    /// WAPE of the same runs without this factor, all others in force.
    pub unaided_wape: f64,
}

/// A factor with its state and score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactorView {
    /// The factor.
    pub factor: Factor,
    /// Version of its document.
    pub version: u32,
    /// Where it stands.
    pub state: FactorState,
    /// Day-ahead, on the days and the part of demand it speaks of; null as long as none is known.
    pub score: Option<FactorScore>,
}

/// `POST /api/v1/forecast/factors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFactor {
    /// Kind.
    pub kind: FactorKind,
    /// Only this zone.
    #[serde(default)]
    pub zone: Option<String>,
    /// Only this class.
    #[serde(default)]
    pub class: Option<String>,
    /// First gas day.
    #[schema(value_type = String)]
    pub from_on: NaiveDate,
    /// Last gas day.
    #[schema(value_type = String)]
    pub to_on: NaiveDate,
    /// How much.
    pub amount: FactorAmount,
    /// Who says so.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Last gas day without confirmation; `to_on` if not given, at most a year.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub expires_on: Option<NaiveDate>,
}

/// Confirms a factor, or takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FactorChange {
    /// Who.
    pub person: String,
    /// Why.
    pub reason: String,
    /// New last gas day without confirmation; null takes the factor back from today on.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub expires_on: Option<NaiveDate>,
}

/// Past forecasts of one series at one lead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordRow {
    /// `total`, a class, or `zone/class`.
    pub of: String,
    /// Gas days ahead.
    pub lead: i64,
    /// Forecasts scored.
    pub cases: usize,
    /// Σ|y − f| / Σ|y|.
    pub wape: f64,
    /// Σ(f − y) / Σ|y|.
    pub bias: f64,
    /// 2 (PL₀.₁ + PL₀.₅ + PL₀.₉) / (3 Σ|y|).
    pub pinball: f64,
    /// Part within P10–P90.
    pub coverage: f64,
    /// Chance of a coverage as far off were 80 % right; alarms below `coverage_bound`.
    pub coverage_p: f64,
    /// See `coverage_p`.
    pub coverage_bound: f64,
    /// Sum of the bias test, standard deviations; alarms beyond `cusum_bound`.
    pub cusum: f64,
    /// See `cusum`.
    pub cusum_bound: f64,
    /// `coverage`, `bias`, both or none.
    pub alarms: Vec<String>,
}

/// A peak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeakView {
    /// Most likely gas day.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Most likely Beijing hour; null for a day.
    pub civil_hour: Option<u32>,
    /// Part of the futures whose peak falls there.
    pub probability: f64,
    /// As likely above as below, m³.
    pub p50_m3: i64,
    /// Exceeded in one future of ten, m³.
    pub p90_m3: i64,
    /// Exceeded in one of a hundred, m³.
    pub p99_m3: i64,
    /// Gas days looked at.
    pub days: usize,
}

/// The 1-in-20 design day (二十年一遇).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DesignDayView {
    /// Exceeded in one winter of twenty, m³.
    pub one_in_20_m3: i64,
    /// Exceeded every other winter, m³.
    pub one_in_2_m3: i64,
    /// Effective temperature undercut in one winter of twenty, °C.
    pub one_in_20_c: f64,
    /// A further kelvin of cold, m³.
    pub m3_per_kelvin: i64,
    /// Winters of weather used.
    pub winters: usize,
    /// The first and the last of them.
    pub years: Vec<i32>,
    /// Fewer than twenty winters: the figure lies beyond what was seen.
    pub is_extrapolated: bool,
    /// Days of demand used.
    pub demand_days: usize,
}

/// `GET /api/v1/forecast/outlook`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutlookView {
    /// The run the peaks come from.
    pub run_id: String,
    /// Peak day of the run.
    pub peak_day: Option<PeakView>,
    /// Peak hour of its hourly days.
    pub peak_hour: Option<PeakView>,
    /// Design day; null with the reason beside it.
    pub design_day: Option<DesignDayView>,
    /// Why there is no design day, Chinese.
    pub missing_zh: Option<String>,
    /// Why there is no design day, English.
    pub missing_en: Option<String>,
}

/// A past day like the one asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimilarDayView {
    /// Gas day.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// How unlike: root of the sum of the squares of the five beside it.
    pub distance: f64,
    /// Effective temperature less that of the day asked for, K.
    pub temperature_k: Option<f64>,
    /// By temperature.
    pub by_temperature: f64,
    /// By weekday, weekend, holiday.
    pub by_day_type: f64,
    /// By time of the year.
    pub by_season: f64,
    /// By days from the spring festival.
    pub by_festival: f64,
    /// By age.
    pub by_age: f64,
    /// Effective temperature, °C.
    pub effective_c: Option<f64>,
    /// Name of the holiday, if it was one.
    pub holiday: Option<String>,
    /// Used, m³.
    pub used_m3: i64,
    /// Used by hour of the gas day, m³.
    pub hours_m3: Vec<i64>,
}

/// `GET /api/v1/forecast/similar`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SimilarView {
    /// The day asked for.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// Its effective temperature, observed or forecast, °C.
    pub effective_c: Option<f64>,
    /// Past days, most like first.
    pub days: Vec<SimilarDayView>,
}

/// What moved the forecast of a gas day between two runs; the five parts sum to the change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeDay {
    /// Gas day.
    #[schema(value_type = String)]
    pub gas_day: GasDay,
    /// P50 of the older run, m³.
    pub older_m3: i64,
    /// P50 of the newer run, m³.
    pub newer_m3: i64,
    /// Weather, m³.
    pub temperature_m3: i64,
    /// Calendar, m³.
    pub calendar_m3: i64,
    /// Plans, production changes, projects, named factors, m³.
    pub plans_m3: i64,
    /// What was metered since, m³.
    pub level_m3: i64,
    /// Settings, customers, program, m³.
    pub other_m3: i64,
    /// In words, Chinese.
    pub sentence_zh: String,
    /// In words, English.
    pub sentence_en: String,
}

/// `GET /api/v1/forecast/explain`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// Older run.
    pub older: String,
    /// Newer run.
    pub newer: String,
    /// Days both reach.
    pub days: Vec<ChangeDay>,
}

/// `GET /api/v1/forecast/runs/{run}/reproduction`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReproductionView {
    /// The run.
    pub run_id: String,
    /// Whether every bit came out again.
    pub is_identical: bool,
    /// SHA-256 of what is kept.
    pub kept: String,
    /// SHA-256 of what came out.
    pub made: String,
    /// Where they differ.
    pub differences: Vec<Bilingual>,
    /// What is known of the same instant now and was not then.
    pub changed_since: Vec<Bilingual>,
    /// Names of the series whose regression was learnt, by the run that learnt it: the run itself, or
    /// an earlier one whose past was the same. Empty for runs of earlier programs.
    pub learnt_by: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PartsQuery {
    /// What to split by; `class` if not given.
    by: Option<Dimension>,
}

/// The four parts of the latest run
#[utoipa::path(get, path = "/forecast/parts", tag = "forecast", params(PartsQuery), responses(
    (status = 200, body = PartsView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_parts(
    State(state): State<AppState>,
    Asked(query): Asked<PartsQuery>,
) -> Result<Json<PartsView>, ApiProblem> {
    let run = state.latest_run().await?;
    let by = query.by.unwrap_or(Dimension::Class);
    state
        .blocking(move |state| Ok(Json(state.parts_view(&run, by)?)))
        .await
}

/// Named factors, last entered first, with how they did
#[utoipa::path(get, path = "/forecast/factors", tag = "forecast", responses(
    (status = 200, body = Vec<FactorView>),
))]
pub(super) async fn get_factors(
    State(state): State<AppState>,
) -> Result<Json<Vec<FactorView>>, ApiProblem> {
    state
        .blocking(|state| Ok(Json(state.actions().factors()?)))
        .await
}

fn body<T>(sent: Result<Json<T>, JsonRejection>) -> Result<T, ApiProblem> {
    sent.map(|Json(body)| body).map_err(|rejection| {
        ApiProblem::bad_request("serve.bad_body", rejection.body_text().to_lowercase())
    })
}

/// Enters a named factor; the next run takes it in
#[utoipa::path(post, path = "/forecast/factors", tag = "forecast", request_body = NewFactor, responses(
    (status = 200, body = FactorView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn post_factor(
    State(state): State<AppState>,
    sent: Result<Json<NewFactor>, JsonRejection>,
) -> Result<Json<FactorView>, ApiProblem> {
    let new = body(sent)?;
    state
        .blocking(move |state| Ok(Json(state.actions().add_factor(&new)?)))
        .await
}

/// Confirms a named factor for longer, or takes it back
#[utoipa::path(post, path = "/forecast/factors/{id}", tag = "forecast", params(
    ("id" = String, Path, description = "Identifier of the factor"),
), request_body = FactorChange, responses(
    (status = 200, body = FactorView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn change_factor(
    State(state): State<AppState>,
    Path(id): Path<String>,
    sent: Result<Json<FactorChange>, JsonRejection>,
) -> Result<Json<FactorView>, ApiProblem> {
    let change = body(sent)?;
    state
        .blocking(move |state| Ok(Json(state.actions().change_factor(&id, &change)?)))
        .await
}

/// How past forecasts did, by series and lead, and whether they drift
#[utoipa::path(get, path = "/forecast/record", tag = "forecast", responses(
    (status = 200, body = Vec<RecordRow>),
))]
pub(super) async fn get_record(
    State(state): State<AppState>,
) -> Result<Json<Vec<RecordRow>>, ApiProblem> {
    state
        .blocking(|state| Ok(Json(state.actions().record()?)))
        .await
}

/// Peak day, peak hour and the 1-in-20 design day
#[utoipa::path(get, path = "/forecast/outlook", tag = "forecast", responses(
    (status = 200, body = OutlookView),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_outlook(
    State(state): State<AppState>,
) -> Result<Json<OutlookView>, ApiProblem> {
    state
        .blocking(|state| Ok(Json(state.actions().outlook()?)))
        .await
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SimilarQuery {
    /// Gas day; tomorrow if not given.
    day: Option<String>,
    /// Days at most, 7 if not given.
    count: Option<usize>,
}

/// Past days like one to come (相似日)
#[utoipa::path(get, path = "/forecast/similar", tag = "forecast", params(SimilarQuery), responses(
    (status = 200, body = SimilarView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_similar(
    State(state): State<AppState>,
    Asked(query): Asked<SimilarQuery>,
) -> Result<Json<SimilarView>, ApiProblem> {
    let day = query.day.as_deref().map(gas_day).transpose()?;
    let count = limited(query.count, 7, 60);
    state
        .blocking(move |state| {
            let day = day.unwrap_or_else(|| state.gas_day().plus(1));
            Ok(Json(state.actions().similar_days(day, count)?))
        })
        .await
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// Older run.
    older: String,
    /// Newer run.
    newer: String,
}

/// Why a newer run says something else than an older one
#[utoipa::path(get, path = "/forecast/explain", tag = "forecast", params(ExplainQuery), responses(
    (status = 200, body = ChangeView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_explain(
    State(state): State<AppState>,
    Asked(query): Asked<ExplainQuery>,
) -> Result<Json<ChangeView>, ApiProblem> {
    state
        .blocking(move |state| Ok(Json(state.actions().explain(&query.older, &query.newer)?)))
        .await
}

/// Makes a kept run again from what it was made from, and compares every bit
#[utoipa::path(get, path = "/forecast/runs/{run}/reproduction", tag = "forecast", params(
    ("run" = String, Path, description = "The run"),
), responses(
    (status = 200, body = ReproductionView),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_reproduction(
    State(state): State<AppState>,
    Path(run): Path<String>,
) -> Result<Json<ReproductionView>, ApiProblem> {
    state
        .blocking(move |state| Ok(Json(state.actions().reproduce(&run)?)))
        .await
}
