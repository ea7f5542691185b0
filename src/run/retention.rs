//! Rejected frames whose time is over, or that weigh too much, are dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::text::error_chain;
use crate::settings::RejectSettings;
use crate::store::StoreError;
use crate::store::journal::{Dropped, Journal};

/// How often it is looked whether anything must go.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Drops what the settings no longer keep. Blocks.
///
/// # Errors
/// What the store says.
pub fn drop_now(
    journal: &Journal,
    settings: &RejectSettings,
    now: DateTime<Utc>,
) -> Result<Dropped, StoreError> {
    let before = now - TimeDelta::days(i64::from(settings.keep_days));
    let mut sum = Dropped::default();
    loop {
        let dropped = journal.drop_rejects(before, settings.bytes_max)?;
        sum.frames += dropped.frames;
        sum.deliveries += dropped.deliveries;
        sum.bytes += dropped.bytes;
        if !dropped.is_partial || dropped.frames == 0 {
            return Ok(sum);
        }
    }
}

/// Looks every minute until told to stop.
///
/// # Errors
/// A panic of the worker.
pub async fn run(
    journal: Journal,
    settings: RejectSettings,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let (worker, limits, now) = (journal.clone(), settings.clone(), clock.now());
        let dropped = tokio::task::spawn_blocking(move || drop_now(&worker, &limits, now)).await?;
        match dropped {
            Ok(dropped) if dropped.frames > 0 => info!(
                frames = dropped.frames,
                deliveries = dropped.deliveries,
                bytes = dropped.bytes,
                "Dropped rejected frames that are kept no longer (rejects.keep_days, rejects.bytes_max)"
            ),
            Ok(_) => {}
            Err(error) => warn!(
                code = error.code(),
                "Rejected frames are not dropped now: {}",
                error_chain(&error)
            ),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
