use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::*;
use crate::domain::calendar::{GasDay, GasDayClock};
use crate::domain::customer::CustomerClass;
use crate::domain::demand::{DemandCube, DemandDay, DemandForecast, DemandNode};
use crate::domain::filing::{ChangeEntry, ChangeKind, FiledPlan, PlanWord, ProductionChange};
use crate::domain::quantity::StdVolume;
use crate::domain::weather::{StationMix, WeatherKind, WeatherPoint, WeatherVintage};

fn open(dir: &Path) -> Book {
    Book::open(dir.join("qiliang.db")).unwrap()
}

fn day() -> GasDay {
    "2026-11-21".parse().unwrap()
}

fn at(hour: i64) -> DateTime<Utc> {
    GasDayClock::default().start_of(day()) + TimeDelta::hours(hour)
}

fn vintage(kind: WeatherKind, issued: i64, known: i64, points: &[(i64, f64)]) -> WeatherVintage {
    WeatherVintage {
        station: "s".into(),
        kind,
        issued_at: at(issued),
        available_at: at(known),
        points: points
            .iter()
            .map(|(hour, temperature_c)| WeatherPoint {
                at: at(*hour),
                temperature_c: *temperature_c,
            })
            .collect(),
    }
}

#[test]
fn a_forecast_is_seen_only_once_it_was_known() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let first = vintage(WeatherKind::Forecast, 0, 1, &[(3, 5.0), (4, 4.5)]);
    let second = vintage(WeatherKind::Forecast, 6, 9, &[(12, -1.25)]);
    book.put_weather(vec![first.clone(), second.clone(), first.clone()])
        .unwrap();
    let known = |hour| book.latest_forecast_known_at("s", at(hour)).unwrap();
    assert_eq!(known(0), None);
    assert_eq!(known(8), Some(first), "issued but not yet available");
    assert_eq!(known(9), Some(second));
    assert_eq!(book.latest_forecast_known_at("t", at(9)).unwrap(), None);
}

#[test]
fn an_observation_is_corrected_but_the_past_remembers() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let first = vintage(WeatherKind::Observed, 2, 2, &[(0, 5.0), (1, 6.0)]);
    let later = vintage(WeatherKind::Observed, 8, 8, &[(1, 7.0), (2, 8.0)]);
    book.put_weather(vec![later, first]).unwrap();
    let values = |points: Vec<WeatherPoint>| -> Vec<f64> {
        points.into_iter().map(|p| p.temperature_c).collect()
    };
    let now = book.observed("s", at(0), at(3)).unwrap();
    assert_eq!(values(now), [5.0, 7.0, 8.0]);
    let then = book.observed_known_at("s", at(0), at(3), at(7)).unwrap();
    assert_eq!(values(then), [5.0, 6.0]);
    let part = book.observed("s", at(1), at(2)).unwrap();
    assert_eq!(values(part), [7.0]);
}

fn demand(day: GasDay, class: CustomerClass, value: f64) -> DemandDay {
    DemandDay {
        node: DemandNode {
            zone: "north".into(),
            class,
        },
        day,
        hours_m3: std::array::from_fn(|hour| value + hour as f64 / 3.0),
        coverage: 0.75,
        uncertainty_m3: 0.0,
    }
}

fn restated(day: GasDay) -> RestatedDay {
    RestatedDay {
        day,
        ended_at: at(0),
        decided_at: None,
    }
}

#[test]
fn demand_is_replaced_by_day_and_read_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let industrial = demand(day(), CustomerClass::Industrial, 9.0);
    let cooking = demand(day(), CustomerClass::ResidentialCooking, 2.0);
    let next = demand(day().plus(1), CustomerClass::Industrial, 8.0);
    book.restate_demand_days(
        Vec::new(),
        vec![next.clone(), industrial.clone(), cooking.clone()],
        at(0),
    )
    .unwrap();
    let all = book.demand_days(day(), day().plus(2)).unwrap();
    assert_eq!(all, [cooking, industrial, next.clone()]);
    assert_eq!(book.demand_days(day(), day().plus(1)).unwrap().len(), 2);
    let fresh = demand(day(), CustomerClass::Industrial, 1.0);
    book.restate_demand_days(vec![restated(day())], vec![fresh.clone()], at(0))
        .unwrap();
    let all = book.demand_days(day(), day().plus(2)).unwrap();
    assert_eq!(all, [fresh, next], "the class that lost its meters is gone");
}

