//! Sheet 6 新增与项目: the four parts the month consists of, and who or what is behind each.

use crate::domain::factor::FactorAmount;
use crate::domain::id::ZoneId;
use crate::plan::PlanError;
use crate::plan::declaration::{
    Declaration, FactorLine, PartTables, PartVolumes, PlannedLine, ProjectLine,
};
use crate::plan::workbook::page::{Look, Page, cell, col_of, on, range, row_of};
use crate::plan::workbook::{FIRST, SUMMARY, heads, period_zh, signature_names, summary};

/// First of the four parts in the first table; the total comes after them.
const PARTS: u16 = 1;
const TOTAL: u16 = 5;
/// Volume of the month in the tables of plans, projects and factors.
const MONTH: u16 = 13;
const LAST: u16 = 14;

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "新增与项目（气量构成）",
        &format!("计划期：{}", period_zh(d)),
        "单位：万m³",
        LAST,
    )?;
    let Some(tables) = &d.parts else {
        page.note(
            FIRST,
            "本版本所依据的预测由较早版本的程序生成，没有四部分构成；重新编制即有。",
        )?;
        page.print(FIRST, LAST, 0, 0)?;
        return Ok(());
    };
    let total = composition(page, d, tables)?;
    let planned = plans(page, tables, total + 5, total)?;
    let new = projects(page, tables, planned + 3, total)?;
    let other = factors(page, tables, new + 3, total)?;
    page.note(
        other + 2,
        "注：计划用气客户按其历史偏差修正；新增 = 达产系数 × 开口气量 × 爬坡 × 概率；其他影响因素可为负；损耗与自用不分部分。",
    )?;
    page.signatures(other + 4, &signature_names(d), 4)?;
    page.print(other + 4, LAST, FIRST, 1)?;
    Ok(())
}

fn volumes(page: &mut Page<'_>, row: u32, parts: PartVolumes) -> Result<(), PlanError> {
    for (at, m3) in parts.cells().into_iter().enumerate() {
        page.wan(row, PARTS + col_of(at), m3)?;
    }
    let formula = format!("SUM({})", range(row, PARTS, row, TOTAL - 1));
    page.total(row, TOTAL, &formula, parts.total_m3())?;
    Ok(())
}

/// Classes × parts, P50, and the declared quantity in the same parts. Returns the row of the total.
fn composition(
    page: &mut Page<'_>,
    d: &Declaration,
    tables: &PartTables,
) -> Result<u32, PlanError> {
    page.heads(
        2,
        &heads(&[
            ("用户类别", 22.0),
            ("计划用气客户", 13.0),
            ("非计划用气客户", 13.0),
            ("新增/置换客户", 13.0),
            ("其他影响因素", 13.0),
            ("合计", 13.0),
        ]),
    )?;
    for (col, width) in (6..).zip([12.0, 12.0, 11.0, 12.0, 11.0, 10.0, 9.0, 13.0, 14.0]) {
        page.sheet.set_column_width(col, width)?;
    }
    for (at, line) in tables.classes.iter().enumerate() {
        let row = FIRST + row_of(at);
        page.text_left(row, 0, line.class.name_zh())?;
        volumes(page, row, line.parts)?;
    }
    let sold_row = FIRST + row_of(tables.classes.len());
    let (sold, loss) = (tables.sold(), tables.loss_m3);
    page.label(sold_row, 0, 0, "销气量小计")?;
    for (at, m3) in sold.cells().into_iter().enumerate() {
        let col = PARTS + col_of(at);
        page.column_sum(sold_row, col, FIRST, sold_row - 1, m3)?;
    }
    page.column_sum(sold_row, TOTAL, FIRST, sold_row - 1, sold.total_m3())?;
    let loss_row = sold_row + 1;
    page.text_left(loss_row, 0, "损耗与自用")?;
    for col in PARTS..TOTAL {
        page.unknown(loss_row, col)?;
    }
    page.wan(loss_row, TOTAL, loss)?;
    let row = sold_row + 2;
    page.label(row, 0, 0, "合计（购气量）")?;
    for (at, m3) in sold.cells().into_iter().enumerate() {
        let col = PARTS + col_of(at);
        page.total(row, col, &cell(sold_row, col), m3)?;
    }
    let formula = format!("{}+{}", cell(sold_row, TOTAL), cell(loss_row, TOTAL));
    page.total(row, TOTAL, &formula, sold.total_m3() + loss)?;
    let there = summary::total_row(d);
    page.label(row + 1, 0, TOTAL - 1, "差额（本表 − 月度汇总）")?;
    page.check(
        row + 1,
        TOTAL,
        &cell(row, TOTAL),
        &on(SUMMARY, there, summary::P50),
        sold.total_m3() + loss - d.total.forecast.p50_m3,
    )?;
    declared(page, d, tables, row + 2)?;
    Ok(row)
}

