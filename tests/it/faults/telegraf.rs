//! What becomes of a payload that cannot be parsed: Telegraf drops it, this program keeps it and takes
//! it later.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use qiliang::domain::calendar::GasDayClock;
use qiliang::domain::id::MeterId;
use qiliang::store::journal::Journal;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use crate::support::daemon::{Daemon, qiliang};
use crate::support::mosquitto::Mosquitto;
use crate::support::publisher;
use crate::support::site::{self, Site};
use crate::support::{skipped, wait_for};

/// Good readings beside the one that nobody can parse yet.
const GOOD: usize = 20;

struct Telegraf {
    child: Child,
    dir: PathBuf,
}

impl Telegraf {
    fn start(program: &Path, port: u16, dir: &Path) -> Self {
        let config = format!(
            "[agent]\ninterval = \"1s\"\nflush_interval = \"1s\"\nomit_hostname = true\n\
             [[inputs.mqtt_consumer]]\nservers = [\"tcp://127.0.0.1:{port}\"]\ntopics = [\"gas/#\"]\nqos = 1\n\
             persistent_session = true\nclient_id = \"telegraf-test\"\nmax_undelivered_messages = 1000\n\
             data_format = \"json\"\njson_time_key = \"ts\"\njson_time_format = \"2006-01-02T15:04:05Z07:00\"\n\
             json_string_fields = [\"std_m3\", \"dev\"]\n\
             [[outputs.file]]\nfiles = [{:?}]\ndata_format = \"influx\"\n",
            dir.join("out.lp")
        );
        fs::write(dir.join("telegraf.conf"), config).unwrap();
        let log = fs::File::create(dir.join("telegraf.log")).unwrap();
        let child = Command::new(program)
            .arg("--config")
            .arg(dir.join("telegraf.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            child,
            dir: dir.to_owned(),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("telegraf.log")).unwrap_or_default()
    }

    fn lines(&self) -> usize {
        fs::read_to_string(self.dir.join("out.lp")).map_or(0, |text| text.lines().count())
    }

    fn stop(&mut self) {
        drop(
            Command::new("kill")
                .arg(self.child.id().to_string())
                .status(),
        );
        self.child.wait().unwrap();
    }
}

impl Drop for Telegraf {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn publish(port: u16, messages: &[String]) {
    let mut options = MqttOptions::new("meter", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut connection) = AsyncClient::new(options, 10);
    for message in messages {
        client
            .publish(
                "gas/test/gw/D0/up/reading",
                QoS::AtLeastOnce,
                false,
                message.as_str(),
            )
            .await
            .unwrap();
        while !matches!(
            connection.poll().await,
            Ok(Event::Incoming(Packet::PubAck(_)))
        ) {}
    }
}

#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
#[tokio::test(flavor = "multi_thread")]
async fn telegraf_drops_what_it_cannot_parse_and_this_program_keeps_and_replays_it() {
    let Ok(program) = std::env::var("QILIANG_TEST_TELEGRAF") else {
        return skipped("set QILIANG_TEST_TELEGRAF to a telegraf to run beside it");
    };
    let dir = tempfile::tempdir().unwrap();
    let Some(broker) = Mosquitto::start(None, dir.path()) else {
        return skipped("mosquitto not found: apt-get install mosquitto");
    };
    let site = Site::new(1);
    // A copy of the one profile, to be mended below.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let own = site.path().join("profiles");
    fs::create_dir_all(own.join("qiliang")).unwrap();
    let profile = own.join("qiliang/json-push.toml");
    fs::copy(shipped.join("qiliang/json-push.toml"), &profile).unwrap();
    let config = site.config(&format!(
        "[decode]\nwatch_s = 1\n{}",
        site::broker(broker.port())
    ));
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        text.replace(&format!("{shipped:?}"), &format!("{own:?}")),
    )
    .unwrap();
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let mut telegraf = Telegraf::start(Path::new(&program), broker.port(), dir.path());
    tokio::task::block_in_place(|| {
        daemon.address();
        wait_for("both subscriptions", || {
            (daemon.log().contains("Subscribed to") && telegraf.log().contains("Connected"))
                .then_some(())
        });
    });
    let from = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap() - TimeDelta::days(1);
    // After a firmware update the device names its time otherwise.
    let at = from + TimeDelta::hours(12);
    let odd = publisher::payload(0, 999, at).replace("\"ts\"", "\"sampleTime\"");
    let mut messages: Vec<String> = (0..GOOD)
        .map(|seq| {
            let minutes = i64::try_from(seq).unwrap();
            publisher::payload(0, seq, from + TimeDelta::minutes(minutes))
        })
        .collect();
    messages.insert(GOOD / 2, odd);
    publish(broker.port(), &messages).await;

