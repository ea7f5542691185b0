//! Tables of customers' plans (用气计划表), as planners and customers write them: CSV or a workbook.
//!
//! - **Long**: a row for each customer and day; columns of the customer, the day and the volume.
//! - **Wide**: a row for each customer, a column for each day (`1`…`31`, `12月1日`, dates), as a month's
//!   table is laid out; its days may stand in a second row of the header. A column of sums is compared.
//! - **By day**: a row for each day, a column for each customer.
//!
//! Titles may stand above the header; a month and the unit (m³ or 万m³) are taken from there. What the table
//! does not say is asked for, never guessed: a wrong unit would be wrong by ten thousand.

mod head;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{Reader as _, Xlsx};
use csv::ReaderBuilder;
use rust_decimal::Decimal;

use self::head::{Head, Layout};
use super::csv_rows::WithoutReturns;
use super::unpacked::{self, UnpackError};
use super::xlsx::{self, Cell, Row, fifteen_digits, letters};
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::language::Bilingual;
use crate::domain::quantity::StdVolume;

/// Largest file, bytes.
pub const FILE_MAX_BYTES: usize = 8 * 1024 * 1024;
/// What a workbook may unpack to, bytes.
const UNPACKED_MAX_BYTES: u64 = 64 << 20;
/// Customers' days in one table at most.
pub const PLANS_MAX: usize = 40_000;
/// Cells of a sheet at most, whatever they hold.
const CELLS_MAX: usize = 400_000;
/// Rows above the header at most.
const HEADER_WITHIN: usize = 20;
/// A sum in the table may differ by the rounding of each of its days, m³.
const ROUNDING_M3: f64 = 0.5;

/// Unit of the volumes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanUnit {
    /// m³
    M3,
    /// 万m³
    Wan,
}

impl PlanUnit {
    fn m3(self) -> Decimal {
        match self {
            Self::M3 => Decimal::ONE,
            Self::Wan => Decimal::from(10_000),
        }
    }
}

/// What a table may leave open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// Unit of the volumes.
    pub unit: Option<PlanUnit>,
    /// Month of days that are mere numbers.
    pub month: Option<GasMonth>,
    /// The customer of a table about one.
    pub customer: Option<String>,
}

/// What one cell says of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanCell {
    /// Where it stands, as a spreadsheet says it: `D3`.
    pub place: String,
    /// The customer as it is written there: account number or name.
    pub customer: String,
    /// Gas day; none where that is what is wrong.
    pub day: Option<GasDay>,
    /// Planned volume, or why there is none.
    pub volume: Result<StdVolume, Bilingual>,
}

/// A table of plans.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanTable {
    /// What its cells say, in their order; empty cells say nothing.
    pub cells: Vec<PlanCell>,
    /// Columns that were not understood and are not used.
    pub unused: Vec<String>,
}

fn both(zh: impl Into<String>, en: impl Into<String>) -> Bilingual {
    Bilingual {
        zh: zh.into(),
        en: en.into(),
    }
}

/// Reads a table of plans from the bytes of a CSV file (UTF-8) or a workbook (`.xlsx`).
///
/// # Errors
/// What is wrong with the table as a whole and what to do, in both languages.
pub fn read(bytes: &[u8], hints: &Hints) -> Result<PlanTable, Bilingual> {
    if bytes.len() > FILE_MAX_BYTES {
        return Err(both(
            "文件超过 8 MiB;请只保留计划表后再传",
            "the file is larger than 8 MiB; keep the sheet of plans alone",
        ));
    }
    if !bytes.starts_with(b"PK\x03\x04") {
        let rows = csv_rows(bytes)?;
        return table("", &rows, false, hints)?.ok_or_else(no_header);
    }
    // The reader is not ours; whatever is in the file must not end the program.
    catch_unwind(AssertUnwindSafe(|| workbook(bytes.to_vec(), hints))).unwrap_or_else(|_| {
        Err(both(
            "工作簿已损坏;请用表格软件打开后另存再传",
            "the workbook is damaged; open it in a spreadsheet program and save it again",
        ))
    })
}

fn no_header() -> Bilingual {
    both(
        "没有找到表头:应有「户号」或「客户名称」一列,以及每天一列(1、2、…、31),或「日期」与「计划量」两列",
        "there is no header: a column `customer` (户号), and a column for each day (1, 2, … 31), or columns \
         `day` (日期) and `m3` (计划量)",
    )
}

