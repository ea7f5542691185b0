//! Forecast runs: from the stores to the engine and back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::demand::{DemandForecast, DemandNode};
use crate::domain::id::RunId;
use crate::domain::registry::Registry;
use crate::forecast::backtest::{self, BacktestReport, BacktestRequest};
use crate::forecast::engine::ForecastRequest;
use crate::forecast::weather::ForecastSkill;
use crate::run::app::App;
use crate::run::{facts, runs};
use crate::store::book::DocumentKind;

mod beside;
mod capacities;

pub(crate) use beside::factors_known_at;

/// Seed of joint draws: fixed, so that a run can be reproduced from what is stored.
const SEED: u64 = 20_260_401;

/// Everything known at `origin_at`, as the engine takes it.
///
/// # Errors
/// What the stores say.
pub fn request_at(app: &App, origin_at: DateTime<Utc>) -> anyhow::Result<ForecastRequest> {
    let registry = app.registry();
    let clock = app.gas_day_clock();
    let today = clock.day_of(origin_at);
    let settings = &app.settings.forecast;
    let run_id = free_run_id(app, origin_at)?;
    let mut request = ForecastRequest::new(run_id, origin_at, clock, (*app.calendar).clone());
    request.demand = facts::demand_before(app, today)?;
    request.today_hours = facts::today_hours(app, &registry, today)?;
    request.weather = facts::weather_at(app, &registry, origin_at)?;
    request.shares = (0..settings.horizon_days)
        .map(|ahead| registry.shares_on(today.plus(i64::try_from(ahead).unwrap_or(0))))
        .collect();
    request.effects = effects(app, &registry, origin_at)?;
    request.capacities = Some(capacities::capacities(&registry, origin_at, today));
    request.parts = beside::parts(app, &registry, origin_at, settings.horizon_days)?;
    request.horizon_days = settings.horizon_days;
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

/// The same, with what the run consists of and was made from.
///
/// # Errors
/// As [`publish`].
pub fn publish_whole(app: &App) -> anyhow::Result<runs::Made> {
    let made = runs::make(request_at(app, app.clock.now())?, &app.memory)?;
    let now = app.clock.now();
    app.book.put_forecast_run_of(
        &made.forecast,
        Some(&made.breakdown),
        made.parts.clone(),
        &made.learning,
        now,
    )?;
    Ok(made)
}

/// Scores the last `days` complete gas days through both operational gates.
///
/// # Errors
/// Too little history, or what the stores say.
pub fn backtest(app: &App, days: usize) -> anyhow::Result<BacktestReport> {
    let registry = app.registry();
    let now = app.clock.now();
    let weather = facts::weather_at(app, &registry, now)?;
    let today = app.today();
    // The month gate looks up to two months before the first scored day.
    let first = today.plus(
        -i64::try_from(days)
            .unwrap_or(i64::MAX)
            .min(facts::HISTORY_DAYS)
            - 62,
    );
    let request = BacktestRequest {
        issued: facts::issued_weather(app, &registry, first, today)?,
        demand: facts::demand_before(app, today)?,
        observed: weather
            .into_iter()
            .map(|(zone, w)| (zone, w.observed))
            .collect(),
        calendar: (*app.calendar).clone(),
        weather_skill: ForecastSkill::default(),
        days,
        seed: SEED,
    };
    Ok(backtest::run(&request)?)
}

/// Scores and keeps the report, so that the console can show it beside the forecast.
///
/// # Errors
/// As [`backtest()`].
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
                "wape": compared.model.wape,
                "naive_wape": compared.seasonal_naive.wape,
                "coverage": compared.model.coverage,
            }));
        }
    }
    rows
}
