//! The journal (`readings.db`): readings, rejected frames, findings, dirty days and load curves.
//!
//! Readings are never edited. What is stored is a pure function of the *set* of uplinks that
//! arrived, whatever their order: each part of a reading (an item, a frozen array) holds the
//! greatest of all values ever reported for it, ordered by rank of transport, then by value.
//! Everything else in here is computed from that.

mod agenda;
mod aside;
mod body;
mod check;
mod clocks;
mod codec;
mod committing;
mod curves;
mod edits;
mod findings;
mod history;
mod host_clock;
mod inbox;
mod ingest;
mod judged;
mod many;
mod marks;
mod metering;
mod opening;
mod outbox;
mod place;
mod presence;
mod rejects;
mod retention;
mod salvaged;
mod series;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use rusqlite::{Connection, OptionalExtension as _, Transaction};

use crate::domain::calendar::GasDayClock;
use crate::domain::finding::Finding;
use crate::domain::frame::RejectedFrame;
use crate::domain::id::MeterId;
use crate::domain::reading::Reading;
use crate::store::database::{Checkpoint, Database, FileSize};
use crate::store::error::StoreError;
use crate::store::time::{instant, millis};

pub use self::agenda::DueDays;
pub use self::aside::SetAside;
use self::aside::beside::AsideFiles;
pub use self::check::JournalCheck;
pub use self::clocks::StoredClock;
pub use self::curves::{CurveBatch, CurveWrite, DirtyDay, StaleDay, StoredCurve};
pub use self::edits::{EditFilter, NewEdit, RevokeOutcome};
pub use self::findings::FindingFilter;
pub use self::history::MeterPoint;
pub use self::host_clock::ClockSpan;
pub use self::judged::{MeterSpan, SubjectKind};
use self::opening::past_damage;
pub use self::outbox::{OutboxBatch, RefusedLine, Sent, hour_ms};
pub use self::rejects::{
    Dropped, ListedReject, RejectFilter, RejectStats, ReplayReport, Replayed, StoredReject,
};
pub use self::retention::{DropReport, DropRequest, Held, KeptKind, MeterRows, WaitingDays};
pub(super) use self::salvaged::{StoredReading, of_inbox};

pub(super) use self::aside::file::MIGRATIONS as ASIDE_MIGRATIONS;
pub(super) use self::aside::names::{files_beside as aside_files, number_of as aside_number};
pub(super) use self::aside::record::is_delivery;

pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_journal.sql"),
    include_str!("migrations/0002_rejects_and_clocks.sql"),
    include_str!("migrations/0003_inbox.sql"),
    include_str!("migrations/0004_outbox.sql"),
    include_str!("migrations/0005_edits.sql"),
    include_str!("migrations/0006_retention.sql"),
    include_str!("migrations/0007_findings.sql"),
    include_str!("migrations/0008_aside.sql"),
    include_str!("migrations/0009_judged_by.sql"),
    include_str!("migrations/0010_metering.sql"),
];

/// What one frame became.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalEntry {
    /// A reading of a known meter, with what the entry rules found. A finding of severity `Fail`
    /// keeps the reading but keeps it out of every curve.
    Reading {
        /// The reading.
        reading: Reading,
        /// What the entry rules found.
        findings: Vec<Finding>,
    },
    /// A frame that could not be taken.
    Reject(RejectedFrame),
}

/// What a commit did. Over a run of commits `accepted + duplicate + rejected` is the number of
/// entries, once `waiting` is 0 again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitReport {
    /// Readings that said something new.
    pub accepted: u64,
    /// Readings that said only what was known.
    pub duplicate: u64,
    /// Of the accepted, those that contradict what was known.
    pub conflicts: u64,
    /// Of the accepted, those whose place in the file is damaged: they are on disk, but cannot be read
    /// until the file is mended, and what is known of that instant was not compared with them.
    pub set_aside: u64,
    /// Rejected frames.
    pub rejected: u64,
    /// Readings that are on disk but not yet at their place; a later report counts them.
    pub waiting: u64,
}

