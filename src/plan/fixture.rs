//! A small city for tests: two zones, two sources, five classes, 62 days of forecast.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveTime, Utc};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::domain::breakdown::{Addition, Breakdown, ConsumerDay, ConsumerForecast, PartRow};
use crate::domain::calendar::{Calendar, GasDay, GasDayClock};
use crate::domain::connection::{ConnectionStage, NewConnection};
use crate::domain::contract::{
    ContractComponent, ContractComponentKind as Kind, Deadlines, DeviationTerms, SupplyContract,
};
use crate::domain::customer::{Customer, CustomerClass, SaleMode, ShiftPattern};
use crate::domain::demand::{Band, DemandCube, DemandForecast, DemandNode, Draws, NodeForecast};
use crate::domain::factor::{Factor, FactorAmount, FactorKind};
use crate::domain::quantity::{StdVolume, YuanPerM3};
use crate::domain::registry::{Company, Registry, RegistryParts};
use crate::domain::slot::SlotTable;
use crate::domain::source::{GasSource, SourceClass, SourceShare, Zone};
use crate::plan::declaration::{
    AdoptedBasis, BackgroundKnown, Execution, ExecutionLine, ForecastNotes, LargeConsumerLine,
    MonthHistory, OverrideLine, Quantiles, Skill, SkillLine, YearBought,
};

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

pub(crate) fn calendar() -> Calendar {
    Calendar::new([
        toml::from_str(include_str!("../../config/calendar/2026.toml")).unwrap(),
        toml::from_str(include_str!("../../config/calendar/2027.toml")).unwrap(),
    ])
}

fn price(text: &str) -> YuanPerM3 {
    YuanPerM3(text.parse().unwrap())
}

fn component(kind: Kind, wan: i64, high: &str) -> ContractComponent {
    ContractComponent {
        kind,
        contract_month_m3: [StdVolume::from_m3(wan * 10_000); 12],
        price_high_yuan_per_m3: price(high),
        price_low_yuan_per_m3: price("1.9"),
    }
}

pub(crate) fn contract(
    id: &str,
    source: &str,
    components: Vec<ContractComponent>,
) -> SupplyContract {
    let time = |h, m| NaiveTime::from_hms_opt(h, m, 0).unwrap();
    SupplyContract {
        id: id.into(),
        supplier: "某天然气销售公司".into(),
        source: source.into(),
        delivery_point: "城北门站".into(),
        sale_mode: SaleMode::Direct,
        gas_day_start_hour: GasDayClock::default(),
        valid_from: "2026-04-01".parse().unwrap(),
        valid_to: "2027-03-31".parse().unwrap(),
        is_swing: false,
        season: None,
        components,
        deviation: DeviationTerms {
            band_ratio: 0.03,
            over_take_yuan_per_m3: price("1.20"),
            under_take_yuan_per_m3: price("0.35"),
            take_or_pay_ratio: 0.9,
            take_day_min_ratio: 0.6,
            take_day_max_ratio: 1.2,
            flow_max_m3h: 60_000.0,
        },
        deadlines: Deadlines {
            month_submit_day: 20,
            month_reply_day: 25,
            day_submit_at: time(10, 0),
            day_submit_hard_at: time(11, 30),
            day_reply_at: time(16, 0),
            day_change_at: time(14, 0),
        },
    }
}

pub(crate) fn customer(id: &str, class: CustomerClass, rank: u8) -> Customer {
    Customer {
        id: id.into(),
        name: format!("企业{id}"),
        class,
        zone: "north".into(),
        households: 1,
        industry: "C307".into(),
        grid: "一网格".into(),
        account_manager: "甲".into(),
        contact_group: format!("{id}专群"),
        sale_mode: SaleMode::Direct,
        design_flow_m3h: 900.0,
        contract_annual: StdVolume::from_m3(6_000_000),
        base_price: price("3.60"),
        agreed_discount: price("0.05"),
        shift: ShiftPattern::Three,
        protection_rank: rank,
        is_interruptible: rank == 9,
        shiftable_m3_per_day: 1_200.0,
        flow_min_safe_m3h: 200.0,
        is_nudge_opted_in: true,
        ledger_reason: String::new(),
        connected_on: "2020-01-01".parse().unwrap(),
    }
}