/// The declared quantity in the same parts; its loss stands in a column of its own.
fn declared(
    page: &mut Page<'_>,
    d: &Declaration,
    tables: &PartTables,
    row: u32,
) -> Result<(), PlanError> {
    let parts = tables.declared;
    page.label(row, 0, 0, "本月申报量（含损耗）")?;
    for (at, m3) in parts.cells().into_iter().enumerate() {
        page.wan(row, PARTS + col_of(at), m3)?;
    }
    page.text(row, TOTAL + 1, "其中损耗")?;
    page.wan(row, TOTAL + 2, tables.declared_loss_m3)?;
    let formula = format!(
        "{}+{}",
        (PARTS..TOTAL)
            .map(|col| cell(row, col))
            .collect::<Vec<_>>()
            .join("+"),
        cell(row, TOTAL + 2)
    );
    let total_m3 = parts.total_m3() + tables.declared_loss_m3;
    page.total(row, TOTAL, &formula, total_m3)?;
    page.label(row + 1, 0, TOTAL - 1, "申报差额（本表 − 月度汇总）")?;
    page.check(
        row + 1,
        TOTAL,
        &cell(row, TOTAL),
        &on(SUMMARY, summary::total_row(d), summary::DECLARED),
        total_m3 - d.total.declared_m3,
    )?;
    Ok(())
}

fn head_row(page: &mut Page<'_>, row: u32, texts: &[(u16, &str)]) -> Result<(), PlanError> {
    for (col, text) in texts {
        page.head(row, *col, text)?;
    }
    page.sheet.set_row_height(row, 30)?;
    Ok(())
}

/// The last rows of a table: its total, and what it differs by from the part it explains.
fn closing(
    page: &mut Page<'_>,
    first: u32,
    row: u32,
    name: &str,
    m3: i64,
    part: (u32, u16, i64),
) -> Result<u32, PlanError> {
    page.label(row, 0, MONTH - 1, &format!("{name}合计"))?;
    if row > first {
        page.column_sum(row, MONTH, first, row - 1, m3)?;
    } else {
        page.number(row, MONTH, 0.0, Look::WanTotal)?;
    }
    page.label(
        row + 1,
        0,
        MONTH - 1,
        &format!("{name}差额（本表 − 气量构成）"),
    )?;
    let (part_row, part_col, part_m3) = part;
    page.check(
        row + 1,
        MONTH,
        &cell(row, MONTH),
        &cell(part_row, part_col),
        m3 - part_m3,
    )?;
    Ok(row + 1)
}

/// 计划用气客户. Returns its last row.
fn plans(page: &mut Page<'_>, tables: &PartTables, row: u32, total: u32) -> Result<u32, PlanError> {
    head_row(
        page,
        row,
        &[
            (0, "计划用气客户（户号）"),
            (1, "客户名称"),
            (2, "用户类别"),
            (3, "客户经理"),
            (4, "有计划的天数"),
            (5, "历史偏差%"),
            (MONTH, "本月预计量"),
        ],
    )?;
    for (at, line) in tables.plans.iter().enumerate() {
        plan_row(page, line, row + 1 + row_of(at))?;
    }
    let end = row + 1 + row_of(tables.plans.len());
    closing(
        page,
        row + 1,
        end,
        "计划用气客户",
        tables.plans.iter().map(|line| line.m3).sum(),
        (total, PARTS, tables.sold().planned_m3),
    )
}

fn plan_row(page: &mut Page<'_>, line: &PlannedLine, row: u32) -> Result<(), PlanError> {
    page.text(row, 0, line.customer.as_str())?;
    page.text_left(row, 1, &line.name)?;
    page.text(row, 2, line.class.name_zh())?;
    page.text(row, 3, &line.account_manager)?;
    page.number(row, 4, f64::from(line.days), Look::Whole)?;
    page.number(row, 5, line.plan_bias, Look::Percent)?;
    page.wan(row, MONTH, line.m3)?;
    Ok(())
}

