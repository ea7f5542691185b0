//! What came of the suggestions to each enterprise, for its line of the ledger (group H, 避峰).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::calendar::beijing_civil;
use crate::domain::id::CustomerId;
use crate::ledger::entry::{OffPeakRecord, OffPeakWillingness};
use crate::nudge::measure::Outcome;
use crate::nudge::settlement::{OptOut, Settlement};
use crate::nudge::{Nudge, NudgeState, ReplyAnswer};
use crate::run::app::App;
use crate::run::nudging::own_shape;
use crate::store::book::DocumentKind;

/// Every suggestion and result there ever was: what is saved is a sum of all.
const ALL: usize = usize::MAX;

/// Something an enterprise got or said, with the instant it is kept at.
type At<T> = (DateTime<Utc>, T);

/// The record of every enterprise that had a suggestion or opted out.
///
/// # Errors
/// What the store says, or a document that is kept in a shape this program does not know.
pub fn off_peak(app: &App) -> anyhow::Result<BTreeMap<CustomerId, OffPeakRecord>> {
    let nudges: Vec<At<Nudge>> = all(app, DocumentKind::Nudge)?;
    let settlements: Vec<At<Settlement>> = all(app, DocumentKind::Settlement)?;
    let opt_outs: Vec<At<OptOut>> = all(app, DocumentKind::OptOut)?;
    Ok(records(&nudges, &settlements, &opt_outs))
}

fn all<T: serde::de::DeserializeOwned>(
    app: &App,
    kind: DocumentKind,
) -> anyhow::Result<Vec<At<T>>> {
    let documents = app.book.documents(kind, ALL)?;
    documents
        .into_iter()
        .map(|document| Ok((document.at, own_shape(document)?)))
        .collect()
}

fn records(
    nudges: &[At<Nudge>],
    settlements: &[At<Settlement>],
    opt_outs: &[At<OptOut>],
) -> BTreeMap<CustomerId, OffPeakRecord> {
    let mut out: BTreeMap<CustomerId, OffPeakRecord> = BTreeMap::new();
    let mut said: BTreeMap<&CustomerId, At<OffPeakWillingness>> = BTreeMap::new();
    let mut say = |customer, at, answer| {
        let last = said.entry(customer).or_insert((at, answer));
        if at >= last.0 {
            *last = (at, answer);
        }
    };
    let left = nudges.iter().filter(|(_, nudge)| nudge.state.has_left());
    for (at, nudge) in left {
        let record = out.entry(nudge.customer.clone()).or_default();
        // A nudge is written again only as it leaves and as it is answered.
        contacted(record, *at);
        if let Some(reply) = &nudge.reply {
            let answer = match reply.answer {
                ReplyAnswer::Yes => OffPeakWillingness::Willing,
                ReplyAnswer::Part => OffPeakWillingness::Partly,
                ReplyAnswer::No => OffPeakWillingness::Unable,
            };
            say(&nudge.customer, reply.at, answer);
        }
    }
    for (at, settled) in settlements {
        let record = out.entry(settled.customer.clone()).or_default();
        if settled.receipt == NudgeState::Sent {
            contacted(record, *at);
        }
        let saved = settled.result.saved;
        record.saved_yuan = Some(record.saved_yuan.map_or(saved, |sum| sum + saved));
        if record.event_on.is_none_or(|on| on <= settled.day) {
            let is_known = matches!(
                settled.result.outcome,
                Outcome::Reduced | Outcome::WithinNoise
            );
            record.event_on = Some(settled.day);
            record.reduction_m3 = settled.result.reduction_m3.filter(|_| is_known);
            record.performance_ratio = settled.result.performance_ratio.filter(|_| is_known);
        }
    }
    for (at, opt_out) in opt_outs {
        contacted(out.entry(opt_out.customer.clone()).or_default(), *at);
        if opt_out.is_opted_out {
            // It stands whatever was answered since.
            say(
                &opt_out.customer,
                DateTime::<Utc>::MAX_UTC,
                OffPeakWillingness::OptedOut,
            );
        }
    }
    for (customer, (_, answer)) in said {
        out.entry(customer.clone()).or_default().willingness = Some(answer);
    }
    out
}

fn contacted(record: &mut OffPeakRecord, at: DateTime<Utc>) {
    let on = beijing_civil(at).date_naive();
    record.contacted_on = record.contacted_on.max(Some(on));
}

#[cfg(test)]
mod tests;
