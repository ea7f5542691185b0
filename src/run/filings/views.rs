//! Plans beside what was used.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::{failed, known};
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::filing::PlanWord;
use crate::domain::id::CustomerId;
use crate::domain::quantity::StdVolume;
use crate::run::app::App;
use crate::run::{facts, ledgering};
use crate::serve::actions::ActionError;
use crate::serve::api::filings::{
    CustomerPlans, FilingOrigin, PlanBoard, PlanBoardRow, PlanDay, PlanEntryView,
};
use crate::serve::figures::instant_text;
use crate::store::book::{Document, DocumentKind};
use crate::store::error::StoreError;

/// Plans of a month: the large consumers and whoever filed; those without a plan first, then by volume.
///
/// # Errors
/// What the stores say.
pub fn board(app: &App, month: GasMonth) -> Result<PlanBoard, ActionError> {
    let read = || -> anyhow::Result<PlanBoard> {
        let (registry, now, today) = (app.registry(), app.clock.now(), app.today());
        let (from, to) = (month.first_day(), month.next().first_day());
        let words = app.book.plan_words(None, from, to, now)?;
        let words = facts::plan_words(&registry, words, from, to, now);
        let mut by_customer: BTreeMap<CustomerId, BTreeMap<GasDay, &PlanWord>> = BTreeMap::new();
        for ((customer, day), word) in &words {
            let of_customer = by_customer.entry(customer.clone()).or_default();
            of_customer.insert(*day, word);
        }
        let members = ledgering::members_on(app, &registry, today)?;
        let members: BTreeSet<CustomerId> = members.into_iter().map(|(id, _)| id).collect();
        let mut ids: BTreeSet<&CustomerId> = members.iter().chain(by_customer.keys()).collect();
        ids.retain(|id| registry.customers.contains_key(*id));
        let used = facts::daily_of(app, &registry, ids.iter().copied(), from, to.min(today))?;
        let changes = facts::changes_known_at(&app.book, &registry, now)?;
        let rows = ids.into_iter().filter_map(|id| {
            let of_month = |from_on: NaiveDate, to_on: NaiveDate| from_on < to.0 && from.0 <= to_on;
            let changes = changes
                .iter()
                .filter(|c| c.customer == *id && of_month(c.from_on, c.to_on));
            Some(PlanBoardRow {
                name: registry.customers.get(id)?.name.clone(),
                is_on_ledger: members.contains(id),
                changes: changes.count(),
                ..row(id, by_customer.get(id), used.get(id))
            })
        });
        let mut rows: Vec<PlanBoardRow> = rows.collect();
        let planned = |row: &PlanBoardRow| -> Option<StdVolume> {
            row.plan_m3.as_ref().and_then(|text| text.parse().ok())
        };
        rows.sort_by(|a, b| {
            let key = |row: &PlanBoardRow| (row.days_filed > 0, std::cmp::Reverse(planned(row)));
            key(a).cmp(&key(b)).then(a.customer.cmp(&b.customer))
        });
        Ok(PlanBoard {
            month: month.to_string(),
            days: month.days().len(),
            rows,
        })
    };
    read().map_err(|error| ActionError::Failed {
        code: "run.store",
        message: "plans could not be read".into(),
        cause: format!("{error:#}"),
    })
}

fn row(
    id: &CustomerId,
    words: Option<&BTreeMap<GasDay, &PlanWord>>,
    used: Option<&BTreeMap<GasDay, StdVolume>>,
) -> PlanBoardRow {
    let words = || words.into_iter().flatten();
    let plans: BTreeMap<GasDay, StdVolume> = words()
        .filter_map(|(day, word)| Some((*day, word.volume?)))
        .collect();
    let used_all: StdVolume = used.into_iter().flatten().map(|(_, volume)| *volume).sum();
    let days_used = used.map_or(0, BTreeMap::len);
    let (mut planned, mut came) = (0.0, 0.0);
    for (day, volume) in used.into_iter().flatten() {
        if let Some(plan) = plans.get(day) {
            planned += plan.to_f64();
            came += volume.to_f64();
        }
    }
    let total: StdVolume = plans.values().copied().sum();
    PlanBoardRow {
        customer: id.to_string(),
        name: String::new(),
        is_on_ledger: false,
        days_filed: plans.len(),
        plan_m3: (!plans.is_empty()).then(|| total.to_string()),
        days_used,
        used_m3: (days_used > 0).then(|| used_all.to_string()),
        deviation_ratio: (planned > 0.0).then(|| came / planned - 1.0),
        filed_at: words()
            .map(|(_, word)| word.available_at)
            .max()
            .map(instant_text),
        changes: 0,
    }
}

