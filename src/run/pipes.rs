//! What gate meters say of the gas in a zone's pipes, from the journal.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::calendar::GasDay;
use crate::domain::id::{MeterId, ZoneId};
use crate::domain::meter::{Meter, MeterRole};
use crate::domain::quantity::{AbsPressure, StdVolume, Temperature};
use crate::domain::reading::{Item, Reading};
use crate::domain::registry::Registry;
use crate::store::error::StoreError;
use crate::store::journal::Journal;
use crate::validate::convert::interval::{believed, pressure_item};
use crate::validate::line_pack::{self, BRIDGE_MAX, GROUND_C, GateReading, PipeState};

/// A pressure stands for the start of a gas day if it was read this near to it.
const NEAR: TimeDelta = TimeDelta::minutes(75);

/// What each gate showed at an instant.
type Shown<'a> = BTreeMap<&'a MeterId, GateReading>;

/// The pipes of a zone, and what was asked of them last.
pub(super) struct Pipes<'a> {
    journal: &'a Journal,
    registry: &'a Registry,
    zone: &'a ZoneId,
    volume_m3: f64,
    atmosphere_kpa: f64,
    /// What was shown at the end of the day asked for last: where the next one begins.
    last: Option<(GasDay, Shown<'a>)>,
}

impl<'a> Pipes<'a> {
    pub(super) fn of(journal: &'a Journal, registry: &'a Registry, zone: &'a ZoneId) -> Self {
        let of_zone = registry.zones.get(zone);
        Self {
            journal,
            registry,
            zone,
            volume_m3: of_zone.map_or(0.0, |zone| zone.pipe_volume_m3),
            atmosphere_kpa: of_zone.map_or(0.0, |zone| zone.atmosphere_kpa),
            last: None,
        }
    }

    /// How much the line pack grew on a gas day; none where pipes or pressures are not known.
    pub(super) fn growth_on(&mut self, day: GasDay) -> Result<Option<StdVolume>, StoreError> {
        if self.volume_m3 <= 0.0 {
            return Ok(None);
        }
        let clock = self.journal.clock();
        let start = match self.last.take() {
            Some((last, end)) if last.plus(1) == day => end,
            _ => self.shown_at(clock.start_of(day))?,
        };
        let end = self.shown_at(clock.end_of(day))?;
        let reference = self.registry.company.reference;
        let states = mean_states(&start, &end);
        self.last = Some((day, end));
        Ok(states.map(|(start, end)| line_pack::change(self.volume_m3, start, end, reference)))
    }

    /// How much it grew in each hour of a gas day, mean over the gates that show both ends of the hour; zero in
    /// a zone without pipes.
    pub(super) fn growth_within(&self, day: GasDay) -> Result<[Option<StdVolume>; 24], StoreError> {
        if self.volume_m3 <= 0.0 {
            return Ok([Some(StdVolume::ZERO); 24]);
        }
        let clock = self.journal.clock();
        let (start, end) = (clock.start_of(day), clock.end_of(day));
        let reference = self.registry.company.reference;
        let mut sums = [(StdVolume::ZERO, 0_i64); 24];
        for meter in self.gates() {
            if !meter.is_installed_on(day) {
                continue;
            }
            let (from, to) = (start - BRIDGE_MAX, end + BRIDGE_MAX);
            let shown = self.shown_by(meter, from, to)?;
            let hours = line_pack::hourly(self.volume_m3, &shown, start, reference);
            for (sum, grown) in sums.iter_mut().zip(hours) {
                if let Some(grown) = grown {
                    sum.0 += grown;
                    sum.1 += 1;
                }
            }
        }
        let mean = |(sum, gates): (StdVolume, i64)| {
            let units = sum.units().checked_div(gates)?;
            Some(StdVolume::from_units(units))
        };
        Ok(sums.map(mean))
    }

    /// How far it may have moved in an hour of which nothing is known; `known` is what is known of others.
    pub(super) fn spread(&self, known: impl IntoIterator<Item = StdVolume>) -> StdVolume {
        line_pack::spread(self.volume_m3, known, self.registry.company.reference)
    }

    fn gates(&self) -> impl Iterator<Item = &'a Meter> {
        let zone = self.zone;
        let meters = self.registry.meters.values();
        meters.filter(move |meter| meter.zone == *zone && meter.role == MeterRole::Gate)
    }

    /// Usable readings of a gate that tell a pressure that can be believed, sampled in `[from, to)`.
    fn shown_by(
        &self,
        meter: &Meter,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Vec<GateReading>, StoreError> {
        let shown = |reading: &Reading| {
            let pressure = pressure_item(reading);
            let atmosphere_kpa = match pressure {
                Item::PressureGauge => self.atmosphere_kpa,
                _ => 0.0,
            };
            Some(GateReading {
                at: reading.sampled_at,
                pressure: AbsPressure(believed(reading, pressure)? + atmosphere_kpa),
                temperature: believed(reading, Item::Temperature).map(Temperature),
            })
        };
        let readings = self.journal.readings_between(&meter.id, from, to)?;
        Ok(readings.iter().filter_map(shown).collect())
    }

    /// What each gate showed nearest to an instant.
    fn shown_at(&self, at: DateTime<Utc>) -> Result<Shown<'a>, StoreError> {
        let mut all = Shown::new();
        for meter in self.gates() {
            let shown = self.shown_by(meter, at - NEAR, at + NEAR)?;
            let nearest = shown
                .into_iter()
                .min_by_key(|reading| (reading.at - at).abs());
            if let Some(nearest) = nearest {
                all.insert(&meter.id, nearest);
            }
        }
        Ok(all)
    }
}

