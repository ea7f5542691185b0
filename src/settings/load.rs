//! From files and environment to `Settings`, with every problem named.

use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat};

use crate::domain::demand::{DRAWS_MAX, HORIZON_DAYS_MAX};
use crate::domain::problem::Problem;
use crate::domain::text::one_line;

use super::{ClientCertificate, ForecastSettings, NudgeChannelKind, PathSettings, Settings};

/// More than any city's nodes take.
const FORECAST_MEMORY_MB_MAX: usize = 65_536;

/// The defaults, as shipped.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// Reads the defaults, then `file`, then `QILIANG__SECTION__KEY` of the environment.
///
/// # Errors
/// Every problem found: a file that cannot be read or parsed, an unknown key, a value out of range.
pub fn load(file: Option<&Path>) -> Result<Settings, Vec<Problem>> {
    load_from(file, environment())
}

/// Values stay the texts they are until a key asks for a number: a token of digits is no number.
fn environment() -> Environment {
    Environment::with_prefix("QILIANG")
        .prefix_separator("__")
        .separator("__")
}

/// The folders a file names, even where the rest of it is wrong; the defaults where it names none.
pub fn paths_of(file: Option<&Path>) -> PathSettings {
    let default: toml::Table = toml::from_str(DEFAULT).unwrap_or_default();
    let own: toml::Table = file
        .and_then(|f| std::fs::read_to_string(f).ok())
        .and_then(|text| toml::from_str(&text).ok())
        .unwrap_or_default();
    let path = |key: &str| {
        let of = |table: &toml::Table| {
            let value = table.get("paths")?.get(key)?.as_str()?;
            Some(PathBuf::from(value))
        };
        of(&own).or_else(|| of(&default)).unwrap_or_default()
    };
    PathSettings {
        data_dir: path("data_dir"),
        registry_dir: path("registry_dir"),
        profiles_dir: path("profiles_dir"),
        calendar_dir: path("calendar_dir"),
    }
}

fn load_from(file: Option<&Path>, environment: Environment) -> Result<Settings, Vec<Problem>> {
    let place = file.map_or_else(|| PathBuf::from("config/default.toml"), Path::to_owned);
    let mut builder = Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml));
    let mut text = String::new();
    if let Some(path) = file {
        text = std::fs::read_to_string(path).map_err(|error| {
            vec![problem(
                path,
                None,
                "settings.file_unreadable",
                format!("cannot read the configuration: {error}"),
                "name an existing file after --config, or leave the option out",
            )]
        })?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let merged = builder.add_source(environment).build().map_err(|error| {
        vec![problem(
            &place,
            toml_line(&text),
            "settings.toml_invalid",
            one_line(&error.to_string()),
            "mend the line; config/default.toml shows every key",
        )]
    })?;
    let settings: Settings = serde_path_to_error::deserialize(merged).map_err(|error| {
        let path = error.path().to_string();
        let inner = one_line(&error.inner().to_string());
        let key = unknown_key(&inner).unwrap_or_else(|| last_key(&path));
        vec![problem(
            &place,
            line_of_key(&text, &path, &key),
            "settings.key_invalid",
            format!("`{path}`: {inner}"),
            "config/default.toml shows every key with its unit",
        )]
    })?;
    let problems = check(&place, &text, &settings);
    if problems.is_empty() {
        Ok(settings)
    } else {
        Err(problems)
    }
}

