//! The ledger as a workbook (导出台账): what the screen shows, as numbers that can be calculated with.

mod columns;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use rust_xlsxwriter::utility::column_number_to_name;
use rust_xlsxwriter::{
    DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Formula, Workbook, Worksheet,
    XlsxError,
};

use crate::domain::calendar::beijing_civil;
use crate::domain::quantity::ReferenceConditions;
use crate::ledger::entry::{LedgerEntry, LedgerStatus};

use self::columns::{Cell, Column, GROUPS, Kind};

/// The workbook could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The spreadsheet library refused.
    #[error("the ledger of {as_of} could not be written as a workbook")]
    Workbook {
        /// The state exported.
        as_of: DateTime<Utc>,
        /// Why.
        #[source]
        source: XlsxError,
    },
}

impl ExportError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Workbook { .. } => "ledger.workbook",
        }
    }
}

/// Title, company, groups, headers.
const HEADER_ROWS: u32 = 4;

/// The columns that stay in view: account number and name.
const FROZEN_COLUMNS: u16 = 2;

/// Writes the ledger as an xlsx workbook.
///
/// # Shape
/// One sheet 台账: title; company and state; groups A to G; headers with units; one row for each
/// entry in the order given; totals. Volumes of contract and year are in 万m³, of days in m³.
/// Unknown values are empty cells. Totals are formulas over the rows that a filter leaves visible,
/// with their results beside them for readers that do not calculate. A row is coloured by its status
/// and nothing else. The same input gives the same bytes.
///
/// # Errors
/// [`ExportError`] if the spreadsheet library refuses, as it would more than a million rows.
pub fn workbook(
    entries: &[LedgerEntry],
    as_of: DateTime<Utc>,
    company: &str,
    reference: ReferenceConditions,
) -> Result<Vec<u8>, ExportError> {
    write(entries, as_of, company, reference)
        .map_err(|source| ExportError::Workbook { as_of, source })
}

fn write(
    entries: &[LedgerEntry],
    as_of: DateTime<Utc>,
    company: &str,
    reference: ReferenceConditions,
) -> Result<Vec<u8>, XlsxError> {
    let mut book = Workbook::new();
    book.set_properties(
        &DocProperties::new()
            .set_title("用气量较大企业气量监控台账")
            .set_company(company)
            .set_creation_datetime(&created(as_of)?),
    );
    let sheet = book.add_worksheet();
    sheet.set_name("台账")?;
    let columns: Vec<&Column> = GROUPS.iter().flat_map(|group| group.columns).collect();
    header(sheet, as_of, company, reference)?;
    for (row, entry) in (HEADER_ROWS..).zip(entries) {
        let mut lines = 1;
        for (column, spec) in (0..).zip(&columns) {
            let format = body_format(spec.kind, Some(entry.status));
            let value = (spec.value)(entry);
            if let Cell::Text(text) = &value {
                lines = lines.max(lines_of(text, spec.width));
            }
            cell(sheet, row, column, value, &format)?;
        }
        sheet.set_row_height(row, 15 * lines)?;
    }
    let last_row = HEADER_ROWS + u32::try_from(entries.len()).unwrap_or(u32::MAX).max(1) - 1;
    totals(sheet, &columns, entries, last_row)?;
    let last_column = u16::try_from(columns.len()).unwrap_or(u16::MAX) - 1;
    sheet.autofilter(HEADER_ROWS - 1, 0, last_row, last_column)?;
    sheet.set_freeze_panes(HEADER_ROWS, FROZEN_COLUMNS)?;
    print_setup(sheet, last_row + 1, last_column, &columns)?;
    book.save_to_buffer()
}

/// Lines of a wrapped text in a column of this width; a Chinese character is as wide as two others.
fn lines_of(text: &str, width: f64) -> u16 {
    let units: u16 = text
        .chars()
        .map(|mark| if mark.is_ascii() { 1 } else { 2 })
        .sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small positive number"
    )]
    let lines = (f64::from(units) / (width - 1.0)).ceil() as u16;
    lines.clamp(1, 20)
}

/// The time written into the file, of the state rather than of the clock.
fn created(as_of: DateTime<Utc>) -> Result<ExcelDateTime, XlsxError> {
    let civil = beijing_civil(as_of);
    let part = |number: u32| u8::try_from(number).unwrap_or(0);
    ExcelDateTime::from_ymd(
        u16::try_from(civil.year()).unwrap_or(1970),
        part(civil.month()),
        part(civil.day()),
    )?
    .and_hms(
        u16::try_from(civil.hour()).unwrap_or(0),
        part(civil.minute()),
        f64::from(civil.second()),
    )
}

fn header(
    sheet: &mut Worksheet,
    as_of: DateTime<Utc>,
    company: &str,
    reference: ReferenceConditions,
) -> Result<(), XlsxError> {
    let title = Format::new().set_bold().set_font_size(16);
    sheet.write_string_with_format(0, 0, "用气量较大企业气量监控台账", &title)?;
    let state = beijing_civil(as_of).format("%Y-%m-%d %H:%M");
    sheet.write_string(
        1,
        0,
        format!(
            "{company}　数据截至 {state}（北京时间）　体积为标况 {} ℃、{} kPa",
            reference.temperature_c, reference.pressure_kpa
        ),
    )?;
    let heading = Format::new()
        .set_bold()
        .set_align(FormatAlign::Center)
        .set_align(FormatAlign::VerticalCenter)
        .set_text_wrap()
        .set_border(FormatBorder::Thin);
    let mut first = 0_u16;
    for group in GROUPS {
        let last = first + u16::try_from(group.columns.len()).unwrap_or(1) - 1;
        if last > first {
            sheet.merge_range(2, first, 2, last, group.name, &heading)?;
        } else {
            sheet.write_string_with_format(2, first, group.name, &heading)?;
        }
        for (column, spec) in (first..).zip(group.columns) {
            sheet.write_string_with_format(3, column, spec.header, &heading)?;
            sheet.set_column_width(column, spec.width)?;
        }
        first = last + 1;
    }
    sheet.set_row_height(3, 32)?;
    Ok(())
}

