//! From a window that has closed to a receipt (效果回执) that a person lets go.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::id::CustomerId;
use crate::nudge::baseline::HourUse;
use crate::nudge::measure::{Measured, Outcome, measure};
use crate::nudge::{Nudge, NudgeState, RESPONSE_RATE, ReplyAnswer};

/// So long after the gas day's end late frames are waited for: frozen ones come until noon.
pub const LATE_FRAMES_WAIT: TimeDelta = TimeDelta::hours(4);

/// So long after a reply of 3 (不便) the enterprise is left alone: the span of the weekly limit.
pub const DECLINED_REST: TimeDelta = TimeDelta::days(7);

/// Settled events an enterprise's response rate looks back on.
const RATED_EVENTS: usize = 10;

/// Events the rate of one never asked counts as, beside those that were.
const PRIOR_EVENTS: f64 = 2.0;

/// What an event came to, and where its receipt stands. Kept in versions: a late reading that
/// changes it makes another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Settlement {
    /// The nudge.
    pub nudge: String,
    /// Enterprise.
    #[schema(value_type = String)]
    pub customer: CustomerId,
    /// Gas day of the window.
    #[schema(value_type = String)]
    pub day: GasDay,
    /// What was measured.
    pub result: Measured,
    /// Draft until a person lets the receipt go; sent once it left.
    pub receipt: NudgeState,
    /// The same of the receipt before, if other figures had left already: this one corrects it.
    pub is_correction: bool,
    /// When it was measured.
    #[schema(value_type = String)]
    pub settled_at: DateTime<Utc>,
}

/// What the settling of an event says now.
#[derive(Debug, Clone, PartialEq)]
pub enum Settled {
    /// Its window or gas day is under way, or late frames may still come.
    NotYet,
    /// As kept.
    Unchanged,
    /// Another version.
    New(Box<Settlement>),
}

/// Whether an event can be settled: its gas day has ended, and every hour of the window is
/// measured or late frames are no longer waited for.
fn is_ripe(day: GasDay, clock: GasDayClock, outcome: Outcome, now: DateTime<Utc>) -> bool {
    let end = clock.end_of(day);
    match outcome {
        Outcome::Reduced | Outcome::WithinNoise => now >= end,
        Outcome::Estimated | Outcome::Incomplete => now >= end + LATE_FRAMES_WAIT,
    }
}

/// What was asked for, or what the enterprise said it can do, m³.
fn committed_m3(nudge: &Nudge) -> f64 {
    let hours = nudge.baseline.hours_m3h.len() as f64;
    let part = nudge
        .reply
        .as_ref()
        .filter(|reply| reply.answer == ReplyAnswer::Part)
        .and_then(|reply| reply.m3h);
    part.map_or(nudge.avoided_m3 as f64, |m3h| m3h * hours)
}

/// Settles an event that was sent. `hours` are the enterprise's of the event's gas day, `before`
/// what is kept.
pub fn settle(
    nudge: &Nudge,
    hours: &[HourUse; 24],
    before: Option<&Settlement>,
    clock: GasDayClock,
    now: DateTime<Utc>,
) -> Settled {
    let result = measure(&nudge.baseline, hours, committed_m3(nudge), nudge.price_gap);
    let Some(before) = before else {
        if !is_ripe(nudge.day, clock, result.outcome, now) {
            return Settled::NotYet;
        }
        return Settled::New(Box::new(Settlement {
            nudge: nudge.id.clone(),
            customer: nudge.customer.clone(),
            day: nudge.day,
            result,
            receipt: NudgeState::Draft,
            is_correction: false,
            settled_at: now,
        }));
    };
    if before.result.is_same(&result) {
        return Settled::Unchanged;
    }
    let mut next = before.clone();
    if !before.result.says_the_same(&result) {
        next.is_correction |= before.receipt == NudgeState::Sent;
        next.receipt = NudgeState::Draft;
    }
    next.result = result;
    next.settled_at = now;
    Settled::New(Box::new(next))
}

