//! Versions of declarations and nominations: drafts by the clock, what people made, what was sent.

use anyhow::Context as _;
use serde_json::Value;

use crate::plan::nomination::{Nomination, NominationStatus};
use crate::run::app::App;
use crate::run::background;
use crate::store::book::{Document, DocumentKind, NewDocument, SentVersion};
use crate::store::error::StoreError;

/// Who drafts by the clock. A draft takes the place of the one before it, and counts as no submission.
pub const DRAFTER: &str = "qiliang";

/// Keeps a document: as its next version, or what the schedule made as its one draft.
pub(super) fn keep(
    app: &App,
    kind: DocumentKind,
    key: String,
    body: Value,
    [who, reason]: [&str; 2],
) -> Result<(), StoreError> {
    let document = NewDocument {
        kind,
        key,
        body,
        at: app.clock.now(),
        who: who.to_owned(),
        reason: reason.to_owned(),
    };
    if who == DRAFTER {
        app.book.put_draft(document)?;
    } else {
        app.book.put_documents(vec![document])?;
    }
    Ok(())
}

/// Version that a document made now by somebody has: a draft has that of the draft whose place it takes.
pub(super) fn next_version(before: Option<&Document>, who: &str) -> u32 {
    match before {
        Some(draft) if draft.who == DRAFTER && who == DRAFTER => draft.version,
        before => before.map_or(1, |d| d.version + 1),
    }
}

/// How many versions of a document have been sent, and the last of them.
pub(super) fn sent(
    app: &App,
    kind: DocumentKind,
    key: &str,
) -> Result<(u32, Option<SentVersion>), StoreError> {
    let mut versions = app.book.sent_versions(kind, Some(key))?;
    let count = u32::try_from(versions.len()).unwrap_or(u32::MAX);
    Ok((count, versions.pop()))
}

/// The nomination of a gas day that was sent last.
///
/// # Errors
/// What the store says, or one that does not have its own shape.
pub(super) fn nomination_sent(app: &App, key: &str) -> anyhow::Result<Option<Nomination>> {
    let kind = DocumentKind::Nomination;
    let (_, Some(last)) = sent(app, kind, key)? else {
        return Ok(None);
    };
    let document = app.book.document_version(kind, key, last.version)?;
    document
        .map(|document| serde_json::from_value(document.body))
        .transpose()
        .with_context(|| {
            format!("the nomination of {key} that was sent does not have its own shape")
        })
}

/// Why a submission was not written down.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Nothing was made.
    #[error("there is nothing of {key} that could have been sent; make it first")]
    Missing {
        /// Month or gas day.
        key: String,
    },
    /// The newest version is one that was sent.
    #[error("version {version} of {key} is the one that was sent; make a new one to change it")]
    Sent {
        /// Month or gas day.
        key: String,
        /// Its version.
        version: u32,
    },
    /// Somebody made another version meanwhile.
    #[error("{key} has a newer version than the one that was to be marked; look at it first")]
    Newer {
        /// Month or gas day.
        key: String,
    },
    /// Nobody says that it was sent.
    #[error("say who sent it, and how or why")]
    Nobody,
    /// What the store says.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The document cannot be changed.
    #[error(transparent)]
    Document(#[from] anyhow::Error),
}

/// Writes down that the newest version of a document went to the supplier as it stands: the next version,
/// with the same figures, whose place no draft takes. Returns it.
///
/// # Errors
/// There is none, it was sent already, nobody says so, or what the stores say.
pub fn mark_sent(
    app: &App,
    kind: DocumentKind,
    key: &str,
    who: &str,
    reason: &str,
) -> Result<Value, SubmitError> {
    if who.is_empty() || who == DRAFTER || reason.is_empty() {
        return Err(SubmitError::Nobody);
    }
    let key = key.to_owned();
    let Some(newest) = app.book.document(kind, &key)? else {
        return Err(SubmitError::Missing { key });
    };
    let version = newest.version;
    let (count, last) = sent(app, kind, &key)?;
    if last.is_some_and(|last| last.version == version) {
        return Err(SubmitError::Sent { key, version });
    }
    let line = match kind {
        DocumentKind::Declaration => background::line_of(newest.clone())?,
        _ => None,
    };
    let mut body = newest.body;
    let versions = body.pointer_mut("/background/versions");
    if let (Some(line), Some(Value::Array(versions))) = (line, versions) {
        versions.push(serde_json::to_value(line).map_err(anyhow::Error::from)?);
    }
    body["version"] = (version + 1).into();
    body["submission_no"] = (count + 1).into();
    body["sent_at"] = serde_json::to_value(app.clock.now()).map_err(anyhow::Error::from)?;
    if kind == DocumentKind::Nomination {
        let status = serde_json::to_value(NominationStatus::Sent);
        body["status"] = status.map_err(anyhow::Error::from)?;
    }
    let document = NewDocument {
        kind,
        key: key.clone(),
        body: body.clone(),
        at: app.clock.now(),
        who: who.to_owned(),
        reason: reason.to_owned(),
    };
    match app.book.put_next(document, version)? {
        Some(_) => Ok(body),
        None => Err(SubmitError::Newer { key }),
    }
}
