//! Documents: decisions as versioned JSON, append-only.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Row, params};
use serde_json::Value;

use super::{Book, audit};
use crate::store::error::StoreError;
use crate::store::time::{instant, millis};

/// Kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentKind {
    /// Monthly declaration (月度计划申报).
    Declaration,
    /// Day-ahead nomination (日指定).
    Nomination,
    /// Nudge (避峰提醒).
    Nudge,
    /// Measured result of a nudge (避峰效果), by the nudge's id.
    Settlement,
    /// Whether an enterprise wants nudges (退订), by its account number.
    OptOut,
    /// Alert (预警).
    Alert,
    /// Something people should know of the program itself.
    Notice,
    /// Backtest result.
    Backtest,
    /// Who is on the ledger of large consumers, and why.
    Ledger,
    /// Named factor of the forecast (其他影响因素).
    Factor,
    /// What the forecast says of the season: design day, peaks.
    Outlook,
    /// Plans of customers that somebody entered together (客户用气计划).
    FiledPlans,
}

impl DocumentKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Declaration,
        Self::Nomination,
        Self::Nudge,
        Self::Settlement,
        Self::OptOut,
        Self::Alert,
        Self::Notice,
        Self::Backtest,
        Self::Ledger,
        Self::Factor,
        Self::Outlook,
        Self::FiledPlans,
    ];

    /// The key used in SQL, JSON and the audit log.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Declaration => "declaration",
            Self::Nomination => "nomination",
            Self::Nudge => "nudge",
            Self::Settlement => "nudge_settlement",
            Self::OptOut => "nudge_opt_out",
            Self::Alert => "alert",
            Self::Notice => "notice",
            Self::Backtest => "backtest",
            Self::Ledger => "ledger",
            Self::Factor => "factor",
            Self::Outlook => "outlook",
            Self::FiledPlans => "filed_plans",
        }
    }

    /// The kind of a key.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.key() == key)
    }
}

/// A document to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDocument {
    /// Kind.
    pub kind: DocumentKind,
    /// What it is about (`2026-12`, a nudge id); versions count within kind and key.
    pub key: String,
    /// Content.
    pub body: Value,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a person's name, or the part of the program that acted by itself.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A version of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Kind.
    pub kind: DocumentKind,
    /// What it is about.
    pub key: String,
    /// From 1.
    pub version: u32,
    /// When it was written.
    pub at: DateTime<Utc>,
    /// Who wrote it.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Content.
    pub body: Value,
}

/// A version of a document that went to the supplier, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentVersion {
    /// What it is about.
    pub key: String,
    /// Its version.
    pub version: u32,
    /// Which submission it was, from 1.
    pub submission_no: u32,
    /// When it was sent, RFC 3339.
    pub sent_at: String,
    /// Who sent it.
    pub who: String,
    /// How, or why.
    pub reason: String,
}

/// The versions that were sent. An earlier program kept time and number of a submission in versions that were
/// edited later: the first with them is the one that was sent.
const SENT: &str =
    "SELECT key, min(version) AS version, json_extract(body, '$.submission_no') AS submission_no,
      json_extract(body, '$.sent_at') AS sent_at, who, reason
    FROM documents
    WHERE kind = ?1 AND (?2 IS NULL OR key = ?2) AND json_extract(body, '$.sent_at') IS NOT NULL
    GROUP BY key, json_extract(body, '$.sent_at'), json_extract(body, '$.submission_no')";

const COLUMNS: &str = "kind, key, version, at, who, reason, body";

fn stored(row: &Row<'_>) -> rusqlite::Result<Document> {
    let kind = DocumentKind::from_key(row.get_ref(0)?.as_str()?).unwrap_or(DocumentKind::Notice);
    Ok(Document {
        kind,
        key: row.get(1)?,
        version: row.get(2)?,
        at: instant(row.get(3)?),
        who: row.get(4)?,
        reason: row.get(5)?,
        body: serde_json::from_str(row.get_ref(6)?.as_str()?).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(
                6,
                rusqlite::types::Type::Text,
                Box::new(error),
            )
        })?,
    })
}

