//! Weather comes in by file, push and from a provider, and is kept with the time it became known.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::store::book::Book;

use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;
use crate::support::wait_for;

/// A server that answers each request with what it is given the time of, and remembers the paths.
fn open_meteo(
    answer: impl Fn() -> (u16, String) + Send + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/forecast", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            for line in lines.map_while(Result::ok) {
                if line.is_empty() {
                    break;
                }
            }
            let (status, body) = answer();
            log.lock().unwrap().push(first);
            write!(
                stream,
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    (url, asked)
}

/// The documented answer for two days back and some ahead.
fn documented(now: DateTime<Utc>) -> String {
    let start = now.timestamp() / 86_400 * 86_400 - 2 * 86_400;
    let times: Vec<i64> = (0..96).map(|h| start + h * 3_600).collect();
    let values: Vec<f64> = (0..96).map(|h| f64::from(h % 24) - 5.0).collect();
    format!(
        "{{\"latitude\":32.125,\"longitude\":114.0625,\"generationtime_ms\":0.05,\"utc_offset_seconds\":0,\
         \"timezone\":\"GMT\",\"timezone_abbreviation\":\"GMT\",\"elevation\":79.0,\
         \"hourly_units\":{{\"time\":\"unixtime\",\"temperature_2m\":\"°C\"}},\
         \"hourly\":{{\"time\":{times:?},\"temperature_2m\":{values:?}}}}}"
    )
}

#[test]
fn the_daemon_asks_the_provider_and_takes_files_as_they_appear() {
    let site = Site::new(1);
    site.registry_file(
        "zones.csv",
        "id,name,weather_station,atmosphere_kpa\nnorth,North,zz:0.7;yy:0.3,101.0\n",
    );
    let (url, asked) = open_meteo(|| (200, documented(Utc::now())));
    let dir = site.path().join("weather");
    std::fs::create_dir(&dir).unwrap();
    let config = site.config(&format!(
        "[weather]\nfiles_dir = {dir:?}\n[[weather.open_meteo]]\nstation = \"zz\"\nlatitude = 32.13\n\
         longitude = 114.07\nurl = \"{url}\"\nis_past_observed = true\n"
    ));
    let before = Utc::now();
    // Written before the start: the folder is looked at at once.
    let archived = "2026-01-10T01:30:00Z";
    std::fs::write(
        dir.join("yy.csv"),
        format!(
            "station,kind,issued_at,at,temperature_c,available_at\n\
             yy,forecast,2026-01-10T00:00:00Z,2026-01-10T02:00:00Z,-3.5,{archived}\n"
        ),
    )
    .unwrap();
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let book = Book::open_read_only(site.data_dir().join("qiliang.db")).unwrap();
    let fetched = wait_for("a forecast of zz", || {
        book.latest_forecast_known_at("zz", Utc::now() + TimeDelta::hours(1))
            .unwrap()
    });
    assert!(
        fetched.available_at >= before,
        "known from now on, not earlier"
    );
    assert!(fetched.points.len() >= 24, "{}", fetched.points.len());
    let first = asked.lock().unwrap()[0].clone();
    for part in [
        "latitude=32.13",
        "longitude=114.07",
        "hourly=temperature_2m",
        "timeformat=unixtime",
    ] {
        assert!(first.contains(part), "{first}");
    }
    let observed = book
        .observed("zz", before - TimeDelta::hours(24), before)
        .unwrap();
    assert!(observed.len() >= 23, "{}", observed.len());

    let from_file = wait_for("the archive of yy", || {
        book.latest_forecast_known_at("yy", Utc::now()).unwrap()
    });
    assert_eq!(
        from_file.available_at,
        archived.parse::<DateTime<Utc>>().unwrap()
    );
    let too_early = book
        .latest_forecast_known_at("yy", "2026-01-10T01:00:00Z".parse().unwrap())
        .unwrap();
    assert!(too_early.is_none(), "a forecast is not known before it was");

    // Pushed weather is known from now on, and a station of no zone is refused.
    let push = |body: String| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "POST /api/v1/weather HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let hour = DateTime::from_timestamp(before.timestamp() / 3_600 * 3_600 + 7_200, 0).unwrap();
    let body = |station: &str| {
        format!(
            "{{\"station\": \"{station}\", \"kind\": \"forecast\", \"issued_at\": \"{}\", \
             \"points\": [{{\"at\": \"{}\", \"temperature_c\": 1.25}}]}}",
            before.to_rfc3339(),
            hour.to_rfc3339()
        )
    };
    let answer = push(body("yy"));
    assert!(
        answer.starts_with("HTTP/1.1 202") && answer.contains("\"accepted\":1"),
        "{answer}"
    );
    let answer = push(body("nowhere"));
    assert!(
        answer.starts_with("HTTP/1.1 422") && answer.contains("collect.weather_station"),
        "{answer}"
    );
    assert!(daemon.stop().success());
}

#[test]
fn a_provider_that_refuses_is_told_once_and_the_daemon_goes_on() {
    let site = Site::new(1);
    let (url, asked) = open_meteo(|| {
        (
            400,
            "{\"error\":true,\"reason\":\"Daily API request limit exceeded\"}".into(),
        )
    });
    let config = site.config(&format!(
        "[[weather.open_meteo]]\nstation = \"zz\"\nlatitude = 32.13\nlongitude = 114.07\nurl = \"{url}\"\n"
    ));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    wait_for("the request", || {
        (!asked.lock().unwrap().is_empty()).then_some(())
    });
    let log = wait_for("the words of the provider", || {
        let log = daemon.log();
        log.contains("Daily API request limit exceeded")
            .then_some(log)
    });
    assert!(log.contains("collect.weather_refused"), "{log}");
    assert!(daemon.is_running());
    assert!(daemon.stop().success());
}

#[test]
fn the_command_takes_a_file_whole_or_not_at_all() {
    let site = Site::new(1);
    let config = site.config("");
    let file = site.path().join("w.csv");
    let row = "zz,observed,2026-01-10T03:00:00Z,2026-01-10T02:00:00Z,-3.5";
    let header = "station,kind,issued_at,at,temperature_c";
    let run = |text: String| {
        std::fs::write(&file, text).unwrap();
        qiliang(&[
            "--config",
            config.to_str().unwrap(),
            "weather",
            file.to_str().unwrap(),
        ])
    };
    let bad = run(format!(
        "{header}\n{row}\nqq,observed,2026-01-10T03:00:00Z,2026-01-10T02:00:00Z,1\n"
    ));
    assert!(!bad.status.success());
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(said.contains("station `qq` stands for no zone"), "{said}");
    let good = run(format!("{header}\n{row}\n"));
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        said.contains("1 new"),
        "{said}{}",
        String::from_utf8_lossy(&good.stderr)
    );
    let book = Book::open_read_only(site.data_dir().join("qiliang.db")).unwrap();
    let kept = book
        .observed("zz", "2026-01-10T00:00:00Z".parse().unwrap(), Utc::now())
        .unwrap();
    assert_eq!(kept.len(), 1, "the good row of the bad file was not taken");
}
