//! Sheet 1 月度汇总: source × component, a subtotal for each contract, the total, the gap.

use crate::domain::contract::ContractComponentKind;
use crate::domain::source::SourceClass;
use crate::plan::PlanError;
use crate::plan::declaration::{ComponentLine, ContractLine, Declaration, GapLine};
use crate::plan::explain;
use crate::plan::workbook::page::{Look, Page, cell, height_of, on, range, row_of, wan};
use crate::plan::workbook::{
    DAILY, FIRST, SUMMARY, daily, heads, last_month_head, last_month_note, period_zh,
    signature_names,
};

const CONTRACT: u16 = 6;
const LAST_YEAR: u16 = 7;
const LAST_MONTH: u16 = 8;
pub(super) const P50: u16 = 9;
pub(super) const P10: u16 = 10;
pub(super) const P90: u16 = 11;
pub(super) const DECLARED: u16 = 12;
const DELTA: u16 = 13;
const USED: u16 = 14;
const DAY_MEAN: u16 = 15;
const DAY_MAX: u16 = 16;
const DAY_MIN: u16 = 17;
const HOUR_MAX: u16 = 18;
const YEAR_ON_YEAR: u16 = 19;
const MONTH_ON_MONTH: u16 = 20;
const REMARK: u16 = 21;
const REMARK_WIDTH: f64 = 34.0;

/// Rows of one contract: components, then its subtotal.
struct Block<'a> {
    line: &'a ContractLine,
    from: u32,
    subtotal: u32,
}

fn blocks(d: &Declaration) -> Vec<Block<'_>> {
    let mut row = FIRST;
    d.contracts
        .iter()
        .map(|line| {
            let from = row;
            let subtotal = from + row_of(line.components.len());
            row = subtotal + 1;
            Block {
                line,
                from,
                subtotal,
            }
        })
        .collect()
}

/// Row of the total.
pub(super) fn total_row(d: &Declaration) -> u32 {
    FIRST + row_of(d.contracts.iter().map(|c| c.components.len() + 1).sum())
}

/// Row of a component of a contract, both by position.
pub(super) fn component_at(d: &Declaration, contract: usize, component: usize) -> u32 {
    let before = d.contracts.iter().take(contract);
    FIRST + row_of(before.map(|c| c.components.len() + 1).sum::<usize>() + component)
}

/// The declared residential component, summed by name over the sheet.
pub(super) fn residential_sum(d: &Declaration) -> String {
    let last = total_row(d) - 1;
    format!(
        "SUMIF('{SUMMARY}'!{},\"{}\",'{SUMMARY}'!{})",
        range(FIRST, 4, last, 4),
        ContractComponentKind::Residential.name_zh(),
        range(FIRST, DECLARED, last, DECLARED)
    )
}

