//! Sheet 7 上月执行与偏差: what was declared for the month before, and what came of it.

use crate::plan::PlanError;
use crate::plan::declaration::{Declaration, ExecutionLine};
use crate::plan::workbook::page::{Look, Page, cell, row_of, wan};
use crate::plan::workbook::{FIRST, heads, instant_zh, period_zh, signature_names};

const CONTRACT: u16 = 2;
const DECLARED: u16 = 3;
const APPROVED: u16 = 4;
const MEASURED: u16 = 5;
const EXPECTED: u16 = 6;
const TAKEN: u16 = 7;
const DEVIATION: u16 = 8;
const RATIO: u16 = 9;
const BAND: u16 = 10;
const BEYOND: u16 = 11;
const CAUSE: u16 = 12;

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "上月执行与偏差",
        &format!("计划期：{}", period_zh(d)),
        "单位：万m³",
        CAUSE,
    )?;
    let Some(background) = &d.background else {
        return page.of_earlier_program(CAUSE);
    };
    let execution = &background.execution;
    page.heads(
        2,
        &heads(&[
            ("合同编号", 16.0),
            ("资源方", 20.0),
            ("月合同量", 12.0),
            ("申报量", 12.0),
            ("批复量\n(手工填写)", 12.0),
            ("实际\n(已计量)", 12.0),
            ("余日预计", 12.0),
            ("全月", 12.0),
            ("偏差量", 12.0),
            ("偏差率", 10.0),
            ("允许偏差\n(±)", 10.0),
            ("考核量\n(允许偏差以外)", 13.0),
            ("原因归类\n(手工填写)", 24.0),
        ]),
    )?;
    for (at, line) in execution.lines.iter().enumerate() {
        contract(page, line, FIRST + row_of(at))?;
    }
    let row = FIRST + row_of(execution.lines.len());
    total(page, &execution.lines, row)?;
    let month = execution
        .month
        .map_or_else(|| "—".to_owned(), |m| m.to_string());
    let measured = execution.measured_to.map_or_else(
        || "尚无已结气日".to_owned(),
        |day| format!("已计量至{day}，其后为预计"),
    );
    let of = match (execution.declared_version, execution.declared_sent_at) {
        (Some(version), Some(at)) => format!("申报量取V{version}（{}上报）", instant_zh(at)),
        (Some(version), None) => format!("申报量取V{version}（未登记上报）"),
        (None, _) => "该月未编制申报".to_owned(),
    };
    page.note(
        row + 1,
        &format!("注：{month}，{measured}；{of}。实际为本公司合同下的提取量，不含过网气量。"),
    )?;
    page.note(
        row + 2,
        "偏差量 = 全月 − 申报量，超提为正；考核量为超出允许偏差的部分。批复量与原因归类（天气/客户/检修/节假日/数据/上游限供）系统没有，请手工填写。",
    )?;
    page.signatures(row + 4, &signature_names(d), 3)?;
    page.print(row + 4, CAUSE, FIRST, 2)?;
    Ok(())
}

fn contract(page: &mut Page<'_>, line: &ExecutionLine, row: u32) -> Result<(), PlanError> {
    page.text(row, 0, line.contract.as_str())?;
    page.text_left(row, 1, &line.supplier)?;
    page.wan(row, CONTRACT, line.contract_month_m3)?;
    page.wan_or_unknown(row, DECLARED, line.declared_m3)?;
    page.wan_or_unknown(row, MEASURED, line.measured_m3)?;
    page.wan(row, EXPECTED, line.expected_m3)?;
    page.number(row, BAND, line.band_ratio, Look::Percent)?;
    page.text(row, APPROVED, "")?;
    page.text_left(row, CAUSE, "")?;
    taken(page, row, line.taken_m3())?;
    deviation(page, row, line.deviation_m3(), line.declared_m3)?;
    let Some(beyond) = line.beyond_band_m3() else {
        return Ok(page.unknown(row, BEYOND)?);
    };
    let (off, declared) = (cell(row, DEVIATION), cell(row, DECLARED));
    let formula = format!(
        "SIGN({off})*MAX(0,ABS({off})-{}*{declared})",
        cell(row, BAND)
    );
    page.formula(row, BEYOND, &formula, beyond / 10_000.0, Look::Wan)?;
    Ok(())
}

fn taken(page: &mut Page<'_>, row: u32, m3: Option<i64>) -> Result<(), PlanError> {
    let Some(m3) = m3 else {
        return Ok(page.unknown(row, TAKEN)?);
    };
    let formula = format!("{}+{}", cell(row, MEASURED), cell(row, EXPECTED));
    Ok(page.formula(row, TAKEN, &formula, wan(m3), Look::Wan)?)
}

fn deviation(
    page: &mut Page<'_>,
    row: u32,
    m3: Option<i64>,
    declared_m3: Option<i64>,
) -> Result<(), PlanError> {
    let Some(m3) = m3 else {
        page.unknown(row, DEVIATION)?;
        return Ok(page.unknown(row, RATIO)?);
    };
    let formula = format!("{}-{}", cell(row, TAKEN), cell(row, DECLARED));
    page.formula(row, DEVIATION, &formula, wan(m3), Look::Wan)?;
    match declared_m3.filter(|declared| *declared > 0) {
        Some(declared) => {
            let formula = format!("{}/{}", cell(row, DEVIATION), cell(row, DECLARED));
            let ratio = m3 as f64 / declared as f64;
            Ok(page.formula(row, RATIO, &formula, ratio, Look::Percent)?)
        }
        None => Ok(page.unknown(row, RATIO)?),
    }
}

fn total(page: &mut Page<'_>, lines: &[ExecutionLine], row: u32) -> Result<(), PlanError> {
    page.label(row, 0, 1, "合计")?;
    let sum =
        |of: &dyn Fn(&ExecutionLine) -> Option<i64>| lines.iter().map(of).sum::<Option<i64>>();
    let declared = sum(&|line| line.declared_m3);
    let taken_m3 = sum(&ExecutionLine::taken_m3);
    for (col, m3) in [
        (CONTRACT, sum(&|line| Some(line.contract_month_m3))),
        (DECLARED, declared),
        (MEASURED, sum(&|line| line.measured_m3)),
        (EXPECTED, sum(&|line| Some(line.expected_m3))),
    ] {
        match m3.filter(|_| !lines.is_empty()) {
            Some(m3) => page.column_sum(row, col, FIRST, row - 1, m3)?,
            None => page.unknown(row, col)?,
        }
    }
    taken(page, row, taken_m3.filter(|_| !lines.is_empty()))?;
    let off = sum(&ExecutionLine::deviation_m3).filter(|_| !lines.is_empty());
    deviation(page, row, off, declared)?;
    for col in [APPROVED, BAND, BEYOND, CAUSE] {
        page.text(row, col, "")?;
    }
    Ok(())
}
