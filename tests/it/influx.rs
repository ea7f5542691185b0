//! The second store: what the journal commits is there, whatever ends in between.

mod conformance;
mod fake;
mod outage;
mod skew;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::finding::Quality;
use qiliang::domain::id::MeterId;
use qiliang::domain::quantity::StdVolume;
use qiliang::domain::reading::{AlarmSet, Item, ItemValue};
use qiliang::domain::series::LoadCurve;
use qiliang::store::history::{History as _, HistoryPoint};
use qiliang::store::influx::{Influx, line, send};
use qiliang::store::journal::Journal;
use reqwest::{Client, StatusCode};
use serde_json::json;

use crate::support::daemon::{Daemon, qiliang};
use crate::support::influx::{InfluxServer, config};
use crate::support::publisher::payload;
use crate::support::site::Site;
use crate::support::{skipped, wait_for};

const WHY: &str = "set QILIANG_TEST_INFLUXD to a program that starts an InfluxDB 2";

fn from() -> DateTime<Utc> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let now = Utc::now();
    DateTime::from_timestamp(now.timestamp(), 0).unwrap() - TimeDelta::days(3)
}

fn journal(site: &Site) -> Journal {
    Journal::open_read_only(site.data_dir().join("readings.db"), GasDayClock::default()).unwrap()
}

/// Pushes readings of the meters one by one; each is acknowledged.
async fn push(address: &str, device: usize, first: usize, count: usize, from: DateTime<Utc>) {
    let client = Client::builder().no_proxy().build().unwrap();
    for seq in first..first + count {
        let at = from + TimeDelta::seconds(i64::try_from(seq).unwrap() * 60);
        let request = client
            .post(format!("http://{address}/api/v1/readings"))
            .header("content-type", "application/json")
            .body(payload(device, seq, at));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }
}

/// What the journal has of a meter.
async fn expected(site: &Site, meter: &MeterId, from: DateTime<Utc>) -> Vec<HistoryPoint> {
    let span = (from - TimeDelta::days(40), from + TimeDelta::days(4));
    journal(site)
        .points_between(meter, span.0, span.1)
        .await
        .unwrap()
}

