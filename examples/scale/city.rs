//! A city of which so many customers are large: its registry, and years of curves, demand and weather.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::customer::{Customer, CustomerClass};
use qiliang::domain::demand::DemandDay;
use qiliang::domain::filing::FiledPlan;
use qiliang::domain::finding::Quality;
use qiliang::domain::frame::Transport;
use qiliang::domain::id::{CustomerId, MeterId};
use qiliang::domain::meter::{Meter, MeterRole};
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
use qiliang::domain::registry::{Registry, RegistryParts};
use qiliang::domain::series::LoadCurve;
use qiliang::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};
use qiliang::run::app::App;
use qiliang::simulate::city::{City, CityConfig};
use qiliang::store::journal::{CurveBatch, CurveWrite, JournalEntry};

/// How many customers use as much as large ones do, whatever their design flow.
const LARGE_MAX: usize = 5_000;
/// Gas days of history.
const DAYS: i64 = 800;
/// Days of weather and of plans ahead.
const AHEAD_DAYS: i64 = 16;

pub(crate) fn today() -> GasDay {
    "2026-11-21".parse().unwrap()
}

pub(crate) fn now() -> DateTime<Utc> {
    GasDayClock::default().start_of(today()) + TimeDelta::hours(1)
}

pub(crate) fn first() -> GasDay {
    today().plus(-DAYS)
}

/// Even between −1 and 1.
fn noise(a: usize, b: usize) -> f64 {
    ((a * 7_919 + b * 104_729) % 1_009) as f64 / 504.0 - 1.0
}

/// Temperature of an hour, °C.
fn temperature(at: DateTime<Utc>) -> f64 {
    let since = (at - GasDayClock::default().start_of(first())).num_hours();
    let hours = since as f64;
    let year = (std::f64::consts::TAU * (hours / 24.0 + 250.0) / 365.25).cos();
    let day = (std::f64::consts::TAU * (hours - 6.0) / 24.0).cos();
    let moods = noise(usize::try_from(since / 72).unwrap_or(0), 3);
    12.0 - 12.0 * year + 4.0 * day + 3.0 * moods
}

/// Volume of a customer's hours of a gas day, 1e-4 m³.
fn hours_of(customer: usize, index: usize, day: GasDay, mean_c: f64) -> [i64; 24] {
    let m3 = if customer < LARGE_MAX {
        60.0 + ((customer * 37) % 40) as f64 * 12.0
    } else {
        1.0 + (customer % 7) as f64 * 0.3
    };
    let is_off = day.0.weekday().num_days_from_monday() > 4 && customer.is_multiple_of(3);
    let week = if is_off { 0.4 } else { 1.0 };
    let cold = 1.0 + 0.01 * (customer % 5) as f64 * (15.0 - mean_c).max(0.0);
    let of_day = m3 * week * cold * (1.0 + 0.06 * noise(customer, index));
    std::array::from_fn(|hour| {
        let part = if (10..22).contains(&hour) {
            0.05
        } else {
            0.4 / 12.0
        };
        StdVolume::from_f64(of_day * part).units()
    })
}

/// A city of so many customers with a meter each, of whom the first `large` are large by their design flow.
pub(crate) fn parts(customers: usize, large: usize) -> RegistryParts {
    let city = City::new(CityConfig {
        meters: 200,
        history_days: 2,
        live_days: 1,
        ..CityConfig::default()
    });
    let mut parts = city.registry_parts().unwrap();
    let gates = parts
        .meters
        .iter()
        .filter(|m| m.role == MeterRole::Gate)
        .cloned();
    let mut meters: Vec<Meter> = gates.collect();
    let of_meter = parts.meters.iter().find(|m| m.role == MeterRole::Customer);
    let of_meter = of_meter.unwrap().clone();
    let of_customer = parts.customers[0].clone();
    let mut all = Vec::with_capacity(customers);
    for index in 0..customers {
        let zone = parts.zones[index % parts.zones.len()].id.clone();
        let class = if index < LARGE_MAX {
            [
                CustomerClass::Industrial,
                CustomerClass::Commercial,
                CustomerClass::PublicService,
            ][index / 2 % 3]
        } else {
            [
                CustomerClass::ResidentialCooking,
                CustomerClass::ResidentialHeating,
                CustomerClass::Commercial,
            ][index / 2 % 3]
        };
        let id = CustomerId::new(format!("C{index:06}"));
        all.push(Customer {
            id: id.clone(),
            name: format!("客户 {index}"),
            class,
            zone: zone.clone(),
            design_flow_m3h: if index < large { 60.0 } else { 1.0 },
            ledger_reason: String::new(),
            connected_on: first().plus(-1_000).0,
            ..of_customer.clone()
        });
        meters.push(Meter {
            id: meter_id(index),
            device: format!("S{index:06}").as_str().into(),
            customer: Some(id),
            zone,
            gateway: None,
            installed_on: first().plus(-1_000).0,
            ..of_meter.clone()
        });
    }
    parts.version = format!("{large} large");
    parts.customers = all;
    parts.meters = meters;
    parts.exchanges.clear();
    parts.production_changes.clear();
    parts.new_connections.clear();
    parts.filed_plans = plans(large);
    parts
}

fn meter_id(index: usize) -> MeterId {
    MeterId::new(format!("S{index:06}"))
}

