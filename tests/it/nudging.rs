//! An off-peak suggestion from its draft to its measured result and the corrected receipt, with the
//! real daemon and a real webhook.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::clock::ManualClock;
use qiliang::domain::calendar::{GasDay, GasDayClock};
use qiliang::domain::customer::CustomerClass;
use qiliang::domain::demand::{DemandDay, DemandNode};
use qiliang::domain::finding::Quality;
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::series::LoadCurve;
use qiliang::domain::weather::WeatherKind;
use qiliang::run::app::App;
use qiliang::run::{forecasting, nudging, site};
use qiliang::serve::api::nudges::{NudgeStep, NudgeStepKind};
use qiliang::store::book::{Book, DocumentKind};
use qiliang::store::journal::{CurveBatch, CurveWrite};
use serde_json::{Value, json};

use crate::curve_edits::{Answer, ask};
use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;
use crate::support::wait_for;
use crate::support::weather::vintage;

/// Takes every message and keeps it.
struct Receiver {
    url: String,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut text, mut part) = (Vec::new(), [0_u8; 4096]);
                let body = loop {
                    let count = stream.read(&mut part).unwrap();
                    text.extend_from_slice(&part[..count]);
                    let said = String::from_utf8_lossy(&text).into_owned();
                    let Some((head, body)) = said.split_once("\r\n\r\n") else {
                        continue;
                    };
                    let len = head
                        .lines()
                        .find_map(|l| {
                            l.to_lowercase()
                                .strip_prefix("content-length: ")?
                                .parse()
                                .ok()
                        })
                        .unwrap_or(0_usize);
                    if body.len() >= len {
                        break body.to_owned();
                    }
                };
                kept.lock()
                    .unwrap()
                    .push(serde_json::from_str(&body).unwrap());
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, taken }
    }

    fn texts(&self) -> Vec<(String, String)> {
        let of = |message: &Value, field: &str| message[field].as_str().unwrap().to_owned();
        let taken = self.taken.lock().unwrap();
        taken.iter().map(|m| (of(m, "id"), of(m, "text"))).collect()
    }
}

/// The host's clock, to the second; the daemon runs on it.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap()
}

/// 240 m³/h in every hour, of which 225 could move; the city has its peak from 17:00 to 21:00.
pub(crate) fn fill(app: &App, day: GasDay) {
    let node = DemandNode {
        zone: "north".into(),
        class: CustomerClass::Industrial,
    };
    let told = day.plus(-1);
    let demand = (1..=210_i64)
        .map(|back| DemandDay {
            node: node.clone(),
            day: told.plus(-back),
            hours_m3: std::array::from_fn(|h| {
                let peak = if (9..13).contains(&h) { 200.0 } else { 100.0 };
                peak + (back * 7 % 13) as f64
            }),
            coverage: 1.0,
            uncertainty_m3: 0.0,
        })
        .collect();
    app.book
        .restate_demand_days(Vec::new(), demand, chrono::DateTime::default())
        .unwrap();
    let start = app.gas_day_clock().start_of(told.plus(-210));
    let today = app.gas_day_clock().start_of(told);
    app.book
        .put_weather(vec![
            vintage(WeatherKind::Observed, start, 210 * 24),
            vintage(WeatherKind::Forecast, today, 240),
        ])
        .unwrap();
    let curves = (0..=60)
        .map(|back| {
            let mut curve = LoadCurve::missing("M0".into(), told.plus(-back));
            // Of the day of the message, what is known at 15:00.
            for hour in 0..if back == 0 { 7 } else { 24 } {
                curve.hours[hour] = StdVolume::from_m3(240);
                curve.quality[hour] = Quality::Measured;
            }
            CurveWrite {
                curve,
                findings: Vec::new(),
            }
        })
        .collect();
    app.journal
        .put_curves(CurveBatch {
            curves,
            cleared: Vec::new(),
            computed_at: app.clock.now(),
        })
        .unwrap();
}

