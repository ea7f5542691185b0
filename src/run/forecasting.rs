//! Forecast runs: from the stores to the engine and back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::demand::{DemandForecast, DemandNode};
use crate::domain::id::RunId;
use crate::domain::months::OUTLOOK_MONTHS;
use crate::domain::registry::Registry;
use crate::forecast::backtest::BacktestReport;
use crate::forecast::request::{ForecastRequest, MonthsInput, Shares};
use crate::run::app::App;
use crate::run::{facts, runs};
use crate::store::book::{DocumentKind, RunBeside};

mod beside;
mod capacities;
mod customers;
mod looking_back;

use beside::Who;
pub use looking_back::backtest;

pub(crate) use beside::factors_known_at;
pub(crate) use customers::{OwnForecasts, own_forecasts};

/// Seed of joint draws: fixed, so that a run can be reproduced from what is stored.
const SEED: u64 = 20_260_401;

/// Everything known at `origin_at`, as the engine takes it.
///
/// # Errors
/// What the stores say.
pub fn request_at(app: &App, origin_at: DateTime<Utc>) -> anyhow::Result<ForecastRequest> {
    let registry = app.registry();
    let today = app.gas_day_clock().day_of(origin_at);
    let settings = &app.settings.forecast;
    let run_id = free_run_id(app, origin_at)?;
    let mut request = known_at(app, &registry, run_id, origin_at)?;
    request.today_hours = facts::today_hours(app, &registry, today)?;
    request.shares = (0..settings.horizon_days)
        .map(|ahead| registry.shares_on(today.plus(i64::try_from(ahead).unwrap_or(0))))
        .collect();
    request.capacities = Some(capacities::capacities(&registry, origin_at, today));
    let horizon = settings.horizon_days;
    request.parts = beside::parts(app, &registry, origin_at, horizon, Who::Members)?;
    take_design_flows(&mut request, &registry);
    request.hourly_days = settings.hourly_days;
    request.draws = settings.draws;
    request.seed = SEED;
    // The engine adds what it used of demand and weather.
    request.inputs = vec![
        ("registry".into(), registry.version.clone()),
        ("program".into(), env!("CARGO_PKG_VERSION").into()),
    ];
    Ok(request)
}

/// Demand, weather and production changes known at an instant, for the usual number of days.
fn known_at(
    app: &App,
    registry: &Registry,
    run_id: RunId,
    origin_at: DateTime<Utc>,
) -> anyhow::Result<ForecastRequest> {
    let clock = app.gas_day_clock();
    let calendar = (*app.calendar()).clone();
    let mut request = ForecastRequest::new(run_id, origin_at, clock, calendar);
    request.demand = facts::demand_before(app, clock.day_of(origin_at))?;
    request.weather = facts::weather_at(app, registry, origin_at)?;
    request.effects = effects(app, registry, origin_at)?;
    request.horizon_days = app.settings.forecast.horizon_days;
    Ok(request)
}

/// Notes what the consumers of a request are connected for.
fn take_design_flows(request: &mut ForecastRequest, registry: &Registry) {
    let consumers = request.parts.consumers.iter().map(|of| &of.customer);
    let known = capacities::of_customers(registry, request.origin_at, consumers);
    request.customer_capacities = Some(known);
}

/// Named by the origin; a second run from the same instant gets a number.
fn free_run_id(app: &App, origin_at: DateTime<Utc>) -> anyhow::Result<RunId> {
    let base = format!("F{}", origin_at.format("%Y%m%dT%H%M%SZ"));
    let mut id = RunId::new(base.clone());
    let mut number = 1;
    while app.book.forecast_run(&id)?.is_some() {
        number += 1;
        id = RunId::new(format!("{base}-{number}"));
    }
    Ok(id)
}

