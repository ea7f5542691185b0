//! What is approved leaves through the configured channel: suggestions, then receipts.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::domain::id::CustomerId;
use crate::domain::language::Language;
use crate::nudge::candidate::NudgeableCustomer;
use crate::nudge::channels::{
    ChannelError, DryRun, NudgeChannel, Receipt, SignedWebhook, WebhookOptions,
};
use crate::nudge::dispatch::{DispatchError, ReceiptOut, dispatch, dispatch_receipt};
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
    left_alone: BTreeSet<CustomerId>,
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

/// Sends what is approved, suggestions and receipts, once; what became of each, in words. As
/// [`Sender::send_approved`].
///
/// # Errors
/// As [`Sender::send_approved`].
pub async fn send_approved(app: &App) -> anyhow::Result<Vec<String>> {
    Sender::new(CancellationToken::new())
        .send_approved(app)
        .await
}

/// How long a message may still be on its way after the signal to stop: one attempt. Cut later it might have
/// been taken and not be noted.
const LAST_ATTEMPT: Duration = Duration::from_secs(12);

/// Sends what is approved, and remembers what left although that could not be noted.
#[derive(Debug)]
pub struct Sender {
    stop: CancellationToken,
    /// Left, and still approved in the book: by message.
    unnoted: BTreeSet<String>,
}

/// What became of a message.
enum Became {
    Left,
    /// What to say of it.
    Stayed(String),
    /// Nothing is taken at present: the others wait as well.
    NoneTaken(String),
    Stopped,
}

impl Sender {
    /// Ends early when told to stop.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            unnoted: BTreeSet::new(),
        }
    }

    /// Sends what is approved, suggestions and receipts, through the configured channel; what became of
    /// each, in words. After the first that was not taken however often it was tried, the others wait for the
    /// next time.
    ///
    /// In dry run nothing leaves: the text is returned and the nudge stays approved.
    ///
    /// # Errors
    /// The channel or the templates cannot be set up, or what the stores say.
    pub async fn send_approved(&mut self, app: &App) -> anyhow::Result<Vec<String>> {
        let worker = app.clone();
        let Some(waiting) = tokio::task::spawn_blocking(move || waiting(&worker)).await?? else {
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
        let (mut sent, left_alone) = (waiting.sent, waiting.left_alone);
        let mut lines = Vec::new();
        for nudge in waiting.nudges {
            let Some(customer) = admitted(&nudge) else {
                lines.push(format!("{}: may not be nudged any more", nudge.id));
                continue;
            };
            let text = templates.nudge(&nudge, Language::Zh)?;
            let now = app.clock.now();
            let going = dispatch(
                &nudge,
                &text,
                &customer,
                &policy,
                &sent,
                &left_alone,
                &*channel,
                now,
            );
            match self.send(&nudge.id, &text, going).await {
                Became::Left => {
                    sent.push(SentRecord {
                        customer: nudge.customer.clone(),
                        sent_at: now,
                    });
                    lines.push(format!("{}: sent", nudge.id));
                    let (worker, id) = (app.clone(), nudge.id.clone());
                    tokio::task::spawn_blocking(move || has_left(&worker, &id)).await??;
                    self.unnoted.remove(&nudge.id);
                }
                Became::Stayed(line) => lines.push(line),
                Became::NoneTaken(line) => {
                    lines.push(line);
                    return Ok(lines);
                }
                Became::Stopped => return Ok(lines),
            }
        }
        for (nudge, kept) in waiting.receipts {
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
            let going = dispatch_receipt(
                &nudge,
                &out,
                &customer,
                &policy,
                &sent,
                &left_alone,
                &*channel,
                now,
            );
            match self.send(&id, &text, going).await {
                Became::Left => {
                    lines.push(format!("{id}: sent"));
                    let worker = app.clone();
                    tokio::task::spawn_blocking(move || receipt_has_left(&worker, &kept)).await??;
                    self.unnoted.remove(&id);
                }
                Became::Stayed(line) => lines.push(line),
                Became::NoneTaken(line) => {
                    lines.push(line);
                    return Ok(lines);
                }
                Became::Stopped => return Ok(lines),
            }
        }
        Ok(lines)
    }

    /// Lets a message go, unless it left before and only the note of that is missing.
    async fn send(
        &mut self,
        id: &str,
        text: &str,
        going: impl Future<Output = Result<Receipt, DispatchError>>,
    ) -> Became {
        if self.unnoted.contains(id) {
            return Became::Left;
        }
        if self.stop.is_cancelled() {
            return Became::Stopped;
        }
        let stop = self.stop.clone();
        let outcome = tokio::select! {
            outcome = going => outcome,
            () = async {
                stop.cancelled().await;
                tokio::time::sleep(LAST_ATTEMPT).await;
            } => return Became::Stopped,
        };
        match outcome {
            Ok(receipt) if receipt.is_sent => {
                self.unnoted.insert(id.to_owned());
                Became::Left
            }
            Ok(_) => Became::Stayed(format!("{id}: dry run, would say:\n{text}")),
            Err(error @ DispatchError::Channel(ChannelError::Exhausted { .. })) => {
                Became::NoneTaken(format!("{id}: not sent, and the others wait: {error}"))
            }
            Err(error) => Became::Stayed(format!("{id}: not sent: {error}")),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(is_sent: bool) -> Receipt {
        Receipt {
            channel: "webhook".into(),
            is_sent,
            attempts: 1,
            answer: String::new(),
        }
    }

    #[tokio::test]
    async fn a_receiver_that_takes_nothing_ends_the_turn_and_a_refusal_does_not() {
        let mut sender = Sender::new(CancellationToken::new());
        let exhausted = ChannelError::Exhausted {
            attempts: 4,
            last: "timed out".into(),
        };
        let became = sender.send("n1", "", async { Err(exhausted.into()) }).await;
        assert!(matches!(became, Became::NoneTaken(_)));
        let refused = ChannelError::Refused {
            status: 400,
            answer: String::new(),
        };
        let became = sender.send("n2", "", async { Err(refused.into()) }).await;
        assert!(matches!(became, Became::Stayed(_)));
    }

    #[tokio::test]
    async fn what_left_and_could_not_be_noted_does_not_leave_again() {
        let mut sender = Sender::new(CancellationToken::new());
        let became = sender.send("n1", "", async { Ok(receipt(true)) }).await;
        assert!(matches!(became, Became::Left));
        let again = async { panic!("sent twice") };
        assert!(matches!(sender.send("n1", "", again).await, Became::Left));
        let became = sender.send("n2", "", async { Ok(receipt(false)) }).await;
        assert!(matches!(became, Became::Stayed(_)));
    }

    #[tokio::test]
    async fn a_stop_begins_nothing_and_lets_the_attempt_under_way_end() {
        let stop = CancellationToken::new();
        let mut sender = Sender::new(stop.clone());
        let slow = async {
            stop.cancel();
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(receipt(true))
        };
        assert!(matches!(sender.send("n1", "", slow).await, Became::Left));
        let hung = std::future::pending();
        assert!(matches!(sender.send("n2", "", hung).await, Became::Stopped));
    }
}
