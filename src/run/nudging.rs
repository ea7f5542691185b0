//! Nudges: drafted from forecast and curves, approved by a person, sent through a channel, answered,
//! and settled once their hours are known.

mod off_peak;
mod sending;
mod settling;
mod steps;
mod task;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;

use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandForecast;
use crate::domain::id::CustomerId;
use crate::domain::meter::Meter;
use crate::nudge::baseline::{HourlyUse, hourly_use};
use crate::nudge::candidate::NudgeableCustomer;
use crate::nudge::message::{MessageError, Templates};
use crate::nudge::peak::{self, PeakInput};
use crate::nudge::policy::{Policy, SentRecord};
use crate::nudge::settlement::{Settlement, left_alone, response_rates};
use crate::nudge::{Nudge, NudgeInput, NudgeState};
use crate::plan::nomination::Nomination;
use crate::run::app::App;
use crate::run::facts;
use crate::settings::NudgeSettings;
use crate::store::book::{Document, DocumentKind};

pub use self::off_peak::off_peak;
pub use self::sending::{Sender, send_approved};
pub use self::settling::{settle, settle_all, settle_recent};
pub use self::steps::{StepError, opt_out, opt_outs, step};
pub use self::task::run;
pub use self::view::{view, views};

pub(in crate::run) use self::task::tell_settled;

/// A day is a peak if it exceeds nomination and band with this probability.
const EXCEED_PROBABILITY: f64 = 0.3;

/// Look-back of a baseline, gas days (domain.md §4.4), and some for days that do not count.
const BASELINE_DAYS: i64 = 60;

/// Drafts of one round; the account managers have to read them.
const DRAFTS_MAX: usize = 10;

/// Nudges looked back on for policy and repetition.
const KEPT_MAX: usize = 2_000;

/// Nudges as kept, newest first.
///
/// # Errors
/// What the store says, or a nudge that is kept in a shape this program does not know: it would
/// not be counted among what was sent.
pub fn kept(app: &App) -> anyhow::Result<Vec<Nudge>> {
    let documents = app.book.documents(DocumentKind::Nudge, KEPT_MAX)?;
    documents.into_iter().map(own_shape).collect()
}

/// A result as kept, and which version it is.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptSettlement {
    /// The result.
    pub settlement: Settlement,
    /// From 1.
    pub version: u32,
}

/// Results as kept, by nudge.
///
/// # Errors
/// As [`kept`].
pub fn settlements(app: &App) -> anyhow::Result<BTreeMap<String, KeptSettlement>> {
    let documents = app.book.documents(DocumentKind::Settlement, KEPT_MAX)?;
    documents
        .into_iter()
        .map(|document| {
            let (key, version) = (document.key.clone(), document.version);
            let settlement = own_shape(document)?;
            anyhow::Ok((
                key,
                KeptSettlement {
                    settlement,
                    version,
                },
            ))
        })
        .collect()
}

fn own_shape<T: DeserializeOwned>(document: Document) -> anyhow::Result<T> {
    let (kind, key) = (document.kind.key(), document.key);
    serde_json::from_value(document.body)
        .with_context(|| format!("the kept {kind} `{key}` does not have its own shape"))
}

/// The templates in use: ours, each replaced by the company's file where there is one.
///
/// # Errors
/// A file that cannot be read or does not parse, by name.
pub fn templates(settings: &NudgeSettings) -> Result<Templates, MessageError> {
    match &settings.templates_dir {
        Some(dir) => Templates::load(dir),
        None => Templates::built_in(),
    }
}

fn put<T: serde::Serialize>(
    app: &App,
    kind: DocumentKind,
    key: &str,
    body: &T,
    by: (&str, &str),
) -> anyhow::Result<u32> {
    let body = serde_json::to_value(body)?;
    let (who, reason) = by;
    let now = app.clock.now();
    Ok(app.book.put_document(kind, key, body, now, who, reason)?)
}

