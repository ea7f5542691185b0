//! Declarations and nominations, from the stores and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::anyhow;

use crate::domain::breakdown::Breakdown;
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::customer::{Customer, CustomerClass};
use crate::domain::demand::{Band, DemandForecast, DemandView, HORIZON_DAYS_MAX};
use crate::domain::id::{ContractId, CustomerId, SourceId};
use crate::domain::registry::Registry;
use crate::forecast::customer::customer_bands;
use crate::forecast::engine;
use crate::plan::declaration::{
    self, Declaration, DeclareInput, LargeConsumerLine, MonthHistory, Quantiles,
};
use crate::plan::nomination::{self, MonthTake, NominateInput, Nomination};
use crate::run::app::App;
use crate::run::ledgering::Enterprises;
use crate::run::{facts, forecasting};
use crate::serve::figures::supply::Supply;
use crate::store::book::DocumentKind;

/// Computes a month's declaration and keeps it as a new version.
///
/// # Errors
/// No forecast that reaches the month, limits that contradict each other, or what the stores say.
pub fn declare(app: &App, month: GasMonth, who: &str, reason: &str) -> anyhow::Result<Declaration> {
    let declaration = compute_declaration(app, month, who, reason)?;
    app.book.put_document(
        DocumentKind::Declaration,
        &month.to_string(),
        serde_json::to_value(&declaration)?,
        declaration.made_at,
        who,
        reason,
    )?;
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
    let version = before.map_or(1, |d| d.version + 1);
    let last_day = month.next().first_day().plus(-1);
    let (forecast, breakdown) = forecast_reaching(app, last_day)?;
    let factors = forecasting::factors_known_at(app, forecast.origin_at)?;
    let history = month_history(app, &registry, month, &forecast, today)?;
    let weather = facts::weather_at(app, &registry, now)?;
    let declaration = declaration::declare(DeclareInput {
        registry: &registry,
        calendar: &app.calendar,
        month,
        forecast: &forecast,
        history: &history,
        temperatures: &facts::mean_temperatures(&weather),
        large_consumers: large_consumers(app, month)?,
        breakdown: breakdown.as_ref(),
        factors: &factors,
        unaccounted_ratio: facts::unaccounted_ratio(app, &registry, today)?,
        sequence: 1,
        version,
        change_reason: (version > 1).then(|| reason.to_owned()),
        made_at: now,
        prepared_by: who.to_owned(),
    })?;
    Ok(declaration)
}

/// The latest run if it reaches a day, else one made now (and not kept), with what it consists of.
fn forecast_reaching(
    app: &App,
    day: GasDay,
) -> anyhow::Result<(Arc<DemandForecast>, Option<Breakdown>)> {
    let now = app.clock.now();
    if let Some(run) = app.book.forecast_run_known_at(now)?
        && run.day_index(day).is_some()
        && run.days.first() == Some(&app.today())
    {
        let breakdown = app.book.breakdown(&run.run_id)?;
        return Ok((run, breakdown));
    }
    let mut request = forecasting::request_at(app, now)?;
    let need = usize::try_from(day.days_since(app.today()) + 1).unwrap_or(0);
    if need > request.horizon_days && need <= HORIZON_DAYS_MAX {
        let registry = app.registry();
        request.horizon_days = need;
        request.shares = (0..need)
            .map(|ahead| registry.shares_on(app.today().plus(i64::try_from(ahead).unwrap_or(0))))
            .collect();
    }
    let made = engine::run_with(&request, &app.memory)?;
    Ok((Arc::new(made.forecast), Some(made.breakdown)))
}

fn month_history(
    app: &App,
    registry: &Registry,
    month: GasMonth,
    forecast: &DemandForecast,
    today: GasDay,
) -> anyhow::Result<MonthHistory> {
    let year_start = registry
        .contracts
        .iter()
        .map(|c| GasDay(c.valid_from))
        .min()
        .unwrap_or(month.first_day());
    let first = year_start.min(month.last_year().first_day());
    let supply = facts::supply(app, registry, first, today)?;
    let past = SourceDays {
        supply: &supply,
        forecast,
        today,
    };
    let taken_by_contract = registry
        .contracts
        .iter()
        .filter_map(|contract| {
            let from = GasDay(contract.valid_from);
            let taken = past.sum(&contract.source, from, month.first_day().plus(-1))?;
            Some((contract.id.clone(), taken))
        })
        .collect();
    Ok(MonthHistory {
        last_year_by_source: by_source(&past, registry, month.last_year()),
        last_month_by_source: by_source(&past, registry, month.previous()),
        last_year_by_class: by_class(app, month.last_year(), &past, today)?,
        last_month_by_class: by_class(app, month.previous(), &past, today)?,
        taken_by_contract,
    })
}

