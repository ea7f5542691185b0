//! Declarations and nominations over weeks: what is drafted by the clock, what was sent, and the runs they name.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::{Clock as _, ManualClock};
use qiliang::domain::calendar::{GasDay, GasMonth};
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandNode};
use qiliang::domain::id::RunId;
use qiliang::plan::declaration::Declaration;
use qiliang::plan::nomination::NominationStatus;
use qiliang::run::app::App;
use qiliang::run::submitting::SubmitError;
use qiliang::run::{forecasting, planning, runs, schedule, site, submitting};
use qiliang::store::book::DocumentKind;

use crate::support::site::Site;

const CONFIG: &str = "[forecast]\nhorizon_days = 62\nhourly_days = 2\ndraws = 20\n";

fn open(site: &Site, at: &str) -> (App, Arc<ManualClock>) {
    let at: DateTime<Utc> = at.parse().unwrap();
    let settings = qiliang::settings::load(Some(&site.config(CONFIG))).unwrap();
    let site = site::examine_with(settings, at).into_site().unwrap();
    let clock = Arc::new(ManualClock::new(at));
    (
        App::open(&site, Arc::<ManualClock>::clone(&clock))
            .unwrap()
            .0,
        clock,
    )
}

/// Four months of an industrial zone's demand before today.
fn fill(app: &App, until: GasDay) {
    let day = |back: i64| DemandDay {
        node: DemandNode {
            zone: "north".into(),
            class: CustomerClass::Industrial,
        },
        day: until.plus(-back),
        hours_m3: [100.0 + (back * 7 % 13) as f64; 24],
        coverage: 1.0,
        uncertainty_m3: 0.0,
    };
    app.book
        .restate_demand_days(
            Vec::new(),
            (1..=120).map(day).collect(),
            chrono::DateTime::default(),
        )
        .unwrap();
}

fn pass(clock: &ManualClock, time: TimeDelta) {
    clock.set(clock.now() + time);
}

fn month() -> GasMonth {
    "2026-12".parse().unwrap()
}

fn named(app: &App) -> Vec<RunId> {
    let kinds = [
        DocumentKind::Declaration,
        DocumentKind::Nomination,
        DocumentKind::Nudge,
    ];
    let documents = kinds.into_iter().flat_map(|kind| {
        let newest = app.book.documents(kind, 999).unwrap();
        let versions = |key: &str| app.book.document_versions(kind, key).unwrap();
        newest
            .iter()
            .flat_map(|d| versions(&d.key))
            .collect::<Vec<_>>()
    });
    documents
        .map(|d| d.body["forecast_run"].as_str().unwrap().into())
        .collect()
}

#[test]
fn what_the_clock_drafts_is_one_draft_and_what_was_sent_is_counted() {
    let site = Site::new(1);
    let (app, clock) = open(&site, "2026-11-01T01:30:00Z");
    fill(&app, app.today());
    let newest = || {
        let document = app.book.document(DocumentKind::Declaration, "2026-12");
        let document = document.unwrap().unwrap();
        let body: Declaration = serde_json::from_value(document.body).unwrap();
        assert_eq!(document.version, body.version);
        body
    };
    for _ in 0..8 {
        schedule::round(&app).unwrap();
        pass(&clock, TimeDelta::hours(4));
    }
    let draft = newest();
    assert_eq!(
        (draft.version, draft.submission_no, draft.sent_at),
        (1, 1, None)
    );
    assert_eq!(draft.change_reason, None);
    assert!(
        draft.made_at > clock.now() - TimeDelta::hours(5),
        "{}",
        draft.made_at
    );
    for key in ["2026-11-01", "2026-11-02"] {
        let versions = app.book.document_versions(DocumentKind::Nomination, key);
        assert_eq!(versions.unwrap().len(), 1, "{key}");
    }
    // Asking in the console sends nothing either.
    let asked = planning::declare(&app, month(), "console", "asked").unwrap();
    assert_eq!(
        (asked.version, asked.submission_no, asked.change_reason),
        (2, 1, None)
    );

    let of = DocumentKind::Declaration;
    let marked = submitting::mark_sent(&app, of, "2026-12", "王工", "20日上报").unwrap();
    assert_eq!(marked["submission_no"], 1);
    let sent = newest();
    assert_eq!(
        (sent.version, sent.submission_no, sent.sent_at),
        (3, 1, Some(clock.now()))
    );
    let again = submitting::mark_sent(&app, of, "2026-12", "王工", "再报").unwrap_err();
    assert!(again.to_string().contains("version 3"), "{again}");
    // The schedule leaves what a person sent.
    pass(&clock, TimeDelta::hours(9));
    schedule::round(&app).unwrap();
    assert_eq!(newest(), sent);
    let change = planning::declare(&app, month(), "console", "停产").unwrap();
    assert_eq!((change.version, change.submission_no), (4, 2));
    assert_eq!(change.change_reason.as_deref(), Some("停产"));
    submitting::mark_sent(&app, of, "2026-12", "王工", "变更").unwrap();
    assert_eq!(newest().submission_no, 2);

    let day = app.today().plus(1).to_string();
    submitting::mark_sent(&app, DocumentKind::Nomination, &day, "王工", "10点前").unwrap();
    let nominated = app
        .book
        .document(DocumentKind::Nomination, &day)
        .unwrap()
        .unwrap();
    let status: NominationStatus =
        serde_json::from_value(nominated.body["status"].clone()).unwrap();
    assert_eq!(status, NominationStatus::Sent);
    let refused = |key, who, why| submitting::mark_sent(&app, of, key, who, why).unwrap_err();
    assert!(matches!(
        refused("2027-05", "王工", "x"),
        SubmitError::Missing { .. }
    ));
    assert!(matches!(
        refused("2026-12", "王工", ""),
        SubmitError::Nobody
    ));
    assert!(matches!(
        refused("2026-12", "qiliang", "x"),
        SubmitError::Nobody
    ));
    assert_eq!(app.book.verify_audit().unwrap().broken(), None);
}

