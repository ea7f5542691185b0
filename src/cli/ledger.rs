//! `qiliang ledger`.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::{Context, Failure};
use crate::domain::quantity::StdVolume;
use crate::run::ledgering;

/// Prints the ledger's main columns, or writes the workbook.
pub(super) fn run(context: &Context, export: Option<&Path>) -> Result<(), Failure> {
    let app = context.read()?;
    if let Some(file) = export {
        let bytes = ledgering::workbook(&app)?;
        fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        println!("wrote {}", file.display());
        return Ok(());
    }
    let entries = ledgering::entries(&app)?;
    for entry in &entries {
        let volume = |m3: Option<StdVolume>| m3.map_or_else(|| "—".into(), |v| v.to_string());
        let unknown = match entry.year_days_unknown {
            0 => String::new(),
            days => format!(" (另有 {days} 天未知)"),
        };
        println!(
            "{:<12} {:<10} 昨日 {:>14}  计划 {:>14}  当年累计 {:>16} m³{unknown}  {}",
            entry.account_no,
            format!("{:?}", entry.status),
            volume(entry.yesterday_m3),
            volume(entry.plan_m3),
            entry.year_to_date_m3,
            entry.name
        );
    }
    println!("{} enterprise(s)", entries.len());
    Ok(())
}