pub(crate) fn parts() -> RegistryParts {
    let mut lng = contract(
        "HT-LNG",
        "lng",
        vec![
            component(Kind::Balanced1, 30, "3.40"),
            component(Kind::Market, 0, "4.60"),
        ],
    );
    lng.is_swing = true;
    lng.supplier = "某液化气贸易公司".into();
    lng.delivery_point = "LNG储配站".into();
    lng.deviation.flow_max_m3h = 20_000.0;
    lng.deviation.take_day_max_ratio = 3.0;
    lng.deviation.take_day_min_ratio = 0.0;
    let source = |id: &str, name: &str, class, point: &str| GasSource {
        id: id.into(),
        name: name.into(),
        class,
        supplier: String::new(),
        delivery_point: point.into(),
    };
    let zone = |id: &str| Zone {
        id: id.into(),
        name: id.into(),
        weather_station: "57297".into(),
        atmosphere_kpa: 101.3,
        pipe_volume_m3: 0.0,
    };
    let share = |zone: &str, source: &str, share| SourceShare {
        zone: zone.into(),
        source: source.into(),
        from_on: "2020-01-01".parse().unwrap(),
        share,
    };
    let mut households = customer("R1", CustomerClass::ResidentialCooking, 1);
    households.households = 185_000;
    RegistryParts {
        version: "v-test".into(),
        company: Company {
            name: "某市燃气有限公司".into(),
            short_name: "某燃".into(),
            phone: "0000-1234567".into(),
            gas_day_start_hour: GasDayClock::default(),
            reference: crate::domain::quantity::ReferenceConditions::CHINA,
            heating_from: "11-15".into(),
            heating_to: "03-15".into(),
            slots: SlotTable::default(),
        },
        zones: vec![zone("north"), zone("south")],
        sources: vec![
            source(
                "pipe",
                "西气东输支线",
                SourceClass::PipelineRegulated,
                "城北门站",
            ),
            source("lng", "LNG储配站", SourceClass::Lng, "LNG储配站"),
        ],
        shares: vec![
            share("north", "pipe", 0.93),
            share("north", "lng", 0.07),
            share("south", "pipe", 1.0),
        ],
        customers: vec![
            households,
            customer("I1", CustomerClass::Industrial, 9),
            customer("I2", CustomerClass::Industrial, 8),
            customer("C1", CustomerClass::Commercial, 7),
            customer("H1", CustomerClass::PublicResidential, 3),
        ],
        meters: Vec::new(),
        exchanges: Vec::new(),
        gateways: Vec::new(),
        contracts: vec![
            contract(
                "HT-2026-01",
                "pipe",
                vec![
                    component(Kind::Residential, 700, "2.10"),
                    component(Kind::Balanced1, 600, "2.45"),
                    component(Kind::PeakShaving, 150, "3.05"),
                    component(Kind::Market, 0, "4.10"),
                ],
            ),
            lng,
        ],
        production_changes: Vec::new(),
        filed_plans: Vec::new(),
        new_connections: vec![project()],
        gas_qualities: Vec::new(),
    }
}

pub(crate) fn registry() -> Registry {
    Registry::new(parts())
}

/// Hour shape of the gas day: a morning and an evening peak.
fn shape(hour: usize, class: CustomerClass) -> f64 {
    let civil = (hour + 8) % 24;
    if class == CustomerClass::Industrial {
        return 1.0;
    }
    match civil {
        6..=8 => 1.4,
        11..=12 => 1.3,
        17..=20 => 1.8,
        0..=4 => 0.4,
        _ => 0.9,
    }
}

