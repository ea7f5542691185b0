//! A meter that is silent behind a gate whose ring swings: what stays in the pipes is not taken for its use.

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::domain::calendar::GasDayClock;
use crate::domain::customer::Customer;
use crate::domain::estimate::Method;
use crate::domain::quantity::{AbsPressure, ReferenceConditions, Temperature};
use crate::domain::reading::{Item, ItemValue, Reading};
use crate::domain::registry::RegistryParts;
use crate::domain::source::Zone;
use crate::run::curves;
use crate::run::deps::{self, Stages};
use crate::run::testing::site_in;
use crate::store::journal::JournalEntry;
use crate::validate::limits::LimitTable;
use crate::validate::line_pack::{self, PipeState};
use crate::validate::rules::testing::{self, day};

const PIPES_M3: f64 = 100.0;
/// Gauge pressures of the ring, hour after hour, kPa above 300.
const SWING_KPA: [f64; 8] = [0.0, 5.0, 10.0, 5.0, 0.0, -5.0, -10.0, -5.0];

fn start_of(day: GasDay) -> DateTime<Utc> {
    GasDayClock::default().start_of(day)
}

fn gauge_kpa(hour: i64) -> f64 {
    let place = usize::try_from(hour.rem_euclid(8)).unwrap();
    300.0 + SWING_KPA[place]
}

/// How much more lies in the pipes at the end of an hour.
fn grown(hour: i64) -> StdVolume {
    let state = |hour| PipeState {
        pressure: AbsPressure(gauge_kpa(hour) + 101.0),
        temperature: Temperature(12.0),
    };
    let reference = ReferenceConditions::CHINA;
    line_pack::change(PIPES_M3, state(hour), state(hour + 1), reference)
}

fn parts() -> RegistryParts {
    let meter = |id: &str, customer: Option<&str>, flow_max_m3h| Meter {
        id: id.into(),
        device: id.into(),
        role: customer.map_or(MeterRole::Gate, |_| MeterRole::Customer),
        customer: customer.map(Into::into),
        zone: "north".into(),
        total_digits: 9,
        flow_max_m3h,
        ..testing::std_meter()
    };
    let customer = |id: &str, class| Customer {
        id: id.into(),
        zone: "north".into(),
        class,
        ..testing::Case::flat(10.0).customer
    };
    RegistryParts {
        customers: vec![
            customer("e", CustomerClass::Industrial),
            customer("h", CustomerClass::ResidentialCooking),
        ],
        meters: vec![
            meter("gate", None, 400.0),
            meter("works", Some("e"), 100.0),
            meter("home", Some("h"), 40.0),
        ],
        zones: vec![Zone {
            id: "north".into(),
            name: "North".into(),
            weather_station: "zz".into(),
            atmosphere_kpa: 101.0,
            pipe_volume_m3: PIPES_M3,
        }],
        ..testing::parts()
    }
}

/// The estimates of a day of the silent home, which uses 10 m³ an hour; the works use 30. The gate tells
/// its pressure in the hours of the day that `tells` names.
fn silent_home(tells: impl Fn(i64) -> bool) -> [Option<Estimate>; 24] {
    let dir = TempDir::new().unwrap();
    let site = site_in(dir.path(), parts(), LimitTable::default());
    let clock = Arc::new(ManualClock::new(start_of(day().plus(2))));
    let (app, _reload) = App::open(&site, clock).unwrap();
    let mut entries = Vec::new();
    let mut gate = StdVolume::from_m3(1_000);
    for hour in -2..28 {
        let sampled_at = start_of(day()) + TimeDelta::hours(hour);
        let reading = |meter: &str, total: StdVolume| Reading {
            meter: meter.into(),
            sampled_at,
            received_at: sampled_at,
            values: vec![(Item::TotalStd, ItemValue::Exact(total.units()))],
            ..testing::total(0, 0)
        };
        let mut of_gate = reading("gate", gate);
        if tells(hour) {
            let kpa = ItemValue::Float(gauge_kpa(hour));
            of_gate.values.push((Item::PressureGauge, kpa));
            of_gate
                .values
                .push((Item::Temperature, ItemValue::Float(12.0)));
        }
        let works = StdVolume::from_m3(500 + 30 * hour);
        for reading in [of_gate, reading("works", works)] {
            entries.push(JournalEntry::Reading {
                reading,
                findings: Vec::new(),
            });
        }
        gate = gate + StdVolume::from_m3(40) + grown(hour);
    }
    app.journal.commit_blocking(entries).unwrap();
    curves::drain(&deps::curves(&app, &Stages::default())).unwrap();
    let estimates = Estimator::new(&app).of_meter(&"home".into(), day());
    estimates.unwrap().missing
}

#[test]
fn what_stays_in_the_pipes_is_no_use_of_a_silent_meter() {
    for (hour, found) in silent_home(|_| true).into_iter().enumerate() {
        let found = found.unwrap();
        assert_eq!(found.method, Method::E7);
        assert_eq!(found.volume, StdVolume::from_m3(10), "hour {hour}");
        assert_eq!(found.uncertainty, StdVolume::from_m3(9), "hour {hour}");
    }
}

#[test]
fn where_the_pressure_is_not_known_what_may_stay_widens_the_estimate() {
    // Nobody tells any: 10 kPa may have moved in 100 m³ at 15 °C, 10.0405 m³.
    for (hour, found) in (0..).zip(silent_home(|_| false)) {
        let found = found.unwrap();
        let volume = (StdVolume::from_m3(10) + grown(hour)).max(StdVolume::ZERO);
        assert_eq!(found.volume, volume, "hour {hour}");
        let expected = (0.9 * volume.to_f64()).hypot(10.0405);
        let off = (found.uncertainty.to_f64() - expected).abs();
        assert!(off < 1e-3, "hour {hour}: {found:?}");
    }
    // Told but for noon: the two hours beside it are as uncertain as the others moved, 5 kPa.
    let some = silent_home(|hour| hour != 12);
    let moved = grown(0).to_f64();
    for (hour, found) in (0..).zip(some) {
        let found = found.unwrap();
        if hour == 11 || hour == 12 {
            let expected = (0.9 * found.volume.to_f64()).hypot(moved);
            let off = (found.uncertainty.to_f64() - expected).abs();
            assert!(off < 1e-3, "hour {hour}: {found:?}");
        } else {
            assert_eq!(found.volume, StdVolume::from_m3(10), "hour {hour}");
        }
    }
}
