//! Which column of a table of plans says what.

use chrono::{Datelike as _, NaiveDate};

use super::{Cell, Hints, PlanUnit, Row, both, text, xlsx};
use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::language::Bilingual;

/// What stands under a cell of the header.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Head {
    Account,
    Name,
    Day,
    Volume,
    Total,
    /// Plans of this day.
    Date(GasDay),
    /// Plans of this customer.
    Customer(String),
    /// A day that lacks its month, or a month that lacks its year.
    DayNumber(u32),
    MonthDay(u32, u32),
    /// Known, and nothing that is used.
    Skipped,
    Unknown(String),
    Empty,
}

/// A table's columns.
pub(super) struct Layout {
    pub(super) heads: Vec<Head>,
    pub(super) customer: Option<usize>,
    /// Where a row without an account number says its name.
    pub(super) name: Option<usize>,
    pub(super) day: Option<usize>,
    pub(super) volume: Option<usize>,
    pub(super) total: Option<usize>,
    pub(super) unit: PlanUnit,
    pub(super) month: Option<GasMonth>,
    /// The customer of a table that names none.
    pub(super) only: Option<String>,
}

impl Layout {
    pub(super) fn unused(&self) -> Vec<String> {
        let unknown = self.heads.iter().filter_map(|head| match head {
            Head::Unknown(name) => Some(name.clone()),
            _ => None,
        });
        unknown.collect()
    }
}

const ACCOUNTS: &[&str] = &[
    "customer",
    "account",
    "account_no",
    "户号",
    "客户编号",
    "用户编号",
    "客户号",
    "用户号",
    "客户户号",
    "用户户号",
];
const NAMES: &[&str] = &[
    "name",
    "客户名称",
    "用户名称",
    "企业名称",
    "单位名称",
    "名称",
    "客户",
    "用户",
    "企业",
    "用气单位",
];
const DAYS: &[&str] = &[
    "day",
    "gas_day",
    "date",
    "日期",
    "气日",
    "用气日期",
    "计划日期",
];
const VOLUMES: &[&str] = &[
    "m3",
    "volume",
    "volume_m3",
    "plan_m3",
    "计划量",
    "日计划",
    "日计划量",
    "用气计划",
    "计划用气量",
    "申报量",
    "计划气量",
    "用气量",
    "气量",
];
const TOTALS: &[&str] = &[
    "total",
    "sum",
    "合计",
    "总计",
    "月合计",
    "月计划",
    "月计划量",
    "小计",
];
const SKIPPED: &[&str] = &[
    "序号",
    "no",
    "no.",
    "备注",
    "remark",
    "星期",
    "weekday",
    "用户类别",
    "类别",
    "行业",
    "网格",
    "客户经理",
    "联系人",
    "电话",
    "联系电话",
    "单位",
];

/// Whether a row under the header is one of sums.
pub(super) fn is_total(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    TOTALS.contains(&plain.to_lowercase().as_str())
}

/// The header and the index of the row under it; none if the rows have none. An error is one that is likely the
/// header and leaves open what must be known.
pub(super) fn find(
    rows: &[Row],
    is_1904: bool,
    within: usize,
    hints: &Hints,
) -> Result<Option<(Layout, usize)>, Bilingual> {
    let mut said = String::new();
    for (index, row) in rows.iter().take(within).enumerate() {
        for cell in &row.cells {
            said.push_str(&text(cell.as_ref()));
            said.push('|');
        }
        let own = heads(row, is_1904);
        let below = rows.get(index + 1).map(|row| heads(row, is_1904));
        // Days in a second row of the header, under the name of their month.
        let split = below.filter(|below| {
            let is_days = |head: &Head| is_day(head) || *head == Head::Day;
            own.iter().any(is_who) && !own.iter().any(is_days) && is_row_of_days(below)
        });
        let next = index + 1 + usize::from(split.is_some());
        let heads = match split {
            None => own,
            Some(below) => (0..own.len().max(below.len()))
                .map(|column| match below.get(column) {
                    Some(day) if is_day(day) => day.clone(),
                    _ => own.get(column).cloned().unwrap_or(Head::Empty),
                })
                .collect(),
        };
        if let Some(layout) = layout(heads, &said, hints)? {
            return Ok(Some((layout, next)));
        }
    }
    Ok(None)
}

fn is_who(head: &Head) -> bool {
    matches!(head, Head::Account | Head::Name)
}

