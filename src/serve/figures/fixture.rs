//! A small city for the tests of figures: two zones, two sources, four customers, two gates.

use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::contract::SupplyContract;
use crate::domain::customer::{Customer, CustomerClass, SaleMode, ShiftPattern};
use crate::domain::demand::{DemandCube, DemandDay, DemandForecast, Draws, NodeForecast};
use crate::domain::finding::Quality;
use crate::domain::meter::{Meter, MeterKind, MeterRole, SettlementTotal};
use crate::domain::quantity::{ReferenceConditions, StdVolume, YuanPerM3};
use crate::domain::registry::{Company, Registry, RegistryParts};
use crate::domain::series::LoadCurve;
use crate::domain::slot::SlotTable;
use crate::domain::source::{GasSource, SourceClass, SourceShare, Zone};

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub(crate) fn day(text: &str) -> GasDay {
    text.parse().unwrap()
}

fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn customer(id: &str, class: CustomerClass, zone: &str) -> Customer {
    Customer {
        id: id.into(),
        name: format!("客户{id}"),
        class,
        zone: zone.into(),
        households: 1,
        industry: String::new(),
        grid: "一".into(),
        account_manager: "经理".into(),
        contact_group: String::new(),
        sale_mode: SaleMode::Direct,
        design_flow_m3h: 100.0,
        contract_annual: StdVolume::from_m3(5_000_000),
        base_price: YuanPerM3::default(),
        agreed_discount: YuanPerM3::default(),
        shift: ShiftPattern::Three,
        protection_rank: 8,
        is_interruptible: false,
        shiftable_m3_per_day: 0.0,
        flow_min_safe_m3h: 0.0,
        is_nudge_opted_in: true,
        ledger_reason: "test".into(),
        connected_on: date("2020-01-01"),
    }
}

fn meter(id: &str, customer: Option<&str>, zone: &str) -> Meter {
    Meter {
        id: id.into(),
        device: id.into(),
        customer: customer.map(Into::into),
        zone: zone.into(),
        role: if customer.is_some() {
            MeterRole::Customer
        } else {
            MeterRole::Gate
        },
        kind: MeterKind::Turbine,
        profile: "qiliang/json".into(),
        settlement: SettlementTotal::Std,
        total_digits: 9,
        flow_max_m3h: 1000.0,
        fixed_factor: 1.0,
        period_s: 900,
        gateway: None,
        unit: 0,
        installed_on: date("2020-01-01"),
        removed_on: None,
        corrected_at: None,
        corrector_method: None,
    }
}

fn contract(id: &str, source: &str) -> SupplyContract {
    let quantity = ["\"90000\""; 12].join(", ");
    toml::from_str(&format!(
        r#"
        id = "{id}"
        supplier = "上游"
        source = "{source}"
        delivery_point = "门站"
        valid_from = "2026-01-01"
        valid_to = "2027-12-31"
        [[component]]
        kind = "balanced1"
        contract_month_m3 = [{quantity}]
        price_high_yuan_per_m3 = "2.1"
        price_low_yuan_per_m3 = "1.9"
        [deviation]
        band_ratio = 0.03
        over_take_yuan_per_m3 = "0.5"
        under_take_yuan_per_m3 = "0.2"
        take_or_pay_ratio = 0.9
        take_day_min_ratio = 0.8
        take_day_max_ratio = 1.2
        flow_max_m3h = 2000
        [deadlines]
        month_submit_day = 20
        month_reply_day = 25
        day_submit_at = "09:30:00"
        day_submit_hard_at = "10:00:00"
        day_reply_at = "16:00:00"
        day_change_at = "14:00:00"
        "#
    ))
    .unwrap()
}

pub(crate) fn registry() -> Registry {
    let zone = |id: &str| Zone {
        id: id.into(),
        name: id.into(),
        weather_station: "W1".into(),
        atmosphere_kpa: 101.3,
        pipe_volume_m3: 0.0,
    };
    let source = |id: &str, class| GasSource {
        id: id.into(),
        name: id.into(),
        class,
        supplier: "上游".into(),
        delivery_point: "门站".into(),
    };
    let share = |zone: &str, source: &str, share| SourceShare {
        zone: zone.into(),
        source: source.into(),
        from_on: date("2025-01-01"),
        share,
    };
    Registry::new(RegistryParts {
        version: "test".into(),
        company: Company {
            name: "测试燃气".into(),
            short_name: "测试".into(),
            phone: String::new(),
            gas_day_start_hour: GasDayClock::default(),
            reference: ReferenceConditions::CHINA,
            heating_from: "11-15".into(),
            heating_to: "03-15".into(),
            slots: SlotTable::default(),
        },
        zones: vec![zone("north"), zone("south")],
        sources: vec![
            source("pipe", SourceClass::PipelineRegulated),
            source("lng", SourceClass::Lng),
        ],
        shares: vec![
            share("north", "pipe", 0.83),
            share("north", "lng", 0.17),
            share("south", "pipe", 1.0),
        ],
        customers: vec![
            customer("C1", CustomerClass::Industrial, "north"),
            customer("C2", CustomerClass::Commercial, "north"),
            customer("C3", CustomerClass::ResidentialHeating, "south"),
            customer("C4", CustomerClass::Industrial, "south"),
        ],
        meters: vec![
            meter("M1", Some("C1"), "north"),
            meter("M2", Some("C2"), "north"),
            meter("M3", Some("C3"), "south"),
            meter("M4", Some("C4"), "south"),
            meter("G1", None, "north"),
            meter("G2", None, "south"),
        ],
        exchanges: Vec::new(),
        gateways: Vec::new(),
        contracts: vec![contract("HT-1", "pipe"), contract("HT-2", "lng")],
        production_changes: Vec::new(),
        filed_plans: Vec::new(),
        new_connections: Vec::new(),
        gas_qualities: Vec::new(),
    })
}

