//! A dispatcher's own quantity in a day-ahead nomination.

use anyhow::Context as _;

use crate::domain::calendar::GasDay;
use crate::domain::id::ContractId;
use crate::plan::nomination::{EditError, Nomination};
use crate::run::app::App;
use crate::serve::api::nominations::NominationEdit;
use crate::store::book::DocumentKind;

/// Why a quantity was not nominated.
#[derive(Debug, thiserror::Error)]
pub enum NominateError {
    /// The day has no nomination.
    #[error("{0} has not been nominated; POST /api/v1/nominations/{0} computes a nomination")]
    Missing(GasDay),
    /// Not this, or not any more.
    #[error("{0}")]
    Refused(String),
    /// What the stores say.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<EditError> for NominateError {
    fn from(error: EditError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Nominates another quantity for a contract and keeps that as a new version, made by whom it says.
/// The schedule replaces no version that a person made.
///
/// # Errors
/// [`NominateError`]; nothing has changed then.
pub fn edit(app: &App, day: GasDay, edit: &NominationEdit) -> Result<Nomination, NominateError> {
    let who = edit.who.trim();
    if who.is_empty() || who == "qiliang" {
        return Err(NominateError::Refused("say who decides this".into()));
    }
    let today = app.today();
    if day < today {
        return Err(NominateError::Refused(format!("gas day {day} has ended")));
    }
    let key = day.to_string();
    let document = app
        .book
        .document(DocumentKind::Nomination, &key)
        .map_err(anyhow::Error::from)?
        .ok_or(NominateError::Missing(day))?;
    let mut nomination: Nomination = serde_json::from_value(document.body)
        .with_context(|| format!("the kept nomination of {day} does not have its own shape"))?;
    let contract = ContractId::new(edit.contract.trim());
    let reason = edit.reason.as_deref().unwrap_or_default().trim();
    nomination.edit(&contract, edit.nominated_m3, Some(reason.to_owned()))?;
    nomination.version = document.version + 1;
    nomination.made_at = app.clock.now();
    who.clone_into(&mut nomination.prepared_by);
    let of_contract = |check: &crate::plan::nomination::Check| {
        check.contract == contract && check.code == "nomination.reason_missing"
    };
    if let Some(missing) = nomination.checks().into_iter().find(of_contract) {
        return Err(NominateError::Refused(missing.message_en));
    }
    let body = serde_json::to_value(&nomination).map_err(anyhow::Error::from)?;
    let why = if reason.is_empty() { "edited" } else { reason };
    app.book
        .put_document(
            DocumentKind::Nomination,
            &key,
            body,
            nomination.made_at,
            who,
            why,
        )
        .map_err(anyhow::Error::from)?;
    Ok(nomination)
}
