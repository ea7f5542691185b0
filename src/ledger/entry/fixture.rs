//! A small registry to test with.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::calendar::{Calendar, GasDayClock};
use crate::domain::customer::{Customer, CustomerClass, SaleMode, ShiftPattern};
use crate::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use crate::domain::quantity::{ReferenceConditions, StdVolume, YuanPerM3};
use crate::domain::registry::{Company, Registry, RegistryParts};
use crate::domain::slot::SlotTable;
use crate::domain::source::Zone;
use crate::ledger::entry::{LedgerEntry, LedgerInput, build};

pub(in crate::ledger) fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub(in crate::ledger) fn calendar() -> Calendar {
    let texts = [
        include_str!("../../../config/calendar/2025.toml"),
        include_str!("../../../config/calendar/2026.toml"),
    ];
    Calendar::new(texts.map(|text| toml::from_str(text).unwrap()))
}

pub(in crate::ledger) fn customer(id: &str) -> Customer {
    Customer {
        id: id.into(),
        name: "华宇陶瓷".into(),
        class: CustomerClass::Industrial,
        zone: "north".into(),
        households: 1,
        industry: "C307".into(),
        grid: "G1".into(),
        account_manager: "甲".into(),
        contact_group: "群1".into(),
        sale_mode: SaleMode::Direct,
        design_flow_m3h: 800.0,
        contract_annual: StdVolume::ZERO,
        base_price: YuanPerM3("3.0000".parse().unwrap()),
        agreed_discount: YuanPerM3("0.1000".parse().unwrap()),
        shift: ShiftPattern::Three,
        protection_rank: 8,
        is_interruptible: true,
        shiftable_m3_per_day: 2_000.0,
        flow_min_safe_m3h: 120.0,
        is_nudge_opted_in: true,
        ledger_reason: String::new(),
        connected_on: "2020-01-01".parse().unwrap(),
    }
}

pub(in crate::ledger) fn meter(id: &str, customer: &str) -> Meter {
    Meter {
        id: id.into(),
        device: id.into(),
        customer: Some(customer.into()),
        zone: "north".into(),
        role: MeterRole::Customer,
        kind: MeterKind::Turbine,
        profile: "test/one".into(),
        settlement: SettlementTotal::Std,
        total_digits: 9,
        flow_max_m3h: 1_000.0,
        fixed_factor: 1.0,
        period_s: 3_600,
        gateway: None,
        unit: 0,
        installed_on: "2020-01-01".parse().unwrap(),
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    }
}

pub(in crate::ledger) fn registry(customers: Vec<Customer>, meters: Vec<Meter>) -> Registry {
    Registry::new(RegistryParts {
        version: "test".into(),
        company: Company {
            name: "试验燃气有限公司".into(),
            short_name: "试验".into(),
            phone: String::new(),
            gas_day_start_hour: GasDayClock::default(),
            reference: ReferenceConditions::CHINA,
            heating_from: "11-15".into(),
            heating_to: "03-15".into(),
            slots: SlotTable::default(),
        },
        zones: vec![Zone {
            id: "north".into(),
            name: "北区".into(),
            weather_station: "57083".into(),
            atmosphere_kpa: 101.325,
            pipe_volume_m3: 0.0,
        }],
        sources: vec![],
        shares: vec![],
        customers,
        meters,
        exchanges: vec![],
        gateways: vec![],
        contracts: vec![],
        production_changes: vec![],
        filed_plans: vec![],
        new_connections: Vec::new(),
        gas_qualities: vec![],
    })
}

/// Lines of customers of whose use nothing is known.
pub(crate) fn entries(ids: &[&str]) -> Vec<LedgerEntry> {
    let registry = registry(ids.iter().map(|id| customer(id)).collect(), vec![]);
    let members: Vec<_> = ids.iter().map(|id| ((*id).into(), String::new())).collect();
    build(LedgerInput {
        registry: &registry,
        calendar: &Calendar::default(),
        now: at("2026-11-20T10:30:00+08:00"),
        clock: GasDayClock::default(),
        members: &members,
        daily: &BTreeMap::new(),
        hours_yesterday: &BTreeMap::new(),
        hours_today: &BTreeMap::new(),
        completeness_7d: &BTreeMap::new(),
        latest: &BTreeMap::new(),
        temperatures: &BTreeMap::new(),
        forecasts: &BTreeMap::new(),
        plans: &[],
        changes: &[],
        off_peak: &BTreeMap::new(),
    })
}
