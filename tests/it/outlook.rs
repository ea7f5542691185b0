//! What stands behind a forecast, through the whole program: parts, factors, record, reproduction.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::GasDay;
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandNode, DemandView};
use qiliang::domain::expectation::{Expectation, Watched};
use qiliang::domain::factor::{FactorAmount, FactorKind};
use qiliang::domain::weather::WeatherKind;
use qiliang::run::actions::Desk;
use qiliang::run::app::App;
use qiliang::run::{forecasting, monitor, runs, site};
use qiliang::serve::actions::{ActionError, Forecaster as _};
use qiliang::serve::api::outlook::{FactorChange, FactorState, NewFactor};
use qiliang::store::book::DocumentKind;
use tokio::sync::Notify;

use crate::support::daemon::qiliang;
use crate::support::site::Site;
use crate::support::weather::vintage;

/// 09:00 in Beijing, after the gate.
fn start() -> DateTime<Utc> {
    "2026-11-20T01:00:00Z".parse().unwrap()
}

fn open(site: &Site) -> (App, Arc<ManualClock>) {
    let settings = qiliang::settings::load(Some(&site.config(""))).unwrap();
    let site = site::examine_with(settings, start()).into_site().unwrap();
    let clock = Arc::new(ManualClock::new(start()));
    let app = App::open(&site, Arc::<ManualClock>::clone(&clock))
        .unwrap()
        .0;
    (app, clock)
}

fn demand(day: GasDay, times: f64) -> DemandDay {
    let weekday = day.epoch_day().rem_euclid(7);
    let noise = 1.0 + 0.002 * f64::from(day.epoch_day() * 37 % 11 - 5);
    let scale = times * noise * if weekday < 2 { 80.0 } else { 100.0 };
    DemandDay {
        node: DemandNode {
            zone: "north".into(),
            class: CustomerClass::Industrial,
        },
        day,
        hours_m3: std::array::from_fn(|h| scale * (1.0 + h as f64 / 50.0)),
        coverage: 1.0,
        uncertainty_m3: 0.0,
    }
}

fn fill(app: &App, days: i64) {
    let today = app.today();
    let past = (1..=days).map(|back| demand(today.plus(-back), 1.0));
    app.book
        .restate_demand_days(Vec::new(), past.collect(), chrono::DateTime::default())
        .unwrap();
    let from = app.gas_day_clock().start_of(today.plus(-days));
    app.book
        .put_weather(vec![vintage(WeatherKind::Observed, from, days * 24)])
        .unwrap();
}

fn new_factor(app: &App) -> NewFactor {
    NewFactor {
        kind: FactorKind::Policy,
        zone: None,
        class: Some("industrial".into()),
        from_on: app.today().plus(1).0,
        to_on: app.today().plus(20).0,
        amount: FactorAmount::Percent(-10.0),
        person: "调度长".into(),
        reason: "错峰生产通知".into(),
        expires_on: None,
    }
}

