//! Rejected frames.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::serve::api::{Asked, limited};
use crate::serve::figures::instant_text;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;
use crate::store::journal::{RejectFilter, StoredReject};

/// Bytes of a payload that are shown; `size_bytes` tells how many there are.
const SHOWN_BYTES: usize = 1024;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RejectQuery {
    /// At most so many, 1 to 1000; 100 if not given.
    limit: Option<usize>,
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
    /// Why, and what to do.
    pub message: String,
    /// Size of the payload, bytes.
    pub size_bytes: usize,
    /// Its first 1024 bytes, hexadecimal.
    pub payload_hex: String,
    /// How often it came.
    pub times: u64,
}

impl From<StoredReject> for RejectView {
    fn from(reject: StoredReject) -> Self {
        let frame = reject.rejected.frame;
        let shown = frame.bytes.get(..SHOWN_BYTES).unwrap_or(&frame.bytes);
        Self {
            id: reject.id,
            received_at: instant_text(reject.last_received_at),
            transport: frame.transport.key().to_owned(),
            origin: frame.origin,
            device: frame.device.map(|d| d.to_string()),
            code: reject.rejected.reason.code,
            message: reject.rejected.reason.message,
            size_bytes: frame.bytes.len(),
            payload_hex: hex::encode(shown),
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
        ..RejectFilter::default()
    };
    let rejects = state.blocking(move |state| state.rejects(&filter)).await?;
    Ok(Json(rejects.into_iter().map(RejectView::from).collect()))
}
