//! Readings and meters for the tests of rules and curves.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::finding::{Finding, RuleId};
use crate::domain::frame::Transport;
use crate::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use crate::domain::reading::{AlarmSet, FrozenTotals, Item, ItemValue, Reading};
use crate::domain::series::LoadCurve;
use crate::validate::EntryLimits;
use crate::validate::curve::{CurveRules, build};
use crate::validate::points::expand;

pub(crate) const LIMITS: EntryLimits = EntryLimits {
    stale_after: TimeDelta::days(400),
    future_tolerance: TimeDelta::seconds(300),
};

pub(crate) fn day() -> GasDay {
    "2026-11-21".parse().unwrap()
}

/// So many hours after the start of the test's gas day.
pub(crate) fn at(hour: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(day()) + TimeDelta::hours(hour)
}

/// Five digits, 100 m³/h, hourly, settled by the working total with factor 1.
pub(crate) fn meter() -> Meter {
    Meter {
        id: "m".into(),
        device: "d".into(),
        customer: None,
        zone: "z".into(),
        role: MeterRole::Customer,
        kind: MeterKind::Rotary,
        profile: "test/test".into(),
        settlement: SettlementTotal::Work,
        total_digits: 5,
        flow_max_m3h: 100.0,
        fixed_factor: 1.0,
        period_s: 3_600,
        gateway: None,
        unit: 0,
        installed_on: day().0,
    }
}

fn reading(hour: i64) -> Reading {
    Reading {
        meter: "m".into(),
        sampled_at: at(hour),
        received_at: at(hour),
        transport: Transport::Mqtt,
        values: Vec::new(),
        frozen: Vec::new(),
        alarms: AlarmSet::default(),
    }
}

/// A reading with a standard total in m³.
pub(crate) fn total(hour: i64, m3: i64) -> Reading {
    let mut reading = reading(hour);
    reading
        .values
        .push((Item::TotalStd, ItemValue::Exact(m3 * 10_000)));
    reading
}

/// A reading with hourly frozen standard totals in m³.
pub(crate) fn frozen(hour: i64, first_hour: i64, totals: &[Option<i64>]) -> Reading {
    let mut reading = reading(hour);
    reading.frozen.push(FrozenTotals {
        item: Item::TotalStd,
        first_at: at(first_hour),
        step_s: 3_600,
        totals: totals.iter().map(|t| t.map(|m3| m3 * 10_000)).collect(),
    });
    reading
}

/// Curve and findings of the test's day from working totals by hour.
pub(crate) fn sequence(meter: &Meter, totals: &[(i64, i64)]) -> (LoadCurve, Vec<Finding>) {
    let readings: Vec<Reading> = totals
        .iter()
        .map(|(hour, m3)| {
            let mut reading = reading(*hour);
            reading
                .values
                .push((Item::TotalWork, ItemValue::Exact(m3 * 10_000)));
            reading
        })
        .collect();
    let points = expand(&readings, Item::TotalWork);
    build(
        &CurveRules::plain(meter),
        GasDayClock::default(),
        day(),
        &points,
    )
}

pub(crate) fn rules_of(findings: &[Finding]) -> Vec<RuleId> {
    let mut rules: Vec<RuleId> = findings.iter().map(|finding| finding.rule).collect();
    rules.sort();
    rules
}
