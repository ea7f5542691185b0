//! What a meter, zone or customer is judged by beside its readings, from gas day to gas day: a changed
//! limit, plan or announcement so names the days that it is about, and no others.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::domain::calendar::GasDay;

/// Gas days, half-open.
pub type DaySpan = (GasDay, GasDay);

/// What holds before the first change: 0001-01-01.
const FIRST: i32 = -719_162;
/// Bytes of a step as it is kept.
const STEP_BYTES: usize = 12;

/// Digests of what holds, each from a gas day on until the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JudgedBy {
    /// Days since 1970-01-01 and what holds from then on; 0 is nothing.
    steps: Vec<(i32, u64)>,
}

impl JudgedBy {
    /// `on` says what holds on a gas day, if anything, and says something else only from the days of
    /// `changes` on.
    pub fn of(
        changes: impl IntoIterator<Item = GasDay>,
        on: impl Fn(GasDay) -> Option<Vec<u8>>,
    ) -> Self {
        let mut days: BTreeSet<i32> = changes.into_iter().map(GasDay::epoch_day).collect();
        days.insert(FIRST);
        let mut steps: Vec<(i32, u64)> = Vec::new();
        for day in days {
            let holds = on(GasDay::from_epoch_day(day)).map_or(0, |said| digest(&said));
            if steps.last().map_or(0, |(_, before)| *before) != holds {
                steps.push((day, holds));
            }
        }
        Self { steps }
    }

    /// Of `within`, the days on which the two do not say the same, in order.
    pub fn differing(&self, other: &Self, within: DaySpan) -> Vec<DaySpan> {
        let (from, to) = (within.0.epoch_day(), within.1.epoch_day());
        let inside = |day: &i32| from < *day && *day < to;
        let mut days: BTreeSet<i32> = [&self.steps, &other.steps]
            .into_iter()
            .flatten()
            .map(|(day, _)| *day)
            .filter(inside)
            .collect();
        days.insert(from);
        let ends = days.iter().skip(1).copied().chain([to]);
        let mut spans: Vec<(i32, i32)> = Vec::new();
        for (start, end) in days.iter().copied().zip(ends) {
            if start >= end || self.on(start) == other.on(start) {
                continue;
            }
            match spans.last_mut() {
                Some((_, last)) if *last == start => *last = end,
                _ => spans.push((start, end)),
            }
        }
        let day = GasDay::from_epoch_day;
        spans.into_iter().map(|(a, b)| (day(a), day(b))).collect()
    }

    fn on(&self, day: i32) -> u64 {
        let after = self.steps.partition_point(|(from, _)| *from <= day);
        let step = after.checked_sub(1).and_then(|index| self.steps.get(index));
        step.map_or(0, |(_, holds)| *holds)
    }

    /// As it is kept.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.steps.len() * STEP_BYTES);
        for (day, holds) in &self.steps {
            bytes.extend_from_slice(&day.to_le_bytes());
            bytes.extend_from_slice(&holds.to_le_bytes());
        }
        bytes
    }

    /// From what was kept; bytes of another form say that nothing held, so that all days differ.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let step = |step: &[u8]| {
            let (day, holds) = step.split_first_chunk::<4>()?;
            let holds = holds.first_chunk::<8>()?;
            Some((i32::from_le_bytes(*day), u64::from_le_bytes(*holds)))
        };
        let steps: Option<Vec<_>> = bytes.chunks(STEP_BYTES).map(step).collect();
        Self {
            steps: steps.unwrap_or_default(),
        }
    }
}

/// The first bytes of a digest, never 0.
fn digest(said: &[u8]) -> u64 {
    let digest = Sha256::digest(said);
    let first = digest.first_chunk::<8>().copied().unwrap_or_default();
    u64::from_le_bytes(first).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn day(index: i32) -> GasDay {
        GasDay::from_epoch_day(20_000 + index)
    }

    /// What holds, from day to day of a month; 0 is nothing.
    fn judged(holds: &[u8]) -> JudgedBy {
        let by_day: BTreeMap<GasDay, u8> = (0..).map(day).zip(holds.iter().copied()).collect();
        let changes = (0..=i32::try_from(holds.len()).unwrap()).map(day);
        JudgedBy::of(changes, |on| {
            let held = by_day.get(&on).copied().filter(|held| *held > 0);
            held.map(|held| vec![held])
        })
    }

    #[test]
    fn a_change_names_the_days_from_its_own_on() {
        let before = JudgedBy::of([], |_| Some(b"5".to_vec()));
        let after = JudgedBy::of([day(10)], |on| {
            Some(if on < day(10) { b"5" } else { b"9" }.to_vec())
        });
        let differing = |within| before.differing(&after, within);
        assert_eq!(differing((day(0), day(30))), [(day(10), day(30))]);
        assert_eq!(differing((day(12), day(30))), [(day(12), day(30))]);
        assert_eq!(differing((day(0), day(10))), []);
        assert_eq!(before.differing(&before, (day(0), day(30))), []);
    }

    proptest! {
        #[test]
        fn the_days_named_are_those_on_which_something_else_holds(
            before in proptest::collection::vec(0_u8..3, 0..20),
            after in proptest::collection::vec(0_u8..3, 0..20),
            (from, to) in (-2..22_i32, -2..22_i32),
        ) {
            let on = |holds: &[u8], index: i32| {
                usize::try_from(index).ok().and_then(|i| holds.get(i).copied()).unwrap_or(0)
            };
            let expected: Vec<GasDay> = (from..to)
                .filter(|index| on(&before, *index) != on(&after, *index))
                .map(day)
                .collect();
            let (before, after) = (judged(&before), judged(&after));
            let spans = before.differing(&after, (day(from), day(to)));
            let named: Vec<GasDay> = spans
                .iter()
                .flat_map(|(a, b)| (0..b.days_since(*a)).map(|offset| a.plus(offset)))
                .collect();
            prop_assert_eq!(named, expected);
            prop_assert_eq!(JudgedBy::from_bytes(&before.to_bytes()), before);
        }
    }
}
