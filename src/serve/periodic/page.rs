//! The reports as pages to read or print, like the dispatch report.

use std::fmt::Write as _;

use super::{Body, Monthly, PeriodicReport, Weekly, whole};
use crate::domain::calendar::beijing_civil;
use crate::domain::language::Language;
use crate::domain::quantity::StdVolume;
use crate::ledger::entry::{LedgerEntry, LedgerStatus, QuarterReason};
use crate::serve::dispatch::page::{
    STYLE, Writer, escaped, lead_name, percent, ratio, signed, wan,
};

/// Lines of enterprises on the paper at most; the rest is counted.
const ROWS_MAX: usize = 60;

/// The page.
pub fn html(report: &PeriodicReport, words: Language) -> String {
    let mut writer = Writer::new(report, words);
    match &report.body {
        Body::Weekly(week) => writer.weekly(week),
        Body::Monthly(month) => writer.monthly(month),
        Body::Quarterly(rows) => writer.quarterly(rows),
    }
    let checked = writer.say("审核:", "Checked by:");
    let made = writer.say("编制:系统", "Made by: the system");
    _ = write!(
        writer.out,
        "<div class=\"sign\"><span>{made}</span><span>{checked}</span></div></body></html>"
    );
    writer.out
}

fn or_dash(m3: Option<i64>) -> String {
    m3.map_or_else(|| "—".into(), wan)
}

fn share(part: Option<f64>) -> String {
    part.map_or_else(|| "—".into(), |part| format!("{:.1}%", 100.0 * part))
}

fn change(now: Option<i64>, before: Option<i64>) -> String {
    let both = now.zip(before);
    let ratio = both.and_then(|(now, before)| ratio(now, before));
    ratio.map_or_else(|| "—".into(), percent)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "volumes of a customer are far below 2^63 m³"
)]
fn whole_m3(m3: f64) -> i64 {
    m3.round() as i64
}

