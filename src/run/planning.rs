//! Declarations and nominations, from the stores and back.

use std::sync::Arc;

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::demand::{DemandForecast, HORIZON_DAYS_MAX};
use crate::domain::id::CustomerId;
use crate::forecast::engine;
use crate::forecast::request::ForecastRequest;
use crate::plan::PlanError;
use crate::plan::declaration::{self, Declaration, DeclareInput, LargeConsumerLine, Quantiles};
use crate::plan::nomination::{self, NominateInput, Nomination};
use crate::run::app::App;
use crate::run::forecasting::OwnForecasts;
use crate::run::ledgering::Enterprises;
use crate::run::submitting::{keep, next_version, nomination_sent, sent};
use crate::run::{background, facts, forecasting, purchases};
use crate::store::book::DocumentKind;

/// Computes a month's declaration and keeps it: as a new version, or the schedule's as its one draft. The
/// run it names is kept as well.
///
/// # Errors
/// No forecast that reaches the month, limits that contradict each other, or what the stores say.
pub fn declare(app: &App, month: GasMonth, who: &str, reason: &str) -> anyhow::Result<Declaration> {
    let (first, last) = (month.first_day(), month.next().first_day().plus(-1));
    check_reach(app, first, last)?;
    keep_run_reaching(app, last)?;
    let declaration = compute_declaration(app, month, who, reason)?;
    let (kind, key) = (DocumentKind::Declaration, month.to_string());
    let body = serde_json::to_value(&declaration)?;
    keep(app, kind, key, body, [who, reason])?;
    Ok(declaration)
}

/// Computes a month's declaration without keeping it.
///
/// # Errors
/// As [`declare`].
pub fn compute_declaration(
    app: &App,
    month: GasMonth,
    who: &str,
    reason: &str,
) -> anyhow::Result<Declaration> {
    let registry = app.registry();
    let now = app.clock.now();
    let today = app.today();
    let before = app
        .book
        .document(DocumentKind::Declaration, &month.to_string())?;
    let version = next_version(before.as_ref(), who);
    let (sent, _) = sent(app, DocumentKind::Declaration, &month.to_string())?;
    let last_day = month.next().first_day().plus(-1);
    check_reach(app, month.first_day(), last_day)?;
    let (forecast, breakdown) = forecast_reaching(app, last_day)?;
    let factors = forecasting::factors_known_at(app, forecast.origin_at)?;
    let unaccounted_ratio = facts::unaccounted_ratio(app, &registry, today)?;
    let history = purchases::month_history(
        app,
        &registry,
        month,
        &forecast,
        breakdown.as_ref(),
        unaccounted_ratio,
    )?;
    let background = background::known(app, month, &history, &forecast, &factors, version)?;
    let weather = facts::weather_at(app, &registry, now)?;
    let declaration = declaration::declare(DeclareInput {
        registry: &registry,
        calendar: &app.calendar(),
        month,
        forecast: &forecast,
        history: &history,
        temperatures: &facts::mean_temperatures(&weather),
        large_consumers: large_consumers(app, month)?,
        breakdown: breakdown.as_ref(),
        factors: &factors,
        background: Some(background),
        unaccounted_ratio,
        sequence: 1,
        version,
        submission_no: sent + 1,
        change_reason: (sent > 0).then(|| reason.to_owned()),
        made_at: now,
        prepared_by: who.to_owned(),
    })?;
    Ok(declaration)
}

/// Refuses a period that began before today, or that no run of today can reach: before one is made for it.
fn check_reach(app: &App, first: GasDay, last: GasDay) -> Result<(), PlanError> {
    let today = app.today();
    if first < today {
        return Err(PlanError::Begun { first, today });
    }
    let most = i64::try_from(HORIZON_DAYS_MAX).unwrap_or(i64::MAX) - 1;
    let reach = today.plus(most);
    if reach < last {
        return Err(PlanError::TooFar { last, reach });
    }
    Ok(())
}

