//! TLS, mutual TLS and WebSocket against mosquitto, with certificates made on the spot.

use std::path::PathBuf;

use qiliang::settings::{BrokerSettings, BrokerTransport, MqttVersion};

use super::{VERSIONS, publish, settings_of, subscriber};
use crate::support::certificates::{Certificates, PKCS12_PASSWORD, SERVER_NAME};
use crate::support::mosquitto::Mosquitto;

fn over_tls(version: MqttVersion, port: u16, certificates: &Certificates) -> BrokerSettings {
    BrokerSettings {
        transport: BrokerTransport::Tls,
        ca_file: Some(certificates.authority.file()),
        server_name: Some(SERVER_NAME.into()),
        ..settings_of(version, port)
    }
}

/// Connects, receives, acknowledges.
async fn works(broker: BrokerSettings, publish_at: u16) {
    let mut rig = subscriber(broker, 100);
    rig.until(|h| h.is_subscribed).await;
    publish(publish_at, 0..200).await;
    for expected in 0..200 {
        let (number, delivery) = rig.next().await;
        assert_eq!(number, expected);
        delivery.ack.done();
    }
    rig.until(|h| h.acknowledged == 200).await;
    rig.stop().await;
}

/// Never connects, and says why.
async fn fails(broker: BrokerSettings, expected: &[&str]) {
    let rig = subscriber(broker, 10);
    let error = rig.until(|h| h.last_error.is_some()).await.last_error;
    let error = error.unwrap();
    for words in expected {
        assert!(error.contains(words), "`{words}` is not in: {error}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn tls_and_mutual_tls() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let lines = certificates.listener_lines();
    let Some((broker, port)) = Mosquitto::start_with_listener(dir.path(), &lines) else {
        return;
    };
    for version in VERSIONS {
        let tls = || over_tls(version, port, &certificates);
        works(tls(), broker.port()).await;
        let stranger = BrokerSettings {
            ca_file: None,
            ..tls()
        };
        fails(stranger, &["does not speak TLS with us", "ca_file"]).await;
        let misnamed = BrokerSettings {
            server_name: None,
            ..tls()
        };
        fails(misnamed, &["127.0.0.1", "set server_name"]).await;
    }
    drop(broker);

    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let lines = certificates.listener_lines() + "require_certificate true\n";
    let Some((broker, port)) = Mosquitto::start_with_listener(dir.path(), &lines) else {
        return;
    };
    let password_file = dir.path().join("p12-password");
    std::fs::write(&password_file, format!("{PKCS12_PASSWORD}\n")).unwrap();
    for version in VERSIONS {
        let tls = || over_tls(version, port, &certificates);
        let by_pem = BrokerSettings {
            client_cert_file: Some(certificates.client.0.clone()),
            client_key_file: Some(certificates.client.1.clone()),
            ..tls()
        };
        works(by_pem, broker.port()).await;
        let by_pkcs12 = BrokerSettings {
            client_pkcs12_file: Some(certificates.pkcs12.clone()),
            client_pkcs12_password_file: Some(password_file.clone()),
            ..tls()
        };
        works(by_pkcs12, broker.port()).await;
        // TLS 1.3 lets us finish before the broker has looked at the certificate it did not get.
        fails(tls(), &["broker `test` at 127.0.0.1"]).await;
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_used_end_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let tls = || over_tls(MqttVersion::V5, 1, &certificates);
    let empty: PathBuf = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let cases = [
        (
            BrokerSettings {
                ca_file: Some(dir.path().join("none.pem")),
                ..tls()
            },
            "collect.mqtt_file_unreadable",
        ),
        (
            BrokerSettings {
                ca_file: Some(empty),
                ..tls()
            },
            "collect.mqtt_certificate",
        ),
        (
            BrokerSettings {
                client_cert_file: Some(certificates.client.0.clone()),
                client_key_file: Some(certificates.client.0.with_extension("csr")),
                ..tls()
            },
            "collect.mqtt_certificate",
        ),
        (
            BrokerSettings {
                client_pkcs12_file: Some(certificates.pkcs12.clone()),
                ..tls()
            },
            "collect.mqtt_certificate",
        ),
    ];
    for (broker, code) in cases {
        let mut rig = subscriber(broker, 10);
        let error = rig.task.join_next().await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with("broker `test`: "), "{error}");
    }
}

#[tokio::test]
async fn websocket() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let plain = Mosquitto::start_with_listener(dir.path(), "protocol websockets");
    let Some((broker, port)) = plain else {
        return;
    };
    for version in VERSIONS {
        let ws = BrokerSettings {
            transport: BrokerTransport::Ws,
            ..settings_of(version, port)
        };
        works(ws, broker.port()).await;
    }
    // The plain port is no WebSocket, and says nothing that could be mistaken for one.
    let wrong_port = BrokerSettings {
        transport: BrokerTransport::Ws,
        ..settings_of(MqttVersion::V5, broker.port())
    };
    fails(
        wrong_port,
        &["does not open a WebSocket at `/mqtt`", "check port"],
    )
    .await;
    drop(broker);

    let dir = tempfile::tempdir().unwrap();
    let lines = format!("protocol websockets\n{}", certificates.listener_lines());
    let Some((broker, port)) = Mosquitto::start_with_listener(dir.path(), &lines) else {
        return;
    };
    for version in VERSIONS {
        let wss = BrokerSettings {
            transport: BrokerTransport::Wss,
            ..over_tls(version, port, &certificates)
        };
        works(wss, broker.port()).await;
    }
}