impl Book {
    /// Appends a version of a document and its record in the audit log; returns the version.
    ///
    /// # Errors
    /// What SQLite says; neither is written then.
    pub fn put_document(
        &self,
        kind: DocumentKind,
        key: &str,
        body: Value,
        at: DateTime<Utc>,
        who: &str,
        reason: &str,
    ) -> Result<u32, StoreError> {
        let document = NewDocument {
            kind,
            key: key.to_owned(),
            body,
            at,
            who: who.to_owned(),
            reason: reason.to_owned(),
        };
        self.put_documents(vec![document])
            .map(|versions| versions.first().copied().unwrap_or(0))
    }

    /// Appends documents that belong together in one transaction; returns their versions.
    ///
    /// # Errors
    /// What SQLite says; nothing is written then.
    pub fn put_documents(&self, documents: Vec<NewDocument>) -> Result<Vec<u32>, StoreError> {
        self.write("writing a document", move |t| {
            documents
                .iter()
                .map(|document| append(t, document))
                .collect()
        })
    }

    /// Writes the first version of a document under a key that no other has: its own, or that with `-2`, `-3`
    /// and so on, which its body then names as `id`; returns the key. Nobody else takes it in between.
    ///
    /// # Errors
    /// What SQLite says; nothing is written then.
    pub fn put_new_document(&self, document: NewDocument) -> Result<String, StoreError> {
        self.write("writing a new document", move |t| {
            let mut taken = t.prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM documents WHERE kind = ?1 AND key = ?2)",
            )?;
            let mut new = document.clone();
            let mut number = 1;
            while taken.query_row(params![new.kind.key(), new.key], |row| row.get(0))? {
                number += 1;
                new.key = format!("{}-{number}", document.key);
            }
            if let Some(id) = new.body.get_mut("id") {
                *id = Value::from(new.key.as_str());
            }
            append(t, &new)?;
            Ok(new.key)
        })
    }

    /// Appends a version of a document that was made from its version `after`, unless another has come
    /// meanwhile; returns the new version, or none then.
    ///
    /// # Errors
    /// What SQLite says; nothing is written then.
    pub fn put_next(&self, document: NewDocument, after: u32) -> Result<Option<u32>, StoreError> {
        self.write("writing a document", move |t| {
            if newest_version(t, &document)? != after {
                return Ok(None);
            }
            append(t, &document).map(Some)
        })
    }

    /// Writes a draft: it takes the place of the newest version if that is by the same author, else it is
    /// the next one; returns its version. The audit log keeps a record of each.
    ///
    /// # Errors
    /// What SQLite says; nothing is written then.
    pub fn put_draft(&self, draft: NewDocument) -> Result<u32, StoreError> {
        self.write("writing a draft", move |t| {
            let newest: Option<(u32, String)> = t
                .prepare_cached(
                    "SELECT version, who FROM documents WHERE kind = ?1 AND key = ?2
                     ORDER BY version DESC LIMIT 1",
                )?
                .query_row(params![draft.kind.key(), draft.key], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let version = match newest {
                Some((version, who)) if who == draft.who => {
                    let of = params![draft.kind.key(), draft.key, version];
                    t.prepare_cached(
                        "DELETE FROM documents WHERE kind = ?1 AND key = ?2 AND version = ?3",
                    )?
                    .execute(of)?;
                    // What restated the old one is in the new one.
                    t.prepare_cached(
                        "DELETE FROM restatements WHERE kind = ?1 AND key = ?2 AND version = ?3",
                    )?
                    .execute(of)?;
                    version
                }
                newest => newest.map_or(1, |(version, _)| version + 1),
            };
            insert(t, &draft, version, audit::DRAFT)?;
            Ok(version)
        })
    }

    /// A version of a document.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn document_version(
        &self,
        kind: DocumentKind,
        key: &str,
        version: u32,
    ) -> Result<Option<Document>, StoreError> {
        self.read("reading a version of a document", |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM documents WHERE kind = ?1 AND key = ?2 AND version = ?3"
            ))?
            .query_row(params![kind.key(), key, version], stored)
            .optional()
        })
    }

    /// A version of a document, the newest if none is named.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn document_or_version(
        &self,
        kind: DocumentKind,
        key: &str,
        version: Option<u32>,
    ) -> Result<Option<Document>, StoreError> {
        match version {
            Some(version) => self.document_version(kind, key, version),
            None => self.document(kind, key),
        }
    }

    /// The versions of a kind that were sent, of one document or all, by key and then oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn sent_versions(
        &self,
        kind: DocumentKind,
        key: Option<&str>,
    ) -> Result<Vec<SentVersion>, StoreError> {
        self.read("listing what was sent", |c| {
            c.prepare_cached(&format!("{SENT} ORDER BY key, min(version)"))?
                .query_map(params![kind.key(), key], |row| {
                    Ok(SentVersion {
                        key: row.get(0)?,
                        version: row.get(1)?,
                        submission_no: row.get::<_, Option<u32>>(2)?.unwrap_or(0),
                        sent_at: row.get(3)?,
                        who: row.get(4)?,
                        reason: row.get(5)?,
                    })
                })?
                .collect()
        })
    }

    /// What of a document counts outside: the version sent last; the newest while none was sent.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn document_in_force(
        &self,
        kind: DocumentKind,
        key: &str,
    ) -> Result<Option<Document>, StoreError> {
        let sent = self.sent_versions(kind, Some(key))?;
        match sent.last() {
            Some(sent) => self.document_version(kind, key, sent.version),
            None => self.document(kind, key),
        }
    }

    /// The newest version of a document.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn document(&self, kind: DocumentKind, key: &str) -> Result<Option<Document>, StoreError> {
        self.read("reading a document", |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM documents WHERE kind = ?1 AND key = ?2
                 ORDER BY version DESC LIMIT 1"
            ))?
            .query_row(params![kind.key(), key], stored)
            .optional()
        })
    }

    /// The version of each document of a kind that was the newest at an instant, by key.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn documents_known_at(
        &self,
        kind: DocumentKind,
        known_at: DateTime<Utc>,
    ) -> Result<Vec<Document>, StoreError> {
        self.read("listing documents of an instant", |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM documents AS d WHERE kind = ?1 AND version = (
                   SELECT max(version) FROM documents
                   WHERE kind = d.kind AND key = d.key AND at <= ?2)
                 ORDER BY key"
            ))?
            .query_map(params![kind.key(), millis(known_at)], stored)?
            .collect()
        })
    }

    /// Every version of a document, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn document_versions(
        &self,
        kind: DocumentKind,
        key: &str,
    ) -> Result<Vec<Document>, StoreError> {
        self.read("reading a document's versions", |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM documents WHERE kind = ?1 AND key = ?2 ORDER BY version"
            ))?
            .query_map(params![kind.key(), key], stored)?
            .collect()
        })
    }

    /// The newest version of each document of a kind, last written first, at most `limit`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn documents(&self, kind: DocumentKind, limit: usize) -> Result<Vec<Document>, StoreError> {
        self.read("listing documents", |c| {
            c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM documents AS d WHERE kind = ?1 AND version = (
                   SELECT max(version) FROM documents WHERE kind = d.kind AND key = d.key)
                 ORDER BY at DESC, key DESC LIMIT ?2"
            ))?
            .query_map(
                params![kind.key(), i64::try_from(limit).unwrap_or(i64::MAX)],
                stored,
            )?
            .collect()
        })
    }
}

