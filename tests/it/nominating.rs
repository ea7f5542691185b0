//! A dispatcher's own quantity in a nomination, in the stores of a real site.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::GasDay;
use qiliang::plan::nomination::{Nomination, NominationStatus};
use qiliang::run::actions::Desk;
use qiliang::run::app::App;
use qiliang::run::nominating::{self, NominateError};
use qiliang::run::{forecasting, planning, site, submitting};
use qiliang::serve::actions::{ActionError, Actions as _};
use qiliang::serve::api::nominations::NominationEdit;
use qiliang::store::book::DocumentKind;

use crate::nudging::fill;
use crate::support::site::Site;

fn edit(contract: &str, nominated_m3: i64, reason: &str) -> NominationEdit {
    NominationEdit {
        contract: contract.into(),
        nominated_m3,
        who: "调度 王".into(),
        reason: Some(reason.into()),
        version: None,
    }
}

/// A site at 15:00 of 2026-11-20 with the drafted nomination of the day after.
fn drafted(dir: &Site) -> (App, GasDay) {
    let at: DateTime<Utc> = "2026-11-20T07:00:00Z".parse().unwrap();
    let day: GasDay = "2026-11-21".parse().unwrap();
    let settings = qiliang::settings::load(Some(&dir.config(""))).unwrap();
    let examined = site::examine_with(settings, at).into_site().unwrap();
    let (app, _) = App::open(&examined, Arc::new(ManualClock::new(at))).unwrap();
    fill(&app, day);
    forecasting::publish(&app).unwrap();
    planning::nominate(&app, day, "qiliang", "scheduled").unwrap();
    (app, day)
}

#[test]
fn a_change_of_what_was_sent_is_no_submission_until_it_is_sent() {
    let dir = Site::new(1);
    let (app, day) = drafted(&dir);
    let (of, key) = (DocumentKind::Nomination, day.to_string());
    let sent = submitting::mark_sent(&app, of, &key, "调度 王", "10点前").unwrap();
    let sent: Nomination = serde_json::from_value(sent).unwrap();
    let first_m3 = sent.lines[0].nominated_m3;
    assert_eq!((sent.submission_no, sent.lines[0].changed_m3), (1, None));

    let silent = nominating::edit(&app, day, &edit("C1", first_m3 + 1, " ")).unwrap_err();
    assert!(silent.to_string().contains("was sent"), "{silent}");
    let changed = nominating::edit(&app, day, &edit("C1", first_m3 + 90, "气温骤降")).unwrap();
    assert_eq!(
        (changed.status, changed.sent_at, changed.submission_no),
        (NominationStatus::Changing, None, 2)
    );
    let line = &changed.lines[0];
    assert_eq!(
        (line.nominated_m3, line.changed_m3, line.asked_m3()),
        (first_m3, Some(first_m3 + 90), first_m3 + 90)
    );
    assert_eq!(line.hours_m3.iter().sum::<i64>(), first_m3 + 90);
    let codes: Vec<&str> = changed.checks().iter().map(|c| c.code).collect();
    assert!(!codes.contains(&"nomination.hours_differ"), "{codes:?}");
    // What the supplier has is what was sent.
    let in_force = || app.book.document_in_force(of, &key).unwrap().unwrap();
    assert_eq!(in_force().version, sent.version);
    // Computed again it is a change as well.
    let again = planning::nominate(&app, day, "调度 李", "重算").unwrap();
    assert_eq!(
        (
            again.status,
            again.lines[0].nominated_m3,
            again.submission_no
        ),
        (NominationStatus::Changing, first_m3, 2)
    );
    assert_eq!(again.lines[0].changed_m3, Some(again.lines[0].suggested_m3));

    nominating::edit(&app, day, &edit("C1", first_m3 + 80, "气温骤降")).unwrap();
    let second = submitting::mark_sent(&app, of, &key, "调度 王", "日内变更").unwrap();
    let second: Nomination = serde_json::from_value(second).unwrap();
    assert_eq!(
        (
            second.submission_no,
            second.status,
            second.lines[0].asked_m3()
        ),
        (2, NominationStatus::Sent, first_m3 + 80)
    );
    assert_eq!(in_force().version, second.version);
    let listed = app.book.sent_versions(of, Some(&key)).unwrap();
    let listed: Vec<(u32, u32)> = listed
        .iter()
        .map(|s| (s.version, s.submission_no))
        .collect();
    assert_eq!(listed, [(sent.version, 1), (second.version, 2)]);
}