fn check(place: &Path, text: &str, settings: &Settings) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut add = |path: &str, message: String, remedy: &str| {
        let line = line_of_key(text, path, &last_key(path));
        out.push(problem(
            place,
            line,
            "settings.value_invalid",
            message,
            remedy,
        ));
    };
    if !settings.serve.address.ip().is_loopback() {
        add(
            "serve.address",
            format!("`serve.address` is {}", settings.serve.address),
            "use 127.0.0.1 or [::1]: there are no users to sign in yet, so other addresses are refused",
        );
    }
    check_edge(settings, &mut add);
    check_forecast(&settings.forecast, &mut add);
    for (path, value) in [
        ("ingest.queue_len", settings.ingest.queue_len),
        ("ingest.batch_max", settings.ingest.batch_max),
        ("rejects.keep_days", settings.rejects.keep_days as usize),
        (
            "weather.every_minutes",
            settings.weather.every_minutes as usize,
        ),
        ("forecast.draws", settings.forecast.draws),
        (
            "forecast.every_minutes",
            settings.forecast.every_minutes as usize,
        ),
    ] {
        if value == 0 {
            add(path, format!("`{path}` is 0"), "write at least 1");
        }
    }
    let modbus = &settings.modbus;
    if modbus.request_timeout_ms == 0 || modbus.request_timeout_max_ms < modbus.request_timeout_ms {
        add(
            "modbus.request_timeout_max_ms",
            format!(
                "`modbus.request_timeout_ms` is {} and `modbus.request_timeout_max_ms` {}",
                modbus.request_timeout_ms, modbus.request_timeout_max_ms
            ),
            "write at least 1 ms, and a longest deadline that is not shorter than the first",
        );
    }
    if !(0.0..=0.2).contains(&modbus.jitter_ratio) {
        add(
            "modbus.jitter_ratio",
            format!("`modbus.jitter_ratio` is {}", modbus.jitter_ratio),
            "write a part of the period from 0 to 0.2",
        );
    }
    let nudge = &settings.nudge;
    if nudge.channel == NudgeChannelKind::Webhook
        && (nudge.webhook_url.is_none() || nudge.webhook_secret_file.is_none())
    {
        add(
            "nudge.channel",
            "`nudge.channel` is webhook without url or secret".into(),
            "set nudge.webhook_url and nudge.webhook_secret_file, or use dry_run",
        );
    }
    if settings.mqtt.topic.is_empty() {
        add(
            "mqtt.topic",
            "no `[[mqtt.topic]]` is set".into(),
            "leave the key out for the default templates, or name at least one",
        );
    }
    check_brokers(settings, &mut add);
    for source in &settings.weather.open_meteo {
        for (key, message, remedy) in source.problems() {
            add(&format!("weather.open_meteo.{key}"), message, remedy);
        }
    }
    for (key, message, remedy) in settings.retention.problems() {
        add(&format!("retention.{key}"), message, remedy);
    }
    for (key, message, remedy) in settings.influx.problems() {
        add(&format!("influx.{key}"), message, remedy);
    }
    out
}

fn check_brokers(settings: &Settings, add: &mut impl FnMut(&str, String, &str)) {
    for broker in &settings.mqtt.broker {
        for (key, message, remedy) in broker.problems() {
            add(&format!("mqtt.broker.{key}"), message, remedy);
        }
    }
    let mut names: Vec<&str> = settings
        .mqtt
        .broker
        .iter()
        .map(|b| b.name.as_str())
        .collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        let name = pair.first().copied().unwrap_or_default();
        add(
            "mqtt.broker",
            format!("two brokers are named `{name}`"),
            "give each [[mqtt.broker]] its own name",
        );
    }
}

fn check_forecast(forecast: &ForecastSettings, add: &mut impl FnMut(&str, String, &str)) {
    if !(1..=HORIZON_DAYS_MAX).contains(&forecast.horizon_days)
        || forecast.hourly_days > forecast.horizon_days
    {
        add(
            "forecast.horizon_days",
            format!(
                "`forecast.horizon_days` is {} and `forecast.hourly_days` {}",
                forecast.horizon_days, forecast.hourly_days
            ),
            "write 1 to 100 days, and no more hourly days than days",
        );
    }
    if forecast.draws > DRAWS_MAX {
        add(
            "forecast.draws",
            format!("`forecast.draws` is {}", forecast.draws),
            "write 1 to 2000",
        );
    }
    if forecast.memory_mb > FORECAST_MEMORY_MB_MAX {
        add(
            "forecast.memory_mb",
            format!("`forecast.memory_mb` is {}", forecast.memory_mb),
            "write 0 to 65536 MB; a node takes about 0.3 MB",
        );
    }
}

