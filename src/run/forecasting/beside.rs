//! What is known beside the demand of zone × class: customers one by one with their plans, projects,
//! named factors.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::connection::ConnectionStage;
use crate::domain::customer::CustomerClass;
use crate::domain::demand::DemandNode;
use crate::domain::factor::Factor;
use crate::domain::id::CustomerId;
use crate::domain::registry::Registry;
use crate::forecast::customer::IndustryBias;
use crate::forecast::request::{ConsumerInput, PartsInput, Project};
use crate::run::app::App;
use crate::run::facts::CustomerDays;
use crate::run::{facts, ledgering};
use crate::store::book::DocumentKind;

/// Days of plans looked at for a customer's bias.
pub(super) const PLAN_DAYS: i64 = 183;

/// Days of customers that were read already.
pub(super) type ReadDays = BTreeMap<CustomerId, CustomerDays>;

/// Who is forecast one by one, beside those who file plans.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who<'a> {
    /// Members of the ledger.
    Members,
    /// These, even if a project speaks for them.
    Asked(&'a ReadDays),
    /// Who was on the ledger at an instant of the past.
    Then(&'a BTreeSet<CustomerId>, &'a ReadDays),
}

/// Everything beside the history of nodes, as known at an instant.
pub(super) fn parts(
    app: &App,
    registry: &Registry,
    at: DateTime<Utc>,
    horizon_days: usize,
    who: Who<'_>,
) -> anyhow::Result<PartsInput> {
    let today = app.gas_day_clock().day_of(at);
    let until = today.plus(i64::try_from(horizon_days).unwrap_or(0));
    let plans = plans_in_force(app, registry, today.plus(-PLAN_DAYS), until, at)?;
    Ok(PartsInput {
        consumers: consumers(app, registry, at, plans, who)?,
        projects: projects(registry, at),
        factors: factors_known_at(app, at)?,
    })
}

/// Named factors as they stood at an instant.
///
/// # Errors
/// What the book says. A document that is no factor is left out.
pub(crate) fn factors_known_at(app: &App, at: DateTime<Utc>) -> anyhow::Result<Vec<Factor>> {
    let documents = app.book.documents_known_at(DocumentKind::Factor, at)?;
    Ok(documents
        .into_iter()
        .filter_map(|document| serde_json::from_value(document.body).ok())
        .collect())
}

type Plans = BTreeMap<CustomerId, BTreeMap<GasDay, f64>>;

fn plans_in_force(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
    at: DateTime<Utc>,
) -> anyhow::Result<Plans> {
    let mut out = Plans::new();
    for plan in facts::plans_known_at(&app.book, registry, from, to, at)? {
        let of_customer = out.entry(plan.customer).or_default();
        of_customer.insert(plan.day, plan.volume.to_f64());
    }
    Ok(out)
}

/// Members of the ledger, whoever files plans, and customers whose gas is not ours but who count in a
/// class that is. A customer of a project still on its ramp is a part of the project, not a node.
fn consumers(
    app: &App,
    registry: &Registry,
    at: DateTime<Utc>,
    mut plans: Plans,
    who: Who<'_>,
) -> anyhow::Result<Vec<ConsumerInput>> {
    let today = app.gas_day_clock().day_of(at);
    let of_projects: BTreeSet<&CustomerId> = registry
        .connections_known_at(at)
        .into_iter()
        .filter(|c| !c.is_learnt(today))
        .filter_map(|c| c.customer.as_ref())
        .collect();
    let mut ids: BTreeSet<CustomerId> = match who {
        Who::Asked(of) => of.keys().cloned().collect(),
        Who::Then(members, _) => members.clone(),
        Who::Members => ledgering::members_on(app, registry, today)?
            .into_iter()
            .map(|(id, _)| id)
            .collect(),
    };
    ids.extend(
        plans
            .iter()
            .filter(|(_, days)| days.range(today..).next().is_some())
            .map(|(id, _)| id.clone()),
    );
    let carried = registry.customers.values();
    let carried = carried.filter(|c| !c.is_bought_for() && c.class != CustomerClass::Wheeling);
    ids.extend(carried.map(|c| c.id.clone()));
    ids.retain(|id| registry.customers.contains_key(id) && !of_projects.contains(id));
    let from = facts::history_from(app, today);
    let read = match who {
        Who::Members => None,
        Who::Asked(days) | Who::Then(_, days) => Some(days),
    };
    let is_read = |id: &&CustomerId| read.is_some_and(|of| of.contains_key(*id));
    let to_read = ids.iter().filter(|id| !is_read(id));
    let mut used = facts::days_of(app, registry, to_read, from, today)?;
    if let Who::Asked(of) = who {
        ids.extend(of.keys().cloned());
    }
    for (id, days) in read.into_iter().flatten() {
        if ids.contains(id) {
            used.insert(id.clone(), days.between(from, today));
        }
    }
    let mut effects: BTreeMap<CustomerId, BTreeMap<GasDay, f64>> = BTreeMap::new();
    for change in facts::changes_known_at(&app.book, registry, at)? {
        let days = effects.entry(change.customer.clone()).or_default();
        for date in change
            .from_on
            .iter_days()
            .take_while(|d| *d <= change.to_on)
        {
            *days.entry(GasDay(date)).or_default() += change.delta_m3_per_day * change.confidence;
        }
    }
    let mut consumers: Vec<ConsumerInput> = ids
        .into_iter()
        .filter_map(|id| {
            let customer = registry.customers.get(&id)?;
            let days = used.remove(&id).unwrap_or_default();
            let mut filed = plans.remove(&id).unwrap_or_default();
            let ahead = filed.split_off(&today);
            let past_plans = filed
                .into_iter()
                .filter_map(|(day, planned)| Some((day, planned, days.volumes.get(&day)?.to_f64())))
                .collect();
            Some(ConsumerInput {
                node: DemandNode {
                    zone: customer.zone.clone(),
                    class: customer.class,
                },
                days: days
                    .volumes
                    .into_iter()
                    .map(|(day, volume)| (day, volume.to_f64()))
                    .collect(),
                plans: ahead,
                past_plans,
                plan_prior: 0.0,
                deviations: days.deviations,
                effects: effects.remove(&id).unwrap_or_default(),
                customer: id,
            })
        })
        .filter(|c| !c.days.is_empty() || !c.plans.is_empty())
        .collect();
    let industry = |id: &CustomerId| {
        let customer = registry.customers.get(id);
        customer.map_or("", |c| c.industry.as_str())
    };
    let records = consumers.iter();
    let records = records.map(|c| (industry(&c.customer), c.past_plans.as_slice()));
    let industries = IndustryBias::of(today, records);
    for consumer in &mut consumers {
        let industry = industry(&consumer.customer);
        consumer.plan_prior = industries.without(industry, &consumer.past_plans);
    }
    Ok(consumers)
}

fn projects(registry: &Registry, at: DateTime<Utc>) -> Vec<Project> {
    registry
        .connections_known_at(at)
        .into_iter()
        .map(|connection| Project {
            is_metered: connection.stage == ConnectionStage::Connected
                && connection
                    .customer
                    .as_ref()
                    .is_some_and(|id| registry.meters_of(id).next().is_some()),
            connection: connection.clone(),
        })
        .collect()
}
