//! Workbooks (xlsx) of the documents: totals are live formulas with their results beside them,
//! links between sheets, a check row on each; the same version gives the same bytes.

mod approval;
mod consumers;
mod cost;
mod cover;
mod daily;
mod execution;
mod external;
mod nomination;
mod notes;
mod page;
mod parts;
mod security;
mod slots;
mod structure;
mod summary;

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Workbook};

use chrono::{DateTime, Utc};

use crate::domain::calendar::{GasDay, beijing_civil};
use crate::domain::quantity::ReferenceConditions;
use crate::plan::PlanError;
use crate::plan::declaration::Declaration;
use crate::plan::explain;
use crate::plan::workbook::page::{Page, Styles};

pub use external::write as declaration_for;
pub use nomination::write as nomination;

/// Names of the sheets, as links spell them.
const SUMMARY: &str = "月度汇总";
const DAILY: &str = "分日计划";
const STRUCTURE: &str = "用户结构";

/// First row below the heads on every sheet.
const FIRST: u32 = 3;

/// The monthly declaration (月度用气计划申报表), sheets 0 to 11 of the form.
///
/// # Errors
/// [`PlanError::Workbook`] if the writer refuses a cell.
pub fn declaration(document: &Declaration) -> Result<Vec<u8>, PlanError> {
    let mut book = book_of(document)?;
    let hash = document.content_hash()?;
    let sheets: [(&str, Write<Declaration>); 12] = [
        ("封面", cover::write),
        (SUMMARY, summary::write),
        (DAILY, daily::write),
        (STRUCTURE, structure::write),
        ("用气时段", slots::write),
        ("重点用户", consumers::write),
        ("新增与项目", parts::write),
        ("上月执行与偏差", execution::write),
        ("保供与储气", security::write),
        ("预测说明", notes::write),
        ("价格测算(内部)", cost::write),
        ("审签与版本", approval::write),
    ];
    write_sheets(&mut book, &sheets, document, document.reference)?;
    meta(
        &mut book,
        &[
            ("document", "declaration"),
            ("decl_no", &document.decl_no),
            ("version", &document.version.to_string()),
            ("content_sha256", &hash),
            ("forecast_run", document.forecast_run.as_str()),
            ("registry_version", &document.registry_version),
            ("made_at", &document.made_at.to_rfc3339()),
            ("program", env!("CARGO_PKG_VERSION")),
        ],
    )?;
    Ok(book.save_to_buffer()?)
}

/// Writes one sheet about a document.
type Write<D> = fn(&mut Page<'_>, &D) -> Result<(), PlanError>;

fn write_sheets<D>(
    book: &mut Workbook,
    sheets: &[(&str, Write<D>)],
    document: &D,
    reference: Option<ReferenceConditions>,
) -> Result<(), PlanError> {
    let styles = Styles::new(reference);
    for (name, write) in sheets {
        let sheet = book.add_worksheet();
        sheet.set_name(*name)?;
        write(&mut Page::new(sheet, &styles), document)?;
    }
    Ok(())
}

/// An empty book with the properties of a declaration.
fn book_of(document: &Declaration) -> Result<Workbook, PlanError> {
    let mut book = Workbook::new();
    book.set_properties(&properties(
        "月度用气计划申报表",
        &document.company,
        &document.prepared_by,
        document.made_at,
    )?);
    Ok(book)
}

/// Properties that depend on the document alone; the writer's default is the time of writing.
fn properties(
    title: &str,
    company: &str,
    author: &str,
    made_at: DateTime<Utc>,
) -> Result<DocProperties, PlanError> {
    Ok(DocProperties::new()
        .set_title(title)
        .set_company(company)
        .set_author(prepared_zh(author))
        .set_creation_datetime(&ExcelDateTime::from_timestamp(made_at.timestamp())?))
}

/// The hidden sheet that says which version this is.
fn meta(book: &mut Workbook, pairs: &[(&str, &str)]) -> Result<(), PlanError> {
    let sheet = book.add_worksheet();
    sheet.set_name("_meta")?.set_hidden(true);
    for (row, (key, value)) in pairs.iter().enumerate() {
        let row = page::row_of(row);
        sheet.write_string(row, 0, *key)?;
        sheet.write_string(row, 1, *value)?;
    }
    Ok(())
}

/// An instant as forms print it: `2026年12月1日8:00`.
fn instant_zh(at: DateTime<Utc>) -> String {
    beijing_civil(at).format("%Y年%-m月%-d日%-H:%M").to_string()
}

/// Which version a form is: the number of what was sent. A draft has the time at which it was made, for the
/// schedule replaces drafts under their number.
fn version_zh(version: u32, is_sent: bool, made_at: DateTime<Utc>) -> String {
    if is_sent {
        format!("V{version}")
    } else {
        format!("草稿（{}编制）", instant_zh(made_at))
    }
}

/// The period as forms print it.
fn period_zh(document: &Declaration) -> String {
    format!(
        "{} – {}",
        instant_zh(document.period_from),
        instant_zh(document.period_to)
    )
}

/// First gas day of the month before that is forecast, if one is.
fn last_month_forecast_from(d: &Declaration) -> Option<GasDay> {
    let first = d.month.previous().first_day();
    Some(d.last_month_measured_until?.plus(1).max(first))
}

/// Head of the column of the month before: an actual, or from when on it is none.
fn last_month_head(d: &Declaration) -> String {
    match last_month_forecast_from(d) {
        Some(from) => format!("上月实际\n({}起为预计)", from.0.format("%m-%d")),
        None => "上月实际".into(),
    }
}

/// Head of it where only what was measured is told; none where nothing was.
fn last_month_measured_head(d: &Declaration) -> Option<String> {
    let until = d.last_month_measured_until?;
    let first = d.month.previous().first_day();
    (first <= until).then(|| format!("上月实际\n(至{})", until.0.format("%m-%d")))
}

/// The measured part of the month before in words; empty where all of it was measured.
fn last_month_note(d: &Declaration) -> String {
    let Some(from) = last_month_forecast_from(d) else {
        return String::new();
    };
    let measured = d.contracts.iter().map(|line| line.last_month_measured_m3);
    let measured = match measured.sum::<Option<i64>>() {
        Some(m3) => format!("{}万m³", explain::wan(m3 as f64)),
        None => "不全".into(),
    };
    format!(
        "上月实际自{}起为预计，此前已计量{measured}；合同使用率、环比亦含该预计。",
        from.0.format("%m-%d")
    )
}

/// Who prepared a form, as it prints it: the program is no person.
fn prepared_zh(who: &str) -> &str {
    match who {
        "qiliang" => "气量(系统)",
        "console" => "控制台",
        "command line" => "命令行",
        other => other,
    }
}

/// Why there is another version; what a person wrote stays as it is.
fn reason_zh(reason: &str) -> &str {
    match reason {
        "scheduled" => "定时重新编制",
        "asked for on the command line" => "命令行重新编制",
        "asked for in the console" => "控制台重新编制",
        other => other,
    }
}

/// The four places at the foot of a sheet.
fn signature_names(document: &Declaration) -> [(&'static str, &str); 4] {
    [
        ("编制", prepared_zh(&document.prepared_by)),
        ("审核", ""),
        ("批准", ""),
        ("（公章）", ""),
    ]
}

/// Heads of a sheet from literals.
fn heads(heads: &[(&str, f64)]) -> Vec<(String, f64)> {
    heads
        .iter()
        .map(|(text, width)| ((*text).to_string(), *width))
        .collect()
}

#[cfg(test)]
mod tests;
