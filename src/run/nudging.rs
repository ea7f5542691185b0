//! Nudges: drafted from forecast and curves, approved by a person, sent through a channel.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, anyhow};

use crate::domain::calendar::GasDay;
use crate::domain::demand::DemandForecast;
use crate::domain::id::CustomerId;
use crate::domain::language::Language;
use crate::nudge::baseline::{HourlyUse, hourly_use};
use crate::nudge::candidate::NudgeableCustomer;
use crate::nudge::channels::{DryRun, NudgeChannel, SignedWebhook, WebhookOptions};
use crate::nudge::dispatch::dispatch;
use crate::nudge::message::Templates;
use crate::nudge::peak::{self, PeakInput};
use crate::nudge::policy::{Policy, SentRecord};
use crate::nudge::{Nudge, NudgeInput, NudgeState};
use crate::plan::nomination::Nomination;
use crate::run::app::App;
use crate::run::facts;
use crate::settings::NudgeChannelKind;
use crate::store::book::DocumentKind;

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
/// What the store says.
pub fn kept(app: &App) -> anyhow::Result<Vec<Nudge>> {
    let documents = app.book.documents(DocumentKind::Nudge, KEPT_MAX)?;
    Ok(documents
        .into_iter()
        .filter_map(|d| serde_json::from_value(d.body).ok())
        .collect())
}

/// Drafts nudges for the peaks of the latest forecast and keeps them; the number of new drafts.
///
/// # Errors
/// What the stores say.
pub fn draft(app: &App) -> anyhow::Result<usize> {
    let Some(forecast) = app.book.latest_forecast_run()? else {
        return Ok(0);
    };
    let registry = app.registry();
    let now = app.clock.now();
    let today = app.today();
    let recent_peaks_m3h = recent_peaks(app, today)?;
    let nominated_m3 = nominated(app, &forecast)?;
    let windows = peak::find(&PeakInput {
        forecast: &forecast,
        slots: &registry.company.slots,
        recent_peaks_m3h: &recent_peaks_m3h,
        nominated_m3: &nominated_m3,
        contracts: &registry.contracts,
        peak_ratio: app.settings.nudge.peak_ratio,
        exceed_probability: EXCEED_PROBABILITY,
        after: now,
    });
    if windows.is_empty() {
        return Ok(0);
    }
    let weather = facts::weather_at(app, &registry, now)?;
    let before = kept(app)?;
    let mut drafts = crate::nudge::draft(&NudgeInput {
        registry: &registry,
        calendar: &app.calendar,
        forecast: &forecast,
        windows: &windows,
        history: &histories(app, today)?,
        excluded: &event_days(&before),
        response_rates: &BTreeMap::new(),
        temperatures: &facts::mean_temperatures(&weather),
        sent: &sent_records(app, &before)?,
        opted_out: &BTreeSet::new(),
        known: &before.iter().map(|n| n.id.clone()).collect(),
        policy: &Policy::from(&app.settings.nudge),
        drafts_max: DRAFTS_MAX,
        now,
    });
    // Every run sees the peaks a little differently: one open suggestion per enterprise is enough.
    drafts.retain(|new| {
        !before.iter().any(|old| {
            old.customer == new.customer
                && old.expires_at > now
                && matches!(old.state, NudgeState::Draft | NudgeState::Approved)
        })
    });
    for nudge in &drafts {
        keep(app, nudge, "qiliang", "drafted for a forecast peak")?;
    }
    Ok(drafts.len())
}

fn keep(app: &App, nudge: &Nudge, who: &str, reason: &str) -> anyhow::Result<()> {
    let body = serde_json::to_value(nudge)?;
    app.book.put_document(
        DocumentKind::Nudge,
        &nudge.id,
        body,
        app.clock.now(),
        who,
        reason,
    )?;
    Ok(())
}