/// A forecast of `days` days from 2026-11-20 with joint draws; `scale` multiplies everything.
#[expect(clippy::cast_possible_truncation, reason = "draws are f32")]
pub(crate) fn forecast(days: usize, scale: f64) -> DemandForecast {
    let (count, hourly_days) = (120, 7.min(days));
    let first: GasDay = "2026-11-20".parse().unwrap();
    let all: Vec<GasDay> = (0..days)
        .map(|i| first.plus(i64::try_from(i).unwrap()))
        .collect();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let city: Vec<f64> = (0..count).map(|_| random.random_range(-1.0..1.0)).collect();
    let mut nodes = Vec::new();
    for (zone, weight) in [("north", 0.7), ("south", 0.3)] {
        for (class, daily) in [
            (CustomerClass::ResidentialCooking, 120_000.0),
            (CustomerClass::ResidentialHeating, 130_000.0),
            (CustomerClass::Industrial, 160_000.0),
            (CustomerClass::Commercial, 55_000.0),
            (CustomerClass::PublicResidential, 20_000.0),
        ] {
            let weights: f64 = (0..24).map(|h| shape(h, class)).sum();
            let level = |day: usize| {
                scale
                    * daily
                    * weight
                    * (1.0 + 0.06 * ((day as f64) * 0.9).sin() + 0.004 * day as f64)
            };
            let p50_m3: Vec<[f64; 24]> = (0..days)
                .map(|day| std::array::from_fn(|h| level(day) * shape(h, class) / weights))
                .collect();
            let mut draws = Draws {
                count,
                ..Draws::default()
            };
            for z in &city {
                let own: f64 = random.random_range(-1.0..1.0);
                let factor = 1.0 + 0.07 * z + 0.03 * own;
                for (day, hours) in p50_m3.iter().enumerate() {
                    draws.daily.push((level(day) * factor) as f32);
                    if day < hourly_days {
                        draws.hourly.extend(hours.map(|v| (v * factor) as f32));
                    }
                }
            }
            nodes.push(NodeForecast {
                node: DemandNode {
                    zone: zone.into(),
                    class,
                },
                model: "test".into(),
                p50_m3,
                draws,
            });
        }
    }
    let registry = registry();
    let shares: Vec<_> = all.iter().map(|d| registry.shares_on(*d)).collect();
    let cube = DemandCube::publish(&nodes, &shares);
    DemandForecast {
        run_id: "run-1".into(),
        origin_at: at("2026-11-20T08:30:00+08:00"),
        days: all,
        hourly_days,
        clock: GasDayClock::default(),
        nodes,
        inputs: Vec::new(),
        cube,
        shares,
    }
}

/// November as it was declared and came, and what the forecast stands on.
pub(crate) fn background_known() -> BackgroundKnown {
    let line = |contract: &str, declared_m3, measured_m3| ExecutionLine {
        contract: contract.into(),
        supplier: "上游".into(),
        contract_month_m3: 14_500_000,
        declared_m3,
        measured_m3,
        expected_m3: 5_000_000,
        band_ratio: 0.05,
    };
    BackgroundKnown {
        execution: Execution {
            month: Some("2026-11".parse().unwrap()),
            measured_to: Some("2026-11-19".parse().unwrap()),
            declared_version: Some(2),
            declared_sent_at: Some(at("2026-10-20T10:00:00+08:00")),
            lines: vec![
                line("HT-2026-01", Some(14_000_000), Some(10_000_000)),
                line("HT-LNG", Some(6_000_000), Some(900_000)),
            ],
        },
        year: YearBought {
            bought_m3: Some(160_000_000),
            days_known: 365,
            peak_day: Some("2026-01-20".parse().unwrap()),
            peak_m3: Some(800_000),
        },
        notes: ForecastNotes {
            weather_issued_at: Some("2026-11-20T00:00:00Z".into()),
            demand_through: Some("2026-11-19".into()),
            learnt_from: Some("2023-01-01".parse().unwrap()),
            program: "1.0.0".into(),
            skills: vec![SkillLine {
                of: "total".into(),
                models: vec!["regression".into()],
                day_ahead: Some(Skill {
                    cases: 300,
                    wape: 0.03,
                    bias: -0.004,
                    pinball: 0.02,
                    coverage: 0.81,
                }),
                month_ahead: None,
            }],
            quality_days: 30,
            measured_part: Some(0.97),
            overrides: vec![OverrideLine {
                kind: "curve_edit".into(),
                subject: "M1 2026-11-03（4小时）".into(),
                person: "抄表员".into(),
                at: at("2026-11-04T09:00:00+08:00"),
                reason: "表计检修".into(),
            }],
        },
        versions: Vec::new(),
    }
}

pub(crate) fn history() -> MonthHistory {
    MonthHistory {
        last_year_by_source: BTreeMap::from([("pipe".into(), 14_000_000), ("lng".into(), 700_000)]),
        last_month_by_source: BTreeMap::from([("pipe".into(), 11_000_000)]),
        last_month_measured: None,
        last_year_by_class: BTreeMap::from([(CustomerClass::Industrial, 4_700_000)]),
        last_month_by_class: BTreeMap::from([(CustomerClass::Industrial, 4_900_000)]),
        taken_by_contract: BTreeMap::from([("HT-2026-01".into(), 98_000_000)]),
        unknown_days: BTreeMap::from([("HT-LNG".into(), 4)]),
        ..MonthHistory::default()
    }
}