/// Production changes known at an instant, from the registry's files and from the book, summed by
/// node and day and weighted with their confidence.
fn effects(
    app: &App,
    registry: &Registry,
    at: DateTime<Utc>,
) -> anyhow::Result<BTreeMap<DemandNode, BTreeMap<GasDay, f64>>> {
    let mut out: BTreeMap<DemandNode, BTreeMap<GasDay, f64>> = BTreeMap::new();
    for change in facts::changes_known_at(&app.book, registry, at)? {
        let Some(customer) = registry.customers.get(&change.customer) else {
            continue;
        };
        let node = DemandNode {
            zone: customer.zone.clone(),
            class: customer.class,
        };
        let days = out.entry(node).or_default();
        for date in change
            .from_on
            .iter_days()
            .take_while(|d| *d <= change.to_on)
        {
            *days.entry(GasDay(date)).or_default() += change.delta_m3_per_day * change.confidence;
        }
    }
    Ok(out)
}

/// Makes a run from what is known now and keeps it with what it was made from.
///
/// # Errors
/// Too little history, or what the stores say.
pub fn publish(app: &App) -> anyhow::Result<DemandForecast> {
    publish_whole(app).map(|made| made.forecast)
}

/// The same, with what the run consists of and was made from. The first run of a gas day is continued by
/// months.
///
/// # Errors
/// As [`publish`].
pub fn publish_whole(app: &App) -> anyhow::Result<runs::Made> {
    publish_request(app, request_at(app, app.clock.now())?)
}

/// Makes and keeps the run of a request. The first of a gas day is continued by months.
///
/// # Errors
/// As [`publish`].
pub fn publish_request(app: &App, mut request: ForecastRequest) -> anyhow::Result<runs::Made> {
    let today = request.clock.day_of(request.origin_at);
    let latest = app.book.months_run_known_at(app.clock.now())?;
    if latest.is_none_or(|run| run.first_day != today) {
        request.months = Some(months_from(app, today));
    }
    let made = runs::make(request, &app.memory)?;
    let now = app.clock.now();
    app.book.put_forecast_run(
        &made.forecast,
        RunBeside {
            breakdown: Some(&made.breakdown),
            months: made.months.as_ref(),
            parts: made.parts.clone(),
            learning: Some(&made.learning),
        },
        now,
    )?;
    Ok(made)
}

/// What the months from a gas day on are made from, as the registry has it.
pub(crate) fn months_from(app: &App, today: GasDay) -> MonthsInput {
    let registry = app.registry();
    let count = *OUTLOOK_MONTHS.end();
    let mut shares: Vec<(GasDay, Shares)> = Vec::new();
    let mut month = today.month();
    for _ in 0..count {
        for day in month.days() {
            let of_day = registry.shares_on(day);
            if shares.last().is_none_or(|(_, last)| *last != of_day) {
                shares.push((day, of_day));
            }
        }
        month = month.next();
    }
    MonthsInput { count, shares }
}

/// Scores and keeps the report, so that the console can show it beside the forecast.
///
/// # Errors
/// As [`backtest`].
pub fn publish_backtest(app: &App, days: usize) -> anyhow::Result<BacktestReport> {
    let report = backtest(app, days)?;
    let body = serde_json::json!({ "report": report, "quality": quality(&report) });
    app.book.put_document(
        DocumentKind::Backtest,
        "rolling",
        body,
        app.clock.now(),
        "qiliang",
        "rolling backtest",
    )?;
    Ok(report)
}

/// Lines for the console: total and classes of each gate, model beside seasonal-naive.
fn quality(report: &BacktestReport) -> Vec<serde_json::Value> {
    let mut rows = Vec::new();
    for gate in &report.gates {
        let lead = serde_json::to_value(gate.gate).unwrap_or_default();
        let classes = gate
            .classes
            .iter()
            .map(|(class, compared)| (class.key(), compared));
        for (class, compared) in std::iter::once(("total", &gate.total)).chain(classes) {
            rows.push(serde_json::json!({
                "class": class,
                "lead": lead,
                "cases": compared.model.count,
                "wape": compared.model.wape,
                "naive_wape": compared.seasonal_naive.wape,
                "coverage": compared.model.coverage,
            }));
        }
    }
    rows
}
