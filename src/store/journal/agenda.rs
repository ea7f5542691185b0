//! Gas days of which zones and customers are still to be judged: one small row of `meta`.
//!
//! Days that are taken stand in `doing` until they are answered, so that a mark set meanwhile is not
//! answered with them, and whoever is stopped in between begins with them again.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::Journal;
use crate::domain::calendar::GasDay;
use crate::store::error::StoreError;

/// Key in `meta`.
const KEY: &str = "judging";

/// Days since 1970-01-01, half-open.
type Span = (i32, i32);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Agenda {
    /// To be judged, in order, apart from each other.
    marked: Vec<Span>,
    /// Taken and not yet answered.
    doing: Option<Span>,
    /// Days before this one were on the agenda once.
    through: Option<i32>,
}

impl Agenda {
    fn read(c: &Connection) -> rusqlite::Result<Self> {
        let text: Option<String> = c
            .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
            .query_row([KEY], |row| row.get(0))
            .optional()?;
        // One that cannot be read is begun anew: judging a day again does no harm.
        Ok(text
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default())
    }

    fn write(&self, t: &Transaction<'_>) -> rusqlite::Result<()> {
        let text = serde_json::to_string(self)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        t.prepare_cached(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
        )?
        .execute(params![KEY, text])
        .map(drop)
    }

    fn mark(&mut self, spans: impl IntoIterator<Item = Span>) {
        self.marked.extend(spans);
        self.marked.retain(|(from, to)| from < to);
        self.marked.sort_unstable();
        let mut joined: Vec<Span> = Vec::with_capacity(self.marked.len());
        for (from, to) in self.marked.drain(..) {
            match joined.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => joined.push((from, to)),
            }
        }
        self.marked = joined;
    }

    /// Takes the earliest days before `until`; each day from `first` on is taken at least once.
    fn take(&mut self, first: i32, until: i32, days_max: i32) -> Option<Span> {
        if self.doing.is_some() {
            return self.doing;
        }
        let through = self.through.unwrap_or(first);
        if through < until {
            self.mark([(through, until)]);
            self.through = Some(until);
        }
        let earliest = self.marked.first_mut().filter(|(from, _)| *from < until)?;
        let (from, to) = *earliest;
        let end = to.min(until).min(from.saturating_add(days_max.max(1)));
        earliest.0 = end;
        self.marked.retain(|(from, to)| from < to);
        self.doing = Some((from, end));
        self.doing
    }
}

impl Journal {
    /// Marks gas days on which zones and customers are to be judged again. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn mark_unjudged(&self, days: &BTreeSet<GasDay>) -> Result<(), StoreError> {
        if days.is_empty() {
            return Ok(());
        }
        let spans: Vec<Span> = days
            .iter()
            .map(|day| (day.epoch_day(), day.epoch_day() + 1))
            .collect();
        self.write_now("marking days to be judged", move |t| {
            let mut agenda = Agenda::read(t)?;
            let before = agenda.clone();
            agenda.mark(spans.iter().copied());
            if agenda == before {
                return Ok(());
            }
            agenda.write(t)
        })
    }

    /// Takes the earliest gas days before `until` that are to be judged, at most so many: those marked,
    /// and once each day from the first curve on. The same days are given again until
    /// [`Self::answer_unjudged`] says that they are done. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn take_unjudged(
        &self,
        until: GasDay,
        days_max: u16,
    ) -> Result<Option<(GasDay, GasDay)>, StoreError> {
        let Some((first, _)) = self.curve_span()? else {
            return Ok(None);
        };
        let (first, until) = (first.epoch_day(), until.epoch_day());
        let take = move |agenda: &mut Agenda| agenda.take(first, until, i32::from(days_max));
        let due = self.read("reading days to be judged", |c| {
            let mut agenda = Agenda::read(c)?;
            Ok(take(&mut agenda))
        })?;
        if due.is_none() {
            return Ok(None);
        }
        let taken = self.write_now("taking days to be judged", move |t| {
            let mut agenda = Agenda::read(t)?;
            let taken = take(&mut agenda);
            agenda.write(t)?;
            Ok(taken)
        })?;
        Ok(taken.map(|(from, to)| (GasDay::from_epoch_day(from), GasDay::from_epoch_day(to))))
    }

    /// Says that the days taken last are judged. Blocks.
    ///
    /// # Errors
    /// As `commit`; they are given again then.
    pub fn answer_unjudged(&self) -> Result<(), StoreError> {
        self.write_now("answering days to be judged", |t| {
            let mut agenda = Agenda::read(t)?;
            agenda.doing = None;
            agenda.write(t)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_join_and_are_taken_from_the_earliest_on() {
        let mut agenda = Agenda {
            through: Some(100),
            ..Agenda::default()
        };
        agenda.mark([(40, 41), (10, 12), (41, 43), (11, 14)]);
        assert_eq!(agenda.marked, [(10, 14), (40, 43)]);
        assert_eq!(agenda.take(0, 100, 3), Some((10, 13)));
        assert_eq!(agenda.take(0, 100, 3), Some((10, 13)), "not answered yet");
        // Marked while it is being judged: judged once more.
        agenda.mark([(11, 12)]);
        agenda.doing = None;
        let mut taken = Vec::new();
        while let Some(span) = agenda.take(0, 100, 30) {
            taken.push(span);
            agenda.doing = None;
        }
        assert_eq!(taken, [(11, 12), (13, 14), (40, 43)]);
        assert_eq!(agenda.marked, []);
    }

    #[test]
    fn each_day_is_taken_once_as_time_goes_by() {
        let mut agenda = Agenda::default();
        assert_eq!(agenda.take(50, 60, 4), Some((50, 54)));
        agenda.doing = None;
        assert_eq!(agenda.take(50, 60, 40), Some((54, 60)));
        agenda.doing = None;
        assert_eq!(agenda.take(50, 60, 40), None);
        assert_eq!(agenda.take(50, 61, 40), Some((60, 61)));
        agenda.doing = None;
        // What is not due yet stays marked.
        agenda.mark([(70, 72)]);
        assert_eq!(agenda.take(50, 61, 40), None);
        assert_eq!(agenda.marked, [(70, 72)]);
    }
}
