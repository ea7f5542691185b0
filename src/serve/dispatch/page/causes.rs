//! Why: the four parts, peaks, what changed since yesterday, and alerts.

use std::fmt::Write as _;

use super::{Writer, escaped, signed, wan};
use crate::domain::breakdown::Part;
use crate::domain::calendar::beijing_civil;
use crate::domain::language::Language;
use crate::serve::api::outlook::PeakView;
use crate::serve::live::NoticeLevel;

impl Writer<'_> {
    pub(super) fn parts(&mut self) {
        let Some(parts) = &self.report.tables.parts else {
            return;
        };
        self.heading("气量构成", "What it consists of", "P50");
        let heads = [
            "",
            self.say("今日", "today"),
            self.say("明日", "tomorrow"),
            self.say("未来7日", "7 days"),
        ];
        self.table(&heads);
        for part in Part::ALL {
            let name = match self.words {
                Language::Zh => part.name_zh(),
                Language::En => match part {
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

    pub(super) fn peaks(&mut self) {
        let Some(outlook) = &self.report.outlook else {
            return;
        };
        self.heading("高峰", "Peaks", "");
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
                Language::Zh => write!(
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
                Language::En => write!(
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

    pub(super) fn change(&mut self) {
        let Some(change) = &self.report.change else {
            return;
        };
        let note = format!("{} → {}", escaped(&change.older), escaped(&change.newer));
        self.heading(
            "较昨日预测的变化",
            "What changed since yesterday's run",
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
            let sentence = self.words.of(&day.sentence_zh, &day.sentence_en);
            _ = write!(self.out, "<p>{}</p>", escaped(sentence));
        }
    }

    pub(super) fn alerts(&mut self) {
        self.heading("告警", "Alerts", "");
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
            let title = self.words.of(&alert.title_zh, &alert.title_en);
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
}