pub(crate) fn large_consumer() -> LargeConsumerLine {
    LargeConsumerLine {
        customer: "I1".into(),
        name: "企业I1".into(),
        class: CustomerClass::Industrial,
        industry: "C307".into(),
        grid: "一网格".into(),
        account_manager: "甲".into(),
        sale_mode: SaleMode::Direct,
        contract_month_m3: 500_000,
        filed_m3: Some(480_000),
        forecast: Some(Quantiles {
            p10_m3: 450_000,
            p50_m3: 490_000,
            p90_m3: 520_000,
        }),
        adopted_m3: 480_000,
        basis: AdoptedBasis::CustomerPlan,
        last_month_deviation: Some(-0.031),
        change_summary: "12-10至12-14停产检修".into(),
        interruptible_m3: 120_000,
        remark: String::new(),
    }
}

pub(crate) fn project() -> NewConnection {
    NewConnection {
        id: "P1".into(),
        name: "玻璃二期".into(),
        zone: "north".into(),
        class: CustomerClass::Industrial,
        stage: ConnectionStage::Building,
        connected_on: "2026-12-11".parse().unwrap(),
        connected_m3_per_day: 10_000.0,
        coefficient: 0.6,
        available_at: at("2026-10-01T00:00:00+08:00"),
        probability: None,
        ramp: String::new(),
        customer: None,
        design_flow_m3h: Some(800.0),
        settled_on: Some("2026-03-01".parse().unwrap()),
        location: "工业园二路".into(),
        contact: "乙".into(),
        sponsor: "丙".into(),
    }
}

pub(crate) fn factor() -> Factor {
    Factor {
        id: "F1".into(),
        kind: FactorKind::Policy,
        zone: None,
        class: Some(CustomerClass::Commercial),
        from_on: "2026-12-01".parse().unwrap(),
        to_on: "2026-12-31".parse().unwrap(),
        amount: FactorAmount::M3PerDay(-2_000.0),
        person: "调度长".into(),
        reason: "限时经营通知".into(),
        expires_on: "2026-12-31".parse().unwrap(),
        entered_at: at("2026-11-19T10:00:00+08:00"),
        withdrawn_from: None,
    }
}

/// Parts of [`forecast`]: the plan of I1 in the north's industry, P1 from its planned day on, F1 on
/// commerce; every row ends on its cell.
pub(crate) fn breakdown(forecast: &DemandForecast) -> Breakdown {
    let (plan, off) = (15_000, 2_000);
    let today = forecast.days[0];
    let added: Vec<f64> = forecast
        .days
        .iter()
        .map(|day| project().expected_m3(*day, today).round())
        .collect();
    let rows = forecast
        .cube
        .rows
        .iter()
        .map(|row| {
            let published: i64 = row.hours_m3.iter().sum();
            let mut m3 = [0, published, 0, 0];
            // The whole of it in the cell of the main source.
            let is_main = row.source.as_str() == "pipe" && row.zone.as_str() == "north";
            if is_main && row.class == CustomerClass::Industrial {
                m3[0] = plan;
                #[expect(clippy::cast_possible_truncation, reason = "rounded above")]
                let new = added[row.day_index] as i64;
                m3[2] = new;
                m3[1] -= plan + new;
            }
            let holds = factor().holds_on(forecast.days[row.day_index]);
            if is_main && row.class == CustomerClass::Commercial && holds {
                m3[3] = -off;
                m3[1] += off;
            }
            PartRow {
                day_index: row.day_index,
                zone: row.zone.clone(),
                source: row.source.clone(),
                class: row.class,
                m3,
            }
        })
        .collect();
    let node = |class| DemandNode {
        zone: "north".into(),
        class,
    };
    Breakdown {
        rows,
        consumers: vec![ConsumerForecast {
            customer: "I1".into(),
            node: node(CustomerClass::Industrial),
            model: "regression".into(),
            plan_bias: 0.02,
            days: vec![
                ConsumerDay {
                    band: Band {
                        p10_m3: plan - 900,
                        p50_m3: plan,
                        p90_m3: plan + 900,
                    },
                    is_planned: true,
                };
                forecast.days.len()
            ],
        }],
        connections: vec![Addition {
            id: "P1".into(),
            node: node(CustomerClass::Industrial),
            m3: added,
        }],
        factors: vec![Addition {
            id: "F1".into(),
            node: node(CustomerClass::Commercial),
            m3: forecast
                .days
                .iter()
                .map(|day| {
                    if factor().holds_on(*day) {
                        -2_000.0
                    } else {
                        0.0
                    }
                })
                .collect(),
        }],
    }
}
