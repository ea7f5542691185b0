//! Frames that could not be taken: kept, counted, replayed while the daemon runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::id::MeterId;
use qiliang::store::journal::{Journal, RejectFilter, RejectStats};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use crate::support::daemon::{Daemon, qiliang};
use crate::support::publisher;
use crate::support::site::Site;
use crate::support::{free_port, wait_for};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap()
}

fn listener(port: u16) -> String {
    format!(
        "[mqtt.listen]\nenabled = true\naddress = \"127.0.0.1:{port}\"\nconnections_max = 50\n\
         payload_max_bytes = 262144\nconnect_timeout_s = 10\n"
    )
}

/// A meter that connects, publishes one message after the other and waits for each PUBACK.
struct Meter {
    client: AsyncClient,
    connection: rumqttc::EventLoop,
}

impl Meter {
    fn new(name: &str, port: u16) -> Self {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(5));
        let (client, connection) = AsyncClient::new(options, 10);
        Self { client, connection }
    }

    async fn send(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client
            .publish(topic, QoS::AtLeastOnce, false, payload.into())
            .await
            .unwrap();
        while !matches!(
            self.connection.poll().await,
            Ok(Event::Incoming(Packet::PubAck(_)))
        ) {}
    }
}

fn journal(site: &Site) -> Journal {
    Journal::open_read_only(site.data_dir().join("readings.db"), GasDayClock::default()).unwrap()
}

/// The sums of the journal, held.
fn sums(site: &Site) -> RejectStats {
    let stats = journal(site).reject_stats().unwrap();
    let counters = stats.counters;
    assert_eq!(
        counters.received,
        counters.accepted + counters.duplicate + counters.rejected,
        "{stats:?}"
    );
    assert_eq!(
        counters.rejected,
        stats.waiting + stats.replayed + stats.dropped + stats.purged,
        "{stats:?}"
    );
    stats
}

