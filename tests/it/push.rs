//! Readings over HTTP, as a platform pushes them: real requests to the real program.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::id::MeterId;
use qiliang::store::journal::{Journal, JournalCounters, RejectFilter};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::certificates::Authority;
use crate::support::daemon::{Daemon, qiliang};
use crate::support::publisher::payload;
use crate::support::site::Site;
use crate::support::{free_port, wait_for};

fn now() -> DateTime<Utc> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let now = Utc::now();
    DateTime::from_timestamp(now.timestamp(), 0).unwrap()
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

fn journal(site: &Site) -> Journal {
    Journal::open_read_only(site.data_dir().join("readings.db"), GasDayClock::default()).unwrap()
}

fn counters(site: &Site) -> JournalCounters {
    journal(site).counters().unwrap()
}

struct Rig {
    site: Site,
    daemon: Daemon,
    url: String,
}

impl Rig {
    fn start(site: Site, extra: &str) -> Self {
        let config = site.config(extra);
        let mut daemon = Daemon::start(&config, &site.data_dir());
        let url = format!("http://{}/api/v1/readings", daemon.address());
        Self { site, daemon, url }
    }

    async fn post(
        &self,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> (StatusCode, Value) {
        self.send(
            client()
                .post(&self.url)
                .header("content-type", content_type)
                .body(body),
        )
        .await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (StatusCode, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
        }
        let body = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

fn counts(report: &Value) -> [u64; 4] {
    ["received", "accepted", "duplicate", "rejected"].map(|name| report[name].as_u64().unwrap())
}

/// A map of CBOR: text keys, text values.
fn cbor(pairs: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let len = u8::try_from(text.len()).unwrap();
        [&[0x78, len][..], text.as_bytes()].concat()
    };
    let mut out = vec![0xa0 | u8::try_from(pairs.len()).unwrap()];
    for (key, value) in pairs {
        out.extend(text(key));
        out.extend(text(value));
    }
    out
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_body_is_stored_before_it_is_answered() {
    let rig = Rig::start(Site::new(3), "");
    let at = now() - TimeDelta::hours(1);
    let one = payload(0, 1, at);
    let (status, report) = rig.post("application/json", one.clone()).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{report}");
    assert_eq!(counts(&report), [1, 1, 0, 0]);
    // Answered means committed.
    assert_eq!(counters(&rig.site).accepted, 1);

    let bad = r#"{"dev":"D1","ts":"2026-11-21T08:00:00","std_m3":"1"}"#;
    let batch = format!(
        "[{one},{},{bad},{{\"ts\":1}},{}]",
        payload(1, 1, at),
        payload(9, 1, at)
    );
    let (status, report) = rig.post("application/json; charset=utf-8", batch).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{report}");
    assert_eq!(counts(&report), [5, 1, 1, 3]);
    let items: Vec<_> = report["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| {
            (
                i["at"].as_str().unwrap(),
                i["outcome"].as_str().unwrap(),
                i["code"].as_str(),
                i["is_kept"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        items,
        [
            ("/0", "duplicate", None, false),
            ("/1", "accepted", None, false),
            ("/2", "rejected", Some("decode.time"), true),
            ("/3", "rejected", Some("push.no_device"), false),
            ("/4", "rejected", Some("ingest.unknown_device"), true),
        ]
    );
    let kept = journal(&rig.site)
        .rejects(&RejectFilter::default())
        .unwrap();
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().any(|r| r.beginning == bad.as_bytes()));

    let lines = format!("{}\n\n{}\n", payload(1, 2, at + TimeDelta::minutes(1)), one);
    let packed = client()
        .post(&rig.url)
        .header("content-type", "application/x-ndjson")
        .header("content-encoding", "gzip")
        .body(gzip(lines.as_bytes()));
    let (status, report) = rig.send(packed).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{report}");
    assert_eq!(counts(&report), [2, 1, 1, 0]);
    assert_eq!(report["items"][1]["at"], "line 3");

    let stamp = (at + TimeDelta::minutes(2)).to_rfc3339();
    let item = cbor(&[("dev", "D2"), ("ts", &stamp), ("std_m3", "7.5")]);
    let other = cbor(&[("ts", &stamp), ("std_m3", "8.5")]);
    let (status, report) = rig
        .post("application/cbor", [&[0x81][..], &item].concat())
        .await;
    assert_eq!(
        (status, counts(&report)),
        (StatusCode::ACCEPTED, [1, 1, 0, 0]),
        "{report}"
    );
    let asked = client()
        .post(format!("{}?device=D1", rig.url))
        .header("content-type", "application/cbor")
        .body(other);
    let (status, report) = rig.send(asked).await;
    assert_eq!(
        (status, counts(&report)),
        (StatusCode::ACCEPTED, [1, 1, 0, 0]),
        "{report}"
    );
    let totals = counters(&rig.site);
    assert_eq!(
        (
            totals.received,
            totals.accepted,
            totals.duplicate,
            totals.rejected
        ),
        (9, 5, 2, 2)
    );
    let read = journal(&rig.site)
        .readings_between(&MeterId::from("M2"), at, at + TimeDelta::hours(1))
        .unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].transport.key(), "http");
    assert!(rig.daemon.stop().success());
}

/// Content type, encoding and body, and the status and code it is refused with.
type Hopeless = (
    &'static str,
    Option<&'static str>,
    Vec<u8>,
    (u16, &'static str),
);

fn hopeless(good: &str) -> Vec<Hopeless> {
    let expect = |status: u16, code: &'static str| (status, code);
    let bomb = gzip(&vec![b' '; 1_000_000]);
    vec![
        (
            "text/plain",
            None,
            good.as_bytes().to_vec(),
            expect(415, "push.content_type"),
        ),
        (
            "application/json",
            Some("br"),
            good.as_bytes().to_vec(),
            expect(415, "push.content_encoding"),
        ),
        (
            "application/json",
            None,
            b"{\"dev\":".to_vec(),
            expect(400, "push.body"),
        ),
        (
            "application/json",
            None,
            b"[]".to_vec(),
            expect(400, "push.empty"),
        ),
        (
            "application/json",
            None,
            b"[1]".to_vec(),
            expect(400, "push.message"),
        ),
        (
            "application/json",
            None,
            b"{\"x\":1}".to_vec(),
            expect(400, "push.no_device"),
        ),
        (
            "application/json",
            Some("gzip"),
            good.as_bytes().to_vec(),
            expect(400, "push.gzip"),
        ),
        (
            "application/json",
            Some("gzip"),
            bomb,
            expect(413, "push.too_large"),
        ),
        (
            "application/json",
            None,
            vec![b' '; 2_001],
            expect(413, "push.too_large"),
        ),
        (
            "application/json",
            None,
            b"[1,2,3,4,5,6]".to_vec(),
            expect(413, "push.too_many"),
        ),
        (
            "application/cbor",
            None,
            vec![0x9f; 1_000],
            expect(400, "push.body"),
        ),
        (
            "application/vnd.qiliang.frames+ndjson",
            None,
            good.as_bytes().to_vec(),
            expect(403, "push.frames"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_says_why_and_stores_nothing() {
    let rig = Rig::start(
        Site::new(1),
        "[push]\nbody_max_bytes = 2000\nunpacked_max_bytes = 3000\nmessages_max = 5\n",
    );
    let at = now();
    let good = payload(0, 1, at);
    for (content_type, encoding, body, (status, code)) in hopeless(&good) {
        let mut request = client()
            .post(&rig.url)
            .header("content-type", content_type)
            .body(body);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let (got, problem) = rig.send(request).await;
        assert_eq!(
            (got.as_u16(), problem["code"].as_str().unwrap()),
            (status, code),
            "{problem}"
        );
        assert!(problem["reference"].as_str().is_some_and(|r| !r.is_empty()));
    }
    let keyed = client()
        .post(&rig.url)
        .header("content-type", "application/json")
        .header("idempotency-key", "")
        .body(good);
    let (status, problem) = rig.send(keyed).await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (400, &json!("push.key"))
    );
    // A page of another site cannot make a browser on this machine push.
    let foreign = client()
        .post(&rig.url)
        .header("content-type", "application/json")
        .header("origin", "https://example.com")
        .body(payload(0, 1, at));
    let (status, _) = rig.send(foreign).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(counters(&rig.site).received, 0);
    assert!(rig.daemon.stop().success());
}

/// Makes a token by the program itself; what is shown, and its line.
fn token(arguments: &[&str]) -> (String, String) {
    let output = qiliang(&[&["credentials", "token"], arguments].concat());
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let of = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    (of("token"), of("line"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_speaks_for_its_own_devices_only() {
    let site = Site::new(3);
    let file = site.path().join("tokens");
    let ((own, own_line), (both, both_line)) =
        (token(&["D0"]), token(&["gw", "--devices", "D1,D2"]));
    fs::write(&file, format!("{own_line}\n{both_line}\n")).unwrap();
    let rig = Rig::start(
        site,
        &format!("[push]\ntokens_file = {file:?}\nrequests_per_minute = 6\n"),
    );
    let at = now();
    let push = |token: Option<&str>, body: String| {
        let request = client()
            .post(&rig.url)
            .header("content-type", "application/json")
            .body(body);
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    let answer = push(None, payload(0, 1, at)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    let last = if own.ends_with('0') { '1' } else { '0' };
    let forged = format!("{}{last}", &own[..own.len() - 1]);
    for wrong in ["D0", "local.x", forged.as_str(), both_line.as_str()] {
        let (status, problem) = rig.send(push(Some(wrong), payload(0, 1, at))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{problem}");
    }
    let (status, report) = rig.send(push(Some(&own), payload(0, 1, at))).await;
    assert_eq!(
        (status, counts(&report)),
        (StatusCode::ACCEPTED, [1, 1, 0, 0])
    );
    let (status, problem) = rig.send(push(Some(&own), payload(1, 1, at))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(problem["code"], "push.not_allowed");
    let mixed = format!(
        "[{},{},{}]",
        payload(0, 2, at),
        payload(1, 2, at),
        payload(2, 2, at)
    );
    let (status, report) = rig.send(push(Some(&both), mixed)).await;
    assert_eq!(
        (status, counts(&report)),
        (StatusCode::ACCEPTED, [3, 2, 0, 1]),
        "{report}"
    );
    assert_eq!(report["items"][0]["code"], "push.not_allowed");
    assert_eq!(
        counters(&rig.site).received,
        3,
        "what is not allowed is not stored"
    );
    // Too many requests in a minute, by token.
    let mut last = StatusCode::ACCEPTED;
    for _ in 0..6 {
        last = push(Some(&own), payload(0, 1, at))
            .send()
            .await
            .unwrap()
            .status();
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    let (status, _) = rig.send(push(Some(&both), payload(1, 3, at))).await;
    assert_eq!(status, StatusCode::ACCEPTED);

    // A token that is taken out of the file is refused after SIGHUP.
    fs::write(&file, format!("{own_line}\n")).unwrap();
    let hangup = Command::new("kill")
        .args(["-HUP", &rig.daemon.pid().to_string()])
        .status();
    assert!(hangup.unwrap().success());
    tokio::task::block_in_place(|| {
        wait_for("the tokens to be read again", || {
            rig.daemon.log().contains(" again: 1 entries").then_some(())
        });
    });
    let (status, _) = rig.send(push(Some(&both), payload(1, 4, at))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(!rig.daemon.log().contains(&own), "a secret is in the log");
    assert!(rig.daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_answered_the_same_again_even_after_kill_9() {
    let mut rig = Rig::start(Site::new(2), "");
    let at = now();
    let keyed = |url: &str, key: &str, body: String| {
        client()
            .post(url)
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(body)
    };
    let body = format!("[{},{}]", payload(0, 1, at), payload(1, 1, at));
    let first = keyed(&rig.url, "k-1", body.clone()).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let first = first.bytes().await.unwrap();
    for round in 0..2 {
        let again = keyed(&rig.url, "k-1", body.clone()).send().await.unwrap();
        assert_eq!(again.status(), StatusCode::ACCEPTED);
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        assert_eq!(again.bytes().await.unwrap(), first, "round {round}");
        assert_eq!(counters(&rig.site).received, 2, "no second effect");
        let site = rig.site;
        rig.daemon.kill();
        rig = Rig::start(site, "");
    }
    let (status, problem) = rig.send(keyed(&rig.url, "k-1", payload(0, 2, at))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["code"], "push.key_reused");
    let (status, report) = rig.send(keyed(&rig.url, "k-2", body)).await;
    assert_eq!(
        (status, counts(&report)),
        (StatusCode::ACCEPTED, [2, 0, 2, 0])
    );
    assert!(rig.daemon.stop().success());
}

/// What was answered 202 is stored, once, whenever the program was killed; what was not is sent
/// again with its key.
#[tokio::test(flavor = "multi_thread")]
async fn kills_between_commit_and_answer_lose_nothing_and_store_nothing_twice() {
    const ROUNDS: usize = 6;
    const PER_REQUEST: usize = 20;
    let mut rig = Rig::start(Site::new(1), "");
    let first_at = now() - TimeDelta::days(2);
    let minute = |n: usize| first_at + TimeDelta::minutes(i64::try_from(n).unwrap());
    let mut sent = 0;
    let mut unanswered: Option<(String, String)> = None;
    let mut accepted_after = 0;
    for round in 0..ROUNDS {
        let mut answered = 0;
        loop {
            let (key, body) = unanswered.take().unwrap_or_else(|| {
                let items: Vec<String> = (sent..sent + PER_REQUEST)
                    .map(|n| payload(0, n, minute(n)))
                    .collect();
                sent += PER_REQUEST;
                (format!("key-{sent}"), format!("[{}]", items.join(",")))
            });
            let request = client()
                .post(&rig.url)
                .header("content-type", "application/json")
                .header("idempotency-key", key.as_str())
                .body(body.clone())
                .send();
            // The kill comes at another moment of a request in each round.
            let is_killed = answered >= 5 && round + 1 < ROUNDS;
            let pause = Duration::from_millis(3 * round as u64);
            let outcome = if is_killed {
                tokio::select! {
                    answer = request => answer.ok(),
                    () = tokio::time::sleep(pause) => None,
                }
            } else {
                request.await.ok()
            };
            match outcome {
                Some(answer) => {
                    assert_eq!(answer.status(), StatusCode::ACCEPTED);
                    let report: Value =
                        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                    let [received, accepted, duplicate, rejected] = counts(&report);
                    assert_eq!((received, rejected), (PER_REQUEST as u64, 0));
                    assert_eq!(accepted + duplicate, received);
                    accepted_after += accepted;
                    answered += 1;
                }
                None => unanswered = Some((key, body)),
            }
            if is_killed || answered >= 10 {
                break;
            }
        }
        if round + 1 < ROUNDS {
            let site = rig.site;
            rig.daemon.kill();
            rig = Rig::start(site, "");
        }
    }
    assert!(unanswered.is_none());
    let stored: Vec<_> = journal(&rig.site)
        .readings_between(
            &MeterId::from("M0"),
            first_at,
            first_at + TimeDelta::days(3),
        )
        .unwrap()
        .into_iter()
        .map(|reading| reading.sampled_at)
        .collect();
    let set: BTreeSet<_> = stored.iter().copied().collect();
    let expected: BTreeSet<_> = (0..sent).map(minute).collect();
    assert_eq!(stored.len(), set.len(), "a reading is stored twice");
    assert_eq!(set, expected);
    let totals = counters(&rig.site);
    assert_eq!(totals.accepted, sent as u64);
    assert!(accepted_after <= totals.accepted);
    assert!(rig.daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_its_own_takes_readings_over_tls_and_nothing_else() {
    let site = Site::new(1);
    let authority = Authority::new(site.path(), "ca");
    let (certificate, key) = authority.sign("qiliang", "subjectAltName=IP:127.0.0.1");
    let tokens = site.path().join("tokens");
    let (shown, line) = token(&["D0"]);
    fs::write(&tokens, line).unwrap();
    let port = free_port();
    let rig = Rig::start(
        site,
        &format!(
            "[push]\ntokens_file = {tokens:?}\naddress = \"127.0.0.1:{port}\"\n\
             [push.tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n"
        ),
    );
    let root = reqwest::Certificate::from_pem(&fs::read(authority.file()).unwrap()).unwrap();
    let client = Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .build()
        .unwrap();
    let url = format!("https://127.0.0.1:{port}");
    let answer = client
        .post(format!("{url}/api/v1/readings"))
        .bearer_auth(&shown)
        .header("content-type", "application/json")
        .body(payload(0, 1, now()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(counters(&rig.site).accepted, 1);
    for path in ["/api/v1/ledger", "/", "/metrics", "/api/v1/openapi.json"] {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
    }
    // A connection that says nothing keeps nobody waiting.
    let _silent = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let answer = client.get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(rig.daemon.stop().success());
}
