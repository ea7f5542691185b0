//! Bad input: a clear error that says what, where and what to do; nothing lost; the daemon stays up.

use std::fs;
use std::process::Command;
use std::time::Duration;

use qiliang::domain::calendar::GasDayClock;
use qiliang::store::journal::{Journal, RejectFilter};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use crate::support::daemon::{Daemon, qiliang};
use crate::support::site::Site;
use crate::support::{free_port, publisher, skipped, wait_for};

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn listener(port: u16) -> String {
    format!(
        "[mqtt.listen]\nenabled = true\naddress = \"127.0.0.1:{port}\"\nconnections_max = 10\n\
         payload_max_bytes = 262144\nconnect_timeout_s = 10\n"
    )
}

async fn publish(port: u16, messages: &[(&str, Vec<u8>)]) {
    let mut options = MqttOptions::new("bad-meter", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut connection) = AsyncClient::new(options, 10);
    for (topic, payload) in messages {
        client
            .publish(*topic, QoS::AtLeastOnce, false, payload.clone())
            .await
            .unwrap();
        loop {
            if let Ok(Event::Incoming(Packet::PubAck(_))) = connection.poll().await {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_topic_unknown_meter_and_truncated_frame_are_kept_with_their_reason() {
    let site = Site::new(1);
    let port = free_port();
    let config = site.config(&listener(port));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    daemon.address();
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let now = chrono::Utc::now();
    let good = publisher::payload(0, 1, now);
    let messages = [
        ("weather/north", b"{}".to_vec()),
        ("gas/test/gw/NOBODY/up/reading", good.clone().into_bytes()),
        ("gas/test/gw/D0/up/reading", good.as_bytes()[..40].to_vec()),
        ("gas/test/gw/D0/up/reading", good.clone().into_bytes()),
    ];
    publish(port, &messages).await;
    // Acknowledged means committed: all four are there now.
    let journal =
        Journal::open_read_only(site.data_dir().join("readings.db"), GasDayClock::default())
            .unwrap();
    let counters = journal.counters().unwrap();
    assert_eq!(
        (counters.received, counters.accepted, counters.rejected),
        (4, 1, 3)
    );
    let rejects = journal.rejects(&RejectFilter::default()).unwrap();
    let code_of = |origin: &str| {
        rejects
            .iter()
            .filter(|r| r.origin.contains(origin))
            .map(|r| (r.reason.code.clone(), r.size_bytes))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        code_of("weather/north"),
        [("collect.unknown_topic".to_owned(), 2)]
    );
    let unknown = code_of("NOBODY");
    assert_eq!(unknown, [("ingest.unknown_device".to_owned(), good.len())]);
    let truncated = code_of("gw/D0");
    assert_eq!(truncated.len(), 1);
    assert!(truncated[0].0.starts_with("decode."), "{truncated:?}");
    assert!(daemon.is_running());
    drop(journal);

    // The registry is mended and the frame replayed: nothing was lost.
    let meters = fs::read_to_string(site.path().join("registry/meters.csv")).unwrap();
    let row = meters.lines().nth(1).unwrap().replace("M0,D0", "M1,NOBODY");
    site.registry_file("meters.csv", &format!("{meters}{row}\n"));
    // The payload names D0 while the topic says NOBODY: a device speaks for itself only.
    assert!(daemon.stop().success());
    let config = config.to_str().unwrap();
    let listed = qiliang(&["--config", config, "rejects", "list"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.contains("collect.unknown_topic"), "{text}");
    let replayed = qiliang(&[
        "--config",
        config,
        "rejects",
        "replay",
        "--code",
        "ingest.unknown_device",
    ]);
    assert!(replayed.status.success(), "{}", stderr(&replayed));
    let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
    assert!(text.contains("ingest.device_mismatch"), "{text}");
}

#[test]
fn an_unknown_configuration_key_ends_with_78_and_names_the_line() {
    let site = Site::new(1);
    let config = site.config("[forecast]\nhorizont = 3\n");
    let output = qiliang(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output);
    assert!(
        text.contains("site.toml:9") && text.contains("`horizont`"),
        "{text}"
    );
}

#[test]
fn an_address_off_loopback_is_refused_with_the_reason() {
    let site = Site::new(1);
    let config = site.config("");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("127.0.0.1:0", "0.0.0.0:8686");
    fs::write(&config, text).unwrap();
    let output = qiliang(&["run", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output);
    assert!(
        text.contains("0.0.0.0:8686") && text.contains("no users"),
        "{text}"
    );
}

#[test]
fn check_lists_configuration_profile_and_registry_problems_at_once() {
    let site = Site::new(1);
    let profiles = site.path().join("profiles/acme");
    fs::create_dir_all(&profiles).unwrap();
    let shipped = fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("device-profiles/qiliang/json-push.toml"),
    )
    .unwrap();
    // A flow in litres: a wrong unit for the item.
    let broken = shipped
        .replace("qiliang/json-push", "acme/broken")
        .replacen("unit = \"m3h\"", "unit = \"l\"", 1);
    assert_ne!(
        broken,
        shipped.replace("qiliang/json-push", "acme/broken"),
        "the profile format changed"
    );
    fs::write(profiles.join("broken.toml"), broken).unwrap();
    site.registry_file(
        "zones.csv",
        "id,name,weather_station,atmosphere_kpa\nnorth,North,zz,10\n",
    );
    let config = site.config("[ingest]\nqueue_len = 0\n");
    let text = fs::read_to_string(&config).unwrap();
    let shipped_dir = format!(
        "{:?}",
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles")
    );
    let own_dir = format!("{:?}", site.path().join("profiles"));
    fs::write(&config, text.replace(&shipped_dir, &own_dir)).unwrap();
    let output = qiliang(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output);
    for expected in [
        "`ingest.queue_len` is 0",
        "broken.toml:",
        "zones.csv:2",
        "meters.csv:2",
    ] {
        assert!(text.contains(expected), "`{expected}` is not in:\n{text}");
    }
}

#[test]
fn a_full_disk_is_named_nothing_is_acknowledged_and_all_arrives_once_there_is_room() {
    let site = Site::new(5);
    let port = free_port();
    let data = site.data_dir();
    fs::create_dir_all(&data).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
        .arg(&data)
        .output();
    if !mounted.is_ok_and(|m| m.status.success()) {
        return skipped("a small tmpfs cannot be mounted here (needs root): full disk");
    }
    let _unmount = Unmount(data.clone());
    let config = site.config(&listener(port));
    let mut daemon = Daemon::start(&config, &data);
    daemon.address();
    fs::write(data.join("ballast"), vec![0_u8; 80 << 20]).unwrap_err();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the daemon under test runs on the host's clock"
    )]
    let first_at =
        chrono::DateTime::from_timestamp(chrono::Utc::now().timestamp() - 86_400, 0).unwrap();
    let acknowledged = publisher::Acknowledged::default();
    let publishing = runtime.spawn(publisher::publish_all(
        port,
        5,
        200,
        Duration::from_millis(1),
        first_at,
        acknowledged.clone(),
    ));
    wait_for("the log to name the full disk", || {
        let log = daemon.log();
        (log.contains("full") && log.contains("readings.db")).then_some(())
    });
    assert!(daemon.is_running(), "{}", daemon.log());
    fs::remove_file(data.join("ballast")).unwrap();
    runtime.block_on(publishing).unwrap();
    assert_eq!(acknowledged.len(), 1000);
    let journal =
        Journal::open_read_only(data.join("readings.db"), GasDayClock::default()).unwrap();
    assert_eq!(journal.counters().unwrap().accepted, 1000);
    drop(journal);
    assert!(daemon.stop().success());
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
