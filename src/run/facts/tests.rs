//! Customers with more than one meter, of which not all are always there.

use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::clock::ManualClock;
use crate::domain::customer::Customer;
use crate::domain::finding::Quality;
use crate::domain::meter::SettlementTotal;
use crate::domain::quantity::WorkVolume;
use crate::domain::reading::{Item, ItemValue};
use crate::domain::registry::RegistryParts;
use crate::ledger::entry::RegisterTotal;
use crate::run::ledgering::latest_totals;
use crate::run::testing::site_in;
use crate::store::journal::{CurveBatch, CurveWrite, JournalEntry};
use crate::validate::limits::LimitTable;
use crate::validate::rules::testing::{self, at, day};

const DAYS: i64 = 40;

/// A customer's first meter used 10 m³ an hour on each of the forty days before `day()`; what the row of
/// `other` does to that, with 1 m³ an hour of it on the days that `reports` names.
fn with_second(other: Meter, reports: std::ops::Range<i64>) -> (TempDir, App) {
    let from = day().plus(-DAYS).0;
    let first = Meter {
        id: "first".into(),
        device: "first".into(),
        customer: Some("c".into()),
        installed_on: from,
        ..testing::std_meter()
    };
    let parts = RegistryParts {
        customers: vec![Customer {
            connected_on: from,
            ..testing::Case::flat(10.0).customer
        }],
        meters: vec![first, other],
        ..testing::parts()
    };
    let dir = TempDir::new().unwrap();
    let site = site_in(dir.path(), parts, LimitTable::default());
    let (app, _reload) = App::open(&site, Arc::new(ManualClock::new(at(1)))).unwrap();
    let curve = |meter: &str, back: i64, hour_m3| CurveWrite {
        curve: LoadCurve {
            hours: [StdVolume::from_m3(hour_m3); 24],
            quality: [Quality::Measured; 24],
            ..LoadCurve::missing(meter.into(), day().plus(back))
        },
        findings: Vec::new(),
    };
    let of_first = (-DAYS..0).map(|back| curve("first", back, 10));
    let curves = of_first
        .chain(reports.map(|back| curve("second", back, 1)))
        .collect();
    let batch = CurveBatch {
        curves,
        cleared: Vec::new(),
        computed_at: at(1),
    };
    app.journal.put_curves(batch).unwrap();
    (dir, app)
}

fn second(installed_on: GasDay) -> Meter {
    Meter {
        id: "second".into(),
        device: "second".into(),
        customer: Some("c".into()),
        installed_on: installed_on.0,
        ..testing::std_meter()
    }
}

/// Volumes of the customer's complete days, m³, by days before `day()`.
fn days_m3(app: &App) -> BTreeMap<i64, i64> {
    let (registry, customer) = (app.registry(), CustomerId::from("c"));
    let (from, to) = (day().plus(-DAYS), day());
    let days = daily_of(app, &registry, [&customer], from, to).unwrap();
    days[&customer]
        .iter()
        .map(|(of, volume)| (of.days_since(day()), volume.round_m3()))
        .collect()
}

fn completeness(app: &App) -> f64 {
    let customer = CustomerId::from("c");
    let week_ago = day().plus(-7);
    completeness_of(app, &app.registry(), [&customer], week_ago, day()).unwrap()[&customer]
}

#[test]
fn a_meter_that_is_new_today_takes_no_day_away() {
    let (_dir, app) = with_second(second(day()), 0..0);
    let all: BTreeMap<i64, i64> = (-DAYS..0).map(|back| (back, 240)).collect();
    assert_eq!(days_m3(&app), all);
    let customer = CustomerId::from("c");
    let yesterday = hours_of(&app, &app.registry(), [&customer], day().plus(-1)).unwrap();
    assert_eq!(yesterday[&customer], [Some(StdVolume::from_m3(10)); 24]);
    assert!((completeness(&app) - 1.0).abs() < 1e-12);
}

#[test]
fn from_its_day_on_a_new_meter_must_be_there() {
    // In use for five days, of which the second one reported three.
    let (_dir, app) = with_second(second(day().plus(-5)), -3..0);
    let days = days_m3(&app);
    assert_eq!(days.len(), 38, "{days:?}");
    assert_eq!([days[&-6], days[&-3]], [240, 264]);
    assert!(!days.contains_key(&-5) && !days.contains_key(&-4));
    let customer = CustomerId::from("c");
    let hours = hours_of(&app, &app.registry(), [&customer], day().plus(-4)).unwrap();
    assert_eq!(hours[&customer], [None; 24]);
    assert!((completeness(&app) - 10.0 / 12.0).abs() < 1e-12);
}

#[test]
fn what_a_meter_said_before_it_was_in_use_is_not_the_customers() {
    let (_dir, app) = with_second(second(day().plus(-5)), -10..0);
    assert_eq!([days_m3(&app)[&-6], days_m3(&app)[&-5]], [240, 264]);
}

#[test]
fn after_its_last_day_a_meter_is_not_waited_for() {
    let gone = Meter {
        removed_on: Some(day().plus(-4).0),
        ..second(day().plus(-10))
    };
    // It reports until the day before its last.
    let (_dir, app) = with_second(gone, -10..-4);
    let days = days_m3(&app);
    assert!(!days.contains_key(&-4), "its last day is not whole");
    assert_eq!([days[&-11], days[&-5], days[&-3]], [240, 264, 240]);
    assert_eq!(days.len(), 39);
}

/// The register shows 12,345 m³ at metering conditions; with a fixed factor of 1.02 the ledger said 12,591.9.
#[test]
fn the_ledger_shows_what_the_register_shows() {
    let work = Meter {
        settlement: SettlementTotal::Work,
        fixed_factor: 1.02,
        ..second(day())
    };
    let (_dir, app) = with_second(work, 0..0);
    let mut shown = testing::total(0, 0);
    shown.meter = "second".into();
    shown.values = vec![(Item::TotalWork, ItemValue::Exact(123_450_000))];
    app.journal
        .commit_blocking(vec![JournalEntry::Reading {
            reading: shown,
            findings: Vec::new(),
        }])
        .unwrap();
    let customer = CustomerId::from("c");
    let latest = latest_totals(&app, &app.registry(), [&customer].into_iter()).unwrap();
    assert_eq!(
        latest[&MeterId::from("second")].total,
        RegisterTotal::Work(WorkVolume::from_m3(12_345))
    );
}