impl CommitReport {
    /// Adds what another commit did; what waits is not a sum.
    fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.conflicts += other.conflicts;
        self.set_aside += other.set_aside;
        self.rejected += other.rejected;
    }
}

/// What one entry of a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryOutcome {
    /// A reading that said something new.
    Accepted,
    /// A reading that said only what was known.
    Duplicate,
    /// A rejected frame.
    Rejected,
}

/// Totals since the file was made; `accepted + duplicate + rejected = received`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalCounters {
    /// Frames committed in whatever form.
    pub received: u64,
    /// Readings that said something new.
    pub accepted: u64,
    /// Readings that said only what was known.
    pub duplicate: u64,
    /// Of the accepted, those that contradicted what was known.
    pub conflicts: u64,
    /// Rejected frames, every delivery counted.
    pub rejected: u64,
}

/// When a meter last spoke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestReading {
    /// The meter.
    pub meter: MeterId,
    /// The device's own time of its newest reading.
    pub sampled_at: DateTime<Utc>,
    /// When anything new last reached us from it.
    pub received_at: DateTime<Utc>,
}

/// The journal; clones share one writer thread and one pool of readers.
///
/// Reading methods block: call them through `spawn_blocking`.
#[derive(Debug, Clone)]
pub struct Journal {
    database: Database,
    clock: GasDayClock,
    cache: Arc<Mutex<Cache>>,
    names: Arc<Mutex<Names>>,
    curve_writes: many::CurveWrites,
    aside: Arc<Mutex<AsideFiles>>,
}

/// What the writer remembers of the file; forgotten whenever a transaction is rolled back, but for what is
/// damaged.
#[derive(Debug, Default)]
struct Cache {
    /// Asked for each reading, hence by hash.
    numbers: IndexMap<MeterId, i64>,
    presence: presence::Known,
    inbox: inbox::Inbox,
    dirty: marks::Marked,
    /// Readings that a replay moved out of the inbox, for the report of the next commit.
    carried: CommitReport,
    mark: i64,
    /// Whether keys go to the outbox; read from the file when first needed.
    forwarding: Option<outbox::Forwarding>,
    /// Where commits met damage: rows of these places are set aside.
    damaged: aside::DamagedPlaces,
}

impl Cache {
    fn forwarding(&mut self, t: &Transaction<'_>) -> rusqlite::Result<outbox::Forwarding> {
        if let Some(forwarding) = self.forwarding {
            return Ok(forwarding);
        }
        let forwarding = outbox::Forwarding::read(t)?;
        self.forwarding = Some(forwarding);
        Ok(forwarding)
    }

    fn set_forwarding(
        &mut self,
        t: &Transaction<'_>,
        forwarding: outbox::Forwarding,
    ) -> rusqlite::Result<()> {
        forwarding.write(t)?;
        self.forwarding = Some(forwarding);
        Ok(())
    }

    fn forget(&mut self) {
        self.numbers.clear();
        self.presence.clear();
        self.inbox.forget();
        self.dirty.clear();
        self.carried = CommitReport::default();
        self.forwarding = None;
    }
}

/// What readers remember: committed numbers never change.
#[derive(Debug, Default)]
struct Names {
    by_number: BTreeMap<i64, MeterId>,
    by_name: BTreeMap<MeterId, i64>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_counters(c: &Connection) -> rusqlite::Result<JournalCounters> {
    let mut statement = c.prepare_cached("SELECT name, value FROM counters")?;
    let mut rows = statement.query([])?;
    let mut counters = JournalCounters::default();
    while let Some(row) = rows.next()? {
        let value = row.get::<_, i64>(1)?.cast_unsigned();
        match row.get_ref(0)?.as_str()? {
            "accepted" => counters.accepted = value,
            "duplicate" => counters.duplicate = value,
            "conflicts" => counters.conflicts = value,
            "rejected" => counters.rejected = value,
            _ => {}
        }
    }
    counters.received = counters.accepted + counters.duplicate + counters.rejected;
    Ok(counters)
}

impl Journal {
    /// The file.
    pub fn path(&self) -> &Path {
        self.database.path()
    }

