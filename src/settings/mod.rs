//! Settings: one file per section of thought, parsed once, checked once; nothing else reads the
//! environment. Every key, unit and default is in `config/default.toml`.

mod broker;
mod influx;
mod load;
mod retention;
mod weather;

pub use broker::{BrokerSettings, BrokerTransport, MqttVersion};
pub use influx::{InfluxSettings, InfluxToken};
pub use load::{DEFAULT, load, paths_of};
pub use retention::{ClassRetention, KeptDays, RetentionSettings};
pub use weather::{OpenMeteoSettings, WeatherSettings};

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Directories.
    pub paths: PathSettings,
    /// MQTT.
    pub mqtt: MqttSettings,
    /// Readings over HTTP.
    pub push: PushSettings,
    /// Modbus.
    pub modbus: ModbusSettings,
    /// Device profiles and keys.
    pub decode: DecodeSettings,
    /// From frame to journal.
    pub ingest: IngestSettings,
    /// Frames that could not be taken.
    pub rejects: RejectSettings,
    /// How long what was taken stays.
    pub retention: RetentionSettings,
    /// Where weather comes from.
    pub weather: WeatherSettings,
    /// The second store.
    pub influx: InfluxSettings,
    /// Forecast runs.
    pub forecast: ForecastSettings,
    /// Off-peak nudges.
    pub nudge: NudgeSettings,
    /// API and console.
    pub serve: ServeSettings,
    /// Logs.
    pub log: LogSettings,
}

/// `[paths]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathSettings {
    /// Where `readings.db` and `qiliang.db` live.
    pub data_dir: PathBuf,
    /// Registry files: `company.toml`, `customers.csv`, …
    pub registry_dir: PathBuf,
    /// Device profiles.
    pub profiles_dir: PathBuf,
    /// Holiday calendar files, one per year.
    pub calendar_dir: PathBuf,
}

/// `[mqtt]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttSettings {
    /// Brokers to subscribe at.
    #[serde(default)]
    pub broker: Vec<BrokerSettings>,
    /// Listener for meters that connect to us directly.
    pub listen: ListenSettings,
    /// Topic templates that bind a message to a device.
    pub topic: Vec<TopicSettings>,
}

/// `[mqtt.listen]`: meters connect to us, PUBACK after our own commit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenSettings {
    /// Whether `address` is served; off unless set true.
    pub enabled: bool,
    /// Address without TLS; loopback unless a users file is set.
    pub address: SocketAddr,
    /// Address with TLS, served if set; `[mqtt.listen.tls]` goes with it.
    #[serde(default)]
    pub tls_address: Option<SocketAddr>,
    /// Certificate and key of `tls_address`.
    #[serde(default)]
    pub tls: Option<TlsSettings>,
    /// Connections at most.
    pub connections_max: usize,
    /// Largest payload, bytes.
    pub payload_max_bytes: usize,
    /// A connection silent for longer than 1.5 keep-alives, or before CONNECT for this long, is closed, s.
    pub connect_timeout_s: u64,
    /// Connection attempts from one address, in a minute; 0 for no limit.
    pub connects_per_minute: u32,
    /// Messages of one connection, in a second; faster ones are read more slowly. 0 for no limit.
    pub messages_per_s: u32,
    /// Messages of all connections of one user, in a second; likewise.
    pub user_messages_per_s: u32,
    /// Messages that may come at once before the rates hold.
    pub messages_burst: u32,
    /// File of `user:password` lines; connections must name one of them.
    #[serde(default)]
    pub users_file: Option<PathBuf>,
}

/// TLS at a port of ours.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM: our certificate, its authorities behind it.
    pub certificate_file: PathBuf,
    /// PEM: its key.
    pub key_file: PathBuf,
    /// Whether clients show certificates.
    #[serde(default)]
    pub client_certificate: ClientCertificate,
    /// PEM: the authorities that sign them.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// They are not asked.
    #[default]
    None,
    /// Who shows one is its holder; who does not gives user and password.
    Optional,
    /// Who shows none is not let in.
    Required,
}

