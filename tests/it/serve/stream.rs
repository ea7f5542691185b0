//! The live stream.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use futures_util::StreamExt as _;
use qiliang::domain::live::LiveEvent;
use qiliang::serve::{Notice, NoticeKind, NoticeLevel, publish};
use serde_json::Value;
use tokio::task::JoinSet;

use super::city::{City, at};

/// Reads whole events of one client.
struct Client {
    frames: axum::body::BodyDataStream,
    unread: String,
}

impl Client {
    async fn of(city: &City) -> Self {
        let request = Request::get("/api/v1/live")
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Body::empty())
            .unwrap();
        let response = city.raw(request).await;
        let headers = response.headers();
        assert_eq!(headers[header::CONTENT_TYPE], "text/event-stream");
        assert!(headers.get(header::CONTENT_ENCODING).is_none());
        Self {
            frames: response.into_body().into_data_stream(),
            unread: String::new(),
        }
    }

    /// The next event's name and data; none when the stream has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|l| l.strip_prefix(name))
                        .unwrap_or("")
                        .trim()
                        .to_owned()
                };
                let (name, data) = (field("event:"), field("data:"));
                self.unread = rest.to_string();
                if !name.is_empty() {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let frame = self.frames.next().await?.unwrap();
            self.unread.push_str(std::str::from_utf8(&frame).unwrap());
        }
    }

    async fn next_named(&mut self, name: &str) -> Value {
        loop {
            let (event, data) = self.next().await.expect("the stream ended");
            if event == name {
                return data;
            }
        }
    }
}

#[tokio::test]
async fn the_first_event_is_the_overview_as_it_is() {
    let city = City::filled();
    let overview = city.json("/api/v1/overview").await;
    let (name, data) = Client::of(&city).await.next().await.unwrap();
    assert_eq!(name, "overview");
    for field in [
        "now",
        "gas_day",
        "remaining_s",
        "kpi",
        "meters",
        "coverage_ratio",
        "gas_day_progress",
    ] {
        assert_eq!(data[field], overview[field], "{field}");
        assert!(!data[field].is_null(), "{field}");
    }
    assert_eq!(data.as_object().unwrap().len(), 8);
}

#[tokio::test]
async fn a_stream_ends_when_the_program_stops() {
    let city = City::empty();
    let mut client = Client::of(&city).await;
    assert!(client.next().await.is_some());
    city.stop.cancel();
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn a_notice_reaches_every_client_and_the_list() {
    let city = City::empty();
    let (mut one, mut two) = (Client::of(&city).await, Client::of(&city).await);
    city.live.notice(Notice {
        at: at("2026-11-21T12:21:00+08:00"),
        kind: NoticeKind::System,
        level: NoticeLevel::Orange,
        code: "collect.broker_lost".into(),
        title_zh: "与消息服务器断开".into(),
        title_en: "broker connection lost".into(),
        subject: Some("main".into()),
    });
    let notice = one.next_named("notice").await;
    assert_eq!(notice["code"], "collect.broker_lost");
    assert_eq!(notice["kind"], "system");
    assert_eq!(two.next_named("notice").await, notice);
    assert_eq!(city.json("/api/v1/notices").await[0], notice);
}

#[tokio::test]
async fn what_the_stores_learn_is_published_while_someone_listens() {
    let city = City::filled();
    let mut tasks = JoinSet::new();
    tasks.spawn(publish(
        city.state.clone(),
        Duration::from_millis(5),
        city.stop.clone(),
    ));
    let mut client = Client::of(&city).await;
    let before = client.next_named("overview").await;
    // The first published overview follows a look at the stores, so that only new things are news.
    client.next_named("overview").await;
    client.next_named("overview").await;
    city.reject("decode.bad_checksum");
    let notice = client.next_named("notice").await;
    assert_eq!(
        (notice["kind"].as_str(), notice["code"].as_str()),
        (Some("reject"), Some("decode.bad_checksum"))
    );
    let rejected = |data: &Value| data["collect"]["rejected"].as_u64().unwrap();
    let after = client.next_named("overview").await;
    assert_eq!(rejected(&after), rejected(&before) + 1);
    city.events
        .send(LiveEvent::Notice {
            code: "store.full".into(),
            message: "readings.db: no space left to commit".into(),
            at: at("2026-11-21T12:20:30+08:00"),
        })
        .unwrap();
    let notice = client.next_named("notice").await;
    assert_eq!(
        (notice["kind"].as_str(), notice["code"].as_str()),
        (Some("system"), Some("store.full"))
    );
    city.stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn the_listener_ends_while_a_stream_is_open() {
    use qiliang::serve::{answer, bind, router};
    use qiliang::settings::ServeSettings;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    let city = City::filled();
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = bind(&ServeSettings { address }).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(
        listener,
        router(city.state.clone()),
        city.stop.clone(),
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/v1/live HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = String::new();
    let mut buffer = [0; 4096];
    while !read.contains("event: overview") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{read}");
        read.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(read.starts_with("HTTP/1.1 200"), "{read}");
    city.stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}
