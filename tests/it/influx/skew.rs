//! A second store whose clock is off: a real one behind a line that changes the date it tells.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// `Date: Fri, 27 Nov 2026 00:00:00 GMT`: what HTTP has a fixed length for.
const NAME: &[u8] = b"date: ";
const DATE_LEN: usize = 29;
const FORMAT: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// Moves each date in the bytes of an answer's head.
fn skewed(bytes: &mut [u8], skew: TimeDelta) {
    let mut from = 0;
    while let Some(found) = bytes.get(from..).and_then(|rest| {
        rest.windows(NAME.len())
            .position(|w| w.eq_ignore_ascii_case(NAME))
    }) {
        let start = from + found + NAME.len();
        from = start;
        let Some(place) = bytes.get_mut(start..start + DATE_LEN) else {
            return;
        };
        let text = std::str::from_utf8(place).unwrap_or_default();
        if let Ok(date) = chrono::NaiveDateTime::parse_from_str(text, FORMAT) {
            place.copy_from_slice((date + skew).format(FORMAT).to_string().as_bytes());
        }
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, skew: Option<TimeDelta>) {
    let mut bytes = vec![0_u8; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if let Some(skew) = skew {
            skewed(&mut bytes[..count], skew);
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// The URL of a server whose clock shows so much more than that of `url`.
async fn ahead_by(url: &str, skew: TimeDelta) -> String {
    let target: u16 = url.rsplit_once(':').unwrap().1.parse().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
                continue;
            };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(carry(from_client, to_server, None));
            tokio::spawn(carry(from_server, to_client, Some(skew)));
        }
    });
    format!("http://127.0.0.1:{port}")
}

#[test]
fn a_date_is_moved_and_nothing_else() {
    let mut bytes =
        b"HTTP/1.1 204 No Content\r\nDate: Fri, 27 Nov 2026 23:30:00 GMT\r\nX: date: y\r\n\r\n"
            .to_vec();
    skewed(&mut bytes, TimeDelta::hours(1));
    let text = String::from_utf8(bytes).unwrap();
    assert_eq!(
        text,
        "HTTP/1.1 204 No Content\r\nDate: Sat, 28 Nov 2026 00:30:00 GMT\r\nX: date: y\r\n\r\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_with_the_remedy_and_everything_goes_on() {
    for hours in [2, -3] {
        let site = Site::new(1);
        let Some(server) = InfluxServer::start(site.path()) else {
            return skipped(WHY);
        };
        let url = ahead_by(&server.url, TimeDelta::hours(hours)).await;
        let token_file = site.path().join("token");
        std::fs::write(&token_file, &server.token).unwrap();
        let path = site.config(&config(&url, &token_file));
        let from = from();
        let mut daemon = Daemon::start(&path, &site.data_dir());
        let address = daemon.address();
        push(&address, 0, 0, 20, from).await;
        wait_for("the clock to be told", || {
            daemon.log().contains("influx.clock").then_some(())
        });
        assert!(daemon.log().contains("set both by NTP"), "{}", daemon.log());
        // Readings are taken, and forwarded all the same.
        until_equal(&site, &server.client(), 1, from).await;
        let http = Client::builder().no_proxy().build().unwrap();
        let get = async |path: &str| {
            let request = http.get(format!("http://{address}{path}"));
            let answer = request.send().await.unwrap();
            (answer.status(), answer.text().await.unwrap())
        };
        let (status, ready) = get("/readyz").await;
        assert_eq!(status, StatusCode::OK, "{ready}");
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let told = ready["warnings"].as_array().unwrap();
        assert!(
            told.iter().any(|warning| warning["code"] == "influx.clock"),
            "{ready}"
        );
        let (_, metrics) = get("/metrics").await;
        let ahead: i64 = metrics
            .lines()
            .find_map(|line| line.strip_prefix("qiliang_influx_clock_ahead_seconds "))
            .unwrap()
            .parse()
            .unwrap();
        assert!((ahead - hours * 3_600).abs() < 60, "{ahead}");
        let doctor = qiliang(&["--config", path.to_str().unwrap(), "doctor", "influx"]);
        let said = [doctor.stdout, doctor.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains("set both by NTP"), "{said}");
        assert!(daemon.stop().success());
    }
}
