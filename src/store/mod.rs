//! Stores: the journal of readings (`readings.db`) and the book of everything else (`qiliang.db`).
//!
//! Each file has one writer thread that commits what is waiting together, and a small pool of
//! read-only connections. Whoever opens a file for writing holds `<file>.lock` until it closes it,
//! so two daemons can never write to one data directory.

pub mod backup;
pub mod book;
pub mod compact;
pub mod damage;
mod database;
pub mod error;
pub mod export;
pub mod history;
pub mod influx;
pub mod journal;
pub mod salvage;
mod time;
#[cfg(test)]
mod upgrades;

pub use database::{Checkpoint, FileSize};
pub use error::StoreError;