/// The three-way print of the source class (管道气 / LNG / CNG / 合同外).
fn class_zh(class: SourceClass) -> &'static str {
    match class {
        SourceClass::PipelineRegulated | SourceClass::PipelineUnregulated => "管道气",
        SourceClass::PipelineExtra => "合同外",
        other => other.name_zh(),
    }
}

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "月度汇总",
        &format!("计划期：{}", period_zh(d)),
        "单位：万m³",
        REMARK,
    )?;
    page.heads(
        2,
        &heads(&[
            ("序号", 5.0),
            ("气源类别", 9.0),
            ("资源方", 18.0),
            ("合同编号", 14.0),
            ("合同组成", 9.0),
            ("下气点(输气站场)", 14.0),
            ("月合同量", 11.0),
            ("上年同期", 11.0),
            (&last_month_head(d), 11.0),
            ("本月预测P50", 11.0),
            ("预测P10", 11.0),
            ("预测P90", 11.0),
            ("本月申报量", 12.0),
            ("与合同差额", 11.0),
            ("合同使用率%\n(年累计含本月)", 13.0),
            ("日均", 10.0),
            ("日最大", 10.0),
            ("日最小", 10.0),
            ("最大小时\n(m³/h)", 10.0),
            ("同比%", 9.0),
            ("环比%", 9.0),
            ("申报说明", REMARK_WIDTH),
        ]),
    )?;
    let blocks = blocks(d);
    let mut number = 0.0;
    for (k, block) in blocks.iter().enumerate() {
        for (at, component) in block.line.components.iter().enumerate() {
            number += 1.0;
            let row = block.from + row_of(at);
            page.number(row, 0, number, Look::Whole)?;
            component_row(page, d, block.line, component, row)?;
        }
        subtotal_row(page, d, block, k)?;
    }
    total(page, d, &blocks)?;
    let after = gaps(page, d, &blocks)?;
    let row = total_row(d);
    page.label(after, 0, 5, "差额（本表 − 分日计划）")?;
    page.check(
        after,
        P50,
        &cell(row, P50),
        &on(DAILY, daily::total_row(d), daily::p50_col(d)),
        d.total.forecast.p50_m3 - d.days.iter().map(|x| x.forecast.p50_m3).sum::<i64>(),
    )?;
    page.check(
        after,
        DECLARED,
        &cell(row, DECLARED),
        &on(DAILY, daily::total_row(d), daily::sum_col(d)),
        d.total.declared_m3 - d.days.iter().flat_map(|x| &x.declared_m3).sum::<i64>(),
    )?;
    let note = format!(
        "注：P10、P90 按联合情景计算，不可相加；上年同期、上月实际、合同使用率按合同列于小计行；市场化不计入月合同量。{}",
        last_month_note(d)
    );
    page.note(after + 1, &note)?;
    page.signatures(after + 3, &signature_names(d), 5)?;
    page.print(after + 3, REMARK, FIRST, 6)?;
    Ok(())
}

fn names(
    page: &mut Page<'_>,
    line: &ContractLine,
    row: u32,
    component: &str,
) -> Result<(), PlanError> {
    page.text(row, 1, class_zh(line.source_class))?;
    page.text(row, 2, &line.supplier)?;
    page.text(row, 3, line.contract.as_str())?;
    page.text(row, 4, component)?;
    page.text(row, 5, &line.delivery_point)?;
    Ok(())
}

fn delta(page: &mut Page<'_>, row: u32, m3: i64) -> Result<(), PlanError> {
    let formula = format!("{}-N({})", cell(row, DECLARED), cell(row, CONTRACT));
    Ok(page.formula(row, DELTA, &formula, wan(m3), Look::Wan)?)
}

fn day_mean(page: &mut Page<'_>, d: &Declaration, row: u32, m3: i64) -> Result<(), PlanError> {
    let days = d.days.len().max(1);
    let formula = format!("{}/{days}", cell(row, DECLARED));
    Ok(page.formula(row, DAY_MEAN, &formula, wan(m3) / days as f64, Look::Wan)?)
}

/// Growth of the P50 over an earlier month.
fn growth(
    page: &mut Page<'_>,
    row: u32,
    col: u16,
    before_col: u16,
    p50_m3: i64,
    before_m3: Option<i64>,
) -> Result<(), PlanError> {
    match before_m3 {
        Some(before) if before > 0 => {
            let formula = format!("{}/{}-1", cell(row, P50), cell(row, before_col));
            let value = p50_m3 as f64 / before as f64 - 1.0;
            Ok(page.formula(row, col, &formula, value, Look::Percent)?)
        }
        _ => Ok(page.unknown(row, col)?),
    }
}

