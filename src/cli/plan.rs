//! `qiliang declare` and `qiliang nominate`.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::open::not_kept;
use super::{Context, Failure};
use crate::domain::calendar::{GasDay, GasMonth};
use crate::plan::declaration::Declaration;
use crate::plan::nomination::Nomination;
use crate::plan::workbook;
use crate::run::{planning, submitting};
use crate::store::book::DocumentKind;

/// Who prepares what is made on the command line.
const WHO: &str = "command line";

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    println!("wrote {}", file.display());
    Ok(())
}

/// Notes that the newest version went to the supplier; the document as it was sent.
fn mark_sent<T: DeserializeOwned>(
    context: &Context,
    kind: DocumentKind,
    key: &str,
) -> Result<T, Failure> {
    let (app, _) = context.write()?;
    let body = submitting::mark_sent(&app, kind, key, WHO, "told on the command line")
        .map_err(anyhow::Error::from)?;
    println!(
        "{key}: submission {} is written down",
        body["submission_no"]
    );
    Ok(serde_json::from_value(body).context("a stored document does not have its own shape")?)
}

/// Computes the declaration, keeps it where the stores are free, writes the workbook.
pub(super) fn declare(
    context: &Context,
    month: GasMonth,
    export: Option<&Path>,
    is_sent: bool,
    supplier: Option<&str>,
) -> Result<(), Failure> {
    if is_sent {
        let document: Declaration =
            mark_sent(context, DocumentKind::Declaration, &month.to_string())?;
        return export.map_or(Ok(()), |file| {
            write(file, &workbook::declaration(&document)?)
        });
    }
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
        let bytes = match supplier {
            None => workbook::declaration(&declaration)?,
            Some(supplier) => {
                workbook::declaration_for(&declaration, supplier)?.with_context(|| {
                    format!(
                        "nothing is declared to `{supplier}` in {month}; its suppliers are {}",
                        declaration.suppliers.join(", ")
                    )
                })?
            }
        };
        write(file, &bytes)?;
    }
    Ok(())
}

/// Computes the nomination, keeps it where the stores are free, writes the workbook.
pub(super) fn nominate(
    context: &Context,
    day: Option<GasDay>,
    export: Option<&Path>,
    is_sent: bool,
) -> Result<(), Failure> {
    if is_sent {
        let day = match day {
            Some(day) => day,
            None => context.read()?.today().plus(1),
        };
        let document: Nomination = mark_sent(context, DocumentKind::Nomination, &day.to_string())?;
        return export.map_or(Ok(()), |file| {
            write(file, &workbook::nomination(&document)?)
        });
    }
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
        nomination.asked_m3() as f64 / 10_000.0
    );
    if let Some(file) = export {
        write(file, &workbook::nomination(&nomination)?)?;
    }
    Ok(())
}
