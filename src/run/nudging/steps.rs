//! What people do about nudges: let go, withdraw, send by hand, record an answer or an opt-out.

use anyhow::Context as _;

use crate::domain::id::CustomerId;
use crate::nudge::candidate::NudgeableCustomer;
use crate::nudge::policy::{Hold, Policy};
use crate::nudge::settlement::{OptOut, left_alone};
use crate::nudge::{Nudge, NudgeState, Reply, ReplyAnswer};
use crate::run::app::App;
use crate::run::nudging::{
    KEPT_MAX, KeptSettlement, kept, own_shape, put, sent_records, settlements,
};
use crate::serve::api::nudges::{NudgeStep, NudgeStepKind, OptOutRequest};
use crate::store::book::DocumentKind;
use crate::store::error::StoreError;

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// No such nudge.
    #[error("there is no nudge `{0}`; `qiliang nudges list` shows them")]
    Unknown(String),
    /// Not of this nudge, or not now.
    #[error("{0}")]
    Refused(String),
    /// What the stores say.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl StepError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "nudge.unknown",
            Self::Refused(_) => "nudge.refused",
            Self::Failed(_) => "run.store",
        }
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

fn refused(why: impl Into<String>) -> StepError {
    StepError::Refused(why.into())
}

/// The nudge of an identifier.
pub(super) fn find(app: &App, id: &str) -> Result<Nudge, StepError> {
    let document = app.book.document(DocumentKind::Nudge, id)?;
    let document = document.ok_or_else(|| StepError::Unknown(id.to_owned()))?;
    Ok(own_shape(document)?)
}

/// The result of a nudge.
pub(super) fn find_settlement(app: &App, id: &str) -> Result<KeptSettlement, StepError> {
    settlements(app)?
        .remove(id)
        .ok_or_else(|| refused(format!("nudge `{id}` has no result yet")))
}

/// A person takes a step about a nudge.
///
/// # Errors
/// [`StepError`]; nothing has changed then.
pub fn step(app: &App, id: &str, step: &NudgeStep) -> Result<(), StepError> {
    let who = step.who.trim();
    if who.is_empty() {
        return Err(refused("say who does this"));
    }
    let _steps = app.nudge_steps.lock();
    let mut nudge = find(app, id)?;
    let said = step.reason.as_deref().unwrap_or_default().trim();
    let reason: &str = match step.step {
        NudgeStepKind::Approve => {
            is_in(&nudge, NudgeState::Draft)?;
            in_time(app, &nudge)?;
            nudge.state = NudgeState::Approved;
            "approved"
        }
        NudgeStepKind::Withdraw => {
            if !nudge.state.is_open() {
                return Err(refused(format!(
                    "nudge `{id}` is {:?}; only what has not left is withdrawn",
                    nudge.state
                )));
            }
            nudge.state = NudgeState::Withdrawn;
            if said.is_empty() { "withdrawn" } else { said }
        }
        NudgeStepKind::SentByHand => {
            is_in(&nudge, NudgeState::Approved)?;
            in_time(app, &nudge)?;
            may_leave(app, &nudge, Policy::may_send)?;
            nudge.state = NudgeState::Sent;
            "sent by hand"
        }
        NudgeStepKind::Reply => {
            nudge.reply = Some(reply(app, &nudge, step)?);
            nudge.state = NudgeState::Replied;
            "reply recorded"
        }
        NudgeStepKind::ApproveReceipt | NudgeStepKind::ReceiptSentByHand => {
            return receipt_step(app, &nudge, step.step, who);
        }
    };
    put(app, DocumentKind::Nudge, id, &nudge, (who, reason))?;
    if nudge
        .reply
        .as_ref()
        .is_some_and(|r| r.answer == ReplyAnswer::No)
    {
        withdraw_open(app, &nudge.customer, (who, "the enterprise answered 3"))?;
    }
    Ok(())
}

fn is_in(nudge: &Nudge, state: NudgeState) -> Result<(), StepError> {
    if nudge.state == state {
        return Ok(());
    }
    let id = &nudge.id;
    Err(refused(format!(
        "nudge `{id}` is {:?}, not {state:?}",
        nudge.state
    )))
}

fn in_time(app: &App, nudge: &Nudge) -> Result<(), StepError> {
    if app.clock.now() < nudge.expires_at {
        return Ok(());
    }
    Err(refused(format!(
        "nudge `{}` expired at {}: too near its window to be of use",
        nudge.id, nudge.expires_at
    )))
}

/// What a message leaves by, by hand as by the channel.
type Gate = fn(
    &Policy,
    &CustomerId,
    chrono::DateTime<chrono::Utc>,
    &[crate::nudge::policy::SentRecord],
    &std::collections::BTreeSet<CustomerId>,
) -> Result<(), Hold>;

