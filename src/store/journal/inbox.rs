//! The inbox: readings that are durable but not yet at their place.
//!
//! A batch from a broker speaks of nearly as many meters as it has messages, and every meter's day
//! has pages of its own: put at its place at once, each reading would write a page. So under load a
//! commit appends its readings to the table `inbox` as one blob, in the order in which they came,
//! and moves a few of those that came earlier to `readings` in the order of the key, so that one page
//! takes many. Both happen in the same transaction, and no commit is much longer than another.
//!
//! Rows go through two heaps: `arriving` until there are enough of them, then `moving`, sorted. The
//! table and `inbox_moved` say the same on disk, so that a restart goes on where the last commit
//! ended. Since the journal is a join of what arrived, it does not matter when a row is moved.

use std::ops::Range;
use std::time::{Duration, Instant};

use rusqlite::{Transaction, params};

use super::body::{self, Body, Stand};
use super::codec::{Bytes, put_signed, put_unsigned};
use super::ingest::epoch_day;
use super::millis;
use super::place::unreadable;
use super::salvaged::StoredReading;
use crate::domain::calendar::GasDayClock;
use crate::domain::reading::Reading;

/// Rows that have to arrive before they are moved: several for each page of 5,000 meters' day.
const MOVE_FROM: usize = 24_000;
/// In a stream so fast that these come within a moment more are waited for, since each page that is
/// written then takes more of them; as long as this, and nobody who reads waits much longer.
const GATHER: Duration = Duration::from_secs(1);
/// A flood brings more rows a second than this, as after an outage or where a whole city reports at once.
/// Nobody looks at it as it passes, so more of it is gathered: a page of a day holds some sixty rows of
/// two or three meters, and is written once for all that were gathered of these.
const FLOOD: f64 = 50_000.0;
/// In a flood so many rows of each meter are waited for, but not longer than `FLOOD_GATHERS` times as long.
const FLOOD_ROWS_EACH: usize = 8;
const FLOOD_GATHERS: u32 = 5;
/// But never more rows than this.
const MOVE_MAX: usize = 800_000;
/// Nor more bytes, where rows have arrays. Twice as much can be in memory.
const HEAP_MAX: usize = 60 << 20;
/// Each commit moves at least so many, so that a flood's rows come to their place behind a trickle, too.
const MOVE_MIN: usize = 2_000;
/// Rows that one transaction moves while nothing comes: some 50 ms.
const STEP: usize = 20_000;

/// A reading in its stored form; `start` and `len` are where its bytes are among those of its heap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) day: i32,
    pub(super) number: i64,
    pub(super) at: i64,
    pub(super) received_at: i64,
    pub(super) traits: body::Traits,
    start: u32,
    len: u32,
}

impl Row {
    /// Grows from row to row in the order in which the rows of a heap came.
    pub(super) fn came(&self) -> u32 {
        self.start
    }
}