impl Writer<'_, PeriodicReport> {
    fn top(&mut self, title: &str, span: &str) {
        let report = self.report;
        let made = beijing_civil(report.made_at).format("%Y-%m-%d %H:%M");
        _ = write!(
            self.out,
            "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title} {span}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
             <h1>{} · {title}</h1><p class=\"muted\">{span} · {} {made}<br><span class=\"unit\">{}</span></p>",
            self.say("zh-CN", "en"),
            escaped(&report.company),
            self.say("编制", "made"),
            self.say(
                "单位:万m³(20℃,101.325kPa)",
                "unit: 10⁴ m³ (20 °C, 101.325 kPa)"
            ),
        );
    }

    fn weekly(&mut self, week: &Weekly) {
        let today = self.report.today;
        let title = self.say(
            "大用户与合同执行周报",
            "Weekly report: large consumers, contracts",
        );
        self.top(title, &format!("{} – {}", today.plus(-7), today.plus(-1)));
        self.heading("本周用气", "The week's use", "");
        let heads = [
            self.say("气日", "Gas day"),
            self.say("用气", "Used"),
            self.say("上周同日", "A week before"),
            self.say("变化", "Change"),
        ];
        self.table(&heads);
        for (day, used, before) in &week.days {
            let cells = [
                self.day(*day),
                or_dash(*used),
                or_dash(*before),
                change(*used, *before),
            ];
            self.row("", &cells);
        }
        let used = week.days.iter().map(|day| day.1).sum();
        let before = week.days.iter().map(|day| day.2).sum();
        let total = self.say("合计", "Total").to_owned();
        let cells = [total, or_dash(used), or_dash(before), change(used, before)];
        self.row("total", &cells);
        self.put("</tbody></table>");
        self.contracts(week);
        self.large_consumers(&week.rows);
    }

    /// Month so far against contract, by source.
    fn contracts(&mut self, week: &Weekly) {
        let (over, all) = week.month_days;
        let progress = format!("{over}/{all} = {:.1}%", 100.0 * over as f64 / all as f64);
        let note = format!("{} {progress}", self.say("时间进度", "time progress"));
        self.heading("合同执行进度", "Progress of contracts", &note);
        let heads = [
            self.say("气源", "Source"),
            self.say("月合同量", "Contract of the month"),
            self.say("已提取", "Taken"),
            self.say("提取进度", "Take progress"),
            self.say("剩余合同日均", "Remaining average a day"),
        ];
        self.table(&heads);
        for source in &week.sources {
            let progress = source
                .month_taken_m3
                .zip(source.month_contract_m3)
                .filter(|(_, contract)| *contract > 0)
                .map(|(taken, contract)| taken as f64 / contract as f64);
            let cells = [
                escaped(&source.name),
                or_dash(source.month_contract_m3),
                or_dash(source.month_taken_m3),
                share(progress),
                or_dash(source.remaining_avg_dcq_m3.map(whole_m3)),
            ];
            self.row("", &cells);
        }
        self.put("</tbody></table>");
    }

    fn large_consumers(&mut self, rows: &[LedgerEntry]) {
        let count = |status| rows.iter().filter(|row| row.status == status).count();
        let note = match self.words {
            Language::Zh => format!(
                "共 {} 户:异常 {}、预警 {}、关注 {}",
                rows.len(),
                count(LedgerStatus::Abnormal),
                count(LedgerStatus::Warning),
                count(LedgerStatus::Watch)
            ),
            Language::En => format!(
                "{} in all: {} abnormal, {} warning, {} watched",
                rows.len(),
                count(LedgerStatus::Abnormal),
                count(LedgerStatus::Warning),
                count(LedgerStatus::Watch)
            ),
        };
        self.heading("大用户", "Large consumers", &note);
        let urgent = rows.iter().filter(|row| row.status != LedgerStatus::Normal);
        let urgent: Vec<&LedgerEntry> = urgent.collect();
        if urgent.is_empty() {
            let none = self.say(
                "没有需要关注的大用户。",
                "No large consumer needs attention.",
            );
            _ = write!(self.out, "<p>{none}</p>");
            return;
        }
        let heads = [
            self.say("企业", "Enterprise"),
            self.say("昨日", "Yesterday"),
            self.say("月累计", "Month to date"),
            self.say("月完成率", "Of the month's plan"),
            self.say("预计当月偏差", "Month expected less plan"),
            self.say("预警", "Findings"),
        ];
        self.table(&heads);
        for row in urgent.iter().take(ROWS_MAX) {
            let findings: Vec<String> = row
                .findings
                .iter()
                .map(|finding| escaped(self.words.of(&finding.message_zh, &finding.message_en)))
                .collect();
            let deviation = row.month_expected_deviation_m3.map(whole_m3);
            let cells = [
                enterprise(row),
                or_dash(row.yesterday_m3.map(StdVolume::round_m3)),
                wan(row.month_to_date_m3.round_m3()),
                share(row.month_plan_ratio),
                deviation.map_or_else(|| "—".into(), signed),
                findings.join("<br>"),
            ];
            self.row("", &cells);
        }
        self.put("</tbody></table>");
        self.rest(urgent.len());
    }

    /// How many lines are not on the paper.
    fn rest(&mut self, rows: usize) {
        let rest = rows.saturating_sub(ROWS_MAX);
        if rest > 0 {
            _ = match self.words {
                Language::Zh => write!(self.out, "<p class=\"muted\">另有 {rest} 户,见台账。</p>"),
                Language::En => write!(
                    self.out,
                    "<p class=\"muted\">{rest} more are on the ledger.</p>"
                ),
            };
        }
    }

    fn monthly(&mut self, month: &Monthly) {
        let title = self.say("月总结", "Monthly summary");
        self.top(title, &month.month.to_string());
        self.heading("执行情况", "Execution", "");
        let (used, taken) = (
            whole(&month.days, |day| day.used_m3),
            whole(&month.days, |day| day.taken_m3),
        );
        let heads = [
            "",
            self.say("气量", "Volume"),
            self.say("实际提取与之偏差", "Taken less it"),
            self.say("偏差率", "Ratio"),
        ];
        self.table(&heads);
        let nominated = whole(&month.days, |day| day.nominated_m3);
        for (zh, en, m3) in [
            ("合同量", "Contracted", month.contract_m3),
            ("申报量", "Declared", month.declared_m3),
            ("日指定合计", "Nominated, all days", nominated),
        ] {
            let cells = [
                self.say(zh, en).to_owned(),
                or_dash(m3),
                taken
                    .zip(m3)
                    .map_or_else(|| "—".into(), |(taken, m3)| signed(taken - m3)),
                change(taken, m3),
            ];
            self.row("", &cells);
        }
        for (zh, en, m3) in [
            ("实际提取", "Taken at the gates", taken),
            ("用户用气", "Used by customers", used),
        ] {
            let dash = || "—".to_owned();
            let cells = [self.say(zh, en).to_owned(), or_dash(m3), dash(), dash()];
            self.row("total", &cells);
        }
        self.put("</tbody></table>");
        self.classes(month);
        self.deviations(month);
        self.skill(month);
    }

    fn classes(&mut self, month: &Monthly) {
        self.heading("分类用气", "Use by class", "");
        let heads = [
            self.say("用户类别", "Class"),
            self.say("本月", "Month"),
            self.say("上年同月", "A year before"),
            self.say("变化", "Change"),
        ];
        self.table(&heads);
        for (label, [now, before]) in &month.classes {
            let cells = [
                self.name(label),
                or_dash(*now),
                or_dash(*before),
                change(*now, *before),
            ];
            self.row("", &cells);
        }
        self.put("</tbody></table>");
    }

    fn deviations(&mut self, month: &Monthly) {
        let note = self.say("实际提取减日指定", "taken less nominated");
        self.heading("逐日偏差", "Deviation by day", note);
        let heads = [
            self.say("气日", "Gas day"),
            self.say("用户用气", "Used"),
            self.say("日指定", "Nominated"),
            self.say("实际提取", "Taken"),
            self.say("偏差", "Deviation"),
            self.say("偏差率", "Ratio"),
        ];
        self.table(&heads);
        for day in &month.days {
            let deviation = day.deviation_m3();
            let cells = [
                self.day(day.day),
                or_dash(day.used_m3),
                or_dash(day.nominated_m3),
                or_dash(day.taken_m3),
                deviation.map_or_else(|| "—".into(), signed),
                change(day.taken_m3, day.nominated_m3),
            ];
            self.row("", &cells);
        }
        self.put("</tbody></table>");
    }

    /// Published forecasts of all demand against what came, and the last backtest.
    fn skill(&mut self, month: &Monthly) {
        let note = self.say("已发布预测与实际", "published forecasts against what came");
        self.heading("预测技能", "Forecast skill", note);
        let heads = [
            self.say("提前天数", "Days ahead"),
            self.say("次数", "Cases"),
            "WAPE",
            self.say("偏差", "Bias"),
            self.say("P10–P90 命中率", "P10–P90 coverage"),
        ];
        let record: Vec<_> = month
            .record
            .iter()
            .filter(|row| row.of == "total")
            .collect();
        if record.is_empty() {
            let none = self.say("尚无可评分的预测。", "No forecast could be scored yet.");
            _ = write!(self.out, "<p>{none}</p>");
        } else {
            self.table(&heads);
            for row in record {
                let cells = [
                    row.lead.to_string(),
                    row.cases.to_string(),
                    format!("{:.2}%", 100.0 * row.wape),
                    percent(row.bias),
                    format!("{:.0}%", 100.0 * row.coverage),
                ];
                self.row("", &cells);
            }
            self.put("</tbody></table>");
        }
        for row in month.quality.iter().filter(|row| row.class == "total") {
            let lead = escaped(lead_name(&row.lead, self.words));
            let cases = row.cases.map_or_else(|| "—".into(), |n| n.to_string());
            let (ours, naive) = (100.0 * row.wape, 100.0 * row.naive_wape);
            _ = match self.words {
                Language::Zh => write!(
                    self.out,
                    "<p class=\"muted\">回测({lead},{cases} 次):WAPE {ours:.2}%(季节朴素 {naive:.2}%)。</p>"
                ),
                Language::En => write!(
                    self.out,
                    "<p class=\"muted\">Backtest ({lead}, {cases} cases): WAPE {ours:.2}% (seasonal naive {naive:.2}%).</p>"
                ),
            };
        }
    }

    fn quarterly(&mut self, rows: &[LedgerEntry]) {
        let today = self.report.today;
        let title = self.say(
            "季度用气规律变化企业清单",
            "Quarterly list: enterprises whose use changed",
        );
        self.top(title, &format!("{} – {}", today.plus(-91), today.plus(-1)));
        let compared = rows.iter().filter(|row| row.quarter.is_some()).count();
        let changed: Vec<&LedgerEntry> = rows
            .iter()
            .filter(|row| row.quarter.as_ref().is_some_and(|q| !q.reasons.is_empty()))
            .collect();
        let note = match self.words {
            Language::Zh => format!(
                "台账 {} 户,可比 {compared} 户,变化 {} 户;与前 91 天相比",
                rows.len(),
                changed.len()
            ),
            Language::En => format!(
                "{} on the ledger, {compared} comparable, {} changed; against the 91 days before",
                rows.len(),
                changed.len()
            ),
        };
        self.heading("走访清单", "Whom to visit", &note);
        if changed.is_empty() {
            let none = self.say("没有用气规律变化的企业。", "No enterprise's use changed.");
            _ = write!(self.out, "<p>{none}</p>");
            return;
        }
        let heads = [
            self.say("企业", "Enterprise"),
            self.say("客户经理", "Account manager"),
            self.say("变化", "What changed"),
            self.say("工作日均用气", "Mean working day"),
            self.say("前一季度", "Quarter before"),
            self.say("休息日/工作日", "Days off / working days"),
            self.say("停用工作日", "Working days without gas"),
        ];
        self.table(&heads);
        for row in changed.iter().take(ROWS_MAX) {
            let Some(quarter) = &row.quarter else {
                continue;
            };
            let reasons: Vec<&str> = quarter
                .reasons
                .iter()
                .map(|reason| match reason {
                    QuarterReason::Level => self.say("用量", "level"),
                    QuarterReason::DaysOff => self.say("休息日", "days off"),
                    QuarterReason::Idle => self.say("停用", "idle days"),
                })
                .collect();
            let (now, before) = (quarter.now, quarter.before);
            let cells = [
                enterprise(row),
                escaped(&row.account_manager),
                reasons.join(self.say("、", ", ")),
                wan(whole_m3(now.workday_m3)),
                wan(whole_m3(before.workday_m3)),
                format!(
                    "{} ← {}",
                    share(now.off_days_ratio),
                    share(before.off_days_ratio)
                ),
                format!(
                    "{} ← {}",
                    share(Some(now.idle_share)),
                    share(Some(before.idle_share))
                ),
            ];
            self.row("", &cells);
        }
        self.put("</tbody></table>");
        self.rest(changed.len());
    }
}

/// Name and account number.
fn enterprise(row: &LedgerEntry) -> String {
    format!(
        "{} <small>{}</small>",
        escaped(&row.name),
        escaped(row.account_no.as_str())
    )
}
