//! Which gas days a meter has totals of, and where they stand.
//!
//! The way to a meter's nearest totals, however long its silence, without an index as large as the
//! readings themselves: one row for a meter and 32 days.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

/// Days in a block.
const BLOCK_DAYS: i32 = 32;
/// Blocks remembered by the writer, so that a minute's reading does not write what the day's first
/// one wrote.
const CACHE_MAX: usize = 200_000;

/// Where totals of a day stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A single total on a row of that day.
    Single,
    /// In an array on a row of so many days later.
    Array(i32),
}

/// Bits of the days of a block, by place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bits {
    singles: u32,
    today: u32,
    next: u32,
    far: u32,
}

impl Bits {
    fn has_all_of(self, other: Self) -> bool {
        self.join(other) == self
    }

    fn join(self, other: Self) -> Self {
        Self {
            singles: self.singles | other.singles,
            today: self.today | other.today,
            next: self.next | other.next,
            far: self.far | other.far,
        }
    }

    fn any(self) -> u32 {
        self.singles | self.today | self.next | self.far
    }
}

fn block_of(day: i32) -> (i32, u32) {
    let bit = 1_u32 << day.rem_euclid(BLOCK_DAYS);
    (day.div_euclid(BLOCK_DAYS), bit)
}

/// What a transaction adds.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// In the order in which they came; one key may come more than once.
    bits: Vec<((i32, i64), Bits)>,
    far: BTreeSet<(i64, i32, i32)>,
}

impl Added {
    pub(super) fn insert(&mut self, number: i64, day: i32, place: Place) {
        let (block, bit) = block_of(day);
        let key = (block, number);
        let mut bits = Bits::default();
        match place {
            Place::Single => bits.singles |= bit,
            Place::Array(0) => bits.today |= bit,
            Place::Array(1) => bits.next |= bit,
            Place::Array(later) => {
                bits.far |= bit;
                self.far.insert((number, day, day.saturating_add(later)));
            }
        }
        // Rows come in the order of the key, so most speak of what the one before spoke of.
        match self.bits.last_mut() {
            Some((last, known)) if *last == key => *known = known.join(bits),
            _ => self.bits.push((key, bits)),
        }
    }
}

/// What the writer remembers of the table.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<(i32, i64), Bits>);

impl Known {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes back what rows under a day said, once these are gone.
    pub(super) fn forget_row_day(
        &mut self,
        t: &Transaction<'_>,
        number: i64,
        row_day: i32,
    ) -> rusqlite::Result<()> {
        self.take_back(t, number, row_day, |bit| Bits {
            singles: bit,
            today: bit,
            ..Bits::default()
        })?;
        self.take_back(t, number, row_day - 1, |bit| Bits {
            next: bit,
            ..Bits::default()
        })?;
        let days: Vec<i32> = t
            .prepare_cached("SELECT day FROM presence_far WHERE meter = ?1 AND row_day = ?2")?
            .query_map(params![number, row_day], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for day in days {
            t.prepare_cached(
                "DELETE FROM presence_far WHERE meter = ?1 AND day = ?2 AND row_day = ?3",
            )?
            .execute(params![number, day, row_day])?;
            let is_elsewhere: bool = t
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM presence_far WHERE meter = ?1 AND day = ?2)",
                )?
                .query_row(params![number, day], |row| row.get(0))?;
            if !is_elsewhere {
                self.take_back(t, number, day, |bit| Bits {
                    far: bit,
                    ..Bits::default()
                })?;
            }
        }
        Ok(())
    }

    fn take_back(
        &mut self,
        t: &Transaction<'_>,
        number: i64,
        day: i32,
        of: impl Fn(u32) -> Bits,
    ) -> rusqlite::Result<()> {
        let (block, bit) = block_of(day);
        let gone = of(bit);
        self.0.remove(&(block, number));
        t.prepare_cached(
            "UPDATE presence SET singles = singles & ~?3, today = today & ~?4, next = next & ~?5,
               far = far & ~?6 WHERE block = ?1 AND meter = ?2",
        )?
        .execute(params![
            block,
            number,
            gone.singles,
            gone.today,
            gone.next,
            gone.far
        ])?;
        t.prepare_cached(
            "DELETE FROM presence
             WHERE block = ?1 AND meter = ?2 AND (singles | today | next | far) = 0",
        )?
        .execute(params![block, number])
        .map(drop)
    }

    pub(super) fn write(&mut self, t: &Transaction<'_>, added: &Added) -> rusqlite::Result<()> {
        if self.0.len() > CACHE_MAX {
            self.0.clear();
        }
        for (key, bits) in &added.bits {
            let known = self.0.entry(*key).or_default();
            if known.has_all_of(*bits) {
                continue;
            }
            *known = known.join(*bits);
            t.prepare_cached(
                "INSERT INTO presence VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET
                   singles = singles | excluded.singles, today = today | excluded.today,
                   next = next | excluded.next, far = far | excluded.far",
            )?
            .execute(params![
                key.0,
                key.1,
                bits.singles,
                bits.today,
                bits.next,
                bits.far
            ])?;
        }
        for (number, day, row_day) in &added.far {
            t.prepare_cached("INSERT OR IGNORE INTO presence_far VALUES (?1, ?2, ?3)")?
                .execute(params![number, day, row_day])?;
        }
        Ok(())
    }
}

