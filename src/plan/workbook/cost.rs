//! Sheet 10 价格测算 (内部): what the declared quantities cost, and what others would.

use crate::domain::contract::ContractComponentKind;
use crate::plan::PlanError;
use crate::plan::declaration::{Alternative, ComponentLine, ContractLine, Declaration};
use crate::plan::workbook::page::{Look, Page, cell, height_of, on, range, row_of, wan};
use crate::plan::workbook::{FIRST, SUMMARY, heads, period_zh, signature_names, summary};

const COMPONENT: u16 = 3;
const PRICE: u16 = 4;
const DECLARED: u16 = 5;
const AMOUNT: u16 = 6;
const SHARE: u16 = 7;

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "价格测算（内部）",
        &format!("计划期：{}", period_zh(d)),
        "单位：万m³、万元、元/m³",
        SHARE,
    )?;
    page.heads(
        2,
        &heads(&[
            ("序号", 6.0),
            ("合同编号", 18.0),
            ("资源方", 22.0),
            ("合同组成", 26.0),
            ("价格\n(元/m³)", 14.0),
            ("本月申报量", 14.0),
            ("金额\n(万元)", 16.0),
            ("占比%", 10.0),
        ]),
    )?;
    let lines: Vec<(usize, usize, &ContractLine, &ComponentLine)> = d
        .contracts
        .iter()
        .enumerate()
        .flat_map(|(k, line)| {
            let components = line.components.iter().enumerate();
            components.map(move |(at, component)| (k, at, line, component))
        })
        .collect();
    let total = FIRST + row_of(lines.len());
    let amount_yuan: f64 = lines.iter().map(|(.., c)| amount_yuan(c)).sum();
    for (row, (k, at, line, component)) in (FIRST..).zip(&lines) {
        page.number(row, 0, f64::from(row - FIRST + 1), Look::Whole)?;
        page.text(row, 1, line.contract.as_str())?;
        page.text_left(row, 2, &line.supplier)?;
        page.text(row, COMPONENT, component.component.name_zh())?;
        page.number(row, PRICE, component.price_yuan_per_m3, Look::Four)?;
        let there = on(
            SUMMARY,
            summary::component_at(d, *k, *at),
            summary::DECLARED,
        );
        page.formula(row, DECLARED, &there, wan(component.declared_m3), Look::Wan)?;
        let formula = format!("{}*{}", cell(row, PRICE), cell(row, DECLARED));
        let yuan = self::amount_yuan(component);
        page.formula(row, AMOUNT, &formula, yuan / 10_000.0, Look::Wan)?;
        if amount_yuan > 0.0 {
            let formula = format!("{}/{}", cell(row, AMOUNT), cell(total, AMOUNT));
            page.formula(row, SHARE, &formula, yuan / amount_yuan, Look::Percent)?;
        } else {
            page.unknown(row, SHARE)?;
        }
    }
    page.label(total, 0, PRICE, "合计")?;
    page.column_sum(total, DECLARED, FIRST, total - 1, d.total.declared_m3)?;
    let formula = format!("SUM({})", range(FIRST, AMOUNT, total - 1, AMOUNT));
    page.formula(
        total,
        AMOUNT,
        &formula,
        amount_yuan / 10_000.0,
        Look::WanTotal,
    )?;
    page.text(total, SHARE, "")?;
    page.label(total + 1, 0, PRICE, "差额（本表 − 月度汇总）")?;
    page.check(
        total + 1,
        DECLARED,
        &cell(total, DECLARED),
        &on(SUMMARY, summary::total_row(d), summary::DECLARED),
        lines.iter().map(|(.., c)| c.declared_m3).sum::<i64>() - d.total.declared_m3,
    )?;
    let row = prices(
        page,
        d,
        &lines.iter().map(|(.., c)| *c).collect::<Vec<_>>(),
        total,
    )?;
    let row = expected(page, d, row + 1)?;
    let row = alternatives(page, &d.optimum.alternatives, row + 1)?;
    page.note(
        row,
        "注：本表仅供内部使用，报送件中没有。价格取计划期各日按合同价格季节的平均价；期望费用按联合情景计算，含偏差结算与照付不议，因此与上表金额不等；合同无法满足的需求不计费用，故申报过少的方案费用可能显得较低。",
    )?;
    page.text_across(row + 1, 0, SHARE, &d.optimum.reason_zh)?;
    let height = height_of(&d.optimum.reason_zh, 126.0);
    page.sheet.set_row_height(row + 1, height)?;
    page.signatures(row + 3, &signature_names(d), 2)?;
    page.print(row + 3, SHARE, FIRST, 2)?;
    Ok(())
}

fn amount_yuan(component: &ComponentLine) -> f64 {
    component.price_yuan_per_m3 * component.declared_m3 as f64
}