    /// How its gas days are cut.
    pub fn clock(&self) -> GasDayClock {
        self.clock
    }

    /// Limits the size of the file, or lifts the limit. A commit that would exceed it fails with
    /// `StoreError::Full` and can be tried again once the limit is raised. Blocks.
    ///
    /// # Errors
    /// `ReadOnly`, `WriterStopped`.
    #[cfg(test)]
    pub(crate) fn limit_size(&self, bytes: Option<u64>) -> Result<(), StoreError> {
        self.write_now("limiting the size", move |t| {
            let page: i64 = t.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            let page = page.cast_unsigned().max(1);
            let pages = bytes.map_or(u64::from(u32::MAX) - 1, |bytes| (bytes / page).max(1));
            t.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(()))
        })
    }

    /// How large the file is. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn file_size(&self) -> Result<FileSize, StoreError> {
        self.database.size()
    }

    /// Gives at most so many free pages back to the disk, in one transaction; how many. Blocks.
    ///
    /// # Errors
    /// As a commit.
    pub fn give_back(&self, pages: u32) -> Result<u64, StoreError> {
        self.database.shrink(pages)
    }

    /// Moves the write-ahead log to the file, beside the writer, and cuts it. Blocks.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn cut_log(&self) -> Result<Checkpoint, StoreError> {
        self.database.checkpoint()
    }

    /// Reads the whole file: every page, every reading, every curve. Returns how many readings there
    /// are. Blocks, for as long as the file is large.
    ///
    /// # Errors
    /// `Damaged`, with the first thing that is wrong; [`Self::check`] tells of all.
    pub fn verify(&self) -> Result<u64, StoreError> {
        let check = self.check()?;
        match check.damage.first() {
            None => Ok(check.readings),
            Some(damage) => Err(StoreError::damaged(self.path(), damage.to_string())),
        }
    }

    /// What was met since the file was opened that is damaged, in whatever reading or writing.
    pub fn damage_seen(&self) -> Vec<String> {
        let mut seen = self.database.damage_seen();
        for what in locked(&self.aside).refusals() {
            if !seen.contains(&what) {
                seen.push(what);
            }
        }
        seen
    }

    /// Remembers damage that whoever met it can name better than the store; whether it was not told yet.
    pub fn tell_damage(&self, what: &str) -> bool {
        self.database.tell_damage(what)
    }

    /// Totals since the file was made.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn counters(&self) -> Result<JournalCounters, StoreError> {
        self.read("reading counters", read_counters)
    }

    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.database
            .read(|connection| read(connection).map_err(self.database.error(doing)))
    }

    fn write_now<T: Send + 'static>(
        &self,
        doing: &'static str,
        mut work: impl FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let error = self.database.error(doing);
        self.database
            .write_blocking(move |t| work(t).map_err(&error))
    }

    /// The number of a meter, if it ever reported.
    fn number(&self, c: &Connection, meter: &MeterId) -> rusqlite::Result<Option<i64>> {
        if let Some(number) = locked(&self.names).by_name.get(meter) {
            return Ok(Some(*number));
        }
        let number = c
            .prepare_cached("SELECT no FROM meters WHERE id = ?1")?
            .query_row([meter.as_str()], |row| row.get(0))
            .optional()?;
        if let Some(number) = number {
            let mut names = locked(&self.names);
            names.by_name.insert(meter.clone(), number);
            names.by_number.insert(number, meter.clone());
        }
        Ok(number)
    }

    /// The meter of a number.
    fn meter(&self, c: &Connection, number: i64) -> rusqlite::Result<MeterId> {
        if let Some(meter) = locked(&self.names).by_number.get(&number) {
            return Ok(meter.clone());
        }
        let id: String = c
            .prepare_cached("SELECT id FROM meters WHERE no = ?1")?
            .query_row([number], |row| row.get(0))?;
        let meter = MeterId::new(id);
        let mut names = locked(&self.names);
        names.by_name.insert(meter.clone(), number);
        names.by_number.insert(number, meter.clone());
        Ok(meter)
    }
}
