//! The day-ahead nomination (日指定申请表): the form and its 24-hour plan.

use rust_xlsxwriter::Workbook;

use crate::plan::PlanError;
use crate::plan::nomination::{Nomination, NominationLine};
use crate::plan::workbook::page::{
    Look, Page, Styles, cell, col_of, height_of, on, range, row_of, wan,
};
use crate::plan::workbook::{FIRST, heads, instant_zh, meta, prepared_zh, properties, version_zh};

const FORM: &str = "日指定";
const HOURS: &str = "24小时计划";

const MONTH_AVERAGE: u16 = 5;
const YESTERDAY: u16 = 7;
const TODAY: u16 = 8;
const P10: u16 = 9;
const P50: u16 = 10;
const P90: u16 = 11;
const SUGGESTED: u16 = 12;
const NOMINATED: u16 = 13;
const APPROVED: u16 = 17;
const CHANGED: u16 = 18;
const REAPPROVED: u16 = 19;
const EXECUTED: u16 = 21;
const REMARK: u16 = 22;
const REMARK_WIDTH: f64 = 34.0;

/// A figure that may be unknown.
type Known = fn(&NominationLine) -> Option<i64>;
/// A figure that every line has.
type Always = fn(&NominationLine) -> i64;

/// The day-ahead nomination as a workbook.
///
/// # Errors
/// [`PlanError::Workbook`] if the writer refuses a cell.
pub fn write(document: &Nomination) -> Result<Vec<u8>, PlanError> {
    let mut book = Workbook::new();
    let styles = Styles::new(document.reference);
    let hash = document.content_hash()?;
    book.set_properties(&properties(
        "日指定申请表",
        &document.company,
        &document.prepared_by,
        document.made_at,
    )?);
    let sheet = book.add_worksheet();
    sheet.set_name(FORM)?;
    form(&mut Page::new(sheet, &styles), document)?;
    let sheet = book.add_worksheet();
    sheet.set_name(HOURS)?;
    hours(&mut Page::new(sheet, &styles), document)?;
    meta(
        &mut book,
        &[
            ("document", "nomination"),
            ("nomination_no", &document.nomination_no),
            ("version", &document.version.to_string()),
            ("content_sha256", &hash),
            ("forecast_run", document.forecast_run.as_str()),
            ("registry_version", &document.registry_version),
            ("made_at", &document.made_at.to_rfc3339()),
            ("program", env!("CARGO_PKG_VERSION")),
        ],
    )?;
    Ok(book.save_to_buffer()?)
}

fn form(page: &mut Page<'_>, n: &Nomination) -> Result<(), PlanError> {
    let note = format!(
        "计划日期：{}—{}    填报截止：{}（最迟 {}）    状态：{}    单号：{} {}",
        instant_zh(n.period_from),
        instant_zh(n.period_to),
        instant_zh(n.due_at),
        instant_zh(n.due_hard_at),
        n.status.name_zh(),
        n.nomination_no,
        version_zh(n.version, n.sent_at.is_some(), n.made_at)
    );
    page.heading("日指定申请表", &note, "单位：万m³", REMARK)?;
    page.heads(
        2,
        &heads(&[
            ("序号", 5.0),
            ("资源方", 18.0),
            ("合同编号/组成", 20.0),
            ("气源类别", 12.0),
            ("输气站场\n(下载点)", 14.0),
            ("月度合同\n日均量", 11.0),
            ("剩余合同\n日均量", 11.0),
            ("昨日交割量", 11.0),
            ("今日预计", 11.0),
            ("明日预测P10", 11.0),
            ("明日预测P50", 11.0),
            ("明日预测P90", 11.0),
            ("建议指定量", 11.0),
            ("日指定量", 11.0),
            ("补提量\n(m³)", 9.0),
            ("日最大瞬时\n流量(m³/h)", 11.0),
            ("24小时计划\n合计", 11.0),
            ("批复量", 11.0),
            ("变更量", 11.0),
            ("变更批复量", 11.0),
            ("变更原因", 16.0),
            ("执行率%", 9.0),
            ("备注", REMARK_WIDTH),
        ]),
    )?;
    for (at, line) in n.lines.iter().enumerate() {
        form_row(page, line, at)?;
    }
    suppliers(page, n)?;
    let total = FIRST + row_of(n.lines.len());
    page.label(total, 0, 4, "合计")?;
    let last = total - 1;
    let optional: [(u16, Known); 5] = [
        (YESTERDAY, |l| l.delivered_yesterday_m3),
        (TODAY, |l| l.today_m3),
        (APPROVED, |l| l.approved_m3),
        (CHANGED, |l| l.changed_m3),
        (REAPPROVED, |l| l.reapproved_m3),
    ];
    for (col, of) in optional {
        match n.lines.iter().map(of).sum::<Option<i64>>() {
            Some(m3) => page.column_sum(total, col, FIRST, last, m3)?,
            None => page.unknown(total, col)?,
        }
    }
    let known: [(u16, Always); 5] = [
        (MONTH_AVERAGE, |l| l.month_average_m3),
        (P50, |l| l.forecast.p50_m3),
        (SUGGESTED, |l| l.suggested_m3),
        (NOMINATED, |l| l.nominated_m3),
        (16, |l| l.hours_m3.iter().sum()),
    ];
    for (col, of) in known {
        page.column_sum(total, col, FIRST, last, n.lines.iter().map(of).sum())?;
    }
    page.number(total, P10, wan(n.forecast.p10_m3), Look::WanTotal)?;
    page.number(total, P90, wan(n.forecast.p90_m3), Look::WanTotal)?;
    hours_check(page, n, total)?;
    page.note(
        total + 2,
        "注：P10、P90 合计按联合情景计算，不可相加；首小时为气日起始时刻起的一小时。",
    )?;
    let below = checks(page, n, total + 3)?;
    page.signatures(
        below + 1,
        &[
            ("编制", prepared_zh(&n.prepared_by)),
            ("审核", ""),
            ("批准", ""),
            ("（公章）", ""),
        ],
        5,
    )?;
    page.print(below + 1, REMARK, FIRST, 5)?;
    Ok(())
}

