//! Composition root: the only module that knows everyone.

pub mod keys;
pub mod site;
pub mod calendar;
pub mod app;
pub mod deps;
pub mod clocks;
pub mod ingest;
pub mod replay;
pub mod retention;
pub mod weather;
pub mod curve_check;
pub mod curves;
pub mod facts;
pub mod balancing;
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
pub mod edge;
pub mod daemon;
pub mod demo;

/// An error with its causes, in one line for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
