//! The rest of the program, as the API asks it: what the stores of the city say, and no models.

use super::*;

/// Stands for the rest of the program.
#[derive(Debug)]
pub(crate) struct Program {
    pub(super) journal: Journal,
    pub(super) book: Book,
    pub(crate) ledger_error: Mutex<Option<ActionError>>,
}

/// What needs models behind it is tried with the whole program.
fn no_models<T>() -> Result<T, ActionError> {
    Err(ActionError::NotFound {
        code: "forecast.none_yet",
        message: "this city has no models".into(),
    })
}

impl Forecaster for Program {
    fn factors(&self) -> Result<Vec<FactorView>, ActionError> {
        Ok(Vec::new())
    }

    fn add_factor(&self, _: &NewFactor) -> Result<FactorView, ActionError> {
        no_models()
    }

    fn change_factor(&self, _: &str, _: &FactorChange) -> Result<FactorView, ActionError> {
        no_models()
    }

    fn record(&self) -> Result<Vec<RecordRow>, ActionError> {
        Ok(Vec::new())
    }

    fn outlook(&self) -> Result<OutlookView, ActionError> {
        no_models()
    }

    fn similar_days(&self, gas_day: GasDay, _: usize) -> Result<SimilarView, ActionError> {
        Ok(SimilarView {
            gas_day,
            effective_c: None,
            days: Vec::new(),
        })
    }

    fn explain(&self, _: &str, _: &str) -> Result<ChangeView, ActionError> {
        no_models()
    }

    fn reproduce(&self, _: &str) -> Result<ReproductionView, ActionError> {
        no_models()
    }
}

impl Filings for Program {
    fn changes(&self, _: Option<&str>, _: bool) -> Result<Vec<ProductionChangeView>, ActionError> {
        Ok(Vec::new())
    }

    fn enter_change(&self, _: &NewChange) -> Result<ProductionChangeView, ActionError> {
        no_models()
    }

    fn correct_change(
        &self,
        _: &str,
        _: &ChangeCorrection,
    ) -> Result<ProductionChangeView, ActionError> {
        no_models()
    }

    fn plan_board(&self, month: GasMonth) -> Result<PlanBoard, ActionError> {
        Ok(PlanBoard {
            month: month.to_string(),
            days: month.days().len(),
            rows: Vec::new(),
        })
    }

    fn plans_of(&self, _: &str, _: GasDay, _: GasDay) -> Result<CustomerPlans, ActionError> {
        no_models()
    }

    fn file_plans(&self, _: &NewPlans) -> Result<PlanReport, ActionError> {
        no_entry()
    }

    fn import_plans(&self, _: &PlanUpload) -> Result<PlanReport, ActionError> {
        no_entry()
    }
}

/// Plans are entered with the whole program.
fn no_entry() -> Result<PlanReport, ActionError> {
    Err(ActionError::Refused {
        code: "filing.rows",
        message: "this city takes no plans".into(),
    })
}

impl Nudger for Program {
    fn nudges(&self, _: usize) -> Result<Vec<NudgeView>, ActionError> {
        Ok(Vec::new())
    }

    fn step_nudge(&self, id: &str, _: &NudgeStep) -> Result<NudgeView, ActionError> {
        Err(ActionError::NotFound {
            code: "nudge.unknown",
            message: format!("there is no nudge `{id}`"),
        })
    }

    fn opt_outs(&self) -> Result<Vec<OptOut>, ActionError> {
        Ok(Vec::new())
    }

    fn opt_out(&self, request: &OptOutRequest) -> Result<OptOut, ActionError> {
        Err(ActionError::Refused {
            code: "nudge.refused",
            message: format!("the registry has no customer `{}`", request.customer),
        })
    }
}

