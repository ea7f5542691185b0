//! The audit log: each record holds the hash of the one before, so none can be changed, removed or
//! slipped in without every later hash being wrong.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::{Book, DocumentKind};
use crate::store::error::StoreError;
use crate::store::time::{instant, millis};

/// What is recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) at: i64,
    pub(super) who: &'a str,
    pub(super) action: &'a str,
    pub(super) subject: &'a str,
    pub(super) reason: &'a str,
    pub(super) digest: &'a [u8],
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Position, from 1.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: a person's name, or the part of the program that acted by itself.
    pub who: String,
    /// What was done (`declaration.put`).
    pub action: String,
    /// To what.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// SHA-256 of what was written, hex.
    pub digest: String,
    /// SHA-256 over the previous hash and this record, hex.
    pub hash: String,
}

/// Where the chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditBreak {
    /// First record that is wrong.
    pub seq: i64,
    /// What is wrong with it.
    pub reason: String,
}

/// Result of checking the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// Records checked.
    pub records: u64,
    /// Hash of the last record, hex; written down elsewhere, it proves that nothing was cut off.
    pub head: String,
    /// The first break, if there is one.
    pub broken: Option<AuditBreak>,
}

const GENESIS: [u8; 32] = [0; 32];

fn chain(previous: &[u8], seq: i64, entry: &Entry<'_>) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(seq.to_le_bytes());
    hash.update(entry.at.to_le_bytes());
    for field in [
        entry.who.as_bytes(),
        entry.action.as_bytes(),
        entry.subject.as_bytes(),
        entry.reason.as_bytes(),
        entry.digest,
    ] {
        // With its length before it, no byte can move from one field to the next.
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    hash.finalize().to_vec()
}

/// Appends a record in the transaction of what it records.
pub(super) fn append(t: &Transaction<'_>, entry: &Entry<'_>) -> rusqlite::Result<()> {
    let last: Option<(i64, Vec<u8>)> = t
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (seq, previous) = last.map_or_else(|| (1, GENESIS.to_vec()), |(seq, hash)| (seq + 1, hash));
    let hash = chain(&previous, seq, entry);
    t.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            seq,
            entry.at,
            entry.who,
            entry.action,
            entry.subject,
            entry.reason,
            entry.digest,
            previous,
            hash
        ])
        .map(drop)
}

fn record(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        seq: row.get(0)?,
        at: instant(row.get(1)?),
        who: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        reason: row.get(5)?,
        digest: hex::encode(row.get_ref(6)?.as_blob()?),
        hash: hex::encode(row.get_ref(7)?.as_blob()?),
    })
}

impl Book {
    /// Records something done that is no document (a replay, a sent nudge, a login).
    ///
    /// # Errors
    /// What SQLite says.
    pub fn record(
        &self,
        at: DateTime<Utc>,
        who: &str,
        action: &str,
        subject: &str,
        reason: &str,
    ) -> Result<(), StoreError> {
        let [who, action, subject, reason] = [who, action, subject, reason].map(str::to_owned);
        self.write("writing the audit log", move |t| {
            append(
                t,
                &Entry {
                    at: millis(at),
                    who: &who,
                    action: &action,
                    subject: &subject,
                    reason: &reason,
                    digest: &[],
                },
            )
        })
    }

    /// The newest records, newest first, at most `limit`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn audit(&self, limit: usize) -> Result<Vec<AuditRecord>, StoreError> {
        self.read("reading the audit log", |c| {
            c.prepare_cached(
                "SELECT seq, at, who, action, subject, reason, digest, hash FROM audit
                 ORDER BY seq DESC LIMIT ?1",
            )?
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], record)?
            .collect()
        })
    }

    /// Checks the whole chain, and every document against the digest recorded with it.
    ///
    /// # Errors
    /// What SQLite says; a broken chain is not an error but in the report.
    pub fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        self.read("checking the audit log", |c| {
            let mut documents = c.prepare(
                "SELECT body FROM documents WHERE kind = ?1 AND key = ?2 AND version = ?3",
            )?;
            let mut statement = c.prepare(
                "SELECT seq, at, who, action, subject, reason, digest, previous, hash
                 FROM audit ORDER BY seq",
            )?;
            let mut rows = statement.query([])?;
            let mut report = AuditReport {
                records: 0,
                head: hex::encode(GENESIS),
                broken: None,
            };
            let mut previous = GENESIS.to_vec();
            let mut expected = 1_i64;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                let entry = Entry {
                    at: row.get(1)?,
                    who: row.get_ref(2)?.as_str()?,
                    action: row.get_ref(3)?.as_str()?,
                    subject: row.get_ref(4)?.as_str()?,
                    reason: row.get_ref(5)?.as_str()?,
                    digest: row.get_ref(6)?.as_blob()?,
                };
                let hash = row.get_ref(8)?.as_blob()?;
                let reason = if seq != expected {
                    Some(format!("record {expected} is missing"))
                } else if row.get_ref(7)?.as_blob()? != previous.as_slice() {
                    Some("it does not follow the record before it".to_owned())
                } else if chain(&previous, seq, &entry) != hash {
                    Some("its content was changed after it was written".to_owned())
                } else {
                    document_reason(&mut documents, &entry)?
                };
                if let Some(reason) = reason {
                    let seq = seq.min(expected);
                    report.broken = Some(AuditBreak { seq, reason });
                    return Ok(report);
                }
                previous = hash.to_vec();
                report.records += 1;
                report.head = hex::encode(&previous);
                expected += 1;
            }
            Ok(report)
        })
    }
}

/// What is wrong with the document a record speaks of, if it speaks of one.
fn document_reason(
    documents: &mut rusqlite::Statement<'_>,
    entry: &Entry<'_>,
) -> rusqlite::Result<Option<String>> {
    let Some(kind) = entry
        .action
        .strip_suffix(".put")
        .and_then(DocumentKind::from_key)
    else {
        return Ok(None);
    };
    let Some((key, version)) = entry
        .subject
        .rsplit_once('#')
        .and_then(|(key, version)| Some((key, version.parse::<u32>().ok()?)))
    else {
        return Ok(None);
    };
    let body: Option<String> = documents
        .query_row(params![kind.key(), key, version], |row| row.get(0))
        .optional()?;
    Ok(match body {
        None => Some(format!("its document {} is missing", entry.subject)),
        Some(body) if super::digest(body.as_bytes()) != entry.digest => Some(format!(
            "its document {} was changed after it was written",
            entry.subject
        )),
        Some(_) => None,
    })
}
