//! A forecast run can be made again from what was kept with it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandForecast, DemandNode};
use qiliang::domain::language::Bilingual;
use qiliang::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};
use qiliang::forecast::memory::Memory;
use qiliang::forecast::models::daily::Weighing;
use qiliang::run::app::App;
use qiliang::run::{explain, forecasting, runs, site};
use qiliang::store::book::RunBeside;

use crate::support::daemon::qiliang;
use crate::support::site::Site;
use crate::support::weather::vintage;
use qiliang::forecast::request::ForecastRequest;

fn now() -> DateTime<Utc> {
    "2026-11-20T01:30:00Z".parse().unwrap()
}

fn open(site: &Site) -> App {
    let settings = qiliang::settings::load(Some(&site.config(""))).unwrap();
    let site = site::examine_with(settings, now()).into_site().unwrap();
    App::open(&site, Arc::new(ManualClock::new(now())))
        .unwrap()
        .0
}

/// So many days of an industrial zone's demand before today, and the weather with it.
fn fill(app: &App, days: i64) {
    let today = app.today();
    let node = DemandNode {
        zone: "north".into(),
        class: CustomerClass::Industrial,
    };
    let demand = (1..=days)
        .map(|back| DemandDay {
            node: node.clone(),
            day: today.plus(-back),
            hours_m3: std::array::from_fn(|h| {
                100.0 + (back * 7 % 13) as f64 + h as f64 / 3.0 + f64::from(back % 7 == 0) * 20.0
            }),
            coverage: 1.0,
            uncertainty_m3: 0.0,
        })
        .collect();
    app.book
        .restate_demand_days(Vec::new(), demand, chrono::DateTime::default())
        .unwrap();
    let start = app.gas_day_clock().start_of(today.plus(-days));
    let hour = app.gas_day_clock().start_of(today);
    app.book
        .put_weather(vec![
            vintage(WeatherKind::Observed, start, days * 24),
            vintage(WeatherKind::Forecast, hour, 240),
        ])
        .unwrap();
}

#[test]
fn a_run_is_made_again_bit_for_bit_and_late_readings_are_named() {
    let site = Site::new(1);
    site.registry_file(
        "local_calendar.toml",
        "[[place]]\nname = \"city\"\npricing = { from = \"11-01\", to = \"03-31\" }\n",
    );
    let app = open(&site);
    fill(&app, 210);
    let run = forecasting::publish(&app).unwrap();
    let kept = app.book.run_parts(&run.run_id).unwrap();
    assert!(kept.iter().any(|part| part.name == "places"));
    let (_, request) = runs::kept(&app, &run.run_id).unwrap();
    assert_eq!(request.calendar, *app.calendar());
    assert!(
        run.inputs
            .iter()
            .any(|(key, value)| key == "inputs" && value.len() == 64)
    );

    let again = runs::reproduce(&app, &run.run_id).unwrap();
    assert!(again.is_identical, "{again}");
    assert_eq!(again.kept, again.made);
    assert!(again.changed_since.is_empty(), "{again}");

    // A reading that comes in late changes the past, not the run.
    let day = app.today().plus(-30);
    let mut late = app.book.demand_days(day, day.plus(1)).unwrap();
    late[0].hours_m3[5] += 240.0;
    app.book
        .restate_demand_days(Vec::new(), late, chrono::DateTime::default())
        .unwrap();
    let again = runs::reproduce(&app, &run.run_id).unwrap();
    assert!(again.is_identical, "{again}");
    assert_eq!(
        again.changed_since,
        [Bilingual::new(
            "2026-10 的用气量:1 个节点日有变,合计 +240 m³",
            "demand 2026-10: 1 node-days changed, +240 m³ together"
        )]
    );

    // A second run from the changed past is another, and says so by its inputs.
    let second = forecasting::publish(&app).unwrap();
    let inputs = |run: &DemandForecast| run.inputs.iter().find(|(key, _)| key == "inputs").cloned();
    assert_ne!(inputs(&run), inputs(&second));
    assert!(runs::reproduce(&app, &second.run_id).unwrap().is_identical);

    let unknown = runs::reproduce(&app, &"F1".into()).unwrap_err();
    assert!(unknown.to_string().contains("no run `F1`"), "{unknown}");
    let id = run.run_id.clone();
    drop(app);
    let config = site.config("");
    let output = qiliang(&[
        "--config",
        config.to_str().unwrap(),
        "forecast",
        "reproduce",
        id.as_str(),
    ]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("bit for bit") && said.contains("1 node-days changed"),
        "{said}"
    );
}

