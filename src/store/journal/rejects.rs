//! Rejected frames: kept with their bytes, listed, replayed.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::{Journal, instant, millis};
use crate::domain::frame::{RawFrame, RejectReason, RejectedFrame, Transport};
use crate::domain::id::{DeviceId, MeterId};
use crate::store::error::StoreError;

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

/// Which rejects are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectFilter {
    /// Only of this meter.
    pub meter: Option<MeterId>,
    /// Only with this code.
    pub code: Option<String>,
    /// Also those replayed with success.
    pub with_replayed: bool,
    /// At most so many, last received first; 0 is no limit.
    pub limit: usize,
}

fn digest(frame: &RawFrame) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(frame.transport.key());
    hash.update([0]);
    hash.update(frame.device.as_ref().map_or("", DeviceId::as_str));
    hash.update([0]);
    hash.update(&frame.bytes);
    hash.finalize().to_vec()
}

pub(super) fn insert(t: &Transaction<'_>, reject: &RejectedFrame) -> rusqlite::Result<()> {
    let frame = &reject.frame;
    t.prepare_cached(
        "INSERT INTO rejects (digest, transport, origin, device, meter, bytes, code, message,
                              first_at, last_at, times)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, 1)
         ON CONFLICT (digest) DO UPDATE SET
           origin = excluded.origin, meter = excluded.meter, code = excluded.code,
           message = excluded.message, first_at = min(first_at, excluded.first_at),
           last_at = max(last_at, excluded.last_at), times = times + 1, replayed_at = NULL",
    )?
    .execute(params![
        digest(frame),
        frame.transport.key(),
        frame.origin,
        frame.device.as_ref().map(DeviceId::as_str),
        reject.meter.as_ref().map(MeterId::as_str),
        &frame.bytes[..],
        reject.reason.code,
        reject.reason.message,
        millis(frame.received_at),
    ])
    .map(drop)
}

const COLUMNS: &str = "id, transport, origin, device, meter, bytes, code, message, first_at, \
                       last_at, times, replayed_at";

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

impl Journal {
    /// Rejected frames, last received first. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn rejects(&self, filter: &RejectFilter) -> Result<Vec<StoredReject>, StoreError> {
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let limit = if limit == 0 { -1 } else { limit };
        self.read("reading rejected frames", |c| {
            let mut statement = c.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM rejects
                 WHERE (?1 IS NULL OR meter = ?1) AND (?2 IS NULL OR code = ?2)
                   AND (?3 OR replayed_at IS NULL)
                 ORDER BY last_at DESC, id DESC LIMIT ?4"
            ))?;
            let rows = statement.query_map(
                params![
                    filter.meter.as_ref().map(MeterId::as_str),
                    filter.code,
                    filter.with_replayed,
                    limit
                ],
                stored,
            )?;
            rows.collect()
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

    /// Marks rejected frames as replayed with success. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn mark_replayed(&self, ids: Vec<i64>, at: DateTime<Utc>) -> Result<(), StoreError> {
        self.write_now("marking rejects replayed", move |t| {
            let mut statement =
                t.prepare_cached("UPDATE rejects SET replayed_at = ?2 WHERE id = ?1")?;
            for id in &ids {
                statement.execute(params![id, millis(at)])?;
            }
            Ok(())
        })
    }
}
