//! Forecasts: series in, [`DemandForecast`](crate::domain::demand::DemandForecast) out. Pure, but
//! for [`csv_task`], which reads and writes the files of the scoring protocol.
//!
//! ```text
//! features ▶ models (regression ▶ correction by lead ▶ residual paths) ▶ draws ▶ engine ◀ request
//!                                                                       ▶ backtest, csv_task, customer
//! ```
//!
//! Everything is made by one model of a daily series, [`models::daily::DailyModel`]; the engine,
//! the backtest, the bands of a single customer and the scoring tasks all call it. Nothing here
//! reads a clock, and nothing looks past the origin it is given.

pub mod backtest;
pub mod csv_task;
pub mod customer;
pub mod draws;
pub mod engine;
pub mod features;
pub mod linear;
pub mod memory;
pub mod metrics;
pub mod models;
pub mod months;
pub mod outlook;
pub mod parts;
pub mod request;
pub mod weather;

use std::path::PathBuf;

use thiserror::Error;

use crate::domain::calendar::GasDay;

/// Why there is no forecast.
#[derive(Debug, Error)]
pub enum ForecastError {
    /// A node or series has too few complete days.
    #[error(
        "`{series}` has {have} complete days before the origin, the simplest model needs {need}; \
         collect longer or add a node of the same class with history"
    )]
    InsufficientHistory {
        /// Node (`zone/class`) or series.
        series: String,
        /// Complete days there are.
        have: usize,
        /// Complete days the simplest model needs.
        need: usize,
    },
    /// No node at all.
    #[error("the request names no demand node; enter at least one complete gas day of one node")]
    NoNodes,
    /// A request that cannot be answered.
    #[error("{what} is {have}, allowed is {allowed}")]
    OutOfRange {
        /// Field of the request.
        what: &'static str,
        /// What was given.
        have: usize,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The shares do not cover the days of the horizon.
    #[error("source shares are given for {have} days, the horizon has {need}")]
    SharesMissing {
        /// Days given.
        have: usize,
        /// Days needed.
        need: usize,
    },
    /// Two values for one node and day.
    #[error("`{series}` has two values for gas day {day}; keep the latest version only")]
    DuplicateDay {
        /// Node.
        series: String,
        /// Day.
        day: GasDay,
    },
    /// A value that is not a finite number.
    #[error("`{series}` has a value that is not a finite number on gas day {day}")]
    NotFinite {
        /// Node.
        series: String,
        /// Day.
        day: GasDay,
    },
    /// A task file that cannot be read or written.
    #[error("{}: cannot {action} the file", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `write`.
        action: &'static str,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A task file that does not say what the protocol asks for.
    #[error("{}: {what}", path.display())]
    Task {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
}

impl ForecastError {
    /// Stable code for the API, metric labels and locale files.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InsufficientHistory { .. } => "forecast.insufficient_history",
            Self::NoNodes => "forecast.no_nodes",
            Self::OutOfRange { .. } => "forecast.out_of_range",
            Self::SharesMissing { .. } => "forecast.shares_missing",
            Self::DuplicateDay { .. } => "forecast.duplicate_day",
            Self::NotFinite { .. } => "forecast.not_finite",
            Self::File { .. } => "forecast.file",
            Self::Task { .. } => "forecast.task",
        }
    }
}