fn workbook(bytes: Vec<u8>, hints: &Hints) -> Result<PlanTable, Bilingual> {
    let unreadable = |error: String| {
        both(
            format!("工作簿无法读取:{error};请另存为 .xlsx 再传"),
            format!("the workbook cannot be read: {error}; save it as .xlsx again"),
        )
    };
    unpacked::at_most(&bytes, UNPACKED_MAX_BYTES).map_err(|error| match error {
        UnpackError::TooMuch { max } => both(
            format!(
                "工作簿解压后超过 {} MiB;请只保留计划表,去掉图片和格式,另存后再传",
                max >> 20
            ),
            error.to_string(),
        ),
        UnpackError::Broken(reason) => unreadable(reason),
    })?;
    let mut workbook: Xlsx<_> =
        Xlsx::new(Cursor::new(bytes)).map_err(|error| unreadable(error.to_string()))?;
    let is_1904 = workbook.has_1904_epoch();
    for (index, name) in workbook.sheet_names().into_iter().enumerate() {
        let rows = xlsx::rows(&mut workbook, &name, CELLS_MAX).map_err(unreadable)?;
        let sheet = if index == 0 {
            String::new()
        } else {
            format!("{name}!")
        };
        if let Some(table) = table(&sheet, &rows, is_1904, hints)? {
            return Ok(table);
        }
    }
    Err(no_header())
}

fn csv_rows(bytes: &[u8]) -> Result<Vec<Row>, Bilingual> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(both(
            "文件不是 UTF-8 文本;请另存为 .xlsx,或「CSV UTF-8」",
            "the file is no UTF-8 text; save it as .xlsx, or as `CSV UTF-8`",
        ));
    };
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(WithoutReturns(text.as_bytes()));
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| {
            both(
                format!("CSV 无法读取:{error}"),
                format!("the CSV cannot be read: {error}"),
            )
        })?;
        let cell = |text: &str| (!text.is_empty()).then(|| Cell::Text(text.to_owned()));
        rows.push(Row {
            number: record.position().map_or(0, csv::Position::line),
            cells: record.iter().map(cell).collect(),
        });
    }
    Ok(rows)
}

/// The table of a sheet, if it has one.
fn table(
    sheet: &str,
    rows: &[Row],
    is_1904: bool,
    hints: &Hints,
) -> Result<Option<PlanTable>, Bilingual> {
    let Some((layout, below)) = head::find(rows, is_1904, HEADER_WITHIN, hints)? else {
        return Ok(None);
    };
    let mut reader = TableReader {
        sheet,
        is_1904,
        layout: &layout,
        cells: Vec::new(),
    };
    for row in rows.get(below..).unwrap_or_default() {
        reader.row(row);
        if reader.cells.len() > PLANS_MAX {
            return Err(both(
                format!("计划超过 {PLANS_MAX} 条;请分成几个文件"),
                format!("there are more than {PLANS_MAX} plans; split the file"),
            ));
        }
    }
    let unused = layout.unused();
    Ok(Some(PlanTable {
        cells: reader.cells,
        unused,
    }))
}

struct TableReader<'a> {
    sheet: &'a str,
    is_1904: bool,
    layout: &'a Layout,
    cells: Vec<PlanCell>,
}

