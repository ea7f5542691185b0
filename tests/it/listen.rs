//! Meters that connect to us over TLS, by clients that we did not write.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::id::MeterId;
use qiliang::store::journal::Journal;

use crate::support::certificates::Authority;
use crate::support::daemon::Daemon;
use crate::support::publisher::{Acknowledged, payload, publish_all};
use crate::support::site::Site;
use crate::support::{free_port, skipped, wait_for};

fn now() -> DateTime<Utc> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let now = Utc::now();
    DateTime::from_timestamp(now.timestamp(), 0).unwrap()
}

fn accepted(site: &Site) -> u64 {
    let path = site.data_dir().join("readings.db");
    let journal = Journal::open_read_only(path, GasDayClock::default()).unwrap();
    journal.counters().unwrap().accepted
}

/// `mosquitto_pub` to the TLS port.
struct Publisher {
    port: u16,
    authority: PathBuf,
}

impl Publisher {
    fn publish(&self, version: &str, device: usize, seq: usize, more: &[&str]) -> Option<Output> {
        let topic = format!("gas/test/gw/D{device}/up/reading");
        let message = payload(
            device,
            seq,
            now() + TimeDelta::seconds(i64::try_from(seq).unwrap()),
        );
        let port = self.port.to_string();
        Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-V", version, "-q", "1"])
            .args(["-t", &topic, "-m", &message, "-i", &format!("meter-{seq}")])
            .arg("--cafile")
            .arg(&self.authority)
            .args(more)
            .stdin(Stdio::null())
            .output()
            .ok()
    }
}

fn is_there() -> bool {
    let is_there = Command::new("mosquitto_pub").arg("--help").output().is_ok();
    if !is_there {
        skipped("mosquitto_pub not found: apt-get install mosquitto-clients");
    }
    is_there
}

/// A user's line, made by the program itself.
fn hashed(user: &str, password: &str, more: &[&str]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_qiliang"))
        .args(["credentials", "password", user])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{password}\n").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let line = String::from_utf8(output.stdout).unwrap();
    assert!(!line.contains(password));
    line
}

fn settings(port: u16, certificate: &Path, key: &Path, more: &str, tls: &str) -> String {
    format!(
        "[mqtt.listen]\ntls_address = \"127.0.0.1:{port}\"\n{more}\n\
         [mqtt.listen.tls]\ncertificate_file = {certificate:?}\nkey_file = {key:?}\n{tls}\n"
    )
}

fn ok(output: Option<Output>) -> bool {
    output.unwrap().status.success()
}

#[test]
fn a_meter_publishes_over_tls_with_its_password_in_both_versions() {
    if !is_there() {
        return;
    }
    let site = Site::new(2);
    let authority = Authority::new(site.path(), "ca");
    let (certificate, key) = authority.sign("qiliang", "subjectAltName=IP:127.0.0.1");
    let users = site.path().join("users");
    fs::write(&users, hashed("D0", "m3ter", &[])).unwrap();
    let port = free_port();
    let more = format!("users_file = {users:?}");
    let config = site.config(&settings(port, &certificate, &key, &more, ""));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    let meter = Publisher {
        port,
        authority: authority.file(),
    };
    let own = ["-u", "D0", "-P", "m3ter"];
    assert!(
        ok(meter.publish("mqttv311", 0, 1, &own)),
        "{}",
        daemon.log()
    );
    assert!(ok(meter.publish("mqttv5", 0, 2, &own)), "{}", daemon.log());
    // mosquitto_pub ends after its PUBACK: what it sent is on disk.
    assert_eq!(accepted(&site), 2);
    assert!(!ok(meter.publish(
        "mqttv5",
        0,
        3,
        &["-u", "D0", "-P", "wrong"]
    )));
    assert!(!ok(meter.publish("mqttv311", 0, 4, &[])));
    // Of another device: MQTT 5 says so and stays, 3.1.1 is cut off.
    let refused = meter.publish("mqttv5", 1, 5, &own).unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(words.contains("not authorized"), "{words}");
    let log = daemon.log();
    assert!(
        log.contains("user `D0` published to `gas/test/gw/D1/up/reading`")
            || log.contains("wrong user or password"),
        "{log}"
    );
    assert_eq!(accepted(&site), 2);

    // A new user is let in after SIGHUP, without a restart.
    let both = hashed("D0", "m3ter", &[]) + &hashed("gw", "g4te", &["--devices", "D0,D1"]);
    fs::write(&users, both).unwrap();
    let hangup = Command::new("kill")
        .args(["-HUP", &daemon.pid().to_string()])
        .status();
    assert!(hangup.unwrap().success());
    wait_for("the users to be read again", || {
        daemon.log().contains(" again: 2 entries").then_some(())
    });
    let gateway = ["-u", "gw", "-P", "g4te"];
    assert!(
        ok(meter.publish("mqttv311", 1, 6, &gateway)),
        "{}",
        daemon.log()
    );
    assert_eq!(accepted(&site), 3);
    assert!(daemon.stop().success());
}

