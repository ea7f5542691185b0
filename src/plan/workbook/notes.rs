//! Sheet 9 预测说明: what the forecast stands on, how its past did, and whose word replaced a figure.

use chrono::DateTime;

use crate::domain::customer::CustomerClass;
use crate::plan::PlanError;
use crate::plan::declaration::{Declaration, ForecastNotes, OverrideLine, Skill, SkillLine};
use crate::plan::workbook::page::{Look, Page, height_of, row_of};
use crate::plan::workbook::{FIRST, heads, instant_zh, period_zh, signature_names};

const LAST: u16 = 11;
/// Columns of a lead.
const SKILL: u16 = 5;
const DAY_AHEAD: u16 = 2;
const MONTH_AHEAD: u16 = DAY_AHEAD + SKILL;

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "预测说明",
        &format!("计划期：{}", period_zh(d)),
        "误差为占用气量的比例",
        LAST,
    )?;
    let Some(background) = &d.background else {
        return page.of_earlier_program(LAST);
    };
    let notes = &background.notes;
    page.heads(
        2,
        &heads(&[
            ("用户类别", 22.0),
            ("模型", 44.0),
            ("日前\n次数", 9.0),
            ("日前\nWAPE", 10.0),
            ("日前\n偏差", 10.0),
            ("日前\n分位损失", 10.0),
            ("日前\nP10–P90命中率", 13.0),
            ("30日前\n次数", 9.0),
            ("30日前\nWAPE", 10.0),
            ("30日前\n偏差", 10.0),
            ("30日前\n分位损失", 10.0),
            ("30日前\nP10–P90命中率", 13.0),
        ]),
    )?;
    for (at, line) in notes.skills.iter().enumerate() {
        skills(page, line, FIRST + row_of(at))?;
    }
    let row = FIRST + row_of(notes.skills.len());
    page.note(
        row,
        "注：近400个气日内由系统事前登记、事后结算的预测（非事后回算）；分位损失 = 2(L10+L50+L90) ÷ (3Σ用气量)；命中率目标80%；没有结算的为“—”。",
    )?;
    let row = basis(page, d, notes, row + 2)?;
    let row = overrides(page, &notes.overrides, row + 1)?;
    page.signatures(row + 2, &signature_names(d), 3)?;
    page.print(row + 2, LAST, FIRST, 1)?;
    Ok(())
}

fn skills(page: &mut Page<'_>, line: &SkillLine, row: u32) -> Result<(), PlanError> {
    let name = match CustomerClass::from_key(&line.of) {
        Some(class) => class.name_zh(),
        None => "合计（销气量）",
    };
    page.text_left(row, 0, name)?;
    let models: Vec<&str> = line.models.iter().map(|model| model_zh(model)).collect();
    let models = models.join("、");
    page.text_left(row, 1, &models)?;
    page.sheet.set_row_height(row, height_of(&models, 44.0))?;
    skill(page, row, DAY_AHEAD, line.day_ahead)?;
    skill(page, row, MONTH_AHEAD, line.month_ahead)
}

fn skill(page: &mut Page<'_>, row: u32, from: u16, of: Option<Skill>) -> Result<(), PlanError> {
    let Some(of) = of else {
        for col in from..from + SKILL {
            page.unknown(row, col)?;
        }
        return Ok(());
    };
    page.number(row, from, of.cases as f64, Look::Whole)?;
    for (col, part) in (from + 1..).zip([of.wape, of.bias, of.pinball, of.coverage]) {
        page.number(row, col, part, Look::Percent)?;
    }
    Ok(())
}

/// The names that the console has for them.
fn model_zh(model: &str) -> &str {
    match model {
        "regression" => "回归",
        "class_profile_scaled" => "同类曲线 × 自身水平",
        "class_profile_design_flow" => "同类曲线 × 设计流量 × 达产",
        "class_profile" => "同类曲线",
        "seasonal_naive" => "季节朴素",
        "recent_mean" => "近日均值",
        "new_connection" => "新增项目",
        other => other,
    }
}

/// What the run was made from; returns the row after it.
fn basis(
    page: &mut Page<'_>,
    d: &Declaration,
    notes: &ForecastNotes,
    from: u32,
) -> Result<u32, PlanError> {
    let or_unknown = |text: Option<&str>| text.unwrap_or("—").to_owned();
    let percent = |part: f64| format!("{:.2}%", part * 100.0);
    let quality = notes.measured_part.map_or_else(
        || "—".to_owned(),
        |part| {
            format!(
                "最近{}个完整气日：计量（含表底约束）占{}，估算占{}",
                notes.quality_days,
                percent(part),
                percent(1.0 - part)
            )
        },
    );
    let issued = notes.weather_issued_at.as_deref().map(|text| {
        let at = DateTime::parse_from_rfc3339(text);
        at.map_or_else(|_| "—".to_owned(), |at| instant_zh(at.to_utc()))
    });
    let learnt_from = notes.learnt_from.map(|day| day.to_string());
    let window = format!(
        "{} 至 {}",
        or_unknown(learnt_from.as_deref()),
        or_unknown(notes.demand_through.as_deref())
    );
    let rows = [
        (
            "预测运行",
            format!(
                "{}（起报 {}）",
                d.forecast_run,
                instant_zh(d.forecast_origin_at)
            ),
        ),
        ("天气预报发布时间", or_unknown(issued.as_deref())),
        ("学习所用的用气数据", window),
        ("数据质量", quality),
        ("供销差率（损耗与自用）", percent(d.unaccounted_ratio)),
        (
            "档案版本 / 程序",
            format!("{} / {}", d.registry_version, notes.program),
        ),
    ];
    let mut row = from;
    for (name, text) in &rows {
        page.text_left(row, 0, name)?;
        page.text_across(row, 1, LAST, text)?;
        row += 1;
    }
    Ok(row)
}

/// Whose word stands in the place of a figure; returns the row after it.
fn overrides(page: &mut Page<'_>, lines: &[OverrideLine], from: u32) -> Result<u32, PlanError> {
    for (first, last, head) in [
        (0, 0, "人工调整"),
        (1, 1, "对象"),
        (2, 3, "经办人"),
        (4, 6, "时间"),
        (7, LAST, "原因"),
    ] {
        page.head_across(from, first, last, head)?;
    }
    if lines.is_empty() {
        page.text_left(from + 1, 0, "无")?;
        return Ok(from + 2);
    }
    for (row, line) in (from + 1..).zip(lines) {
        let kind = match line.kind.as_str() {
            "factor" => "其他影响因素",
            _ => "负荷曲线修正",
        };
        page.text_left(row, 0, kind)?;
        page.text_left(row, 1, &line.subject)?;
        page.text_across(row, 2, 3, &line.person)?;
        page.text_across(row, 4, 6, &instant_zh(line.at))?;
        page.text_across(row, 7, LAST, &line.reason)?;
        let height = height_of(&line.reason, 50.0).max(height_of(&line.subject, 44.0));
        page.sheet.set_row_height(row, height)?;
    }
    Ok(from + 1 + row_of(lines.len()))
}
