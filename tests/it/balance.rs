//! Gates against meters in a simulated city, whose loss is known.

use std::collections::BTreeMap;

use qiliang::domain::finding::Quality;
use qiliang::domain::meter::MeterRole;
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::registry::Registry;
use qiliang::domain::series::LoadCurve;
use qiliang::ledger::balance::BalanceBuilder;
use qiliang::simulate::city::{City, CityConfig};

const DAYS: usize = 30;

fn city() -> City {
    City::new(CityConfig {
        meters: 80,
        history_days: 40,
        live_days: 12,
        ..CityConfig::default()
    })
}

fn curves(city: &City, role: MeterRole) -> Vec<LoadCurve> {
    let mut curves = Vec::new();
    for (index, site) in city.sites().iter().enumerate() {
        if site.meter.role != role {
            continue;
        }
        for day in 0..DAYS {
            let on = city.config().start_on().plus(i64::try_from(day).unwrap());
            let mut curve = LoadCurve::missing(site.meter.id.clone(), on);
            for (volume, units) in curve.hours.iter_mut().zip(city.hour_units(index, day)) {
                let m3 = units as f64 / 10_000.0 * site.meter.fixed_factor;
                *volume = StdVolume::from_f64(m3);
            }
            curve.quality = [Quality::Measured; 24];
            curves.push(curve);
        }
    }
    curves
}

#[test]
fn the_loss_that_was_put_in_comes_out() {
    let city = city();
    let registry = Registry::new(city.registry_parts().unwrap());
    // What the fixed factor of the city's meters takes for granted: then nothing is left to explain.
    let temperatures: BTreeMap<_, BTreeMap<_, _>> = registry
        .zones
        .keys()
        .map(|zone| {
            let days = (0..DAYS).map(|day| i64::try_from(day).unwrap());
            let of_zone = days.map(|day| (city.config().start_on().plus(day), 15.0));
            (zone.clone(), of_zone.collect())
        })
        .collect();
    let gates = curves(&city, MeterRole::Gate);
    let mut builder = BalanceBuilder::new(&registry, &gates, &temperatures);
    let customers = curves(&city, MeterRole::Customer);
    for curve in &customers {
        builder.add(curve);
    }
    let balance = builder.finish();
    assert_eq!(balance.zones.len(), 2);
    // Two percent of what is sold, which is 1.96 % of what is bought, give or take the noise of 30 days.
    for (zone, of) in &balance.zones {
        let ratio = of.unaccounted_ratio().unwrap();
        assert!((ratio - 0.02 / 1.02).abs() < 0.002, "{zone}: {ratio}");
        let normalised = of.unaccounted_normalised_ratio().unwrap();
        // Local pressure is 101 kPa, the factor was made for 101.325: 0.3 % of the small meters' gas.
        assert!((normalised - ratio).abs() < 0.003, "{zone}: {normalised}");
        assert_eq!((of.days, of.filled_days, of.silent_meters), (DAYS, 0, 0));
    }
    let sold: StdVolume = customers.iter().map(LoadCurve::volume).sum();
    let bought: StdVolume = gates.iter().map(LoadCurve::volume).sum();
    assert_eq!(balance.total.unaccounted(), bought - sold);
}
