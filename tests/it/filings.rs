//! Plans and production changes that people enter: known from their entry on, used by all that stands on them,
//! corrected and taken back without anything being overwritten.

mod daemon;

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
use qiliang::domain::weather::WeatherKind;
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
use crate::support::weather::vintage;

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
    app.book
        .restate_demand_days(Vec::new(), demand.collect(), chrono::DateTime::default())
        .unwrap();
    let from = app.gas_day_clock().start_of(today.plus(-days));
    app.book
        .put_weather(vec![vintage(WeatherKind::Observed, from, days * 24)])
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
        ActionError::Failed { code, .. } | ActionError::Conflict { code, .. } => code,
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
        version: None,
    };
    let later = facts_of(ChangeKind::Shutdown, 4, 8, -700.0);
    let corrected = desk.correct_change(&id, &correction(Some(later))).unwrap();
    assert_eq!(
        (corrected.version, corrected.change.delta_m3_per_day),
        (2, -700.0)
    );
    // Who saw the first version only is told whose is the newer one.
    let late = ChangeCorrection {
        person: "乙".into(),
        version: Some(1),
        ..correction(None)
    };
    match desk.correct_change(&id, &late).unwrap_err() {
        ActionError::Conflict { code, message } => {
            assert_eq!(code, "filing.newer");
            assert!(message.contains("值班长 made version 2"), "{message}");
        }
        other => panic!("{other}"),
    }
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