#[test]
fn parts_go_with_the_last_run_that_was_made_from_them() {
    let site = Site::new(1);
    let app = open(&site);
    fill(&app, 60);
    let first = forecasting::publish(&app).unwrap();
    let second = forecasting::publish(&app).unwrap();
    let parts = |run: &DemandForecast| app.book.run_parts(&run.run_id).unwrap();
    // Of a gas day the first run has months.
    let mut shared = parts(&first);
    shared.retain(|part| part.name != "months");
    assert_eq!(shared.len(), parts(&second).len());
    let gone = app
        .book
        .prune_forecast_runs(now() + TimeDelta::days(1), 1)
        .unwrap();
    assert_eq!(gone, 1);
    let (kept, lost) = if app.book.forecast_run(&first.run_id).unwrap().is_some() {
        (first, second)
    } else {
        (second, first)
    };
    assert!(parts(&lost).is_empty());
    assert!(runs::reproduce(&app, &kept.run_id).unwrap().is_identical);
}

#[test]
fn what_moved_the_forecast_adds_up_to_the_change() {
    let site = Site::new(1);
    let app = open(&site);
    fill(&app, 210);
    let older = forecasting::publish(&app).unwrap();
    // A cold forecast comes in, a shutdown is filed, and yesterday was more than thought.
    let hour = app.gas_day_clock().start_of(app.today());
    let cold = WeatherVintage {
        station: "zz".into(),
        kind: WeatherKind::Forecast,
        issued_at: hour + TimeDelta::hours(1),
        available_at: hour + TimeDelta::hours(1),
        points: (0..240)
            .map(|h| WeatherPoint {
                at: hour + TimeDelta::hours(h),
                temperature_c: 2.0 + (h as f64 / 200.0).sin(),
            })
            .collect(),
    };
    app.book.put_weather(vec![cold]).unwrap();
    let tomorrow = app.today().plus(1);
    let shutdown: qiliang::domain::filing::ChangeEntry =
        serde_json::from_value(serde_json::json!({
            "id": "B1", "customer": "K0", "kind": "shutdown", "from_on": tomorrow, "to_on": tomorrow,
            "delta_m3_per_day": -800.0, "confidence": 1.0, "source": "电话",
            "available_at": now() - TimeDelta::hours(1), "person": "李", "reason": "检修",
            "is_withdrawn": false,
        }))
        .unwrap();
    let kept = app.book.put_change_entry(shutdown, 0).unwrap();
    assert!(kept.is_some());
    let yesterday = app.today().plus(-1);
    let mut late = app.book.demand_days(yesterday, app.today()).unwrap();
    late[0].hours_m3[3] += 500.0;
    app.book
        .restate_demand_days(Vec::new(), late, chrono::DateTime::default())
        .unwrap();
    let newer = forecasting::publish(&app).unwrap();

    let known = app.memory.counts();
    let change = explain::explain(&app, &older.run_id, &newer.run_id).unwrap();
    assert_eq!(app.memory.counts(), known, "looking into runs is no run");
    assert!(known.lessons > 0);
    drop(app);
    let app = open(&site);
    assert_eq!(app.memory.counts().lessons, 0);
    assert_eq!(
        explain::explain(&app, &older.run_id, &newer.run_id).unwrap(),
        change,
        "what is remembered makes it faster, not other"
    );
    assert_eq!(change.days.len(), 31);
    for day in &change.days {
        let sum: i64 = day.parts().iter().sum();
        assert_eq!(sum, day.newer_m3 - day.older_m3, "{day:?}");
        assert_eq!((day.calendar_m3, day.other_m3), (0, 0), "{day:?}");
    }
    let of_tomorrow = change.days.iter().find(|d| d.day == tomorrow).unwrap();
    assert_eq!(of_tomorrow.plans_m3, -800, "{of_tomorrow:?}");
    assert!(of_tomorrow.level_m3 > 0, "{of_tomorrow:?}");
    assert!(of_tomorrow.temperature_change_k.unwrap() < -3.0);
    let same = explain::explain(&app, &newer.run_id, &newer.run_id).unwrap();
    assert!(same.days.iter().all(|day| day.parts() == [0; 5]));
}