/// The hours against what is asked for, below the row of totals.
fn hours_check(page: &mut Page<'_>, n: &Nomination, total: u32) -> Result<(), PlanError> {
    let asked = asked_col(n);
    let of_what = if asked == CHANGED {
        "变更量"
    } else {
        "日指定量"
    };
    page.label(total + 1, 0, 4, &format!("差额（24小时 − {of_what}）"))?;
    page.check(
        total + 1,
        NOMINATED,
        &cell(total, 16),
        &cell(total, asked),
        n.lines
            .iter()
            .map(|l| l.hours_m3.iter().sum::<i64>() - l.asked_m3())
            .sum(),
    )?;
    Ok(())
}

/// The column of what is asked for: of a change the changed quantities.
fn asked_col(n: &Nomination) -> u16 {
    let is_change = n.lines.iter().any(|line| line.changed_m3.is_some());
    if is_change { CHANGED } else { NOMINATED }
}

/// What the checks found (校核), a row each; the first row below.
fn checks(page: &mut Page<'_>, n: &Nomination, first: u32) -> Result<u32, PlanError> {
    let found = n.checks();
    if found.is_empty() {
        page.note(first, "校核：未发现问题。")?;
        return Ok(first + 1);
    }
    for (at, check) in found.iter().enumerate() {
        let weight = if check.is_error {
            "须更正"
        } else {
            "请留意"
        };
        let text = format!("校核（{weight}）：{} {}", check.contract, check.message_zh);
        page.note(first + row_of(at), &text)?;
    }
    Ok(first + row_of(found.len()))
}