/// A customer's plans of the gas days `[from, to)` beside what it used, and who entered them.
///
/// # Errors
/// `NotFound`, or what the stores say.
pub fn plans_of(
    app: &App,
    written: &str,
    from: GasDay,
    to: GasDay,
) -> Result<CustomerPlans, ActionError> {
    let registry = app.registry();
    let customer = known(&registry, written)?;
    let now = app.clock.now();
    let read = || -> Result<CustomerPlans, StoreError> {
        let history = app.book.plan_history(Some(customer), from, to, now)?;
        let mut words: BTreeMap<GasDay, usize> = BTreeMap::new();
        let mut of_entries: BTreeMap<&str, usize> = BTreeMap::new();
        for word in &history {
            *words.entry(word.day).or_default() += 1;
            if let Some(entry) = &word.entry {
                *of_entries.entry(entry).or_default() += 1;
            }
        }
        let of_files = registry.filed_plans.iter();
        let is_asked = |day: GasDay, at: DateTime<Utc>| from <= day && day < to && at <= now;
        for plan in of_files.filter(|p| p.customer == *customer) {
            if is_asked(plan.day, plan.available_at) {
                *words.entry(plan.day).or_default() += 1;
            }
        }
        let mut entries = Vec::new();
        for (id, days) in of_entries {
            let document = app.book.document(DocumentKind::FiledPlans, id)?;
            entries.extend(document.map(|document| entry_view(document, days)));
        }
        entries.sort_by(|a, b| b.at.cmp(&a.at).then(b.id.cmp(&a.id)));
        let newest = app.book.plan_words(Some(customer), from, to, now)?;
        let newest = facts::plan_words(&registry, newest, from, to, now);
        let used = facts::daily_of(app, &registry, [customer], from, to.min(app.today()))?;
        let used = used.get(customer);
        let days = (0..to.days_since(from).max(0)).map(|offset| {
            let day = from.plus(offset);
            let word = newest.get(&(customer.clone(), day));
            let plan = word.and_then(|word| word.volume);
            PlanDay {
                day,
                plan_m3: plan.map(|volume| volume.to_string()),
                origin: word.map(|word| origin_of(word, &registry.filed_plans)),
                entry: word.and_then(|word| word.entry.clone()),
                available_at: word.map(|word| instant_text(word.available_at)),
                words: words.get(&day).copied().unwrap_or(0),
                used_m3: used
                    .and_then(|days| days.get(&day))
                    .map(ToString::to_string),
            }
        });
        Ok(CustomerPlans {
            customer: customer.to_string(),
            name: registry
                .customers
                .get(customer)
                .map_or_else(String::new, |c| c.name.clone()),
            days: days.collect(),
            entries,
        })
    };
    read().map_err(|error| failed(&error))
}

fn origin_of(word: &PlanWord, of_files: &[crate::domain::filing::FiledPlan]) -> FilingOrigin {
    if word.entry.is_some() {
        FilingOrigin::Entry
    } else if of_files.iter().any(|plan| PlanWord::from(plan) == *word) {
        FilingOrigin::File
    } else {
        FilingOrigin::Feed
    }
}

fn entry_view(document: Document, days: usize) -> PlanEntryView {
    let text = |key: &str| {
        let said = document.body.get(key).and_then(serde_json::Value::as_str);
        said.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    PlanEntryView {
        at: instant_text(document.at),
        source: text("source").unwrap_or_default(),
        file: text("file"),
        id: document.key,
        person: document.who,
        reason: document.reason,
        days,
    }
}
