//! Sheet 3 用户结构: by customer class, the loss as a line of its own.

use crate::domain::customer::CustomerClass;
use crate::plan::PlanError;
use crate::plan::declaration::{ClassLine, Declaration};
use crate::plan::explain;
use crate::plan::workbook::page::{Look, Page, cell, on, range, row_of, wan};
use crate::plan::workbook::{
    FIRST, SUMMARY, heads, last_month_head, period_zh, signature_names, summary,
};

const CUSTOMERS: u16 = 1;
const EACH: u16 = 2;
const LAST_MONTH: u16 = 3;
const LAST_YEAR: u16 = 4;
const P50: u16 = 5;
const SHARE: u16 = 6;
const YEAR_ON_YEAR: u16 = 7;
const RANK: u16 = 8;
const INTERRUPTIBLE: u16 = 9;
/// Column of what is declared.
pub(super) const DECLARED: u16 = 10;

/// Classes that are sold to: all but the loss.
const SOLD: usize = CustomerClass::ALL.len() - 1;

/// Row of a class by its position; the loss comes after the subtotal.
pub(super) fn row_of_class(at: usize) -> u32 {
    if at < SOLD {
        FIRST + row_of(at)
    } else {
        loss_row()
    }
}

fn sold_row() -> u32 {
    FIRST + row_of(SOLD)
}

/// Row of the loss.
pub(super) fn loss_row() -> u32 {
    sold_row() + 1
}

/// Row of the total.
pub(super) fn total_row() -> u32 {
    sold_row() + 2
}

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "用户结构",
        &format!("计划期：{}", period_zh(d)),
        "单位：万m³",
        DECLARED,
    )?;
    page.heads(
        2,
        &heads(&[
            ("用户类别", 20.0),
            ("户数\n(本月末)", 12.0),
            ("户均\n(m³/户)", 14.0),
            (&last_month_head(d), 13.0),
            ("上年同期", 13.0),
            ("本月预测", 13.0),
            ("占比%", 9.0),
            ("同比%", 9.0),
            ("保供序位", 10.0),
            ("可中断量", 13.0),
            ("本月申报量\n(按结构分摊)", 14.0),
        ]),
    )?;
    for (at, line) in d.structure.iter().enumerate() {
        class_row(page, line, row_of_class(at), d.total.forecast.p50_m3)?;
    }
    let sold: Vec<&ClassLine> = d.structure.iter().take(SOLD).collect();
    let all: Vec<&ClassLine> = d.structure.iter().collect();
    let first = FIRST;
    let last = sold_row() - 1;
    sum_row(page, sold_row(), "销气量小计", &sold, d, &|col| {
        format!("SUM({})", range(first, col, last, col))
    })?;
    sum_row(page, total_row(), "合计（购气量）", &all, d, &|col| {
        format!("{}+N({})", cell(sold_row(), col), cell(loss_row(), col))
    })?;
    let row = total_row();
    page.label(row + 1, 0, LAST_YEAR, "差额（本表 − 月度汇总）")?;
    let there = summary::total_row(d);
    page.check(
        row + 1,
        P50,
        &cell(row, P50),
        &on(SUMMARY, there, summary::P50),
        d.structure.iter().map(|l| l.forecast.p50_m3).sum::<i64>() - d.total.forecast.p50_m3,
    )?;
    page.check(
        row + 1,
        DECLARED,
        &cell(row, DECLARED),
        &on(SUMMARY, there, summary::DECLARED),
        d.structure.iter().map(|l| l.declared_m3).sum::<i64>() - d.total.declared_m3,
    )?;
    let after = carried(page, d, row + 2)?;
    page.note(
        after,
        &format!(
            "注：损耗与自用按进气量（含过网气量）的 {:.2}% 计；本月申报量按本月预测结构以最大余数法分摊，合计等于月度汇总。",
            d.unaccounted_ratio * 100.0
        ),
    )?;
    page.signatures(after + 2, &signature_names(d), 3)?;
    page.print(after + 2, DECLARED, FIRST, 1)?;
    Ok(())
}

/// What passes through for others, below the total: it needs capacity, but is not bought. Returns the row
/// after it.
fn carried(page: &mut Page<'_>, d: &Declaration, from: u32) -> Result<u32, PlanError> {
    let mut row = from;
    if d.carried.is_empty() {
        return Ok(row);
    }
    page.note(
        row,
        "另：过网气量（代输、代销），占用管输能力，不计入购气量与上列各数",
    )?;
    row += 1;
    for line in &d.carried {
        page.text_left(row, 0, &format!("{}（过网）", line.class.name_zh()))?;
        page.number(row, CUSTOMERS, line.customers as f64, Look::Whole)?;
        page.wan(row, P50, line.p50_m3)?;
        let peaks = format!(
            "日最大{}万m³，最大小时{}m³/h",
            explain::wan(line.day_max_m3 as f64),
            explain::grouped(line.hour_max_m3h as f64, 0)
        );
        page.text_across(row, SHARE, DECLARED, &peaks)?;
        row += 1;
    }
    page.label(row, 0, 0, "过网气量合计")?;
    let total = d.carried.iter().map(|line| line.p50_m3).sum();
    page.column_sum(row, P50, from + 1, row - 1, total)?;
    Ok(row + 1)
}