fn is_day(head: &Head) -> bool {
    matches!(
        head,
        Head::Date(_) | Head::DayNumber(_) | Head::MonthDay(..)
    )
}

/// Days and nothing else but weekdays and sums.
fn is_row_of_days(heads: &[Head]) -> bool {
    heads.iter().any(is_day) && !heads.iter().any(|h| is_who(h) || *h == Head::Day)
}

fn layout(mut heads: Vec<Head>, said: &str, hints: &Hints) -> Result<Option<Layout>, Bilingual> {
    let at = |wanted: &Head| heads.iter().position(|head| head == wanted);
    let customer = at(&Head::Account).or_else(|| at(&Head::Name));
    let name = at(&Head::Name);
    let (day, volume) = (at(&Head::Day), at(&Head::Volume));
    let has_days = heads.iter().any(is_day);
    let has_who = customer.is_some() || hints.customer.is_some();
    let is_long = day.is_some() && volume.is_some();
    let is_wide = day.is_none() && has_days && customer.is_some();
    let is_by_day = day.is_some() && volume.is_none() && customer.is_none() && {
        let is_name = |head: &Head| matches!(head, Head::Unknown(_));
        heads.iter().any(is_name)
    };
    if !(is_long || is_wide || is_by_day) {
        return Ok(None);
    }
    if is_long && !has_who {
        return Err(both(
            "表中没有户号一列;请补上,或在导入时选定用户",
            "the table has no column of customers; add `customer` (户号), or say whose plans they are",
        ));
    }
    let total = at(&Head::Total).filter(|_| is_wide);
    let month = hints.month.or_else(|| month_in(said));
    for head in &mut heads {
        *head = match &*head {
            Head::Unknown(name) if is_by_day => Head::Customer(name.clone()),
            Head::DayNumber(number) if is_wide => {
                let Some(month) = month else {
                    return Err(no_month());
                };
                Head::Date(date(month.first_day().0, None, *number)?)
            }
            Head::MonthDay(of_year, number) if is_wide => {
                let Some(month) = month else {
                    return Err(no_month());
                };
                Head::Date(date(month.first_day().0, Some(*of_year), *number)?)
            }
            other => other.clone(),
        };
    }
    let unit = unit_in(said).or(hints.unit).ok_or_else(|| {
        both(
            "表中没有写明单位;请在表头写「单位:万m³」或「m³」,或在导入时选定",
            "the table does not say its unit; write m³ or 万m³ into its header, or say it with the import",
        )
    })?;
    Ok(Some(Layout {
        heads,
        customer,
        name,
        day,
        volume,
        total,
        unit,
        month,
        only: hints.customer.clone(),
    }))
}

fn no_month() -> Bilingual {
    both(
        "表中没有写明年月;请在标题写「2026年12月」,或在导入时选定月份",
        "the table does not say its month; write 2026-12 into its title, or say it with the import",
    )
}

/// A day of the month that the table is about, or of another of the same year.
fn date(first: NaiveDate, month: Option<u32>, day: u32) -> Result<GasDay, Bilingual> {
    let month = month.unwrap_or_else(|| first.month());
    NaiveDate::from_ymd_opt(first.year(), month, day)
        .map(GasDay)
        .ok_or_else(|| {
            let year = first.year();
            both(
                format!("{year} 年 {month} 月没有 {day} 日;请删去该列"),
                format!("{year}-{month:02} has no day {day}; take the column out"),
            )
        })
}

fn heads(row: &Row, is_1904: bool) -> Vec<Head> {
    let head = |cell: &Option<Cell>| {
        cell.as_ref()
            .map_or(Head::Empty, |cell| head(cell, is_1904))
    };
    row.cells.iter().map(head).collect()
}

fn head(cell: &Cell, is_1904: bool) -> Head {
    if let Cell::Time(serial) = cell {
        let day = serial_day(*serial, is_1904);
        return day.map_or_else(|| Head::Unknown(text(Some(cell))), Head::Date);
    }
    let written = text(Some(cell));
    let plain: String = written
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_lowercase();
    let name = plain
        .split(['(', '\u{ff08}', '[', '\u{3010}', '/'])
        .next()
        .unwrap_or("");
    let is_in = |names: &[&str]| names.contains(&plain.as_str()) || names.contains(&name);
    if plain.is_empty() {
        Head::Empty
    } else if is_in(ACCOUNTS) {
        Head::Account
    } else if is_in(NAMES) {
        Head::Name
    } else if is_in(DAYS) {
        Head::Day
    } else if is_in(VOLUMES) {
        Head::Volume
    } else if is_in(TOTALS) {
        Head::Total
    } else if is_in(SKIPPED) {
        Head::Skipped
    } else {
        match Written::of(&plain) {
            Some(Written::Whole(day)) => Head::Date(day),
            Some(Written::MonthDay(month, day)) => Head::MonthDay(month, day),
            Some(Written::Day(day)) => Head::DayNumber(day),
            None => Head::Unknown(written),
        }
    }
}

