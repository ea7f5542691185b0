//! How much: by source, class and slot, and hour by hour.

use std::fmt::Write as _;

use super::{Writer, percent, quantiles, ratio, wan};
use crate::serve::dispatch::HourRow;
use crate::serve::dispatch::Spans;
use crate::serve::figures::forecast::Dimension;

impl Writer<'_> {
    /// Yesterday, today, tomorrow.
    pub(super) fn overview(&mut self) {
        let cards = &self.report.cards;
        let (today, tomorrow) = (cards.today.band, cards.tomorrow.band);
        let note = self.say("用户侧", "customers' use");
        self.heading("三日总览", "Three days", note);
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
        self.bought();
    }

    /// The same days at the gates: what stands beside nominations.
    fn bought(&mut self) {
        let cards = &self.report.cards;
        let Some(bought) = cards.bought else { return };
        let heads = [
            self.say("购气侧(门站)", "Bought at the gates"),
            self.say("交割", "Delivered"),
            "P10",
            self.say("预计 P50", "Expected P50"),
            "P90",
        ];
        self.table(&heads);
        let dash = || "—".to_owned();
        let name = |zh, en, day| format!("{} {}", self.say(zh, en), self.day(day));
        let delivered = bought.yesterday_m3.map_or_else(dash, wan);
        let mut rows = vec![vec![
            name("昨日", "Yesterday", cards.yesterday.day),
            delivered,
            dash(),
            dash(),
            dash(),
        ]];
        for (zh, en, day, band) in [
            ("今日", "Today", cards.today.day, bought.today),
            ("明日", "Tomorrow", cards.tomorrow.day, bought.tomorrow),
        ] {
            let mut cells = vec![name(zh, en, day), dash()];
            cells.extend(band.map_or_else(|| [dash(), dash(), dash()], quantiles));
            rows.push(cells);
        }
        for cells in rows {
            self.row("", &cells);
        }
        self.put("</tbody></table>");
    }

    pub(super) fn blocks(&mut self) {
        let tables = &self.report.tables;
        let total = tables.total.tomorrow.p50_m3;
        for block in &tables.blocks {
            match block.by {
                Dimension::Source => self.heading("分气源", "By source", ""),
                Dimension::Class => self.heading("用户结构", "By class", ""),
                Dimension::Slot | Dimension::Total => {
                    self.heading("用气时段", "By time slot", "");
                }
            }
            let (today, tomorrow, week) = (
                self.say("今日", "today"),
                self.say("明日", "tomorrow"),
                self.say("未来7日", "7 days"),
            );
            self.put("<table class=\"wide\"><thead><tr><th></th>");
            for span in [today, tomorrow, week] {
                for quantile in ["P10", "P50", "P90"] {
                    _ = write!(self.out, "<th>{span}<br>{quantile}</th>");
                }
            }
            let share = self.say("明日<br>占比", "share of<br>tomorrow");
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

    pub(super) fn cross(&mut self) {
        let tables = &self.report.tables;
        let note = self.say("明日 P50", "tomorrow, P50");
        self.heading("气源 × 用户结构 × 时段", "Source × class × slot", note);
        let mut heads = vec![
            self.say("气源", "Source").to_owned(),
            self.say("用户类别", "Class").to_owned(),
        ];
        heads.extend(tables.slots.iter().map(|slot| self.name(slot)));
        heads.push(self.say("合计", "Total").to_owned());
        let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
        self.table_of("two", &heads);
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

    pub(super) fn hours(&mut self) {
        let tables = &self.report.tables;
        if tables.hours.is_empty() {
            return;
        }
        let note = self.say(
            "明日逐小时,阴影为 P10–P90",
            "tomorrow by hour, P10–P90 shaded",
        );
        self.heading("24 小时曲线", "Hours", note);
        let drawing = fan(&tables.hours, self.say("万m³/h", "10⁴ m³/h"));
        self.put(&drawing);
        let heads = [
            self.say("小时", "Hour"),
            self.say("时段", "Slot"),
            "P10",
            "P50",
            "P90",
        ];
        self.table_of("two", &heads);
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

/// P10–P90 shaded and P50 as a line, one point for an hour, over a scale from nothing.
fn fan(hours: &[HourRow], unit: &str) -> String {
    const LEFT: f64 = 44.0;
    const WIDTH: f64 = 900.0;
    const TOP: f64 = 22.0;
    const HEIGHT: f64 = 130.0;
    let most = hours.iter().map(|h| h.band.p90_m3).max().unwrap_or(1);
    let tick = tick(most.max(1));
    let scale = (most.max(1) as f64 / tick as f64).ceil() * tick as f64;
    let step = WIDTH / (hours.len().max(2) - 1) as f64;
    let x = |at: usize| LEFT + at as f64 * step;
    let y = |m3: i64| TOP + HEIGHT * (1.0 - m3.max(0) as f64 / scale);
    let point = |at: usize, m3: i64| format!("{:.1},{:.1}", x(at), y(m3));
    let each = |of: fn(&HourRow) -> i64| hours.iter().enumerate().map(move |(at, h)| (at, of(h)));
    let upper = each(|h| h.band.p90_m3);
    let lower = each(|h| h.band.p10_m3).rev();
    let shade: Vec<String> = upper.chain(lower).map(|(at, m3)| point(at, m3)).collect();
    let line: Vec<String> = each(|h| h.band.p50_m3)
        .map(|(at, m3)| point(at, m3))
        .collect();
    let mut axes = format!("<text x=\"2\" y=\"14\">{unit}</text>");
    let mut mark = 0;
    while mark as f64 <= scale {
        _ = write!(
            axes,
            "<path d=\"M{LEFT} {at:.1}h{WIDTH}\" stroke=\"#d9e0e6\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.1}</text>",
            LEFT - 6.0,
            y(mark) + 4.0,
            mark as f64 / 10_000.0,
            at = y(mark),
        );
        mark += tick;
    }
    for (at, hour) in hours.iter().enumerate().step_by(3) {
        _ = write!(
            axes,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:02}</text>",
            x(at),
            TOP + HEIGHT + 17.0,
            hour.civil_hour
        );
    }
    format!(
        "<svg viewBox=\"0 0 960 174\" role=\"img\" aria-label=\"24 h\" font-size=\"13\" fill=\"#56636f\">{axes}\
         <polygon points=\"{}\" fill=\"#0b5fa5\" fill-opacity=\"0.2\"/>\
         <polyline points=\"{}\" fill=\"none\" stroke=\"#0b5fa5\" stroke-width=\"2\"/></svg>",
        shade.join(" "),
        line.join(" ")
    )
}

/// A round step that divides a scale into two to five: 1, 2 or 5 times a power of ten, m³, and no
/// less than a tenth of a 万m³, the last figure the scale prints.
fn tick(most: i64) -> i64 {
    let mut power = 1_000;
    loop {
        for step in [power, 2 * power, 5 * power] {
            if most <= 5 * step {
                return step;
            }
        }
        power *= 10;
    }
}
