//! Decisions about hours of a curve, and what late truth restated.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::calendar::GasDay;
use crate::domain::edit::CurveEdit;
use crate::domain::id::MeterId;
use crate::serve::api::{Asked, gas_day, limited, sent};
use crate::serve::figures::instant_text;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;
use crate::store::book::Restatement;
use crate::store::journal::EditFilter;

/// A decision to be taken: these hours have these volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditRequest {
    /// Meter (表号).
    pub meter: String,
    /// Gas day, `YYYY-MM-DD`.
    pub day: String,
    /// Exact volume, m³, by hour of the gas day from its start hour, `0` to `23`.
    #[schema(value_type = BTreeMap<String, String>)]
    pub hours_m3: BTreeMap<u8, String>,
    /// Who decides.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A decision to be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// Who takes it back.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A decision about hours of a curve (人工修正).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EditView {
    /// Number.
    pub id: i64,
    /// Meter.
    pub meter: String,
    /// Gas day.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Exact volume, m³, by hour of the gas day.
    #[schema(value_type = BTreeMap<String, String>)]
    pub hours_m3: BTreeMap<u8, String>,
    /// Who decided.
    pub who: String,
    /// Why.
    pub reason: String,
    /// When, RFC 3339.
    pub at: String,
    /// Who took it back; null while it counts.
    pub revoked_by: Option<String>,
    /// Why it was taken back.
    pub revoke_reason: Option<String>,
    /// When it was taken back.
    pub revoked_at: Option<String>,
}

impl From<CurveEdit> for EditView {
    fn from(edit: CurveEdit) -> Self {
        let revoked = edit.revoked;
        Self {
            id: edit.id,
            meter: edit.meter.to_string(),
            day: edit.day,
            hours_m3: edit
                .hours
                .into_iter()
                .map(|(hour, volume)| (hour, volume.to_string()))
                .collect(),
            who: edit.who,
            reason: edit.reason,
            at: instant_text(edit.at),
            revoked_by: revoked.as_ref().map(|r| r.who.clone()),
            revoke_reason: revoked.as_ref().map(|r| r.reason.clone()),
            revoked_at: revoked.map(|r| instant_text(r.at)),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EditQuery {
    /// Only about this meter.
    meter: Option<String>,
    /// First gas day, `YYYY-MM-DD`.
    from: Option<String>,
    /// Last gas day, included.
    to: Option<String>,
    /// Also those that were taken back.
    #[serde(default)]
    all: bool,
}

/// Decisions about hours of curves, oldest first
#[utoipa::path(get, path = "/curve-edits", tag = "collect", params(EditQuery), responses(
    (status = 200, body = Vec<EditView>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_edits(
    State(state): State<AppState>,
    Asked(query): Asked<EditQuery>,
) -> Result<Json<Vec<EditView>>, ApiProblem> {
    let day = |text: Option<&str>| text.map(gas_day).transpose();
    let filter = EditFilter {
        meter: query.meter.map(MeterId::new),
        from: day(query.from.as_deref())?,
        to: day(query.to.as_deref())?.map(|day| day.plus(1)),
        in_force: !query.all,
    };
    let edits = state.blocking(move |state| state.edits(&filter)).await?;
    Ok(Json(edits.into_iter().map(EditView::from).collect()))
}

/// Decides what hours of a curve are; readings and estimates stay as they are beneath
#[utoipa::path(post, path = "/curve-edits", tag = "collect", request_body = EditRequest, responses(
    (status = 200, body = EditView),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn post_edit(
    State(state): State<AppState>,
    body: Result<Json<EditRequest>, JsonRejection>,
) -> Result<Json<EditView>, ApiProblem> {
    let request = sent(body)?;
    state
        .blocking(move |state| Ok(Json(state.actions().edit_curve(&request)?)))
        .await
}

/// Takes a decision about a curve back; it stays on record
#[utoipa::path(post, path = "/curve-edits/{id}/revoke", tag = "collect", request_body = RevokeRequest,
    params(("id" = i64, Path, description = "Number of the decision")),
    responses(
        (status = 200, body = EditView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub(super) async fn post_revoke(
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Result<Json<RevokeRequest>, JsonRejection>,
) -> Result<Json<EditView>, ApiProblem> {
    let request = sent(body)?;
    let id: i64 = id.parse().map_err(|_| {
        ApiProblem::not_found(
            "edit.unknown",
            "decisions are numbered; GET /api/v1/curve-edits lists them",
        )
    })?;
    state
        .blocking(move |state| Ok(Json(state.actions().revoke_edit(id, &request)?)))
        .await
}

/// What a document was made from and is no longer so (追溯).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestatementView {
    /// Gas day whose demand changed.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// Zone.
    pub zone: String,
    /// Class.
    pub class: String,
    /// Kind of the document: `declaration`, `nomination` or `ledger`.
    pub kind: String,
    /// What the document is about: its month or day.
    pub document: String,
    /// Its version, which is the one in force when the demand changed.
    pub version: u32,
    /// Demand of the day when the document was written, m³.
    pub before_m3: f64,
    /// Demand of the day now, m³.
    pub after_m3: f64,
    /// `after_m3` − `before_m3`.
    pub difference_m3: f64,
    /// When it last changed, RFC 3339.
    pub at: String,
    /// Why: `readings` came late, a `decision` was taken, or the `registry` changed.
    pub cause: String,
}

impl From<Restatement> for RestatementView {
    fn from(found: Restatement) -> Self {
        Self {
            day: found.day,
            zone: found.node.zone.to_string(),
            class: found.node.class.key().to_owned(),
            kind: found.kind.key().to_owned(),
            document: found.key,
            version: found.version,
            before_m3: found.before_m3,
            after_m3: found.after_m3,
            difference_m3: found.after_m3 - found.before_m3,
            at: instant_text(found.at),
            cause: found.cause.key().to_owned(),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RestatementQuery {
    /// At most so many, 1 to 1000; 100 if not given.
    limit: Option<usize>,
}

/// What late truth restated of declarations, nominations and exported ledgers, last changed first
#[utoipa::path(get, path = "/restatements", tag = "collect", params(RestatementQuery), responses(
    (status = 200, body = Vec<RestatementView>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_restatements(
    State(state): State<AppState>,
    Asked(query): Asked<RestatementQuery>,
) -> Result<Json<Vec<RestatementView>>, ApiProblem> {
    let limit = limited(query.limit, 100, 1000);
    let found = state
        .blocking(move |state| state.restatements(limit))
        .await?;
    Ok(Json(found.into_iter().map(RestatementView::from).collect()))
}
