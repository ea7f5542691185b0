use tempfile::TempDir;

use super::*;
use crate::domain::customer::SaleMode;
use crate::domain::series::LoadCurve;
use crate::run::testing::{app_of, put_curves};
use crate::serve::figures::fixture;

const TODAY: &str = "2026-11-21";
const RATIO: f64 = 0.05;

/// The fixture's city with curves of gates and customers on the days from `from` to yesterday.
fn city(dir: &TempDir, registry: &Registry, from: &str) -> App {
    let now = fixture::at("2026-11-21T08:05:00+08:00");
    let (app, reload) = app_of(dir.path(), registry.clone(), now);
    drop(reload);
    let (from, today) = (fixture::day(from), fixture::day(TODAY));
    for i in 0..today.days_since(from) {
        put_curves(&app, curves_on(registry, from.plus(i)));
    }
    let days = today.days_since(from);
    let demand = fixture::demand(registry, from, days);
    app.book
        .restate_demand_days(Vec::new(), demand, chrono::DateTime::default())
        .unwrap();
    app
}

fn curves_on(registry: &Registry, day: GasDay) -> impl Iterator<Item = LoadCurve> {
    let gates = fixture::gate_curves(registry, day, 24);
    gates
        .into_iter()
        .chain(fixture::customer_curves(registry, day, 24))
}

fn history(app: &App, month: &str) -> MonthHistory {
    let registry = app.registry();
    let forecast = fixture::forecast(&registry, "2026-11-21T08:05:00+08:00", 45);
    let month = month.parse().unwrap();
    month_history(app, &registry, month, &forecast, None, RATIO).unwrap()
}

#[test]
fn forecast_days_are_bought_with_their_loss_as_past_days_are() {
    let dir = TempDir::new().unwrap();
    let registry = fixture::registry();
    let app = city(&dir, &registry, "2026-11-01");
    let history = history(&app, "2026-12");
    let (first, today) = (fixture::day("2026-11-01"), fixture::day(TODAY));
    let gates: f64 = fixture::gate_curves(&registry, first, 24)
        .iter()
        .map(|curve| curve.volume().to_f64())
        .sum();
    let forecast = fixture::forecast(&registry, "2026-11-21T08:05:00+08:00", 45);
    let used_a_day: f64 = forecast.nodes.iter().flat_map(|n| n.p50_m3[0]).sum();
    let past = 20.0 * gates;
    let ahead = 10.0 * used_a_day / (1.0 - RATIO);
    let bought: i64 = history.last_month_by_source.values().sum();
    assert!((bought as f64 - past - ahead).abs() <= 40.0, "{bought}");
    // What is measured of it is told apart.
    let measured = history.last_month_measured.as_ref().unwrap();
    assert_eq!(measured.until, fixture::day("2026-11-20"));
    let until_now: i64 = measured.by_source.values().sum();
    assert!((until_now as f64 - past).abs() <= 40.0, "{until_now}");
    // So the loss of the days to come is in the line of the loss too.
    let demand = fixture::demand(&registry, first, 20);
    let sold: f64 = demand.iter().map(DemandDay::volume_m3).sum();
    let lost = past - sold + 10.0 * used_a_day * (1.0 / (1.0 - RATIO) - 1.0);
    let said = history.last_month_by_class[&CustomerClass::Unaccounted];
    assert!((said as f64 - lost).abs() <= 60.0, "{said} {lost}");
    assert_eq!(history.last_month_by_class.values().sum::<i64>(), bought);
    // Nothing is known of today's hours but that it is a day to come.
    assert_eq!(today.days_since(first), 20);
}