/// Drafts nudges for the peaks of the latest forecast and keeps them; the number of new drafts.
///
/// # Errors
/// What the stores say.
pub fn draft(app: &App) -> anyhow::Result<usize> {
    let now = app.clock.now();
    let Some(forecast) = app.book.forecast_run_known_at(now)? else {
        return Ok(0);
    };
    let registry = app.registry();
    let today = app.today();
    let recent_peaks_m3h = recent_peaks(app, today)?;
    let nominated_m3 = nominated(app, &forecast)?;
    let windows = peak::find(&PeakInput {
        forecast: &forecast,
        slots: &registry.company.slots,
        recent_peaks_m3h: &recent_peaks_m3h,
        nominated_m3: &nominated_m3,
        unaccounted_ratio: facts::unaccounted_ratio(app, &registry, today)?,
        registry: &registry,
        calendar: &app.calendar(),
        peak_ratio: app.settings.nudge.peak_ratio,
        exceed_probability: EXCEED_PROBABILITY,
        after: now,
    });
    if windows.is_empty() {
        return Ok(0);
    }
    let weather = facts::weather_at(app, &registry, now)?;
    // Whoever approves, answers or opts out waits: what is read here holds until it is written.
    let _steps = app.nudge_steps.lock();
    let before = kept(app)?;
    let left_alone = left_alone(&before, &opt_outs(app)?, now);
    let asked_m3 = before
        .iter()
        .map(|n| (n.id.clone(), n.avoided_m3))
        .collect();
    let settled = settlements(app)?;
    let mut drafts = crate::nudge::draft(&NudgeInput {
        registry: &registry,
        calendar: &app.calendar(),
        forecast: &forecast,
        windows: &windows,
        history: &histories(app, today)?,
        excluded: &unusual_days(app, &before, now)?,
        response_rates: &response_rates(settled.values().map(|s| &s.settlement), &asked_m3),
        temperatures: &facts::mean_temperatures(&weather),
        sent: &sent_records(app, &before)?,
        opted_out: &left_alone,
        known: &before.iter().map(|n| n.id.clone()).collect(),
        policy: &Policy::from(&app.settings.nudge),
        drafts_max: DRAFTS_MAX,
        now,
    });
    // Every run sees the peaks a little differently: one open suggestion per enterprise is enough.
    drafts.retain(|new| {
        !before
            .iter()
            .any(|old| old.customer == new.customer && old.expires_at > now && old.state.is_open())
    });
    for nudge in &drafts {
        let by = ("qiliang", "drafted for a forecast peak");
        put(app, DocumentKind::Nudge, &nudge.id, nudge, by)?;
    }
    Ok(drafts.len())
}

/// Largest hour of the city on each whole day of the last 30, m³/h, latest last.
pub(super) fn recent_peaks(app: &App, today: GasDay) -> anyhow::Result<Vec<f64>> {
    let mut days: BTreeMap<GasDay, [f64; 24]> = BTreeMap::new();
    for day in facts::whole_days(app, today.plus(-30), today)? {
        let sums = days.entry(day.day).or_insert([0.0; 24]);
        for (sum, hour) in sums.iter_mut().zip(day.hours_m3) {
            *sum += hour;
        }
    }
    Ok(days
        .into_values()
        .map(|hours| hours.into_iter().fold(0.0, f64::max))
        .collect())
}

fn nominated(app: &App, forecast: &DemandForecast) -> anyhow::Result<BTreeMap<GasDay, i64>> {
    let mut out = BTreeMap::new();
    for day in forecast.days.iter().take(forecast.hourly_days) {
        if let Some(document) = app
            .book
            .document(DocumentKind::Nomination, &day.to_string())?
        {
            let nomination: Nomination = serde_json::from_value(document.body)
                .with_context(|| format!("the kept nomination of {day}"))?;
            out.insert(*day, nomination.asked_m3());
        }
    }
    Ok(out)
}

fn histories(app: &App, today: GasDay) -> anyhow::Result<BTreeMap<CustomerId, HourlyUse>> {
    let registry = app.registry();
    let mut out = BTreeMap::new();
    for customer in registry.customers.values() {
        if NudgeableCustomer::admit(customer).is_err() {
            continue;
        }
        let mut curves = Vec::new();
        let meters: Vec<&Meter> = registry.meters_of(&customer.id).collect();
        for meter in &meters {
            let (from, to) = (today.plus(-BASELINE_DAYS), today.plus(1));
            curves.extend(app.journal.curves_of(&meter.id, from, to)?);
        }
        out.insert(customer.id.clone(), hourly_use(&meters, &curves));
    }
    Ok(out)
}

/// Days that say nothing about an enterprise's usual use: those it was asked for, and those on which
/// it stood still by announcement.
fn unusual_days(
    app: &App,
    nudges: &[Nudge],
    now: DateTime<Utc>,
) -> anyhow::Result<BTreeMap<CustomerId, BTreeSet<GasDay>>> {
    let mut out: BTreeMap<CustomerId, BTreeSet<GasDay>> = BTreeMap::new();
    for nudge in nudges.iter().filter(|n| n.state.has_left()) {
        out.entry(nudge.customer.clone())
            .or_default()
            .insert(nudge.day);
    }
    let first = app.today().plus(-BASELINE_DAYS);
    for change in facts::changes_known_at(&app.book, &app.registry(), now)? {
        if change.kind.is_idle() {
            let days = out.entry(change.customer).or_default();
            let days_idle = (0..=BASELINE_DAYS)
                .map(|ahead| first.plus(ahead))
                .filter(|day| change.from_on <= day.0 && day.0 <= change.to_on);
            days.extend(days_idle);
        }
    }
    Ok(out)
}

fn sent_records(app: &App, nudges: &[Nudge]) -> anyhow::Result<Vec<SentRecord>> {
    let mut out = Vec::new();
    for nudge in nudges {
        for version in app.book.document_versions(DocumentKind::Nudge, &nudge.id)? {
            let sent_at = version.at;
            let stored: Nudge = own_shape(version)?;
            if stored.state == NudgeState::Sent {
                out.push(SentRecord {
                    customer: stored.customer,
                    sent_at,
                });
            }
        }
    }
    Ok(out)
}