/// Ports that others can reach, and what proves who they are.
fn check_edge(settings: &Settings, add: &mut impl FnMut(&str, String, &str)) {
    let listen = &settings.mqtt.listen;
    if listen.enabled && !listen.address.ip().is_loopback() && listen.users_file.is_none() {
        add(
            "mqtt.listen.address",
            format!("`mqtt.listen.address` is {} without users", listen.address),
            "set mqtt.listen.users_file, or listen on 127.0.0.1",
        );
    }
    if listen.tls_address.is_some() != listen.tls.is_some() {
        add(
            "mqtt.listen.tls_address",
            "`mqtt.listen.tls_address` and `[mqtt.listen.tls]` are not both set".into(),
            "set the address, and certificate_file and key_file in [mqtt.listen.tls]",
        );
    }
    let push = &settings.push;
    if let Some(address) = push.address
        && !address.ip().is_loopback()
        && push.tokens_file.is_none()
    {
        add(
            "push.address",
            format!("`push.address` is {address} without tokens"),
            "set push.tokens_file, or listen on 127.0.0.1",
        );
    }
    if push.tls.is_some() && push.address.is_none() {
        add(
            "push.address",
            "`[push.tls]` is set without `push.address`".into(),
            "set the address that it is for",
        );
    }
    let tls = [("mqtt.listen.tls", &listen.tls), ("push.tls", &push.tls)];
    for (path, tls) in tls {
        if tls.as_ref().is_some_and(|tls| {
            tls.client_certificate != ClientCertificate::None && tls.client_ca_file.is_none()
        }) {
            add(
                &format!("{path}.client_certificate"),
                format!("`{path}.client_certificate` asks for certificates that nobody signs"),
                "set client_ca_file to the authorities that sign them",
            );
        }
    }
    // Twice this and a commit must end before the answer is given up.
    if !(1..=7).contains(&push.queue_wait_s) {
        add(
            "push.queue_wait_s",
            format!("`push.queue_wait_s` is {}", push.queue_wait_s),
            "write 1 to 7 seconds",
        );
    }
    for (path, value) in [
        ("push.body_max_bytes", push.body_max_bytes),
        ("push.unpacked_max_bytes", push.unpacked_max_bytes),
        ("push.messages_max", push.messages_max),
        ("push.requests_max", push.requests_max),
        ("push.connections_max", push.connections_max),
    ] {
        if value == 0 {
            add(path, format!("`{path}` is 0"), "write at least 1");
        }
    }
}

fn problem(
    file: &Path,
    line: Option<usize>,
    code: &'static str,
    message: String,
    remedy: &str,
) -> Problem {
    Problem {
        file: file.to_owned(),
        line,
        code,
        message,
        remedy: remedy.to_owned(),
        is_warning: false,
    }
}

fn last_key(path: &str) -> String {
    path.rsplit('.').next().unwrap_or(path).to_owned()
}

fn unknown_key(message: &str) -> Option<String> {
    message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split('`').next())
        .map(str::to_owned)
}

fn toml_line(text: &str) -> Option<usize> {
    let error = toml::from_str::<toml::Table>(text).err()?;
    let start = error.span()?.start;
    Some(text.bytes().take(start).filter(|b| *b == b'\n').count() + 1)
}

