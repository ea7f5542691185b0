//! Sheet 4 用气时段: slots by day type, and the 24 hours by day type.

use crate::domain::slot::SlotLevel;
use crate::plan::PlanError;
use crate::plan::declaration::{Declaration, SlotLine};
use crate::plan::workbook::page::{Look, Page, cell, col_of, on, range, row_of, wan};
use crate::plan::workbook::{FIRST, SUMMARY, heads, period_zh, signature_names, summary};

const TYPES: [&str; 3] = ["工作日", "周末", "节假日"];
const SUM: u16 = 12;
const SHARE: u16 = 13;
const DECLARED: u16 = 14;

/// Column of the volume of a day type in the first block.
fn volume_col(of_type: usize) -> u16 {
    3 + 3 * col_of(of_type)
}

fn level_zh(level: SlotLevel) -> &'static str {
    match level {
        SlotLevel::Peak => "峰",
        SlotLevel::Flat => "平",
        SlotLevel::OffPeak => "谷",
    }
}

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "用气时段",
        &format!("计划期：{}", period_zh(d)),
        "单位：万m³",
        DECLARED,
    )?;
    page.heads(
        2,
        &heads(&[
            ("时段", 12.0),
            ("起止(时)", 10.0),
            ("峰/平/谷", 9.0),
            ("工作日\n气量", 13.0),
            ("工作日\n占比%", 9.0),
            ("工作日\n峰值小时", 9.0),
            ("周末\n气量", 13.0),
            ("周末\n占比%", 9.0),
            ("周末\n峰值小时", 9.0),
            ("节假日\n气量", 13.0),
            ("节假日\n占比%", 9.0),
            ("节假日\n峰值小时", 9.0),
            ("合计", 13.0),
            ("占比%", 9.0),
            ("本月申报量\n(按时段分摊)", 14.0),
        ]),
    )?;
    let slots = &d.slots.slots;
    let total = FIRST + row_of(slots.len());
    let hours_head = total + 6;
    let hours_first = hours_head + 1;
    let hours_total = hours_first + row_of(d.slots.hours.len());
    let of_type = |t: usize| -> i64 {
        slots
            .iter()
            .map(|s| s.p50_m3.get(t).copied().unwrap_or(0))
            .sum()
    };
    for (at, slot) in slots.iter().enumerate() {
        slot_row(page, d, slot, FIRST + row_of(at), total)?;
    }
    page.label(total, 0, 2, "合计")?;
    page.label(total + 1, 0, 2, "天数")?;
    page.label(total + 2, 0, 2, "峰谷比（最大小时÷最小小时）")?;
    for (t, days) in d.slots.day_counts.iter().enumerate() {
        let col = volume_col(t);
        page.column_sum(total, col, FIRST, total - 1, of_type(t))?;
        page.column_share(total, col, total, of_type(t))?;
        page.text(total, col + 2, "")?;
        page.number(total + 1, col, f64::from(*days), Look::Whole)?;
        peak_ratio(page, d, total + 2, t, hours_first, hours_total - 1)?;
    }
    let p50: i64 = slots.iter().flat_map(|s| s.p50_m3).sum();
    page.column_sum(total, SUM, FIRST, total - 1, p50)?;
    page.column_share(total, SUM, total, p50)?;
    let declared: i64 = slots.iter().map(|s| s.declared_m3).sum();
    page.column_sum(total, DECLARED, FIRST, total - 1, declared)?;
    page.label(total + 3, 0, 2, "差额（本表 − 月度汇总）")?;
    let there = summary::total_row(d);
    page.check(
        total + 3,
        SUM,
        &cell(total, SUM),
        &on(SUMMARY, there, summary::P50),
        p50 - d.total.forecast.p50_m3,
    )?;
    page.check(
        total + 3,
        DECLARED,
        &cell(total, DECLARED),
        &on(SUMMARY, there, summary::DECLARED),
        declared - d.total.declared_m3,
    )?;
    hours(page, d, hours_head)?;
    page.check(
        hours_total + 1,
        SUM,
        &cell(hours_total, SUM),
        &cell(total, SUM),
        d.slots.hours.iter().flat_map(|h| h.p50_m3).sum::<i64>() - p50,
    )?;
    page.note(
        hours_total + 2,
        "注：气日各小时按气日起始日的日类型归类；小时以起点标注，自气日起始时刻排列。",
    )?;
    page.signatures(hours_total + 4, &signature_names(d), 4)?;
    page.print(hours_total + 4, DECLARED, FIRST, 1)?;
    Ok(())
}

impl Page<'_> {
    /// Part of a column's total, in the column beside it.
    fn column_share(
        &mut self,
        row: u32,
        col: u16,
        total_row: u32,
        total_m3: i64,
    ) -> Result<(), PlanError> {
        self.part(row, col, total_row, total_m3, total_m3)
    }

    fn part(
        &mut self,
        row: u32,
        col: u16,
        total_row: u32,
        m3: i64,
        total_m3: i64,
    ) -> Result<(), PlanError> {
        if total_m3 <= 0 {
            return Ok(self.unknown(row, col + 1)?);
        }
        let formula = format!("{}/{}", cell(row, col), cell(total_row, col));
        let value = m3 as f64 / total_m3 as f64;
        Ok(self.formula(row, col + 1, &formula, value, Look::Percent)?)
    }
}