    let path = site.data_dir().join("readings.db");
    let journal = || Journal::open_read_only(&path, GasDayClock::default()).unwrap();
    tokio::task::block_in_place(|| {
        wait_for("both to have taken what they can", || {
            let counters = journal().counters().unwrap();
            (counters.received == GOOD as u64 + 1 && telegraf.lines() >= GOOD).then_some(())
        });
        wait_for("telegraf to say that it dropped one", || {
            telegraf
                .log()
                .contains("E! [inputs.mqtt_consumer]")
                .then_some(())
        });
    });
    assert_eq!(journal().counters().unwrap().rejected, 1);

    // Telegraf is mended and started anew in its persistent session: the message is gone, since it
    // was acknowledged.
    telegraf.stop();
    let before = telegraf.lines();
    let text = fs::read_to_string(dir.path().join("telegraf.conf")).unwrap();
    let mended = text.replace("json_time_key = \"ts\"", "json_time_key = \"sampleTime\"");
    fs::write(dir.path().join("mended.conf"), &mended).unwrap();
    let mut again = Command::new(&program)
        .arg("--config")
        .arg(dir.path().join("mended.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.path().join("again.log")).unwrap())
        .spawn()
        .unwrap();
    // A message that it can parse now shows that it has taken all there was before.
    tokio::task::block_in_place(|| {
        wait_for("telegraf to be back", || {
            let log = fs::read_to_string(dir.path().join("again.log")).ok()?;
            log.contains("Connected").then_some(())
        });
    });
    let marker =
        publisher::payload(0, 1_000, at + TimeDelta::hours(1)).replace("\"ts\"", "\"sampleTime\"");
    publish(broker.port(), &[marker]).await;
    tokio::task::block_in_place(|| {
        wait_for("telegraf to take the marker", || {
            (telegraf.lines() > before).then_some(())
        });
    });
    drop(again.kill());
    drop(again.wait());
    let lines = fs::read_to_string(dir.path().join("out.lp")).unwrap();
    assert_eq!(telegraf.lines(), GOOD + 1, "the good ones and the marker");
    assert!(
        !lines.contains("1009990.2500"),
        "telegraf never has the odd one"
    );

    // Here the profile is mended, and the frames are taken.
    let text = fs::read_to_string(&profile).unwrap();
    let reading = text.find("name = \"reading\"").unwrap();
    let (head, tail) = text.split_at(reading);
    let mended = tail
        .replacen("when = \"/ts\"", "when = \"/sampleTime\"", 1)
        .replacen("at = \"/ts\"", "at = \"/sampleTime\"", 1);
    // The vectors of the old form go; the odd frame's own is added.
    let fields = mended.find("[[test]]").unwrap();
    let expected = format!(
        "[[test]]\nname = \"renamed time\"\njson = '''{}'''\ndevice = \"D0\"\nsampled_at = \"{}\"\n\
         [test.items]\ntotal_std_m3 = \"1009990.2500\"\nflow_std_m3h = 120.5\ntemperature_c = 15.0\n\
         pressure_abs_kpa = 301.325\nreport_seq = 999.0\n",
        publisher::payload(0, 999, at).replace("\"ts\"", "\"sampleTime\""),
        at.to_rfc3339()
    );
    fs::write(&profile, format!("{head}{}{expected}", &mended[..fields])).unwrap();
    tokio::task::block_in_place(|| {
        wait_for("the mended profile to be loaded", || {
            daemon
                .log()
                .contains("Reloaded profiles: qiliang/json-push")
                .then_some(())
        });
    });
    let output = qiliang(&["--config", config.to_str().unwrap(), "rejects", "replay"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("2 frame(s) taken"), "{said}");
    let readings = journal()
        .readings_between(&MeterId::from("M0"), at, at + TimeDelta::seconds(1))
        .unwrap();
    assert_eq!(readings.len(), 1);
    println!(
        "\n{:<40} {:>9} {:>8} {:>6}\n{:<40} {:>9} {:>8} {:>6}\n{:<40} {:>9} {:>8} {:>6}",
        "a payload that cannot be parsed at first",
        "published",
        "stored",
        "lost",
        "qiliang, after the profile is mended",
        GOOD + 2,
        GOOD + 2,
        0,
        "Telegraf, after its parser is mended",
        GOOD + 2,
        GOOD + 1,
        1,
    );
    assert!(daemon.stop().success());
}
