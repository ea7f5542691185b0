//! Rows of the first sheet of a workbook that has a header.
//!
//! A spreadsheet keeps numbers as binary floats and shows 15 digits of them; those 15 are what was
//! meant, and what we take. Times are serial numbers of days, or text, in Beijing time.

use std::collections::VecDeque;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use calamine::{DataRef, Reader as _, Xlsx};
use chrono::{NaiveDate, TimeDelta};

use super::table::Columns;
use super::{Line, code, unpacked};
use crate::domain::frame::RejectReason;

/// Largest workbook, bytes.
pub(super) const FILE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// What a workbook of readings may unpack to, bytes: a million rows of a dozen columns.
const UNPACKED_MAX_BYTES: u64 = 2 << 30;

/// A table is not wider than this.
const COLUMNS_MAX: usize = 256;

/// Rows of a sheet that may be empty or titles before its header.
const HEADER_WITHIN: usize = 20;

/// Serial days that can be times: 1970 to 2173.
const SERIALS: std::ops::Range<f64> = 25_569.0..100_000.0;

/// Rows of a workbook, read already: a sheet has a million at most.
pub(super) struct XlsxRows(VecDeque<Line>);

/// What a cell holds.
pub(super) enum Cell {
    Text(String),
    Number(f64),
    /// Serial days.
    Time(f64),
    Error(String),
}

pub(super) struct Row {
    /// As the spreadsheet counts, from 1.
    pub(super) number: u64,
    pub(super) cells: Vec<Option<Cell>>,
}

impl XlsxRows {
    /// Reads a workbook.
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, String> {
        // The reader is not ours; whatever is in the file must not end the program.
        catch_unwind(AssertUnwindSafe(|| read(bytes))).unwrap_or_else(|_| {
            Err(
                "the workbook is damaged; open it in a spreadsheet program and save it again"
                    .into(),
            )
        })
    }

    pub(super) fn next_line(&mut self) -> Option<Line> {
        self.0.pop_front()
    }
}

fn read(bytes: Vec<u8>) -> Result<XlsxRows, String> {
    unpacked::at_most(&bytes, UNPACKED_MAX_BYTES).map_err(|error| error.to_string())?;
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes))
        .map_err(|error| format!("it is no workbook that can be read: {error}"))?;
    let is_1904 = workbook.has_1904_epoch();
    let mut why = "the workbook has no sheet".to_owned();
    for name in workbook.sheet_names() {
        let rows = rows(&mut workbook, &name, usize::MAX)?;
        match table(rows, is_1904) {
            Ok(lines) => return Ok(XlsxRows(lines)),
            Err(reason) => why = format!("sheet `{name}`: {reason}"),
        }
    }
    Err(why)
}

/// Cells of a sheet that hold something, at most so many of them, by row.
pub(super) fn rows(
    workbook: &mut Xlsx<Cursor<Vec<u8>>>,
    name: &str,
    cells_max: usize,
) -> Result<Vec<Row>, String> {
    let broken = |error| format!("sheet `{name}` cannot be read: {error}");
    let mut reader = workbook
        .worksheet_cells_reader(name)
        .map_err(|error| broken(error.to_string()))?;
    let mut rows: Vec<Row> = Vec::new();
    let mut cells = 0;
    while let Some(cell) = reader.next_cell().map_err(|e| broken(e.to_string()))? {
        let (row, column) = cell.get_position();
        let Some(value) = value(cell.get_value()) else {
            continue;
        };
        let (number, column) = (u64::from(row) + 1, column as usize);
        if column >= COLUMNS_MAX {
            continue;
        }
        cells += 1;
        if cells > cells_max {
            return Err(format!("sheet `{name}` has more than {cells_max} cells"));
        }
        if rows.last().is_none_or(|last| last.number != number) {
            rows.push(Row {
                number,
                cells: Vec::new(),
            });
        }
        if let Some(last) = rows.last_mut() {
            while last.cells.len() <= column {
                last.cells.push(None);
            }
            if let Some(place) = last.cells.get_mut(column) {
                *place = Some(value);
            }
        }
    }
    Ok(rows)
}

fn value(data: &DataRef<'_>) -> Option<Cell> {
    Some(match data {
        DataRef::Empty => return None,
        DataRef::Int(number) => Cell::Text(number.to_string()),
        DataRef::Float(number) => Cell::Number(*number),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            Cell::Text(text.clone())
        }
        DataRef::SharedString(text) => Cell::Text((*text).to_owned()),
        DataRef::Bool(value) => Cell::Text(value.to_string()),
        DataRef::DateTime(at) => Cell::Time(at.as_f64()),
        DataRef::Error(error) => Cell::Error(error.to_string()),
    })
}

/// The rows under the header; the reason if there is none.
fn table(rows: Vec<Row>, is_1904: bool) -> Result<VecDeque<Line>, String> {
    let mut rows = rows.into_iter();
    let mut why =
        "there is no header; the first row is for example device, sampled_at, total_std_m3"
            .to_owned();
    for header in rows.by_ref().take(HEADER_WITHIN) {
        let names: Vec<&str> = header
            .cells
            .iter()
            .map(|cell| match cell {
                Some(Cell::Text(text)) => text.as_str(),
                _ => "",
            })
            .collect();
        // A title above the table is no header; the reason of the likeliest row is the one to tell.
        if names.iter().filter(|name| !name.is_empty()).count() < 3 {
            continue;
        }
        match Columns::new(names.iter().copied()) {
            Ok(columns) => {
                return Ok(rows
                    .filter(|row| row.cells.iter().any(Option::is_some))
                    .map(|row| line(&row, &columns, is_1904))
                    .collect());
            }
            Err(reason) => {
                why = format!("row {}: {reason}", header.number);
                break;
            }
        }
    }
    Err(why)
}