/// The line on which a key is written, looked for in its own section first.
fn line_of_key(text: &str, path: &str, key: &str) -> Option<usize> {
    let section = path.split('.').next().unwrap_or_default();
    let mut fallback = None;
    let mut is_inside = false;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_start_matches('[');
            is_inside = header == format!("{section}]")
                || header.starts_with(&format!("{section}."))
                || header.starts_with(&format!("{section}]"));
            if header.contains(key) {
                fallback = fallback.or(Some(index + 1));
            }
        }
        let is_key = line
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with('='));
        if is_key && is_inside {
            return Some(index + 1);
        }
        if is_key {
            fallback = fallback.or(Some(index + 1));
        }
    }
    fallback
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn no_environment() -> Environment {
        Environment::with_prefix("QILIANG_NOT_SET")
    }

    fn load_text(text: &str) -> Result<Settings, Vec<Problem>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        load_from(Some(file.path()), no_environment())
    }

    #[test]
    fn the_environment_gives_texts_as_they_are_and_numbers_where_they_are_asked_for() {
        let set = [
            ("QILIANG__INFLUX__TOKEN", "0012345"),
            ("QILIANG__INFLUX__ORG", "1e5"),
            ("QILIANG__INGEST__QUEUE_LEN", "77"),
            ("QILIANG__MODBUS__JITTER_RATIO", "0.125"),
            ("QILIANG__MQTT__LISTEN__ENABLED", "true"),
            ("QILIANG__SERVE__ADDRESS", "127.0.0.1:9"),
            ("QILIANG__RETENTION__READINGS_DAYS", "400"),
        ];
        let set = set.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let source = environment().source(Some(set.into_iter().collect()));
        let settings = load_from(None, source).unwrap();
        assert_eq!(settings.influx.org, "1e5");
        assert_eq!(settings.ingest.queue_len, 77);
        assert!((settings.modbus.jitter_ratio - 0.125).abs() < 1e-12);
        assert!(settings.mqtt.listen.enabled);
        assert_eq!(settings.serve.address.port(), 9);
        assert_eq!(settings.retention.readings_days, 400);
        let token = settings.influx.token.unwrap();
        assert_eq!(token.secret(), "0012345");
    }

    #[test]
    fn the_shipped_defaults_are_complete_and_valid() {
        let settings = load_from(None, no_environment()).unwrap();
        assert_eq!(settings.forecast.horizon_days, 62);
        assert_eq!(settings.mqtt.topic.len(), 4);
    }

    #[test]
    fn a_forecast_that_no_run_could_make_is_refused() {
        for (text, path) in [
            ("horizon_days = 101", "forecast.horizon_days"),
            ("horizon_days = 5\nhourly_days = 6", "forecast.horizon_days"),
            ("draws = 2001", "forecast.draws"),
        ] {
            let problems = load_text(&format!("[forecast]\n{text}\n")).unwrap_err();
            assert!(problems[0].to_string().contains(path), "{}", problems[0]);
        }
        load_text("[forecast]\nhorizon_days = 100\ndraws = 2000\n").unwrap();
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let problems = load_text("[forecast]\ndraws = 50\nhorizont_days = 3\n").unwrap_err();
        let printed = problems[0].to_string();
        assert_eq!(problems[0].line, Some(3), "{printed}");
        assert!(
            printed.contains("unknown field `horizont_days`"),
            "{printed}"
        );
    }

    #[test]
    fn an_unknown_section_is_named_with_its_line() {
        let problems = load_text("[valve]\nopen = true\n").unwrap_err();
        let printed = problems[0].to_string();
        assert_eq!(problems[0].line, Some(1), "{printed}");
        assert!(printed.contains("unknown field `valve`"), "{printed}");
    }

    #[test]
    fn several_bad_values_are_listed_together() {
        let problems = load_text(
            "[serve]\naddress = \"0.0.0.0:8686\"\n[ingest]\nqueue_len = 0\n[nudge]\nchannel = \"webhook\"\n",
        )
        .unwrap_err();
        let lines: Vec<_> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [Some(2), Some(4), Some(6)], "{problems:?}");
        assert!(problems[0].remedy.contains("127.0.0.1"));
    }

    #[test]
    fn a_broker_that_cannot_work_is_named_with_its_line() {
        let problems = load_text(
            "[[mqtt.broker]]\nname = \"b\"\nhost = \"h\"\nclient_id = \"c\"\nca_file = \"ca.pem\"\nshare_group = \"a/b\"\nin_flight_max = 0\n",
        )
        .unwrap_err();
        let lines: Vec<_> = problems.iter().map(|p| p.line).collect();
        assert_eq!(lines, [Some(5), Some(6), Some(7)], "{problems:?}");
        let printed = problems[0].to_string();
        assert!(printed.contains("transport = \"tls\""), "{printed}");
    }

    #[test]
    fn a_wrong_type_names_the_key() {
        let problems = load_text("[ingest]\nqueue_len = \"many\"\n").unwrap_err();
        let printed = problems[0].to_string();
        assert!(printed.contains("ingest.queue_len"), "{printed}");
        assert_eq!(problems[0].line, Some(2), "{printed}");
    }

    #[test]
    fn broken_toml_names_the_line() {
        let problems = load_text("[ingest]\nqueue_len = = 3\n").unwrap_err();
        assert_eq!(problems[0].line, Some(2), "{:?}", problems[0]);
    }
}
