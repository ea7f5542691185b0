//! What is approved leaves through the configured channel: suggestions, then receipts.

use anyhow::Context as _;

use crate::domain::language::Language;
use crate::nudge::candidate::NudgeableCustomer;
use crate::nudge::channels::{DryRun, NudgeChannel, SignedWebhook, WebhookOptions};
use crate::nudge::dispatch::{ReceiptOut, dispatch, dispatch_receipt};
use crate::nudge::policy::{Policy, SentRecord};
use crate::nudge::settlement::left_alone;
use crate::nudge::{Nudge, NudgeState};
use crate::run::app::App;
use crate::run::nudging::{
    KeptSettlement, kept, opt_outs, put, sent_records, settlements, steps, templates,
};
use crate::settings::{NudgeChannelKind, NudgeSettings};
use crate::store::book::DocumentKind;

/// What waits to leave, and what the gate judges by.
#[derive(Debug)]
struct Waiting {
    nudges: Vec<Nudge>,
    receipts: Vec<(Nudge, KeptSettlement)>,
    sent: Vec<SentRecord>,
    left_alone: std::collections::BTreeSet<crate::domain::id::CustomerId>,
}

/// None if nothing waits.
fn waiting(app: &App) -> anyhow::Result<Option<Waiting>> {
    let all = kept(app)?;
    let results = settlements(app)?;
    let receipts: Vec<(Nudge, KeptSettlement)> = all
        .iter()
        .filter_map(|nudge| {
            let result = results.get(&nudge.id)?;
            (result.settlement.receipt == NudgeState::Approved)
                .then(|| (nudge.clone(), result.clone()))
        })
        .collect();
    let approved = |nudge: &&Nudge| nudge.state == NudgeState::Approved;
    let nudges: Vec<Nudge> = all.iter().filter(approved).cloned().collect();
    if nudges.is_empty() && receipts.is_empty() {
        return Ok(None);
    }
    Ok(Some(Waiting {
        sent: sent_records(app, &all)?,
        left_alone: left_alone(&all, &opt_outs(app)?, app.clock.now()),
        nudges,
        receipts,
    }))
}

fn channel(settings: &NudgeSettings) -> anyhow::Result<Box<dyn NudgeChannel>> {
    match settings.channel {
        NudgeChannelKind::DryRun => Ok(Box::new(DryRun::default())),
        NudgeChannelKind::Webhook => {
            let url = settings.webhook_url.as_deref().unwrap_or_default();
            let file = settings
                .webhook_secret_file
                .as_deref()
                .context("nudge.webhook_secret_file is not set")?;
            let channel = SignedWebhook::new(url, file, WebhookOptions::default())?;
            Ok(Box::new(channel))
        }
    }
}

/// Sends what is approved, suggestions and receipts, through the configured channel; what became of
/// each, in words.
///
/// In dry run nothing leaves: the text is returned and the nudge stays approved.
///
/// # Errors
/// The channel or the templates cannot be set up, or what the stores say.
pub async fn send_approved(app: &App) -> anyhow::Result<Vec<String>> {
    let worker = app.clone();
    let Some(mut waiting) = tokio::task::spawn_blocking(move || waiting(&worker)).await?? else {
        return Ok(Vec::new());
    };
    let settings = &app.settings.nudge;
    let channel = channel(settings)?;
    let templates = templates(settings)?;
    let policy = Policy::from(settings);
    let registry = app.registry();
    let admitted = |nudge: &Nudge| {
        let customer = registry.customers.get(&nudge.customer)?;
        NudgeableCustomer::admit(customer).ok()
    };
    let mut lines = Vec::new();
    for nudge in std::mem::take(&mut waiting.nudges) {
        let Some(customer) = admitted(&nudge) else {
            lines.push(format!("{}: may not be nudged any more", nudge.id));
            continue;
        };
        let text = templates.nudge(&nudge, Language::Zh)?;
        let now = app.clock.now();
        let (sent, left_alone) = (&waiting.sent, &waiting.left_alone);
        let outcome = dispatch(
            &nudge, &text, &customer, &policy, sent, left_alone, &*channel, now,
        )
        .await;
        match outcome {
            Ok(receipt) if receipt.is_sent => {
                waiting.sent.push(SentRecord {
                    customer: nudge.customer.clone(),
                    sent_at: now,
                });
                lines.push(format!("{}: sent", nudge.id));
                let worker = app.clone();
                tokio::task::spawn_blocking(move || has_left(&worker, &nudge.id)).await??;
            }
            Ok(_) => lines.push(format!("{}: dry run, would say:\n{text}", nudge.id)),
            Err(error) => lines.push(format!("{}: not sent: {error}", nudge.id)),
        }
    }
    for (nudge, kept) in std::mem::take(&mut waiting.receipts) {
        let id = format!("{}-R{}", nudge.id, kept.version);
        let Some(customer) = admitted(&nudge) else {
            lines.push(format!("{id}: may not be written to any more"));
            continue;
        };
        let text = templates.receipt(&nudge, &kept.settlement, Language::Zh)?;
        let now = app.clock.now();
        let out = ReceiptOut {
            id: &id,
            state: kept.settlement.receipt,
            text: &text,
        };
        let (sent, left_alone) = (&waiting.sent, &waiting.left_alone);
        let outcome = dispatch_receipt(
            &nudge, &out, &customer, &policy, sent, left_alone, &*channel, now,
        )
        .await;
        match outcome {
            Ok(receipt) if receipt.is_sent => {
                lines.push(format!("{id}: sent"));
                let worker = app.clone();
                tokio::task::spawn_blocking(move || receipt_has_left(&worker, &kept)).await??;
            }
            Ok(_) => lines.push(format!("{id}: dry run, would say:\n{text}")),
            Err(error) => lines.push(format!("{id}: not sent: {error}")),
        }
    }
    Ok(lines)
}

/// Notes that a suggestion left, whatever a person did to it meanwhile.
fn has_left(app: &App, id: &str) -> anyhow::Result<()> {
    let _steps = app.nudge_steps.lock();
    let mut nudge = steps::find(app, id)?;
    nudge.state = NudgeState::Sent;
    put(app, DocumentKind::Nudge, id, &nudge, ("qiliang", "sent"))?;
    Ok(())
}

/// Notes that a receipt left. Where the result changed while it was on its way, the new one corrects
/// it.
fn receipt_has_left(app: &App, sent: &KeptSettlement) -> anyhow::Result<()> {
    let _steps = app.nudge_steps.lock();
    let id = &sent.settlement.nudge;
    let mut next = steps::find_settlement(app, id)?.settlement;
    if next.result.says_the_same(&sent.settlement.result) {
        next.receipt = NudgeState::Sent;
    } else {
        next.is_correction = true;
    }
    let by = ("qiliang", "receipt sent");
    put(app, DocumentKind::Settlement, id, &next, by)?;
    Ok(())
}
