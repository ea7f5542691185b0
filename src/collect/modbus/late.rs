//! Requests on a serial line that were given up: their answers may still come.
//!
//! # Invariant
//! While the answer of a unit may still come, that unit is not asked again: of two serial answers of
//! the same unit, function and length nobody can tell which request they belong to. Other units may
//! be asked: an answer names its unit. This outlives the connection, since a transparent serial server
//! hands what comes from the line to whoever is connected by then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::rtu::{self, Expected};

/// The requests of one bus whose answers are still possible. A clone shares them.
#[derive(Debug, Clone, Default)]
pub(super) struct LateAnswers(Arc<Mutex<Vec<Outstanding>>>);

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    expected: Expected,
    until: Instant,
}

/// What the bytes at the start of a buffer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// No answer that is outstanding.
    No,
    /// One, but not complete.
    Part,
    /// One of so many bytes; it is no longer outstanding.
    Whole(usize),
}

impl LateAnswers {
    /// Notes a request that was given up.
    pub(super) fn add(&self, expected: Expected, until: Instant) {
        self.lock().push(Outstanding { expected, until });
    }

    /// When a unit may be asked again; none if now.
    pub(super) fn barred_until(&self, unit: u8, now: Instant) -> Option<Instant> {
        let mut outstanding = self.lock();
        outstanding.retain(|o| o.until > now);
        outstanding
            .iter()
            .filter(|o| o.expected.unit == unit)
            .map(|o| o.until)
            .max()
    }

    /// Whether these bytes begin with an answer that is outstanding.
    pub(super) fn take(&self, bytes: &[u8]) -> Late {
        let mut outstanding = self.lock();
        let mut found = Late::No;
        for index in 0..outstanding.len() {
            let Some(one) = outstanding.get(index) else {
                break;
            };
            match rtu::late(bytes, one.expected) {
                Some(0) => found = Late::Part,
                Some(len) => {
                    outstanding.swap_remove(index);
                    return Late::Whole(len);
                }
                None => {}
            }
        }
        found
    }

    /// Held for a look at a handful of entries, never across an await.
    fn lock(&self) -> MutexGuard<'_, Vec<Outstanding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::decode::RegisterBlock;
    use crate::decode::vector::crc16;

    fn expected(unit: u8) -> Expected {
        let block = RegisterBlock {
            function: 3,
            start: 0,
            count: 1,
        };
        Expected::of(unit, block).unwrap()
    }

    fn answer(unit: u8) -> Vec<u8> {
        let mut frame = vec![unit, 3, 2, 0, 1];
        frame.extend_from_slice(&crc16(&frame).to_le_bytes());
        frame
    }

    #[test]
    fn a_unit_is_barred_until_its_answer_came_or_cannot_come() {
        let late = LateAnswers::default();
        let now = Instant::now();
        let until = now + Duration::from_secs(10);
        late.add(expected(7), until);
        late.add(expected(9), until);
        assert_eq!(late.barred_until(7, now), Some(until));
        assert_eq!(late.barred_until(8, now), None);
        assert_eq!(late.take(&answer(8)), Late::No);
        assert_eq!(late.take(&answer(7)[..3]), Late::Part);
        assert_eq!(late.take(&answer(7)), Late::Whole(7));
        assert_eq!(late.barred_until(7, now), None);
        assert_eq!(late.barred_until(9, until), None);
    }
}
