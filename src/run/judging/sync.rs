//! What meters, zones and customers are judged by, told to the journal, which marks the days on which it
//! changed: limits by date, announcements and plans that came late, and the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use super::{DAYS, plans_in_force};
use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::filing::ProductionChange;
use crate::domain::finding::Subject;
use crate::domain::id::{CustomerId, MeterId, ZoneId};
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::{ReferenceConditions, StdVolume};
use crate::domain::registry::Registry;
use crate::domain::source::Zone;
use crate::run::curves::CurveDeps;
use crate::run::facts;
use crate::store::book::Book;
use crate::store::error::StoreError;
use crate::store::journal::{Journal, SubjectKind};
use crate::validate::day::HISTORY_DAYS;
use crate::validate::judged_by::{DaySpan, JudgedBy};
use crate::validate::limits::{LimitTable, Limits};

/// Gas days ahead of which plans are looked at; nobody files further.
const AHEAD_DAYS: i64 = 3_660;
/// Names of the limits by which zones are judged; by the others, meters are.
const OF_ZONES: &str = "v15_";

/// Tells what all are judged by now: what differs from the last time is judged again on its days. Blocks.
///
/// # Errors
/// What the stores say.
pub fn sync(deps: &CurveDeps) -> Result<(), StoreError> {
    let registry = Arc::clone(&deps.registry.borrow());
    let limits = Arc::clone(&deps.limits.borrow());
    let (journal, now) = (&deps.journal, deps.clock.now());
    // What cannot be read was not withdrawn: no meter is judged anew.
    if let Some(changes) = facts::changes_if_readable(&deps.book, &registry, now)? {
        sync_changes(journal, &registry, &limits, &changes, now)?;
    }
    tell(journal, now, SubjectKind::Zones, zones(&registry, &limits))?;
    sync_plans(journal, &deps.book, &registry, now)
}

/// The same of meters alone, by what customers told beforehand. Blocks.
///
/// # Errors
/// What the stores say.
pub fn sync_changes(
    journal: &Journal,
    registry: &Registry,
    limits: &LimitTable,
    changes: &[ProductionChange],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let judged_by = meters(registry, limits, changes);
    tell(journal, now, SubjectKind::Meters, judged_by)
}

/// The same of customers alone, for plans that came by another way than the registry, or whose time to be
/// known has come. Blocks.
///
/// # Errors
/// What the stores say.
pub fn sync_plans(
    journal: &Journal,
    book: &Book,
    registry: &Registry,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (from, to) = (
        GasDay::from_epoch_day(0),
        journal.clock().day_of(now).plus(AHEAD_DAYS),
    );
    let plans = plans_in_force(book, registry, from, to, now);
    // What cannot be read was not withdrawn: nobody is judged anew.
    let Some(plans) = facts::if_readable(book, "customers are not judged by their plans", plans)?
    else {
        return Ok(());
    };
    tell(
        journal,
        now,
        SubjectKind::Customers,
        customers(registry, plans),
    )
}

fn tell(
    journal: &Journal,
    now: DateTime<Utc>,
    kind: SubjectKind,
    judged_by: BTreeMap<Subject, JudgedBy>,
) -> Result<(), StoreError> {
    let until = journal.clock().day_of(now).plus(-DAYS);
    let marked = journal.sync_judged_by(kind, judged_by, until)?;
    let days = |(from, to): &DaySpan| to.days_since(*from);
    let days: i64 = marked.values().flatten().map(days).sum();
    if !marked.is_empty() {
        let (count, what) = (marked.len(), kind.name());
        tracing::info!(
            "What is judged by changed: {days} day(s) of {count} {what} are judged again"
        );
    }
    Ok(())
}

fn bytes(said: &impl Serialize) -> Option<Vec<u8>> {
    // What JSON cannot hold says nothing, always alike.
    serde_json::to_vec(said).ok()
}

/// Limits whose names begin with a prefix, or those whose names do not.
fn named(limits: &Limits, is_of_zones: bool) -> Vec<(&'static str, f64)> {
    let mut named = limits.named();
    named.retain(|(name, _)| name.starts_with(OF_ZONES) == is_of_zones);
    named
}

