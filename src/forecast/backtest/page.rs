//! A backtest as a page to read or print (HTML in one file) and as CSV.

use std::fmt::Write as _;

use super::{BacktestReport, Compared, Gate, GateReport};
use crate::domain::customer::CustomerClass;
use crate::domain::language::Language;

const STYLE: &str = "body{font:14px/1.5 'Noto Sans CJK SC','Microsoft YaHei',sans-serif;max-width:1080px;\
margin:24px auto;padding:0 16px;color:#1c2733}h1{font-size:22px;margin:0}h2{font-size:17px;margin:28px 0 6px}\
p{margin:4px 0 10px;color:#56636f}table{border-collapse:collapse;width:100%;margin-bottom:12px}\
th,td{padding:3px 8px;border-bottom:1px solid #d9e0e6;text-align:right;font-variant-numeric:tabular-nums}\
th:first-child,td:first-child{text-align:left}thead th{border-bottom:2px solid #1c2733}\
tr.total td{font-weight:600}td.off{color:#a84300}small{color:#56636f}\
details summary{cursor:pointer;color:#0b5fa5}\
@media print{body{margin:0;max-width:none}details>*{display:block}h2{break-after:avoid}tr{break-inside:avoid}}";

const fn gate_key(gate: Gate) -> &'static str {
    match gate {
        Gate::DayAhead => "day_ahead",
        Gate::MonthAheadDays => "month_ahead_days",
        Gate::MonthAheadTotal => "month_ahead_total",
    }
}

/// One line of figures.
struct Line<'a> {
    gate: Gate,
    zone: &'a str,
    class: Option<CustomerClass>,
    lead: Option<usize>,
    compared: &'a Compared,
}

fn lines(gate: &GateReport) -> Vec<Line<'_>> {
    let line = |zone, class, lead, compared| Line {
        gate: gate.gate,
        zone,
        class,
        lead,
        compared,
    };
    let mut out = vec![line("", None, None, &gate.total)];
    out.extend(
        gate.classes
            .iter()
            .map(|(c, s)| line("", Some(*c), None, s)),
    );
    out.extend(
        gate.nodes
            .iter()
            .map(|(n, s)| line(n.zone.as_str(), Some(n.class), None, s)),
    );
    out.extend(gate.leads.iter().map(|(l, s)| line("", None, Some(*l), s)));
    out.extend(
        gate.class_leads
            .iter()
            .map(|(c, l, s)| line("", Some(*c), Some(*l), s)),
    );
    out.extend(
        gate.node_leads
            .iter()
            .map(|(n, l, s)| line(n.zone.as_str(), Some(n.class), Some(*l), s)),
    );
    out
}

/// Every figure, one line for gate × zone × class × lead; what is empty is summed over. Ratios.
pub fn csv(report: &BacktestReport) -> String {
    let mut out = String::from(
        "gate,zone,class,lead,count,wape,mase,bias,pinball,coverage,\
         naive_wape,naive_mase,naive_bias,naive_pinball,naive_coverage\n",
    );
    for line in report.gates.iter().flat_map(lines) {
        let class = line.class.map_or("", CustomerClass::key);
        let lead = line.lead.map_or_else(String::new, |l| l.to_string());
        let (m, n) = (line.compared.model, line.compared.seasonal_naive);
        // Zones are identifiers; a quote in one is doubled as CSV wants it.
        let zone = if line.zone.contains(['"', ',', '\n']) {
            format!("\"{}\"", line.zone.replace('"', "\"\""))
        } else {
            line.zone.to_owned()
        };
        // Writing to a string does not fail.
        _ = writeln!(
            out,
            "{},{zone},{class},{lead},{},{:.6},{:.6},{:.6},{:.6},{:.6},{:.6},{:.6},{:.6},{:.6},{:.6}",
            gate_key(line.gate),
            m.count,
            m.wape,
            m.mase,
            m.bias,
            m.pinball,
            m.coverage,
            n.wape,
            n.mase,
            n.bias,
            n.pinball,
            n.coverage
        );
    }
    out
}

/// The page: everything in one file, nothing from elsewhere.
pub fn html(report: &BacktestReport, company: &str, words: Language) -> String {
    let say = |zh: &'static str, en: &'static str| words.of(zh, en);
    let title = say("预测回测报告", "Forecast backtest");
    let mut out = format!(
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <h1>{} · {title}</h1><p>{} {} – {}. {}</p>",
        say("zh-CN", "en"),
        escaped(company),
        say("气日", "Gas days"),
        report.from,
        report.to,
        match words {
            Language::Zh => format!(
                "气象预报:{} 次回放当时的预报,{} 次由实测重建。括号内为季节性朴素基线。",
                report.weather.replayed, report.weather.recreated
            ),
            Language::En => format!(
                "Weather ahead: {} origins by the forecast known then, {} re-created from observations. \
                 Seasonal naive in brackets.",
                report.weather.replayed, report.weather.recreated
            ),
        },
    );
    for gate in &report.gates {
        let (name, about) = match gate.gate {
            Gate::DayAhead => (
                say("日指定(D−1 8:30)", "Day nomination (08:30 on D−1)"),
                say(
                    "提交时计量截至 D−2 气日末,提前期 2 天。",
                    "Metering reaches the end of gas day D−2: lead 2.",
                ),
            ),
            Gate::MonthAheadDays => (
                say(
                    "月度申报(上月10日)· 分日",
                    "Month request (10th of the month before), days",
                ),
                say(
                    "计量截至上月 9 日。",
                    "Metering reaches the 9th of the month before.",
                ),
            ),
            Gate::MonthAheadTotal => (
                say(
                    "月度申报(上月10日)· 月总量",
                    "Month request (10th of the month before), total",
                ),
                say(
                    "计量截至上月 9 日。",
                    "Metering reaches the 9th of the month before.",
                ),
            ),
        };
        _ = write!(out, "<h2>{name}</h2><p>{about}</p>");
        let named = |line: &Line<'_>| name_of(line, words);
        let all = lines(gate);
        let (by_lead, sums): (Vec<_>, Vec<_>) = all.into_iter().partition(|l| l.lead.is_some());
        table(
            &mut out,
            &sums,
            say("对象", "Series"),
            say("次数", "Cases"),
            &named,
        );
        if by_lead.iter().any(|l| l.lead != by_lead[0].lead) {
            _ = write!(
                out,
                "<details open><summary>{}</summary>",
                say("按提前期", "By lead")
            );
            table(
                &mut out,
                &by_lead,
                say("对象", "Series"),
                say("次数", "Cases"),
                &named,
            );
            out.push_str("</details>");
        }
    }
    _ = write!(
        out,
        "<p><small>WAPE = Σ|y − f| / Σ|y|; MASE: {}; BIAS = Σ(f − y) / Σ|y|; {}</small></p></body></html>",
        say(
            "相对周步长的平均绝对误差",
            "mean |y − f| over the week-to-week step"
        ),
        say(
            "P10–P90 命中率应为 80%,偏离 5 个百分点以上以橙色标出。",
            "coverage of P10–P90 should be 80 %; more than 5 points off is orange."
        ),
    );
    out
}

