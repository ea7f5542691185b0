//! The connection to the other store: errors, ping, write.

use std::time::Duration;

use chrono::{DateTime, Utc};
use influxdb2::RequestError;
use influxdb2::api::write::TimestampPrecision;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::domain::calendar::GasDayClock;
use crate::domain::text::{error_chain, one_line};
use crate::settings::InfluxSettings;

/// What the other store said, or why it said nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InfluxError {
    /// Nobody there, or no answer in time.
    #[error(
        "{url} does not answer ({reason}); check influx.url, the network, and whether the server runs"
    )]
    Unreachable {
        /// Address.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The token is not accepted.
    #[error(
        "{url} refuses the token ({reason}); put one that may read and write the buckets into influx.token_file, \
         it is read again by itself"
    )]
    Unauthorized {
        /// Address.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// Organisation or bucket is not there.
    #[error(
        "{url} has no bucket `{bucket}` in organisation `{org}` ({reason}); create it, or set influx.create_buckets \
         and give the token the right to"
    )]
    NoBucket {
        /// Address.
        url: String,
        /// Organisation.
        org: String,
        /// Bucket.
        bucket: String,
        /// What the server said.
        reason: String,
    },
    /// The server is there and cannot take it now.
    #[error("{url} is busy or ill: {status} ({reason}); it is tried again by itself")]
    Busy {
        /// Address.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the server said.
        reason: String,
        /// How long it asks to be left alone, s.
        retry_after_s: Option<u64>,
    },
    /// More than the server takes in one request.
    #[error("{url} refuses a request of {bytes} bytes as too large; lower influx.batch_bytes")]
    TooLarge {
        /// Address.
        url: String,
        /// Size.
        bytes: usize,
    },
    /// The server refuses what is in the request: all of it, or some lines.
    #[error("{url} refuses lines: {reason}")]
    Refused {
        /// Address.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// An answer that cannot be understood.
    #[error(
        "{url} answers what is not understood: {reason}; is it an InfluxDB 2 or what speaks like one?"
    )]
    Answer {
        /// Address.
        url: String,
        /// What was wrong.
        reason: String,
    },
}

impl InfluxError {
    /// Stable code, key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "influx.unreachable",
            Self::Unauthorized { .. } => "influx.unauthorized",
            Self::NoBucket { .. } => "influx.no_bucket",
            Self::Busy { .. } => "influx.busy",
            Self::TooLarge { .. } => "influx.too_large",
            Self::Refused { .. } => "influx.refused",
            Self::Answer { .. } => "influx.answer",
        }
    }
}

/// A connection to the other store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Influx {
    settings: InfluxSettings,
    clock: GasDayClock,
    token: String,
    writer: influxdb2::Client,
    http: reqwest::Client,
}

/// What a look at the server found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// The server's version, as it says.
    pub version: Option<String>,
    /// The server's clock.
    pub date: Option<DateTime<Utc>>,
}

impl Influx {
    /// Prepares; connects to nothing.
    ///
    /// # Errors
    /// An address that is none.
    pub fn new(
        settings: InfluxSettings,
        token: String,
        clock: GasDayClock,
    ) -> Result<Self, InfluxError> {
        let no_url = |reason: String| InfluxError::Unreachable {
            url: settings.url.clone(),
            reason,
        };
        // The crate panics on what is no address.
        let url = reqwest::Url::parse(&settings.url).map_err(|error| no_url(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(no_url("not an http or https address".to_owned()));
        }
        let writer =
            influxdb2::Client::new(settings.url.clone(), settings.org.clone(), token.clone());
        let http = reqwest::Client::builder()
            .build()
            .map_err(|error| no_url(error.to_string()))?;
        Ok(Self {
            settings,
            clock,
            token,
            writer,
            http,
        })
    }

    /// The settings.
    pub fn settings(&self) -> &InfluxSettings {
        &self.settings
    }

    /// How gas days are cut.
    pub fn clock(&self) -> GasDayClock {
        self.clock
    }

    pub(super) fn deadline(&self) -> Duration {
        Duration::from_secs(self.settings.timeout_s.max(1))
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.settings.url.trim_end_matches('/'));
        let request = self.http.request(method, url);
        if self.token.is_empty() {
            request
        } else {
            request.header("authorization", format!("Token {}", self.token))
        }
    }