/// `[push]`: `POST /api/v1/readings`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSettings {
    /// File of hashed tokens; without it only this machine is served.
    #[serde(default)]
    pub tokens_file: Option<PathBuf>,
    /// An address of its own for readings alone, beside that of the console.
    #[serde(default)]
    pub address: Option<SocketAddr>,
    /// Certificate and key of `address`.
    #[serde(default)]
    pub tls: Option<TlsSettings>,
    /// Largest body as it comes, bytes.
    pub body_max_bytes: usize,
    /// Largest body once unpacked, bytes.
    pub unpacked_max_bytes: usize,
    /// Messages in one request at most.
    pub messages_max: usize,
    /// Requests worked on at the same time; further ones wait.
    pub requests_max: usize,
    /// Connections to `address` at the same time; further ones wait to be accepted.
    pub connections_max: usize,
    /// Requests with one token, in a minute; 0 for no limit.
    pub requests_per_minute: u32,
    /// A request waits this long for room, then it is told to come again, s.
    pub queue_wait_s: u64,
}

/// `[[mqtt.topic]]`: a template such as `gas/{company}/{gateway}/{device}/up/reading`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicSettings {
    /// Levels in braces match one level; `{device}` names the device.
    pub template: String,
}

/// `[modbus]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModbusSettings {
    /// Deadline of a request while nothing else is known of a meter, ms.
    pub request_timeout_ms: u64,
    /// Longest deadline that a slow meter may earn by its own answers, ms.
    pub request_timeout_max_ms: u64,
    /// On a serial line, a meter that did not answer in time is not asked again for this long unless
    /// its late answer was seen, ms.
    pub late_answer_max_ms: u64,
    /// Deadline of a connection attempt, ms.
    pub connect_timeout_ms: u64,
    /// Poll period where the meter has none, s (of the clock).
    pub period_s: u32,
    /// Part of the period by which the polls of a bus wander.
    pub jitter_ratio: f64,
    /// Whether polls start on the marks of the clock (full minutes, hours) instead.
    pub is_clock_aligned: bool,
    /// Attempts after the first within one period.
    pub retries_max: u32,
    /// First delay of a meter that does not answer, ms; doubles with jitter.
    pub retry_delay_min_ms: u64,
    /// Longest delay of a meter that does not answer, ms.
    pub retry_delay_max_ms: u64,
}

/// `[decode]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeSettings {
    /// The profiles' folder is looked at for changes this often, s; 0: at SIGHUP only.
    pub watch_s: u64,
    /// File of `device:key` lines for encrypted frames; read again at SIGHUP.
    #[serde(default)]
    pub keys_file: Option<PathBuf>,
}

/// `[rejects]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RejectSettings {
    /// Frames that last came longer ago are dropped, days.
    pub keep_days: u32,
    /// Payloads kept at most, bytes; beyond it replayed frames make room first, then the oldest.
    pub bytes_max: u64,
}

/// `[ingest]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Frames between collectors and journal.
    pub queue_len: usize,
    /// Frames in one commit at most.
    pub batch_max: usize,
    /// A batch waits for more frames this long at most, ms.
    pub batch_wait_ms: u64,
    /// Readings older than this are stale (V02), days.
    pub stale_after_days: i64,
    /// Readings further ahead than this are from the future (V02), s.
    pub future_tolerance_s: i64,
}

/// `[forecast]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastSettings {
    /// Days ahead, daily.
    pub horizon_days: usize,
    /// Days ahead, hourly.
    pub hourly_days: usize,
    /// Joint draws.
    pub draws: usize,
    /// A run starts this often, minutes of the clock.
    pub every_minutes: u32,
    /// What runs have learnt may take so much memory, MB; 0 makes every run learn everything.
    pub memory_mb: usize,
}

/// `[nudge]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NudgeSettings {
    /// `dry_run` or `webhook`.
    pub channel: NudgeChannelKind,
    /// Where the signed webhook goes.
    #[serde(default)]
    pub webhook_url: Option<String>,
    /// File that holds the webhook's secret.
    #[serde(default)]
    pub webhook_secret_file: Option<PathBuf>,
    /// Folder with the company's own templates; each replaces ours of its name.
    #[serde(default)]
    pub templates_dir: Option<PathBuf>,
    /// No message from this civil hour…
    pub quiet_from: chrono::NaiveTime,
    /// … to this one.
    pub quiet_to: chrono::NaiveTime,
    /// Messages to one enterprise in a day at most.
    pub per_day_max: u32,
    /// Messages to one enterprise in seven days at most.
    pub per_week_max: u32,
    /// A peak: the hour's P50 exceeds the mean of the last 30 days' daily peaks by this part.
    pub peak_ratio: f64,
}

/// How nudges leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NudgeChannelKind {
    /// Written down, never sent.
    DryRun,
    /// HTTPS POST with an HMAC-SHA256 signature.
    Webhook,
}

/// `[serve]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeSettings {
    /// Address of API and console; loopback only until there are users.
    pub address: SocketAddr,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// `tracing` filter.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}
