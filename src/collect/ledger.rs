//! What one connection has handed on and not yet seen committed, in the order of arrival.
//!
//! One ledger for each connection replaces a channel for each message: an acknowledgement is a
//! number and a shared pointer, marking it takes an uncontended lock, and the collector is woken
//! only when the oldest message is resolved, since nothing behind it may be acknowledged before.
//! A ledger dies with its connection, so a late acknowledgement marks a page nobody reads: it can
//! never reach another connection, where its packet id may mean another message.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Ack;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    UnderWay,
    Committed,
    Dropped,
}

/// A message was given up downstream; the sender must deliver it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotCommitted;

/// The messages of one connection whose commit is under way.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug, Default)]
pub(super) struct Shared {
    page: Mutex<Page>,
    front_resolved: Notify,
}

#[derive(Debug, Default)]
struct Page {
    /// Number of the first entry.
    first: u64,
    entries: VecDeque<Entry>,
}

impl Ledger {
    /// Enters a message at the end; its acknowledgement resolves it.
    pub fn enter(&self) -> Ack {
        let mut page = self.0.page();
        let number = page.first + page.entries.len() as u64;
        page.entries.push_back(Entry::UnderWay);
        drop(page);
        Ack::entered(Arc::clone(&self.0), number)
    }

    /// Entries not yet taken.
    pub fn len(&self) -> usize {
        self.0.page().entries.len()
    }

    /// Whether every entry has been taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until the oldest entry is resolved. A permit is kept, so a resolution between two
    /// calls is not missed; it may also return early, with nothing to take.
    pub async fn front_resolved(&self) {
        self.0.front_resolved.notified().await;
    }

    /// Takes the committed entries from the front, without a gap, and returns how many.
    ///
    /// # Errors
    /// The oldest entry left was dropped; what was taken before it is in the count.
    pub fn take_committed(&self) -> (usize, Result<(), NotCommitted>) {
        let mut page = self.0.page();
        let committed = page
            .entries
            .iter()
            .take_while(|entry| **entry == Entry::Committed)
            .count();
        page.entries.drain(..committed);
        page.first += committed as u64;
        let outcome = match page.entries.front() {
            Some(Entry::Dropped) => Err(NotCommitted),
            _ => Ok(()),
        };
        (committed, outcome)
    }
}

impl Shared {
    fn page(&self) -> MutexGuard<'_, Page> {
        // A page is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn resolve(&self, number: u64, is_committed: bool) {
        let mut page = self.page();
        let Some(index) = number.checked_sub(page.first) else {
            return;
        };
        let entry = usize::try_from(index)
            .ok()
            .and_then(|index| page.entries.get_mut(index));
        if let Some(entry) = entry {
            *entry = if is_committed {
                Entry::Committed
            } else {
                Entry::Dropped
            };
        }
        drop(page);
        if index == 0 {
            self.front_resolved.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_in_order_and_without_a_gap() {
        let ledger = Ledger::default();
        let mut acks: Vec<Option<Ack>> = (0..4).map(|_| Some(ledger.enter())).collect();
        let mut done = |i: usize| acks[i].take().unwrap().done();
        done(2);
        done(1);
        assert_eq!(ledger.take_committed(), (0, Ok(())));
        done(0);
        assert_eq!(ledger.take_committed(), (3, Ok(())));
        assert_eq!(ledger.len(), 1);
        drop(acks);
        assert_eq!(ledger.take_committed(), (0, Err(NotCommitted)));
    }

    #[test]
    fn what_lies_before_a_dropped_entry_is_still_taken() {
        let ledger = Ledger::default();
        let (first, second) = (ledger.enter(), ledger.enter());
        drop(second);
        assert_eq!(ledger.take_committed(), (0, Ok(())));
        first.done();
        assert_eq!(ledger.take_committed(), (1, Err(NotCommitted)));
    }

    #[tokio::test]
    async fn only_the_front_wakes_and_is_not_missed() {
        let ledger = Ledger::default();
        let (first, second) = (ledger.enter(), ledger.enter());
        second.done();
        let mut waiting = std::pin::pin!(ledger.front_resolved());
        assert!(
            futures_util::poll!(&mut waiting).is_pending(),
            "woken by the second"
        );
        first.done();
        waiting.await;
        // Resolved before anyone waits: the permit is kept.
        assert_eq!(ledger.take_committed(), (2, Ok(())));
        ledger.enter().done();
        ledger.front_resolved().await;
        assert_eq!(ledger.take_committed(), (1, Ok(())));
    }

    #[test]
    fn an_acknowledgement_outlives_its_ledger_without_harm() {
        let ledger = Ledger::default();
        let stale = ledger.enter();
        drop(ledger);
        let next = Ledger::default();
        let _first = next.enter();
        stale.done();
        assert_eq!(next.take_committed(), (0, Ok(())));
    }
}
