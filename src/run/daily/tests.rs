//! What is kept says the same as the journal, whatever is written, dropped and asked in whatever order.

use tempfile::TempDir;

use super::*;
use crate::domain::calendar::GasDayClock;
use crate::domain::customer::{Customer, CustomerClass};
use crate::domain::demand::deviation_m3;
use crate::domain::finding::Quality;
use crate::domain::id::CustomerId;
use crate::domain::meter::Meter;
use crate::domain::registry::RegistryParts;
use crate::run::app::App;
use crate::run::facts::{self, CustomerDays};
use crate::run::testing::site_in;
use crate::store::journal::{CurveBatch, CurveWrite, DropRequest, KeptKind, WaitingDays};
use crate::validate::rules::testing::{self, day as today};

/// Customers with one, two and no meters of their own, and one that was connected later.
const CUSTOMERS: [&str; 4] = ["one", "two", "none", "late"];
const METERS: [(&str, &str); 4] = [("a", "one"), ("b", "two"), ("c", "two"), ("d", "late")];
/// Meters of nobody who is asked for: few of them are read over, among many the asked ones are looked for.
const FEW: usize = 2;
const MANY: usize = 40;
const DAYS: i64 = 30;

struct Town {
    dir: TempDir,
    app: App,
    random: u64,
}

impl Town {
    fn new(others: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let (app, _reload) = App::open(&site(&dir), clock(0)).unwrap();
        let town = Self {
            dir,
            app,
            random: 1,
        };
        for offset in 0..DAYS {
            let others = (0..others).map(|other| format!("other {other}"));
            let meters = METERS.iter().map(|(meter, _)| (*meter).to_owned());
            for (place, meter) in others.chain(meters).enumerate() {
                if meter != "d" || offset > 10 {
                    let hour_m3 = 5 + i64::try_from(place).unwrap() + offset;
                    town.put(&meter, first().plus(offset), hour_m3, Quality::Measured);
                }
            }
        }
        town
    }

    fn put(&self, meter: &str, day: GasDay, hour_m3: i64, last: Quality) {
        let mut curve = LoadCurve {
            hours: [StdVolume::from_m3(hour_m3); 24],
            quality: [Quality::Measured; 24],
            ..LoadCurve::missing(meter.into(), day)
        };
        curve.quality[20..].fill(last);
        if !last.has_volume() {
            curve.hours[20..].fill(StdVolume::ZERO);
        }
        let batch = CurveBatch {
            curves: vec![CurveWrite {
                curve,
                findings: Vec::new(),
            }],
            cleared: Vec::new(),
            computed_at: GasDayClock::default().start_of(today()),
        };
        self.app.journal.put_curves(batch).unwrap();
    }

    fn drop_curve(&self, meter: &str, day: GasDay) {
        let request = DropRequest {
            kind: KeptKind::Curves,
            day,
            meters: vec![(meter.into(), day.plus(1))],
        };
        let waiting = WaitingDays::default();
        self.app.journal.drop_rows(request, &waiting).unwrap();
    }

    /// A number below `below`.
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005);
        self.random = self.random.wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn random_day(&mut self) -> GasDay {
        first().plus(i64::try_from(self.random(DAYS.unsigned_abs())).unwrap())
    }
}

fn first() -> GasDay {
    today().plus(-DAYS)
}

fn clock(days: i64) -> Arc<crate::clock::ManualClock> {
    let now = GasDayClock::default().start_of(today().plus(days));
    Arc::new(crate::clock::ManualClock::new(now))
}

fn site(dir: &TempDir) -> crate::run::site::Site {
    let customer = |id: &str| Customer {
        id: id.into(),
        class: CustomerClass::Industrial,
        connected_on: first().0,
        ..testing::Case::flat(10.0).customer
    };
    let meter = |(id, customer): (&str, &str)| Meter {
        id: id.into(),
        device: id.into(),
        customer: Some(customer.into()),
        installed_on: first().0,
        ..testing::std_meter()
    };
    let parts = RegistryParts {
        customers: CUSTOMERS.map(customer).to_vec(),
        meters: METERS.map(meter).to_vec(),
        ..testing::parts()
    };
    site_in(
        dir.path(),
        parts,
        crate::validate::limits::LimitTable::default(),
    )
}

/// Complete days by their definition, read curve by curve.
fn by_curves(app: &App, customer: &CustomerId, from: GasDay, to: GasDay) -> CustomerDays {
    let registry = app.registry();
    let mut days = CustomerDays::default();
    for offset in 0..to.days_since(from).max(0) {
        let day = from.plus(offset);
        let meters: Vec<&Meter> = registry.meters_of(customer).collect();
        let of = |meter: &&Meter| {
            let curves = app.journal.curves_of(&meter.id, day, day.plus(1));
            curves.unwrap().pop().filter(LoadCurve::is_complete)
        };
        let curves: Option<Vec<LoadCurve>> = meters.iter().map(of).collect();
        let Some(curves) = curves.filter(|curves| !curves.is_empty()) else {
            continue;
        };
        days.volumes
            .insert(day, curves.iter().map(LoadCurve::volume).sum());
        let variance = curves
            .iter()
            .map(|curve| deviation_m3(day_uncertainty(curve).to_f64()).powi(2))
            .sum::<f64>();
        if variance > 0.0 {
            days.deviations.insert(day, variance.sqrt());
        }
    }
    days
}

