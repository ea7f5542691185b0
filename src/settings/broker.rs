//! `[[mqtt.broker]]`.

use std::fmt;
use std::path::PathBuf;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// `[[mqtt.broker]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSettings {
    /// Name in logs, metrics and errors.
    pub name: String,
    /// Host.
    pub host: String,
    /// Port.
    #[serde(default = "default_mqtt_port")]
    pub port: u16,
    /// Version of the protocol.
    #[serde(default)]
    pub version: MqttVersion,
    /// What carries it.
    #[serde(default)]
    pub transport: BrokerTransport,
    /// Path of the WebSocket, for `ws` and `wss`.
    #[serde(default = "default_websocket_path")]
    pub websocket_path: String,
    /// Certificates (PEM) of the authorities that may vouch for the broker; the system's, if none.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Name the broker's certificate must bear; the host, if none.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Our certificate (PEM, with its chain), for mutual TLS.
    #[serde(default)]
    pub client_cert_file: Option<PathBuf>,
    /// Its key (PEM, PKCS#8).
    #[serde(default)]
    pub client_key_file: Option<PathBuf>,
    /// Certificate and key in one PKCS#12 file instead.
    #[serde(default)]
    pub client_pkcs12_file: Option<PathBuf>,
    /// File that holds its password, if any.
    #[serde(default)]
    pub client_pkcs12_password_file: Option<PathBuf>,
    /// Fixed client id of the persistent session.
    pub client_id: String,
    /// User name, if any.
    #[serde(default)]
    pub username: Option<String>,
    /// File that holds the password, if any.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Share the load with every daemon that names the same group here.
    #[serde(default)]
    pub share_group: Option<String>,
    /// Keep-alive, s.
    #[serde(default = "default_keep_alive_s")]
    pub keep_alive_s: u16,
    /// How long the broker shall keep our session while we are away, s; MQTT 5 only.
    #[serde(default = "default_session_expiry_s")]
    pub session_expiry_s: u32,
    /// Unacknowledged messages we hold at most: our receive maximum.
    #[serde(default = "default_in_flight_max")]
    pub in_flight_max: u16,
    /// Largest payload, bytes.
    #[serde(default = "default_payload_max_bytes")]
    pub payload_max_bytes: usize,
    /// First delay before a reconnect, ms; doubles with jitter.
    #[serde(default = "default_retry_delay_min_ms")]
    pub retry_delay_min_ms: u64,
    /// Longest delay before a reconnect, ms.
    #[serde(default = "default_retry_delay_max_ms")]
    pub retry_delay_max_ms: u64,
}

fn default_mqtt_port() -> u16 {
    1883
}
fn default_websocket_path() -> String {
    "/mqtt".into()
}
fn default_keep_alive_s() -> u16 {
    30
}
fn default_session_expiry_s() -> u32 {
    30 * 86_400
}
fn default_in_flight_max() -> u16 {
    2_000
}
fn default_payload_max_bytes() -> usize {
    262_144
}
fn default_retry_delay_min_ms() -> u64 {
    500
}
fn default_retry_delay_max_ms() -> u64 {
    30_000
}

/// Version of MQTT: `4` or `"3.1.1"`, `5` or `"5"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MqttVersion {
    /// 3.1.1, which the protocol itself numbers 4.
    #[default]
    V311,
    /// 5.
    V5,
}

impl fmt::Display for MqttVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        })
    }
}

impl<'de> Deserialize<'de> for MqttVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;

        impl Visitor<'_> for NumberOrText {
            type Value = MqttVersion;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("4 or \"3.1.1\" for MQTT 3.1.1, 5 or \"5\" for MQTT 5")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<MqttVersion, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<MqttVersion, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<MqttVersion, E> {
                match value {
                    "4" | "3.1.1" => Ok(MqttVersion::V311),
                    "5" | "5.0" => Ok(MqttVersion::V5),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(NumberOrText)
    }
}