fn bits(c: &Connection, block: i32, number: i64) -> rusqlite::Result<Option<Bits>> {
    c.prepare_cached(
        "SELECT singles, today, next, far FROM presence WHERE block = ?1 AND meter = ?2",
    )?
    .query_row(params![block, number], |row| {
        Ok(Bits {
            singles: row.get(0)?,
            today: row.get(1)?,
            next: row.get(2)?,
            far: row.get(3)?,
        })
    })
    .optional()
}

/// First and last block of all meters.
fn blocks(c: &Connection) -> rusqlite::Result<Option<(i32, i32)>> {
    let first: Option<i32> = c
        .prepare_cached("SELECT min(block) FROM presence")?
        .query_row([], |row| row.get(0))?;
    let last: Option<i32> = c
        .prepare_cached("SELECT max(block) FROM presence")?
        .query_row([], |row| row.get(0))?;
    Ok(first.zip(last))
}

/// The first and last day that any meter can have totals of.
pub(super) fn span(c: &Connection) -> rusqlite::Result<Option<(i32, i32)>> {
    let days = |(first, last): (i32, i32)| (first * BLOCK_DAYS, last * BLOCK_DAYS + BLOCK_DAYS - 1);
    Ok(blocks(c)?.map(days))
}

/// Days under which rows stand that hold totals of a day, and whether arrays are among them.
pub(super) fn row_days(
    c: &Connection,
    number: i64,
    day: i32,
) -> rusqlite::Result<(BTreeSet<i32>, bool)> {
    let (block, bit) = block_of(day);
    let found = bits(c, block, number)?.unwrap_or_default();
    let mut days = BTreeSet::new();
    add_row_days(c, number, day, bit, found, &mut days)?;
    Ok((days, (found.today | found.next | found.far) & bit != 0))
}

fn add_row_days(
    c: &Connection,
    number: i64,
    day: i32,
    bit: u32,
    found: Bits,
    days: &mut BTreeSet<i32>,
) -> rusqlite::Result<()> {
    if (found.singles | found.today) & bit != 0 {
        days.insert(day);
    }
    if found.next & bit != 0 {
        days.insert(day + 1);
    }
    if found.far & bit != 0 {
        let mut statement =
            c.prepare_cached("SELECT row_day FROM presence_far WHERE meter = ?1 AND day = ?2")?;
        let mut rows = statement.query(params![number, day])?;
        while let Some(row) = rows.next()? {
            days.insert(row.get(0)?);
        }
    }
    Ok(())
}

/// Days under which rows stand that hold totals of some days.
pub(super) fn row_days_of(
    c: &Connection,
    number: i64,
    days: Range<i32>,
) -> rusqlite::Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    let mut of_block = None;
    for day in days {
        let (block, bit) = block_of(day);
        let bits = match of_block {
            Some((known, bits)) if known == block => bits,
            _ => bits(c, block, number)?.unwrap_or_default(),
        };
        of_block = Some((block, bits));
        add_row_days(c, number, day, bit, bits, &mut found)?;
    }
    Ok(found)
}

/// The last day before `day` of which a meter has totals.
pub(super) fn day_before(c: &Connection, number: i64, day: i32) -> rusqlite::Result<Option<i32>> {
    let Some((first, last)) = blocks(c)? else {
        return Ok(None);
    };
    let (block, bit) = block_of(day);
    for at in (first..=block.min(last)).rev() {
        let mut days = bits(c, at, number)?.unwrap_or_default().any();
        if at == block {
            days &= bit - 1;
        }
        if days != 0 {
            let highest = 31 - days.leading_zeros().cast_signed();
            return Ok(Some(at * BLOCK_DAYS + highest));
        }
    }
    Ok(None)
}

/// Whether rows under a day hold totals of days from `from` on, as an array does whose meter's clock
/// was behind.
pub(super) fn has_totals_on(
    c: &Connection,
    number: i64,
    row_day: i32,
    from: i32,
) -> rusqlite::Result<bool> {
    c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM presence_far WHERE meter = ?1 AND day >= ?2 AND row_day = ?3)",
    )?
    .query_row(params![number, from, row_day], |row| row.get(0))
}

/// The first day not before `day` of which a meter has totals.
pub(super) fn day_from(c: &Connection, number: i64, day: i32) -> rusqlite::Result<Option<i32>> {
    let Some((first, last)) = blocks(c)? else {
        return Ok(None);
    };
    let (block, bit) = block_of(day);
    for at in block.max(first)..=last {
        let mut days = bits(c, at, number)?.unwrap_or_default().any();
        if at == block {
            days &= !(bit - 1);
        }
        if days != 0 {
            return Ok(Some(at * BLOCK_DAYS + days.trailing_zeros().cast_signed()));
        }
    }
    Ok(None)
}

/// Who has totals of a day.
pub(super) fn numbers_on(c: &Connection, day: i32) -> rusqlite::Result<BTreeSet<i64>> {
    let (block, bit) = block_of(day);
    c.prepare_cached(
        "SELECT meter FROM presence WHERE block = ?1 AND (singles | today | next | far) & ?2 <> 0",
    )?
    .query_map(params![block, bit], |row| row.get(0))?
    .collect()
}

/// Every day of which a meter has totals.
pub(super) fn all_days(c: &Connection, number: i64) -> rusqlite::Result<Vec<i32>> {
    let mut days = Vec::new();
    if let Some((first, last)) = blocks(c)? {
        for block in first..=last {
            let found = bits(c, block, number)?.unwrap_or_default().any();
            days.extend(
                (0..BLOCK_DAYS)
                    .filter(|day| found & (1 << day) != 0)
                    .map(|day| block * BLOCK_DAYS + day),
            );
        }
    }
    Ok(days)
}