/// Part of what each enterprise was asked for that it gave, 0 to 1, from its settled events.
///
/// The last ten events of which the result is measured count, and [`RESPONSE_RATE`] as two more,
/// so that one event decides nothing. `asked_m3` is by nudge.
pub fn response_rates<'a>(
    settlements: impl IntoIterator<Item = &'a Settlement>,
    asked_m3: &BTreeMap<String, i64>,
) -> BTreeMap<CustomerId, f64> {
    let mut by_customer: BTreeMap<&CustomerId, Vec<(GasDay, f64)>> = BTreeMap::new();
    for settled in settlements {
        let asked = asked_m3.get(&settled.nudge).copied().unwrap_or(0) as f64;
        let given = match settled.result.outcome {
            Outcome::Reduced => settled.result.reduction_m3.unwrap_or(0.0),
            Outcome::WithinNoise => 0.0,
            Outcome::Estimated | Outcome::Incomplete => continue,
        };
        if asked > 0.0 {
            by_customer
                .entry(&settled.customer)
                .or_default()
                .push((settled.day, (given / asked).clamp(0.0, 1.0)));
        }
    }
    by_customer
        .into_iter()
        .map(|(customer, mut events)| {
            events.sort_by_key(|event| std::cmp::Reverse(event.0));
            events.truncate(RATED_EVENTS);
            let sum: f64 = events.iter().map(|e| e.1).sum();
            let count = events.len() as f64;
            let rate = (RESPONSE_RATE * PRIOR_EVENTS + sum) / (PRIOR_EVENTS + count);
            (customer.clone(), rate)
        })
        .collect()
}

/// Whether an enterprise wants messages at all (退订), as a person recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OptOut {
    /// Enterprise.
    #[schema(value_type = String)]
    pub customer: CustomerId,
    /// True: no messages from now on. False: it wants them again.
    pub is_opted_out: bool,
    /// Who recorded it.
    pub who: String,
    /// What the enterprise said.
    pub reason: String,
    /// When.
    #[schema(value_type = String)]
    pub at: DateTime<Utc>,
}

/// Who must not be written to at `now`: who opted out, and who answered 3 in the last seven days.
pub fn left_alone(
    nudges: &[Nudge],
    opt_outs: &[OptOut],
    now: DateTime<Utc>,
) -> BTreeSet<CustomerId> {
    let declined = nudges.iter().filter(|nudge| {
        nudge.reply.as_ref().is_some_and(|reply| {
            reply.answer == ReplyAnswer::No && (now - reply.at).abs() < DECLINED_REST
        })
    });
    let out = opt_outs.iter().filter(|o| o.is_opted_out);
    declined
        .map(|nudge| nudge.customer.clone())
        .chain(out.map(|o| o.customer.clone()))
        .collect()
}

/// Where a nudge and its result stand, as on the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NudgeStage {
    /// 待批准
    Draft,
    /// 待发送
    Approved,
    /// 已发送
    Sent,
    /// 已回复
    Replied,
    /// 核算中: the window is over, and its hours are waited for.
    Measuring,
    /// 已核算: its receipt waits for a person.
    Settled,
    /// 回执待发
    ReceiptApproved,
    /// 已出回执
    ReceiptSent,
    /// 已过期: never left in time.
    Expired,
    /// 已撤回
    Withdrawn,
}

/// Where a nudge stands at `now`.
pub fn stage(nudge: &Nudge, settlement: Option<&Settlement>, now: DateTime<Utc>) -> NudgeStage {
    match (settlement.map(|s| s.receipt), nudge.state) {
        (Some(NudgeState::Draft), _) => NudgeStage::Settled,
        (Some(NudgeState::Approved), _) => NudgeStage::ReceiptApproved,
        (Some(_), _) => NudgeStage::ReceiptSent,
        (None, NudgeState::Withdrawn) => NudgeStage::Withdrawn,
        (None, state) if state.has_left() && nudge.window_to <= now => NudgeStage::Measuring,
        (None, NudgeState::Replied) => NudgeStage::Replied,
        (None, state) if state.has_left() => NudgeStage::Sent,
        (None, _) if nudge.expires_at <= now => NudgeStage::Expired,
        (None, NudgeState::Draft) => NudgeStage::Draft,
        (None, _) => NudgeStage::Approved,
    }
}

#[cfg(test)]
mod tests;
