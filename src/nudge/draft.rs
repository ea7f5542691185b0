//! From peaks to drafts: whom to ask for how much, at most once each, nothing sent.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use crate::domain::calendar::{Calendar, GasDay};
use crate::domain::demand::DemandForecast;
use crate::domain::id::CustomerId;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::nudge::baseline::{self, Baseline, BaselineError, BaselineInput, HourlyUse};
use crate::nudge::candidate::{Candidate, NudgeableCustomer, Refusal, rank};
use crate::nudge::peak::PeakWindow;
use crate::nudge::policy::{Hold, Policy, SentRecord};
use crate::nudge::{BENEFIT_FORMULA, Nudge, NudgeKind, NudgeState};

/// What drafts are made from.
#[derive(Debug)]
pub struct NudgeInput<'a> {
    /// Registry.
    pub registry: &'a Registry,
    /// Holidays.
    pub calendar: &'a Calendar,
    /// Forecast the peaks were found in.
    pub forecast: &'a DemandForecast,
    /// Peaks.
    pub windows: &'a [PeakWindow],
    /// Hourly use by enterprise.
    pub history: &'a BTreeMap<CustomerId, HourlyUse>,
    /// Days that do not count for a baseline, by enterprise: earlier events, maintenance.
    pub excluded: &'a BTreeMap<CustomerId, BTreeSet<GasDay>>,
    /// Part of earlier suggestions that each enterprise followed; [`RESPONSE_RATE`] where unknown.
    pub response_rates: &'a BTreeMap<CustomerId, f64>,
    /// Forecast mean temperature by gas day, °C.
    pub temperatures: &'a BTreeMap<GasDay, f64>,
    /// What has been sent.
    pub sent: &'a [SentRecord],
    /// Who wants nothing, or nothing now.
    pub opted_out: &'a BTreeSet<CustomerId>,
    /// Nudges that exist already, by id: they are not drafted again.
    pub known: &'a BTreeSet<String>,
    /// Rules.
    pub policy: &'a Policy,
    /// Drafts at most.
    pub drafts_max: usize,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Response rate of an enterprise that was never asked.
pub const RESPONSE_RATE: f64 = 0.5;

/// An enterprise must hear this long before the window begins.
pub const NOTICE_MIN: TimeDelta = TimeDelta::hours(2);

/// Why an enterprise is not asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassedOver {
    /// May not be nudged at all.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Not now.
    #[error(transparent)]
    Held(#[from] Hold),
    /// No honest baseline.
    #[error(transparent)]
    NoBaseline(#[from] BaselineError),
    /// Never measured.
    #[error("has no hourly history")]
    NoHistory,
    /// Uses too little in the window to fall below what furnaces need.
    #[error("uses {mean_m3h} m³/h in the window, {flow_min_safe_m3h} m³/h must remain")]
    NothingToAsk {
        /// Baseline.
        mean_m3h: i64,
        /// What must remain.
        flow_min_safe_m3h: i64,
    },
    /// The window begins before a message could leave.
    #[error("the earliest message leaves too late for the window")]
    TooLate,
    /// Drafted earlier.
    #[error("has been drafted before")]
    Known,
    /// Others were worth more.
    #[error("others are worth more; {drafts_max} drafts at most")]
    RankedBelow {
        /// Drafts at most.
        drafts_max: usize,
    },
}

/// Drafts, and why everyone else is not among them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Considered {
    /// Drafts, best first.
    pub nudges: Vec<Nudge>,
    /// Everyone else, with the reason for the window in which they came furthest.
    pub passed_over: BTreeMap<CustomerId, PassedOver>,
}

/// Drafts for the peaks, best first. Nothing is sent.
pub fn draft(input: &NudgeInput<'_>) -> Vec<Nudge> {
    consider(input).nudges
}

/// Drafts for the peaks, and why everyone else is not among them.
pub fn consider(input: &NudgeInput<'_>) -> Considered {
    let mut out = Considered::default();
    let mut offers: Vec<Offer<'_>> = Vec::new();
    for customer in input.registry.customers.values() {
        match offer(input, customer) {
            Ok(offer) => offers.push(offer),
            Err(why) => {
                out.passed_over.insert(customer.id.clone(), why);
            }
        }
    }
    let mut candidates: Vec<Candidate> = offers.iter().map(|o| o.candidate.clone()).collect();
    rank(&mut candidates);
    for candidate in candidates {
        let id = candidate.customer.id().clone();
        let Some(offer) = offers.iter().find(|o| *o.candidate.customer.id() == id) else {
            continue;
        };
        if out.nudges.len() < input.drafts_max {
            out.nudges.push(offer.nudge(input));
        } else {
            let drafts_max = input.drafts_max;
            out.passed_over
                .insert(id, PassedOver::RankedBelow { drafts_max });
        }
    }
    out
}

/// The best window for one enterprise.
struct Offer<'a> {
    candidate: Candidate,
    window: &'a PeakWindow,
    baseline: Baseline,
    ask_m3h: i64,
    send_after: DateTime<Utc>,
    id: String,
}

