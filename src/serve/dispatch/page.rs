//! The report as a page to read or print: HTML in one file, A4, nothing from elsewhere.

mod causes;
mod demand;
mod methods;
mod months;

use std::fmt::Write as _;

use chrono::Datelike as _;

use super::DispatchReport;
use crate::domain::calendar::{GasDay, beijing_civil};
use crate::domain::language::Language;
use crate::serve::figures::Band;
use crate::serve::figures::forecast::Label;

pub(in crate::serve) const STYLE: &str = "@page{size:A4;margin:13mm 12mm}\
body{font:13px/1.45 'Noto Sans CJK SC','Microsoft YaHei',sans-serif;max-width:1000px;margin:20px auto;\
padding:0 16px;color:#1c2733}h1{font-size:21px;margin:0}h2{font-size:15px;margin:18px 0 4px;break-after:avoid}\
p{margin:3px 0 6px}.muted,small{color:#56636f}.lead{font-size:15px;border-left:4px solid #0b5fa5;\
padding:4px 0 4px 10px;margin:10px 0}table{border-collapse:collapse;width:100%;margin-bottom:8px}\
th,td{padding:2px 6px;border-bottom:1px solid #d9e0e6;text-align:right;font-variant-numeric:tabular-nums}\
th:first-child,td:first-child,.left,.two th:nth-child(2),.two td:nth-child(2){text-align:left}\
td:first-child,.unit{white-space:nowrap}.wide{font-size:12px}.wide th,.wide td{padding:2px 4px;white-space:nowrap}\
thead th{border-bottom:2px solid #1c2733}\
thead{display:table-header-group}tr{break-inside:avoid}tr.total td{font-weight:600;border-top:1px solid #1c2733}\
.up{color:#a84300}.red{color:#b00020;font-weight:600}.sign{display:flex;gap:60px;margin-top:20px}\
button{font:inherit;padding:2px 12px}svg{display:block;width:100%;height:auto}\
@media print{body{margin:0;max-width:none;padding:0}button{display:none}}";

/// Writes a report down in a language: headings with their numbers, tables, names.
pub(in crate::serve) struct Writer<'a, R = DispatchReport> {
    pub(in crate::serve) out: String,
    /// Sections written: what there is to say nothing of leaves no gap in their numbers.
    sections: usize,
    pub(in crate::serve) words: Language,
    pub(in crate::serve) report: &'a R,
}

/// The page.
pub fn html(report: &DispatchReport, words: Language) -> String {
    let mut writer = Writer::new(report, words);
    writer.head();
    writer.lead();
    writer.overview();
    writer.blocks();
    writer.cross();
    writer.hours();
    writer.parts();
    writer.ahead();
    writer.peaks();
    writer.change();
    writer.alerts();
    writer.foot();
    writer.out
}

/// Numerals of the sections on Chinese pages.
const NUMERALS: [&str; 12] = [
    "一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二",
];

/// 万m³ of whole m³ with all four decimals: what is printed adds up.
pub(in crate::serve) fn wan(m3: i64) -> String {
    let sign = if m3 < 0 { "−" } else { "" };
    let m3 = m3.unsigned_abs();
    format!("{sign}{}.{:04}", m3 / 10_000, m3 % 10_000)
}

/// 万m³ with two decimals and thousands separated, for a sentence: more would claim to know more.
fn about(m3: i64) -> String {
    let sign = if m3 < 0 { "−" } else { "" };
    let hundredths = (m3.unsigned_abs() + 50) / 100;
    let digits = (hundredths / 100).to_string();
    let mut whole = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            whole.push(',');
        }
        whole.push(digit);
    }
    format!("{sign}{whole}.{:02}", hundredths % 100)
}

pub(in crate::serve) fn signed(m3: i64) -> String {
    format!("{}{}", if m3 > 0 { "+" } else { "" }, wan(m3))
}

pub(in crate::serve) fn percent(ratio: f64) -> String {
    format!("{:+.1}%", 100.0 * ratio).replace('-', "−")
}

