//! Plans and production changes that people enter: known from their entry on, used by all that stands on them,
//! corrected and taken back without anything being overwritten.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandForecast, DemandNode, DemandView};
use qiliang::domain::filing::ChangeKind;
use qiliang::domain::weather::{WeatherKind, WeatherPoint, WeatherVintage};
use qiliang::run::actions::Desk;
use qiliang::run::app::App;
use qiliang::run::{facts, forecasting, planning, runs, site};
use qiliang::serve::actions::{ActionError, Filings as _};
use qiliang::serve::api::filings::{
    ChangeCorrection, ChangeFacts, ChangeState, FilingOrigin, NewChange, NewPlans, PlanOutcome,
    PlanReport, PlanRow, PlanUpload, UploadQuery,
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::curve_edits::ask;
use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;
use crate::support::wait_for;

/// 09:00 in Beijing.
fn start() -> DateTime<Utc> {
    "2026-11-20T01:00:00Z".parse().unwrap()
}

fn open(site: &Site) -> (App, Desk, Arc<ManualClock>) {
    let settings = qiliang::settings::load(Some(&site.config(""))).unwrap();
    let site = site::examine_with(settings, start()).into_site().unwrap();
    let clock = Arc::new(ManualClock::new(start()));
    let app = App::open(&site, Arc::<ManualClock>::clone(&clock))
        .unwrap()
        .0;
    let desk = Desk::new(app.clone(), Arc::new(Notify::new()));
    (app, desk, clock)
}

/// Demand and weather of so many days before today.
fn fill(app: &App, days: i64) {
    let today = app.today();
    let demand = (1..=days).map(|back| DemandDay {
        node: DemandNode {
            zone: "north".into(),
            class: CustomerClass::Industrial,
        },
        day: today.plus(-back),
        hours_m3: std::array::from_fn(|h| 1_000.0 + (back * 37 % 11) as f64 + h as f64),
        coverage: 1.0,
        uncertainty_m3: 0.0,
    });
    app.book.put_demand_days(demand.collect()).unwrap();
    let from = app.gas_day_clock().start_of(today.plus(-days));
    let points = (0..days * 24).map(|h| WeatherPoint {
        at: from + TimeDelta::hours(h),
        temperature_c: 10.0 + (h as f64 / 200.0).sin() * 8.0,
    });
    app.book
        .put_weather(vec![WeatherVintage {
            station: "zz".into(),
            kind: WeatherKind::Observed,
            issued_at: from,
            available_at: from,
            points: points.collect(),
        }])
        .unwrap();
}

fn rows(customer: &str, days: impl IntoIterator<Item = GasDay>, m3: Option<&str>) -> Vec<PlanRow> {
    let row = |day: GasDay| PlanRow {
        customer: customer.into(),
        day: day.to_string(),
        m3: m3.map(str::to_owned),
    };
    days.into_iter().map(row).collect()
}

fn plans(rows: Vec<PlanRow>) -> NewPlans {
    NewPlans {
        person: "计划员 李".into(),
        source: "电话".into(),
        reason: "十二月安排".into(),
        rows,
        dry_run: false,
    }
}

fn counts(report: &PlanReport) -> Vec<(PlanOutcome, usize)> {
    report.counts.iter().map(|(of, n)| (*of, *n)).collect()
}

/// The plans in force of a customer, m³ by day.
fn in_force(app: &App, customer: &str, at: DateTime<Utc>) -> BTreeMap<String, String> {
    let (from, to) = (app.today().plus(-40), app.today().plus(400));
    let plans = facts::plans_known_at(&app.book, &app.registry(), from, to, at).unwrap();
    let own = plans
        .into_iter()
        .filter(|p| p.customer.as_str() == customer);
    own.map(|p| (p.day.to_string(), p.volume.to_string()))
        .collect()
}

fn day_m3(run: &DemandForecast, day: usize) -> i64 {
    run.cube.day_m3(run.clock, &DemandView::total(), day)
}

#[test]
fn an_entry_is_in_the_next_run_and_changes_no_earlier_one() {
    let site = Site::new(1);
    let (app, desk, clock) = open(&site);
    fill(&app, 120);
    let tomorrow = app.today().plus(1);
    let before = forecasting::publish(&app).unwrap();
    assert!(app.memory.counts().lessons > 0);

    clock.set(start() + TimeDelta::minutes(5));
    let entered_at = start() + TimeDelta::minutes(5);
    let days = || (0..3).map(|ahead| tomorrow.plus(ahead));
    let report = desk
        .file_plans(&plans(rows("K0", days(), Some("9000"))))
        .unwrap();
    assert!(report.is_taken);
    assert_eq!(counts(&report), [(PlanOutcome::New, 3)]);
    assert_eq!(in_force(&app, "K0", entered_at).len(), 3);
    assert_eq!(
        in_force(&app, "K0", entered_at - TimeDelta::milliseconds(1)).len(),
        0
    );
    // The run of before is what it was: nothing that was known then is otherwise now.
    let again = runs::reproduce(&app, &before.run_id).unwrap();
    assert!(
        again.is_identical && again.changed_since.is_empty(),
        "{again}"
    );

    // The next one has the plan, whatever the program remembers; a program that remembers nothing agrees.
    clock.set(start() + TimeDelta::minutes(6));
    let with_plan = forecasting::publish(&app).unwrap();
    let breakdown = app.book.breakdown(&with_plan.run_id).unwrap().unwrap();
    assert_eq!(breakdown.day_m3(&DemandView::total(), 1)[0], 9_000);
    assert_ne!(day_m3(&with_plan, 1), day_m3(&before, 1));
    assert!(
        runs::reproduce(&app, &with_plan.run_id)
            .unwrap()
            .is_identical
    );

    // Taken back by a later entry: as if it had not been, from then on.
    clock.set(start() + TimeDelta::minutes(7));
    let report = desk.file_plans(&plans(rows("K0", days(), None))).unwrap();
    assert_eq!(counts(&report), [(PlanOutcome::Withdrawn, 3)]);
    clock.set(start() + TimeDelta::minutes(8));
    let without = forecasting::publish(&app).unwrap();
    assert_eq!(day_m3(&without, 1), day_m3(&before, 1));
    for run in [&before, &with_plan, &without] {
        let again = runs::reproduce(&app, &run.run_id).unwrap();
        assert!(
            again.is_identical && again.changed_since.is_empty(),
            "{again}"
        );
    }
    assert_eq!(
        in_force(&app, "K0", entered_at).len(),
        3,
        "what was known then"
    );
    assert_eq!(
        in_force(&app, "K0", start() + TimeDelta::minutes(8)).len(),
        0
    );

    let log = app.book.audit(20).unwrap();
    let of_plans: Vec<_> = log
        .iter()
        .filter(|r| r.action == "filed_plans.put")
        .collect();
    assert_eq!(of_plans.len(), 2);
    assert!(
        of_plans
            .iter()
            .all(|r| r.who == "计划员 李" && r.reason == "十二月安排")
    );
    assert_eq!(app.book.verify_audit().unwrap().broken(), None);
}

#[test]
fn a_document_asked_for_after_an_entry_stands_on_it_and_names_a_run_that_is_kept() {
    let site = Site::new(1);
    let (app, desk, clock) = open(&site);
    fill(&app, 120);
    let month = app.today().month().next();
    let tomorrow = app.today().plus(1);
    forecasting::publish(&app).unwrap();
    let latest = |app: &App| {
        app.book
            .forecast_run_known_at(app.clock.now())
            .unwrap()
            .unwrap()
    };

    clock.set(start() + TimeDelta::minutes(1));
    planning::nominate(&app, tomorrow, "li", "test").unwrap();
    assert_eq!(
        latest(&app).origin_at,
        start(),
        "nothing was filed: no run is made"
    );

    let all = month.days();
    desk.file_plans(&plans(rows("K0", all.clone(), Some("9000.5"))))
        .unwrap();
    clock.set(start() + TimeDelta::minutes(2));
    let declaration = planning::declare(&app, month, "li", "test").unwrap();
    let run = latest(&app);
    assert_eq!(run.origin_at, start() + TimeDelta::minutes(2));
    assert_eq!(declaration.forecast_run, run.run_id);
    let line = &declaration.large_consumers[0];
    let filed = (9_000.5 * all.len() as f64).round();
    assert_eq!(line.filed_m3.map(|m3| m3 as f64), Some(filed));
    let breakdown = app.book.breakdown(&run.run_id).unwrap().unwrap();
    let first = run.day_index(month.first_day()).unwrap();
    assert!(breakdown.day_m3(&DemandView::total(), first)[0] >= 9_000);

    clock.set(start() + TimeDelta::minutes(3));
    planning::nominate(&app, tomorrow, "li", "test").unwrap();
    assert_eq!(
        latest(&app).run_id,
        run.run_id,
        "it knows all that was filed"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn a_production_change_is_corrected_and_taken_back_and_each_instant_keeps_its_answer() {
    let site = Site::new(2);
    site.registry_file(
        "production_changes.csv",
        "customer,kind,from_on,to_on,delta_m3_per_day,confidence,source,available_at\n\
         K1,expand,2026-11-01,2026-12-31,500,0.8,走访,2026-10-01T00:00:00Z\n",
    );
    let (app, desk, clock) = open(&site);
    let today = app.today();
    let facts_of = |kind, from: i64, to: i64, delta| ChangeFacts {
        kind,
        from_on: today.plus(from).0,
        to_on: today.plus(to).0,
        delta_m3_per_day: delta,
        confidence: 0.9,
        source: "微信".into(),
    };
    let new = |customer: &str, change| NewChange {
        customer: customer.into(),
        change,
        person: "调度员 王".into(),
        reason: "窑炉检修".into(),
    };
    let shutdown = facts_of(ChangeKind::Shutdown, 2, 6, -800.0);
    // By its name as by its number.
    let entered = desk
        .enter_change(&new("Works 0", shutdown.clone()))
        .unwrap();
    let id = entered.id.clone().unwrap();
    assert_eq!(
        (
            entered.customer.as_str(),
            entered.state,
            entered.version,
            entered.origin
        ),
        ("K0", ChangeState::Planned, 1, FilingOrigin::Entry)
    );
    let code = |error: ActionError| match error {
        ActionError::NotFound { code, message } | ActionError::Refused { code, message } => {
            assert!(message.len() > 20, "{message}");
            code
        }
        ActionError::Failed { code, .. } => code,
    };
    let refused = |new: &NewChange| code(desk.enter_change(new).unwrap_err());
    let wrong = |change: ChangeFacts| refused(&new("K0", change));
    assert_eq!(
        wrong(shutdown.clone()),
        "filing.change_known",
        "its effect would count twice"
    );
    assert_eq!(
        wrong(facts_of(ChangeKind::Shutdown, 9, 9, 5.0)),
        "filing.change_sign"
    );
    assert_eq!(
        wrong(facts_of(ChangeKind::Expand, 9, 9, -5.0)),
        "filing.change_sign"
    );
    assert_eq!(
        wrong(facts_of(ChangeKind::Shift, 9, 8, -5.0)),
        "filing.change_days"
    );
    assert_eq!(
        wrong(facts_of(ChangeKind::Shift, -90, 8, -5.0)),
        "filing.change_far"
    );
    assert_eq!(
        wrong(facts_of(ChangeKind::Shift, 500, 501, -5.0)),
        "filing.change_far"
    );
    assert_eq!(
        wrong(facts_of(ChangeKind::Shift, 9, 9, f64::NAN)),
        "filing.change_volume"
    );
    let unsure = ChangeFacts {
        confidence: 0.0,
        ..facts_of(ChangeKind::Shift, 9, 9, 5.0)
    };
    assert_eq!(wrong(unsure), "filing.change_confidence");
    assert_eq!(
        refused(&new("K9", shutdown.clone())),
        "filing.customer_unknown"
    );
    let unsigned = NewChange {
        person: " ".into(),
        ..new("K0", facts_of(ChangeKind::Shift, 9, 9, 5.0))
    };
    assert_eq!(refused(&unsigned), "filing.unsaid");

    clock.set(start() + TimeDelta::hours(1));
    let correction = |change| ChangeCorrection {
        person: "值班长".into(),
        reason: "推迟两天".into(),
        change,
    };
    let later = facts_of(ChangeKind::Shutdown, 4, 8, -700.0);
    let corrected = desk.correct_change(&id, &correction(Some(later))).unwrap();
    assert_eq!(
        (corrected.version, corrected.change.delta_m3_per_day),
        (2, -700.0)
    );
    clock.set(start() + TimeDelta::hours(2));
    let gone = desk.correct_change(&id, &correction(None)).unwrap();
    assert_eq!((gone.version, gone.state), (3, ChangeState::Withdrawn));
    let again = desk.correct_change(&id, &correction(None)).unwrap_err();
    assert_eq!(code(again), "filing.change_withdrawn");
    let missing = desk.correct_change("B0", &correction(None)).unwrap_err();
    assert_eq!(code(missing), "filing.change_missing");

    let known = |hours: i64| -> Vec<f64> {
        let at = start() + TimeDelta::hours(hours);
        let changes = facts::changes_known_at(&app.book, &app.registry(), at).unwrap();
        changes.iter().map(|c| c.delta_m3_per_day).collect()
    };
    assert_eq!((known(-1), known(0)), (vec![500.0], vec![500.0, -800.0]));
    assert_eq!((known(1), known(2)), (vec![500.0, -700.0], vec![500.0]));
    let listed = |all| -> Vec<(String, ChangeState)> {
        let listed = desk.changes(None, all).unwrap();
        listed.into_iter().map(|v| (v.customer, v.state)).collect()
    };
    let of_file = ("K1".to_owned(), ChangeState::Active);
    assert_eq!(listed(false), std::slice::from_ref(&of_file));
    assert_eq!(
        listed(true),
        [("K0".to_owned(), ChangeState::Withdrawn), of_file]
    );
    assert_eq!(desk.changes(Some("K0"), false).unwrap(), []);
    assert_eq!(app.book.verify_audit().unwrap().broken(), None);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn a_table_is_taken_whole_or_not_at_all() {
    let site = Site::new(2);
    site.registry_file(
        "filed_plans.csv",
        "customer,day,available_at,volume\nK0,2026-12-02,2026-11-01T00:00:00Z,2500\n",
    );
    let (app, desk, clock) = open(&site);
    let upload = |text: &str, dry_run| PlanUpload {
        bytes: text.as_bytes().to_vec().into(),
        about: UploadQuery {
            file: "plans.csv".into(),
            person: "计划员 李".into(),
            source: "函件".into(),
            reason: "十二月计划表".into(),
            dry_run,
            ..UploadQuery::default()
        },
    };
    let table = |cells: &str| format!("2026年12月 单位:万m³\n户号,客户名称,1,2,3,合计\n{cells}");
    let wrong = table(
        "K0,,0.24,0.25,很多,0.49\nK9,,1,,,1\n,Works 1,9999,,,9999\nK1,,0.1,0.1,,0.3\nK1,,0.1,,,\n",
    );
    let report = desk.import_plans(&upload(&wrong, true)).unwrap();
    let told: Vec<(&str, &str, &str)> = report
        .rows
        .iter()
        .filter_map(|row| {
            let problem = row.problem.as_ref()?;
            assert!(!problem.zh.is_empty() && problem.zh != problem.en);
            Some((
                row.place.as_str(),
                row.customer.as_str(),
                problem.en.as_str(),
            ))
        })
        .collect();
    let has = |place: &str, words: &str| {
        told.iter()
            .any(|(at, _, en)| *at == place && en.contains(words))
    };
    assert!(has("E3", "is no volume"), "{told:?}");
    assert!(
        has("C4", "no customer has the account number `K9`"),
        "{told:?}"
    );
    assert!(has("C5", "is the unit m³?"), "{told:?}");
    assert!(has("F6", "the sum is"), "{told:?}");
    assert!(has("C6", "is said in C5 already"), "{told:?}");
    assert!(has("C7", "is said in C5 already"), "{told:?}");
    assert_eq!(told.len(), 6, "{told:?}");
    assert_eq!(
        report.rows[0].outcome,
        PlanOutcome::Problem,
        "they come first"
    );
    let refused = desk.import_plans(&upload(&wrong, false)).unwrap_err();
    assert!(
        matches!(&refused, ActionError::Refused { code: "filing.rows", message } if message.contains("6 of")),
        "{refused}"
    );
    assert_eq!(
        in_force(&app, "K0", start()).len(),
        1,
        "nothing of it was taken"
    );

    // The plan of the file stays where the table says the same, and is stood above where it does not.
    let right = table("K0,,0.24,0.25,0.3,0.79\n,Works 1,0.1,,0.2,0.3\n合计,,0.34,0.25,0.5,1.09\n");
    let looked = desk.import_plans(&upload(&right, true)).unwrap();
    assert!(!looked.is_taken);
    let sums: Vec<_> = looked
        .customers
        .iter()
        .map(|s| {
            (
                s.customer.as_str(),
                s.days,
                s.total_m3.as_str(),
                s.before_m3.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        sums,
        [
            ("K0", 3, "7900.0000", Some("2500.0000")),
            ("K1", 2, "3000.0000", None)
        ]
    );
    let taken = desk.import_plans(&upload(&right, false)).unwrap();
    assert_eq!(
        counts(&taken),
        [(PlanOutcome::New, 4), (PlanOutcome::Unchanged, 1)]
    );
    assert_eq!(counts(&looked), counts(&taken));
    let day = |day: &str, m3: &str| (day.to_owned(), m3.to_owned());
    assert_eq!(
        in_force(&app, "K0", start()),
        BTreeMap::from([
            day("2026-12-01", "2400.0000"),
            day("2026-12-02", "2500.0000"),
            day("2026-12-03", "3000.0000"),
        ])
    );
    // Sent again it says nothing new.
    let again = desk.import_plans(&upload(&right, false)).unwrap();
    assert!(!again.is_taken && again.entry.is_none());

    // In December its first days are over; a table leaves them out, a person mends one.
    clock.set("2026-12-03T01:00:00Z".parse().unwrap());
    let mended = table("K0,,9,9,0.35,18.35\n");
    let taken = desk.import_plans(&upload(&mended, false)).unwrap();
    assert_eq!(
        counts(&taken),
        [(PlanOutcome::Changed, 1), (PlanOutcome::Over, 2)]
    );
    clock.set("2026-12-03T02:00:00Z".parse().unwrap());
    let typo = plans(rows("K0", ["2026-12-01".parse().unwrap()], Some("2450")));
    assert_eq!(
        counts(&desk.file_plans(&typo).unwrap()),
        [(PlanOutcome::Changed, 1)]
    );
    let of_k0 = desk.plans_of(
        "K0",
        "2026-12-01".parse().unwrap(),
        "2026-12-05".parse().unwrap(),
    );
    let of_k0 = of_k0.unwrap();
    let shown: Vec<_> = of_k0
        .days
        .iter()
        .map(|d| (d.plan_m3.as_deref().unwrap_or("—"), d.origin, d.words))
        .collect();
    let entry = Some(FilingOrigin::Entry);
    assert_eq!(
        shown,
        [
            ("2450.0000", entry, 2),
            ("2500.0000", Some(FilingOrigin::File), 1),
            ("3500.0000", entry, 2),
            ("—", None, 0)
        ]
    );
    let reasons: Vec<_> = of_k0
        .entries
        .iter()
        .map(|e| (e.reason.as_str(), e.days))
        .collect();
    assert_eq!(
        reasons,
        [("十二月安排", 1), ("十二月计划表", 1), ("十二月计划表", 2)]
    );
    assert_eq!(of_k0.entries[1].file.as_deref(), Some("plans.csv"));

    // The plan of a file is taken back by an entry, too.
    clock.set("2026-12-03T03:00:00Z".parse().unwrap());
    let back = plans(rows("K0", ["2026-12-02".parse().unwrap()], None));
    assert_eq!(
        counts(&desk.file_plans(&back).unwrap()),
        [(PlanOutcome::Withdrawn, 1)]
    );
    let board = desk.plan_board("2026-12".parse().unwrap()).unwrap();
    let filed: Vec<_> = board
        .rows
        .iter()
        .map(|r| (r.customer.as_str(), r.days_filed))
        .collect();
    assert_eq!(filed, [("K0", 2), ("K1", 2)]);

    let rows_of = |customer: &str, day: &str, m3: &str| {
        let row = PlanRow {
            customer: customer.into(),
            day: day.into(),
            m3: Some(m3.into()),
        };
        let report = desk.file_plans(&NewPlans {
            dry_run: true,
            ..plans(vec![row])
        });
        report.unwrap().rows.remove(0).problem.unwrap().en
    };
    assert!(rows_of("K0", "2026-02-30", "1").contains("is no gas day"));
    assert!(rows_of("K0", "2025-12-01", "1").contains("is the year right"));
    assert!(rows_of("K0", "2062-12-01", "1").contains("is the year right"));
    assert!(rows_of("K0", "2026-12-09", "-1").contains("is no planned volume"));
    assert!(rows_of("K0", "2026-12-09", "1.00001").contains("is no planned volume"));
    assert!(rows_of("Works", "2026-12-09", "1").contains("no customer"));
    assert_eq!(app.book.verify_audit().unwrap().broken(), None);
}

/// Totals of M0 that grow by 10 m³ an hour over the gas days before today, as a file.
fn readings(site: &Site, today: GasDay, days: i64) -> std::path::PathBuf {
    let first = GasDayClock::default().start_of(today.plus(-days));
    let mut text = String::from("device,sampled_at,BTotal\n");
    for hour in 0..=days * 24 {
        let at = first + TimeDelta::hours(hour);
        writeln!(text, "D0,{},{}", at.to_rfc3339(), 1_000 + hour * 10).unwrap();
    }
    let file = site.path().join("readings.csv");
    fs::write(&file, text).unwrap();
    file
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn ledger_and_rules_of_a_running_daemon_follow_what_is_entered() {
    let site = Site::new(2);
    let config = site.config("");
    let today = GasDayClock::default().day_of(Utc::now());
    let yesterday = today.plus(-1);
    let file = readings(&site, today, 4);
    let run = |arguments: &[&str]| {
        let all = [&["--config", config.to_str().unwrap()], arguments].concat();
        let output = qiliang(&all);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said, told)
    };
    assert_eq!(run(&["import", file.to_str().unwrap()]).0, Some(0));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let get = |path: &str| ask(&address, &format!("GET /api/v1/{path}"), "", "").body;
    let post = |path: &str, body: &Value| {
        ask(
            &address,
            &format!("POST /api/v1/{path}"),
            "",
            &body.to_string(),
        )
    };
    let row_of = |customer: &str| -> Value {
        let ledger = get("ledger");
        let rows = ledger["rows"].as_array().unwrap();
        rows.iter()
            .find(|r| r["account_no"] == customer)
            .unwrap()
            .clone()
    };
    let deviations = || -> usize {
        let found = get("findings?rule=V26");
        let rows = found
            .as_array()
            .or_else(|| found["rows"].as_array())
            .unwrap();
        rows.len()
    };
    assert_eq!(row_of("K0")["plan_m3"], Value::Null);
    assert_eq!(deviations(), 0);

    // Half of what was used: known at once to the ledger, and a deviation to the rules.
    let entry = |m3: &str| {
        json!({
            "person": "计划员 李", "source": "电话", "reason": "补录",
            "rows": [{ "customer": "K0", "day": yesterday, "m3": m3 }],
        })
    };
    let answer = post("filed-plans", &entry("120"));
    assert_eq!(
        (answer.status, &answer.body["is_taken"]),
        (200, &json!(true)),
        "{}",
        answer.body
    );
    assert_eq!(
        row_of("K0")["plan_m3"],
        "120.0000",
        "no answer of before the entry"
    );
    assert_eq!(deviations(), 1);
    // A slip of the pen, mended.
    assert_eq!(post("filed-plans", &entry("240")).status, 200);
    assert_eq!(row_of("K0")["plan_m3"], "240.0000");
    assert_eq!(deviations(), 0);

    let change = json!({
        "customer": "K0", "person": "王", "reason": "检修",
        "change": { "kind": "shutdown", "from_on": today, "to_on": today.plus(3), "delta_m3_per_day": -200.0,
                    "confidence": 0.9, "source": "微信" },
    });
    let entered = post("production-changes", &change);
    assert_eq!(entered.status, 200, "{}", entered.body);
    assert_eq!(row_of("K0")["change"]["kind"], "shutdown");
    let id = entered.body["id"].as_str().unwrap();
    let gone = post(
        &format!("production-changes/{id}"),
        &json!({ "person": "王", "reason": "取消", "change": null }),
    );
    assert_eq!(gone.body["state"], "withdrawn");
    assert_eq!(row_of("K0")["change"], Value::Null);
    assert_eq!(get("production-changes").as_array().unwrap().len(), 0);
    assert_eq!(
        get("production-changes?all=true").as_array().unwrap().len(),
        1
    );
    let refused = post(
        "production-changes/B0",
        &json!({ "person": "王", "reason": "x" }),
    );
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (404, &json!("filing.change_missing"))
    );

    // A table by the command line goes through the daemon; what cannot be taken is told in Chinese.
    let month = today.month().next();
    let table = site.path().join("plans.csv");
    let csv = table.to_str().unwrap();
    let write = |rows: &str| fs::write(&table, format!("单位:m³\n户号,1,2,3\n{rows}\n")).unwrap();
    let of_month = month.to_string();
    let looked = [
        "plans",
        "import",
        csv,
        "--dry-run",
        "--month",
        of_month.as_str(),
    ];
    write("K0,240,250,x\nK7,1,1,1");
    let (code, said, told) = run(&looked);
    assert_eq!(code, Some(2), "{said}{told}");
    assert!(
        told.contains("D3 K0: 「x」不是用气量") && told.contains("没有户号为「K7」"),
        "{told}"
    );
    write("K0,240,250,260\nWorks 1,1,1,1");
    let (code, said, told) = run(&looked);
    assert_eq!(code, Some(0), "{said}{told}");
    assert!(
        said.contains("K0 Works 0") && said.contains("750.0000") && said.contains("6 新增"),
        "{said}"
    );
    let board = |days: i64| {
        let board = get(&format!("filed-plans?month={month}"));
        let rows = board["rows"].as_array().unwrap().clone();
        assert!(rows.iter().all(|r| r["days_filed"] == days), "{rows:?}");
    };
    board(0);
    let unsigned = run(&["plans", "import", csv, "--month", of_month.as_str()]);
    assert_eq!(
        unsigned.0,
        Some(2),
        "who, how and why must be said: {unsigned:?}"
    );
    let signed = [
        "--person",
        "李",
        "--source",
        "函件",
        "--reason",
        "月计划",
        "--en",
    ];
    let all = [
        &["plans", "import", csv, "--month", of_month.as_str()],
        &signed[..],
    ]
    .concat();
    let (code, said, told) = run(&all);
    assert_eq!(code, Some(0), "{said}{told}");
    assert!(
        said.contains("6 new") && said.contains("known from"),
        "{said}"
    );
    assert!(told.contains("asking the running daemon"), "{told}");
    board(3);
    let plans = get(&format!(
        "filed-plans/K0?from={}&to={}",
        month.first_day(),
        month.first_day()
    ));
    assert_eq!(plans["days"][0]["plan_m3"], "240.0000");
    assert_eq!(plans["entries"][0]["file"], "plans.csv");

    // Larger than whatever else is sent, and still taken; what is larger than a table is not.
    let many: Vec<Value> = (0..2_000)
        .map(|i| json!({ "customer": "K1", "day": today.plus(i % 300), "m3": "1" }))
        .collect();
    let mut large = entry("1");
    large["rows"] = json!(many);
    large["dry_run"] = json!(true);
    let answer = post("filed-plans", &large);
    assert_eq!(
        (answer.status, &answer.body["counts"]["problem"]),
        (200, &json!(1_700))
    );

    // Stopped, the same command writes for itself; nothing is entered into the past.
    assert!(daemon.stop().success());
    write("K0,241,250,260");
    let past = [&["--at", "2026-01-01T00:00:00Z"], &all[..]].concat();
    let (code, _, told) = run(&past);
    assert!(code == Some(1) && told.contains("--at"), "{told}");
    let (code, said, told) = run(&all);
    assert_eq!(code, Some(0), "{said}{told}");
    assert!(said.contains("1 changed, 2 unchanged"), "{said}");
    let (code, said, told) = run(&["verify"]);
    assert_eq!(code, Some(0), "{said}{told}");
}

#[test]
fn an_announced_stop_entered_while_the_daemon_runs_takes_its_findings_back() {
    let site = Site::new(1);
    let config = site.config("");
    let today = GasDayClock::default().day_of(Utc::now());
    // Use for two weeks, then none for two.
    let first = GasDayClock::default().start_of(today.plus(-28));
    let mut text = String::from("device,sampled_at,BTotal\n");
    for hour in 0..=28 * 24 {
        let at = first + TimeDelta::hours(hour);
        writeln!(
            text,
            "D0,{},{}",
            at.to_rfc3339(),
            1_000 + hour.min(14 * 24) * 10
        )
        .unwrap();
    }
    let file = site.path().join("readings.csv");
    fs::write(&file, text).unwrap();
    let all = [
        "--config",
        config.to_str().unwrap(),
        "import",
        file.to_str().unwrap(),
    ];
    assert!(qiliang(&all).status.success());
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let silent = || -> usize {
        let found = ask(&address, "GET /api/v1/findings?rule=V10", "", "").body;
        let rows = found
            .as_array()
            .or_else(|| found["rows"].as_array())
            .unwrap();
        rows.len()
    };
    assert!(
        silent() > 0,
        "days without gas and without a word are asked about"
    );
    let change = json!({
        "customer": "K0", "person": "王", "reason": "停产通知晚到",
        "change": { "kind": "shutdown", "from_on": today.plus(-14), "to_on": today.plus(10),
                    "delta_m3_per_day": -240.0, "confidence": 1.0, "source": "函件" },
    });
    let body = change.to_string();
    let entered = ask(&address, "POST /api/v1/production-changes", "", &body);
    assert_eq!(entered.status, 200, "{}", entered.body);
    wait_for("the days of the stop to be judged again", || {
        (silent() == 0).then_some(())
    });
}