fn form_row(page: &mut Page<'_>, line: &NominationLine, at: usize) -> Result<(), PlanError> {
    let row = FIRST + row_of(at);
    page.number(row, 0, (at + 1) as f64, Look::Whole)?;
    page.text(row, 2, &format!("{}/{}", line.contract, line.components))?;
    page.text(row, 3, line.source_class.name_zh())?;
    page.text(row, 4, &line.delivery_point)?;
    page.wan(row, MONTH_AVERAGE, line.month_average_m3)?;
    page.wan_or_unknown(row, 6, line.remaining_average_m3)?;
    page.wan_or_unknown(row, YESTERDAY, line.delivered_yesterday_m3)?;
    page.wan_or_unknown(row, TODAY, line.today_m3)?;
    page.wan(row, P10, line.forecast.p10_m3)?;
    page.wan(row, P50, line.forecast.p50_m3)?;
    page.wan(row, P90, line.forecast.p90_m3)?;
    page.wan(row, SUGGESTED, line.suggested_m3)?;
    page.wan(row, NOMINATED, line.nominated_m3)?;
    page.number(row, 14, line.makeup_m3 as f64, Look::Whole)?;
    match line.flow_max_m3h {
        Some(flow) => page.number(row, 15, flow as f64, Look::Whole)?,
        None => page.unknown(row, 15)?,
    }
    let sum = on(HOURS, FIRST + 24, 1 + col_of(at));
    page.formula(row, 16, &sum, wan(line.hours_m3.iter().sum()), Look::Wan)?;
    page.wan_or_unknown(row, APPROVED, line.approved_m3)?;
    page.wan_or_unknown(row, CHANGED, line.changed_m3)?;
    page.wan_or_unknown(row, REAPPROVED, line.reapproved_m3)?;
    page.text(row, 20, line.change_reason.as_deref().unwrap_or(""))?;
    match (line.delivered_m3, line.approved_m3) {
        (Some(delivered), Some(approved)) if approved > 0 => {
            let formula = format!("{:.4}/{}", wan(delivered), cell(row, APPROVED));
            page.formula(
                row,
                EXECUTED,
                &formula,
                delivered as f64 / approved as f64,
                Look::Percent,
            )?;
        }
        _ => page.unknown(row, EXECUTED)?,
    }
    let remark = if line.remark.is_empty() {
        line.reason_zh.clone()
    } else {
        format!("{}；{}", line.remark, line.reason_zh)
    };
    page.text_left(row, REMARK, &remark)?;
    page.sheet
        .set_row_height(row, height_of(&remark, REMARK_WIDTH).max(56.0))?;
    Ok(())
}

/// The supplier's cell spans its neighbouring rows.
fn suppliers(page: &mut Page<'_>, n: &Nomination) -> Result<(), PlanError> {
    let mut from = 0;
    while let Some(first) = n.lines.get(from) {
        let same = n
            .lines
            .iter()
            .skip(from)
            .take_while(|l| l.supplier == first.supplier)
            .count();
        let (top, bottom) = (FIRST + row_of(from), FIRST + row_of(from + same) - 1);
        page.text_down(top, bottom, 1, &first.supplier)?;
        from += same;
    }
    Ok(())
}

fn hours(page: &mut Page<'_>, n: &Nomination) -> Result<(), PlanError> {
    let sum_col = 1 + col_of(n.lines.len());
    page.heading(
        "24小时计划",
        &format!("{}—{}", instant_zh(n.period_from), instant_zh(n.period_to)),
        "单位：万m³",
        sum_col.max(2),
    )?;
    let mut columns = vec![("时段".to_string(), 14.0)];
    for line in &n.lines {
        columns.push((format!("{}\n{}", line.delivery_point, line.contract), 18.0));
    }
    columns.push(("合计".into(), 14.0));
    page.heads(2, &columns)?;
    for hour in 0..24_usize {
        let row = FIRST + row_of(hour);
        let start = n.period_from + chrono::TimeDelta::hours(i64::try_from(hour).unwrap_or(0));
        let civil = crate::domain::calendar::beijing_civil(start);
        let until = civil + chrono::TimeDelta::hours(1);
        page.text(
            row,
            0,
            &format!("{}–{}", civil.format("%H:%M"), until.format("%H:%M")),
        )?;
        let mut sum = 0;
        for (k, line) in n.lines.iter().enumerate() {
            let m3 = line.hours_m3.get(hour).copied().unwrap_or(0);
            sum += m3;
            page.wan(row, 1 + col_of(k), m3)?;
        }
        let cells = range(row, 1, row, sum_col - 1);
        page.total(row, sum_col, &format!("SUM({cells})"), sum)?;
    }
    let total = FIRST + 24;
    page.label(total, 0, 0, "合计")?;
    for (k, line) in n.lines.iter().enumerate() {
        let m3 = line.hours_m3.iter().sum();
        page.column_sum(total, 1 + col_of(k), FIRST, total - 1, m3)?;
    }
    let all: i64 = n.lines.iter().flat_map(|l| l.hours_m3).sum();
    page.column_sum(total, sum_col, FIRST, total - 1, all)?;
    page.label(total + 1, 0, 0, "差额")?;
    let there = FIRST + row_of(n.lines.len());
    page.check(
        total + 1,
        sum_col,
        &cell(total, sum_col),
        &on(FORM, there, asked_col(n)),
        all - n.asked_m3(),
    )?;
    page.print(total + 1, sum_col.max(2), FIRST, 1)?;
    Ok(())
}