/// The gas day that a cell under `日期` says.
pub(super) fn day_of(
    cell: Option<&Cell>,
    is_1904: bool,
    month: Option<GasMonth>,
) -> Option<GasDay> {
    if let Some(Cell::Time(serial)) = cell {
        return serial_day(*serial, is_1904);
    }
    let written = text(cell);
    let first = month.map(|month| month.first_day().0);
    match Written::of(&written)? {
        Written::Whole(day) => Some(day),
        Written::MonthDay(month, day) => date(first?, Some(month), day).ok(),
        Written::Day(day) => date(first?, None, day).ok(),
    }
}

fn serial_day(serial: f64, is_1904: bool) -> Option<GasDay> {
    xlsx::time(serial, is_1904)?.split(' ').next()?.parse().ok()
}

/// A day as people write it.
enum Written {
    Whole(GasDay),
    MonthDay(u32, u32),
    Day(u32),
}

impl Written {
    /// `2026-12-01`, `2026/12/1`, `2026.12.1`, `2026年12月1日`, `12-01`, `12月1日`, `1日`, `1`.
    fn of(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches(['日', '号']);
        let parts: Vec<&str> = text.split(['年', '月', '-', '/', '.']).collect();
        let number = |part: &str| -> Option<u32> {
            let is_short = (1..=4).contains(&part.len());
            (is_short && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
        };
        match parts.as_slice() {
            [year, month, day] if year.len() == 4 => {
                let year = i32::try_from(number(year)?).ok()?;
                let day = NaiveDate::from_ymd_opt(year, number(month)?, number(day)?)?;
                Some(Self::Whole(GasDay(day)))
            }
            // A number with decimals is none: `12.10` has lost its zero.
            [month, day] if !text.contains('.') => {
                let (month, day) = (number(month)?, number(day)?);
                let is_one = (1..=12).contains(&month) && (1..=31).contains(&day);
                is_one.then_some(Self::MonthDay(month, day))
            }
            [day] => {
                let day = number(day).filter(|day| (1..=31).contains(day))?;
                Some(Self::Day(day))
            }
            _ => None,
        }
    }
}

/// The one month that titles speak of: `2026年12月`, `2026-12`. A whole date is when the table was made.
fn month_in(said: &str) -> Option<GasMonth> {
    let characters: Vec<char> = said.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = |from: usize, max: usize| -> String {
        let rest = characters.iter().skip(from).take(max);
        rest.take_while(|c| c.is_ascii_digit()).collect()
    };
    let mut found: Option<GasMonth> = None;
    for at in 0..characters.len() {
        let is_inside = at > 0 && characters.get(at - 1).is_some_and(char::is_ascii_digit);
        let year = digits(at, 5);
        let separator = characters.get(at + 4).copied().unwrap_or(' ');
        if is_inside || year.len() != 4 || !matches!(separator, '年' | '-' | '/') {
            continue;
        }
        let month = digits(at + 5, 3);
        let behind = at + 5 + month.len();
        let is_date = match separator {
            '年' => !digits(behind + 1, 2).is_empty(),
            _ => characters.get(behind) == Some(&separator),
        };
        let month = month.parse::<u32>().ok().filter(|_| !is_date);
        let Some(month) = month.and_then(|m| format!("{year}-{m:02}").parse().ok()) else {
            continue;
        };
        if found.is_some_and(|found| found != month) {
            return None;
        }
        found = Some(month);
    }
    found
}

/// The unit that titles and header speak of.
fn unit_in(said: &str) -> Option<PlanUnit> {
    let plain: String = said
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| plain.contains(word));
    if has(&["万m³", "万m3", "万方", "万立方", "万nm³", "万nm3", "万标方"]) {
        Some(PlanUnit::Wan)
    } else if has(&["m³", "m3", "立方米", "标方", "单位:方", "单位\u{ff1a}方"]) {
        Some(PlanUnit::M3)
    } else {
        None
    }
}
