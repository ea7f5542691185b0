//! What the API can ask the rest of the program to do; the composition root implements it.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::id::MeterId;
use crate::ledger::balance::Balance;
use crate::ledger::demand::HourEstimates;
use crate::ledger::entry::LedgerEntry;
use crate::nudge::settlement::OptOut;
use crate::serve::api::correctors::{CorrectorsAsked, CorrectorsView};
use crate::serve::api::edits::{EditRequest, EditView, RevokeRequest};
use crate::serve::api::filings::{
    ChangeCorrection, CustomerPlans, NewChange, NewPlans, PlanBoard, PlanReport, PlanUpload,
    ProductionChangeView,
};
use crate::serve::api::findings::JudgedView;
use crate::serve::api::nominations::NominationEdit;
use crate::serve::api::nudges::{NudgeStep, NudgeView, OptOutRequest};
use crate::serve::api::outlook::{
    ChangeView, FactorChange, FactorView, NewFactor, OutlookView, RecordRow, ReproductionView,
    SimilarView,
};
use crate::serve::api::rejects::{PurgeRequest, PurgeResult, ReplayRequest, ReplayResult};
use crate::serve::api::submissions::SubmissionRequest;
use crate::serve::figures::bought::BoughtFacts;
use crate::serve::problem::ApiProblem;
use crate::store::StoreError;
use crate::store::book::DocumentKind;

/// Why something asked for was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// There is no such thing.
    #[error("{message} [{code}]")]
    NotFound {
        /// Stable code.
        code: &'static str,
        /// What is missing and what to do.
        message: String,
    },
    /// It was decided about something older than what there is now.
    #[error("{message} [{code}]")]
    Conflict {
        /// Stable code.
        code: &'static str,
        /// What is newer, and by whom.
        message: String,
    },
    /// It cannot be done with what is known: no forecast yet, limits that contradict each other.
    #[error("{message} [{code}]")]
    Refused {
        /// Stable code.
        code: &'static str,
        /// Why, and what to do.
        message: String,
    },
    /// It should have been done.
    #[error("{message}: {cause} [{code}]")]
    Failed {
        /// Stable code.
        code: &'static str,
        /// One sentence for the caller.
        message: String,
        /// The error with all its sources, for the log.
        cause: String,
    },
}

impl From<ActionError> for ApiProblem {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NotFound { code, message } => Self::not_found(code, message),
            ActionError::Conflict { code, message } => Self::conflict(code, message),
            ActionError::Refused { code, message } => Self::refused(code, message),
            ActionError::Failed {
                code,
                message,
                cause,
            } => Self::internal(code, message, cause),
        }
    }
}

/// What stands behind the forecasts. Every method may block.
pub trait Forecaster {
    /// Named factors, last written first.
    fn factors(&self) -> Result<Vec<FactorView>, ActionError>;

    /// Enters a named factor.
    fn add_factor(&self, new: &NewFactor) -> Result<FactorView, ActionError>;

    /// Confirms a named factor, or takes it back.
    fn change_factor(&self, id: &str, change: &FactorChange) -> Result<FactorView, ActionError>;

    /// How past forecasts did.
    fn record(&self) -> Result<Vec<RecordRow>, ActionError>;

    /// Peaks and design day.
    fn outlook(&self) -> Result<OutlookView, ActionError>;

    /// Past days like one to come.
    fn similar_days(&self, day: GasDay, count: usize) -> Result<SimilarView, ActionError>;

    /// Why a newer run says something else than an older one.
    fn explain(&self, older: &str, newer: &str) -> Result<ChangeView, ActionError>;

    /// Makes a kept run again.
    fn reproduce(&self, run: &str) -> Result<ReproductionView, ActionError>;
}

/// What customers tell beforehand. Every method may block.
pub trait Filings {
    /// Production changes as known now, of one customer or all, last known first; with `all` also those that
    /// are over or were taken back.
    fn changes(
        &self,
        customer: Option<&str>,
        all: bool,
    ) -> Result<Vec<ProductionChangeView>, ActionError>;

    /// Enters a production change.
    fn enter_change(&self, new: &NewChange) -> Result<ProductionChangeView, ActionError>;

    /// Corrects a production change, or takes it back.
    fn correct_change(
        &self,
        id: &str,
        correction: &ChangeCorrection,
    ) -> Result<ProductionChangeView, ActionError>;

    /// Plans of a month beside what was used.
    fn plan_board(&self, month: GasMonth) -> Result<PlanBoard, ActionError>;