fn run(id: &str, origin: i64) -> DemandForecast {
    DemandForecast {
        run_id: id.into(),
        origin_at: at(origin),
        days: vec![day(), day().plus(1)],
        hourly_days: 2,
        clock: GasDayClock::default(),
        nodes: Vec::new(),
        inputs: vec![("registry".into(), "abc".into())],
        cube: DemandCube::default(),
        shares: vec![vec![("north".into(), "pipe".into(), 1.0)]; 2],
    }
}

#[test]
fn forecast_runs_come_back_whole_and_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    assert!(book.latest_forecast_run().unwrap().is_none());
    book.put_forecast_run(&run("b", 5), RunBeside::default(), at(6))
        .unwrap();
    book.put_forecast_run(&run("a", 1), RunBeside::default(), at(7))
        .unwrap();
    assert_eq!(*book.latest_forecast_run().unwrap().unwrap(), run("b", 5));
    assert_eq!(
        *book.forecast_run(&"a".into()).unwrap().unwrap(),
        run("a", 1)
    );
    assert!(book.forecast_run(&"c".into()).unwrap().is_none());
    assert!(book.forecast_run_known_at(at(5)).unwrap().is_none());
    let headers = book.forecast_runs(9).unwrap();
    let ids: Vec<_> = headers.iter().map(|h| h.run_id.as_str()).collect();
    assert_eq!(ids, ["b", "a"]);
    assert_eq!((headers[0].days, headers[0].registry.as_str()), (2, "abc"));
    assert!(
        book.put_forecast_run(&run("a", 2), RunBeside::default(), at(8))
            .is_err(),
        "an id is used once"
    );
    assert_eq!(book.prune_forecast_runs(at(99), 1).unwrap(), 1);
    assert_eq!(book.forecast_runs(9).unwrap().len(), 1);
    assert_eq!(book.verify_audit().unwrap().broken(), None);
}

#[test]
fn documents_are_versioned_and_each_is_in_the_audit_log() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let put = |key: &str, body, hour| {
        book.put_document(
            DocumentKind::Declaration,
            key,
            body,
            at(hour),
            "王工",
            "初稿",
        )
        .unwrap()
    };
    assert_eq!(put("2026-12", json!({"m3": "1.0000"}), 1), 1);
    assert_eq!(put("2027-01", json!({"m3": "5.0000"}), 2), 1);
    assert_eq!(put("2026-12", json!({"m3": "2.0000"}), 3), 2);
    let newest = book
        .document(DocumentKind::Declaration, "2026-12")
        .unwrap()
        .unwrap();
    assert_eq!(
        (newest.version, newest.body["m3"].as_str()),
        (2, Some("2.0000"))
    );
    assert_eq!(
        (newest.who.as_str(), newest.reason.as_str()),
        ("王工", "初稿")
    );
    let versions = book
        .document_versions(DocumentKind::Declaration, "2026-12")
        .unwrap();
    assert_eq!(
        versions.iter().map(|d| d.version).collect::<Vec<_>>(),
        [1, 2]
    );
    let list = book.documents(DocumentKind::Declaration, 9).unwrap();
    let keys: Vec<_> = list.iter().map(|d| (d.key.as_str(), d.version)).collect();
    assert_eq!(keys, [("2026-12", 2), ("2027-01", 1)]);
    assert_eq!(book.documents(DocumentKind::Nudge, 9).unwrap(), []);
    assert_eq!(book.document(DocumentKind::Nudge, "2026-12").unwrap(), None);
    let audit = book.audit(9).unwrap();
    assert_eq!(audit.len(), 3);
    assert_eq!(audit[0].action, "declaration.put");
    assert_eq!(audit[0].subject, "2026-12#2");
    let report = book.verify_audit().unwrap();
    assert_eq!((report.records, report.broken()), (3, None));
    assert_eq!(report.head, audit[0].hash);
}

