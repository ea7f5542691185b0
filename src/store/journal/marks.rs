//! Marks on gas days of meters whose curves are to be computed again.

use std::collections::BTreeSet;

use rusqlite::{Transaction, params};

/// Marks the writer made since the marks were last read.
///
/// A day that is marked since then needs no second mark: whoever reads marks first gets a new mark
/// for all that follow (`Journal::dirty_days`), and clears none but those it has read.
#[derive(Debug, Default)]
pub(super) struct Marked(BTreeSet<(i32, i64)>);

/// Days remembered as marked; a city's import marks more, one by one.
const MARKED_MAX: usize = 250_000;

impl Marked {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn mark(
        &mut self,
        t: &Transaction<'_>,
        number: i64,
        day: i32,
        mark: i64,
    ) -> rusqlite::Result<()> {
        if self.0.len() >= MARKED_MAX {
            self.0.clear();
        }
        if self.0.insert((day, number)) {
            mark_dirty(t, number, day, mark)?;
        }
        Ok(())
    }
}

pub(super) fn mark_dirty(
    t: &Transaction<'_>,
    number: i64,
    day: i32,
    mark: i64,
) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO dirty VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET mark = excluded.mark",
    )?
    .execute(params![day, number, mark])
    .map(drop)
}
