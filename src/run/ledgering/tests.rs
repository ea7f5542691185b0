//! The ledger and the declaration of a program that has been asked before are those of one that reads and
//! learns everything anew.

use chrono::TimeDelta;
use tempfile::TempDir;

use super::*;
use crate::clock::{Clock as _, ManualClock};
use crate::domain::calendar::GasMonth;
use crate::domain::demand::{DemandDay, DemandNode};
use crate::domain::finding::Quality;
use crate::domain::series::LoadCurve;
use crate::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};
use crate::run::site::Site;
use crate::run::testing::site_in;
use crate::run::{forecasting, planning};
use crate::simulate::city::{City, CityConfig};
use crate::store::journal::{CurveBatch, CurveWrite};
use crate::validate::limits::LimitTable;

const DAYS: usize = 160;

struct Town {
    dir: TempDir,
    city: City,
    clock: Arc<ManualClock>,
    app: App,
}

impl Town {
    fn new() -> Self {
        let city = City::new(CityConfig {
            meters: 24,
            enterprises: 3,
            history_days: u32::try_from(DAYS).unwrap(),
            live_days: 5,
            ..CityConfig::default()
        });
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(city.config().now_at));
        let site = site(&dir, &city);
        let (app, _reload) = App::open(&site, Arc::clone(&clock) as _).unwrap();
        let town = Self {
            dir,
            city,
            clock,
            app,
        };
        for day in 0..DAYS {
            town.live_through(day);
        }
        town.weather();
        town
    }

    /// Curves of a gas day of the history, and the demand they sum to.
    fn live_through(&self, index: usize) {
        let day = self.day(index);
        let registry = self.app.registry();
        let mut demand: BTreeMap<DemandNode, [f64; 24]> = BTreeMap::new();
        for (site, place) in self.city.sites().iter().enumerate() {
            let hours = self.city.hour_units(site, index).map(StdVolume::from_units);
            self.put(&place.meter.id, day, hours);
            if let Some(node) = registry.node_of(&place.meter) {
                let sums = demand.entry(node).or_insert([0.0; 24]);
                for (sum, hour) in sums.iter_mut().zip(hours) {
                    *sum += hour.to_f64();
                }
            }
        }
        let demand = demand.into_iter().map(|(node, hours_m3)| DemandDay {
            node,
            day,
            hours_m3,
            coverage: 1.0,
            uncertainty_m3: 0.0,
        });
        self.app
            .book
            .restate_demand_days(Vec::new(), demand.collect(), chrono::DateTime::default())
            .unwrap();
    }

    fn weather(&self) {
        let registry = self.app.registry();
        let from = self.app.gas_day_clock().start_of(self.day(0));
        let hours = i64::try_from(DAYS * 24).unwrap();
        let stations = registry.zones.values();
        let stations = stations.flat_map(|zone| zone.weather_station.stations());
        let vintages = stations.map(|(station, _)| WeatherVintage {
            station: station.to_owned(),
            kind: WeatherKind::Observed,
            issued_at: from,
            available_at: from,
            points: (0..hours)
                .map(|hour| WeatherPoint {
                    at: from + TimeDelta::hours(hour),
                    temperature_c: 10.0 + (hour as f64 / 200.0).sin() * 8.0,
                })
                .collect(),
        });
        self.app.book.put_weather(vintages.collect()).unwrap();
    }

    fn day(&self, index: usize) -> GasDay {
        let first = self.city.config().start_on();
        first.plus(i64::try_from(index).unwrap())
    }

    fn put(&self, meter: &MeterId, day: GasDay, hours: [StdVolume; 24]) {
        let curve = LoadCurve {
            hours,
            quality: [Quality::Measured; 24],
            ..LoadCurve::missing(meter.clone(), day)
        };
        let batch = CurveBatch {
            curves: vec![CurveWrite {
                curve,
                findings: Vec::new(),
            }],
            cleared: Vec::new(),
            computed_at: self.app.clock.now(),
        };
        self.app.journal.put_curves(batch).unwrap();
    }

    /// The ledger, which is that of a program that keeps nothing. Who is on it and why is found once a gas
    /// day, so that late readings of the year are in the words of the reason from tomorrow on.
    fn ledger(&self) -> Vec<LedgerEntry> {
        let [said, anew] = [&self.app, &self.anew()].map(|app| {
            let mut entries = entries(app).unwrap();
            for entry in &mut entries {
                entry.basis.clear();
            }
            entries
        });
        assert_eq!(said, anew);
        said
    }

    fn anew(&self) -> App {
        let mut site = site(&self.dir, &self.city);
        site.settings.forecast.memory_mb = 0;
        App::open_read_only(&site, Arc::clone(&self.clock) as _).unwrap()
    }
}

fn site(dir: &TempDir, city: &City) -> Site {
    let parts = city.registry_parts().unwrap();
    let mut site = site_in(dir.path(), parts, LimitTable::default());
    site.calendar = Arc::new(city.config().calendar.clone());
    site
}

#[test]
fn what_was_asked_before_makes_no_difference() {
    let town = Town::new();
    let first = town.ledger();
    let forecast = first.iter().filter(|entry| entry.forecast.is_some());
    assert!(forecast.count() >= 2, "{first:?}");
    assert_eq!(town.ledger(), first);
    forecasting::publish(&town.app).unwrap();
    assert_eq!(town.ledger(), first, "a run changes nothing that is known");

    // A late reading of a month ago.
    let registry = town.app.registry();
    let meter = registry.meters_of(&first[0].account_no).next().unwrap();
    let hours = [StdVolume::from_m3(77); 24];
    town.put(&meter.id, town.day(DAYS - 30), hours);
    let late = town.ledger();
    assert_ne!(late, first);

    let month = GasMonth {
        year: 2026,
        month: 12,
    };
    let declared = |app: &App| planning::large_consumers(app, month).unwrap();
    let said = declared(&town.app);
    assert_eq!(said, declared(&town.anew()));
    assert_eq!(said.len(), first.len());

    // The next day has begun.
    town.live_through(DAYS);
    town.clock.set(town.clock.now() + TimeDelta::days(1));
    assert_ne!(town.ledger(), late);
}