/// The latest run, if it is of today, reaches a day and knows what was filed.
fn run_reaching(app: &App, day: GasDay) -> anyhow::Result<Option<Arc<DemandForecast>>> {
    let now = app.clock.now();
    let run = app.book.forecast_run_known_at(now)?;
    let reaches = |run: &Arc<DemandForecast>| {
        run.day_index(day).is_some() && run.days.first() == Some(&app.today())
    };
    match run.filter(reaches) {
        Some(run) if !app.book.has_filings_between(run.origin_at, now)? => Ok(Some(run)),
        _ => Ok(None),
    }
}

/// Makes and keeps a run where the latest one is not of today, too short, or older than what customers filed,
/// so that a document made now stands on it and names a run that is kept.
fn keep_run_reaching(app: &App, day: GasDay) -> anyhow::Result<()> {
    if run_reaching(app, day)?.is_none() {
        forecasting::publish_request(app, request_reaching(app, day)?)?;
    }
    Ok(())
}

/// The latest run if it reaches a day and knows what was filed, else one made now (and not kept), with what it
/// consists of.
fn forecast_reaching(
    app: &App,
    day: GasDay,
) -> anyhow::Result<(Arc<DemandForecast>, Option<Breakdown>)> {
    if let Some(run) = run_reaching(app, day)? {
        let breakdown = app.book.breakdown(&run.run_id)?;
        return Ok((run, breakdown));
    }
    let made = engine::run_with(&request_reaching(app, day)?, &app.memory)?;
    Ok((Arc::new(made.forecast), Some(made.breakdown)))
}

/// What a run of now is made from, longer than usual if a day wants it.
fn request_reaching(app: &App, day: GasDay) -> anyhow::Result<ForecastRequest> {
    let mut request = forecasting::request_at(app, app.clock.now())?;
    let need = usize::try_from(day.days_since(app.today()) + 1).unwrap_or(0);
    if need > request.horizon_days && need <= HORIZON_DAYS_MAX {
        let registry = app.registry();
        request.horizon_days = need;
        request.shares = (0..need)
            .map(|ahead| registry.shares_on(app.today().plus(i64::try_from(ahead).unwrap_or(0))))
            .collect();
    }
    Ok(request)
}

/// Sheet 5: each member of the ledger with its plan, our forecast and what was adopted.
pub(super) fn large_consumers(
    app: &App,
    month: GasMonth,
) -> anyhow::Result<Vec<LargeConsumerLine>> {
    let known = Enterprises::gather(app)?;
    let days = month.days();
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return Ok(Vec::new());
    };
    let own = known.own_forecasts(app, *first, *last);
    Ok(known
        .members
        .iter()
        .filter_map(|(id, _)| large_consumer(&known, &own, id, month))
        .collect())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an enterprise's month is far below 2^53 m³"
)]
fn large_consumer(
    known: &Enterprises,
    own: &OwnForecasts,
    id: &CustomerId,
    month: GasMonth,
) -> Option<LargeConsumerLine> {
    let customer = known.registry.customers.get(id)?;
    let days = month.days();
    let filed: Option<f64> = days.iter().map(|day| known.planned_m3(id, *day)).sum();
    let filed_m3 = filed.map(|m3| m3.round() as i64);
    let forecast = own.month(id, month).map(Quantiles::from);
    let corrected_m3 = known.corrected_plans(id, &days).map(|m3| m3.round() as i64);
    let (adopted_m3, basis) = LargeConsumerLine::adopt(filed_m3, corrected_m3, forecast);
    let year_days = 365.0;
    let month_days = days.len() as f64;
    let contract = customer.contract_annual.to_f64() * month_days / year_days;
    let safe_m3 = (customer.flow_min_safe_m3h * 24.0 * month_days).round() as i64;
    let interruptible_m3 = if customer.is_interruptible {
        (forecast.map_or(adopted_m3, |own| own.p50_m3) - safe_m3).max(0)
    } else {
        0
    };
    Some(LargeConsumerLine {
        customer: id.clone(),
        name: customer.name.clone(),
        class: customer.class,
        industry: customer.industry.clone(),
        grid: customer.grid.clone(),
        account_manager: customer.account_manager.clone(),
        sale_mode: customer.sale_mode,
        contract_month_m3: contract.round() as i64,
        filed_m3,
        forecast,
        adopted_m3,
        basis,
        last_month_deviation: last_month_deviation(known, id, month.previous()),
        change_summary: changes(known, id, month),
        interruptible_m3,
        remark: String::new(),
    })
}