fn run(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend(arguments);
    let output = qiliang(&all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Own profiles: those shipped, and what the test adds.
fn own_profiles(site: &Site, config: &Path) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let own = site.path().join("profiles");
    for vendor in ["qiliang", "generic"] {
        fs::create_dir_all(own.join(vendor)).unwrap();
        for file in fs::read_dir(shipped.join(vendor)).unwrap() {
            let file = file.unwrap().path();
            fs::copy(&file, own.join(vendor).join(file.file_name().unwrap())).unwrap();
        }
    }
    let text = fs::read_to_string(config).unwrap();
    let text = text.replace(&format!("{shipped:?}"), &format!("{own:?}"));
    assert!(text.contains("/profiles"));
    fs::write(config, text).unwrap();
    own
}

#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_an_unknown_form_is_kept_and_replayed_while_the_daemon_runs() {
    let site = Site::new(1);
    let port = free_port();
    let config = site.config(&format!("{}[decode]\nwatch_s = 1\n", listener(port)));
    let own = own_profiles(&site, &config);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let at = now() - TimeDelta::hours(1);
    // The vendor's own form: no profile the meter is bound to knows it.
    let vendor = format!(
        r#"{{"dev":"D0","reportTime":{},"totalStdVolume":"1234.5678"}}"#,
        at.timestamp()
    );
    let mut meter = Meter::new("m", port);
    let topic = "gas/test/gw/D0/up/reading";
    meter.send(topic, vendor.as_str()).await;
    meter.send(topic, vendor.as_str()).await;
    let good = publisher::payload(0, 1, now());
    meter.send(topic, good.as_str()).await;
    let stats = sums(&site);
    assert_eq!(
        (stats.counters.rejected, stats.waiting, stats.frames),
        (2, 2, 1)
    );

    // Nothing is mended yet: the daemon is asked, and the frame keeps waiting.
    let (code, out, err) = run(&config, &["rejects", "replay"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains(&address), "the daemon is asked: {err}");
    assert!(
        out.contains("0 frame(s) taken") && out.contains("1 still refused"),
        "{out}"
    );

    // A profile is drafted from the rejects themselves, put in the place of the bound one, and
    // taken by the daemon without a restart.
    let capture = site.path().join("capture.ndjson");
    let (code, _, err) = run(
        &config,
        &[
            "rejects",
            "export",
            "--code",
            "decode.message_kind",
            "--out",
            capture.to_str().unwrap(),
        ],
    );
    assert_eq!(code, Some(0), "{err}");
    let (code, out, err) = run(
        &config,
        &[
            "profiles",
            "new",
            "--from",
            capture.to_str().unwrap(),
            "--id",
            "acme/vendor",
        ],
    );
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("1 frame(s) decode"), "{out}");
    let registry = site.path().join("registry/meters.csv");
    let meters = fs::read_to_string(&registry).unwrap();
    fs::write(
        &registry,
        meters.replace("qiliang/json-push", "acme/vendor"),
    )
    .unwrap();
    wait_for("the new profile to be loaded", || {
        daemon
            .log()
            .contains("Reloaded profiles: acme/vendor")
            .then_some(())
    });
    daemon.signal("HUP");
    wait_for("the registry to be read again", || {
        daemon
            .log()
            .contains("Reloaded registry and profiles")
            .then_some(())
    });
    assert!(
        daemon.log().contains("not verified") || own.join("acme/vendor.toml").exists(),
        "{}",
        daemon.log()
    );
    let (code, out, err) = run(&config, &["rejects", "replay", "--device", "D0"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("1 frame(s) taken (0 said nothing new), 0 still refused"),
        "{out}"
    );
    let readings = journal(&site)
        .readings_between(&MeterId::from("M0"), at, at + TimeDelta::seconds(1))
        .unwrap();
    assert_eq!(readings.len(), 1);
    let stats = sums(&site);
    assert_eq!(
        (stats.replayed, stats.waiting, stats.replay_accepted),
        (2, 0, 1)
    );
    assert_eq!(stats.counters.received, 3, "a replay is no delivery");

    // Crash, and the same once more: known now, and the sums hold.
    let id = journal(&site)
        .rejects(&RejectFilter {
            with_replayed: true,
            ..RejectFilter::default()
        })
        .unwrap()[0]
        .id
        .to_string();
    daemon.kill();
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    let (code, out, err) = run(&config, &["rejects", "replay", &id]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("1 frame(s) taken (1 said nothing new)"),
        "{out}"
    );
    assert_eq!(sums(&site).replay_duplicate, 1);
    let (_, out, _) = run(&config, &["rejects", "stats"]);
    assert!(
        out.contains("received 3 = accepted 1 + duplicate 0 + rejected 2"),
        "{out}"
    );
    assert!(
        out.contains("rejected 2 = waiting 0 + replayed 2 + dropped 0 + purged 0"),
        "{out}"
    );

    // Deleting asks first, then is done by the daemon.
    let (_, out, _) = run(&config, &["rejects", "purge", "--replayed"]);
    assert!(out.contains("1 frame(s) would be deleted"), "{out}");
    let (code, out, err) = run(&config, &["rejects", "purge", "--replayed", "--yes"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("1 frame(s) of 2 deliveries deleted"), "{out}");
    assert_eq!(sums(&site).purged, 2);
    assert!(daemon.stop().success());
    let (code, _, err) = run(&config, &["rejects", "replay", "4711"]);
    assert_eq!(code, Some(1));
    assert!(
        err.contains("4711") && err.contains("rejects list"),
        "{err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_before_stored_never_happens() {
    let site = Site::new(1);
    let port = free_port();
    let config = site.config(&listener(port));
    let from = now() - TimeDelta::days(1);
    let mut acknowledged = 0;
    for round in 0..4 {
        let mut daemon = Daemon::start(&config, &site.data_dir());
        daemon.address();
        let mut meter = Meter::new("m", port);
        for _ in 0..25 {
            let at = from + TimeDelta::minutes(i64::try_from(acknowledged).unwrap());
            let payload = publisher::payload(0, acknowledged, at);
            meter.send("gas/test/gw/D0/up/reading", payload).await;
            acknowledged += 1;
            // The PUBACK is here: the reading is in the file, for another process to read.
            let stored = journal(&site).counters().unwrap().accepted;
            assert!(
                stored >= acknowledged as u64,
                "{acknowledged} acknowledged and {stored} stored"
            );
        }
        // And it stays there, however the program ends at that very moment.
        daemon.kill();
        let readings = journal(&site)
            .readings_between(&MeterId::from("M0"), from, from + TimeDelta::days(2))
            .unwrap();
        assert_eq!(
            readings.len(),
            acknowledged,
            "after kill number {}",
            round + 1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn store_down_means_waiting_not_loss() {
    let site = Site::new(4);
    let port = free_port();
    let config = site.config(&listener(port));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    // Another process holds the file: every commit fails for as long as it does.
    let blocker = rusqlite::Connection::open(site.data_dir().join("readings.db")).unwrap();
    wait_for("the file to be held", || {
        blocker.execute_batch("BEGIN IMMEDIATE").ok()
    });
    let acknowledged = publisher::Acknowledged::default();
    let from = now() - TimeDelta::days(1);
    let publishing = tokio::spawn(publisher::publish_all(
        port,
        4,
        50,
        Duration::ZERO,
        from,
        acknowledged.clone(),
    ));
    tokio::task::block_in_place(|| {
        wait_for("the log to say that readings wait", || {
            daemon
                .log()
                .contains("Readings wait unacknowledged")
                .then_some(())
        });
    });
    assert_eq!(acknowledged.len(), 0, "nothing is acknowledged meanwhile");
    assert_eq!(journal(&site).counters().unwrap().received, 0);
    assert!(daemon.is_running(), "{}", daemon.log());
    blocker.execute_batch("ROLLBACK").unwrap();
    publishing.await.unwrap();
    assert_eq!(acknowledged.len(), 200);
    let counters = journal(&site).counters().unwrap();
    assert_eq!((counters.accepted, counters.rejected), (200, 0));
    assert!(!address.is_empty() && daemon.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_never_guessed() {
    let site = Site::new(2);
    let registry = site.path().join("registry/meters.csv");
    let meters = fs::read_to_string(&registry).unwrap();
    let bound = meters.replacen("qiliang/json-push", "generic/cjt188-gas", 1);
    fs::write(&registry, bound).unwrap();
    let port = free_port();
    let config = site.config(&listener(port));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    let mut meter = Meter::new("m", port);
    // Good frames of qiliang/json-push, for a meter that is bound to another profile.
    meter
        .send("gas/test/gw/D0/up/reading", publisher::payload(0, 1, now()))
        .await;
    // Only the payload names the device, and it is bound to another profile than the one that reads it.
    meter
        .send("elsewhere/1", publisher::payload(0, 2, now()))
        .await;
    assert_eq!(journal(&site).counters().unwrap().accepted, 0);
    let codes: Vec<String> = journal(&site)
        .rejects_after(&RejectFilter::default(), i64::MIN)
        .unwrap()
        .into_iter()
        .map(|r| r.rejected.reason.code)
        .collect();
    assert_eq!(codes.len(), 2);
    assert!(codes[0].starts_with("decode."), "{codes:?}");
    assert_eq!(codes[1], "ingest.unknown_device");
    // The same with a device that is bound to that very profile.
    meter
        .send("elsewhere/2", publisher::payload(1, 3, now()))
        .await;
    assert_eq!(journal(&site).counters().unwrap().accepted, 1);
    assert!(daemon.stop().success());
}

#[test]
fn journal_neither_stops_nor_loses_as_it_grows() {
    use qiliang::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
    use qiliang::domain::reading::{AlarmSet, Item, ItemValue, Reading};
    use qiliang::store::journal::JournalEntry;

    const COMMITS: i64 = 300;
    const READINGS: i64 = 150;
    const REJECTS: i64 = 50;
    const KEPT: u64 = 64 * 1_024;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("readings.db");
    let journal = Journal::open(&path, GasDayClock::default()).unwrap();
    let from = now() - TimeDelta::days(100);
    let mut log_max = 0;
    for commit in 0..COMMITS {
        let mut entries: Vec<JournalEntry> = (0..READINGS)
            .map(|i| {
                let at = from + TimeDelta::minutes(commit * 60);
                JournalEntry::Reading {
                    reading: Reading {
                        meter: MeterId::from(format!("M{i}").as_str()),
                        sampled_at: at,
                        received_at: at,
                        transport: Transport::Mqtt,
                        values: vec![(Item::TotalStd, ItemValue::Exact(commit * 10_000))],
                        frozen: Vec::new(),
                        alarms: AlarmSet::default(),
                    },
                    findings: Vec::new(),
                }
            })
            .collect();
        entries.extend((0..REJECTS).map(|i| {
            JournalEntry::Reject(RejectedFrame {
                frame: RawFrame {
                    transport: Transport::Mqtt,
                    origin: "t".into(),
                    device: None,
                    bytes: format!("{commit}/{i} {}", "x".repeat(80)).into(),
                    received_at: from + TimeDelta::minutes(commit * 60),
                },
                meter: None,
                reason: RejectReason::new("decode.json_syntax", "no JSON"),
            })
        }));
        let report = journal.commit_blocking(entries).unwrap();
        assert_eq!(report.accepted, READINGS.cast_unsigned());
        journal.drop_rejects(from, KEPT).unwrap();
        let log = fs::metadata(dir.path().join("readings.db-wal"))
            .unwrap()
            .len();
        log_max = log_max.max(log);
    }
    let stats = journal.reject_stats().unwrap();
    let (commits, each) = (COMMITS.cast_unsigned(), REJECTS.cast_unsigned());
    assert_eq!(stats.counters.accepted, commits * READINGS.cast_unsigned());
    assert_eq!(stats.counters.rejected, commits * each);
    assert_eq!(stats.counters.rejected, stats.waiting + stats.dropped);
    assert!(stats.bytes <= KEPT && stats.dropped > 0, "{stats:?}");
    // The log is written back at 16,000 pages; it never grows with the journal.
    assert!(
        log_max < 2 * 16_000 * 4_120,
        "the log grew to {log_max} bytes"
    );
    assert_eq!(journal.verify().unwrap(), stats.counters.accepted);
}

/// A meter without a clock, unknown to the registry, whose total stood still from ten to six: the same
/// frame, nine times.
#[test]
fn a_frame_that_came_again_is_replayed_as_of_its_first_and_its_last_arrival() {
    let site = Site::new(1);
    let config = site.config("");
    let frame = "2E44A5119870659930037A060020052F2F0C933E842784060A3B00000A5A5901C4016D3B37DF2CCC01933E24032606";
    let first = now() - TimeDelta::hours(9);
    let lines: Vec<String> = (0..9)
        .map(|hour| {
            let at = (first + TimeDelta::hours(hour)).to_rfc3339();
            format!(r#"{{"received_at":"{at}","device":"99657098","hex":"{frame}"}}"#)
        })
        .collect();
    let file = site.path().join("night.ndjson");
    fs::write(&file, lines.join("\n")).unwrap();
    run(&config, &["import", file.to_str().unwrap()]);
    let stats = sums(&site);
    assert_eq!((stats.waiting, stats.frames), (9, 1), "{stats:?}");

    let registry = site.path().join("registry/meters.csv");
    let meters = fs::read_to_string(&registry).unwrap();
    let bound = meters
        .replace(",D0,", ",99657098,")
        .replace("qiliang/json-push", "diehl/aerius");
    fs::write(&registry, bound).unwrap();
    let (code, out, err) = run(&config, &["rejects", "replay"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let night = (first - TimeDelta::hours(1), now());
    let readings = journal(&site)
        .readings_between(&MeterId::from("M0"), night.0, night.1)
        .unwrap();
    let times: Vec<DateTime<Utc>> = readings.iter().map(|r| r.sampled_at).collect();
    assert_eq!(times, [first, first + TimeDelta::hours(8)]);
    assert_eq!(sums(&site).waiting, 0);
}
