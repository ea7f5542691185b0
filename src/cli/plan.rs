//! `qiliang declare` and `qiliang nominate`.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::open::not_kept;
use super::{Context, Failure};
use crate::domain::calendar::{GasDay, GasMonth};
use crate::plan::workbook;
use crate::run::planning;

/// Who prepares what is made on the command line.
const WHO: &str = "command line";

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    println!("wrote {}", file.display());
    Ok(())
}

/// Computes the declaration, keeps it where the stores are free, writes the workbook.
pub(super) fn declare(
    context: &Context,
    month: GasMonth,
    export: Option<&Path>,
) -> Result<(), Failure> {
    let (app, can_keep) = context.write_or_read()?;
    let declaration = if can_keep {
        planning::declare(&app, month, WHO, "asked for on the command line")?
    } else {
        not_kept("version");
        planning::compute_declaration(&app, month, WHO, "asked for on the command line")?
    };
    println!("{} V{}", declaration.decl_no, declaration.version);
    println!("{}", declaration.optimum.reason_zh);
    println!("{}", declaration.optimum.reason_en);
    if let Some(file) = export {
        write(file, &workbook::declaration(&declaration)?)?;
    }
    Ok(())
}

/// Computes the nomination, keeps it where the stores are free, writes the workbook.
pub(super) fn nominate(
    context: &Context,
    day: Option<GasDay>,
    export: Option<&Path>,
) -> Result<(), Failure> {
    let (app, can_keep) = context.write_or_read()?;
    let day = day.unwrap_or_else(|| app.today().plus(1));
    let nomination = if can_keep {
        planning::nominate(&app, day, WHO, "asked for on the command line")?
    } else {
        not_kept("version");
        planning::compute_nomination(&app, day, WHO)?
    };
    println!(
        "gas day {day}: {:.4} 万m³ nominated",
        nomination.nominated_m3() as f64 / 10_000.0
    );
    if let Some(file) = export {
        write(file, &workbook::nomination(&nomination)?)?;
    }
    Ok(())
}
