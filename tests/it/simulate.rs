//! The simulated city over its real wires: registry files, Modbus TCP, MQTT through mosquitto.
mod decode;
mod modbus;
mod mqtt;

use std::collections::BTreeMap;
use std::path::Path;

use qiliang::domain::contract::SupplyContract;
use qiliang::domain::customer::Customer;
use qiliang::domain::filing::{FiledPlan, ProductionChange};
use qiliang::domain::meter::{Gateway, Meter, MeterExchange};
use qiliang::domain::registry::{Company, Registry};
use qiliang::domain::source::{GasQuality, GasSource, SourceShare, Zone};
use qiliang::run::local_calendar;
use qiliang::simulate::city::{City, CityConfig};
use serde::de::DeserializeOwned;

fn city() -> City {
    City::new(CityConfig {
        meters: 120,
        history_days: 30,
        live_days: 5,
        ..CityConfig::default()
    })
}

fn rows<T: DeserializeOwned>(dir: &Path, name: &str) -> Vec<T> {
    let mut reader = csv::Reader::from_path(dir.join(name)).unwrap();
    reader
        .deserialize()
        .map(|row| row.unwrap_or_else(|error| panic!("{name}: {error}")))
        .collect()
}

#[test]
fn registry_files_read_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let city = city();
    city.write_registry(dir.path()).unwrap();
    let parts = city.registry_parts().unwrap();
    let text = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();

    let company: Company = toml::from_str(&text("company.toml")).unwrap();
    assert_eq!(company, parts.company);
    let contracts: BTreeMap<String, Vec<SupplyContract>> =
        toml::from_str(&text("contracts.toml")).unwrap();
    assert_eq!(contracts["contract"], parts.contracts);
    assert_eq!(rows::<Zone>(dir.path(), "zones.csv"), parts.zones);
    assert_eq!(rows::<GasSource>(dir.path(), "sources.csv"), parts.sources);
    assert_eq!(
        rows::<SourceShare>(dir.path(), "source_shares.csv"),
        parts.shares
    );
    assert_eq!(
        rows::<Customer>(dir.path(), "customers.csv"),
        parts.customers
    );
    assert_eq!(rows::<Meter>(dir.path(), "meters.csv"), parts.meters);
    assert_eq!(
        rows::<MeterExchange>(dir.path(), "exchanges.csv"),
        parts.exchanges
    );
    assert_eq!(rows::<Gateway>(dir.path(), "gateways.csv"), parts.gateways);
    assert_eq!(
        rows::<GasQuality>(dir.path(), "gas_quality.csv"),
        parts.gas_qualities
    );
    assert_eq!(
        rows::<ProductionChange>(dir.path(), "production_changes.csv"),
        parts.production_changes
    );
    assert_eq!(
        rows::<FiledPlan>(dir.path(), "filed_plans.csv"),
        parts.filed_plans
    );
    let today = city.config().today().0;
    let (places, problems) = local_calendar::load(dir.path(), None, today);
    assert_eq!(problems, []);
    assert_eq!(places, city.config().calendar.places());
    assert!(!parts.exchanges.is_empty() && !parts.filed_plans.is_empty());
}

#[test]
fn references_in_the_registry_hold() {
    let city = city();
    let parts = city.registry_parts().unwrap();
    let meters = parts.meters.len();
    let registry = Registry::new(parts);
    assert_eq!(registry.meters.len(), meters, "a meter id is used twice");
    for meter in registry.meters.values() {
        assert!(registry.zones.contains_key(&meter.zone), "{}", meter.id);
        assert_eq!(registry.meter_of(&meter.device).unwrap().id, meter.id);
        if let Some(customer) = &meter.customer {
            assert!(registry.customers.contains_key(customer), "{customer}");
        }
        if let Some(gateway) = &meter.gateway {
            assert!(registry.gateways.contains_key(gateway), "{gateway}");
            assert!((1..=247).contains(&meter.unit));
        }
    }
    for index in 0..30 {
        let day = city.config().start_on().plus(index);
        let mut sums: BTreeMap<String, f64> = BTreeMap::new();
        for (zone, source, share) in registry.shares_on(day) {
            assert!(registry.sources.contains_key(&source));
            *sums.entry(zone.to_string()).or_default() += share;
        }
        assert_eq!(sums.len(), 2, "{day}");
        assert!(sums.values().all(|sum| (sum - 1.0).abs() < 1e-9), "{day}");
        for source in registry.sources.keys() {
            assert!(
                registry.contract_of(source, day).is_some(),
                "{source} {day}"
            );
        }
    }
    for exchange in &registry.exchanges {
        assert!(registry.meters.contains_key(&exchange.meter));
    }
    for zone in registry.zones.keys() {
        let classes = registry.nodes().iter().filter(|n| n.zone == *zone).count();
        assert!(classes >= 6, "{zone}: {classes}");
    }
}

#[test]
fn a_city_is_written_with_its_weather_and_history() {
    let dir = tempfile::tempdir().unwrap();
    let config = CityConfig {
        meters: 40,
        history_days: 6,
        live_days: 2,
        ..CityConfig::default()
    };
    let mut heard = Vec::new();
    let written = qiliang::simulate::write(dir.path(), config, true, &mut |what, count| {
        heard.push((what.to_owned(), count));
    })
    .unwrap();
    let lines = |name: &str| {
        std::fs::read_to_string(dir.path().join(name))
            .unwrap()
            .lines()
            .count() as u64
    };
    assert_eq!(written.meters, 40);
    assert_eq!(lines("weather.ndjson"), written.vintages);
    assert_eq!(lines("history.ndjson"), written.frames);
    assert_eq!(lines("faults.txt"), written.faults + 1);
    assert!(written.frames > 150 && written.faults > 10, "{written:?}");
    assert!(dir.path().join("registry/meters.csv").is_file());
    // What is written can be used as it stands.
    let settings = qiliang::settings::load(Some(&dir.path().join("site.toml"))).unwrap();
    assert_eq!(settings.paths.registry_dir, dir.path().join("registry"));
    let weather = dir.path().join("weather.ndjson");
    let vintages = qiliang::collect::weather::read_file(&weather, chrono::Utc::now()).unwrap();
    assert_eq!(vintages.len() as u64, written.vintages);
    assert!(heard.contains(&("meters".to_owned(), 40)));
}