/// Mean states at two instants over the gates that show both; none if there is none.
fn mean_states(start: &Shown<'_>, end: &Shown<'_>) -> Option<(PipeState, PipeState)> {
    let (mut pressures, mut temperatures, mut gates) = ([0.0; 2], [0.0; 2], 0.0);
    for (gate, first) in start {
        let Some(last) = end.get(gate) else { continue };
        let celsius = first.temperature.zip(last.temperature);
        let celsius = celsius.map_or([GROUND_C; 2], |(first, last)| [first.0, last.0]);
        for (sum, of_gate) in pressures.iter_mut().zip([first, last]) {
            *sum += of_gate.pressure.0;
        }
        for (sum, of_gate) in temperatures.iter_mut().zip(celsius) {
            *sum += of_gate;
        }
        gates += 1.0;
    }
    let state = |pressure: f64, temperature: f64| PipeState {
        pressure: AbsPressure(pressure / gates),
        temperature: Temperature(temperature / gates),
    };
    (gates > 0.0).then(|| {
        let [from, to] = pressures;
        let [from_c, to_c] = temperatures;
        (state(from, from_c), state(to, to_c))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::finding::{Finding, RuleId, Severity, Subject, Words};
    use crate::domain::reading::ItemValue;
    use crate::domain::registry::RegistryParts;
    use crate::domain::source::Zone;
    use crate::run::app::App;
    use crate::run::testing::site_in;
    use crate::store::journal::JournalEntry;
    use crate::validate::limits::LimitTable;
    use crate::validate::rules::testing::{self, at, day};

    /// A ring at 400 kPa absolute and 15 °C at both ends of the day. The gate's clock ran half an hour ahead
    /// for one frame, which V02 refuses; one frame has a pressure of 30,000 kPa, one a probe at −127 °C.
    #[test]
    fn what_is_not_used_or_believed_tells_nothing_of_the_pipes() {
        let gate = Meter {
            id: "gate".into(),
            device: "gate".into(),
            role: MeterRole::Gate,
            ..testing::std_meter()
        };
        let parts = RegistryParts {
            meters: vec![gate],
            zones: vec![Zone {
                id: "z".into(),
                name: "z".into(),
                weather_station: "s".into(),
                atmosphere_kpa: 101.0,
                pipe_volume_m3: 1_000.0,
            }],
            ..testing::parts()
        };
        let dir = tempfile::TempDir::new().unwrap();
        let site = site_in(dir.path(), parts, LimitTable::default());
        let (app, _reload) = App::open(&site, Arc::new(ManualClock::new(at(48)))).unwrap();
        let entry = |minute: i64, kpa: f64, celsius: f64, is_used: bool| {
            let mut reading = testing::total(0, 0);
            reading.meter = "gate".into();
            reading.sampled_at = at(0) + TimeDelta::minutes(minute);
            reading.values = vec![
                (Item::PressureAbs, ItemValue::Float(kpa)),
                (Item::Temperature, ItemValue::Float(celsius)),
            ];
            let ahead = Finding {
                rule: RuleId::V02,
                severity: Severity::Fail,
                subject: Subject::Meter("gate".into()),
                at: reading.sampled_at,
                words: Words::Text("ahead".into()),
            };
            JournalEntry::Reading {
                reading,
                findings: if is_used { vec![] } else { vec![ahead] },
            }
        };
        let growth = |more: Vec<JournalEntry>| {
            app.journal.commit_blocking(more).unwrap();
            let (registry, zone) = (app.registry(), ZoneId::from("z"));
            let mut pipes = Pipes::of(&app.journal, &registry, &zone);
            pipes.growth_on(day()).unwrap()
        };
        let of_day = 24 * 60;
        let sound = vec![
            entry(-10, 400.0, 15.0, true),
            entry(of_day - 10, 400.0, 15.0, true),
        ];
        assert_eq!(growth(sound), Some(StdVolume::ZERO));
        let odd = vec![
            entry(5, 350.0, 15.0, false),
            entry(of_day + 5, 30_000.0, 15.0, true),
            entry(of_day - 4, 400.0, -127.0, true),
        ];
        assert_eq!(growth(odd), Some(StdVolume::ZERO));
    }
}