impl TableReader<'_> {
    fn row(&mut self, row: &Row) {
        let layout = self.layout;
        let cell = |column: Option<usize>| row.cells.get(column?)?.as_ref();
        let name = layout.customer.map(|column| {
            let account = text(cell(Some(column)));
            if account.is_empty() {
                text(cell(layout.name))
            } else {
                account
            }
        });
        if name.as_deref().is_some_and(head::is_total) {
            return;
        }
        let day_at = layout.day;
        let mut sum = Decimal::ZERO;
        for (column, head) in layout.heads.iter().enumerate() {
            let (of_head, customer, day) = match head {
                Head::Date(day) => (None, name.clone(), Some(*day)),
                Head::Volume if layout.volume == Some(column) => (None, name.clone(), None),
                Head::Customer(who) => (Some(who.clone()), None, None),
                _ => continue,
            };
            let Some(said) = volume(cell(Some(column)), layout.unit.m3()) else {
                continue;
            };
            if let Ok(m3) = &said {
                sum += Decimal::new(m3.units(), 4);
            }
            let place = self.place(row, column);
            let day = match (day, day_at) {
                (None, Some(at)) => {
                    if head::is_total(&text(cell(Some(at)))) {
                        return;
                    }
                    let day = head::day_of(cell(Some(at)), self.is_1904, layout.month);
                    if day.is_none() {
                        let shown = text(cell(Some(at)));
                        let at = self.place(row, at);
                        self.wrong(
                            place,
                            customer.or(of_head),
                            both(
                                format!("{at} 的「{shown}」不是日期;请写成 2026-12-01"),
                                format!("`{shown}` in {at} is no day; write 2026-12-01"),
                            ),
                        );
                        continue;
                    }
                    day
                }
                (day, _) => day,
            };
            let customer = customer.or(of_head).or_else(|| layout.only.clone());
            match customer.filter(|customer| !customer.is_empty()) {
                Some(customer) => self.cells.push(PlanCell {
                    place,
                    customer,
                    day,
                    volume: said,
                }),
                None => self.wrong(
                    place,
                    None,
                    both(
                        "该行没有户号;请补上",
                        "the row names no customer; fill it in",
                    ),
                ),
            }
        }
        self.compare_sum(row, name, sum);
    }

    /// A sum that the table has beside the days.
    fn compare_sum(&mut self, row: &Row, name: Option<String>, sum: Decimal) {
        let layout = self.layout;
        let days = layout.heads.iter().filter(|h| matches!(h, Head::Date(_)));
        let (Some(column), days) = (layout.total, days.count()) else {
            return;
        };
        let cell = row.cells.get(column).and_then(Option::as_ref);
        let Some(Ok(total)) = volume(cell, layout.unit.m3()) else {
            return;
        };
        let sum_m3 = StdVolume::from_units(i64::try_from(sum.mantissa()).unwrap_or(i64::MAX));
        let apart = (total.to_f64() - sum_m3.to_f64()).abs();
        if days > 0 && apart > ROUNDING_M3 * days as f64 {
            let place = self.place(row, column);
            self.wrong(
                place,
                name,
                both(
                    format!("合计 {total} m³ 与各日之和 {sum_m3} m³ 不符;请核对各日"),
                    format!(
                        "the sum is {total} m³ here and {sum_m3} m³ over the days; look at the days"
                    ),
                ),
            );
        }
    }

    fn place(&self, row: &Row, column: usize) -> String {
        format!("{}{}{}", self.sheet, letters(column), row.number)
    }

    fn wrong(&mut self, place: String, customer: Option<String>, reason: Bilingual) {
        self.cells.push(PlanCell {
            place,
            customer: customer.unwrap_or_default(),
            day: None,
            volume: Err(reason),
        });
    }
}

/// A cell as text; a whole number without decimals.
fn text(cell: Option<&Cell>) -> String {
    match cell {
        Some(Cell::Text(text)) => text.trim().to_owned(),
        Some(Cell::Number(number)) => fifteen_digits(*number),
        Some(Cell::Error(error)) => error.clone(),
        Some(Cell::Time(serial)) => fifteen_digits(*serial),
        None => String::new(),
    }
}

/// The volume of a cell in m³; none if it says nothing.
fn volume(cell: Option<&Cell>, unit: Decimal) -> Option<Result<StdVolume, Bilingual>> {
    let written = text(cell);
    if matches!(written.as_str(), "" | "-" | "—" | "–" | "/" | "——") {
        return None;
    }
    let no_number = || {
        both(
            format!("「{written}」不是用气量;请只写数字"),
            format!("`{written}` is no volume; write the number alone"),
        )
    };
    if matches!(cell, Some(Cell::Time(_) | Cell::Error(_))) {
        return Some(Err(no_number()));
    }
    let plain = without_groups(&written);
    let number = Decimal::from_str_exact(&plain).or_else(|_| Decimal::from_scientific(&plain));
    let m3 = number.ok().and_then(|number| number.checked_mul(unit));
    Some(match m3.map(|m3| m3.normalize()) {
        None => Err(no_number()),
        Some(m3) if m3.is_sign_negative() && !m3.is_zero() => Err(both(
            format!("「{written}」为负;计划用气量不能小于零"),
            format!("`{written}` is negative; a plan is zero or more"),
        )),
        // What a spreadsheet computed has more digits than anybody meant.
        Some(m3) => m3.round_dp(4).to_string().parse().map_err(|_| no_number()),
    })
}

/// `12,345.6` without its comma; any other comma stays, and is no number.
fn without_groups(written: &str) -> String {
    let (whole, rest) = written.split_once('.').unwrap_or((written, ""));
    let mut groups = whole.split([',', '\u{ff0c}']);
    let first = groups.next().unwrap_or_default();
    let is_digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let is_grouped = (1..=3).contains(&first.len())
        && is_digits(first)
        && groups.clone().count() > 0
        && groups.all(|group| group.len() == 3 && is_digits(group));
    if !is_grouped {
        return written.to_owned();
    }
    let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    if rest.is_empty() {
        whole
    } else {
        format!("{whole}.{rest}")
    }
}

#[cfg(test)]
mod tests;
