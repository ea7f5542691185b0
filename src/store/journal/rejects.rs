//! Rejected frames: kept with their bytes, listed, replayed, and dropped when their time is over.
//!
//! **Invariant:** every rejected delivery is accounted for:
//! `rejected = waiting + replayed + dropped + purged`, see [`RejectStats`].

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, named_params, params};
use sha2::{Digest as _, Sha256};

use super::{Journal, JournalCounters, JournalEntry, ingest, instant, locked, millis};
use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use crate::domain::id::{DeviceId, MeterId};
use crate::store::error::StoreError;

/// Rows dropped in one transaction, so that readings do not wait long behind it.
const DROP_MAX: u32 = 2_000;

/// A rejected frame as stored. The same bytes from the same device are one row, however often
/// they were delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReject {
    /// Identifier.
    pub id: i64,
    /// The frame with the latest reason; `received_at` is the first time it came.
    pub rejected: RejectedFrame,
    /// When it last came.
    pub last_received_at: DateTime<Utc>,
    /// How often it came.
    pub times: u64,
    /// When it was replayed with success, if it was; reset when it comes again.
    pub replayed_at: Option<DateTime<Utc>>,
}

/// What is listed of a rejected frame: all but its bytes, of which the beginning is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedReject {
    /// Identifier, by which [`Journal::reject`] has the whole.
    pub id: i64,
    /// How it came.
    pub transport: Transport,
    /// Topic, gateway or file.
    pub origin: String,
    /// Device, as the transport names it.
    pub device: Option<DeviceId>,
    /// Meter, where it was found out.
    pub meter: Option<MeterId>,
    /// Why it was rejected, the latest reason.
    pub reason: RejectReason,
    /// Size of the payload, bytes.
    pub size_bytes: usize,
    /// The payload's first bytes, 1,024 at most.
    pub beginning: Vec<u8>,
    /// When it first came.
    pub first_received_at: DateTime<Utc>,
    /// When it last came.
    pub last_received_at: DateTime<Utc>,
    /// How often it came.
    pub times: u64,
    /// When it was replayed with success, if it was; reset when it comes again.
    pub replayed_at: Option<DateTime<Utc>>,
}

/// Which rejects are asked for; a condition that is not set holds for all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectFilter {
    /// Only of this meter.
    pub meter: Option<MeterId>,
    /// Only with this code.
    pub code: Option<String>,
    /// Only of this device, as the transport names it.
    pub device: Option<DeviceId>,
    /// Only where the origin (topic, gateway, file) contains this.
    pub origin: Option<String>,
    /// Only what came at this instant or later.
    pub since: Option<DateTime<Utc>>,
    /// Only what last came before this instant.
    pub before: Option<DateTime<Utc>>,
    /// Also those replayed with success.
    pub with_replayed: bool,
    /// Only those replayed with success.
    pub only_replayed: bool,
    /// At most so many, last received first; 0 is no limit.
    pub limit: usize,
}

/// What a frame became when it was decoded again.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The rejected frame.
    pub id: i64,
    /// What it is now.
    pub entry: JournalEntry,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayReport {
    /// Readings that said something new: one of a frame, or two of one that came again.
    pub accepted: u64,
    /// Frames that said only what was known by then.
    pub duplicate: u64,
    /// Frames refused again; they keep the new reason.
    pub refused: u64,
}

/// Where every rejected delivery is:
/// `rejected = waiting + replayed + dropped + purged`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectStats {
    /// The journal's totals of the same instant.
    pub counters: JournalCounters,
    /// Deliveries of frames that wait for a replay.
    pub waiting: u64,
    /// Deliveries of frames replayed with success and still kept.
    pub replayed: u64,
    /// Deliveries of frames whose time was over, or that had to make room.
    pub dropped: u64,
    /// Deliveries of frames that somebody deleted.
    pub purged: u64,
    /// Frames kept, each once however often it came.
    pub frames: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Replays that said something new.
    pub replay_accepted: u64,
    /// Replays that said only what was known.
    pub replay_duplicate: u64,
    /// Frames that wait, by code.
    pub by_code: BTreeMap<String, u64>,
}

