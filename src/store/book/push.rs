//! Answers to requests with an idempotency key.

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{OptionalExtension as _, params};

use super::Book;
use crate::store::error::StoreError;
use crate::store::time::millis;

/// How long an answer is repeated.
pub const PUSH_ANSWER_KEPT: TimeDelta = TimeDelta::hours(24);

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
    /// What a token's request with this key was answered in the last 24 hours.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn push_answer(
        &self,
        token: &str,
        key: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<PushAnswer>, StoreError> {
        self.read("reading a recorded answer", |c| {
            c.prepare_cached(
                "SELECT digest, status, body FROM push_answers
                 WHERE token = ?1 AND key = ?2 AND at > ?3",
            )?
            .query_row(params![token, key, millis(now - PUSH_ANSWER_KEPT)], |row| {
                Ok(PushAnswer {
                    digest: row.get(0)?,
                    status: row.get(1)?,
                    body: row.get(2)?,
                })
            })
            .optional()
        })
    }

    /// Records an answer, on disk when this returns, and forgets those older than 24 hours.
    ///
    /// # Errors
    /// As any write.
    pub async fn put_push_answer(
        &self,
        token: &str,
        key: &str,
        answer: PushAnswer,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let (token, key) = (token.to_owned(), key.to_owned());
        let error = self.database.error("recording an answer");
        self.database
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
            .await
    }
}