/// The mean price of all, of what is within contracts, and what market gas costs above that. Returns the
/// row after it.
fn prices(
    page: &mut Page<'_>,
    d: &Declaration,
    components: &[&ComponentLine],
    total: u32,
) -> Result<u32, PlanError> {
    let is_market = |c: &&&ComponentLine| c.component == ContractComponentKind::Market;
    let market_m3: i64 = components
        .iter()
        .filter(is_market)
        .map(|c| c.declared_m3)
        .sum();
    let market_yuan: f64 = components
        .iter()
        .filter(is_market)
        .map(|c| amount_yuan(c))
        .sum();
    let all_yuan: f64 = components.iter().map(|c| amount_yuan(c)).sum();
    let within_m3 = (d.total.declared_m3 - market_m3) as f64;
    let market = |col: u16| {
        format!(
            "SUMIF({},\"{}\",{})",
            range(FIRST, COMPONENT, total - 1, COMPONENT),
            ContractComponentKind::Market.name_zh(),
            range(FIRST, col, total - 1, col)
        )
    };
    let (volume, amount) = (cell(total, DECLARED), cell(total, AMOUNT));
    let row = total + 2;
    let ratio = |yuan: f64, m3: f64| if m3 > 0.0 { yuan / m3 } else { 0.0 };
    let within = ratio(all_yuan - market_yuan, within_m3);
    let rows = [
        (
            "综合价格（元/m³）",
            format!("IF({volume}>0,{amount}/{volume},0)"),
            ratio(all_yuan, d.total.declared_m3 as f64),
        ),
        (
            "合同内综合价格（元/m³）",
            format!(
                "IF({volume}-{0}>0,({amount}-{1})/({volume}-{0}),0)",
                market(DECLARED),
                market(AMOUNT)
            ),
            within,
        ),
        (
            "市场化气量（万m³）",
            market(DECLARED),
            market_m3 as f64 / 10_000.0,
        ),
        (
            "市场化溢价（万元，市场化气量 × 与合同内综合价格之差）",
            format!(
                "{}-{}*{}",
                market(AMOUNT),
                market(DECLARED),
                cell(row + 1, AMOUNT)
            ),
            (market_yuan - market_m3 as f64 * within) / 10_000.0,
        ),
    ];
    for (at, (name, formula, value)) in rows.iter().enumerate() {
        let row = row + row_of(at);
        page.label(row, 0, DECLARED, name)?;
        page.formula(row, AMOUNT, formula, *value, Look::Wan)?;
    }
    Ok(row + 4)
}

/// Expected cost by kind; returns the row after it.
fn expected(page: &mut Page<'_>, d: &Declaration, from: u32) -> Result<u32, PlanError> {
    let o = &d.optimum;
    let rows = [
        ("期望购气费用（万元）", o.purchase_yuan),
        ("期望超提费用（万元）", o.over_take_yuan),
        ("期望欠提费用（万元）", o.under_take_yuan),
        ("期望照付不议费用（万元）", o.take_or_pay_yuan),
    ];
    let mut row = from;
    for (name, yuan) in rows {
        page.label(row, 0, DECLARED, name)?;
        page.number(row, AMOUNT, yuan / 10_000.0, Look::Wan)?;
        row += 1;
    }
    let sum: f64 = rows.iter().map(|(_, yuan)| yuan).sum();
    page.label(row, 0, DECLARED, "期望费用合计（万元）")?;
    let formula = format!("SUM({})", range(from, AMOUNT, row - 1, AMOUNT));
    page.formula(row, AMOUNT, &formula, sum / 10_000.0, Look::WanTotal)?;
    page.label(row + 1, 0, DECLARED, "申报总量所在的需求分位数")?;
    page.number(row + 1, AMOUNT, o.quantile, Look::Percent)?;
    Ok(row + 2)
}

/// What declaring something else would cost; returns the row after it.
fn alternatives(page: &mut Page<'_>, lines: &[Alternative], from: u32) -> Result<u32, PlanError> {
    for (col, head) in [
        (COMPONENT, "其他申报方案"),
        (PRICE, "申报总量"),
        (DECLARED, "期望费用(万元)"),
        (AMOUNT, "比本方案多(万元)"),
        (SHARE, "超提概率"),
    ] {
        page.head(from, col, head)?;
    }
    page.sheet.set_row_height(from, 30)?;
    for (row, line) in (from + 1..).zip(lines) {
        let name = match line.key.as_str() {
            "declared" => "本申报",
            "p50" => "按P50申报",
            "contract" => "按合同量申报",
            step => step,
        };
        page.text(row, COMPONENT, name)?;
        page.wan(row, PRICE, line.declared_m3)?;
        page.number(row, DECLARED, line.expected_yuan / 10_000.0, Look::Wan)?;
        page.number(row, AMOUNT, line.extra_yuan / 10_000.0, Look::Wan)?;
        page.number(row, SHARE, line.over_take_probability, Look::Percent)?;
    }
    Ok(from + 2 + row_of(lines.len()))
}