pub(in crate::serve) fn ratio(now: i64, before: i64) -> Option<f64> {
    (before > 0).then(|| now as f64 / before as f64 - 1.0)
}

fn quantiles(band: Band) -> [String; 3] {
    [wan(band.p10_m3), wan(band.p50_m3), wan(band.p90_m3)]
}

/// A lead time by name; its own key where it has none.
pub(in crate::serve) fn lead_name(lead: &str, words: Language) -> &str {
    let (zh, en) = match lead {
        "day_ahead" => ("日前", "day ahead"),
        "month_ahead_days" => ("月前,逐日", "month ahead, by day"),
        "month_ahead_total" => ("月前,月合计", "month ahead, total"),
        _ => (lead, lead),
    };
    words.of(zh, en)
}

pub(in crate::serve) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl<'a, R> Writer<'a, R> {
    pub(in crate::serve) fn new(report: &'a R, words: Language) -> Self {
        Self {
            out: String::new(),
            sections: 0,
            words,
            report,
        }
    }

    pub(in crate::serve) fn say(&self, zh: &'static str, en: &'static str) -> &'static str {
        self.words.of(zh, en)
    }

    pub(in crate::serve) fn name(&self, label: &Label) -> String {
        escaped(self.words.of(&label.name_zh, &label.name_en))
    }

    pub(in crate::serve) fn day(&self, day: GasDay) -> String {
        match self.words {
            Language::Zh => format!("{}月{}日", day.0.month(), day.0.day()),
            Language::En => day.to_string(),
        }
    }

    pub(in crate::serve) fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    pub(in crate::serve) fn heading(&mut self, zh: &'static str, en: &'static str, note: &str) {
        let title = self.say(zh, en);
        let number = match self.words {
            Language::Zh => format!("{}、", NUMERALS.get(self.sections).unwrap_or(&"")),
            Language::En => format!("{}. ", self.sections + 1),
        };
        self.sections += 1;
        _ = write!(self.out, "<h2>{number}{title} <small>{note}</small></h2>");
    }

    pub(in crate::serve) fn row(&mut self, class: &str, cells: &[String]) {
        _ = write!(self.out, "<tr class=\"{class}\">");
        for cell in cells {
            _ = write!(self.out, "<td>{cell}</td>");
        }
        self.put("</tr>");
    }

    pub(in crate::serve) fn table(&mut self, heads: &[&str]) {
        self.table_of("", heads);
    }

    pub(in crate::serve) fn table_of(&mut self, class: &str, heads: &[&str]) {
        _ = write!(self.out, "<table class=\"{class}\"><thead><tr>");
        for head in heads {
            _ = write!(self.out, "<th>{head}</th>");
        }
        self.put("</tr></thead><tbody>");
    }
}