/// Drafts, approves and sends at 15:00 of the gas day before `day`; the nudge's id.
fn send_suggestion(site: &Site, config: &std::path::Path, day: GasDay) -> String {
    let at = GasDayClock::default().start_of(day.plus(-1)) + TimeDelta::hours(7);
    let settings = qiliang::settings::load(Some(config)).unwrap();
    let examined = site::examine_with(settings, at).into_site().unwrap();
    let (app, _) = App::open(&examined, Arc::new(ManualClock::new(at))).unwrap();
    fill(&app, day);
    forecasting::publish(&app).unwrap();
    assert_eq!(nudging::draft(&app).unwrap(), 1);
    let nudge = nudging::kept(&app).unwrap().remove(0);
    assert_eq!(
        (nudge.day, nudge.window_to - nudge.window_from),
        (day, TimeDelta::hours(4))
    );
    assert_eq!((nudge.ask_m3h, nudge.avoided_m3), (190, 760));
    assert!((nudge.baseline.volume_m3() - 960.0).abs() < 1e-6);
    let approve = NudgeStep {
        step: NudgeStepKind::Approve,
        who: "客户经理01".into(),
        answer: None,
        m3h: None,
        reason: None,
    };
    nudging::step(&app, &nudge.id, &approve).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let said = runtime.block_on(nudging::send_approved(&app)).unwrap();
    assert_eq!(said, [format!("{}: sent", nudge.id)]);
    drop(app);
    assert!(site.data_dir().join("qiliang.db").exists());
    nudge.id
}

fn nudge(address: &str, id: &str) -> Value {
    let all = ask(address, "GET /api/v1/nudges", "", "").body;
    let of = |n: &&Value| n["id"] == id;
    all.as_array().unwrap().iter().find(of).unwrap().clone()
}

fn step(address: &str, id: &str, body: &Value) -> Answer {
    let request = format!("POST /api/v1/nudges/{id}");
    ask(address, &request, "", &body.to_string())
}

/// Waits until its result is so.
fn result(address: &str, id: &str, outcome: &str, reduction_m3: Option<f64>) -> Value {
    wait_for(&format!("the result {outcome} {reduction_m3:?}"), || {
        let nudge = nudge(address, id);
        let result = &nudge["settlement"]["result"];
        let is_it = result["outcome"] == outcome && result["reduction_m3"].as_f64() == reduction_m3;
        is_it.then_some(nudge)
    })
}

fn yuan(nudge: &Value) -> String {
    let saved = &nudge["settlement"]["result"]["saved"];
    let yuan: f64 = saved.as_str().unwrap().parse().unwrap();
    format!("{yuan:.2}")
}

/// Hourly totals of the gas day: 240 m³/h, and 100 in the window.
fn push_readings(address: &str, day: GasDay) {
    let start = GasDayClock::default().start_of(day);
    let (mut total, mut body) = (1_000_000, String::from("["));
    for hour in 0..=24 {
        let at = start + TimeDelta::hours(hour);
        let comma = if hour == 0 { "" } else { "," };
        write!(
            body,
            r#"{comma}{{"v":1,"dev":"D0","seq":{hour},"ts":"{}","std_m3":"{total}.0000","q_std":240,"t_c":15.0,"p_kpa_abs":301.325,"alarms":[]}}"#,
            at.to_rfc3339()
        )
        .unwrap();
        total += if (9..13).contains(&hour) { 100 } else { 240 };
    }
    body.push(']');
    let answer = ask(address, "POST /api/v1/readings", "", &body);
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    assert_eq!(answer.body["accepted"], 25, "{:?}", answer.body);
}

#[test]
fn what_was_asked_is_measured_answered_and_corrected_when_readings_come_late() {
    let site = Site::new(1);
    let receiver = Receiver::start();
    let secret = site.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let own = site.path().join("templates");
    std::fs::create_dir(&own).unwrap();
    std::fs::write(
        own.join("day_ahead_zh.md"),
        "本公司的话：{{ name }} {{ ask_m3h }}",
    )
    .unwrap();
    let config = site.config(&format!(
        "[nudge]\nchannel = \"webhook\"\nwebhook_url = {:?}\nwebhook_secret_file = {secret:?}\n\
         templates_dir = {own:?}\nquiet_from = \"00:00:00\"\nquiet_to = \"00:00:00\"\npeak_ratio = -0.2\n",
        receiver.url
    ));
    // Two gas days ago: late frames are no longer waited for, whatever the hour of the test.
    let day = GasDayClock::default().day_of(now()).plus(-2);
    let id = send_suggestion(&site, &config, day);
    let (first_id, text) = receiver.texts().remove(0);
    assert_eq!(
        (first_id, text.as_str()),
        (id.clone(), "本公司的话：Works 0 190")
    );

    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    // Not one reading of the day: said, and not counted as zero.
    let missing = result(&address, &id, "incomplete", None);
    assert_eq!(missing["stage"], "settled");
    assert_eq!(missing["settlement"]["result"]["hours_missing"], 4);
    assert_eq!(yuan(&missing), "0.00");
    let receipt = missing["settlement"]["receipt_message"]["zh"]
        .as_str()
        .unwrap();
    assert!(receipt.contains("读数缺 4 小时"), "{receipt}");

    it_is_measured_when_its_readings_are_in(&address, &id, day);
    what_cannot_be_a_step_is_refused(&address, &id);
    it_is_answered_and_its_receipt_leaves(&address, &id, &receiver);
    a_decision_corrects_it(&address, &id, day);
    nothing_leaves_to_one_who_wants_nothing(&address, &id, &receiver, &daemon);
    assert!(daemon.stop().success());
    every_version_is_kept_and_chained(&site, &config, &id);
}

