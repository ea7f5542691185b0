//! Answers to requests with an idempotency key.
//!
//! Where the file is damaged they are kept in memory: readings are taken and acknowledged all the same, and a
//! repeat is answered the same again as long as the daemon runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, params};

use super::Book;
use crate::store::error::StoreError;
use crate::store::time::millis;

/// How long an answer is repeated.
pub const PUSH_ANSWER_KEPT: TimeDelta = TimeDelta::hours(24);

/// Answers kept in memory at most; the oldest go first.
const KEPT_MAX: usize = 10_000;

/// Answers that the file could not take, by token and key, with their time, ms.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<BTreeMap<(String, String), (i64, PushAnswer)>>);

impl Kept {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, String), (i64, PushAnswer)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, token: &str, key: &str, after: i64) -> Option<PushAnswer> {
        let of = (token.to_owned(), key.to_owned());
        let kept = self.all();
        let (at, answer) = kept.get(&of)?;
        (*at > after).then(|| answer.clone())
    }

    fn put(&self, token: String, key: String, answer: PushAnswer, at: i64) {
        let mut kept = self.all();
        let of = (token, key);
        if kept.len() >= KEPT_MAX && !kept.contains_key(&of) {
            let oldest = kept.iter().min_by_key(|(_, (at, _))| *at);
            if let Some(oldest) = oldest.map(|(of, _)| of.clone()) {
                kept.remove(&oldest);
            }
        }
        kept.insert(of, (at, answer));
    }
}

/// What a request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushAnswer {
    /// Of the request, so that another request with the same key is noticed.
    pub digest: Vec<u8>,
    /// HTTP status.
    pub status: u16,
    /// The body, as it was sent.
    pub body: Vec<u8>,
}

impl Book {
    /// What a token's request with this key was answered in the last 24 hours; nothing is known of what a
    /// damaged file had.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn push_answer(
        &self,
        token: &str,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<PushAnswer>, StoreError> {
        let after = millis(now - PUSH_ANSWER_KEPT);
        if let Some(answer) = self.kept.get(token, key, after) {
            return Ok(Some(answer));
        }
        let found = self.read("reading a recorded answer", |c| {
            c.prepare_cached(
                "SELECT digest, status, body FROM push_answers
                 WHERE token = ?1 AND key = ?2 AND at > ?3",
            )?
            .query_row(params![token, key, after], |row| {
                Ok(PushAnswer {
                    digest: row.get(0)?,
                    status: row.get(1)?,
                    body: row.get(2)?,
                })
            })
            .optional()
        });
        match found {
            Err(error) if error.is_of_file() => Ok(None),
            found => found,
        }
    }

    /// Records an answer and forgets those older than 24 hours; on disk when this returns, or in memory where
    /// the file is damaged.
    ///
    /// # Errors
    /// As any write, but for a damaged file.
    pub async fn put_push_answer(
        &self,
        token: &str,
        key: &str,
        answer: PushAnswer,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (token, key) = (token.to_owned(), key.to_owned());
        let error = self.database.error("recording an answer");
        let (of, again) = ((token.clone(), key.clone()), answer.clone());
        let written = self
            .database
            .write(move |t| {
                let put = || {
                    t.prepare_cached("DELETE FROM push_answers WHERE at <= ?1")?
                        .execute([millis(now - PUSH_ANSWER_KEPT)])?;
                    t.prepare_cached(
                        "INSERT OR REPLACE INTO push_answers VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![
                        token,
                        key,
                        answer.digest,
                        millis(now),
                        answer.status,
                        answer.body
                    ])
                    .map(drop)
                };
                put().map_err(&error)
            })
            .await;
        match written {
            Err(error) if error.is_of_file() => {
                self.kept.put(of.0, of.1, again, millis(now));
                Ok(())
            }
            written => written,
        }
    }
}
