//! The balance of gates and meters from what the stores hold.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::id::ZoneId;
use crate::domain::meter::MeterRole;
use crate::domain::quantity::{AbsPressure, StdVolume, Temperature};
use crate::domain::reading::{Item, Reading};
use crate::domain::registry::Registry;
use crate::forecast::weather::ZoneWeather;
use crate::ledger::balance::{Balance, BalanceBuilder};
use crate::run::app::App;
use crate::store::error::StoreError;
use crate::validate::line_pack::{self, PipeState};

/// A pressure stands for the start of a gas day if it was read this near to it.
const NEAR: TimeDelta = TimeDelta::minutes(75);
/// Temperature of gas in the ground where the gate does not say: the yearly mean one metre down, °C.
const GROUND_C: f64 = 15.0;

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
        let mut pipes = Pipes::of(app, registry, zone);
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

/// The pipes of a zone, and what was asked of them last.
pub(super) struct Pipes<'a> {
    app: &'a App,
    registry: &'a Registry,
    zone: &'a ZoneId,
    volume_m3: f64,
    /// The state at the end of the day asked for last: where the next one begins.
    last: Option<(GasDay, Option<PipeState>)>,
}

impl<'a> Pipes<'a> {
    pub(super) fn of(app: &'a App, registry: &'a Registry, zone: &'a ZoneId) -> Self {
        let of_zone = registry.zones.get(zone);
        Self {
            app,
            registry,
            zone,
            volume_m3: of_zone.map_or(0.0, |zone| zone.pipe_volume_m3),
            last: None,
        }
    }

    /// How much the line pack grew on a gas day; none where pipes or pressures are not known.
    pub(super) fn growth_on(&mut self, day: GasDay) -> Result<Option<StdVolume>, StoreError> {
        if self.volume_m3 <= 0.0 {
            return Ok(None);
        }
        let clock = self.app.gas_day_clock();
        let start = match self.last {
            Some((last, end)) if last.plus(1) == day => end,
            _ => self.state_at(clock.start_of(day))?,
        };
        let end = self.state_at(clock.end_of(day))?;
        self.last = Some((day, end));
        let reference = self.registry.company.reference;
        Ok(start
            .zip(end)
            .map(|(start, end)| line_pack::change(self.volume_m3, start, end, reference)))
    }

    /// Mean state of the gas at an instant: over the gate meters, each by its reading nearest.
    fn state_at(&self, at: DateTime<Utc>) -> Result<Option<PipeState>, StoreError> {
        let zone = self.registry.zones.get(self.zone);
        let atmosphere = zone.map_or(0.0, |zone| zone.atmosphere_kpa);
        let pressure_of = |reading: &Reading| {
            let gauge = reading.float(Item::PressureGauge);
            reading
                .float(Item::PressureAbs)
                .or_else(|| gauge.map(|gauge| gauge + atmosphere))
        };
        let (mut pressure, mut temperature, mut meters) = (0.0, 0.0, 0.0);
        let gates = self.registry.meters.values();
        for meter in gates.filter(|m| m.zone == *self.zone && m.role == MeterRole::Gate) {
            let (from, to) = (at - NEAR, at + NEAR);
            let readings = self.app.journal.readings_between(&meter.id, from, to)?;
            let nearest = readings
                .iter()
                .filter_map(|reading| Some((reading, pressure_of(reading)?)))
                .min_by_key(|(reading, _)| (reading.sampled_at - at).abs());
            if let Some((reading, kpa)) = nearest {
                pressure += kpa;
                temperature += reading.float(Item::Temperature).unwrap_or(GROUND_C);
                meters += 1.0;
            }
        }
        Ok((meters > 0.0).then(|| PipeState {
            pressure: AbsPressure(pressure / meters),
            temperature: Temperature(temperature / meters),
        }))
    }
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