#[test]
fn a_factor_is_entered_with_a_name_applied_confirmed_and_taken_back() {
    let site = Site::new(1);
    let (app, clock) = open(&site);
    fill(&app, 120);
    let desk = Desk::new(app.clone(), Arc::new(Notify::new()));
    let plain = forecasting::publish(&app).unwrap();
    let entered = desk.add_factor(&new_factor(&app)).unwrap();
    assert_eq!(entered.state, FactorState::Planned);

    // Bad ones are refused with what to do, and nothing is kept.
    let refused = |change: fn(&mut NewFactor)| {
        let mut new = new_factor(&app);
        change(&mut new);
        match desk.add_factor(&new).unwrap_err() {
            ActionError::Refused { code, message } => {
                assert_eq!(code, "forecast.factor_invalid");
                message
            }
            other => panic!("{other}"),
        }
    };
    assert!(refused(|f| f.person = String::new()).contains("person"));
    assert!(refused(|f| f.class = Some("none".into())).contains("no customer class"));
    assert!(refused(|f| f.zone = Some("west".into())).contains("no zone"));
    assert!(refused(|f| f.from_on = "2026-01-01".parse().unwrap()).contains("is over"));
    assert_eq!(desk.factors().unwrap().len(), 1);

    clock.set(start() + TimeDelta::minutes(1));
    let aided = forecasting::publish(&app).unwrap();
    let total = |run: &qiliang::domain::demand::DemandForecast, day: usize| {
        run.cube.day_m3(run.clock, &DemandView::total(), day) as f64
    };
    assert!((total(&aided, 1) / total(&plain, 1) - 0.9).abs() < 0.001);
    assert!(
        (total(&aided, 25) / total(&plain, 25) - 1.0).abs() < 1e-9,
        "it ends by itself"
    );
    let parts = app.book.breakdown(&aided.run_id).unwrap().unwrap();
    let of_day = parts.day_m3(&DemandView::total(), 1);
    let summed = of_day.iter().sum::<i64>() as f64;
    assert!((summed - total(&aided, 1)).abs() < 0.5, "{of_day:?}");
    assert!(of_day[3] < 0, "{of_day:?}");

    // Bit for bit again, and the change is said to be a plan's.
    assert!(runs::reproduce(&app, &aided.run_id).unwrap().is_identical);
    let change = desk
        .explain(plain.run_id.as_str(), aided.run_id.as_str())
        .unwrap();
    let day = &change.days[1];
    assert_eq!(day.plans_m3, day.newer_m3 - day.older_m3, "{day:?}");
    assert!(day.sentence_zh.contains("计划"));

    // Confirmed for longer by one, taken back by another: three versions, each with its name.
    let id = entered.factor.id;
    let change = |expires_on: Option<&str>| FactorChange {
        person: "值班长".into(),
        reason: "核实".into(),
        expires_on: expires_on.map(|d| d.parse().unwrap()),
    };
    let longer = desk
        .change_factor(&id, &change(Some("2026-12-20")))
        .unwrap();
    assert_eq!(
        (longer.version, longer.factor.to_on),
        (2, "2026-12-20".parse().unwrap())
    );
    let gone = desk.change_factor(&id, &change(None)).unwrap();
    assert_eq!(gone.version, 3);
    let missing = desk.change_factor("Y0", &change(None)).unwrap_err();
    assert!(matches!(missing, ActionError::NotFound { .. }), "{missing}");
    clock.set(start() + TimeDelta::minutes(2));
    let last = forecasting::publish(&app).unwrap();
    assert!((total(&last, 1) / total(&plain, 1) - 1.0).abs() < 1e-9);
    let log = app.book.audit(50).unwrap();
    let of_factor: Vec<_> = log.iter().filter(|r| r.action == "factor.put").collect();
    assert_eq!(of_factor.len(), 3);
    assert_eq!(of_factor[0].who, "值班长");
    assert!(app.book.verify_audit().unwrap().broken().is_none());
}

#[test]
fn a_factor_that_ended_is_not_confirmed_over_the_days_since() {
    let site = Site::new(1);
    let (app, clock) = open(&site);
    fill(&app, 120);
    let desk = Desk::new(app.clone(), Arc::new(Notify::new()));
    let change = |expires_on: Option<GasDay>| FactorChange {
        person: "值班长".into(),
        reason: "核实".into(),
        expires_on: expires_on.map(|day| day.0),
    };
    let refused = |id: &str, until: GasDay| match desk.change_factor(id, &change(Some(until))) {
        Err(ActionError::Refused { code, message }) => {
            assert_eq!(code, "forecast.factor_invalid");
            message
        }
        other => panic!("{other:?}"),
    };
    let first = app.today();
    let mut new = new_factor(&app);
    new.expires_on = Some(first.plus(3).0);
    let withdrawn = desk.add_factor(&new).unwrap().factor.id;
    let expired = desk.add_factor(&new).unwrap().factor.id;
    let confirmed = desk.add_factor(&new).unwrap().factor.id;
    let known = |id: &str| -> qiliang::domain::factor::Factor {
        let document = app.book.document(DocumentKind::Factor, id).unwrap();
        serde_json::from_value(document.unwrap().body).unwrap()
    };
    // On the day of the withdrawal, and on the first without it, nothing is over yet.
    clock.set(start() + TimeDelta::days(1));
    desk.change_factor(&withdrawn, &change(None)).unwrap();
    desk.change_factor(&withdrawn, &change(Some(first.plus(9))))
        .unwrap();
    desk.change_factor(&withdrawn, &change(None)).unwrap();
    clock.set(start() + TimeDelta::days(4));
    let again = desk.change_factor(&confirmed, &change(Some(first.plus(8))));
    assert_eq!(again.unwrap().state, FactorState::Active);
    let before = [known(&withdrawn), known(&expired)];
    clock.set(start() + TimeDelta::days(5));
    for id in [&withdrawn, &expired] {
        let message = refused(id, first.plus(19));
        assert!(
            message.contains("a gas day has passed without it"),
            "{message}"
        );
    }
    assert_eq!([known(&withdrawn), known(&expired)], before);
    // Nor is what holds cut off on days that are over.
    let mut new = new_factor(&app);
    new.from_on = app.today().0;
    let active = desk.add_factor(&new).unwrap().factor.id;
    clock.set(start() + TimeDelta::days(10));
    let message = refused(&active, first.plus(8));
    assert!(message.contains("a gas day that is over"), "{message}");
    assert!(
        desk.change_factor(&active, &change(Some(first.plus(12))))
            .is_ok()
    );
}

