//! Readings over HTTP (`POST /api/v1/readings`), as far as they are bytes and devices: bodies to
//! messages, messages to frames, frames into the queue of ingest, and what became of each.
//!
//! A frame takes the same way as one of MQTT. Nothing is answered before its commit, and of a
//! request for which there is no room in time not one frame is taken.

#![warn(clippy::indexing_slicing)]

mod body;
mod cbor;
mod gzip;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

pub use self::body::{BodyKind, Message, messages};
pub use self::gzip::unpack;
use crate::clock::Clock;
use crate::collect::credentials::{self, CredentialError, CredentialFile, Token, Tokens};
use crate::collect::{Ack, Delivery, FrameOutcome};
use crate::domain::frame::RawFrame;
use crate::settings::PushSettings;

/// Bodies that are being read take at most so much memory together, KiB.
const BODIES_MAX_KIB: u32 = 64 * 1_024;

/// A commit may take this long; a disk that is full longer than that is not waited out by a client.
const COMMIT_MAX: Duration = Duration::from_secs(15);

/// File in the data directory by which other commands of this machine's operator prove themselves
/// to the daemon.
pub const LOCAL_SECRET_FILE: &str = "local-token";

/// Id of the operator of this machine.
pub const LOCAL: &str = "local";

/// Why what someone sent cannot be read as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not what its content type says.
    #[error("the body is not {kind}: {reason}")]
    Syntax {
        /// What it should be.
        kind: &'static str,
        /// The parser's words.
        reason: String,
    },
    /// Too many messages.
    #[error("the body holds more than {max} messages; send them in several requests")]
    TooMany {
        /// `messages_max`.
        max: usize,
    },
    /// Nothing in it.
    #[error("the body holds no message; send a JSON object, or an array of them")]
    Empty,
    /// It unpacks to too much.
    #[error("the body unpacks to more than {max} bytes; send it in several requests")]
    TooLarge {
        /// `unpacked_max_bytes`.
        max: usize,
    },
    /// It is no gzip.
    #[error(
        "the body is not what Content-Encoding says: {reason}; send it with gzip, or without the header"
    )]
    Gzip {
        /// The unpacker's words.
        reason: String,
    },
}

impl BodyError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "push.body",
            Self::TooMany { .. } => "push.too_many",
            Self::Empty => "push.empty",
            Self::TooLarge { .. } => "push.too_large",
            Self::Gzip { .. } => "push.gzip",
        }
    }
}

/// Why frames were not taken; the client may send them again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// No room in time; not one frame was taken.
    #[error(
        "readings come in faster than they can be stored; nothing of this request was taken, send it again later"
    )]
    Busy,
    /// The program ends; not one frame was taken.
    #[error("the program stops; nothing of this request was taken, send it again later")]
    Stopped,
    /// The disk did not take them in time; they may be stored later.
    #[error(
        "the readings wait for the disk and may be stored later; send them again to learn what became of them, nothing is stored twice"
    )]
    NotCommitted,
}

impl TakeError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Busy => "push.busy",
            Self::Stopped => "push.stopped",
            Self::NotCommitted => "push.not_committed",
        }
    }
}

/// Who may push.
#[derive(Debug)]
pub struct Gate {
    tokens: Option<Arc<CredentialFile<Tokens>>>,
    local: Option<String>,
}

impl Gate {
    /// With tokens from a file, or without for this machine alone; `local` is the operator's secret.
    pub fn new(tokens: Option<Arc<CredentialFile<Tokens>>>, local: Option<String>) -> Self {
        Self { tokens, local }
    }

    /// Whose request it is, by what comes after `Bearer`. Without a tokens file whoever reaches us
    /// is someone on this machine.
    pub fn admit(&self, shown: Option<&str>) -> Option<Arc<Token>> {
        if let (Some(local), Some(shown)) = (&self.local, shown)
            && credentials::is_same(local.as_bytes(), shown.as_bytes())
        {
            return Some(Arc::new(Token::local(LOCAL)));
        }
        match &self.tokens {
            Some(file) => file.get().find(shown?),
            None => Some(Arc::new(Token::local("loopback"))),
        }
    }
}

/// Makes the secret of this run and writes it where only this user can read it.
///
/// # Errors
/// No random bytes, or a data directory that cannot be written.
pub fn write_local_secret(data_dir: &Path) -> Result<String, LocalSecretError> {
    let random = credentials::random::<32>().map_err(LocalSecretError::Random)?;
    let secret = format!("{LOCAL}.{}", hex::encode(random));
    let path = data_dir.join(LOCAL_SECRET_FILE);
    let write = || {
        // A file that is there keeps the rights it has.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?
            .write_all(secret.as_bytes())
    };
    match write() {
        Ok(()) => Ok(secret),
        Err(source) => Err(LocalSecretError::Write {
            path: path.clone(),
            source,
        }),
    }
}

