//! `qiliang rejects list`, `show`, `replay`, `stats`, `export` and `purge`.
//!
//! Reading works beside a running daemon; what changes the journal is asked of the daemon while it
//! has the journal open, and done here otherwise.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::hand::Hand;
use super::{Context, Failure};
use crate::domain::calendar::beijing_civil;
use crate::domain::id::DeviceId;
use crate::run::replay::{self, CHUNK_MAX};
use crate::serve::api::rejects::{PurgeRequest, PurgeResult, ReplayRequest, ReplayResult};
use crate::store::journal::{ListedReject, RejectFilter, RejectStats, StoredReject};

#[derive(Debug, Subcommand)]
pub(super) enum RejectsCommand {
    /// List them, last received first.
    List {
        #[command(flatten)]
        chosen: Chosen,
        /// At most so many; 0 for all.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one, with its bytes.
    Show {
        /// Number, as `list` prints it.
        id: i64,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Decode them again, after the profile or the registry is mended; also while the daemon runs.
    Replay {
        /// These numbers, as `list` prints them; all that wait if none is given.
        ids: Vec<i64>,
        /// Only with this code.
        #[arg(long, conflicts_with = "ids")]
        code: Option<String>,
        /// Only of this device.
        #[arg(long, conflicts_with = "ids")]
        device: Option<String>,
        /// All that wait: what happens without any choice, said aloud.
        #[arg(long, conflicts_with_all = ["ids", "code", "device"])]
        all: bool,
    },
    /// Where every rejected delivery is; the sums must hold.
    Stats {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write them to a file that `qiliang import` and `qiliang profiles new` read.
    Export {
        #[command(flatten)]
        chosen: Chosen,
        /// File, which must not be there yet.
        #[arg(long, value_name = "FILE.ndjson")]
        out: PathBuf,
    },
    /// Delete them for good.
    Purge {
        /// Only with this code.
        #[arg(long)]
        code: Option<String>,
        /// Only of this device.
        #[arg(long)]
        device: Option<String>,
        /// Only what last came before this instant (RFC 3339).
        #[arg(long, value_name = "INSTANT")]
        before: Option<DateTime<Utc>>,
        /// Only those that were replayed with success.
        #[arg(long)]
        replayed: bool,
        /// Do it; without this the number is printed.
        #[arg(long)]
        yes: bool,
    },
}

/// Which frames are meant.
#[derive(Debug, Clone, Args)]
pub(super) struct Chosen {
    /// Only with this code.
    #[arg(long)]
    code: Option<String>,
    /// Only of this device, as the topic or gateway names it.
    #[arg(long)]
    device: Option<String>,
    /// Only where the topic, gateway or file contains this text.
    #[arg(long, value_name = "TEXT")]
    origin: Option<String>,
    /// Only what came at this instant (RFC 3339) or later.
    #[arg(long, value_name = "INSTANT")]
    since: Option<DateTime<Utc>>,
    /// Also those that were replayed with success.
    #[arg(long)]
    with_replayed: bool,
}

impl Chosen {
    fn filter(self, limit: usize) -> RejectFilter {
        RejectFilter {
            code: self.code,
            device: self.device.map(DeviceId::new),
            origin: self.origin,
            since: self.since,
            with_replayed: self.with_replayed,
            limit,
            ..RejectFilter::default()
        }
    }
}

/// Runs it.
pub(super) fn run(context: &Context, what: RejectsCommand) -> Result<(), Failure> {
    match what {
        RejectsCommand::List {
            chosen,
            limit,
            json,
        } => list(context, chosen, limit, json),
        RejectsCommand::Show { id, json } => show(context, id, json),
        RejectsCommand::Replay {
            ids, code, device, ..
        } => {
            let request = ReplayRequest {
                ids,
                code,
                device,
                after: None,
            };
            replay(context, &request)
        }
        RejectsCommand::Stats { json } => stats(context, json),
        RejectsCommand::Export { chosen, out } => export(context, chosen, &out),
        RejectsCommand::Purge {
            code,
            device,
            before,
            replayed,
            yes,
        } => {
            let request = PurgeRequest {
                code,
                device,
                before,
                only_replayed: replayed,
            };
            purge(context, &request, yes)
        }
    }
}

/// Prints them, last received first.
fn list(context: &Context, chosen: Chosen, limit: usize, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let rejects = app.journal.rejects(&chosen.filter(limit))?;
    if is_json {
        for listed in &rejects {
            // One payload at a time.
            if let Some(reject) = app.journal.reject(listed.id)? {
                println!("{}", as_json(&reject));
            }
        }
        return Ok(());
    }
    for reject in &rejects {
        print!("{}", line(reject));
    }
    println!("{} rejected frame(s)", rejects.len());
    Ok(())
}

fn line(reject: &ListedReject) -> String {
    let replayed = if reject.replayed_at.is_some() {
        "replayed; was "
    } else {
        ""
    };
    format!(
        "{:>6}  {}  ×{}  {}  {} bytes  {replayed}{}\n",
        reject.id,
        beijing_civil(reject.last_received_at).format("%Y-%m-%d %H:%M:%S"),
        reject.times,
        reject.origin,
        reject.size_bytes,
        reject.reason
    )
}

fn as_json(reject: &StoredReject) -> Value {
    let frame = &reject.rejected.frame;
    json!({
        "id": reject.id,
        "code": reject.rejected.reason.code,
        "message": reject.rejected.reason.message,
        "transport": frame.transport.key(),
        "origin": frame.origin,
        "device": frame.device,
        "meter": reject.rejected.meter,
        "first_received_at": beijing_civil(frame.received_at).to_rfc3339(),
        "last_received_at": beijing_civil(reject.last_received_at).to_rfc3339(),
        "times": reject.times,
        "replayed_at": reject.replayed_at.map(|at| beijing_civil(at).to_rfc3339()),
        "hex": hex::encode(&frame.bytes),
    })
}

/// Prints one with its bytes.
fn show(context: &Context, id: i64, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let Some(reject) = app.journal.reject(id)? else {
        return Err(
            anyhow!("there is no rejected frame {id}; `qiliang rejects list` shows them").into(),
        );
    };
    if is_json {
        println!("{:#}", as_json(&reject));
    } else {
        print!("{}", whole(&reject));
    }
    Ok(())
}

fn whole(reject: &StoredReject) -> String {
    let rejected = &reject.rejected;
    let frame = &rejected.frame;
    let instant = |at| beijing_civil(at).to_rfc3339();
    let mut out = String::new();
    let mut add = |name: &str, text: String| {
        writeln!(out, "{name:<9} {text}").ok();
    };
    add("first", instant(frame.received_at));
    add(
        "last",
        format!("{} (×{})", instant(reject.last_received_at), reject.times),
    );
    add(
        "origin",
        format!("{} ({})", frame.origin, frame.transport.key()),
    );
    let device = frame.device.as_ref().map_or("—", |d| d.as_str());
    add("device", device.to_owned());
    let meter = rejected.meter.as_ref().map_or("—", |m| m.as_str());
    add("meter", meter.to_owned());
    add("reason", rejected.reason.to_string());
    if let Some(at) = reject.replayed_at {
        add("replayed", instant(at));
    }
    add("bytes", frame.bytes.len().to_string());
    if let Ok(text) = std::str::from_utf8(&frame.bytes)
        && !text.is_empty()
        && !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace())
    {
        writeln!(out, "\n{text}").ok();
    }
    out.push('\n');
    out.push_str(&hexdump(&frame.bytes));
    out
}

/// Offset, sixteen bytes, and what of them is printable.
fn hexdump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (index, row) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = row.iter().map(|b| format!("{b:02x}")).collect();
        let text: String = row
            .iter()
            .map(|b| {
                if b.is_ascii_graphic() || *b == b' ' {
                    char::from(*b)
                } else {
                    '.'
                }
            })
            .collect();
        writeln!(out, "{:08x}  {:<47}  |{text}|", index * 16, hex.join(" ")).ok();
    }
    out
}