fn newest_version(t: &rusqlite::Transaction<'_>, document: &NewDocument) -> rusqlite::Result<u32> {
    t.prepare_cached(
        "SELECT coalesce(max(version), 0) FROM documents WHERE kind = ?1 AND key = ?2",
    )?
    .query_row(params![document.kind.key(), document.key], |row| row.get(0))
}

pub(super) fn append(
    t: &rusqlite::Transaction<'_>,
    document: &NewDocument,
) -> rusqlite::Result<u32> {
    let version = newest_version(t, document)? + 1;
    insert(t, document, version, audit::PUT)?;
    Ok(version)
}

fn insert(
    t: &rusqlite::Transaction<'_>,
    document: &NewDocument,
    version: u32,
    action: &str,
) -> rusqlite::Result<()> {
    let body = document.body.to_string();
    t.prepare_cached("INSERT INTO documents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![
            document.kind.key(),
            document.key,
            version,
            millis(document.at),
            document.who,
            document.reason,
            body
        ])?;
    audit::append(
        t,
        &audit::Entry {
            at: millis(document.at),
            who: &document.who,
            action: &format!("{}{action}", document.kind.key()),
            subject: &format!("{}#{version}", document.key),
            reason: &document.reason,
            digest: &super::digest(body.as_bytes()),
        },
    )
}
