//! The rule catalogue (domain.md §4.3): one rule, one file. Rules return findings; nothing is
//! dropped.
//!
//! Entry rules (V02, V03, V18, V25) look at one reading. Sequence rules (V01 between rows, V04,
//! V05, V06, V11, V21) look at neighbours. Day rules (V07 to V10, V12, V13, V16, V17, V19, V20, V22
//! to V24) look at a gas day and those before it. V01 within one row is found by the journal, which alone
//! sees both values.

pub mod v01_duplicate;
pub mod v02_time;
pub mod v03_range;
pub mod v04_decreasing_total;
pub mod v05_rollover;
pub mod v06_over_capacity;
pub mod v07_spike;
pub mod v08_day_ratio;
pub mod v09_high_low;
pub mod v10_zero_use;
pub mod v11_stuck;
pub mod v12_continuous_flow;
pub mod v13_valve_closed;
pub mod v16_sibling;
pub mod v17_factor;
pub mod v18_dual_representation;
pub mod v19_scale;
pub mod v20_gauge_abs;
pub mod v21_gap;
pub mod v22_estimation;
pub mod v23_turndown;
pub mod v24_communication;
pub mod v25_alarm;

#[cfg(test)]
pub(crate) mod testing;