/// Deliveries by day: measured before today, expected from today on.
struct SourceDays<'a> {
    supply: &'a Supply,
    forecast: &'a DemandForecast,
    today: GasDay,
}

impl SourceDays<'_> {
    /// Sum over gas days `from` to `to` included, m³; none unless every day is known or forecast.
    fn sum(&self, source: &SourceId, from: GasDay, to: GasDay) -> Option<i64> {
        let view = DemandView {
            source: Some(source.clone()),
            ..DemandView::default()
        };
        (0..=to.days_since(from))
            .map(|i| {
                let day = from.plus(i);
                if day < self.today {
                    return self.supply.source_day_m3(source, day);
                }
                let index = self.forecast.day_index(day)?;
                Some(self.forecast.cube.day_m3(self.forecast.clock, &view, index))
            })
            .sum()
    }
}

fn by_source(
    days: &SourceDays<'_>,
    registry: &Registry,
    month: GasMonth,
) -> BTreeMap<SourceId, i64> {
    let last = month.next().first_day().plus(-1);
    registry
        .sources
        .keys()
        .filter_map(|source| Some((source.clone(), days.sum(source, month.first_day(), last)?)))
        .collect()
}

/// Sold by class in a month, m³, and the loss; nothing unless every day of the month is known or
/// forecast.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a city's month is far below 2^53 m³"
)]
fn by_class(
    app: &App,
    month: GasMonth,
    past: &SourceDays<'_>,
    today: GasDay,
) -> anyhow::Result<BTreeMap<CustomerClass, i64>> {
    let last = month.next().first_day().plus(-1);
    let demand = app
        .book
        .demand_days(month.first_day(), last.plus(1).min(today))?;
    let mut sums: BTreeMap<CustomerClass, f64> = BTreeMap::new();
    let mut known: Vec<GasDay> = Vec::new();
    for day in &demand {
        *sums.entry(day.node.class).or_default() += day.volume_m3();
        known.push(day.day);
    }
    known.sort_unstable();
    known.dedup();
    let clock = past.forecast.clock;
    for i in 0..=last.days_since(month.first_day()) {
        let day = month.first_day().plus(i);
        if known.binary_search(&day).is_ok() {
            continue;
        }
        let Some(index) = past.forecast.day_index(day) else {
            return Ok(BTreeMap::new());
        };
        for class in CustomerClass::ALL {
            let view = DemandView {
                class: Some(class),
                ..DemandView::default()
            };
            let m3 = past.forecast.cube.day_m3(clock, &view, index);
            if m3 != 0 {
                *sums.entry(class).or_default() += m3 as f64;
            }
        }
    }
    let mut out: BTreeMap<CustomerClass, i64> = sums
        .into_iter()
        .map(|(class, m3)| (class, m3.round() as i64))
        .collect();
    let bought: Option<i64> = app
        .registry()
        .sources
        .keys()
        .map(|source| past.sum(source, month.first_day(), last))
        .sum();
    if let Some(bought) = bought {
        let sold: i64 = out.values().sum();
        out.insert(CustomerClass::Unaccounted, bought - sold);
    }
    Ok(out)
}

