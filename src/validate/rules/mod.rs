//! The rule catalogue (domain.md §4.3): one rule, one file. Rules return findings; nothing is
//! dropped.
//!
//! Entry rules (V02, V03, V18, V25) look at one reading. Sequence rules (V01 between rows, V04,
//! V05, V06, V11, V21) look at neighbours. V01 within one row is found by the journal, which alone
//! sees both values.

pub mod v01_duplicate;
pub mod v02_time;
pub mod v03_range;
pub mod v04_decreasing_total;
pub mod v05_rollover;
pub mod v06_over_capacity;
pub mod v11_stuck;
pub mod v18_dual_representation;
pub mod v21_gap;
pub mod v25_alarm;

#[cfg(test)]
pub(crate) mod testing;
