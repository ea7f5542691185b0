//! A dispatcher's own quantity in a nomination, in the stores of a real site.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::GasDay;
use qiliang::plan::nomination::Nomination;
use qiliang::run::app::App;
use qiliang::run::nominating::{self, NominateError};
use qiliang::run::{forecasting, planning, site};
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
    }
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