fn body_format(kind: Kind, status: Option<LedgerStatus>) -> Format {
    let format = Format::new()
        .set_border(FormatBorder::Thin)
        .set_align(FormatAlign::VerticalCenter);
    let format = match kind {
        Kind::Text => format.set_text_wrap(),
        // Not `#,##0.####`: Excel would write whole numbers with a point and nothing behind it.
        Kind::Wan | Kind::M3 => format.set_num_format("#,##0.0000"),
        Kind::Count => format.set_num_format("#,##0"),
        Kind::Price => format.set_num_format("0.0000"),
        Kind::Yuan => format.set_num_format("#,##0.00"),
        Kind::Ratio => format.set_num_format("0.0%"),
        Kind::Figure => format.set_num_format("#,##0.0"),
    };
    match status {
        Some(LedgerStatus::Watch) => format.set_background_color(0x00FF_F8D6),
        Some(LedgerStatus::Warning) => format.set_background_color(0x00FF_E3C2),
        Some(LedgerStatus::Abnormal) => format.set_background_color(0x00FF_CFCF),
        Some(LedgerStatus::Normal) | None => format,
    }
}

fn cell(
    sheet: &mut Worksheet,
    row: u32,
    column: u16,
    value: Cell,
    format: &Format,
) -> Result<(), XlsxError> {
    match value {
        Cell::Text(text) => sheet.write_string_with_format(row, column, text, format)?,
        Cell::Number(Some(number)) if number.is_finite() => {
            sheet.write_number_with_format(row, column, number, format)?
        }
        Cell::Number(_) => sheet.write_blank(row, column, format)?,
    };
    Ok(())
}

fn totals(
    sheet: &mut Worksheet,
    columns: &[&Column],
    entries: &[LedgerEntry],
    last_row: u32,
) -> Result<(), XlsxError> {
    let row = last_row + 1;
    for (column, spec) in (0_u16..).zip(columns) {
        let format = body_format(spec.kind, None).set_bold();
        if column == 0 {
            sheet.write_string_with_format(row, column, "合计", &format)?;
        } else if spec.is_summed {
            let name = column_number_to_name(column);
            // 109 adds up what a filter leaves visible.
            let formula = format!(
                "=SUBTOTAL(109,{name}{}:{name}{})",
                HEADER_ROWS + 1,
                last_row + 1
            );
            let result = total(spec, entries);
            let formula = Formula::new(formula).set_result(result.to_string());
            sheet.write_formula_with_format(row, column, formula, &format)?;
        } else {
            sheet.write_blank(row, column, &format)?;
        }
    }
    Ok(())
}

/// The sum of a column, added in units of 1e-8 so that it does not drift with the order.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a company's volumes are far below 2^53 units"
)]
fn total(spec: &Column, entries: &[LedgerEntry]) -> f64 {
    let units: i128 = entries
        .iter()
        .filter_map(|entry| match (spec.value)(entry) {
            Cell::Number(number) => number,
            Cell::Text(_) => None,
        })
        .filter(|number| number.is_finite())
        .map(|number| (number * 1e8).round() as i128)
        .sum();
    units as f64 / 1e8
}

/// A3 landscape, a page for each group beside the columns that name the customer: all on one page
/// nobody could read.
fn print_setup(
    sheet: &mut Worksheet,
    last_row: u32,
    last_column: u16,
    columns: &[&Column],
) -> Result<(), XlsxError> {
    const A3: u8 = 8;
    let (breaks, scale) = pages(columns);
    sheet.set_landscape();
    sheet.set_paper_size(A3);
    sheet.set_print_scale(scale);
    sheet.set_vertical_page_breaks(&breaks)?;
    sheet.set_repeat_rows(2, 3)?;
    sheet.set_repeat_columns(0, FROZEN_COLUMNS - 1)?;
    sheet.set_print_area(0, 0, last_row, last_column)?;
    sheet.set_footer("&L&A&R第 &P 页 共 &N 页");
    Ok(())
}

/// The columns before which a page ends, and the percentage at which the widest group fits on one.
fn pages(columns: &[&Column]) -> (Vec<u32>, u16) {
    /// Characters across an A3 page at full size.
    const ACROSS: f64 = 190.0;
    let width = |columns: &[&Column]| columns.iter().map(|column| column.width).sum::<f64>();
    let names = width(&columns[..usize::from(FROZEN_COLUMNS)]);
    let (mut breaks, mut first, mut widest) = (Vec::new(), 0, 0.0_f64);
    for group in GROUPS {
        let end = first + group.columns.len();
        widest = widest.max(names + width(&columns[first..end]));
        breaks.push(u32::try_from(end).unwrap_or(u32::MAX));
        first = end;
    }
    breaks.pop();
    let scale = (100.0 * ACROSS / widest).floor().clamp(40.0, 100.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 40 and 100"
    )]
    (breaks, scale as u16)
}

#[cfg(test)]
mod tests;