fn it_is_measured_when_its_readings_are_in(address: &str, id: &str, day: GasDay) {
    push_readings(address, day);
    let measured = result(address, id, "reduced", Some(560.0));
    let of = &measured["settlement"]["result"];
    assert_eq!(of["baseline_m3"], 960.0);
    assert_eq!(of["actual_m3"], 400.0);
    assert_eq!(of["day_reduction_m3"], 560.0);
    assert_eq!(of["rebound_m3"], 0.0);
    // The contract's over-take charge of 1.2 元/m³.
    assert_eq!(yuan(&measured), "672.00");
    assert_eq!(measured["settlement"]["is_correction"], false);
    assert_eq!(measured["settlement"]["receipt"], "draft");
}

fn it_is_answered_and_its_receipt_leaves(address: &str, id: &str, receiver: &Receiver) {
    let reply =
        json!({ "step": "reply", "who": "王", "answer": "part", "m3h": 140.0, "reason": "两台窑" });
    let replied = step(address, id, &reply);
    assert_eq!(
        (replied.status, &replied.body["state"]),
        (200, &json!("replied"))
    );
    // It promised 560 m³ and kept that.
    wait_for("performance by the promise", || {
        let nudge = nudge(address, id);
        (nudge["settlement"]["result"]["performance_ratio"] == 1.0).then_some(())
    });

    let approved = step(
        address,
        id,
        &json!({ "step": "approve_receipt", "who": "王" }),
    );
    assert_eq!(approved.status, 200, "{:?}", approved.body);
    let (receipt_id, text) = wait_for("the receipt at the webhook", || {
        receiver.texts().get(1).cloned()
    });
    assert!(receipt_id.starts_with(&format!("{id}-R")), "{receipt_id}");
    assert!(
        text.contains("削减 560 m³（58%）") && text.contains("672 元"),
        "{text}"
    );
    wait_for("the receipt noted as sent", || {
        (nudge(address, id)["stage"] == "receipt_sent").then_some(())
    });
}

fn a_decision_corrects_it(address: &str, id: &str, day: GasDay) {
    // A decision about an hour of the window: another version, and the receipt is corrected.
    let decision = json!({
        "meter": "M0", "day": day.to_string(), "hours_m3": { "10": "200" }, "who": "值班 王", "reason": "现场抄表",
    });
    let decided = ask(
        address,
        "POST /api/v1/curve-edits",
        "",
        &decision.to_string(),
    );
    assert_eq!(decided.status, 200, "{:?}", decided.body);
    let corrected = result(address, id, "reduced", Some(460.0));
    assert_eq!(corrected["stage"], "settled");
    assert_eq!(corrected["settlement"]["is_correction"], true);
    let receipt = corrected["settlement"]["receipt_message"]["zh"]
        .as_str()
        .unwrap();
    assert!(
        receipt.contains("更正") && receipt.contains("削减 460 m³"),
        "{receipt}"
    );
}