fn may_leave(app: &App, nudge: &Nudge, gate: Gate) -> Result<(), StepError> {
    let registry = app.registry();
    let customer = registry.customers.get(&nudge.customer);
    let admitted = customer.map(NudgeableCustomer::admit);
    match admitted {
        Some(Ok(_)) => {}
        Some(Err(why)) => {
            return Err(refused(format!(
                "the enterprise may not be written to: {why}"
            )));
        }
        None => return Err(refused("the enterprise is not in the registry any more")),
    }
    let all = kept(app)?;
    let now = app.clock.now();
    let sent = sent_records(app, &all)?;
    let left_alone = left_alone(&all, &opt_outs(app)?, now);
    let policy = Policy::from(&app.settings.nudge);
    gate(&policy, &nudge.customer, now, &sent, &left_alone)
        .map_err(|held| refused(held.to_string()))
}

fn reply(app: &App, nudge: &Nudge, step: &NudgeStep) -> Result<Reply, StepError> {
    if !nudge.state.has_left() {
        return Err(refused(format!(
            "nudge `{}` is {:?}; only what was sent is answered",
            nudge.id, nudge.state
        )));
    }
    let answer = step
        .answer
        .ok_or_else(|| refused("say the answer: yes, part or no"))?;
    let m3h = match (answer, step.m3h) {
        (ReplyAnswer::Part, Some(m3h)) if m3h.is_finite() && m3h > 0.0 => Some(m3h),
        (ReplyAnswer::Part, _) => {
            return Err(refused(
                "a reply of 2 says by how much the flow will fall, m³/h above 0",
            ));
        }
        (_, None) => None,
        (_, Some(_)) => return Err(refused("only a reply of 2 has an amount")),
    };
    Ok(Reply {
        answer,
        m3h,
        note: step.reason.as_deref().unwrap_or_default().trim().to_owned(),
        who: step.who.trim().to_owned(),
        at: app.clock.now(),
    })
}

fn receipt_step(app: &App, nudge: &Nudge, step: NudgeStepKind, who: &str) -> Result<(), StepError> {
    let mut settlement = find_settlement(app, &nudge.id)?.settlement;
    let (from, to, reason) = if step == NudgeStepKind::ApproveReceipt {
        (NudgeState::Draft, NudgeState::Approved, "receipt approved")
    } else {
        may_leave(app, nudge, Policy::may_send_receipt)?;
        (
            NudgeState::Approved,
            NudgeState::Sent,
            "receipt sent by hand",
        )
    };
    if settlement.receipt != from {
        return Err(refused(format!(
            "the receipt of nudge `{}` is {:?}, not {from:?}",
            nudge.id, settlement.receipt
        )));
    }
    settlement.receipt = to;
    let by = (who, reason);
    put(app, DocumentKind::Settlement, &nudge.id, &settlement, by)?;
    Ok(())
}

/// Withdraws what has not left to an enterprise.
fn withdraw_open(app: &App, customer: &CustomerId, by: (&str, &str)) -> Result<(), StepError> {
    for mut nudge in kept(app)? {
        if nudge.customer == *customer && nudge.state.is_open() {
            nudge.state = NudgeState::Withdrawn;
            put(app, DocumentKind::Nudge, &nudge.id, &nudge, by)?;
        }
    }
    Ok(())
}

/// Whether enterprises want messages, as recorded; last recorded first.
///
/// # Errors
/// As [`kept`].
pub fn opt_outs(app: &App) -> anyhow::Result<Vec<OptOut>> {
    let documents = app.book.documents(DocumentKind::OptOut, KEPT_MAX)?;
    documents.into_iter().map(own_shape).collect()
}

/// Records that an enterprise wants no messages, or wants them again.
///
/// # Errors
/// [`StepError`]; nothing has changed then.
pub fn opt_out(app: &App, request: &OptOutRequest) -> Result<OptOut, StepError> {
    let (who, reason) = (request.who.trim(), request.reason.trim());
    if who.is_empty() || reason.is_empty() {
        return Err(refused(
            "say who records this, and what the enterprise said",
        ));
    }
    let customer = CustomerId::new(request.customer.trim());
    if !app.registry().customers.contains_key(&customer) {
        return Err(refused(format!(
            "the registry has no customer `{customer}`"
        )));
    }
    let _steps = app.nudge_steps.lock();
    let recorded = OptOut {
        customer,
        is_opted_out: request.is_opted_out,
        who: who.to_owned(),
        reason: reason.to_owned(),
        at: app.clock.now(),
    };
    let key = recorded.customer.as_str();
    put(app, DocumentKind::OptOut, key, &recorded, (who, reason))
        .context("the opt-out was not recorded")?;
    if recorded.is_opted_out {
        withdraw_open(app, &recorded.customer, (who, "the enterprise opted out"))?;
    }
    Ok(recorded)
}
