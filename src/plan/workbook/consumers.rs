//! Sheet 5 重点用户: a part of the whole, with what is left for all others.

use crate::domain::customer::SaleMode;
use crate::plan::PlanError;
use crate::plan::declaration::{Declaration, LargeConsumerLine};
use crate::plan::workbook::page::{Look, Page, on, range, row_of, wan};
use crate::plan::workbook::{FIRST, SUMMARY, heads, period_zh, signature_names, summary};

const MODE: u16 = 5;
const CONTRACT: u16 = 6;
const FILED: u16 = 7;
const P50: u16 = 8;
const ADOPTED: u16 = 9;
const INTERRUPTIBLE: u16 = 13;
const REMARK: u16 = 14;

fn sale_mode_zh(mode: SaleMode) -> &'static str {
    match mode {
        SaleMode::Direct => "直销",
        SaleMode::Agency => "代销",
        SaleMode::Wheeling => "代输",
    }
}

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "重点用户",
        &format!("计划期：{}", period_zh(d)),
        "单位：万m³",
        REMARK,
    )?;
    page.heads(
        2,
        &heads(&[
            ("户号", 14.0),
            ("客户名称", 24.0),
            ("用户类别", 12.0),
            ("行业", 12.0),
            ("网格/客户经理", 16.0),
            ("合同类型\n(直销/代销/代输)", 12.0),
            ("月合同量", 12.0),
            ("客户申报量", 12.0),
            ("系统预测P50", 12.0),
            ("采用量", 12.0),
            ("采用依据", 10.0),
            ("上月客户\n申报偏差%", 11.0),
            ("生产变更摘要", 30.0),
            ("可中断量", 12.0),
            ("备注", 20.0),
        ]),
    )?;
    let lines = &d.large_consumers;
    for (at, line) in lines.iter().enumerate() {
        consumer_row(page, line, FIRST + row_of(at))?;
    }
    let total = FIRST + row_of(lines.len());
    page.label(total, 0, 5, "合计")?;
    let sums: [(u16, i64); 5] = [
        (CONTRACT, lines.iter().map(|l| l.contract_month_m3).sum()),
        (FILED, lines.iter().filter_map(|l| l.filed_m3).sum()),
        (
            P50,
            lines
                .iter()
                .filter_map(|l| l.forecast.map(|own| own.p50_m3))
                .sum(),
        ),
        (ADOPTED, lines.iter().map(|l| l.adopted_m3).sum()),
        (
            INTERRUPTIBLE,
            lines.iter().map(|l| l.interruptible_m3).sum(),
        ),
    ];
    for (col, m3) in sums {
        if lines.is_empty() {
            page.number(total, col, 0.0, Look::WanTotal)?;
        } else {
            page.column_sum(total, col, FIRST, total - 1, m3)?;
        }
    }
    page.label(total + 1, 0, 5, "其余用户（月度汇总 − 本表直销用户）")?;
    let there = on(SUMMARY, summary::total_row(d), summary::P50);
    let is_direct = |line: &&LargeConsumerLine| line.sale_mode == SaleMode::Direct;
    let p50 = |line: &LargeConsumerLine| line.forecast.map_or(0, |own| own.p50_m3);
    let adopted = |line: &LargeConsumerLine| line.adopted_m3;
    for (col, of) in [
        (P50, lines.iter().filter(is_direct).map(p50).sum::<i64>()),
        (ADOPTED, lines.iter().filter(is_direct).map(adopted).sum()),
    ] {
        let direct = format!(
            "SUMIF({},\"{}\",{})",
            range(FIRST, MODE, total, MODE),
            sale_mode_zh(SaleMode::Direct),
            range(FIRST, col, total, col)
        );
        page.formula(
            total + 1,
            col,
            &format!("{there}-{direct}"),
            wan(d.total.forecast.p50_m3 - of),
            Look::Wan,
        )?;
    }
    page.note(
        total + 2,
        "注：本表为总量的一部分（售气口径），不要求与月度汇总相等。",
    )?;
    // The next sheet has plans of the same customers, and other figures for them.
    page.note(
        total + 3,
        "系统预测P50由该户历史用气推算，未计入其申报，无历史者为“—”，采用其修正后的申报；“新增与项目”表中的计划用气为客户申报按历史偏差修正后的气量，两者口径不同，可不相等。",
    )?;
    page.signatures(total + 5, &signature_names(d), 4)?;
    page.print(total + 5, REMARK, FIRST, 2)?;
    Ok(())
}

fn consumer_row(page: &mut Page<'_>, line: &LargeConsumerLine, row: u32) -> Result<(), PlanError> {
    page.text(row, 0, line.customer.as_str())?;
    page.text_left(row, 1, &line.name)?;
    page.text(row, 2, line.class.name_zh())?;
    page.text(row, 3, &line.industry)?;
    page.text(row, 4, &format!("{}/{}", line.grid, line.account_manager))?;
    page.text(row, MODE, sale_mode_zh(line.sale_mode))?;
    page.wan(row, CONTRACT, line.contract_month_m3)?;
    page.wan_or_unknown(row, FILED, line.filed_m3)?;
    page.wan_or_unknown(row, P50, line.forecast.map(|own| own.p50_m3))?;
    page.wan(row, ADOPTED, line.adopted_m3)?;
    page.text(row, 10, line.basis.name_zh())?;
    match line.last_month_deviation {
        Some(part) => page.number(row, 11, part, Look::Percent)?,
        None => page.unknown(row, 11)?,
    }
    page.text_left(row, 12, &line.change_summary)?;
    page.wan(row, INTERRUPTIBLE, line.interruptible_m3)?;
    page.text_left(row, REMARK, &line.remark)?;
    Ok(())
}