fn name_of(line: &Line<'_>, words: Language) -> String {
    let class = match (line.class, words) {
        (None, Language::Zh) => "总量".to_owned(),
        (None, Language::En) => "total".to_owned(),
        (Some(class), Language::Zh) => class.name_zh().to_owned(),
        (Some(class), Language::En) => class.key().replace('_', " "),
    };
    let mut name = if line.zone.is_empty() {
        class
    } else {
        format!("{} / {class}", line.zone)
    };
    if let Some(lead) = line.lead {
        _ = write!(name, " · D+{lead}");
    }
    name
}

fn table(
    out: &mut String,
    lines: &[Line<'_>],
    series: &str,
    cases: &str,
    named: &dyn Fn(&Line<'_>) -> String,
) {
    _ = write!(
        out,
        "<table><thead><tr><th>{series}</th><th>{cases}</th><th>WAPE %</th><th>MASE</th>\
         <th>BIAS %</th><th>pinball %</th><th>P10–P90 %</th></tr></thead><tbody>"
    );
    for line in lines {
        let (m, n) = (line.compared.model, line.compared.seasonal_naive);
        let is_off = (m.coverage - 0.8).abs() > 0.05;
        let is_total = line.class.is_none() && line.lead.is_none();
        _ = write!(
            out,
            "<tr{}><td>{}</td><td>{}</td><td>{:.2} <small>({:.2})</small></td>\
             <td>{:.2} <small>({:.2})</small></td><td>{:.2} <small>({:.2})</small></td>\
             <td>{:.2} <small>({:.2})</small></td><td{}>{:.0} <small>({:.0})</small></td></tr>",
            if is_total { " class=\"total\"" } else { "" },
            escaped(&named(line)),
            m.count,
            100.0 * m.wape,
            100.0 * n.wape,
            m.mase,
            n.mase,
            100.0 * m.bias,
            100.0 * n.bias,
            100.0 * m.pinball,
            100.0 * n.pinball,
            if is_off { " class=\"off\"" } else { "" },
            100.0 * m.coverage,
            100.0 * n.coverage,
        );
    }
    out.push_str("</tbody></table>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::demand::DemandNode;
    use crate::forecast::metrics::Scores;

    fn report() -> BacktestReport {
        let compared = Compared {
            model: Scores {
                count: 9,
                wape: 0.0312,
                coverage: 0.7,
                ..Scores::default()
            },
            seasonal_naive: Scores {
                count: 9,
                wape: 0.08,
                ..Scores::default()
            },
        };
        let node = DemandNode {
            zone: "a<b,c".into(),
            class: CustomerClass::Industrial,
        };
        BacktestReport {
            from: "2026-01-01".parse().unwrap(),
            to: "2026-03-31".parse().unwrap(),
            gates: vec![GateReport {
                gate: Gate::MonthAheadDays,
                total: compared,
                classes: vec![(CustomerClass::Industrial, compared)],
                nodes: vec![(node.clone(), compared)],
                leads: vec![(23, compared), (24, compared)],
                class_leads: vec![(CustomerClass::Industrial, 23, compared)],
                node_leads: vec![(node, 23, compared)],
            }],
            weather: super::super::WeatherUsed::default(),
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_gate_node_class_and_lead() {
        let text = csv(&report());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 7);
        assert_eq!(&rows[2][1], "a<b,c");
        assert_eq!(&rows[6][3], "23");
        assert!(
            rows.iter()
                .all(|row| row.len() == 15 && &row[5] == "0.031200")
        );
    }

    #[test]
    fn the_page_stands_alone_in_both_languages() {
        for (words, title) in [
            (Language::Zh, "某燃 &amp; 气 · 预测回测报告"),
            (Language::En, "某燃 &amp; 气 · Forecast backtest"),
        ] {
            let page = html(&report(), "某燃 & 气", words);
            assert!(page.contains(title), "{page}");
            assert!(page.contains("3.12 <small>(8.00)</small>"));
            assert!(page.contains("class=\"off\""), "70 % is off");
            assert!(page.contains("a&lt;b,c") && !page.contains("a<b"));
            assert!(page.contains("D+24") && page.contains("@media print"));
            assert!(!page.contains("http") && !page.contains("<script"));
        }
    }
}