fn slot_row(
    page: &mut Page<'_>,
    d: &Declaration,
    slot: &SlotLine,
    row: u32,
    total: u32,
) -> Result<(), PlanError> {
    page.text(row, 0, &slot.name)?;
    page.text(
        row,
        1,
        &format!("{:02}–{:02}", slot.from_hour, slot.to_hour),
    )?;
    page.text(row, 2, level_zh(slot.level))?;
    for (t, (m3, peak)) in slot.p50_m3.iter().zip(slot.peak_hour).enumerate() {
        let col = volume_col(t);
        let of_type: i64 = d.slots.slots.iter().filter_map(|s| s.p50_m3.get(t)).sum();
        page.wan(row, col, *m3)?;
        page.part(row, col, total, *m3, of_type)?;
        match peak {
            Some(hour) => page.text(row, col + 2, &format!("{hour:02}:00"))?,
            None => page.unknown(row, col + 2)?,
        }
    }
    let cells: Vec<String> = (0..TYPES.len()).map(|t| cell(row, volume_col(t))).collect();
    let sum: i64 = slot.p50_m3.iter().sum();
    page.total(row, SUM, &cells.join("+"), sum)?;
    page.part(row, SUM, total, sum, d.total.forecast.p50_m3)?;
    page.wan(row, DECLARED, slot.declared_m3)?;
    Ok(())
}

fn peak_ratio(
    page: &mut Page<'_>,
    d: &Declaration,
    row: u32,
    of_type: usize,
    from_row: u32,
    to_row: u32,
) -> Result<(), PlanError> {
    let col = volume_col(of_type);
    let values: Vec<i64> = d
        .slots
        .hours
        .iter()
        .filter_map(|h| h.p50_m3.get(of_type))
        .copied()
        .collect();
    let (least, most) = (
        values.iter().min().copied().unwrap_or(0),
        values.iter().max().copied().unwrap_or(0),
    );
    if least <= 0 {
        return Ok(page.unknown(row, col)?);
    }
    let cells = range(from_row, col, to_row, col);
    let formula = format!("MAX({cells})/MIN({cells})");
    Ok(page.formula(row, col, &formula, most as f64 / least as f64, Look::Two)?)
}

/// The second block; each day type stands in the column it has in the first.
fn hours(page: &mut Page<'_>, d: &Declaration, head: u32) -> Result<(), PlanError> {
    let first = head + 1;
    let total = first + row_of(d.slots.hours.len());
    page.label(head, 0, 2, "小时")?;
    page.head(head, SUM, "合计")?;
    page.head(head, SHARE, "占比%")?;
    for (t, name) in TYPES.iter().enumerate() {
        page.head(head, volume_col(t), &format!("{name}\n气量"))?;
        page.head(head, volume_col(t) + 1, &format!("{name}\n占比%"))?;
        page.head(head, volume_col(t) + 2, &format!("{name}\n日均(m³/h)"))?;
    }
    page.sheet.set_row_height(head, 36)?;
    let of_type = |t: usize| -> i64 { d.slots.hours.iter().filter_map(|h| h.p50_m3.get(t)).sum() };
    for (at, line) in d.slots.hours.iter().enumerate() {
        let row = head + 1 + row_of(at);
        let next = (line.civil_hour + 1) % 24;
        page.label(
            row,
            0,
            2,
            &format!("{:02}:00–{next:02}:00", line.civil_hour),
        )?;
        for (t, (m3, days)) in line.p50_m3.iter().zip(d.slots.day_counts).enumerate() {
            let col = volume_col(t);
            page.wan(row, col, *m3)?;
            page.part(row, col, total, *m3, of_type(t))?;
            if days == 0 {
                page.unknown(row, col + 2)?;
            } else {
                let mean = *m3 as f64 / f64::from(days);
                let formula = format!("{}*10000/{days}", cell(row, col));
                page.formula(row, col + 2, &formula, mean, Look::Whole)?;
            }
        }
        let cells: Vec<String> = (0..TYPES.len()).map(|t| cell(row, volume_col(t))).collect();
        let sum = line.p50_m3.iter().sum();
        page.total(row, SUM, &cells.join("+"), sum)?;
        page.part(row, SUM, total, sum, d.total.forecast.p50_m3)?;
    }
    page.label(total, 0, 2, "合计")?;
    for t in 0..TYPES.len() {
        page.column_sum(total, volume_col(t), first, total - 1, of_type(t))?;
    }
    let m3: i64 = d.slots.hours.iter().flat_map(|h| h.p50_m3).sum();
    page.formula(
        total,
        SUM,
        &format!("SUM({})", range(first, SUM, total - 1, SUM)),
        wan(m3),
        Look::WanTotal,
    )?;
    page.label(total + 1, 0, 2, "差额（24小时 − 时段）")?;
    Ok(())
}
