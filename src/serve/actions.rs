//! What the API can ask the rest of the program to do; the composition root implements it.

use std::fmt::Debug;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::id::MeterId;
use crate::ledger::balance::Balance;
use crate::ledger::demand::HourEstimates;
use crate::ledger::entry::LedgerEntry;
use crate::serve::api::correctors::{CorrectorsAsked, CorrectorsView};
use crate::serve::api::edits::{EditRequest, EditView, RevokeRequest};
use crate::serve::api::findings::JudgedView;
use crate::serve::api::outlook::{
    ChangeView, FactorChange, FactorView, NewFactor, OutlookView, RecordRow, ReproductionView,
    SimilarView,
};
use crate::serve::api::rejects::{PurgeRequest, PurgeResult, ReplayRequest, ReplayResult};
use crate::serve::problem::ApiProblem;

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

/// The program behind the API. Every method may block; handlers call them off the runtime.
pub trait Actions: Forecaster + Debug + Send + Sync {
    /// The lines of the ledger, in its order.
    fn ledger(&self) -> Result<Vec<LedgerEntry>, ActionError>;

    /// The ledger as a workbook.
    fn ledger_xlsx(&self) -> Result<Vec<u8>, ActionError>;

    /// Computes and keeps a new version of a month's declaration; the document as the book has it,
    /// a `plan::declaration::Declaration`.
    fn declare(&self, month: GasMonth) -> Result<serde_json::Value, ActionError>;

    /// The latest version of a month's declaration as a workbook.
    fn declaration_xlsx(&self, month: GasMonth) -> Result<Vec<u8>, ActionError>;

    /// Computes and keeps a new version of a day's nomination; the document as the book has it, a
    /// `plan::nomination::Nomination`.
    fn nominate(&self, day: GasDay) -> Result<serde_json::Value, ActionError>;

    /// The latest version of a day's nomination as a workbook.
    fn nomination_xlsx(&self, day: GasDay) -> Result<Vec<u8>, ActionError>;

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