/// Whole volumes that differ by meter and hour, the same every day.
fn volume(meter: &str, hour: usize) -> StdVolume {
    let seed: i64 = meter.bytes().map(i64::from).sum();
    StdVolume::from_m3(40 + (seed * 7 + i64::try_from(hour).unwrap() * 13) % 61)
}

fn curves(registry: &Registry, day: GasDay, hours: usize, role: MeterRole) -> Vec<LoadCurve> {
    registry
        .meters
        .values()
        .filter(|m| m.role == role)
        .map(|m| {
            let mut curve = LoadCurve::missing(m.id.clone(), day);
            for hour in 0..hours {
                curve.hours[hour] = volume(m.id.as_str(), hour);
                curve.quality[hour] = Quality::Measured;
            }
            curve
        })
        .collect()
}

pub(crate) fn customer_curves(registry: &Registry, day: GasDay, hours: usize) -> Vec<LoadCurve> {
    curves(registry, day, hours, MeterRole::Customer)
}

pub(crate) fn gate_curves(registry: &Registry, day: GasDay, hours: usize) -> Vec<LoadCurve> {
    curves(registry, day, hours, MeterRole::Gate)
}

pub(crate) fn demand(registry: &Registry, first: GasDay, days: i64) -> Vec<DemandDay> {
    let mut out = Vec::new();
    for offset in 0..days {
        for (index, node) in registry.nodes().into_iter().enumerate() {
            let mut hours_m3 = [0.0; 24];
            for (hour, slot) in hours_m3.iter_mut().enumerate() {
                *slot = 31.37 + (index * 17 + hour * 5) as f64 + offset as f64 * 0.61;
            }
            out.push(DemandDay {
                node,
                day: first.plus(offset),
                hours_m3,
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
        }
    }
    out
}

#[expect(clippy::cast_possible_truncation, reason = "draws are stored as f32")]
/// A run from an origin, `days` long, the first seven hourly, with 21 draws about the P50.
pub(crate) fn forecast(registry: &Registry, origin: &str, days: usize) -> DemandForecast {
    let origin_at = at(origin);
    let clock = registry.company.gas_day_start_hour;
    let first = clock.day_of(origin_at);
    let hourly_days = days.min(7);
    let count = 21;
    let days: Vec<GasDay> = (0..days)
        .map(|i| first.plus(i64::try_from(i).unwrap()))
        .collect();
    let nodes: Vec<NodeForecast> = registry
        .nodes()
        .into_iter()
        .enumerate()
        .map(|(index, node)| {
            let mut hours = [0.0; 24];
            for (hour, slot) in hours.iter_mut().enumerate() {
                *slot = 33.33 + (index * 19 + hour * 4) as f64;
            }
            let p50_m3 = vec![hours; days.len()];
            let mut draws = Draws {
                count,
                ..Draws::default()
            };
            for draw in 0..count {
                let factor = 0.9 + 0.01 * draw as f64;
                for (index, hours) in p50_m3.iter().enumerate() {
                    let day: f64 = hours.iter().sum::<f64>() * factor;
                    draws.daily.push(day as f32);
                    if index < hourly_days {
                        draws
                            .hourly
                            .extend(hours.iter().map(|h| (h * factor) as f32));
                    }
                }
            }
            NodeForecast {
                node,
                model: "regression".into(),
                p50_m3,
                draws,
            }
        })
        .collect();
    let shares: Vec<_> = days.iter().map(|d| registry.shares_on(*d)).collect();
    DemandForecast {
        run_id: format!("run-{}", origin_at.timestamp()).as_str().into(),
        origin_at,
        cube: DemandCube::publish(&nodes, &shares),
        days,
        hourly_days,
        clock,
        nodes,
        inputs: vec![("program".into(), "test".into())],
        shares,
    }
}
