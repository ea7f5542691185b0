//! `qiliang export`: readings, curves and findings for other tools.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::{Context, Failure};
use crate::domain::calendar::GasDay;
use crate::store::export::{self, ExportKind, ExportScope};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Each value of each reading.
    Readings,
    /// Each hour of each load curve.
    Curves,
    /// Each finding of the validation rules, in Chinese and English, with its numbers.
    Findings,
}

/// What `qiliang export` is asked for.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// What to export.
    what: What,
    /// First gas day, `YYYY-MM-DD`; the first there is by default.
    #[arg(long, value_name = "DAY")]
    from: Option<GasDay>,
    /// Last gas day, `YYYY-MM-DD`; the last there is by default.
    #[arg(long, value_name = "DAY")]
    to: Option<GasDay>,
    /// Only these meters; may be repeated.
    #[arg(long = "meter", value_name = "ID")]
    meters: Vec<String>,
    /// File, which must not be there yet: `.csv` or `.parquet`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Exports; also beside a running daemon.
pub(super) fn run(context: &Context, asked: &Export) -> Result<(), Failure> {
    let app = context.read()?;
    let days = match asked.what {
        What::Readings | What::Curves => app.journal.days_with_curves_or_readings()?,
        What::Findings => export::finding_days(&app.journal, app.today())?,
    };
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return Err(
            anyhow!("there is nothing to export yet; collect or import readings first").into(),
        );
    };
    let scope = ExportScope {
        kind: match asked.what {
            What::Readings => ExportKind::Readings,
            What::Curves => ExportKind::Curves,
            What::Findings => ExportKind::Findings,
        },
        from: asked.from.unwrap_or(*first),
        to: asked.to.unwrap_or(*last).plus(1),
        today: app.today(),
        meters: asked.meters.iter().map(|id| id.as_str().into()).collect(),
    };
    let started = Instant::now();
    let rows = export::export(&app.journal, &scope, &asked.out)?;
    println!(
        "{}: {rows} rows of gas days {} to {} in {:.1} s",
        asked.out.display(),
        scope.from,
        scope.to.plus(-1),
        started.elapsed().as_secs_f64()
    );
    Ok(())
}