fn offer<'a>(
    input: &NudgeInput<'a>,
    customer: &crate::domain::customer::Customer,
) -> Result<Offer<'a>, PassedOver> {
    let customer = NudgeableCustomer::admit(customer)?;
    let send_after = input.policy.next_allowed_at(input.now);
    input
        .policy
        .may_send(customer.id(), send_after, input.sent, input.opted_out)?;
    let history = input
        .history
        .get(customer.id())
        .ok_or(PassedOver::NoHistory)?;
    let mut best: Option<Offer<'a>> = None;
    let mut why = PassedOver::TooLate;
    for window in input.windows {
        match offer_window(input, &customer, history, window, send_after) {
            Ok(one) => {
                let is_better = best
                    .as_ref()
                    .is_none_or(|b| one.candidate.score_yuan > b.candidate.score_yuan);
                if is_better {
                    best = Some(one);
                }
            }
            Err(reason) => why = reason,
        }
    }
    best.ok_or(why)
}

fn offer_window<'a>(
    input: &NudgeInput<'a>,
    customer: &NudgeableCustomer,
    history: &HourlyUse,
    window: &'a PeakWindow,
    send_after: DateTime<Utc>,
) -> Result<Offer<'a>, PassedOver> {
    // Day-ahead: the gas day in progress is past asking, and its own hours would be the baseline.
    let is_under_way = window.day <= input.forecast.clock.day_of(input.now);
    if is_under_way || window.from_at <= send_after + NOTICE_MIN {
        return Err(PassedOver::TooLate);
    }
    let id = nudge_id(customer.id(), window);
    if input.known.contains(&id) {
        return Err(PassedOver::Known);
    }
    let none = BTreeSet::new();
    let baseline = baseline::freeze(&BaselineInput {
        customer: customer.id(),
        history,
        calendar: input.calendar,
        day: window.day,
        hours: window.from_hour..window.to_hour,
        excluded: input.excluded.get(customer.id()).unwrap_or(&none),
        adjustment: adjustment_hours(input),
        frozen_at: input.now,
    })?;
    // The lowest hour of the window decides: the furnace needs its gas in every one of them.
    let lowest = baseline
        .hours_m3h
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min);
    let ask_m3h = whole(customer.ask_m3h(window.hours(), lowest).floor());
    if ask_m3h <= 0 {
        return Err(PassedOver::NothingToAsk {
            mean_m3h: whole(baseline.mean_m3h()),
            flow_min_safe_m3h: whole(customer.customer().flow_min_safe_m3h),
        });
    }
    let response_rate = input
        .response_rates
        .get(customer.id())
        .copied()
        .unwrap_or(RESPONSE_RATE);
    Ok(Offer {
        candidate: Candidate::new(
            customer.clone(),
            response_rate,
            ask_m3h as f64 * window.hours() as f64,
            window.price_gap,
        ),
        window,
        baseline,
        ask_m3h,
        send_after,
        id,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "flows of one enterprise are far below 2^53 m³/h"
)]
fn whole(value: f64) -> i64 {
    if value.is_finite() {
        value.round() as i64
    } else {
        0
    }
}

/// The three hours from 4 h to 1 h before now, cut off where the gas day begins.
fn adjustment_hours(input: &NudgeInput<'_>) -> Option<(GasDay, Range<usize>)> {
    let clock = input.forecast.clock;
    let last = input.now - TimeDelta::hours(1);
    let day = clock.day_of(last);
    let to = clock.hour_index(last);
    let from = to.saturating_sub(3);
    (from < to).then_some((day, from..to))
}

/// The same enterprise and window always give the same identifier.
fn nudge_id(customer: &CustomerId, window: &PeakWindow) -> String {
    let text = format!(
        "{customer}|{}|{}",
        window.from_at.to_rfc3339(),
        window.to_at.to_rfc3339()
    );
    let hash = hex::encode(Sha256::digest(text.as_bytes()));
    let short: String = hash.chars().take(10).collect();
    format!("BF-{}-{short}", window.day.0.format("%Y%m%d"))
}

impl Offer<'_> {
    fn nudge(&self, input: &NudgeInput<'_>) -> Nudge {
        let customer = self.candidate.customer.customer();
        let window = self.window;
        let hours = i64::try_from(window.hours()).unwrap_or(0);
        let avoided_m3 = self.ask_m3h * hours;
        Nudge {
            id: self.id.clone(),
            kind: NudgeKind::DayAheadPeak,
            state: NudgeState::Draft,
            customer: customer.id.clone(),
            name: customer.name.clone(),
            contact_group: customer.contact_group.clone(),
            grid: customer.grid.clone(),
            account_manager: customer.account_manager.clone(),
            day: window.day,
            window_from: window.from_at,
            window_to: window.to_at,
            reason: window.reason,
            city_day_m3: window.day_p50_m3,
            temperature_c: input.temperatures.get(&window.day).copied(),
            baseline: self.baseline.clone(),
            ask_m3h: self.ask_m3h,
            flow_min_safe_m3h: customer.flow_min_safe_m3h,
            avoided_m3,
            price_gap: window.price_gap,
            benefit: window.price_gap.cost_of(StdVolume::from_m3(avoided_m3)),
            formula: BENEFIT_FORMULA.into(),
            forecast_run: input.forecast.run_id.clone(),
            created_at: input.now,
            send_after: self.send_after,
            expires_at: window.from_at - NOTICE_MIN,
            reply: None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