    /// A customer's plans of the gas days `[from, to)` beside what it used.
    fn plans_of(
        &self,
        customer: &str,
        from: GasDay,
        to: GasDay,
    ) -> Result<CustomerPlans, ActionError>;

    /// Enters plans.
    fn file_plans(&self, new: &NewPlans) -> Result<PlanReport, ActionError>;

    /// Enters a table of plans.
    fn import_plans(&self, upload: &PlanUpload) -> Result<PlanReport, ActionError>;
}

/// What stands behind the off-peak nudges. Every method may block.
pub trait Nudger {
    /// Nudges with their messages and results, newest first, at most `limit`.
    fn nudges(&self, limit: usize) -> Result<Vec<NudgeView>, ActionError>;

    /// Takes a person's step about a nudge.
    fn step_nudge(&self, id: &str, step: &NudgeStep) -> Result<NudgeView, ActionError>;

    /// Whether enterprises want nudges, as recorded; last recorded first.
    fn opt_outs(&self) -> Result<Vec<OptOut>, ActionError>;

    /// Records that an enterprise wants no nudges, or wants them again.
    fn opt_out(&self, request: &OptOutRequest) -> Result<OptOut, ActionError>;
}

/// The program behind the API. Every method may block; handlers call them off the runtime.
pub trait Actions: Forecaster + Filings + Nudger + Debug + Send + Sync {
    /// The lines of the ledger, in its order.
    fn ledger(&self) -> Result<Vec<LedgerEntry>, ActionError>;

    /// The ledger as a workbook.
    fn ledger_xlsx(&self) -> Result<Vec<u8>, ActionError>;

    /// What is known of purchases of the gas day under way and of the days behind it.
    fn bought(&self) -> Result<BoughtFacts, StoreError>;

    /// Bought on the closed gas days `[from, to)` of which the gates are known, m³.
    fn purchased(&self, from: GasDay, to: GasDay) -> Result<BTreeMap<GasDay, i64>, StoreError>;

    /// Computes and keeps a new version of a month's declaration; the document as the book has it,
    /// a `plan::declaration::Declaration`.
    fn declare(&self, month: GasMonth) -> Result<serde_json::Value, ActionError>;

    /// A version of a month's declaration as a workbook, the latest if none is named: ours, or the copy for
    /// one supplier.
    fn declaration_xlsx(
        &self,
        month: GasMonth,
        version: Option<u32>,
        supplier: Option<&str>,
    ) -> Result<Vec<u8>, ActionError>;

    /// Computes and keeps a new version of a day's nomination; the document as the book has it, a
    /// `plan::nomination::Nomination`.
    fn nominate(&self, day: GasDay) -> Result<serde_json::Value, ActionError>;

    /// Writes down that the latest version of a declaration or nomination was sent; the document as the book
    /// has it then.
    fn mark_sent(
        &self,
        kind: DocumentKind,
        key: &str,
        request: &SubmissionRequest,
    ) -> Result<serde_json::Value, ActionError>;

    /// Nominates another quantity for a contract, in a new version; the document as the book has it.
    fn edit_nomination(
        &self,
        day: GasDay,
        edit: &NominationEdit,
    ) -> Result<serde_json::Value, ActionError>;

    /// A version of a day's nomination as a workbook, the latest if none is named.
    fn nomination_xlsx(&self, day: GasDay, version: Option<u32>) -> Result<Vec<u8>, ActionError>;

    /// Decodes the next few of the rejected frames that are asked for again.
    fn replay_rejects(&self, request: &ReplayRequest) -> Result<ReplayResult, ActionError>;

    /// Deletes rejected frames.
    fn purge_rejects(&self, request: &PurgeRequest) -> Result<PurgeResult, ActionError>;

    /// Takes a decision about hours of a curve.
    fn edit_curve(&self, request: &EditRequest) -> Result<EditView, ActionError>;

    /// Takes such a decision back.
    fn revoke_edit(&self, id: i64, request: &RevokeRequest) -> Result<EditView, ActionError>;

    /// Judges the gas days `from..=to` again.
    fn judge_again(&self, from: GasDay, to: GasDay) -> Result<JudgedView, ActionError>;

    /// Gates against meters over the gas days `[from, to)`.
    fn balance(&self, from: GasDay, to: GasDay) -> Result<Balance, ActionError>;

    /// The correctors whose readings of the last days tell: some of them, or one.
    fn correctors(&self, asked: &CorrectorsAsked) -> Result<CorrectorsView, ActionError>;

    /// What is estimated of a meter's gas day.
    fn estimates(&self, meter: &MeterId, day: GasDay) -> Result<HourEstimates, ActionError>;
}
