//! Deliveries committed: durable when the call returns, in the journal or, where it is damaged, beside it.

use std::sync::Arc;

use rusqlite::Transaction;

use super::ingest::{self, Place};
use super::{Cache, CommitReport, EntryOutcome, Journal, JournalEntry, locked};
use crate::store::database::Rescue;
use crate::store::error::StoreError;

impl Journal {
    /// Commits entries in one transaction; when this returns `Ok` they are on disk and can be read, but for
    /// those that were set aside.
    ///
    /// The same transaction marks every touched (meter, gas day) dirty.
    ///
    /// # Errors
    /// Nothing of `entries` is stored then, and nothing may be acknowledged. `is_transient` says
    /// whether trying again can help.
    pub async fn commit(&self, entries: Vec<JournalEntry>) -> Result<CommitReport, StoreError> {
        self.commit_shared(Arc::new(entries)).await
    }

    /// `commit` for callers who keep the entries to try again.
    ///
    /// # Errors
    /// As `commit`.
    pub async fn commit_shared(
        &self,
        entries: Arc<Vec<JournalEntry>>,
    ) -> Result<CommitReport, StoreError> {
        self.commit_at(entries, Place::Now).await
    }

    /// `commit` for callers outside the runtime.
    ///
    /// # Errors
    /// As `commit`.
    pub fn commit_blocking(&self, entries: Vec<JournalEntry>) -> Result<CommitReport, StoreError> {
        let entries = Arc::new(entries);
        let rescue = self.setting_aside(&entries, |report| report);
        self.database
            .write_blocking_or(self.committing(entries, Place::Now), Some(rescue))
    }

    /// `commit_shared` that also tells what each entry did, in their order.
    ///
    /// # Errors
    /// As `commit`.
    pub async fn commit_each(
        &self,
        entries: Arc<Vec<JournalEntry>>,
    ) -> Result<(CommitReport, Vec<EntryOutcome>), StoreError> {
        let outcomes = entries.iter().map(|entry| match entry {
            JournalEntry::Reading { .. } => EntryOutcome::Accepted,
            JournalEntry::Reject(_) => EntryOutcome::Rejected,
        });
        let outcomes: Vec<_> = outcomes.collect();
        let rescue = self.setting_aside(&entries, |report| (report, outcomes));
        let clock = self.clock;
        let work = self.in_journal(move |t, cache| ingest::commit_each(t, cache, clock, &entries));
        self.database.write_or(work, Some(rescue)).await
    }

    /// Commits entries in one transaction; when this returns `Ok` they are on disk. Readings can be
    /// read once `waiting` is 0: later calls of this, or one of `settle`, put them at their place.
    /// For a stream of batches this costs a fraction of `commit`.
    ///
    /// # Errors
    /// As `commit`.
    pub async fn receive(
        &self,
        entries: Arc<Vec<JournalEntry>>,
    ) -> Result<CommitReport, StoreError> {
        self.commit_at(entries, Place::Soon).await
    }

    /// Puts everything received at its place, some in each transaction.
    ///
    /// # Errors
    /// As `commit`; what was received stays on disk.
    pub async fn settle(&self) -> Result<CommitReport, StoreError> {
        let mut sum = CommitReport::default();
        loop {
            let report = self.settle_some().await?;
            sum.add(report);
            if report.waiting == 0 {
                return Ok(sum);
            }
        }
    }

    /// Puts some of what was received at its place, in one short transaction; `waiting` says how many
    /// readings are left.
    ///
    /// # Errors
    /// As `commit`; what was received stays on disk.
    pub async fn settle_some(&self) -> Result<CommitReport, StoreError> {
        self.commit_at(Arc::default(), Place::Step).await
    }

    async fn commit_at(
        &self,
        entries: Arc<Vec<JournalEntry>>,
        place: Place,
    ) -> Result<CommitReport, StoreError> {
        let rescue = self.setting_aside(&entries, |report| report);
        self.database
            .write_or(self.committing(entries, place), Some(rescue))
            .await
    }

    fn committing(
        &self,
        entries: Arc<Vec<JournalEntry>>,
        place: Place,
    ) -> impl FnMut(&Transaction<'_>) -> Result<CommitReport, StoreError> + Send + use<> {
        let clock = self.clock;
        self.in_journal(move |t, cache| ingest::commit(t, cache, clock, &entries, place))
    }

    /// Work that is not begun while the journal refuses all of it.
    fn in_journal<T, W>(
        &self,
        mut work: W,
    ) -> impl FnMut(&Transaction<'_>) -> Result<T, StoreError> + Send + use<T, W>
    where
        W: FnMut(&Transaction<'_>, &mut Cache) -> rusqlite::Result<T> + Send,
    {
        let (cache, aside) = (Arc::clone(&self.cache), Arc::clone(&self.aside));
        let error = self.database.error("committing readings");
        move |t| {
            locked(&aside).pass()?;
            let done = work(t, &mut locked(&cache)).map_err(&error)?;
            locked(&aside).taken();
            Ok(done)
        }
    }

    /// What is done with entries that the journal cannot take because it is damaged.
    fn setting_aside<T>(
        &self,
        entries: &Arc<Vec<JournalEntry>>,
        answer: impl FnOnce(CommitReport) -> T + Send + 'static,
    ) -> Rescue<T> {
        let (entries, aside) = (Arc::clone(entries), Arc::clone(&self.aside));
        Box::new(move |error| locked(&aside).keep(&entries, error).map(answer))
    }
}