fn line(row: &Row, columns: &Columns, is_1904: bool) -> Line {
    let mut texts: Vec<String> = Vec::with_capacity(columns.len());
    let mut wrong = None;
    for index in 0..columns.len() {
        let cell = row.cells.get(index).and_then(Option::as_ref);
        let text = match text(cell, index, columns, is_1904) {
            Ok(text) => text,
            Err(reason) => {
                wrong = wrong.or(Some(reason));
                String::new()
            }
        };
        texts.push(text);
    }
    let record = match wrong {
        Some(reason) => Err(RejectReason::new(code::ROW, reason)),
        None => columns.record(|index| texts.get(index).map(String::as_str)),
    };
    Line {
        number: row.number,
        raw: Bytes::from(texts.join(",")),
        record,
    }
}

fn text(
    cell: Option<&Cell>,
    index: usize,
    columns: &Columns,
    is_1904: bool,
) -> Result<String, String> {
    let letter = || letters(index);
    match cell {
        None => Ok(String::new()),
        Some(Cell::Error(error)) => Err(format!("cell {} holds the error {error}", letter())),
        Some(Cell::Text(text)) => Ok(text.clone()),
        Some(Cell::Time(serial)) if columns.is_time(index) => time(*serial, is_1904)
            .ok_or_else(|| format!("cell {} holds no time from 1970 on", letter())),
        Some(Cell::Number(serial)) if columns.is_time(index) => time(*serial, is_1904)
            .ok_or_else(|| format!("cell {} holds a number that is no time", letter())),
        Some(Cell::Time(_)) => Err(format!("cell {} holds a time", letter())),
        Some(Cell::Number(number)) if columns.is_device(index) => {
            if number.fract() == 0.0 && number.abs() < 1e15 {
                Ok(format!("{number:.0}"))
            } else {
                Err(format!(
                    "cell {} holds a device number of more than 15 digits as a number, so that its end is lost; format the column as text",
                    letter()
                ))
            }
        }
        Some(Cell::Number(number)) => Ok(fifteen_digits(*number)),
    }
}

/// `A`, `B`, … `AA` for a column.
pub(super) fn letters(index: usize) -> String {
    let mut name = String::new();
    let mut rest = index + 1;
    while rest > 0 {
        let digit = u8::try_from((rest - 1) % 26).unwrap_or(0);
        name.insert(0, char::from(b'A' + digit));
        rest = (rest - 1) / 26;
    }
    name
}

/// A number as a spreadsheet shows it where there is room: 15 digits.
pub(super) fn fifteen_digits(number: f64) -> String {
    let short = number.to_string();
    let digits = short
        .trim_start_matches(['-', '0', '.'])
        .chars()
        .filter(char::is_ascii_digit)
        .count();
    if digits <= 15 || !number.is_finite() {
        return short;
    }
    format!("{number:.14e}")
        .parse::<f64>()
        .map_or(short, |rounded| rounded.to_string())
}

/// A serial number of days as Beijing civil time, to the nearest second.
pub(super) fn time(serial: f64, is_1904: bool) -> Option<String> {
    let serial = if is_1904 { serial + 1_462.0 } else { serial };
    if !SERIALS.contains(&serial) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the range that was just checked"
    )]
    let seconds = (serial * 86_400.0).round() as i64;
    let at = NaiveDate::from_ymd_opt(1899, 12, 30)?
        .and_hms_opt(0, 0, 0)?
        .checked_add_signed(TimeDelta::seconds(seconds))?;
    Some(at.format("%Y-%m-%d %H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn serial_days_are_times_to_the_second() {
        for (serial, is_1904, expected) in [
            (46_347.333_333_333_336, false, Some("2026-11-21 08:00:00")),
            (44_885.333_333_333_336, true, Some("2026-11-21 08:00:00")),
            (46_347.333_344_907_41, false, Some("2026-11-21 08:00:01")),
            (46_347.0, false, Some("2026-11-21 00:00:00")),
            (3.5, false, None),
            (1e9, false, None),
            (f64::NAN, false, None),
        ] {
            assert_eq!(time(serial, is_1904).as_deref(), expected, "{serial}");
        }
    }

    #[test]
    fn the_digits_that_a_spreadsheet_shows_are_taken() {
        for (number, expected) in [
            (3_586_401.111_6, "3586401.1116"),
            (0.1 + 0.2, "0.3"),
            (1_234.560_000_000_000_1, "1234.56"),
            (99_999_999_999.999_9, "99999999999.9999"),
            (12_345_678.0, "12345678"),
            (-0.5, "-0.5"),
        ] {
            assert_eq!(fifteen_digits(number), expected);
        }
        assert_eq!(
            (letters(0), letters(25), letters(26)),
            ("A".into(), "Z".into(), "AA".into())
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(XlsxRows::new(bytes).is_err());
        }

        #[test]
        fn no_number_makes_it_fall_over(number in any::<f64>(), is_1904 in any::<bool>()) {
            fifteen_digits(number);
            time(number, is_1904);
        }
    }
}
