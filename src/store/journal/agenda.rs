//! Gas days of which zones and customers are still to be judged, all of them or some: one small row of
//! `meta`.
//!
//! Days that are taken stand in `doing` until they are answered, so that a mark set meanwhile is not
//! answered with them, and whoever is stopped in between begins with them again.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::{Deserialize, Serialize};

use super::Journal;
use super::findings::{kind_of, subject_of};
use crate::domain::calendar::GasDay;
use crate::domain::finding::Subject;
use crate::store::error::StoreError;
use crate::validate::judged_by::DaySpan;

/// Key in `meta`.
const KEY: &str = "judging";

/// Days since 1970-01-01, half-open.
type Span = (i32, i32);

/// Kind and identifier of a zone or customer, as in `subject_findings`: `1 north`.
type Key = String;

/// Gas days `[from, to)` on which to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueDays {
    /// First gas day.
    pub from: GasDay,
    /// The day after the last.
    pub to: GasDay,
    /// Whom, each on these of the days; everybody on all of them if none.
    pub only: Option<BTreeMap<Subject, Vec<DaySpan>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Agenda {
    /// On which everybody is to be judged, in order, apart from each other.
    marked: Vec<Span>,
    /// Taken and not yet answered.
    doing: Option<Span>,
    /// Days before this one were on the agenda once.
    through: Option<i32>,
    /// On which some are to be judged, alike.
    #[serde(default)]
    some: BTreeMap<Key, Vec<Span>>,
    /// Whom of them, if not everybody, those taken are of.
    #[serde(default)]
    doing_some: BTreeMap<Key, Vec<Span>>,
}

fn key_of(subject: &Subject) -> Option<Key> {
    Some(format!("{} {}", kind_of(subject)?, subject.as_str()))
}

fn subject_of_key(key: &str) -> Option<Subject> {
    let (kind, id) = key.split_once(' ')?;
    Some(subject_of(kind.parse().ok()?, id.to_owned()))
}