fn has_part(app: &App, run: &DemandForecast, name: &str) -> bool {
    let parts = app.book.run_parts(&run.run_id).unwrap();
    parts.iter().any(|part| part.name == name)
}

/// A run as a program made and kept it that did not know of a part; it is made again as it was, and what
/// has changed since is told.
fn made_before(app: &App, request: ForecastRequest, part: &str, changed: &str) -> DemandForecast {
    let made = runs::make(request, &Memory::default()).unwrap();
    app.book
        .put_forecast_run(
            &made.forecast,
            RunBeside {
                breakdown: Some(&made.breakdown),
                months: made.months.as_ref(),
                parts: made.parts,
                learning: Some(&made.learning),
            },
            now(),
        )
        .unwrap();
    let before = made.forecast;
    assert!(!has_part(app, &before, part));
    let again = runs::reproduce(app, &before.run_id).unwrap();
    assert!(again.is_identical, "{again}");
    let said: Vec<&str> = again.changed_since.iter().map(|c| c.en.as_str()).collect();
    assert_eq!(said, [changed]);
    before
}

#[test]
fn a_run_weighs_estimates_as_it_did_when_it_was_made() {
    let site = Site::new(1);
    let app = open(&site);
    fill(&app, 210);
    let today = app.today();
    let mut estimated = app
        .book
        .demand_days(today.plus(-60), today.plus(-39))
        .unwrap();
    assert_eq!(estimated.len(), 21);
    for day in &mut estimated {
        day.hours_m3 = day.hours_m3.map(|hour| 1.4 * hour);
        day.uncertainty_m3 = 0.4 * day.volume_m3();
        day.coverage = 0.6;
    }
    app.book
        .restate_demand_days(Vec::new(), estimated, chrono::DateTime::default())
        .unwrap();
    let mut request = forecasting::request_at(&app, now()).unwrap();
    assert!(request.weighs_estimates);
    request.weighs_estimates = false;
    let before = made_before(
        &app,
        request,
        "weighing",
        "estimated days count by their uncertainty now, and did not then",
    );

    // As the programs between had it: in fits alone.
    let mut request = forecasting::request_at(&app, now()).unwrap();
    assert_eq!(request.weighing, Weighing::All);
    request.run_id = "in-fits".into();
    request.weighing = Weighing::Fits;
    let made = runs::make(request, &Memory::default()).unwrap();
    let beside = RunBeside {
        breakdown: Some(&made.breakdown),
        months: None,
        parts: made.parts,
        learning: Some(&made.learning),
    };
    app.book
        .put_forecast_run(&made.forecast, beside, now())
        .unwrap();
    let again = runs::reproduce(&app, &made.forecast.run_id).unwrap();
    assert!(again.is_identical, "{again}");
    assert_eq!(
        again.changed_since,
        [Bilingual::new(
            "估算日现在在各处都按不确定度计权,当时只在回归中",
            "estimated days count less in all that is learnt of them now, and in fits alone then"
        )]
    );

    let weighed = forecasting::publish(&app).unwrap();
    assert_ne!(weighed.nodes[0].p50_m3, made.forecast.nodes[0].p50_m3);
    assert!(has_part(&app, &weighed, "weighing"));
    let again = runs::reproduce(&app, &weighed.run_id).unwrap();
    assert!(
        again.is_identical && again.changed_since.is_empty(),
        "{again}"
    );
    assert_eq!(weighed.nodes[0].model, "regression");
    assert_ne!(weighed.nodes[0].p50_m3, before.nodes[0].p50_m3);

    // The change of method is told as one of level, and the parts add up.
    let change = explain::explain(&app, &before.run_id, &weighed.run_id).unwrap();
    for day in &change.days {
        assert_eq!(day.newer_m3 - day.older_m3, day.level_m3, "{day:?}");
    }

    // Where nothing is estimated, the part would change nothing and is not kept.
    let site = Site::new(1);
    let measured = open(&site);
    fill(&measured, 210);
    let mut request = forecasting::request_at(&measured, now()).unwrap();
    let with = runs::make(request.clone(), &Memory::default()).unwrap();
    request.weighs_estimates = false;
    let without = runs::make(request, &Memory::default()).unwrap();
    assert_eq!(with.forecast, without.forecast);
    assert_eq!(
        runs::digest_of(&with.parts),
        runs::digest_of(&without.parts)
    );
}

