//! Decisions about curves over HTTP and by the command line, against the real daemon.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use qiliang::domain::calendar::GasDayClock;
use qiliang::store::journal::Journal;
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;
use crate::support::wait_for;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    is_problem: bool,
}

/// One request with headers of its own.
pub(crate) fn ask(address: &str, request: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
        is_problem: head.contains("application/problem+json"),
    }
}

fn decision() -> Value {
    json!({
        "meter": "M0", "day": "2026-01-10", "hours_m3": { "3": "12.5", "4": "0" },
        "who": "值班 王", "reason": "现场抄表",
    })
}

/// A field of the decision, changed.
fn with(field: &str, value: Value) -> String {
    let mut body = decision();
    body[field] = value;
    body.to_string()
}

/// The day and whether it is being computed again.
fn curve_now(address: &str) -> (Value, bool) {
    let path = "GET /api/v1/meters/M0/curve?from=2026-01-10&to=2026-01-10";
    let answer = ask(address, path, "", "").body;
    let is_pending = answer["pending"] != json!([]);
    (answer["days"][0].clone(), is_pending)
}

fn curve(address: &str) -> Value {
    curve_now(address).0
}

/// The day as it is once nothing about it is pending.
fn settled(address: &str) -> Value {
    wait_for("the curve computed again", || {
        let (day, is_pending) = curve_now(address);
        (!is_pending).then_some(day)
    })
}

/// Hourly totals of M0 that grow by 10 m³ from the start of the gas day.
fn import(config: &Path, dir: &Path) {
    let file = dir.join("readings.csv");
    let mut text = String::from("device,sampled_at,BTotal\n");
    for hour in 0..=24 {
        let (day, civil) = (10 + (hour + 8) / 24, (hour + 8) % 24);
        writeln!(
            text,
            "D0,2026-01-{day} {civil:02}:00:00,{}",
            1_000 + hour * 10
        )
        .unwrap();
    }
    std::fs::write(&file, text).unwrap();
    let done = qiliang(&[
        "--config",
        config.to_str().unwrap(),
        "import",
        file.to_str().unwrap(),
    ]);
    assert!(done.status.success(), "{done:?}");
}

fn what_cannot_be_a_decision_is_refused(address: &str) {
    for (status, code, body) in [
        (400, "serve.bad_body", "{".to_owned()),
        (400, "serve.bad_body", with("color", json!("red"))),
        (404, "edit.unknown", with("meter", json!("M9"))),
        (422, "edit.refused", with("hours_m3", json!({ "24": "1" }))),
        (422, "edit.refused", with("hours_m3", json!({ "3": "-1" }))),
        (
            422,
            "edit.refused",
            with("hours_m3", json!({ "3": "1.00001" })),
        ),
        (422, "edit.refused", with("hours_m3", json!({}))),
        (422, "edit.refused", with("day", json!("2026-02-30"))),
        (422, "edit.refused", with("day", json!("2099-01-01"))),
        (422, "edit.refused", with("who", json!(" "))),
        (422, "edit.refused", with("reason", json!(""))),
    ] {
        let answer = ask(address, "POST /api/v1/curve-edits", "", &body);
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
        assert!(answer.is_problem, "{body}");
        assert!(
            !answer.body["detail"].as_str().unwrap().is_empty(),
            "{body}"
        );
    }
}