fn meters(
    registry: &Registry,
    limits: &LimitTable,
    told: &[ProductionChange],
) -> BTreeMap<Subject, JudgedBy> {
    let mut changes: BTreeMap<&CustomerId, Vec<&ProductionChange>> = BTreeMap::new();
    for change in told {
        changes.entry(&change.customer).or_default().push(change);
    }
    let by = |meter: &Meter| {
        let of_customer = meter.customer.as_ref().and_then(|id| changes.get(id));
        let is_customer = meter.role == MeterRole::Customer;
        let told = of_customer.filter(|_| is_customer);
        of_meter(registry, limits, meter, told.map_or(&[], Vec::as_slice))
    };
    registry
        .meters
        .values()
        .map(|meter| (Subject::Meter(meter.id.clone()), by(meter)))
        .collect()
}

fn of_meter(
    registry: &Registry,
    limits: &LimitTable,
    meter: &Meter,
    told: &[&ProductionChange],
) -> JudgedBy {
    #[derive(Serialize)]
    struct Said {
        role: MeterRole,
        customer: Option<(CustomerClass, u32, f64)>,
        limits: Vec<(&'static str, f64)>,
        /// First and last day, and whether the customer stands still.
        told: Vec<(NaiveDate, NaiveDate, bool)>,
    }
    let customer = registry.customer_of(meter);
    let who = customer.map(|c| (c.class, c.size_class()));
    // An announcement is about its days and all that are compared with them.
    let until = |change: &ProductionChange| GasDay(change.to_on).plus(HISTORY_DAYS);
    let of_told = told
        .iter()
        .flat_map(|change| [GasDay(change.from_on), until(change).plus(1)]);
    JudgedBy::of(limits.changes_of(who).chain(of_told), |day| {
        let mut told: Vec<_> = told
            .iter()
            .filter(|change| GasDay(change.from_on) <= day && day <= until(change))
            .map(|change| (change.from_on, change.to_on, change.kind.is_idle()))
            .collect();
        told.sort_unstable();
        told.dedup();
        bytes(&Said {
            role: meter.role,
            customer: customer.map(|c| (c.class, c.households, c.design_flow_m3h)),
            limits: named(&limits.of_class(who, day), false),
            told,
        })
    })
}

fn zones(registry: &Registry, limits: &LimitTable) -> BTreeMap<Subject, JudgedBy> {
    #[derive(Serialize)]
    struct Said<'a> {
        pipe_volume_m3: f64,
        atmosphere_kpa: f64,
        reference: ReferenceConditions,
        meters: &'a [(&'a MeterId, MeterRole, NaiveDate)],
        limits: Vec<(&'static str, f64)>,
    }
    let mut members: BTreeMap<&ZoneId, Vec<_>> = BTreeMap::new();
    for meter in registry.meters.values() {
        if matches!(meter.role, MeterRole::Gate | MeterRole::Customer) {
            let member = (&meter.id, meter.role, meter.installed_on);
            members.entry(&meter.zone).or_default().push(member);
        }
    }
    let by = |zone: &Zone| {
        JudgedBy::of(limits.changes_of(None), |day| {
            bytes(&Said {
                pipe_volume_m3: zone.pipe_volume_m3,
                atmosphere_kpa: zone.atmosphere_kpa,
                reference: registry.company.reference,
                meters: members.get(&zone.id).map_or(&[], Vec::as_slice),
                limits: named(&limits.of(None, day), true),
            })
        })
    };
    registry
        .zones
        .values()
        .map(|zone| (Subject::Zone(zone.id.clone()), by(zone)))
        .collect()
}

fn customers(
    registry: &Registry,
    plans: BTreeMap<(CustomerId, GasDay), StdVolume>,
) -> BTreeMap<Subject, JudgedBy> {
    let mut meters: BTreeMap<&CustomerId, Vec<&MeterId>> = BTreeMap::new();
    for meter in registry.meters.values() {
        if let Some(customer) = &meter.customer {
            meters.entry(customer).or_default().push(&meter.id);
        }
    }
    let mut by_customer: BTreeMap<CustomerId, BTreeMap<GasDay, StdVolume>> = BTreeMap::new();
    for ((customer, day), volume) in plans {
        by_customer.entry(customer).or_default().insert(day, volume);
    }
    let by = |customer: &CustomerId, plans: &BTreeMap<GasDay, StdVolume>| {
        let days: BTreeSet<GasDay> = plans.keys().flat_map(|day| [*day, day.plus(1)]).collect();
        let meters = meters.get(customer);
        JudgedBy::of(days, |day| bytes(&(meters, plans.get(&day)?.units())))
    };
    by_customer
        .iter()
        .map(|(customer, plans)| (Subject::Customer(customer.clone()), by(customer, plans)))
        .collect()
}