/// What carries MQTT to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokerTransport {
    /// Plain TCP.
    #[default]
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl BrokerTransport {
    /// Whether TLS is in it.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether it is a WebSocket.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

impl BrokerSettings {
    /// Files that hold secrets and certificates, by their keys.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        [
            ("mqtt.broker.password_file", &self.password_file),
            ("mqtt.broker.ca_file", &self.ca_file),
            ("mqtt.broker.client_cert_file", &self.client_cert_file),
            ("mqtt.broker.client_key_file", &self.client_key_file),
            ("mqtt.broker.client_pkcs12_file", &self.client_pkcs12_file),
            (
                "mqtt.broker.client_pkcs12_password_file",
                &self.client_pkcs12_password_file,
            ),
        ]
        .into_iter()
        .filter_map(|(key, file)| file.as_ref().map(|file| (key, file)))
    }

    /// What cannot work: key, what is wrong, what to do.
    pub(super) fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let name = &self.name;
        let mut out = Vec::new();
        let tls_keys = [
            ("ca_file", self.ca_file.is_some()),
            ("server_name", self.server_name.is_some()),
            ("client_cert_file", self.client_cert_file.is_some()),
            ("client_key_file", self.client_key_file.is_some()),
            ("client_pkcs12_file", self.client_pkcs12_file.is_some()),
        ];
        if !self.transport.is_tls() {
            let set = tls_keys.iter().filter(|(_, is_set)| *is_set);
            out.extend(set.map(|(key, _)| {
                let message = format!("broker `{name}` has `{key}` but no TLS");
                let remedy = "set transport = \"tls\" (or \"wss\"), or remove the key";
                (*key, message, remedy)
            }));
        }
        if self.client_cert_file.is_some() != self.client_key_file.is_some() {
            let key = if self.client_cert_file.is_some() {
                "client_cert_file"
            } else {
                "client_key_file"
            };
            out.push((
                key,
                format!("broker `{name}` has only one of client_cert_file and client_key_file"),
                "name both, or a client_pkcs12_file",
            ));
        }
        if self.client_pkcs12_file.is_some() && self.client_cert_file.is_some() {
            out.push((
                "client_pkcs12_file",
                format!("broker `{name}` has two client certificates"),
                "keep client_pkcs12_file, or client_cert_file with client_key_file",
            ));
        }
        if self.transport.is_websocket() && !self.websocket_path.starts_with('/') {
            out.push((
                "websocket_path",
                format!("broker `{name}`: websocket_path `{}`", self.websocket_path),
                "begin it with a slash, as in /mqtt",
            ));
        }
        if let Some(group) = &self.share_group
            && (group.is_empty() || group.contains(['/', '+', '#']))
        {
            out.push((
                "share_group",
                format!("broker `{name}`: share_group `{group}` is no name of a group"),
                "use letters and digits; slash, plus and hash have a meaning in topics",
            ));
        }
        for (key, is_zero) in [
            ("in_flight_max", self.in_flight_max == 0),
            ("keep_alive_s", self.keep_alive_s == 0),
        ] {
            if is_zero {
                let message = format!("broker `{name}`: {key} is 0");
                out.push((key, message, "write at least 1"));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_or_a_text() {
        #[derive(Deserialize)]
        struct Holder {
            version: MqttVersion,
        }
        let version = |text: &str| {
            toml::from_str::<Holder>(&format!("version = {text}"))
                .map(|h| h.version)
                .map_err(|e| e.to_string())
        };
        assert_eq!(version("4"), Ok(MqttVersion::V311));
        assert_eq!(version("\"3.1.1\""), Ok(MqttVersion::V311));
        assert_eq!(version("5"), Ok(MqttVersion::V5));
        assert_eq!(version("\"5\""), Ok(MqttVersion::V5));
        let error = version("3").unwrap_err();
        assert!(error.contains("5 or \"5\" for MQTT 5"), "{error}");
    }
}
