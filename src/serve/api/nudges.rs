//! 避峰提醒: drafts, steps, answers, results and receipts.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::nudge::settlement::{NudgeStage, OptOut, Settlement};
use crate::nudge::{Nudge, ReplyAnswer};
use crate::serve::api::sent;
use crate::serve::problem::{ApiProblem, ProblemBody};
use crate::serve::state::AppState;

/// Nudges in the list at most.
pub const NUDGES_MAX: usize = 200;

/// A message as it would leave, by the templates in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageView {
    /// In Chinese, which is what is sent; null if it cannot be filled.
    pub zh: Option<String>,
    /// In English; null if it cannot be filled.
    pub en: Option<String>,
    /// Bytes of UTF-8 of the Chinese one; 2048 at most are sent.
    pub bytes: usize,
    /// Code of what is wrong with a template; null if nothing is.
    pub problem: Option<String>,
}

/// What an event came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettlementView {
    /// Result and state of the receipt.
    #[serde(flatten)]
    pub settlement: Settlement,
    /// Version, from 1; late readings and the receipt's way make new ones.
    pub version: u32,
    /// The receipt (效果回执).
    pub receipt_message: MessageView,
}

/// A nudge, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NudgeView {
    /// As kept.
    #[serde(flatten)]
    pub nudge: Nudge,
    /// Where it stands.
    pub stage: NudgeStage,
    /// The suggestion.
    pub message: MessageView,
    /// The measured result; null until the window's gas day is over and its hours are known.
    pub settlement: Option<SettlementView>,
}

/// What a person does about a nudge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NudgeStepKind {
    /// Let a draft go; the channel sends it within a minute, if the rules allow it.
    Approve,
    /// Withdraw what has not left.
    Withdraw,
    /// An approved suggestion was sent by hand, in a group that no program may write to.
    SentByHand,
    /// The enterprise answered.
    Reply,
    /// Let the receipt go.
    ApproveReceipt,
    /// An approved receipt was sent by hand.
    ReceiptSentByHand,
}

/// A step about a nudge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NudgeStep {
    /// What is done.
    pub step: NudgeStepKind,
    /// Who does it.
    pub who: String,
    /// With `reply`: 1 可以 `yes`, 2 部分可以 `part`, 3 不便 `no`. After a `no` the enterprise is left
    /// alone for seven days.
    #[serde(default)]
    pub answer: Option<ReplyAnswer>,
    /// With the answer `part`: by how much the flow will fall, m³/h.
    #[serde(default)]
    pub m3h: Option<f64>,
    /// Why it is withdrawn, or the enterprise's words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// An opt-out to be recorded, or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OptOutRequest {
    /// Enterprise (户号).
    pub customer: String,
    /// True: no messages from now on. False: it wants them again.
    pub is_opted_out: bool,
    /// Who records it.
    pub who: String,
    /// What the enterprise said.
    pub reason: String,
}

/// Off-peak nudges, newest first: drafts, what was sent, results and receipts
#[utoipa::path(get, path = "/nudges", tag = "plan", responses(
    (status = 200, body = Vec<NudgeView>),
))]
pub(super) async fn get_nudges(
    State(state): State<AppState>,
) -> Result<Json<Vec<NudgeView>>, ApiProblem> {
    state
        .blocking(|state| Ok(Json(state.actions().nudges(NUDGES_MAX)?)))
        .await
}

/// A person's step about a nudge: let go, withdraw, sent by hand, the enterprise's answer, receipt
#[utoipa::path(post, path = "/nudges/{id}", tag = "plan", request_body = NudgeStep,
    params(("id" = String, Path, description = "Identifier of the nudge")),
    responses(
        (status = 200, body = NudgeView),
        (status = 400, body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json",
         description = "Not of this nudge, or not now; the detail says why"),
    ))]
pub(super) async fn post_nudge(
    State(state): State<AppState>,
    Path(id): Path<String>,
    body: Result<Json<NudgeStep>, JsonRejection>,
) -> Result<Json<NudgeView>, ApiProblem> {
    let step = sent(body)?;
    state
        .blocking(move |state| Ok(Json(state.actions().step_nudge(&id, &step)?)))
        .await
}

/// Enterprises that want no messages, or want them again; last recorded first
#[utoipa::path(get, path = "/nudge-opt-outs", tag = "plan", responses(
    (status = 200, body = Vec<OptOut>),
))]
pub(super) async fn get_opt_outs(
    State(state): State<AppState>,
) -> Result<Json<Vec<OptOut>>, ApiProblem> {
    state
        .blocking(|state| Ok(Json(state.actions().opt_outs()?)))
        .await
}

/// Record that an enterprise wants no messages, or wants them again
#[utoipa::path(post, path = "/nudge-opt-outs", tag = "plan", request_body = OptOutRequest, responses(
    (status = 200, body = OptOut),
    (status = 400, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json"),
))]
pub(super) async fn post_opt_out(
    State(state): State<AppState>,
    body: Result<Json<OptOutRequest>, JsonRejection>,
) -> Result<Json<OptOut>, ApiProblem> {
    let request = sent(body)?;
    state
        .blocking(move |state| Ok(Json(state.actions().opt_out(&request)?)))
        .await
}
