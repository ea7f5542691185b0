//! A backtest from the stores: each gate is told what was known at it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::beside::{self, PLAN_DAYS, ReadDays, Who};
use super::{SEED, capacities, effects};
use crate::domain::calendar::GasDay;
use crate::domain::id::CustomerId;
use crate::domain::registry::Registry;
use crate::forecast::backtest::{self, BacktestReport, BacktestRequest, Known};
use crate::forecast::weather::ForecastSkill;
use crate::run::app::App;
use crate::run::facts;
use crate::run::ledgering::Members;
use crate::store::book::DocumentKind;

/// Days from the month gate to the last day it asks about.
const MONTH_GATE_DAYS: i64 = 62;

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
            - MONTH_GATE_DAYS,
    );
    let request = BacktestRequest {
        issued: facts::issued_weather(app, &registry, first, today)?,
        demand: facts::demand_before(app, today)?,
        observed: weather
            .into_iter()
            .map(|(zone, w)| (zone, w.observed))
            .collect(),
        calendar: (*app.calendar()).clone(),
        clock: app.gas_day_clock(),
        weather_skill: ForecastSkill::default(),
        days,
        seed: SEED,
    };
    let past = Past::read(app, &registry, first)?;
    backtest::run(&request, |at, horizon| past.known_at(at, horizon))
}

/// What single customers used, and who was on the ledger when.
struct Past<'a> {
    app: &'a App,
    registry: &'a Registry,
    days: ReadDays,
    members: Vec<(DateTime<Utc>, BTreeSet<CustomerId>)>,
}

impl<'a> Past<'a> {
    /// Of gates from the gas day `first` on.
    fn read(app: &'a App, registry: &'a Registry, first: GasDay) -> anyhow::Result<Self> {
        let versions = app
            .book
            .document_versions(DocumentKind::Ledger, "members")?;
        let members: Vec<(DateTime<Utc>, BTreeSet<CustomerId>)> = versions
            .into_iter()
            .map(|version| {
                let members: Members = serde_json::from_value(version.body).unwrap_or_default();
                let ids = members.into_iter().map(|(id, _)| id);
                (version.at, ids.collect())
            })
            .collect();
        let (now, today) = (app.clock.now(), app.today());
        let until = today.plus(MONTH_GATE_DAYS);
        let from = first.plus(-PLAN_DAYS);
        let plans = facts::plans_known_at(&app.book, registry, from, until, now)?;
        let ids: BTreeSet<CustomerId> = members
            .iter()
            .flat_map(|(_, ids)| ids.iter().cloned())
            .chain(plans.into_iter().map(|plan| plan.customer))
            .filter(|id| registry.customers.contains_key(id))
            .collect();
        let from = first.plus(-facts::HISTORY_DAYS);
        let days = facts::days_of(app, registry, &ids, from, today)?;
        Ok(Self {
            app,
            registry,
            days,
            members,
        })
    }

    /// Everything beside demand and weather as a run at an instant would have had it: production changes,
    /// plans, projects and factors that were known then. Customers and their design flows are today's, up to
    /// those connected then.
    fn known_at(&self, at: DateTime<Utc>, horizon_days: usize) -> anyhow::Result<Known> {
        let (app, registry) = (self.app, self.registry);
        let nobody = BTreeSet::new();
        let members = self.members.iter().rfind(|(from, _)| *from <= at);
        let members = members.map_or(&nobody, |(_, ids)| ids);
        let who = Who::Then(members, &self.days);
        let parts = beside::parts(app, registry, at, horizon_days, who)?;
        let today = app.gas_day_clock().day_of(at);
        let consumers = parts.consumers.iter().map(|of| &of.customer);
        Ok(Known {
            effects: effects(app, registry, at)?,
            capacities: capacities::capacities(registry, at, today),
            customer_capacities: capacities::of_customers(registry, at, consumers),
            parts,
        })
    }
}
