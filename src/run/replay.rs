//! Rejected frames are decoded again, after a profile or the registry is mended.

use std::sync::Arc;

use crate::domain::id::DeviceId;
use crate::run::app::App;
use crate::run::deps;
use crate::run::ingest::{Assessor, entry_limits};
use crate::serve::api::rejects::{
    PurgeRequest, PurgeResult, RefusedAgain, ReplayRequest, ReplayResult,
};
use crate::store::StoreError;
use crate::store::journal::{JournalEntry, RejectFilter, ReplayReport, Replayed, StoredReject};

/// Frames decoded and committed together.
pub const CHUNK_MAX: usize = 500;

/// Replays the next few of the frames that are asked for. Blocks.
///
/// What is taken becomes a reading of the time at which the frame first came; the rest keeps its new
/// reason. The answer says where to go on.
///
/// # Errors
/// What the store says; nothing of these few has changed then.
pub fn replay(app: &App, request: &ReplayRequest) -> Result<ReplayResult, StoreError> {
    let (rejects, unknown, next_after) = next_few(app, request)?;
    let assessor = Assessor {
        registry: app.registry(),
        decode: deps::decoder(app),
        limits: entry_limits(&app.settings.ingest),
        kept: Arc::new(app.settings.retention.clone()),
        clocks: None,
    };
    let mut refused = Vec::new();
    let replayed: Vec<Replayed> = rejects
        .into_iter()
        .map(|reject| {
            let id = reject.id;
            let entry = assessor.assess(reject.rejected.frame);
            if let JournalEntry::Reject(again) = &entry {
                refused.push(RefusedAgain {
                    id,
                    code: again.reason.code.clone(),
                    message: again.reason.message.clone(),
                });
            }
            Replayed { id, entry }
        })
        .collect();
    let report = if replayed.is_empty() {
        ReplayReport::default()
    } else {
        app.journal.commit_replay(replayed, app.clock.now())?
    };
    Ok(ReplayResult {
        accepted: report.accepted,
        duplicate: report.duplicate,
        refused,
        unknown,
        next_after,
    })
}

type Few = (Vec<StoredReject>, Vec<i64>, Option<i64>);

fn next_few(app: &App, request: &ReplayRequest) -> Result<Few, StoreError> {
    if request.ids.is_empty() {
        let filter = RejectFilter {
            code: request.code.clone(),
            device: request.device.as_deref().map(DeviceId::from),
            limit: CHUNK_MAX,
            ..RejectFilter::default()
        };
        let rejects = app
            .journal
            .rejects_after(&filter, request.after.unwrap_or(i64::MIN))?;
        let next = (rejects.len() == CHUNK_MAX)
            .then(|| rejects.last().map(|last| last.id))
            .flatten();
        return Ok((rejects, Vec::new(), next));
    }
    let mut ids = request.ids.clone();
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| request.after.is_none_or(|after| *id > after));
    let next = (ids.len() > CHUNK_MAX)
        .then(|| ids.get(CHUNK_MAX - 1).copied())
        .flatten();
    ids.truncate(CHUNK_MAX);
    let (mut rejects, mut unknown) = (Vec::new(), Vec::new());
    for id in ids {
        match app.journal.reject(id)? {
            Some(reject) => rejects.push(reject),
            None => unknown.push(id),
        }
    }
    Ok((rejects, unknown, next))
}

/// Deletes the frames that are asked for. Blocks.
///
/// # Errors
/// What the store says; what was deleted by then stays deleted and counted.
pub fn purge(app: &App, request: &PurgeRequest) -> Result<PurgeResult, StoreError> {
    let filter = RejectFilter {
        code: request.code.clone(),
        device: request.device.as_deref().map(DeviceId::from),
        before: request.before,
        with_replayed: true,
        only_replayed: request.only_replayed,
        ..RejectFilter::default()
    };
    let mut result = PurgeResult::default();
    loop {
        let dropped = app.journal.purge_rejects(&filter)?;
        result.frames += dropped.frames;
        result.deliveries += dropped.deliveries;
        if !dropped.is_partial {
            break;
        }
    }
    tracing::info!(
        frames = result.frames,
        deliveries = result.deliveries,
        "Rejected frames were purged"
    );
    Ok(result)
}