/// What was expected at a lead every day, and twice as much came as was ever thought.
fn twice_as_much(today: GasDay, lead: i64, days: i64) -> Vec<Expectation> {
    let expected = (1..=days).map(|back| Expectation {
        day: today.plus(-back),
        lead,
        of: Watched::default(),
        run: "R".into(),
        p10_m3: 900.0,
        p50_m3: 1_000.0,
        p90_m3: 1_100.0,
        unaided_m3: None,
        actual_m3: Some(2_000.0 + (back % 5) as f64),
    });
    expected.collect()
}

#[test]
fn a_month_that_is_always_wrong_is_told_within_a_year() {
    let site = Site::new(1);
    let (app, _) = open(&site);
    let today = app.today();
    // Half a year is too little to tell anything of a month ahead, a year is not.
    for (days, is_told) in [(180, false), (400, true)] {
        for lead in [14, 30] {
            let expected = twice_as_much(today, lead, days);
            app.book.put_expectations(expected).unwrap();
        }
        monitor::alert(&app).unwrap();
        let alerts = app.book.documents(DocumentKind::Alert, 50).unwrap();
        for code in ["A402", "A404"] {
            let key = format!("{code} total D+30");
            let told = alerts.iter().find(|alert| alert.key == key);
            assert_eq!(told.is_some(), is_told, "{key} after {days} days");
        }
    }
    // In years to come there are more of them, as many as at any lead.
    app.book
        .put_expectations(twice_as_much(today, 30, 3_000))
        .unwrap();
    let record = monitor::record(&app).unwrap();
    let of = |lead| record.iter().find(|row| row.lead == lead).unwrap();
    assert!((28..=29).contains(&of(14).cases), "{}", of(14).cases);
    assert_eq!(of(30).cases, 90);
}

#[test]
fn expectations_are_written_down_settled_and_a_drift_is_an_alert() {
    let site = Site::new(1);
    let (app, clock) = open(&site);
    fill(&app, 120);
    let desk = Desk::new(app.clone(), Arc::new(Notify::new()));
    let mut factor = new_factor(&app);
    factor.from_on = app.today().plus(2).0;
    factor.to_on = app.today().plus(4).0;
    desk.add_factor(&factor).unwrap();
    let mut drifted_at = None;
    for passed in 0..45_i64 {
        clock.set(start() + TimeDelta::days(passed));
        let made = forecasting::publish_whole(&app).unwrap();
        monitor::after_run(&app, &made).unwrap();
        let again = forecasting::publish_whole(&app).unwrap();
        assert!(
            !monitor::write_down(&app, &again).unwrap(),
            "once a gas day"
        );
        let alerts = app.book.documents(DocumentKind::Alert, 50).unwrap();
        if !alerts.is_empty() && drifted_at.is_none() {
            drifted_at = Some(passed);
            let body = &alerts[0].body;
            assert_eq!(body["state"], "open");
            assert!(
                body["title_zh"].as_str().unwrap().contains("预测"),
                "{body}"
            );
        }
        // Nobody told us: use grows by a twentieth every day.
        let times = 1.0 + 0.05 * passed as f64;
        app.book
            .restate_demand_days(
                Vec::new(),
                vec![demand(app.today(), times)],
                chrono::DateTime::default(),
            )
            .unwrap();
    }
    assert!(drifted_at.is_some_and(|day| day >= 30), "{drifted_at:?}");
    let record = desk.record().unwrap();
    let day_ahead = record
        .iter()
        .find(|r| r.of == "total" && r.lead == 1)
        .unwrap();
    assert!(day_ahead.cases >= 40, "{day_ahead:?}");
    assert!(
        day_ahead.coverage_p < day_ahead.coverage_bound,
        "{day_ahead:?}"
    );
    assert!(day_ahead.alarms.contains(&"coverage".to_owned()));
    // The person said less and more came: the model alone was nearer.
    let factors = desk.factors().unwrap();
    assert_eq!(factors[0].state, FactorState::Ended);
    let score = factors[0].score.unwrap();
    assert_eq!(score.cases, 3);
    assert!(score.aided_wape > score.unaided_wape, "{score:?}");
}

