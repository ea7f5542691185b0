//! What a real server cannot be made to say: a scripted one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta};
use qiliang::domain::calendar::GasDay;
use qiliang::store::history::{History as _, HistoryError};
use qiliang::store::influx::{InfluxError, send};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::influx::client;

/// Answers requests by a script: path and body in, status and body out.
async fn fake(
    answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let mut part = vec![0_u8; 65_536];
            let (head, body) = loop {
                let count = stream.read(&mut part).await.unwrap();
                bytes.extend_from_slice(&part[..count]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else {
                    continue;
                };
                let len = head.lines().find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse::<usize>()
                        .ok()
                });
                if count == 0 || body.len() >= len.unwrap_or(0) {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let path = head
                .split_whitespace()
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            log.lock()
                .unwrap()
                .push(format!("{path} {}", body.lines().count()));
            let (status, text) = answer(&path, &body);
            let reply = format!(
                "HTTP/1.1 {status} X\r\nretry-after: 7\r\ndate: Fri, 27 Nov 2026 00:00:00 GMT\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                text.len()
            );
            drop(stream.write_all(reply.as_bytes()).await);
        }
    });
    (address, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_cut_partial_is_bisected_and_busy_is_no_fault_of_the_lines() {
    // Ten lines are too many; a line with `bad` is refused in openGemini's words, the rest kept.
    let (address, seen) = fake(|_, body| {
        if body.lines().count() > 10 {
            return (413, String::new());
        }
        if body.contains("bad") {
            return (
                400,
                r#"{"error":"partial write: field type conflict dropped=1"}"#.to_owned(),
            );
        }
        (204, String::new())
    })
    .await;
    let influx = client(&format!("http://{address}"), "");
    let lines: Vec<String> = (0..40)
        .map(|i| format!("m {}=1 {i}", if i == 17 || i == 33 { "bad" } else { "v" }))
        .collect();
    let outcome = send(&influx, "b", &lines).await.unwrap();
    assert_eq!(outcome.taken, 38);
    let refused: Vec<&str> = outcome
        .refused
        .iter()
        .map(|(line, _)| line.as_str())
        .collect();
    assert_eq!(refused, ["m bad=1 17", "m bad=1 33"]);
    assert!(outcome.refused[0].1.contains("partial write"));
    assert!(seen.lock().unwrap().len() < 40);

    for (status, code) in [
        (429, "influx.busy"),
        (503, "influx.busy"),
        (500, "influx.busy"),
        (401, "influx.unauthorized"),
        (404, "influx.no_bucket"),
    ] {
        let (address, _) = fake(move |_, _| (status, r#"{"message":"why"}"#.to_owned())).await;
        let influx = client(&format!("http://{address}"), "t");
        let error = send(&influx, "b", &lines).await.unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains("why"), "{error}");
        if let InfluxError::Busy { retry_after_s, .. } = error {
            assert_eq!(retry_after_s, Some(7));
        }
    }
    let nobody = client("http://127.0.0.1:9", "t");
    assert!(matches!(
        send(&nobody, "b", &lines).await,
        Err(InfluxError::Unreachable { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn opengemini_is_pinged_and_given_a_database() {
    // It has no /health and no buckets: 404 for both, and databases by InfluxQL.
    let (address, seen) = fake(|path, _| match path {
        "/ping" => (204, String::new()),
        _ if path.starts_with("/query") => (200, r#"{"results":[{"statement_id":0}]}"#.to_owned()),
        _ => (404, "404 page not found".to_owned()),
    })
    .await;
    let influx = client(&format!("http://{address}"), "");
    let ping = influx.ping().await.unwrap();
    assert_eq!(ping.date.unwrap().timestamp(), 1_795_737_600);
    let buckets = influx.ensure_buckets().await.unwrap();
    assert_eq!(buckets[0].keep_days, None);
    let seen = seen.lock().unwrap().join("\n");
    assert!(
        seen.contains("CREATE+DATABASE+%22gas_readings%22+WITH+DURATION+1095d"),
        "{seen}"
    );
    assert!(seen.contains("CREATE+DATABASE+%22gas_hourly%22 "), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_off_or_no_answer_at_all_is_an_error_and_no_short_history() {
    let whole = r#"{"results":[{"series":[{"name":"gas_reading","columns":["time","meter","total_std_m3"],"values":[[1795219200000,"M0",12.5]]}],"partial":true}]}"#;
    let answers = [
        (
            format!(
                "{whole}\n{}\n",
                whole.replace("1795219200000", "1795219260000")
            ),
            Some(2),
        ),
        (format!("{whole}\n{}", &whole[..90]), None),
        ("<html>".to_owned(), None),
        (
            r#"{"results":[{"error":"database not found: x"}]}"#.to_owned(),
            None,
        ),
        (String::new(), Some(0)),
    ];
    let span = (
        DateTime::UNIX_EPOCH,
        DateTime::UNIX_EPOCH + TimeDelta::days(1),
    );
    for (text, count) in answers {
        let answer = text.clone();
        let (address, _) = fake(move |_, _| (200, answer.clone())).await;
        let influx = client(&format!("http://{address}"), "");
        let there = influx.points_between(&"M0".into(), span.0, span.1).await;
        match count {
            Some(count) => assert_eq!(there.unwrap().len(), count, "{text}"),
            None => assert!(
                matches!(there, Err(HistoryError::Influx(InfluxError::Answer { .. }))),
                "{text}: {there:?}"
            ),
        }
    }
    // A day of which nothing is there.
    let (address, _) = fake(|_, _| (200, r#"{"results":[{"statement_id":0}]}"#.to_owned())).await;
    let influx = client(&format!("http://{address}"), "");
    let day = GasDay::from_epoch_day(20_000);
    let none = influx.curves_between(&"M0".into(), day, day.plus(3)).await;
    assert_eq!(none.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_organisation_or_a_forbidden_bucket_is_told_with_the_remedy() {
    let (address, _) = fake(|path, _| match path {
        _ if path.starts_with("/api/v2/buckets") => (
            404,
            r#"{"code":"not found","message":"organization name \"gas\" not found"}"#.to_owned(),
        ),
        _ => (500, String::new()),
    })
    .await;
    let error = client(&format!("http://{address}"), "t")
        .ensure_buckets()
        .await
        .unwrap_err();
    assert_eq!(error.code(), "influx.no_bucket");
    assert!(error.to_string().contains("organization name"), "{error}");

    // A database that may not be made.
    let (address, _) = fake(|path, _| match path {
        _ if path.starts_with("/query") => (
            200,
            r#"{"results":[{"error":"not authorized"}]}"#.to_owned(),
        ),
        _ => (404, "404 page not found".to_owned()),
    })
    .await;
    let error = client(&format!("http://{address}"), "t")
        .ensure_buckets()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not authorized"), "{error}");
}
