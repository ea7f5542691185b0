//! Sheet 8 保供与储气: the month's extremes against contracts, storage and what may be interrupted.

use crate::plan::PlanError;
use crate::plan::declaration::{Declaration, Security};
use crate::plan::workbook::page::{Look, Page, cell, wan};
use crate::plan::workbook::{FIRST, heads, period_zh, signature_names};

/// Storage that a city-gas company owes, part of its annual use (2018 opinion on storage; domain.md §2.5).
const STORAGE_DUTY: f64 = 0.05;
/// Part of last year's peak day that must be interruptible (domain.md §2.5).
const INTERRUPTIBLE_DUTY: f64 = 0.15;

const VALUE: u16 = 1;
const UNIT: u16 = 2;
const WORDS: u16 = 3;

pub(super) fn write(page: &mut Page<'_>, d: &Declaration) -> Result<(), PlanError> {
    page.heading(
        "保供与储气",
        &format!("计划期：{}", period_zh(d)),
        "单位：见表",
        WORDS,
    )?;
    let Some(background) = &d.background else {
        return page.of_earlier_program(WORDS);
    };
    page.heads(
        2,
        &heads(&[
            ("项目", 34.0),
            ("数值", 18.0),
            ("单位", 12.0),
            ("说明", 76.0),
        ]),
    )?;
    let mut rows = Rows { page, row: FIRST };
    let s = &background.security;
    let gap = demand(&mut rows, s)?;
    storage(&mut rows, s, gap)?;
    interruptible(&mut rows, s)?;
    let after = rows.row;
    page.note(
        after,
        "注：高日P90、P99取各情景中最大的一日，不限于某一日期；标“手工填写”的数系统没有，填写后有关各行自动算出。比例可按本地规定修改。",
    )?;
    page.signatures(after + 2, &signature_names(d), 1)?;
    page.print(after + 2, WORDS, FIRST, 1)?;
    Ok(())
}

/// Rows one after the other.
struct Rows<'p, 'a> {
    page: &'p mut Page<'a>,
    row: u32,
}

impl Rows<'_, '_> {
    /// Name, unit and words of the next row, whose value is to be written; returns the row.
    fn next(&mut self, name: &str, unit: &str, words: &str) -> Result<u32, PlanError> {
        let row = self.row;
        self.page.text_left(row, 0, name)?;
        self.page.text(row, UNIT, unit)?;
        self.page.text_left(row, WORDS, words)?;
        self.row += 1;
        Ok(row)
    }

    fn m3(&mut self, name: &str, m3: Option<i64>, words: &str) -> Result<u32, PlanError> {
        let row = self.next(name, "万m³", words)?;
        self.page.wan_or_unknown(row, VALUE, m3)?;
        Ok(row)
    }

    fn by_hand(&mut self, name: &str, unit: &str, words: &str) -> Result<u32, PlanError> {
        let row = self.next(name, unit, &format!("手工填写。{words}"))?;
        self.page.text(row, VALUE, "")?;
        Ok(row)
    }
}

/// Demand and contracts; the row of the gap, if it is known.
fn demand(rows: &mut Rows<'_, '_>, s: &Security) -> Result<Option<u32>, PlanError> {
    rows.m3("本月需求 P50", Some(s.month_p50_m3), "购气量口径，含损耗")?;
    rows.m3("本月需求 P90", Some(s.month_p90_m3), "联合情景")?;
    rows.m3("本月需求 P99", Some(s.month_p99_m3), "联合情景")?;
    let day = s
        .peak_day
        .map_or_else(String::new, |day| format!("最可能为{day}"));
    rows.m3("高日需求 P50", Some(s.peak_p50_m3), &day)?;
    let peak = rows.m3("高日需求 P90", Some(s.peak_p90_m3), "各情景最大日的分位数")?;
    rows.m3("高日需求 P99", Some(s.peak_p99_m3), "各情景最大日的分位数")?;
    let most = rows.m3(
        "合同内日最大可提取量",
        s.take_day_max_m3,
        "各合同日最大提取量与最大瞬时流量折算日量的较小者之和",
    )?;
    let gap = rows.next("高日P90缺口", "万m³", "高日P90 − 合同内日最大可提取量")?;
    let part = rows.next("缺口占高日需求", "%", "对照本地应急预案分级")?;
    rows.by_hand("应急响应级别", "级", "按本地应急预案的缺口比例确定")?;
    let Some(most_m3) = s.take_day_max_m3 else {
        rows.page.unknown(gap, VALUE)?;
        rows.page.unknown(part, VALUE)?;
        return Ok(None);
    };
    let gap_m3 = (s.peak_p90_m3 - most_m3).max(0);
    let formula = format!("MAX(0,{}-{})", cell(peak, VALUE), cell(most, VALUE));
    rows.page
        .formula(gap, VALUE, &formula, wan(gap_m3), Look::Gap)?;
    let formula = format!("{}/{}", cell(gap, VALUE), cell(peak, VALUE));
    let ratio = gap_m3 as f64 / s.peak_p90_m3.max(1) as f64;
    rows.page
        .formula(part, VALUE, &formula, ratio, Look::Percent)?;
    Ok(Some(gap))
}

