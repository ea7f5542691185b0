//! The report as a page to read or print: HTML in one file, A4, nothing from elsewhere.

use std::fmt::Write as _;

use chrono::Datelike as _;

use super::{DispatchReport, HourRow, Spans};
use crate::domain::breakdown::Part;
use crate::domain::calendar::{GasDay, beijing_civil};
use crate::serve::api::outlook::PeakView;
use crate::serve::figures::Band;
use crate::serve::figures::forecast::{Dimension, Label};
use crate::serve::live::NoticeLevel;

/// Which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// 中文.
    Chinese,
    /// English.
    English,
}

const STYLE: &str = "@page{size:A4;margin:13mm 12mm}\
body{font:13px/1.45 'Noto Sans CJK SC','Microsoft YaHei',sans-serif;max-width:1000px;margin:20px auto;\
padding:0 16px;color:#1c2733}h1{font-size:21px;margin:0}h2{font-size:15px;margin:18px 0 4px;break-after:avoid}\
p{margin:3px 0 6px}.muted,small{color:#56636f}.lead{font-size:15px;border-left:4px solid #0b5fa5;\
padding:4px 0 4px 10px;margin:10px 0}table{border-collapse:collapse;width:100%;margin-bottom:8px}\
th,td{padding:2px 6px;border-bottom:1px solid #d9e0e6;text-align:right;font-variant-numeric:tabular-nums}\
th:first-child,td:first-child,.left{text-align:left}thead th{border-bottom:2px solid #1c2733}\
thead{display:table-header-group}tr{break-inside:avoid}tr.total td{font-weight:600;border-top:1px solid #1c2733}\
.up{color:#a84300}.red{color:#b00020;font-weight:600}.sign{display:flex;gap:60px;margin-top:20px}\
button{font:inherit;padding:2px 12px}svg{width:100%;height:150px}\
@media print{body{margin:0;max-width:none;padding:0}button{display:none}}";

struct Writer<'a> {
    out: String,
    words: Words,
    report: &'a DispatchReport,
}

/// The page.
pub fn html(report: &DispatchReport, words: Words) -> String {
    let mut writer = Writer {
        out: String::new(),
        words,
        report,
    };
    writer.head();
    writer.lead();
    writer.overview();
    writer.blocks();
    writer.cross();
    writer.hours();
    writer.parts();
    writer.peaks();
    writer.change();
    writer.alerts();
    writer.foot();
    writer.out
}

/// 万m³ of whole m³ with all four decimals: what is printed adds up.
fn wan(m3: i64) -> String {
    let sign = if m3 < 0 { "-" } else { "" };
    let m3 = m3.unsigned_abs();
    format!("{sign}{}.{:04}", m3 / 10_000, m3 % 10_000)
}

fn signed(m3: i64) -> String {
    format!("{}{}", if m3 > 0 { "+" } else { "" }, wan(m3))
}

fn percent(ratio: f64) -> String {
    format!("{:+.1}%", 100.0 * ratio)
}

fn ratio(now: i64, before: i64) -> Option<f64> {
    (before > 0).then(|| now as f64 / before as f64 - 1.0)
}

fn quantiles(band: Band) -> [String; 3] {
    [wan(band.p10_m3), wan(band.p50_m3), wan(band.p90_m3)]
}