#[test]
fn the_clock_drafts_nothing_anew_once_it_should_have_been_sent() {
    let site = Site::new(1);
    // 08:30 of the 19th: the nomination of the 20th is due at 11:30, the declaration by the 20th.
    let (app, clock) = open(&site, "2026-11-19T00:30:00Z");
    fill(&app, app.today());
    let made = |kind, key: &str| app.book.document(kind, key).unwrap().unwrap().at;
    let nomination = |key| made(DocumentKind::Nomination, key);
    let declaration = || made(DocumentKind::Declaration, "2026-12");
    let first = clock.now();
    schedule::round(&app).unwrap();
    assert_eq!((nomination("2026-11-20"), declaration()), (first, first));
    pass(&clock, TimeDelta::minutes(241));
    schedule::round(&app).unwrap();
    assert_eq!(
        (nomination("2026-11-20"), declaration()),
        (first, clock.now())
    );
    let last = clock.now();
    pass(&clock, TimeDelta::days(2));
    fill(&app, app.today());
    schedule::round(&app).unwrap();
    assert_eq!(declaration(), last);
    // A day that has none is drafted however late it is.
    assert_eq!(nomination("2026-11-22"), clock.now());
}

#[test]
fn a_declared_figure_is_made_again_after_months() {
    let site = Site::new(1);
    let (app, clock) = open(&site, "2026-11-20T01:30:00Z");
    fill(&app, app.today());
    let nobodys = forecasting::publish(&app).unwrap().run_id;
    pass(&clock, TimeDelta::minutes(5));
    forecasting::publish(&app).unwrap();
    planning::declare(&app, month(), "王工", "20日上报").unwrap();
    planning::nominate(&app, app.today().plus(1), "王工", "日指定").unwrap();
    // 08:02 on the 22nd: the newest run is of the day before.
    pass(&clock, TimeDelta::minutes(46 * 60 + 27));
    assert_eq!(app.today().to_string(), "2026-11-22");
    fill(&app, app.today());
    planning::nominate(&app, app.today(), "王工", "开工").unwrap();
    // A month that the usual run does not reach.
    planning::declare(&app, "2027-01".parse().unwrap(), "王工", "提前编制").unwrap();
    let named = named(&app);
    assert_eq!(named.len(), 4);
    pass(&clock, TimeDelta::days(40));
    fill(&app, app.today());
    schedule::round(&app).unwrap();
    let gone = app.book.prune_forecast_runs(clock.now(), 1).unwrap();
    for run in &named {
        assert!(
            app.book.forecast_run(run).unwrap().is_some(),
            "{run} is gone"
        );
        assert!(runs::reproduce(&app, run).unwrap().is_identical, "{run}");
    }
    assert_eq!(gone, 1);
    assert!(app.book.forecast_run(&nobodys).unwrap().is_none());
}