/// What was removed from the kept frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Frames.
    pub frames: u64,
    /// Their deliveries.
    pub deliveries: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// There is more to remove: ask again.
    pub is_partial: bool,
}

fn digest(frame: &RawFrame) -> Vec<u8> {
    let device = frame.device.as_ref().map_or("", DeviceId::as_str);
    digest_of(frame.transport.key(), device, &frame.bytes)
}

fn digest_of(transport: &str, device: &str, bytes: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(transport);
    hash.update([0]);
    hash.update(device);
    hash.update([0]);
    hash.update(bytes);
    hash.finalize().to_vec()
}

/// Reads every kept frame; `take` is told of those whose bytes are not those that came.
pub(super) fn damaged(c: &Connection, mut take: impl FnMut(String)) -> rusqlite::Result<()> {
    let mut statement = c.prepare(
        "SELECT id, digest, transport, coalesce(device, ''), bytes, code FROM rejects ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let bytes = row.get_ref(4)?.as_blob()?;
        let found = digest_of(row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?, bytes);
        if found != row.get_ref(1)?.as_blob()? {
            let (id, code): (i64, String) = (row.get(0)?, row.get(5)?);
            take(format!("frame {id} ({code}) is not what came"));
        }
    }
    Ok(())
}

/// Keeps a frame, or counts that it came again. What a broker had kept says nothing new of a frame that is
/// here already, least of all when it came.
pub(super) fn insert(t: &Transaction<'_>, reject: &RejectedFrame) -> rusqlite::Result<()> {
    let frame = &reject.frame;
    let times: i64 = t
        .prepare_cached(
            "INSERT INTO rejects (digest, transport, origin, device, meter, bytes, code, message,
                              first_at, last_at, times)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, 1)
         ON CONFLICT (digest) DO UPDATE SET
           origin = iif(?10, origin, excluded.origin), meter = excluded.meter,
           code = iif(?10, code, excluded.code), message = iif(?10, message, excluded.message),
           first_at = min(first_at, excluded.first_at),
           last_at = iif(?10, last_at, max(last_at, excluded.last_at)), times = times + 1,
           replayed_at = iif(?10, replayed_at, NULL)
         RETURNING times",
        )?
        .query_row(
            params![
                digest(frame),
                frame.transport.key(),
                frame.origin,
                frame.device.as_ref().map(DeviceId::as_str),
                reject.meter.as_ref().map(MeterId::as_str),
                &frame.bytes[..],
                reject.reason.code,
                reject.reason.message,
                millis(frame.received_at),
                frame.is_retained(),
            ],
            |row| row.get(0),
        )?;
    if times == 1 {
        let size = i64::try_from(frame.bytes.len()).unwrap_or(i64::MAX);
        add(t, "reject_bytes", size)?;
    }
    Ok(())
}

fn add(t: &Transaction<'_>, name: &str, value: i64) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO counters VALUES (?1, ?2)
         ON CONFLICT DO UPDATE SET value = value + excluded.value",
    )?
    .execute(params![name, value])
    .map(drop)
}

const COLUMNS: &str = "id, transport, origin, device, meter, bytes, code, message, first_at, \
                       last_at, times, replayed_at";

/// Columns of what is listed.
const LISTED: &str = "id, transport, origin, device, meter, length(bytes), \
                      substr(bytes, 1, 1024), code, message, first_at, last_at, times, replayed_at";