fn span_cells(name: String, spans: &Spans, total: i64) -> Vec<String> {
    let mut cells = vec![name];
    for band in [spans.today, spans.tomorrow, spans.week] {
        cells.extend(quantiles(band));
    }
    let share = 100.0 * spans.tomorrow.p50_m3 as f64 / total.max(1) as f64;
    cells.push(format!("{share:.1}%"));
    cells
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Writer<'_> {
    const fn say(&self, zh: &'static str, en: &'static str) -> &'static str {
        match self.words {
            Words::Chinese => zh,
            Words::English => en,
        }
    }

    fn name(&self, label: &Label) -> String {
        escaped(match self.words {
            Words::Chinese => &label.name_zh,
            Words::English => &label.name_en,
        })
    }

    fn day(&self, day: GasDay) -> String {
        match self.words {
            Words::Chinese => format!("{}月{}日", day.0.month(), day.0.day()),
            Words::English => day.to_string(),
        }
    }

    fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn heading(&mut self, zh: &'static str, en: &'static str, note: &str) {
        let title = self.say(zh, en);
        _ = write!(self.out, "<h2>{title} <small>{note}</small></h2>");
    }

    fn row(&mut self, class: &str, cells: &[String]) {
        _ = write!(self.out, "<tr class=\"{class}\">");
        for cell in cells {
            _ = write!(self.out, "<td>{cell}</td>");
        }
        self.put("</tr>");
    }

    fn table(&mut self, heads: &[&str]) {
        self.put("<table><thead><tr>");
        for head in heads {
            _ = write!(self.out, "<th>{head}</th>");
        }
        self.put("</tr></thead><tbody>");
    }

    fn head(&mut self) {
        let report = self.report;
        let title = self.say("调度气量预测日报", "Dispatch forecast report");
        let made = beijing_civil(report.made_at).format("%Y-%m-%d %H:%M");
        let origin = beijing_civil(report.origin_at).format("%Y-%m-%d %H:%M");
        let temperatures: Vec<String> = report
            .temperatures
            .iter()
            .map(|(day, celsius)| {
                let celsius = celsius.map_or_else(|| "—".to_owned(), |c| format!("{c:.1}"));
                format!("{} {celsius}", day.0.format("%m-%d"))
            })
            .collect();
        _ = write!(
            self.out,
            "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title} {}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
             <h1>{} · {title}</h1><p class=\"muted\">{} {} · {} {made} · {} {origin} ({}) · {}</p>\
             <p class=\"muted\">{}: {}</p>",
            self.say("zh-CN", "en"),
            report.today,
            escaped(&report.company),
            self.say("气日", "Gas day"),
            report.today,
            self.say("编制", "made"),
            self.say("预测截至", "forecast as of"),
            escaped(&report.run_id),
            self.say(
                "单位:万m³(20℃,101.325kPa)",
                "unit: 万m³ = 10,000 m³ (20 °C, 101.325 kPa)"
            ),
            self.say("日均气温 ℃", "Mean temperature, °C"),
            temperatures.join(" · "),
        );
    }

    /// What matters, in one sentence.
    fn lead(&mut self) {
        let report = self.report;
        let cards = &report.cards;
        let (today, tomorrow) = (cards.today.band, cards.tomorrow.band);
        let change = ratio(tomorrow.p50_m3, today.p50_m3).map_or_else(|| "—".into(), percent);
        let mut lead = match self.words {
            Words::Chinese => format!(
                "明日({})预计 <b>{}</b> 万m³(P10–P90 {}–{}),较今日 {change}",
                self.day(cards.tomorrow.day),
                wan(tomorrow.p50_m3),
                wan(tomorrow.p10_m3),
                wan(tomorrow.p90_m3)
            ),
            Words::English => format!(
                "Tomorrow ({}): <b>{}</b> 万m³ expected (P10–P90 {}–{}), {change} against today",
                self.day(cards.tomorrow.day),
                wan(tomorrow.p50_m3),
                wan(tomorrow.p10_m3),
                wan(tomorrow.p90_m3)
            ),
        };
        if let Some((nominated, suggested)) = report.nominated {
            _ = match self.words {
                Words::Chinese => write!(
                    lead,
                    ";建议日指定 {},已指定 {}",
                    wan(suggested),
                    wan(nominated)
                ),
                Words::English => write!(
                    lead,
                    "; nomination suggested {}, entered {}",
                    wan(suggested),
                    wan(nominated)
                ),
            };
        }
        for month in &report.months {
            let Some(contract) = month.contract_m3 else {
                continue;
            };
            let gap = month.expected.p50_m3 - contract;
            _ = match self.words {
                Words::Chinese => write!(
                    lead,
                    ";{} 预计 {},{}合同 {}",
                    month.month,
                    wan(month.expected.p50_m3),
                    if gap > 0 { "超" } else { "低于" },
                    wan(gap.abs())
                ),
                Words::English => write!(
                    lead,
                    "; {} expected {}, {} above contract",
                    month.month,
                    wan(month.expected.p50_m3),
                    signed(gap)
                ),
            };
        }
        let stop = self.say("。", ".");
        _ = write!(self.out, "<p class=\"lead\">{lead}{stop}</p>");
    }

    /// Yesterday, today, tomorrow.
    fn overview(&mut self) {
        let cards = &self.report.cards;
        let (today, tomorrow) = (cards.today.band, cards.tomorrow.band);
        self.heading("一、三日总览", "1. Three days", "");
        let heads = [
            self.say("气日", "Gas day"),
            self.say("实际", "Actual"),
            "P10",
            self.say("预测 P50", "Forecast P50"),
            "P90",
            self.say("偏差率/环比", "Error / change"),
        ];
        self.table(&heads);
        let yesterday = &cards.yesterday;
        let or_dash = |m3: Option<i64>| m3.map_or_else(|| "—".into(), wan);
        let error = yesterday
            .forecast_m3
            .zip(yesterday.actual_m3)
            .and_then(|(forecast, actual)| ratio(forecast, actual));
        let cells = [
            format!(
                "{} {}",
                self.say("昨日", "Yesterday"),
                self.day(yesterday.day)
            ),
            or_dash(yesterday.actual_m3),
            "—".into(),
            or_dash(yesterday.forecast_m3),
            "—".into(),
            error.map_or_else(|| "—".into(), percent),
        ];
        self.row("", &cells);
        let before = yesterday.actual_m3.and_then(|m3| ratio(today.p50_m3, m3));
        for (zh, en, card, against) in [
            ("今日", "Today", &cards.today, before),
            (
                "明日",
                "Tomorrow",
                &cards.tomorrow,
                ratio(tomorrow.p50_m3, today.p50_m3),
            ),
        ] {
            let name = format!("{} {}", self.say(zh, en), self.day(card.day));
            let mut cells = vec![name, "—".into()];
            cells.extend(quantiles(card.band));
            cells.push(against.map_or_else(|| "—".into(), percent));
            self.row("", &cells);
        }
        self.put("</tbody></table>");
    }

    fn blocks(&mut self) {
        let tables = &self.report.tables;
        let total = tables.total.tomorrow.p50_m3;
        for block in &tables.blocks {
            match block.by {
                Dimension::Source => self.heading("二、分气源", "2. By source", ""),
                Dimension::Class => self.heading("三、用户结构", "3. By class", ""),
                Dimension::Slot | Dimension::Total => {
                    self.heading("四、用气时段", "4. By time slot", "");
                }
            }
            let (today, tomorrow, week) = (
                self.say("今日", "today"),
                self.say("明日", "tomorrow"),
                self.say("未来7日", "7 days"),
            );
            self.put("<table><thead><tr><th></th>");
            for span in [today, tomorrow, week] {
                for quantile in ["P10", "P50", "P90"] {
                    _ = write!(self.out, "<th>{span} {quantile}</th>");
                }
            }
            let share = self.say("明日占比", "share");
            _ = write!(self.out, "<th>{share}</th></tr></thead><tbody>");
            for (label, spans) in &block.rows {
                let cells = span_cells(self.name(label), spans, total);
                self.row("", &cells);
            }
            let name = self.say("合计", "Total").to_owned();
            let cells = span_cells(name, &tables.total, total);
            self.row("total", &cells);
            self.put("</tbody></table>");
        }
    }

    fn cross(&mut self) {
        let tables = &self.report.tables;
        let note = self.say("明日 P50", "tomorrow, P50");
        self.heading(
            "五、气源 × 用户结构 × 时段",
            "5. Source × class × slot",
            note,
        );
        let mut heads = vec![
            self.say("气源", "Source").to_owned(),
            self.say("用户类别", "Class").to_owned(),
        ];
        heads.extend(tables.slots.iter().map(|slot| self.name(slot)));
        heads.push(self.say("合计", "Total").to_owned());
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        self.table(&heads);
        let mut sums = vec![0; tables.slots.len()];
        for row in &tables.cross {
            let mut cells = vec![self.name(&row.source), self.name(&row.class)];
            for (sum, m3) in sums.iter_mut().zip(&row.slots_m3) {
                *sum += m3;
                cells.push(wan(*m3));
            }
            cells.push(wan(row.total_m3()));
            self.row("", &cells);
        }
        let mut cells = vec![self.say("合计", "Total").to_owned(), String::new()];
        cells.extend(sums.iter().map(|m3| wan(*m3)));
        cells.push(wan(sums.iter().sum()));
        self.row("total", &cells);
        self.put("</tbody></table>");
    }

    fn hours(&mut self) {
        let tables = &self.report.tables;
        if tables.hours.is_empty() {
            return;
        }
        let note = self.say(
            "明日逐小时,阴影为 P10–P90",
            "tomorrow by hour, P10–P90 shaded",
        );
        self.heading("六、24 小时曲线", "6. Hours", note);
        let drawing = fan(&tables.hours);
        self.put(&drawing);
        let heads = [
            self.say("小时", "Hour"),
            self.say("时段", "Slot"),
            "P10",
            "P50",
            "P90",
        ];
        self.table(&heads);
        for hour in &tables.hours {
            let slot = tables
                .slots
                .get(hour.slot)
                .map_or_else(String::new, |slot| self.name(slot));
            let time = format!(
                "{:02}:00–{:02}:00",
                hour.civil_hour,
                (hour.civil_hour + 1) % 24
            );
            let mut cells = vec![time, slot];
            cells.extend(quantiles(hour.band));
            self.row("", &cells);
        }
        let sum: i64 = tables.hours.iter().map(|hour| hour.band.p50_m3).sum();
        let cells = [
            self.say("合计", "Total").to_owned(),
            String::new(),
            String::new(),
            wan(sum),
            String::new(),
        ];
        self.row("total", &cells);
        self.put("</tbody></table>");
    }

    fn parts(&mut self) {
        let Some(parts) = &self.report.tables.parts else {
            return;
        };
        self.heading("七、气量构成", "7. What it consists of", "P50");
        let heads = [
            "",
            self.say("今日", "today"),
            self.say("明日", "tomorrow"),
            self.say("未来7日", "7 days"),
        ];
        self.table(&heads);
        for part in Part::ALL {
            let name = match self.words {
                Words::Chinese => part.name_zh(),
                Words::English => match part {
                    Part::Planned => "Customers with filed plans",
                    Part::Statistical => "Customers without (statistical)",
                    Part::New => "New connections",
                    Part::Other => "Other factors",
                },
            };
            let mut cells = vec![name.to_owned()];
            cells.extend(parts.iter().map(|span| {
                let m3 = span.get(part.index()).copied().unwrap_or(0);
                wan(m3)
            }));
            self.row("", &cells);
        }
        let mut cells = vec![self.say("合计", "Total").to_owned()];
        cells.extend(parts.iter().map(|span| wan(span.iter().sum())));
        self.row("total", &cells);
        self.put("</tbody></table>");
    }

    fn peaks(&mut self) {
        let Some(outlook) = &self.report.outlook else {
            return;
        };
        self.heading("八、高峰", "8. Peaks", "");
        let heads = [
            "",
            self.say("时间", "When"),
            self.say("概率", "Probability"),
            "P50",
            "P90",
            "P99",
        ];
        self.table(&heads);
        for (zh, en, peak) in [
            ("高峰日", "Peak day", &outlook.peak_day),
            ("高峰小时", "Peak hour", &outlook.peak_hour),
        ] {
            if let Some(peak) = peak {
                let name = self.say(zh, en).to_owned();
                let cells = self.peak(name, peak);
                self.row("", &cells);
            }
        }
        self.put("</tbody></table>");
        if let Some(design) = &outlook.design_day {
            _ = match self.words {
                Words::Chinese => write!(
                    self.out,
                    "<p>二十年一遇设计日 {}(日均有效温度 {:.1} ℃,{} 个冬季{})。</p>",
                    wan(design.one_in_20_m3),
                    design.one_in_20_c,
                    design.winters,
                    if design.is_extrapolated {
                        ",外推"
                    } else {
                        ""
                    }
                ),
                Words::English => write!(
                    self.out,
                    "<p>1-in-20 design day {} (effective temperature {:.1} °C, {} winters{}).</p>",
                    wan(design.one_in_20_m3),
                    design.one_in_20_c,
                    design.winters,
                    if design.is_extrapolated {
                        ", extrapolated"
                    } else {
                        ""
                    }
                ),
            };
        }
    }

    fn peak(&self, name: String, peak: &PeakView) -> [String; 6] {
        let hour = peak
            .civil_hour
            .map_or_else(String::new, |hour| format!(" {hour:02}:00"));
        [
            name,
            format!("{}{hour}", self.day(peak.gas_day)),
            format!("{:.0}%", 100.0 * peak.probability),
            wan(peak.p50_m3),
            wan(peak.p90_m3),
            wan(peak.p99_m3),
        ]
    }

    fn change(&mut self) {
        let Some(change) = &self.report.change else {
            return;
        };
        let note = format!("{} → {}", escaped(&change.older), escaped(&change.newer));
        self.heading(
            "九、较昨日预测的变化",
            "9. What changed since yesterday's run",
            &note,
        );
        let heads = [
            self.say("气日", "Gas day"),
            self.say("昨日所报", "Then"),
            self.say("现在", "Now"),
            self.say("变化", "Change"),
            self.say("气温", "Weather"),
            self.say("日历", "Calendar"),
            self.say("计划", "Plans"),
            self.say("水平", "Level"),
            self.say("其他", "Other"),
        ];
        self.table(&heads);
        let days = change
            .days
            .iter()
            .filter(|day| day.gas_day >= self.report.today);
        let days: Vec<_> = days.take(8).collect();
        for day in &days {
            let mut cells = vec![self.day(day.gas_day), wan(day.older_m3), wan(day.newer_m3)];
            cells.extend(
                [
                    day.newer_m3 - day.older_m3,
                    day.temperature_m3,
                    day.calendar_m3,
                    day.plans_m3,
                    day.level_m3,
                    day.other_m3,
                ]
                .map(signed),
            );
            self.row("", &cells);
        }
        self.put("</tbody></table>");
        for day in days.iter().take(2) {
            let sentence = match self.words {
                Words::Chinese => &day.sentence_zh,
                Words::English => &day.sentence_en,
            };
            _ = write!(self.out, "<p>{}</p>", escaped(sentence));
        }
    }

    fn alerts(&mut self) {
        self.heading("十、告警", "10. Alerts", "");
        if self.report.alerts.is_empty() {
            let none = self.say("没有未关闭的告警。", "None is open.");
            _ = write!(self.out, "<p>{none}</p>");
            return;
        }
        self.table(&[self.say("时间", "When"), self.say("内容", "What")]);
        for alert in &self.report.alerts {
            let class = match alert.level {
                NoticeLevel::Red => "red",
                NoticeLevel::Orange => "up",
                _ => "",
            };
            let title = match self.words {
                Words::Chinese => &alert.title_zh,
                Words::English => &alert.title_en,
            };
            _ = write!(
                self.out,
                "<tr class=\"{class}\"><td>{}</td><td class=\"left\">{} {}</td></tr>",
                beijing_civil(alert.at).format("%m-%d %H:%M"),
                escaped(&alert.code),
                escaped(title)
            );
        }
        self.put("</tbody></table>");
    }

    fn foot(&mut self) {
        for row in self
            .report
            .quality
            .iter()
            .filter(|row| row.class == "total")
        {
            let coverage = row
                .coverage
                .map_or_else(|| "—".into(), |part| format!("{:.0}%", 100.0 * part));
            _ = match self.words {
                Words::Chinese => write!(
                    self.out,
                    "<p class=\"muted\">回测 {}:WAPE {:.2}%(季节朴素 {:.2}%),P10–P90 命中率 {coverage}。</p>",
                    escaped(&row.lead),
                    100.0 * row.wape,
                    100.0 * row.naive_wape
                ),
                Words::English => write!(
                    self.out,
                    "<p class=\"muted\">Backtest {}: WAPE {:.2}% (seasonal naive {:.2}%), P10–P90 coverage {coverage}.</p>",
                    escaped(&row.lead),
                    100.0 * row.wape,
                    100.0 * row.naive_wape
                ),
            };
        }
        let (note, made, checked) = (
            self.say(
                "各表 P50 合计相等到 0.0001 万m³;P10、P90 按联合情景计算,不可相加。",
                "The P50 of all tables agree to 0.0001 万m³; P10 and P90 come from joint scenarios and do not add up.",
            ),
            self.say("编制:系统", "Made by: the system"),
            self.say("审核:", "Checked by:"),
        );
        _ = write!(
            self.out,
            "<p class=\"muted\">{note}</p><div class=\"sign\"><span>{made}</span><span>{checked}</span></div></body></html>"
        );
    }
}