/// Waits until the other store has exactly what the journal has of these meters.
async fn until_equal(site: &Site, influx: &Influx, meters: usize, from: DateTime<Utc>) {
    let mut last = String::new();
    for _ in 0..600 {
        let mut is_equal = journal(site).outbox_len().unwrap() == 0;
        for meter in (0..meters).map(|m| MeterId::from(format!("M{m}").as_str())) {
            let wanted = expected(site, &meter, from).await;
            let span = (from - TimeDelta::days(40), from + TimeDelta::days(4));
            let there = influx.points_between(&meter, span.0, span.1).await;
            if !there.as_ref().is_ok_and(|there| *there == wanted) {
                last = format!("{meter}: {} wanted, there {there:.300?}", wanted.len());
                is_equal = false;
            }
        }
        if is_equal {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("the second store has not what the journal has: {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_is_there_through_outages_and_kills_and_nothing_twice() {
    let site = Site::new(3);
    let Some(mut server) = InfluxServer::start(site.path()) else {
        return skipped(WHY);
    };
    let config = site.config(&server.config(site.path()));
    let from = from();
    let mut daemon = Daemon::start(&config, &site.data_dir());
    push(&daemon.address(), 0, 0, 60, from).await;
    let frozen = json!({
        "v": 1, "dev": "D1", "day": from.format("%Y-%m-%d").to_string(),
        "hourly": (0..24).map(|h| format!("{}.5000", 1_000 + h)).collect::<Vec<_>>(),
    });
    let pushed = Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(format!("http://{}/api/v1/readings", daemon.address()))
        .header("content-type", "application/json")
        .body(frozen.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(pushed.status(), StatusCode::ACCEPTED);
    until_equal(&site, &server.client(), 3, from).await;

    // An outage: readings go on being taken and acknowledged.
    server.kill();
    push(&daemon.address(), 1, 0, 40, from).await;
    wait_for("the outage to be told", || {
        daemon.log().contains("does not answer").then_some(())
    });
    // The daemon killed in the middle of it, and started again.
    daemon.kill_in_place();
    drop(daemon);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    push(&daemon.address(), 2, 0, 40, from).await;
    assert!(journal(&site).outbox_len().unwrap() >= 80);
    server.start_again();
    until_equal(&site, &server.client(), 3, from).await;
    wait_for("the end of the outage to be told", || {
        daemon.log().contains("takes lines again").then_some(())
    });

    // Curves follow, hour by hour, and a late reading restates them.
    let day = GasDayClock::default().day_of(from);
    let meter = MeterId::from("M0");
    let mut last = None;
    for _ in 0..300 {
        let here = journal(&site).curves_of(&meter, day, day.plus(2)).unwrap();
        let there = server
            .client()
            .curves_between(&meter, day, day.plus(2))
            .await
            .unwrap();
        let is_equal = !here.is_empty() && here == there;
        last = Some((here, there));
        if is_equal && journal(&site).outbox_len().unwrap() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let (here, there) = last.unwrap();
    assert_eq!(here, there);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_another_type_is_told_with_the_remedy_and_taken_after_mending() {
    let site = Site::new(2);
    let Some(server) = InfluxServer::start(site.path()) else {
        return skipped(WHY);
    };
    let from = from();
    let influx = server.client();
    influx.ensure_buckets().await.unwrap();
    // Somebody wrote text where a number belongs, in the shard of these days.
    let text = format!(
        "gas_reading,meter=M0 temperature_c=\"warm\" {}",
        from.timestamp_millis()
    );
    influx.write("gas_readings", text).await.unwrap();
    let config = site.config(&server.config(site.path()));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    push(&daemon.address(), 1, 0, 50, from).await;
    push(&daemon.address(), 0, 0, 3, from).await;
    push(&daemon.address(), 1, 50, 50, from).await;
    wait_for("all to be forwarded", || {
        (journal(&site).outbox_len().unwrap() == 0).then_some(())
    });
    // A type belongs to the measurement, so every line with that field is refused; curves go on.
    let refused = journal(&site).refused_lines(1_000).unwrap();
    assert_eq!(refused.len(), 103);
    for line in &refused {
        assert!(
            line.line.starts_with("gas_reading,meter=M"),
            "{}",
            line.line
        );
        assert!(
            line.reason.contains("field type conflict"),
            "{}",
            line.reason
        );
    }
    assert!(
        daemon.log().contains("qiliang influx retry"),
        "{}",
        daemon.log()
    );
    assert_eq!(expected(&site, &"M1".into(), from).await.len(), 100);
    assert!(daemon.stop().success());
    let path = config.to_str().unwrap();
    let told = qiliang(&["--config", path, "influx", "refused"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        told.contains("103 refused line(s); 0 row(s) wait"),
        "{told}"
    );
    let again = qiliang(&["--config", path, "influx", "retry"]);
    assert_eq!(again.status.code(), Some(2));

    // Mended there: the measurement begins anew.
    let statement = [
        ("db", "gas_readings"),
        ("q", "DROP MEASUREMENT gas_reading"),
    ];
    let http = Client::builder().no_proxy().build().unwrap();
    let dropped = http
        .post(format!("{}/query", server.url))
        .query(&statement)
        .header("authorization", format!("Token {}", server.token))
        .send()
        .await
        .unwrap();
    assert!(dropped.status().is_success());
    let again = qiliang(&["--config", path, "influx", "retry"]);
    assert!(
        again.status.success(),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    assert_eq!(journal(&site).refused_len().unwrap(), 0);
    for meter in ["M0", "M1"] {
        let back = influx
            .points_between(&meter.into(), from, from + TimeDelta::days(1))
            .await
            .unwrap();
        assert_eq!(back, expected(&site, &meter.into(), from).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_or_address_is_told_with_the_remedy_and_ingestion_goes_on() {
    let site = Site::new(1);
    let Some(server) = InfluxServer::start(site.path()) else {
        return skipped(WHY);
    };
    let token_file = site.path().join("wrong-token");
    std::fs::write(&token_file, "not-a-token").unwrap();
    let from = from();
    let path = site.config(&config(&server.url, &token_file));
    let mut daemon = Daemon::start(&path, &site.data_dir());
    push(&daemon.address(), 0, 0, 20, from).await;
    wait_for("the refusal to be told", || {
        daemon.log().contains("refuses the token").then_some(())
    });
    assert!(
        daemon.log().contains("influx.token_file"),
        "{}",
        daemon.log()
    );
    assert_eq!(expected(&site, &"M0".into(), from).await.len(), 20);
    let doctor = qiliang(&["--config", path.to_str().unwrap(), "doctor", "influx"]);
    assert!(!doctor.status.success());
    assert!(String::from_utf8_lossy(&doctor.stderr).contains("refuses the token"));
    assert!(daemon.stop().success());

    // With the right one, all that waited is there; the buckets are made.
    let path = site.config(&server.config(site.path()));
    let daemon = Daemon::start(&path, &site.data_dir());
    until_equal(&site, &server.client(), 1, from).await;
    let doctor = qiliang(&["--config", path.to_str().unwrap(), "doctor", "influx"]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.success(), "{told}");
    assert!(
        told.contains("a point written to gas_hourly was read back"),
        "{told}"
    );
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_turned_off_and_on_again_misses_nothing() {
    let site = Site::new(1);
    let Some(server) = InfluxServer::start(site.path()) else {
        return skipped(WHY);
    };
    let from = from();
    // Without a second store, with one, without, with.
    for (first, influx) in [(0, ""), (20, "on"), (40, ""), (60, "on")] {
        let extra = if influx.is_empty() {
            String::new()
        } else {
            server.config(site.path())
        };
        let config = site.config(&extra);
        let mut daemon = Daemon::start(&config, &site.data_dir());
        push(&daemon.address(), 0, first, 20, from).await;
        if !influx.is_empty() {
            until_equal(&site, &server.client(), 1, from).await;
        }
        assert!(daemon.stop().success());
    }
}

fn said() -> impl Strategy<Value = (MeterId, HistoryPoint)> {
    let name = "[ -~é气]{0,12}[!-\\[\\]-~气]";
    let float = prop_oneof![
        any::<f64>().prop_filter("finite", |v| v.is_finite()),
        Just(0.0),
        Just(f64::MIN_POSITIVE),
        Just(1e-300),
        Just(f64::MAX),
    ];
    (
        name,
        -99_999_999_999_999_i64..99_999_999_999_999,
        prop::option::of(float),
        prop::option::of(0_i64..999_999_999_999),
        any::<u32>(),
        0_i64..86_400_000,
    )
        .prop_map(|(meter, units, temperature, frozen, alarms, offset_ms)| {
            let at = DateTime::from_timestamp_millis(1_795_219_200_000 + offset_ms).unwrap();
            let mut point = HistoryPoint::new(at);
            point.values = vec![(Item::TotalStd, ItemValue::Exact(units))];
            point
                .values
                .extend(temperature.map(|t| (Item::Temperature, ItemValue::Float(t))));
            point
                .frozen
                .extend(frozen.map(|units| (Item::TotalStd, units)));
            point.alarms = AlarmSet(alarms);
            (meter.as_str().into(), point)
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_written_reads_back_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = InfluxServer::start(dir.path()) else {
        return skipped(WHY);
    };
    let influx = server.client();
    influx.ensure_buckets().await.unwrap();
    // Twice is as once.
    influx.ensure_buckets().await.unwrap();
    let mut runner = TestRunner::new(Config::default());
    let mut by_meter: BTreeMap<MeterId, HistoryPoint> = BTreeMap::new();
    for _ in 0..600 {
        let (meter, point) = said().new_tree(&mut runner).unwrap().current();
        by_meter.insert(meter, point);
    }
    let tags = BTreeMap::from([("c, =ity".to_owned(), "临 汐,=\\\"".to_owned())]);
    let mut lines = Vec::new();
    for (meter, point) in &by_meter {
        line::of_point(meter, point, &tags, &mut lines).unwrap();
    }
    let outcome = send(&influx, "gas_readings", &lines).await.unwrap();
    assert_eq!(
        (outcome.taken, outcome.refused.len()),
        (lines.len() as u64, 0)
    );
    for (meter, point) in &by_meter {
        let span = (point.at - TimeDelta::days(2), point.at + TimeDelta::days(2));
        let there = influx.points_between(meter, span.0, span.1).await.unwrap();
        assert_eq!(there, std::slice::from_ref(point), "{meter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poisoned_line_amid_5000_is_found_and_old_ones_are_no_fault() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = InfluxServer::start(dir.path()) else {
        return skipped(WHY);
    };
    let influx = server.client();
    let buckets = influx.ensure_buckets().await.unwrap();
    assert_eq!(buckets[0].keep_days, Some(1_095));
    let at = from().timestamp_millis();
    let mut lines: Vec<String> = (0..5_000)
        .map(|i| format!("gas_reading,meter=P{} z_factor=1.{i:04} {}", i % 50, at + i))
        .collect();
    lines[3_141] = "gas_reading,meter= z_factor= 17".to_owned();
    // Older than the bucket keeps: the server would drop it anyway.
    lines[10] = "gas_reading,meter=P10 z_factor=1 1000000000000".to_owned();
    let outcome = send(&influx, "gas_readings", &lines).await.unwrap();
    assert_eq!((outcome.taken, outcome.expired), (4_998, 1));
    assert_eq!(outcome.refused.len(), 1);
    assert_eq!(outcome.refused[0].0, lines[3_141]);
    assert!(
        outcome.refused[0].1.contains("unable to parse"),
        "{}",
        outcome.refused[0].1
    );
    let mut count = 0;
    let span = (from() - TimeDelta::days(1), from() + TimeDelta::days(1));
    influx
        .for_each_meter_point(span.0, span.1, |_, _| count += 1)
        .await
        .unwrap();
    assert_eq!(count, 4_998);

    // A whole batch of one wrong type costs no request a line.
    influx
        .write(
            "gas_readings",
            format!("gas_reading,meter=T snr_db=1i {at}"),
        )
        .await
        .unwrap();
    let wrong: Vec<String> = (0..5_000)
        .map(|i| {
            format!(
                "gas_reading,meter=W{} {}={i}.5 {}",
                i % 9,
                if i % 2 == 0 { "snr_db" } else { "valve" },
                at + i
            )
        })
        .collect();
    let started = std::time::Instant::now();
    let outcome = send(&influx, "gas_readings", &wrong).await.unwrap();
    println!(
        "2,500 of 5,000 lines of another type told apart in {} ms",
        started.elapsed().as_millis()
    );
    assert_eq!((outcome.taken, outcome.refused.len()), (2_500, 2_500));
    assert!(
        outcome
            .refused
            .iter()
            .all(|(line, why)| line.contains(" snr_db=") && why.contains("field type conflict"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_asked_for_again_and_a_deleted_bucket_is_made_again() {
    let site = Site::new(1);
    let Some(server) = InfluxServer::start(site.path()) else {
        return skipped(WHY);
    };
    let from = from();
    let token_file = site.path().join("token");
    std::fs::write(&token_file, "not-a-token").unwrap();
    let path = site.config(&config(&server.url, &token_file));
    let mut daemon = Daemon::start(&path, &site.data_dir());
    let address = daemon.address();
    push(&address, 0, 0, 20, from).await;
    let ready = || async {
        let answer = reqwest::get(format!("http://{address}/readyz"))
            .await
            .unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    wait_for("the refusal to be told", || {
        daemon.log().contains("refuses the token").then_some(())
    });
    // Ready all the same: ingestion goes on.
    let (status, body) = ready().await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(body.contains("influx.unauthorized"), "{body}");
    let metrics = reqwest::get(format!("http://{address}/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(metrics.contains("qiliang_influx_up 0"), "{metrics}");

    // No restart: the file is read again.
    std::fs::write(&token_file, &server.token).unwrap();
    until_equal(&site, &server.client(), 1, from).await;
    let (_, body) = ready().await;
    assert!(body.contains("\"warnings\":[]"), "{body}");

    let http = Client::builder().no_proxy().build().unwrap();
    let auth = format!("Token {}", server.token);
    let listed: serde_json::Value = http
        .get(format!("{}/api/v2/buckets?name=gas_readings", server.url))
        .header("authorization", &auth)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let id = listed["buckets"][0]["id"].as_str().unwrap();
    let gone = http
        .delete(format!("{}/api/v2/buckets/{id}", server.url))
        .header("authorization", &auth)
        .send()
        .await
        .unwrap();
    assert!(gone.status().is_success());
    push(&address, 0, 20, 20, from).await;
    wait_for("the rest to be forwarded", || {
        daemon
            .log()
            .contains("has no bucket `gas_readings`")
            .then_some(())?;
        (journal(&site).outbox_len().unwrap() == 0).then_some(())
    });
    let there = server
        .client()
        .points_between(&"M0".into(), from, from + TimeDelta::days(1))
        .await
        .unwrap();
    assert_eq!(there.len(), 20);
    assert!(daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_no_longer_has_comes_from_the_second_store_and_says_so() {
    let site = Site::new(1);
    let Some(server) = InfluxServer::start(site.path()) else {
        return skipped(WHY);
    };
    let influx = server.client();
    influx.ensure_buckets().await.unwrap();
    let day = GasDayClock::default().day_of(from()).plus(-100);
    let mut curve = LoadCurve::missing("M0".into(), day);
    curve.hours[3] = StdVolume::from_units(12_345);
    curve.quality[3] = Quality::Measured;
    let mut lines = Vec::new();
    line::of_curve(&curve, GasDayClock::default(), &BTreeMap::new(), &mut lines).unwrap();
    send(&influx, "gas_hourly", &lines).await.unwrap();
    let mut point = HistoryPoint::new(GasDayClock::default().start_of(day));
    point.values = vec![(Item::TotalStd, ItemValue::Exact(770_000))];
    lines.clear();
    line::of_point(&"M0".into(), &point, &BTreeMap::new(), &mut lines).unwrap();
    send(&influx, "gas_readings", &lines).await.unwrap();

    let path = site.config(&server.config(site.path()));
    let mut daemon = Daemon::start(&path, &site.data_dir());
    let asked = format!(
        "http://{}/api/v1/meters/M0/curve?from={day}&to={day}",
        daemon.address()
    );
    let body: serde_json::Value = reqwest::get(&asked).await.unwrap().json().await.unwrap();
    assert_eq!(body["days"][0]["store"], "influx", "{body}");
    assert_eq!(body["days"][0]["hours_m3"][3], "1.2345");
    assert_eq!(body["missing"], serde_json::Value::Null);
    let day = day.to_string();
    let told = |more: &[&str]| {
        let arguments = [
            "--config",
            path.to_str().unwrap(),
            "history",
            "M0",
            "--from",
            &day,
        ];
        let output = qiliang(&[&arguments[..], more].concat());
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (_, lines, errors) = told(&[]);
    assert!(
        lines.contains("\"store\":\"influx\"") && lines.contains("\"1.2345\""),
        "{lines}{errors}"
    );
    let (_, lines, errors) = told(&["--readings"]);
    assert!(
        lines.contains("\"total_std_m3\":\"77.0000\""),
        "{lines}{errors}"
    );

    // Nobody there: what is here is given, and what is missing is named.
    let mut server = server;
    server.kill();
    let body: serde_json::Value = reqwest::get(&asked).await.unwrap().json().await.unwrap();
    assert_eq!(body["missing"]["code"], "influx.unreachable", "{body}");
    let (is_fine, _, errors) = told(&[]);
    assert!(!is_fine && errors.contains("does not answer"), "{errors}");
    assert!(daemon.stop().success());
}