const CONDITIONS: &str = "(:meter IS NULL OR meter = :meter) AND (:code IS NULL OR code = :code) \
     AND (:device IS NULL OR device = :device) \
     AND (:origin IS NULL OR instr(origin, :origin) > 0) \
     AND (:since IS NULL OR last_at >= :since) AND (:before IS NULL OR last_at < :before) \
     AND (:with_replayed OR replayed_at IS NULL) AND (NOT :only_replayed OR replayed_at IS NOT NULL) \
     AND id > :after";

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredReject> {
    let transport = Transport::from_key(row.get_ref(1)?.as_str()?).unwrap_or(Transport::Import);
    Ok(StoredReject {
        id: row.get(0)?,
        rejected: RejectedFrame {
            frame: RawFrame {
                transport,
                origin: row.get(2)?,
                device: row.get::<_, Option<String>>(3)?.map(DeviceId::new),
                bytes: Bytes::from(row.get::<_, Vec<u8>>(5)?),
                received_at: instant(row.get(8)?),
            },
            meter: row.get::<_, Option<String>>(4)?.map(MeterId::new),
            reason: RejectReason {
                code: row.get(6)?,
                message: row.get(7)?,
            },
        },
        last_received_at: instant(row.get(9)?),
        times: row.get::<_, i64>(10)?.cast_unsigned(),
        replayed_at: row.get::<_, Option<i64>>(11)?.map(instant),
    })
}

macro_rules! conditions {
    ($filter:expr, $after:expr $(, $name:literal: $value:expr)*) => {
        named_params! {
            ":meter": $filter.meter.as_ref().map(MeterId::as_str),
            ":code": $filter.code,
            ":device": $filter.device.as_ref().map(DeviceId::as_str),
            ":origin": $filter.origin,
            ":since": $filter.since.map(millis),
            ":before": $filter.before.map(millis),
            ":with_replayed": $filter.with_replayed || $filter.only_replayed,
            ":only_replayed": $filter.only_replayed,
            ":after": $after
            $(, $name: $value)*
        }
    };
}

fn listed(row: &Row<'_>) -> rusqlite::Result<ListedReject> {
    let transport = Transport::from_key(row.get_ref(1)?.as_str()?).unwrap_or(Transport::Import);
    Ok(ListedReject {
        id: row.get(0)?,
        transport,
        origin: row.get(2)?,
        device: row.get::<_, Option<String>>(3)?.map(DeviceId::new),
        meter: row.get::<_, Option<String>>(4)?.map(MeterId::new),
        size_bytes: usize::try_from(row.get::<_, i64>(5)?).unwrap_or(usize::MAX),
        beginning: row.get(6)?,
        reason: RejectReason {
            code: row.get(7)?,
            message: row.get(8)?,
        },
        first_received_at: instant(row.get(9)?),
        last_received_at: instant(row.get(10)?),
        times: row.get::<_, i64>(11)?.cast_unsigned(),
        replayed_at: row.get::<_, Option<i64>>(12)?.map(instant),
    })
}

/// Rows of a filter in an order, some columns of each.
fn select<T>(
    c: &Connection,
    columns: &str,
    filter: &RejectFilter,
    after: i64,
    order: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let limit = match filter.limit {
        0 => -1,
        limit => i64::try_from(limit).unwrap_or(-1),
    };
    let mut statement = c.prepare_cached(&format!(
        "SELECT {columns} FROM rejects WHERE {CONDITIONS} ORDER BY {order} LIMIT :limit"
    ))?;
    let rows = statement.query_map(conditions!(filter, after, ":limit": limit), read)?;
    rows.collect()
}

