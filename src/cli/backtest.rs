//! `qiliang backtest`: the last year through both operational gates.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{Context, Failure};
use crate::run::forecasting;

/// Prints the table, keeps the report where the stores are free, writes JSON if asked for.
pub(super) fn run(context: &Context, days: usize, json: Option<&Path>) -> Result<(), Failure> {
    let (app, can_keep) = context.write_or_read()?;
    let report = if can_keep {
        forecasting::publish_backtest(&app, days)?
    } else {
        forecasting::backtest(&app, days)?
    };
    print!("{report}");
    if let Some(file) = json {
        fs::write(file, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