#[test]
fn a_run_that_a_document_names_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    for (id, hour) in [("declared", 1), ("nobody", 2), ("nudged", 3), ("newest", 4)] {
        book.put_forecast_run(&run(id, hour), RunBeside::default(), at(hour))
            .unwrap();
    }
    for (kind, id) in [
        (DocumentKind::Declaration, "declared"),
        (DocumentKind::Nudge, "nudged"),
        (DocumentKind::Notice, "never kept"),
    ] {
        let body = json!({ "forecast_run": id });
        book.put_document(kind, "d", body, at(5), "a", "b").unwrap();
    }
    assert_eq!(book.prune_forecast_runs(at(999), 1).unwrap(), 1);
    let kept = book.forecast_runs(9).unwrap();
    let kept: Vec<_> = kept.iter().map(|run| run.run_id.as_str()).collect();
    assert_eq!(kept, ["newest", "nudged", "declared"]);
}

#[test]
fn a_plan_entered_while_the_clock_was_months_ahead_draws_no_later_one_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let entry = |key: &str, hour| NewDocument {
        kind: DocumentKind::FiledPlans,
        key: key.into(),
        body: json!({ "rows": [] }),
        at: at(hour),
        who: "王".into(),
        reason: "计划".into(),
    };
    let said = |m3| vec![("c".into(), day(), Some(StdVolume::from_m3(m3)))];
    book.put_plan_entry(entry("P1", 6_000), said(1)).unwrap();
    assert_eq!(book.put_plan_entry(entry("P2", 3), said(2)).unwrap(), at(3));
    let words = book.plan_words(None, day(), day().plus(1), at(4)).unwrap();
    assert_eq!(words[0].volume, Some(StdVolume::from_m3(2)));
}

#[test]
fn what_is_done_each_round_reads_neither_documents_nor_expectations_whole() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let c = rusqlite::Connection::open(dir.path().join("qiliang.db")).unwrap();
    for (sql, index) in [
        (expectations::SETTLE, "expectations_by_day"),
        (forecasts::OLD_RUNS, "documents_by_run"),
    ] {
        let mut statement = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = statement.parameter_count();
        let none = rusqlite::params_from_iter(vec![0; count]);
        let steps = statement.query_map(none, |row| row.get::<_, String>(3));
        let steps: Vec<String> = steps.unwrap().map(Result::unwrap).collect();
        assert!(steps.iter().any(|step| step.contains(index)), "{steps:?}");
        let is_scan = |step: &String| {
            step.starts_with("SCAN documents") || step.starts_with("SCAN expectations")
        };
        assert!(!steps.iter().any(is_scan), "{steps:?}");
    }
}

#[test]
fn a_draft_takes_the_place_of_the_one_before_it_and_the_log_tells_of_both() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let document = |who: &str, hour: i64| NewDocument {
        kind: DocumentKind::Nomination,
        key: "2026-11-23".into(),
        body: json!({ "forecast_run": format!("R{hour}") }),
        at: at(hour),
        who: who.into(),
        reason: "scheduled".into(),
    };
    assert_eq!(book.put_draft(document("qiliang", 1)).unwrap(), 1);
    assert_eq!(book.put_draft(document("qiliang", 2)).unwrap(), 1);
    // A person's stays, whatever is drafted after it.
    assert_eq!(book.put_documents(vec![document("王工", 3)]).unwrap(), [2]);
    assert_eq!(book.put_draft(document("qiliang", 4)).unwrap(), 3);
    assert_eq!(book.put_draft(document("qiliang", 5)).unwrap(), 3);
    let versions = book.document_versions(DocumentKind::Nomination, "2026-11-23");
    let runs: Vec<_> = versions
        .unwrap()
        .iter()
        .map(|d| d.body["forecast_run"].clone())
        .collect();
    assert_eq!(runs, ["R2", "R3", "R5"]);
    assert_eq!(book.audit(9).unwrap().len(), 5);
    let report = book.verify_audit().unwrap();
    assert_eq!((report.records, report.broken()), (5, None));
    rusqlite::Connection::open(book.path())
        .unwrap()
        .execute_batch("UPDATE documents SET body = '{}' WHERE version = 3")
        .unwrap();
    let found = book.verify_audit().unwrap();
    assert_eq!(found.broken().map(|found| found.seq), Some(5), "{found:?}");
}