fn component_row(
    page: &mut Page<'_>,
    d: &Declaration,
    line: &ContractLine,
    component: &ComponentLine,
    row: u32,
) -> Result<(), PlanError> {
    names(page, line, row, component.component.name_zh())?;
    let mut contract_m3 = component.contract_month_m3;
    if component.component == ContractComponentKind::Market {
        contract_m3 = 0;
        page.unknown(row, CONTRACT)?;
    } else {
        page.wan(row, CONTRACT, contract_m3)?;
    }
    page.wan(row, P50, component.forecast.p50_m3)?;
    page.wan(row, P10, component.forecast.p10_m3)?;
    page.wan(row, P90, component.forecast.p90_m3)?;
    page.wan(row, DECLARED, component.declared_m3)?;
    delta(page, row, component.declared_m3 - contract_m3)?;
    day_mean(page, d, row, component.declared_m3)?;
    for col in [
        LAST_YEAR,
        LAST_MONTH,
        USED,
        DAY_MAX,
        DAY_MIN,
        HOUR_MAX,
        YEAR_ON_YEAR,
        MONTH_ON_MONTH,
        REMARK,
    ] {
        page.text(row, col, "")?;
    }
    Ok(())
}

fn subtotal_row(
    page: &mut Page<'_>,
    d: &Declaration,
    block: &Block<'_>,
    k: usize,
) -> Result<(), PlanError> {
    let (line, row) = (block.line, block.subtotal);
    page.text(row, 0, "")?;
    names(page, line, row, "小计")?;
    let last = row - 1;
    page.column_sum(row, CONTRACT, block.from, last, line.contract_month_m3)?;
    page.wan_or_unknown(row, LAST_YEAR, line.last_year_m3)?;
    page.wan_or_unknown(row, LAST_MONTH, line.last_month_m3)?;
    page.column_sum(row, P50, block.from, last, line.forecast.p50_m3)?;
    page.wan(row, P10, line.forecast.p10_m3)?;
    page.wan(row, P90, line.forecast.p90_m3)?;
    page.column_sum(row, DECLARED, block.from, last, line.declared_m3)?;
    delta(page, row, line.declared_m3 - line.contract_month_m3)?;
    match line.taken_before_m3 {
        Some(taken) if line.contract_annual_m3 > 0 => page.formula(
            row,
            USED,
            &format!(
                "({:.4}+{})/{:.4}",
                wan(taken),
                cell(row, DECLARED),
                wan(line.contract_annual_m3)
            ),
            (taken + line.declared_m3) as f64 / line.contract_annual_m3 as f64,
            Look::Percent,
        )?,
        _ => page.unknown(row, USED)?,
    }
    day_mean(page, d, row, line.declared_m3)?;
    let days = format!(
        "'{DAILY}'!{}",
        range(
            FIRST,
            daily::contract_col(k),
            daily::total_row(d) - 1,
            daily::contract_col(k)
        )
    );
    page.formula(
        row,
        DAY_MAX,
        &format!("MAX({days})"),
        wan(line.day_max_m3),
        Look::Wan,
    )?;
    page.formula(
        row,
        DAY_MIN,
        &format!("MIN({days})"),
        wan(line.day_min_m3),
        Look::Wan,
    )?;
    page.number(row, HOUR_MAX, line.hour_max_m3h as f64, Look::Whole)?;
    growth(
        page,
        row,
        YEAR_ON_YEAR,
        LAST_YEAR,
        line.forecast.p50_m3,
        line.last_year_m3,
    )?;
    growth(
        page,
        row,
        MONTH_ON_MONTH,
        LAST_MONTH,
        line.forecast.p50_m3,
        line.last_month_m3,
    )?;
    page.text_left(row, REMARK, &line.remark)?;
    page.sheet.set_row_height(row, 28)?;
    Ok(())
}