#[test]
fn a_contract_of_two_years_counts_its_present_year() {
    let mut registry = fixture::registry();
    for contract in &mut registry.contracts {
        contract.valid_from = "2025-04-01".parse().unwrap();
        contract.valid_to = "2027-03-31".parse().unwrap();
    }
    let dir = TempDir::new().unwrap();
    // Metering began with the contract year, not with the contract.
    let app = city(&dir, &registry, "2026-04-01");
    let known = history(&app, "2026-12");
    let from = fixture::day("2026-04-01");
    let day = Purchases::read(&app, &registry, from, from.plus(1)).unwrap();
    let a_day = day.day_m3(&"pipe".into(), from).unwrap();
    let past = 234 * a_day;
    let taken = known.taken_by_contract["HT-1"];
    let ahead = known.last_month_by_source["pipe"] - 20 * a_day;
    assert_eq!(taken, past + ahead);
    assert!(known.unknown_days.is_empty());
    // A month that is over is measured, one to come is not.
    assert_eq!(self::history(&app, "2026-11").last_month_measured, None);
    let january = self::history(&app, "2027-01").last_month_measured.unwrap();
    assert!(january.by_source.values().all(|m3| *m3 == 0));
    // A gate was silent for a day: unknown, and how many days are.
    let missing = LoadCurve::missing("G2".into(), fixture::day("2026-06-15"));
    put_curves(&app, [missing]);
    let unknown = history(&app, "2026-12");
    assert!(unknown.taken_by_contract.is_empty());
    assert_eq!(unknown.unknown_days["HT-1"], 1);
    // In April the year begins anew.
    let april = registry.contracts.iter().map(|contract| {
        let april: GasMonth = "2027-04".parse().unwrap();
        contract_year_from(contract, april)
    });
    assert!(
        april
            .into_iter()
            .all(|day| day == fixture::day("2027-04-01"))
    );
}

#[test]
fn gas_of_others_was_not_delivered_under_our_contract() {
    let mut registry = fixture::registry();
    let from = fixture::day("2026-11-01");
    let dir = TempDir::new().unwrap();
    let app = city(&dir, &registry, "2026-11-01");
    let read =
        |registry: &Registry| Purchases::read(&app, registry, from, fixture::day(TODAY)).unwrap();
    let before = read(&registry);
    registry.customers.get_mut("C1").unwrap().sale_mode = SaleMode::Agency;
    let after = read(&registry);
    let c1 = fixture::customer_curves(&registry, from, 24)
        .into_iter()
        .find(|curve| curve.meter == "M1".into())
        .unwrap()
        .volume()
        .round_m3();
    let day = |of: &Purchases, source: &str| of.day_m3(&source.into(), from).unwrap();
    let less = |source: &str| day(&before, source) - day(&after, source);
    assert_eq!(
        less("pipe"),
        StdVolume::from_f64(c1 as f64 * 0.83).round_m3()
    );
    assert_eq!(less("pipe") + less("lng"), c1);
    // A day it lacks counts like its others.
    put_curves(&app, [LoadCurve::missing("M1".into(), from)]);
    assert_eq!(read(&registry), after);
    // Of the class 代输 it is the demand of the class.
    registry.customers.get_mut("C1").unwrap().sale_mode = SaleMode::Direct;
    registry.customers.get_mut("C4").unwrap().class = CustomerClass::Wheeling;
    let mut demand = fixture::demand(&registry, from, 1);
    demand.retain(|d| d.node.class == CustomerClass::Wheeling);
    let volume = demand[0].volume_m3();
    app.book
        .restate_demand_days(Vec::new(), demand, chrono::DateTime::default())
        .unwrap();
    let wheeled = read(&registry);
    // No more than there was.
    let carried = StdVolume::from_f64(volume).round_m3();
    assert_eq!(
        day(&before, "pipe") - day(&wheeled, "pipe"),
        carried.min(day(&before, "pipe"))
    );
    assert_eq!(less_in(&before, &wheeled, from.plus(1)), 0);
}

fn less_in(before: &Purchases, after: &Purchases, day: GasDay) -> i64 {
    let of = |of: &Purchases| of.day_m3(&"pipe".into(), day).unwrap();
    of(before) - of(after)
}

