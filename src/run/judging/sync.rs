//! What meters, zones and customers are judged by, told to the journal, which marks the days on which it
//! changed: limits by date, announcements and plans that came late, and the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{DAYS, plans_in_force};
use crate::domain::calendar::GasDay;
use crate::domain::customer::CustomerClass;
use crate::domain::filing::ProductionChange;
use crate::domain::finding::Subject;
use crate::domain::id::{CustomerId, ZoneId};
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
    let marked = tell(journal, now, SubjectKind::Zones, zones(&registry, &limits))?;
    mark_demand(journal, &registry, now, &marked)?;
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
    tell(journal, now, SubjectKind::Meters, judged_by)?;
    Ok(())
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
    )?;
    Ok(())
}

/// Has the demand of gas days summed again on which a meter came or went: what is estimated of it, and
/// whether its curve counts, differs then. The last days are so after any change of the registry, as zones
/// are judged on them anyway.
fn mark_demand(
    journal: &Journal,
    registry: &Registry,
    now: DateTime<Utc>,
    marked: &BTreeMap<Subject, Vec<DaySpan>>,
) -> Result<(), StoreError> {
    let today = journal.clock().day_of(now);
    let days_of = |(from, to): DaySpan| (0..to.days_since(from)).map(move |at| from.plus(at));
    let days = marked.values().flatten().copied().flat_map(days_of);
    let recent = days_of((today.plus(-DAYS), today.plus(1)));
    journal.mark_demand_in_use(days.collect(), recent.collect(), registry.version.clone())
}

fn tell(
    journal: &Journal,
    now: DateTime<Utc>,
    kind: SubjectKind,
    judged_by: BTreeMap<Subject, JudgedBy>,
) -> Result<BTreeMap<Subject, Vec<DaySpan>>, StoreError> {
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
    Ok(marked)
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
        atmosphere_kpa: f64,
        reference: ReferenceConditions,
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
            atmosphere_kpa: registry.atmosphere_of(meter),
            reference: registry.company.reference,
            limits: named(&limits.of_class(who, day), false),
            told,
        })
    })
}

/// What meters of a zone are in use, from gas day to gas day: a digest of them, which each one that comes or
/// goes changes.
#[derive(Default)]
struct Members(BTreeMap<GasDay, u64>);

impl Members {
    /// Adds a meter from a gas day to its last one, of which only what was measured counts.
    fn add(&mut self, meter: &Meter, from: GasDay) {
        let mut toggle = |day: GasDay, is_last: bool| {
            let id = bytes(&(&meter.id, meter.role, is_last)).unwrap_or_default();
            let id = Sha256::digest(id).first_chunk::<8>().copied();
            *self.0.entry(day).or_default() ^= u64::from_le_bytes(id.unwrap_or_default());
        };
        toggle(from, false);
        if let Some(last) = meter.removed_on.map(GasDay) {
            toggle(last, true);
            toggle(last.plus(1), true);
            toggle(last.plus(1), false);
        }
    }

    /// The digest from each day on on which one came or went.
    fn summed(self) -> BTreeMap<GasDay, u64> {
        let mut there = 0;
        let mut sum = |(day, change): (GasDay, u64)| {
            there ^= change;
            (day, there)
        };
        self.0.into_iter().map(&mut sum).collect()
    }
}

fn zones(registry: &Registry, limits: &LimitTable) -> BTreeMap<Subject, JudgedBy> {
    #[derive(Serialize)]
    struct Said {
        pipe_volume_m3: f64,
        atmosphere_kpa: f64,
        reference: ReferenceConditions,
        meters: u64,
        limits: Vec<(&'static str, f64)>,
    }
    let mut members: BTreeMap<&ZoneId, Members> = BTreeMap::new();
    for meter in registry.meters.values() {
        if matches!(meter.role, MeterRole::Gate | MeterRole::Customer) {
            let connected_on = registry.customer_of(meter).map(|c| c.connected_on);
            let from = connected_on.map_or(meter.installed_on, |on| on.max(meter.installed_on));
            let of_zone = members.entry(&meter.zone).or_default();
            of_zone.add(meter, GasDay(from));
        }
    }
    let members: BTreeMap<&ZoneId, BTreeMap<GasDay, u64>> = members
        .into_iter()
        .map(|(zone, members)| (zone, members.summed()))
        .collect();
    let nobody = BTreeMap::new();
    let by = |zone: &Zone| {
        let there = members.get(&zone.id).unwrap_or(&nobody);
        let changes = limits.changes_of(None).chain(there.keys().copied());
        JudgedBy::of(changes, |day| {
            bytes(&Said {
                pipe_volume_m3: zone.pipe_volume_m3,
                atmosphere_kpa: zone.atmosphere_kpa,
                reference: registry.company.reference,
                meters: there
                    .range(..=day)
                    .next_back()
                    .map_or(0, |(_, there)| *there),
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
    let mut meters: BTreeMap<&CustomerId, Vec<_>> = BTreeMap::new();
    for meter in registry.meters.values() {
        if let Some(customer) = &meter.customer {
            let of_customer = meters.entry(customer).or_default();
            of_customer.push((&meter.id, meter.installed_on, meter.removed_on));
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
