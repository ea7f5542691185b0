//! What the daemon learns from and looks ahead to: six years of demand, all weather there is, and months.

use std::sync::Arc;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::{GasDay, GasMonth, lunar_new_year};
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandNode, DemandView};
use qiliang::domain::months::MonthBasis;
use qiliang::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};
use qiliang::forecast::engine;
use qiliang::forecast::memory::Memory;
use qiliang::run::app::App;
use qiliang::run::{facts, forecasting, runs, site};

use crate::support::daemon::qiliang;
use crate::support::site::Site;

fn now() -> DateTime<Utc> {
    "2026-11-20T01:30:00Z".parse().unwrap()
}

fn open(site: &Site) -> (App, Arc<ManualClock>) {
    let settings = qiliang::settings::load(Some(&site.config(""))).unwrap();
    let site = site::examine_with(settings, now()).into_site().unwrap();
    let clock = Arc::new(ManualClock::new(now()));
    let app = App::open(&site, Arc::<ManualClock>::clone(&clock)).unwrap();
    (app.0, clock)
}

fn node() -> DemandNode {
    DemandNode {
        zone: "north".into(),
        class: CustomerClass::Industrial,
    }
}

fn celsius(at: DateTime<Utc>) -> f64 {
    let of_year = f64::from(at.date_naive().ordinal0());
    14.0 - 12.0 * (std::f64::consts::TAU * (of_year - 15.0) / 365.25).cos()
}

/// A factory that heats, and stands still around the festival.
fn demand(app: &App, days: i64) -> Vec<DemandDay> {
    let clock = app.gas_day_clock();
    (1..=days)
        .map(|back| {
            let day = app.today().plus(-back);
            let festival = lunar_new_year(day.0.year()).unwrap();
            let off = (-3..=7).contains(&(day.0 - festival).num_days());
            let noise = 1.0 + 0.002 * f64::from(day.epoch_day() * 37 % 11 - 5);
            let warm = (16.0 - celsius(clock.start_of(day))).max(0.0);
            let m3 = noise * (2_000.0 + 150.0 * warm) * if off { 0.3 } else { 1.0 };
            DemandDay {
                node: node(),
                day,
                hours_m3: [m3 / 24.0; 24],
                coverage: 1.0,
                uncertainty_m3: 0.0,
            }
        })
        .collect()
}

/// Observed hours of the `days` before today, warmer by `more` before the last `recent` of them.
fn weather(app: &App, days: i64, recent: i64, more: f64) {
    let start = app.gas_day_clock().start_of(app.today());
    let points = (1..=days * 24).rev().map(|back| {
        let at = start - TimeDelta::hours(back);
        let temperature_c = celsius(at) + if back > recent * 24 { more } else { 0.0 };
        WeatherPoint { at, temperature_c }
    });
    let vintage = WeatherVintage {
        station: "zz".into(),
        kind: WeatherKind::Observed,
        issued_at: start,
        available_at: start,
        points: points.collect(),
    };
    app.book.put_weather(vec![vintage]).unwrap();
}

fn p50_of(run: &qiliang::domain::demand::DemandForecast, ahead: usize) -> i64 {
    run.band(&DemandView::total(), &[ahead]).p50_m3
}

#[test]
fn a_run_learns_from_six_years_and_its_months_are_kept_with_it() {
    let site = Site::new(1);
    let (app, clock) = open(&site);
    app.book
        .restate_demand_days(Vec::new(), demand(&app, 2_400), chrono::DateTime::default())
        .unwrap();
    weather(&app, 900, 900, 0.0);
    let today = app.today();
    let request = forecasting::request_at(&app, now()).unwrap();
    let first = request.demand.iter().map(|of| of.day).min().unwrap();
    assert_eq!(first, today.plus(-2_200));
    // What was seen three and more years ago has a say: without it the same days are expected otherwise.
    let mut short = request.clone();
    short.demand.retain(|of| of.day >= today.plus(-800));
    let [long, short] =
        [&request, &short].map(|of| engine::run_with(of, &Memory::default()).unwrap());
    let festival = usize::try_from((lunar_new_year(2027).unwrap() - today.0).num_days());
    assert!(festival.unwrap() > 62, "it is not among the days");
    let apart = |ahead: usize| p50_of(&long.forecast, ahead) - p50_of(&short.forecast, ahead);
    assert!((0..62).any(|ahead| apart(ahead) != 0));
    let draws = |run: &engine::EngineRun| run.forecast.draws(&DemandView::total(), &[50]);
    assert_ne!(draws(&long), draws(&short));

    // The first run of a gas day has months, the next does not; both are made again bit for bit.
    let run = forecasting::publish(&app).unwrap();
    let months = app.book.run_months(&run.run_id).unwrap().unwrap();
    assert_eq!(months.months.len(), 18);
    assert_eq!(months.months[0].basis, MonthBasis::Run);
    let again = runs::reproduce(&app, &run.run_id).unwrap();
    assert!(
        again.is_identical && again.changed_since.is_empty(),
        "{again}"
    );
    clock.set(now() + TimeDelta::hours(1));
    let second = forecasting::publish(&app).unwrap();
    assert_eq!(app.book.run_months(&second.run_id).unwrap(), None);
    assert!(runs::reproduce(&app, &second.run_id).unwrap().is_identical);
    let latest = app.book.months_run_known_at(app.clock.now()).unwrap();
    assert_eq!(latest.unwrap().run_id, run.run_id);
    clock.set(now() + TimeDelta::days(1));
    let third = forecasting::publish(&app).unwrap();
    assert!(app.book.run_months(&third.run_id).unwrap().is_some());

    // February of the festival is met: it lies in it in 2027, in January in 2028.
    let m3 = |month: &str| {
        let month: GasMonth = month.parse().unwrap();
        let index = months.index_of(month).unwrap();
        let m3 = months.band(&DemandView::total(), &[index]).p50_m3;
        m3 as f64 / month.days().len() as f64
    };
    assert!(
        m3("2027-02") < 0.9 * m3("2028-02"),
        "{} {}",
        m3("2027-02"),
        m3("2028-02")
    );
    drop(app);
    let config = site.config("");
    for (by, has) in [("total", "采暖季"), ("node", "north/industrial")] {
        let output = qiliang(&[
            "--config",
            config.to_str().unwrap(),
            "forecast",
            "months",
            "--by",
            by,
        ]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains(has), "{said}");
        assert!(
            said.contains("seasonal_smoothing") && said.contains("2028-04"),
            "{said}"
        );
    }
}

