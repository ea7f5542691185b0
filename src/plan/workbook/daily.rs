//! Sheet 2 分日计划: the grid that upstream portals take.

use chrono::{Datelike as _, Weekday};

use crate::domain::calendar::DayType;
use crate::plan::PlanError;
use crate::plan::declaration::{DayLine, Declaration};
use crate::plan::workbook::page::{Look, Page, cell, col_of, on, range, row_of, wan};
use crate::plan::workbook::{FIRST, SUMMARY, period_zh, signature_names, summary};

const TEMPERATURE: u16 = 3;
const DECLARED: u16 = 4;

/// Column of a contract's declared quantity.
pub(super) fn contract_col(k: usize) -> u16 {
    DECLARED + col_of(k)
}

/// Column of the declared total.
pub(super) fn sum_col(d: &Declaration) -> u16 {
    contract_col(d.contracts.len())
}

/// Column of the P50.
pub(super) fn p50_col(d: &Declaration) -> u16 {
    sum_col(d) + 1
}

/// Row of the total.
pub(super) fn total_row(d: &Declaration) -> u32 {
    FIRST + row_of(d.days.len())
}

fn weekday_zh(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "周一",
        Weekday::Tue => "周二",
        Weekday::Wed => "周三",
        Weekday::Thu => "周四",
        Weekday::Fri => "周五",
        Weekday::Sat => "周六",
        Weekday::Sun => "周日",
    }
}

fn kind_zh(line: &DayLine) -> String {
    match (&line.holiday, line.day_type) {
        (_, DayType::Workday) if line.is_make_up_workday => "调休上班".into(),
        (Some(name), DayType::Holiday) => name.clone(),
        (_, DayType::Weekend) => "周末".into(),
        _ => "工作日".into(),
    }
}

/// The first three columns: the day, its weekday, its kind.
pub(super) fn day_names(page: &mut Page<'_>, row: u32, line: &DayLine) -> Result<(), PlanError> {
    page.text(row, 0, &line.day.to_string())?;
    page.text(row, 1, weekday_zh(line.day.0.weekday()))?;
    page.text(row, 2, &kind_zh(line))?;
    Ok(())
}

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    let (sum, p50) = (sum_col(d), p50_col(d));
    let (p90, ratio) = (p50 + 1, p50 + 2);
    page.heading(
        "分日计划",
        &format!("计划期：{}", period_zh(d)),
        "单位：万m³",
        ratio,
    )?;
    let mut columns: Vec<(String, f64)> = vec![
        ("日期(气日)".into(), 13.0),
        ("星期".into(), 7.0),
        ("节假日/调休".into(), 12.0),
        ("预报均温\n(℃)".into(), 9.0),
    ];
    for line in &d.contracts {
        columns.push((
            format!("{}\n{}", line.delivery_point, line.source_name),
            16.0,
        ));
    }
    for (text, width) in [
        ("合计", 13.0),
        ("P50", 13.0),
        ("P90", 13.0),
        ("申报系数", 10.0),
    ] {
        columns.push((text.into(), width));
    }
    page.heads(2, &columns)?;
    for (at, line) in d.days.iter().enumerate() {
        let row = FIRST + row_of(at);
        day_names(page, row, line)?;
        match line.temperature_c {
            Some(value) => {
                let shown = (value * 10.0).round() / 10.0;
                page.number(row, TEMPERATURE, shown, Look::Two)?;
            }
            None => page.unknown(row, TEMPERATURE)?,
        }
        for (k, m3) in line.declared_m3.iter().enumerate() {
            page.wan(row, contract_col(k), *m3)?;
        }
        let declared: i64 = line.declared_m3.iter().sum();
        let cells = range(row, DECLARED, row, sum - 1);
        page.total(row, sum, &format!("SUM({cells})"), declared)?;
        page.wan(row, p50, line.forecast.p50_m3)?;
        page.wan(row, p90, line.forecast.p90_m3)?;
        coefficient(page, row, ratio, declared, line.forecast.p50_m3)?;
    }
    let row = total_row(d);
    page.label(row, 0, TEMPERATURE, "合计")?;
    for (k, line) in d.contracts.iter().enumerate() {
        page.column_sum(row, contract_col(k), FIRST, row - 1, line.declared_m3)?;
    }
    page.column_sum(row, sum, FIRST, row - 1, d.total.declared_m3)?;
    page.column_sum(row, p50, FIRST, row - 1, d.total.forecast.p50_m3)?;
    page.number(row, p90, wan(d.total.forecast.p90_m3), Look::WanTotal)?;
    coefficient(
        page,
        row,
        ratio,
        d.total.declared_m3,
        d.total.forecast.p50_m3,
    )?;
    page.label(row + 1, 0, TEMPERATURE, "差额（本表 − 月度汇总）")?;
    let there = summary::total_row(d);
    page.check(
        row + 1,
        sum,
        &cell(row, sum),
        &on(SUMMARY, there, summary::DECLARED),
        d.days.iter().flat_map(|x| &x.declared_m3).sum::<i64>() - d.total.declared_m3,
    )?;
    page.check(
        row + 1,
        p50,
        &cell(row, p50),
        &on(SUMMARY, there, summary::P50),
        d.days.iter().map(|x| x.forecast.p50_m3).sum::<i64>() - d.total.forecast.p50_m3,
    )?;
    page.note(
        row + 2,
        "注：P90 合计为全月联合情景的分位数，不是各日之和；申报系数 = 申报量 ÷ P50。",
    )?;
    page.signatures(row + 4, &signature_names(d), 2)?;
    page.print(row + 4, ratio, FIRST, 1)?;
    Ok(())
}

fn coefficient(
    page: &mut Page<'_>,
    row: u32,
    col: u16,
    declared_m3: i64,
    p50_m3: i64,
) -> Result<(), PlanError> {
    if p50_m3 <= 0 {
        return Ok(page.unknown(row, col)?);
    }
    // Total, P50 and P90 stand left of it.
    let formula = format!("{}/{}", cell(row, col - 3), cell(row, col - 2));
    let value = declared_m3 as f64 / p50_m3 as f64;
    Ok(page.formula(row, col, &formula, value, Look::Four)?)
}