impl Actions for Program {
    fn ledger(&self) -> Result<Vec<LedgerEntry>, ActionError> {
        match self.ledger_error.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => Ok(ledger()),
        }
    }

    fn ledger_xlsx(&self) -> Result<Vec<u8>, ActionError> {
        Ok(b"PK ledger".to_vec())
    }

    fn purchased(&self, from: GasDay, to: GasDay) -> Result<BTreeMap<GasDay, i64>, StoreError> {
        let of = |gate: &str| self.journal.curves_of(&gate.into(), from, to).unwrap();
        let curves: Vec<LoadCurve> = ["G1", "G2"].into_iter().flat_map(of).collect();
        let supply = Supply::of_curves(&registry(), &curves);
        let days = (0..to.days_since(from)).map(|i| from.plus(i));
        Ok(days
            .filter_map(|day| Some((day, supply.day_m3(day)?)))
            .collect())
    }

    fn bought(&self) -> Result<BoughtFacts, StoreError> {
        let registry = registry();
        let today = day(TODAY);
        let first = today.month().first_day();
        let read = |from, to| -> Vec<LoadCurve> {
            let of = |gate: &str| self.journal.curves_of(&gate.into(), from, to).unwrap();
            ["G1", "G2"].into_iter().flat_map(of).collect()
        };
        let past = Supply::of_curves(&registry, &read(first, today));
        let of_day = |day: GasDay| {
            let of_source =
                |source: &SourceId| Some((source.clone(), past.source_day_m3(source, day)?));
            registry
                .sources
                .keys()
                .map(of_source)
                .collect::<Option<_>>()
        };
        let days = (0..today.days_since(first)).map(|i| first.plus(i));
        let nomination = self.book.document(DocumentKind::Nomination, TODAY).unwrap();
        Ok(BoughtFacts {
            now: now(),
            unaccounted_ratio: 0.02,
            delivered: days.filter_map(|day| Some((day, of_day(day)?))).collect(),
            gates: read(today, today.plus(1)),
            carried: BTreeMap::new(),
            nominated: nomination.and_then(|n| NominatedDay::of_document(&registry, &n.body)),
        })
    }

    fn declare(&self, month: GasMonth) -> Result<Value, ActionError> {
        if self.book.latest_forecast_run().unwrap().is_none() {
            return Err(ActionError::Refused {
                code: "plan.no_forecast",
                message: "no forecast reaches this month; wait for the next run".into(),
            });
        }
        let body = json!({ "month": month.to_string(), "state": "draft", "suppliers": ["上游"],
            "total": { "declared_m3": 123_456 } });
        self.book
            .put_document(
                DocumentKind::Declaration,
                &month.to_string(),
                body.clone(),
                now(),
                "plan",
                "",
            )
            .unwrap();
        Ok(body)
    }

    fn declaration_xlsx(
        &self,
        _: GasMonth,
        version: Option<u32>,
        supplier: Option<&str>,
    ) -> Result<Vec<u8>, ActionError> {
        let version = version.map_or_else(String::new, |version| format!(" v{version}"));
        let copy = supplier.map_or_else(String::new, |name| format!(" for {name}"));
        Ok(format!("PK declaration{version}{copy}").into_bytes())
    }

    fn nominate(&self, day: GasDay) -> Result<Value, ActionError> {
        let pipe = [vec![287; 12], vec![288; 12]].concat();
        let lng = [vec![20; 4], vec![21; 20]].concat();
        let body = json!({ "day": day, "lines": [
            { "source": "pipe", "suggested_m3": 7000, "nominated_m3": 6900,
              "hours_m3": pipe },
            { "source": "lng", "suggested_m3": 500, "nominated_m3": null,
              "hours_m3": lng },
        ]});
        self.book
            .put_document(
                DocumentKind::Nomination,
                &day.to_string(),
                body.clone(),
                now(),
                "plan",
                "",
            )
            .unwrap();
        Ok(body)
    }

    fn mark_sent(
        &self,
        kind: DocumentKind,
        key: &str,
        request: &SubmissionRequest,
    ) -> Result<Value, ActionError> {
        let Some(newest) = self.book.document(kind, key).unwrap() else {
            return Err(ActionError::NotFound {
                code: "plan.nothing_to_send",
                message: "make it first".into(),
            });
        };
        let mut body = newest.body;
        body["sent_at"] = json!("2026-11-20T00:00:00Z");
        let (who, why) = (&request.person, &request.reason);
        self.book
            .put_document(kind, key, body.clone(), newest.at, who, why)
            .unwrap();
        Ok(body)
    }

    fn edit_nomination(&self, day: GasDay, _: &NominationEdit) -> Result<Value, ActionError> {
        Err(ActionError::NotFound {
            code: "nomination.not_found",
            message: format!("{day} has not been nominated"),
        })
    }

    fn nomination_xlsx(&self, _: GasDay, _: Option<u32>) -> Result<Vec<u8>, ActionError> {
        Err(ActionError::Failed {
            code: "plan.workbook_failed",
            message: "the workbook could not be written".into(),
            cause: "disk quota of /secret/place exceeded".into(),
        })
    }

    fn edit_curve(&self, request: &EditRequest) -> Result<EditView, ActionError> {
        Err(ActionError::NotFound {
            code: "edit.unknown",
            message: format!("the registry has no meter {}", request.meter),
        })
    }

    fn revoke_edit(&self, id: i64, _: &RevokeRequest) -> Result<EditView, ActionError> {
        Err(ActionError::NotFound {
            code: "edit.unknown",
            message: format!("there is no decision {id}"),
        })
    }

    fn judge_again(&self, from: GasDay, to: GasDay) -> Result<JudgedView, ActionError> {
        Ok(JudgedView {
            from,
            to,
            found: Vec::new(),
            withdrawn: Vec::new(),
            standing: 0,
        })
    }

    fn balance(&self, _: GasDay, _: GasDay) -> Result<Balance, ActionError> {
        Ok(Balance {
            zones: BTreeMap::new(),
            total: ZoneBalance::default(),
            meters: Vec::new(),
        })
    }

    fn correctors(&self, asked: &CorrectorsAsked) -> Result<CorrectorsView, ActionError> {
        Ok(CorrectorsView {
            days: asked.days,
            rows: Vec::new(),
            next_after: None,
        })
    }

    fn estimates(&self, _: &MeterId, _: GasDay) -> Result<HourEstimates, ActionError> {
        Ok(HourEstimates::default())
    }

    fn replay_rejects(&self, request: &ReplayRequest) -> Result<ReplayResult, ActionError> {
        Ok(ReplayResult {
            unknown: request.ids.clone(),
            ..ReplayResult::default()
        })
    }

    fn purge_rejects(&self, _: &PurgeRequest) -> Result<PurgeResult, ActionError> {
        Ok(PurgeResult::default())
    }
}
