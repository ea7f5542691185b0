//! What the hours of past days differed by from those expected of them: most of what a node costs to
//! learn, and the same for as long as the days before are the same.

use std::mem::size_of;
use std::sync::Arc;

use crate::forecast::memory::{KeyMaker, Lesson, Recall};
use crate::forecast::models::shape::ShapeBook;

/// Days that are remembered together. The error of a day depends on the days before it, so what
/// changes in the past changes the blocks from there on.
const BLOCK_DAYS: usize = 64;

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
    pub(super) fn new(recall: &Recall<'_>, book: &ShapeBook, from: usize) -> Self {
        let mut key = KeyMaker::new("share errors");
        let mut blocks = Vec::with_capacity(book.days().len().div_ceil(BLOCK_DAYS));
        for (block, days) in book.days().chunks(BLOCK_DAYS).enumerate() {
            if recall.keeps() {
                for day in days {
                    key.shape_day(day);
                }
            }
            let first = block * BLOCK_DAYS;
            let range = first..first + days.len();
            let learnt = (range.end > from).then(|| {
                let learn = || Block(range.map(|day| book.share_error(day)).collect());
                recall.of(|| key.key(), learn).0
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