/// Largest hour of the city on each of the last 30 complete days, m³/h, latest last.
fn recent_peaks(app: &App, today: GasDay) -> anyhow::Result<Vec<f64>> {
    let mut days: BTreeMap<GasDay, [f64; 24]> = BTreeMap::new();
    for day in facts::demand_before(app, today)? {
        if today.days_since(day.day) <= 30 {
            let sums = days.entry(day.day).or_insert([0.0; 24]);
            for (sum, hour) in sums.iter_mut().zip(day.hours_m3) {
                *sum += hour;
            }
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
            out.insert(*day, nomination.nominated_m3());
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
        for meter in registry.meters_of(&customer.id) {
            curves.extend(app.journal.curves_of(
                &meter.id,
                today.plus(-BASELINE_DAYS),
                today.plus(1),
            )?);
        }
        out.insert(customer.id.clone(), hourly_use(&curves));
    }
    Ok(out)
}

/// Days on which an enterprise was asked: they say nothing about its usual use.
fn event_days(nudges: &[Nudge]) -> BTreeMap<CustomerId, BTreeSet<GasDay>> {
    let mut out: BTreeMap<CustomerId, BTreeSet<GasDay>> = BTreeMap::new();
    for nudge in nudges.iter().filter(|n| n.state >= NudgeState::Sent) {
        out.entry(nudge.customer.clone())
            .or_default()
            .insert(nudge.day);
    }
    out
}

fn sent_records(app: &App, nudges: &[Nudge]) -> anyhow::Result<Vec<SentRecord>> {
    let mut out = Vec::new();
    for nudge in nudges {
        for version in app.book.document_versions(DocumentKind::Nudge, &nudge.id)? {
            let stored: Nudge = serde_json::from_value(version.body)?;
            if stored.state == NudgeState::Sent {
                out.push(SentRecord {
                    customer: stored.customer,
                    sent_at: version.at,
                });
            }
        }
    }
    Ok(out)
}

/// A person lets a draft go; it is sent at the next round, if the rules still allow it.
///
/// # Errors
/// There is no such draft, or it is not one any more.
pub fn approve(app: &App, id: &str, who: &str) -> anyhow::Result<()> {
    let mut nudge = kept(app)?
        .into_iter()
        .find(|n| n.id == id)
        .ok_or_else(|| anyhow!("there is no nudge `{id}`; `qiliang nudges list` shows them"))?;
    if nudge.state != NudgeState::Draft {
        return Err(anyhow!("nudge `{id}` is {:?}, not a draft", nudge.state));
    }
    nudge.state = NudgeState::Approved;
    keep(app, &nudge, who, "approved")
}

/// Sends what is approved through the configured channel; what became of each, in words.
///
/// In dry run nothing leaves: the text is returned and the nudge stays approved.
///
/// # Errors
/// The channel or the templates cannot be set up, or what the stores say.
pub async fn send_approved(app: &App) -> anyhow::Result<Vec<String>> {
    let worker = app.clone();
    let (nudges, sent) = tokio::task::spawn_blocking(move || {
        let nudges = kept(&worker)?;
        let sent = sent_records(&worker, &nudges)?;
        anyhow::Ok((nudges, sent))
    })
    .await??;
    let approved: Vec<Nudge> = nudges
        .into_iter()
        .filter(|n| n.state == NudgeState::Approved)
        .collect();
    if approved.is_empty() {
        return Ok(Vec::new());
    }
    let settings = &app.settings.nudge;
    let channel: Box<dyn NudgeChannel> = match settings.channel {
        NudgeChannelKind::DryRun => Box::new(DryRun::default()),
        NudgeChannelKind::Webhook => {
            let url = settings.webhook_url.as_deref().unwrap_or_default();
            let file = settings
                .webhook_secret_file
                .as_deref()
                .context("nudge.webhook_secret_file is not set")?;
            Box::new(SignedWebhook::new(url, file, WebhookOptions::default())?)
        }
    };
    let templates = Templates::built_in()?;
    let policy = Policy::from(settings);
    let registry = app.registry();
    let (mut sent, mut lines) = (sent, Vec::new());
    for mut nudge in approved {
        let customer = registry
            .customers
            .get(&nudge.customer)
            .map(NudgeableCustomer::admit);
        let Some(Ok(customer)) = customer else {
            lines.push(format!("{}: may not be nudged any more", nudge.id));
            continue;
        };
        let text = templates.nudge(&nudge, Language::Zh)?;
        let now = app.clock.now();
        let outcome = dispatch(
            &nudge,
            &text,
            &customer,
            &policy,
            &sent,
            &BTreeSet::new(),
            &*channel,
            now,
        )
        .await;
        match outcome {
            Ok(receipt) if receipt.is_sent => {
                nudge.state = NudgeState::Sent;
                sent.push(SentRecord {
                    customer: nudge.customer.clone(),
                    sent_at: now,
                });
                lines.push(format!("{}: sent", nudge.id));
                let worker = app.clone();
                tokio::task::spawn_blocking(move || keep(&worker, &nudge, "qiliang", "sent"))
                    .await??;
            }
            Ok(_) => lines.push(format!("{}: dry run, would say:\n{text}", nudge.id)),
            Err(error) => lines.push(format!("{}: not sent: {error}", nudge.id)),
        }
    }
    Ok(lines)
}