fn storage(rows: &mut Rows<'_, '_>, s: &Security, gap: Option<u32>) -> Result<(), PlanError> {
    let known = format!("近365个气日中已知{}日", s.year.days_known);
    let year = rows.m3("近一年购气量", s.year.bought_m3, &known)?;
    let duty = rows.next(
        "储气义务比例",
        "%",
        "城燃企业不低于年用气量的5%（2018年意见）",
    )?;
    rows.page.number(duty, VALUE, STORAGE_DUTY, Look::Percent)?;
    let owed = rows.next("储气义务", "万m³", "近一年购气量 × 储气义务比例")?;
    let held = rows.by_hand(
        "自有及租赁储气能力",
        "万m³",
        "LNG储罐、地下储气库租赁等，管存一般不计",
    )?;
    let lng = rows.by_hand("LNG库存（折气态）", "万m³", "")?;
    let short = rows.next("储气能力差额", "万m³", "储气义务 − 自有及租赁储气能力")?;
    let cover = rows.next("LNG可用天数", "天", "LNG库存 ÷ 高日P90缺口；没有缺口时不算")?;
    if let Some(m3) = s.year.bought_m3 {
        let formula = format!("{}*{}", cell(year, VALUE), cell(duty, VALUE));
        let owed_wan = m3 as f64 * STORAGE_DUTY / 10_000.0;
        rows.page
            .formula(owed, VALUE, &formula, owed_wan, Look::Wan)?;
        let (held, owed) = (cell(held, VALUE), cell(owed, VALUE));
        let formula = format!("IF(ISNUMBER({held}),{owed}-{held},\"—\")");
        rows.page
            .formula_by_hand(short, VALUE, &formula, Look::Gap)?;
    } else {
        rows.page.unknown(owed, VALUE)?;
        rows.page.unknown(short, VALUE)?;
    }
    match gap {
        Some(gap) => {
            let (lng, gap) = (cell(lng, VALUE), cell(gap, VALUE));
            let formula = format!("IF(AND(ISNUMBER({lng}),{gap}>0),{lng}/{gap},\"—\")");
            rows.page
                .formula_by_hand(cover, VALUE, &formula, Look::Two)?;
        }
        None => rows.page.unknown(cover, VALUE)?,
    }
    Ok(())
}

fn interruptible(rows: &mut Rows<'_, '_>, s: &Security) -> Result<(), PlanError> {
    let day = s.year.peak_day.map_or_else(
        || "近365个气日中没有已知的气日".to_owned(),
        |day| format!("{day}，近365个气日中已知的最大者"),
    );
    let peak = rows.m3("上年最高日购气量", s.year.peak_m3, &day)?;
    let duty = rows.next("应可中断比例", "%", "占上年最高日")?;
    rows.page
        .number(duty, VALUE, INTERRUPTIBLE_DUTY, Look::Percent)?;
    let owed = rows.next(
        "应可中断量（日）",
        "万m³",
        "上年最高日购气量 × 应可中断比例",
    )?;
    let have = rows.m3(
        "可中断大用户（日均）",
        Some(s.interruptible_day_m3),
        "“重点用户”表可中断量合计 ÷ 本月气日",
    )?;
    let met = rows.next(
        "可中断量达标率",
        "%",
        "可中断大用户（日均） ÷ 应可中断量；达到100%为满足",
    )?;
    let Some(peak_m3) = s.year.peak_m3.filter(|m3| *m3 > 0) else {
        rows.page.unknown(owed, VALUE)?;
        return Ok(rows.page.unknown(met, VALUE)?);
    };
    let owed_m3 = peak_m3 as f64 * INTERRUPTIBLE_DUTY;
    let formula = format!("{}*{}", cell(peak, VALUE), cell(duty, VALUE));
    rows.page
        .formula(owed, VALUE, &formula, owed_m3 / 10_000.0, Look::Wan)?;
    let formula = format!("{}/{}", cell(have, VALUE), cell(owed, VALUE));
    let ratio = s.interruptible_day_m3 as f64 / owed_m3;
    rows.page
        .formula(met, VALUE, &formula, ratio, Look::Percent)?;
    Ok(())
}