#[test]
fn the_first_broken_record_is_named() {
    let broken_by = |sql: &str| {
        let dir = tempfile::tempdir().unwrap();
        let book = open(dir.path());
        for hour in 1..=5 {
            let body = json!({ "hour": hour });
            book.put_document(DocumentKind::Nomination, "n", body, at(hour), "a", "b")
                .unwrap();
        }
        book.record(at(6), "a", "rejects.replay", "17", "profile mended")
            .unwrap();
        rusqlite::Connection::open(book.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
        book.verify_audit().unwrap().breaks
    };
    let all = broken_by;
    let broken_by = |sql: &str| all(sql).first().cloned();
    assert_eq!(broken_by("SELECT 1"), None);
    let edited = broken_by("UPDATE audit SET who = 'x' WHERE seq = 3").unwrap();
    assert_eq!((edited.seq, edited.reason.contains("changed")), (3, true));
    let removed = broken_by("DELETE FROM audit WHERE seq = 2").unwrap();
    assert_eq!((removed.seq, removed.reason.contains("missing")), (2, true));
    let moved = broken_by("UPDATE audit SET who = 'ab', reason = '' WHERE seq = 4").unwrap();
    assert_eq!(moved.seq, 4);
    let rehashed = broken_by("UPDATE audit SET hash = zeroblob(32) WHERE seq = 1").unwrap();
    assert_eq!(rehashed.seq, 1);
    let body = broken_by("UPDATE documents SET body = '{}' WHERE version = 4").unwrap();
    assert_eq!((body.seq, body.reason.contains("n#4")), (4, true));
    let gone = broken_by("DELETE FROM documents WHERE version = 5").unwrap();
    assert_eq!((gone.seq, gone.reason.contains("missing")), (5, true));
    // One break hides no other, and what is cut off at the end is told by the documents.
    let several = all("DELETE FROM audit WHERE seq = 2; UPDATE audit SET who = 'x' WHERE seq = 5;");
    let told: Vec<_> = several.iter().map(|found| found.seq).collect();
    // The document of the missing record has none.
    assert_eq!(told, [2, 5, 7], "{several:?}");
    let cut = all("DELETE FROM audit WHERE seq > 3");
    let told: Vec<_> = cut.iter().map(|found| found.reason.as_str()).collect();
    assert_eq!(
        told,
        [
            "document n#4 (nomination) has no record",
            "document n#5 (nomination) has no record"
        ]
    );
}

#[test]
fn plans_and_changes_are_known_from_when_they_were_filed() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let plan = |m3, known| FiledPlan {
        customer: "c".into(),
        day: day(),
        volume: StdVolume::from_m3(m3),
        available_at: at(known),
    };
    book.put_filed_plans(vec![plan(100, 1), plan(80, 5)])
        .unwrap();
    let known = |hour| {
        let words = book.plan_words(None, day(), day().plus(1), at(hour));
        words.unwrap()
    };
    let word = |plan: FiledPlan| PlanWord::from(&plan);
    assert_eq!(known(0), []);
    assert_eq!(known(4), [word(plan(100, 1))]);
    assert_eq!(known(5), [word(plan(80, 5))]);
    assert!(book.has_filings_between(at(4), at(5)).unwrap());
    assert!(!book.has_filings_between(at(5), at(9)).unwrap());

    let change = ProductionChange {
        customer: "c".into(),
        kind: ChangeKind::Shutdown,
        from_on: day().0,
        to_on: day().0,
        delta_m3_per_day: -500.0,
        confidence: 0.9,
        source: "电话".into(),
        available_at: at(2),
    };
    let entry = |delta, known, is_withdrawn| ChangeEntry {
        id: "B1".into(),
        change: ProductionChange {
            delta_m3_per_day: delta,
            available_at: at(known),
            ..change.clone()
        },
        person: "李".into(),
        reason: "来电".into(),
        is_withdrawn,
    };
    for (before, delta, known, is_withdrawn) in [
        (0, -500.0, 2, false),
        (1, -300.0, 4, false),
        (2, -300.0, 6, true),
    ] {
        let entry = entry(delta, known, is_withdrawn);
        let put = book.put_change_entry(entry, before).unwrap();
        assert_eq!(put, Some(at(known)));
    }
    // One made without the newest is not kept.
    let put = book.put_change_entry(entry(-9.0, 7, false), 2).unwrap();
    assert_eq!(put, None);
    // An earlier instant is answered as it would have been then.
    let known = |hour| {
        let changes = book.production_changes_known_at(at(hour)).unwrap();
        changes
            .iter()
            .map(|c| c.delta_m3_per_day)
            .collect::<Vec<_>>()
    };
    assert_eq!(known(1), [0.0; 0]);
    assert_eq!((known(2), known(3)), (vec![-500.0], vec![-500.0]));
    assert_eq!((known(4), known(6)), (vec![-300.0], vec![]));
    assert!(book.has_filings_between(at(5), at(6)).unwrap());
    // One that comes in the same moment stands above the one before, and overwrites nothing.
    let later = book.put_change_entry(entry(-100.0, 6, false), 3).unwrap();
    assert_eq!(later, Some(at(6) + chrono::TimeDelta::milliseconds(1)));
    assert_eq!((known(6), known(7)), (vec![], vec![-100.0]));
    assert_eq!(book.change_entries().unwrap().len(), 4);

    let records = book.audit(9).unwrap();
    let told: Vec<&str> = records.iter().map(|r| r.action.as_str()).collect();
    let (enter, withdraw) = ("production_change.enter", "production_change.withdraw");
    assert_eq!(told, [enter, withdraw, enter, enter]);
    assert!(
        records
            .iter()
            .all(|r| r.who == "李" && r.digest.len() == 64)
    );
    assert_eq!(book.verify_audit().unwrap().broken(), None);
}