/// P10–P90 shaded and P50 as a line, one point for an hour.
fn fan(hours: &[HourRow]) -> String {
    const WIDTH: f64 = 960.0;
    const HEIGHT: f64 = 130.0;
    let most = hours
        .iter()
        .map(|h| h.band.p90_m3)
        .max()
        .unwrap_or(1)
        .max(1) as f64;
    let step = WIDTH / (hours.len().max(2) - 1) as f64;
    let point = |at: usize, m3: i64| {
        format!(
            "{:.1},{:.1}",
            at as f64 * step,
            HEIGHT * (1.0 - m3.max(0) as f64 / most)
        )
    };
    let upper = hours
        .iter()
        .enumerate()
        .map(|(at, h)| point(at, h.band.p90_m3));
    let lower = hours
        .iter()
        .enumerate()
        .rev()
        .map(|(at, h)| point(at, h.band.p10_m3));
    let shade: Vec<String> = upper.chain(lower).collect();
    let line: Vec<String> = hours
        .iter()
        .enumerate()
        .map(|(at, h)| point(at, h.band.p50_m3))
        .collect();
    format!(
        "<svg viewBox=\"-4 -4 968 138\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"24 h\">\
         <polygon points=\"{}\" fill=\"#0b5fa5\" fill-opacity=\"0.2\"/>\
         <polyline points=\"{}\" fill=\"none\" stroke=\"#0b5fa5\" stroke-width=\"2\" vector-effect=\"non-scaling-stroke\"/></svg>",
        shade.join(" "),
        line.join(" ")
    )
}