#[test]
fn each_factor_is_held_against_the_run_without_it() {
    let site = Site::new(1);
    let (app, clock) = open(&site);
    fill(&app, 120);
    let desk = Desk::new(app.clone(), Arc::new(Notify::new()));
    // One says a fifth less, the other a fifth more, and nothing happens.
    for percent in [-20.0, 20.0] {
        let mut factor = new_factor(&app);
        factor.amount = FactorAmount::Percent(percent);
        desk.add_factor(&factor).unwrap();
    }
    for passed in 0..6_i64 {
        clock.set(start() + TimeDelta::days(passed) + TimeDelta::minutes(1));
        let made = forecasting::publish_whole(&app).unwrap();
        monitor::after_run(&app, &made).unwrap();
        app.book
            .restate_demand_days(Vec::new(), vec![demand(app.today(), 1.0)], start())
            .unwrap();
    }
    let factors = desk.factors().unwrap();
    assert_eq!(factors.len(), 2);
    for factor in factors {
        // Together they are off by 4 %, each alone would be by 20: each put right what the other did. Without any,
        // the model is right, which is no word on either.
        let score = factor.score.unwrap();
        assert_eq!(score.cases, 4);
        assert!((score.aided_wape - 0.04).abs() < 0.02, "{score:?}");
        assert!((score.unaided_wape - 0.2).abs() < 0.03, "{score:?}");
    }
}

#[test]
fn peaks_similar_days_and_new_connections_are_told_on_the_command_line() {
    let site = Site::new(1);
    site.registry_file(
        "new_connections.csv",
        "id,name,zone,class,stage,connected_on,connected_m3_per_day,coefficient,available_at\n\
         P1,新建厂,north,power,building,2026-12-01,20000,0.5,2026-11-01T00:00:00Z\n",
    );
    let (app, _) = open(&site);
    fill(&app, 250);
    let run = forecasting::publish(&app).unwrap();
    let desk = Desk::new(app.clone(), Arc::new(Notify::new()));
    let outlook = desk.outlook().unwrap();
    let peak = outlook.peak_day.unwrap();
    assert!(peak.p50_m3 <= peak.p90_m3 && peak.p90_m3 <= peak.p99_m3);
    assert!(outlook.peak_hour.unwrap().civil_hour.is_some());
    assert!(outlook.design_day.is_none());
    assert!(outlook.missing_zh.unwrap().contains("冬季"));
    let similar = desk.similar_days(app.today().plus(1), 5).unwrap();
    assert_eq!(similar.days.len(), 5);
    assert!(
        similar
            .days
            .windows(2)
            .all(|w| w[0].distance <= w[1].distance)
    );
    assert!(desk.reproduce(run.run_id.as_str()).unwrap().is_identical);
    assert!(matches!(
        desk.reproduce("F0"),
        Err(ActionError::NotFound { .. })
    ));
    drop((app, desk));
    let config = site.config("");
    let told = |arguments: &[&str]| {
        let mut all = vec![
            "--config",
            config.to_str().unwrap(),
            "--at",
            "2026-11-20T01:30:00Z",
        ];
        all.extend(arguments);
        let output = qiliang(&all);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    };
    let parts = told(&["forecast", "parts"]);
    // 0.5 · 20 000 · 0.3 · 0.8 = 2 400 m³ from the day on.
    let line = parts.lines().find(|l| l.starts_with("2026-12-01")).unwrap();
    assert!(line.contains(" 0.2400"), "{line}");
    assert!(parts.contains("1 projects"), "{parts}");
    assert!(told(&["forecast", "outlook"]).contains("no design day"));
    assert_eq!(
        told(&["forecast", "similar", "--count", "3"])
            .lines()
            .count(),
        5
    );
    assert!(told(&["forecast", "record"]).contains("CUSUM"));
    let page = site.path().join("backtest.html");
    let table = site.path().join("backtest.csv");
    told(&[
        "backtest",
        "--days",
        "40",
        "--html",
        page.to_str().unwrap(),
        "--csv",
        table.to_str().unwrap(),
    ]);
    assert!(
        std::fs::read_to_string(page)
            .unwrap()
            .contains("预测回测报告")
    );
    let table = std::fs::read_to_string(table).unwrap();
    assert!(
        table
            .lines()
            .any(|l| l.starts_with("day_ahead,north,industrial,2,")),
        "{table}"
    );
}

#[test]
fn a_project_that_cannot_be_forecast_is_named_by_the_check() {
    let site = Site::new(1);
    site.registry_file(
        "new_connections.csv",
        "id,name,zone,class,stage,connected_on,connected_m3_per_day,coefficient,available_at,probability,ramp,customer\n\
         P1,a,west,power,building,2026-12-01,0,1.5,2026-11-01T00:00:00Z,2,0.3/x,K9\n\
         P2,b,north,power,dreamt,2026-12-01,5,0.5,2026-11-01T00:00:00Z,,,\n",
    );
    let config = site.config("");
    let output = qiliang(&["--config", config.to_str().unwrap(), "check"]);
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    for part in [
        "new_connections.csv:2",
        "zone `west` is not in zones.csv",
        "customer `K9` is not in customers.csv",
        "`connected_m3_per_day` is 0",
        "`coefficient` is 1.5",
        "`probability` is 2",
        "`ramp` is `0.3/x`",
        "new_connections.csv:3",
        "dreamt",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
