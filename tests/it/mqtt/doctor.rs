//! The doctor against mosquitto with its stock limits, and as we advise it.

use std::path::Path;
use std::sync::Arc;

use qiliang::clock::SystemClock;
use qiliang::collect::mqtt::doctor::{Examination, Report, Severity, examine};
use qiliang::settings::{BrokerSettings, MqttVersion};

use super::{TEMPLATE, VERSIONS, settings_of, subscriber, topics};
use crate::support::mosquitto::Mosquitto;

async fn report(broker: &BrokerSettings, state_dir: &Path, probe_messages: Option<u32>) -> Report {
    examine(Examination {
        broker,
        topics: &topics(&[TEMPLATE]),
        state_dir,
        clock: Arc::new(SystemClock),
        probe_messages,
    })
    .await
}

fn severity(report: &Report, code: &str) -> Option<Severity> {
    let of_code = report.findings.iter().filter(|f| f.code == code);
    of_code.map(|f| f.severity).max()
}

fn wide(version: MqttVersion, port: u16) -> BrokerSettings {
    BrokerSettings {
        in_flight_max: 2_000,
        ..settings_of(version, port)
    }
}

#[tokio::test]
async fn doctor_finds_a_queue_that_drops() {
    // 20 in flight and 1,000 queued remain. With MQTT 5 mosquitto takes our window for its own, so
    // 2,000 are in flight.
    for (version, count, window, lost) in [
        (MqttVersion::V311, 2_500, Severity::Warning, 1_480),
        (MqttVersion::V5, 4_000, Severity::Good, 1_000),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let Some(broker) = Mosquitto::start_stock(dir.path()) else {
            return;
        };
        let settings = wide(version, broker.port());
        let report = report(&settings, dir.path(), Some(count)).await;
        assert_eq!(report.worst(), Severity::Critical, "{report:#?}");
        for (code, expected) in [
            ("doctor.broker_queue", Severity::Critical),
            ("doctor.broker_session", Severity::Critical),
            ("doctor.broker_window", window),
        ] {
            assert_eq!(severity(&report, code), Some(expected), "{report:#?}");
        }
        let text = format!("{report:?}");
        let told = format!("threw {lost} of them away");
        assert!(text.contains(&told), "{report:#?}");
        assert!(text.contains("its queue holds about 1000"), "{report:#?}");
        assert!(text.contains("max_queued_messages 0"), "{report:#?}");
        assert!(
            text.contains("counter of dropped messages grew by"),
            "{report:#?}"
        );
    }
}

#[tokio::test]
async fn doctor_is_content_with_good_settings() {
    for version in VERSIONS {
        let dir = tempfile::tempdir().unwrap();
        let Some(broker) = Mosquitto::start_wide(dir.path()) else {
            return;
        };
        // The daemon is at work meanwhile, and must not notice.
        let rig = subscriber(wide(version, broker.port()), 100);
        rig.until(|h| h.is_subscribed).await;
        let report = report(&wide(version, broker.port()), dir.path(), Some(2_500)).await;
        assert!(report.worst() <= Severity::Note, "{report:#?}");
        for code in ["doctor.broker_queue", "doctor.broker_session"] {
            assert_eq!(severity(&report, code), Some(Severity::Good), "{report:#?}");
        }
        let now = rig.health.snapshot();
        assert!(now.is_subscribed && now.epoch == 1 && now.received == 0);
        rig.stop().await;
    }
}

#[tokio::test]
async fn doctor_names_a_broker_that_is_not_there_and_topics_that_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut broker) = Mosquitto::start_stock(dir.path()) else {
        return;
    };
    let settings = wide(MqttVersion::V5, broker.port());
    broker.kill9();
    let gone = report(&settings, dir.path(), Some(10)).await;
    assert_eq!(
        severity(&gone, "doctor.broker_connect"),
        Some(Severity::Critical)
    );
    drop(broker);

    let dir = tempfile::tempdir().unwrap();
    let acl = dir.path().join("acl");
    std::fs::write(&acl, "topic read nothing/#\n").unwrap();
    let lines = format!("allow_anonymous true\nacl_file {}\n", acl.display());
    let Some(broker) = Mosquitto::start_with(None, dir.path(), &lines) else {
        return;
    };
    let refused = report(&wide(MqttVersion::V5, broker.port()), dir.path(), Some(10)).await;
    assert_eq!(
        severity(&refused, "doctor.broker_sys"),
        Some(Severity::Note),
        "{refused:#?}"
    );
    assert!(
        severity(&refused, "doctor.broker_probe") >= Some(Severity::Warning),
        "{refused:#?}"
    );
}