fn hold(app: &App, customers: &[CustomerId], from: GasDay, to: GasDay) {
    let registry = app.registry();
    let kept = facts::days_of(app, &registry, customers, from, to).unwrap();
    assert_eq!(kept.len(), customers.len());
    for customer in customers {
        let read = by_curves(app, customer, from, to);
        assert_eq!(kept[customer], read, "{customer} from {from} to {to}");
    }
}

fn all() -> Vec<CustomerId> {
    CUSTOMERS.map(CustomerId::from).to_vec()
}

#[test]
fn days_are_those_of_the_journal_whatever_was_written_and_asked_before() {
    for others in [FEW, MANY] {
        written_and_asked(Town::new(others));
    }
}

fn written_and_asked(mut town: Town) {
    for _ in 0..300 {
        let (meter, _) = METERS[usize::try_from(town.random(4)).unwrap()];
        let (day, m3) = (town.random_day(), town.random(50));
        match town.random(5) {
            0 => town.drop_curve(meter, day),
            1 => town.put(meter, day, m3.cast_signed(), Quality::Missing),
            2 => town.put(meter, day, m3.cast_signed(), Quality::Estimated),
            3 => town.put(meter, day, m3.cast_signed(), Quality::Measured),
            _ => {}
        }
        let asked = usize::try_from(town.random(4)).unwrap() + 1;
        let (a, b) = (town.random_day(), town.random_day());
        hold(&town.app, &all()[..asked], a.min(b), a.max(b));
        if town.random(3) == 0 {
            hold(&town.app, &all(), first(), today());
        }
    }
    let days = facts::days_of(&town.app, &town.app.registry(), &all(), first(), today()).unwrap();
    let estimated = days.values().map(|of| of.deviations.len()).sum::<usize>();
    assert!(estimated > 3, "estimated days are among them: {estimated}");
}

#[test]
fn days_go_on_and_far_ones_are_read_for_themselves() {
    let town = Town::new(FEW);
    hold(&town.app, &all(), first(), today());
    for later in 1..5 {
        let day = today().plus(later * 7);
        town.put("a", day.plus(-1), 77, Quality::Measured);
        hold(&town.app, &all(), first().plus(later * 7), day);
    }
    // Two years back nothing is kept, and nothing there is.
    hold(
        &town.app,
        &all(),
        first().plus(-2_000),
        first().plus(-1_990),
    );
    hold(&town.app, &all(), first(), today());
    // So far on that the old days are given up; asked for again they are read again.
    hold(&town.app, &all(), today().plus(880), today().plus(890));
    hold(&town.app, &all(), first(), today());
    // A day that nobody has asked for yet lies between those that are known.
    hold(&town.app, &all(), first(), first().plus(2));
    hold(&town.app, &all(), today().plus(-2), today());
}

#[test]
fn nothing_is_read_twice_unless_its_day_was_written() {
    let town = Town::new(FEW);
    let meters: BTreeSet<MeterId> = METERS.iter().map(|(id, _)| MeterId::from(*id)).collect();
    let ids: BTreeSet<&MeterId> = meters.iter().collect();
    let daily = DailyVolumes::default();
    let ask = || {
        let of = |shelf: &Shelf| {
            shelf
                .of(&"a".into(), [first(), today()])
                .collect::<Vec<_>>()
        };
        daily.with(&town.app.journal, &ids, [first(), today()], of)
    };
    let before = ask().unwrap();
    assert_eq!(before.len(), 30);
    // What stands in the file is spoilt behind the journal's back: nobody looks.
    let file = rusqlite::Connection::open(town.app.journal.path()).unwrap();
    file.execute("UPDATE curves SET body = x'00'", []).unwrap();
    assert_eq!(ask().unwrap(), before);
    // One day is written; all else of it cannot be read, which is told, and then nothing is known.
    town.put("a", first().plus(3), 9, Quality::Measured);
    assert!(ask().is_err());
    assert!(ask().is_err());
    // What is mended through the journal is read again.
    for offset in 0..DAYS {
        for (meter, _) in METERS {
            town.put(meter, first().plus(offset), 9, Quality::Measured);
        }
    }
    let after = ask().unwrap();
    assert!(
        after
            .iter()
            .all(|(_, sum)| sum.volume == StdVolume::from_m3(216))
    );
}

#[test]
fn beside_a_daemon_that_writes_nothing_is_kept() {
    let town = Town::new(FEW);
    let beside = App::open_read_only(&site(&town.dir), clock(0)).unwrap();
    hold(&beside, &all(), first(), today());
    town.put("a", first().plus(4), 99, Quality::Measured);
    hold(&beside, &all(), first(), today());
    let a = facts::days_of(&beside, &beside.registry(), &all(), first(), today()).unwrap();
    let of_day = a[&CustomerId::from("one")].volumes[&first().plus(4)];
    assert_eq!(of_day, StdVolume::from_m3(99 * 24));
}