/// 新增/置换客户: the eight fields of a project, and what it adds. Returns its last row.
fn projects(
    page: &mut Page<'_>,
    tables: &PartTables,
    row: u32,
    total: u32,
) -> Result<u32, PlanError> {
    head_row(
        page,
        row,
        &[
            (0, "项目名称"),
            (1, "用户类别"),
            (2, "联系人"),
            (3, "落地时间"),
            (4, "落地位置"),
            (5, "建设进度"),
            (6, "拟投产时间"),
            (7, "是否需要天然气"),
            (8, "政府包联领导"),
            (9, "设计小时量\n(m³/h)"),
            (10, "开口气量\n(m³/d)"),
            (11, "达产系数"),
            (12, "概率"),
            (MONTH, "本月预计量"),
            (LAST, "三个月后达产量\n(m³/d)"),
        ],
    )?;
    for (at, line) in tables.projects.iter().enumerate() {
        project_row(page, line, row + 1 + row_of(at))?;
    }
    let mut end = row + 1 + row_of(tables.projects.len());
    if tables.unlisted_m3 != 0 {
        page.text_left(end, 0, "项目表已不再列出的项目")?;
        page.wan(end, MONTH, tables.unlisted_m3)?;
        end += 1;
    }
    let listed: i64 = tables.projects.iter().map(|line| line.m3).sum();
    closing(
        page,
        row + 1,
        end,
        "新增/置换客户",
        listed + tables.unlisted_m3,
        (total, PARTS + 2, tables.sold().new_m3),
    )
}

fn project_row(page: &mut Page<'_>, line: &ProjectLine, row: u32) -> Result<(), PlanError> {
    page.text_left(row, 0, &format!("{} {}", line.id, line.name))?;
    page.text(row, 1, line.class.name_zh())?;
    page.text(row, 2, &line.contact)?;
    match line.settled_on {
        Some(day) => page.text(row, 3, &day.to_string())?,
        None => page.unknown(row, 3)?,
    }
    page.text_left(row, 4, &line.location)?;
    page.text(row, 5, line.stage.name_zh())?;
    page.text(row, 6, &line.connected_on.to_string())?;
    // A project that needs no gas is in no pipeline.
    page.text(row, 7, "是")?;
    page.text(row, 8, &line.sponsor)?;
    match line.design_flow_m3h {
        Some(flow) => page.number(row, 9, flow, Look::Whole)?,
        None => page.unknown(row, 9)?,
    }
    page.number(row, 10, line.connected_m3_per_day, Look::Whole)?;
    page.number(row, 11, line.coefficient, Look::Two)?;
    page.number(row, 12, line.probability, Look::Percent)?;
    page.wan(row, MONTH, line.m3)?;
    page.number(row, LAST, line.later_m3_per_day, Look::Whole)?;
    Ok(())
}

/// 其他影响因素: who, why and until when. Returns its last row.
fn factors(
    page: &mut Page<'_>,
    tables: &PartTables,
    row: u32,
    total: u32,
) -> Result<u32, PlanError> {
    head_row(
        page,
        row,
        &[
            (0, "其他影响因素"),
            (1, "类别"),
            (2, "范围"),
            (3, "起"),
            (4, "止"),
            (5, "幅度"),
            (6, "提出人"),
            (7, "有效期至"),
            (8, "原因"),
            (MONTH, "本月影响量"),
        ],
    )?;
    for (at, line) in tables.factors.iter().enumerate() {
        factor_row(page, line, row + 1 + row_of(at))?;
    }
    let changes = row + 1 + row_of(tables.factors.len());
    page.text_left(changes, 0, "生产变更及尾差")?;
    page.wan(changes, MONTH, tables.changes_m3)?;
    let named: i64 = tables.factors.iter().map(|line| line.m3).sum();
    closing(
        page,
        row + 1,
        changes + 1,
        "其他影响因素",
        named + tables.changes_m3,
        (total, PARTS + 3, tables.sold().other_m3),
    )
}

fn factor_row(page: &mut Page<'_>, line: &FactorLine, row: u32) -> Result<(), PlanError> {
    let scope: Vec<&str> = line
        .zone
        .iter()
        .map(ZoneId::as_str)
        .chain(line.class.iter().map(|class| class.name_zh()))
        .collect();
    let amount = match line.amount {
        FactorAmount::Percent(percent) => format!("{percent:+}%"),
        FactorAmount::M3PerDay(m3) => format!("{m3:+.0} m³/d"),
    };
    page.text(row, 0, &line.id)?;
    page.text(row, 1, line.kind.name_zh())?;
    page.text(
        row,
        2,
        if scope.is_empty() {
            "全部".to_owned()
        } else {
            scope.join("/")
        }
        .as_str(),
    )?;
    page.text(row, 3, &line.from_on.to_string())?;
    page.text(row, 4, &line.to_on.to_string())?;
    page.text(row, 5, &amount)?;
    page.text(row, 6, &line.person)?;
    page.text(row, 7, &line.expires_on.to_string())?;
    page.text_across(row, 8, MONTH - 1, &line.reason)?;
    page.wan(row, MONTH, line.m3)?;
    Ok(())
}
