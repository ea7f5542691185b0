//! Sheet 11 审签与版本: every version of the declaration with the hash of its content.

use crate::plan::PlanError;
use crate::plan::declaration::{Declaration, VersionLine};
use crate::plan::workbook::page::{Page, height_of, row_of};
use crate::plan::workbook::{FIRST, heads, instant_zh, period_zh, prepared_zh, reason_zh};

const LAST: u16 = 6;

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "审签与版本",
        &format!("申报单号：{}　计划期：{}", d.decl_no, period_zh(d)),
        "单位：万m³",
        LAST,
    )?;
    let Some(background) = &d.background else {
        return page.of_earlier_program(LAST);
    };
    page.heads(
        2,
        &heads(&[
            ("版本", 8.0),
            ("编制时间", 22.0),
            ("编制人", 14.0),
            ("原因", 36.0),
            ("上报时间", 22.0),
            ("申报总量", 14.0),
            ("内容哈希（SHA-256）", 70.0),
        ]),
    )?;
    let why = d.change_reason.as_deref().unwrap_or_default();
    let this = VersionLine::of(d, d.made_at, [&d.prepared_by, why])?;
    let lines = background.versions.iter().chain([&this]);
    for (row, line) in (FIRST..).zip(lines) {
        version(page, line, row)?;
    }
    let row = FIRST + row_of(background.versions.len()) + 1;
    page.note(
        row,
        "注：末行为本版本；自动编制的草稿逐次替换，只留最后一份。内容哈希与各版本工作簿隐藏页 _meta 中的 content_sha256 相同。审核与批准系统没有登记，请手工填写。",
    )?;
    for (col, head) in [(0, "环节"), (1, "姓名"), (2, "日期"), (3, "意见与签字")] {
        page.head(row + 2, col, head)?;
    }
    for (row, step) in (row + 3..).zip(["编制", "审核", "批准"]) {
        page.text(row, 0, step)?;
        let name = if step == "编制" {
            prepared_zh(&d.prepared_by)
        } else {
            ""
        };
        for (col, text) in [(1, name), (2, ""), (3, "")] {
            page.text(row, col, text)?;
        }
        page.sheet.set_row_height(row, 26)?;
    }
    page.print(row + 5, LAST, FIRST, 1)?;
    Ok(())
}

fn version(page: &mut Page<'_>, line: &VersionLine, row: u32) -> Result<(), PlanError> {
    page.text(row, 0, &format!("V{}", line.version))?;
    page.text(row, 1, &instant_zh(line.at))?;
    page.text(row, 2, prepared_zh(&line.person))?;
    let reason = reason_zh(&line.reason);
    page.text_left(row, 3, reason)?;
    let sent = line.sent_at.map_or_else(|| "未上报".to_owned(), instant_zh);
    page.text(row, 4, &sent)?;
    page.wan(row, 5, line.declared_m3)?;
    page.text(row, 6, &line.sha256)?;
    page.sheet.set_row_height(row, height_of(reason, 36.0))?;
    Ok(())
}
