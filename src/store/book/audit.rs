//! The audit log: each record holds the hash of the one before, so none can be changed, removed or
//! slipped in without every later hash being wrong.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::{Book, DocumentKind, filed};
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
    /// Breaks in their order, the first hundred.
    pub breaks: Vec<AuditBreak>,
    /// Breaks beyond these.
    pub more: u64,
}

impl AuditReport {
    /// The first break, if there is one.
    pub fn broken(&self) -> Option<&AuditBreak> {
        self.breaks.first()
    }
}

const GENESIS: [u8; 32] = [0; 32];
/// Breaks that are told one by one.
const BREAKS_MAX: usize = 100;
/// An action with it wrote a version of a document.
pub(super) const PUT: &str = ".put";
/// An action with it wrote a draft, in the place of the one before it with the same subject.
pub(super) const DRAFT: &str = ".draft";

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
    append_after(t, entry, 0)
}

/// The same behind so many numbers that no record has: of records that are lost. The chain tells of them then.
pub(super) fn append_after(
    t: &Transaction<'_>,
    entry: &Entry<'_>,
    missing: i64,
) -> rusqlite::Result<()> {
    let last: Option<(i64, Vec<u8>)> = t
        .prepare_cached("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (seq, previous) = last.map_or_else(|| (1, GENESIS.to_vec()), |(seq, hash)| (seq + 1, hash));
    let seq = seq + missing;
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

    /// Checks the whole chain, every document and production change against the digest recorded with it, plans
    /// against the document they were entered with, and that every document has its record. After a break it is checked on from the next record, so that one break hides no other.
    ///
    /// # Errors
    /// The file cannot be opened; a broken chain, and one that cannot be read, are not errors but in the
    /// report.
    pub fn verify_audit(&self) -> Result<AuditReport, StoreError> {
        self.database.read(|c| {
            let mut check = Check {
                report: AuditReport {
                    records: 0,
                    head: hex::encode(GENESIS),
                    breaks: Vec::new(),
                    more: 0,
                },
                previous: Some(GENESIS.to_vec()),
                expected: 1,
                recorded: BTreeMap::new(),
            };
            if let Err(error) = check.records(c) {
                let reason = format!("what follows cannot be read: {error}");
                check.add(check.expected, reason);
            } else if let Err(error) = check.documents(c) {
                let reason = format!("the documents cannot be held against it: {error}");
                check.add(check.expected, reason);
            }
            check.report.breaks.sort_by_key(|found| found.seq);
            Ok(check.report)
        })
    }
}

/// How far the chain was followed.
struct Check {
    report: AuditReport,
    /// Hash of the record before; none where that is missing.
    previous: Option<Vec<u8>>,
    /// Number of the record that comes next.
    expected: i64,
    /// The last record of each document, by kind and subject: its number, and the digest of what was written.
    recorded: BTreeMap<(DocumentKind, String), (i64, Vec<u8>)>,
}

impl Check {
    fn add(&mut self, seq: i64, reason: String) {
        if self.report.breaks.len() < BREAKS_MAX {
            self.report.breaks.push(AuditBreak { seq, reason });
        } else {
            self.report.more += 1;
        }
    }

    fn records(&mut self, c: &Connection) -> rusqlite::Result<()> {
        let mut statement = c.prepare(
            "SELECT seq, at, who, action, subject, reason, digest, previous, hash
             FROM audit ORDER BY seq",
        )?;
        let mut rows = statement.query([])?;
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
            if seq != self.expected {
                let (first, last) = (self.expected, seq - 1);
                self.add(
                    first,
                    if first == last {
                        format!("record {first} is missing")
                    } else {
                        format!("records {first} to {last} are missing")
                    },
                );
                self.previous = None;
            }
            let (before, hash) = (row.get_ref(7)?.as_blob()?, row.get_ref(8)?.as_blob()?);
            if self.previous.as_deref().is_some_and(|hash| hash != before) {
                self.add(seq, "it does not follow the record before it".to_owned());
            } else if chain(before, seq, &entry) != hash {
                self.add(
                    seq,
                    "its content was changed after it was written".to_owned(),
                );
            } else if entry.action.starts_with(filed::CHANGE)
                && let Some(reason) = filed::change_reason(c, entry.subject, entry.digest)
            {
                self.add(seq, reason);
            }
            if let Some(kind) = kind_written(entry.action) {
                let of = (kind, entry.subject.to_owned());
                self.recorded.insert(of, (seq, entry.digest.to_vec()));
            }
            self.previous = Some(hash.to_vec());
            self.report.records += 1;
            self.report.head = hex::encode(hash);
            self.expected = seq + 1;
        }
        Ok(())
    }

    /// Each document against its last record. One without a record tells that records were cut off.
    fn documents(&mut self, c: &Connection) -> rusqlite::Result<()> {
        let mut documents =
            c.prepare("SELECT body FROM documents WHERE kind = ?1 AND key = ?2 AND version = ?3")?;
        let recorded = std::mem::take(&mut self.recorded);
        for ((kind, subject), (seq, digest)) in &recorded {
            if let Some(reason) = document_reason(&mut documents, *kind, subject, digest) {
                self.add(*seq, reason);
            }
        }
        let mut statement = c.prepare("SELECT kind, key, version FROM documents")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, key, version): (String, String, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            let subject = format!("{key}#{version}");
            let of = DocumentKind::from_key(&kind).map(|kind| (kind, subject.clone()));
            if of.is_none_or(|of| !recorded.contains_key(&of)) {
                let reason = format!("document {subject} ({kind}) has no record");
                self.add(self.expected, reason);
            }
        }
        for reason in filed::plan_reasons(c)? {
            self.add(self.expected, reason);
        }
        Ok(())
    }
}

/// Kind of the document that an action wrote.
fn kind_written(action: &str) -> Option<DocumentKind> {
    let kind = action
        .strip_suffix(PUT)
        .or_else(|| action.strip_suffix(DRAFT))?;
    DocumentKind::from_key(kind)
}

/// Whether a record as it stands in the table has the hash of what it says: it was written by no one else.
pub(in crate::store) fn is_vouched(seq: i64, columns: &[Value]) -> bool {
    let [
        _,
        Value::Integer(at),
        Value::Text(who),
        Value::Text(action),
        rest @ ..,
    ] = columns
    else {
        return false;
    };
    let [
        Value::Text(subject),
        Value::Text(reason),
        Value::Blob(digest),
        Value::Blob(previous),
        Value::Blob(hash),
    ] = rest
    else {
        return false;
    };
    let entry = Entry {
        at: *at,
        who,
        action,
        subject,
        reason,
        digest,
    };
    chain(previous, seq, &entry) == *hash
}

/// What is wrong with a document, by the digest of its last record.
fn document_reason(
    documents: &mut rusqlite::Statement<'_>,
    kind: DocumentKind,
    subject: &str,
    digest: &[u8],
) -> Option<String> {
    let (key, version) = subject.rsplit_once('#')?;
    let version: u32 = version.parse().ok()?;
    let body = documents
        .query_row(params![kind.key(), key, version], |row| {
            row.get::<_, String>(0)
        })
        .optional();
    match body {
        Err(error) => Some(format!("its document {subject} cannot be read: {error}")),
        Ok(None) => Some(format!("its document {subject} is missing")),
        Ok(Some(body)) if super::digest(body.as_bytes()) != digest => Some(format!(
            "its document {subject} was changed after it was written"
        )),
        Ok(Some(_)) => None,
    }
}