/// Rows with their bytes.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    bytes: Vec<u8>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What they take in memory.
    fn weight(&self) -> usize {
        self.rows.len() * size_of::<Row>() + self.bytes.len()
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
    }

    fn add(&mut self, row: Row, start: usize) {
        let bytes = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        self.rows.push(Row {
            start: bytes(start),
            len: bytes(self.bytes.len() - start),
            ..row
        });
    }

    /// Adds a reading of the meter of a number.
    pub(super) fn push(
        &mut self,
        clock: GasDayClock,
        number: i64,
        reading: &Reading,
        is_usable: bool,
    ) {
        let at = millis(reading.sampled_at);
        let start = self.bytes.len();
        let received_at = millis(reading.received_at);
        let stand = Stand {
            number,
            at,
            received_at,
        };
        let traits = body::encode(reading, is_usable, stand, &mut self.bytes);
        let row = Row {
            day: epoch_day(clock, at),
            number,
            at,
            received_at,
            traits,
            start: 0,
            len: 0,
        };
        self.add(row, start);
    }

    /// Puts the rows in the order of the key; equal keys stay in the order in which they came.
    pub(super) fn sort(&mut self) {
        self.rows
            .sort_unstable_by_key(|row| (row.day, row.number, row.at, row.start));
    }

    /// Rows with their bodies.
    pub(super) fn slice(&self, range: Range<usize>) -> impl Iterator<Item = (&Row, &[u8])> {
        let rows = self.rows.get(range).unwrap_or_default();
        rows.iter().map(|row| {
            let (start, len) = (row.start as usize, row.len as usize);
            let body = self.bytes.get(start..start.saturating_add(len));
            (row, body.unwrap_or_default())
        })
    }

    /// Adds a row of another heap.
    pub(super) fn add_copy(&mut self, row: &Row, body: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(body);
        self.add(*row, start);
    }

    /// The stored form of the rows from `first` on.
    pub(super) fn write(&self, first: usize, out: &mut Vec<u8>) {
        for (row, body) in self.slice(first..self.len()) {
            put_unsigned(out, row.number.cast_unsigned());
            put_signed(out, row.at);
            put_signed(out, row.received_at - row.at);
            put_unsigned(out, body.len() as u64);
            out.extend_from_slice(body);
        }
    }

    /// Adds a row of another file; none if its body is not sound.
    pub(super) fn add_stored(&mut self, clock: GasDayClock, stored: &StoredReading) -> Option<()> {
        let stand = Stand {
            number: stored.number,
            at: stored.at,
            received_at: stored.received_at,
        };
        let start = self.bytes.len();
        let row = Row {
            day: epoch_day(clock, stored.at),
            number: stored.number,
            at: stored.at,
            received_at: stored.received_at,
            traits: Body::decode(stand, &stored.body)?.traits(),
            start: 0,
            len: 0,
        };
        self.bytes.extend_from_slice(&stored.body);
        self.add(row, start);
        Some(())
    }

    /// Adds what `write` wrote; none if the bytes are not of that form.
    pub(super) fn read(&mut self, clock: GasDayClock, bytes: &[u8]) -> Option<()> {
        let mut bytes = Bytes(bytes);
        while !bytes.0.is_empty() {
            let number = bytes.unsigned()?.cast_signed();
            let at = bytes.signed()?;
            let received_at = at.checked_add(bytes.signed()?)?;
            let len = usize::try_from(bytes.unsigned()?).ok()?;
            let (body, rest) = bytes.0.split_at_checked(len)?;
            bytes.0 = rest;
            let start = self.bytes.len();
            self.bytes.extend_from_slice(body);
            let stand = Stand {
                number,
                at,
                received_at,
            };
            let row = Row {
                day: epoch_day(clock, at),
                number,
                at,
                received_at,
                traits: Body::decode(stand, body)?.traits(),
                start: 0,
                len: 0,
            };
            self.add(row, start);
        }
        Some(())
    }
}

/// What the writer remembers of the table.
#[derive(Debug)]
pub(super) struct Inbox {
    /// How long rows are gathered.
    pub(super) gather: Duration,
    /// Since when.
    since: Option<Instant>,
    is_read: bool,
    arriving: Rows,
    /// Rows of `arriving` from here on are not in the table yet.
    appended: usize,
    last_id: i64,
    moving: Rows,
    moved: usize,
    /// The last row of the table that is in `moving`.
    through: i64,
    buffer: Vec<u8>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            gather: GATHER,
            since: None,
            is_read: false,
            arriving: Rows::default(),
            appended: 0,
            last_id: 0,
            moving: Rows::default(),
            moved: 0,
            through: 0,
            buffer: Vec::new(),
        }
    }
}

impl Inbox {
    /// Forgets everything; the table is read again by the next commit.
    pub(super) fn forget(&mut self) {
        *self = Self {
            gather: self.gather,
            ..Self::default()
        };
    }

    /// Rows not yet at their place.
    pub(super) fn len(&self) -> usize {
        self.arriving.len() + self.moving.len() - self.moved
    }

    /// Where new rows go. `append`, or `rest` and `emptied`, must follow in the same transaction.
    pub(super) fn arriving(&mut self) -> &mut Rows {
        &mut self.arriving
    }

