//! The rules that look at zones and customers rather than meters: V15 and V26.
//!
//! They need what the balance and the ledger know, so they are judged here, of the last complete gas
//! days, whenever the schedule makes its round; what was found of a day before is replaced.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::finding::{Finding, RuleId};
use crate::domain::id::{CustomerId, ZoneId};
use crate::domain::meter::MeterRole;
use crate::domain::quantity::{AbsPressure, StdVolume, Temperature};
use crate::domain::reading::{Item, Reading};
use crate::domain::registry::Registry;
use crate::ledger::zone_days::ZoneDaysBuilder;
use crate::run::app::App;
use crate::run::facts;
use crate::store::error::StoreError;
use crate::validate::day::HISTORY_DAYS;
use crate::validate::line_pack::{self, PipeState};
use crate::validate::rules::v15_mass_balance::{self, ZoneDay};
use crate::validate::rules::v26_plan_deviation;

/// Complete gas days that are judged again in every round: as long as late readings usually come.
pub const DAYS: i64 = 8;

/// A pressure stands for the start of a gas day if it was read this near to it.
const NEAR: TimeDelta = TimeDelta::minutes(75);
/// Temperature of gas in the ground where the gate does not say: the yearly mean one metre down, °C.
const GROUND_C: f64 = 15.0;

/// Judges zones and customers on the gas days `[from, to)`; how many findings there are. Blocks.
///
/// # Errors
/// What the stores say.
pub fn judge(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<usize, StoreError> {
    let mut found: BTreeMap<GasDay, Vec<Finding>> = BTreeMap::new();
    let clock = app.gas_day_clock();
    let limits = app.limits();
    for (zone, days) in zone_days(app, registry, from.plus(-HISTORY_DAYS), to)? {
        for (index, day) in days.iter().enumerate().filter(|(_, d)| d.day >= from) {
            let first = days.partition_point(|d| d.day < day.day.plus(-HISTORY_DAYS));
            let finding = v15_mass_balance::check(
                &zone,
                clock.start_of(day.day),
                day,
                days.get(first..index).unwrap_or_default(),
                &limits.of(None, day.day),
            );
            found.entry(day.day).or_default().extend(finding);
        }
    }
    for (customer, days) in declared(app, registry, from, to)? {
        for (day, used, declared) in days {
            let at = clock.start_of(day);
            let finding = v26_plan_deviation::check(&customer, at, used, declared);
            found.entry(day).or_default().extend(finding);
        }
    }
    let mut count = 0;
    for offset in 0..to.days_since(from).max(0) {
        let day = from.plus(offset);
        let of_day = found.remove(&day).unwrap_or_default();
        count += of_day.len();
        let rules = vec![RuleId::V15, RuleId::V26];
        app.journal.put_subject_findings(day, rules, of_day)?;
    }
    Ok(count)
}

/// Days of each zone with gates, with line pack where pipes and pressures are known.
///
/// # Errors
/// What the stores say.
pub fn zone_days(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<ZoneId, Vec<ZoneDay>>, StoreError> {
    let mut builder = ZoneDaysBuilder::new(registry, from, to);
    app.journal
        .for_each_curve(from, to, |curve| builder.add(&curve))?;
    let mut zones = builder.finish();
    for (zone, days) in &mut zones {
        let pipes = registry.zones.get(zone).map_or(0.0, |z| z.pipe_volume_m3);
        if pipes <= 0.0 {
            continue;
        }
        for day in days {
            let start = app.gas_day_clock().start_of(day.day);
            let end = app.gas_day_clock().end_of(day.day);
            let states =
                state_at(app, registry, zone, start)?.zip(state_at(app, registry, zone, end)?);
            day.line_pack = states.map(|(start, end)| {
                line_pack::change(pipes, start, end, registry.company.reference)
            });
        }
    }
    Ok(zones)
}

/// Mean state of a zone's gas at an instant: over its gate meters, each by its reading nearest.
fn state_at(
    app: &App,
    registry: &Registry,
    zone: &ZoneId,
    at: DateTime<Utc>,
) -> Result<Option<PipeState>, StoreError> {
    let atmosphere = registry.zones.get(zone).map_or(0.0, |z| z.atmosphere_kpa);
    let pressure_of = |reading: &Reading| {
        let gauge = reading.float(Item::PressureGauge);
        reading
            .float(Item::PressureAbs)
            .or_else(|| gauge.map(|gauge| gauge + atmosphere))
    };
    let (mut pressure, mut temperature, mut meters) = (0.0, 0.0, 0.0);
    let gates = registry.meters.values();
    for meter in gates.filter(|m| m.zone == *zone && m.role == MeterRole::Gate) {
        let readings = app
            .journal
            .readings_between(&meter.id, at - NEAR, at + NEAR)?;
        let nearest = readings
            .iter()
            .filter_map(|reading| Some((reading, pressure_of(reading)?)))
            .min_by_key(|(reading, _)| (reading.sampled_at - at).abs());
        if let Some((reading, kpa)) = nearest {
            pressure += kpa;
            temperature += reading.float(Item::Temperature).unwrap_or(GROUND_C);
            meters += 1.0;
        }
    }
    Ok((meters > 0.0).then(|| PipeState {
        pressure: AbsPressure(pressure / meters),
        temperature: Temperature(temperature / meters),
    }))
}

type Declared = Vec<(GasDay, StdVolume, StdVolume)>;

/// Complete days of customers that declared them: used, declared; of several plans the one known last.
fn declared(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<CustomerId, Declared>, StoreError> {
    let now = app.clock.now();
    let mut plans: BTreeMap<(CustomerId, GasDay), (DateTime<Utc>, StdVolume)> = BTreeMap::new();
    for plan in facts::plans_known_at(app, registry, from, to, now)? {
        let kept = plans
            .entry((plan.customer, plan.day))
            .or_insert((plan.available_at, plan.volume));
        if plan.available_at > kept.0 {
            *kept = (plan.available_at, plan.volume);
        }
    }
    let mut customers: Vec<&CustomerId> = plans.keys().map(|(customer, _)| customer).collect();
    customers.dedup();
    let daily = facts::daily_of(app, registry, customers, from, to)?;
    let mut out: BTreeMap<CustomerId, Declared> = BTreeMap::new();
    for ((customer, day), (_, declared)) in &plans {
        if let Some(used) = daily.get(customer).and_then(|days| days.get(day)) {
            let days = out.entry(customer.clone()).or_default();
            days.push((*day, *used, *declared));
        }
    }
    Ok(out)
}
