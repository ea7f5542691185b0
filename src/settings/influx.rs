//! `[influx]`: a second store that is told everything.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::domain::reading::Item;

/// A secret from the environment; never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct InfluxToken(String);

impl InfluxToken {
    /// The secret.
    pub fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for InfluxToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InfluxToken(…)")
    }
}

/// `[influx]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfluxSettings {
    /// Address, for example `https://influx.example:8086`; empty: there is none.
    pub url: String,
    /// Organisation.
    pub org: String,
    /// Bucket of readings.
    pub bucket: String,
    /// Bucket of hourly load curves.
    pub bucket_hourly: String,
    /// File that holds the token; none where the server asks for none.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// The token itself, meant for `QILIANG__INFLUX__TOKEN` of the environment.
    #[serde(default)]
    pub token: Option<InfluxToken>,
    /// Tags of every line, the same for all meters.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether buckets that are not there are created.
    pub create_buckets: bool,
    /// How long a bucket of readings that we create keeps them, days; 0 for ever.
    pub keep_days: u32,
    /// How long a bucket of curves that we create keeps them, days; 0 for ever.
    pub keep_hourly_days: u32,
    /// Lines in one request.
    pub batch_lines: usize,
    /// Bytes in one request, unless one line is longer.
    pub batch_bytes: usize,
    /// Deadline of a request, s.
    pub timeout_s: u64,
    /// Shortest wait before another try, ms; doubles, with jitter.
    pub retry_delay_min_ms: u64,
    /// Longest wait before another try, ms.
    pub retry_delay_max_ms: u64,
}

impl InfluxSettings {
    /// Whether there is a second store.
    pub fn is_configured(&self) -> bool {
        !self.url.is_empty()
    }

    /// Key, what is wrong, and what to do.
    pub(super) fn problems(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut found = Vec::new();
        if !self.is_configured() {
            return found;
        }
        if !(self.url.starts_with("http://") || self.url.starts_with("https://")) {
            found.push((
                "url",
                format!("`influx.url` is `{}`", self.url),
                "write http:// or https://, the host and the port, usually 8086",
            ));
        }
        for (key, value) in [
            ("bucket", &self.bucket),
            ("bucket_hourly", &self.bucket_hourly),
        ] {
            if value.is_empty() || value.contains(['"', '\\', '\n']) {
                found.push((
                    key,
                    format!("`influx.{key}` is `{value}`"),
                    "write the name of a bucket",
                ));
            }
        }
        let path = self
            .url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'));
        if path.is_some_and(|(_, path)| !path.is_empty()) {
            found.push((
                "url",
                format!("`influx.url` is `{}`, with a path", self.url),
                "write scheme, host and port alone; the paths are those of the InfluxDB API",
            ));
        }
        if self.bucket == self.bucket_hourly && self.keep_days != self.keep_hourly_days {
            found.push((
                "keep_hourly_days",
                format!(
                    "one bucket `{}` is to keep {} and {} days",
                    self.bucket, self.keep_days, self.keep_hourly_days
                ),
                "name two buckets, or write the same number twice",
            ));
        }
        if self.token.is_some() && self.token_file.is_some() {
            found.push((
                "token_file",
                "`influx.token_file` and a token in the environment are both set".to_owned(),
                "leave one of them out",
            ));
        }
        if let Some(Err(error)) = self.token_file.as_ref().map(std::fs::read_to_string) {
            found.push((
                "token_file",
                format!("`influx.token_file` cannot be read: {error}"),
                "name a file that holds the token alone and that this daemon may read",
            ));
        }
        self.check_tags(&mut found);
        for (key, value) in [
            ("batch_lines", self.batch_lines as u64),
            ("batch_bytes", self.batch_bytes as u64),
            ("timeout_s", self.timeout_s),
        ] {
            if value == 0 {
                found.push((key, format!("`influx.{key}` is 0"), "write at least 1"));
            }
        }
        if self.retry_delay_min_ms == 0 || self.retry_delay_max_ms < self.retry_delay_min_ms {
            found.push((
                "retry_delay_max_ms",
                format!(
                    "`influx.retry_delay_min_ms` is {} and `influx.retry_delay_max_ms` {}",
                    self.retry_delay_min_ms, self.retry_delay_max_ms
                ),
                "write at least 1 ms, and a longest wait that is not shorter than the shortest",
            ));
        }
        found
    }

    fn check_tags(&self, found: &mut Vec<(&'static str, String, &'static str)>) {
        for (key, value) in &self.tags {
            let is_ours = ["meter", "time", "volume_m3", "quality", "alarms"]
                .contains(&key.as_str())
                || Item::from_key(key).is_some();
            let cannot = |text: &str| text.ends_with('\\') || text.contains(['\n', '\r']);
            if key.is_empty() || is_ours || key.starts_with('_') || cannot(key) || cannot(value) {
                found.push((
                    "tags",
                    format!("`influx.tags` has `{key}` = `{value}`"),
                    "use another name than our own tags and fields, without line break, leading _ or backslash at the end",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut InfluxSettings);

    fn settings() -> InfluxSettings {
        InfluxSettings {
            url: "http://127.0.0.1:8086".to_owned(),
            org: "gas".to_owned(),
            bucket: "a".to_owned(),
            bucket_hourly: "b".to_owned(),
            token_file: None,
            token: None,
            tags: BTreeMap::new(),
            create_buckets: true,
            keep_days: 1_095,
            keep_hourly_days: 0,
            batch_lines: 5_000,
            batch_bytes: 1 << 20,
            timeout_s: 30,
            retry_delay_min_ms: 50,
            retry_delay_max_ms: 500,
        }
    }

    #[test]
    fn each_mistake_is_named_by_its_key_and_none_where_there_is_no_second_store() {
        assert_eq!(settings().problems(), []);
        let cases: [(&str, Change); 11] = [
            ("url", |s| s.url = "127.0.0.1:8086".to_owned()),
            ("url", |s| s.url = "http://host:8086/influx".to_owned()),
            ("bucket", |s| s.bucket.clear()),
            ("bucket_hourly", |s| s.bucket_hourly = "a\"b".to_owned()),
            ("keep_hourly_days", |s| s.bucket_hourly = "a".to_owned()),
            ("token_file", |s| {
                s.token_file = Some("/nowhere/token".into());
            }),
            ("batch_bytes", |s| s.batch_bytes = 0),
            ("timeout_s", |s| s.timeout_s = 0),
            ("retry_delay_max_ms", |s| s.retry_delay_max_ms = 1),
            ("tags", |s| {
                drop(s.tags.insert("meter".to_owned(), "x".to_owned()));
            }),
            ("tags", |s| {
                drop(s.tags.insert("city".to_owned(), "x\\".to_owned()));
            }),
        ];
        for (key, change) in cases {
            let mut wrong = settings();
            change(&mut wrong);
            let found: Vec<&str> = wrong.problems().into_iter().map(|(key, ..)| key).collect();
            assert_eq!(found, [key], "{wrong:?}");
            wrong.url.clear();
            assert_eq!(wrong.problems(), []);
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let mut settings = settings();
        settings.token = Some(InfluxToken("s3cret".to_owned()));
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