    pub(super) fn unreachable(&self, reason: impl std::fmt::Display) -> InfluxError {
        InfluxError::Unreachable {
            url: self.settings.url.clone(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn misunderstood(&self, reason: impl std::fmt::Display) -> InfluxError {
        InfluxError::Answer {
            url: self.settings.url.clone(),
            reason: reason.to_string(),
        }
    }

    /// Sends a request and gives the status, with the text of an answer that is no success.
    pub(super) async fn answered(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::Response, InfluxError> {
        let sent = timeout(self.deadline(), request.send()).await;
        let response = sent
            .map_err(|_| {
                self.unreachable(format!("no answer within {} s", self.settings.timeout_s))
            })?
            .map_err(|error| self.unreachable(error_chain(&error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let wait = retry_after(&response);
        let text = timeout(self.deadline(), response.text()).await;
        let text = text.ok().and_then(Result::ok).unwrap_or_default();
        match self.failure(status, &text, "", 0) {
            InfluxError::Busy {
                url,
                status,
                reason,
                ..
            } => Err(InfluxError::Busy {
                url,
                status,
                reason,
                retry_after_s: wait,
            }),
            other => Err(other),
        }
    }

    /// What a status other than success means.
    pub(super) fn failure(
        &self,
        status: u16,
        text: &str,
        bucket: &str,
        bytes: usize,
    ) -> InfluxError {
        let url = self.settings.url.clone();
        let reason = reason(text);
        match status {
            401 | 403 => InfluxError::Unauthorized { url, reason },
            404 => InfluxError::NoBucket {
                url,
                org: self.settings.org.clone(),
                bucket: bucket.to_owned(),
                reason,
            },
            413 => InfluxError::TooLarge { url, bytes },
            // 422: points beyond the bucket's retention.
            400 | 422 => InfluxError::Refused { url, reason },
            _ => InfluxError::Busy {
                url,
                status,
                reason,
                retry_after_s: None,
            },
        }
    }

    /// Whether it is there: `/ping`, which InfluxDB and openGemini both answer.
    ///
    /// # Errors
    /// `Unreachable`, or what the server says.
    pub async fn ping(&self) -> Result<Ping, InfluxError> {
        let response = self.answered(self.request(Method::GET, "/ping")).await?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)?
                .to_str()
                .ok()
                .map(str::to_owned)
        };
        Ok(Ping {
            version: header("x-influxdb-version"),
            date: header("date")
                .and_then(|text| DateTime::parse_from_rfc2822(&text).ok())
                .map(|date| date.to_utc()),
        })
    }

    /// Writes lines with millisecond stamps.
    ///
    /// # Errors
    /// What the server says; of `Refused`, some lines may have been taken.
    pub async fn write(&self, bucket: &str, lines: String) -> Result<(), InfluxError> {
        let bytes = lines.len();
        let written = self.writer.write_line_protocol_with_precision(
            &self.settings.org,
            bucket,
            lines,
            TimestampPrecision::Milliseconds,
        );
        match timeout(self.deadline(), written).await {
            Err(_) => {
                Err(self.unreachable(format!("no answer within {} s", self.settings.timeout_s)))
            }
            Ok(Ok(())) => Ok(()),
            Ok(Err(RequestError::Http { status, text })) => {
                // openGemini says 204 and 200 alike.
                if StatusCode::from_u16(status.as_u16()).is_ok_and(|status| status.is_success()) {
                    return Ok(());
                }
                match self.failure(status.as_u16(), &text, bucket, bytes) {
                    InfluxError::Busy {
                        url,
                        status,
                        reason,
                        ..
                    } => {
                        let retry_after_s = self.asked_to_wait(bucket).await;
                        Err(InfluxError::Busy {
                            url,
                            status,
                            reason,
                            retry_after_s,
                        })
                    }
                    other => Err(other),
                }
            }
            Ok(Err(RequestError::ReqwestProcessing { source })) => {
                Err(self.unreachable(error_chain(&source)))
            }
            Ok(Err(other)) => Err(self.misunderstood(other)),
        }
    }

    /// How long the server asks to be left alone. The crate gives no headers, so a batch without a line
    /// asks once more.
    async fn asked_to_wait(&self, bucket: &str) -> Option<u64> {
        let query = [
            ("org", self.settings.org.as_str()),
            ("bucket", bucket),
            ("precision", "ms"),
        ];
        let request = self
            .request(Method::POST, "/api/v2/write")
            .query(&query)
            .body("# is it over\n");
        match self.answered(request).await {
            Err(InfluxError::Busy { retry_after_s, .. }) => retry_after_s,
            _ => None,
        }
    }
}

/// Seconds of `Retry-After`; a date in it is rare and left to our own waiting.
fn retry_after(response: &reqwest::Response) -> Option<u64> {
    let header = response.headers().get("retry-after")?;
    header.to_str().ok()?.trim().parse().ok()
}

/// The message of a JSON answer, or the text itself, on one line.
fn reason(text: &str) -> String {
    let message = serde_json::from_str::<Value>(text).ok().and_then(|body| {
        let of = |key: &str| body[key].as_str().map(str::to_owned);
        of("message").or_else(|| of("error"))
    });
    let message = message.unwrap_or_else(|| text.to_owned());
    one_line(&message).chars().take(500).collect()
}