#[test]
fn a_decision_is_taken_shown_and_taken_back_over_http() {
    let site = Site::new(1);
    let config = site.config("");
    import(&config, site.path());
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    wait_for("the curve", || {
        (curve(&address)["hours_m3"][3] == "10.0000").then_some(())
    });

    what_cannot_be_a_decision_is_refused(&address);
    let foreign = "Origin: http://elsewhere.example\r\n";
    let answer = ask(
        &address,
        "POST /api/v1/curve-edits",
        foreign,
        &decision().to_string(),
    );
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (403, Some("serve.foreign_origin"))
    );
    let none = ask(&address, "GET /api/v1/curve-edits?all=true", "", "");
    assert_eq!(none.body, json!([]), "what was refused left nothing");

    let taken = ask(
        &address,
        "POST /api/v1/curve-edits",
        "",
        &decision().to_string(),
    );
    assert_eq!(taken.status, 200, "{}", taken.body);
    let id = taken.body["id"].as_i64().unwrap();
    let day = settled(&address);
    assert_eq!(
        (&day["hours_m3"][3], &day["quality"][3]),
        (&json!("12.5000"), &json!("edited")),
        "what is not pending has the decision"
    );
    assert_eq!(
        (&day["hours_m3"][4], &day["method"][4]),
        (&json!("0.0000"), &json!("E10"))
    );
    assert_eq!(day["hours_m3"][5], "10.0000", "other hours stay");

    let revoke = format!("POST /api/v1/curve-edits/{id}/revoke");
    let why = json!({ "who": "李", "reason": "看错行" }).to_string();
    for (request, status, code, body) in [
        (
            "POST /api/v1/curve-edits/999/revoke",
            404,
            "edit.unknown",
            why.as_str(),
        ),
        (
            "POST /api/v1/curve-edits/x/revoke",
            404,
            "edit.unknown",
            &why,
        ),
        (&revoke, 400, "serve.bad_body", "{}"),
        (&revoke, 422, "edit.refused", r#"{"who":"","reason":"x"}"#),
    ] {
        let answer = ask(&address, request, "", body);
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, Some(code)),
            "{request}"
        );
    }
    let revoked = ask(&address, &revoke, "", &why);
    assert_eq!(
        (revoked.status, revoked.body["revoked_by"].as_str()),
        (200, Some("李"))
    );
    let twice = ask(&address, &revoke, "", &why);
    assert_eq!(
        (twice.status, twice.body["code"].as_str()),
        (422, Some("edit.refused"))
    );
    assert_eq!(
        settled(&address)["hours_m3"][3],
        "10.0000",
        "by the totals again"
    );
    let kept = ask(
        &address,
        "GET /api/v1/curve-edits?meter=M0&all=true",
        "",
        "",
    );
    assert_eq!(kept.body.as_array().unwrap().len(), 1, "it stays on record");
    let counting = ask(&address, "GET /api/v1/curve-edits?meter=M0", "", "");
    assert_eq!(counting.body, json!([]));
}

#[test]
fn the_command_line_decides_beside_the_daemon_and_without_it() {
    let site = Site::new(1);
    let config = site.config("");
    let file = config.to_str().unwrap().to_owned();
    let said = |arguments: &[&str]| {
        let done = qiliang(&[&["--config", &file], arguments].concat());
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        (
            done.status.success(),
            text + &String::from_utf8_lossy(&done.stderr),
        )
    };
    let edit = |meter: &str, hour: &str| {
        said(&[
            "curves",
            "edit",
            meter,
            "2026-01-10",
            "--hour",
            hour,
            "--who",
            "王",
            "--reason",
            "抄表",
        ])
    };
    import(&config, site.path());
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();

    let (is_ok, text) = edit("M0", "3-4=12.5");
    assert!(
        is_ok && text.contains("3=12.5") && text.contains("王: 抄表"),
        "{text}"
    );
    wait_for("the decision in the daemon's curve", || {
        (curve(&address)["hours_m3"][4] == "12.5000").then_some(())
    });
    let (is_ok, text) = edit("M9", "3=1");
    assert!(
        !is_ok && text.contains("M9") && text.contains("edit.unknown"),
        "{text}"
    );
    let (is_ok, text) = edit("M0", "24=1");
    assert!(!is_ok && text.contains("0 to 23"), "{text}");
    let (is_ok, text) = said(&["curves", "list"]);
    assert!(
        is_ok && text.lines().count() == 1 && text.contains("M0  2026-01-10"),
        "{text}"
    );
    let (is_ok, text) = said(&["curves", "restatements"]);
    assert!(is_ok && text.is_empty(), "{text}");
    assert!(daemon.stop().success());

    // Without a daemon the program itself computes the curve.
    let (is_ok, text) = said(&["curves", "revoke", "1", "--who", "李", "--reason", "看错行"]);
    assert!(is_ok && text.contains("taken back"), "{text}");
    let (is_ok, text) = said(&["curves", "revoke", "1", "--who", "李", "--reason", "看错行"]);
    assert!(!is_ok && text.contains("already"), "{text}");
    let (_, text) = said(&["curves", "list"]);
    assert_eq!(text, "");
    let (is_ok, text) = said(&["curves", "list", "--all", "--json"]);
    let kept: Value = serde_json::from_str(text.trim()).unwrap();
    assert!(is_ok && kept["revoked_by"] == "李", "{text}");
    let mut daemon = Daemon::start(&config, &site.data_dir());
    assert_eq!(curve(&daemon.address())["hours_m3"][4], "10.0000");
}

