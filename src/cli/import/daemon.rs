//! An import while the daemon has the stores: the frames go to it over its own address.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde_json::json;

use super::{Tally, conclude};
use crate::cli::Failure;
use crate::collect::import::ImportFile;
use crate::collect::push::{BodyKind, LOCAL_SECRET_FILE};
use crate::domain::frame::{RawFrame, RejectReason};
use crate::run::site::Site;
use crate::serve::api::readings::{PushOutcome, PushReport};

/// Frames in one request at most.
const FRAMES_MAX: usize = 1_000;

/// How often a daemon that has no room is asked again.
const TRIES_MAX: u32 = 60;

/// Longest wait that a daemon is believed, s.
const WAIT_MAX_S: u64 = 60;

/// The running daemon.
struct Daemon {
    client: Client,
    url: String,
    bearer: String,
    frames_max: usize,
    bytes_max: usize,
}

/// What one request will hold.
#[derive(Default)]
struct Batch {
    body: String,
    origins: Vec<String>,
    /// Why a line cannot be read, as the file's reader says it.
    reasons: Vec<Option<RejectReason>>,
}

/// Sends the files' frames to the daemon.
pub(super) fn send(site: &Site, files: Vec<(Tally, ImportFile)>) -> Result<(), Failure> {
    let daemon = Daemon::find(site)?;
    eprintln!("note: the daemon has the stores open; the lines go through it");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let mut tallies = Vec::new();
    for (mut tally, file) in files {
        runtime
            .block_on(daemon.import(file, &mut tally))
            .with_context(|| {
                format!(
                    "{} was imported up to line {}; import it again once that is mended, nothing is stored twice",
                    tally.name, tally.lines
                )
            })?;
        tallies.push(tally);
    }
    conclude(&tallies, "accepted")
}

impl Daemon {
    fn find(site: &Site) -> anyhow::Result<Self> {
        let dir = &site.settings.paths.data_dir;
        let read = |name: &str| {
            let file = dir.join(name);
            fs::read_to_string(&file).with_context(|| {
                format!(
                    "the stores are in use, and {} cannot be read to reach the daemon that uses them; run this as the daemon's user, or stop the daemon first",
                    file.display()
                )
            })
        };
        let (address, secret) = (read("address")?, read(LOCAL_SECRET_FILE)?);
        let settings = &site.settings;
        let room = settings.push.messages_max.min(settings.ingest.queue_len);
        Ok(Self {
            client: Client::builder()
                .no_proxy()
                .timeout(Duration::from_mins(1))
                .build()
                .context("cannot make an HTTP client")?,
            url: format!("http://{}/api/v1/readings", address.trim()),
            bearer: format!("Bearer {}", secret.trim()),
            frames_max: room.clamp(1, FRAMES_MAX),
            bytes_max: settings
                .push
                .body_max_bytes
                .min(settings.push.unpacked_max_bytes)
                / 2,
        })
    }

    async fn import(&self, file: ImportFile, tally: &mut Tally) -> anyhow::Result<()> {
        let mut batch = Batch::default();
        for line in file {
            let (frame, reason) = match line {
                Ok(frame) => (frame, None),
                Err(rejected) => (rejected.frame, Some(rejected.reason)),
            };
            batch.push(frame, reason)?;
            if batch.origins.len() >= self.frames_max || batch.body.len() >= self.bytes_max {
                self.post(std::mem::take(&mut batch), tally).await?;
            }
        }
        if !batch.origins.is_empty() {
            self.post(batch, tally).await?;
        }
        Ok(())
    }

    async fn post(&self, batch: Batch, tally: &mut Tally) -> anyhow::Result<()> {
        let mut tries = 0;
        let report: PushReport = loop {
            let answer = self
                .client
                .post(&self.url)
                .header(AUTHORIZATION, &self.bearer)
                .header(CONTENT_TYPE, BodyKind::FRAMES)
                .body(batch.body.clone())
                .send()
                .await
                .context("the daemon does not answer; is it still running?")?;
            let status = answer.status();
            tries += 1;
            if status == StatusCode::SERVICE_UNAVAILABLE && tries < TRIES_MAX {
                let wait_s = answer
                    .headers()
                    .get(RETRY_AFTER)
                    .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
                    .unwrap_or(1);
                tokio::time::sleep(Duration::from_secs(wait_s.min(WAIT_MAX_S))).await;
                continue;
            }
            let body = answer
                .bytes()
                .await
                .context("the daemon's answer broke off")?;
            if status != StatusCode::ACCEPTED {
                let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                let detail = problem.get("detail").and_then(|d| d.as_str()).unwrap_or("");
                return Err(anyhow!("the daemon answered {status}: {detail}"));
            }
            break serde_json::from_slice(&body).context("the daemon's answer cannot be read")?;
        };
        tally.lines += report.received;
        tally.accepted += report.accepted;
        tally.duplicate += report.duplicate;
        for (index, item) in report.items.iter().enumerate() {
            if item.outcome != PushOutcome::Rejected {
                continue;
            }
            let origin = batch.origins.get(index).map_or("", String::as_str);
            let own = batch.reasons.get(index).and_then(Option::as_ref);
            let told = RejectReason::new(
                item.code.as_deref().unwrap_or_default(),
                item.message.as_deref().unwrap_or_default(),
            );
            tally.reject_at(origin, own.unwrap_or(&told));
        }
        tally.progress();
        Ok(())
    }
}

impl Batch {
    fn push(&mut self, frame: RawFrame, reason: Option<RejectReason>) -> anyhow::Result<()> {
        let line = json!({
            "origin": frame.origin,
            "device": frame.device,
            "received_at": frame.received_at,
            "hex": hex::encode(&frame.bytes),
        });
        writeln!(self.body, "{line}").context("a line cannot be written")?;
        self.origins.push(frame.origin);
        self.reasons.push(reason);
        Ok(())
    }
}
