//! What the views read from journal and book. Everything here blocks.

mod account;
mod forecast;
mod overview;
mod ready;
mod scrape;

use serde_json::Value;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::edit::CurveEdit;
use crate::domain::finding::Finding;
use crate::domain::id::MeterId;
use crate::domain::series::LoadCurve;
use crate::serve::api::declarations::DeclarationSummary;
use crate::serve::api::submissions::Submission;
use crate::serve::documents;
use crate::serve::live::Notice;
use crate::serve::problem::ApiProblem;
use crate::serve::state::AppState;
use crate::store::StoreError;
use crate::store::book::{DocumentKind, Restatement};
use crate::store::journal::{EditFilter, FindingFilter, ListedReject, RejectFilter};
use crate::validate::stats::Counts;

pub(super) use self::ready::NotReady;

/// Declarations in the list at most.
const DECLARATIONS_MAX: usize = 120;

/// Restatements looked at for notices.
const RESTATED_MAX: usize = 2000;

/// What cannot be counted because that part of a file is damaged is 0: the damage itself is counted, and
/// hides nothing else.
fn countable<T: Default>(counted: Result<T, StoreError>) -> Result<T, ApiProblem> {
    match counted {
        Err(error) if error.is_of_file() => Ok(T::default()),
        counted => counted.map_err(journal_failed),
    }
}

/// Nothing of the book where it is damaged: a page of many things shows the others, and /readyz says what is
/// missing.
fn in_book<T: Default>(read: Result<T, StoreError>) -> Result<T, ApiProblem> {
    match read {
        Err(error) if error.is_of_file() => Ok(T::default()),
        read => read.map_err(book_failed),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` wants"
)]
fn journal_failed(error: StoreError) -> ApiProblem {
    ApiProblem::store("the journal", &error)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that `map_err` wants"
)]
fn book_failed(error: StoreError) -> ApiProblem {
    ApiProblem::store("the book", &error)
}

impl AppState {
    /// Curves of a meter on the gas days from one to another, both included.
    pub(super) fn curves_of(
        &self,
        meter: &MeterId,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<LoadCurve>, ApiProblem> {
        self.journal()
            .curves_of(meter, from, to.plus(1))
            .map_err(journal_failed)
    }

    /// The gas days among them whose curves wait to be computed again.
    pub(super) fn pending_curves_of(
        &self,
        meter: &MeterId,
        from: GasDay,
        to: GasDay,
    ) -> Result<Vec<GasDay>, ApiProblem> {
        self.journal()
            .dirty_days_of(meter, from, to.plus(1))
            .map_err(journal_failed)
    }

    /// What the rules found.
    pub(super) fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, ApiProblem> {
        self.journal().findings(filter).map_err(journal_failed)
    }

    /// How often each rule found something.
    pub(super) fn finding_counts(&self, from: GasDay, to: GasDay) -> Result<Counts, ApiProblem> {
        self.journal()
            .finding_counts(from, to)
            .map_err(journal_failed)
    }

    /// Rejected frames.
    pub(super) fn rejects(&self, filter: &RejectFilter) -> Result<Vec<ListedReject>, ApiProblem> {
        self.journal().rejects(filter).map_err(journal_failed)
    }

    /// The latest version of each month's declaration, latest month first.
    pub(super) fn declarations(&self) -> Result<Vec<DeclarationSummary>, ApiProblem> {
        let kind = DocumentKind::Declaration;
        let sent = self.book().sent_versions(kind, None).map_err(book_failed)?;
        let mut list: Vec<DeclarationSummary> = self
            .book()
            .documents(kind, DECLARATIONS_MAX)
            .map_err(book_failed)?
            .iter()
            .map(|document| documents::declaration_summary(document, &sent))
            .collect();
        list.sort_by(|a, b| b.month.cmp(&a.month));
        Ok(list)
    }

    /// A version of a month's declaration, the latest if none is named.
    pub(super) fn declaration(
        &self,
        month: GasMonth,
        version: Option<u32>,
    ) -> Result<Option<Value>, ApiProblem> {
        self.body(DocumentKind::Declaration, &month.to_string(), version)
    }

    /// A version of a gas day's nomination, the latest if none is named.
    pub(super) fn nomination(
        &self,
        day: GasDay,
        version: Option<u32>,
    ) -> Result<Option<Value>, ApiProblem> {
        self.body(DocumentKind::Nomination, &day.to_string(), version)
    }

    fn body(
        &self,
        kind: DocumentKind,
        key: &str,
        version: Option<u32>,
    ) -> Result<Option<Value>, ApiProblem> {
        let found = self.book().document_or_version(kind, key, version);
        Ok(found.map_err(book_failed)?.map(|d| d.body))
    }

    /// The versions of a gas day's nomination that were sent, oldest first.
    pub(super) fn nominations_sent(&self, day: GasDay) -> Result<Vec<Submission>, ApiProblem> {
        let sent = self
            .book()
            .sent_versions(DocumentKind::Nomination, Some(&day.to_string()))
            .map_err(book_failed)?;
        Ok(sent.iter().map(documents::submission).collect())
    }

    /// The first gas day of which no curve was dropped, if any ever was.
    pub(super) fn curves_kept_from(&self) -> Result<Option<GasDay>, ApiProblem> {
        self.journal()
            .curves_dropped_before()
            .map_err(journal_failed)
    }

    /// Decisions about hours of curves.
    pub(super) fn edits(&self, filter: &EditFilter) -> Result<Vec<CurveEdit>, ApiProblem> {
        self.journal().edits(filter).map_err(journal_failed)
    }

    /// What late truth restated, last changed first.
    pub(super) fn restatements(&self, limit: usize) -> Result<Vec<Restatement>, ApiProblem> {
        self.book().restatements(limit).map_err(book_failed)
    }

    /// What the stores say happened lately, newest first.
    pub(super) fn notices_now(&self, limit: usize) -> Result<Vec<Notice>, ApiProblem> {
        let mut notices = Vec::new();
        notices.extend(
            self.rejects(&RejectFilter {
                limit,
                ..RejectFilter::default()
            })?
            .iter()
            .map(documents::reject_notice),
        );
        let findings = self
            .journal()
            .findings(&FindingFilter {
                limit,
                ..FindingFilter::default()
            })
            .map_err(journal_failed)?;
        notices.extend(findings.iter().map(documents::finding_notice));
        let restated = in_book(self.book().restatements(RESTATED_MAX))?;
        notices.extend(documents::restatement_notices(&restated));
        let runs = in_book(self.book().forecast_runs(limit))?;
        notices.extend(runs.iter().map(documents::run_notice));
        for kind in [
            DocumentKind::Alert,
            DocumentKind::Nudge,
            DocumentKind::Settlement,
            DocumentKind::Declaration,
            DocumentKind::Nomination,
            DocumentKind::Notice,
        ] {
            let found = in_book(self.book().documents(kind, limit))?;
            notices.extend(found.iter().map(documents::document_notice));
        }
        notices.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.cmp(b)));
        notices.truncate(limit);
        Ok(notices)
    }
}