#[test]
fn climatology_knows_ten_years_and_a_run_of_before_its_own() {
    let site = Site::new(1);
    let (app, _) = open(&site);
    app.book
        .restate_demand_days(Vec::new(), demand(&app, 400), chrono::DateTime::default())
        .unwrap();
    // Ten years, the first nine and a half of them eight degrees warmer than those with demand.
    weather(&app, 3_650, 410, 8.0);
    let request = forecasting::request_at(&app, now()).unwrap();
    let observed = &request.weather.values().next().unwrap().observed;
    assert_eq!(observed.len(), 3_650);
    // What is read once is what is read anew.
    let anew = facts::weather_at(&app, &app.registry(), now()).unwrap();
    assert_eq!(anew, request.weather);
    let mut own = request.clone();
    own.run_id = "own".into();
    own.reads_climate = false;
    let [all, before] =
        [&request, &own].map(|of| engine::run_with(of, &Memory::default()).unwrap());
    let [all, before] = [&all, &before].map(|run| p50_of(&run.forecast, 40));
    // On D+40 only climatology speaks.
    assert_ne!(all, before);

    // A run of a program before is made again as it was, and told apart.
    let made = runs::make(own, &Memory::default()).unwrap();
    let beside = qiliang::store::book::RunBeside {
        breakdown: Some(&made.breakdown),
        months: None,
        parts: made.parts,
        learning: None,
    };
    app.book
        .put_forecast_run(&made.forecast, beside, now())
        .unwrap();
    let again = runs::reproduce(&app, &made.forecast.run_id).unwrap();
    assert!(again.is_identical, "{again}");
    assert!(
        again
            .changed_since
            .iter()
            .any(|of| of.en.starts_with("climatology")),
        "{again}"
    );

    // A thermometer corrected later is read, whatever was read before.
    let start = app.gas_day_clock().start_of(app.today());
    let day: GasDay = "2021-03-01".parse().unwrap();
    let from = app.gas_day_clock().start_of(day);
    let late = WeatherVintage {
        station: "zz".into(),
        kind: WeatherKind::Observed,
        issued_at: start,
        available_at: start + TimeDelta::minutes(5),
        points: (0..24)
            .map(|h| WeatherPoint {
                at: from + TimeDelta::hours(h),
                temperature_c: -20.0,
            })
            .collect(),
    };
    app.book.put_weather(vec![late]).unwrap();
    let corrected = facts::weather_at(&app, &app.registry(), now()).unwrap();
    let of = |weather: &std::collections::BTreeMap<_, qiliang::forecast::weather::ZoneWeather>| {
        weather.values().next().unwrap().observed[&day]
    };
    assert!((of(&corrected) + 20.0).abs() < 1e-9);
    let then = facts::weather_at(&app, &app.registry(), start + TimeDelta::minutes(1)).unwrap();
    assert_eq!(
        of(&then).to_bits(),
        of(&anew).to_bits(),
        "as it was known then"
    );
}

#[test]
fn years_whose_holidays_nobody_named_are_left_out() {
    let site = Site::new(1);
    let (app, _) = open(&site);
    let today = app.today();
    assert_eq!(facts::history_from(&app, today), today.plus(-2_200));
    // The calendar begins in 2020: of a run of 2022 a part of the six years is named.
    let then: GasDay = "2022-06-01".parse().unwrap();
    assert_eq!(facts::history_from(&app, then).to_string(), "2020-01-01");
    let early: GasDay = "2021-06-01".parse().unwrap();
    assert_eq!(facts::history_from(&app, early), early.plus(-800));
}
