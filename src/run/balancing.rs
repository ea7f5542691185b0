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
            let observed =
                app.book
                    .observed_known_at(zone.weather_station.as_str(), start, end, now)?;
            let weather = ZoneWeather::from_points(clock, end, &observed, &[], None);
            Ok((zone.id.clone(), weather.observed))
        })
        .collect()
}
