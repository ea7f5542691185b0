//! The balance of gates and meters from what the stores hold.

use std::collections::BTreeMap;

use crate::domain::calendar::GasDay;
use crate::domain::id::ZoneId;
use crate::domain::meter::MeterRole;
use crate::domain::quantity::StdVolume;
use crate::domain::registry::Registry;
use crate::forecast::weather::ZoneWeather;
use crate::ledger::balance::{Balance, BalanceBuilder};
use crate::run::app::App;
use crate::run::pipes::Pipes;
use crate::store::error::StoreError;

/// Gate against meters over the gas days `[from, to)`, with temperatures as observed until now, and with
/// line pack where pipes and pressures are known. Blocks.
///
/// # Errors
/// What the stores say.
pub fn balance(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<Balance, StoreError> {
    let mut gates = Vec::new();
    for meter in registry.meters.values() {
        if meter.role == MeterRole::Gate {
            gates.extend(app.journal.curves_of(&meter.id, from, to)?);
        }
    }
    let temperatures = temperatures(app, registry, from, to)?;
    let mut builder = BalanceBuilder::new(registry, &gates, &temperatures);
    app.journal
        .for_each_curve(from, to, |curve| builder.add(&curve))?;
    let packs = line_packs(app, registry, &builder.days())?;
    Ok(builder.finish().with_line_pack(&packs))
}

/// How much the line pack of each zone grew over its days, and on how many of them that is known.
fn line_packs(
    app: &App,
    registry: &Registry,
    days: &BTreeMap<ZoneId, Vec<GasDay>>,
) -> Result<BTreeMap<ZoneId, (StdVolume, usize)>, StoreError> {
    let mut packs = BTreeMap::new();
    for (zone, days) in days {
        let mut pipes = Pipes::of(&app.journal, registry, zone);
        let mut growth = (StdVolume::ZERO, 0);
        for day in days {
            if let Some(change) = pipes.growth_on(*day)? {
                growth.0 += change;
                growth.1 += 1;
            }
        }
        packs.insert(zone.clone(), growth);
    }
    Ok(packs)
}

fn temperatures(
    app: &App,
    registry: &Registry,
    from: GasDay,
    to: GasDay,
) -> Result<BTreeMap<ZoneId, BTreeMap<GasDay, f64>>, StoreError> {
    let clock = app.gas_day_clock();
    let now = app.clock.now();
    let (start, end) = (clock.start_of(from), clock.start_of(to));
    registry
        .zones
        .values()
        .map(|zone| {
            let observed = app
                .book
                .observed_of(&zone.weather_station, start, end, now)?;
            let weather = ZoneWeather::from_points(clock, end, &observed, &[], None);
            Ok((zone.id.clone(), weather.observed))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{DateTime, TimeDelta, Utc};

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::registry::RegistryParts;
    use crate::domain::source::Zone;
    use crate::domain::weather::{StationMix, WeatherKind, WeatherPoint, WeatherVintage};
    use crate::run::testing;
    use crate::validate::limits::LimitTable;
    use crate::validate::rules;

    fn parts() -> RegistryParts {
        RegistryParts {
            zones: vec![Zone {
                id: "north".into(),
                name: "北区".into(),
                weather_station: StationMix::try_from("57297:0.7;57290:0.3".to_owned()).unwrap(),
                atmosphere_kpa: 101.325,
                pipe_volume_m3: 0.0,
            }],
            ..rules::testing::parts()
        }
    }

    #[test]
    fn a_zone_between_two_stations_has_the_temperature_of_both() {
        let dir = tempfile::tempdir().unwrap();
        let site = testing::site_in(dir.path(), parts(), LimitTable::default());
        let now: DateTime<Utc> = "2026-11-22T01:00:00Z".parse().unwrap();
        let app = App::open(&site, Arc::new(ManualClock::new(now))).unwrap().0;
        let day: GasDay = "2026-11-20".parse().unwrap();
        let from = app.gas_day_clock().start_of(day);
        let vintage = |station: &str, temperature_c: f64| WeatherVintage {
            station: station.into(),
            kind: WeatherKind::Observed,
            issued_at: from,
            available_at: now,
            points: (0..24)
                .map(|hour| WeatherPoint {
                    at: from + TimeDelta::hours(hour),
                    temperature_c,
                })
                .collect(),
        };
        let both = vec![vintage("57297", 10.0), vintage("57290", 0.0)];
        app.book.put_weather(both).unwrap();
        let known = temperatures(&app, &app.registry(), day, day.plus(1)).unwrap();
        assert_eq!(known[&ZoneId::from("north")], BTreeMap::from([(day, 7.0)]));
    }
}