fn class_row(
    page: &mut Page<'_>,
    line: &ClassLine,
    row: u32,
    total_m3: i64,
) -> Result<(), PlanError> {
    page.text_left(row, 0, line.class.name_zh())?;
    let p50_m3 = line.forecast.p50_m3;
    if line.class == CustomerClass::Unaccounted {
        page.unknown(row, CUSTOMERS)?;
    } else {
        page.number(row, CUSTOMERS, line.customers as f64, Look::Whole)?;
    }
    if line.customers > 0 {
        page.formula(
            row,
            EACH,
            &format!("{}*10000/{}", cell(row, P50), cell(row, CUSTOMERS)),
            p50_m3 as f64 / line.customers as f64,
            Look::Two,
        )?;
    } else {
        page.unknown(row, EACH)?;
    }
    page.wan_or_unknown(row, LAST_MONTH, line.last_month_m3)?;
    page.wan_or_unknown(row, LAST_YEAR, line.last_year_m3)?;
    page.wan(row, P50, p50_m3)?;
    share(page, row, p50_m3, total_m3)?;
    growth(page, row, p50_m3, line.last_year_m3)?;
    match line.protection_ranks {
        Some((low, high)) if low == high => page.text(row, RANK, &low.to_string())?,
        Some((low, high)) => page.text(row, RANK, &format!("{low}–{high}"))?,
        None => page.unknown(row, RANK)?,
    }
    page.wan(row, INTERRUPTIBLE, line.interruptible_m3)?;
    page.wan(row, DECLARED, line.declared_m3)?;
    Ok(())
}

fn share(page: &mut Page<'_>, row: u32, p50_m3: i64, total_m3: i64) -> Result<(), PlanError> {
    if total_m3 <= 0 {
        return Ok(page.unknown(row, SHARE)?);
    }
    let formula = format!("{}/{}", cell(row, P50), cell(total_row(), P50));
    let value = p50_m3 as f64 / total_m3 as f64;
    Ok(page.formula(row, SHARE, &formula, value, Look::Percent)?)
}

fn growth(
    page: &mut Page<'_>,
    row: u32,
    p50_m3: i64,
    before: Option<i64>,
) -> Result<(), PlanError> {
    match before {
        Some(before) if before > 0 => {
            let formula = format!("{}/{}-1", cell(row, P50), cell(row, LAST_YEAR));
            let value = p50_m3 as f64 / before as f64 - 1.0;
            Ok(page.formula(row, YEAR_ON_YEAR, &formula, value, Look::Percent)?)
        }
        _ => Ok(page.unknown(row, YEAR_ON_YEAR)?),
    }
}

fn sum_row(
    page: &mut Page<'_>,
    row: u32,
    label: &str,
    lines: &[&ClassLine],
    d: &Declaration,
    formula: &dyn Fn(u16) -> String,
) -> Result<(), PlanError> {
    page.label(row, 0, 0, label)?;
    let customers: u64 = lines.iter().map(|l| l.customers).sum();
    page.formula(
        row,
        CUSTOMERS,
        &formula(CUSTOMERS),
        customers as f64,
        Look::Whole,
    )?;
    page.unknown(row, EACH)?;
    // A class without gas then and now does not make the sum unknown.
    let known = |of: fn(&ClassLine) -> Option<i64>| -> Option<i64> {
        lines
            .iter()
            .filter(|l| l.forecast.p50_m3 > 0 || of(l).is_some())
            .map(|l| of(l))
            .sum()
    };
    let last_year = known(|l| l.last_year_m3);
    for (col, value) in [
        (LAST_MONTH, known(|l| l.last_month_m3)),
        (LAST_YEAR, last_year),
    ] {
        match value {
            Some(m3) => page.total(row, col, &formula(col), m3)?,
            None => page.unknown(row, col)?,
        }
    }
    let p50_m3: i64 = lines.iter().map(|l| l.forecast.p50_m3).sum();
    page.total(row, P50, &formula(P50), p50_m3)?;
    share(page, row, p50_m3, d.total.forecast.p50_m3)?;
    growth(page, row, p50_m3, last_year)?;
    page.unknown(row, RANK)?;
    let interruptible: i64 = lines.iter().map(|l| l.interruptible_m3).sum();
    page.total(row, INTERRUPTIBLE, &formula(INTERRUPTIBLE), interruptible)?;
    let declared: i64 = lines.iter().map(|l| l.declared_m3).sum();
    page.formula(
        row,
        DECLARED,
        &formula(DECLARED),
        wan(declared),
        Look::WanTotal,
    )?;
    Ok(())
}
