//! The copy for one supplier (报送件): its contracts and their days, declared quantities alone. What we
//! expect, how sure we are of it, what it costs and who our customers are stays inside.

use crate::domain::contract::ContractComponentKind;
use crate::plan::PlanError;
use crate::plan::declaration::{ContractLine, Declaration};
use crate::plan::workbook::page::{Look, Page, cell, col_of, on, range, row_of, wan};
use crate::plan::workbook::{
    DAILY, FIRST, SUMMARY, Write, book_of, daily, heads, instant_zh, last_month_measured_head,
    meta, period_zh, prepared_zh, reason_zh, signature_names, version_zh, write_sheets,
};

const CONTRACT: u16 = 5;
const DECLARED: u16 = 8;
const LAST: u16 = 13;
/// First column of declared quantities on the sheet of days.
const OF_DAY: u16 = 3;

/// What of a declaration is one supplier's.
struct SupplierCopy<'a> {
    document: &'a Declaration,
    supplier: &'a str,
    /// Its contracts, with their position in the document.
    contracts: Vec<(usize, &'a ContractLine)>,
}

impl SupplierCopy<'_> {
    fn declared_m3(&self) -> i64 {
        self.contracts
            .iter()
            .map(|(_, line)| line.declared_m3)
            .sum()
    }

    /// Row of the total on the first table.
    fn total_row(&self) -> u32 {
        let rows = self.contracts.iter();
        FIRST + row_of(rows.map(|(_, line)| line.components.len() + 1).sum())
    }

    fn days_total_row(&self) -> u32 {
        FIRST + row_of(self.document.days.len())
    }

    fn days_sum_col(&self) -> u16 {
        OF_DAY + col_of(self.contracts.len())
    }
}