/// Prints where every rejected delivery is.
fn stats(context: &Context, is_json: bool) -> Result<(), Failure> {
    let app = context.read()?;
    let stats = app.journal.reject_stats()?;
    if is_json {
        println!("{:#}", stats_json(&stats));
    } else {
        print!("{}", stats_text(&stats));
    }
    Ok(())
}

fn stats_json(stats: &RejectStats) -> Value {
    let counters = &stats.counters;
    json!({
        "received": counters.received,
        "accepted": counters.accepted,
        "duplicate": counters.duplicate,
        "rejected": counters.rejected,
        "rejected_waiting": stats.waiting,
        "rejected_replayed": stats.replayed,
        "rejected_dropped": stats.dropped,
        "rejected_purged": stats.purged,
        "replay_accepted": stats.replay_accepted,
        "replay_duplicate": stats.replay_duplicate,
        "kept_frames": stats.frames,
        "kept_bytes": stats.bytes,
        "waiting_frames_by_code": stats.by_code,
    })
}

fn stats_text(stats: &RejectStats) -> String {
    let counters = &stats.counters;
    let mut out = format!(
        "received {} = accepted {} + duplicate {} + rejected {}\n\
         rejected {} = waiting {} + replayed {} + dropped {} + purged {}\n\
         replays: {} new, {} known\n\
         kept: {} frames, {} bytes\n",
        counters.received,
        counters.accepted,
        counters.duplicate,
        counters.rejected,
        counters.rejected,
        stats.waiting,
        stats.replayed,
        stats.dropped,
        stats.purged,
        stats.replay_accepted,
        stats.replay_duplicate,
        stats.frames,
        stats.bytes,
    );
    for (code, frames) in &stats.by_code {
        writeln!(out, "{frames:>8} wait with {code}").ok();
    }
    out
}