#[test]
fn who_has_not_seen_the_newest_version_decides_nothing() {
    let dir = Site::new(1);
    let (app, day) = drafted(&dir);
    let seen = |version, m3| NominationEdit {
        version: Some(version),
        ..edit("C1", m3, "气源切换")
    };
    nominating::edit(&app, day, &seen(1, 2_400)).unwrap();
    let late = NominationEdit {
        who: "调度 李".into(),
        ..seen(1, 2_500)
    };
    let error = nominating::edit(&app, day, &late).unwrap_err();
    assert!(
        matches!(&error, NominateError::Newer { version: 2, who, .. } if who == "调度 王"),
        "{error}"
    );
    let newest = app
        .book
        .document(DocumentKind::Nomination, &day.to_string());
    assert_eq!(newest.unwrap().unwrap().version, 2);
    nominating::edit(&app, day, &seen(2, 2_500)).unwrap();
}

#[test]
fn a_day_that_ended_is_refused_before_anything_is_computed() {
    let dir = Site::new(1);
    let (app, day) = drafted(&dir);
    let runs = || app.book.forecast_runs(99).unwrap().len();
    let kept = runs();
    let desk = Desk::new(app.clone(), Arc::default());
    let code = |asked: Result<serde_json::Value, ActionError>| match asked.unwrap_err() {
        ActionError::Refused { code, message } => (code, message),
        other => panic!("{other}"),
    };
    let (past, why) = code(desk.nominate("2020-01-01".parse().unwrap()));
    assert_eq!(past, "plan.refused");
    assert!(why.contains("has ended"), "{why}");
    let (_, why) = code(desk.declare("2026-11".parse().unwrap()));
    assert!(why.contains("has ended"), "{why}");
    let (_, why) = code(desk.declare("2031-01".parse().unwrap()));
    assert!(why.contains("too far ahead"), "{why}");
    let (_, why) = code(desk.nominate(day.plus(100)));
    assert!(why.contains("too far ahead"), "{why}");
    assert_eq!(runs(), kept, "no run was made for them");
}

#[test]
fn a_dispatchers_quantity_is_a_version_of_its_own_with_a_reason_and_a_shape() {
    let at: DateTime<Utc> = "2026-11-20T07:00:00Z".parse().unwrap();
    let day: GasDay = "2026-11-21".parse().unwrap();
    let dir = Site::new(1);
    let settings = qiliang::settings::load(Some(&dir.config(""))).unwrap();
    let examined = site::examine_with(settings, at).into_site().unwrap();
    let (app, _) = App::open(&examined, Arc::new(ManualClock::new(at))).unwrap();
    let missing = nominating::edit(&app, day, &edit("C1", 2_400, "气源切换")).unwrap_err();
    assert!(matches!(missing, NominateError::Missing(_)), "{missing}");
    fill(&app, day);
    forecasting::publish(&app).unwrap();
    let suggested = planning::nominate(&app, day, "qiliang", "scheduled").unwrap();
    // Demand is about 2,900 m³: 2,400 need a reason.
    assert_ne!(suggested.lines[0].suggested_m3, 2_400);

    for (wrong, why) in [
        (edit("C1", 2_400, " "), "give a reason"),
        (edit("C9", 2_400, "气源切换"), "not in the nomination"),
        (edit("C1", -1, "气源切换"), "cannot be delivered"),
        (
            edit("C1", 60_000 * 24 + 1, "气源切换"),
            "cannot be delivered",
        ),
    ] {
        let error = nominating::edit(&app, day, &wrong).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let over = nominating::edit(&app, day.plus(-2), &edit("C1", 1, "x")).unwrap_err();
    assert!(over.to_string().contains("has ended"), "{over}");
    let key = day.to_string();
    let versions = || {
        app.book
            .document_versions(DocumentKind::Nomination, &key)
            .unwrap()
    };
    assert_eq!(versions().len(), 1, "what is refused is not kept");

    let edited = nominating::edit(&app, day, &edit("C1", 2_400, "气源切换")).unwrap();
    let hours = edited.lines[0].hours_m3;
    assert_eq!(hours.iter().sum::<i64>(), 2_400);
    assert!(hours.iter().all(|h| (50..300).contains(h)), "{hours:?}");
    assert_eq!(
        (edited.version, edited.prepared_by.as_str()),
        (2, "调度 王")
    );
    let kept = versions().pop().unwrap();
    assert_eq!(
        (kept.who.as_str(), kept.reason.as_str()),
        ("调度 王", "气源切换")
    );
    let kept: Nomination = serde_json::from_value(kept.body).unwrap();
    assert_eq!(kept, edited);
    let codes: Vec<&str> = kept.checks().iter().map(|c| c.code).collect();
    assert!(codes.contains(&"nomination.above_take_max"), "{codes:?}");
    assert!(!codes.contains(&"nomination.reason_missing"), "{codes:?}");
}
