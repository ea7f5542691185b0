use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::plan::fixture::at;

pub(crate) fn outgoing() -> Outgoing {
    Outgoing {
        id: "BF-20261121-0123456789".into(),
        customer: "I1".into(),
        contact_group: "I1专群".into(),
        format: "markdown".into(),
        text: "**【避峰用气建议】**".into(),
        expires_at: at("2026-11-21T15:00:00+08:00"),
    }
}

/// A request as it came over the wire.
#[derive(Debug)]
struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> String {
        self.head
            .lines()
            .find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_string())
            })
            .unwrap_or_default()
    }
}

/// Answers one connection after the other with the given statuses (0: close without an answer,
/// 1: never answer) and hands back what it got.
async fn receiver(listener: TcpListener, statuses: Vec<u16>) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut held = Vec::new();
    for status in statuses {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let end = loop {
            let mut chunk = [0; 4096];
            let count = socket.read(&mut chunk).await.unwrap();
            bytes.extend_from_slice(&chunk[..count]);
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(count, 0, "connection closed before the head ended");
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut request = Request {
            head,
            body: bytes.split_off(end),
        };
        let length: usize = request.header("content-length").parse().unwrap();
        while request.body.len() < length {
            let mut chunk = [0; 4096];
            let count = socket.read(&mut chunk).await.unwrap();
            request.body.extend_from_slice(&chunk[..count]);
        }
        requests.push(request);
        match status {
            0 => {}
            1 => held.push(socket),
            _ => {
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                );
                socket.write_all(answer.as_bytes()).await.unwrap();
                socket.shutdown().await.ok();
            }
        }
    }
    requests
}

struct Setup {
    channel: SignedWebhook,
    server: JoinSet<Vec<Request>>,
    _dir: tempfile::TempDir,
}

async fn setup(statuses: &[u16]) -> Setup {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef-secret\n").unwrap();
    let channel = SignedWebhook::new(
        &format!("http://127.0.0.1:{port}/hook?key=abc"),
        &secret,
        WebhookOptions {
            timeout: Duration::from_millis(1500),
            attempts_max: 3,
            retry_delay_min: Duration::from_millis(5),
            retry_delay_max: Duration::from_millis(10),
        },
    )
    .unwrap();
    let mut server = JoinSet::new();
    server.spawn(receiver(listener, statuses.to_vec()));
    Setup {
        channel,
        server,
        _dir: dir,
    }
}

fn now() -> DateTime<Utc> {
    at("2026-11-20T15:00:00+08:00")
}

#[tokio::test]
async fn the_receiver_can_check_the_signature() {
    let mut s = setup(&[200]).await;
    let receipt = s.channel.send(&outgoing(), now()).await.unwrap();
    assert!(receipt.is_sent);
    assert_eq!((receipt.attempts, receipt.answer.as_str()), (1, "ok"));
    let requests = s.server.join_next().await.unwrap().unwrap();
    let request = &requests[0];
    assert!(
        request.head.starts_with("POST /hook?key=abc HTTP/1.1"),
        "{}",
        request.head
    );
    let timestamp: i64 = request.header("x-qiliang-timestamp").parse().unwrap();
    assert!((timestamp - now().timestamp()).abs() <= 5);
    assert_eq!(
        request.header("x-qiliang-signature"),
        sign(b"0123456789abcdef-secret", timestamp, &request.body)
    );
    assert_eq!(request.header("idempotency-key"), outgoing().id);
    let body: Outgoing = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body, outgoing());
}

#[test]
fn the_signature_is_that_of_a_known_vector() {
    // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret-secret-secret
    assert_eq!(
        sign(b"secret-secret-secret", 1_700_000_000, b"{\"a\":1}"),
        "sha256=fa345d5b654e6667128855e14a4938c54b5b813699e6b72c5c4f501aa493ba92"
    );
    assert_ne!(sign(b"a", 1, b"x"), sign(b"b", 1, b"x"));
    assert_ne!(sign(b"a", 1, b"x"), sign(b"a", 2, b"x"));
}

#[tokio::test]
async fn a_failing_receiver_is_tried_again_with_the_same_key() {
    let mut s = setup(&[503, 0, 200]).await;
    let receipt = s.channel.send(&outgoing(), now()).await.unwrap();
    assert_eq!(receipt.attempts, 3);
    let requests = s.server.join_next().await.unwrap().unwrap();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.header("idempotency-key"), outgoing().id);
        assert_eq!(request.body, requests[0].body);
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_given_up_with_numbers() {
    let s = setup(&[1, 500, 500, 1]).await;
    let error = s.channel.send(&outgoing(), now()).await.unwrap_err();
    assert_eq!(error.code(), "nudge.webhook_exhausted");
    let message = error.to_string();
    assert!(
        message.contains("3 attempts") && message.contains("status 500"),
        "{message}"
    );
    assert!(!message.contains("key=abc"), "{message}");
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let mut s = setup(&[403]).await;
    let error = s.channel.send(&outgoing(), now()).await.unwrap_err();
    assert_eq!(error.code(), "nudge.webhook_refused");
    assert!(error.to_string().contains("403"), "{error}");
    assert_eq!(s.server.join_next().await.unwrap().unwrap().len(), 1);
}

#[tokio::test]
async fn an_absent_receiver_is_told_without_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef").unwrap();
    // Bound and dropped: nobody listens there now.
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let channel = SignedWebhook::new(
        &format!("http://127.0.0.1:{port}/hook?key=abc"),
        &secret,
        WebhookOptions {
            attempts_max: 1,
            ..WebhookOptions::default()
        },
    )
    .unwrap();
    let message = channel
        .send(&outgoing(), now())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("1 attempts") && !message.contains("key=abc"),
        "{message}"
    );
    assert!(!format!("{channel:?}").contains("abcdef"));
}

#[test]
fn addresses_and_secrets_are_checked_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "short").unwrap();
    let code = |url: &str, file: PathBuf| {
        SignedWebhook::new(url, &file, WebhookOptions::default())
            .unwrap_err()
            .code()
    };
    assert_eq!(
        code("http://example.com/hook", secret.clone()),
        "nudge.webhook_address"
    );
    assert_eq!(code("not a url", secret.clone()), "nudge.webhook_address");
    assert_eq!(
        code("https://example.com/hook", secret),
        "nudge.webhook_secret_short"
    );
    let missing = dir.path().join("missing");
    assert_eq!(
        code("https://example.com/hook", missing),
        "nudge.webhook_secret_read"
    );
}

#[tokio::test]
async fn a_dry_run_records_and_sends_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channel = DryRun::default();
    let receipt = channel.send(&outgoing(), now()).await.unwrap();
    assert!(!receipt.is_sent);
    assert_eq!(channel.recorded(), vec![outgoing()]);
    // Nobody connected anywhere we listen.
    tokio::select! {
        biased;
        _ = listener.accept() => panic!("a dry run connected"),
        () = tokio::task::yield_now() => {}
    }
}