#[test]
fn a_month_of_which_a_day_is_unknown_is_not_taken_for_less() {
    let registry = fixture::registry();
    let dir = TempDir::new().unwrap();
    let app = city(&dir, &registry, "2026-11-01");
    let today = fixture::day(TODAY);
    let (taken, delivered) = month_takes(&app, &registry, today.plus(1)).unwrap();
    assert_eq!(taken["HT-1"].days, 20);
    assert!(delivered.contains_key("HT-1"));
    put_curves(&app, [LoadCurve::missing("G1".into(), today.plus(-9))]);
    let (taken, delivered) = month_takes(&app, &registry, today.plus(1)).unwrap();
    assert!(taken.is_empty());
    assert!(delivered.contains_key("HT-1"));
}

/// A nomination of `lng` and `pipe` by the hour.
fn nominate(app: &App, day: GasDay, lng: i64, pipe: i64) {
    let line = |source: &str, m3: i64| {
        serde_json::json!({ "source": source, "suggested_m3": m3, "nominated_m3": m3,
            "hours_m3": vec![m3 / 24; 24] })
    };
    let body = serde_json::json!({ "lines": [line("lng", lng), line("pipe", pipe)] });
    let now = app.clock.now();
    let kind = DocumentKind::Nomination;
    app.book
        .put_document(kind, &day.to_string(), body, now, "w", "r")
        .unwrap();
}

#[test]
fn a_nominated_day_is_split_as_it_was_nominated_whatever_the_shares_say() {
    let registry = fixture::registry();
    let dir = TempDir::new().unwrap();
    let app = city(&dir, &registry, "2026-11-01");
    let yesterday = fixture::day("2026-11-20");
    let read = || Purchases::read(&app, &registry, yesterday.plus(-1), yesterday.plus(1)).unwrap();
    let of = |known: &Purchases, source: &str, day| known.day_m3(&source.into(), day).unwrap();
    let before = read();
    nominate(&app, yesterday, 2_400, 7_200);
    let after = read();
    let total = of(&before, "lng", yesterday) + of(&before, "pipe", yesterday);
    let lng = of(&after, "lng", yesterday);
    assert_eq!(lng, StdVolume::from_f64(total as f64 / 4.0).round_m3());
    assert_eq!(lng + of(&after, "pipe", yesterday), total);
    assert_ne!(lng, of(&before, "lng", yesterday));
    // The day before, which nobody nominated, is split by shares as ever.
    let day_before = yesterday.plus(-1);
    assert_eq!(
        of(&after, "lng", day_before),
        of(&before, "lng", day_before)
    );
    // What the documents say of yesterday's delivery is that.
    let (_, delivered) = month_takes(&app, &registry, fixture::day(TODAY)).unwrap();
    assert_eq!(delivered["HT-2"], lng);
}

#[test]
fn the_overview_and_the_nomination_expect_the_same_of_today() {
    let registry = fixture::registry();
    let dir = TempDir::new().unwrap();
    let (app, reload) = app_of(
        dir.path(),
        registry.clone(),
        fixture::at("2026-11-21T12:20:00+08:00"),
    );
    drop(reload);
    let today = fixture::day(TODAY);
    for i in 1..=20 {
        put_curves(&app, curves_on(&registry, today.plus(-i)));
    }
    let gates = fixture::gate_curves(&registry, today, 4);
    let known: i64 = gates
        .iter()
        .flat_map(|c| &c.hours)
        .map(|v| v.round_m3())
        .sum();
    put_curves(&app, gates);
    nominate(&app, today, 2_400, 7_200);
    let facts = bought_facts(&app).unwrap();
    assert_eq!(facts.delivered.len(), 20);
    let forecast = fixture::forecast(&registry, "2026-11-21T08:05:00+08:00", 45);
    let bought = Bought::new(&registry, &facts, Some((&forecast, None)));
    assert_eq!(bought.taken_m3, Some(known));
    let of_overview = bought.expected().unwrap();
    let of_nomination = expected_today(&app, &registry, &forecast, None)
        .unwrap()
        .unwrap();
    assert_eq!(of_nomination, of_overview.by_source);
    let sum: i64 = of_nomination.values().sum();
    assert_eq!(sum, of_overview.band.p50_m3);
    // Not what the run says of the whole day, as if nothing of it were known.
    let whole = bought.day_band(today, None).unwrap().p50_m3;
    assert_ne!(sum, whole);
}
