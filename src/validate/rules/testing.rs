//! Readings and meters for the tests of rules and curves.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::customer::{Customer, CustomerClass, SaleMode, ShiftPattern};
use crate::domain::filing::{ChangeKind, ProductionChange};
use crate::domain::finding::{Finding, Quality, RuleId};
use crate::domain::frame::Transport;
use crate::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use crate::domain::quantity::{ReferenceConditions, StdVolume, YuanPerM3};
use crate::domain::reading::{AlarmSet, FrozenTotals, Item, ItemValue, Reading};
use crate::domain::registry::{Company, RegistryParts};
use crate::domain::series::LoadCurve;
use crate::domain::slot::SlotTable;
use crate::validate::EntryLimits;
use crate::validate::curve::{CurveRules, build};
use crate::validate::day::DayFacts;
use crate::validate::limits::Limits;
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
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    }
}

/// A registry with nothing in it.
pub(crate) fn parts() -> RegistryParts {
    RegistryParts {
        version: "test".into(),
        new_connections: Vec::new(),
        company: Company {
            name: "c".into(),
            short_name: "c".into(),
            phone: String::new(),
            gas_day_start_hour: GasDayClock::default(),
            reference: ReferenceConditions::CHINA,
            heating_from: "11-15".into(),
            heating_to: "03-15".into(),
            slots: SlotTable::default(),
        },
        zones: vec![],
        sources: vec![],
        shares: vec![],
        customers: vec![],
        meters: vec![],
        exchanges: vec![],
        gateways: vec![],
        contracts: vec![],
        production_changes: vec![],
        filed_plans: vec![],
        gas_qualities: vec![],
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

/// The meter of the tests, settled by its standard total.
pub(crate) fn std_meter() -> Meter {
    Meter {
        settlement: SettlementTotal::Std,
        ..meter()
    }
}

/// An industrial customer's day, a Saturday, and the days before it.
pub(crate) struct Case {
    pub(crate) customer: Customer,
    pub(crate) limits: Limits,
    pub(crate) curve: LoadCurve,
    pub(crate) history: Vec<LoadCurve>,
    pub(crate) readings: Vec<Reading>,
    meter: Meter,
    changes: Vec<ProductionChange>,
    calendar: Calendar,
}

fn flat_curve(day: GasDay, hour_m3: f64) -> LoadCurve {
    LoadCurve {
        hours: [volume(hour_m3); 24],
        quality: [Quality::Measured; 24],
        ..LoadCurve::missing("m".into(), day)
    }
}

fn volume(m3: f64) -> StdVolume {
    format!("{m3:.4}").parse().unwrap()
}

impl Case {
    /// A day of so many m³ in each hour.
    pub(crate) fn flat(hour_m3: f64) -> Self {
        Self {
            customer: Customer {
                id: "c".into(),
                name: "c".into(),
                class: CustomerClass::Industrial,
                zone: "z".into(),
                households: 1,
                industry: String::new(),
                grid: String::new(),
                account_manager: String::new(),
                contact_group: String::new(),
                sale_mode: SaleMode::Direct,
                design_flow_m3h: 30.0,
                contract_annual: StdVolume::ZERO,
                base_price: YuanPerM3::default(),
                agreed_discount: YuanPerM3::default(),
                shift: ShiftPattern::Three,
                protection_rank: 5,
                is_interruptible: false,
                shiftable_m3_per_day: 0.0,
                flow_min_safe_m3h: 0.0,
                is_nudge_opted_in: false,
                ledger_reason: String::new(),
                connected_on: day().0,
            },
            limits: Limits::default(),
            curve: flat_curve(day(), hour_m3),
            history: Vec::new(),
            readings: Vec::new(),
            meter: meter(),
            changes: Vec::new(),
            calendar: Calendar::default(),
        }
    }

    /// With days before it, the last of them yesterday.
    pub(crate) fn after_flat(mut self, hours_m3: &[f64]) -> Self {
        let count = i64::try_from(hours_m3.len()).unwrap();
        self.history = (-count..0)
            .zip(hours_m3)
            .map(|(back, m3)| flat_curve(self.curve.day.plus(back), *m3))
            .collect();
        self
    }

    /// Moved to another gas day.
    pub(crate) fn on(mut self, day: &str) -> Self {
        let to: GasDay = day.parse().unwrap();
        let by = to.days_since(self.curve.day);
        for curve in self.history.iter_mut().chain([&mut self.curve]) {
            curve.day = curve.day.plus(by);
        }
        self
    }

    pub(crate) fn set_hour(&mut self, hour: usize, m3: f64) {
        self.curve.hours[hour] = volume(m3);
    }

    /// Marks so many hours of each of the last days, the day itself included, estimated.
    pub(crate) fn estimate(&mut self, days: usize, hours: usize) {
        let last = self.history.iter_mut().rev().take(days - 1);
        for curve in last.chain([&mut self.curve]) {
            curve.quality[..hours].fill(Quality::Estimated);
        }
    }

    /// The customer told of a change on all of these days.
    pub(crate) fn announce(&mut self, kind: ChangeKind) {
        self.changes.push(ProductionChange {
            customer: self.customer.id.clone(),
            kind,
            from_on: self.curve.day.plus(-60).0,
            to_on: self.curve.day.0,
            delta_m3_per_day: 0.0,
            confidence: 1.0,
            source: String::new(),
            available_at: at(0),
        });
    }

    pub(crate) fn facts(&self) -> DayFacts<'_> {
        DayFacts {
            meter: &self.meter,
            customer: Some(&self.customer),
            changes: &self.changes,
            atmosphere_kpa: 101.325,
            reference: ReferenceConditions::CHINA,
            calendar: &self.calendar,
            clock: GasDayClock::default(),
            limits: &self.limits,
            curve: &self.curve,
            history: &self.history,
            readings: &self.readings,
            readings_to_end: &self.readings,
        }
    }
}