fn total(page: &mut Page<'_>, d: &Declaration, blocks: &[Block<'_>]) -> Result<(), PlanError> {
    let row = total_row(d);
    let t = &d.total;
    page.label(row, 0, 5, "合计")?;
    let sum = |col: u16| -> String {
        let cells: Vec<String> = blocks.iter().map(|b| cell(b.subtotal, col)).collect();
        cells.join("+")
    };
    page.total(row, CONTRACT, &sum(CONTRACT), t.contract_month_m3)?;
    for (col, value) in [(LAST_YEAR, t.last_year_m3), (LAST_MONTH, t.last_month_m3)] {
        match value {
            Some(m3) => page.total(row, col, &sum(col), m3)?,
            None => page.unknown(row, col)?,
        }
    }
    page.total(row, P50, &sum(P50), t.forecast.p50_m3)?;
    page.number(row, P10, wan(t.forecast.p10_m3), Look::WanTotal)?;
    page.number(row, P90, wan(t.forecast.p90_m3), Look::WanTotal)?;
    page.total(row, DECLARED, &sum(DECLARED), t.declared_m3)?;
    delta(page, row, t.declared_m3 - t.contract_month_m3)?;
    page.unknown(row, USED)?;
    day_mean(page, d, row, t.declared_m3)?;
    let totals: Vec<i64> = d.days.iter().map(|x| x.declared_m3.iter().sum()).collect();
    let days = format!(
        "'{DAILY}'!{}",
        range(
            FIRST,
            daily::sum_col(d),
            daily::total_row(d) - 1,
            daily::sum_col(d)
        )
    );
    page.formula(
        row,
        DAY_MAX,
        &format!("MAX({days})"),
        wan(totals.iter().copied().max().unwrap_or(0)),
        Look::Wan,
    )?;
    page.formula(
        row,
        DAY_MIN,
        &format!("MIN({days})"),
        wan(totals.iter().copied().min().unwrap_or(0)),
        Look::Wan,
    )?;
    page.unknown(row, HOUR_MAX)?;
    growth(
        page,
        row,
        YEAR_ON_YEAR,
        LAST_YEAR,
        t.forecast.p50_m3,
        t.last_year_m3,
    )?;
    growth(
        page,
        row,
        MONTH_ON_MONTH,
        LAST_MONTH,
        t.forecast.p50_m3,
        t.last_month_m3,
    )?;
    page.text_left(row, REMARK, "")?;
    Ok(())
}

/// What covers a gap, in parts that add up to it.
fn cover_zh(gap: &GapLine) -> String {
    let Some(cover) = gap.cover() else {
        return "需求P90在月合同量之内".into();
    };
    let wan = |m3: i64| explain::wan(m3 as f64);
    let of = if cover.is_p90 { "P90" } else { "P50" };
    let mut text = format!(
        "{of}缺口拟补：市场化{}、兜底气源调入{}、可中断{}，其余{}由超提承担",
        wan(cover.market_m3),
        wan(cover.swing_m3),
        wan(cover.interruptible_m3),
        wan(cover.over_take_m3)
    );
    if cover.traded_m3 > 0 {
        text.push_str("；另经济调剂");
        text.push_str(&wan(cover.traded_m3));
        text.push_str("（不属拟补）");
    }
    text
}

/// Rows of demand above contract, and their sum; returns the row after them.
fn gaps(page: &mut Page<'_>, d: &Declaration, blocks: &[Block<'_>]) -> Result<u32, PlanError> {
    let first = total_row(d) + 1;
    let mut row = first;
    for (gap, block) in d.gaps.iter().zip(blocks) {
        page.label(row, 0, 5, &format!("缺口（需求−合同） {}", gap.source_name))?;
        for (col, m3) in [(P50, gap.gap_p50_m3), (P90, gap.gap_p90_m3)] {
            let formula = format!(
                "{}-{}",
                cell(block.subtotal, col),
                cell(block.subtotal, CONTRACT)
            );
            page.formula(row, col, &formula, wan(m3), Look::Gap)?;
        }
        let cover = cover_zh(gap);
        page.sheet
            .set_row_height(row, height_of(&cover, REMARK_WIDTH).max(28.0))?;
        page.text_left(row, REMARK, &cover)?;
        row += 1;
    }
    page.label(row, 0, 5, "缺口合计（仅计正缺口）")?;
    let open: i64 = d.gaps.iter().map(|g| g.gap_p50_m3.max(0)).sum();
    let cells = range(first, P50, row.saturating_sub(1).max(first), P50);
    page.formula(
        row,
        P50,
        &format!("SUMIF({cells},\">0\")"),
        wan(open),
        Look::Gap,
    )?;
    Ok(row + 1)
}