/// Three of four file a plan each Sunday for the week from Monday on, of a year and of the week under way.
fn plans(large: usize) -> Vec<FiledPlan> {
    let clock = GasDayClock::default();
    let mut plans = Vec::new();
    for customer in (0..large).filter(|customer| customer % 4 != 3) {
        for index in DAYS - 400..DAYS + AHEAD_DAYS {
            let day = first().plus(index);
            let monday = day.plus(-i64::from(day.0.weekday().num_days_from_monday()));
            let available_at = clock.start_of(monday.plus(-1)) + TimeDelta::hours(9);
            if available_at > now() {
                continue;
            }
            let place = usize::try_from(index).unwrap();
            let units: i64 = hours_of(customer, place, day, 12.0).iter().sum();
            plans.push(FiledPlan {
                customer: CustomerId::new(format!("C{customer:06}")),
                day,
                available_at,
                volume: StdVolume::from_units(units / 100_000 * 100_000),
            });
        }
    }
    plans
}

/// Curves of all meters and the demand that they sum to; the gates have a fiftieth more.
pub(crate) fn fill(app: &App) {
    let customers = app.registry().customers.len();
    let registry = app.registry();
    let clock = GasDayClock::default();
    let gates: Vec<MeterId> = registry
        .meters
        .values()
        .filter(|m| m.role == MeterRole::Gate)
        .map(|m| m.id.clone())
        .collect();
    let nodes: Vec<_> = (0..customers)
        .map(|c| registry.node_of(&registry.meters[&meter_id(c)]).unwrap())
        .collect();
    for index in 0..=DAYS {
        let day = first().plus(index);
        // An hour of today has passed.
        let known = if day == today() { 1 } else { 24 };
        let mean_c = (0..24)
            .map(|h| temperature(clock.start_of(day) + TimeDelta::hours(h)))
            .sum::<f64>()
            / 24.0;
        let place = usize::try_from(index).unwrap();
        let mut city = [0_i64; 24];
        let mut demand = BTreeMap::new();
        let mut curves = Vec::with_capacity(customers + gates.len());
        for (customer, node) in nodes.iter().enumerate().take(customers) {
            let hours = hours_of(customer, place, day, mean_c);
            let of_node = demand.entry(node).or_insert([0_i64; 24]);
            for ((sum, of_node), units) in city.iter_mut().zip(of_node.iter_mut()).zip(hours) {
                *sum += units;
                *of_node += units;
            }
            curves.push(curve(meter_id(customer), day, hours, known));
        }
        let gate = city.map(|units| units / i64::try_from(gates.len()).unwrap() * 51 / 50);
        curves.extend(gates.iter().map(|id| curve(id.clone(), day, gate, known)));
        app.journal
            .put_curves(CurveBatch {
                curves,
                cleared: Vec::new(),
                computed_at: now(),
            })
            .unwrap();
        if day < today() {
            let demand = demand.into_iter().map(|(node, hours)| DemandDay {
                node: node.clone(),
                day,
                hours_m3: hours.map(|units| StdVolume::from_units(units).to_f64()),
                coverage: 1.0,
                uncertainty_m3: 0.0,
            });
            app.book
                .restate_demand_days(Vec::new(), demand.collect(), now())
                .unwrap();
        }
    }
    fill_readings(app);
    let marks = app.journal.stale_demand_days().unwrap();
    app.journal.clear_stale_demand(marks).unwrap();
    fill_weather(app, &registry);
}

fn curve(meter: MeterId, day: GasDay, hours: [i64; 24], known: usize) -> CurveWrite {
    let mut curve = LoadCurve::missing(meter, day);
    for (hour, units) in hours.into_iter().enumerate().take(known) {
        curve.hours[hour] = StdVolume::from_units(units);
        curve.quality[hour] = Quality::Measured;
    }
    CurveWrite {
        curve,
        findings: Vec::new(),
    }
}

/// Hourly totals of yesterday of those that use much: what the ledger shows as the latest.
fn fill_readings(app: &App) {
    let meters = app.registry().customers.len().min(LARGE_MAX);
    for hour in 0..24 {
        let sampled_at = now() - TimeDelta::hours(24 - hour);
        let batch = (0..meters).map(|index| JournalEntry::Reading {
            reading: Reading {
                meter: meter_id(index),
                sampled_at,
                received_at: sampled_at,
                transport: Transport::Mqtt,
                values: vec![(Item::TotalStd, ItemValue::Exact(1_000_000 + hour * 31_000))],
                frozen: Vec::new(),
                alarms: AlarmSet::default(),
            },
            findings: Vec::new(),
        });
        app.journal.commit_blocking(batch.collect()).unwrap();
    }
}

fn fill_weather(app: &App, registry: &Registry) {
    let clock = GasDayClock::default();
    let points = |from: DateTime<Utc>, hours: i64| {
        let at = move |hour| from + TimeDelta::hours(hour);
        (0..hours)
            .map(|hour| WeatherPoint {
                at: at(hour),
                temperature_c: temperature(at(hour)),
            })
            .collect()
    };
    let mut vintages = Vec::new();
    let stations: BTreeSet<String> = registry
        .zones
        .values()
        .flat_map(|zone| zone.weather_station.stations())
        .map(|(station, _)| station.to_owned())
        .collect();
    for station in stations {
        for back in 0..=DAYS {
            let from = clock.start_of(first().plus(back));
            let hours = if back == DAYS { 1 } else { 24 };
            let at = from + TimeDelta::hours(hours);
            vintages.push(WeatherVintage {
                station: station.clone(),
                kind: WeatherKind::Observed,
                issued_at: at,
                available_at: at,
                points: points(from, hours),
            });
        }
        vintages.push(WeatherVintage {
            station,
            kind: WeatherKind::Forecast,
            issued_at: now(),
            available_at: now(),
            points: points(now(), AHEAD_DAYS * 24),
        });
    }
    app.book.put_weather(vintages).unwrap();
}