/// A weather forecast issued some hours into the gas day.
fn colder(app: &App, hours: i64) {
    let at = app.gas_day_clock().start_of(app.today());
    let issued_at = at + TimeDelta::minutes(30 + hours);
    app.book
        .put_weather(vec![WeatherVintage {
            station: "zz".into(),
            kind: WeatherKind::Forecast,
            issued_at,
            available_at: issued_at,
            points: (0..240)
                .map(|h| WeatherPoint {
                    at: at + TimeDelta::hours(h),
                    temperature_c: 4.0 - hours as f64 + (h as f64 / 200.0).sin(),
                })
                .collect(),
        }])
        .unwrap();
}

fn learnt_by(app: &App, run: &DemandForecast) -> Vec<(String, Vec<String>)> {
    let learning = app.book.run_learning(&run.run_id).unwrap();
    let named = |(run, series): (qiliang::domain::id::RunId, _)| (run.to_string(), series);
    learning.into_iter().map(named).collect()
}

#[test]
fn an_hourly_run_says_by_what_the_first_learnt_and_a_restart_says_the_same() {
    let site = Site::new(1);
    let app = open(&site);
    fill(&app, 210);
    let first = forecasting::publish(&app).unwrap();
    let north = vec!["north/industrial".to_owned()];
    assert_eq!(
        learnt_by(&app, &first),
        [(first.run_id.to_string(), north.clone())]
    );

    colder(&app, 1);
    let hourly = forecasting::publish(&app).unwrap();
    assert_ne!(hourly.nodes[0].p50_m3, first.nodes[0].p50_m3);
    assert_eq!(
        learnt_by(&app, &hourly),
        [(first.run_id.to_string(), north.clone())]
    );
    let counts = app.memory.counts();
    // The months of the first ask once more for what the festival does.
    assert_eq!(counts.hits, counts.misses + 1);
    assert!(counts.bytes > 0 && counts.bytes <= counts.room_bytes);
    // Made again, everything is learnt anew.
    let again = runs::reproduce(&app, &hourly.run_id).unwrap();
    assert!(again.is_identical, "{again}");
    let line = format!("learnt by {}: north/industrial", first.run_id);
    assert!(again.to_string().contains(&line), "{again}");
    assert_eq!(app.memory.counts(), counts);

    // The program starts again and has learnt nothing.
    drop(app);
    let app = open(&site);
    assert_eq!(app.memory.counts().lessons, 0);
    let mut restarted = forecasting::publish(&app).unwrap();
    assert_eq!(
        learnt_by(&app, &restarted),
        [(restarted.run_id.to_string(), north.clone())]
    );
    restarted.run_id = hourly.run_id.clone();
    assert_eq!(
        postcard::to_stdvec(&restarted).unwrap(),
        postcard::to_stdvec(&hourly).unwrap()
    );
    assert!(runs::reproduce(&app, &first.run_id).unwrap().is_identical);

    // A reading that comes in late is learnt from.
    let day = app.today().plus(-3);
    let mut late = app.book.demand_days(day, day.plus(1)).unwrap();
    late[0].hours_m3[5] += 24.0;
    app.book
        .restate_demand_days(Vec::new(), late, chrono::DateTime::default())
        .unwrap();
    let changed = forecasting::publish(&app).unwrap();
    assert_eq!(
        learnt_by(&app, &changed),
        [(changed.run_id.to_string(), north)]
    );
    assert!(runs::reproduce(&app, &changed.run_id).unwrap().is_identical);
    app.book
        .prune_forecast_runs(now() + TimeDelta::days(1), 1)
        .unwrap();
    let kept = [first, hourly, changed].map(|run| learnt_by(&app, &run).len());
    assert_eq!(kept.iter().sum::<usize>(), 1, "they go with their runs");
}