    /// Reads the table, unless that was done.
    pub(super) fn read(&mut self, t: &Transaction<'_>, clock: GasDayClock) -> rusqlite::Result<()> {
        if self.is_read {
            return Ok(());
        }
        let (through, moved): (i64, u32) =
            t.query_row("SELECT through, count FROM inbox_moved", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        self.through = through;
        self.moved = usize::try_from(moved).unwrap_or(usize::MAX);
        self.last_id = self.through;
        let mut statement = t.prepare_cached("SELECT id, rows FROM inbox ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.last_id = row.get(0)?;
            let heap = if self.last_id <= self.through {
                &mut self.moving
            } else {
                &mut self.arriving
            };
            let bytes = row.get_ref(1)?.as_blob()?;
            heap.read(clock, bytes).ok_or_else(unreadable)?;
        }
        self.moving.sort();
        self.moved = self.moved.min(self.moving.len());
        self.appended = self.arriving.len();
        self.is_read = true;
        Ok(())
    }

    /// Makes the new rows durable and gives the earlier ones that are to be put at their place now.
    /// `meters`: how many send them.
    pub(super) fn append(
        &mut self,
        t: &Transaction<'_>,
        meters: usize,
    ) -> rusqlite::Result<Range<usize>> {
        let count = self.arriving.len() - self.appended;
        if count > 0 {
            self.buffer.clear();
            self.arriving.write(self.appended, &mut self.buffer);
            self.last_id += 1;
            self.since.get_or_insert_with(Instant::now);
            t.prepare_cached("INSERT INTO inbox VALUES (?1, ?2)")?
                .execute(params![self.last_id, self.buffer])?;
            self.appended = self.arriving.len();
        }
        let waited = self.since.map_or(self.gather, |since| since.elapsed());
        let is_full = self.arriving.weight() >= HEAP_MAX;
        let is_ripe = is_full || is_ripe(self.arriving.len(), meters, waited, self.gather);
        if self.moving.len() == 0 && is_ripe {
            self.begin_moving();
        }
        // A little more than arrives, so that the move ends before the next has to begin.
        let end = (self.moved + (count + count / 4).max(MOVE_MIN)).min(self.moving.len());
        Ok(self.moved..end)
    }

    fn begin_moving(&mut self) {
        self.since = None;
        std::mem::swap(&mut self.moving, &mut self.arriving);
        self.moving.sort();
        self.appended = 0;
        self.through = self.last_id;
    }

    /// The rows to be put at their place next while nothing comes. All that arrived must be in the table.
    pub(super) fn step(&mut self) -> Range<usize> {
        if self.moving.len() == 0 {
            self.begin_moving();
        }
        self.moved..(self.moved + STEP).min(self.moving.len())
    }

    /// The rows of which `append` gave a part.
    pub(super) fn moving(&self) -> &Rows {
        &self.moving
    }

    /// All that is not at its place, in two heaps, each in the order of the key.
    pub(super) fn rest(&mut self) -> [(&Rows, Range<usize>); 2] {
        self.arriving.sort();
        let (moving, arriving) = (&self.moving, &self.arriving);
        [
            (moving, self.moved..moving.len()),
            (arriving, 0..arriving.len()),
        ]
    }

    /// Notes that the rows of `moving` up to `end` are at their place.
    pub(super) fn moved(&mut self, t: &Transaction<'_>, end: usize) -> rusqlite::Result<()> {
        if self.moving.len() == 0 {
            return Ok(());
        }
        self.moved = end;
        if end == self.moving.len() {
            self.moving.clear();
            self.moved = 0;
            delete(t, self.through)?;
        }
        note(t, self.through, self.moved)
    }

    /// Notes that everything is at its place.
    pub(super) fn emptied(&mut self, t: &Transaction<'_>) -> rusqlite::Result<()> {
        let has_rows = self.appended > 0 || self.moving.len() > 0;
        self.moving.clear();
        self.arriving.clear();
        (self.moved, self.appended) = (0, 0);
        self.since = None;
        if !has_rows {
            return Ok(());
        }
        self.through = self.last_id;
        delete(t, self.through)?;
        note(t, self.through, 0)
    }
}

/// Whether rows of so many meters that have waited so long are worth moving. `gather`: how long rows of a
/// stream wait.
pub(super) fn is_ripe(rows: usize, meters: usize, waited: Duration, gather: Duration) -> bool {
    if rows >= MOVE_MAX {
        return true;
    }
    if rows < MOVE_FROM || waited < gather {
        return false;
    }
    let is_flood = rows as f64 >= waited.as_secs_f64() * FLOOD;
    let is_thin = rows < meters.saturating_mul(FLOOD_ROWS_EACH);
    !(is_flood && is_thin && waited < gather * FLOOD_GATHERS)
}

fn delete(t: &Transaction<'_>, through: i64) -> rusqlite::Result<()> {
    t.prepare_cached("DELETE FROM inbox WHERE id <= ?1")?
        .execute([through])
        .map(drop)
}

fn note(t: &Transaction<'_>, through: i64, count: usize) -> rusqlite::Result<()> {
    t.prepare_cached("UPDATE inbox_moved SET through = ?1, count = ?2")?
        .execute(params![through, i64::try_from(count).unwrap_or(i64::MAX)])
        .map(drop)
}
