//! Production changes (生产变更计划).

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::{AHEAD_MAX, failed, judge_anew, known, refused, said, stamp};
use crate::domain::calendar::GasDay;
use crate::domain::filing::{ChangeEntry, ProductionChange};
use crate::domain::id::CustomerId;
use crate::domain::registry::Registry;
use crate::run::app::App;
use crate::serve::actions::ActionError;
use crate::serve::api::filings::{
    ChangeCorrection, ChangeFacts, ChangeState, FilingOrigin, NewChange, ProductionChangeView,
};
use crate::serve::figures::instant_text;

/// Gas days back from which a change may still be told; what is older is settled.
const BACK_MAX: i64 = 62;
/// Longest change, days.
const DAYS_MAX: i64 = 1_100;

/// Production changes as known now, of one customer or of all, those known last first; with `all` also those
/// that are over or were taken back.
///
/// # Errors
/// What the book says.
pub fn list(
    app: &App,
    customer: Option<&str>,
    all: bool,
) -> Result<Vec<ProductionChangeView>, ActionError> {
    let (registry, now) = (app.registry(), app.clock.now());
    let customer = customer.map(|id| known(&registry, id)).transpose()?;
    let today = app.today();
    let mut newest: BTreeMap<String, (ChangeEntry, u32)> = BTreeMap::new();
    for entry in app.book.change_entries().map_err(|error| failed(&error))? {
        let version = newest.get(&entry.id).map_or(1, |(_, version)| version + 1);
        newest.insert(entry.id.clone(), (entry, version));
    }
    let entered = newest
        .into_values()
        .map(|(entry, version)| of_entry(&registry, today, entry, version));
    let of_files = registry
        .changes_known_at(now)
        .map(|change| view(&registry, today, change));
    let mut views: Vec<ProductionChangeView> = entered
        .chain(of_files)
        .filter(|v| customer.is_none_or(|id| v.customer == id.as_str()))
        .filter(|v| all || matches!(v.state, ChangeState::Planned | ChangeState::Active))
        .collect();
    views.sort_by(|a, b| b.available_at.cmp(&a.available_at).then(a.id.cmp(&b.id)));
    Ok(views)
}

fn view(registry: &Registry, today: GasDay, change: &ProductionChange) -> ProductionChangeView {
    let state = if today.0 < change.from_on {
        ChangeState::Planned
    } else if change.to_on < today.0 {
        ChangeState::Ended
    } else {
        ChangeState::Active
    };
    ProductionChangeView {
        id: None,
        origin: FilingOrigin::File,
        customer: change.customer.to_string(),
        name: registry
            .customers
            .get(&change.customer)
            .map_or_else(String::new, |c| c.name.clone()),
        change: ChangeFacts {
            kind: change.kind,
            from_on: change.from_on,
            to_on: change.to_on,
            delta_m3_per_day: change.delta_m3_per_day,
            confidence: change.confidence,
            source: change.source.clone(),
        },
        state,
        available_at: instant_text(change.available_at),
        person: None,
        reason: None,
        version: 1,
    }
}

fn of_entry(
    registry: &Registry,
    today: GasDay,
    entry: ChangeEntry,
    version: u32,
) -> ProductionChangeView {
    let of_change = view(registry, today, &entry.change);
    ProductionChangeView {
        state: if entry.is_withdrawn {
            ChangeState::Withdrawn
        } else {
            of_change.state
        },
        id: Some(entry.id),
        origin: FilingOrigin::Entry,
        person: Some(entry.person),
        reason: Some(entry.reason),
        version,
        ..of_change
    }
}

/// Enters a production change; it is known from now on.
///
/// # Errors
/// `NotFound` or `Refused` with what is wrong and what to do, or what the book says.
pub fn enter(app: &App, new: &NewChange) -> Result<ProductionChangeView, ActionError> {
    let (person, reason) = (said("person", &new.person)?, said("reason", &new.reason)?);
    let registry = app.registry();
    let customer = known(&registry, &new.customer)?;
    check(app, &new.change, None)?;
    let change = change_of(app, customer, &new.change);
    // Effects add up, so that the same told twice would count twice.
    let told = app
        .book
        .production_changes_known_at(app.clock.now())
        .map_err(|error| failed(&error))?;
    let all = told
        .iter()
        .chain(registry.changes_known_at(app.clock.now()));
    let of = |c: &ProductionChange| (c.customer.clone(), c.kind, c.from_on, c.to_on);
    if all.into_iter().any(|other| of(other) == of(&change)) {
        return Err(refused(
            "filing.change_known",
            format!(
                "customer {customer} has a change of this kind from {} to {} already; correct that one",
                change.from_on, change.to_on
            ),
        ));
    }
    let mut digest = Sha256::new();
    digest.update(customer.as_str());
    digest.update(change.from_on.to_string());
    digest.update(change.kind.name_zh());
    let tail = hex::encode(digest.finalize());
    let id = format!(
        "B{}-{}",
        stamp(change.available_at),
        tail.chars().take(4).collect::<String>()
    );
    put(
        app,
        ChangeEntry {
            id,
            change,
            person: person.to_owned(),
            reason: reason.to_owned(),
            is_withdrawn: false,
        },
        1,
    )
}

