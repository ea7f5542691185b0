//! A webhook with a signature the receiver can check.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::text::{chained, error_chain};
use crate::nudge::channels::{ChannelError, NudgeChannel, Outgoing, Receipt};

/// Fewest bytes of a secret.
const SECRET_BYTES_MIN: usize = 16;
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 300;

/// Limits of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookOptions {
    /// Deadline of one attempt.
    pub timeout: Duration,
    /// Attempts at most.
    pub attempts_max: u32,
    /// Wait before the second attempt; doubles.
    pub retry_delay_min: Duration,
    /// Longest wait.
    pub retry_delay_max: Duration,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            attempts_max: 4,
            retry_delay_min: Duration::from_secs(1),
            retry_delay_max: Duration::from_secs(30),
        }
    }
}

/// Posts JSON with the headers `X-Qiliang-Timestamp` (Unix seconds), `X-Qiliang-Signature`
/// (`sha256=` and the hex HMAC-SHA256 of `timestamp.body`) and `Idempotency-Key`.
pub struct SignedWebhook {
    url: reqwest::Url,
    secret: Vec<u8>,
    client: reqwest::Client,
    options: WebhookOptions,
}

impl fmt::Debug for SignedWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the secret nor the address, which often carries a key of its own.
        f.debug_struct("SignedWebhook")
            .field("host", &self.url.host_str())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// The signature of a body: `sha256=` and hex HMAC-SHA256 over `timestamp`, a point, the body.
pub fn sign(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl SignedWebhook {
    /// Reads the secret and prepares the client.
    ///
    /// # Errors
    /// An address that is neither HTTPS nor on this machine; a secret that is missing or short.
    pub fn new(
        url: &str,
        secret_file: &Path,
        options: WebhookOptions,
    ) -> Result<Self, ChannelError> {
        let address = |reason| ChannelError::Address {
            url: without_secrets(url),
            reason,
        };
        let parsed = reqwest::Url::parse(url).map_err(|_| address("write https://host/path"))?;
        let is_loopback = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if parsed.scheme() != "https" && !(parsed.scheme() == "http" && is_loopback) {
            return Err(address(
                "use https; plain http is for this machine only, or the message could be read on the way",
            ));
        }
        let text = std::fs::read(secret_file).map_err(|source| ChannelError::SecretRead {
            path: secret_file.to_path_buf(),
            source,
        })?;
        let secret = text.trim_ascii().to_vec();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(ChannelError::SecretShort {
                path: secret_file.to_path_buf(),
                bytes: secret.len(),
                min: SECRET_BYTES_MIN,
            });
        }
        let client = reqwest::Client::builder()
            .timeout(options.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("qiliang/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(ChannelError::Client)?;
        Ok(Self {
            url: parsed,
            secret,
            client,
            options,
        })
    }

    /// One attempt: the answer, or whether and why to try again.
    async fn attempt(&self, body: &[u8], id: &str, timestamp: i64) -> Attempt {
        let sent = self
            .client
            .post(self.url.clone())
            .header("Content-Type", "application/json")
            .header("X-Qiliang-Timestamp", timestamp.to_string())
            .header("X-Qiliang-Signature", sign(&self.secret, timestamp, body))
            .header("Idempotency-Key", id)
            .body(body.to_vec())
            .send()
            .await;
        let mut response = match sent {
            Ok(response) => response,
            // The URL may hold a key; it stays out of logs and messages.
            Err(error) => return Attempt::Again(cause(&error.without_url())),
        };
        let status = response.status();
        let mut answer = Vec::new();
        while answer.len() < ANSWER_BYTES_MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => answer.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        answer.truncate(ANSWER_BYTES_MAX);
        let answer: String = String::from_utf8_lossy(&answer)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if status.is_success() {
            Attempt::Taken(answer)
        } else if status.is_server_error() || status.as_u16() == 429 || status.as_u16() == 408 {
            Attempt::Again(format!("status {}: {answer}", status.as_u16()))
        } else {
            Attempt::Refused(status.as_u16(), answer)
        }
    }
}

enum Attempt {
    Taken(String),
    Again(String),
    Refused(u16, String),
}

fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        chained("timed out".to_owned(), error)
    } else {
        error_chain(error)
    }
}

/// Scheme and host: paths and queries of webhooks are keys as often as not.
fn without_secrets(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(parsed) => format!(
            "{}://{}/…",
            parsed.scheme(),
            parsed.host_str().unwrap_or_default()
        ),
        Err(_) => "…".into(),
    }
}

impl NudgeChannel for SignedWebhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn send<'a>(
        &'a self,
        message: &'a Outgoing,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Receipt, ChannelError>> {
        Box::pin(async move {
            let body = serde_json::to_vec(message)?;
            let attempts_max = self.options.attempts_max.max(1);
            let mut delay = self.options.retry_delay_min;
            let mut last = String::new();
            let started = std::time::Instant::now();
            for attempt in 1..=attempts_max {
                // A receiver may refuse old timestamps, so each attempt has its own.
                let elapsed = i64::try_from(started.elapsed().as_secs()).unwrap_or(0);
                let timestamp = now.timestamp() + elapsed;
                match self.attempt(&body, &message.id, timestamp).await {
                    Attempt::Taken(answer) => {
                        return Ok(Receipt {
                            channel: self.name().into(),
                            is_sent: true,
                            attempts: attempt,
                            answer,
                        });
                    }
                    Attempt::Refused(status, answer) => {
                        return Err(ChannelError::Refused { status, answer });
                    }
                    Attempt::Again(why) => {
                        tracing::warn!(
                            nudge.id = %message.id,
                            attempt,
                            "webhook did not take nudge `{}`: {why}",
                            message.id
                        );
                        last = why;
                    }
                }
                if attempt < attempts_max {
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(self.options.retry_delay_max);
                }
            }
            Err(ChannelError::Exhausted {
                attempts: attempts_max,
                last,
            })
        })
    }
}