#[test]
fn a_client_certificate_is_the_meter_it_names() {
    if !is_there() {
        return;
    }
    let site = Site::new(2);
    let authority = Authority::new(site.path(), "ca");
    let meters = Authority::new(site.path(), "meters");
    let strangers = Authority::new(site.path(), "strangers");
    let (certificate, key) = authority.sign("qiliang", "subjectAltName=IP:127.0.0.1");
    let port = free_port();
    let tls = format!(
        "client_certificate = \"required\"\nclient_ca_file = {:?}",
        meters.file()
    );
    let config = site.config(&settings(port, &certificate, &key, "", &tls));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    let meter = Publisher {
        port,
        authority: authority.file(),
    };
    let shows = |(certificate, key): &(PathBuf, PathBuf)| {
        [
            "--cert".to_owned(),
            certificate.display().to_string(),
            "--key".to_owned(),
            key.display().to_string(),
        ]
    };
    let publish = |version: &str, device, seq, pair: &(PathBuf, PathBuf)| {
        let arguments = shows(pair);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        meter.publish(version, device, seq, &arguments)
    };
    let usage = "extendedKeyUsage=clientAuth";
    let own = meters.sign("D0", usage);
    assert!(ok(publish("mqttv311", 0, 1, &own)), "{}", daemon.log());
    assert!(ok(publish("mqttv5", 0, 2, &own)), "{}", daemon.log());
    assert_eq!(accepted(&site), 2);
    let refused = publish("mqttv5", 1, 3, &own).unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(words.contains("not authorized"), "{words}");
    assert!(!ok(meter.publish("mqttv311", 0, 4, &[])), "no certificate");
    let forged = strangers.sign("D0", usage);
    assert!(!ok(publish("mqttv311", 0, 5, &forged)), "another authority");
    assert_eq!(accepted(&site), 2);
    let log = daemon.log();
    assert!(
        log.contains("TLS handshake failed") || log.contains("D1"),
        "{log}"
    );
    assert!(daemon.is_running());
    assert!(daemon.stop().success());
}

#[test]
fn files_that_cannot_be_used_end_the_start_and_say_which() {
    let site = Site::new(1);
    let authority = Authority::new(site.path(), "ca");
    let (certificate, key) = authority.sign("qiliang", "subjectAltName=IP:127.0.0.1");
    let (_, other_key) = authority.sign("other", "subjectAltName=IP:127.0.0.1");
    let users = site.path().join("users");
    fs::write(&users, "hunter2\n").unwrap();
    let with_users = format!("users_file = {users:?}");
    for (config, expected) in [
        (settings(0, &certificate, &other_key, "", ""), "key_file"),
        (settings(0, &key, &key, "", ""), "certificate_file"),
        (settings(0, &certificate, &key, &with_users, ""), "line 1"),
        (
            settings(
                0,
                &certificate,
                &key,
                "",
                "client_certificate = \"required\"",
            ),
            "client_ca_file",
        ),
        (
            "[mqtt.listen]\ntls_address = \"127.0.0.1:0\"\n".to_owned(),
            "[mqtt.listen.tls]",
        ),
        (
            "[push]\naddress = \"0.0.0.0:0\"\n".to_owned(),
            "push.tokens_file",
        ),
    ] {
        let config = site.config(&config);
        let output =
            crate::support::daemon::qiliang(&["run", "--config", config.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// PUBACK comes after our commit: the listener itself killed five times.
#[tokio::test(flavor = "multi_thread")]
async fn five_kills_of_the_listener_lose_nothing() {
    const DEVICES: usize = 5;
    const COUNT: usize = 200;
    let site = Site::new(DEVICES);
    let port = free_port();
    let config = site.config(&format!(
        "[mqtt.listen]\nenabled = true\naddress = \"127.0.0.1:{port}\"\n"
    ));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    let from = now() - TimeDelta::days(2);
    let acknowledged = Acknowledged::default();
    let publishing = tokio::spawn(publish_all(
        port,
        DEVICES,
        COUNT,
        Duration::from_millis(5),
        from,
        acknowledged.clone(),
    ));
    for _ in 0..5 {
        let before = acknowledged.len();
        tokio::task::block_in_place(|| {
            wait_for("more messages in flight", || {
                (acknowledged.len() >= before + 100 || publishing.is_finished()).then_some(())
            });
        });
        assert!(!publishing.is_finished(), "nothing was in flight");
        daemon.kill();
        daemon = Daemon::start(&config, &site.data_dir());
        daemon.address();
    }
    publishing.await.unwrap();
    assert_eq!(acknowledged.len(), DEVICES * COUNT);
    assert!(daemon.stop().success());
    let path = site.data_dir().join("readings.db");
    let journal = Journal::open_read_only(path, GasDayClock::default()).unwrap();
    for device in 0..DEVICES {
        let meter = MeterId::from(format!("M{device}").as_str());
        let stored = journal
            .readings_between(&meter, from, from + TimeDelta::days(2))
            .unwrap();
        assert_eq!(stored.len(), COUNT);
    }
}