/// Why there is no secret for this run.
#[derive(Debug, thiserror::Error)]
pub enum LocalSecretError {
    /// No random bytes.
    #[error(transparent)]
    Random(CredentialError),
    /// The file cannot be written.
    #[error("{} cannot be written; give this user the data directory", path.display())]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Requests with one token in the minute that runs.
#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    requests: u32,
}

/// The way from a request to the journal; what handlers of the push share.
#[derive(Debug)]
pub struct Push {
    settings: PushSettings,
    gate: Gate,
    clock: Arc<dyn Clock>,
    /// Weak, so that the queue ends with the collectors.
    queue: mpsc::WeakSender<Delivery>,
    working: Semaphore,
    /// KiB of bodies that are being read.
    reading: Semaphore,
    counts: Mutex<BTreeMap<String, Count>>,
    keys: Mutex<BTreeSet<(String, String)>>,
}

/// A key that is being worked on; gone when dropped.
#[derive(Debug)]
pub struct KeyGuard<'p> {
    push: &'p Push,
    key: (String, String),
}

impl Drop for KeyGuard<'_> {
    fn drop(&mut self) {
        self.push.keys().remove(&self.key);
    }
}

impl Push {
    /// For a queue that lives as long as `sender` and its clones.
    pub fn new(
        settings: PushSettings,
        gate: Gate,
        clock: Arc<dyn Clock>,
        sender: &mpsc::Sender<Delivery>,
    ) -> Self {
        Self {
            working: Semaphore::new(settings.requests_max),
            reading: Semaphore::new(BODIES_MAX_KIB as usize),
            queue: sender.downgrade(),
            settings,
            gate,
            clock,
            counts: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    /// Limits.
    pub fn settings(&self) -> &PushSettings {
        &self.settings
    }

    /// Who may push.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Messages one request may hold: no more than the queue can take at once.
    pub fn messages_max(&self) -> usize {
        let room = self
            .queue
            .upgrade()
            .map_or(usize::MAX, |q| q.max_capacity());
        self.settings.messages_max.min(room)
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(self.settings.queue_wait_s)
    }

    /// Room in memory for a body that is being read, however slowly it comes.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn room(&self, bytes: usize) -> Result<SemaphorePermit<'_>, TakeError> {
        let kib = u32::try_from(bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
        let kib = kib.clamp(1, BODIES_MAX_KIB);
        match timeout(self.wait(), self.reading.acquire_many(kib)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(TakeError::Stopped),
            Err(_) => Err(TakeError::Busy),
        }
    }

    /// A place among the requests that are worked on, their bodies being here.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn place(&self) -> Result<SemaphorePermit<'_>, TakeError> {
        match timeout(self.wait(), self.working.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(TakeError::Stopped),
            Err(_) => Err(TakeError::Busy),
        }
    }

    /// Counts a request with a token; after how long to come again, if it is one too many.
    pub fn count(&self, token: &Token, now: Instant) -> Option<Duration> {
        const MINUTE: Duration = Duration::from_mins(1);
        let max = self.settings.requests_per_minute;
        if max == 0 || token.id() == LOCAL {
            return None;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(token.id().to_owned()).or_insert(Count {
            since: now,
            requests: 0,
        });
        if now.saturating_duration_since(count.since) >= MINUTE {
            *count = Count {
                since: now,
                requests: 0,
            };
        }
        if count.requests >= max {
            return Some(MINUTE.saturating_sub(now.saturating_duration_since(count.since)));
        }
        count.requests += 1;
        None
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, BTreeSet<(String, String)>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a token's idempotency key; none while another request with it is worked on.
    pub fn hold_key(&self, token: &str, key: &str) -> Option<KeyGuard<'_>> {
        let key = (token.to_owned(), key.to_owned());
        self.keys()
            .insert(key.clone())
            .then(|| KeyGuard { push: self, key })
    }

    /// Sends frames to ingest, all or none, and waits until they are committed.
    ///
    /// # Errors
    /// Why they were not, or not yet.
    pub async fn take(&self, frames: Vec<RawFrame>) -> Result<Vec<FrameOutcome>, TakeError> {
        let mut waiters = Vec::with_capacity(frames.len());
        {
            let queue = self.queue.upgrade().ok_or(TakeError::Stopped)?;
            let permits = match timeout(self.wait(), queue.reserve_many(frames.len())).await {
                Err(_) => return Err(TakeError::Busy),
                Ok(Err(_)) => return Err(TakeError::Stopped),
                Ok(Ok(permits)) => permits,
            };
            for (permit, frame) in permits.zip(frames) {
                let (ack, waiter) = Ack::reporting();
                permit.send(Delivery { frame, ack });
                waiters.push(waiter);
            }
        }
        let deadline = Instant::now() + COMMIT_MAX;
        let mut outcomes = Vec::with_capacity(waiters.len());
        for waiter in waiters {
            match timeout_at(deadline, waiter).await {
                Ok(Ok(outcome)) => outcomes.push(outcome),
                Ok(Err(_)) | Err(_) => return Err(TakeError::NotCommitted),
            }
        }
        Ok(outcomes)
    }
}

#[cfg(test)]
mod tests;