/// The monthly declaration as it is sent to one of its suppliers; none if it is not one of them.
///
/// # Errors
/// [`PlanError::Workbook`] if the writer refuses a cell.
pub fn write(document: &Declaration, supplier: &str) -> Result<Option<Vec<u8>>, PlanError> {
    let contracts = document.contracts.iter().enumerate();
    let copy = SupplierCopy {
        document,
        supplier,
        contracts: contracts
            .filter(|(_, line)| line.supplier == supplier)
            .collect(),
    };
    if copy.contracts.is_empty() {
        return Ok(None);
    }
    let mut book = book_of(document)?;
    let hash = document.content_hash()?;
    let sheets: [(&str, Write<SupplierCopy<'_>>); 3] =
        [("封面", cover), (SUMMARY, summary), (DAILY, days)];
    write_sheets(&mut book, &sheets, &copy, document.reference)?;
    meta(
        &mut book,
        &[
            ("document", "declaration_copy"),
            ("supplier", supplier),
            ("decl_no", &document.decl_no),
            ("version", &document.version.to_string()),
            ("content_sha256", &hash),
            ("made_at", &document.made_at.to_rfc3339()),
        ],
    )?;
    Ok(Some(book.save_to_buffer()?))
}

fn cover(page: &mut Page<'_>, copy: &SupplierCopy<'_>) -> Result<(), PlanError> {
    let d = copy.document;
    page.heading("月度用气计划申报表", &d.company, "单位：万m³", 3)?;
    for (col, width) in [(0, 26.0), (1, 44.0), (2, 26.0), (3, 44.0)] {
        page.sheet.set_column_width(col, width)?;
    }
    let version = version_zh(d.version, d.sent_at.is_some(), d.made_at);
    let (made_at, period) = (instant_zh(d.made_at), period_zh(d));
    let reason = d.change_reason.as_deref().map_or("—", reason_zh);
    let mut row = 3;
    for [left, right] in [
        [("申报单号", d.decl_no.as_str()), ("申报类型", "月")],
        [
            ("申报单位", d.company.as_str()),
            ("供气方(资源方)", copy.supplier),
        ],
        [("计划期", period.as_str()), ("版本", version.as_str())],
        [("变更原因", reason), ("联系电话", d.phone.as_str())],
        [
            ("编制时间", made_at.as_str()),
            ("编制人", prepared_zh(&d.prepared_by)),
        ],
    ] {
        page.head(row, 0, left.0)?;
        page.text_left(row, 1, left.1)?;
        page.head(row, 2, right.0)?;
        page.text_left(row, 3, right.1)?;
        page.sheet.set_row_height(row, 24)?;
        row += 1;
    }
    page.head(row, 0, "申报总量")?;
    let there = on(SUMMARY, copy.total_row(), DECLARED);
    page.formula(row, 1, &there, wan(copy.declared_m3()), Look::WanTotal)?;
    row += 2;
    for role in ["审核人", "批准人"] {
        page.head(row, 0, role)?;
        page.text_left(row, 1, "")?;
        page.head(row, 2, "签字 / 日期")?;
        page.text_left(row, 3, "")?;
        page.sheet.set_row_height(row, 30)?;
        row += 1;
    }
    page.note(row, "（公章）")?;
    page.print(row, 3, 0, 0)?;
    Ok(())
}

fn summary(page: &mut Page<'_>, copy: &SupplierCopy<'_>) -> Result<(), PlanError> {
    let d = copy.document;
    let period = format!("计划期：{}", period_zh(d));
    page.heading("月度汇总", &period, "单位：万m³", LAST)?;
    let last_month = last_month_measured_head(d);
    page.heads(
        2,
        &heads(&[
            ("序号", 5.0),
            ("资源方", 18.0),
            ("合同编号", 14.0),
            ("合同组成", 9.0),
            ("下气点(输气站场)", 14.0),
            ("月合同量", 11.0),
            ("上年同期", 11.0),
            (last_month.as_deref().unwrap_or("上月实际"), 11.0),
            ("本月申报量", 12.0),
            ("与合同差额", 11.0),
            ("日均", 10.0),
            ("日最大", 10.0),
            ("日最小", 10.0),
            ("备注", 20.0),
        ]),
    )?;
    let mut row = FIRST;
    let mut subtotals = Vec::new();
    for (k, (_, line)) in copy.contracts.iter().enumerate() {
        let from = row;
        for component in &line.components {
            let is_market = component.component == ContractComponentKind::Market;
            names(page, line, row, component.component.name_zh())?;
            page.number(row, 0, f64::from(row - FIRST) + 1.0 - k as f64, Look::Whole)?;
            let agreed = (!is_market).then_some(component.contract_month_m3);
            page.wan_or_unknown(row, CONTRACT, agreed)?;
            page.wan(row, DECLARED, component.declared_m3)?;
            against(page, copy, row, component.declared_m3, agreed.unwrap_or(0))?;
            for col in [6, 7, 11, 12, LAST] {
                page.text(row, col, "")?;
            }
            row += 1;
        }
        names(page, line, row, "小计")?;
        page.text(row, 0, "")?;
        page.column_sum(row, CONTRACT, from, row - 1, line.contract_month_m3)?;
        page.wan_or_unknown(row, 6, line.last_year_m3)?;
        page.wan_or_unknown(row, 7, last_month_m3(d, line))?;
        page.column_sum(row, DECLARED, from, row - 1, line.declared_m3)?;
        against(page, copy, row, line.declared_m3, line.contract_month_m3)?;
        let col = OF_DAY + col_of(k);
        let block = range(FIRST, col, copy.days_total_row() - 1, col);
        for (col, function, m3) in [(11, "MAX", line.day_max_m3), (12, "MIN", line.day_min_m3)] {
            let formula = format!("{function}('{DAILY}'!{block})");
            page.formula(row, col, &formula, wan(m3), Look::Wan)?;
        }
        page.text(row, LAST, "")?;
        subtotals.push(row);
        row += 1;
    }
    total(page, copy, row, &subtotals)?;
    page.signatures(row + 3, &signature_names(d), 4)?;
    page.print(row + 3, LAST, FIRST, 5)?;
    Ok(())
}

fn total(
    page: &mut Page<'_>,
    copy: &SupplierCopy<'_>,
    row: u32,
    subtotals: &[u32],
) -> Result<(), PlanError> {
    page.label(row, 0, 4, "合计")?;
    let sum = |col: u16| {
        let cells: Vec<String> = subtotals.iter().map(|row| cell(*row, col)).collect();
        cells.join("+")
    };
    let lines = || copy.contracts.iter().map(|(_, line)| line);
    let (declared, agreed) = (
        copy.declared_m3(),
        lines().map(|l| l.contract_month_m3).sum::<i64>(),
    );
    page.total(row, CONTRACT, &sum(CONTRACT), agreed)?;
    for (col, known) in [
        (6, lines().map(|l| l.last_year_m3).sum::<Option<i64>>()),
        (7, lines().map(|l| last_month_m3(copy.document, l)).sum()),
    ] {
        match known {
            Some(m3) => page.total(row, col, &sum(col), m3)?,
            None => page.unknown(row, col)?,
        }
    }
    page.total(row, DECLARED, &sum(DECLARED), declared)?;
    against(page, copy, row, declared, agreed)?;
    for col in [11, 12, LAST] {
        page.text(row, col, "")?;
    }
    page.label(row + 1, 0, 4, "差额（本表 − 分日计划）")?;
    page.check(
        row + 1,
        DECLARED,
        &cell(row, DECLARED),
        &on(DAILY, copy.days_total_row(), copy.days_sum_col()),
        0,
    )?;
    Ok(())
}

/// What was delivered in the month before, as far as it is measured: the supplier has its own meters, and is
/// told of no forecast.
fn last_month_m3(d: &Declaration, line: &ContractLine) -> Option<i64> {
    if d.last_month_measured_until.is_none() {
        return line.last_month_m3;
    }
    last_month_measured_head(d).and(line.last_month_measured_m3)
}

fn names(
    page: &mut Page<'_>,
    line: &ContractLine,
    row: u32,
    component: &str,
) -> Result<(), PlanError> {
    page.text(row, 1, &line.supplier)?;
    page.text(row, 2, line.contract.as_str())?;
    page.text(row, 3, component)?;
    page.text(row, 4, &line.delivery_point)?;
    Ok(())
}

/// Against the contract, and by day.
fn against(
    page: &mut Page<'_>,
    copy: &SupplierCopy<'_>,
    row: u32,
    declared_m3: i64,
    agreed_m3: i64,
) -> Result<(), PlanError> {
    let formula = format!("{}-N({})", cell(row, DECLARED), cell(row, CONTRACT));
    let less = wan(declared_m3 - agreed_m3);
    page.formula(row, DECLARED + 1, &formula, less, Look::Wan)?;
    let days = copy.document.days.len().max(1);
    let formula = format!("{}/{days}", cell(row, DECLARED));
    let mean = wan(declared_m3) / days as f64;
    page.formula(row, DECLARED + 2, &formula, mean, Look::Wan)?;
    Ok(())
}

fn days(page: &mut Page<'_>, copy: &SupplierCopy<'_>) -> Result<(), PlanError> {
    let (d, sum) = (copy.document, copy.days_sum_col());
    let period = format!("计划期：{}", period_zh(d));
    page.heading("分日计划", &period, "单位：万m³", sum)?;
    let mut columns: Vec<(String, f64)> =
        heads(&[("日期(气日)", 13.0), ("星期", 7.0), ("节假日/调休", 12.0)]);
    let contracts = copy.contracts.iter();
    columns.extend(contracts.map(|(_, line)| {
        let head = format!("{}\n{}", line.delivery_point, line.contract);
        (head, 16.0)
    }));
    columns.push(("合计".into(), 13.0));
    page.heads(2, &columns)?;
    for (at, day) in d.days.iter().enumerate() {
        let row = FIRST + row_of(at);
        daily::day_names(page, row, day)?;
        let mut declared = 0;
        for (k, (at, _)) in copy.contracts.iter().enumerate() {
            let m3 = day.declared_m3.get(*at).copied().unwrap_or(0);
            declared += m3;
            page.wan(row, OF_DAY + col_of(k), m3)?;
        }
        let cells = range(row, OF_DAY, row, sum - 1);
        page.total(row, sum, &format!("SUM({cells})"), declared)?;
    }
    let row = copy.days_total_row();
    page.label(row, 0, OF_DAY - 1, "合计")?;
    for (k, (_, line)) in copy.contracts.iter().enumerate() {
        page.column_sum(row, OF_DAY + col_of(k), FIRST, row - 1, line.declared_m3)?;
    }
    page.column_sum(row, sum, FIRST, row - 1, copy.declared_m3())?;
    page.label(row + 1, 0, OF_DAY - 1, "差额（本表 − 月度汇总）")?;
    page.check(
        row + 1,
        sum,
        &cell(row, sum),
        &on(SUMMARY, copy.total_row(), DECLARED),
        0,
    )?;
    page.signatures(row + 3, &signature_names(d), 2)?;
    page.print(row + 3, sum, FIRST, 1)?;
    Ok(())
}
