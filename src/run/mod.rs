//! Composition root: the only module that knows everyone.

pub mod keys;
pub mod rules;
pub mod site;
pub mod calendar;
pub mod local_calendar;
pub mod app;
pub mod deps;
pub mod clocks;
pub mod ingest;
pub mod replay;
pub mod compaction;
pub mod retention;
pub mod weather;
pub mod curve_check;
pub mod curves;
pub mod facts;
mod pipes;
pub mod balancing;
pub mod auditing;
pub mod judging;
pub mod ledgering;
pub mod forecasting;
pub mod runs;
pub mod explain;
pub mod factors;
pub mod monitor;
pub mod outlook;
pub mod forwarding;
pub mod planning;
pub mod nudging;
pub mod schedule;
pub mod actions;
pub mod reload;
pub mod remembering;
pub mod book_watch;
pub mod edge;
pub mod editing;
pub mod estimating;
pub mod daemon;
pub mod demo;

#[cfg(test)]
mod testing;
