//! Named factors: entered, confirmed, taken back, and each scored against the run without it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chrono::NaiveDate;

use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::expectation::{Expectation, Watched};
use crate::domain::factor::Factor;
use crate::run::app::App;
use crate::run::monitor::SCORED_LEAD;
use crate::serve::actions::ActionError;
use crate::serve::api::outlook::{FactorChange, FactorScore, FactorState, FactorView, NewFactor};
use crate::store::book::{Document, DocumentKind, NewDocument};

/// Factors in the list at most.
const FACTORS_MAX: usize = 500;

fn failed(error: &anyhow::Error) -> ActionError {
    ActionError::Failed {
        code: "run.store",
        message: "the factor could not be kept; nothing has changed".into(),
        cause: format!("{error:#}"),
    }
}

fn refused(message: String) -> ActionError {
    ActionError::Refused {
        code: "forecast.factor_invalid",
        message,
    }
}

/// Every factor, last written first.
///
/// # Errors
/// What the book says.
pub fn list(app: &App) -> Result<Vec<FactorView>, ActionError> {
    let read = || -> anyhow::Result<Vec<FactorView>> {
        let documents = app.book.documents(DocumentKind::Factor, FACTORS_MAX)?;
        let views: Vec<(Factor, u32)> = documents
            .into_iter()
            .filter_map(|d| Some((serde_json::from_value(d.body).ok()?, d.version)))
            .collect();
        let today = app.today();
        let from = views.iter().map(|(f, _)| GasDay(f.from_on)).min();
        let (expected, without) = match from {
            Some(from) => (
                app.book.expectations(from, today)?,
                app.book.expectations_without(from, today)?,
            ),
            None => Default::default(),
        };
        let without: BTreeMap<_, f64> = without
            .into_iter()
            .map(|one| ((one.factor, one.day, one.lead, one.of), one.p50_m3))
            .collect();
        let factors: Vec<Factor> = views.iter().map(|(factor, _)| factor.clone()).collect();
        let without = |factor: &Factor, one: &Expectation| {
            let key = (factor.id.clone(), one.day, one.lead, one.of.clone());
            let kept = without.get(&key).copied();
            // Expectations of earlier programs know only of no factor at all, which is this one's alone where no
            // other held.
            let mut others = factors.iter().filter(|other| other.id != factor.id);
            kept.or_else(|| {
                one.unaided_m3
                    .filter(|_| others.all(|other| !other.holds_on(one.day)))
            })
        };
        Ok(views
            .into_iter()
            .map(|(factor, version)| FactorView {
                state: state_of(&factor, today),
                score: score_of(&factor, &expected, without),
                factor,
                version,
            })
            .collect())
    };
    read().map_err(|error| failed(&error))
}

fn state_of(factor: &Factor, today: GasDay) -> FactorState {
    if factor.withdrawn_from.is_some_and(|from| from <= today.0) {
        FactorState::Withdrawn
    } else if today.0 < factor.from_on {
        FactorState::Planned
    } else if factor.to_on < today.0 {
        FactorState::Ended
    } else if factor.expires_on < today.0 {
        FactorState::Expired
    } else {
        FactorState::Active
    }
}

/// Sums of absolute errors with a factor and without it, where it was in force; `without` is what was expected
/// with all others.
fn score_of(
    factor: &Factor,
    expected: &[Expectation],
    without: impl Fn(&Factor, &Expectation) -> Option<f64>,
) -> Option<FactorScore> {
    let of = Watched {
        zone: factor
            .zone
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        class: factor
            .class
            .map_or_else(String::new, |c| c.key().to_owned()),
    };
    // A zone as a whole is not watched: its nodes stand for it.
    let is_its = |watched: &Watched| {
        if of.zone.is_empty() || !of.class.is_empty() {
            *watched == of
        } else {
            watched.zone == of.zone
        }
    };
    let (mut cases, mut aided, mut unaided, mut came) = (0, 0.0, 0.0, 0.0);
    for one in expected {
        if one.lead != SCORED_LEAD || !factor.holds_on(one.day) || !is_its(&one.of) {
            continue;
        }
        let (Some(without), Some(actual)) = (without(factor, one), one.actual_m3) else {
            continue;
        };
        cases += 1;
        aided += (one.p50_m3 - actual).abs();
        unaided += (without - actual).abs();
        came += actual.abs();
    }
    (cases > 0 && came > 0.0).then(|| FactorScore {
        cases,
        aided_wape: aided / came,
        unaided_wape: unaided / came,
    })
}

/// Enters a factor.
///
/// # Errors
/// `Refused` with what is wrong, or what the book says.
pub fn add(app: &App, new: &NewFactor) -> Result<FactorView, ActionError> {
    let registry = app.registry();
    let now = app.clock.now();
    let class = match &new.class {
        None => None,
        Some(key) => Some(CustomerClass::from_key(key).ok_or_else(|| {
            refused(format!(
                "`{key}` is no customer class; GET /api/v1/meta lists them"
            ))
        })?),
    };
    let zone = new.zone.as_ref().map(|zone| zone.as_str().into());
    if let Some(zone) = zone.as_ref().filter(|z| !registry.zones.contains_key(*z)) {
        return Err(refused(format!(
            "there is no zone `{zone}`; GET /api/v1/meta lists them"
        )));
    }
    let mut factor = Factor {
        id: format!("Y{}", now.format("%Y%m%dT%H%M%SZ")),
        kind: new.kind,
        zone,
        class,
        from_on: new.from_on,
        to_on: new.to_on,
        amount: new.amount,
        person: new.person.trim().to_owned(),
        reason: new.reason.trim().to_owned(),
        expires_on: new.expires_on.unwrap_or(new.to_on),
        entered_at: now,
        withdrawn_from: None,
    };
    if factor.from_on <= app.today().plus(-1).0 {
        return Err(refused(format!(
            "it begins on {}, a gas day that is over; let it begin today or later",
            factor.from_on
        )));
    }
    check(&factor)?;
    let written = || -> anyhow::Result<String> {
        Ok(app
            .book
            .put_new_document(document(app, &factor, &new.person, &new.reason)?)?)
    };
    factor.id = written().map_err(|error| failed(&error))?;
    Ok(view(app, factor, 1))
}

