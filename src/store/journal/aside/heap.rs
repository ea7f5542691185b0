//! What is set aside, in numbers: readings of which meters, from when to when.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::super::{JournalEntry, instant, millis};
use crate::domain::id::MeterId;

/// Deliveries that are not at their place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::store::journal) struct Heap {
    readings: u64,
    rejected: u64,
    /// Deliveries of which not even that can be read.
    pub(super) unreadable: u64,
    meters: BTreeSet<MeterId>,
    /// First and last instant of a reading, ms.
    span: Option<(i64, i64)>,
}

impl Heap {
    pub(in crate::store::journal) fn add_reading(&mut self, meter: &MeterId, at: i64) {
        self.readings += 1;
        if !self.meters.contains(meter) {
            self.meters.insert(meter.clone());
        }
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
    }

    pub(super) fn add_reject(&mut self) {
        self.rejected += 1;
    }

    pub(super) fn add(&mut self, entry: &JournalEntry) {
        match entry {
            JournalEntry::Reading { reading, .. } => {
                self.add_reading(&reading.meter, millis(reading.sampled_at));
            }
            JournalEntry::Reject(_) => self.add_reject(),
        }
    }

    pub(in crate::store::journal) fn join(&mut self, other: &Self) {
        self.readings += other.readings;
        self.rejected += other.rejected;
        self.unreadable += other.unreadable;
        self.meters.extend(other.meters.iter().cloned());
        if let Some((first, last)) = other.span {
            let (a, b) = self.span.unwrap_or((first, last));
            self.span = Some((a.min(first), b.max(last)));
        }
    }

    /// Deliveries.
    pub(super) const fn len(&self) -> u64 {
        self.readings + self.rejected + self.unreadable
    }
}

/// What is on disk but not at its place in the journal, and cannot be read like other readings until that is
/// mended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SetAside {
    /// Readings.
    pub readings: u64,
    /// Rejected frames.
    pub rejected: u64,
    /// Meters that these readings are of.
    pub meters: usize,
    /// Instant of the first and of the last.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Files beside the journal that hold some of it.
    pub files: Vec<String>,
    /// Of these, the ones that are damaged themselves: what only they have is not counted.
    pub damaged: Vec<String>,
}

impl SetAside {
    pub(in crate::store::journal) fn of(
        heap: &Heap,
        files: Vec<String>,
        damaged: Vec<String>,
    ) -> Self {
        Self {
            readings: heap.readings,
            rejected: heap.rejected + heap.unreadable,
            meters: heap.meters.len(),
            span: heap
                .span
                .map(|(first, last)| (instant(first), instant(last))),
            files,
            damaged,
        }
    }

    /// Readings of how many meters, from when to when.
    pub fn words(&self) -> String {
        let span = self.span.map_or_else(String::new, |(first, last)| {
            let minute = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%MZ");
            format!(" from {} to {}", minute(first), minute(last))
        });
        let rejected = match self.rejected {
            0 => String::new(),
            count => format!(" and {count} rejected frame(s)"),
        };
        let damaged = if self.damaged.is_empty() {
            String::new()
        } else {
            format!(
                "; what {} hold(s) is not counted, since that is damaged, too",
                self.damaged.join(", ")
            )
        };
        format!(
            "{} reading(s) of {} meter(s){span}{rejected}{damaged}",
            self.readings, self.meters
        )
    }
}