#[test]
fn plans_entered_together_are_known_together_and_name_their_entry() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let on = day().to_string();
    let entry = |key: &str| NewDocument {
        kind: DocumentKind::FiledPlans,
        key: key.into(),
        body: if key == "P1" {
            serde_json::json!({ "rows": [["c", on, "100"], ["d", on, "7"]] })
        } else {
            serde_json::json!({ "rows": [["c", on, null]] })
        },
        at: at(3),
        who: "王".into(),
        reason: "十二月计划".into(),
    };
    let said = |of: &str, m3: Option<i64>| (of.into(), day(), m3.map(StdVolume::from_m3));
    let known = book.put_plan_entry(entry("P1"), vec![said("c", Some(100)), said("d", Some(7))]);
    assert_eq!(known.unwrap(), at(3));
    // The second of the same moment is known after it: neither overwrites the other.
    let known = book
        .put_plan_entry(entry("P2"), vec![said("c", None)])
        .unwrap();
    assert_eq!(known, at(3) + chrono::TimeDelta::milliseconds(1));
    let words = |at| -> Vec<_> {
        let words = book.plan_words(None, day(), day().plus(1), at).unwrap();
        let words = words.into_iter();
        words
            .map(|w| (w.customer.to_string(), w.volume, w.entry))
            .collect()
    };
    let of = |id: &str, m3: Option<i64>, entry: &str| {
        (
            id.to_owned(),
            m3.map(StdVolume::from_m3),
            Some(entry.to_owned()),
        )
    };
    assert_eq!(words(at(2)), []);
    assert_eq!(
        words(at(3)),
        [of("c", Some(100), "P1"), of("d", Some(7), "P1")]
    );
    assert_eq!(words(at(4)), [of("c", None, "P2"), of("d", Some(7), "P1")]);
    let of_c = book.plan_history(Some(&"c".into()), day(), day().plus(1), at(4));
    assert_eq!(of_c.unwrap().len(), 2);
    // The same key twice is refused as a whole where a row cannot be written.
    let doubled = vec![said("e", Some(1)), said("e", Some(2))];
    assert!(book.put_plan_entry(entry("P3"), doubled).is_err());
    assert_eq!(book.document(DocumentKind::FiledPlans, "P3").unwrap(), None);
    assert_eq!(words(at(9)).len(), 2);
    let report = book.verify_audit().unwrap();
    assert_eq!((report.records, report.broken()), (2, None));
    // Whoever changes a plan behind the log is found out, and whoever slips one in.
    drop(book);
    let told = |sql: &str| {
        let path = dir.path().join("qiliang.db");
        let c = rusqlite::Connection::open(&path).unwrap();
        c.execute_batch(sql).unwrap();
        drop(c);
        let breaks = open(dir.path()).verify_audit().unwrap().breaks;
        breaks
            .into_iter()
            .map(|found| found.reason)
            .collect::<Vec<_>>()
    };
    let of_p1 = "the plans of entry P1 are others than were entered";
    assert_eq!(
        told("UPDATE filed_plans SET units = 1 WHERE customer = 'd'"),
        [of_p1]
    );
    let strange = "plans name an entry P9 that there is not";
    let slipped = "INSERT INTO filed_plans VALUES ('c', 1, 1, 1, 'P9')";
    assert_eq!(told(slipped), [of_p1, strange]);
}

