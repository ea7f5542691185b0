//! `qiliang backtest`: the last year through both operational gates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Context, Failure};
use crate::domain::language::Language;
use crate::forecast::backtest::page;
use crate::run::forecasting;

/// Where the report goes beside the terminal.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) json: Option<PathBuf>,
    pub(super) csv: Option<PathBuf>,
    pub(super) html: Option<PathBuf>,
    pub(super) is_english: bool,
}

/// Prints the table, keeps the report where the stores are free, writes the files asked for.
pub(super) fn run(context: &Context, days: usize, files: &Files) -> Result<(), Failure> {
    let (app, can_keep) = context.write_or_read()?;
    let report = if can_keep {
        forecasting::publish_backtest(&app, days)?
    } else {
        forecasting::backtest(&app, days)?
    };
    print!("{report}");
    let write = |file: &Path, bytes: Vec<u8>| {
        fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
    };
    if let Some(file) = &files.json {
        write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(file) = &files.csv {
        write(file, page::csv(&report).into_bytes())?;
    }
    if let Some(file) = &files.html {
        let words = if files.is_english {
            Language::En
        } else {
            Language::Zh
        };
        let company = app.registry().company.name.clone();
        write(file, page::html(&report, &company, words).into_bytes())?;
    }
    Ok(())
}