#[test]
fn a_day_whose_readings_were_dropped_is_final() {
    let site = Site::new(1);
    let config = site.config("");
    import(&config, site.path());
    // A decision taken in time stays in force, and so does the curve with it.
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let request = "POST /api/v1/curve-edits";
    let taken = ask(&address, request, "", &decision().to_string());
    assert_eq!(taken.status, 200, "{}", taken.body);
    wait_for("the decision in the curve", || {
        (curve(&address)["hours_m3"][3] == "12.5000").then_some(())
    });
    // A later reading lets the day be dropped: no curve that is kept needs it.
    let later = site.path().join("later.csv");
    let mut text = String::from("device,sampled_at,BTotal\n");
    for day in 1..=9 {
        writeln!(text, "D0,2026-03-0{day} 08:00:00,{}", 2_000 + day).unwrap();
    }
    std::fs::write(&later, text).unwrap();
    let file = config.to_str().unwrap();
    let done = qiliang(&["--config", file, "import", later.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    let journal = || {
        let file = site.data_dir().join("readings.db");
        Journal::open_read_only(file, GasDayClock::default()).unwrap()
    };
    wait_for("all curves", || {
        (journal().dirty_len().unwrap() == 0).then_some(())
    });
    assert!(daemon.stop().success());

    let config = site.config("[retention]\nreadings_days = 92\n");
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    wait_for("the readings to be dropped", || {
        let open = journal().closed_before(&"M0".into()).unwrap();
        open.filter(|open| open.to_string().as_str() > "2026-01-10")
    });
    let refusal = ask(
        &address,
        request,
        "",
        &with("hours_m3", json!({ "5": "1" })),
    );
    assert_eq!(
        (refusal.status, refusal.body["code"].as_str()),
        (422, Some("edit.refused"))
    );
    let detail = refusal.body["detail"].as_str().unwrap();
    for part in [
        "M0",
        "retention.readings_days",
        "its curve of 2026-01-10 is final",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    let revoke = format!("POST /api/v1/curve-edits/{}/revoke", taken.body["id"]);
    let why = json!({ "who": "李", "reason": "看错行" }).to_string();
    let answer = ask(&address, &revoke, "", &why);
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (422, Some("edit.refused"))
    );
    assert_eq!(
        curve(&address)["hours_m3"][3],
        "12.5000",
        "it stays as it is"
    );
}

#[test]
fn a_silent_day_shows_what_demand_takes_for_it() {
    let site = Site::new(1);
    let config = site.config("");
    // Four weeks of 10 m³ an hour, then nothing.
    let mut text = String::from("device,sampled_at,BTotal\n");
    for hour in 0..28 * 24 {
        let (day, civil) = (1 + (hour + 8) / 24, (hour + 8) % 24);
        let total = 1_000 + hour * 10;
        writeln!(text, "D0,2026-01-{day:02} {civil:02}:00:00,{total}").unwrap();
    }
    let file = site.path().join("month.csv");
    std::fs::write(&file, text).unwrap();
    let path = config.to_str().unwrap();
    let done = qiliang(&["--config", path, "import", file.to_str().unwrap()]);
    assert!(done.status.success(), "{done:?}");
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let request = "GET /api/v1/meters/M0/curve?from=2026-01-28&to=2026-01-30";
    let days = ask(&address, request, "", "").body["days"].clone();
    let days = days.as_array().unwrap();
    let stores: Vec<_> = days
        .iter()
        .map(|day| (&day["day"], &day["store"]))
        .collect();
    assert_eq!(
        stores,
        [
            (&json!("2026-01-28"), &json!("journal")),
            (&json!("2026-01-29"), &json!("estimated")),
            (&json!("2026-01-30"), &json!("estimated")),
        ]
    );
    for day in &days[1..] {
        for hour in 0..24 {
            assert_eq!(
                (&day["hours_m3"][hour], &day["quality"][hour]),
                (&Value::Null, &json!("missing"))
            );
            assert_eq!(day["estimates_m3"][hour], "10.0000", "{day}");
            assert!(day["method"][hour].is_string() && day["uncertainty_m3"][hour].is_string());
        }
    }
    // A year on nothing is taken for it any more, and nothing is shown.
    let request = "GET /api/v1/meters/M0/curve?from=2026-10-01&to=2026-10-02";
    assert_eq!(ask(&address, request, "", "").body["days"], json!([]));
}
