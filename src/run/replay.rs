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
/// What is taken becomes a reading of the time at which the frame first came, and, if it came again and
/// a device without a clock is read as of arrival, one of the time at which it last came: a total that is
/// the same then was the same at every time between. The rest keeps its new reason. The answer says where
/// to go on.
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
        .flat_map(|reject| {
            let id = reject.id;
            let entries = readings_of(&assessor, reject);
            if let [JournalEntry::Reject(again)] = entries.as_slice() {
                refused.push(RefusedAgain {
                    id,
                    code: again.reason.code.clone(),
                    message: again.reason.message.clone(),
                });
            }
            entries.into_iter().map(move |entry| Replayed { id, entry })
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

/// What a frame says as of its first and of its last arrival: one or two readings, or why there is none.
fn readings_of(assessor: &Assessor, reject: StoredReject) -> Vec<JournalEntry> {
    let last_at = reject.last_received_at;
    let mut frame = reject.rejected.frame;
    let first = assessor.assess(frame.clone());
    if last_at <= frame.received_at {
        return vec![first];
    }
    frame.received_at = last_at;
    let last = assessor.assess(frame);
    match (&first, &last) {
        (JournalEntry::Reading { reading: a, .. }, JournalEntry::Reading { reading: b, .. })
            if a.sampled_at != b.sampled_at =>
        {
            vec![first, last]
        }
        // Too old when it first came, not when it last came.
        (JournalEntry::Reject(_), JournalEntry::Reading { .. }) => vec![last],
        _ => vec![first],
    }
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