impl Journal {
    /// Rejected frames, last received first, without their payloads. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn rejects(&self, filter: &RejectFilter) -> Result<Vec<ListedReject>, StoreError> {
        self.read("reading rejected frames", |c| {
            select(c, LISTED, filter, i64::MIN, "last_at DESC, id DESC", listed)
        })
    }

    /// Rejected frames with a greater identifier, in the order of identifiers: for going through
    /// all of them a few at a time. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn rejects_after(
        &self,
        filter: &RejectFilter,
        after: i64,
    ) -> Result<Vec<StoredReject>, StoreError> {
        self.read("reading rejected frames", |c| {
            select(c, COLUMNS, filter, after, "id", stored)
        })
    }

    /// How many frames a filter names, whatever its limit. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn count_rejects(&self, filter: &RejectFilter) -> Result<u64, StoreError> {
        self.read("counting rejected frames", |c| {
            c.prepare_cached(&format!("SELECT count(*) FROM rejects WHERE {CONDITIONS}"))?
                .query_row(conditions!(filter, i64::MIN), |row| row.get::<_, i64>(0))
                .map(i64::cast_unsigned)
        })
    }

    /// One rejected frame. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn reject(&self, id: i64) -> Result<Option<StoredReject>, StoreError> {
        self.read("reading a rejected frame", |c| {
            c.prepare_cached(&format!("SELECT {COLUMNS} FROM rejects WHERE id = ?1"))?
                .query_row([id], stored)
                .optional()
        })
    }

    /// Commits what rejected frames became when decoded again, in one transaction: readings are
    /// stored and their frames marked, the rest keeps its new reason. Blocks.
    ///
    /// A replay is no delivery: `received` and what sums to it stay as they are.
    ///
    /// # Errors
    /// As `commit`; nothing has changed then.
    pub fn commit_replay(
        &self,
        replayed: Vec<Replayed>,
        at: DateTime<Utc>,
    ) -> Result<ReplayReport, StoreError> {
        let clock = self.clock();
        let cache = std::sync::Arc::clone(&self.cache);
        let mut taken = Vec::new();
        let mut readings = Vec::new();
        let mut refused = Vec::new();
        for Replayed { id, entry } in replayed {
            match entry {
                JournalEntry::Reject(again) => refused.push((id, again)),
                reading @ JournalEntry::Reading { .. } => {
                    taken.push(id);
                    readings.push(reading);
                }
            }
        }
        self.write_now("replaying rejected frames", move |t| {
            let report = ingest::replay(t, &mut locked(&cache), clock, &readings)?;
            for id in &taken {
                t.prepare_cached("UPDATE rejects SET replayed_at = ?2 WHERE id = ?1")?
                    .execute(params![id, millis(at)])?;
            }
            for (id, again) in &refused {
                t.prepare_cached(
                    "UPDATE rejects SET meter = ?2, code = ?3, message = ?4 WHERE id = ?1",
                )?
                .execute(params![
                    id,
                    again.meter.as_ref().map(MeterId::as_str),
                    again.reason.code,
                    again.reason.message
                ])?;
            }
            add(t, "replay_accepted", report.accepted.cast_signed())?;
            add(t, "replay_duplicate", report.duplicate.cast_signed())?;
            Ok(ReplayReport {
                accepted: report.accepted,
                duplicate: report.duplicate,
                refused: refused.len() as u64,
            })
        })
    }

    /// Drops frames that last came before an instant, then as many more as the payloads weigh too
    /// much: replayed ones first, the oldest of each first. Blocks; removes some thousand at most.
    ///
    /// # Errors
    /// As `commit`.
    pub fn drop_rejects(
        &self,
        before: DateTime<Utc>,
        bytes_max: u64,
    ) -> Result<Dropped, StoreError> {
        let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        self.write_now("dropping rejected frames", move |t| {
            let mut over = kept_bytes(t)?.saturating_sub(bytes_max);
            let mut ids = Vec::new();
            {
                let mut statement = t.prepare_cached(
                    "SELECT id, length(bytes) FROM rejects WHERE last_at < ?1
                     ORDER BY last_at LIMIT ?2",
                )?;
                let mut rows = statement.query(params![millis(before), DROP_MAX])?;
                while let Some(row) = rows.next()? {
                    ids.push(row.get::<_, i64>(0)?);
                    over -= row.get::<_, i64>(1)?;
                }
            }
            if over > 0 && ids.is_empty() {
                let mut statement = t.prepare_cached(
                    "SELECT id, length(bytes) FROM rejects
                     ORDER BY replayed_at IS NULL, last_at LIMIT ?1",
                )?;
                let mut rows = statement.query([DROP_MAX])?;
                while let Some(row) = rows.next()? {
                    if over <= 0 {
                        break;
                    }
                    ids.push(row.get::<_, i64>(0)?);
                    over -= row.get::<_, i64>(1)?;
                }
            }
            let mut dropped = remove(t, &ids, "reject_dropped")?;
            dropped.is_partial = over > 0 || ids.len() == DROP_MAX as usize;
            Ok(dropped)
        })
    }

    /// Deletes the frames a filter names, whatever its limit. Blocks; removes some thousand at most.
    ///
    /// # Errors
    /// As `commit`.
    pub fn purge_rejects(&self, filter: &RejectFilter) -> Result<Dropped, StoreError> {
        let filter = RejectFilter {
            limit: DROP_MAX as usize,
            ..filter.clone()
        };
        self.write_now("purging rejected frames", move |t| {
            let ids = select(t, "id", &filter, i64::MIN, "id", |row| row.get(0))?;
            let mut dropped = remove(t, &ids, "reject_purged")?;
            dropped.is_partial = ids.len() == DROP_MAX as usize;
            Ok(dropped)
        })
    }

    /// Where every rejected delivery is, all as of one instant. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn reject_stats(&self) -> Result<RejectStats, StoreError> {
        self.read("counting rejected frames", |c| {
            // One snapshot for all of it, or the sums would not hold while frames come in.
            let t = c.unchecked_transaction()?;
            let mut stats = RejectStats {
                counters: super::read_counters(&t)?,
                ..RejectStats::default()
            };
            let mut statement = t.prepare_cached(
                "SELECT code, replayed_at IS NOT NULL, count(*), sum(times) FROM rejects
                 GROUP BY 1, 2",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let is_replayed: bool = row.get(1)?;
                let frames = row.get::<_, i64>(2)?.cast_unsigned();
                let deliveries = row.get::<_, i64>(3)?.cast_unsigned();
                stats.frames += frames;
                if is_replayed {
                    stats.replayed += deliveries;
                } else {
                    stats.waiting += deliveries;
                    stats.by_code.insert(row.get(0)?, frames);
                }
            }
            let mut statement = t.prepare_cached("SELECT name, value FROM counters")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let value = row.get::<_, i64>(1)?.cast_unsigned();
                match row.get_ref(0)?.as_str()? {
                    "reject_bytes" => stats.bytes = value,
                    "reject_dropped" => stats.dropped = value,
                    "reject_purged" => stats.purged = value,
                    "replay_accepted" => stats.replay_accepted = value,
                    "replay_duplicate" => stats.replay_duplicate = value,
                    _ => {}
                }
            }
            Ok(stats)
        })
    }
}

fn kept_bytes(t: &Transaction<'_>) -> rusqlite::Result<i64> {
    let found = t
        .prepare_cached("SELECT value FROM counters WHERE name = 'reject_bytes'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// Removes rows and counts their deliveries under a name.
fn remove(t: &Transaction<'_>, ids: &[i64], counter: &str) -> rusqlite::Result<Dropped> {
    let mut dropped = Dropped::default();
    for id in ids {
        let (times, size): (i64, i64) = t
            .prepare_cached("DELETE FROM rejects WHERE id = ?1 RETURNING times, length(bytes)")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        dropped.frames += 1;
        dropped.deliveries += times.cast_unsigned();
        dropped.bytes += size.cast_unsigned();
    }
    if dropped.frames > 0 {
        add(t, counter, dropped.deliveries.cast_signed())?;
        add(t, "reject_bytes", -dropped.bytes.cast_signed())?;
    }
    Ok(dropped)
}