impl Writer<'_> {
    fn head(&mut self) {
        let report = self.report;
        let title = self.say("调度气量预测日报", "Dispatch forecast report");
        let made = beijing_civil(report.made_at).format("%Y-%m-%d %H:%M");
        let origin = beijing_civil(report.origin_at).format("%Y-%m-%d %H:%M");
        let temperatures: Vec<String> = report
            .temperatures
            .iter()
            .map(|(day, celsius)| {
                let celsius =
                    celsius.map_or_else(|| "—".to_owned(), |c| format!("{c:.1}").replace('-', "−"));
                format!("{} {celsius}", day.0.format("%m-%d"))
            })
            .collect();
        _ = write!(
            self.out,
            "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title} {}</title>\
             <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
             <h1>{} · {title}</h1><p class=\"muted\">{} {} · {} {made} · {} {origin} ({})<br><span class=\"unit\">{}</span></p>\
             <p class=\"muted\">{}: {}</p>",
            self.say("zh-CN", "en"),
            report.today,
            escaped(&report.company),
            self.say("气日", "Gas day"),
            report.today,
            self.say("编制", "made"),
            self.say("预测截至", "forecast as of"),
            escaped(&report.run_id),
            match self.words {
                Language::Zh => format!("单位:万m³({})", report.reference.zh()),
                Language::En => format!("unit: 10⁴ m³ ({})", report.reference.en()),
            },
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
            Language::Zh => format!(
                "明日({})用气预计 <b>{}</b> 万m³(用户侧,P10–P90 {}–{}),较今日 {change}",
                self.day(cards.tomorrow.day),
                about(tomorrow.p50_m3),
                about(tomorrow.p10_m3),
                about(tomorrow.p90_m3)
            ),
            Language::En => format!(
                "Tomorrow ({}): use of <b>{}</b> 10⁴ m³ expected at customers (P10–P90 {}–{}), {change} against today",
                self.day(cards.tomorrow.day),
                about(tomorrow.p50_m3),
                about(tomorrow.p10_m3),
                about(tomorrow.p90_m3)
            ),
        };
        if let Some(band) = cards.bought.and_then(|bought| bought.tomorrow) {
            let m3 = about(band.p50_m3);
            _ = match self.words {
                Language::Zh => write!(lead, ";购气预计 {m3} 万m³(购气侧)"),
                Language::En => write!(lead, "; {m3} 10⁴ m³ to be bought at the gates"),
            };
        }
        if let Some((nominated, suggested)) = report.nominated {
            _ = match self.words {
                Language::Zh => write!(
                    lead,
                    ";建议日指定 {} 万m³,已指定 {} 万m³",
                    wan(suggested),
                    wan(nominated)
                ),
                Language::En => write!(
                    lead,
                    "; nomination suggested {} 10⁴ m³, entered {} 10⁴ m³",
                    wan(suggested),
                    wan(nominated)
                ),
            };
        }
        for month in &report.months {
            let Some(bought) = month.bought else { continue };
            let Some((expected, gap)) = bought.expected.zip(bought.gap_m3) else {
                continue;
            };
            let (m3, beyond) = (about(expected.p50_m3), about(gap.abs()));
            _ = match self.words {
                Language::Zh => write!(
                    lead,
                    ";{} 购气预计 {m3} 万m³,{}合同 {beyond} 万m³",
                    month.month,
                    if gap > 0 { "超" } else { "低于" },
                ),
                Language::En => write!(
                    lead,
                    "; {} {m3} 10⁴ m³ to be bought, {beyond} 10⁴ m³ {} contract",
                    month.month,
                    if gap > 0 { "above" } else { "below" }
                ),
            };
        }
        let stop = self.say("。", ".");
        _ = write!(self.out, "<p class=\"lead\">{lead}{stop}</p>");
    }

    fn foot(&mut self) {
        self.methods();
        for row in self
            .report
            .quality
            .iter()
            .filter(|row| row.class == "total")
        {
            let coverage = row
                .coverage
                .map_or_else(|| "—".into(), |part| format!("{:.0}%", 100.0 * part));
            let cases = row
                .cases
                .map_or_else(|| "—".into(), |count| count.to_string());
            _ = match self.words {
                Language::Zh => write!(
                    self.out,
                    "<p class=\"muted\">回测({}):WAPE {:.2}%(季节朴素 {:.2}%),P10–P90 命中率 {coverage},共 {cases} 次。</p>",
                    escaped(lead_name(&row.lead, self.words)),
                    100.0 * row.wape,
                    100.0 * row.naive_wape
                ),
                Language::En => write!(
                    self.out,
                    "<p class=\"muted\">Backtest ({}): WAPE {:.2}% (seasonal naive {:.2}%), P10–P90 coverage {coverage}, {cases} cases.</p>",
                    escaped(lead_name(&row.lead, self.words)),
                    100.0 * row.wape,
                    100.0 * row.naive_wape
                ),
            };
        }
        let (note, made, checked) = (
            self.say(
                "各表为用户侧用气量,P50 合计相等到 0.0001 万m³;P10、P90 按联合情景计算,不可相加。购气侧含供销差与自用,不含过网气。",
                "Tables are of customers' use; their P50 agree to 0.0001 × 10⁴ m³. P10 and P90 come from joint scenarios and do not add up. What is bought at the gates has the loss in it, and no gas carried for others.",
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
