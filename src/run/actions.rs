//! What the API can ask of the rest of the program.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::Notify;

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::id::MeterId;
use crate::domain::id::RunId;
use crate::domain::language::Language;
use crate::domain::text::error_chain;
use crate::ledger::balance::Balance;
use crate::ledger::demand::HourEstimates;
use crate::ledger::entry::LedgerEntry;
use crate::nudge::settlement::OptOut;
use crate::plan::PlanError;
use crate::plan::declaration::Declaration;
use crate::plan::nomination::Nomination;
use crate::plan::workbook;
use crate::run::app::App;
use crate::run::editing::{self, EditError};
use crate::run::estimating::Estimator;
use crate::run::judging::{self, JudgeError};
use crate::run::nominating::{self, NominateError};
use crate::run::nudging::{self, StepError};
use crate::run::purchases::Purchases;
use crate::run::submitting::SubmitError;
use crate::run::{
    auditing, balancing, explain, factors, filings, ledgering, monitor, outlook, planning,
    purchases, replay, runs, submitting,
};
use crate::serve::actions::{ActionError, Actions, Filings, Forecaster, Nudger};
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
    ChangeDay, ChangeView, FactorChange, FactorView, NewFactor, OutlookView, RecordRow,
    ReproductionView, SimilarView,
};
use crate::serve::api::rejects::{PurgeRequest, PurgeResult, ReplayRequest, ReplayResult};
use crate::serve::api::submissions::SubmissionRequest;
use crate::serve::figures::bought::BoughtFacts;
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
        version: Option<u32>,
        missing: &'static str,
    ) -> Result<T, ActionError> {
        let found = self
            .app
            .book
            .document_or_version(kind, key, version)
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

fn edit_failed(error: &EditError) -> ActionError {
    let (code, message) = (error.code(), error.to_string());
    match error {
        EditError::Refused(_) => ActionError::Refused { code, message },
        EditError::Unknown(_) => ActionError::NotFound { code, message },
        EditError::Store(error) => store_failed(error),
    }
}

fn step_failed(error: &StepError) -> ActionError {
    let (code, message) = (error.code(), error.to_string());
    match error {
        StepError::Unknown(_) => ActionError::NotFound { code, message },
        StepError::Refused(_) => ActionError::Refused { code, message },
        StepError::Failed(error) => failed(code, error),
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

/// A run that is not there is the caller's to mend; the rest is ours to look at.
fn of_runs<T>(result: anyhow::Result<T>) -> Result<T, ActionError> {
    result.map_err(|error| {
        if error.is::<runs::RunMissing>() {
            ActionError::NotFound {
                code: "forecast.run_missing",
                message: error.to_string(),
            }
        } else {
            failed("run.forecast", &error)
        }
    })
}

impl Forecaster for Desk {
    fn factors(&self) -> Result<Vec<FactorView>, ActionError> {
        factors::list(&self.app)
    }

    fn add_factor(&self, new: &NewFactor) -> Result<FactorView, ActionError> {
        factors::add(&self.app, new)
    }

    fn change_factor(&self, id: &str, change: &FactorChange) -> Result<FactorView, ActionError> {
        factors::change(&self.app, id, change)
    }

    fn record(&self) -> Result<Vec<RecordRow>, ActionError> {
        monitor::record(&self.app).map_err(|error| failed("run.forecast", &error))
    }

    fn outlook(&self) -> Result<OutlookView, ActionError> {
        outlook::outlook(&self.app)
    }

    fn similar_days(&self, day: GasDay, count: usize) -> Result<SimilarView, ActionError> {
        outlook::similar(&self.app, day, count)
    }

    fn explain(&self, older: &str, newer: &str) -> Result<ChangeView, ActionError> {
        let change = of_runs(explain::explain(
            &self.app,
            &RunId::new(older),
            &RunId::new(newer),
        ))?;
        Ok(ChangeView {
            older: change.older.to_string(),
            newer: change.newer.to_string(),
            days: change
                .days
                .iter()
                .map(|day| ChangeDay {
                    gas_day: day.day,
                    older_m3: day.older_m3,
                    newer_m3: day.newer_m3,
                    temperature_m3: day.temperature_m3,
                    calendar_m3: day.calendar_m3,
                    plans_m3: day.plans_m3,
                    level_m3: day.level_m3,
                    other_m3: day.other_m3,
                    sentence_zh: day.sentence(Language::Zh),
                    sentence_en: day.sentence(Language::En),
                })
                .collect(),
        })
    }

    fn reproduce(&self, run: &str) -> Result<ReproductionView, ActionError> {
        let again = of_runs(runs::reproduce(&self.app, &RunId::new(run)))?;
        Ok(ReproductionView {
            run_id: again.run_id.to_string(),
            is_identical: again.is_identical,
            kept: again.kept,
            made: again.made,
            differences: again.differences,
            changed_since: again.changed_since,
            learnt_by: again
                .learnt_by
                .into_iter()
                .map(|(run, series)| (run.to_string(), series))
                .collect(),
        })
    }
}

impl Filings for Desk {
    fn changes(
        &self,
        customer: Option<&str>,
        all: bool,
    ) -> Result<Vec<ProductionChangeView>, ActionError> {
        filings::list(&self.app, customer, all)
    }

    fn enter_change(&self, new: &NewChange) -> Result<ProductionChangeView, ActionError> {
        let entered = filings::enter(&self.app, new)?;
        self.wake.notify_one();
        Ok(entered)
    }

    fn correct_change(
        &self,
        id: &str,
        correction: &ChangeCorrection,
    ) -> Result<ProductionChangeView, ActionError> {
        let corrected = filings::correct(&self.app, id, correction)?;
        self.wake.notify_one();
        Ok(corrected)
    }

    fn plan_board(&self, month: GasMonth) -> Result<PlanBoard, ActionError> {
        filings::board(&self.app, month)
    }

    fn plans_of(
        &self,
        customer: &str,
        from: GasDay,
        to: GasDay,
    ) -> Result<CustomerPlans, ActionError> {
        filings::plans_of(&self.app, customer, from, to)
    }

    fn file_plans(&self, new: &NewPlans) -> Result<PlanReport, ActionError> {
        filings::file(&self.app, new)
    }

    fn import_plans(&self, upload: &PlanUpload) -> Result<PlanReport, ActionError> {
        filings::import(&self.app, upload)
    }
}

impl Nudger for Desk {
    fn nudges(&self, limit: usize) -> Result<Vec<NudgeView>, ActionError> {
        nudging::views(&self.app, limit).map_err(|error| failed("run.store", &error))
    }

    fn step_nudge(&self, id: &str, step: &NudgeStep) -> Result<NudgeView, ActionError> {
        nudging::step(&self.app, id, step).map_err(|error| step_failed(&error))?;
        nudging::view(&self.app, id).map_err(|error| step_failed(&error))
    }

    fn opt_outs(&self) -> Result<Vec<OptOut>, ActionError> {
        nudging::opt_outs(&self.app).map_err(|error| failed("run.store", &error))
    }

    fn opt_out(&self, request: &OptOutRequest) -> Result<OptOut, ActionError> {
        nudging::opt_out(&self.app, request).map_err(|error| step_failed(&error))
    }
}

impl Actions for Desk {
    fn ledger(&self) -> Result<Vec<LedgerEntry>, ActionError> {
        ledgering::entries(&self.app).map_err(|error| failed("run.ledger", &error))
    }

    fn ledger_xlsx(&self) -> Result<Vec<u8>, ActionError> {
        ledgering::export(&self.app, WHO).map_err(|error| failed("run.ledger", &error))
    }

    fn bought(&self) -> Result<BoughtFacts, StoreError> {
        purchases::bought_facts(&self.app)
    }

    fn purchased(&self, from: GasDay, to: GasDay) -> Result<BTreeMap<GasDay, i64>, StoreError> {
        let days = Purchases::read(&self.app, &self.app.registry(), from, to)?;
        let known = (0..to.days_since(from)).map(|i| from.plus(i));
        Ok(known
            .filter_map(|day| Some((day, days.own_m3(day)?)))
            .collect())
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

    fn declaration_xlsx(
        &self,
        month: GasMonth,
        version: Option<u32>,
        supplier: Option<&str>,
    ) -> Result<Vec<u8>, ActionError> {
        let document: Declaration = self.document(
            DocumentKind::Declaration,
            &month.to_string(),
            version,
            "declaration.missing",
        )?;
        let Some(supplier) = supplier else {
            return workbook::declaration(&document)
                .map_err(|error| failed("run.plan", &error.into()));
        };
        workbook::declaration_for(&document, supplier)
            .map_err(|error| failed("run.plan", &error.into()))?
            .ok_or_else(|| ActionError::NotFound {
                code: "declaration.supplier_unknown",
                message: format!(
                    "nothing is declared to `{supplier}` in {month}; its suppliers are {}",
                    document.suppliers.join(", ")
                ),
            })
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

    fn mark_sent(
        &self,
        kind: DocumentKind,
        key: &str,
        request: &SubmissionRequest,
    ) -> Result<Value, ActionError> {
        let SubmissionRequest { person, reason } = request;
        submitting::mark_sent(&self.app, kind, key, person.trim(), reason.trim()).map_err(|error| {
            let message = error.to_string();
            match error {
                SubmitError::Missing { .. } => ActionError::NotFound {
                    code: "plan.nothing_to_send",
                    message,
                },
                SubmitError::Sent { .. } => ActionError::Refused {
                    code: "plan.sent_already",
                    message,
                },
                SubmitError::Newer { .. } => ActionError::Conflict {
                    code: "plan.newer",
                    message,
                },
                SubmitError::Nobody => ActionError::Refused {
                    code: "plan.sent_by_nobody",
                    message,
                },
                SubmitError::Store(error) => failed("run.store", &error.into()),
                SubmitError::Document(error) => failed("run.document", &error),
            }
        })
    }

    fn edit_nomination(&self, day: GasDay, edit: &NominationEdit) -> Result<Value, ActionError> {
        let edited = nominating::edit(&self.app, day, edit).map_err(|error| match error {
            NominateError::Missing(_) => ActionError::NotFound {
                code: "nomination.not_found",
                message: error.to_string(),
            },
            NominateError::Newer { .. } => ActionError::Conflict {
                code: "nomination.newer",
                message: error.to_string(),
            },
            NominateError::Refused(message) => ActionError::Refused {
                code: "nomination.refused",
                message,
            },
            NominateError::Failed(error) => failed("run.plan", &error),
        })?;
        serde_json::to_value(edited).map_err(|error| failed("run.plan", &error.into()))
    }

    fn nomination_xlsx(&self, day: GasDay, version: Option<u32>) -> Result<Vec<u8>, ActionError> {
        let document: Nomination = self.document(
            DocumentKind::Nomination,
            &day.to_string(),
            version,
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

    fn edit_curve(&self, request: &EditRequest) -> Result<EditView, ActionError> {
        let edit = editing::decide(&self.app, request).map_err(|error| edit_failed(&error))?;
        self.wake.notify_one();
        Ok(edit.into())
    }

    fn revoke_edit(&self, id: i64, request: &RevokeRequest) -> Result<EditView, ActionError> {
        let edit = editing::revoke(&self.app, id, request).map_err(|error| edit_failed(&error))?;
        self.wake.notify_one();
        Ok(edit.into())
    }

    fn judge_again(&self, from: GasDay, to: GasDay) -> Result<JudgedView, ActionError> {
        let span = (from, to);
        let compute = |curves| judging::mark_and_wait(&self.app, &self.wake, span, curves);
        judging::judge_again(&self.app, span, compute).map_err(|error| match error {
            JudgeError::Store(error) => store_failed(&error),
            JudgeError::Refused(_) | JudgeError::Busy { .. } => ActionError::Refused {
                code: error.code(),
                message: error.to_string(),
            },
        })
    }

    fn balance(&self, from: GasDay, to: GasDay) -> Result<Balance, ActionError> {
        balancing::balance(&self.app, &self.app.registry(), from, to)
            .map_err(|error| store_failed(&error))
    }

    fn correctors(&self, asked: &CorrectorsAsked) -> Result<CorrectorsView, ActionError> {
        auditing::correctors(&self.app, &self.app.registry(), asked)
            .map_err(|error| store_failed(&error))
    }

    fn estimates(&self, meter: &MeterId, day: GasDay) -> Result<HourEstimates, ActionError> {
        Estimator::new(&self.app)
            .of_meter(meter, day)
            .map_err(|error| failed("run.store", &error.into()))
    }
}
