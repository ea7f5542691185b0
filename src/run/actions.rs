//! What the API can ask of the rest of the program.

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::Notify;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::text::error_chain;
use crate::ledger::entry::LedgerEntry;
use crate::plan::PlanError;
use crate::plan::declaration::Declaration;
use crate::plan::nomination::Nomination;
use crate::plan::workbook;
use crate::run::app::App;
use crate::run::{ledgering, planning, replay};
use crate::serve::actions::{ActionError, Actions};
use crate::serve::api::rejects::{PurgeRequest, PurgeResult, ReplayRequest, ReplayResult};
use crate::store::StoreError;
use crate::store::book::DocumentKind;

/// Who asks, until there are users.
const WHO: &str = "console";

/// The dispatcher's desk: answers the API from the stores.
#[derive(Debug)]
pub struct Desk {
    app: App,
    wake: Arc<Notify>,
}

impl Desk {
    /// Over an app; `wake` tells the curves that readings came in.
    pub fn new(app: App, wake: Arc<Notify>) -> Self {
        Self { app, wake }
    }

    fn document<T: serde::de::DeserializeOwned>(
        &self,
        kind: DocumentKind,
        key: &str,
        missing: &'static str,
    ) -> Result<T, ActionError> {
        let found = self
            .app
            .book
            .document(kind, key)
            .map_err(|error| failed("run.store", &error.into()))?;
        let Some(document) = found else {
            return Err(ActionError::NotFound {
                code: missing,
                message: format!("there is none for {key} yet; make one with POST"),
            });
        };
        serde_json::from_value(document.body)
            .context("a stored document does not have its own shape")
            .map_err(|error| failed("run.document", &error))
    }
}

fn failed(code: &'static str, error: &anyhow::Error) -> ActionError {
    ActionError::Failed {
        code,
        message: "this could not be done".into(),
        cause: format!("{error:#}"),
    }
}

fn store_failed(error: &StoreError) -> ActionError {
    ActionError::Failed {
        code: error.code(),
        message: "the journal did not take this; nothing that was not answered has changed".into(),
        cause: error_chain(error),
    }
}

/// What the planner should read is refused with its own words; the rest is ours to look at.
fn planned<T>(result: anyhow::Result<T>) -> Result<T, ActionError> {
    result.map_err(|error| {
        let is_theirs = error.is::<PlanError>() || error.is::<crate::forecast::ForecastError>();
        if is_theirs {
            ActionError::Refused {
                code: "plan.refused",
                message: format!("{error:#}"),
            }
        } else {
            failed("run.plan", &error)
        }
    })
}

impl Actions for Desk {
    fn ledger(&self) -> Result<Vec<LedgerEntry>, ActionError> {
        ledgering::entries(&self.app).map_err(|error| failed("run.ledger", &error))
    }

    fn ledger_xlsx(&self) -> Result<Vec<u8>, ActionError> {
        ledgering::workbook(&self.app).map_err(|error| failed("run.ledger", &error))
    }

    fn declare(&self, month: GasMonth) -> Result<Value, ActionError> {
        let made = planned(planning::declare(
            &self.app,
            month,
            WHO,
            "asked for in the console",
        ))?;
        serde_json::to_value(made).map_err(|error| failed("run.plan", &error.into()))
    }

    fn declaration_xlsx(&self, month: GasMonth) -> Result<Vec<u8>, ActionError> {
        let document: Declaration = self.document(
            DocumentKind::Declaration,
            &month.to_string(),
            "declaration.missing",
        )?;
        workbook::declaration(&document).map_err(|error| failed("run.plan", &error.into()))
    }

    fn nominate(&self, day: GasDay) -> Result<Value, ActionError> {
        let made = planned(planning::nominate(
            &self.app,
            day,
            WHO,
            "asked for in the console",
        ))?;
        serde_json::to_value(made).map_err(|error| failed("run.plan", &error.into()))
    }

    fn nomination_xlsx(&self, day: GasDay) -> Result<Vec<u8>, ActionError> {
        let document: Nomination = self.document(
            DocumentKind::Nomination,
            &day.to_string(),
            "nomination.missing",
        )?;
        workbook::nomination(&document).map_err(|error| failed("run.plan", &error.into()))
    }

    fn replay_rejects(&self, request: &ReplayRequest) -> Result<ReplayResult, ActionError> {
        let result = replay::replay(&self.app, request).map_err(|error| store_failed(&error))?;
        self.wake.notify_one();
        Ok(result)
    }

    fn purge_rejects(&self, request: &PurgeRequest) -> Result<PurgeResult, ActionError> {
        replay::purge(&self.app, request).map_err(|error| store_failed(&error))
    }
}