impl Hand {
    fn replay(&self, request: &ReplayRequest) -> anyhow::Result<ReplayResult> {
        match self {
            Self::Own(app) => Ok(replay::replay(app, request)?),
            Self::Daemon(daemon) => daemon.post("/api/v1/rejects/replay", request),
        }
    }

    fn purge(&self, request: &PurgeRequest) -> anyhow::Result<PurgeResult> {
        match self {
            Self::Own(app) => Ok(replay::purge(app, request)?),
            Self::Daemon(daemon) => daemon.post("/api/v1/rejects/purge", request),
        }
    }
}

/// Decodes them again; what is taken now becomes a reading, the rest keeps its new reason.
fn replay(context: &Context, asked: &ReplayRequest) -> Result<(), Failure> {
    let hand = Hand::of(context)?;
    let mut sum = ReplayResult::default();
    let mut refused = 0;
    // Identifiers go a few at a time, so that a request stays small.
    let groups: Vec<Vec<i64>> = if asked.ids.is_empty() {
        vec![Vec::new()]
    } else {
        asked.ids.chunks(CHUNK_MAX).map(<[i64]>::to_vec).collect()
    };
    for ids in groups {
        let mut request = ReplayRequest {
            ids,
            ..asked.clone()
        };
        loop {
            let result = hand.replay(&request)?;
            for again in &result.refused {
                println!(
                    "{:>6}  still refused: {} [{}]",
                    again.id, again.message, again.code
                );
            }
            refused += result.refused.len();
            sum.accepted += result.accepted;
            sum.duplicate += result.duplicate;
            sum.unknown.extend(result.unknown);
            match result.next_after {
                Some(after) => request.after = Some(after),
                None => break,
            }
        }
    }
    println!(
        "{} frame(s) taken ({} said nothing new), {refused} still refused",
        sum.accepted + sum.duplicate,
        sum.duplicate
    );
    if sum.unknown.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = sum.unknown.iter().map(ToString::to_string).collect();
    Err(anyhow!(
        "no rejected frame has the number {}; `qiliang rejects list` shows them",
        list.join(", ")
    )
    .into())
}

/// Writes them as NDJSON that `qiliang import` and `qiliang profiles new` read.
fn export(context: &Context, chosen: Chosen, out: &Path) -> Result<(), Failure> {
    let app = context.read()?;
    let file = File::create_new(out).with_context(|| {
        format!(
            "cannot write {}; name a file that is not there yet",
            out.display()
        )
    })?;
    let mut file = BufWriter::new(file);
    let filter = chosen.filter(CHUNK_MAX);
    let (mut after, mut count) = (i64::MIN, 0);
    loop {
        let rejects = app.journal.rejects_after(&filter, after)?;
        for reject in &rejects {
            writeln!(file, "{}", captured(reject))?;
            after = reject.id;
        }
        count += rejects.len();
        if rejects.len() < CHUNK_MAX {
            break;
        }
    }
    file.flush()?;
    println!("{count} frame(s) written to {}", out.display());
    Ok(())
}

