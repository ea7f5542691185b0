//! How messages leave: one port, several ways. [`DryRun`] writes down what it would have sent;
//! [`SignedWebhook`] posts it with a signature.

mod webhook;

use std::sync::Mutex;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::domain::id::CustomerId;

pub use webhook::{SignedWebhook, WebhookOptions, sign};

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Identifier of the nudge; the receiver drops what it has seen.
    pub id: String,
    /// Enterprise.
    pub customer: CustomerId,
    /// Its one group.
    pub contact_group: String,
    /// `markdown`.
    pub format: String,
    /// The message.
    pub text: String,
    /// Not to be shown from then on.
    pub expires_at: DateTime<Utc>,
}

/// What a channel says of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Channel.
    pub channel: String,
    /// Whether anything left this machine.
    pub is_sent: bool,
    /// Attempts it took.
    pub attempts: u32,
    /// What the other side answered, in short.
    pub answer: String,
}

/// Why a message did not leave.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The address is not one we post to.
    #[error("`{url}` is no webhook address: {reason}")]
    Address {
        /// As given.
        url: String,
        /// Why.
        reason: &'static str,
    },
    /// The secret's file cannot be read.
    #[error("{}: webhook secret cannot be read", path.display())]
    SecretRead {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The secret is too short to sign with.
    #[error("{}: webhook secret has {bytes} bytes, at least {min} are needed", path.display())]
    SecretShort {
        /// The file.
        path: std::path::PathBuf,
        /// Bytes.
        bytes: usize,
        /// Needed.
        min: usize,
    },
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
    /// The message cannot be written as JSON.
    #[error("the message cannot be written as JSON")]
    Body(#[from] serde_json::Error),
    /// The other side refuses it; trying again would not help.
    #[error(
        "webhook refused the message with status {status}: {answer}; check address, secret and receiver"
    )]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words, in short.
        answer: String,
    },
    /// All attempts failed.
    #[error("webhook did not take the message in {attempts} attempts, last: {last}")]
    Exhausted {
        /// Attempts.
        attempts: u32,
        /// The last failure.
        last: String,
    },
}

impl ChannelError {
    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Address { .. } => "nudge.webhook_address",
            Self::SecretRead { .. } => "nudge.webhook_secret_read",
            Self::SecretShort { .. } => "nudge.webhook_secret_short",
            Self::Client(_) => "nudge.webhook_client",
            Self::Body(_) => "nudge.webhook_body",
            Self::Refused { .. } => "nudge.webhook_refused",
            Self::Exhausted { .. } => "nudge.webhook_exhausted",
        }
    }
}

/// A way out.
pub trait NudgeChannel: std::fmt::Debug + Send + Sync {
    /// Its name in logs and documents.
    fn name(&self) -> &'static str;

    /// Sends a message once; the same identifier twice is dropped by the receiver.
    fn send<'a>(
        &'a self,
        message: &'a Outgoing,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Receipt, ChannelError>>;
}

/// Writes down, sends nothing.
#[derive(Debug, Default)]
pub struct DryRun(Mutex<Vec<Outgoing>>);

/// A dry run remembers so many messages, the latest.
const REMEMBERED: usize = 1_000;

impl DryRun {
    /// What it would have sent.
    pub fn recorded(&self) -> Vec<Outgoing> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl NudgeChannel for DryRun {
    fn name(&self) -> &'static str {
        "dry_run"
    }

    fn send<'a>(
        &'a self,
        message: &'a Outgoing,
        _now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Receipt, ChannelError>> {
        Box::pin(async move {
            let mut recorded = self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            if recorded.len() >= REMEMBERED {
                recorded.remove(0);
            }
            recorded.push(message.clone());
            Ok(Receipt {
                channel: self.name().into(),
                is_sent: false,
                attempts: 0,
                answer: "recorded, nothing sent".into(),
            })
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