#[test]
fn without_memory_every_run_learns_and_says_the_same() {
    let site = Site::new(1);
    let app = open(&site);
    fill(&app, 210);
    let first = forecasting::publish(&app).unwrap();
    colder(&app, 2);
    let mut with = forecasting::publish(&app).unwrap();
    drop(app);
    let path = site.config("[forecast]\nmemory_mb = 0\n");
    let settings = qiliang::settings::load(Some(&path)).unwrap();
    let site = site::examine_with(settings, now()).into_site().unwrap();
    let (app, _) = App::open(&site, Arc::new(ManualClock::new(now()))).unwrap();
    for _ in 0..2 {
        let without = forecasting::publish(&app).unwrap();
        let own = without.run_id.to_string();
        assert_eq!(learnt_by(&app, &without)[0].0, own);
        with.run_id = without.run_id.clone();
        assert_eq!(
            postcard::to_stdvec(&without).unwrap(),
            postcard::to_stdvec(&with).unwrap()
        );
    }
    assert_eq!(app.memory.counts().lessons, 0);
    assert_ne!(first.nodes[0].p50_m3, with.nodes[0].p50_m3);
}

/// A zone whose works are connected for half of the first one's flow; no day of it was metered.
fn connect_south(site: &Site) {
    let add = |name: &str, line: &str| {
        let file = site.path().join("registry").join(name);
        let text = std::fs::read_to_string(file).unwrap();
        site.registry_file(name, &format!("{text}{line}\n"));
    };
    add("zones.csv", "south,South,zz,101.0");
    add("source_shares.csv", "south,pipe,2020-01-01,1");
    add(
        "customers.csv",
        "K9,New works,industrial,south,1,C30,G1,客户经理01,,direct,60.0,6000000,3.40,0.05,three,8,\
         true,900,50,true,,2020-01-01",
    );
    add(
        "meters.csv",
        "M9,D9,K9,south,customer,turbine,qiliang/json-push,std,9,400,1,900,,0,2020-01-01",
    );
}

#[test]
fn a_node_without_history_is_forecast_by_design_flow_and_kept_with_it() {
    let site = Site::new(1);
    connect_south(&site);
    let app = open(&site);
    fill(&app, 210);
    let south = |run: &DemandForecast| {
        let node = run.nodes.iter().find(|n| n.node.zone.as_str() == "south");
        node.map(|n| (n.model.clone(), n.p50_m3[1].iter().sum::<f64>()))
    };
    let mut request = forecasting::request_at(&app, now()).unwrap();
    request.capacities = None;
    let before = made_before(
        &app,
        request,
        "capacities",
        "nodes without history are forecast by design flow now, and were not then",
    );
    assert_eq!(south(&before), None);

    let run = forecasting::publish(&app).unwrap();
    assert!(has_part(&app, &run, "capacities"));
    let (model, m3) = south(&run).unwrap();
    assert_eq!(model, "class_profile_design_flow");
    let north: f64 = run.nodes[0].p50_m3[1].iter().sum();
    assert!((m3 / north - 0.5).abs() < 1e-9, "{m3} {north}");
    let again = runs::reproduce(&app, &run.run_id).unwrap();
    assert!(
        again.is_identical && again.changed_since.is_empty(),
        "{again}"
    );

    // A customer more is no change of level.
    let change = explain::explain(&app, &before.run_id, &run.run_id).unwrap();
    for day in &change.days {
        assert!(day.other_m3 > 0 && day.level_m3 == 0, "{day:?}");
        assert_eq!(day.newer_m3 - day.older_m3, day.other_m3, "{day:?}");
    }
}