fn nothing_leaves_to_one_who_wants_nothing(
    address: &str,
    id: &str,
    receiver: &Receiver,
    daemon: &Daemon,
) {
    let out =
        json!({ "customer": "K0", "is_opted_out": true, "who": "王", "reason": "来电说不再接收" });
    let out = ask(address, "POST /api/v1/nudge-opt-outs", "", &out.to_string());
    assert_eq!(out.status, 200, "{:?}", out.body);
    let outs = ask(address, "GET /api/v1/nudge-opt-outs", "", "").body;
    assert_eq!(
        (&outs[0]["customer"], &outs[0]["is_opted_out"]),
        (&json!("K0"), &json!(true))
    );
    // Its receipt is let go, but does not leave to one who wants nothing.
    let approved = step(
        address,
        id,
        &json!({ "step": "approve_receipt", "who": "王" }),
    );
    assert_eq!(
        approved.body["stage"], "receipt_approved",
        "{:?}",
        approved.body
    );
    daemon.logged("the enterprise has opted out");
    assert_eq!(receiver.texts().len(), 2);
}

fn what_cannot_be_a_step_is_refused(address: &str, id: &str) {
    let who = "王";
    for (status, code, body) in [
        (
            422,
            "nudge.refused",
            json!({ "step": "approve", "who": who }),
        ),
        (
            422,
            "nudge.refused",
            json!({ "step": "reply", "who": " ", "answer": "yes" }),
        ),
        (422, "nudge.refused", json!({ "step": "reply", "who": who })),
        (
            422,
            "nudge.refused",
            json!({ "step": "reply", "who": who, "answer": "part" }),
        ),
        (
            422,
            "nudge.refused",
            json!({ "step": "reply", "who": who, "answer": "no", "m3h": 3 }),
        ),
        (
            422,
            "nudge.refused",
            json!({ "step": "withdraw", "who": who }),
        ),
        (
            422,
            "nudge.refused",
            json!({ "step": "receipt_sent_by_hand", "who": who }),
        ),
        (
            400,
            "serve.bad_body",
            json!({ "step": "cheer", "who": who }),
        ),
    ] {
        let answer = step(address, id, &body);
        let said = (answer.status, answer.body["code"].as_str());
        assert_eq!(said, (status, Some(code)), "{body}: {:?}", answer.body);
    }
    let answer = step(address, "BF-0", &json!({ "step": "approve", "who": who }));
    assert_eq!(
        (answer.status, answer.body["code"].as_str()),
        (404, Some("nudge.unknown"))
    );
}

fn every_version_is_kept_and_chained(site: &Site, config: &std::path::Path, id: &str) {
    let book = Book::open_read_only(site.data_dir().join("qiliang.db")).unwrap();
    let versions = book
        .document_versions(DocumentKind::Settlement, id)
        .unwrap();
    let outcomes: Vec<(&str, &str)> = versions
        .iter()
        .map(|v| {
            let result = &v.body["result"];
            (
                result["outcome"].as_str().unwrap(),
                v.body["receipt"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(outcomes.first(), Some(&("incomplete", "draft")));
    assert!(outcomes.contains(&("reduced", "sent")), "{outcomes:?}");
    assert_eq!(outcomes.last(), Some(&("reduced", "approved")));
    drop(book);
    let verified = qiliang(&["--config", config.to_str().unwrap(), "verify"]);
    // The curves before the event were laid without readings, which it tells; documents are whole.
    let said = String::from_utf8(verified.stdout).unwrap();
    for whole in [
        "every row of qiliang.db is sound",
        "audit records, the chain is whole",
    ] {
        assert!(said.contains(whole), "{said}");
    }
}

#[test]
fn a_faulty_message_of_the_company_is_named_before_the_evening_it_is_needed() {
    let site = Site::new(1);
    let own = site.path().join("templates");
    let config = site.config(&format!("[nudge]\ntemplates_dir = {own:?}\n"));
    let check = || {
        let output = qiliang(&["check", "--config", config.to_str().unwrap()]);
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    // A folder that is not there would quietly mean our own words.
    assert!(check().1.contains("nudge.template_read"), "{}", check().1);
    std::fs::create_dir(&own).unwrap();
    std::fs::write(own.join("receipt_zh.md"), "{{ name }} 节省 {{ saved }}").unwrap();
    let (is_good, said) = check();
    assert!(
        said.contains("[nudge.template]") && said.contains("receipt_zh.md"),
        "{said}"
    );
    assert!(said.contains("names saved;"), "{said}");
    assert!(is_good, "readings are taken all the same: {said}");
    std::fs::write(
        own.join("receipt_zh.md"),
        "{{ name }} 节省 {{ saved_yuan }}",
    )
    .unwrap();
    assert!(!check().1.contains("nudge.template"), "{}", check().1);
}