/// Sheet 5: each member of the ledger with its plan, our forecast and what was adopted.
fn large_consumers(app: &App, month: GasMonth) -> anyhow::Result<Vec<LargeConsumerLine>> {
    let known = Enterprises::gather(app)?;
    Ok(known
        .members
        .iter()
        .filter_map(|(id, _)| large_consumer(app, &known, id, month))
        .collect())
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "an enterprise's month is far below 2^53 m³"
)]
fn large_consumer(
    app: &App,
    known: &Enterprises,
    id: &CustomerId,
    month: GasMonth,
) -> Option<LargeConsumerLine> {
    let customer = known.registry.customers.get(id)?;
    let days = month.days();
    let filed: Option<f64> = days.iter().map(|day| known.planned_m3(id, *day)).sum();
    let filed_m3 = filed.map(|m3| m3.round() as i64);
    let forecast = month_quantiles(app, known, id, &days);
    let (adopted_m3, basis) = LargeConsumerLine::adopt(filed_m3, forecast);
    let year_days = 365.0;
    let month_days = days.len() as f64;
    let contract = customer.contract_annual.to_f64() * month_days / year_days;
    let safe_m3 = (customer.flow_min_safe_m3h * 24.0 * month_days).round() as i64;
    let interruptible_m3 = if customer.is_interruptible {
        (forecast.p50_m3 - safe_m3).max(0)
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

/// Month of one customer. Its days are taken to miss together, so the band is the widest that its
/// days allow, never too narrow.
fn month_quantiles(app: &App, known: &Enterprises, id: &CustomerId, days: &[GasDay]) -> Quantiles {
    let history = known.known_days(id).unwrap_or_default();
    let node = known.registry.customers.get(id).map(Customer::node);
    let bands = node.map_or_else(Vec::new, |node| {
        let temperatures = known.temperatures(id);
        customer_bands(&history, &temperatures, &app.calendar, &node, days)
    });
    let mut sum = Quantiles {
        p10_m3: 0,
        p50_m3: 0,
        p90_m3: 0,
    };
    for Band {
        p10_m3,
        p50_m3,
        p90_m3,
    } in bands.into_iter().flatten()
    {
        sum.p10_m3 += p10_m3;
        sum.p50_m3 += p50_m3;
        sum.p90_m3 += p90_m3;
    }
    sum
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
        .changes
        .iter()
        .filter(|c| c.customer == *id && c.from_on < next && first <= c.to_on)
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

/// Computes a gas day's nomination and keeps it as a new version.
///
/// # Errors
/// No forecast that reaches the day, limits that contradict each other, or what the stores say.
pub fn nominate(app: &App, day: GasDay, who: &str, reason: &str) -> anyhow::Result<Nomination> {
    let nomination = compute_nomination(app, day, who)?;
    app.book.put_document(
        DocumentKind::Nomination,
        &day.to_string(),
        serde_json::to_value(&nomination)?,
        app.clock.now(),
        who,
        reason,
    )?;
    Ok(nomination)
}

/// Computes a gas day's nomination without keeping it.
///
/// # Errors
/// As [`nominate`].
pub fn compute_nomination(app: &App, day: GasDay, who: &str) -> anyhow::Result<Nomination> {
    let registry = app.registry();
    let today = app.today();
    if day < today {
        return Err(anyhow!(
            "gas day {day} has ended; nominate {today} or a later day"
        ));
    }
    let before = app
        .book
        .document(DocumentKind::Nomination, &day.to_string())?;
    let (forecast, _) = forecast_reaching(app, day)?;
    let (taken, delivered_yesterday_m3) = month_takes(app, &registry, day, today)?;
    Ok(nomination::nominate(&NominateInput {
        registry: &registry,
        day,
        forecast: &forecast,
        taken: &taken,
        delivered_yesterday_m3: &delivered_yesterday_m3,
        unaccounted_ratio: facts::unaccounted_ratio(app, &registry, today)?,
        sequence: 1,
        version: before.map_or(1, |d| d.version + 1),
        made_at: app.clock.now(),
        prepared_by: who.to_owned(),
    })?)
}

type Takes = (BTreeMap<ContractId, MonthTake>, BTreeMap<ContractId, i64>);

/// What each contract delivered in the month of `day` up to the last closed gas day, and on it.
fn month_takes(
    app: &App,
    registry: &Registry,
    day: GasDay,
    today: GasDay,
) -> anyhow::Result<Takes> {
    let first = day.month().first_day();
    let yesterday = today.plus(-1);
    let supply = facts::supply(app, registry, first.min(yesterday), today)?;
    let mut taken = BTreeMap::new();
    let mut delivered = BTreeMap::new();
    for contract in &registry.contracts {
        let mut sum = MonthTake {
            taken_m3: 0,
            days: 0,
        };
        for i in 0..today.days_since(first).max(0) {
            if let Some(m3) = supply.source_day_m3(&contract.source, first.plus(i)) {
                sum.taken_m3 += m3;
                sum.days += 1;
            }
        }
        taken.insert(contract.id.clone(), sum);
        if let Some(m3) = supply.source_day_m3(&contract.source, yesterday) {
            delivered.insert(contract.id.clone(), m3);
        }
    }
    Ok((taken, delivered))
}
