//! Rejected frames.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::id::DeviceId;
use crate::serve::api::{Asked, limited};
use crate::serve::codes::sentence;
use crate::serve::figures::instant_text;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;
use crate::store::journal::{ListedReject, RejectFilter};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RejectQuery {
    /// At most so many, 1 to 1000; 100 if not given.
    limit: Option<usize>,
    /// Only with this code.
    code: Option<String>,
    /// Only of this device.
    device: Option<String>,
}

/// A frame that could not be taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RejectView {
    /// Identifier, for `qiliang rejects`.
    pub id: i64,
    /// When it last came.
    pub received_at: String,
    /// Which way.
    pub transport: String,
    /// Topic, gateway or file.
    pub origin: String,
    /// The device, where the transport says so.
    pub device: Option<String>,
    /// Why, as a stable code.
    pub code: String,
    /// What the code means, in Chinese; empty where there is no sentence.
    pub message_zh: String,
    /// Why, and what to do.
    pub message_en: String,
    /// Size of the payload, bytes.
    pub size_bytes: usize,
    /// Its first 1024 bytes, hexadecimal.
    pub payload_hex: String,
    /// How often it came.
    pub times: u64,
}

impl From<ListedReject> for RejectView {
    fn from(reject: ListedReject) -> Self {
        Self {
            id: reject.id,
            received_at: instant_text(reject.last_received_at),
            transport: reject.transport.key().to_owned(),
            origin: reject.origin,
            device: reject.device.map(|d| d.to_string()),
            message_zh: sentence(&reject.reason.code).unwrap_or_default().to_owned(),
            code: reject.reason.code,
            message_en: reject.reason.message,
            size_bytes: reject.size_bytes,
            payload_hex: hex::encode(&reject.beginning),
            times: reject.times,
        }
    }
}

/// Rejected frames that wait for a replay, last received first
#[utoipa::path(get, path = "/rejects", tag = "collect", params(RejectQuery), responses(
    (status = 200, body = Vec<RejectView>),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn get_rejects(
    State(state): State<AppState>,
    Asked(query): Asked<RejectQuery>,
) -> Result<Json<Vec<RejectView>>, ApiProblem> {
    let filter = RejectFilter {
        limit: limited(query.limit, 100, 1000),
        code: query.code,
        device: query.device.map(DeviceId::new),
        ..RejectFilter::default()
    };
    let rejects = state.blocking(move |state| state.rejects(&filter)).await?;
    Ok(Json(rejects.into_iter().map(RejectView::from).collect()))
}

/// Which frames are decoded again: these, or all that wait and fit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// These frames, replayed before or not.
    #[serde(default)]
    pub ids: Vec<i64>,
    /// Only with this code.
    #[serde(default)]
    pub code: Option<String>,
    /// Only of this device.
    #[serde(default)]
    pub device: Option<String>,
    /// Only those after this identifier: `next_after` of the answer before.
    #[serde(default)]
    pub after: Option<i64>,
}

/// A frame that is still refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedAgain {
    /// Identifier.
    pub id: i64,
    /// Why, as a stable code.
    pub code: String,
    /// Why, and what to do.
    pub message: String,
}

/// What became of some frames; ask again with `next_after` for the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReplayResult {
    /// Frames that became readings with something new.
    pub accepted: u64,
    /// Frames that said only what was known.
    pub duplicate: u64,
    /// Frames that keep a new reason.
    pub refused: Vec<RefusedAgain>,
    /// Identifiers that are none.
    pub unknown: Vec<i64>,
    /// Where to go on; null at the end.
    pub next_after: Option<i64>,
}

/// Which frames are deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeRequest {
    /// Only with this code.
    #[serde(default)]
    pub code: Option<String>,
    /// Only of this device.
    #[serde(default)]
    pub device: Option<String>,
    /// Only what last came before this instant.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub before: Option<DateTime<Utc>>,
    /// Only those that were replayed with success.
    #[serde(default)]
    pub only_replayed: bool,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PurgeResult {
    /// Frames.
    pub frames: u64,
    /// Their deliveries.
    pub deliveries: u64,
}

/// A body as sent; what cannot be read is a problem with the parser's own words.
fn body<T>(sent: Result<Json<T>, JsonRejection>) -> Result<T, ApiProblem> {
    sent.map(|Json(body)| body).map_err(|rejection| {
        ApiProblem::bad_request("serve.bad_body", rejection.body_text().to_lowercase())
    })
}

/// Decodes rejected frames again, some hundred at a time
#[utoipa::path(post, path = "/rejects/replay", tag = "collect", request_body = ReplayRequest, responses(
    (status = 200, body = ReplayResult),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 500, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn post_replay(
    State(state): State<AppState>,
    sent: Result<Json<ReplayRequest>, JsonRejection>,
) -> Result<Json<ReplayResult>, ApiProblem> {
    let request = body(sent)?;
    state
        .blocking(move |state| Ok(Json(state.actions().replay_rejects(&request)?)))
        .await
}

/// Deletes rejected frames
#[utoipa::path(post, path = "/rejects/purge", tag = "collect", request_body = PurgeRequest, responses(
    (status = 200, body = PurgeResult),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 500, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn post_purge(
    State(state): State<AppState>,
    sent: Result<Json<PurgeRequest>, JsonRejection>,
) -> Result<Json<PurgeResult>, ApiProblem> {
    let request = body(sent)?;
    state
        .blocking(move |state| Ok(Json(state.actions().purge_rejects(&request)?)))
        .await
}