/// A frame as `qiliang import` reads it.
fn captured(reject: &StoredReject) -> Value {
    let frame = &reject.rejected.frame;
    let mut line = json!({
        "received_at": frame.received_at.to_rfc3339(),
        "hex": hex::encode(&frame.bytes),
    });
    if let (Some(device), Some(line)) = (&frame.device, line.as_object_mut()) {
        line.insert("device".to_owned(), json!(device));
    }
    line
}

/// Deletes them, after the number was looked at.
fn purge(context: &Context, request: &PurgeRequest, is_sure: bool) -> Result<(), Failure> {
    if !is_sure {
        let app = context.read()?;
        let filter = RejectFilter {
            code: request.code.clone(),
            device: request.device.clone().map(DeviceId::new),
            before: request.before,
            with_replayed: true,
            only_replayed: request.only_replayed,
            ..RejectFilter::default()
        };
        let count = app.journal.count_rejects(&filter)?;
        println!("{count} frame(s) would be deleted for good; repeat with --yes to do it");
        return Ok(());
    }
    let result = Hand::of(context)?.purge(request)?;
    println!(
        "{} frame(s) of {} deliveries deleted",
        result.frames, result.deliveries
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
    use crate::store::journal::JournalCounters;

    fn reject(bytes: &'static [u8]) -> StoredReject {
        let at = |text: &str| text.parse().unwrap();
        StoredReject {
            id: 7,
            rejected: RejectedFrame {
                frame: RawFrame {
                    transport: Transport::Mqtt,
                    origin: "gas/co/gw/D1/up/reading".into(),
                    device: Some("D1".into()),
                    bytes: Bytes::from_static(bytes),
                    received_at: at("2026-11-21T00:00:00Z"),
                },
                meter: Some("M1".into()),
                reason: RejectReason::new("decode.truncated", "frame ends early"),
            },
            last_received_at: at("2026-11-21T01:00:00Z"),
            times: 3,
            replayed_at: None,
        }
    }

    #[test]
    fn a_frame_is_shown_as_text_and_bytes() {
        insta::assert_snapshot!(
            "rejects_show_text",
            whole(&reject(b"{\"v\":1,\"dev\":\"D1\""))
        );
        insta::assert_snapshot!(
            "rejects_show_binary",
            whole(&reject(b"\x68\x30\x01\x00\xff h"))
        );
        let listed = ListedReject {
            id: 7,
            transport: Transport::Mqtt,
            origin: "gas/co/gw/D1/up/reading".into(),
            device: Some("D1".into()),
            meter: Some("M1".into()),
            reason: RejectReason::new("decode.truncated", "frame ends early"),
            size_bytes: 1,
            beginning: vec![0x68],
            first_received_at: "2026-11-21T00:00:00Z".parse().unwrap(),
            last_received_at: "2026-11-21T01:00:00Z".parse().unwrap(),
            times: 3,
            replayed_at: None,
        };
        insta::assert_snapshot!("rejects_list_line", line(&listed));
        insta::assert_snapshot!(
            "rejects_list_json",
            format!("{:#}", as_json(&reject(b"\x68\x30")))
        );
    }

    #[test]
    fn the_sums_are_printed_so_that_they_can_be_checked() {
        let stats = RejectStats {
            counters: JournalCounters {
                received: 20,
                accepted: 10,
                duplicate: 4,
                conflicts: 1,
                rejected: 6,
            },
            waiting: 3,
            replayed: 1,
            dropped: 2,
            purged: 0,
            frames: 3,
            bytes: 120,
            replay_accepted: 1,
            replay_duplicate: 0,
            by_code: [("decode.truncated".to_owned(), 2)].into(),
        };
        insta::assert_snapshot!("rejects_stats", stats_text(&stats));
    }

    #[test]
    fn what_is_exported_can_be_imported() {
        let line = captured(&reject(b"\x68\x30"));
        assert_eq!(line["hex"], "6830");
        assert_eq!(line["device"], "D1");
        assert_eq!(line["received_at"], "2026-11-21T00:00:00+00:00");
    }
}
