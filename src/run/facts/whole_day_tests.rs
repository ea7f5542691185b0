//! Days of which not every node is in yet.

use tempfile::TempDir;

use super::*;
use crate::domain::customer::CustomerClass;
use crate::domain::quantity::StdVolume;
use crate::run::testing::{app_of, put_curves};
use crate::run::{nudging, outlook};
use crate::serve::figures::fixture;

const DAYS: i64 = 40;
/// Part of what came through the gates that is lost.
const LOSS: f64 = 0.02;

/// The fixture's city at 08:05 of the day after `DAYS` days of demand whose gates let in 2 % more.
/// Households are frozen once a day: of yesterday their frames are not in yet.
fn morning(dir: &TempDir) -> App {
    let registry = fixture::registry();
    let today = fixture::day("2026-11-21");
    let now = fixture::at("2026-11-21T08:05:00+08:00");
    let (app, reload) = app_of(dir.path(), registry.clone(), now);
    // The registry is not swapped again.
    drop(reload);
    let mut demand = fixture::demand(&registry, today.plus(-DAYS), DAYS);
    for of_day in demand.chunk_by_mut(|a, b| a.day == b.day) {
        let sold: f64 = of_day.iter().map(DemandDay::volume_m3).sum();
        let gates = fixture::gate_curves(&registry, of_day[0].day, 24);
        let let_in = StdVolume::from_f64(sold / (1.0 - LOSS) / gates.len() as f64 / 24.0);
        put_curves(
            &app,
            gates.into_iter().map(|mut curve| {
                curve.hours = [let_in; 24];
                curve
            }),
        );
    }
    for day in demand.iter_mut().filter(|d| d.day == today.plus(-1)) {
        if day.node.class == CustomerClass::ResidentialHeating {
            day.coverage = 0.0;
        }
    }
    app.book
        .restate_demand_days(Vec::new(), demand, chrono::DateTime::default())
        .unwrap();
    app
}

#[test]
fn a_class_that_is_not_in_yet_is_no_loss() {
    let dir = TempDir::new().unwrap();
    let app = morning(&dir);
    let ratio = unaccounted_ratio(&app, &app.registry(), app.today()).unwrap();
    assert!((ratio - LOSS).abs() < 1e-5, "{ratio}");
}

#[test]
fn no_sum_over_the_city_has_a_day_on_which_a_node_is_missing() {
    let dir = TempDir::new().unwrap();
    let app = morning(&dir);
    let today = app.today();
    let nodes = app.registry().nodes().len();
    let whole = whole_days(&app, today.plus(-5), today).unwrap();
    assert_eq!(whole.len(), 4 * nodes);
    assert!(whole.iter().all(|d| d.day < today.plus(-1)));
    // Node by node yesterday is known where it is.
    let alone = demand_before(&app, today).unwrap();
    let yesterday = alone.iter().filter(|d| d.day == today.plus(-1));
    assert_eq!(yesterday.count(), nodes - 1);

    let totals = outlook::day_totals(&app, today).unwrap();
    assert_eq!(totals.keys().next_back(), Some(&today.plus(-2)));
    let alike = outlook::similar(&app, today.plus(1), 60).unwrap();
    assert!(alike.days.iter().all(|d| d.gas_day < today.plus(-1)));
    let peaks = nudging::recent_peaks(&app, today).unwrap();
    assert_eq!(peaks.len(), 29);
    assert!(peaks.is_sorted(), "{peaks:?}");
}
