use tempfile::TempDir;

use super::*;
use crate::domain::demand::DemandDay;
use crate::plan::workbook;
use crate::run::planning;
use crate::run::submitting::mark_sent;
use crate::run::testing::{app_of, put_curves};
use crate::serve::figures::fixture;
use crate::store::book::RunBeside;

/// The fixture's city on 2026-11-21, metered from 1 November on, with a run that reaches New Year.
fn city(dir: &TempDir) -> App {
    let registry = fixture::registry();
    let now = fixture::at("2026-11-21T08:05:00+08:00");
    let (app, reload) = app_of(dir.path(), registry.clone(), now);
    drop(reload);
    let (from, today) = (fixture::day("2026-11-01"), app.today());
    let days = today.days_since(from);
    for i in 0..days {
        let day = from.plus(i);
        let gates = fixture::gate_curves(&registry, day, 24);
        put_curves(
            &app,
            gates
                .into_iter()
                .chain(fixture::customer_curves(&registry, day, 24)),
        );
    }
    let mut demand: Vec<DemandDay> = fixture::demand(&registry, from, days);
    for day in &mut demand {
        day.coverage = 0.9;
    }
    app.book
        .restate_demand_days(Vec::new(), demand, now)
        .unwrap();
    let run = fixture::forecast(&registry, "2026-11-21T08:05:00+08:00", 41);
    app.book
        .put_forecast_run(&run, RunBeside::default(), now)
        .unwrap();
    app
}

fn month(text: &str) -> GasMonth {
    text.parse().unwrap()
}

#[test]
fn the_month_before_is_held_against_what_was_declared_for_it() {
    let dir = TempDir::new().unwrap();
    let app = city(&dir);
    let bare = planning::declare(&app, month("2026-12"), "甲", "初次").unwrap();
    let execution = &bare.background.as_ref().unwrap().execution;
    assert_eq!(execution.declared_version, None);
    assert_eq!(execution.lines[0].deviation_m3(), None);
    // A version that was made after the one that was sent is not what the supplier has.
    let november = DocumentKind::Declaration;
    let mut declared = serde_json::to_value(&bare).unwrap();
    declared["month"] = "2026-11".into();
    for (sent, m3) in [(false, 1_000), (true, 250_000), (false, 2_000)] {
        declared["contracts"][0]["declared_m3"] = m3.into();
        declared["sent_at"] = if sent {
            "2026-10-20T02:00:00Z".into()
        } else {
            serde_json::Value::Null
        };
        let version = app
            .book
            .document_versions(november, "2026-11")
            .unwrap()
            .len()
            + 1;
        declared["version"] = version.into();
        let (at, body) = (app.clock.now(), declared.clone());
        app.book
            .put_document(november, "2026-11", body, at, "甲", "")
            .unwrap();
    }
    let d = planning::declare(&app, month("2026-12"), "甲", "再次").unwrap();
    let execution = &d.background.as_ref().unwrap().execution;
    assert_eq!(execution.declared_version, Some(2));
    assert_eq!(execution.measured_to, Some(fixture::day("2026-11-20")));
    let line = &execution.lines[0];
    // Twenty measured days and ten expected ones are what sheet 1 calls last month.
    assert_eq!(line.taken_m3(), d.contracts[0].last_month_m3);
    assert!(line.measured_m3.unwrap() > 0 && line.expected_m3 > 0);
    let deviation = line.taken_m3().unwrap() - 250_000;
    assert_eq!(line.deviation_m3(), Some(deviation));
    let beyond = (deviation.abs() as f64 - line.band_ratio * 250_000.0).max(0.0);
    assert!((line.beyond_band_m3().unwrap().abs() - beyond).abs() < 1e-6);
}

#[test]
fn the_notes_tell_what_the_stores_hold_and_versions_name_their_workbooks() {
    let dir = TempDir::new().unwrap();
    let app = city(&dir);
    let first = planning::declare(&app, month("2026-12"), "甲", "初次").unwrap();
    let second = planning::declare(&app, month("2026-12"), "乙", "需求上调").unwrap();
    let background = second.background.as_ref().unwrap();
    let line = &background.versions[0];
    assert_eq!(
        (line.version, line.person.as_str(), line.reason.as_str()),
        (1, "甲", "初次")
    );
    assert_eq!(line.sha256, first.content_hash().unwrap());
    assert_eq!(background.versions.len(), 1);
    // What is sent is a version of its own, and lists the one it was.
    mark_sent(&app, DocumentKind::Declaration, "2026-12", "乙", "邮件").unwrap();
    let sent = app
        .book
        .document(DocumentKind::Declaration, "2026-12")
        .unwrap()
        .unwrap();
    let sent = declaration_of(sent).unwrap();
    let versions = &sent.background.as_ref().unwrap().versions;
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[1].sha256, second.content_hash().unwrap());
    assert_eq!(versions[1].sent_at, None);
    workbook::declaration(&sent).unwrap();

    let notes = &background.notes;
    assert_eq!(notes.quality_days, 20);
    assert!((notes.measured_part.unwrap() - 0.9).abs() < 1e-9);
    assert_eq!(notes.learnt_from, Some(fixture::day("2026-11-01")));
    assert_eq!(notes.skills[0].of, "total");
    assert_eq!(notes.skills[0].day_ahead, None, "nothing was scored yet");
    // Twenty of 365 days are known: no year, but the largest of these.
    let year = background.security.year;
    assert_eq!((year.bought_m3, year.days_known), (None, 20));
    assert!(year.peak_m3.unwrap() > 0);
}