/// Adds spans to others that are in order and apart.
fn join(marked: &mut Vec<Span>, spans: impl IntoIterator<Item = Span>) {
    marked.extend(spans);
    marked.retain(|(from, to)| from < to);
    marked.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(marked.len());
    for (from, to) in marked.drain(..) {
        match joined.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => joined.push((from, to)),
        }
    }
    *marked = joined;
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
        join(&mut self.marked, spans);
    }

    /// Marks some on some days.
    pub(super) fn mark_subjects(
        t: &Transaction<'_>,
        marked: &BTreeMap<Subject, Vec<DaySpan>>,
    ) -> rusqlite::Result<()> {
        if marked.is_empty() {
            return Ok(());
        }
        let mut agenda = Self::read(t)?;
        for (subject, spans) in marked {
            if let Some(key) = key_of(subject) {
                let spans = spans.iter().map(|(a, b)| (a.epoch_day(), b.epoch_day()));
                join(agenda.some.entry(key).or_default(), spans);
            }
        }
        agenda.write(t)
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
        if self.marked.first().is_none_or(|(from, _)| *from >= until) {
            return self.take_some(until, days_max);
        }
        let earliest = self.marked.first_mut()?;
        let (from, to) = *earliest;
        let end = to.min(until).min(from.saturating_add(days_max.max(1)));
        earliest.0 = end;
        self.marked.retain(|(from, to)| from < to);
        self.doing = Some((from, end));
        self.doing
    }

    /// Takes the earliest days before `until` on which some are to be judged, and of each those within them.
    fn take_some(&mut self, until: i32, days_max: i32) -> Option<Span> {
        let firsts = self.some.values().filter_map(|spans| spans.first());
        let from = firsts
            .map(|(from, _)| *from)
            .min()
            .filter(|from| *from < until)?;
        let end = until.min(from.saturating_add(days_max.max(1)));
        for (key, spans) in &mut self.some {
            let (mut taken, mut left) = (Vec::new(), Vec::new());
            for (a, b) in spans.drain(..) {
                taken.push((a.min(end), b.min(end)));
                left.push((a.max(end), b.max(end)));
            }
            join(spans, left);
            taken.retain(|(a, b)| a < b);
            if !taken.is_empty() {
                self.doing_some.insert(key.clone(), taken);
            }
        }
        self.some.retain(|_, spans| !spans.is_empty());
        self.doing = Some((from, end));
        self.doing
    }

    /// What is taken, in words of the domain.
    fn due(&self, (from, to): Span) -> DueDays {
        let day = GasDay::from_epoch_day;
        let only = self.doing_some.iter().filter_map(|(key, spans)| {
            let spans = spans.iter().map(|(a, b)| (day(*a), day(*b))).collect();
            Some((subject_of_key(key)?, spans))
        });
        DueDays {
            from: day(from),
            to: day(to),
            only: (!self.doing_some.is_empty()).then(|| only.collect()),
        }
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
    /// once each day from the first curve on, and then those on which some are. The same days are given again until
    /// [`Self::answer_unjudged`] says that they are done. Blocks.
    ///
    /// # Errors
    /// As `commit`.
    pub fn take_unjudged(
        &self,
        until: GasDay,
        days_max: u16,
    ) -> Result<Option<DueDays>, StoreError> {
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
            let taken = take(&mut agenda).map(|span| agenda.due(span));
            agenda.write(t)?;
            Ok(taken)
        })?;
        Ok(taken)
    }

    /// Says that the days taken last are judged. Blocks.
    ///
    /// # Errors
    /// As `commit`; they are given again then.
    pub fn answer_unjudged(&self) -> Result<(), StoreError> {
        self.write_now("answering days to be judged", |t| {
            let mut agenda = Agenda::read(t)?;
            agenda.doing = None;
            agenda.doing_some.clear();
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
    fn some_are_taken_on_their_own_days_and_once_more_if_marked_meanwhile() {
        let mut agenda = Agenda {
            through: Some(100),
            ..Agenda::default()
        };
        join(
            agenda.some.entry("2 K1".into()).or_default(),
            [(10, 11), (14, 20)],
        );
        join(
            agenda.some.entry("1 north".into()).or_default(),
            [(12, 200)],
        );
        agenda.mark([(50, 51)]);
        assert_eq!(agenda.take(0, 100, 8), Some((50, 51)), "everybody first");
        assert_eq!(agenda.due((50, 51)).only, None);
        agenda.doing = None;
        let span = agenda.take(0, 100, 8).unwrap();
        assert_eq!(span, (10, 18));
        let day = GasDay::from_epoch_day;
        let of = |spans: &[Span]| spans.iter().map(|(a, b)| (day(*a), day(*b))).collect();
        let expected = BTreeMap::from([
            (Subject::Customer("K1".into()), of(&[(10, 11), (14, 18)])),
            (Subject::Zone("north".into()), of(&[(12, 18)])),
        ]);
        assert_eq!(agenda.due(span).only, Some(expected));
        // Whoever was stopped is given the same again, from the bytes, too.
        let text = serde_json::to_string(&agenda).unwrap();
        let mut agenda: Agenda = serde_json::from_str(&text).unwrap();
        assert_eq!(agenda.take(0, 100, 8), Some((10, 18)));
        join(agenda.some.entry("2 K1".into()).or_default(), [(10, 11)]);
        agenda.doing = None;
        agenda.doing_some.clear();
        let span = agenda.take(0, 100, 90).unwrap();
        let only = agenda.due(span).only.unwrap();
        assert_eq!(
            only[&Subject::Customer("K1".into())],
            of(&[(10, 11), (18, 20)])
        );
        assert_eq!(only[&Subject::Zone("north".into())], of(&[(18, 100)]));
        assert_eq!(
            agenda.some,
            BTreeMap::from([("1 north".to_owned(), vec![(100, 200)])])
        );
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