#[test]
fn registry_versions_are_noted_when_they_change() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    assert_eq!(book.put_registry_version("a", at(1)).unwrap(), None);
    assert_eq!(book.put_registry_version("a", at(2)).unwrap(), None);
    let before = book.put_registry_version("b", at(3)).unwrap();
    assert_eq!(before.as_deref(), Some("a"));
    let versions = book.registry_versions(9).unwrap();
    let noted: Vec<_> = versions
        .iter()
        .map(|v| (v.version.as_str(), v.loaded_at))
        .collect();
    assert_eq!(noted, [("b", at(3)), ("a", at(1))]);
}

#[test]
fn demand_read_once_is_what_stands_there() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let other = open_reader(dir.path());
    let from = day().plus(-70);
    let all: Vec<DemandDay> = (0..70)
        .map(|i| demand(from.plus(i), CustomerClass::Industrial, 9.0))
        .collect();
    book.restate_demand_days(Vec::new(), all.clone(), at(0))
        .unwrap();
    let read = |from, to| {
        let once = book.demand_days(from, to).unwrap();
        assert_eq!(once, other.demand_days(from, to).unwrap());
        once
    };
    assert_eq!(read(from, day()), all);
    assert_eq!(read(from.plus(3), day().plus(-3)), all[3..67]);
    // Each way of writing is seen at once, also in months that were read.
    let late = demand(from.plus(5), CustomerClass::Industrial, 12.0);
    book.restate_demand_days(Vec::new(), vec![late.clone()], at(0))
        .unwrap();
    assert_eq!(read(from, day())[5], late);
    book.restate_demand_days(vec![restated(from.plus(6))], Vec::new(), at(0))
        .unwrap();
    assert_eq!(read(from, day()).len(), 69);
    let again = demand(from.plus(7), CustomerClass::Industrial, 15.0);
    book.restate_demand_days(vec![restated(again.day)], vec![again.clone()], at(0))
        .unwrap();
    assert_eq!(read(from, day())[6], again);
}

fn open_reader(dir: &Path) -> Book {
    Book::open_read_only(dir.join("qiliang.db")).unwrap()
}

#[test]
fn it_is_known_what_of_observed_weather_was_written_since() {
    let dir = tempfile::tempdir().unwrap();
    let book = open(dir.path());
    let mix = StationMix::from("s");
    let writes = || book.observed_writes(&mix, at(0), at(3)).unwrap();
    let before = writes();
    book.put_weather(vec![vintage(WeatherKind::Observed, 2, 2, &[(0, 5.0)])])
        .unwrap();
    let first = writes();
    assert!(first > before);
    // Of other days, and forecasts, they are not.
    book.put_weather(vec![
        vintage(WeatherKind::Observed, 90, 90, &[(80, 5.0)]),
        vintage(WeatherKind::Forecast, 2, 2, &[(1, 5.0)]),
    ])
    .unwrap();
    assert_eq!(writes(), first);
    book.put_weather(vec![vintage(WeatherKind::Observed, 2, 30, &[(0, 6.0)])])
        .unwrap();
    assert!(writes() > first);
    assert_eq!(
        open_reader(dir.path()).observed_writes(&mix, at(0), at(3)),
        None
    );
    let news = |known| book.observed_news(&mix, at(0), at(3), known).unwrap();
    assert_eq!(news(at(1)), [None, Some(at(2))]);
    assert_eq!(news(at(3)), [Some(at(2)), Some(at(30))]);
    assert_eq!(news(at(40)), [Some(at(30)), None]);
}
