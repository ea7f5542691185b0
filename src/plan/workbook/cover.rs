//! Sheet 0 封面.

use crate::domain::contract::ContractComponentKind;
use crate::domain::customer::CustomerClass;
use crate::plan::PlanError;
use crate::plan::declaration::Declaration;
use crate::plan::workbook::page::{Look, Page, height_of, on, wan};
use crate::plan::workbook::{
    STRUCTURE, SUMMARY, instant_zh, period_zh, prepared_zh, reason_zh, structure, summary,
    version_zh,
};

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading("月度用气计划申报表", &d.company, "单位：万m³", 3)?;
    for (col, width) in [(0, 26.0), (1, 44.0), (2, 26.0), (3, 44.0)] {
        page.sheet.set_column_width(col, width)?;
    }
    let mut row = 3;
    let mut pair = |page: &mut Page<'_>, left: (&str, &str), right: (&str, &str)| {
        page.head(row, 0, left.0)?;
        page.text_left(row, 1, left.1)?;
        page.head(row, 2, right.0)?;
        page.text_left(row, 3, right.1)?;
        page.sheet
            .set_row_height(row, height_of(right.1, 44.0).max(24.0))?;
        row += 1;
        Ok::<(), PlanError>(())
    };
    let submission = match (d.sent_at, d.submission_no) {
        (Some(_), n) => format!("第{n}次上报"),
        (None, 0 | 1) => "未上报".to_owned(),
        (None, n) => format!("已上报{}次", n - 1),
    };
    let version = version_zh(d.version, d.sent_at.is_some(), d.made_at);
    let version = format!("{version} / {submission}");
    let suppliers = d.suppliers.join("、");
    let made_at = instant_zh(d.made_at);
    let due_on = d.due_on.format("%Y年%-m月%-d日").to_string();
    pair(page, ("申报单号", &d.decl_no), ("申报类型", "月"))?;
    pair(
        page,
        ("申报单位", &d.company),
        ("供气方(资源方)", &suppliers),
    )?;
    pair(
        page,
        ("计划期", &period_zh(d)),
        ("版本 / 上报次数", &version),
    )?;
    pair(
        page,
        (
            "变更原因",
            d.change_reason.as_deref().map_or("—", reason_zh),
        ),
        ("最早提交期限", &due_on),
    )?;
    pair(page, ("编制时间", &made_at), ("联系电话", &d.phone))?;
    row = figures(page, d, row)? + 1;
    for (role, name) in [
        ("编制人", prepared_zh(&d.prepared_by)),
        ("审核人", ""),
        ("批准人", ""),
    ] {
        page.head(row, 0, role)?;
        page.text_left(row, 1, name)?;
        page.head(row, 2, "签字 / 日期")?;
        page.text_left(row, 3, "")?;
        page.sheet.set_row_height(row, 30)?;
        row += 1;
    }
    page.note(row, "（公章）")?;
    page.print(row, 3, 0, 0)?;
    Ok(())
}

/// The figures, all of them links; returns the row after them.
fn figures(page: &mut Page<'_>, d: &Declaration, mut row: u32) -> Result<u32, PlanError> {
    let total_row = summary::total_row(d);
    let declared = summary::DECLARED;
    page.head(row, 0, "申报总量")?;
    page.formula(
        row,
        1,
        &on(SUMMARY, total_row, declared),
        wan(d.total.declared_m3),
        Look::WanTotal,
    )?;
    page.head(row, 2, "预测区间 P10")?;
    page.formula(
        row,
        3,
        &on(SUMMARY, total_row, summary::P10),
        wan(d.total.forecast.p10_m3),
        Look::Wan,
    )?;
    row += 1;
    let residential: i64 = d
        .contracts
        .iter()
        .flat_map(|c| &c.components)
        .filter(|c| c.component == ContractComponentKind::Residential)
        .map(|c| c.declared_m3)
        .sum();
    page.head(row, 0, "其中：居民气量")?;
    page.formula(
        row,
        1,
        &summary::residential_sum(d),
        wan(residential),
        Look::Wan,
    )?;
    page.head(row, 2, "预测区间 P90")?;
    page.formula(
        row,
        3,
        &on(SUMMARY, total_row, summary::P90),
        wan(d.total.forecast.p90_m3),
        Look::Wan,
    )?;
    row += 1;
    let heating: Vec<(u32, i64)> = d
        .structure
        .iter()
        .enumerate()
        .filter(|(_, line)| line.class.is_heating())
        .map(|(at, line)| (structure::row_of_class(at), line.declared_m3))
        .collect();
    let links: Vec<String> = heating
        .iter()
        .map(|(row, _)| on(STRUCTURE, *row, structure::DECLARED))
        .collect();
    page.head(row, 0, "其中：采暖用气")?;
    page.formula(
        row,
        1,
        &links.join("+"),
        wan(heating.iter().map(|h| h.1).sum()),
        Look::Wan,
    )?;
    page.head(row, 2, "本月预测 P50")?;
    page.formula(
        row,
        3,
        &on(SUMMARY, total_row, summary::P50),
        wan(d.total.forecast.p50_m3),
        Look::Wan,
    )?;
    row += 1;
    page.head(row, 0, "差额（总量 − 用户结构）")?;
    page.check(
        row,
        1,
        &on(SUMMARY, total_row, declared),
        &on(STRUCTURE, structure::total_row(), structure::DECLARED),
        d.total.declared_m3 - d.structure.iter().map(|l| l.declared_m3).sum::<i64>(),
    )?;
    page.head(row, 2, "含损耗与自用")?;
    let loss_at = d
        .structure
        .iter()
        .position(|l| l.class == CustomerClass::Unaccounted);
    if let Some(line) = loss_at.and_then(|at| d.structure.get(at)) {
        page.formula(
            row,
            3,
            &on(STRUCTURE, structure::loss_row(), structure::DECLARED),
            wan(line.declared_m3),
            Look::Wan,
        )?;
    }
    Ok(row + 1)
}
