//! What earlier runs learnt, kept by what it was learnt from.
//!
//! A lesson is a pure function of its [`Key`], a digest of everything that went into it. So a run
//! that finds a lesson here says to the bit what it would say had it learnt anew, and whatever
//! changes the past (a late reading, an edit, another calendar, an alike customer that moved the
//! class) asks for another key and learns, for the nodes it touches and no others. Nothing is ever
//! marked as stale.
//!
//! The room is bounded. A lesson that no longer fits drives out the one unused for longest, but none
//! of the run under way: a memory smaller than a run keeps a part of it instead of going round. Only an
//! answer that was made of them may, for whoever asks again asks for it alone.

mod key;
mod series;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashlink::LinkedHashMap;

use crate::domain::id::RunId;

pub use key::{Key, KeyMaker};
pub(in crate::forecast) use series::SeriesLessons;

/// Something learnt.
pub trait Lesson: Any + Send + Sync {
    /// Memory it takes, bytes, near enough.
    fn bytes(&self) -> usize;

    /// Whether it was made of lessons of the same run and spares asking for them: it may drive these out.
    fn is_made_of_lessons(&self) -> bool {
        false
    }
}

/// What a lesson takes beside itself: key, links, counts.
const BYTES_AROUND: usize = 200;

/// Lessons of earlier runs. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    room_bytes: usize,
    shelf: Mutex<Shelf>,
    hits: AtomicU64,
    misses: AtomicU64,
    evicted: AtomicU64,
}

/// Lessons, the one unused for longest first.
#[derive(Default)]
struct Shelf {
    lessons: LinkedHashMap<Key, Kept>,
    bytes: usize,
    /// Number of the latest run.
    run: u64,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf")
            .field("lessons", &self.lessons.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Kept {
    lesson: Arc<dyn Any + Send + Sync>,
    bytes: usize,
    /// The run that learnt it.
    learnt_by: RunId,
    /// Number of the run that used it last.
    used_in: u64,
}

/// What became of the lessons asked for since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryCounts {
    /// Found.
    pub hits: u64,
    /// Learnt.
    pub misses: u64,
    /// Driven out for want of room, or not kept for want of it.
    pub evicted: u64,
    /// Lessons kept now.
    pub lessons: usize,
    /// What they take, bytes.
    pub bytes: usize,
    /// What they may take, bytes.
    pub room_bytes: usize,
}

impl Memory {
    /// An empty memory that may take so many bytes. Without room, as by default, nothing is kept and
    /// every run learns everything.
    pub fn with_room_for(room_bytes: usize) -> Self {
        Self(Arc::new(Shared {
            room_bytes,
            ..Shared::default()
        }))
    }

    /// A memory that begins with what this one knows and is never given back: for runs that are looked
    /// into and not published, so that they neither drive out a lesson of those that are nor sign one.
    /// The lessons themselves are shared, not copied.
    #[must_use]
    pub fn aside(&self) -> Self {
        let shelf = self.shelf();
        Self(Arc::new(Shared {
            room_bytes: self.0.room_bytes,
            shelf: Mutex::new(Shelf {
                lessons: shelf.lessons.clone(),
                ..*shelf
            }),
            ..Shared::default()
        }))
    }

    /// How it has been used.
    pub fn counts(&self) -> MemoryCounts {
        let shelf = self.shelf();
        let shared = &self.0;
        MemoryCounts {
            hits: shared.hits.load(Ordering::Relaxed),
            misses: shared.misses.load(Ordering::Relaxed),
            evicted: shared.evicted.load(Ordering::Relaxed),
            lessons: shelf.lessons.len(),
            bytes: shelf.bytes,
            room_bytes: shared.room_bytes,
        }
    }

    /// The memory as a run uses it.
    pub(in crate::forecast) fn of_run<'a>(&'a self, run: &'a RunId) -> Recall<'a> {
        let number = {
            let mut shelf = self.shelf();
            shelf.run += 1;
            shelf.run
        };
        Recall {
            memory: self,
            run,
            number,
            learning: Mutex::default(),
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn find<T: Lesson>(&mut self, key: &Key, number: u64) -> Option<(Arc<T>, RunId)> {
        let kept = self.lessons.to_back(key)?;
        kept.used_in = number;
        let lesson = Arc::clone(&kept.lesson).downcast().ok()?;
        Some((lesson, kept.learnt_by.clone()))
    }

    /// Keeps a lesson if there is room or can be made, `at_any_cost` of those of its own run too; how many
    /// were not kept for it, itself included.
    fn keep(&mut self, key: Key, kept: Kept, room_bytes: usize, at_any_cost: bool) -> u64 {
        let mut gone = 0;
        if kept.bytes > room_bytes {
            return 1;
        }
        while self.bytes + kept.bytes > room_bytes {
            let oldest = self.lessons.front();
            let is_needed = |oldest: &Kept| oldest.used_in == kept.used_in && !at_any_cost;
            if oldest.is_none_or(|(_, oldest)| is_needed(oldest)) {
                return gone + 1;
            }
            if let Some((_, oldest)) = self.lessons.pop_front() {
                self.bytes -= oldest.bytes;
                gone += 1;
            }
        }
        self.bytes += kept.bytes;
        if let Some(before) = self.lessons.insert(key, kept) {
            self.bytes -= before.bytes;
        }
        gone
    }
}

/// Which series a run learnt and which it had from earlier runs: by the run that learnt them.
///
/// Nodes are named `zone/class`, large consumers by their identifier.
pub type Learning = BTreeMap<RunId, Vec<String>>;

/// A memory as one run uses it.
#[derive(Debug)]
pub(in crate::forecast) struct Recall<'a> {
    memory: &'a Memory,
    run: &'a RunId,
    number: u64,
    learning: Mutex<Learning>,
}

impl Recall<'_> {
    /// Whether anything is kept, so that a key is worth making.
    pub(in crate::forecast) fn keeps(&self) -> bool {
        self.memory.0.room_bytes > 0
    }

    /// The lesson of a key, learnt if it is not known; and which run learnt it.
    ///
    /// `learn` must depend on nothing that is not in the key.
    pub(in crate::forecast) fn of<T: Lesson>(
        &self,
        key: impl FnOnce() -> Key,
        learn: impl FnOnce() -> T,
    ) -> (Arc<T>, RunId) {
        let shared = &self.memory.0;
        if !self.keeps() {
            return (Arc::new(learn()), self.run.clone());
        }
        let key = key();
        let known = self.memory.shelf().find(&key, self.number);
        if let Some(known) = known {
            shared.hits.fetch_add(1, Ordering::Relaxed);
            return known;
        }
        shared.misses.fetch_add(1, Ordering::Relaxed);
        // Learnt without the lock: two runs at once may learn the same, and keep the same.
        let lesson = Arc::new(learn());
        let kept = Kept {
            bytes: lesson.bytes() + BYTES_AROUND,
            lesson: Arc::clone(&lesson) as _,
            learnt_by: self.run.clone(),
            used_in: self.number,
        };
        let at_any_cost = lesson.is_made_of_lessons();
        let mut shelf = self.memory.shelf();
        let gone = shelf.keep(key, kept, shared.room_bytes, at_any_cost);
        drop(shelf);
        shared.evicted.fetch_add(gone, Ordering::Relaxed);
        (lesson, self.run.clone())
    }

    /// Notes which run a series was learnt by.
    pub(in crate::forecast) fn note(&self, series: String, learnt_by: RunId) {
        let mut learning = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        learning.entry(learnt_by).or_default().push(series);
    }

    /// What was noted.
    pub(in crate::forecast) fn learning(self) -> Learning {
        self.learning
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
