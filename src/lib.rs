//! qiliang (气量): gas demand, from the meter to the declaration.
//!
//! ```text
//! collect ▶ decode ▶ validate ▶ store ▶ ledger ▶ forecast ▶ plan ▶ nudge ▶ serve
//! ```
//!
//! Modules are listed in the order in which a reading passes through them; before them the
//! vocabulary they share, after them what joins them.

pub mod domain;

pub mod collect;
pub mod decode;
pub mod validate;
pub mod store;
pub mod registry;
pub mod ledger;
pub mod forecast;
pub mod plan;
pub mod nudge;
pub mod serve;

pub mod simulate;

pub mod clock;
pub mod settings;
pub mod supervise;
pub mod run;
pub mod cli;
