//! A dispatcher's own quantity in a day-ahead nomination.

use anyhow::Context as _;

use crate::domain::calendar::GasDay;
use crate::domain::id::ContractId;
use crate::plan::nomination::{Check, EditError, Nomination};
use crate::run::app::App;
use crate::run::submitting::{nomination_sent, sent};
use crate::serve::api::nominations::NominationEdit;
use crate::store::book::{Document, DocumentKind, NewDocument};

/// Why a quantity was not nominated.
#[derive(Debug, thiserror::Error)]
pub enum NominateError {
    /// The day has no nomination.
    #[error("{0} has not been nominated; POST /api/v1/nominations/{0} computes a nomination")]
    Missing(GasDay),
    /// Not this, or not any more.
    #[error("{0}")]
    Refused(String),
    /// Who edits has not seen the newest version.
    #[error("{who} made version {version} of {day} meanwhile; look at it and decide again")]
    Newer {
        /// The gas day.
        day: GasDay,
        /// Its newest version.
        version: u32,
        /// Who made that.
        who: String,
    },
    /// What the stores say.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<EditError> for NominateError {
    fn from(error: EditError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Nominates another quantity for a contract and keeps that as a new version, made by whom it says. What was
/// sent stays as it was: the new version is a change of it, to be sent again. The schedule replaces no version
/// that a person made.
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
    let before = newest(app, day)?;
    if edit.version.is_some_and(|seen| seen != before.version) {
        return Err(newer(day, before));
    }
    let reason = edit.reason.as_deref().unwrap_or_default().trim();
    let nomination = edited(app, day, edit, &before, [who, reason])?;
    let document = NewDocument {
        kind: DocumentKind::Nomination,
        key: day.to_string(),
        body: serde_json::to_value(&nomination).map_err(anyhow::Error::from)?,
        at: nomination.made_at,
        who: who.to_owned(),
        reason: if reason.is_empty() { "edited" } else { reason }.to_owned(),
    };
    let kept = app.book.put_next(document, before.version);
    match kept.map_err(anyhow::Error::from)? {
        Some(_) => Ok(nomination),
        None => Err(newer(day, newest(app, day)?)),
    }
}

fn newest(app: &App, day: GasDay) -> Result<Document, NominateError> {
    app.book
        .document(DocumentKind::Nomination, &day.to_string())
        .map_err(anyhow::Error::from)?
        .ok_or(NominateError::Missing(day))
}

fn newer(day: GasDay, newest: Document) -> NominateError {
    NominateError::Newer {
        day,
        version: newest.version,
        who: newest.who,
    }
}

/// The version after `before` with another quantity.
fn edited(
    app: &App,
    day: GasDay,
    edit: &NominationEdit,
    before: &Document,
    [who, reason]: [&str; 2],
) -> Result<Nomination, NominateError> {
    let key = day.to_string();
    let mut nomination: Nomination = serde_json::from_value(before.body.clone())
        .with_context(|| format!("the kept nomination of {day} does not have its own shape"))?;
    let (count, _) = sent(app, DocumentKind::Nomination, &key).map_err(anyhow::Error::from)?;
    if let Some(sent) = nomination_sent(app, &key)? {
        if reason.is_empty() {
            return Err(NominateError::Refused(format!(
                "{day} was sent; give a reason for the change"
            )));
        }
        nomination.change_what_was_sent(&sent);
    }
    let contract = ContractId::new(edit.contract.trim());
    nomination.edit(&contract, edit.nominated_m3, Some(reason.to_owned()))?;
    nomination.version = before.version + 1;
    nomination.submission_no = count + 1;
    nomination.made_at = app.clock.now();
    who.clone_into(&mut nomination.prepared_by);
    let is_unexplained =
        |check: &Check| check.contract == contract && check.code == "nomination.reason_missing";
    match nomination.checks().into_iter().find(is_unexplained) {
        Some(missing) => Err(NominateError::Refused(missing.message_en)),
        None => Ok(nomination),
    }
}
