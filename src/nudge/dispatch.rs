//! The last gate before a channel: what is not approved, held by policy, expired or protected
//! does not pass, whatever happened since it was drafted.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::id::CustomerId;
use crate::nudge::candidate::NudgeableCustomer;
use crate::nudge::channels::{ChannelError, NudgeChannel, Outgoing, Receipt};
use crate::nudge::policy::{Hold, Policy, SentRecord};
use crate::nudge::{Nudge, NudgeState};

/// Why a nudge was not sent.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// Drafts wait for the account manager.
    #[error("nudge {id} is {state:?}; only an approved one is sent")]
    NotApproved {
        /// Nudge.
        id: String,
        /// Its state.
        state: NudgeState,
    },
    /// Its window is too near or over.
    #[error("nudge {id} expired at {expires_at}")]
    Expired {
        /// Nudge.
        id: String,
        /// When.
        expires_at: DateTime<Utc>,
    },
    /// The customer admitted is not the one addressed.
    #[error("nudge {id} is for {expected}, not for {given}")]
    OtherCustomer {
        /// Nudge.
        id: String,
        /// Addressed.
        expected: CustomerId,
        /// Admitted.
        given: CustomerId,
    },
    /// The policy holds it.
    #[error(transparent)]
    Held(#[from] Hold),
    /// The channel failed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// Sends an approved nudge. `customer` is admitted anew by the caller, so that someone who became
/// protected or opted out since the draft cannot be reached.
///
/// # Errors
/// [`DispatchError`]; nothing has left unless the error is of the channel.
#[expect(
    clippy::too_many_arguments,
    reason = "a gate sees everything it judges by, by name"
)]
pub async fn dispatch(
    nudge: &Nudge,
    text: &str,
    customer: &NudgeableCustomer,
    policy: &Policy,
    sent: &[SentRecord],
    opted_out: &BTreeSet<CustomerId>,
    channel: &dyn NudgeChannel,
    now: DateTime<Utc>,
) -> Result<Receipt, DispatchError> {
    admit(&nudge.id, nudge.state, nudge, customer)?;
    if now >= nudge.expires_at {
        return Err(DispatchError::Expired {
            id: nudge.id.clone(),
            expires_at: nudge.expires_at,
        });
    }
    policy.may_send(customer.id(), now, sent, opted_out)?;
    let message = outgoing(&nudge.id, nudge, text, nudge.expires_at);
    Ok(channel.send(&message, now).await?)
}

/// Sends the receipt of an event, which a person let go. It keeps the quiet hours and leaves those
/// alone who want nothing; it does not leave on a day on which a suggestion did, and counts among
/// no limit itself: it asks for nothing.
///
/// # Errors
/// [`DispatchError`]; nothing has left unless the error is of the channel.
#[expect(
    clippy::too_many_arguments,
    reason = "a gate sees everything it judges by, by name"
)]
pub async fn dispatch_receipt(
    nudge: &Nudge,
    receipt: &ReceiptOut<'_>,
    customer: &NudgeableCustomer,
    policy: &Policy,
    sent: &[SentRecord],
    opted_out: &BTreeSet<CustomerId>,
    channel: &dyn NudgeChannel,
    now: DateTime<Utc>,
) -> Result<Receipt, DispatchError> {
    admit(receipt.id, receipt.state, nudge, customer)?;
    policy.may_send_receipt(customer.id(), now, sent, opted_out)?;
    let message = outgoing(receipt.id, nudge, receipt.text, now + RECEIPT_SHOWN);
    Ok(channel.send(&message, now).await?)
}

/// What a person let go, to the customer it is for.
fn admit(
    id: &str,
    state: NudgeState,
    nudge: &Nudge,
    customer: &NudgeableCustomer,
) -> Result<(), DispatchError> {
    if state != NudgeState::Approved {
        return Err(DispatchError::NotApproved {
            id: id.to_owned(),
            state,
        });
    }
    if *customer.id() != nudge.customer {
        return Err(DispatchError::OtherCustomer {
            id: id.to_owned(),
            expected: nudge.customer.clone(),
            given: customer.id().clone(),
        });
    }
    Ok(())
}

fn outgoing(id: &str, nudge: &Nudge, text: &str, expires_at: DateTime<Utc>) -> Outgoing {
    Outgoing {
        id: id.to_owned(),
        customer: nudge.customer.clone(),
        contact_group: nudge.contact_group.clone(),
        format: "markdown".into(),
        text: text.to_owned(),
        expires_at,
    }
}

/// A receipt on its way out.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptOut<'a> {
    /// Identifier: the nudge's with the version of the result.
    pub id: &'a str,
    /// Whether a person let it go.
    pub state: NudgeState,
    /// The message.
    pub text: &'a str,
}

/// A receipt that its receiver could not show for so long is stale.
const RECEIPT_SHOWN: TimeDelta = TimeDelta::days(7);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::CustomerClass;
    use crate::nudge::channels::DryRun;
    use crate::nudge::draft::tests::sample;
    use crate::nudge::policy::tests::policy;
    use crate::plan::fixture::{at, customer};

    async fn tried(
        change: impl FnOnce(&mut Nudge),
        now: &str,
        sent: &[SentRecord],
    ) -> (Result<Receipt, DispatchError>, usize) {
        let mut nudge = sample()
            .nudges
            .into_iter()
            .find(|n| n.customer.as_str() == "I2")
            .unwrap();
        nudge.state = NudgeState::Approved;
        change(&mut nudge);
        let admitted =
            NudgeableCustomer::admit(&customer("I2", CustomerClass::Industrial, 8)).unwrap();
        let channel = DryRun::default();
        let result = dispatch(
            &nudge,
            "文",
            &admitted,
            &policy(),
            sent,
            &BTreeSet::new(),
            &channel,
            at(now),
        )
        .await;
        (result, channel.recorded().len())
    }

    #[tokio::test]
    async fn only_an_approved_nudge_in_time_and_by_the_rules_reaches_the_channel() {
        let day = "2026-11-20T15:00:00+08:00";
        let (ok, recorded) = tried(|_| {}, day, &[]).await;
        assert!(ok.is_ok());
        assert_eq!(recorded, 1);
        let (draft, recorded) = tried(|n| n.state = NudgeState::Draft, day, &[]).await;
        assert!(matches!(draft, Err(DispatchError::NotApproved { .. })));
        assert_eq!(recorded, 0);
        let (other, recorded) = tried(|n| n.customer = "I1".into(), day, &[]).await;
        assert!(matches!(other, Err(DispatchError::OtherCustomer { .. })));
        assert_eq!(recorded, 0);
        let (night, recorded) = tried(|_| {}, "2026-11-20T22:00:00+08:00", &[]).await;
        assert!(matches!(
            night,
            Err(DispatchError::Held(Hold::QuietHours { .. }))
        ));
        assert_eq!(recorded, 0);
        let (late, recorded) =
            tried(|n| n.expires_at = at("2026-11-20T14:00:00+08:00"), day, &[]).await;
        assert!(matches!(late, Err(DispatchError::Expired { .. })));
        assert_eq!(recorded, 0);
        let before = [SentRecord {
            customer: "I2".into(),
            sent_at: at("2026-11-20T09:00:00+08:00"),
        }];
        let (twice, recorded) = tried(|_| {}, day, &before).await;
        assert!(matches!(
            twice,
            Err(DispatchError::Held(Hold::PerDay { .. }))
        ));
        assert_eq!(recorded, 0);
    }
}