/// Confirms a factor for longer, unless a gas day has passed without it, or takes it back from today on.
///
/// # Errors
/// `NotFound`, `Refused` with what is wrong, or what the book says.
pub fn change(app: &App, id: &str, change: &FactorChange) -> Result<FactorView, ActionError> {
    let document: Option<Document> = app
        .book
        .document(DocumentKind::Factor, id)
        .map_err(|error| failed(&error.into()))?;
    let Some(document) = document else {
        return Err(ActionError::NotFound {
            code: "forecast.factor_missing",
            message: "there is no such factor; GET /api/v1/forecast/factors lists them".into(),
        });
    };
    let mut factor: Factor = serde_json::from_value(document.body)
        .context("a stored factor does not have its own shape")
        .map_err(|error| failed(&error))?;
    if change.person.trim().is_empty() || change.reason.trim().is_empty() {
        return Err(refused("say who decides this, and why".into()));
    }
    let tomorrow: NaiveDate = app.today().plus(1).0;
    match change.expires_on {
        // What it said of days that are over stays as it was said then.
        Some(_) if first_without(&factor).is_some_and(|day| day < app.today()) => {
            return Err(refused(
                "it has ended, and a gas day has passed without it; enter a new one that begins today"
                    .into(),
            ));
        }
        Some(expires_on) if expires_on < app.today().0 => {
            return Err(refused(format!(
                "it would end on {expires_on}, a gas day that is over; take it back, which ends it today"
            )));
        }
        Some(expires_on) => {
            factor.expires_on = expires_on;
            factor.to_on = factor.to_on.max(expires_on);
            factor.withdrawn_from = None;
        }
        // One that has not begun never does.
        None => factor.withdrawn_from = Some(tomorrow.min(factor.from_on.max(app.today().0))),
    }
    put(app, factor, &change.person, &change.reason)
}

/// The first gas day from its beginning on that it no longer changes.
fn first_without(factor: &Factor) -> Option<GasDay> {
    let by_itself = factor.to_on.min(factor.expires_on).succ_opt();
    let ended = by_itself.into_iter().chain(factor.withdrawn_from).min()?;
    Some(GasDay(ended.max(factor.from_on)))
}

fn check(factor: &Factor) -> Result<(), ActionError> {
    factor
        .problem()
        .map_or(Ok(()), |problem| Err(refused(problem)))
}

fn document(app: &App, factor: &Factor, who: &str, reason: &str) -> anyhow::Result<NewDocument> {
    Ok(NewDocument {
        kind: DocumentKind::Factor,
        key: factor.id.clone(),
        body: serde_json::to_value(factor)?,
        at: app.clock.now(),
        who: who.trim().to_owned(),
        reason: reason.trim().to_owned(),
    })
}

fn view(app: &App, factor: Factor, version: u32) -> FactorView {
    FactorView {
        state: state_of(&factor, app.today()),
        score: None,
        factor,
        version,
    }
}

fn put(app: &App, factor: Factor, who: &str, reason: &str) -> Result<FactorView, ActionError> {
    check(&factor)?;
    let written = || -> anyhow::Result<Vec<u32>> {
        let document = document(app, &factor, who, reason)?;
        Ok(app.book.put_documents(vec![document])?)
    };
    let versions = written().map_err(|error| failed(&error))?;
    Ok(view(app, factor, versions.first().copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tempfile::TempDir;

    use super::*;
    use crate::domain::factor::{FactorAmount, FactorKind};
    use crate::domain::registry::Registry;
    use crate::run::testing::app_of;
    use crate::validate::rules::testing;

    #[test]
    fn factors_of_one_second_are_each_their_own() {
        let dir = TempDir::new().unwrap();
        let now = "2026-11-21T02:00:00Z".parse().unwrap();
        let (app, _reload) = app_of(dir.path(), Registry::new(testing::parts()), now);
        let new = NewFactor {
            kind: FactorKind::Event,
            zone: None,
            class: None,
            from_on: "2026-11-22".parse().unwrap(),
            to_on: "2026-11-23".parse().unwrap(),
            amount: FactorAmount::Percent(5.0),
            person: "li".to_owned(),
            reason: "fair".to_owned(),
            expires_on: None,
        };
        let added: Vec<FactorView> = std::thread::scope(|scope| {
            let adding: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| add(&app, &new).unwrap()))
                .collect();
            adding.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let ids: BTreeSet<&str> = added.iter().map(|view| view.factor.id.as_str()).collect();
        assert_eq!(ids.len(), 8, "{ids:?}");
        assert!(added.iter().all(|view| view.version == 1));
        let listed: BTreeSet<String> = list(&app)
            .unwrap()
            .into_iter()
            .map(|v| v.factor.id)
            .collect();
        assert_eq!(listed, ids.into_iter().map(str::to_owned).collect());
    }
}
