//! `qiliang rejects list`, `show` and `replay`.

use anyhow::anyhow;

use super::{Context, Failure};
use crate::domain::calendar::beijing_civil;
use crate::domain::frame::RejectedFrame;
use crate::run::deps;
use crate::run::ingest::{Assessor, entry_limits};
use crate::store::journal::{JournalEntry, RejectFilter};

/// Prints them, last received first.
pub(super) fn list(context: &Context, code: Option<String>, limit: usize) -> Result<(), Failure> {
    let app = context.read()?;
    let filter = RejectFilter {
        code,
        limit,
        ..RejectFilter::default()
    };
    let rejects = app.journal.rejects(&filter)?;
    for reject in &rejects {
        let frame = &reject.rejected.frame;
        println!(
            "{:>6}  {}  ×{}  {}  {} bytes  {}",
            reject.id,
            beijing_civil(reject.last_received_at).format("%Y-%m-%d %H:%M:%S"),
            reject.times,
            frame.origin,
            frame.bytes.len(),
            reject.rejected.reason
        );
    }
    println!("{} rejected frame(s)", rejects.len());
    Ok(())
}

/// Prints one with its bytes.
pub(super) fn show(context: &Context, id: i64) -> Result<(), Failure> {
    let app = context.read()?;
    let Some(reject) = app.journal.reject(id)? else {
        return Err(
            anyhow!("there is no rejected frame {id}; `qiliang rejects list` shows them").into(),
        );
    };
    let RejectedFrame { frame, reason, .. } = &reject.rejected;
    println!(
        "received  {}",
        beijing_civil(frame.received_at).to_rfc3339()
    );
    println!("origin    {} ({})", frame.origin, frame.transport.key());
    println!(
        "device    {}",
        frame.device.as_ref().map_or("—", |d| d.as_str())
    );
    println!("reason    {reason}");
    match std::str::from_utf8(&frame.bytes) {
        Ok(text) if !text.contains(char::is_control) => println!("text      {text}"),
        _ => println!("hex       {}", hex::encode(&frame.bytes)),
    }
    Ok(())
}

/// Decodes them again; what is taken now becomes a reading, the rest keeps its new reason.
pub(super) fn replay(context: &Context, code: Option<String>) -> Result<(), Failure> {
    let (app, _) = context.write()?;
    let filter = RejectFilter {
        code,
        ..RejectFilter::default()
    };
    let rejects = app.journal.rejects(&filter)?;
    let assessor = Assessor {
        registry: app.registry(),
        decode: deps::decoder(&app),
        limits: entry_limits(&app.settings.ingest),
    };
    let (mut taken, mut kept) = (Vec::new(), 0);
    for reject in rejects {
        let entry = assessor.assess(reject.rejected.frame);
        if let JournalEntry::Reject(again) = &entry {
            kept += 1;
            println!("{:>6}  still refused: {}", reject.id, again.reason);
        } else {
            taken.push((reject.id, entry));
        }
    }
    let (ids, entries): (Vec<i64>, Vec<JournalEntry>) = taken.into_iter().unzip();
    let count = ids.len();
    if count > 0 {
        app.journal.commit_blocking(entries)?;
        app.journal.mark_replayed(ids, context.clock.now())?;
    }
    println!("{count} frame(s) taken, {kept} still refused");
    Ok(())
}