/// Used less filed, part of filed, over the days of a month that have both.
fn last_month_deviation(known: &Enterprises, id: &CustomerId, month: GasMonth) -> Option<f64> {
    let (mut planned, mut used) = (0.0, 0.0);
    for (day, plan_m3, used_m3) in known.past_plans(id) {
        if day.month() == month {
            planned += plan_m3;
            used += used_m3;
        }
    }
    (planned > 0.0).then(|| used / planned - 1.0)
}

fn changes(known: &Enterprises, id: &CustomerId, month: GasMonth) -> String {
    let (first, next) = (month.first_day().0, month.next().first_day().0);
    let words: Vec<String> = known
        .changes_of(id)
        .iter()
        .filter(|c| c.from_on < next && first <= c.to_on)
        .map(|c| {
            format!(
                "{} {}–{} {:+.0} m³/d",
                c.kind.name_zh(),
                c.from_on.format("%m-%d"),
                c.to_on.format("%m-%d"),
                c.delta_m3_per_day
            )
        })
        .collect();
    words.join("；")
}

/// Computes a gas day's nomination and keeps it: as a new version, or the schedule's as its one draft. The
/// run it names is kept as well.
///
/// # Errors
/// No forecast that reaches the day, limits that contradict each other, or what the stores say.
pub fn nominate(app: &App, day: GasDay, who: &str, reason: &str) -> anyhow::Result<Nomination> {
    check_reach(app, day, day)?;
    keep_run_reaching(app, day)?;
    let nomination = compute_nomination(app, day, who)?;
    let (kind, key) = (DocumentKind::Nomination, day.to_string());
    let body = serde_json::to_value(&nomination)?;
    keep(app, kind, key, body, [who, reason])?;
    Ok(nomination)
}

/// Computes a gas day's nomination without keeping it.
///
/// # Errors
/// As [`nominate`].
pub fn compute_nomination(app: &App, day: GasDay, who: &str) -> anyhow::Result<Nomination> {
    let registry = app.registry();
    let today = app.today();
    check_reach(app, day, day)?;
    let key = day.to_string();
    let before = app.book.document(DocumentKind::Nomination, &key)?;
    let (sent, _) = sent(app, DocumentKind::Nomination, &key)?;
    let (forecast, breakdown) = forecast_reaching(app, day)?;
    let (taken, delivered_yesterday_m3) = purchases::month_takes(app, &registry, day)?;
    let bought_today = if day == today.plus(1) {
        purchases::expected_today(app, &registry, &forecast, breakdown.as_ref())?
    } else {
        None
    };
    let mut nomination = nomination::nominate(&NominateInput {
        registry: &registry,
        calendar: &app.calendar(),
        day,
        forecast: &forecast,
        breakdown: breakdown.as_ref(),
        taken: &taken,
        delivered_yesterday_m3: &delivered_yesterday_m3,
        bought_today_m3: bought_today.as_ref(),
        unaccounted_ratio: facts::unaccounted_ratio(app, &registry, today)?,
        sequence: 1,
        version: next_version(before.as_ref(), who),
        submission_no: sent + 1,
        made_at: app.clock.now(),
        prepared_by: who.to_owned(),
    })?;
    if let Some(sent) = nomination_sent(app, &key)? {
        nomination.change_what_was_sent(&sent);
    }
    Ok(nomination)
}

#[cfg(test)]
mod tests;