/// Corrects a production change that was entered, or takes it back, from now on.
///
/// # Errors
/// As [`enter`]; one of a file is corrected there.
pub fn correct(
    app: &App,
    id: &str,
    correction: &ChangeCorrection,
) -> Result<ProductionChangeView, ActionError> {
    let (person, reason) = (
        said("person", &correction.person)?,
        said("reason", &correction.reason)?,
    );
    let mut entries = app.book.change_entries().map_err(|error| failed(&error))?;
    entries.retain(|entry| entry.id == id);
    let version = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    let Some(before) = entries.pop() else {
        return Err(ActionError::NotFound {
            code: "filing.change_missing",
            message: "there is no such production change; GET /api/v1/production-changes lists them, and those \
                      of production_changes.csv are changed in that file"
                .into(),
        });
    };
    if correction.version.is_some_and(|seen| seen != version) {
        return Err(newer(&before, version));
    }
    if before.is_withdrawn && correction.change.is_none() {
        return Err(refused(
            "filing.change_withdrawn",
            format!("{} took it back already: {}", before.person, before.reason),
        ));
    }
    let mut change = match &correction.change {
        Some(facts) => {
            check(app, facts, Some(&before.change))?;
            change_of(app, &before.change.customer, facts)
        }
        None => before.change,
    };
    change.available_at = app.clock.now();
    let entry = ChangeEntry {
        change,
        person: person.to_owned(),
        reason: reason.to_owned(),
        is_withdrawn: correction.change.is_none(),
        id: before.id,
    };
    put(app, entry, version + 1)
}

/// That somebody else was first, by what is newest now.
fn newest(app: &App, of: &ChangeEntry) -> Result<ActionError, ActionError> {
    let mut entries = app.book.change_entries().map_err(|error| failed(&error))?;
    entries.retain(|entry| entry.id == of.id);
    let version = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    Ok(newer(entries.last().unwrap_or(of), version))
}

fn newer(entry: &ChangeEntry, version: u32) -> ActionError {
    ActionError::Conflict {
        code: "filing.newer",
        message: format!(
            "{} made version {version} of it meanwhile ({}); look at it and correct again",
            entry.person, entry.reason
        ),
    }
}

fn put(app: &App, entry: ChangeEntry, version: u32) -> Result<ProductionChangeView, ActionError> {
    let put = app.book.put_change_entry(entry.clone(), version - 1);
    let Some(known_at) = put.map_err(|error| failed(&error))? else {
        return Err(newest(app, &entry)?);
    };
    let mut kept = entry;
    kept.change.available_at = known_at;
    judge_anew(app, &BTreeSet::from([kept.change.customer.clone()]));
    Ok(of_entry(&app.registry(), app.today(), kept, version))
}

fn change_of(app: &App, customer: &CustomerId, facts: &ChangeFacts) -> ProductionChange {
    ProductionChange {
        customer: customer.clone(),
        kind: facts.kind,
        from_on: facts.from_on,
        to_on: facts.to_on,
        delta_m3_per_day: facts.delta_m3_per_day,
        confidence: facts.confidence,
        source: facts.source.trim().to_owned(),
        available_at: app.clock.now(),
    }
}

fn check(
    app: &App,
    facts: &ChangeFacts,
    before: Option<&ProductionChange>,
) -> Result<(), ActionError> {
    said("source", &facts.source)?;
    let today = app.today();
    let days = (facts.to_on - facts.from_on).num_days() + 1;
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(refused(
            "filing.change_days",
            format!(
                "from {} to {} are {days} days; let it end on its first day or later, within three years",
                facts.from_on, facts.to_on
            ),
        ));
    }
    // One that began long ago can still be ended.
    let is_as_before = before.is_some_and(|before| before.from_on == facts.from_on);
    let is_old = facts.from_on < today.plus(-BACK_MAX).0 && !is_as_before;
    if is_old || facts.from_on > today.plus(AHEAD_MAX).0 {
        return Err(refused(
            "filing.change_far",
            format!(
                "it begins on {}; let it begin within {BACK_MAX} days before today and {AHEAD_MAX} after",
                facts.from_on
            ),
        ));
    }
    if !(0.0..=1.0).contains(&facts.confidence) || facts.confidence <= 0.0 {
        return Err(refused(
            "filing.change_confidence",
            format!(
                "a confidence of {} is none; write a part of one above zero, for example 0.9",
                facts.confidence
            ),
        ));
    }
    let delta = facts.delta_m3_per_day;
    if !delta.is_finite() || delta.abs() > 1e8 {
        return Err(refused(
            "filing.change_volume",
            format!("{delta} m³/d is no change of a day's volume; write it in m³, not in 万m³"),
        ));
    }
    if !facts.kind.fits(delta) {
        return Err(refused(
            "filing.change_sign",
            format!(
                "{} ({delta:+} m³/d): less is written with a minus, more without; mend the sign or the kind",
                facts.kind.name_zh()
            ),
        ));
    }
    Ok(())
}
