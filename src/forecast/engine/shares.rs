//! Shares of the hours that do not depend on the weather ahead: what the hours of past days differed by
//! from those expected of them, which is most of what a node costs to learn, and the hours of days whose
//! weather nobody forecasts.

use std::mem::size_of;
use std::sync::Arc;

use crate::forecast::features::calendar::DayTraits;
use crate::forecast::memory::{Key, KeyMaker, Lesson, Recall};
use crate::forecast::models::shape::ShapeBook;

/// Days that are remembered together. The error of a day depends on the days before it, so what
/// changes in the past changes the blocks from there on.
const BLOCK_DAYS: usize = 64;

/// Digests of a book's days from the first one up to the end of each block; empty where nothing is
/// kept.
#[derive(Debug)]
pub(super) struct BookKeys(Vec<Key>);

impl BookKeys {
    pub(super) fn new(recall: &Recall<'_>, book: &ShapeBook) -> Self {
        if !recall.keeps() {
            return Self(Vec::new());
        }
        let mut key = KeyMaker::new("hours of days");
        let of_block = |days: &[_]| {
            for day in days {
                key.shape_day(day);
            }
            key.key()
        };
        Self(book.days().chunks(BLOCK_DAYS).map(of_block).collect())
    }

    /// Of a lesson of a kind on the days up to the end of a block.
    fn up_to(&self, kind: &str, block: usize) -> KeyMaker {
        let mut key = KeyMaker::new(kind);
        if let Some(days) = self.0.get(block) {
            key.part(days);
        }
        key
    }

    /// Of a lesson of a kind on all days.
    fn all(&self, kind: &str) -> KeyMaker {
        self.up_to(kind, self.0.len().saturating_sub(1))
    }
}

/// Shares of the hours of days to come, for the temperature of each, °C; NaN where unknown.
pub(super) fn shares_ahead(
    recall: &Recall<'_>,
    (book, keys): (&ShapeBook, &BookKeys),
    days: &[DayTraits],
    temperatures: &[f64],
) -> Vec<[f64; 24]> {
    let shares = |day, temperature| book.shares(day, temperature, usize::MAX);
    let days = days.iter().zip(temperatures);
    let unknown: Vec<DayTraits> = days
        .clone()
        .filter(|(_, temperature)| !temperature.is_finite())
        .map(|(day, _)| *day)
        .collect();
    let key = || keys.all("shares without weather").traits(&unknown).key();
    let learn = || Shares(unknown.iter().map(|day| shares(day, f64::NAN)).collect());
    let (learnt, _) = recall.of(key, learn);
    let mut without_weather = learnt.0.iter();
    days.map(|(day, temperature)| {
        if temperature.is_finite() {
            return shares(day, *temperature);
        }
        let of_day = without_weather.next().copied();
        of_day.unwrap_or_else(|| shares(day, f64::NAN))
    })
    .collect()
}

struct Shares(Vec<[f64; 24]>);

impl Lesson for Shares {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.len() * size_of::<[f64; 24]>()
    }
}

/// Share errors of a book's days; none for those before the first that was asked for.
#[derive(Debug, Default)]
pub(super) struct ShareErrors {
    from: usize,
    blocks: Vec<Option<Arc<Block>>>,
}

#[derive(Debug)]
struct Block(Vec<Option<[f64; 24]>>);

impl Lesson for Block {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.len() * size_of::<Option<[f64; 24]>>()
    }
}

impl ShareErrors {
    /// Of the days from `from` on.
    pub(super) fn new(
        recall: &Recall<'_>,
        (book, keys): (&ShapeBook, &BookKeys),
        from: usize,
    ) -> Self {
        let mut blocks = Vec::with_capacity(book.days().len().div_ceil(BLOCK_DAYS));
        for (block, days) in book.days().chunks(BLOCK_DAYS).enumerate() {
            let first = block * BLOCK_DAYS;
            let range = first..first + days.len();
            let learnt = (range.end > from).then(|| {
                let learn = || Block(range.map(|day| book.share_error(day)).collect());
                recall
                    .of(|| keys.up_to("share errors", block).key(), learn)
                    .0
            });
            blocks.push(learnt);
        }
        Self { from, blocks }
    }

    /// The error of a day; none where it is not known or was not asked for.
    pub(super) fn get(&self, day: usize) -> Option<&[f64; 24]> {
        if day < self.from {
            return None;
        }
        let Block(days) = self.blocks.get(day / BLOCK_DAYS)?.as_deref()?;
        days.get(day % BLOCK_DAYS)?.as_ref()
    }
}
