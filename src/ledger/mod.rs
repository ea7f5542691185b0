//! The ledger of large consumers (用气量较大企业气量监控台账), and demand summed from load curves.
//!
//! Pure: registry, curves and time in; figures out. Nothing here reads a store or a clock. A figure
//! that cannot be known is missing, never zero.

pub mod balance;
pub mod demand;
pub mod entry;
pub mod export;
pub mod zone_days;

mod alerts;
mod figures;
mod members;
mod quarter;

pub use self::alerts::{Sla, due_at};
pub use self::members::{EntryRule, members, members_kept};
